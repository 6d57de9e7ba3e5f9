//! Causal delivery for those who ship deltas themselves.
//!
//! Merging deltas in any order ends in the right state, but on the way a reader may see an effect before its cause: a
//! member whose removal has been seen, because an add in between is still under way. A barrier holds each parcel back
//! until everything its sender had delivered before sending is delivered here too.
//!
//! A parcel names its direct predecessors only: the parcels delivered at the sender that no later one had named, in
//! practice one or two. Memory is bounded by the parcels held back; past that bound the barrier refuses, visibly.
//!
//! It refuses to know what it carries, how parcels travel, and who the members are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{Dot, Observed, ReplicaId, VersionVector};

/// A payload with its place in causal order. The dot counts the parcels of its sender; it is none of the dots inside
/// the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel<P> {
    /// Who sent it, and its number among that sender's parcels.
    pub dot: Dot,
    /// The parcels to be delivered before it, besides the sender's own earlier ones.
    pub after: Vec<Dot>,
    /// What is shipped: usually a delta.
    pub payload: P,
}

/// Delivers parcels in causal order, each once.
///
/// Sending costs O(concurrent senders), receiving O(parcels held back) for each one released, O(log n) else.
///
/// A lost parcel stays lost until it is sent again: ask for what is [`missing`](Self::missing), and send the last
/// parcel again until it is acknowledged, since no receiver misses what nothing came after. A replica that joins late,
/// or was away for longer than parcels are kept, merges a state and goes on with [`catch_up`](Self::catch_up).
///
/// Source: Prakash, Raynal, Singhal, *An Adaptive Causal Ordering Algorithm Suited to Mobile Computing Environments*
/// (1997), for direct dependencies; Birman, Schiper, Stephenson, *Lightweight Causal and Atomic Group Multicast*
/// (1991), for causal delivery.
///
/// ```
/// use cahoots_crdt::{AwSet, Causal, CausalBarrier, Lattice, ReplicaId};
///
/// let [a, b, c] = [1, 2, 3].map(ReplicaId::new);
/// let mut set: Causal<AwSet<&str>> = Causal::new();
/// let mut at_a = CausalBarrier::new(a, 100);
/// let mut at_b = CausalBarrier::new(b, 100);
/// let mut at_c = CausalBarrier::new(c, 100);
///
/// let first = at_a.send(set.add(a, "x"));
/// for delta in at_b.receive(first.clone())? {
///     set.merge(delta);
/// }
/// let second = at_b.send(set.remove(b, "x"));
///
/// // The second overtakes the first on the way to c.
/// assert!(at_c.receive(second)?.is_empty());
/// assert_eq!(at_c.missing(), [first.dot]);
/// assert_eq!(at_c.receive(first)?.len(), 2);
/// # Ok::<(), cahoots_crdt::BarrierError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CausalBarrier<P> {
    replica: ReplicaId,
    delivered: VersionVector,
    /// Delivered parcels that none delivered later has named. At most one for each sender.
    frontier: BTreeMap<ReplicaId, u64>,
    held: BTreeMap<Dot, Parcel<P>>,
    held_max: usize,
}

/// Why a parcel was refused. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// Too many parcels wait for others already. Ask for the missing ones; this one has to be sent again.
    #[error("{0} parcels are held back already")]
    Full(usize),
    /// The number of the parcel is 0 or above [`Dot::SEQ_MAX`].
    #[error("no parcel has this number")]
    Number,
}

impl<P> CausalBarrier<P> {
    /// The barrier of `replica`, which holds back at most `held_max` parcels.
    #[must_use]
    pub fn new(replica: ReplicaId, held_max: usize) -> Self {
        Self { replica, delivered: VersionVector::new(), frontier: BTreeMap::new(), held: BTreeMap::new(), held_max }
    }

    /// Which parcels have been delivered or sent here.
    #[must_use]
    pub fn delivered(&self) -> &VersionVector {
        &self.delivered
    }

    /// How many parcels are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Packs `payload` after everything delivered and sent here. Keep it until all receivers have it.
    pub fn send(&mut self, payload: P) -> Parcel<P> {
        let dot = Dot::new(self.replica, self.delivered.advance(self.replica));
        let after = core::mem::take(&mut self.frontier)
            .into_iter()
            .filter(|(sender, _)| *sender != self.replica)
            .map(|(sender, seq)| Dot::new(sender, seq))
            .collect();
        self.frontier.insert(dot.replica, dot.seq);
        Parcel { dot, after, payload }
    }

    /// Takes in a parcel and returns the payloads that can now be merged, in causal order. Duplicates are dropped.
    ///
    /// # Errors
    /// [`BarrierError::Full`] when it has to wait and there is no room; [`BarrierError::Number`].
    pub fn receive(&mut self, parcel: Parcel<P>) -> Result<Vec<P>, BarrierError> {
        if !(1..=Dot::SEQ_MAX).contains(&parcel.dot.seq) {
            return Err(BarrierError::Number);
        }
        if self.delivered.covers(parcel.dot) || self.held.contains_key(&parcel.dot) {
            return Ok(Vec::new());
        }
        if !self.is_due(&parcel) {
            if self.held.len() >= self.held_max {
                return Err(BarrierError::Full(self.held_max));
            }
            self.held.insert(parcel.dot, parcel);
            return Ok(Vec::new());
        }
        Ok(self.release(Some(parcel)))
    }

    /// Goes on from a state instead of from parcels, and returns what was held back only for them, in causal order.
    ///
    /// For a newcomer, and for a replica that was away for so long that the parcels in between are gone: merge a state
    /// (or [`Delta::since`](crate::Delta::since)) of another replica, and pass what its barrier had
    /// [`delivered`](Self::delivered) when the state was read. The same brings a barrier back after a restart under the
    /// same id. O(n + parcels held back).
    #[must_use = "these payloads have to be merged"]
    pub fn catch_up(&mut self, delivered: &VersionVector) -> Vec<P> {
        for (sender, seq) in delivered.iter() {
            if self.delivered.raise(sender, seq) {
                self.frontier.insert(sender, seq);
            }
        }
        self.held.retain(|dot, _| !self.delivered.covers(*dot));
        let due = self.take_due();
        self.release(due)
    }

    fn release(&mut self, mut due: Option<Parcel<P>>) -> Vec<P> {
        let mut released = Vec::new();
        while let Some(parcel) = due {
            self.delivered.raise(parcel.dot.replica, parcel.dot.seq);
            for dot in &parcel.after {
                if self.frontier.get(&dot.replica).is_some_and(|seq| *seq <= dot.seq) {
                    self.frontier.remove(&dot.replica);
                }
            }
            self.frontier.insert(parcel.dot.replica, parcel.dot.seq);
            released.push(parcel.payload);
            due = self.take_due();
        }
        released
    }

    fn take_due(&mut self) -> Option<Parcel<P>> {
        let due = self.held.values().find(|held| self.is_due(held)).map(|held| held.dot)?;
        self.held.remove(&due)
    }

    /// The parcels that what is held back waits for, sorted: what to ask for again. O(parcels held back).
    #[must_use]
    pub fn missing(&self) -> Vec<Dot> {
        let mut missing: Vec<Dot> = self
            .held
            .values()
            .flat_map(|parcel| {
                let before = Dot::new(parcel.dot.replica, parcel.dot.seq - 1);
                parcel.after.iter().copied().chain((before.seq > 0).then_some(before))
            })
            .filter(|dot| !self.delivered.covers(*dot) && !self.held.contains_key(dot))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn is_due(&self, parcel: &Parcel<P>) -> bool {
        self.delivered.get(parcel.dot.replica) + 1 == parcel.dot.seq
            && parcel.after.iter().all(|dot| self.delivered.covers(*dot))
    }
}
