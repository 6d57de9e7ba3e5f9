//! A daemon's account of itself: every figure once, with its name, unit and meaning.
//!
//! `INFO` and `CAHOOTS STATUS` are lists of these figures, each under the name that its readers know; `cahoots status`
//! prints what the latter answers. So a figure is computed in one place, and says the same wherever it stands.

pub mod figures;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use cahoots_gossip::engine::{Replica, Status};

use crate::state::{Counts, Server};

/// The version of Redis whose behaviour is promised: clients switch features on by it.
pub const REDIS_VERSION: &str = "7.0.15";

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds; of a moment, since 1970.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Hundredths.
    Percent,
    /// Whether something is so.
    Flag,
    /// Nothing: words.
    Text,
}

/// What a figure comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Words.
    Text(String),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Number(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// One figure.
#[derive(Debug)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What it means, for people.
    pub help: &'static str,
    value: fn(&mut Account<'_>) -> Option<Value>,
}

impl Figure {
    /// What it comes to now; `None` if there is nothing to tell.
    pub fn value(&self, account: &mut Account<'_>) -> Option<Value> {
        (self.value)(account)
    }
}

/// What figures are read from.
pub struct Account<'a> {
    replica: &'a mut Replica,
    server: &'a Server,
    /// What was counted since the shared counters were last added to.
    batch: Counts,
    /// Computed for the first figure that needs it: that takes a look at every bucket.
    status: Option<Status>,
}

impl<'a> Account<'a> {
    /// Of this replica and this daemon; `batch` is what its counters do not count yet.
    pub fn new(replica: &'a mut Replica, server: &'a Server, batch: Counts) -> Self {
        Self { replica, server, batch, status: None }
    }

    /// The replica's account of itself. Seals the flush window.
    pub fn status(&mut self) -> &Status {
        self.status.get_or_insert_with(|| self.replica.status())
    }

    /// How many keys each database has, and how many have a deadline.
    #[must_use]
    pub fn databases(&self) -> BTreeMap<u8, (usize, usize)> {
        self.replica.store().databases()
    }

    /// How long keys that end have still, in milliseconds, roughly.
    #[must_use]
    pub fn mean_left_ms(&self) -> u64 {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.replica.store().mean_left_ms(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
    }

    /// What all connections share.
    #[must_use]
    pub fn server(&self) -> &'a Server {
        self.server
    }

    /// Keys that have expired since the counting began.
    fn expired(&mut self) -> u64 {
        let expired = self.status().counters.keys_expired;
        expired.saturating_sub(self.server.stats.expired_before.load(Relaxed))
    }

    /// The counters, this batch included.
    fn counts(&self) -> Counts {
        let (before, batch) = (self.server.stats.counts(), self.batch);
        Counts {
            commands: before.commands + batch.commands,
            errors: before.errors + batch.errors,
            hits: before.hits + batch.hits,
            misses: before.misses + batch.misses,
        }
    }
}
