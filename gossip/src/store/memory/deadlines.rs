//! When something under the keys of a bucket ends: a heap, the first deadline on top.
//!
//! An entry is a deadline and a part of the hash of the key, enough to find it by. Nothing is taken out when a deadline is
//! replaced or a key goes: who takes an entry looks whether it still holds. Entries that hold no more are bounded: when
//! they may be most of the heap, it is made anew from the keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bucket::{BUCKETS, first_hash};

/// Bytes of a deadline in an entry; a later one is taken for the last that fits, which is in the year 10889.
const DEADLINE_BYTES: usize = 6;
const DEADLINE_MAX: u64 = (1 << (8 * DEADLINE_BYTES)) - 1;
/// Bits of a hash in an entry: those behind the bits that the bucket's number is.
const PREFIX_BITS: u32 = u32::BITS;
const PREFIX_SHIFT: u32 = u64::BITS - BUCKETS.ilog2() - PREFIX_BITS;
/// Entries beyond twice the number of keys with deadlines before it is made anew, and the part of all keys beyond that.
const STALE_MIN: usize = 64;
const STALE_PART: usize = 16;
/// Deadlines that are looked at where a mean is asked for.
const SAMPLED: usize = 8;
/// When it is full it grows by one part in this many.
const GROWTH: usize = 8;

type Entry = [u8; DEADLINE_BYTES + size_of::<u32>()];

/// The part of a hash of a key that tells it from the others of its bucket, mostly.
#[expect(clippy::cast_possible_truncation, reason = "the bits above are the bucket's")]
pub(in crate::store) fn prefix_of(key_hash: u64) -> u32 {
    (key_hash >> PREFIX_SHIFT) as u32
}

/// Whether `key_hash`, of a key of the same bucket, begins so.
pub(in crate::store) fn begins_with(key_hash: u64, prefix: u32) -> bool {
    prefix_of(key_hash) == prefix
}

/// The least hash of a key of `bucket` that begins so. All that a table of keys looks at is in this part.
pub(in crate::store) fn hash_from(bucket: usize, prefix: u32) -> u64 {
    first_hash(bucket) | u64::from(prefix) << PREFIX_SHIFT
}

/// The deadlines of one bucket.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Deadlines {
    heap: BinaryHeap<Reverse<Entry>>,
}

impl Deadlines {
    pub(in crate::store) fn push(&mut self, deadline: u64, prefix: u32) {
        let mut entry = Entry::default();
        let deadline = deadline.min(DEADLINE_MAX).to_be_bytes();
        entry[..DEADLINE_BYTES].copy_from_slice(&deadline[size_of::<u64>() - DEADLINE_BYTES..]);
        entry[DEADLINE_BYTES..].copy_from_slice(&prefix.to_be_bytes());
        if self.heap.len() == self.heap.capacity() {
            self.heap.reserve_exact(self.heap.len() / GROWTH + 4);
        }
        self.heap.push(Reverse(entry));
    }

    /// Whether most entries may hold no more, where so many of `keys` keys have deadlines.
    pub(in crate::store) fn is_stale(&self, volatile: usize, keys: usize) -> bool {
        self.heap.len() > 2 * volatile + STALE_MIN + keys / STALE_PART
    }

    pub(in crate::store) fn clear(&mut self) {
        self.heap = BinaryHeap::new();
    }

    /// A few deadlines, those at the top of the heap left out: they are the first ones.
    pub(in crate::store) fn some(&self) -> impl Iterator<Item = u64> + '_ {
        let entries = self.heap.as_slice();
        entries[entries.len() / 2..].iter().take(SAMPLED).map(|Reverse(entry)| deadline_of(entry))
    }

    /// The first deadline.
    pub(in crate::store) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| deadline_of(entry))
    }

    /// The keys of all entries whose deadlines are not after `upto`, some of them several times. O(1) if there is none, else
    /// O(entries).
    pub(in crate::store) fn upto(&self, upto: u64) -> impl Iterator<Item = u32> + '_ {
        let some = self.next().filter(|next| *next <= upto).map(|_| self.heap.iter());
        let entries = some.into_iter().flatten().filter(move |Reverse(entry)| deadline_of(entry) <= upto);
        entries.filter_map(|Reverse(entry)| prefix_in(entry))
    }

    /// Takes the first entry if its deadline is not after `now`.
    pub(in crate::store) fn pop(&mut self, now: u64) -> Option<u32> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        if self.heap.is_empty() {
            self.clear();
        }
        prefix_in(&entry)
    }

    /// The keys of all entries, from one at random on.
    pub(in crate::store) fn starting_anywhere(
        &self,
        below: &mut impl FnMut(usize) -> usize,
    ) -> impl Iterator<Item = u32> {
        let entries = self.heap.as_slice();
        let (before, behind) = entries.split_at(if entries.is_empty() { 0 } else { below(entries.len()) });
        behind.iter().chain(before).filter_map(|Reverse(entry)| prefix_in(entry))
    }

    pub(in crate::store) fn memory(&self) -> usize {
        self.heap.capacity() * size_of::<Entry>()
    }
}

fn prefix_in(entry: &Entry) -> Option<u32> {
    entry.last_chunk().map(|prefix| u32::from_be_bytes(*prefix))
}

fn deadline_of(entry: &Entry) -> u64 {
    entry[..DEADLINE_BYTES].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::bucket::{bucket_of, place_of};

    proptest! {
        #[test]
        fn entries_come_in_the_order_of_their_deadlines(
            pushed in prop::collection::vec((0..DEADLINE_MAX, any::<u32>()), 0..100),
        ) {
            let mut deadlines = Deadlines::default();
            pushed.iter().for_each(|(deadline, prefix)| deadlines.push(*deadline, *prefix));
            let mut sorted = pushed;
            sorted.sort_unstable();
            for (deadline, prefix) in sorted {
                prop_assert_eq!(deadlines.next(), Some(deadline));
                prop_assert!(deadline == 0 || deadlines.pop(deadline - 1).is_none());
                prop_assert_eq!(deadlines.pop(deadline), Some(prefix));
            }
            prop_assert_eq!(deadlines.next(), None);
        }

        /// A table looks at the low bits of a place to begin, and at its top seven.
        #[test]
        fn a_prefix_and_a_bucket_say_all_that_a_table_looks_at(hash: u64) {
            let again = hash_from(bucket_of(hash), prefix_of(hash));
            prop_assert!(begins_with(again, prefix_of(hash)) && bucket_of(again) == bucket_of(hash));
            let (place, known) = (place_of(hash), place_of(again));
            prop_assert_eq!(place & u64::from(u32::MAX), known & u64::from(u32::MAX));
            prop_assert_eq!(place >> 57, known >> 57);
        }
    }

    #[test]
    fn a_deadline_that_does_not_fit_is_the_last_that_does() {
        let mut deadlines = Deadlines::default();
        deadlines.push(u64::MAX, 7);
        assert_eq!(deadlines.next(), Some(DEADLINE_MAX));
    }
}
