//! What took long, second by second (`LATENCY`), if that is asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Seconds with samples that are kept of an event, as by Redis.
const SAMPLES_MAX: usize = 160;

/// The worst of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What is kept of an event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The oldest first; never empty.
    pub samples: VecDeque<Sample>,
    /// The worst of all, in milliseconds.
    pub worst: u64,
}

/// The events that took long.
#[derive(Debug)]
pub struct Latency {
    /// Microseconds from which on something took long: none does if nobody asks.
    from_micros: AtomicU64,
    events: Mutex<BTreeMap<&'static str, Series>>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { from_micros: AtomicU64::new(u64::MAX), events: Mutex::default() }
    }
}

impl Latency {
    fn events(&self) -> MutexGuard<'_, BTreeMap<&'static str, Series>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds from which on something took long; 0 if nothing does.
    #[must_use]
    pub fn threshold(&self) -> u64 {
        match self.from_micros.load(Relaxed) {
            u64::MAX => 0,
            micros => micros / 1_000,
        }
    }

    /// Says from how many milliseconds on something took long; 0 if nothing does.
    pub fn set_threshold(&self, millis: u64) {
        let micros = if millis == 0 { u64::MAX } else { millis.saturating_mul(1_000).min(u64::MAX - 1) };
        self.from_micros.store(micros, Relaxed);
    }

    /// Whether what took so many microseconds took long.
    #[inline]
    #[must_use]
    pub fn keeps(&self, micros: u64) -> bool {
        micros >= self.from_micros.load(Relaxed)
    }

    /// Keeps how long an event took, in microseconds.
    pub fn note(&self, event: &'static str, micros: u64) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.note_at(event, Sample { at, millis: micros / 1_000 });
    }

    fn note_at(&self, event: &'static str, sample: Sample) {
        let mut events = self.events();
        let Series { samples, worst } = events.entry(event).or_default();
        *worst = sample.millis.max(*worst);
        match samples.back_mut().filter(|last| last.at == sample.at) {
            Some(last) => last.millis = last.millis.max(sample.millis),
            None => samples.push_back(sample),
        }
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// What is kept of an event, in any case.
    #[must_use]
    pub fn of(&self, event: &[u8]) -> Option<(&'static str, Series)> {
        self.all().into_iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event))
    }

    /// Everything.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.events().iter().map(|(name, series)| (*name, series.clone())).collect()
    }

    /// Forgets an event, or all of them; says how many.
    pub fn forget(&self, event: Option<&[u8]>) -> usize {
        let mut events = self.events();
        let before = events.len();
        events.retain(|name, _| event.is_some_and(|event| !name.as_bytes().eq_ignore_ascii_case(event)));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_each_second_is_kept_for_a_bounded_number_of_seconds() {
        let latency = Latency::default();
        assert!(!latency.keeps(u64::MAX - 1) && latency.threshold() == 0);
        latency.set_threshold(5);
        assert!(latency.keeps(5_000) && !latency.keeps(4_999) && latency.threshold() == 5);
        for at in 0..SAMPLES_MAX as u64 + 10 {
            latency.note_at("command", Sample { at, millis: 7 });
            latency.note_at("command", Sample { at, millis: if at == 0 { 90 } else { 6 } });
        }
        latency.note_at("fast-command", Sample { at: 1, millis: 1 });
        let (name, series) = latency.of(b"COMMAND").expect("it is there");
        assert_eq!((name, series.samples.len(), series.worst), ("command", SAMPLES_MAX, 90));
        assert_eq!(series.samples.front(), Some(&Sample { at: 10, millis: 7 }));
        assert_eq!(
            (latency.forget(Some(b"Fast-Command")), latency.forget(Some(b"x")), latency.forget(None)),
            (1, 0, 1)
        );
    }
}
