//! What happened in a run: proof that the faults fired and the repairs ran.

use std::collections::BTreeMap;

use cahoots_gossip::engine::{Event, Replica};

/// Counts of one run, or summed over many.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Groups of operations run by clients.
    pub groups: u64,
    /// Comparisons of one key at one replica with the oracle.
    pub judged: u64,
    /// Rounds of checking everything.
    pub checks: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Processes stopped for a while.
    pub stops: u64,
    /// Peers taken for dead.
    pub suspicions: u64,
    /// Peers forgotten.
    pub forgotten: u64,
    /// Datagrams that arrived where no process ran.
    pub to_nobody: u64,
    /// Datagrams that did not fit into the socket of a stopped process.
    pub socket_overflows: u64,
    /// Datagrams refused because membership had not announced their sender yet, or no longer knew it.
    pub from_unknown: u64,
    /// Datagrams refused because they were meant for a process that ran at this address before.
    pub to_predecessor: u64,
    /// Damaged datagrams refused.
    pub refused: u64,
    /// Change notifications heard.
    pub changes: u64,
    /// Bytes of the longest datagram.
    pub longest_datagram: usize,
    /// Events reported, by kind.
    pub events: BTreeMap<String, u64>,
    /// Counters of the engines, by name.
    pub counters: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn note(&mut self, event: &Event) {
        let name = format!("{event:?}");
        let kind = name.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
        *self.events.entry(kind).or_default() += 1;
    }

    /// Adds the counters of a process that is about to be gone.
    pub(super) fn bury(&mut self, engine: &mut Replica) {
        for (name, count) in engine.status().counters.entries() {
            *self.counters.entry(name).or_default() += count;
        }
    }
}
