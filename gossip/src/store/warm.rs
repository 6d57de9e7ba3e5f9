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

use super::Store;
use super::bucket::bucket_of;
use super::cell::hash_of;

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

    /// The same of keys of these hashes.
    pub(super) fn warm_places(&self, places: &[(u64, &[u8])]) {
        places.chunks(WARM_KEYS_MAX).for_each(|group| self.warm_group(group));
    }

    fn warm_group(&self, group: &[(u64, &[u8])]) {
        let mut likely = [None; WARM_KEYS_MAX];
        let mut sum = 0;
        for ((hash, _), likely) in group.iter().zip(&mut likely) {
            let keys = &self.buckets[bucket_of(*hash)].keys;
            *likely = keys.likely(*hash).map(|record| (keys, record));
        }
        let mut tables = [None; WARM_KEYS_MAX];
        for (likely, table) in likely.iter().zip(&mut tables) {
            let Some((keys, record)) = *likely else { continue };
            sum += keys.touch(record);
            *table = keys.likely_tables(record);
        }
        let mut elements = [None; WARM_KEYS_MAX];
        for (((_, name), tables), element) in group.iter().zip(&tables).zip(&mut elements) {
            *element = tables.and_then(|tables| tables.likely(hash_of(name)));
        }
        for (part, record) in elements.into_iter().flatten() {
            sum += part.touch(record);
        }
        black_box(sum);
    }
}
