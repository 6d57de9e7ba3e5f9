//! Where a replica's data could be kept, on the pattern in which it is written.
//!
//! `storage [appends|restart|space [MB]]`, all three without an argument. The pattern: batches of events, one for each
//! flush window, appended and never changed; images of 1,024 buckets, each replaced now and then as a whole; and at a
//! restart everything read once. Candidates: `fjall` (a tree of sorted files with a journal), `redb` (a copy-on-write
//! B-tree) and the log of `cahoots::storage` (segments of frames).

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cahoots::storage::{self, Log, Progress, Start, SystemFiles};
use cahoots_gossip::engine::Record;
use cahoots_gossip::store::Store;
use cahoots_gossip::{Dot, Limits, ReplicaId};

const BUCKETS: usize = 1024;

/// Somewhere to keep records and images.
trait Disk {
    fn name(&self) -> &'static str;
    /// Appends the records of one flush window.
    fn append(&mut self, records: VecDeque<Record>);
    /// Everything so far is on disk when it returns.
    fn sync(&mut self);
    /// Replaces the image of a bucket.
    fn image(&mut self, bucket: usize, image: &[u8]);
    /// No record before the oldest image is needed.
    fn trim(&mut self);
    /// Reads everything.
    fn load(directory: &Path, read: &mut dyn FnMut(&[u8]))
    where
        Self: Sized;
}

struct Segments {
    log: Log,
}

impl Segments {
    fn open(directory: &Path) -> Self {
        Self { log: Log::open(directory, Arc::new(SystemFiles), Start::default()).unwrap() }
    }
}

impl Disk for Segments {
    fn name(&self) -> &'static str {
        "segments"
    }

    fn append(&mut self, records: VecDeque<Record>) {
        self.log.append_records(&records).unwrap();
    }

    fn sync(&mut self) {
        if let Some(job) = self.log.to_sync() {
            job.run().unwrap();
            self.log.synced(job.position).unwrap();
        }
    }

    fn image(&mut self, bucket: usize, image: &[u8]) {
        self.log.append_image(bucket, image).unwrap();
    }

    fn trim(&mut self) {}

    fn load(directory: &Path, read: &mut dyn FnMut(&[u8])) {
        let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|it| it.unwrap().path()).collect();
        names.sort();
        names.iter().for_each(|path| read(&std::fs::read(path).unwrap()));
    }
}

/// Records as bytes, for those who know only bytes.
fn bytes_of(records: &VecDeque<Record>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        if let Record::Event(dot, body) = record {
            bytes.extend_from_slice(&dot.seq.to_le_bytes());
            bytes.extend_from_slice(body);
        }
    }
    bytes
}

struct Fjall {
    db: fjall::Database,
    journal: fjall::Keyspace,
    images: fjall::Keyspace,
    next: u64,
    /// Where each image was written.
    at: Vec<u64>,
    trimmed: u64,
}

impl Fjall {
    fn open(directory: &Path) -> Self {
        let db = fjall::Database::builder(directory).max_journaling_size(64 << 20).open().unwrap();
        let large = || {
            let separate = fjall::KvSeparationOptions::default();
            fjall::KeyspaceCreateOptions::default().with_kv_separation(Some(separate)).max_memtable_size(16 << 20)
        };
        let journal = db.keyspace("journal", || fjall::KeyspaceCreateOptions::default().max_memtable_size(16 << 20));
        let images = db.keyspace("images", large);
        Self { journal: journal.unwrap(), images: images.unwrap(), db, next: 0, at: vec![0; BUCKETS], trimmed: 0 }
    }
}

impl Disk for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn append(&mut self, records: VecDeque<Record>) {
        self.next += 1;
        self.journal.insert(self.next.to_be_bytes(), bytes_of(&records)).unwrap();
        self.db.persist(fjall::PersistMode::Buffer).unwrap();
    }

    fn sync(&mut self) {
        self.db.persist(fjall::PersistMode::SyncData).unwrap();
    }

    fn image(&mut self, bucket: usize, image: &[u8]) {
        self.images.insert(u16::try_from(bucket).unwrap().to_be_bytes(), image).unwrap();
        self.at[bucket] = self.next;
    }

    fn trim(&mut self) {
        let needed = *self.at.iter().min().unwrap();
        while self.trimmed < needed {
            self.trimmed += 1;
            self.journal.remove(self.trimmed.to_be_bytes()).unwrap();
        }
    }

    fn load(directory: &Path, read: &mut dyn FnMut(&[u8])) {
        let it = Self::open(directory);
        for guard in it.images.iter().chain(it.journal.iter()) {
            read(&guard.value().unwrap());
        }
    }
}

const JOURNAL: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("journal");
const IMAGES: redb::TableDefinition<'_, u16, &[u8]> = redb::TableDefinition::new("images");

struct Redb {
    db: redb::Database,
    next: u64,
    at: Vec<u64>,
    trimmed: u64,
    /// Whether each commit is on disk.
    durable: bool,
}

impl Redb {
    fn open(directory: &Path, durable: bool) -> Self {
        let db = redb::Database::create(directory.join("redb")).unwrap();
        Self { db, next: 0, at: vec![0; BUCKETS], trimmed: 0, durable }
    }

    fn commit(&self, durable: bool, work: impl FnOnce(&redb::WriteTransaction)) {
        let mut transaction = self.db.begin_write().unwrap();
        let durability = if durable { redb::Durability::Immediate } else { redb::Durability::None };
        transaction.set_durability(durability).unwrap();
        work(&transaction);
        transaction.commit().unwrap();
    }
}

impl Disk for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn append(&mut self, records: VecDeque<Record>) {
        self.next += 1;
        let next = self.next;
        self.commit(self.durable, |transaction| {
            transaction.open_table(JOURNAL).unwrap().insert(next, &*bytes_of(&records)).unwrap();
        });
    }

    fn sync(&mut self) {
        self.commit(true, |_| ());
    }

    fn image(&mut self, bucket: usize, image: &[u8]) {
        self.commit(false, |transaction| {
            transaction.open_table(IMAGES).unwrap().insert(u16::try_from(bucket).unwrap(), image).unwrap();
        });
        self.at[bucket] = self.next;
    }

    fn trim(&mut self) {
        let needed = *self.at.iter().min().unwrap();
        if self.trimmed < needed {
            self.commit(false, |transaction| {
                transaction.open_table(JOURNAL).unwrap().retain_in(..=needed, |_, _| false).unwrap();
            });
            self.trimmed = needed;
        }
    }

    fn load(directory: &Path, read: &mut dyn FnMut(&[u8])) {
        use redb::{ReadableDatabase, ReadableTable};
        let db = redb::Database::open(directory.join("redb")).unwrap();
        let transaction = db.begin_read().unwrap();
        if let Ok(images) = transaction.open_table(IMAGES) {
            images.iter().unwrap().for_each(|it| read(it.unwrap().1.value()));
        }
        if let Ok(journal) = transaction.open_table(JOURNAL) {
            journal.iter().unwrap().for_each(|it| read(it.unwrap().1.value()));
        }
    }
}

fn records(first: u64, count: u64, body: &Arc<[u8]>) -> VecDeque<Record> {
    (0..count).map(|n| Record::Event(Dot::new(ReplicaId::new(7), first + n), Arc::clone(body))).collect()
}

fn directory() -> tempfile::TempDir {
    // The disk under test is the one builds go to, not a memory file system.
    tempfile::tempdir_in(std::env::var_os("CAHOOTS_BENCH_DIR").unwrap_or_else(|| "target".into())).unwrap()
}

fn every_candidate(durable: bool, mut run: impl FnMut(&mut dyn Disk, &Path)) {
    for number in 0..3 {
        let directory = directory();
        let mut disk: Box<dyn Disk> = match number {
            0 => Box::new(Segments::open(directory.path())),
            1 => Box::new(Fjall::open(directory.path())),
            _ => Box::new(Redb::open(directory.path(), durable)),
        };
        run(&mut *disk, directory.path());
    }
}

/// Flush windows of 1 kB a second, under the three policies.
fn appends() {
    println!("\nappends of one flush window of 1 kB (20 events), each handed to the system before the next\n");
    println!("| policy | candidate | windows/s | p50 | p99 | p99.9 | longest |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let body: Arc<[u8]> = vec![0x5A; 40].into();
    for policy in ["no", "everysec", "always"] {
        every_candidate(policy == "always", |disk, _| {
            let (begun, mut synced, mut times, mut first) = (Instant::now(), Instant::now(), Vec::new(), 1);
            while begun.elapsed() < Duration::from_secs(4) {
                let start = Instant::now();
                disk.append(records(first, 20, &body));
                first += 20;
                if policy == "always" || (policy == "everysec" && synced.elapsed() >= Duration::from_secs(1)) {
                    disk.sync();
                    synced = Instant::now();
                }
                times.push(start.elapsed());
            }
            let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
            times.sort();
            let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)];
            println!(
                "| {policy} | {} | {rate:.0} | {:.1?} | {:.1?} | {:.1?} | {:.1?} |",
                disk.name(),
                at(500),
                at(990),
                at(999),
                at(1000)
            );
        });
    }
}

/// A million keys of 40 bytes: what it takes to read them, and to have the store again.
fn restart() {
    let mut store = Store::new(ReplicaId::new(7), Limits::default(), 1100);
    let mut journal = Vec::new();
    for n in 0..1_000_000u64 {
        store.write(1, 60, |writer| writer.set(format!("key:{n:08}").as_bytes(), &[b'v'; 28])).unwrap();
        if n % 20 == 19 {
            store.seal();
            while let Some(sealed) = store.poll_sealed() {
                journal.push(Record::Event(Dot::new(ReplicaId::new(7), sealed.seq), sealed.body.into()));
            }
        }
    }
    let images: Vec<Vec<u8>> = (0..BUCKETS).map(|bucket| store.bucket_image(bucket)).collect();
    let bytes: usize = images.iter().map(Vec::len).sum();
    println!("\nrestart with 1,000,000 keys ({} MB as images)\n", bytes >> 20);
    println!("| candidate | on disk | read | with the store made of it | processor |");
    println!("| --- | --- | --- | --- | --- |");
    for number in 0..3 {
        let directory = directory();
        let mut disk: Box<dyn Disk> = match number {
            0 => Box::new(Segments::open(directory.path())),
            1 => Box::new(Fjall::open(directory.path())),
            _ => Box::new(Redb::open(directory.path(), false)),
        };
        images.iter().enumerate().for_each(|(bucket, image)| disk.image(bucket, image));
        disk.sync();
        let name = disk.name();
        drop(disk);
        let read = Instant::now();
        let mut total = 0;
        let mut count = |bytes: &[u8]| total += bytes.iter().step_by(64).map(|it| u64::from(*it)).sum::<u64>();
        match number {
            0 => Segments::load(directory.path(), &mut count),
            1 => Fjall::load(directory.path(), &mut count),
            _ => Redb::load(directory.path(), &mut count),
        }
        let read = read.elapsed();
        let (made, cpu) = (Instant::now(), processor_time());
        let mut loaded = Store::to_load(Limits::default());
        let mut join = |bytes: &[u8]| {
            loaded.join_transfer(bytes).unwrap();
        };
        match number {
            0 => loaded = open(directory.path()),
            1 => Fjall::load(directory.path(), &mut join),
            _ => Redb::load(directory.path(), &mut join),
        }
        let (made, cpu) = (made.elapsed(), processor_time() - cpu);
        assert_eq!(loaded.len(), 1_000_000);
        println!("| {name} | {} MB | {read:.2?} | {made:.2?} | {cpu:.2?} |", disk_bytes(directory.path()) >> 20);
    }
    let directory = directory();
    let mut segments = Segments::open(directory.path());
    let bytes: usize = journal.iter().map(Record::cost).sum();
    for chunk in journal.chunks(50) {
        segments.append(chunk.iter().cloned().collect());
    }
    segments.sync();
    drop(segments);
    let (made, cpu) = (Instant::now(), processor_time());
    assert_eq!(open(directory.path()).len(), 1_000_000);
    let (made, cpu) = (made.elapsed(), processor_time() - cpu);
    println!("| segments, events only | {} MB | | {made:.2?} | {cpu:.2?} |", bytes >> 20);
}

fn open(directory: &Path) -> Store {
    let options = storage::Options {
        directory: directory.to_owned(),
        cluster: "bench".into(),
        limits: Limits::default(),
        new_id: false,
        repair: false,
    };
    storage::open(options, Arc::new(SystemFiles), &Progress::default()).unwrap().store
}

/// Everything overwritten ten times: space at most and in the end, and how long it takes.
fn space(megabytes: usize) {
    println!("\n{megabytes} MB overwritten in place 10 times, synced every second\n");
    println!("| candidate | on disk at most | in the end | times the data | time |");
    println!("| --- | --- | --- | --- | --- |");
    let body: Arc<[u8]> = random(16 << 10).into();
    let image = random((megabytes << 20) / BUCKETS);
    let windows = (megabytes << 20) / body.len() / 4 * 10;
    every_candidate(false, |disk, directory| {
        let (begun, mut synced, mut due, mut bucket, mut most) = (Instant::now(), Instant::now(), 0, 0, 0);
        for bucket in 0..BUCKETS {
            disk.image(bucket, &image);
        }
        for window in 0..windows {
            disk.append(records(window as u64 * 4 + 1, 4, &body));
            due += 4 * body.len();
            while due >= image.len() {
                disk.image(bucket, &image);
                bucket = (bucket + 1) % BUCKETS;
                due -= image.len();
            }
            if synced.elapsed() >= Duration::from_millis(500) {
                disk.sync();
                disk.trim();
                synced = Instant::now();
                most = most.max(disk_bytes(directory));
            }
        }
        disk.sync();
        disk.trim();
        disk.sync();
        let end = disk_bytes(directory);
        most = most.max(end);
        println!(
            "| {} | {} MB | {} MB | {:.1} | {:.1?} |",
            disk.name(),
            most >> 20,
            end >> 20,
            most as f64 / (megabytes << 20) as f64,
            begun.elapsed()
        );
    });
}

/// What this process has used of the processors: on a machine that others use too, it says more than a clock.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What no compression makes smaller.
fn random(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// What the file system has given, holes not counted.
fn disk_bytes(directory: &Path) -> u64 {
    let output = Command::new("du").arg("-sk").arg(directory).output().expect("du runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next();
    let is = |name: &str| what.as_deref().is_none_or(|what| what == name);
    if is("appends") {
        appends();
    }
    if is("restart") {
        restart();
    }
    if is("space") {
        space(args.next().and_then(|it| it.parse().ok()).unwrap_or(100));
    }
}
