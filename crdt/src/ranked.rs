//! A table of dot stores in the order of its keys, which knows ranks: the store of lists.
//!
//! Like [`DotMap`](crate::DotMap) it is *whole*, or *listing* the keys a delta is about; see there. Access by key or
//! rank costs O(log n), merging a delta of k keys O(k log n), or a pass over everything when k is not small.

use alloc::vec::Vec;

use crate::tree::{Iter, Tree};
use crate::{CausalContext, Dot, DotStore, VersionVector};

#[derive(Clone, Debug)]
pub(crate) struct Ranked<K, V> {
    tree: Tree<K, V>,
    listing: bool,
}

impl<K, V> Ranked<K, V> {
    pub(crate) fn is_listing(&self) -> bool {
        self.listing
    }

    /// How many keys are stored or listed.
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(crate) fn nth(&self, rank: usize) -> Option<(&K, &V)> {
        self.tree.nth(rank)
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        self.tree.iter()
    }

    /// The entries of these ranks, which must be there.
    pub(crate) fn range(&self, ranks: core::ops::Range<usize>) -> Iter<'_, K, V> {
        self.tree.range(ranks)
    }
}

impl<K: Ord + Clone, V> Ranked<K, V> {
    /// A table of entries that are sorted already.
    pub(crate) fn from_sorted(entries: Vec<(K, V)>, listing: bool) -> Self {
        Self { tree: Tree::from_sorted(entries), listing }
    }

    pub(crate) fn search(&self, key: &K) -> Result<usize, usize> {
        self.tree.search(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.tree.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.tree.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<(K, V)> {
        self.tree.remove(key)
    }

    /// Hands every value to `change`, and keeps the entry if that says so. O(n).
    pub(crate) fn retain(&mut self, mut change: impl FnMut(&mut V) -> bool) {
        let mut entries = core::mem::take(&mut self.tree).into_vec();
        entries.retain_mut(|(_, value)| change(value));
        self.tree = Tree::from_sorted(entries);
    }
}

impl<K, V> Default for Ranked<K, V> {
    fn default() -> Self {
        Self { tree: Tree::new(), listing: false }
    }
}

/// From so small a part of the table on, entries are looked up one by one.
const ONE_BY_ONE: usize = 8;

impl<K: Ord + Clone, V: DotStore> Ranked<K, V> {
    /// Keys on both sides are joined, `(m(k), c) ⊔ (m'(k), c')`; the others meet ⊥ under the other's context.
    fn join_one_by_one(&mut self, mine: &CausalContext, theirs: Vec<(K, V)>, their_context: &CausalContext) {
        let whole = !self.listing;
        for (key, mut value) in theirs {
            if let Some(here) = self.tree.get_mut(&key) {
                here.join(mine, value, their_context);
                if whole && here.is_bottom() {
                    self.tree.remove(&key);
                }
                continue;
            }
            value.forget(mine);
            if whole {
                value.make_whole();
            }
            if !whole || !value.is_bottom() {
                self.tree.insert(key, value);
            }
        }
    }

    /// The same in one pass over both.
    fn join_in_order(&mut self, mine: &CausalContext, theirs: Self, their_context: &CausalContext) {
        let (was_listing, forgets) = (self.listing, !theirs.listing);
        self.listing = self.listing && theirs.listing;
        let whole = !self.listing;
        let here = core::mem::take(&mut self.tree).into_vec();
        let there = theirs.tree.into_vec();
        let mut joined = Vec::with_capacity(here.len().max(there.len()));
        let mut keep = |key: K, mut value: V, is_delta: bool| {
            if whole && is_delta {
                value.make_whole();
            }
            if !whole || !value.is_bottom() {
                joined.push((key, value));
            }
        };
        let (mut here, mut there) = (here.into_iter().peekable(), there.into_iter().peekable());
        loop {
            let order = match (here.peek(), there.peek()) {
                (Some(a), Some(b)) => a.0.cmp(&b.0),
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let a = if order.is_le() { here.next() } else { None };
            let b = if order.is_ge() { there.next() } else { None };
            match (a, b) {
                (Some((key, mut value)), Some((_, other))) => {
                    value.join(mine, other, their_context);
                    keep(key, value, was_listing);
                }
                (Some((key, mut value)), None) => {
                    // A listing table has nothing to say about keys it does not list.
                    if forgets {
                        value.forget(their_context);
                    }
                    keep(key, value, was_listing);
                }
                (None, Some((key, mut value))) => {
                    value.forget(mine);
                    keep(key, value, true);
                }
                (None, None) => {}
            }
        }
        self.tree = Tree::from_sorted(joined);
    }
}

impl<K: Ord + Clone, V: DotStore> DotStore for Ranked<K, V> {
    const LEAVES_RESIDUE: bool = V::LEAVES_RESIDUE;

    fn nothing() -> Self {
        Self { tree: Tree::new(), listing: true }
    }

    // In a whole table the first entry answers each of these, unless it is all residue.
    fn is_bottom(&self) -> bool {
        self.iter().all(|(_, value)| value.is_bottom())
    }

    fn has_dots(&self) -> bool {
        self.iter().any(|(_, value)| value.has_dots())
    }

    fn is_live(&self) -> bool {
        self.iter().any(|(_, value)| value.is_live())
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        let is_small = theirs.len() <= self.len() / ONE_BY_ONE || theirs.len() <= 1;
        if theirs.listing && is_small {
            self.join_one_by_one(my_context, theirs.tree.into_vec(), their_context);
        } else {
            self.join_in_order(my_context, theirs, their_context);
        }
    }

    fn forget(&mut self, context: &CausalContext) {
        let listing = self.listing;
        self.retain(|value| {
            value.forget(context);
            listing || !value.is_bottom()
        });
    }

    fn make_whole(&mut self) {
        self.listing = false;
        self.retain(|value| {
            value.make_whole();
            !value.is_bottom()
        });
    }

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        for (_, value) in self.iter() {
            value.for_each_dot(visit);
        }
    }

    fn since(&self, seen: &VersionVector) -> Self {
        let lacking = self.iter().map(|(key, value)| (key, value.since(seen)));
        let lacking = lacking.filter(|(_, value)| !value.is_bottom()).map(|(key, value)| (key.clone(), value));
        Self::from_sorted(lacking.collect(), false)
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        for (key, value) in self.tree.into_vec() {
            value.atoms(&mut |atom| emit(Self::from_sorted(alloc::vec![(key.clone(), atom)], true)));
        }
    }

    /// What is dead in a whole table may lie anywhere, so that stays whole; a listing one keeps its keys.
    fn strip(&mut self) {
        if self.listing {
            self.retain(|value| {
                value.strip();
                true
            });
        } else {
            *self = Self::default();
        }
    }
}

/// Equal when the same dots are live with the same values; what is only listed does not count.
impl<K: Ord, V: DotStore + PartialEq> PartialEq for Ranked<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let dotted = |(_, value): &(&K, &V)| value.has_dots();
        self.iter().filter(dotted).eq(other.iter().filter(dotted))
    }
}

impl<K: Ord, V: DotStore + Eq> Eq for Ranked<K, V> {}
