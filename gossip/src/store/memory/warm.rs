//! Looking ahead: bringing what several keys have in memory near to the processor, before it is asked for.
//!
//! With more keys than the processor's caches hold, most of the time of a small command is waiting for memory: for the
//! table of the bucket, for the record, and for both again inside a large collection. One after the other these waits add
//! up; here each step is taken for all keys, and since none depends on another key's, the processor waits for many at
//! once. Nothing is decided by it: what is found is thrown away.
//!
//! Source of the idea: Chen, Gibbons, Mowry, *Improving Hash Join Performance through Prefetching* (ICDE 2004): group
//! prefetching. Plain loads do here what prefetch instructions do there.

use std::hint::black_box;

use super::bucket::bucket_of;
use super::records::Records;
use crate::store::Store;
use crate::store::cell::hash_of;

/// Keys looked ahead for at once. More would push each other out of the nearest cache.
pub const WARM_KEYS_MAX: usize = 32;

impl Store {
    /// Looks ahead for keys, each with the name of the element that will be asked for if it is a collection.
    pub fn warm(&self, wanted: &[(&[u8], &[u8])]) {
        let mut places = [(0, &b""[..]); WARM_KEYS_MAX];
        for wanted in wanted.chunks(WARM_KEYS_MAX) {
            for ((key, name), place) in wanted.iter().zip(&mut places) {
                *place = (hash_of(key), name);
            }
            self.warm_group(&places[..wanted.len()]);
        }
    }

    /// Prefetches keys of these hashes.
    pub(in crate::store) fn warm_places(&self, places: &[(u64, &[u8])]) {
        places.chunks(WARM_KEYS_MAX).for_each(|group| self.warm_group(group));
    }

    fn warm_group(&self, group: &[(u64, &[u8])]) {
        let mut places = [None; WARM_KEYS_MAX];
        let keys_of = |hash| &self.buckets[bucket_of(hash)].keys;
        for ((hash, _), place) in group.iter().zip(&mut places) {
            *place = Some(keys_of(*hash).place(*hash));
        }
        let records = load(&places);
        for (((hash, name), record), place) in group.iter().zip(records).zip(&mut places) {
            let tables = record.and_then(|record| keys_of(*hash).likely_tables(record));
            *place = tables.and_then(|tables| tables.place(hash_of(name)));
        }
        if places.iter().any(Option::is_some) {
            load(&places);
        }
    }
}

/// Loads the records of these hashes, each from its table, and says where they are: most likely, since no name is looked
/// at.
fn load(places: &[Option<(&Records, u64)>; WARM_KEYS_MAX]) -> [Option<u32>; WARM_KEYS_MAX] {
    let all = || places.iter().flatten();
    let mut sum: usize = all().map(|(records, hash)| records.touch_table(*hash)).sum();
    let likely = places.map(|place| place.and_then(|(records, hash)| records.likely(hash)));
    sum += places.iter().zip(likely).filter_map(|(place, at)| Some((*place)?.0.touch(at?))).sum::<usize>();
    black_box(sum);
    likely
}
