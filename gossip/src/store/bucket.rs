//! One range of the hash of the key: the unit of catching up.

use std::collections::BTreeSet;

use hashbrown::HashTable;

use cahoots_crdt::{Dot, Observed, ReplicaId};

use super::baseline::{Baseline, Baselines};
use super::cell::{Count, Dots, Element, Path, Register, hash_of};
use super::entry::Entry;
use super::fingerprint::Fingerprint;

/// How many ranges there are: the top bits of a key's hash choose one. Part of the protocol.
pub const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 10;

/// The bucket of a key with this hash.
pub(super) fn bucket_of(key_hash: u64) -> usize {
    usize::try_from(key_hash >> (u64::BITS - BUCKET_BITS)).expect("ten bits fit")
}

/// The hash by which a table of keys of one bucket is to look for a key. The keys of a bucket have the top bits of their
/// hashes in common, and a table tells its entries apart by just these before it looks at the entries themselves.
pub(super) fn place_of(key_hash: u64) -> u64 {
    key_hash.rotate_left(u64::BITS / 2)
}

/// The smallest hash that belongs to `bucket`.
pub(super) fn first_hash(bucket: usize) -> u64 {
    (bucket as u64) << (u64::BITS - BUCKET_BITS)
}

#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    keys: HashTable<(Box<[u8]>, Entry)>,
    pub(super) baselines: Baselines,
    /// The events of this bucket that no later event of it has named; at most one per origin.
    frontier: Dots,
    /// Of every sealed cell, the effective baselines and the frontier.
    pub(super) fingerprint: Fingerprint,
    /// Keys with live cells of more than one type.
    clashes: usize,
    /// Keys that hold ballots: what they amount to changes with membership, without a write.
    ballots: BTreeSet<Box<[u8]>>,
}

impl Bucket {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Makes room for a bucket of so many keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.keys.reserve(keys.saturating_sub(self.keys.len()), |(it, _)| place_of(hash_of(it)));
    }

    pub(super) fn get(&self, key_hash: u64, key: &[u8]) -> Option<&Entry> {
        self.keys.find(place_of(key_hash), |(it, _)| **it == *key).map(|(_, entry)| entry)
    }

    /// The entry of a key beside the baselines and the frontier, to alter a cell in place: nothing may be added or removed.
    pub(super) fn get_mut(&mut self, key_hash: u64, key: &[u8]) -> Option<(&mut Entry, &Baselines, &Dots)> {
        let (_, entry) = self.keys.find_mut(place_of(key_hash), |(it, _)| **it == *key)?;
        Some((entry, &self.baselines, &self.frontier))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.keys.iter().map(|(key, entry)| (&**key, entry))
    }

    /// The keys with the fingerprints of all their cells. O(the bucket).
    pub(super) fn prints(&self) -> impl Iterator<Item = (&[u8], &Entry, Fingerprint)> {
        self.iter().map(|(key, entry)| {
            let mut sum = Fingerprint::default();
            for (path, element) in entry.elements(key, hash_of(key)) {
                sum.add(Fingerprint::of_element(&path, element, &self.baselines));
            }
            (key, entry, sum)
        })
    }

    /// The fingerprint of the keys alone: the sum of their own.
    pub(super) fn keys_fingerprint(&self, index: usize) -> Fingerprint {
        let mut sum = self.fingerprint;
        self.frontier.iter().for_each(|dot| sum.subtract(Fingerprint::of_frontier(index, dot)));
        sum
    }

    /// Whether the cells take more than about so many bytes in a transfer. O(`bytes`).
    pub(super) fn has_more_than(&self, bytes: usize) -> bool {
        let elements = self.iter().flat_map(|(key, entry)| entry.elements(key, 0));
        let mut sum = 0;
        elements.map(|(path, element)| path.key.len() + path.name.len() + element.bytes()).any(|bytes_of_one| {
            sum += bytes_of_one;
            sum > bytes
        })
    }

    /// Lets `change` alter the entry of a key, made if absent and dropped if left empty, beside the bucket's other
    /// parts.
    pub(super) fn alter<R>(
        &mut self,
        key_hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Entry, &mut Baselines, &mut Fingerprint) -> R,
    ) -> R {
        let found = self.keys.entry(place_of(key_hash), |(it, _)| **it == *key, |(it, _)| place_of(hash_of(it)));
        let mut found = found.or_insert_with(|| (key.into(), Entry::default()));
        let entry = &mut found.get_mut().1;
        self.clashes -= usize::from(entry.clashes());
        let held_ballots = entry.holds_ballots();
        let result = change(entry, &mut self.baselines, &mut self.fingerprint);
        self.clashes += usize::from(entry.clashes());
        match (held_ballots, entry.holds_ballots()) {
            (false, true) => drop(self.ballots.insert(key.into())),
            (true, false) => drop(self.ballots.remove(key)),
            _ => {}
        }
        if entry.is_empty() {
            found.remove();
        }
        result
    }

    /// As [`Bucket::alter`], for a key that is there; `None` when it is not.
    pub(super) fn alter_present<R>(
        &mut self,
        key_hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Entry, &mut Baselines, &mut Fingerprint) -> R,
    ) -> Option<R> {
        self.get(key_hash, key)?;
        Some(self.alter(key_hash, key, change))
    }

    pub(super) fn clashes(&self) -> usize {
        self.clashes
    }

    /// The keys that hold ballots.
    pub(super) fn ballots(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.ballots.iter().filter_map(|key| Some((&**key, self.get(hash_of(key), key)?)))
    }

    pub(super) fn frontier(&self) -> &Dots {
        &self.frontier
    }

    pub(super) fn set_frontier(&mut self, index: usize, frontier: Dots) {
        self.frontier.iter().for_each(|dot| self.fingerprint.subtract(Fingerprint::of_frontier(index, dot)));
        frontier.iter().for_each(|dot| self.fingerprint.add(Fingerprint::of_frontier(index, dot)));
        self.frontier = frontier;
    }

    /// `frontier - named - the origin's own previous + this event`.
    pub(super) fn advance_frontier(&mut self, index: usize, named: &Dots, event: Dot) {
        let mut frontier = self.frontier.clone();
        frontier.retain(|dot| dot.replica != event.replica && !named.covers(dot));
        frontier.raise(event);
        self.set_frontier(index, frontier);
    }

    /// Takes in a baseline: merges it, and keeps the fingerprint of the cell it takes from.
    pub(super) fn merge_baseline(
        entry: &Entry,
        baselines: &mut Baselines,
        fingerprint: &mut Fingerprint,
        path: &Path<'_>,
        baseline: Baseline,
        is_open: impl Fn(Dot) -> bool,
    ) {
        let owner = baseline.owner;
        let cell = entry.element(path.class, path.name).and_then(|element| element.slot(owner));
        if cell.is_some_and(|(_, count)| count.birth > baseline.birth) {
            return; // the slot has begun a later life: nothing is left to take from
        }
        let cell = cell.filter(|(dot, _)| !is_open(*dot)); // open cells have no fingerprint yet
        if let Some((dot, count)) = cell {
            fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
        }
        baselines.merge(path, baseline);
        if let Some((dot, count)) = cell {
            fingerprint.add(Fingerprint::of_count(path, dot, count, baselines));
        }
    }

    /// The fingerprint computed from scratch: after a join, and to check the one kept.
    pub(super) fn recompute(&self, index: usize) -> Fingerprint {
        let mut sum = Fingerprint::default();
        self.prints().for_each(|(.., print)| sum.add(print));
        self.frontier.iter().for_each(|dot| sum.add(Fingerprint::of_frontier(index, dot)));
        sum
    }

    /// Drops the baselines of slots of `owner` for which `is_acked` holds of the reset's dot and that no live cell
    /// needs. Says how many.
    pub(super) fn collect(&mut self, owner: ReplicaId, is_acked: impl Fn(Dot) -> bool) -> usize {
        let before = self.baselines.len();
        let keys = &self.keys;
        self.baselines.retain(|located| {
            let baseline = &located.baseline;
            if baseline.owner != owner || !is_acked(baseline.reset) {
                return true;
            }
            let entry =
                keys.find(place_of(hash_of(&located.key)), |(it, _)| *it == located.key).map(|(_, entry)| entry);
            let slot = entry.and_then(|it| it.element(located.class, &located.name)).and_then(|it| it.slot(owner));
            slot.is_some_and(|(_, count)| count.birth == baseline.birth)
        });
        before - self.baselines.len()
    }
}

/// Removes from `element` the cells for which `is_dead` holds, keeping the fingerprint of what was sealed.
pub(super) fn remove_cells(
    path: &Path<'_>,
    element: &mut Element,
    baselines: &Baselines,
    fingerprint: &mut Fingerprint,
    is_open: impl Fn(Dot) -> bool,
    mut is_dead: impl FnMut(Dot) -> bool,
) {
    element.value.retain(|dot, register| {
        let dead = is_dead(dot);
        if dead && !is_open(dot) {
            fingerprint.subtract(Fingerprint::of_register(path, dot, register));
        }
        !dead
    });
    element.retain_counts(|dot, count| {
        let dead = is_dead(dot);
        if dead && !is_open(dot) {
            fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
        }
        !dead
    });
}

/// Puts a sealed register cell, replacing the writer's own previous one.
pub(super) fn put_register(
    path: &Path<'_>,
    element: &mut Element,
    fingerprint: &mut Fingerprint,
    dot: Dot,
    register: Register,
) {
    element.value.retain(|old, cell| {
        let replaced = old.replica == dot.replica;
        if replaced {
            fingerprint.subtract(Fingerprint::of_register(path, old, cell));
        }
        !replaced
    });
    fingerprint.add(Fingerprint::of_register(path, dot, &register));
    element.value.insert(dot, register);
}

/// Puts a sealed counter cell, replacing the owner's own previous one.
pub(super) fn put_count(
    path: &Path<'_>,
    element: &mut Element,
    baselines: &mut Baselines,
    fingerprint: &mut Fingerprint,
    dot: Dot,
    count: Count,
) {
    element.retain_counts(|old, cell| {
        let replaced = old.replica == dot.replica;
        if replaced {
            fingerprint.subtract(Fingerprint::of_count(path, old, cell, baselines));
        }
        !replaced
    });
    baselines.begin_life(path, dot.replica, count.birth);
    fingerprint.add(Fingerprint::of_count(path, dot, &count, baselines));
    element.put_count(dot, count);
}
