//! The thread that writes: takes what was applied from the replica, appends it to the log, has it synced, and writes
//! bucket images so that the log stays short.
//!
//! It never holds the replica for longer than it takes to hand over a list or to encode one bucket, and rests in
//! proportion while nothing presses. When writing fails, memory goes on: what is applied meanwhile is not kept for the
//! disk, and once writing works again everything is written anew behind a gap.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cahoots_gossip::driver::Node;
use cahoots_gossip::engine::{Records, Replica};
use cahoots_gossip::{ReplicaId, VersionVector};
use tracing::{error, info};

use super::error::StorageError;
use super::log::{Log, Sync};
use super::{AppendFsync, Closed, Durable, Order, Shared, Takeover};

/// How long records are collected for while nobody waits for the disk: what a kill can take beside what the policy
/// permits, and so many times a second the thread wakes under load.
const LINGER: Duration = Duration::from_millis(2);
/// Between two syncs under `everysec`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Images written between two looks at the records, in bytes, unless there were more records: a few milliseconds.
const IMAGES_BYTES: i64 = 512 << 10;
/// The least while the log is too long for its data. Clients wait meanwhile, so that it becomes no longer.
const IMAGES_BYTES_PRESSED: i64 = 1 << 20;
/// The most then, however much is due: none of it replaces anything before it is synced, between two looks.
const IMAGES_BYTES_PRESSED_MOST: i64 = 16 << 20;
/// How many bytes of images a byte of records brings then.
const RATE_PRESSED: u64 = 2;
/// Images rest this many times as long as they took.
const IMAGES_REST: u32 = 3;
/// And no longer than this: syncs are due every second, however little of the machine this thread gets.
const IMAGES_REST_MOST: Duration = Duration::from_millis(100);
/// How long writing rests after it failed, at first and at most. Tests fail it a thousand times.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });
const RETRY_MOST: Duration = Duration::from_secs(10);

/// Where what is to be written comes from.
pub trait Source: Send {
    /// Everything applied since the last call.
    fn take(&mut self) -> Taken;

    /// One bucket as it is now. What is sealed for it is in the next [`Source::take`].
    fn image(&mut self, bucket: usize) -> Vec<u8>;

    /// All of this is on disk.
    fn kept(&mut self, versions: &VersionVector);
}

/// What a [`Source`] gives.
#[derive(Debug)]
pub struct Taken {
    /// What was applied.
    pub records: Records,
    /// The replica's id.
    pub id: ReplicaId,
    /// The last own event among it and everything before.
    pub seq: u64,
    /// What is applied, with it.
    pub versions: VersionVector,
}

impl Taken {
    /// What `replica` has for the disk.
    pub fn from(replica: &mut Replica) -> Self {
        Self {
            records: replica.take_records(),
            id: replica.id(),
            seq: replica.store().sealed_seq(),
            versions: replica.store().version_vector().clone(),
        }
    }
}

impl Source for Node {
    fn take(&mut self) -> Taken {
        self.with(|replica, _| Taken::from(replica))
    }

    fn image(&mut self, bucket: usize) -> Vec<u8> {
        self.with(|replica, _| replica.bucket_image(bucket))
    }

    fn kept(&mut self, versions: &VersionVector) {
        self.with(|replica, _| replica.note_kept(versions.clone()));
    }
}

/// A sync under way: what will be on disk when it is done.
struct Promise {
    position: u64,
    durable: (u64, VersionVector),
}

pub(super) struct Writer<S> {
    source: S,
    log: Log,
    policy: AppendFsync,
    shared: Arc<Shared>,
    syncs: SyncSender<Sync>,
    results: Receiver<Result<(), std::io::Error>>,
    under_way: Option<Promise>,
    /// What the log holds.
    written: (u64, VersionVector),
    synced_at: Instant,
    /// Somebody waits for a sync although the policy has none.
    sync_wanted: bool,
    /// Bytes of images that are due; less than zero when more were written.
    images_due: i64,
    /// Until when writing rests, and how long the next time.
    failed: Option<(Instant, Duration)>,
    /// What has to be done before anything is written, if it could not be done at the start.
    takeover: Option<Takeover>,
    waiting_backups: Vec<(std::path::PathBuf, tokio::sync::oneshot::Sender<Result<(), String>>)>,
}

/// How a round ended.
enum Rest {
    /// Until there is something.
    Idle,
    For(Duration),
    Closed,
}

impl<S: Source> Writer<S> {
    pub(super) fn new(source: S, log: Log, policy: AppendFsync, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (syncs, jobs) = mpsc::sync_channel::<Sync>(1);
        let (results_to, results) = mpsc::sync_channel(1);
        let waker = Arc::clone(&shared);
        thread::Builder::new().name("cahoots-sync".into()).spawn(move || {
            for job in jobs {
                if results_to.send(job.run()).is_err() {
                    return;
                }
                waker.wake();
            }
        })?;
        Ok(Self {
            source,
            log,
            policy,
            shared,
            syncs,
            results,
            under_way: None,
            written: (0, VersionVector::new()),
            synced_at: Instant::now(),
            sync_wanted: false,
            images_due: 0,
            failed: None,
            takeover: None,
            waiting_backups: Vec::new(),
        })
    }

    /// The disk has had no space from the start: as if it had become full just now.
    pub(super) fn begin_without_space(&mut self, error: &StorageError, takeover: Takeover) {
        self.takeover = Some(takeover);
        self.fail(error);
    }

    pub(super) fn run(mut self) {
        loop {
            self.shared.sleeping.store(true, Ordering::SeqCst);
            match self.round() {
                Rest::Idle => {
                    let until =
                        if self.log.synced_position() < self.log.position() { SYNC_INTERVAL } else { RETRY_MOST };
                    thread::park_timeout(until);
                }
                Rest::For(time) if !time.is_zero() => thread::sleep(time),
                Rest::For(_) => {}
                Rest::Closed => return,
            }
        }
    }

    fn round(&mut self) -> Rest {
        let mut closing = None;
        let orders: Vec<Order> = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for order in orders {
            match order {
                Order::Sync => self.sync_wanted = true,
                Order::Backup(to, done) => self.waiting_backups.push((to, done)),
                Order::Close(done) => closing = Some(done),
            }
        }
        let taken = self.source.take();
        self.shared.taken.notify_waiters();
        let idle = taken.records.list.is_empty() && !taken.records.lost;
        let id = taken.id;
        let result = self.write(taken).and_then(|spent| if closing.is_some() { self.finish() } else { Ok(spent) });
        self.shared.presses.store(false, Ordering::SeqCst);
        self.tell();
        if let Some(done) = closing {
            let stopped = match &result {
                Ok(_) if self.failed.is_none() && !self.log.is_rebuilding() => Ok((self.log.position(), id)),
                Ok(_) => Err(self.shared.failing().unwrap_or_default()),
                Err(error) => Err(text_of(error)),
            };
            // Nobody to tell is nobody who minds.
            let _ = done.send(Closed { stopped });
            return Rest::Closed;
        }
        match result {
            Ok(spent) if idle && spent.is_zero() && self.nothing_due() => Rest::Idle,
            Ok(_) if self.log.images_wanted().is_none() || self.policy == AppendFsync::Always => {
                Rest::For(if idle { LINGER } else { Duration::ZERO })
            }
            Ok(spent) => Rest::For(rest_after(spent)),
            Err(error) => {
                self.fail(&error);
                Rest::For(LINGER)
            }
        }
    }

    fn nothing_due(&self) -> bool {
        self.failed.is_none()
            && self.under_way.is_none()
            && !self.log.is_rebuilding()
            && self.images_due <= 0
            && !self.sync_wanted
            && self.waiting_backups.is_empty()
            && (self.policy != AppendFsync::EverySec || self.log.synced_position() == self.log.position())
    }

    /// Writes what was taken and whatever is due; returns the time spent on images.
    fn write(&mut self, taken: Taken) -> Result<Duration, StorageError> {
        if let Some((until, _)) = self.failed {
            if Instant::now() < until {
                return Ok(Duration::ZERO);
            }
            self.begin_anew()?;
        } else if taken.records.lost {
            return Err(fell_behind());
        }
        let bytes = self.log.append_records(&taken.records.list)?;
        self.written = (taken.seq, taken.versions);
        let spent = self.write_images(bytes)?;
        self.sync()?;
        self.backups()?;
        Ok(spent)
    }

    fn begin_anew(&mut self) -> Result<(), StorageError> {
        // What a sync that is under way promises is of no interest any more.
        while self.under_way.take().is_some() {
            let _ = self.results.recv();
        }
        if let Some(takeover) = &self.takeover {
            takeover.run()?;
            self.takeover = None;
        }
        self.log.begin_gap()?;
        self.failed = None;
        Ok(())
    }

    /// Writes the images that `bytes` of records bring; returns the time that took.
    fn write_images(&mut self, bytes: u64) -> Result<Duration, StorageError> {
        let rate = self.log.images_wanted();
        let due = signed(bytes * rate.unwrap_or(RATE_PRESSED));
        self.images_due = if rate == Some(0) { 0 } else { self.images_due + due };
        let mut left = match rate {
            Some(_) => self.images_due.min(IMAGES_BYTES.max(due)),
            // An image may be as long as all the rest. Until it is on disk the log stays too long, and more images make it
            // longer: what was written beyond what was due is paid off by records first.
            None if self.images_due < 0 && !self.log.is_rebuilding() => self.images_due,
            None => self.images_due.clamp(IMAGES_BYTES_PRESSED, IMAGES_BYTES_PRESSED_MOST.max(due)),
        };
        let begun = Instant::now();
        if left <= 0 || (self.log.is_rebuilding() && !self.log.next_image_is_due()) {
            return Ok(Duration::ZERO);
        }
        self.shared.presses.store(rate.is_none(), Ordering::SeqCst);
        while left > 0 && (!self.log.is_rebuilding() || self.log.next_image_is_due()) {
            let bucket = self.log.next_image();
            let image = self.source.image(bucket);
            // What was sealed for the image comes before it.
            let taken = self.source.take();
            if taken.records.lost {
                return Err(fell_behind());
            }
            let bytes = self.log.append_records(&taken.records.list)?;
            self.written = (taken.seq, taken.versions);
            let written = self.log.append_image(bucket, &image)?;
            self.images_due += signed(bytes * rate.unwrap_or(RATE_PRESSED)) - signed(written);
            left -= signed(written);
        }
        Ok(begun.elapsed())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if self.log.is_long() {
            // What waits meanwhile waits in memory, within its bound; clients that write wait, too.
            self.shared.presses.store(true, Ordering::SeqCst);
            self.finish()?;
        }
        if self.under_way.is_some() {
            match self.results.try_recv() {
                Ok(result) => self.synced(result)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    let gone = std::io::Error::other("the thread that syncs has ended");
                    return self.synced(Err(gone));
                }
            }
        }
        let due = match self.policy {
            AppendFsync::Always => true,
            AppendFsync::EverySec => {
                self.sync_wanted
                    || self.synced_at.elapsed() >= SYNC_INTERVAL
                    || self.log.unsynced_bytes() >= self.log.unsynced_bytes_max()
            }
            // Space comes back only for what is on disk.
            AppendFsync::No => self.sync_wanted || self.log.images_wanted() != Some(0),
        };
        if !due {
            return Ok(());
        }
        self.synced_at = Instant::now();
        self.sync_wanted = false;
        let Some(job) = self.log.to_sync() else {
            if !self.log.is_rebuilding() && self.failed.is_none() {
                self.publish(self.written.clone());
            }
            return Ok(());
        };
        self.under_way = Some(Promise { position: job.position, durable: self.written.clone() });
        if self.policy == AppendFsync::Always {
            let result = job.run();
            return self.synced(result);
        }
        self.syncs.send(job).map_err(|_| gone())
    }

    fn synced(&mut self, result: Result<(), std::io::Error>) -> Result<(), StorageError> {
        let Some(promise) = self.under_way.take() else { return Ok(()) };
        result.map_err(StorageError::io("sync the log in", self.shared.directory()))?;
        self.log.synced(promise.position)?;
        if self.log.is_rebuilding() {
            return Ok(());
        }
        if self.shared.failing().is_some() {
            info!("everything is on disk again");
            self.shared.set_failing(None);
        }
        self.publish(promise.durable);
        Ok(())
    }

    fn publish(&mut self, (seq, versions): (u64, VersionVector)) {
        let known = self.shared.durable();
        if known.failing || known.seq != seq || known.versions != versions {
            self.source.kept(&versions);
            self.shared.publish(Durable { seq, versions, failing: false });
        }
    }

    /// Everything on disk, now.
    fn finish(&mut self) -> Result<Duration, StorageError> {
        while self.failed.is_none() && self.log.is_rebuilding() && self.log.next_image_is_due() {
            self.write_images(0)?;
        }
        if self.under_way.is_some() {
            let result = self.results.recv().unwrap_or_else(|_| Err(std::io::Error::other("no result")));
            self.synced(result)?;
        }
        if let Some(job) = self.log.to_sync() {
            self.under_way = Some(Promise { position: job.position, durable: self.written.clone() });
            let result = job.run();
            self.synced(result)?;
        }
        Ok(Duration::ZERO)
    }

    fn backups(&mut self) -> Result<(), StorageError> {
        if self.waiting_backups.is_empty() {
            return Ok(());
        }
        self.finish()?;
        for (to, done) in std::mem::take(&mut self.waiting_backups) {
            let _ = done.send(self.backup(&to).map_err(|error| text_of(&error)));
        }
        Ok(())
    }

    fn backup(&mut self, to: &std::path::Path) -> Result<(), StorageError> {
        if self.failed.is_some() || self.log.is_rebuilding() {
            let failing = std::io::Error::other(self.shared.failing().unwrap_or_default());
            return Err(StorageError::io("copy", self.shared.directory())(failing));
        }
        self.log.link_into(to)
    }

    fn fail(&mut self, error: &StorageError) {
        let text = text_of(error);
        let rest = self.failed.map_or(RETRY, |(_, rest)| (rest * 2).min(RETRY_MOST));
        if self.failed.is_none() {
            error!(error = text, "cannot write to disk; memory goes on, and writing is tried again");
        }
        self.shared.set_failing(Some(text.clone()));
        self.shared.publish(Durable { failing: true, ..self.shared.durable() });
        self.failed = Some((Instant::now() + rest, rest));
        for (_, done) in std::mem::take(&mut self.waiting_backups) {
            let _ = done.send(Err(text.clone()));
        }
    }

    fn tell(&self) {
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.log_bytes = self.log.bytes();
        status.live_bytes = self.log.live_bytes();
        status.position = self.log.position();
        status.synced = self.log.synced_position();
        status.rebuilding = self.log.is_rebuilding();
    }
}

/// How long to rest after so much time was spent on images.
fn rest_after(spent: Duration) -> Duration {
    (spent * IMAGES_REST).clamp(LINGER, IMAGES_REST_MOST)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What is on disk does not lead up to the records any more, and everything is written anew.
fn fell_behind() -> StorageError {
    let error = std::io::Error::other("the disk did not keep up with what was applied, or it was moved to a new id");
    StorageError::io("write all records to", std::path::Path::new("log"))(error)
}

fn gone() -> StorageError {
    StorageError::io("sync", std::path::Path::new("log"))(std::io::Error::other("the thread that syncs has ended"))
}

/// An error with its cause, on one line.
pub(super) fn text_of(error: &StorageError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

pub(super) fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
