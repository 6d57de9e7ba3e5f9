//! Disks: what a daemon keeps, so that it has it again after a restart.
//!
//! What is stored is what travels: the events and transfers that were applied, in that order, and images of buckets
//! ([`cahoots_gossip::store`]'s transfers of one bucket). They lie in a log of checksummed frames (`log`); loading
//! (`scan`, `load`) puts them through the same door as a peer's would be. Nothing here knows what they mean.
//!
//! A replica id is used again only after a clean stop of the same directory in the same place (`identity`, `place`): then
//! everything it ever told or acknowledged is there. After a kill the data is loaded and a fresh id is taken; what the old
//! one had told others comes back from them, as from any peer that is gone. A directory found at another place is
//! refused: only a person knows whether it was moved or copied.
//!
//! A directory that cannot be written to at the start, because its volume is full or read-only, is loaded all the same. But
//! the note of the clean stop cannot be taken away then, so the process must not mint anything under the old id: whoever
//! finds the note later would go on under that id once more. It takes a fresh one, which the disk does not know, and
//! stands as a running process does whose disk has become full: memory goes on, nothing is promised, and once writing works the
//! directory is taken over under that fresh id (`Takeover`) and everything is written anew.
//!
//! The layout of the files is documented in `docs/storage-format.md`.

mod error;
#[cfg(test)]
mod faults;
mod files;
mod frame;
mod identity;
mod load;
mod log;
mod place;
mod scan;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use cahoots_gossip::store::Store;
use cahoots_gossip::{Limits, ReplicaId, VersionVector};
use tokio::sync::{Notify, oneshot, watch};

pub use error::StorageError;
pub use files::{Files, Output, SystemFiles};
pub use frame::FORMAT;
pub use scan::Progress;
pub use writer::{Source, Taken};

use identity::{Identity, Lock};
#[doc(hidden)]
pub use log::{Log, Sizes, Start, Sync};
pub use place::Place;
use writer::{Writer, wall_ms};

/// When what was written is made to survive a failure of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppendFsync {
    /// Before the client has its answer.
    Always,
    /// Once a second.
    #[default]
    #[value(name = "everysec")]
    EverySec,
    /// When the system sees fit.
    No,
}

impl std::fmt::Display for AppendFsync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::EverySec => "everysec",
            Self::No => "no",
        })
    }
}

/// How a directory is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory. Made if only its last part is missing.
    pub directory: PathBuf,
    /// The cluster whose data it must hold.
    pub cluster: String,
    /// What the cluster has agreed to hold.
    pub limits: Limits,
    /// Do not use the id again whatever the directory says, and take it although it may be a copy.
    pub new_id: bool,
    /// Load what can be read of a damaged log.
    pub repair: bool,
}

/// A directory that was read and is this process's own.
#[derive(Debug)]
pub struct Opened {
    options: Options,
    files: Arc<dyn Files>,
    lock: Lock,
    start: Start,
    discard: Vec<PathBuf>,
    last_wall_ms: u64,
    /// Nobody has used it before.
    is_new: bool,
    /// What was loaded.
    pub store: Store,
    /// What was found out on the way.
    pub report: Report,
}

/// What loading found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The id to go on under; nothing if a fresh one must be taken.
    pub resume: Option<ReplicaId>,
    /// Why a fresh one must be; nothing for a directory that is new.
    pub new_id_because: Option<&'static str>,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes at its end that were no whole frame.
    pub dropped_bytes: u64,
    /// By how many milliseconds the machine's clock is behind what it was when the directory was last used.
    pub clock_back_ms: u64,
    /// What was missing, if that was permitted.
    pub repaired: Option<String>,
}

/// Takes a directory and loads what is in it. Blocks for as long as that takes.
///
/// # Errors
/// See [`StorageError`]. Nothing in the directory was changed.
pub fn open(options: Options, files: Arc<dyn Files>, progress: &Progress) -> Result<Opened, StorageError> {
    let directory = &options.directory;
    files.create_directory(directory).map_err(StorageError::io("make the directory", directory))?;
    let lock = Lock::take(directory)?;
    let known = Identity::read(directory)?;
    if let Some(known) = known.as_ref().filter(|known| known.cluster != options.cluster) {
        return Err(StorageError::OtherCluster {
            path: directory.clone(),
            theirs: known.cluster.clone(),
            ours: options.cluster.clone(),
        });
    }
    let place = lock.place();
    if let Some(known) = known.as_ref().filter(|_| !options.new_id)
        && let Some(made_at) = known.place.filter(|made_at| !place.is(made_at))
    {
        let used_at = known.used_at.clone();
        return Err(StorageError::Copied { path: directory.clone(), used_at, made_at, found_at: place });
    }
    let stopped = known.as_ref().and_then(|known| known.stopped);
    let scan = scan::scan(directory, stopped, options.repair, progress)?;
    let mut store = load::load(&scan, options.limits.clone(), progress)?;
    if let Some(known) = &known {
        store = store.loaded_as(known.id);
    }
    let last = scan.stretch.as_ref().map_or(0, |stretch| stretch.last);
    let (resume, because) = match &known {
        Some(_) if options.new_id => (None, Some("that was asked for")),
        Some(_) if scan.repaired.is_some() => (None, Some("the log is damaged")),
        Some(known) if known.place.is_none() => (None, Some("the directory is a backup")),
        Some(known) if known.stopped != Some(last) => (None, Some("it was not stopped cleanly")),
        Some(known) => (Some(known.id), None),
        None if scan.stretch.is_some() => (None, Some("the directory does not say whose data it is")),
        None => (None, None),
    };
    let gap = scan.repaired.is_some();
    let start = Start {
        segments: load::segments_of(&scan).map(|(path, first, bytes)| (path.to_owned(), first, bytes)).collect(),
        images: load::images_of(&scan),
        position: if gap { scan.last_position } else { last },
        next_number: scan.next_number,
        gap,
        sizes: Sizes::default(),
    };
    let is_new = known.is_none() && scan.stretch.is_none();
    let last_wall_ms = known.map_or(0, |known| known.wall_ms.max(store.clock().wall_ms()));
    let report = Report {
        resume,
        new_id_because: because,
        log_bytes: start.segments.iter().map(|(_, _, bytes)| bytes).sum(),
        dropped_bytes: scan.stretch.as_ref().map_or(0, |stretch| stretch.dropped),
        clock_back_ms: last_wall_ms.saturating_sub(wall_ms()),
        repaired: scan.repaired,
    };
    Ok(Opened { options, files, lock, start, discard: scan.discard, last_wall_ms, is_new, store, report })
}

/// What a directory that nobody uses holds.
#[derive(Debug)]
pub struct Contents {
    /// The cluster it belongs to, if it says so.
    pub cluster: Option<String>,
    /// The replica that used it last.
    pub id: Option<ReplicaId>,
    /// Whether that one stopped with everything in it.
    pub stopped_cleanly: bool,
    /// Whether it is a copy made by [`Storage::backup`].
    pub is_backup: bool,
    /// Segments of the log and their bytes.
    pub segments: usize,
    /// Bytes of those.
    pub log_bytes: u64,
    /// Bytes at the end that are no whole frame.
    pub dropped_bytes: u64,
    /// The last position.
    pub position: u64,
    /// What is loaded from it.
    pub store: Store,
}

/// Reads a directory that no daemon uses, and changes nothing in it. Every checksum is checked, everything is loaded.
///
/// # Errors
/// See [`StorageError`].
pub fn read(directory: &Path, limits: Limits, progress: &Progress) -> Result<Contents, StorageError> {
    let _lock = Lock::take_to_read(directory)?;
    let known = Identity::read(directory)?;
    let stopped = known.as_ref().and_then(|known| known.stopped);
    let scan = scan::scan(directory, stopped, false, progress)?;
    let store = load::load(&scan, limits, progress)?;
    let position = scan.stretch.as_ref().map_or(0, |stretch| stretch.last);
    Ok(Contents {
        cluster: known.as_ref().map(|known| known.cluster.clone()),
        id: known.as_ref().map(|known| known.id),
        stopped_cleanly: stopped == Some(position),
        is_backup: known.is_some_and(|known| known.place.is_none()),
        segments: load::segments_of(&scan).count(),
        log_bytes: load::segments_of(&scan).map(|(_, _, bytes)| bytes).sum(),
        dropped_bytes: scan.stretch.as_ref().map_or(0, |stretch| stretch.dropped),
        position,
        store,
    })
}

/// What makes a directory this process's own on the disk, too.
#[derive(Debug)]
struct Takeover {
    directory: PathBuf,
    files: Arc<dyn Files>,
    identity: Identity,
    discard: Vec<PathBuf>,
}

impl Takeover {
    /// Takes the note of the last clean stop away, and what is behind the end of the log. On disk when it returns. If it
    /// fails, it can be tried again.
    fn run(&self) -> Result<(), StorageError> {
        self.identity.write(&self.directory, &*self.files)?;
        // Latest first: what is left after an interruption is still behind a place where the log ends.
        for path in self.discard.iter().rev() {
            self.files.remove(path).map_err(StorageError::io("remove", path))?;
        }
        Ok(())
    }
}

impl Opened {
    /// Takes the note of the last clean stop away and begins a new segment: from here on the directory is in use by the
    /// replica of [`Ready::id`], which is the one to go on under or, if there is none, `fresh`. On disk when it returns. Gives
    /// the loaded store back.
    ///
    /// If the disk has no space for that, or is read-only, the replica is `fresh` whatever the directory says, and
    /// [`Ready::waits_for_space`]: then storage begins as one that fails.
    ///
    /// # Errors
    /// The directory cannot be written to for another reason, or was never used; nothing may be minted then.
    pub fn begin(self, fresh: ReplicaId) -> Result<(Store, Ready), StorageError> {
        let Self { options, files, lock, start, discard, last_wall_ms, store, report, is_new } = self;
        let id = report.resume.unwrap_or(fresh);
        let identity = Identity {
            cluster: options.cluster,
            id,
            place: Some(lock.place()),
            used_at: place::described(&options.directory),
            stopped: None,
            wall_ms: wall_ms(),
        };
        let directory = options.directory;
        let mut takeover = Takeover { directory: directory.clone(), files: Arc::clone(&files), identity, discard };
        let opened = takeover.run().and_then(|()| {
            let log = Log::open(&directory, Arc::clone(&files), start.clone())?;
            files.sync_directory(&directory).map_err(StorageError::io("sync", &directory))?;
            Ok(log)
        });
        let (log, identity, waits) = match opened {
            Ok(log) => (log, takeover.identity, None),
            // A directory that was never used has nothing to serve: better told at the start than after it.
            Err(error) if error.is_want_of_space() && !is_new => {
                takeover.identity.id = fresh;
                let log = Log::unopened(&directory, Arc::clone(&files), start);
                (log, takeover.identity.clone(), Some((error, takeover)))
            }
            Err(error) => return Err(error),
        };
        Ok((store, Ready { directory, files, lock, identity, log, waits, last_wall_ms }))
    }
}

/// A directory in use, before its thread runs.
#[derive(Debug)]
pub struct Ready {
    directory: PathBuf,
    files: Arc<dyn Files>,
    lock: Lock,
    identity: Identity,
    log: Log,
    /// Why nothing can be written yet, and what has to be done first once something can.
    waits: Option<(StorageError, Takeover)>,
    last_wall_ms: u64,
}

/// What is on disk.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// Own events up to here are.
    pub seq: u64,
    /// All of these are.
    pub versions: VersionVector,
    /// Writing fails: nothing more will be, until it works again.
    pub failing: bool,
}

/// What storage tells about itself.
#[derive(Clone, Debug, Default)]
pub struct StorageStatus {
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of the last image of each bucket.
    pub live_bytes: u64,
    /// The last position written.
    pub position: u64,
    /// The last one that is on disk.
    pub synced: u64,
    /// Everything is being written anew.
    pub rebuilding: bool,
    /// Why writing fails, or has failed and what is on disk is not complete yet.
    pub failing: Option<String>,
    /// When a backup was last finished, in seconds since 1970; the start if none was.
    pub saved_at: u64,
    /// The last backup that was asked for was not made.
    pub save_failed: bool,
}

enum Order {
    Sync,
    Backup(PathBuf, oneshot::Sender<Result<(), String>>),
    Close(oneshot::Sender<Closed>),
}

struct Closed {
    /// The last position and the replica's id by then, if everything is on disk.
    stopped: Result<(u64, ReplicaId), String>,
}

/// What the thread and the handles share.
struct Shared {
    directory: PathBuf,
    thread: OnceLock<Thread>,
    sleeping: AtomicBool,
    orders: Mutex<VecDeque<Order>>,
    durable: watch::Sender<Durable>,
    status: Mutex<StorageStatus>,
    /// Told each time records were taken.
    taken: Notify,
    /// It writes nothing any more.
    ended: AtomicBool,
    /// The log is too long: clients should wait while images are written.
    presses: AtomicBool,
}

impl Shared {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            thread: OnceLock::new(),
            sleeping: AtomicBool::new(false),
            orders: Mutex::default(),
            durable: watch::Sender::default(),
            status: Mutex::new(StorageStatus { saved_at: wall_ms() / 1000, ..StorageStatus::default() }),
            taken: Notify::new(),
            ended: AtomicBool::new(false),
            presses: AtomicBool::new(false),
        }
    }

    /// Cheap when the thread is awake.
    fn wake(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn failing(&self) -> Option<String> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).failing.clone()
    }

    fn set_failing(&self, failing: Option<String>) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).failing = failing;
    }

    fn durable(&self) -> Durable {
        self.durable.borrow().clone()
    }

    fn publish(&self, durable: Durable) {
        self.durable.send_replace(durable);
    }

    fn note_backup(&self, made: bool) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.save_failed = !made;
        if made {
            status.saved_at = wall_ms() / 1000;
        }
    }
}

/// A directory in use: the handle to the thread that writes.
pub struct Storage {
    shared: Arc<Shared>,
    files: Arc<dyn Files>,
    identity: Identity,
    policy: AppendFsync,
    /// What the machine's clock had shown when the directory was last used.
    last_wall_ms: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held until nothing is written any more.
    _lock: Lock,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

/// Wakes the writing thread when there is something to write.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// Cheap; may be called under any lock.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl Ready {
    /// The id under which the replica has to run.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.identity.id
    }

    /// Why nothing can be written for now, if that is so.
    #[must_use]
    pub fn waits_for_space(&self) -> Option<String> {
        self.waits.as_ref().map(|(error, _)| writer::text_of(error))
    }

    /// Starts writing what `source` gives. `waker` is to be told of its records.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(self, source: impl Source + 'static, policy: AppendFsync) -> Result<Storage, StorageError> {
        let shared = Arc::new(Shared::new(self.directory));
        let directory = shared.directory.clone();
        let no_thread = |source| StorageError::io("start a thread for", &directory)(source);
        let mut writer = Writer::new(source, self.log, policy, Arc::clone(&shared)).map_err(&no_thread)?;
        if let Some((error, takeover)) = self.waits {
            writer.begin_without_space(&error, takeover);
        }
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new().name("cahoots-disk".into()).spawn(move || {
            // Whatever it left behind is not used again; what matters is that its end is not overlooked.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run())).is_err() {
                told.set_failing(Some("the thread that writes has panicked; restart this daemon".to_owned()));
                told.publish(Durable { failing: true, ..told.durable() });
            }
            told.ended.store(true, Ordering::SeqCst);
            told.taken.notify_waiters();
        });
        let thread = thread.map_err(&no_thread)?;
        // It was made a line above, and nobody else sets it.
        let _ = shared.thread.set(thread.thread().clone());
        shared.wake();
        Ok(Storage {
            shared,
            files: self.files,
            identity: self.identity,
            policy,
            last_wall_ms: self.last_wall_ms,
            thread: Mutex::new(Some(thread)),
            _lock: self.lock,
        })
    }
}

impl Storage {
    /// What to call when there are records.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// When what was written is synced.
    #[must_use]
    pub fn policy(&self) -> AppendFsync {
        self.policy
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// What is on disk, now and from now on.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.shared.durable.subscribe()
    }

    /// Waits until the thread has taken what there was to write, for as long as it takes to write what it had.
    pub async fn taken(&self) {
        let taken = self.shared.taken.notified();
        self.shared.wake();
        if !self.shared.ended.load(Ordering::SeqCst) {
            taken.await;
        }
    }

    /// Whether clients should wait with further writes until [`Storage::taken`].
    #[must_use]
    pub fn presses(&self) -> bool {
        self.shared.presses.load(Ordering::Relaxed)
    }

    /// Asks for a sync before the policy would have one.
    pub fn sync_soon(&self) {
        self.order(Order::Sync);
    }

    /// Makes a copy of the log as of some moment after this call: a directory of its own under `backup` in the directory,
    /// which can be started from as any other. Says where.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn backup(&self) -> Result<PathBuf, String> {
        let result = self.copy().await;
        self.shared.note_backup(result.is_ok());
        result
    }

    async fn copy(&self) -> Result<PathBuf, String> {
        let parent = self.shared.directory.join("backup");
        self.files.create_directory(&parent).map_err(|error| format!("cannot make {parent:?}: {error}"))?;
        let mut number = wall_ms();
        while parent.join(number.to_string()).exists() {
            number += 1;
        }
        let to = parent.join(number.to_string());
        let (done, result) = oneshot::channel();
        self.order(Order::Backup(to.clone(), done));
        result.await.unwrap_or_else(|_| Err("storage is closed".into()))?;
        let identity = Identity { place: None, stopped: None, wall_ms: wall_ms(), ..self.identity.clone() };
        identity.write(&to, &*self.files).map_err(|error| error.to_string())?;
        Ok(to)
    }

    /// Whether writing fails now.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.durable.borrow().failing
    }

    /// By how many milliseconds the machine's clock is still behind what it was when the directory was last used.
    #[must_use]
    pub fn clock_behind_ms(&self) -> u64 {
        self.last_wall_ms.saturating_sub(wall_ms())
    }

    /// How things are.
    #[must_use]
    pub fn status(&self) -> StorageStatus {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes everything the source has, and stops. The replica must not tell or acknowledge anything any more; then, if
    /// all is on disk, its id can be used again. Blocks.
    ///
    /// # Errors
    /// Why not everything is on disk.
    pub fn close(&self) -> Result<(), String> {
        let (done, closed) = oneshot::channel();
        self.order(Order::Close(done));
        let closed = closed.blocking_recv().map_err(|_| "the thread that writes has ended".to_owned())?;
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.join().map_err(|_| "the thread that writes has panicked".to_owned())?;
        }
        let (position, id) = closed.stopped?;
        let identity = Identity { id, stopped: Some(position), wall_ms: wall_ms(), ..self.identity.clone() };
        let written = identity.write(&self.shared.directory, &*self.files);
        written.map_err(|error| error.to_string())
    }

    fn order(&self, order: Order) {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.shared.wake();
    }
}
