//! Keys a second, so that a copy does not take a source or a daemon from those who use it.

use std::time::{Duration, Instant};

/// A bound on the pace.
pub(super) struct Rate {
    /// Between two keys; `None` without a bound.
    interval: Option<Duration>,
    /// When the next key is due.
    next: Instant,
}

/// What may be caught up after a pause.
const BURST: Duration = Duration::from_millis(100);

impl Rate {
    pub(super) fn new(keys_per_second: Option<u32>) -> Self {
        let interval = keys_per_second.map(|keys| Duration::from_secs(1) / keys.max(1));
        Self { interval, next: Instant::now() }
    }

    /// How long to wait before one more key.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let interval = self.interval?;
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.next = self.next.max(earliest) + interval;
        let wait = self.next.saturating_duration_since(now);
        // Sleeps shorter than this cost more than they are exact.
        (wait >= Duration::from_millis(1)).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_keys_take_ten_seconds_at_a_hundred_a_second() {
        let (begun, mut rate) = (Instant::now(), Rate::new(Some(100)));
        let mut now = begun;
        for _ in 0..1_000 {
            now += rate.wait(now).unwrap_or_default();
        }
        let taken = now - begun;
        assert!((Duration::from_millis(9_800)..Duration::from_millis(10_300)).contains(&taken), "{taken:?}");
        assert_eq!(Rate::new(None).wait(begun), None);
    }
}
