//! Which keys may be evicted, and how: drawn at random, told by their uses, removed as by any other deletion.

use super::Store;
use super::cell::hash_of;
use super::database;
use super::memory::bucket::{BUCKETS, Bucket, bucket_of};
use super::memory::uses::{Use, UseRule, Uses};
use super::read::view::View;

/// A key that may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evictable<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its hash.
    pub hash: u64,
    /// When it ends, if it does.
    pub deadline: Option<u64>,
}

impl Store {
    /// Remembers the uses of keys by this rule from now on; by none, forgets them. What was counted by a rule of the same kind
    /// stays.
    pub fn keep_uses(&mut self, rule: Option<UseRule>, wall_ms: u64) {
        let kept = self.uses.as_mut().zip(rule).is_some_and(|(uses, rule)| uses.adapt(rule));
        if !kept {
            self.uses = rule.map(|rule| Uses::new(rule, wall_ms, self.id.get()));
        }
    }

    /// By what rule the uses of keys are remembered.
    #[must_use]
    pub fn use_rule(&self) -> Option<UseRule> {
        self.uses.as_ref().map(Uses::rule)
    }

    /// A key of this hash was read, here or elsewhere. O(1).
    pub fn note_read(&mut self, key_hash: u64, wall_ms: u64) {
        if let Some(uses) = &mut self.uses {
            let keys = self.buckets[bucket_of(key_hash)].keys.len();
            uses.note(key_hash, keys, wall_ms, Use::Again);
        }
    }

    /// How many milliseconds ago a key was used last, if that is remembered.
    #[must_use]
    pub fn idle_ms(&self, key: &[u8], wall_ms: u64) -> Option<u64> {
        let uses = self.uses.as_ref().filter(|uses| uses.rule() == UseRule::Recency)?;
        Some(uses.idle_ms(hash_of(key), wall_ms))
    }

    /// How often a key was used lately, on a scale of 0 to 255, if that is remembered.
    #[must_use]
    pub fn frequency(&self, key: &[u8], wall_ms: u64) -> Option<u8> {
        let uses = self.uses.as_ref().filter(|uses| uses.rule() != UseRule::Recency)?;
        Some(uses.frequency(hash_of(key), wall_ms))
    }

    /// Has a key count as used last at `wall_ms`, and with this frequency.
    pub fn set_use(&mut self, key: &[u8], wall_ms: u64, frequency: u8) {
        if let Some(uses) = &mut self.uses {
            let hash = hash_of(key);
            uses.set(hash, self.buckets[bucket_of(hash)].keys.len(), wall_ms, frequency);
        }
    }

    /// How much sooner than others a key is to go, by its uses: the more, the sooner.
    pub(crate) fn disuse(&self, key_hash: u64, wall_ms: u64) -> u64 {
        let of_rule = |uses: &Uses| match uses.rule() {
            UseRule::Recency => uses.idle_ms(key_hash, wall_ms),
            UseRule::Frequency { .. } => u64::from(u8::MAX - uses.frequency(key_hash, wall_ms)),
        };
        self.uses.as_ref().map_or(0, of_rule)
    }

    /// A key that may be evicted, at random, if the one that is drawn may; of those that end by themselves alone, where it is
    /// `volatile`. `below` draws a number below another. O(1), but O(buckets) where few have such keys.
    pub(crate) fn draw_evictable(
        &self,
        volatile: bool,
        wall_ms: u64,
        below: &mut impl FnMut(usize) -> usize,
    ) -> Option<Evictable<'_>> {
        let first = below(BUCKETS);
        let has_some = |bucket: &Bucket| if volatile { bucket.keys.volatile() > 0 } else { bucket.keys.len() > 0 };
        let index = (first..BUCKETS).chain(0..first).find(|at| has_some(&self.buckets[*at]))?;
        let keys = &self.buckets[index].keys;
        let (key, _) = if volatile { keys.draw_volatile(index, below)? } else { keys.draw(below)? };
        self.evictable(key, wall_ms).filter(|it| !volatile || it.deadline.is_some())
    }

    /// A key as one that may be evicted, if it may: it is visible to clients, and holds no ballots, which are a matter of those
    /// who cast them.
    pub(crate) fn evictable<'a>(&'a self, key: &'a [u8], wall_ms: u64) -> Option<Evictable<'a>> {
        let (hash, now) = (hash_of(key), self.now(wall_ms));
        let bucket = &self.buckets[bucket_of(hash)];
        let entry = bucket.keys.get(hash, key)?;
        if database::parts(key).0 == database::SYSTEM || entry.holds_ballots() {
            return None;
        }
        let view = View::new(bucket, entry, (hash, key), now)?;
        Some(Evictable { key, hash, deadline: view.deadline() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cahoots_crdt::ReplicaId;

    use super::*;
    use crate::store::database::{SYSTEM, stored};
    use crate::store::{By, Change, Class, What};
    use crate::{Limits, mix};

    const WALL: u64 = 1_700_000_000_000;

    fn drawn(store: &Store, volatile: bool) -> BTreeSet<Vec<u8>> {
        let mut random = 1;
        let mut below = |max: usize| usize::try_from(mix::next(&mut random) % max as u64).unwrap();
        (0..20_000).filter_map(|_| store.draw_evictable(volatile, WALL, &mut below)).map(|it| it.key.to_vec()).collect()
    }

    #[test]
    fn what_is_evictable_is_drawn_and_nothing_else() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1000);
        assert!(drawn(&store, false).is_empty() && drawn(&store, true).is_empty());
        store.write(WALL, 0, |w| w.set(&stored(SYSTEM, b"library"), b"v")).unwrap();
        store.write(WALL, 0, |w| w.cast(b"vote", Class::Vote, b"yes")).unwrap();
        store.write(WALL, 0, |w| w.set_until(b"gone", b"v", Some(WALL))).unwrap();
        let (mut all, mut volatile) = (BTreeSet::new(), BTreeSet::new());
        for number in 0..40_u32 {
            let key = stored(u8::try_from(number % 3).unwrap(), format!("k{number}").as_bytes()).into_owned();
            let deadline = (number % 4 == 0).then_some(WALL + 1_000_000);
            store.write(WALL, 0, |w| w.set_until(&key, b"v", deadline)).unwrap();
            if number % 4 == 0 {
                volatile.insert(key.clone());
            }
            all.insert(key);
        }
        store.write(WALL, 0, |w| w.insert(b"h", Class::Hash, b"f", b"v")).unwrap();
        store.write(WALL, 0, |w| w.expire_field(b"h", b"f", Some(WALL + 9_000))).unwrap();
        all.insert(b"h".to_vec()); // a field of it ends, and not the key
        assert_eq!((drawn(&store, false), drawn(&store, true)), (all, volatile));
    }

    #[test]
    fn an_evicted_key_is_deleted_and_told_of_as_such() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1000);
        let empty = store.used();
        store.write(WALL, 0, |w| w.set(b"k", b"v")).unwrap();
        store.record_changes(true);
        assert!(store.used() > empty);
        assert_eq!(store.write(WALL, 0, |w| (w.evict(b"k"), w.evict(b"k"))), (Ok(true), Ok(false)));
        assert_eq!(store.used(), empty);
        let told = Change::Key { key: b"k"[..].into(), class: Class::Text, what: What::Removed, by: By::Bound };
        assert_eq!((store.poll_change(), store.poll_change()), (Some(told), None));
    }
}
