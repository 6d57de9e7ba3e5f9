//! A store with a log, and the other half of what an engine would keep for it.

use std::collections::BTreeMap;

use cahoots_crdt::{Dot, ReplicaId, VersionVector};
use cahoots_gossip::Limits;
use cahoots_gossip::store::{Applied, Renamed, Store};

/// Recent events of one origin.
#[derive(Clone, Default, Debug)]
pub(super) struct Log {
    /// Events up to this one are cut.
    pub(super) floor: u64,
    pub(super) bodies: Vec<Vec<u8>>,
}

impl Log {
    pub(super) fn get(&self, seq: u64) -> Option<&Vec<u8>> {
        let at = seq.checked_sub(self.floor + 1)?;
        self.bodies.get(usize::try_from(at).ok()?)
    }

    fn last(&self) -> u64 {
        self.floor + self.bodies.len() as u64
    }
}

/// One incarnation of one replica.
pub(super) struct Replica {
    pub(super) store: Store,
    pub(super) logs: BTreeMap<ReplicaId, Log>,
    /// What it last told its watcher; see [`Replica::hear_changes`].
    pub(super) mirror: BTreeMap<Vec<u8>, crate::oracle::Shown>,
    /// It tells nobody anything, as its id is in doubt.
    pub(super) silent: bool,
}

impl Replica {
    pub(super) fn new(id: ReplicaId, window_bytes_max: usize) -> Self {
        let mut store = Store::new(id, Limits::default(), window_bytes_max);
        store.record_changes(true);
        Self { store, logs: BTreeMap::new(), mirror: BTreeMap::new(), silent: false }
    }

    pub(super) fn id(&self) -> ReplicaId {
        self.store.id()
    }

    pub(super) fn seal(&mut self) {
        self.store.seal();
        self.collect_sealed();
    }

    /// Moves what the store has sealed into the own log.
    pub(super) fn collect_sealed(&mut self) {
        while let Some(sealed) = self.store.poll_sealed() {
            let id = self.id();
            self.append(Dot::new(id, sealed.seq), sealed.body);
        }
    }

    fn append(&mut self, event: Dot, body: Vec<u8>) {
        let log = self.logs.entry(event.replica).or_default();
        if log.last() + 1 != event.seq {
            *log = Log { floor: event.seq - 1, bodies: Vec::new() };
        }
        log.bodies.push(body);
    }

    /// Offers an event; says whether it was applied.
    pub(super) fn offer(&mut self, event: Dot, body: &[u8]) -> bool {
        let known = self.store.version_vector().get(event.replica);
        match self.store.apply(event, body).expect("stores write what stores accept") {
            Applied::Now => {
                assert_eq!(event.seq, known + 1, "events are applied without holes");
                self.append(event, body.to_vec());
                true
            }
            Applied::Known | Applied::Waits(_) => false,
            refused => panic!("{event:?} was {refused:?} at {}", self.id()),
        }
    }

    /// Goes on under another id; what it had not told anybody becomes events of that.
    pub(super) fn rename(&mut self, id: ReplicaId) -> Renamed {
        let renamed = self.store.rename(id);
        let log = self.logs.entry(renamed.old).or_default();
        log.bodies.truncate(usize::try_from(renamed.kept.saturating_sub(log.floor)).expect("few events"));
        log.floor = log.floor.min(renamed.kept);
        self.collect_sealed();
        renamed
    }

    /// After a transfer: the logs of origins it took further do not join up any more.
    pub(super) fn cut_overtaken_logs(&mut self) {
        for (origin, seq) in self.store.version_vector().iter() {
            let log = self.logs.entry(origin).or_default();
            if log.last() < seq {
                *log = Log { floor: seq, bodies: Vec::new() };
            }
        }
    }

    /// What this replica says of itself: everything it has applied, and its own last seq, an open one counted.
    pub(super) fn ack(&self) -> (ReplicaId, VersionVector, u64) {
        (self.id(), self.store.version_vector().clone(), self.store.position())
    }

    /// The watcher reads again what it is told has changed, by writes or by time.
    pub(super) fn hear_changes(&mut self, wall: u64) {
        let lapsed = self.store.lapse(wall, usize::MAX, |_| u64::MAX);
        assert!(lapsed.removals.is_empty(), "their turn is never");
        self.collect_sealed();
        while let Some(change) = self.store.poll_change() {
            let cahoots_gossip::store::Change::Key { key, .. } = change else {
                unreachable!("so little cannot be too much")
            };
            let shown = crate::oracle::Shown::read(self.store.at(wall), &key);
            self.mirror.insert(key.into_vec(), shown);
        }
    }
}
