//! Shorter spellings for the maps people use most: of registers, of counters, and multimaps.

use core::borrow::Borrow;
use core::hash::Hash;

use crate::{
    AwSet, BoundedCounter, BoundedError, Causal, GCounter, GSet, LwwRegister, MaxRegister, MinRegister, MvRegister,
    OrMap, Overflow, PnCounter, ReplicaId, RwSet, StaleStamp,
};

/// Maps of multi-value registers.
impl<K: Eq + Hash + Clone, T: Clone> Causal<OrMap<K, MvRegister<T>>> {
    /// Writes `value` under `key`, over all values seen there.
    ///
    /// ```
    /// use cahoots_crdt::{Causal, MvRegister, OrMap, ReplicaId};
    ///
    /// let mut names: Causal<OrMap<u32, MvRegister<&str>>> = Causal::new();
    /// let _delta = names.set(ReplicaId::new(1), 7, "Ada");
    /// assert_eq!(names.get(&7).unwrap().get(), Some(&"Ada"));
    /// ```
    pub fn set(&mut self, replica: ReplicaId, key: K, value: T) -> Self {
        self.update(replica, key, |register, mutation| register.write(mutation, value))
    }
}

/// Maps of last-writer-wins registers.
impl<K: Eq + Hash + Clone, T: Clone, C: Ord + Clone> Causal<OrMap<K, LwwRegister<T, C>>> {
    /// Writes `value` under `key` with `stamp`.
    ///
    /// # Errors
    /// See [`LwwRegister::write`].
    pub fn set(&mut self, replica: ReplicaId, key: K, stamp: C, value: T) -> Result<Self, StaleStamp> {
        self.try_update(replica, key, |register, mutation| register.write(mutation, stamp, value))
    }

    /// The winning value under `key`.
    #[must_use]
    pub fn value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        self.get(key).and_then(LwwRegister::get)
    }
}

macro_rules! extremum_map {
    ($(#[$doc:meta])* $register:ident) => {
        $(#[$doc])*
        impl<K: Eq + Hash + Clone, T: Ord + Clone> Causal<OrMap<K, $register<T>>> {
            /// Writes `value` under `key`; when it is no better than the value seen there: no event.
            pub fn set(&mut self, replica: ReplicaId, key: K, value: T) -> Self {
                self.update(replica, key, |register, mutation| register.write(mutation, value))
            }

            /// The best value under `key`.
            #[must_use]
            pub fn value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&T>
            where
                K: Borrow<Q>,
            {
                self.get(key).and_then($register::get)
            }
        }
    };
}

extremum_map! {
    /// Maps of registers in which the largest value wins.
    MaxRegister
}

extremum_map! {
    /// Maps of registers in which the smallest value wins.
    MinRegister
}

/// Maps of counters.
impl<K: Eq + Hash + Clone> Causal<OrMap<K, PnCounter>> {
    /// Adds `amount` to the counter under `key`.
    ///
    /// # Errors
    /// See [`PnCounter::add`].
    pub fn add(&mut self, replica: ReplicaId, key: K, amount: i64) -> Result<Self, Overflow> {
        self.try_update(replica, key, |counter, mutation| counter.add(mutation, amount))
    }

    /// The total under `key`, 0 when there is none.
    ///
    /// # Errors
    /// See [`PnCounter::value`].
    pub fn value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Result<i64, Overflow>
    where
        K: Borrow<Q>,
    {
        self.get(key).map_or(Ok(0), PnCounter::value)
    }
}

/// Maps of growing counters.
impl<K: Eq + Hash + Clone> Causal<OrMap<K, GCounter>> {
    /// Adds `amount` to the counter under `key`.
    ///
    /// # Errors
    /// See [`GCounter::increment`].
    pub fn increment(&mut self, replica: ReplicaId, key: K, amount: u64) -> Result<Self, Overflow> {
        self.try_update(replica, key, |counter, mutation| counter.increment(mutation, amount))
    }

    /// The total under `key`, 0 when there is none.
    ///
    /// # Errors
    /// See [`GCounter::value`].
    pub fn value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Result<u64, Overflow>
    where
        K: Borrow<Q>,
    {
        self.get(key).map_or(Ok(0), GCounter::value)
    }
}

/// Maps of bounded counters. No key can be removed, see [`BoundedCounter`].
///
/// ```
/// use cahoots_crdt::{BoundedCounter, Causal, OrMap, ReplicaId};
///
/// let shop = ReplicaId::new(1);
/// let mut stock: Causal<OrMap<&str, BoundedCounter>> = Causal::new();
/// let _delta = stock.increment(shop, "tickets", 10)?;
/// let _delta = stock.decrement(shop, "tickets", 3)?;
/// assert!(stock.decrement(shop, "tickets", 8).is_err());
/// assert_eq!((stock.value("tickets")?, stock.value("posters")?), (7, 0));
/// # Ok::<(), cahoots_crdt::BoundedError>(())
/// ```
impl<K: Eq + Hash + Clone> Causal<OrMap<K, BoundedCounter>> {
    /// Adds `amount` to the counter under `key`.
    ///
    /// # Errors
    /// See [`BoundedCounter::increment`].
    pub fn increment(&mut self, replica: ReplicaId, key: K, amount: u64) -> Result<Self, BoundedError> {
        self.try_update(replica, key, |counter, mutation| counter.increment(mutation, amount))
    }

    /// Subtracts `amount` from the counter under `key`.
    ///
    /// # Errors
    /// See [`BoundedCounter::decrement`].
    pub fn decrement(&mut self, replica: ReplicaId, key: K, amount: u64) -> Result<Self, BoundedError> {
        self.try_update(replica, key, |counter, mutation| counter.decrement(mutation, amount))
    }

    /// Hands `amount` of the rights that `replica` has under `key` to `to`.
    ///
    /// # Errors
    /// See [`BoundedCounter::transfer`].
    pub fn transfer(&mut self, replica: ReplicaId, key: K, to: ReplicaId, amount: u64) -> Result<Self, BoundedError> {
        self.try_update(replica, key, |counter, mutation| counter.transfer(mutation, to, amount))
    }

    /// The total under `key` above the bound, 0 when there is none.
    ///
    /// # Errors
    /// See [`BoundedCounter::value`].
    pub fn value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Result<u64, Overflow>
    where
        K: Borrow<Q>,
    {
        self.get(key).map_or(Ok(0), BoundedCounter::value)
    }
}

macro_rules! multimap {
    ($(#[$doc:meta])* $set:ident, $member:ident: $borrowed:ty) => {
        $(#[$doc])*
        impl<K: Eq + Hash + Clone, T: Eq + Hash + Clone> Causal<OrMap<K, $set<T>>> {
            /// Adds `member` to the set under `key`.
            pub fn insert(&mut self, replica: ReplicaId, key: K, member: T) -> Self {
                self.update(replica, key, |set, mutation| set.add(mutation, member))
            }

            /// Removes `member` from the set under `key`.
            pub fn remove_member(&mut self, replica: ReplicaId, key: K, $member: $borrowed) -> Self {
                self.update(replica, key, |set, mutation| set.remove(mutation, $member))
            }

            /// Whether the set under `key` has `member`.
            #[must_use]
            pub fn contains<Q: Eq + Hash + ?Sized, M: Eq + Hash + ?Sized>(&self, key: &Q, member: &M) -> bool
            where
                K: Borrow<Q>,
                T: Borrow<M>,
            {
                self.get(key).is_some_and(|set| set.contains(member))
            }
        }
    };
}

multimap! {
    /// Multimaps in which adds win.
    AwSet, member: &T
}

multimap! {
    /// Multimaps in which removes win.
    RwSet, member: T
}

/// Multimaps that grow until a key is removed.
impl<K: Eq + Hash + Clone, T: Eq + Hash + Clone> Causal<OrMap<K, GSet<T>>> {
    /// Adds `member` to the set under `key`.
    pub fn insert(&mut self, replica: ReplicaId, key: K, member: T) -> Self {
        self.update(replica, key, |set, mutation| set.add(mutation, member))
    }

    /// Whether the set under `key` has `member`.
    #[must_use]
    pub fn contains<Q: Eq + Hash + ?Sized, M: Eq + Hash + ?Sized>(&self, key: &Q, member: &M) -> bool
    where
        K: Borrow<Q>,
        T: Borrow<M>,
    {
        self.get(key).is_some_and(|set| set.contains(member))
    }
}
