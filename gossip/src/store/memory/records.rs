//! A table of named records, packed: names and contents lie one after the other in a few segments of memory, and the
//! table itself holds 4 bytes for each.
//!
//! An allocation of its own for each of a million small things costs more than the things: the allocator's header and
//! rounding, a pointer and a length in the table, a cache miss for each of them. Here a record is as long as what is in
//! it, and is overwritten where it lies when its length stays. What is freed is used again by records of the same size;
//! when more than half is free, the rest is moved together. Segments are of one size and stay where they are: one block
//! that grew by being moved left half as much again behind, in holes between the blocks of other tables.

use std::hint::black_box;

use hashbrown::HashTable;

use crate::bytes::same;
use crate::varint;

/// Records begin at multiples of this many bytes, so that 32 bits reach 16 GiB.
const UNIT: usize = 4;
/// Records lie in segments of so many bytes, and none across two of them.
const SEGMENT_BYTES: usize = 8 << 10;
const SEGMENT_UNITS: usize = SEGMENT_BYTES / UNIT;
/// A record longer than this has segments of its own.
const SHARED_BYTES_MAX: usize = SEGMENT_BYTES / 8;
/// Fewer bytes, or fewer empty segments, are never moved together.
const COMPACT_BYTES_MIN: usize = 4 << 10;
const COMPACT_EMPTY_MIN: usize = 64;
/// A segment that is not complete grows by one part in this many.
const GROWTH: usize = 2;

/// What a record costs in the table: five bytes, of a table that is mostly between half and seven eighths full.
const PLACE_BYTES: usize = 8;

/// Places of the table that are tried before all of them are gone through.
const DRAWS_MAX: usize = 1_000;

/// What one load brings near, in bytes.
const CACHE_LINE: usize = 64;
/// Half a megabyte, of a second cache that holds one or more.
const WARM_SEGMENTS_MAX: usize = 64;

/// Names with what is recorded under them.
#[derive(Clone, Default)]
pub(in crate::store) struct Records {
    /// Where each record begins, in units.
    table: HashTable<u32>,
    block: Block,
}

impl Records {
    pub(in crate::store) fn len(&self) -> usize {
        self.table.len()
    }

    /// Where the record of `name` is, whose place in the table is decided by `hash`: good until the table changes. And
    /// what is recorded there. O(1).
    #[inline]
    pub(in crate::store) fn find(&self, hash: u64, name: &[u8]) -> Option<(usize, &[u8])> {
        let mut content = &[][..];
        let is_it = |at: &u32| {
            let record = self.block.record(*at);
            content = record.1;
            same(record.0, name)
        };
        Some((self.table.find_bucket_index(hash, is_it)?, content))
    }

    /// What is recorded there.
    pub(in crate::store) fn at(&self, found: usize) -> &[u8] {
        self.block.record(*self.table.get_bucket(found).expect("it was found")).1
    }

    /// Loads the part of the table where the search for a name of this hash begins: where the low bits of the hash say.
    /// What it returns means nothing.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    pub(in crate::store) fn touch_table(&self, hash: u64) -> usize {
        let first = hash as usize & (self.table.num_buckets() - 1);
        *self.table.get_bucket(first).unwrap_or(&0) as usize
    }

    /// Where the record of a name of this hash begins, most likely: no name is looked at.
    pub(in crate::store) fn likely(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |_| true).copied()
    }

    /// Loads what is there into the caches. What it returns depends on that, and means nothing.
    pub(in crate::store) fn touch(&self, likely: u32) -> usize {
        let (segment, from) = place_of(likely);
        let segment = &self.block.segments[segment];
        [from, from + CACHE_LINE].iter().map(|at| segment.get(*at).copied().map_or(0, usize::from)).sum()
    }

    /// What is recorded there.
    pub(in crate::store) fn likely_at(&self, likely: u32) -> &[u8] {
        self.block.record(likely).1
    }

    /// The records of all names whose hashes may look the same to the table as this one.
    pub(in crate::store) fn beginning_with(&self, hash: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.table.iter_hash(hash).map(|at| self.block.record(*at))
    }

    /// What is recorded under `name`. O(1).
    pub(in crate::store) fn get(&self, hash: u64, name: &[u8]) -> Option<&[u8]> {
        self.find(hash, name).map(|(_, content)| content)
    }

    /// Prefetches all records in the order in which they lie, before all of them are read in the order of the table. Of
    /// many as much as the cache holds.
    pub(in crate::store) fn warm(&self) {
        let segments = self.block.segments.iter().take(WARM_SEGMENTS_MAX);
        let lines = segments.flat_map(|segment| segment.iter().step_by(CACHE_LINE));
        black_box(lines.map(|byte| usize::from(*byte)).sum::<usize>());
    }

    /// Every name with what is recorded under it, in no order.
    pub(in crate::store) fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.table.iter().map(|at| self.block.record(*at))
    }

    /// One of the names with what is recorded there, each as likely as any other. O(1), expected, unless the table is nearly
    /// empty: then O(places in it).
    pub(in crate::store) fn draw(&self, below: &mut impl FnMut(usize) -> usize) -> Option<(&[u8], &[u8])> {
        let (len, places) = (self.table.len(), self.table.num_buckets());
        if len == 0 {
            return None;
        }
        let found = (0..DRAWS_MAX).find_map(|_| self.table.get_bucket(below(places)));
        let at = found.or_else(|| self.table.iter().nth(below(len)))?;
        Some(self.block.record(*at))
    }

    /// Records `content` under a new `name`. `hash_of` gives the hashes of other names, should the table have to grow.
    /// O(the record), amortised.
    pub(in crate::store) fn insert(&mut self, hash: u64, name: &[u8], content: &[u8], hash_of: impl Fn(&[u8]) -> u64) {
        let Self { table, block } = self;
        let at = block.allot(name, content);
        table.insert_unique(hash, at, |at| hash_of(block.record(*at).0));
    }

    /// Records `content` in place of what was found under `name`. O(the record), amortised.
    pub(in crate::store) fn replace(&mut self, found: usize, name: &[u8], content: &[u8]) {
        let Self { table, block } = self;
        let alone = table.len() == 1;
        let at = table.get_bucket_mut(found).expect("it was found");
        let old_len = block.record(*at).1.len();
        if old_len == content.len() {
            return block.overwrite(*at, name.len(), content);
        }
        if size_of_record(name.len(), old_len) == size_of_record(name.len(), content.len()) {
            return block.write(*at, name, content);
        }
        if alone {
            *block = Block::default();
        } else {
            block.release(*at);
        }
        *at = block.allot(name, content);
        self.compact();
    }

    /// Removes a record; says whether there was one.
    pub(in crate::store) fn remove(&mut self, hash: u64, name: &[u8]) -> bool {
        let Self { table, block } = self;
        let Ok(found) = table.find_entry(hash, |at| same(block.record(*at).0, name)) else { return false };
        block.release(found.remove().0);
        if self.table.is_empty() {
            *self = Self::default();
        }
        self.compact();
        true
    }

    pub(in crate::store) fn reserve(&mut self, records: usize, hash_of: impl Fn(&[u8]) -> u64) {
        let block = &self.block;
        self.table.reserve(records.saturating_sub(self.table.len()), |at| hash_of(block.record(*at).0));
    }

    /// Bytes of memory taken.
    pub(in crate::store) fn memory(&self) -> usize {
        self.table.allocation_size() + self.block.memory()
    }

    /// Bytes that the records take, with what a place in the table costs; without the room that either has to spare. O(1).
    #[inline]
    pub(in crate::store) fn used(&self) -> usize {
        self.block.bytes - self.block.free_bytes + self.table.len() * PLACE_BYTES
    }

    /// As [`used`](Self::used), counted anew. O(n).
    pub(in crate::store) fn count_used(&self) -> usize {
        self.iter().map(|(name, content)| size_of_record(name.len(), content.len()) + PLACE_BYTES).sum()
    }

    /// Bytes that what was found takes, its part of the table included.
    pub(in crate::store) fn memory_of(&self, found: usize) -> usize {
        let (name, content) = self.block.record(*self.table.get_bucket(found).expect("it was found"));
        size_of_record(name.len(), content.len()) + self.table.allocation_size() / self.table.len()
    }

    fn compact(&mut self) {
        if !self.block.is_mostly_free() {
            return;
        }
        let mut block = Block::default();
        for at in &mut self.table {
            let (name, content) = self.block.record(*at);
            *at = block.allot(name, content);
        }
        self.block = block;
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Room for records. Each says how long it is: two lengths as varints, the name, the content.
#[derive(Clone, Default)]
struct Block {
    segments: Vec<Vec<u8>>,
    /// The segment that new records are appended to, once there is one.
    open: Option<usize>,
    /// Bytes in all segments.
    bytes: usize,
    /// The first free piece of each size in units; a free piece begins with the position of the next.
    free: Vec<u32>,
    free_bytes: usize,
    /// Segments that hold nothing, and whose numbers are not used again.
    empty: usize,
}

/// No piece. No record begins there, since a record is at least a unit long.
const NONE: u32 = u32::MAX;

/// The segment in which a record begins, and where in it.
#[inline]
fn place_of(at: u32) -> (usize, usize) {
    let at = at as usize;
    (at / SEGMENT_UNITS, at % SEGMENT_UNITS * UNIT)
}

fn position_of(segment: usize, from: usize) -> u32 {
    let at = segment * SEGMENT_UNITS + from / UNIT;
    u32::try_from(at).ok().filter(|at| *at != NONE).expect("16 GiB of records in one table")
}

impl Block {
    #[inline]
    fn record(&self, at: u32) -> (&[u8], &[u8]) {
        let (segment, from) = place_of(at);
        let mut bytes = &self.segments[segment][from..];
        let (name_len, content_len) = match *bytes {
            [name_len @ ..0x80, content_len @ ..0x80, ref rest @ ..] => {
                bytes = rest;
                (name_len.into(), content_len.into())
            }
            _ => (varint::take_len(&mut bytes), varint::take_len(&mut bytes)),
        };
        let (name, bytes) = bytes.split_at(name_len);
        (name, &bytes[..content_len])
    }

    /// Finds room for a record, and writes it there.
    fn allot(&mut self, name: &[u8], content: &[u8]) -> u32 {
        let size = size_of_record(name.len(), content.len());
        let at = match self.free.get(size / UNIT).copied().filter(|at| *at != NONE) {
            Some(at) => {
                let (segment, from) = place_of(at);
                let next: [u8; UNIT] = self.segments[segment][from..from + UNIT].try_into().expect("a unit");
                self.free[size / UNIT] = u32::from_le_bytes(next);
                self.free_bytes -= size;
                at
            }
            None if size > SHARED_BYTES_MAX => self.allot_alone(size),
            None => self.append(size),
        };
        self.write(at, name, content);
        at
    }

    /// Segments for one long record: all of it in the first, the others there for their numbers.
    fn allot_alone(&mut self, size: usize) -> u32 {
        let segment = self.segments.len();
        self.segments.push(vec![0; size]);
        self.segments.resize(segment + size.div_ceil(SEGMENT_BYTES), Vec::new());
        self.bytes += size;
        position_of(segment, 0)
    }

    /// Room at the end of the open segment, or in a new one.
    fn append(&mut self, size: usize) -> u32 {
        let number = match self.open {
            Some(open) if self.segments[open].len() + size <= SEGMENT_BYTES => open,
            _ => {
                self.segments.push(Vec::new());
                self.segments.len() - 1
            }
        };
        self.open = Some(number);
        let segment = &mut self.segments[number];
        let from = segment.len();
        if from + size > segment.capacity() {
            segment.reserve_exact(size.max(from / GROWTH).min(SEGMENT_BYTES - from));
        }
        segment.resize(from + size, 0);
        self.bytes += size;
        position_of(number, from)
    }

    fn release(&mut self, at: u32) {
        let (name, content) = self.record(at);
        let size = size_of_record(name.len(), content.len());
        let (segment, from) = place_of(at);
        if size > SHARED_BYTES_MAX {
            self.segments[segment] = Vec::new();
            self.bytes -= size;
            self.empty += size.div_ceil(SEGMENT_BYTES);
            return;
        }
        self.free_bytes += size;
        if self.free.len() <= size / UNIT {
            self.free.resize(size / UNIT + 1, NONE);
        }
        self.segments[segment][from..from + UNIT].copy_from_slice(&self.free[size / UNIT].to_le_bytes());
        self.free[size / UNIT] = at;
    }

    /// Writes other content into a record with a name of this length, as long as what is there.
    fn overwrite(&mut self, at: u32, name_len: usize, content: &[u8]) {
        let (segment, from) = place_of(at);
        let from = from + varint::len(name_len) + varint::len(content.len()) + name_len;
        self.segments[segment][from..from + content.len()].copy_from_slice(content);
    }

    /// Writes a record where there is room for it.
    fn write(&mut self, at: u32, name: &[u8], content: &[u8]) {
        let (segment, from) = place_of(at);
        let bytes = &mut self.segments[segment][from..];
        let mut at = varint::write_len(name.len(), bytes);
        at += varint::write_len(content.len(), &mut bytes[at..]);
        bytes[at..at + name.len()].copy_from_slice(name);
        at += name.len();
        bytes[at..at + content.len()].copy_from_slice(content);
    }

    /// Whether moving the records together would have back more than it leaves.
    fn is_mostly_free(&self) -> bool {
        let is_free = self.free_bytes > self.bytes / 2 && self.bytes >= COMPACT_BYTES_MIN;
        is_free || self.empty > self.segments.len() / 2 && self.empty >= COMPACT_EMPTY_MIN
    }

    fn memory(&self) -> usize {
        let segments = self.segments.iter().map(Vec::capacity).sum::<usize>();
        segments + self.segments.capacity() * size_of::<Vec<u8>>() + self.free.capacity() * size_of::<u32>()
    }
}

/// Bytes that a record takes, rounded up to units.
fn size_of_record(name_len: usize, content_len: usize) -> usize {
    (varint::len(name_len) + varint::len(content_len) + name_len + content_len).next_multiple_of(UNIT)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::cell::hash_of;

    fn put(records: &mut Records, name: &[u8], content: &[u8]) {
        match records.find(hash_of(name), name) {
            Some((found, _)) => records.replace(found, name, content),
            None => records.insert(hash_of(name), name, content, hash_of),
        }
    }

    proptest! {
        #[test]
        fn a_table_of_records_holds_what_a_map_holds(
            steps in prop::collection::vec((any::<bool>(), 0..40_u16, 0..5_usize, prop_oneof![9 => 0..400_usize, 1 => 0..100_000_usize]), 0..400)
        ) {
            let (mut records, mut known) = (Records::default(), HashMap::new());
            for (removes, name, pad, len) in steps {
                let name = [&name.to_le_bytes()[..], &vec![7; pad * 40]].concat();
                if removes {
                    prop_assert_eq!(records.remove(hash_of(&name), &name), known.remove(&name).is_some());
                } else {
                    let content: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0] ^ name[0]).collect();
                    put(&mut records, &name, &content);
                    known.insert(name, content);
                }
                prop_assert_eq!(records.len(), known.len());
                let live: usize = known.iter().map(|(name, it)| size_of_record(name.len(), it.len())).sum();
                prop_assert_eq!(records.block.bytes - records.block.free_bytes, live);
                let all: usize = records.block.segments.iter().map(Vec::len).sum();
                prop_assert_eq!(records.block.bytes, all);
            }
            prop_assert!(known.iter().all(|(name, it)| records.get(hash_of(name), name) == Some(it)));
            let all: HashMap<Vec<u8>, Vec<u8>> =
                records.iter().map(|(name, it)| (name.to_vec(), it.to_vec())).collect();
            prop_assert_eq!(all, known);
        }
    }

    #[test]
    fn long_records_that_change_their_length_again_and_again_use_up_no_numbers() {
        let mut records = Records::default();
        for round in 0..2_000 {
            put(&mut records, b"long", &vec![1; 40_000 + round % 7 * 1_000]);
            put(&mut records, b"short", b"1");
        }
        assert!(records.block.segments.len() <= 2 * COMPACT_EMPTY_MIN, "{}", records.block.segments.len());
        assert!(records.memory() < 100_000);
    }

    #[test]
    fn what_is_overwritten_or_removed_again_and_again_takes_no_more_room() {
        let mut records = Records::default();
        for round in 0..100_usize {
            for number in 0..1_000_u32 {
                put(&mut records, &number.to_le_bytes(), &vec![1; (number as usize + round) % 50]);
            }
        }
        let live: usize = records.iter().map(|(name, it)| size_of_record(name.len(), it.len())).sum();
        assert!(records.block.memory() <= live * 3, "{} for {live}", records.block.memory());
        for number in 0..1_000_u32 {
            assert!(records.remove(hash_of(&number.to_le_bytes()), &number.to_le_bytes()));
        }
        assert_eq!(records.memory(), 0);
    }
}
