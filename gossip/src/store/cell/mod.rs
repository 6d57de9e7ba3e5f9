//! What a cell holds, where it lies, and the few dots that stand for a context.

pub(super) mod ballot;
pub(super) mod baseline;
pub(super) mod fingerprint;
pub(super) mod group;
pub(super) mod lapse;
pub(super) mod lifetime;
pub(super) mod position;
pub(super) mod score;
pub(super) mod sound;
pub(super) mod stream;

use smallvec::SmallVec;

use cahoots_crdt::{Dot, DotFun, Observed, ReplicaId};

use crate::Hlc;
use crate::mix::fold;
use crate::store::kind::Class;

/// Where an element lies: a key, a type, and a name within it (empty unless there are named parts).
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) key: &'a [u8],
    pub(super) class: Class,
    pub(super) name: &'a [u8],
    pub(super) key_hash: u64,
    pub(super) name_hash: u64,
    /// Of all three: the start value of the element's fingerprints.
    pub(super) hash: u64,
}

impl<'a> Path<'a> {
    pub(super) fn new(key: &'a [u8], class: Class, name: &'a [u8]) -> Self {
        Self::within(hash_of(key), key, class, name)
    }

    /// As [`Path::new`], for a key whose hash is known.
    pub(super) fn within(key_hash: u64, key: &'a [u8], class: Class, name: &'a [u8]) -> Self {
        Self { key, class, name, key_hash, name_hash: 0, hash: 0 }.rehashed()
    }

    /// The path that key, class and name say, if they were changed.
    pub(super) fn rehashed(self) -> Self {
        let name_hash = hash_of(self.name);
        let hash = fold(fold(self.key_hash, self.class as u64), name_hash);
        Self { name_hash, hash, ..self }
    }
}

/// The hash of a key or a name. Every replica of every version computes the same: buckets depend on it.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The two sorts of cells. Of one replica there is at most one of either at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cell {
    Register = 0,
    Count = 1,
}

/// A value assigned by one event. A set's member is one whose value is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register<'a> {
    pub(super) clock: Hlc,
    pub(super) value: &'a [u8],
}

/// What one replica has added at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) clock: Hlc,
    /// The seq of the event that began this life of the slot; a reset that the owner has applied ends it.
    pub(super) birth: u64,
    /// The sum added since birth. 128 bits: it may leave the 64-bit range that the key's value keeps to.
    pub(super) total: i128,
}

/// Everything live at one path, as one works with it; see [`super::memory::packed`] for how it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) value: DotFun<Register<'a>>,
    /// One slot per replica that has added here.
    pub(super) counts: DotFun<Count>,
}

impl<'a> Element<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.value.is_empty() && self.counts.is_empty()
    }

    /// The dots of all cells: of the value, then of the counts, each in their order.
    pub(super) fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.value.iter().map(|(dot, _)| dot).chain(self.counts.iter().map(|(dot, _)| dot))
    }

    /// About how many bytes its cells take in a transfer: values, and a dot and a clock for each.
    pub(super) fn bytes(&self) -> usize {
        const CELL_BYTES: usize = 24;
        let values: usize = self.value.iter().map(|(_, register)| CELL_BYTES + register.value.len()).sum();
        values + self.counts.len() * CELL_BYTES
    }

    /// The slot of `owner`, if it is live.
    pub(super) fn slot(&self, owner: ReplicaId) -> Option<(Dot, &Count)> {
        self.counts.iter().find(|(dot, _)| dot.replica == owner)
    }

    /// The register that wins: highest clock, then highest replica id.
    pub(super) fn winner(&self) -> Option<(Dot, Register<'a>)> {
        let registers = self.value.iter().map(|(dot, register)| (dot, *register));
        registers.max_by_key(|(dot, register)| (register.clock, dot.replica))
    }

    /// The stamps of all cells.
    pub(super) fn stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        let registers = self.value.iter().map(|(dot, register)| (register.clock, dot.replica));
        registers.chain(self.counts.iter().map(|(dot, count)| (count.clock, dot.replica)))
    }
}

/// When a cell was written, and by whom: of two the greater one wins.
pub(super) type Stamp = (Hlc, ReplicaId);

/// A few dots, at most one per replica: a bucket's frontier, or the foreign part of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dots(SmallVec<[Dot; 1]>);

impl Dots {
    /// The seq for `replica`, 0 when it has none.
    pub(super) fn get(&self, replica: ReplicaId) -> u64 {
        self.0.iter().find(|dot| dot.replica == replica).map_or(0, |dot| dot.seq)
    }

    pub(super) fn raise(&mut self, dot: Dot) {
        match self.0.iter_mut().find(|known| known.replica == dot.replica) {
            Some(known) => known.seq = known.seq.max(dot.seq),
            None => self.0.push(dot),
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(Dot) -> bool) {
        self.0.retain(|dot| keep(*dot));
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn as_slice(&self) -> &[Dot] {
        &self.0
    }
}

impl Observed for Dots {
    fn covers(&self, dot: Dot) -> bool {
        dot.seq <= self.get(dot.replica)
    }
}

impl FromIterator<Dot> for Dots {
    fn from_iter<I: IntoIterator<Item = Dot>>(iter: I) -> Self {
        let mut dots = Self::default();
        iter.into_iter().for_each(|dot| dots.raise(dot));
        dots
    }
}
