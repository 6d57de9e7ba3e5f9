//! What two replicas' copies of some buckets differ in, so that one changed key of thousands costs one key.
//!
//! The asker sends a [`Sketch`]: the fingerprint of its keys in each of these buckets (the *base*), and one row of
//! symbols over the *items* of them all. An item stands for a key in a state: the bucket, and the low bits of the
//! fingerprint of the key's cells, so keys in equal states have equal items and the others, very probably, have not.
//! The sender takes its own items out, decodes what is left, and answers, per bucket: the keys whose items only it has,
//! with all their cells; the items that only the asker has; frontier and baselines in full, which are small.
//!
//! That this joins as the whole bucket would: let `A` be the asker's keys when it asked, `S` the sender's when it
//! answered, `A'` the asker's when the answer arrives. The answer is joined only if the keys' fingerprint is the base,
//! so if `A' = A`; vectors, frontier and baselines may have moved on. A key's states in `A` and `S` are then
//! - equal, if neither side names it: with the same cells on both sides the join is those cells, whatever the vectors
//!   cover. It is left alone;
//! - both known, if the sender lists it: they are joined under both vectors of now, as ever;
//! - something here and nothing there, if only an item of the asker's names it: it is joined with nothing, so that cells
//!   which the sender's vector covers go, and the others stay.
//!
//! Frontier and baselines do not depend on the base: they are joined as in a whole bucket. The sender's vector thus
//! holds for the bucket afterwards. If the base is another one, nothing of the bucket is joined, and the asker asks again.
//!
//! That the difference decoded is the true one shows in the sums: base − items only there + items only here must be what
//! the own keys have, bucket by bucket. The peer that answers keeps nothing, and can be any.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::content::{Content, content_of};
use super::low_half;
use super::sketch::{SYMBOLS_MAX, Symbols};
use crate::store::Store;
use crate::store::cell::fingerprint::Fingerprint;
use crate::store::memory::bucket::{BUCKETS, Bucket};
use crate::store::memory::entry::Entry;

/// The top bits of an item are its bucket, the others a fingerprint's.
const PRINT_BITS: u32 = u64::BITS - BUCKETS.ilog2();
const PRINT_MASK: u64 = (1 << PRINT_BITS) - 1;
/// Keys looked at for one sketch at most, if it is of several buckets: so long does a peer keep this replica busy.
const KEYS_MAX: usize = 128 << 10;

/// What a replica has in some buckets, told by as many symbols as it is held to differ in from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch {
    /// The buckets in ascending order, with the fingerprints of their keys.
    bases: Vec<(u16, [u8; 8])>,
    symbols: Symbols,
}

impl Sketch {
    /// How many buckets it is of.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.bases.len()
    }

    /// Whether a replica that keeps the rules sends it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let there = self.bases.last().is_some_and(|(last, _)| usize::from(*last) < BUCKETS);
        let ascending = self.bases.is_sorted_by(|(a, _), (b, _)| a < b);
        there && ascending && (1..=SYMBOLS_MAX).contains(&self.symbols.len())
    }

    /// How many symbols show about so many items very probably; see [`Store::sketch`]. An item is a key in a state that
    /// only one side has it in: a key changed on one side counts twice, one that only one side has once. `None` if those
    /// are more than a sketch may have.
    #[must_use]
    pub fn symbols_for(items: f64) -> Option<usize> {
        Symbols::enough_for(items)
    }
}

/// What two copies of a bucket differ in, seen by one of them.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct Difference<'a> {
    /// The fingerprint of the receiver's keys: what this is the difference from.
    base: [u8; 8],
    /// The items that only the receiver has.
    only_there: Vec<[u8; 8]>,
    /// The keys whose items only the sender has, beside the side tables in full.
    #[serde(borrow)]
    pub(in crate::store) content: Content<'a>,
}

/// A difference as it is found in the store, before its keys are read.
pub(in crate::store) struct Found<'a> {
    pub(in crate::store) index: usize,
    base: u64,
    only_there: Vec<[u8; 8]>,
    keys: Vec<(&'a [u8], Entry<'a>)>,
}

impl<'a> Found<'a> {
    /// In this bucket.
    pub(in crate::store) fn read(self, bucket: &'a Bucket) -> Difference<'a> {
        let content = content_of(bucket, self.keys.into_iter());
        Difference { base: self.base.to_le_bytes(), only_there: self.only_there, content }
    }
}

impl Difference<'_> {
    /// Whether the keys of this bucket are those that the difference was made from.
    pub(in crate::store) fn is_fresh(&self, bucket: &Bucket) -> bool {
        base_of(bucket) == self.base
    }

    pub(in crate::store) fn items(&self) -> usize {
        self.only_there.len() + self.content.keys.len()
    }

    /// The receiver's keys that the sender does not have in this state. O(the bucket).
    pub(in crate::store) fn only_here(&self, bucket: &Bucket, index: usize) -> Vec<Box<[u8]>> {
        let items: HashSet<u64> = self.only_there.iter().map(|item| u64::from_le_bytes(*item)).collect();
        if items.is_empty() {
            return Vec::new();
        }
        let named = bucket.prints().filter(|(.., print)| items.contains(&item_of(index, *print)));
        named.map(|(key, ..)| key.into()).collect()
    }
}

impl Store {
    /// Tells what is here in these buckets, in ascending order, by so many symbols. Another `salt` is another chance
    /// for a difference that did not decode. Seals the window. O(keys of the buckets).
    pub fn sketch(&mut self, buckets: impl IntoIterator<Item = usize>, symbols: usize, salt: u64) -> Sketch {
        self.seal();
        let mut symbols = Symbols::new(symbols, salt);
        let mut bases = Vec::new();
        for index in buckets {
            let bucket = &self.buckets[index];
            bases.push((u16::try_from(index).expect("BUCKETS fits 16 bits"), base_of(bucket)));
            bucket.prints().for_each(|(.., print)| symbols.toggle(item_of(index, print)));
        }
        Sketch { bases, symbols }
    }

    /// The differences of the own buckets from those of the sketch; `None` if it has too few symbols to tell.
    pub(in crate::store) fn differences(&self, sketch: &Sketch) -> Option<Vec<Found<'_>>> {
        if !sketch.is_sound() {
            return None;
        }
        let bases: BTreeMap<usize, u64> =
            sketch.bases.iter().map(|(index, base)| (usize::from(*index), u64::from_le_bytes(*base))).collect();
        if bases.len() > 1 && bases.keys().map(|index| self.buckets[*index].keys.len()).sum::<usize>() > KEYS_MAX {
            return None;
        }
        let mut symbols = sketch.symbols.clone();
        let mut ours: Vec<(u64, &[u8], Entry<'_>)> = Vec::new();
        for index in bases.keys() {
            for (key, entry, print) in self.buckets[*index].prints() {
                let item = item_of(*index, print);
                symbols.toggle(item);
                ours.push((item, key, entry));
            }
        }
        let mut theirs: BTreeSet<u64> = symbols.decode()?.into_iter().collect();
        ours.retain(|(item, ..)| theirs.remove(item));
        ours.sort_unstable_by_key(|(item, ..)| *item);
        let in_bucket = |item: u64, index: usize| item >> PRINT_BITS == index as u64;
        let mut ours = ours.into_iter().peekable();
        let mut theirs = theirs.into_iter().peekable();
        let mut differences = Vec::new();
        for (index, base) in bases {
            let bucket = &self.buckets[index];
            let mut sum = base;
            let mut keys = Vec::new();
            while let Some((item, key, entry)) = ours.next_if(|(item, ..)| in_bucket(*item, index)) {
                sum = sum.wrapping_add(item);
                keys.push((key, entry));
            }
            let mut only_there = Vec::new();
            while let Some(item) = theirs.next_if(|item| in_bucket(*item, index)) {
                sum = sum.wrapping_sub(item);
                only_there.push(item.to_le_bytes());
            }
            if (sum ^ low_half(bucket.cells_fingerprint)) & PRINT_MASK != 0 {
                return None;
            }
            differences.push(Found { index, base, only_there, keys });
        }
        theirs.next().is_none().then_some(differences) // an item of no bucket asked for is no item
    }
}

fn base_of(bucket: &Bucket) -> [u8; 8] {
    low_half(bucket.cells_fingerprint).to_le_bytes()
}

fn item_of(index: usize, print: Fingerprint) -> u64 {
    (index as u64) << PRINT_BITS | low_half(print) & PRINT_MASK
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::{Dot, ReplicaId};
    use proptest::prelude::*;

    use super::*;
    use crate::Limits;
    use crate::store::{Applied, Class};

    const WALL: u64 = 1_700_000_000_000;

    /// What happens at one of two stores, by itself or with the other's events.
    #[derive(Clone, Debug)]
    enum Op {
        Set(usize, u8, u8),
        Add(usize, u8),
        Insert(usize, u8, u8),
        Remove(usize, u8, u8),
        Delete(usize, u8),
        Clear(usize),
        /// One store's next events reach the other.
        Deliver(usize, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (at, key, name) = (0..2_usize, 0..30_u8, 0..3_u8);
        prop_oneof![
            8 => (at.clone(), key.clone(), any::<u8>()).prop_map(|(at, key, value)| Op::Set(at, key, value)),
            6 => (at.clone(), key.clone()).prop_map(|(at, key)| Op::Add(at, key)),
            4 => (at.clone(), key.clone(), name.clone()).prop_map(|(at, key, name)| Op::Insert(at, key, name)),
            2 => (at.clone(), key.clone(), name).prop_map(|(at, key, name)| Op::Remove(at, key, name)),
            4 => (at.clone(), key).prop_map(|(at, key)| Op::Delete(at, key)),
            1 => at.clone().prop_map(Op::Clear),
            6 => (at, 1..20_usize).prop_map(|(at, count)| Op::Deliver(at, count)),
        ]
    }

    /// Two stores after a history.
    fn stores(ops: &[Op]) -> [Store; 2] {
        let mut stores = [1, 2].map(|id| Store::new(ReplicaId::new(id), Limits::default(), 200));
        let mut logs = [Vec::new(), Vec::new()];
        for (number, op) in ops.iter().enumerate() {
            let wall = WALL + number as u64;
            let mut write = |at: usize, run: &dyn Fn(&mut crate::store::Writer<'_>)| stores[at].write(wall, 0, run);
            let key = |key: u8| vec![b'k', key];
            match *op {
                Op::Set(at, k, value) => write(at, &|w| w.set(&key(k), &[value; 9]).unwrap()),
                Op::Add(at, k) => write(at, &|w| _ = w.add(&key(k), 3)),
                Op::Insert(at, k, name) => write(at, &|w| _ = w.insert(&key(k), Class::Hash, &[name], b"v")),
                Op::Remove(at, k, name) => write(at, &|w| _ = w.remove(&key(k), Class::Hash, &[name])),
                Op::Delete(at, k) => write(at, &|w| _ = w.delete(&key(k))),
                Op::Clear(at) => write(at, &|w| _ = w.clear()),
                Op::Deliver(from, count) => {
                    stores[from].seal();
                    logs[from].extend(std::iter::from_fn(|| stores[from].poll_sealed()));
                    for event in logs[from].drain(..count.min(logs[from].len())) {
                        let dot = Dot::new(ReplicaId::new(from as u64 + 1), event.seq);
                        let applied = stores[1 - from].apply(dot, &event.body).unwrap();
                        assert_eq!(applied, Applied::Now, "what it names is the receiver's own");
                    }
                }
            }
        }
        stores
    }

    fn join_whole(into: &mut Store, from: &mut Store) {
        let theirs = into.bucket_fingerprints(0, BUCKETS);
        let (transfer, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
        into.join_transfer(&transfer).unwrap();
    }

    fn join_differences(into: &mut Store, from: &mut Store) -> usize {
        let theirs = into.bucket_fingerprints(0, BUCKETS);
        let (transfer, _) = from.encode_transfer(0, &theirs, usize::MAX, 0);
        let differing = into.join_transfer(&transfer).unwrap().differing;
        if differing.is_empty() {
            return 0;
        }
        let sketch = into.sketch(differing.iter().map(|(bucket, _)| *bucket), 500, 7);
        let (transfer, count) = from.encode_differences(&sketch, usize::MAX).expect("symbols enough");
        assert_eq!(count, differing.len());
        let joined = into.join_transfer(&transfer).unwrap();
        assert_eq!(joined.refined + joined.known, count);
        count
    }

    /// Everything that a store tells of itself.
    fn account(store: &mut Store) -> (Fingerprint, u128, usize, usize) {
        assert!(store.fingerprints_are_exact());
        (store.fingerprint(), store.version_hash(), store.len(), store.baselines())
    }

    proptest! {
        #[test]
        fn differences_join_as_whole_buckets_do(ops in prop::collection::vec(op(), 1..120)) {
            let [mut a, mut b] = stores(&ops);
            let [mut whole_a, mut whole_b] = stores(&ops);
            for _ in 0..2 {
                join_differences(&mut b, &mut a);
                join_whole(&mut whole_b, &mut whole_a);
                prop_assert_eq!(account(&mut b), account(&mut whole_b));
                join_differences(&mut a, &mut b);
                join_whole(&mut whole_a, &mut whole_b);
                prop_assert_eq!(account(&mut a), account(&mut whole_a));
            }
            prop_assert_eq!(a.fingerprint(), b.fingerprint());
            prop_assert_eq!(a.version_hash(), b.version_hash());
            prop_assert_eq!(join_differences(&mut a, &mut b), 0);
        }

        #[test]
        fn a_damaged_difference_is_refused_without_a_trace_or_joined_so_that_all_holds(
            ops in prop::collection::vec(op(), 1..60), at: prop::sample::Index, flip in 1..=u8::MAX,
        ) {
            let [mut a, mut b] = stores(&ops);
            let sketch = b.sketch(0..BUCKETS, 500, 7);
            let (mut transfer, _) = a.encode_differences(&sketch, usize::MAX).expect("symbols enough");
            *at.get_mut(&mut transfer) ^= flip;
            let before = account(&mut b);
            if b.join_transfer(&transfer).is_err() {
                prop_assert_eq!(account(&mut b), before);
            } else {
                account(&mut b);
            }
            prop_assert!(b.join_transfer(&transfer[..transfer.len() - 1]).is_err());
        }
    }

    /// A bucket's worth of keys at both, one of them changed at the first.
    fn one_changed() -> ([Store; 2], usize) {
        let mut ops: Vec<Op> = (0..30).map(|key| Op::Set(0, key, 1)).collect();
        ops.extend([Op::Deliver(0, usize::MAX), Op::Set(0, 7, 2)]);
        let mut stores = stores(&ops);
        let [a, b] = &mut stores;
        let (ours, theirs) = (a.bucket_fingerprints(0, BUCKETS), b.bucket_fingerprints(0, BUCKETS));
        let bucket = (0..BUCKETS).find(|bucket| ours[*bucket] != theirs[*bucket]).unwrap();
        (stores, bucket)
    }

    #[test]
    fn a_difference_from_what_is_there_no_more_is_not_joined() {
        let ([mut a, mut b], bucket) = one_changed();
        let sketch = b.sketch([bucket], 20, 1);
        let (transfer, _) = a.encode_differences(&sketch, usize::MAX).unwrap();
        b.write(WALL + 100, 0, |w| w.set(b"k\x07", b"meanwhile")).unwrap();
        b.seal();
        let before = account(&mut b);
        let joined = b.join_transfer(&transfer).unwrap();
        assert_eq!((joined.stale, joined.joined), (vec![bucket], 0));
        assert_eq!(account(&mut b), before);
    }

    #[test]
    fn a_difference_is_joined_if_only_the_frontier_has_moved_on() {
        let ([mut a, mut b], bucket) = one_changed();
        let sketch = b.sketch([bucket], 20, 1);
        let (transfer, _) = a.encode_differences(&sketch, usize::MAX).unwrap();
        let other = (0..).map(|number: u32| number.to_be_bytes()).find(|key| {
            let hash = crate::store::cell::hash_of(key);
            crate::store::memory::bucket::bucket_of(hash) == bucket
        });
        let other = other.unwrap();
        b.write(WALL + 100, 0, |w| w.set(&other, b"meanwhile")).unwrap();
        b.seal();
        b.write(WALL + 101, 0, |w| w.delete(&other)).unwrap();
        let joined = b.join_transfer(&transfer).unwrap();
        assert_eq!((joined.refined, joined.items), (1, 2));
        join_differences(&mut a, &mut b);
        join_differences(&mut b, &mut a);
        assert_eq!(account(&mut a).0, account(&mut b).0);
    }

    #[test]
    fn a_sketch_that_says_too_little_or_makes_no_sense_is_not_answered() {
        let ops: Vec<Op> = (0..30).map(|key| Op::Set(0, key, 1)).collect();
        let [mut a, mut b] = stores(&ops);
        assert!(a.encode_differences(&b.sketch(0..BUCKETS, 20, 1), usize::MAX).is_none(), "30 differences");
        for unsound in [b.sketch([], 20, 1), b.sketch([4, 3], 20, 1), b.sketch([4, 4], 20, 1)] {
            assert!(!unsound.is_sound() && a.encode_differences(&unsound, usize::MAX).is_none());
        }
        let mut lying = b.sketch(0..BUCKETS, 200, 1);
        lying.bases[9].1[0] ^= 1;
        assert!(a.encode_differences(&lying, usize::MAX).is_none(), "its symbols are not of its bases");
    }
}
