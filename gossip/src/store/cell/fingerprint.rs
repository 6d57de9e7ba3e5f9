//! Fingerprints: a commutative hash over everything replicated, kept up to date change by change.
//!
//! A set of cells has the sum (modulo 2¹²⁸) of the hashes of its cells, so adding and removing one cell is adding
//! and subtracting its hash.
//!
//! Invariant 3 (`docs/design.md`, 2.3) rests on this: replicas with equal version vectors have equal fingerprints.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use cahoots_crdt::Dot;

use super::baseline::Baselines;
use crate::mix::fold;
use crate::store::cell::{Count, Element, Path, Register};

/// The fingerprint of a set of cells, side tables included.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The 128 bits of this fingerprint.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    pub(in crate::store) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    pub(in crate::store) fn subtract(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }

    pub(in crate::store) fn of_register(path: &Path<'_>, dot: Dot, register: &Register<'_>) -> Self {
        Self(xxh3_128_with_seed(register.value, fold(seed(path.hash, dot), register.clock.get())))
    }

    /// Only a baseline that takes something away is part of the state: others are dropped at different times.
    pub(in crate::store) fn of_count(path: &Path<'_>, dot: Dot, count: &Count, baselines: &Baselines) -> Self {
        let (seen, taken) = baselines.effective(path, dot, count).map_or((0, 0), |it| (it.seen, it.total));
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&count.birth.to_le_bytes());
        bytes[8..24].copy_from_slice(&count.total.to_le_bytes());
        bytes[24..32].copy_from_slice(&seen.to_le_bytes());
        bytes[32..].copy_from_slice(&taken.to_le_bytes());
        // The complement sets a counter's cells apart from a register that holds the same bytes.
        Self(xxh3_128_with_seed(&bytes, fold(seed(!path.hash, dot), count.clock.get())))
    }

    pub(in crate::store) fn of_element(path: &Path<'_>, element: &Element<'_>, baselines: &Baselines) -> Self {
        let mut sum = Self::default();
        element.value.iter().for_each(|(dot, register)| sum.add(Self::of_register(path, dot, register)));
        element.counts.iter().for_each(|(dot, count)| sum.add(Self::of_count(path, dot, count, baselines)));
        sum
    }

    pub(in crate::store) fn of_frontier(bucket: usize, dot: Dot) -> Self {
        Self(xxh3_128_with_seed(b"frontier", seed(bucket as u64, dot)))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn seed(place: u64, dot: Dot) -> u64 {
    fold(fold(place, dot.replica.get()), dot.seq)
}
