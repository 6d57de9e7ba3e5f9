//! Commands that took long, the last ones of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Redis's defaults: microseconds from which on a command is kept, and how many are.
const SLOWER_THAN_US: i64 = 10_000;
const LEN_MAX: usize = 128;
/// However many are wanted, no more are kept: about 200 MB.
const LEN_BOUND: usize = 1 << 16;
/// What is kept of a command, as by Redis: arguments, and bytes of each.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// A command that took long.
#[derive(Clone, Debug)]
pub struct SlowCommand {
    /// Its number among all that did.
    pub number: u64,
    /// When it was, in seconds since 1970.
    pub at: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// What it was, as far as that is kept.
    pub args: Vec<Vec<u8>>,
    /// Whose it was: where the client came from, and its name.
    pub address: Box<str>,
    /// The client's name.
    pub name: Box<[u8]>,
}

/// The commands that took long.
#[derive(Debug)]
pub struct Slowlog {
    /// Microseconds from which on a command is kept; negative for none.
    pub slower_than: AtomicI64,
    /// How many are kept.
    pub len_max: AtomicUsize,
    entries: Mutex<(u64, VecDeque<SlowCommand>)>,
}

impl Default for Slowlog {
    fn default() -> Self {
        let (slower_than, len_max) = (AtomicI64::new(SLOWER_THAN_US), AtomicUsize::new(LEN_MAX));
        Self { slower_than, len_max, entries: Mutex::default() }
    }
}

impl Slowlog {
    fn entries(&self) -> MutexGuard<'_, (u64, VecDeque<SlowCommand>)> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a command that took so many microseconds is kept.
    #[must_use]
    pub fn keeps(&self, micros: u64) -> bool {
        // Of a negative one none: as an unsigned number it is more than any command takes.
        micros >= self.slower_than.load(Relaxed).cast_unsigned()
    }

    /// Keeps one, which took so many microseconds.
    pub fn note<'a>(&self, micros: u64, args: impl ExactSizeIterator<Item = &'a [u8]>, address: &str, name: &[u8]) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut entries = self.entries();
        let (next, kept) = &mut *entries;
        let entry =
            SlowCommand { number: *next, at, micros, args: excerpt(args), address: address.into(), name: name.into() };
        *next += 1;
        kept.push_front(entry);
        kept.truncate(self.len_max.load(Relaxed).min(LEN_BOUND));
    }

    /// The last `count` of them, the last first.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<SlowCommand> {
        self.entries().1.iter().take(count).cloned().collect()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().1.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.entries().1.clear();
    }
}

/// What is kept of arguments, in Redis's words for the rest.
fn excerpt<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let len = args.len();
    let kept = if len > ARGS_MAX { ARGS_MAX - 1 } else { len };
    let mut excerpt: Vec<Vec<u8>> = args
        .take(kept)
        .map(|arg| match arg.len().checked_sub(ARG_BYTES_MAX).filter(|more| *more > 0) {
            None => arg.to_vec(),
            Some(more) => [&arg[..ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
        })
        .collect();
    if kept < len {
        excerpt.push(format!("... ({} more arguments)", len - kept).into_bytes());
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_of_each_a_bounded_part() {
        let slowlog = Slowlog::default();
        slowlog.len_max.store(2, Relaxed);
        assert!(!slowlog.keeps(9_999) && slowlog.keeps(10_000));
        let (long, args) = (vec![b'x'; 200], vec![&b"a"[..]; 40]);
        for args in [vec![&b"GET"[..], b"a"], vec![&b"SET"[..], &long], args] {
            slowlog.note(20_000, args.into_iter(), "here", b"me");
        }
        let kept = slowlog.last(9);
        assert_eq!(kept.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(kept[0].args.len(), 32);
        assert_eq!(kept[0].args[31], b"... (9 more arguments)");
        assert!(kept[1].args[1].ends_with(b"x... (72 more bytes)"));
        slowlog.slower_than.store(-1, Relaxed);
        assert!(!slowlog.keeps(i64::MAX.cast_unsigned()));
        slowlog.clear();
        assert!(slowlog.is_empty());
    }
}
