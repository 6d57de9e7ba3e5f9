//! Directed histories of replicas whose memory is bounded.

use std::net::SocketAddr;

use super::*;
use crate::Zone;
use crate::engine::ReplicaConfig;
use crate::store::hash_of;

const WALL: u64 = 1_700_000_000_000;
const KEY_BYTES: usize = 20;
const VALUE: [u8; 200] = [7; 200];

fn key(number: u32) -> Vec<u8> {
    format!("key:{number:016}").into_bytes()
}

/// Replicas that hear each other at once.
struct Fleet {
    replicas: Vec<Replica>,
    ms: u64,
}

impl Fleet {
    fn new(bounds: &[MemoryBound]) -> Self {
        let start = Now { mono: 0, wall: WALL };
        let replicas = (1..).zip(bounds).map(|(id, bound)| {
            let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(id), start);
            replica.bound_memory(start, *bound);
            replica
        });
        let mut fleet = Self { replicas: replicas.collect(), ms: 0 };
        for at in 0..bounds.len() {
            for peer in (0..bounds.len()).filter(|peer| *peer != at) {
                fleet.replicas[at].peer_up(start, Self::id(peer), Self::addr(peer), Zone::default());
            }
        }
        fleet.pass(1_500); // clocks are compared
        fleet
    }

    fn id(at: usize) -> ReplicaId {
        ReplicaId::new(at as u64 + 1)
    }

    fn addr(at: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(at).unwrap() + 1))
    }

    fn now(&self) -> Now {
        Now { mono: self.ms * 1_000, wall: WALL + self.ms }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            let now = self.now();
            self.replicas.iter_mut().filter(|it| it.poll_timeout() <= now.mono).for_each(|it| it.handle_timeout(now));
            let mut is_quiet = false;
            while !is_quiet {
                is_quiet = true;
                for from in 0..self.replicas.len() {
                    while let Some(transmit) = self.replicas[from].poll_transmit(now) {
                        is_quiet = false;
                        let to = usize::from(transmit.to.port()) - 1;
                        for datagram in transmit.datagrams() {
                            let _ = self.replicas[to].handle_datagram(now, Self::addr(from), datagram);
                        }
                    }
                }
            }
        }
    }

    /// Writes a key if there is room; says whether there was.
    fn set(&mut self, at: usize, number: u32) -> bool {
        let now = self.now();
        if self.replicas[at].make_room(now) == Room::None {
            return false;
        }
        self.replicas[at].write(now, KEY_BYTES + VALUE.len(), |w| w.set(&key(number), &VALUE)).unwrap();
        true
    }

    fn read(&mut self, at: usize, number: u32) {
        let now = self.now();
        if self.replicas[at].store().at(now.wall).view(&key(number)).is_some() {
            self.replicas[at].note_reads(now, &[hash_of(&key(number))]);
        }
    }

    fn has(&self, at: usize, number: u32) -> bool {
        self.replicas[at].store().at(self.now().wall).view(&key(number)).is_some()
    }

    fn used(&self) -> Vec<usize> {
        self.replicas.iter().map(|it| it.store().used()).collect()
    }

    fn evicted(&self) -> Vec<u64> {
        self.replicas.iter().map(|it| it.counters.keys_evicted).collect()
    }

    fn assert_equal(&mut self) {
        let states: Vec<_> = self.replicas.iter_mut().map(|it| it.status().fingerprint).collect();
        assert!(states.iter().all(|it| *it == states[0]));
        assert!(self.replicas.iter_mut().all(Replica::fingerprints_are_exact));
    }
}

fn empty() -> usize {
    Replica::new(ReplicaConfig::default(), ReplicaId::new(1), Now::default()).store().used()
}

fn bound(bytes: usize, policy: EvictionPolicy) -> MemoryBound {
    let bytes_max = if bytes == 0 { 0 } else { empty() + bytes };
    MemoryBound { bytes_max, policy, ..MemoryBound::default() }
}

#[test]
fn alone_what_was_used_stays_and_the_bound_holds_before_every_write() {
    for policy in [EvictionPolicy::AllKeysLru, EvictionPolicy::AllKeysLfu] {
        let mut fleet = Fleet::new(&[MemoryBound { samples: 10, ..bound(200_000, policy) }]);
        for number in 0..3_000 {
            assert!(fleet.set(0, number));
            assert!(fleet.used()[0] <= empty() + 200_000 + 300, "one write more at most");
            fleet.pass(u64::from(number % 100 == 0) * 200);
            for _ in 0..3 {
                fleet.read(0, number % 100);
            }
        }
        let hot = (0..100).filter(|number| fleet.has(0, *number)).count();
        let all = (0..3_000).filter(|number| fleet.has(0, *number)).count();
        assert!((600..900).contains(&all), "{policy:?}: {all} fit");
        assert!(hot > 90, "{policy:?}: {hot} of 100 that are read");
        assert_eq!(fleet.evicted(), [3_000 - all as u64]);
    }
}

#[test]
fn without_eviction_a_write_is_refused_until_there_is_room() {
    let mut fleet = Fleet::new(&[bound(10_000, EvictionPolicy::NoEviction)]);
    let fits = (0..).take_while(|number| fleet.set(0, *number)).count();
    assert!((30..50).contains(&fits), "{fits}");
    assert!(!fleet.set(0, 1_000) && fleet.evicted() == [0]);
    let now = fleet.now();
    assert!(fleet.replicas[0].eviction_due().is_none(), "nothing can be done about it");
    fleet.replicas[0].write(now, 0, |w| w.delete(&key(3))).unwrap();
    assert!(fleet.set(0, 1_000));
}

#[test]
fn of_keys_with_a_deadline_those_that_end_first_go_and_others_never() {
    let mut fleet = Fleet::new(&[MemoryBound { samples: 64, ..bound(50_000, EvictionPolicy::VolatileTtl) }]);
    let now = fleet.now();
    for number in 0..100 {
        let deadline = Some(WALL + 1_000_000 + u64::from(number) * 1_000);
        fleet.replicas[0].write(now, 0, |w| w.set_until(&key(number), &VALUE, deadline)).unwrap();
    }
    let fits = (1_000..).take_while(|number| fleet.set(0, *number)).count();
    assert!((150..230).contains(&fits), "{fits}");
    assert_eq!(fleet.evicted(), [100], "all that end, and then a write is refused");
    assert!((1_000..1_000 + u32::try_from(fits).unwrap()).all(|number| fleet.has(0, number)));
}

#[test]
fn with_deadlines_the_order_is_theirs() {
    let mut fleet = Fleet::new(&[MemoryBound { samples: 64, ..bound(50_000, EvictionPolicy::VolatileTtl) }]);
    let now = fleet.now();
    for number in 0..400 {
        assert!(fleet.replicas[0].make_room(now) == Room::Enough);
        let deadline = Some(WALL + 1_000_000 + u64::from(number) * 1_000);
        fleet.replicas[0].write(now, 0, |w| w.set_until(&key(number), &VALUE, deadline)).unwrap();
    }
    let kept: Vec<u32> = (0..400).filter(|number| fleet.has(0, *number)).collect();
    let late = kept.iter().filter(|number| **number >= 250).count();
    assert!(late == 150 && kept.len() > late, "{late} of {}", kept.len());
}

/// The bound of one is that of all; each evicts what it decides, asked by the one that has a bound.
#[test]
fn a_fleet_stays_within_the_bound_of_its_smallest_replica() {
    let policy = EvictionPolicy::AllKeysLru;
    let mut fleet = Fleet::new(&[bound(0, policy), bound(300_000, policy), bound(900_000, policy)]);
    for number in 0..6_000 {
        assert!(fleet.set(0, number), "the writer has no bound");
        if number % 20 == 0 {
            fleet.pass(5);
        }
    }
    fleet.pass(3_000);
    assert!(fleet.used().iter().all(|used| *used <= empty() + 300_000), "{:?}", fleet.used());
    assert!(fleet.used()[0] >= empty() + 200_000, "and no more went than had to: {:?}", fleet.used());
    let (evicted, all) = (fleet.evicted(), fleet.evicted().iter().sum::<u64>());
    assert!(evicted.iter().all(|of_one| *of_one > all / 5), "each its part: {evicted:?}");
    fleet.assert_equal();
}

#[test]
fn equal_bounds_are_not_undercut_because_several_ask_at_once() {
    let mut fleet = Fleet::new(&[bound(500_000, EvictionPolicy::AllKeysRandom); 4]);
    for number in 0..8_000 {
        assert!(fleet.set(number as usize % 4, number));
        if number % 20 == 0 {
            fleet.pass(5);
        }
    }
    assert!(fleet.used()[0] >= empty() + 400_000, "{:?}", fleet.used());
    fleet.pass(2_000);
    assert!(
        fleet.used().iter().all(|used| (empty() + 400_000..=empty() + 500_000).contains(used)),
        "{:?}",
        fleet.used()
    );
    fleet.assert_equal();
}

/// Without eviction the writes of others would take it over its bound.
#[test]
fn a_peer_that_is_full_is_full_for_all_until_there_is_room_again() {
    let policy = EvictionPolicy::NoEviction;
    let mut fleet = Fleet::new(&[bound(0, policy), bound(100_000, policy)]);
    let mut written = 0;
    while fleet.set(0, written) {
        written += 1;
        fleet.pass(10);
    }
    assert!(fleet.used()[1] <= empty() + 100_000, "{:?}", fleet.used());
    assert!(written > 300 && fleet.evicted() == [0, 0], "{written}");
    fleet.assert_equal();
    fleet.pass(7_000);
    assert!(!fleet.set(0, written), "it goes on saying so");
    let now = fleet.now();
    (0..100).for_each(|number| _ = fleet.replicas[0].write(now, 0, |w| w.delete(&key(number))).unwrap());
    fleet.pass(500);
    assert!(fleet.set(0, written));
}

#[test]
fn a_full_peer_that_is_gone_is_full_for_nobody() {
    let policy = EvictionPolicy::NoEviction;
    let mut fleet = Fleet::new(&[bound(0, policy), bound(10_000, policy)]);
    let mut written = 0;
    while fleet.set(0, written) {
        written += 1;
        fleet.pass(10);
    }
    let now = fleet.now();
    fleet.replicas[0].peer_down(now, Fleet::id(1));
    assert!(fleet.set(0, written));
}

/// Nobody answers for the keys of one that has died but those that are left.
#[test]
fn the_keys_of_a_replica_that_has_died_are_evicted_by_others() {
    let policy = EvictionPolicy::AllKeysRandom;
    let mut fleet = Fleet::new(&[bound(100_000, policy), bound(0, EvictionPolicy::NoEviction)]);
    let mut written = 0;
    while fleet.set(0, written) && written < 10_000 {
        written += 1;
    }
    assert!(written < 10_000, "the other evicts nothing of what it decides");
    let now = fleet.now();
    fleet.replicas[0].peer_down(now, Fleet::id(1));
    fleet.ms += 20;
    assert!((0..1_000).all(|number| fleet.set(0, 20_000 + number)));
}

#[test]
fn a_key_that_is_read_elsewhere_stays() {
    let policy = EvictionPolicy::AllKeysLru;
    let mut fleet = Fleet::new(&[bound(0, policy), bound(0, policy)]);
    (0..200).for_each(|number| assert!(fleet.set(0, number)));
    fleet.pass(20_000);
    (0..100).for_each(|number| fleet.read(1, number));
    fleet.pass(1_500);
    let decided: Vec<u32> = (0..200).filter(|number| fleet.replicas[0].decides(hash_of(&key(*number)))).collect();
    assert!((60..140).contains(&decided.len()));
    let now = fleet.now();
    for number in decided {
        let idle = fleet.replicas[0].store().idle_ms(&key(number), now.wall).unwrap();
        assert!(if number < 100 { idle < 2_000 } else { idle > 1_000 }, "{number}: {idle}");
    }
    let old =
        (100..200).filter(|number| fleet.replicas[0].store().idle_ms(&key(*number), now.wall) > Some(19_000)).count();
    assert!(old > 50, "{old}: those that share no place with one that was read");
}

/// A message of any length notes no more than its part.
#[test]
fn what_a_peer_says_of_uses_is_bounded() {
    let mut fleet = Fleet::new(&[bound(0, EvictionPolicy::AllKeysLru), bound(0, EvictionPolicy::AllKeysLru)]);
    let now = fleet.now();
    fleet.replicas[0].on_used(now, &[1; 7]);
    fleet.replicas[0].on_used(now, &[1; 100_000]);
    let hashes: Vec<u64> = (0..100_000).map(mix::mix).collect();
    fleet.replicas[0].note_reads(now, &hashes);
    assert_eq!(fleet.replicas[0].eviction.uses.len(), USES_TOLD_MAX);
    fleet.replicas[0].on_full(now, Fleet::id(1), u64::MAX);
    assert_eq!(fleet.evicted(), [0, 0]);
}
