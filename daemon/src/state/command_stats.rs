//! How often each command was called, how long it took, and what was refused: `INFO commandstats`, `latencystats` and
//! `errorstats`, `LATENCY HISTOGRAM`.
//!
//! All commands run under the lock of the replica, so a counter is read, added to and written: an addition that others could
//! see would be dear next to a command. A reader may miss the last one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The least bucket, as a power of two in nanoseconds, and how many there are: up to a second, as in Redis.
const LEAST: u32 = 10;
const BUCKETS: usize = 21;
/// Words with which errors begin that are counted apart.
const ERRORS_MAX: usize = 128;
/// All others are counted under this.
const OTHER_ERRORS: &str = "OTHER";

/// What is counted of one command.
#[derive(Debug, Default)]
pub struct CommandStat {
    calls: AtomicU64,
    micros: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// The bucket of what took so many microseconds: Redis's buckets end a 128th behind a power of two.
#[inline]
fn bucket_of(micros: u64) -> usize {
    let nanos = micros.saturating_mul(1_000).max(1);
    let power = nanos.ilog2();
    let is_over = nanos > (1 << power) + ((1u64 << power) >> 7).saturating_sub(1);
    ((power + u32::from(is_over)).saturating_sub(LEAST) as usize).min(BUCKETS - 1)
}

/// The microseconds at which a bucket ends.
fn end_of(bucket: usize) -> u64 {
    let nanos = 1u64 << (LEAST as usize + bucket);
    (nanos + (nanos >> 7) - 1) / 1_000
}

impl CommandStat {
    /// Calls, microseconds, refusals before it ran, and after.
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        [&self.calls, &self.micros, &self.rejected, &self.failed].map(|counter| counter.load(Relaxed))
    }

    /// Up to how many microseconds how many calls took, buckets without any left out.
    #[must_use]
    pub fn histogram(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let counts = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).enumerate().filter(|(_, count)| *count > 0);
        counts
            .map(|(bucket, count)| {
                sum += count;
                (end_of(bucket), sum)
            })
            .collect()
    }

    fn forget(&self) {
        let counters = [&self.calls, &self.micros, &self.rejected, &self.failed];
        counters.into_iter().chain(&self.buckets).for_each(|counter| counter.store(0, Relaxed));
    }
}

/// What is counted of all commands, by their numbers.
#[derive(Debug)]
pub struct CommandStats {
    commands: Box<[CommandStat]>,
    errors: Mutex<BTreeMap<Box<str>, u64>>,
    /// Whether it is counted how many took how long.
    pub has_histograms: AtomicBool,
}

impl CommandStats {
    /// Of so many commands.
    #[must_use]
    pub fn of(commands: usize) -> Self {
        let commands = std::iter::repeat_with(CommandStat::default).take(commands).collect();
        Self { commands, errors: Mutex::default(), has_histograms: AtomicBool::new(true) }
    }

    /// A command ran for so many microseconds.
    #[inline]
    pub fn ran(&self, number: usize, micros: u64, failed: bool) {
        let Some(stat) = self.commands.get(number) else { return };
        add(&stat.calls, 1);
        add(&stat.micros, micros);
        if failed {
            add(&stat.failed, 1);
        }
        if self.has_histograms.load(Relaxed) {
            add(&stat.buckets[bucket_of(micros)], 1);
        }
    }

    /// A command was refused before it ran.
    pub fn rejected(&self, number: usize) {
        self.commands.get(number).into_iter().for_each(|stat| add(&stat.rejected, 1));
    }

    /// An error was answered.
    #[cold]
    pub fn refused(&self, error: &str) {
        let word = error.split(' ').next().unwrap_or_default();
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !errors.contains_key(word);
        let word = if is_new && errors.len() >= ERRORS_MAX { OTHER_ERRORS } else { word };
        *errors.entry(word.into()).or_default() += 1;
    }

    /// What is counted of a command.
    #[must_use]
    pub fn command(&self, number: usize) -> Option<&CommandStat> {
        self.commands.get(number)
    }

    /// How many errors there were of each kind.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<Box<str>, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to count anew.
    pub fn forget(&self) {
        self.commands.iter().for_each(CommandStat::forget);
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Redis tells them.
    #[test]
    fn buckets_end_where_those_of_redis_do() {
        let ends: Vec<u64> = (0..BUCKETS).map(end_of).collect();
        assert_eq!(ends[..10], [1, 2, 4, 8, 16, 33, 66, 132, 264, 528]);
        assert_eq!((ends[15], ends[BUCKETS - 1]), (33_816, 1_082_130));
        for (bucket, end) in ends.iter().enumerate() {
            assert_eq!(bucket_of(*end), bucket, "{end}");
            assert_eq!(bucket_of(end + 1), (bucket + 1).min(BUCKETS - 1), "{end}");
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let stats = CommandStats::of(1);
        (0..ERRORS_MAX + 5).for_each(|number| stats.refused(&format!("E{number} something")));
        stats.refused("E1");
        let errors = stats.errors();
        assert_eq!((errors.len(), errors[OTHER_ERRORS], errors["E1"]), (ERRORS_MAX + 1, 5, 2));
        stats.ran(0, 3, true);
        stats.ran(7, 3, true);
        assert_eq!(stats.command(0).map(CommandStat::counts), Some([1, 3, 0, 1]));
        stats.forget();
        assert!(stats.errors().is_empty() && stats.command(0).is_some_and(|stat| stat.histogram().is_empty()));
    }
}
