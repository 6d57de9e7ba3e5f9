//! Cursors that survive changes: positions in the order of hashes.
//!
//! A cursor is the least hash not yet visited, so whatever is added, removed or moved between two pages, what stays
//! throughout is visited exactly once. Nothing is kept between calls.

use super::view::{Moment, View};
use crate::store::cell::hash_of;
use crate::store::memory::bucket::{BUCKETS, bucket_of, first_hash};

/// A collection is visited in at most this many pages: each costs a pass over it.
pub(in crate::store) const PAGES_MAX: usize = 256;

/// What one call visits, and where the next begins (0 = the end was reached).
pub(in crate::store) struct Page<T> {
    pub(in crate::store) items: Vec<T>,
    pub(in crate::store) next: u64,
}

/// The `count` items of the least hashes from `cursor` on, and all that share the last one's hash. O(items).
pub(in crate::store) fn page<T>(items: impl Iterator<Item = (u64, T)>, cursor: u64, count: usize) -> Page<T> {
    let mut found: Vec<(u64, T)> = items.filter(|(hash, _)| *hash >= cursor).collect();
    let count = count.max(1);
    let mut next = 0;
    if found.len() > count {
        let (_, last, _) = found.select_nth_unstable_by_key(count - 1, |(hash, _)| *hash);
        let last = last.0;
        found.retain(|(hash, _)| *hash <= last);
        next = last.wrapping_add(1);
    }
    Page { items: found.into_iter().map(|(_, item)| item).collect(), next }
}

impl Moment<'_> {
    /// Visits about `count` keys from `cursor` on; 0 begins, and 0 is returned at the end. Keys that stay throughout
    /// are visited exactly once. O(count + keys of a bucket).
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], View<'_>)) -> u64 {
        let mut left = count.max(1);
        let mut from = cursor;
        for index in bucket_of(cursor)..BUCKETS {
            let bucket = &self.store().buckets[index];
            let keys = bucket.keys.iter().map(|(key, entry)| (hash_of(key), (key, entry)));
            let page = page(keys, from, left.max(bucket.keys.len() / PAGES_MAX));
            left = left.saturating_sub(page.items.len());
            for (key, entry) in page.items {
                if let Some(view) = View::new(bucket, entry, (hash_of(key), key), self.now()) {
                    visit(key, view);
                }
            }
            if page.next != 0 {
                return page.next;
            }
            if index + 1 == BUCKETS {
                break;
            }
            from = first_hash(index + 1);
            if left == 0 {
                return from;
            }
        }
        0
    }
}
