//! What stays bounded while state spreads: datagrams, queues, tables, idle traffic, values, clocks, promises.

use cahoots_gossip::engine::{ReplicaConfig, Status};
use cahoots_gossip::store::WriteError;
use cahoots_tests::client::Request;
use cahoots_tests::oracle::{Action, Shown};
use cahoots_tests::sim::{Clocks, World};

const SECOND: u64 = 1_000_000;

/// So many replicas that know each other.
fn cluster(hosts: usize, config: ReplicaConfig) -> World {
    let mut world = World::new(hosts as u64, hosts, config);
    world.detector().delay = (1_000, 50_000);
    for host in 0..hosts {
        world.start(host);
    }
    world.advance(2 * SECOND);
    world
}

/// The usual configuration, with room for so many bytes of recent events.
fn short_log(bytes: usize) -> ReplicaConfig {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = bytes;
    config
}

fn run(world: &mut World, host: usize, key: &str, action: Action) {
    world.write(host, &[Request(key.into(), action)]);
}

fn set(world: &mut World, host: usize, key: &str, value: &str) {
    run(world, host, key, Action::Set(value.into()));
}

fn add(world: &mut World, host: usize, key: &str, delta: i64) {
    run(world, host, key, Action::Add(delta));
}

fn everywhere(world: &World, key: &str, expected: &Shown) {
    for host in world.alive() {
        assert_eq!(world.shown(host, key), *expected, "{key} at host {host}");
    }
}

fn statuses(world: &mut World) -> Vec<Status> {
    world.alive().into_iter().map(|host| world.status(host)).collect()
}

#[test]
fn a_thousand_fast_updates_of_one_map_from_two_sides_stay_within_every_bound() {
    let mut config = short_log(50_000);
    config.held_bytes_max = 20_000;
    config.flight_bytes_max = 5_000;
    let mut world = cluster(3, config.clone());
    world.stop(2, true); // slow or dead: the others must not pay for it
    for round in 0..1_000 {
        for host in 0..2 {
            let field = format!("{}", round % 100).into();
            run(&mut world, host, "map", Action::SetField(field, format!("{host}:{round}").into()));
        }
        world.advance(40);
        if round % 50 == 0 {
            world.check(); // of every queue too
        }
    }
    for host in 0..2 {
        let status = world.status(host);
        assert!(status.log_bytes <= config.log_bytes_max, "{} bytes of log", status.log_bytes);
        assert!(status.held_bytes <= config.held_bytes_max, "{} bytes held", status.held_bytes);
        assert!(status.seq < 500, "1,000 updates in 40 ms became {} events", status.seq);
    }
    assert!(world.tally().longest_datagram <= config.datagram_bytes_max);
    world.heal(&[]);
}

#[test]
fn a_value_of_any_size_up_to_the_limit_arrives_and_one_beyond_it_leaves_no_trace() {
    let mut config = ReplicaConfig::default();
    config.limits.value_bytes_max = 3 << 20;
    config.limits.group_bytes_max = 4 << 20;
    let mut world = cluster(2, config);
    let sizes = [0, 1, 1_000, 1_100, 1_150, 1_200, 1_300, 16 << 10, (17 << 10) + 1, 1 << 20, 3 << 20];
    for size in sizes {
        run(&mut world, 0, &format!("k{size}"), Action::Set(vec![b'z'; size]));
        world.advance(1_000);
    }
    let position = world.process(0).engine.position();
    let refused = world.try_write(0, |writer| writer.set(b"k", &vec![0; (3 << 20) + 1]));
    assert_eq!(refused, Err(WriteError::ValueTooLong { bytes: (3 << 20) + 1, max: 3 << 20 }));
    let half = vec![0; 2 << 20];
    let refused = world.try_write(0, |writer| writer.admit_group(2 * half.len() + 1));
    assert_eq!(refused, Err(WriteError::GroupTooLarge { max: 4 << 20 }));
    assert_eq!(world.process(0).engine.position(), position, "what was refused is no event");
    assert_eq!(world.shown(0, "k"), Shown::Nothing);
    world.heal(&[]);
    for size in sizes {
        everywhere(&world, &format!("k{size}"), &Shown::Text(vec![b'z'; size]));
    }
}

#[test]
fn replicas_that_agree_send_the_same_few_bytes_whatever_they_hold() {
    let idle = |keys: u32| {
        let mut world = cluster(3, ReplicaConfig::default());
        let all: Vec<Request> =
            (0..keys).map(|key| Request(format!("key{key}").into(), Action::Set(b"v".to_vec()))).collect();
        for group in all.chunks(500) {
            world.write(0, group);
            world.advance(10_000);
        }
        world.advance(20 * SECOND);
        assert!(world.agree());
        let before = world.weather().bytes;
        world.advance(100 * SECOND);
        world.weather().bytes - before
    };
    let (few, many) = (idle(10), idle(100_000));
    assert!(many <= few + few / 50, "10 keys: {few} bytes, 100,000 keys: {many}");
    assert!(few < 3 * 100 * 200, "three replicas send {few} bytes in 100 s");
}

#[test]
fn acks_count_live_peers_that_have_the_write_and_no_others() {
    let mut world = cluster(3, ReplicaConfig::default());
    let acked = |world: &World| world.process(0).engine.acked_by(world.process(0).engine.position());
    add(&mut world, 0, "k", 1);
    assert_eq!(acked(&world), 0, "nobody can have it yet");
    world.advance(SECOND);
    assert_eq!(acked(&world), 2);
    world.split(&[2]);
    add(&mut world, 0, "k", 1);
    world.advance(3 * SECOND);
    assert_eq!(acked(&world), 1);
    assert_eq!(world.shown(0, "k"), Shown::text("2"), "the write stays");
    world.heal(&[]);
    assert_eq!(acked(&world), 2);
}

#[test]
fn a_member_that_is_away_for_long_holds_up_no_clearing_up_and_brings_nothing_back() {
    let mut world = cluster(4, short_log(2_000));
    for round in 0..50 {
        for host in 0..4 {
            add(&mut world, host, &format!("c{}", round % 10), 1);
        }
        world.advance(1_000);
    }
    world.advance(2 * SECOND);
    world.split(&[3]);
    for _ in 0..30 {
        for key in 0..10 {
            run(&mut world, 0, &format!("c{key}"), Action::Delete);
            world.advance(20_000);
            add(&mut world, 1, &format!("c{key}"), 1);
            add(&mut world, 2, &format!("c{key}"), 1);
            world.advance(20_000);
        }
    }
    (0..10).for_each(|key| run(&mut world, 0, &format!("c{key}"), Action::Delete));
    world.advance(60 * SECOND);
    for host in 0..3 {
        // What is left belongs to the slots of the one that is away: ten counters, one slot.
        let baselines = world.status(host).baselines;
        assert!(baselines <= 10, "host {host} keeps {baselines} baselines");
    }
    world.heal(&[]);
    (0..10).for_each(|key| everywhere(&world, &format!("c{key}"), &Shown::Nothing));
    world.advance(60 * SECOND);
    for host in 0..4 {
        assert_eq!(world.status(host).baselines, 0, "host {host} has cleared up");
    }
}

#[test]
fn a_hundred_restarts_leave_nothing_behind_but_a_number_for_each() {
    let mut world = cluster(3, short_log(20_000));
    world.detector().forgets = 100.0;
    for round in 0..100 {
        set(&mut world, 2, "who", &round.to_string());
        add(&mut world, 2, "count", 1);
        run(&mut world, 2, "set", Action::AddMember(format!("{}", round % 3).into()));
        world.advance(SECOND / 2);
        world.crash(2);
        world.start(2);
        world.advance(SECOND / 2);
        if round % 10 == 9 {
            run(&mut world, 0, "count", Action::Delete);
        }
    }
    world.heal(&[]);
    everywhere(&world, "who", &Shown::text("99"));
    everywhere(&world, "set", &Shown::set(["0", "1", "2"]));
    world.advance(60 * SECOND);
    for status in statuses(&mut world) {
        assert_eq!(status.peers.len(), 2, "the dead are forgotten");
        assert!(status.log_bytes <= 20_000);
        assert!(status.version_vector.len() <= 103, "one entry for each life that wrote");
        assert!(status.tracked <= 100, "{} entries in tables: what the log holds", status.tracked);
        assert!(status.baselines <= 100, "one for each life that was counted before a reset, {}", status.baselines);
    }
}

#[test]
fn a_clock_far_ahead_may_not_write_and_harms_nobody() {
    let mut world = World::new(8, 3, ReplicaConfig::default());
    world.detector().delay = (1_000, 50_000);
    world.set_clocks(2, Clocks { wall_error: 3_600_000, ..Clocks::default() });
    for host in 0..3 {
        world.start(host);
    }
    world.advance(5 * SECOND);
    let refused = world.try_write(2, |writer| writer.set(b"k", b"from the future"));
    assert!(matches!(refused, Err(WriteError::ClockAhead { ms }) if ms > 3_500_000), "{refused:?}");
    set(&mut world, 0, "k", "now");
    world.advance(SECOND);
    everywhere(&world, "k", &Shown::text("now"));
    world.set_clocks(2, Clocks::default());
    world.advance(5 * SECOND);
    set(&mut world, 2, "k", "later");
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("later"));
}

#[test]
fn catching_up_on_values_of_a_few_kilobytes_waits_for_no_timer() {
    let mut world = cluster(3, ReplicaConfig::default());
    world.stop(2, true);
    for number in 0..3_000 {
        run(&mut world, 0, &format!("k{}", number % 5), Action::Set(vec![b'x'; 3_000]));
        world.advance(300);
    }
    world.advance(6 * SECOND);
    let begun = world.now;
    world.stop(2, false);
    while !world.agree() {
        world.advance(10_000);
        assert!(world.now - begun < SECOND, "nine megabytes over links of 0.1 ms");
    }
}
