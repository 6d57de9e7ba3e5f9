//! A dot store that gives each live dot a value.

use smallvec::SmallVec;

use crate::{Dot, Observed, ReplicaId};

/// `Dot -> V`: the values written by events that nothing has superseded yet.
///
/// The store of registers, counter slots and set members: with one live dot it costs no allocation. Source:
/// `DotFun` in Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2016), figure 3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DotFun<V> {
    /// Sorted by dot.
    cells: SmallVec<[(Dot, V); 1]>,
}

impl<V> DotFun<V> {
    /// The store with no live dot.
    #[must_use]
    pub fn new() -> Self {
        Self { cells: SmallVec::new() }
    }

    /// The store in which just `dot` is live.
    #[must_use]
    #[inline]
    pub fn of(dot: Dot, value: V) -> Self {
        let mut cells = SmallVec::new();
        cells.push((dot, value));
        Self { cells }
    }

    /// The value written by `dot`, if it is still live.
    #[must_use]
    pub fn get(&self, dot: Dot) -> Option<&V> {
        self.find(dot).ok().map(|at| &self.cells[at].1)
    }

    /// Mutable access to the value written by `dot`, if it is still live.
    pub fn get_mut(&mut self, dot: Dot) -> Option<&mut V> {
        self.find(dot).ok().map(|at| &mut self.cells[at].1)
    }

    /// Adds or replaces the value of `dot`.
    pub fn insert(&mut self, dot: Dot, value: V) -> Option<V> {
        match self.find(dot) {
            Ok(at) => Some(core::mem::replace(&mut self.cells[at].1, value)),
            Err(at) => {
                self.cells.insert(at, (dot, value));
                None
            }
        }
    }

    /// Keeps the cells for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(Dot, &V) -> bool) {
        if let [(dot, value)] = self.cells.as_slice() {
            if !keep(*dot, value) {
                self.cells.clear();
            }
            return;
        }
        self.cells.retain(|(dot, value)| keep(*dot, value));
    }

    /// The live cells, in order of their dots.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Dot, &V)> + '_ {
        self.cells.iter().map(|(dot, value)| (*dot, value))
    }

    pub(crate) fn into_cells(self) -> impl Iterator<Item = (Dot, V)> {
        self.cells.into_iter()
    }

    /// How many dots are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether no dot is live: the store's bottom.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Merges `theirs`, seen under `their_context`, into this store, seen under `my_context`:
    ///
    /// ```text
    /// (m ∩ m') ∪ {d ∈ m | d ∉ c'} ∪ {d ∈ m' | d ∉ c}
    /// ```
    ///
    /// A dot live on both sides keeps the value it has here: one dot names one event, so the two are equal.
    pub fn join(&mut self, my_context: &impl Observed, theirs: Self, their_context: &impl Observed) {
        // One live dot on either side, and the same: m ∩ m'. Nearly every cell of a merge of two states is this case.
        if let ([(mine, _)], [(other, _)]) = (self.cells.as_slice(), theirs.cells.as_slice())
            && mine == other
        {
            return;
        }
        self.cells.retain(|(dot, _)| theirs.find(*dot).is_ok() || !their_context.covers(*dot));
        let kept = self.cells.len();
        let is_new = |mine: &[(Dot, V)], dot| mine.binary_search_by_key(&dot, |cell| cell.0).is_err();
        for (dot, value) in theirs.cells {
            if is_new(&self.cells[..kept], dot) && !my_context.covers(dot) {
                self.cells.push((dot, value));
            }
        }
        // Two sorted runs. Sorting joins them in one pass; single insertions would move cells once for each, and a peer
        // can make up a million.
        if kept > 0 && self.cells.get(kept).is_some_and(|new| new.0 < self.cells[kept - 1].0) {
            self.cells.sort_by_key(|cell| cell.0);
        }
    }

    /// The live cell of `replica`; of several the latest.
    #[inline]
    pub(crate) fn own(&self, replica: ReplicaId) -> Option<(Dot, &V)> {
        self.own_at(replica).map(|at| (self.cells[at].0, &self.cells[at].1))
    }

    /// Where the latest live cell of `replica` is.
    #[inline]
    pub(crate) fn own_at(&self, replica: ReplicaId) -> Option<usize> {
        let end = self.cells.partition_point(|cell| cell.0.replica <= replica);
        end.checked_sub(1).filter(|at| self.cells[*at].0.replica == replica)
    }

    /// Where the latest live cell of `replica` is; probably at `near`, where it is looked for first.
    #[inline]
    pub(crate) fn own_near(&self, replica: ReplicaId, near: usize) -> Option<usize> {
        let is_own = |at: usize| self.cells.get(at).is_some_and(|cell| cell.0.replica == replica);
        if is_own(near) && !is_own(near + 1) { Some(near) } else { self.own_at(replica) }
    }

    /// The cell at a place that [`own_at`](Self::own_at) gave.
    #[inline]
    pub(crate) fn cell_at(&self, at: usize) -> (Dot, &V) {
        (self.cells[at].0, &self.cells[at].1)
    }

    /// Puts `value` under `dot` where the cell of the latest earlier dot of the same replica is: the order is kept.
    #[inline]
    pub(crate) fn succeed_at(&mut self, at: usize, dot: Dot, value: V) {
        debug_assert!(self.cells[at].0 < dot && self.cells[at].0.replica == dot.replica);
        self.cells[at] = (dot, value);
    }

    /// The cells of which the same replica has no later one.
    ///
    /// A replica that writes a cell has superseded its own earlier one in the same place. While the delta between the
    /// two is under way both are live here, and both must stay, for joins to be associative; but only the latest
    /// counts.
    pub(crate) fn latest(&self) -> impl Iterator<Item = (Dot, &V)> + '_ {
        self.iter()
            .enumerate()
            .filter(|(at, (dot, _))| self.cells.get(at + 1).is_none_or(|next| next.0.replica != dot.replica))
            .map(|(_, cell)| cell)
    }

    fn find(&self, dot: Dot) -> Result<usize, usize> {
        match self.cells.as_slice() {
            [(only, _)] if *only == dot => Ok(0),
            cells => cells.binary_search_by_key(&dot, |cell| cell.0),
        }
    }
}

impl<V> Default for DotFun<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> FromIterator<(Dot, V)> for DotFun<V> {
    fn from_iter<I: IntoIterator<Item = (Dot, V)>>(iter: I) -> Self {
        let mut store = Self::new();
        for (dot, value) in iter {
            store.insert(dot, value);
        }
        store
    }
}
