//! Hybrid logical clocks: close to wall time, never behind what has been seen.
//!
//! Source: Kulkarni, Demirbas, Madappa, Avva, Leone, *Logical Physical Clocks* (2014), with both parts packed
//! into one 64-bit number so that comparing clocks is comparing integers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many low bits count events within one millisecond.
const LOGICAL_BITS: u32 = 16;

/// A reading of a hybrid logical clock: 48 bits of milliseconds since 1970, 16 bits of a logical counter.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(u64);

impl Hlc {
    /// No replica mints, and none takes in, a reading of a later millisecond: 2^42 of them end on the 15th of May 2109. The
    /// bound is absolute, hence the same everywhere and at all times: what one replica has applied no other refuses. It
    /// leaves room above itself, so no stamp can be the last one that fits 64 bits and outlive every later write.
    pub const SANE_MS_MAX: u64 = 1 << 42;

    /// Whether a replica that keeps the rules may have made this reading.
    #[must_use]
    pub const fn is_sane(self) -> bool {
        self.wall_ms() <= Self::SANE_MS_MAX
    }

    /// The reading with these 64 bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The earliest reading within a millisecond.
    #[must_use]
    pub const fn at(wall_ms: u64) -> Self {
        Self(wall_ms << LOGICAL_BITS)
    }

    /// The 64 bits of this reading.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn wall_ms(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// How many readings were made within the millisecond before this one.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the logical part")]
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The reading for the next local event at wall time `wall_ms`: above this one, and not behind the wall.
    ///
    /// More than 65,536 events in one millisecond borrow from the next, which the wall soon overtakes.
    #[must_use]
    pub fn next(self, wall_ms: u64) -> Self {
        Self(self.0.saturating_add(1)).max(Self::at(wall_ms))
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms+{}", self.wall_ms(), self.0 & ((1 << LOGICAL_BITS) - 1))
    }
}
