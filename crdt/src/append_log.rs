//! A log that is appended to, read by cursors, and trimmed.
//!
//! An entry is a cell: written once, under the dot of its event, gone once that dot is covered and not live. So the store
//! is one table from dots to entries; a removal says by its context alone what is gone, and needs no list of places.
//!
//! # Decision: the cursor
//!
//! *Context.* Nothing that compares one id is a cursor for several writers: B's entry is read, A's earlier one arrives,
//! and is never read. Who reads at one replica and goes on at another must miss nothing and see nothing twice.
//!
//! *Choice.* A cursor says of each writer how far it has been read: a [`VersionVector`] of the events read. An entry is
//! new if the cursor does not cover its dot. Of each writer entries are handed out in the order of their events, and
//! only up to the first event of that writer which has not arrived; so what is still to come is never below a cursor.
//!
//! *Rejected.* The highest id read of each writer: the same as long as clocks keep to what is asked of them, longer, and
//! wrong once a writer's clock went back over a restart. The set of what was read: as long as the log has been.
//!
//! *Price.* 9 to 18 bytes of cursor for each writer. An entry that overtook an earlier event of its writer waits for it.

use alloc::vec::Vec;
use core::ops::Range;

use crate::tree::Tree;
use crate::{Causal, CausalContext, Dot, Hlc, Mutation, ReplicaId, Run, StaleStamp, VersionVector};

/// A log of entries in the order of their ids, which several replicas append to.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `append(x)` | `append(y)` | both, in the order of their stamps |
/// | `append(x)` | `trim_to(10)` | what B kept, and x: it may be longer than 10 until the next trim |
/// | `remove(x)` | `remove(x)` | no x |
/// | `append(x)` | [`clear`](Causal::clear) | x alone |
///
/// An id is the stamp of an entry and its dot: it is above all ids its writer had seen, and no other entry has it.
/// Every append takes a stamp, which must exceed all stamps seen here; let your clock
/// [`observe`](crate::HybridClock::observe) the [`latest_stamp`](Self::latest_stamp) of what you merge.
///
/// [`read_after`](Causal::<AppendLog<T>>::read_after) reads each entry that is not removed before exactly once, also by
/// a reader that goes from replica to replica with its cursor, and whatever order deltas arrive in.
///
/// For w writers: `append`, `get` and `remove` cost O(log n), reading k entries O((w + k) log n), iterating O(log w) an
/// entry, trimming k entries O(k log n), merging a delta O(k log n), merging a state O(n + m).
///
/// Source: a dot function, Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), figure 9; reading by
/// vectors is how replicas themselves catch up, Ladin, Liskov, Shrira, Ghemawat, *Providing High Availability Using Lazy
/// Replication* (TOCS 1992).
///
/// ```
/// use cahoots_crdt::{AppendLog, Causal, Hlc, Lattice, ReplicaId, VersionVector};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<AppendLog<&str>> = Causal::new();
/// let mut right = left.clone();
/// let early = left.append(a, Hlc::new(1_000, 0), "early")?;
/// let _late = right.append(b, Hlc::new(2_000, 0), "late")?;
///
/// let (entries, cursor) = right.read_after(&VersionVector::new(), 10);
/// assert!(entries.iter().map(|(_, value)| *value).eq(&["late"]));
/// right.merge(early); // its id is lower
/// let (entries, cursor) = right.read_after(&cursor, 10);
/// assert!(entries.iter().map(|(_, value)| *value).eq(&["early"]));
/// assert!(right.read_after(&cursor, 10).0.is_empty());
/// assert!(right.iter().map(|(_, value)| *value).eq(["early", "late"]));
/// # Ok::<(), cahoots_crdt::StaleStamp>(())
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct AppendLog<T> {
    pub(crate) entries: Tree<Dot, (Hlc, T)>,
    /// The highest stamp this copy has seen, of removed entries too as far as it was there. Not part of the value.
    pub(crate) latest: Hlc,
}

/// The name of an entry of an [`AppendLog`], and its place among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct EntryId {
    /// When it was appended.
    pub stamp: Hlc,
    /// The event that appended it.
    pub dot: Dot,
}

impl<T> AppendLog<T> {
    pub(crate) fn of(entries: Tree<Dot, (Hlc, T)>) -> Self {
        let latest = entries.iter().map(|(_, (stamp, _))| *stamp).max().unwrap_or_default();
        Self { entries, latest }
    }

    /// How many entries there are. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of this id.
    #[must_use]
    pub fn get(&self, id: EntryId) -> Option<&T> {
        let rank = self.entries.search(&id.dot).ok()?;
        self.entries.nth(rank).filter(|(_, (stamp, _))| *stamp == id.stamp).map(|(_, (_, value))| value)
    }

    /// The entries in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (EntryId, &T)> + '_ {
        self.merged(|_, whole| whole)
    }

    /// Up to `count` entries that `cursor` does not cover, in the order of their ids, and the cursor to go on from. To
    /// read all there is, start from an empty cursor. `context` is that of the outermost value: entries that overtook
    /// an earlier event of their writer wait until that is there.
    ///
    /// What was read should be handled before the new cursor is stored (at least once), or after (at most once).
    #[must_use]
    pub fn read_after(
        &self,
        context: &CausalContext,
        cursor: &VersionVector,
        count: usize,
    ) -> (Vec<(EntryId, &T)>, VersionVector) {
        let arrived = context.version_vector();
        let new = self.merged(|replica, whole| {
            let rank_after = |seq| {
                let after = Dot::new(replica, seq);
                self.entries.partition_point(|dot| *dot <= after)
            };
            let start = rank_after(cursor.get(replica)).max(whole.start);
            start..rank_after(arrived.get(replica)).min(whole.end).max(start)
        });
        let entries: Vec<_> = new.take(count).collect();
        let mut next = cursor.clone();
        for (id, _) in &entries {
            next.raise(id.dot.replica, id.dot.seq);
        }
        (entries, next)
    }

    /// The highest stamp seen here.
    #[must_use]
    pub fn latest_stamp(&self) -> Hlc {
        self.latest
    }

    /// What each writer has in the ranks that `pick` takes of all it has, in the order of ids.
    fn merged(&self, pick: impl Fn(ReplicaId, Range<usize>) -> Range<usize>) -> Merged<'_, T> {
        let mut heads = Vec::new();
        let mut start = 0;
        while let Some((Dot { replica, .. }, _)) = self.entries.nth(start) {
            let end = self.entries.partition_point(|dot| dot.replica <= *replica);
            let mut run = self.entries.range(pick(*replica, start..end));
            heads.extend(run.next().map(|entry| (id_of(entry), entry.1, run)));
            start = end;
        }
        // The lowest id comes last, from where it is cheap to take.
        heads.sort_by_key(|head| core::cmp::Reverse(head.0));
        Merged { heads }
    }
}

impl<T: Clone> AppendLog<T> {
    /// Adds an entry after all that are seen here.
    ///
    /// # Errors
    /// [`StaleStamp`] when a stamp at least as high was seen here; nothing is touched then.
    pub fn append(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc, value: T) -> Result<Self, StaleStamp> {
        self.append_all(mutation, stamp, [value])
    }

    /// Adds entries under one stamp, in their order. Of none: no event.
    ///
    /// # Errors
    /// [`StaleStamp`] when a stamp at least as high was seen here; nothing is touched then.
    pub fn append_all(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, StaleStamp> {
        if stamp <= self.latest {
            return Err(StaleStamp);
        }
        let new: Vec<_> = values.into_iter().map(|value| (mutation.mint(), (stamp, value))).collect();
        for (dot, entry) in &new {
            self.entries.insert(*dot, entry.clone());
            self.latest = stamp;
        }
        Ok(Self::of(Tree::from_sorted(new)))
    }

    /// Removes an entry. Of one that is not in: no event.
    pub fn remove(&mut self, mutation: &mut Mutation<'_>, id: EntryId) -> Self {
        let is_in = self.get(id).is_some();
        self.remove_all(mutation, is_in.then_some(id.dot))
    }

    /// Removes the entries with the lowest ids, until there are `len` at most: one event. What is appended
    /// concurrently stays.
    pub fn trim_to(&mut self, mutation: &mut Mutation<'_>, len: usize) -> Self {
        let gone: Vec<Dot> = self.iter().take(self.len().saturating_sub(len)).map(|(id, _)| id.dot).collect();
        self.remove_all(mutation, gone)
    }

    /// Removes the entries with stamps below `stamp`: one event.
    pub fn trim_before(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc) -> Self {
        let gone: Vec<Dot> = self.iter().take_while(|(id, _)| id.stamp < stamp).map(|(id, _)| id.dot).collect();
        self.remove_all(mutation, gone)
    }

    fn remove_all(&mut self, mutation: &mut Mutation<'_>, gone: impl IntoIterator<Item = Dot>) -> Self {
        let mut gone = gone.into_iter().peekable();
        if gone.peek().is_some() {
            mutation.mint();
        }
        for dot in gone {
            self.entries.remove(&dot);
            mutation.supersede(dot);
        }
        Self::default()
    }

    /// The ranks of entries that `run` names.
    pub(crate) fn ranks(&self, run: Run) -> Range<usize> {
        let (first, last) = (Dot::new(run.replica, run.first), Dot::new(run.replica, run.last));
        let start = self.entries.partition_point(|dot| *dot < first);
        start..self.entries.partition_point(|dot| *dot <= last).max(start)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Dot) -> bool) {
        let mut entries = core::mem::take(&mut self.entries).into_vec();
        entries.retain(|(dot, _)| keep(*dot));
        self.entries = Tree::from_sorted(entries);
    }
}

fn id_of<T>((dot, (stamp, _)): (&Dot, &(Hlc, T))) -> EntryId {
    EntryId { stamp: *stamp, dot: *dot }
}

/// Entries of several writers, merged in the order of their ids.
struct Merged<'a, T> {
    /// The next entry of each writer and what follows; the highest id first.
    heads: Vec<Head<'a, T>>,
}

type Head<'a, T> = (EntryId, &'a (Hlc, T), crate::tree::Iter<'a, Dot, (Hlc, T)>);

impl<'a, T> Iterator for Merged<'a, T> {
    type Item = (EntryId, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, (_, value), mut run) = self.heads.pop()?;
        if let Some(entry) = run.next() {
            let head = (id_of(entry), entry.1, run);
            let at = self.heads.partition_point(|other| other.0 > head.0);
            self.heads.insert(at, head);
        }
        Some((id, value))
    }
}

impl<T: Clone> Causal<AppendLog<T>> {
    /// Adds an entry after all that are seen here.
    ///
    /// # Errors
    /// See [`AppendLog::append`].
    pub fn append(&mut self, replica: ReplicaId, stamp: Hlc, value: T) -> Result<Self, StaleStamp> {
        self.try_mutate(replica, |log, mutation| log.append(mutation, stamp, value))
    }

    /// Adds entries under one stamp, in their order.
    ///
    /// # Errors
    /// See [`AppendLog::append_all`].
    pub fn append_all(
        &mut self,
        replica: ReplicaId,
        stamp: Hlc,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, StaleStamp> {
        self.try_mutate(replica, |log, mutation| log.append_all(mutation, stamp, values))
    }

    /// Removes an entry. See [`AppendLog::remove`].
    pub fn remove(&mut self, replica: ReplicaId, id: EntryId) -> Self {
        self.mutate(replica, |log, mutation| log.remove(mutation, id))
    }

    /// Removes the entries with the lowest ids, until there are `len` at most. See [`AppendLog::trim_to`].
    pub fn trim_to(&mut self, replica: ReplicaId, len: usize) -> Self {
        self.mutate(replica, |log, mutation| log.trim_to(mutation, len))
    }

    /// Removes the entries with stamps below `stamp`. See [`AppendLog::trim_before`].
    pub fn trim_before(&mut self, replica: ReplicaId, stamp: Hlc) -> Self {
        self.mutate(replica, |log, mutation| log.trim_before(mutation, stamp))
    }

    /// Up to `count` entries that `cursor` does not cover, and the cursor to go on from. See
    /// [`AppendLog::read_after`].
    #[must_use]
    pub fn read_after(&self, cursor: &VersionVector, count: usize) -> (Vec<(EntryId, &T)>, VersionVector) {
        self.store.read_after(&self.context, cursor, count)
    }
}
