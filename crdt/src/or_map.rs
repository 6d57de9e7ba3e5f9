//! The observed-remove map: any type of this crate under every key, to any depth.
//!
//! All values share the context of the outermost map. A key is there while its value is live; removing it removes the
//! value's content as observed and nothing else, at every depth, so a value written to concurrently stays with just
//! what is new. There is nothing to create and no empty value: a map of sets has no key without members.
//!
//! Because the context is one and every dot lies under one path, merging decides each cell by its own dot. This is
//! what makes removal exact in every order of merges.

use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotMap, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A map in which removing a key takes away exactly what was observed under it.
///
/// | A does | B does, concurrently | both read under `k` |
/// | --- | --- | --- |
/// | `update(k, write 1)` | `remove(k)` | what A wrote, nothing older |
/// | `update(k, ..)` | `update(k, ..)` | the values merged |
/// | `remove(k)` | `remove(k)` | nothing |
///
/// Reading and updating a key costs O(1) plus the value's own cost; removing it O(what is under it); merging a delta
/// O(what it touches); merging a state O(n + m).
///
/// There is nothing to create and no empty value: a key is there while its value shows something, so a map of sets
/// has no key without members.
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7.4.4.
///
/// ```
/// use cahoots_crdt::{AwSet, Causal, Lattice, OrMap, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<OrMap<&str, AwSet<&str>>> = Causal::new();
/// let delta = left.update(a, "fruit", |set, mutation| set.add(mutation, "apple"));
/// let mut right: Causal<OrMap<&str, AwSet<&str>>> = Causal::new();
/// right.merge(delta);
///
/// let removed = left.remove(a, "fruit");
/// let added = right.insert(b, "fruit", "pear"); // the same as update, spelt for maps of sets
/// left.merge(added);
/// right.merge(removed);
/// assert_eq!(left, right);
/// assert_eq!(left.get("fruit").unwrap().iter().collect::<Vec<_>>(), [&"pear"]);
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct OrMap<K, V> {
    pub(crate) entries: DotMap<K, V>,
}

impl<K: Eq + Hash, V: DotStore> OrMap<K, V> {
    /// The value under `key`. O(1).
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|value| value.is_live())
    }

    /// Whether there is a value under `key`. O(1).
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The keys and values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + '_ {
        self.entries.iter().filter(|(_, value)| value.is_live())
    }

    /// The keys, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &K> + '_ {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &V> + '_ {
        self.iter().map(|(_, value)| value)
    }

    /// How many keys there are. O(1); O(n) for a delta and for values that leave something behind when removed
    /// (counters, remove-wins sets, disable-wins flags).
    #[must_use]
    pub fn len(&self) -> usize {
        if V::LEAVES_RESIDUE || self.entries.is_listing() { self.iter().count() } else { self.entries.len() }
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Changes the value under `key`, a bottom value when there is none. `change` returns the value's delta; a change
    /// that is no event leaves no trace.
    pub fn update(
        &mut self,
        mutation: &mut Mutation<'_>,
        key: K,
        change: impl FnOnce(&mut V, &mut Mutation<'_>) -> V,
    ) -> Self
    where
        K: Clone,
    {
        let updated = self
            .try_update(mutation, key, |value, mutation| Ok::<_, core::convert::Infallible>(change(value, mutation)));
        match updated {
            Ok(delta) => delta,
            Err(never) => match never {},
        }
    }

    /// Like [`update`](Self::update), for changes that can be refused.
    ///
    /// # Errors
    /// Those of `change`; the map is untouched then, provided `change` left the value untouched.
    pub fn try_update<E>(
        &mut self,
        mutation: &mut Mutation<'_>,
        key: K,
        change: impl FnOnce(&mut V, &mut Mutation<'_>) -> Result<V, E>,
    ) -> Result<Self, E>
    where
        K: Clone,
    {
        let events = mutation.events();
        let value = self.entries.entry(&key);
        let changed = change(value, mutation);
        let is_event = changed.is_ok() && mutation.events() > events;
        if value.is_bottom() && !self.entries.is_listing() {
            self.entries.remove(&key);
        }
        let delta = changed?;
        Ok(Self { entries: if is_event { DotMap::listing(key, delta) } else { DotMap::listing_none() } })
    }

    /// Removes what is seen here under `key`. When nothing is: no event.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, mutation: &mut Mutation<'_>, key: &Q) -> Self
    where
        K: Borrow<Q> + Clone,
        V: Reset,
    {
        let Some((key, mut value)) = self.entries.remove(key) else {
            return Self { entries: DotMap::listing_none() };
        };
        let delta = if value.is_live() {
            let event = mutation.mint();
            DotMap::listing(key.clone(), value.reset(mutation, event))
        } else {
            DotMap::listing_none()
        };
        if !value.is_bottom() {
            self.entries.insert_new(key, value);
        }
        Self { entries: delta }
    }
}

impl<K: Eq + Hash + Clone, V: DotStore> Causal<OrMap<K, V>> {
    /// Changes the value under `key`. See [`OrMap::update`].
    pub fn update(&mut self, replica: ReplicaId, key: K, change: impl FnOnce(&mut V, &mut Mutation<'_>) -> V) -> Self {
        self.mutate(replica, |map, mutation| map.update(mutation, key, change))
    }

    /// Like [`update`](Self::update), for changes that can be refused.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn try_update<E>(
        &mut self,
        replica: ReplicaId,
        key: K,
        change: impl FnOnce(&mut V, &mut Mutation<'_>) -> Result<V, E>,
    ) -> Result<Self, E> {
        self.try_mutate(replica, |map, mutation| map.try_update(mutation, key, change))
    }

    /// Removes what is seen here under `key`. See [`OrMap::remove`].
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, replica: ReplicaId, key: &Q) -> Self
    where
        K: Borrow<Q>,
        V: Reset,
    {
        self.mutate(replica, |map, mutation| map.remove(mutation, key))
    }
}

dot_store_by_field! {
    impl[K: Eq + Hash + Clone, V: DotStore] OrMap<K, V> { entries: DotMap<K, V> }

    const LEAVES_RESIDUE: bool = V::LEAVES_RESIDUE;

    fn is_live(&self) -> bool {
        self.entries.is_live()
    }
}

impl<K: Eq + Hash + Clone, V: Reset> Reset for OrMap<K, V> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { entries: self.entries.reset(mutation, event) }
    }
}

impl<K: Eq + Hash, V> Default for OrMap<K, V> {
    fn default() -> Self {
        Self { entries: DotMap::default() }
    }
}

impl<K: Eq + Hash, V: DotStore + PartialEq> PartialEq for OrMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K: Eq + Hash, V: DotStore + Eq> Eq for OrMap<K, V> {}

impl<K: Eq + Hash + fmt::Debug, V: DotStore + fmt::Debug> fmt::Debug for OrMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
