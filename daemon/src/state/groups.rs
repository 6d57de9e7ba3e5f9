//! What this daemon remembers of the consumer groups whose entries it hands out: what need not be looked through again, and
//! since when it has known of entries. Nothing of it is told to others, and all of it may be forgotten: then entries are
//! looked through once more, and those that are another daemon's to hand out are left to it for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use cahoots_gossip::ReplicaId;
use cahoots_gossip::store::{GroupProgress, Stream, StreamId};

/// Groups that are remembered. With more, all are forgotten.
const GROUPS_MAX: usize = 1 << 14;
/// Milliseconds between two times at which what is known is noted down.
const SAMPLE_MS: u64 = 100;
/// Samples of one group: as far back as anybody asks.
const SAMPLES_MAX: usize = 64;

/// What is remembered of all groups, by the keys of their streams and their names.
#[derive(Debug, Default)]
pub struct Groups(Mutex<HashMap<Name, HashMap<Name, GroupMemory>>>);

/// Of a key or of a group.
type Name = Box<[u8]>;

/// What is remembered of one group.
#[derive(Debug, Default)]
pub struct GroupMemory {
    /// Up to where nothing is new.
    pub progress: GroupProgress,
    /// What was known when: of each replica the highest id that it wrote.
    samples: VecDeque<(u64, Vec<(ReplicaId, StreamId)>)>,
}

impl Groups {
    /// Works on what is remembered of a group.
    pub fn with<R>(&self, key: &[u8], group: &[u8], work: impl FnOnce(&mut GroupMemory) -> R) -> R {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = keys.get_mut(key).and_then(|groups| groups.get_mut(group)) {
            return work(memory);
        }
        if keys.values().map(HashMap::len).sum::<usize>() >= GROUPS_MAX {
            keys.clear();
        }
        work(keys.entry(key.into()).or_default().entry(group.into()).or_default())
    }
}

impl GroupMemory {
    /// Notes what is known at this time, in milliseconds since 1970.
    pub fn sample(&mut self, now: u64, stream: &Stream<'_>) {
        match self.samples.back() {
            Some((at, _)) if now < at + SAMPLE_MS => return,
            Some((_, known)) if *known == stream.writers() => return,
            _ => {}
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now, stream.writers()));
    }

    /// Whether an entry was known at this time already, and for how long nobody cares.
    #[must_use]
    pub fn knew(&self, at: u64, origin: ReplicaId, id: StreamId) -> bool {
        let then = self.samples.iter().rev().find(|(sampled, _)| *sampled <= at);
        let upto = then.and_then(|(_, known)| known.iter().find(|(replica, _)| *replica == origin));
        upto.is_some_and(|(_, upto)| id <= *upto)
    }
}
