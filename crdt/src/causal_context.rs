//! Which events have been seen, also when they came out of order.
//!
//! A state usually has seen a prefix of each replica's events: a [`VersionVector`] says that in one integer per
//! replica. A delta has seen a handful of scattered ones, and so has a state that received deltas out of order: they
//! lie in a *cloud* of runs until the gaps close.
//!
//! Invariants: runs are sorted by replica and first event, neither overlap nor touch, and none touches the prefix
//! (it would be part of it). So equal sets of events are equal values.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use crate::{Dot, Observed, ReplicaId, VersionVector};

/// A set of dots: the version vector of what was seen without gaps, and runs of what was seen beyond them.
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7.2, with what lies beyond
/// the vector kept as runs.
///
/// ```
/// use cahoots_crdt::{CausalContext, Dot, Observed, ReplicaId};
///
/// let a = ReplicaId::new(1);
/// let mut seen = CausalContext::new();
/// seen.insert(Dot::new(a, 1));
/// seen.insert(Dot::new(a, 3)); // the second event is still under way
/// assert!(!seen.covers(Dot::new(a, 2)));
/// assert_eq!(seen.version_vector().get(a), 1);
///
/// seen.insert(Dot::new(a, 2)); // the gap closes
/// assert_eq!(seen.version_vector().get(a), 3);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CausalContext {
    prefix: VersionVector,
    cloud: SmallVec<[Run; 1]>,
}

/// The events `first..=last` of one replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Whose events.
    pub replica: ReplicaId,
    /// The first of them.
    pub first: u64,
    /// The last of them, not before the first.
    pub last: u64,
}

/// Above this many runs a union is one pass over both sides instead of single insertions.
const INSERTIONS_MAX: usize = 8;

impl CausalContext {
    /// The context that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was seen without gaps. A summary to send to a peer: it never claims too much.
    #[must_use]
    pub fn version_vector(&self) -> &VersionVector {
        &self.prefix
    }

    /// Whether nothing has been seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prefix.is_empty() && self.cloud.is_empty()
    }

    /// Whether there are no gaps: the version vector says everything.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.cloud.is_empty()
    }

    /// The highest event seen of `replica`, 0 for none. O(log n).
    #[must_use]
    pub fn last(&self, replica: ReplicaId) -> u64 {
        let end = self.cloud.partition_point(|run| run.replica <= replica);
        match self.cloud[..end].last() {
            Some(run) if run.replica == replica => run.last,
            _ => self.prefix.get(replica),
        }
    }

    /// Takes in one event. O(log n) plus the length of the cloud.
    #[inline]
    pub fn insert(&mut self, dot: Dot) {
        self.insert_run(Run { replica: dot.replica, first: dot.seq, last: dot.seq });
    }

    /// Takes in everything `other` has seen. O(size of `other`) when that is small, O(n + m) otherwise.
    pub fn union(&mut self, other: &Self) {
        if other.prefix.len() <= INSERTIONS_MAX {
            for (replica, last) in other.prefix.iter() {
                self.insert_run(Run { replica, first: 1, last });
            }
        } else {
            self.prefix.merge(&other.prefix);
            self.absorb_all();
        }
        if other.cloud.len() <= INSERTIONS_MAX {
            for run in &other.cloud {
                self.insert_run(*run);
            }
        } else {
            *self = self.runs().chain(other.cloud.iter().copied()).collect();
        }
    }

    /// Whether everything `other` has seen is seen here too. O(m log n).
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        other.runs().all(|run| {
            self.prefix.get(run.replica) >= run.last
                || self.find(Dot::new(run.replica, run.first)).is_some_and(|mine| mine.last >= run.last)
        })
    }

    /// The runs of seen events, the prefixes among them, in no particular order of replicas.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.prefix.iter().map(|(replica, last)| Run { replica, first: 1, last }).chain(self.cloud.iter().copied())
    }

    /// The runs beyond the version vector, sorted by replica and first event.
    #[must_use]
    pub fn cloud(&self) -> &[Run] {
        &self.cloud
    }

    /// Takes in a run of events. An empty run (last before first, or 0) changes nothing.
    #[inline]
    pub fn insert_run(&mut self, run: Run) {
        // A delta being made: nothing yet, or the dot next to the only run. Nothing of it touches a prefix.
        if run.first > 1 && run.last >= run.first && self.prefix.is_empty() {
            match self.cloud.as_mut_slice() {
                [] => return self.cloud.push(run),
                [only] if only.replica == run.replica => {
                    if only.last.saturating_add(1) == run.first {
                        only.last = run.last;
                        return;
                    }
                    if run.last.saturating_add(1) == only.first {
                        only.first = run.first;
                        return;
                    }
                }
                _ => {}
            }
        }
        self.insert_any_run(run);
    }

    fn insert_any_run(&mut self, run: Run) {
        let first = run.first.max(1);
        if run.last < first {
            return;
        }
        if self.prefix.extend(run.replica, first, run.last) {
            if !self.cloud.is_empty() {
                self.absorb(run.replica);
            }
            return;
        }
        let mut merged = Run { first, ..run };
        // Everything before `start` ends too early to touch the run.
        let start =
            self.cloud.partition_point(|seen| (seen.replica, seen.last.saturating_add(1)) < (run.replica, first));
        let mut end = start;
        while let Some(seen) = self.cloud.get(end)
            && seen.replica == run.replica
            && seen.first <= run.last.saturating_add(1)
        {
            merged.first = merged.first.min(seen.first);
            merged.last = merged.last.max(seen.last);
            end += 1;
        }
        if start == end {
            self.cloud.insert(start, merged);
        } else {
            self.cloud[start] = merged;
            self.cloud.drain(start + 1..end);
        }
    }

    /// The next dot of `replica`, taken in at once.
    #[inline]
    pub(crate) fn mint(&mut self, replica: ReplicaId) -> Dot {
        let seq = if self.cloud.is_empty() {
            self.prefix.advance(replica)
        } else {
            // A replica's own events may lie beyond a gap only after it lost its state; never reuse a dot even so.
            let seq = self.last(replica) + 1;
            self.insert(Dot::new(replica, seq));
            seq
        };
        Dot::new(replica, seq)
    }

    /// Mints the dot after `dot`, provided that is the latest of its replica and nothing is out of order. `near` is
    /// where the entry of the replica probably is: counters and their contexts name the same replicas.
    #[inline]
    pub(crate) fn mint_next(&mut self, dot: Dot, near: usize) -> Option<Dot> {
        if !self.cloud.is_empty() {
            return None;
        }
        self.prefix.advance_from(dot, near)
    }

    /// A delta's context: a run that does not begin with the first event.
    #[inline]
    pub(crate) fn of(run: Run) -> Self {
        debug_assert!(1 < run.first && run.first <= run.last);
        let mut cloud = SmallVec::new();
        cloud.push(run);
        Self { prefix: VersionVector::new(), cloud }
    }

    /// How far the events of `replica` are seen without a gap by this context and `other` together.
    pub(crate) fn joint_prefix(&self, other: &Self, replica: ReplicaId) -> u64 {
        let mut reach = self.prefix.get(replica).max(other.prefix.get(replica));
        loop {
            let next = Dot::new(replica, reach.saturating_add(1));
            match self.find(next).or_else(|| other.find(next)) {
                Some(run) => reach = run.last,
                None => return reach,
            }
        }
    }

    /// This context without `dots`, which must be sorted and free of repetitions. O(n + m log n).
    pub(crate) fn without(&self, dots: &[Dot]) -> Self {
        let mut kept = Vec::new();
        for run in self.runs() {
            let from = dots.partition_point(|dot| *dot < Dot::new(run.replica, run.first));
            let mut first = run.first;
            for dot in dots[from..].iter().take_while(|dot| dot.replica == run.replica && dot.seq <= run.last) {
                kept.push(Run { replica: run.replica, first, last: dot.seq - 1 });
                first = dot.seq + 1;
            }
            kept.push(Run { replica: run.replica, first, last: run.last });
        }
        kept.into_iter().collect()
    }

    fn find(&self, dot: Dot) -> Option<&Run> {
        let end = self.cloud.partition_point(|run| (run.replica, run.first) <= (dot.replica, dot.seq));
        self.cloud[..end].last().filter(|run| run.replica == dot.replica && dot.seq <= run.last)
    }

    /// Moves what now touches the prefix of `replica` out of the cloud.
    fn absorb(&mut self, replica: ReplicaId) {
        let start = self.cloud.partition_point(|run| run.replica < replica);
        let mut end = start;
        while let Some(run) = self.cloud.get(end)
            && run.replica == replica
            && run.first <= self.prefix.get(replica).saturating_add(1)
        {
            self.prefix.raise(replica, run.last);
            end += 1;
        }
        self.cloud.drain(start..end);
    }

    fn absorb_all(&mut self) {
        if !self.cloud.is_empty() {
            *self = self.runs().collect();
        }
    }
}

impl Observed for CausalContext {
    #[inline]
    fn covers(&self, dot: Dot) -> bool {
        self.prefix.covers(dot) || (!self.cloud.is_empty() && self.find(dot).is_some())
    }
}

impl FromIterator<Run> for CausalContext {
    /// Runs in any order, overlapping or not. O(n log n).
    fn from_iter<I: IntoIterator<Item = Run>>(iter: I) -> Self {
        let mut runs: Vec<Run> = iter.into_iter().filter(|run| run.last >= run.first.max(1)).collect();
        runs.sort_unstable();
        let mut cloud: SmallVec<[Run; 1]> = SmallVec::new();
        let mut prefix = Vec::new();
        let mut place = |run: Run| if run.first <= 1 { prefix.push((run.replica, run.last)) } else { cloud.push(run) };
        let mut open: Option<Run> = None;
        for run in runs {
            match &mut open {
                Some(last) if last.replica == run.replica && run.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(run.last);
                }
                _ => {
                    if let Some(done) = open.replace(run) {
                        place(done);
                    }
                }
            }
        }
        if let Some(done) = open {
            place(done);
        }
        Self { prefix: prefix.into_iter().collect(), cloud }
    }
}

impl FromIterator<Dot> for CausalContext {
    fn from_iter<I: IntoIterator<Item = Dot>>(iter: I) -> Self {
        iter.into_iter().map(|dot| Run { replica: dot.replica, first: dot.seq, last: dot.seq }).collect()
    }
}

impl From<VersionVector> for CausalContext {
    fn from(prefix: VersionVector) -> Self {
        Self { prefix, cloud: SmallVec::new() }
    }
}

/// The version vector and what lies beyond it: what you tell a peer for its [`Delta::since`](crate::Delta::since) and
/// [`Causal::collect`](crate::Causal::collect).
impl Serialize for CausalContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cloud: Vec<(ReplicaId, u64, u64)> =
            self.cloud.iter().map(|run| (run.replica, run.first, run.last)).collect();
        (&self.prefix, cloud).serialize(serializer)
    }
}

// Bytes from elsewhere may hold runs in any order, overlapping or empty; collecting them restores the form.
impl<'de> Deserialize<'de> for CausalContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (prefix, cloud) = <(VersionVector, Vec<(ReplicaId, u64, u64)>)>::deserialize(deserializer)?;
        if cloud.iter().any(|(.., last)| *last > Dot::SEQ_MAX) {
            return Err(serde::de::Error::custom("a sequence number out of range"));
        }
        let cloud = cloud.into_iter().map(|(replica, first, last)| Run { replica, first, last });
        Ok(Self::from(prefix).runs().chain(cloud).collect())
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}:{}", self.replica, self.first)
        } else {
            write!(f, "{}:{}..={}", self.replica, self.first, self.last)
        }
    }
}

impl fmt::Debug for CausalContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.runs()).finish()
    }
}
