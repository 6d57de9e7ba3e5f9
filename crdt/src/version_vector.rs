//! How far each replica's events have been seen.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Dot, Observed, ReplicaId};

/// `ReplicaId -> seq`: stands for the events `1..=seq` of each replica, a replica not named having 0.
///
/// Kept sorted, so a lookup costs O(log n) and a merge O(n + m) in the number of replicas. Entries of 0 are
/// never stored: equal vectors are equal values.
///
/// Source: Parker et al., *Detection of Mutual Inconsistency in Distributed Systems* (IEEE Trans. Softw. Eng. 1983).
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct VersionVector {
    entries: Vec<(ReplicaId, u64)>,
}

impl VersionVector {
    /// The vector that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// How many events of `replica` have been seen. O(log n).
    #[must_use]
    #[inline]
    pub fn get(&self, replica: ReplicaId) -> u64 {
        self.find(replica).map_or(0, |at| self.entries[at].1)
    }

    /// Raises the entry of `replica` to `seq` if it is lower; says whether it was. O(log n), O(n) when new.
    pub fn raise(&mut self, replica: ReplicaId, seq: u64) -> bool {
        if seq == 0 {
            return false;
        }
        match self.find(replica) {
            Ok(at) if self.entries[at].1 < seq => self.entries[at].1 = seq,
            Ok(_) => return false,
            Err(at) => self.entries.insert(at, (replica, seq)),
        }
        true
    }

    /// Raises the entry of `replica` by one and returns it: the sequence number of its next event. O(log n).
    #[inline]
    pub(crate) fn advance(&mut self, replica: ReplicaId) -> u64 {
        match self.find(replica) {
            Ok(at) => {
                // Decoding refuses sequence numbers above Dot::SEQ_MAX, so 2^63 events would have to be minted here.
                self.entries[at].1 += 1;
                self.entries[at].1
            }
            Err(at) => {
                self.entries.insert(at, (replica, 1));
                1
            }
        }
    }

    /// Raises the entry of the replica of `dot` by one if it stands at `dot`, and returns the next. `near` is where the
    /// entry probably is.
    #[inline]
    pub(crate) fn advance_from(&mut self, dot: Dot, near: usize) -> Option<Dot> {
        let at = match self.entries.get(near) {
            Some(entry) if entry.0 == dot.replica => near,
            _ => self.find(dot.replica).ok()?,
        };
        let entry = &mut self.entries[at];
        if entry.1 != dot.seq {
            return None;
        }
        entry.1 += 1;
        Some(Dot::new(dot.replica, entry.1))
    }

    /// Takes in the events `first..=last` of `replica` if none is missing before them; says whether that was so.
    #[inline]
    pub(crate) fn extend(&mut self, replica: ReplicaId, first: u64, last: u64) -> bool {
        match self.find(replica) {
            Ok(at) => {
                let seen = &mut self.entries[at].1;
                let is_next = first <= seen.saturating_add(1);
                if is_next {
                    *seen = last.max(*seen);
                }
                is_next
            }
            Err(at) => {
                let is_next = first <= 1;
                if is_next {
                    self.entries.insert(at, (replica, last));
                }
                is_next
            }
        }
    }

    /// Pointwise maximum. O(n + m).
    pub fn merge(&mut self, other: &Self) {
        if self.dominates(other) {
            return;
        }
        let mine = core::mem::take(&mut self.entries);
        self.entries.reserve(mine.len().max(other.entries.len()));
        let (mut a, mut b) = (mine.into_iter().peekable(), other.iter().peekable());
        while let Some(order) = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => Some(x.0.cmp(&y.0)),
            (Some(_), None) => Some(Ordering::Less),
            (None, Some(_)) => Some(Ordering::Greater),
            (None, None) => None,
        } {
            let x = if order.is_le() { a.next() } else { None };
            let y = if order.is_ge() { b.next() } else { None };
            self.entries.extend(x.max(y));
        }
    }

    /// Whether everything `other` has seen is seen here too. O(n + m).
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let mut mine = self.entries.iter();
        other
            .entries
            .iter()
            .all(|(replica, seq)| mine.find(|(r, _)| r >= replica).is_some_and(|(r, s)| r == replica && s >= seq))
    }

    /// The entries in order of their replica ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ReplicaId, u64)> + DoubleEndedIterator + '_ {
        self.entries.iter().copied()
    }

    /// How many replicas have an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing has been seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline]
    fn find(&self, replica: ReplicaId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&replica, |entry| entry.0)
    }
}

impl Observed for VersionVector {
    #[inline]
    fn covers(&self, dot: Dot) -> bool {
        dot.seq <= self.get(dot.replica)
    }
}

impl FromIterator<(ReplicaId, u64)> for VersionVector {
    /// Entries in any order; of several for one replica the highest counts.
    fn from_iter<I: IntoIterator<Item = (ReplicaId, u64)>>(iter: I) -> Self {
        let mut entries: Vec<_> = iter.into_iter().filter(|entry| entry.1 > 0).collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        entries.dedup_by_key(|entry| entry.0);
        Self { entries }
    }
}

impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.dominates(other), other.dominates(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

// Bytes from elsewhere may be unsorted or hold zeros; decoding restores the form. What would leave no room to count on
// is refused.
impl<'de> Deserialize<'de> for VersionVector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<(ReplicaId, u64)>::deserialize(deserializer)?;
        if entries.iter().any(|(_, seq)| *seq > Dot::SEQ_MAX) {
            return Err(serde::de::Error::custom("a sequence number out of range"));
        }
        Ok(entries.into_iter().collect())
    }
}
