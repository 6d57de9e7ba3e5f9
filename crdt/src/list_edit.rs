//! How a list is changed.

use alloc::vec::Vec;
use core::ops::{Range, RangeBounds};

use crate::list::{Writes, winner, within};
use crate::position::{Path, Side, Step};
use crate::ranked::Ranked;
use crate::{DotFun, DotStore, Hlc, List, ListError, Mutation, Position, ReplicaId, StaleStamp};

impl<T: Clone> List<T> {
    /// Adds `value` after all others.
    ///
    /// # Errors
    /// [`ListError::Stale`].
    pub fn push_back(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc, value: T) -> Result<Self, ListError> {
        self.insert(mutation, stamp, self.entries.len(), value)
    }

    /// Adds `values` in their order after all others. Whatever others add concurrently, they stay together. Of none: no
    /// event.
    ///
    /// # Errors
    /// [`ListError::Stale`], [`ListError::TooMany`].
    pub fn push_back_all(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, ListError> {
        self.insert_all(mutation, stamp, self.entries.len(), values)
    }

    /// Adds `value` before all others.
    ///
    /// # Errors
    /// [`ListError::Stale`].
    pub fn push_front(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc, value: T) -> Result<Self, ListError> {
        self.put(mutation, stamp, 0, Side::Right, [value])
    }

    /// Puts `value` before the element at `index`; at the end, when `index` is the length.
    ///
    /// # Errors
    /// [`ListError::OutOfRange`], [`ListError::Stale`], [`ListError::TooDeep`].
    pub fn insert(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        index: usize,
        value: T,
    ) -> Result<Self, ListError> {
        self.insert_all(mutation, stamp, index, [value])
    }

    /// Puts `values` in their order before the element at `index`. Whatever others put there concurrently, they stay
    /// together. Of none: no event.
    ///
    /// # Errors
    /// [`ListError::OutOfRange`], [`ListError::Stale`], [`ListError::TooDeep`], [`ListError::TooMany`].
    pub fn insert_all(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        index: usize,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, ListError> {
        if index > self.entries.len() {
            return Err(self.out_of_range(index));
        }
        self.put(mutation, stamp, index, Side::Left, values)
    }

    /// Puts `value` directly before `pivot`, also when the element there has been removed.
    ///
    /// # Errors
    /// [`ListError::Stale`], [`ListError::TooDeep`].
    pub fn insert_before(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        pivot: &Position,
        value: T,
    ) -> Result<Self, ListError> {
        let (Ok(index) | Err(index)) = self.index_of(pivot);
        self.put(mutation, stamp, index, Side::Left, [value])
    }

    /// Puts `value` directly after `pivot`, also when the element there has been removed.
    ///
    /// # Errors
    /// [`ListError::Stale`], [`ListError::TooDeep`].
    pub fn insert_after(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        pivot: &Position,
        value: T,
    ) -> Result<Self, ListError> {
        let index = self.index_of(pivot).map_or_else(|next| next, |index| index + 1);
        self.put(mutation, stamp, index, Side::Right, [value])
    }

    /// Writes `value` in the place of the element at `index`.
    ///
    /// # Errors
    /// [`ListError::OutOfRange`], [`ListError::Stale`].
    pub fn set(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc, index: usize, value: T) -> Result<Self, ListError> {
        self.check(stamp)?;
        let position = self.position(index).ok_or_else(|| self.out_of_range(index))?.clone();
        let writes = DotFun::of(mutation.mint(), (stamp, value));
        if let Some(here) = self.entries.get_mut(&position) {
            mutation.supersede_all(here);
            *here = writes.clone();
        }
        self.latest = stamp;
        Ok(Self::delta(alloc::vec![(position, writes)]))
    }

    /// Takes the element at `from` out and puts it back so that it is at `to` then, in a place of its own: one event.
    /// Moved by two replicas at once, it is there twice. To where it is: no event.
    ///
    /// # Errors
    /// [`ListError::OutOfRange`], [`ListError::Stale`], [`ListError::TooDeep`].
    pub fn move_to(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        from: usize,
        to: usize,
    ) -> Result<Self, ListError> {
        if to >= self.entries.len() {
            return Err(self.out_of_range(to));
        }
        let (position, writes) = self.entries.nth(from).ok_or_else(|| self.out_of_range(from))?;
        let Some(value) = winner(writes).cloned().filter(|_| from != to) else { return Ok(Self::nothing()) };
        let old = position.clone();
        let gap = if to > from { to + 1 } else { to };
        let new = self.places(mutation.replica(), stamp, gap, Side::Left, 1)?;
        let write = |position| (position, DotFun::of(mutation.mint(), (stamp, value.clone())));
        let mut moved: Vec<_> = new.map(write).collect();
        for (position, writes) in &moved {
            self.entries.insert(position.clone(), writes.clone());
        }
        self.latest = stamp;
        if let Some((_, writes)) = self.entries.remove(&old) {
            mutation.supersede_all(&writes);
        }
        moved.insert(if to > from { 0 } else { 1 }, (old, DotFun::new()));
        Ok(Self::delta(moved))
    }

    /// Removes the element at `index`, as seen here: what is written to it concurrently keeps it.
    ///
    /// # Errors
    /// [`ListError::OutOfRange`].
    pub fn remove(&mut self, mutation: &mut Mutation<'_>, index: usize) -> Result<Self, ListError> {
        if index >= self.entries.len() {
            return Err(self.out_of_range(index));
        }
        Ok(self.remove_range(mutation, index..=index))
    }

    /// Removes the elements at these indices, as one event; what lies beyond the end counts for nothing. Of none: no
    /// event.
    pub fn remove_range(&mut self, mutation: &mut Mutation<'_>, indices: impl RangeBounds<usize>) -> Self {
        let range = within(&indices, self.entries.len());
        self.remove_ranks(mutation, core::slice::from_ref(&range))
    }

    /// Removes all elements but those at these indices, as one event. Elements that are added concurrently stay.
    pub fn retain_range(&mut self, mutation: &mut Mutation<'_>, indices: impl RangeBounds<usize>) -> Self {
        let kept = within(&indices, self.entries.len());
        self.remove_ranks(mutation, &[0..kept.start, kept.end..self.entries.len()])
    }

    /// Removes the elements behind the first `len`, as one event. Elements that are added concurrently stay.
    pub fn truncate(&mut self, mutation: &mut Mutation<'_>, len: usize) -> Self {
        self.retain_range(mutation, ..len)
    }

    /// Removes the first element, [`first`](Self::first). Two replicas may both remove the same one.
    pub fn pop_front(&mut self, mutation: &mut Mutation<'_>) -> Self {
        self.remove_range(mutation, ..1)
    }

    /// Removes the last element, [`last`](Self::last). Two replicas may both remove the same one.
    pub fn pop_back(&mut self, mutation: &mut Mutation<'_>) -> Self {
        self.remove_range(mutation, self.entries.len().saturating_sub(1)..)
    }

    fn put(
        &mut self,
        mutation: &mut Mutation<'_>,
        stamp: Hlc,
        index: usize,
        tie: Side,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, ListError> {
        let values: Vec<T> = values.into_iter().collect();
        let places = self.places(mutation.replica(), stamp, index, tie, values.len())?;
        let mut put = Vec::with_capacity(values.len());
        for (position, value) in places.zip(values) {
            let writes = DotFun::of(mutation.mint(), (stamp, value));
            self.entries.insert(position.clone(), writes.clone());
            put.push((position, writes));
            self.latest = stamp;
        }
        Ok(Self::delta(put))
    }

    /// Positions for `count` elements of one change before the element at `index`, in the order of the list.
    fn places(
        &self,
        replica: ReplicaId,
        stamp: Hlc,
        index: usize,
        tie: Side,
        count: usize,
    ) -> Result<impl Iterator<Item = Position> + use<T>, ListError> {
        self.check(stamp)?;
        let count = u32::try_from(count).map_err(|_| ListError::TooMany)?;
        let before = index.checked_sub(1).and_then(|before| self.entries.nth(before));
        let after = self.entries.nth(index);
        let (parent, side) = Position::gap(before.map(|entry| entry.0), after.map(|entry| entry.0), tie);
        let bytes = parent.bytes_below(count.saturating_sub(1));
        if bytes > Position::BYTES_MAX {
            return Err(ListError::TooDeep { bytes, max: Position::BYTES_MAX });
        }
        Ok(siblings(parent, side, stamp, replica, count))
    }

    fn remove_ranks(&mut self, mutation: &mut Mutation<'_>, ranges: &[Range<usize>]) -> Self {
        let ranks = ranges.iter().flat_map(|range| self.entries.range(range.clone()));
        let gone: Vec<Position> = ranks.map(|(position, _)| position.clone()).collect();
        if gone.is_empty() {
            return Self::nothing();
        }
        mutation.mint();
        for position in &gone {
            if let Some((_, writes)) = self.entries.remove(position) {
                mutation.supersede_all(&writes);
            }
        }
        Self::delta(gone.into_iter().map(|position| (position, DotFun::new())).collect())
    }

    /// A new position lies directly beside its neighbours because its clock is above all that were seen.
    fn check(&self, stamp: Hlc) -> Result<(), StaleStamp> {
        if stamp > self.latest { Ok(()) } else { Err(StaleStamp) }
    }

    fn out_of_range(&self, index: usize) -> ListError {
        ListError::OutOfRange { index, len: self.entries.len() }
    }

    fn delta(sorted: Vec<(Position, Writes<T>)>) -> Self {
        Self::of(Ranked::from_sorted(sorted, true))
    }
}

/// Children of one change below one node, in the order of the list: right siblings descend.
fn siblings(parent: Path, side: Side, clock: Hlc, replica: ReplicaId, count: u32) -> impl Iterator<Item = Position> {
    (0..count).map(move |nth| {
        let offset = if side == Side::Left { nth } else { count - 1 - nth };
        parent.child(Step { side, clock, replica, offset })
    })
}
