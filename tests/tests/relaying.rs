//! Events that travel down trees: churn, dead relays, views that differ. On the real engine in virtual time, with trees
//! in clusters far smaller than those that need them.

use cahoots_gossip::Zone;
use cahoots_gossip::engine::ReplicaConfig;
use cahoots_tests::client::Request;
use cahoots_tests::oracle::{Action, Shown};
use cahoots_tests::sim::World;

const SECOND: u64 = 1_000_000;

/// Trees from the second replica on, so many below each.
fn trees(fanout: usize) -> ReplicaConfig {
    let mut config = ReplicaConfig::default();
    config.relay_above = 0;
    config.relay_fanout = fanout;
    config.relay_zones_fanout = fanout;
    config
}

/// So many replicas that know each other, in these zones in turn.
fn cluster(hosts: usize, zones: &[&str], config: ReplicaConfig) -> World {
    let mut world = World::new(hosts as u64, hosts, config);
    world.detector().delay = (1_000, 50_000);
    for host in 0..hosts {
        if !zones.is_empty() {
            world.set_zone(host, Zone::named(zones[host % zones.len()]));
        }
        world.start(host);
    }
    world.advance(3 * SECOND);
    world
}

fn set(world: &mut World, host: usize, key: &str, value: &[u8]) {
    world.write(host, &[Request(key.into(), Action::Set(value.to_vec()))]);
}

fn all_have(world: &World, key: &str, value: &[u8]) -> bool {
    world.alive().into_iter().all(|host| world.shown(host, key) == Shown::Text(value.to_vec()))
}

/// Microseconds until all that are alive have it.
fn time_until_all_have(world: &mut World, key: &str, value: &[u8]) -> u64 {
    let begun = world.now;
    while !all_have(world, key, value) {
        assert!(world.now - begun < 10 * SECOND, "{}", world.describe());
        world.advance(100);
    }
    world.now - begun
}

fn count(world: &mut World, names: &[&str]) -> u64 {
    let mut sum = 0;
    for host in world.alive() {
        let entries = world.status(host).counters.entries();
        sum += entries.iter().filter(|(name, _)| names.contains(name)).map(|(_, count)| count).sum::<u64>();
    }
    sum
}

#[test]
fn each_event_reaches_each_replica_once_whatever_the_zones_are() {
    let zones: [&[&str]; 4] = [&[], &["a"], &["a", "a", "b"], &["a", "b", "b", "c", "d"]];
    for (zones, fanout) in zones.into_iter().flat_map(|zones| [1, 2, 16].map(|fanout| (zones, fanout))) {
        let mut world = cluster(7, zones, trees(fanout));
        for host in 0..7 {
            let before = count(&mut world, &["events_sent", "relays_sent"]);
            set(&mut world, host, "k", &[b'a' + u8::try_from(host).unwrap()]);
            world.advance(SECOND / 10);
            assert!(all_have(&world, "k", &[b'a' + u8::try_from(host).unwrap()]));
            assert_eq!(count(&mut world, &["events_sent", "relays_sent"]) - before, 6);
        }
        assert_eq!(count(&mut world, &["events_known", "wants_sent", "tails_probed"]), 0, "{zones:?}, {fanout}");
        world.heal(&[]);
    }
}

#[test]
fn a_relay_that_has_died_costs_those_below_it_one_timeout() {
    for dead in 1..7 {
        let mut world = cluster(7, &["a", "a", "b"], trees(2));
        for number in 0..20 {
            set(&mut world, 0, "k", format!("{number}").as_bytes()); // round trips are known from these
            world.advance(SECOND / 10);
        }
        world.detector().delay = (60 * SECOND, 60 * SECOND);
        world.crash(dead);
        set(&mut world, 0, "k", b"last");
        let took = time_until_all_have(&mut world, "k", b"last");
        // A timeout at the origin; and another one where the peer asked first is the dead one.
        assert!(took < SECOND / 5, "{took} us when {dead} is dead and nobody has noticed");
        world.detector().delay = (1_000, 50_000);
        world.heal(&[]);
    }
}

#[test]
fn views_of_the_membership_that_differ_delay_and_lose_nothing() {
    let mut world = cluster(7, &["a", "b"], trees(2));
    world.detector().delay = (20 * SECOND, 20 * SECOND);
    for (viewer, subject) in [(1, 2), (2, 1), (3, 0), (0, 5), (4, 6), (5, 6), (6, 3), (2, 5)] {
        world.suspect(viewer, subject);
    }
    for host in 0..7 {
        set(&mut world, host, "k", &[b'a' + u8::try_from(host).unwrap()]);
        let took = time_until_all_have(&mut world, "k", &[b'a' + u8::try_from(host).unwrap()]);
        assert!(took < 4 * SECOND, "{took} us from host {host}"); // a digest away, where the writer is thought dead
    }
    world.detector().delay = (1_000, 50_000);
    world.heal(&[]);
}

#[test]
fn members_come_and_go_while_all_write() {
    let mut world = cluster(7, &["a", "b", "c"], trees(2));
    for round in 0..60 {
        let (host, next) = (round % 7, (round * 5 + 3) % 7);
        set(&mut world, host, &format!("k{}", round % 11), format!("{round}").as_bytes());
        world.advance(7_000);
        if round % 4 == 0 {
            world.crash(next);
            world.advance(20_000);
            world.start(next);
        }
    }
    let took = world.heal(&[]);
    assert!(took < 10 * SECOND, "{took} us");
    assert!(count(&mut world, &["relays_sent"]) > 0);
}

#[test]
fn a_cluster_relays_from_seventeen_on_and_sends_directly_at_sixteen() {
    let mut world = cluster(17, &[], ReplicaConfig::default());
    let sent = |world: &mut World| {
        let before = (count(world, &["events_sent"]), count(world, &["relays_sent"]));
        set(world, 3, "k", format!("{}", world.now).as_bytes());
        world.advance(SECOND / 2);
        (count(world, &["events_sent"]) - before.0, count(world, &["relays_sent"]) - before.1)
    };
    assert_eq!(sent(&mut world), (16, 0), "sixteen are below the origin");
    let mut config = ReplicaConfig::default();
    config.relay_fanout = 4;
    let mut world = cluster(17, &[], config);
    assert_eq!(sent(&mut world), (4, 12));
    // In the middle of writing one dies, and comes back.
    for round in 0..100 {
        set(&mut world, round % 16, &format!("k{round}"), b"v");
        world.advance(1_000);
        match round {
            30 => world.crash(16),
            60 => drop(world.start(16)),
            80 => world.crash(16),
            _ => {}
        }
    }
    world.advance(5 * SECOND);
    assert!((0..100).all(|round| all_have(&world, &format!("k{round}"), b"v")));
    assert_eq!(sent(&mut world), (15, 0));
    world.heal(&[]);
}

#[test]
fn a_large_value_is_fetched_from_whoever_is_above_and_its_writer_serves_few() {
    let value = vec![b'x'; 200_000];
    for (fanout, copies) in [(1, 1), (2, 2)] {
        let mut world = cluster(7, &[], trees(fanout));
        set(&mut world, 0, "large", &value);
        world.advance(2 * SECOND);
        assert!(all_have(&world, "large", &value));
        let chunks = world.status(0).counters.chunks_sent;
        assert!(chunks <= copies * 196 * 5 / 4, "{chunks} chunks of 196 sent by its writer");
        world.heal(&[]);
    }
}

#[test]
fn asked_to_hurry_all_acknowledge_as_soon_as_they_have_it() {
    let mut world = cluster(7, &["a", "b"], trees(2));
    set(&mut world, 0, "k", b"1");
    world.advance(SECOND);
    set(&mut world, 0, "k", b"2");
    world.hurry(0);
    world.advance(1_000);
    let engine = &world.process(0).engine;
    assert_eq!(engine.acked_by(engine.position()), 6, "in a millisecond, links being of 0.1 ms");
    assert_eq!(count(&mut world, &["wants_sent"]), 0, "and nobody asked for what was under way");
}

#[test]
fn what_does_not_fit_the_queue_of_a_relay_is_asked_for() {
    let mut config = trees(1);
    config.relay_bytes_max = 100;
    let mut world = cluster(4, &[], config);
    set(&mut world, 0, "k", &[b'x'; 300]);
    let took = time_until_all_have(&mut world, "k", &[b'x'; 300]);
    assert!(count(&mut world, &["relays_dropped"]) > 0);
    assert!(took < 2 * SECOND, "{took} us");
    world.heal(&[]);
}
