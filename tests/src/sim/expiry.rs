//! What expires in a run, or is evicted: removed by the engines on their own, and recorded like what clients do.

use std::collections::BTreeMap;

use cahoots_gossip::engine::{MemoryBound, Now, Replica};
use cahoots_gossip::store::Moment;

use super::World;
use crate::oracle::{Action, Knowledge};

/// Virtual microseconds for which nothing is to expire before a cluster is called quiet: longer than what follows takes.
const QUIET_MICROS: u64 = 900_000_000;
/// After so many virtual microseconds of right clocks the deadlines of a run have passed, or are too far away to matter:
/// the longest span that is short, and as much again as a clock may have been ahead.
const DEADLINES_MICROS: u64 = 120_000_000;
/// A replica in a place behind so many others removes what they did not so many virtual microseconds later.
const TURN_MICROS: u64 = 5_000_000;
/// A removal that could not be made is tried again in less.
const RETRY_MICROS: u64 = 2_000_000;

impl World {
    /// The wall clock of a host.
    pub(super) fn wall(&self, host: usize) -> u64 {
        self.process(host).clocks.read(self.now).wall
    }

    /// What clients of a replica see now.
    pub(super) fn moment(&self, host: usize) -> Moment<'_> {
        self.process(host).engine.store().at(self.wall(host))
    }

    /// Wall times at which a replica is looked at: now, and as it will be just before and at its next deadline.
    pub(super) fn moments_of_interest(&self, host: usize, wall: u64) -> Vec<u64> {
        let next = self.process(host).engine.store().next_deadline();
        let next = next.filter(|next| *next > self.moment(host).now() + 1);
        [Some(wall), next.map(|next| next - 1), next].into_iter().flatten().collect()
    }

    /// Runs what may remove what has expired, or is too much, and records what it removes.
    pub(super) fn removing<R>(&mut self, host: usize, now: Now, run: impl FnOnce(&mut Replica) -> R) -> R {
        // A clock that was put back shows again what it hid, and that is due anew.
        self.process_mut(host).engine.see_time(now);
        let store = self.process(host).engine.store();
        let moment = store.at(now.wall).now();
        let may_expire = store.next_deadline().is_some_and(|next| next <= moment);
        let is_due = (may_expire || self.hosts[host].bound != MemoryBound::default()) && !self.doubtful;
        let keys = self.history.keys().filter(|_| is_due);
        let knew: BTreeMap<Vec<u8>, Knowledge> = keys.map(|key| (key.to_vec(), self.knowledge(host, key))).collect();
        let engine = &mut self.process_mut(host).engine;
        let result = run(engine);
        let (removed, evicted) = (engine.take_removed(), engine.take_evicted());
        let stamp = engine.store().clock().get();
        self.tally.removed += removed.len() as u64;
        self.tally.evicted += evicted.len() as u64;
        for (key, dot) in removed.iter().filter(|_| !self.doubtful) {
            let knew = knew.get(&key[..]).expect("it was due");
            let recorded = self.history.record(key, *dot, Action::RemoveExpired, stamp, knew, moment);
            recorded.expect("a removal has no stamp to be wrong");
        }
        for (key, dot) in evicted.iter().filter(|_| !self.doubtful) {
            let knew = knew.get(&key[..]).expect("memory is bounded");
            let recorded = self.history.record(key, *dot, Action::Delete, stamp, knew, 0);
            recorded.expect("a removal has no stamp to be wrong");
        }
        removed.iter().chain(&evicted).for_each(|(key, _)| self.judge(host, key));
        result
    }

    /// DBSIZE.
    pub(super) fn count_keys(&mut self, host: usize) -> usize {
        let now = self.read_clocks(host);
        let count = self.removing(host, now, |engine| engine.count_keys(now));
        self.pump(host);
        count
    }

    /// Whether no replica has to remove anything soon.
    pub(super) fn is_quiet(&self) -> bool {
        let quiet = |host: usize| {
            let next = self.process(host).engine.store().next_deadline();
            next.is_none_or(|next| next > self.moment(host).now() + QUIET_MICROS / 1_000)
        };
        self.alive().into_iter().filter(|host| self.removes(*host)).all(quiet)
    }

    /// Whether a replica removes what has expired. One whose id is in doubt removes nothing of its own accord before a peer has
    /// spoken: alone, it keeps it, hidden.
    pub(super) fn removes(&self, host: usize) -> bool {
        self.alive().len() > 1 || !self.process(host).engine.on_probation()
    }

    /// Virtual microseconds after healing within which all has expired that does in a run, and was removed.
    pub(super) fn quiet_bound(&self) -> u64 {
        DEADLINES_MICROS + self.hosts() as u64 * TURN_MICROS + RETRY_MICROS
    }

    /// What has expired leaves nothing behind, and those who watch were told without anybody asking.
    pub(super) fn check_leftovers(&mut self) {
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        for host in self.alive() {
            self.check_listing(host);
            if !self.removes(host) {
                continue;
            }
            let store = self.process(host).engine.store();
            let is_left = |key: &&Vec<u8>| self.moment(host).view(key).is_none() && store.memory_of(key).is_some();
            let left = keys.iter().find(is_left).map(|key| String::from_utf8_lossy(key));
            assert!(left.is_none(), "host {host} keeps something of {left:?}, which has expired");
        }
    }
}
