//! Bounds on memory in a run: what the engines evict on their own is recorded like what clients delete.

use cahoots_crdt::ReplicaId;
use cahoots_gossip::engine::{EvictionPolicy, MemoryBound, Now, Replica, ReplicaConfig, Room};
use cahoots_gossip::store::{Class, Moment};

use super::{Random, Step, World};
use crate::client::Request;

const POLICIES: [EvictionPolicy; 8] = [
    EvictionPolicy::NoEviction,
    EvictionPolicy::AllKeysLru,
    EvictionPolicy::AllKeysLfu,
    EvictionPolicy::AllKeysRandom,
    EvictionPolicy::VolatileLru,
    EvictionPolicy::VolatileLfu,
    EvictionPolicy::VolatileRandom,
    EvictionPolicy::VolatileTtl,
];

/// Of 100 runs, those in which memory is bounded.
const BOUNDED_PERCENT: f64 = 25.0;
/// Bytes beside those of an empty store that a host may have; 0 for as many as it likes.
const BOUNDS: [usize; 5] = [0, 300, 1_000, 4_000, 20_000];

/// Steps that bound the memory of hosts: at the start, and of some of them again later. All have one policy, as a fleet should.
pub(super) fn draw_bounds(random: &mut Random, hosts: usize, steps: &mut Vec<Step>) {
    if !random.percent(BOUNDED_PERCENT) {
        return;
    }
    let policy = *random.pick(&POLICIES);
    let empty = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), Now::default());
    let empty = empty.store().used();
    let mut bound = |host: usize| {
        let bytes = *random.pick(&BOUNDS);
        let bytes_max = if bytes == 0 { 0 } else { empty + bytes };
        let samples = *random.pick(&[1, 5, 64]);
        Step::Bound(host, MemoryBound { bytes_max, policy, samples, ..MemoryBound::default() })
    };
    let first: Vec<Step> = (0..hosts).map(&mut bound).collect();
    let later: Vec<Step> = (0..hosts).map(&mut bound).collect();
    for step in later {
        let at = random.index(steps.len());
        steps.insert(at, step);
    }
    steps.splice(0..0, first);
}

impl World {
    /// Bounds the memory of a host, from now on and after every restart.
    pub fn bound(&mut self, host: usize, bound: MemoryBound) {
        self.hosts[host].bound = bound;
        self.apply_bound(host);
    }

    pub(super) fn apply_bound(&mut self, host: usize) {
        let (now, bound) = (self.hosts[host].clocks.read(self.now), self.hosts[host].bound);
        if let Some(process) = &mut self.hosts[host].process
            && process.engine.memory_bound() != bound
        {
            process.engine.bound_memory(now, bound);
        }
    }

    /// As a daemon does: asks for room, writes if there is some, and reads what was written.
    pub(super) fn write_within_bound(&mut self, host: usize, group: &[Request]) {
        let now = self.read_clocks(host);
        if self.process(host).engine.is_memory_bounded() {
            let room = self.removing(host, now, |engine| engine.make_room(now));
            self.pump(host);
            if room == Room::None {
                self.tally.full_refusals += 1;
                return;
            }
        }
        self.write(host, group);
        if self.process(host).engine.counts_reads() {
            let moment = self.moment(host);
            let views = group.iter().filter_map(|Request(key, _)| moment.view(key));
            let read: Vec<u64> = views.map(|view| view.hash()).collect();
            self.process_mut(host).engine.note_reads(now, &read);
            self.pump(host);
        }
    }

    /// Whether all replicas have no more than they may, or nothing that could be evicted.
    pub(super) fn is_within_bounds(&self) -> bool {
        self.alive().into_iter().filter(|host| self.removes(*host)).all(|host| {
            let engine = &self.process(host).engine;
            let MemoryBound { bytes_max, policy, .. } = engine.memory_bound();
            let is_over = bytes_max > 0 && engine.store().used() > bytes_max;
            !is_over || policy == EvictionPolicy::NoEviction || !self.has_evictable(host, policy)
        })
    }

    fn has_evictable(&self, host: usize, policy: EvictionPolicy) -> bool {
        let moment: Moment<'_> = self.moment(host);
        let mut views = self.history.keys().filter_map(|key| moment.view(key));
        views.any(|view| {
            let holds_ballots = matches!(view.class(), Class::Vote | Class::Presence);
            !holds_ballots && (!policy.is_volatile() || view.deadline().is_some())
        })
    }

    /// Where nothing is to be evicted nothing was: what a client was told is done stays.
    pub(super) fn check_evictions(&mut self) {
        for host in self.alive() {
            let engine = &mut self.process_mut(host).engine;
            let (policy, evicted) = (engine.memory_bound().policy, engine.status().counters.keys_evicted);
            assert!(policy != EvictionPolicy::NoEviction || evicted == 0, "host {host} has evicted {evicted} keys");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sides that were apart, each within its bound: together they are over it, and agree on what goes.
    #[test]
    fn sides_that_were_apart_are_over_the_bound_together_and_come_within_it() {
        let mut world = World::new(11, 4, ReplicaConfig::default());
        (0..4).for_each(|host| _ = world.start(host));
        world.introduce();
        world.advance(3_000_000);
        let bytes_max = world.process(0).engine.store().used() + 20_000;
        for host in 0..4 {
            let policy = EvictionPolicy::AllKeysLru;
            world.bound(host, MemoryBound { bytes_max, policy, ..MemoryBound::default() });
        }
        world.split(&[0, 1]);
        world.advance(20_000_000);
        for number in 0..600 {
            let key = format!("t{number}");
            let group = [Request(key.into_bytes(), crate::oracle::Action::Set(vec![7; 100]))];
            world.write_within_bound(number % 4, &group);
            world.advance(10_000);
        }
        world.advance(5_000_000);
        assert!(world.is_within_bounds());
        let used: Vec<usize> = (0..4).map(|host| world.process(host).engine.store().used()).collect();
        // Rounds begin when a 64th is left, and free no more than that: a few keys of a hundred bytes.
        let least = bytes_max - bytes_max / 64 - 2_000;
        assert!(used.iter().all(|used| *used > least), "{used:?} of {bytes_max}");
        world.heal(&[]);
        assert!(world.is_within_bounds());
    }
}
