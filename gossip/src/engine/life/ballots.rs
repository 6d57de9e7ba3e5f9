//! What ballots amount to: votes and presence, counted over the replicas that are alive.
//!
//! The store holds ballots, membership says whose count. So a tally changes with membership and without a write; the
//! keys concerned are then reported as changed.
//!
//! Ballots of replicas that are gone for good are never counted and would stay for ever. Any replica may discard them,
//! an ordinary removal of what was observed; to spare the others the work, the live replica of the lowest id that knows
//! begins, and the next ones follow only if nothing happens. Whoever was not told that a replica is gone (it joined later)
//! waits for a day before it takes an owner it has never met for gone: behind a partition it may be alive.

use std::collections::{BTreeMap, BTreeSet};

use cahoots_crdt::ReplicaId;

use crate::engine::{Now, Replica};
use crate::store::{Class, View, present};

/// How long a replica leaves it to the one before it, in order of ids, to discard ballots; in microseconds.
const TURN_US: u64 = 10_000_000;
/// After so long an owner that was never a peer here counts as gone, in microseconds.
const UNKNOWN_US: u64 = 24 * 3600 * 1_000_000;
/// Replicas remembered as gone.
const GONE_MAX: usize = 1024;
/// Ballots discarded at a time: one event of moderate size.
const DISCARDS_MAX: usize = 256;

/// What live replicas say at one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// For each choice, who has cast it.
    pub choices: BTreeMap<Box<[u8]>, BTreeSet<ReplicaId>>,
    /// Who is alive and has cast nothing.
    pub silent: BTreeSet<ReplicaId>,
}

impl Tally {
    /// How many have cast this choice.
    #[must_use]
    pub fn votes_for(&self, choice: impl AsRef<[u8]>) -> usize {
        self.choices.get(choice.as_ref()).map_or(0, BTreeSet::len)
    }

    /// How many are alive.
    #[must_use]
    pub fn electorate(&self) -> usize {
        self.silent.len() + self.choices.values().map(BTreeSet::len).sum::<usize>()
    }
}

/// A ballot that was discarded, its owner being gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// The key.
    pub key: Box<[u8]>,
    /// [`Class::Vote`] or [`Class::Presence`].
    pub class: Class,
    /// Whose it was.
    pub owner: ReplicaId,
}

/// Whose ballots may be discarded.
#[derive(Debug, Default)]
pub(in crate::engine) struct Departed {
    /// Gone for good, by membership's word, with the time when that was first acted on.
    gone: BTreeMap<ReplicaId, Option<u64>>,
    /// Owners of ballots that were never met, with the time when they were first looked at.
    unknown: BTreeMap<ReplicaId, u64>,
}

impl Departed {
    pub(in crate::engine) fn note_gone(&mut self, id: ReplicaId) {
        if self.gone.len() == GONE_MAX {
            self.gone.pop_first();
        }
        self.gone.insert(id, None);
    }

    pub(in crate::engine) fn note_met(&mut self, id: ReplicaId) {
        self.gone.remove(&id);
    }

    /// Since when `owner` may be taken for gone, if that is not in the future.
    fn since(&mut self, now: u64, owner: ReplicaId) -> Option<u64> {
        match self.gone.get_mut(&owner) {
            Some(since) => Some(*since.get_or_insert(now)),
            None => {
                let since = *self.unknown.entry(owner).or_insert(now) + UNKNOWN_US;
                (since <= now).then_some(since)
            }
        }
    }
}

impl Replica {
    /// Whether a replica counts as alive: this one, and peers that membership holds to be.
    #[must_use]
    pub fn is_live(&self, id: ReplicaId) -> bool {
        id == self.id() || self.peers.get(&id).is_some_and(|peer| peer.live)
    }

    /// The live replicas, this one included.
    pub fn live(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        [self.id()].into_iter().chain(self.peers.live_ids())
    }

    /// What the live replicas have cast at `key`: nothing, if it holds no votes. O(ballots of the key + members).
    #[must_use]
    pub fn tally(&self, now: Now, key: &[u8]) -> Tally {
        let mut tally = Tally { silent: self.live().collect(), ..Tally::default() };
        let view = self.store.at(now.wall).view(key).filter(|view| view.class() == Class::Vote);
        for (id, ballot) in view.iter().flat_map(View::ballots) {
            if tally.silent.remove(&id) {
                tally.choices.entry(ballot.into()).or_default().insert(id);
            }
        }
        tally
    }

    /// How many are present at `key`, by the ballots of the live replicas; 0 if it holds no presence. O(ballots of the
    /// key).
    #[must_use]
    pub fn present(&self, now: Now, key: &[u8]) -> u64 {
        let view = self.store.at(now.wall).view(key).filter(|view| view.class() == Class::Presence);
        let ballots = view.iter().flat_map(View::ballots).filter(|(id, _)| self.is_live(*id));
        ballots.filter_map(|(_, ballot)| present(ballot)).map(u64::from).sum()
    }

    /// Discards ballots of replicas that are gone for good, if it is this replica's turn; says which. To be called now
    /// and then, at most every second or so: O(buckets + ballots).
    pub fn discard_departed(&mut self, now: Now) -> Vec<Discarded> {
        let rank = self.live().filter(|id| *id < self.id()).count() as u64;
        let due = now.mono.saturating_sub(rank * TURN_US);
        let (me, peers, departed) = (self.store.id(), &self.peers, &mut self.departed);
        let strange = |owner: ReplicaId| owner != me && !peers.contains_key(&owner);
        let owners: BTreeSet<ReplicaId> = self.store.ballots().map(|it| it.owner).filter(|id| strange(*id)).collect();
        departed.unknown.retain(|id, _| owners.contains(id));
        let gone: BTreeSet<ReplicaId> =
            owners.into_iter().filter(|id| departed.since(now.mono, *id).is_some_and(|since| since <= due)).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let theirs = self.store.ballots().filter(|it| gone.contains(&it.owner)).take(DISCARDS_MAX);
        let theirs: Vec<Discarded> =
            theirs.map(|it| Discarded { key: it.key.into(), class: it.class, owner: it.owner }).collect();
        let bytes = theirs.iter().map(|it| it.key.len()).sum();
        self.write(now, bytes, |writer| {
            let mut discarded = theirs;
            // Refused while the clock is wrong; then it is another's turn, or a later one.
            discarded.retain(|it| writer.discard(&it.key, it.class, it.owner) == Ok(true));
            discarded
        })
    }
}
