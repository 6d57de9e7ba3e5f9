//! What keys take of the memory.

use super::bucket::{BUCKETS, Bucket, bucket_of};
use crate::store::Store;
use crate::store::cell::hash_of;

/// Bytes that a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMemory {
    /// What clients gave it: the key, names and values. A number that is counted is 8 bytes.
    pub value: usize,
    /// What replication and looking it up cost beside that: dots, clocks, lengths, tables, room left by rounding.
    pub metadata: usize,
}

/// What a store takes that is empty.
const EMPTY_BYTES: usize = BUCKETS * size_of::<Bucket>();

impl Store {
    /// What one key takes, if it exists. O(its elements).
    #[must_use]
    pub fn memory_of(&self, key: &[u8]) -> Option<KeyMemory> {
        let hash = hash_of(key);
        let Bucket { keys, .. } = &self.buckets[bucket_of(hash)];
        let (at, entry) = keys.find(hash, key)?;
        let elements = entry.iter().map(|(class, name, element)| {
            let values: usize = element.value.iter().map(|(_, register)| register.value.len()).sum();
            // Positions and ids are ours.
            let name = if class.is_ordered() { 0 } else { name.len() };
            name + values + element.counts.len() * size_of::<i64>()
        });
        let value = key.len() + elements.sum::<usize>();
        Some(KeyMemory { value, metadata: keys.memory_of(at).saturating_sub(value) })
    }

    /// Bytes that all keys take, the room their tables have to spare included. O(buckets + keys with tables).
    #[must_use]
    pub fn memory(&self) -> usize {
        let buckets = self.buckets.iter().map(|bucket| bucket.keys.memory());
        buckets.sum::<usize>() + self.buckets.capacity() * size_of::<Bucket>()
    }
}

impl Store {
    /// Bytes that the data takes: keys and all that lies under them as it is packed, with a place in a table for each, and what a
    /// store takes that is empty. Not the room that tables have to spare, nor what is queued: so it falls by what a key takes
    /// as soon as the key is gone. O(1).
    #[inline]
    #[must_use]
    pub fn used(&self) -> usize {
        EMPTY_BYTES + self.draft.used()
    }

    /// Whether [`Store::used`] is what it comes to when it is counted anew. O(all elements).
    pub(in crate::store) fn used_is_exact(&self) -> bool {
        self.draft.used() == self.buckets.iter().map(|bucket| bucket.keys.count_used()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::ReplicaId;

    use super::*;
    use crate::Limits;
    use crate::store::Class;

    #[test]
    fn what_keys_take_adds_up_to_what_all_take() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1000);
        let key = |number: u32| format!("key:{number:016}");
        for number in 0..20_000 {
            store.write(0, 0, |writer| writer.set(key(number).as_bytes(), b"0123456789abcdef")).unwrap();
        }
        for number in 0..20_000 {
            let member = format!("member:{number:011}");
            store.write(0, 0, |writer| writer.insert(b"set", Class::Set, member.as_bytes(), b"")).unwrap();
        }
        store.write(0, 0, |writer| writer.add(b"hits", 1)).unwrap();
        let text = store.memory_of(key(7).as_bytes()).unwrap();
        assert_eq!(text.value, 20 + 16);
        assert!((24..64).contains(&text.metadata), "{text:?}");
        let set = store.memory_of(b"set").unwrap();
        assert_eq!(set.value, 3 + 20_000 * 18);
        assert!((20_000 * 24..20_000 * 64).contains(&set.metadata), "{set:?}");
        assert_eq!(store.memory_of(b"hits").unwrap().value, 4 + 8);
        assert_eq!(store.memory_of(b"absent"), None);

        assert!(store.used_is_exact());
        let (used, taken) = (store.used(), store.memory());
        assert!((taken * 6 / 10..=taken).contains(&used), "{used} of {taken}");
        let all = set.value + set.metadata + 20_000 * (text.value + text.metadata);
        assert!((all * 9 / 10..all * 14 / 10).contains(&store.memory()), "{} of keys, {} in all", all, store.memory());
    }
}
