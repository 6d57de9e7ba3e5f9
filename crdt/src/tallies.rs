//! What is inside every counter: a running total per replica, and what resets took away from it.
//!
//! Each replica that counts keeps one cell: its *birth* (the sequence number of its first increment) and its total
//! since then, under the dot of its latest increment, which supersedes the dot before. So a million increments of one
//! replica are one cell. The value is the sum of the cells.
//!
//! # Decision: baselines
//!
//! *Context.* A reset (the removal of the key the counter is nested under) must take away exactly the increments it
//! observed. It saw the cell of A at dot 5 with total 9; A went on to dot 6 with total 10. The context of the reset
//! covers dot 5; the cell of dot 6 survives and must count 1. This is the embedded-counter problem: Baquero, Almeida,
//! Lerche, *The problem with embedded CRDT counters and a solution* (PaPoC 2016).
//!
//! *Choice.* For every live cell of another replica the reset ships a *baseline*: (owner, birth, dot seen, total
//! seen). Baselines of one birth are joined by the greater dot. A cell counts its total less the baseline of its
//! birth; a cell whose dot the baseline has reached is dead. An owner whose cell is gone starts a new birth.
//!
//! *Why it is exact.* Within one birth the total at each dot is fixed and the owner never starts over, so "total now
//! less total seen" is the sum of exactly the increments after the dot seen. A reset by the owner itself needs no
//! baseline: no later increment belongs to that birth.
//!
//! *Rejected.* A dot per increment: exact and free of baselines, but unbounded. One cumulative cell and no baseline:
//! counts observed increments again. Separating increments by epochs, or letting the owner alone subtract: loses or
//! repeats increments. The fresh-dot rule of the paper: exact only if every replica takes a new dot whenever its
//! state was read by a peer, which for deltas is at each increment, so again a dot per increment.
//!
//! *Price.* A reset of a counter that n replicas counted in leaves up to n baselines behind. A baseline goes when a
//! later birth of its owner is known, no cell of its own birth lives, and all of the owner's dots up to that birth
//! have been seen; or when the owner has acknowledged the reset ([`Causal::collect`](crate::Causal::collect)). So there
//! is one baseline for each counter removed and replica, not for each removal.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::{CausalContext, Dot, DotFun, DotStore, Mutation, Observed, Overflow, ReplicaId, Reset, Run, VersionVector};

/// The cells and baselines of a counter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) cells: DotFun<Tally>,
    /// Sorted by owner and birth. Empty, and nothing allocated, in a counter that was never reset.
    baselines: Box<[Baseline]>,
    /// Where the cell counted on last probably is. It is nearly always the same one: that of the replica holding this.
    near: usize,
}

/// What one replica has added since `birth`. Packed to 24 bytes: every counter delta is moved with one inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(8))]
pub(crate) struct Tally {
    pub(crate) birth: u64,
    pub(crate) total: i128,
}

/// What resets took away from the cell that `owner` has had since `birth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Baseline {
    pub(crate) owner: ReplicaId,
    pub(crate) birth: u64,
    /// The owner's latest increment that was taken away, and its total then.
    pub(crate) seen: u64,
    pub(crate) total: i128,
    /// The reset: when its owner has seen this event, it has stopped counting on this birth.
    pub(crate) reset: Dot,
}

impl Tallies {
    /// The sum of all increments that no reset has observed.
    pub(crate) fn value(&self) -> Result<i128, Overflow> {
        let mut sum = 0_i128;
        for (total, taken) in self.counted() {
            sum = total.checked_sub(taken).and_then(|rest| sum.checked_add(rest)).ok_or(Overflow)?;
        }
        Ok(sum)
    }

    /// The totals that count, each with what resets took away from it.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (i128, i128)> + '_ {
        let mut cells = self.cells.iter().peekable();
        core::iter::from_fn(move || {
            loop {
                let (dot, tally) = cells.next()?;
                // The later cell of one birth contains the earlier one, whose superseding is still under way.
                let is_contained =
                    |(next, other): &(Dot, &Tally)| next.replica == dot.replica && other.birth == tally.birth;
                if cells.peek().is_some_and(is_contained) {
                    continue;
                }
                let taken = self.baseline(dot.replica, tally.birth).map_or(0, |baseline| baseline.total);
                return Some((tally.total, taken));
            }
        })
    }

    /// Adds `amount` to the cell of the replica that makes the change.
    #[inline]
    pub(crate) fn add(&mut self, mutation: &mut Mutation<'_>, amount: i128) -> Result<Self, Overflow> {
        let Some(at) = self.cells.own_at(mutation.replica()) else {
            return Ok(self.add_first(mutation.mint(), amount));
        };
        let (earlier, tally) = self.cells.cell_at(at);
        let tally = Tally { total: { tally.total }.checked_add(amount).ok_or(Overflow)?, ..*tally };
        let dot = mutation.mint();
        mutation.supersede(earlier);
        self.cells.succeed_at(at, dot, tally);
        Ok(Self { cells: DotFun::of(dot, tally), ..Self::default() })
    }

    /// Begins a cell with the event `dot`.
    #[cold]
    fn add_first(&mut self, dot: Dot, amount: i128) -> Self {
        let tally = Tally { birth: dot.seq, total: amount };
        self.cells.insert(dot, tally);
        Self { cells: DotFun::of(dot, tally), ..Self::default() }
    }

    /// What [`add`](Self::add) does when nothing is unusual, for a counter with a `context` of its own. `None`: nothing
    /// was touched, take the general way.
    #[inline(always)]
    pub(crate) fn add_alone(
        &mut self,
        context: &mut CausalContext,
        replica: ReplicaId,
        amount: i128,
    ) -> Option<(Self, CausalContext)> {
        let at = self.cells.own_near(replica, self.near)?;
        let (earlier, tally) = self.cells.cell_at(at);
        let tally = Tally { total: { tally.total }.checked_add(amount)?, ..*tally };
        if amount == 0 || earlier.seq <= 1 {
            return None;
        }
        let dot = context.mint_next(earlier, at)?;
        self.cells.succeed_at(at, dot, tally);
        self.near = at;
        let delta = Self { cells: DotFun::of(dot, tally), ..Self::default() };
        Some((delta, CausalContext::of(Run { replica, first: earlier.seq, last: dot.seq })))
    }

    pub(crate) fn baselines(&self) -> &[Baseline] {
        &self.baselines
    }

    /// Takes in baselines in any order. O(n log n), also when a peer made up a million of them.
    pub(crate) fn take_baselines(&mut self, new: impl IntoIterator<Item = Baseline>) {
        let mut all = core::mem::take(&mut self.baselines).into_vec();
        all.extend(new);
        // The greatest dot seen comes first. If the same dot was seen by two resets, either event would do; the greater
        // is the same everywhere.
        all.sort_unstable_by_key(|b| (b.owner, b.birth, Reverse((b.seen, b.reset, b.total))));
        all.dedup_by_key(|b| (b.owner, b.birth));
        self.baselines = all.into_boxed_slice();
    }

    fn baseline(&self, owner: ReplicaId, birth: u64) -> Option<&Baseline> {
        let baselines = self.baselines();
        baselines.binary_search_by_key(&(owner, birth), |b| (b.owner, b.birth)).ok().map(|at| &baselines[at])
    }

    /// Drops the cells that a baseline has reached.
    fn bury(&mut self) {
        let mut cells = core::mem::take(&mut self.cells);
        cells.retain(|dot, tally| self.baseline(dot.replica, tally.birth).is_none_or(|b| b.seen < dot.seq));
        self.cells = cells;
    }

    /// Drops the baselines for which `is_settled` holds and whose birth has no live cell.
    fn settle(&mut self, is_settled: impl Fn(&Baseline) -> bool) {
        let live: BTreeSet<(ReplicaId, u64)> =
            self.cells.iter().map(|(dot, tally)| (dot.replica, tally.birth)).collect();
        let is_kept = |b: &&Baseline| live.contains(&(b.owner, b.birth)) || !is_settled(b);
        self.baselines = self.baselines.iter().filter(is_kept).copied().collect();
    }

    /// The latest birth known of each owner.
    fn latest_births(&self) -> BTreeMap<ReplicaId, u64> {
        let mut latest = BTreeMap::new();
        let births = self.cells.iter().map(|(dot, tally)| (dot.replica, tally.birth));
        for (owner, birth) in births.chain(self.baselines.iter().map(|b| (b.owner, b.birth))) {
            let known = latest.entry(owner).or_insert(birth);
            *known = birth.max(*known);
        }
        latest
    }
}

impl DotStore for Tallies {
    const LEAVES_RESIDUE: bool = true;

    fn is_bottom(&self) -> bool {
        self.cells.is_empty() && self.baselines().is_empty()
    }

    fn has_dots(&self) -> bool {
        !self.cells.is_empty()
    }

    fn is_live(&self) -> bool {
        !self.cells.is_empty()
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        DotStore::join(&mut self.cells, my_context, theirs.cells, their_context);
        if self.baselines.is_empty() && theirs.baselines.is_empty() {
            return;
        }
        // Baselines are joined by the greater dot seen; they are no matter of contexts.
        if !theirs.baselines.is_empty() {
            self.take_baselines(theirs.baselines);
        }
        self.bury();
        // A later birth says that the owner itself saw everything of the earlier one gone, and the context says that
        // no cell of the earlier one is still to come.
        let latest = self.latest_births();
        self.settle(|baseline| {
            let latest = latest[&baseline.owner];
            latest > baseline.birth && my_context.joint_prefix(their_context, baseline.owner) >= latest - 1
        });
    }

    fn forget(&mut self, context: &CausalContext) {
        DotStore::forget(&mut self.cells, context);
    }

    fn make_whole(&mut self) {}

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.cells.for_each_dot(visit);
    }

    fn since(&self, seen: &VersionVector) -> Self {
        // Baselines are restated, as removals are.
        Self { cells: self.cells.since(seen), baselines: self.baselines.clone(), near: 0 }
    }

    /// A cell and the baseline of its birth stay together.
    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        let mut lone = self.baselines.into_vec();
        let births: BTreeSet<_> = self.cells.iter().map(|(dot, tally)| (dot.replica, tally.birth)).collect();
        let joined: BTreeMap<_, _> =
            lone.extract_if(.., |b| births.contains(&(b.owner, b.birth))).map(|b| ((b.owner, b.birth), b)).collect();
        for (dot, tally) in self.cells.into_cells() {
            let baselines = joined.get(&(dot.replica, tally.birth)).copied().into_iter().collect();
            emit(Self { cells: DotFun::of(dot, tally), baselines, near: 0 });
        }
        for baseline in lone {
            emit(Self { baselines: Box::new([baseline]), ..Self::default() });
        }
    }

    fn strip(&mut self) {
        *self = Self::default();
    }

    fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, _mine: &CausalContext) {
        self.settle(|baseline| baseline.owner == owner && acked.covers(baseline.reset));
    }
}

impl Reset for Tallies {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        let mut taken = Vec::new();
        for (dot, tally) in self.cells.iter() {
            mutation.supersede(dot);
            if dot.replica != mutation.replica() {
                let Tally { birth, total } = *tally;
                taken.push(Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: event });
            }
        }
        self.cells = DotFun::new();
        let mut residue = Self::default();
        residue.take_baselines(taken);
        if !residue.baselines.is_empty() {
            self.take_baselines(residue.baselines.iter().copied());
        }
        residue
    }
}

/// Equal when the same cells live and count the same. A baseline that no live cell needs does not show.
impl PartialEq for Tallies {
    fn eq(&self, other: &Self) -> bool {
        self.cells == other.cells
            && self.cells.iter().all(|(dot, tally)| {
                let total = |all: &Self| all.baseline(dot.replica, tally.birth).map_or(0, |b| b.total);
                total(self) == total(other)
            })
    }
}

impl Eq for Tallies {}
