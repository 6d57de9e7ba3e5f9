//! One range of the hash of the key: the unit of catching up.

use cahoots_crdt::{Dot, Observed, ReplicaId};

use super::entry::Entry;
use super::keys::{Draft, Keys};
use crate::store::cell::baseline::{Baseline, Baselines};
use crate::store::cell::fingerprint::Fingerprint;
use crate::store::cell::{Cell, Count, Dots, Element, Path, hash_of};

/// How many ranges there are: the top bits of a key's hash choose one. Part of the protocol.
pub const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 10;

/// The bucket of a key with this hash.
pub(in crate::store) fn bucket_of(key_hash: u64) -> usize {
    usize::try_from(key_hash >> (u64::BITS - BUCKET_BITS)).expect("ten bits fit")
}

/// The hash by which a table of keys of one bucket is to look for a key. The keys of a bucket have the top bits of their
/// hashes in common, and a table tells its entries apart by just these before it looks at the entries themselves.
pub(in crate::store) fn place_of(key_hash: u64) -> u64 {
    key_hash.rotate_left(u64::BITS / 2)
}

/// The smallest hash that belongs to `bucket`.
pub(in crate::store) fn first_hash(bucket: usize) -> u64 {
    (bucket as u64) << (u64::BITS - BUCKET_BITS)
}

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Bucket {
    pub(in crate::store) keys: Keys,
    pub(in crate::store) baselines: Baselines,
    /// The events of this bucket that no later event of it has named; at most one per origin.
    pub(in crate::store) frontier: Dots,
    /// Of every cell, with the effective baselines.
    pub(in crate::store) cells_fingerprint: Fingerprint,
}

impl Bucket {
    /// The keys with the fingerprints of all their cells. O(the bucket).
    pub(in crate::store) fn prints(&self) -> impl Iterator<Item = (&[u8], Entry<'_>, Fingerprint)> {
        self.keys.iter().map(|(key, entry)| {
            let mut sum = Fingerprint::default();
            let hash = hash_of(key);
            for (class, name, element) in entry.iter() {
                let path = Path::within(hash, key, class, &name);
                sum.add(Fingerprint::of_element(&path, &element, &self.baselines));
            }
            (key, entry, sum)
        })
    }

    /// The fingerprint of all that is replicated: the cells and the frontier.
    pub(in crate::store) fn fingerprint(&self, index: usize) -> Fingerprint {
        let mut sum = self.cells_fingerprint;
        self.frontier.iter().for_each(|dot| sum.add(Fingerprint::of_frontier(index, dot)));
        sum
    }

    /// Whether the cells take more than about so many bytes in a transfer. O(`bytes`).
    pub(in crate::store) fn has_more_than(&self, bytes: usize) -> bool {
        if bytes == usize::MAX {
            return false;
        }
        let elements = self.keys.iter().flat_map(|(key, entry)| entry.iter().map(move |it| (key, it)));
        let mut sum = 0;
        elements.map(|(key, (_, name, element))| key.len() + name.len() + element.bytes()).any(|bytes_of_one| {
            sum += bytes_of_one;
            sum > bytes
        })
    }

    /// Whether it takes more than `bytes` in memory, and so about as much in a transfer. O(keys with tables).
    pub(in crate::store) fn is_longer_than(&self, bytes: usize) -> bool {
        bytes < usize::MAX && self.keys.memory() > bytes
    }

    /// `frontier - named - the origin's own previous + this event`.
    pub(in crate::store) fn advance_frontier(&mut self, named: Option<&Dots>, event: Dot) {
        let is_named = |dot| named.is_some_and(|named| named.covers(dot));
        self.frontier.retain(|dot| dot.replica != event.replica && !is_named(dot));
        self.frontier.raise(event);
    }

    /// Takes in a baseline: merges it, and keeps the fingerprint and the order of the cell it takes from.
    pub(in crate::store) fn merge_baseline(&mut self, path: &Path<'_>, baseline: Baseline, draft: &mut Draft) {
        let Self { keys, baselines, cells_fingerprint, .. } = self;
        let element = keys.element(path);
        let cell = element.slot(baseline.owner);
        if cell.is_some_and(|(_, count)| count.birth > baseline.birth) {
            return; // the slot has begun a later life: nothing is left to take from
        }
        if let Some((dot, count)) = cell {
            cells_fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
        }
        baselines.merge(path, baseline);
        if let Some((dot, count)) = cell {
            cells_fingerprint.add(Fingerprint::of_count(path, dot, count, baselines));
        }
        drop(element);
        keys.rank_again(path, baselines, draft);
    }

    /// Whether the orders that are derived from the cells are what the cells say.
    pub(in crate::store) fn is_ordered(&self) -> bool {
        self.keys.is_ordered(&self.baselines)
    }

    /// The fingerprint of the cells computed from scratch: after a join, and to check the one kept.
    pub(in crate::store) fn cells_print(&self) -> Fingerprint {
        let mut sum = Fingerprint::default();
        self.prints().for_each(|(.., print)| sum.add(print));
        sum
    }

    /// Drops the baselines of slots of `owner` for which `is_acked` holds of the reset's dot and that no live cell
    /// needs. Says how many.
    pub(in crate::store) fn collect(&mut self, owner: ReplicaId, is_acked: impl Fn(Dot) -> bool) -> usize {
        let before = self.baselines.len();
        let keys = &self.keys;
        self.baselines.retain(|located| {
            let baseline = &located.baseline;
            if baseline.owner != owner || !is_acked(baseline.reset) {
                return true;
            }
            let element = keys.element(&located.path());
            element.slot(owner).is_some_and(|(_, count)| count.birth == baseline.birth)
        });
        before - self.baselines.len()
    }
}

/// Removes from `element` the cells for which `is_dead` holds, keeping the fingerprint.
pub(in crate::store) fn remove_cells(
    path: &Path<'_>,
    element: &mut Element<'_>,
    baselines: &Baselines,
    fingerprint: &mut Fingerprint,
    mut is_dead: impl FnMut(Dot) -> bool,
) {
    discard_cells(path, element, baselines, fingerprint, Cell::Register, &mut is_dead);
    discard_cells(path, element, baselines, fingerprint, Cell::Count, is_dead);
}

/// As [`remove_cells`], of one sort of cells.
pub(in crate::store) fn discard_cells(
    path: &Path<'_>,
    element: &mut Element<'_>,
    baselines: &Baselines,
    fingerprint: &mut Fingerprint,
    cell: Cell,
    mut is_dead: impl FnMut(Dot) -> bool,
) {
    match cell {
        Cell::Register => element.value.retain(|dot, register| {
            let dead = is_dead(dot);
            if dead {
                fingerprint.subtract(Fingerprint::of_register(path, dot, register));
            }
            !dead
        }),
        Cell::Count => element.counts.retain(|dot, count| {
            let dead = is_dead(dot);
            if dead {
                fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
            }
            !dead
        }),
    }
}

/// Puts a counter cell, replacing the owner's own previous one.
pub(in crate::store) fn put_count(
    path: &Path<'_>,
    element: &mut Element<'_>,
    baselines: &mut Baselines,
    fingerprint: &mut Fingerprint,
    dot: Dot,
    count: Count,
) {
    element.counts.retain(|old, cell| {
        let replaced = old.replica == dot.replica;
        if replaced {
            fingerprint.subtract(Fingerprint::of_count(path, old, cell, baselines));
        }
        !replaced
    });
    baselines.begin_life(path, dot.replica, count.birth);
    fingerprint.add(Fingerprint::of_count(path, dot, &count, baselines));
    element.counts.insert(dot, count);
}
