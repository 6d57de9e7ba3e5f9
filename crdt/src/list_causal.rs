//! The changes of a list that stands alone.

use core::ops::RangeBounds;

use crate::{Causal, Hlc, List, ListError, Position, ReplicaId};

impl<T: Clone> Causal<List<T>> {
    /// Adds `value` after all others.
    ///
    /// # Errors
    /// See [`List::push_back`].
    pub fn push_back(&mut self, replica: ReplicaId, stamp: Hlc, value: T) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.push_back(mutation, stamp, value))
    }

    /// Adds `values` after all others; they stay together.
    ///
    /// # Errors
    /// See [`List::push_back_all`].
    pub fn push_back_all(
        &mut self,
        replica: ReplicaId,
        stamp: Hlc,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.push_back_all(mutation, stamp, values))
    }

    /// Adds `value` before all others.
    ///
    /// # Errors
    /// See [`List::push_front`].
    pub fn push_front(&mut self, replica: ReplicaId, stamp: Hlc, value: T) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.push_front(mutation, stamp, value))
    }

    /// Puts `value` before the element at `index`, or at the end.
    ///
    /// # Errors
    /// See [`List::insert`].
    pub fn insert(&mut self, replica: ReplicaId, stamp: Hlc, index: usize, value: T) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.insert(mutation, stamp, index, value))
    }

    /// Puts `values` before the element at `index`; they stay together.
    ///
    /// # Errors
    /// See [`List::insert_all`].
    pub fn insert_all(
        &mut self,
        replica: ReplicaId,
        stamp: Hlc,
        index: usize,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.insert_all(mutation, stamp, index, values))
    }

    /// Puts `value` directly before `pivot`, whose element may be gone.
    ///
    /// # Errors
    /// See [`List::insert_before`].
    pub fn insert_before(
        &mut self,
        replica: ReplicaId,
        stamp: Hlc,
        pivot: &Position,
        value: T,
    ) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.insert_before(mutation, stamp, pivot, value))
    }

    /// Puts `value` directly after `pivot`, whose element may be gone.
    ///
    /// # Errors
    /// See [`List::insert_after`].
    pub fn insert_after(
        &mut self,
        replica: ReplicaId,
        stamp: Hlc,
        pivot: &Position,
        value: T,
    ) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.insert_after(mutation, stamp, pivot, value))
    }

    /// Writes `value` in the place of the element at `index`.
    ///
    /// # Errors
    /// See [`List::set`].
    pub fn set(&mut self, replica: ReplicaId, stamp: Hlc, index: usize, value: T) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.set(mutation, stamp, index, value))
    }

    /// Moves the element at `from` so that it is at `to` then.
    ///
    /// # Errors
    /// See [`List::move_to`].
    pub fn move_to(&mut self, replica: ReplicaId, stamp: Hlc, from: usize, to: usize) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.move_to(mutation, stamp, from, to))
    }

    /// Removes the element at `index`.
    ///
    /// # Errors
    /// See [`List::remove`].
    pub fn remove(&mut self, replica: ReplicaId, index: usize) -> Result<Self, ListError> {
        self.try_mutate(replica, |list, mutation| list.remove(mutation, index))
    }

    /// Removes the elements at these indices. See [`List::remove_range`].
    pub fn remove_range(&mut self, replica: ReplicaId, indices: impl RangeBounds<usize>) -> Self {
        self.mutate(replica, |list, mutation| list.remove_range(mutation, indices))
    }

    /// Removes all elements but those at these indices. See [`List::retain_range`].
    pub fn retain_range(&mut self, replica: ReplicaId, indices: impl RangeBounds<usize>) -> Self {
        self.mutate(replica, |list, mutation| list.retain_range(mutation, indices))
    }

    /// Removes the elements behind the first `len`. See [`List::truncate`].
    pub fn truncate(&mut self, replica: ReplicaId, len: usize) -> Self {
        self.mutate(replica, |list, mutation| list.truncate(mutation, len))
    }

    /// Removes the first element. See [`List::pop_front`].
    pub fn pop_front(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, List::pop_front)
    }

    /// Removes the last element. See [`List::pop_back`].
    pub fn pop_back(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, List::pop_back)
    }
}
