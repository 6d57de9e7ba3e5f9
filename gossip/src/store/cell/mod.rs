//! What a cell holds, where it lies, and the few dots that stand for a context.

pub(super) mod ballot;
pub(super) mod baseline;
pub(super) mod fingerprint;

use smallvec::SmallVec;

use cahoots_crdt::{Dot, DotFun, Observed, ReplicaId};

use crate::Hlc;

/// The type of a key. A key whose cells are of several types shows the one of the highest clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// A string: a register, plus increments.
    Text = 0,
    /// An add-wins set.
    Set = 1,
    /// A map of fields, each a register plus increments.
    Hash = 2,
    /// Ballots: at most one value per replica, which only that replica replaces. Tallied over live members.
    Vote = 3,
    /// Ballots that say how many are present at their replica. Summed over live members.
    Presence = 4,
}

impl Class {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        let all = [Self::Text, Self::Set, Self::Hash, Self::Vote, Self::Presence];
        all.into_iter().find(|class| *class as u8 == code)
    }

    /// Whether each replica has a cell of its own here, beside those of the others.
    #[must_use]
    pub fn holds_ballots(self) -> bool {
        matches!(self, Self::Vote | Self::Presence)
    }

    /// Whether elements have names: members of a set, fields of a hash.
    pub(super) fn has_names(self) -> bool {
        matches!(self, Self::Set | Self::Hash)
    }
}

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
        let name_hash = hash_of(name);
        let hash = mix(mix(key_hash, class as u64), name_hash);
        Self { key, class, name, key_hash, name_hash, hash }
    }
}

/// The hash of a key or a name. Every replica of every version computes the same: buckets depend on it.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Folds `word` into `state` (the finalizer of splitmix64, by Steele, Lea and Flood).
pub(super) fn mix(state: u64, word: u64) -> u64 {
    let mut x = state.rotate_left(25) ^ word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
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

    /// The highest clock of any live cell, with its writer.
    pub(super) fn newest(&self) -> Option<(Hlc, ReplicaId)> {
        let registers = self.value.iter().map(|(dot, register)| (register.clock, dot.replica));
        registers.chain(self.counts.iter().map(|(dot, count)| (count.clock, dot.replica))).max()
    }
}

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
