//! The table under sets and maps: few entries in a vector, many in a hash table.
//!
//! A delta nearly always has one entry, which lies in the table itself, without allocation; a nested map has a handful,
//! for which a vector is smaller and faster than any hash table. Beyond [`FEW_MAX`] entries the hash table keeps every access O(1).
//!
//! A table is *whole* or *listing*. In a whole table a key that is missing has nothing live under it, so a context
//! shipped with the table applies to every key. A listing table (in a delta) names just the keys it is about; they
//! stay in it even when nothing is live under them, because that is how a removal says where to look. This is what
//! makes merging a delta O(size of the delta). It is an index only: the context of a delta says the truth about every
//! key, listed or not, and all dots it knows to be dead lie under listed keys.

use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;

/// Up to this many entries are searched one by one.
const FEW_MAX: usize = 8;

/// `K -> V`, the values being dot stores: the store of sets and maps.
///
/// Every access by key costs O(1). Source: `DotMap` in Almeida, Shoker, Baquero, *Delta State Replicated Data Types*
/// (2018), figure 9.
#[derive(Clone)]
pub struct DotMap<K, V> {
    entries: Entries<K, V>,
    listing: bool,
}

#[derive(Clone)]
enum Entries<K, V> {
    Few(SmallVec<[(K, V); 1]>),
    Many(HashMap<K, V>),
}

/// What is to become of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Drop,
}

impl<K: Eq + Hash, V> DotMap<K, V> {
    /// The table that lists nothing: the bottom of deltas.
    pub(crate) fn listing_none() -> Self {
        Self { entries: Entries::Few(SmallVec::new()), listing: true }
    }

    /// The table that lists one key.
    pub(crate) fn listing(key: K, value: V) -> Self {
        let mut few = SmallVec::new();
        few.push((key, value));
        Self { entries: Entries::Few(few), listing: true }
    }

    /// Whether this is the store of a delta that lists the keys it is about, instead of holding all there are.
    #[must_use]
    pub fn is_listing(&self) -> bool {
        self.listing
    }

    pub(crate) fn set_listing(&mut self, listing: bool) {
        self.listing = listing;
    }

    /// How many keys are stored or listed.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.entries {
            Entries::Few(few) => few.len(),
            Entries::Many(many) => many.len(),
        }
    }

    /// Whether no key is stored or listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The store under `key`.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match &self.entries {
            Entries::Few(few) => few.iter().find(|(k, _)| k.borrow() == key).map(|(_, v)| v),
            Entries::Many(many) => many.get(key),
        }
    }

    /// The value under `key`, first made with `V::default()` if there is none.
    pub(crate) fn entry(&mut self, key: &K) -> &mut V
    where
        K: Clone,
        V: Default,
    {
        self.grow_for(1);
        match &mut self.entries {
            Entries::Few(few) => {
                let at = few.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
                    few.push((key.clone(), V::default()));
                    few.len() - 1
                });
                &mut few[at].1
            }
            Entries::Many(many) => many.entry_ref(key).or_default(),
        }
    }

    /// Adds an entry whose key is known to be absent.
    pub(crate) fn insert_new(&mut self, key: K, value: V) {
        self.grow_for(1);
        match &mut self.entries {
            Entries::Few(few) => few.push((key, value)),
            Entries::Many(many) => {
                many.insert(key, value);
            }
        }
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        match &mut self.entries {
            Entries::Few(few) => {
                let at = few.iter().position(|(k, _)| k.borrow() == key)?;
                Some(few.swap_remove(at))
            }
            Entries::Many(many) => many.remove_entry(key),
        }
    }

    /// Hands `key` and `value` to `meet` with what is there; when nothing is, stores what `take` makes of `value`.
    /// Looks the key up once.
    pub(crate) fn meet_or_take(
        &mut self,
        key: K,
        value: V,
        meet: impl FnOnce(&mut V, V) -> Verdict,
        take: impl FnOnce(V) -> Option<V>,
    ) {
        self.grow_for(1);
        match &mut self.entries {
            Entries::Few(few) => match few.iter().position(|(k, _)| *k == key) {
                Some(at) => {
                    if meet(&mut few[at].1, value) == Verdict::Drop {
                        few.swap_remove(at);
                    }
                }
                None => few.extend(take(value).map(|value| (key, value))),
            },
            Entries::Many(many) => match many.entry(key) {
                Entry::Occupied(mut here) => {
                    if meet(here.get_mut(), value) == Verdict::Drop {
                        here.remove();
                    }
                }
                Entry::Vacant(free) => {
                    if let Some(value) = take(value) {
                        free.insert(value);
                    }
                }
            },
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        match &mut self.entries {
            Entries::Few(few) => few.retain_mut(|(k, v)| keep(k, v)),
            Entries::Many(many) => many.retain(|k, v| keep(k, v)),
        }
    }

    /// The keys and stores, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + '_ {
        match &self.entries {
            Entries::Few(few) => Iter::Few(few.iter()),
            Entries::Many(many) => Iter::Many(many.iter()),
        }
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        match self.entries {
            Entries::Few(few) => IntoIter::Few(few.into_iter()),
            Entries::Many(many) => IntoIter::Many(many.into_iter()),
        }
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> + '_ {
        let (few, many) = match &mut self.entries {
            Entries::Few(few) => (Some(few), None),
            Entries::Many(many) => (None, Some(many)),
        };
        few.into_iter().flatten().map(|(_, v)| v).chain(many.into_iter().flat_map(HashMap::values_mut))
    }

    /// Makes room for `more` entries, moving to a hash table when they will be many.
    #[inline]
    pub(crate) fn grow_for(&mut self, more: usize) {
        match &mut self.entries {
            Entries::Few(few) if few.len() + more > FEW_MAX => self.become_many(more),
            Entries::Few(_) => {}
            // One by one the table doubles by itself.
            Entries::Many(many) if more > 1 => many.reserve(more),
            Entries::Many(_) => {}
        }
    }

    #[cold]
    fn become_many(&mut self, more: usize) {
        if let Entries::Few(few) = &mut self.entries {
            let mut many = HashMap::with_capacity(few.len() + more);
            many.extend(few.drain(..));
            self.entries = Entries::Many(many);
        }
    }
}

impl<K: Eq + Hash, V> Default for DotMap<K, V> {
    /// The empty whole table.
    fn default() -> Self {
        Self { entries: Entries::Few(SmallVec::new()), listing: false }
    }
}

impl<K: Eq + Hash + fmt::Debug, V: fmt::Debug> fmt::Debug for DotMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

enum Iter<'a, K, V> {
    Few(core::slice::Iter<'a, (K, V)>),
    Many(hashbrown::hash_map::Iter<'a, K, V>),
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(few) => few.next().map(|(k, v)| (k, v)),
            Self::Many(many) => many.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(few) => few.size_hint(),
            Self::Many(many) => many.size_hint(),
        }
    }
}

enum IntoIter<K, V> {
    Few(smallvec::IntoIter<[(K, V); 1]>),
    Many(hashbrown::hash_map::IntoIter<K, V>),
}

impl<K, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        match self {
            Self::Few(few) => few.next(),
            Self::Many(many) => many.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(few) => few.size_hint(),
            Self::Many(many) => many.size_hint(),
        }
    }
}
