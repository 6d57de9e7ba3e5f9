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
    /// Keys that had expired when the counting began: the replica counts all.
    pub expired_before: AtomicU64,
    /// Connections accepted before the counting began: their numbers are those of clients.
    connections_before: AtomicU64,
    commands: AtomicU64,
    errors: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Counts of one batch of commands, added to [`Stats`] at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
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
    pub fn add(&self, counts: &Counts) {
        let pairs = [
            (&self.commands, counts.commands),
            (&self.errors, counts.errors),
            (&self.hits, counts.hits),
            (&self.misses, counts.misses),
        ];
        for (counter, count) in pairs {
            // A locked addition is dear next to a command; most batches touch two of the four.
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }

    /// Begins to count anew; so many keys have expired by now.
    pub fn forget(&self, expired: u64) {
        let counters = [&self.commands, &self.errors, &self.hits, &self.misses];
        let others = [&self.rejected, &self.cut, &self.bytes_in, &self.bytes_out];
        counters.into_iter().chain(others).for_each(|counter| counter.store(0, Relaxed));
        self.expired_before.store(expired, Relaxed);
        self.connections_before.store(self.connections.load(Relaxed), Relaxed);
    }

    /// Connections accepted since the counting began.
    #[must_use]
    pub fn connections_counted(&self) -> u64 {
        self.connections.load(Relaxed).saturating_sub(self.connections_before.load(Relaxed))
    }

    /// The sums of all batches.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            commands: self.commands.load(Relaxed),
            errors: self.errors.load(Relaxed),
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
        }
    }
}
