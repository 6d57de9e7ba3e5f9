//! Members with scores, in the order of their scores: what Redis calls a sorted set.
//!
//! A member is present as in an [`AwSet`](crate::AwSet): while any write of it is live, an assignment or an increment.
//! Beside the table of members there is an index by (score, member), which is derived: it is not encoded, and a delta,
//! which does not know all that was added to a score, has none.
//!
//! # Decision: the name
//!
//! *Choice.* `ScoreMap`: it maps members to scores. *Rejected.* `ZSet`, which says nothing to whoever does not know
//! Redis; `SortedSet`, which everywhere but there is a set in the order of its members.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;
use core::ops::{Bound, Range, RangeBounds};

use crate::list::within;
use crate::score::{Number, Score};
use crate::tree::Tree;
use crate::{Causal, CausalContext, Dot, DotMap, DotStore, Hlc, Mutation, ReplicaId, Reset, StaleStamp, VersionVector};

/// Members with scores that are assigned and added to, read by score or by rank.
///
/// | before | A does | B does, concurrently | both read |
/// | --- | --- | --- | --- |
/// | x: 10 | `add(x, 2)` | `add(x, 3)` | x: 15 |
/// | x: 10 | `set(x, 1)` | `add(x, 3)` | x: 4 |
/// | x: 10 | `set(x, 1)` | `set(x, 2)` | that of the higher stamp |
/// | x: 10 | `remove(x)` | `add(x, 3)` | x: 3 |
/// | x: 10 | `remove(x)` | `set(x, 3)` | x: 3 |
/// | x: 10 | `remove(x)` | `remove(x)` | no x |
///
/// A score is the winning assignment, or 0, plus the sum of what was added to it since. Increments are multiples of
/// 2⁻⁶⁴, rounded once when they are made, and their sum is exact: every replica reads the same bits whatever the order
/// of arrival, and a removal takes away exactly what it saw. No score is a NaN; an assigned one may be infinite.
///
/// For n members and r replicas: `score` costs O(r), `set`, `add`, `remove`, `rank` and `nth` O(log n), a range
/// O(log n) and its length, merging a delta of k members O(k log n), merging a state O(n log n). Members of equal score
/// stand in their own order. A member is stored twice, in the table and in the index.
///
/// A removal or an assignment leaves a few integers behind for each replica that had added;
/// [`Causal::collect`](crate::Causal::collect) says when they go.
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7, for presence; Baquero,
/// Almeida, Lerche, *The problem with embedded CRDT counters and a solution* (PaPoC 2016), for the increments.
///
/// ```
/// use cahoots_crdt::{Causal, Hlc, Lattice, ReplicaId, ScoreMap};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<ScoreMap<&str>> = Causal::new();
/// let _sent = left.set(a, Hlc::new(1_000, 0), "ada", 10.0)?;
/// let _sent = left.add(a, "bob", 2.5)?;
/// let mut right = left.clone();
///
/// let removed = left.remove(a, "ada");
/// let won = right.add(b, "ada", 3.0)?; // concurrently
/// left.merge(won);
/// right.merge(removed);
/// assert_eq!(left, right);
/// assert_eq!((left.score("ada"), left.rank("ada")), (Some(3.0), Some(1)));
/// assert!(left.range_by_score(2.0..3.0).eq([(&"bob", 2.5)]));
/// # Ok::<(), cahoots_crdt::ScoreError>(())
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct ScoreMap<M> {
    pub(crate) members: DotMap<M, Score>,
    /// What [`members`](Self::members) shows, if that is whole.
    index: Tree<(Number, M), ()>,
}

/// Why a [`ScoreMap`] refuses. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The score or increment is a NaN, which has no place in an order.
    #[error("a score has to be a number")]
    NotANumber,
    /// The increment, or what this replica has added to the score in total, is infinite or not between -2⁶² and 2⁶².
    #[error("increments have to lie between -2^62 and 2^62, in total too")]
    TooLarge,
    /// The stamp of an assignment does not exceed those seen of this member.
    #[error(transparent)]
    Stale(#[from] StaleStamp),
}

impl<M: Eq + Hash + Ord + Clone> ScoreMap<M> {
    pub(crate) fn of(members: DotMap<M, Score>) -> Self {
        let mut map = Self { members, index: Tree::new() };
        map.reindex();
        map
    }

    /// The score of `member`.
    #[must_use]
    pub fn score<Q: Eq + Hash + ?Sized>(&self, member: &Q) -> Option<f64>
    where
        M: Borrow<Q>,
    {
        self.number(member).map(Number::get)
    }

    /// Whether `member` is in. O(1).
    #[must_use]
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, member: &Q) -> bool
    where
        M: Borrow<Q>,
    {
        self.members.get(member).is_some_and(Score::is_live)
    }

    /// How many members there are. O(1); O(n) for a delta.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.members.is_listing() {
            self.members.iter().filter(|(_, score)| score.is_live()).count()
        } else {
            self.index.len()
        }
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many members have a lower score, or the same and stand before it. O(log n). A delta has no ranks.
    #[must_use]
    pub fn rank<Q: Eq + Hash + Ord + ?Sized>(&self, member: &Q) -> Option<usize>
    where
        M: Borrow<Q>,
    {
        let number = self.number(member).filter(|_| !self.members.is_listing())?;
        let is_before =
            |(other, name): &(Number, M)| other.cmp(&number).then_with(|| name.borrow().cmp(member)).is_lt();
        Some(self.index.partition_point(is_before))
    }

    /// The member of this rank, and its score; 0 is the lowest. O(log n). A delta has no ranks.
    #[must_use]
    pub fn nth(&self, rank: usize) -> Option<(&M, f64)> {
        self.index.nth(rank).map(|((score, member), ())| (member, score.get()))
    }

    /// The members from the lowest to the highest, and their scores. A delta has no ranks.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&M, f64)> + ExactSizeIterator + '_ {
        self.ranks(0..self.index.len())
    }

    /// The members of these ranks; what lies beyond the highest is left out. A delta has no ranks.
    ///
    /// For the highest first, read from the back: `board.iter().rev().take(10)`.
    pub fn range_by_rank(
        &self,
        ranks: impl RangeBounds<usize>,
    ) -> impl DoubleEndedIterator<Item = (&M, f64)> + ExactSizeIterator + '_ {
        self.ranks(within(&ranks, self.index.len()))
    }

    /// The members with these scores. Of bounds that are no number: none. A delta has no ranks.
    pub fn range_by_score(
        &self,
        scores: impl RangeBounds<f64>,
    ) -> impl DoubleEndedIterator<Item = (&M, f64)> + ExactSizeIterator + '_ {
        let is_nan = |bound: Bound<&f64>| matches!(bound, Bound::Included(at) | Bound::Excluded(at) if at.is_nan());
        if is_nan(scores.start_bound()) || is_nan(scores.end_bound()) {
            return self.ranks(0..0);
        }
        let start = match scores.start_bound() {
            Bound::Included(low) => self.index.partition_point(|(score, _)| score.get() < *low),
            Bound::Excluded(low) => self.index.partition_point(|(score, _)| score.get() <= *low),
            Bound::Unbounded => 0,
        };
        let end = match scores.end_bound() {
            Bound::Included(high) => self.index.partition_point(|(score, _)| score.get() <= *high),
            Bound::Excluded(high) => self.index.partition_point(|(score, _)| score.get() < *high),
            Bound::Unbounded => self.index.len(),
        };
        self.ranks(start.min(end)..end)
    }

    /// Assigns `score` to `member`, over what is seen here. `stamp` must exceed those of the assignments to it seen
    /// here, as in a [`LwwRegister`](crate::LwwRegister); of concurrent ones the highest wins.
    ///
    /// # Errors
    /// [`ScoreError::NotANumber`], [`ScoreError::Stale`].
    pub fn set(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc, member: M, score: f64) -> Result<Self, ScoreError> {
        let number = Number::new(score).ok_or(ScoreError::NotANumber)?;
        self.change(member, |score| Ok(score.set(mutation, stamp, number)?))
    }

    /// Adds `amount`, which may be negative or 0, to the score of `member`, which is 0 if it is not in. Also of 0 it is
    /// an event, and the member stays in through any concurrent removal.
    ///
    /// # Errors
    /// [`ScoreError::NotANumber`], [`ScoreError::TooLarge`].
    pub fn add(&mut self, mutation: &mut Mutation<'_>, member: M, amount: f64) -> Result<Self, ScoreError> {
        self.change(member, |score| score.add(mutation, amount))
    }

    /// Removes what is seen here of `member`. Of a member that is not in: no event.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, mutation: &mut Mutation<'_>, member: &Q) -> Self
    where
        M: Borrow<Q>,
    {
        let Some((member, mut score)) = self.members.remove(member) else { return Self::nothing() };
        let was = score.value();
        let mut delta = Self::nothing();
        if let Some(was) = was {
            let event = mutation.mint();
            delta.members = DotMap::listing(member.clone(), score.reset(mutation, event));
            self.index.remove(&(was, member.clone()));
        }
        if !score.is_bottom() {
            self.members.insert_new(member, score);
        }
        delta
    }

    fn number<Q: Eq + Hash + ?Sized>(&self, member: &Q) -> Option<Number>
    where
        M: Borrow<Q>,
    {
        self.members.get(member).and_then(Score::value)
    }

    fn ranks(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&M, f64)> + ExactSizeIterator + '_ {
        self.index.range(ranks).map(|((score, member), ())| (member, score.get()))
    }

    fn change(
        &mut self,
        member: M,
        change: impl FnOnce(&mut Score) -> Result<Score, ScoreError>,
    ) -> Result<Self, ScoreError> {
        let score = self.members.entry(&member);
        let was = score.value();
        let delta = change(score);
        let is = score.value();
        if score.is_bottom() {
            self.members.remove(&member);
        }
        self.move_in_index(&member, was, is);
        Ok(Self { members: DotMap::listing(member, delta?), index: Tree::new() })
    }

    fn move_in_index(&mut self, member: &M, was: Option<Number>, is: Option<Number>) {
        if was == is || self.members.is_listing() {
            return;
        }
        if let Some(was) = was {
            self.index.remove(&(was, member.clone()));
        }
        if let Some(is) = is {
            self.index.insert((is, member.clone()), ());
        }
    }

    fn reindex(&mut self) {
        if self.members.is_listing() {
            self.index = Tree::new();
            return;
        }
        let shown = self.members.iter().filter_map(|(member, score)| Some(((score.value()?, member.clone()), ())));
        let mut shown: Vec<_> = shown.collect();
        shown.sort_unstable();
        self.index = Tree::from_sorted(shown);
    }
}

impl<M: Eq + Hash + Ord + Clone> Causal<ScoreMap<M>> {
    /// Assigns `score` to `member`.
    ///
    /// # Errors
    /// See [`ScoreMap::set`].
    pub fn set(&mut self, replica: ReplicaId, stamp: Hlc, member: M, score: f64) -> Result<Self, ScoreError> {
        self.try_mutate(replica, |map, mutation| map.set(mutation, stamp, member, score))
    }

    /// Adds `amount` to the score of `member`.
    ///
    /// # Errors
    /// See [`ScoreMap::add`].
    pub fn add(&mut self, replica: ReplicaId, member: M, amount: f64) -> Result<Self, ScoreError> {
        self.try_mutate(replica, |map, mutation| map.add(mutation, member, amount))
    }

    /// Removes `member`. See [`ScoreMap::remove`].
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, replica: ReplicaId, member: &Q) -> Self
    where
        M: Borrow<Q>,
    {
        self.mutate(replica, |map, mutation| map.remove(mutation, member))
    }
}

impl<M: Eq + Hash + Ord + Clone> DotStore for ScoreMap<M> {
    const LEAVES_RESIDUE: bool = true;

    fn nothing() -> Self {
        Self::of(DotStore::nothing())
    }

    fn is_bottom(&self) -> bool {
        self.members.is_bottom()
    }

    fn has_dots(&self) -> bool {
        self.members.has_dots()
    }

    fn is_live(&self) -> bool {
        self.members.is_live()
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        let is_small = theirs.members.is_listing() && theirs.members.len() <= self.members.len() / 4 + 1;
        if self.members.is_listing() || !is_small {
            self.members.join(my_context, theirs.members, their_context);
            self.reindex();
            return;
        }
        // A table that lists members says nothing of others.
        let listed = theirs.members.iter().map(|(member, _)| (member.clone(), self.number(member)));
        let listed: Vec<_> = listed.collect();
        self.members.join(my_context, theirs.members, their_context);
        for (member, was) in listed {
            let is = self.number(&member);
            self.move_in_index(&member, was, is);
        }
    }

    fn forget(&mut self, context: &CausalContext) {
        self.members.forget(context);
        self.reindex();
    }

    fn make_whole(&mut self) {
        self.members.make_whole();
        self.reindex();
    }

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.members.for_each_dot(visit);
    }

    fn since(&self, seen: &VersionVector) -> Self {
        Self::of(self.members.since(seen))
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        self.members.atoms(&mut |members| emit(Self::of(members)));
    }

    fn strip(&mut self) {
        self.members.strip();
        self.index = Tree::new();
    }

    fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, mine: &CausalContext) {
        // Baselines that no live total needs: scores do not change.
        self.members.collect(owner, acked, mine);
    }
}

impl<M: Eq + Hash + Ord + Clone> Reset for ScoreMap<M> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        let residue = self.members.reset(mutation, event);
        self.index = Tree::new();
        Self::of(residue)
    }
}

impl<M: Eq + Hash> Default for ScoreMap<M> {
    fn default() -> Self {
        Self { members: DotMap::default(), index: Tree::new() }
    }
}

impl<M: Eq + Hash> PartialEq for ScoreMap<M> {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl<M: Eq + Hash> Eq for ScoreMap<M> {}

impl<M: Eq + Hash + Ord + Clone + fmt::Debug> fmt::Debug for ScoreMap<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.members.iter().filter_map(|(member, score)| Some((member, score.value()?.get())));
        f.debug_map().entries(shown).finish()
    }
}
