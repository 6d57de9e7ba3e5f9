//! Time, as the engine wants it: an argument.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Now;

/// The wall clock is read at most once in so many microseconds, and goes on by the monotonic one in between: half of
/// what a reading costs, for a clock that counts milliseconds.
const WALL_FRESH_US: u64 = 1_000;

/// Reads the machine's clocks. Monotonic time counts from the start of the node.
pub(super) struct Clock {
    origin: Instant,
    /// The last reading of the wall clock, and when it was taken. Under the engine's lock, which readers share: they write what is as good.
    wall: AtomicU64,
    wall_at: AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now(), wall: AtomicU64::new(wall_ms()), wall_at: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Now {
        // 2^64 microseconds are half a million years, 2^64 milliseconds more.
        let mono = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        if mono.saturating_sub(self.wall_at.load(Ordering::Relaxed)) >= WALL_FRESH_US {
            self.wall.store(wall_ms(), Ordering::Relaxed);
            self.wall_at.store(mono, Ordering::Relaxed);
        }
        Now { mono, wall: self.wall.load(Ordering::Relaxed) }
    }
}

/// Milliseconds since 1970; a wall clock set before that reads zero.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_behind_by_little_more_than_a_millisecond_at_most() {
        let clock = Clock::start();
        for _ in 0..200 {
            let before = wall_ms();
            let now = clock.now();
            assert!(now.wall + 2 >= before && now.wall <= wall_ms(), "{now:?} at {before}");
            std::thread::yield_now();
        }
    }
}
