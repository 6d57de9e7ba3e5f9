//! Hybrid logical clocks: timestamps close to real time that never contradict causality.
//!
//! Source: Kulkarni, Demirbas, Madappa, Avva, Leone, *Logical Physical Clocks* (OPODIS 2014). Milliseconds and the
//! counter share 64 bits; when the counter overflows it carries into the milliseconds, which keeps the order.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A hybrid logical timestamp: 48 bits of milliseconds since 1970 and a 16-bit counter.
///
/// Source: Kulkarni, Demirbas, Madappa, Avva, Leone, *Logical Physical Clocks* (OPODIS 2014).
///
/// ```
/// use cahoots_crdt::Hlc;
///
/// let stamp = Hlc::new(1_763_000_000_000, 2);
/// assert_eq!((stamp.millis(), stamp.counter()), (1_763_000_000_000, 2));
/// assert!(stamp < Hlc::new(1_763_000_000_001, 0));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hlc(u64);

impl Hlc {
    /// The timestamp with these parts; milliseconds beyond 48 bits (the year 10889) count as the highest.
    #[must_use]
    pub const fn new(millis: u64, counter: u16) -> Self {
        const MILLIS_MAX: u64 = (1 << 48) - 1;
        let millis = if millis > MILLIS_MAX { MILLIS_MAX } else { millis };
        Self(millis << 16 | counter as u64)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The position among the timestamps of one millisecond.
    #[must_use]
    pub const fn counter(self) -> u16 {
        // The low 16 bits are the counter by definition.
        #[allow(clippy::cast_possible_truncation)]
        let counter = self.0 as u16;
        counter
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.millis(), self.counter())
    }
}

/// A timestamp lies too far ahead of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock is {ahead_millis} ms ahead of the wall clock, {max_millis} ms are allowed")]
pub struct ClockAhead {
    /// How far it is ahead.
    pub ahead_millis: u64,
    /// How far it may be.
    pub max_millis: u64,
}

/// Issues timestamps of one replica, each above all it has issued or observed.
///
/// It reads no clock: the wall time comes in with every call. The drift bound keeps one broken clock from dragging
/// the timestamps of all replicas into the future.
///
/// All operations cost O(1). Source: Kulkarni et al., *Logical Physical Clocks* (OPODIS 2014).
///
/// ```
/// use cahoots_crdt::{Hlc, HybridClock};
///
/// let mut clock = HybridClock::new(1_000);
/// let first = clock.tick(5_000)?;
/// let second = clock.tick(4_990)?; // the wall clock went back: time does not
/// assert!(second > first);
/// assert!(clock.observe(Hlc::new(7_000, 0), 5_000).is_err());
/// # Ok::<(), cahoots_crdt::ClockAhead>(())
/// ```
#[derive(Clone, Debug)]
pub struct HybridClock {
    latest: Hlc,
    drift_millis_max: u64,
}

impl HybridClock {
    /// A clock that may run at most `drift_millis_max` ahead of the wall clock.
    #[must_use]
    pub const fn new(drift_millis_max: u64) -> Self {
        Self { latest: Hlc(0), drift_millis_max }
    }

    /// The highest timestamp issued or observed.
    #[must_use]
    pub const fn latest(&self) -> Hlc {
        self.latest
    }

    /// A timestamp above all before it.
    ///
    /// # Errors
    /// [`ClockAhead`] when that would exceed the drift bound, or when there is none; the clock is unchanged then.
    pub fn tick(&mut self, wall_millis: u64) -> Result<Hlc, ClockAhead> {
        // The highest timestamp there is can only have been observed, under a drift bound without meaning.
        let Some(next) = self.latest.0.checked_add(1) else { return Err(self.ahead(self.latest, wall_millis)) };
        let next = Hlc(next).max(Hlc::new(wall_millis, 0));
        self.check(next, wall_millis)?;
        self.latest = next;
        Ok(next)
    }

    /// Takes note of a timestamp received from elsewhere.
    ///
    /// # Errors
    /// [`ClockAhead`] when it exceeds the drift bound; the clock is unchanged then.
    pub fn observe(&mut self, stamp: Hlc, wall_millis: u64) -> Result<(), ClockAhead> {
        self.check(stamp, wall_millis)?;
        self.latest = self.latest.max(stamp);
        Ok(())
    }

    fn check(&self, stamp: Hlc, wall_millis: u64) -> Result<(), ClockAhead> {
        let ahead = self.ahead(stamp, wall_millis);
        if ahead.ahead_millis > ahead.max_millis { Err(ahead) } else { Ok(()) }
    }

    fn ahead(&self, stamp: Hlc, wall_millis: u64) -> ClockAhead {
        ClockAhead { ahead_millis: stamp.millis().saturating_sub(wall_millis), max_millis: self.drift_millis_max }
    }
}
