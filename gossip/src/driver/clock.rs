//! Time, as the engine wants it: an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Now;

/// Reads the machine's clocks. Monotonic time counts from the start of the node.
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(super) fn now(&self) -> Now {
        // 2^64 microseconds are half a million years, 2^64 milliseconds more.
        let mono = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { mono, wall: wall_ms() }
    }
}

/// Milliseconds since 1970; a wall clock set before that reads zero.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
