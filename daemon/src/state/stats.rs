//! What happened since the start, as `INFO` tells it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Counters of all connections. Monotonic ones may wrap in some centuries; none orders anything, hence `Relaxed`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected: AtomicU64,
    /// Connections cut for passing a bound.
    pub cut: AtomicU64,
    /// Clients connected now.
    pub clients: AtomicUsize,
    /// Clients that wait in a `WAIT` now.
    pub blocked: AtomicUsize,
    /// Bytes sent by clients and not executed yet, over all connections.
    pub query_bytes: AtomicUsize,
    /// Bytes read from clients.
    pub bytes_in: AtomicU64,
    /// Bytes written to clients.
    pub bytes_out: AtomicU64,
    commands: AtomicU64,
    errors: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Counts of one batch of commands, added to [`Stats`] at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands executed.
    pub commands: u64,
    /// Commands refused.
    pub errors: u64,
    /// Keys read that were there.
    pub hits: u64,
    /// Keys read that were not.
    pub misses: u64,
}

impl Stats {
    /// Adds what a batch counted.
    pub fn add(&self, tally: &Tally) {
        let pairs = [
            (&self.commands, tally.commands),
            (&self.errors, tally.errors),
            (&self.hits, tally.hits),
            (&self.misses, tally.misses),
        ];
        for (counter, count) in pairs {
            // A locked addition is dear next to a command; most batches touch two of the four.
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }

    /// The sums of all batches.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            commands: self.commands.load(Relaxed),
            errors: self.errors.load(Relaxed),
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
        }
    }
}
