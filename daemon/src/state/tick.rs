//! When something was, to tell how long ago that is.
//!
//! Each command is timed, so this costs one reading of the clock and two operations: the arithmetic of
//! [`Instant`](std::time::Instant), which has seconds and nanoseconds, takes longer than the reading.

use nix::time::ClockId;

/// A moment of the monotonic clock, in nanoseconds from an origin that means nothing.
#[derive(Clone, Copy, Debug)]
pub struct Tick(u64);

impl Tick {
    /// This moment.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        // Each Unix has this clock; it never reads less than zero, and 64 bits are enough for 584 years.
        let now = ClockId::CLOCK_MONOTONIC.now().expect("a monotonic clock");
        Self(now.tv_sec().cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec().cast_unsigned()))
    }

    /// How many whole microseconds later than another moment, 0 if it is none later.
    #[inline]
    #[must_use]
    pub fn micros_since(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn as_much_time_passes_as_by_the_clock_of_the_standard_library() {
        let (outside, tick) = (Instant::now(), Tick::now());
        let inside = Instant::now();
        std::thread::sleep(Duration::from_millis(3));
        let least = inside.elapsed();
        let micros = u128::from(Tick::now().micros_since(tick));
        assert!((least.as_micros()..=outside.elapsed().as_micros()).contains(&micros), "{micros}");
        assert_eq!(tick.micros_since(Tick::now()), 0);
    }
}
