//! The log under failing disks and cut power, against a list of the states it was in.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cahoots_gossip::engine::{Now, Record, Replica, ReplicaConfig};
use cahoots_gossip::store::{Applied, BUCKETS, Class, Store};
use cahoots_gossip::{Dot, Limits, ReplicaId};

use super::faults::{Fault, FaultyFiles, When};
use super::files::SystemFiles;
use super::log::{Log, Sizes, Start};
use super::scan::{Progress, scan};
use super::writer::{Source, Taken};
use super::*;

const A: ReplicaId = ReplicaId::new(1);
const B: ReplicaId = ReplicaId::new(2);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// A store, its log, and what the store was like at each position.
struct World {
    store: Store,
    other: Store,
    others: VecDeque<(Dot, Vec<u8>)>,
    states: BTreeMap<u64, u128>,
    /// Positions up to here are promised.
    promised: u64,
    random: Random,
}

impl World {
    fn new(seed: u64) -> Self {
        let store = |id| Store::new(id, Limits::default(), 1000);
        let mut world = Self {
            store: store(A),
            other: store(B),
            others: VecDeque::new(),
            states: BTreeMap::new(),
            promised: 0,
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
        };
        let empty = world.store.version_hash();
        world.states.insert(0, empty);
        world
    }

    /// Something happens; what is to be written about it.
    fn step(&mut self) -> VecDeque<Record> {
        let mut records = VecDeque::new();
        let n = self.random.below(1_000);
        let (key, value) = (format!("key{}", n % 60), vec![b'x'; usize::try_from(n).unwrap()]);
        let write = |store: &mut Store| {
            store.write(n, 0, |writer| match n % 4 {
                0 => drop(writer.delete(key.as_bytes()).unwrap()),
                1 => drop(writer.insert(b"set", Class::Set, key.as_bytes(), b"").unwrap()),
                _ => writer.set(key.as_bytes(), &value).unwrap(),
            });
            store.seal();
        };
        match self.random.below(8) {
            0..5 => write(&mut self.store),
            5 => {
                write(&mut self.other);
                while let Some(sealed) = self.other.poll_sealed() {
                    self.others.push_back((Dot::new(B, sealed.seq), sealed.body));
                }
            }
            6 => {
                for (dot, body) in std::mem::take(&mut self.others) {
                    if self.store.apply(dot, &body).unwrap() == Applied::Now {
                        records.push_back(Record::Event(dot, body.into()));
                    }
                }
            }
            _ => {
                let first = usize::try_from(self.random.below(1000)).unwrap();
                let shown = self.store.bucket_fingerprints(first, BUCKETS);
                let (transfer, _) = self.other.encode_transfer(first, &shown, usize::MAX, usize::MAX);
                self.store.join_transfer(&transfer).unwrap();
                records.push_back(Record::Transfer(transfer.into()));
            }
        }
        while let Some(sealed) = self.store.poll_sealed() {
            records.push_front(Record::Event(Dot::new(A, sealed.seq), sealed.body.into()));
        }
        records
    }

    fn note(&mut self, log: &Log) {
        let hash = self.store.version_hash();
        // Behind a gap nothing is at the position before it that was not when it was written.
        self.states.entry(log.position()).or_insert(hash);
    }

    /// Whatever is due, with the chance of an error.
    fn drive(&mut self, log: &mut Log) -> Result<(), StorageError> {
        let records = self.step();
        log.append_records(&records)?;
        self.note(log);
        let images = if log.is_rebuilding() { 300 } else { self.random.below(4) };
        for _ in 0..images {
            if log.is_rebuilding() && !log.next_image_is_due() {
                break;
            }
            let bucket = log.next_image();
            log.append_image(bucket, &self.store.bucket_image(bucket))?;
            self.note(log);
        }
        if self.random.below(6) == 0
            && let Some(job) = log.to_sync()
        {
            job.run().map_err(StorageError::io("sync", Path::new("log")))?;
            log.synced(job.position)?;
            if !log.is_rebuilding() {
                self.promised = job.position;
            }
        }
        Ok(())
    }

    fn check(&self, directory: &Path) {
        let scan = scan(directory, None, false, &Progress::default()).unwrap();
        let mut loaded = load::load(&scan, Limits::default(), &Progress::default()).unwrap();
        let last = scan.stretch.as_ref().map_or(0, |stretch| stretch.last);
        assert!(last >= self.promised, "position {last} was reached, and {} was promised", self.promised);
        assert!(loaded.fingerprints_are_exact());
        assert_eq!(loaded.version_hash(), self.states[&last], "the state at position {last}");
    }
}

const SMALL: Sizes = Sizes { segment_bytes: 20_000, log_bytes_min: 100_000 };

fn open_small(directory: &Path, files: &FaultyFiles) -> Log {
    let scan = scan(directory, None, false, &Progress::default()).unwrap();
    for path in scan.discard.iter().rev() {
        std::fs::remove_file(path).unwrap();
    }
    let start = Start {
        segments: load::segments_of(&scan).map(|(path, first, bytes)| (path.to_owned(), first, bytes)).collect(),
        images: load::images_of(&scan),
        position: scan.stretch.as_ref().map_or(0, |stretch| stretch.last),
        next_number: scan.next_number,
        gap: false,
        sizes: SMALL,
    };
    Log::open(directory, Arc::new(files.clone()), start).unwrap()
}

#[test]
fn after_a_kill_everything_written_is_there_and_after_a_power_cut_everything_synced() {
    for seed in 0..24 {
        let directory = tempfile::tempdir().unwrap();
        let files = FaultyFiles::default();
        let mut world = World::new(seed);
        let mut log = open_small(directory.path(), &files);
        for _ in 0..world.random.below(500) {
            world.drive(&mut log).unwrap();
        }
        if seed % 2 == 0 {
            world.promised = log.position();
        } else {
            files.cut_power(|bound| world.random.below(bound + 1));
        }
        drop(log);
        world.check(directory.path());
    }
}

#[test]
fn overwritten_data_leaves_the_log_and_what_remains_loads() {
    let directory = tempfile::tempdir().unwrap();
    let files = FaultyFiles::default();
    let mut world = World::new(7);
    let mut log = open_small(directory.path(), &files);
    let (mut due, mut most) = (0, 0);
    for step in 0..2_500 {
        let bytes = log.append_records(&world.step()).unwrap();
        world.note(&log);
        let rate = log.images_wanted();
        due += bytes * rate.unwrap_or(4);
        while rate != Some(0) && due > 0 {
            let bucket = log.next_image();
            let image = world.store.bucket_image(bucket);
            due = due.saturating_sub(log.append_image(bucket, &image).unwrap());
            world.note(&log);
        }
        if let Some(job) = log.to_sync() {
            job.run().unwrap();
            log.synced(job.position).unwrap();
        }
        if step > 500 {
            most = most.max(log.bytes() * 10 / log.live_bytes().max(SMALL.log_bytes_min / 2));
        }
    }
    world.promised = log.position();
    assert!(most <= 30, "the log grew to {most} tenths of the data");
    world.check(directory.path());
}

#[test]
fn a_young_log_brings_images_without_holding_anybody_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(11);
    let mut log = open_small(directory.path(), &FaultyFiles::default());
    while log.images_wanted() == Some(0) {
        log.append_records(&world.step()).unwrap();
    }
    assert!(log.bytes() >= SMALL.log_bytes_min / 3);
    assert_eq!((log.images_wanted(), log.is_long()), (Some(1), false), "nothing is known of the data yet");
    while log.images_wanted().is_some() {
        log.append_records(&world.step()).unwrap();
    }
    assert!(!log.is_long() && log.bytes() > SMALL.log_bytes_min * 25 / 17);
    while !log.is_long() {
        log.append_records(&world.step()).unwrap();
    }
    // Images alone make it no shorter; on disk they do.
    for bucket in 0..BUCKETS {
        log.append_image(bucket, &world.store.bucket_image(bucket)).unwrap();
    }
    assert!(log.is_long());
    let job = log.to_sync().unwrap();
    job.run().unwrap();
    log.synced(job.position).unwrap();
    assert!(!log.is_long() && log.unsynced_bytes() == 0);
}

#[test]
fn whatever_fails_nothing_promised_is_lost_and_writing_goes_on_behind_a_gap() {
    let mut gaps = 0;
    for seed in 0..25 {
        let fault = Fault::ALL[usize::try_from(seed % 5).unwrap()];
        let directory = tempfile::tempdir().unwrap();
        let mut world = World::new(seed);
        let nth = 50 + world.random.below(1_000);
        let mut log = open_small(directory.path(), &FaultyFiles::default());
        drop(log);
        let files = FaultyFiles::failing(fault, When::Every(if fault == Fault::Create { 5 } else { nth }));
        log = open_small(directory.path(), &files);
        for step in 0..world.random.below(500) {
            if world.drive(&mut log).is_err() {
                gaps += 1;
                world.check(directory.path());
                while log.begin_gap().is_err() {}
            }
            if step % 200 == 0 {
                world.check(directory.path());
            }
        }
        if seed % 3 == 0 {
            files.cut_power(|bound| world.random.below(bound + 1));
        }
        drop(log);
        world.check(directory.path());
    }
    assert!(gaps > 20, "{gaps}");
}

#[test]
fn damage_to_what_was_synced_is_an_error_that_names_the_file_and_never_a_smaller_state() {
    let mut refused = 0;
    for seed in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let mut world = World::new(seed);
        let mut log = open_small(directory.path(), &FaultyFiles::default());
        for _ in 0..300 {
            world.drive(&mut log).unwrap();
        }
        let job = log.to_sync();
        job.iter().for_each(|job| job.run().unwrap());
        let stopped = log.position();
        drop(log);
        let segments = scan::list(directory.path()).unwrap();
        let at = usize::try_from(world.random.below(segments.len() as u64)).unwrap();
        let (_, path, bytes) = &segments[at];
        let mut content = std::fs::read(path).unwrap();
        let byte = usize::try_from(world.random.below(*bytes)).unwrap();
        content[byte] ^= 1 << world.random.below(8);
        std::fs::write(path, content).unwrap();
        let error = scan(directory.path(), Some(stopped), false, &Progress::default()).unwrap_err().to_string();
        assert!(error.contains("log-"), "{error}");
        refused += 1;
        let repaired = scan(directory.path(), Some(stopped), true, &Progress::default()).unwrap();
        assert!(repaired.repaired.is_some());
        let mut store = load::load(&repaired, Limits::default(), &Progress::default()).unwrap();
        assert!(store.fingerprints_are_exact());
    }
    assert_eq!(refused, 20);
}

/// A replica as the thread sees a node.
#[derive(Clone, Debug)]
struct Shelf(Arc<Mutex<Replica>>);

const NOW: Now = Now { mono: 1, wall: 1 };

impl Shelf {
    fn new(store: Store, id: ReplicaId) -> Self {
        Self::with(ReplicaConfig::default(), store, id)
    }

    fn with(config: ReplicaConfig, store: Store, id: ReplicaId) -> Self {
        let mut replica = Replica::resume(config, store, id, NOW);
        replica.keep_records();
        Self(Arc::new(Mutex::new(replica)))
    }

    fn set(&self, key: &str, value: &str) -> u64 {
        let mut replica = self.0.lock().unwrap();
        replica.write(NOW, 0, |writer| writer.set(key.as_bytes(), value.as_bytes())).unwrap();
        replica.flush(NOW);
        replica.position()
    }

    fn get(&self, key: &str) -> Option<String> {
        let replica = self.0.lock().unwrap();
        let text = replica.store().at(0).view(key.as_bytes())?.text()?.into_owned();
        Some(String::from_utf8(text).unwrap())
    }
}

impl Source for Shelf {
    fn take(&mut self) -> Taken {
        Taken::from(&mut self.0.lock().unwrap())
    }

    fn image(&mut self, bucket: usize) -> Vec<u8> {
        self.0.lock().unwrap().bucket_image(bucket)
    }

    fn kept(&mut self, _: &VersionVector) {}
}

pub(super) fn options(directory: &Path) -> Options {
    Options {
        directory: directory.to_owned(),
        cluster: "test".into(),
        limits: Limits::default(),
        new_id: false,
        repair: false,
    }
}

fn start(
    directory: &Path,
    files: Arc<dyn Files>,
    policy: AppendFsync,
) -> Result<(Shelf, Storage, Report), StorageError> {
    let opened = open(options(directory), files, &Progress::default())?;
    let report = opened.report.clone();
    let (store, ready) = opened.begin(ReplicaId::new(salt_of_test()))?;
    let id = ready.id();
    let shelf = Shelf::new(store, id);
    let storage = ready.start(shelf.clone(), policy)?;
    Ok((shelf, storage, report))
}

fn salt_of_test() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(100);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Waits until own events up to `seq` are on disk, or writing fails.
fn wait_for(storage: &Storage, seq: u64) -> Durable {
    wait_until(storage, |durable| durable.seq >= seq || durable.failing)
}

fn wait_until(storage: &Storage, condition: impl FnMut(&Durable) -> bool) -> Durable {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut durable = storage.durable();
        storage.waker().wake();
        let wait = durable.wait_for(condition);
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the disk answers").unwrap().clone()
    })
}

#[test]
fn an_id_is_continued_after_a_clean_stop_and_after_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let system = || Arc::new(SystemFiles);
    let (shelf, storage, report) = start(directory.path(), system(), AppendFsync::EverySec).unwrap();
    assert_eq!((report.resume, report.new_id_because), (None, None));
    let first = shelf.0.lock().unwrap().id();
    shelf.set("a", "1");
    storage.close().unwrap();
    drop(storage);

    let (shelf, storage, report) = start(directory.path(), system(), AppendFsync::Always).unwrap();
    assert_eq!((report.resume, shelf.get("a")), (Some(first), Some("1".into())));
    let seq = shelf.set("a", "2");
    assert_eq!(wait_for(&storage, seq).seq, seq);
    // Killed: what was promised is there, the id is not used again.
    let saved = tempfile::tempdir().unwrap();
    copy_directory(directory.path(), saved.path());
    storage.close().unwrap();
    drop(storage);
    std::fs::remove_file(saved.path().join("lock")).unwrap();
    copy_directory(saved.path(), directory.path());
    let (shelf, storage, report) = start(directory.path(), system(), AppendFsync::No).unwrap();
    assert_eq!((report.resume, shelf.get("a")), (None, Some("2".into())));
    assert_eq!(report.new_id_because, Some("it was not stopped cleanly"));
    storage.close().unwrap();
    drop(storage);
    let mut asked = options(directory.path());
    asked.new_id = true;
    assert_eq!(open(asked, system(), &Progress::default()).unwrap().report.resume, None);
}

#[test]
fn a_copy_is_refused_with_what_was_seen_and_taken_under_a_new_id_when_asked_and_a_moved_directory_is_no_copy() {
    let directory = tempfile::tempdir().unwrap();
    let (shelf, storage, _) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::Always).unwrap();
    let id = shelf.0.lock().unwrap().id();
    let seq = shelf.set("a", "1");
    assert_eq!(wait_for(&storage, seq).seq, seq);
    let (of_running, of_stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy_directory(directory.path(), of_running.path());
    storage.close().unwrap();
    drop(storage);
    copy_directory(directory.path(), of_stopped.path());
    let before = directory.path().display().to_string();
    for copy in [&of_running, &of_stopped] {
        for _ in 0..2 {
            let error = start(copy.path(), Arc::new(SystemFiles), AppendFsync::No).map(drop).unwrap_err();
            assert!(matches!(error, StorageError::Copied { .. }));
            let text = error.to_string();
            assert!(text.contains(&copy.path().display().to_string()) && text.contains(&before), "{text}");
            assert!(text.contains("--new-id"), "{text}");
        }
        let mut asked = options(copy.path());
        asked.new_id = true;
        let opened = open(asked, Arc::new(SystemFiles), &Progress::default()).unwrap();
        assert_eq!((opened.report.resume, opened.store.len()), (None, 1));
        let (store, ready) = opened.begin(B).unwrap();
        let storage = ready.start(Shelf::new(store, B), AppendFsync::No).unwrap();
        storage.close().unwrap();
        drop(storage);
        let (_, _, report) = start(copy.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
        assert_eq!(report.resume, Some(B), "from then on it is at home");
    }
    let moved = of_stopped.path().join("moved");
    std::fs::rename(directory.path(), &moved).unwrap();
    let (_, _, report) = start(&moved, Arc::new(SystemFiles), AppendFsync::No).unwrap();
    assert_eq!(report.resume, Some(id));
    std::fs::create_dir(directory.path()).unwrap(); // for whoever removes it
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_disk_that_fails_is_told_of_keeps_no_promise_and_is_complete_again_once_it_works() {
    for fault in [Fault::Write, Fault::Torn, Fault::Sync] {
        let directory = tempfile::tempdir().unwrap();
        let files = FaultyFiles::failing(fault, When::Every(1_000_000));
        let (shelf, storage, _) = start(directory.path(), Arc::new(files.clone()), AppendFsync::Always).unwrap();
        let seq = shelf.set("kept", "1");
        assert_eq!(wait_for(&storage, seq).seq, seq);
        files.set_broken(true);
        let seq = shelf.set("while broken", "1");
        let durable = wait_for(&storage, seq);
        assert!(durable.failing && durable.seq < seq, "{fault:?}");
        let failing = storage.status().failing.unwrap();
        assert!(failing.contains("log-") || failing.contains("sync"), "{failing}");
        assert!(storage.is_failing());
        files.set_broken(false);
        let after = shelf.set("after", "1");
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while storage.is_failing() || storage.durable().borrow().seq < after {
            assert!(std::time::Instant::now() < deadline, "{:?}", storage.status());
            thread::yield_now();
        }
        assert_eq!(storage.status().failing, None);
        assert!(files.failures() > 0);
        storage.close().unwrap();
        drop(storage);
        let (shelf, _, report) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
        assert!(report.resume.is_some());
        for key in ["kept", "while broken", "after"] {
            assert_eq!(shelf.get(key).as_deref(), Some("1"), "{key}");
        }
    }
}

#[test]
fn a_directory_that_cannot_be_taken_over_for_want_of_space_is_loaded_under_an_id_it_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let (shelf, storage, _) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::Always).unwrap();
    let old = shelf.0.lock().unwrap().id();
    let seq = shelf.set("kept", "1");
    wait_for(&storage, seq);
    storage.close().unwrap();
    drop(storage);

    let files = FaultyFiles::default();
    files.set_full(true);
    let (shelf, storage, report) = start(directory.path(), Arc::new(files.clone()), AppendFsync::Always).unwrap();
    assert_eq!((report.resume, shelf.get("kept").as_deref()), (Some(old), Some("1")));
    let fresh = shelf.0.lock().unwrap().id();
    assert_ne!(fresh, old, "the note of the clean stop is still there, so another start may go on under this id");
    assert!(storage.is_failing());
    assert!(storage.status().failing.unwrap().contains("identity.new"));
    // A second process that finds it as it is may do just that.
    assert_eq!(Identity::read(directory.path()).unwrap().unwrap().id, old);

    let seq = shelf.set("in memory", "2");
    assert!(wait_for(&storage, seq).failing);
    files.set_full(false);
    storage.waker().wake();
    wait_until(&storage, |durable| !durable.failing && durable.seq >= seq);
    assert_eq!(Identity::read(directory.path()).unwrap().unwrap().id, fresh);
    storage.close().unwrap();
    drop(storage);
    let (shelf, _, report) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    assert_eq!(report.resume, Some(fresh));
    for (key, value) in [("kept", "1"), ("in memory", "2")] {
        assert_eq!(shelf.get(key).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn a_directory_that_was_never_used_needs_space_to_begin() {
    let directory = tempfile::tempdir().unwrap();
    let files = FaultyFiles::default();
    files.set_full(true);
    let error = start(directory.path(), Arc::new(files), AppendFsync::No).map(drop).unwrap_err();
    assert!(error.is_want_of_space(), "{error}");
}

#[test]
fn a_disk_that_falls_behind_is_told_of_and_everything_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(options(directory.path()), Arc::new(SystemFiles), &Progress::default()).unwrap();
    let (store, ready) = opened.begin(A).unwrap();
    let mut config = ReplicaConfig::default();
    config.records_bytes_max = 2_000;
    let shelf = Shelf::with(config, store, A);
    let storage = ready.start(shelf.clone(), AppendFsync::EverySec).unwrap();
    {
        let mut replica = shelf.0.lock().unwrap();
        for n in 0..200 {
            replica.write(NOW, 0, |writer| writer.set(format!("key{n}").as_bytes(), &[b'v'; 100])).unwrap();
            replica.flush(NOW);
        }
    }
    wait_until(&storage, |durable| durable.failing);
    assert!(storage.status().failing.unwrap().contains("did not keep up"));
    wait_until(&storage, |durable| !durable.failing && durable.seq == 200);
    storage.close().unwrap();
    drop(storage);
    let (shelf, _, report) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    assert_eq!((report.resume, shelf.0.lock().unwrap().store().len()), (Some(A), 200));
}

/// A shelf that counts the bytes of images taken from it.
struct Counting(Shelf, Arc<std::sync::atomic::AtomicU64>);

impl Source for Counting {
    fn take(&mut self) -> Taken {
        self.0.take()
    }

    fn image(&mut self, bucket: usize) -> Vec<u8> {
        let image = self.0.image(bucket);
        self.1.fetch_add(image.len() as u64, Ordering::Relaxed);
        image
    }

    fn kept(&mut self, _: &VersionVector) {}
}

/// Its image alone makes the log too long, and until that is on disk nothing that is before it can go: whoever writes
/// images for as long as the log is too long fills the disk with them.
#[test]
fn a_collection_that_is_nearly_all_of_the_data_is_not_written_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(options(directory.path()), Arc::new(SystemFiles), &Progress::default()).unwrap();
    let (store, ready) = opened.begin(A).unwrap();
    let (shelf, images) = (Shelf::new(store, A), Arc::default());
    let storage = ready.start(Counting(shelf.clone(), Arc::clone(&images)), AppendFsync::EverySec).unwrap();
    let (fields, field_bytes) = (96, 1 << 20);
    for field in 0..fields {
        let position = {
            let mut replica = shelf.0.lock().unwrap();
            let name = format!("field {field}");
            let value = vec![b'v'; field_bytes];
            let class = Class::Hash;
            replica.write(NOW, 0, |writer| writer.insert(b"huge", class, name.as_bytes(), &value)).unwrap();
            replica.flush(NOW);
            replica.position()
        };
        if field % 16 == 15 {
            wait_for(&storage, position);
        }
    }
    storage.close().unwrap();
    let (images, records) = (images.load(Ordering::Relaxed), (fields * field_bytes) as u64);
    assert!(images <= 4 * records, "{images} bytes of images for {records} of records");
}

#[test]
fn what_is_moved_to_a_new_id_is_written_anew_and_nothing_is_left_of_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let (shelf, storage, _) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    shelf.set("certain", "1");
    storage.close().unwrap();
    drop(storage);
    let (shelf, storage, report) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::Always).unwrap();
    let old = report.resume.unwrap();
    let seq = shelf.set("moved", "1");
    assert_eq!(wait_for(&storage, seq).seq, 2);
    shelf.0.lock().unwrap().take_new_id(NOW, B);
    storage.waker().wake();
    wait_until(&storage, |durable| durable.failing);
    wait_until(&storage, |durable| !durable.failing && durable.seq == 1);
    storage.close().unwrap();
    drop(storage);
    let (shelf, _, report) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    assert_eq!(report.resume, Some(B));
    assert_eq!((shelf.get("certain"), shelf.get("moved")), (Some("1".into()), Some("1".into())));
    let versions: Vec<_> = shelf.0.lock().unwrap().store().version_vector().iter().collect();
    assert_eq!(versions.len(), 2);
    assert!(versions.contains(&(old, 1)) && versions.contains(&(B, 1)), "{versions:?}");
}

#[test]
fn a_stop_while_the_disk_fails_says_so_and_the_id_is_not_continued() {
    let directory = tempfile::tempdir().unwrap();
    let files = FaultyFiles::default();
    let (shelf, storage, _) = start(directory.path(), Arc::new(files.clone()), AppendFsync::EverySec).unwrap();
    shelf.set("a", "1");
    files.set_broken(true);
    shelf.set("b", "1");
    assert!(storage.close().is_err());
    drop(storage);
    let (_, _, report) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    assert_eq!(report.resume, None);
}

#[test]
fn a_backup_taken_while_writing_is_the_state_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let (shelf, storage, _) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::EverySec).unwrap();
    let mut backup = PathBuf::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for n in 0..2_000 {
        shelf.set("first", &n.to_string());
        shelf.set("second", &n.to_string());
        if n == 1_000 {
            backup = runtime.block_on(storage.backup()).unwrap();
        }
    }
    storage.close().unwrap();
    // A backup may be anywhere: it says that it is one.
    let elsewhere = tempfile::tempdir().unwrap();
    copy_directory(&backup, elsewhere.path());
    let (copy, _, report) = start(elsewhere.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    assert_eq!((report.resume, report.new_id_because), (None, Some("the directory is a backup")));
    assert_eq!((copy.get("first").as_deref(), copy.get("second").as_deref()), (Some("1000"), Some("1000")));
}

#[test]
fn a_copy_without_an_identity_is_no_backup_and_said_to_have_failed() {
    let directory = tempfile::tempdir().unwrap();
    let files = FaultyFiles::failing(Fault::Rename, When::Once(2)); // the first was its own identity
    let (_, storage, _) = start(directory.path(), Arc::new(files), AppendFsync::EverySec).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert!(!storage.status().save_failed);
    let error = runtime.block_on(storage.backup()).unwrap_err();
    assert!(error.contains("identity"), "{error}");
    assert!(storage.status().save_failed);
    runtime.block_on(storage.backup()).unwrap();
    assert!(!storage.status().save_failed);
    storage.close().unwrap();
}

#[test]
fn directories_that_cannot_be_used_are_refused_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let (_, storage, _) = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap();
    let error = start(directory.path(), Arc::new(SystemFiles), AppendFsync::No).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    storage.close().unwrap();
    drop(storage);
    let mut other = options(directory.path());
    other.cluster = "other".into();
    let error = open(other, Arc::new(SystemFiles), &Progress::default()).unwrap_err().to_string();
    assert!(error.contains("\"test\"") && error.contains("\"other\""), "{error}");
    let missing = directory.path().join("not/there");
    let error = open(options(&missing), Arc::new(SystemFiles), &Progress::default()).unwrap_err().to_string();
    assert!(error.contains("not/there"), "{error}");
    for (number, files) in [
        (1, FaultyFiles::failing(Fault::Create, When::Every(1))),
        (2, FaultyFiles::failing(Fault::Rename, When::Every(1))),
    ] {
        let error = start(directory.path(), Arc::new(files), AppendFsync::No).map(drop).unwrap_err().to_string();
        assert!(error.contains("identity"), "{number}: {error}");
    }
    assert!(
        open(options(directory.path()), Arc::new(SystemFiles), &Progress::default()).unwrap().report.resume.is_some()
    );
}
