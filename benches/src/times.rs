//! Many durations, told by their percentiles.

use std::time::Duration;

/// Durations of one kind of thing.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds more of them.
    pub fn extend(&mut self, times: impl IntoIterator<Item = Duration>) {
        self.0.extend(times);
    }

    /// The time that so many of a thousand stay below.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn per_mille(&mut self, per_mille: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * per_mille / 1000]
    }
}

/// A duration in a unit that suits it, with three digits.
#[must_use]
pub fn told(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (unit, scale) = match nanos {
        ..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => ("us", 1e3),
        1_000_000..1_000_000_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let value = time.as_secs_f64() * 1e9 / scale;
    if value < 10.0 { format!("{value:.2} {unit}") } else { format!("{value:.0} {unit}") }
}
