//! Every call that a disk can fail, failed in turn: one fixed workload, the n-th write, sync, rename or making of a file fails or
//! is torn, and after a restart everything promised is there and no dot was used twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cahoots_gossip::engine::{Now, Record, Replica, ReplicaConfig};
use cahoots_gossip::store::Store;
use cahoots_gossip::{Dot, ReplicaId, VersionVector};

use super::faults::{Fault, FaultyFiles, When};
use super::tests::options;
use super::writer::{Source, Taken};
use super::*;

const NOW: Now = Now { mono: 1, wall: 1 };
/// Writes of one life of the process.
const WRITES: u64 = 8;

/// Every own event that ever came to be, over all lives: what a dot names.
type Events = Arc<Mutex<BTreeMap<Dot, Vec<u8>>>>;

/// A replica whose events are noted as they are taken for the disk.
#[derive(Clone, Debug)]
struct Noted {
    replica: Arc<Mutex<Replica>>,
    events: Events,
}

impl Noted {
    fn set(&self, key: &str, value: &str) -> u64 {
        let mut replica = self.replica.lock().unwrap();
        replica.write(NOW, 0, |writer| writer.set(key.as_bytes(), value.as_bytes())).unwrap();
        replica.flush(NOW);
        replica.position()
    }

    fn get(&self, key: &str) -> Option<String> {
        let replica = self.replica.lock().unwrap();
        let text = replica.store().at(0).view(key.as_bytes())?.text()?.into_owned();
        Some(String::from_utf8(text).unwrap())
    }
}

impl Source for Noted {
    fn take(&mut self) -> Taken {
        let mut replica = self.replica.lock().unwrap();
        let (id, taken) = (replica.id(), Taken::from(&mut replica));
        let mut events = self.events.lock().unwrap();
        for record in &taken.records.list {
            if let Record::Event(dot, body) = record
                && dot.replica == id
            {
                let body = body.to_vec();
                assert_eq!(*events.entry(*dot).or_insert_with(|| body.clone()), body, "{dot:?} names two events");
            }
        }
        taken
    }

    fn image(&mut self, bucket: usize) -> Vec<u8> {
        self.replica.lock().unwrap().bucket_image(bucket)
    }

    fn kept(&mut self, _: &VersionVector) {}
}

/// One life of a process over the directory.
struct Life {
    noted: Noted,
    storage: Storage,
}

impl Life {
    fn begin(directory: &Path, files: &FaultyFiles, events: &Events, fresh: u64) -> Result<Self, StorageError> {
        let opened = open(options(directory), Arc::new(files.clone()), &Progress::default())?;
        let (store, ready): (Store, _) = opened.begin(ReplicaId::new(fresh))?;
        let id = ready.id();
        let mut replica = Replica::resume(ReplicaConfig::default(), store, id, NOW);
        replica.keep_records();
        replica.end_probation();
        let noted = Noted { replica: Arc::new(Mutex::new(replica)), events: Arc::clone(events) };
        let storage = ready.start(noted.clone(), AppendFsync::Always)?;
        Ok(Self { noted, storage })
    }

    /// Writes keys of this number of a life; those that are promised are noted. With `patient` it waits out a failure.
    fn write(&self, life: u64, promised: &mut BTreeMap<String, String>, patient: bool) {
        for n in 0..WRITES {
            let (key, value) = (format!("key{}", n % 5), format!("{life}:{n}"));
            let seq = self.noted.set(&key, &value);
            if self.is_kept(seq, patient) {
                promised.insert(key, value);
            } else {
                // It may be there and may not, and what it replaced neither.
                promised.remove(&key);
            }
        }
    }

    fn is_kept(&self, seq: u64, patient: bool) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut durable = self.storage.durable();
        self.storage.waker().wake();
        let wait =
            durable.wait_for(|durable| (durable.seq >= seq && !durable.failing) || (durable.failing && !patient));
        let kept = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), wait).await });
        kept.expect("the disk answers").unwrap().seq >= seq
    }
}

fn check(noted: &Noted, promised: &BTreeMap<String, String>, what: &str) {
    assert!(noted.replica.lock().unwrap().fingerprints_are_exact(), "{what}");
    for (key, value) in promised {
        assert_eq!(noted.get(key).as_ref(), Some(value), "{what}: {key} was promised");
    }
}

/// Runs the workload with the fault, ends it in one of three ways, starts again twice; whether the fault came.
fn run(fault: Fault, when: When, end: u64) -> bool {
    let what = format!("{fault:?} {when:?}, end {end}");
    let (directory, events) = (tempfile::tempdir().unwrap(), Events::default());
    let (mut promised, sound) = (BTreeMap::new(), FaultyFiles::default());
    // A first life without faults: there is something to lose.
    let life = Life::begin(directory.path(), &sound, &events, 1).unwrap();
    life.write(0, &mut promised, true);
    life.storage.close().unwrap();
    drop(life);

    let files = FaultyFiles::failing(fault, when);
    let mut closed = false;
    match Life::begin(directory.path(), &files, &events, 2) {
        Ok(life) => {
            life.write(1, &mut promised, !matches!(when, When::Every(_)));
            if end == 0 {
                closed = life.storage.close().is_ok();
            } else {
                // Killed: nothing gets to the disk any more.
                files.set_broken(true);
                assert!(life.storage.close().is_err(), "{what}");
            }
            drop(life);
            if end == 2 {
                let mut choice = 7;
                files.cut_power(|bound| {
                    choice = (choice * 31 + 11) % 1_009;
                    choice % (bound + 1)
                });
            }
        }
        Err(error) => assert!(error.to_string().contains(&*directory.path().to_string_lossy()), "{what}: {error}"),
    }

    let life = Life::begin(directory.path(), &sound, &events, 3).unwrap_or_else(|error| panic!("{what}: {error}"));
    check(&life.noted, &promised, &what);
    if closed {
        assert_ne!(life.noted.replica.lock().unwrap().id(), ReplicaId::new(3), "{what}: it was closed with everything");
    }
    life.write(2, &mut promised, true);
    life.storage.close().unwrap();
    drop(life);
    let life = Life::begin(directory.path(), &sound, &events, 4).unwrap();
    assert_ne!(life.noted.replica.lock().unwrap().id(), ReplicaId::new(4), "{what}: it was closed with everything");
    check(&life.noted, &promised, &what);
    assert_eq!(promised.len(), 5, "{what}");
    life.storage.close().unwrap();
    files.fired()
}

#[test]
fn whichever_call_fails_or_is_torn_everything_promised_is_there_after_a_restart_and_no_dot_is_used_twice() {
    for fault in Fault::ALL {
        let mut fired = 0;
        for n in 1.. {
            let once = run(fault, When::Once(n), n % 3);
            let again = run(fault, When::Every(n), (n + 1) % 3);
            fired += u64::from(once);
            // All calls that the workload makes have had their turn.
            if !once && !again {
                break;
            }
        }
        assert!(fired >= if fault == Fault::Rename { 1 } else { 2 }, "{fault:?}: {fired}");
    }
}

#[test]
fn a_second_failure_while_everything_is_written_anew_loses_nothing_either() {
    for fault in [Fault::Write, Fault::Torn] {
        // The gap's header, then an image of each bucket, then what comes after.
        for later in [1, 2, 3, 500, 1_024, 1_025, 1_026, 1_030] {
            assert!(run(fault, When::Twice(4, 4 + later), later % 3));
        }
    }
    for later in [1, 2, 3, 4] {
        assert!(run(Fault::Sync, When::Twice(5, 5 + later), later % 3));
    }
}
