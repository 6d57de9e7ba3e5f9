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
    /// Times a process wrote its state to disk.
    pub syncs: u64,
    /// Times what was on a disk did not lead up to its process any more, and was written anew.
    pub records_lost: u64,
    /// Processes that went on under the id on their disk.
    pub resumed: u64,
    /// Processes that kept the data on their disk and took a new id.
    pub resumed_anew: u64,
    /// Processes that went on under the id on their disk although the disk was behind.
    pub lies: u64,
    /// Disks copied to another host.
    pub copies: u64,
    /// Times membership saw two processes with one id.
    pub duplicates_seen: u64,
    /// Times a process took another id.
    pub identities: u64,
    /// Wall clocks set.
    pub clock_steps: u64,
    /// Writes refused because a clock was too far ahead.
    pub clock_refusals: u64,
    /// Datagrams that waited in the socket of a slow process.
    pub waited: u64,
    /// Ballots discarded whose owners were gone.
    pub discards: u64,
    /// Keys of which something was removed because it had expired.
    pub removed: u64,
    /// Keys that were evicted.
    pub evicted: u64,
    /// Writes refused because memory was full.
    pub full_refusals: u64,
    /// Processes told to leave.
    pub leaves: u64,
    /// Processes that joined others.
    pub joins: u64,
    /// Events heard on the wire, each once.
    pub heard: u64,
    /// Dots heard on the wire that named another event before.
    pub forks: u64,
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

impl Tally {
    /// Every plain count by its name.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("groups", self.groups),
            ("judged", self.judged),
            ("checks", self.checks),
            ("crashes", self.crashes),
            ("stops", self.stops),
            ("suspicions", self.suspicions),
            ("forgotten", self.forgotten),
            ("to_nobody", self.to_nobody),
            ("socket_overflows", self.socket_overflows),
            ("from_unknown", self.from_unknown),
            ("to_predecessor", self.to_predecessor),
            ("refused", self.refused),
            ("changes", self.changes),
            ("syncs", self.syncs),
            ("records_lost", self.records_lost),
            ("resumed", self.resumed),
            ("resumed_anew", self.resumed_anew),
            ("lies", self.lies),
            ("copies", self.copies),
            ("duplicates_seen", self.duplicates_seen),
            ("identities", self.identities),
            ("clock_steps", self.clock_steps),
            ("clock_refusals", self.clock_refusals),
            ("waited", self.waited),
            ("discards", self.discards),
            ("removed", self.removed),
            ("evicted", self.evicted),
            ("full_refusals", self.full_refusals),
            ("leaves", self.leaves),
            ("joins", self.joins),
            ("heard", self.heard),
            ("forks", self.forks),
        ]
    }
}
