//! How state spreads: joiners, partitions, bad networks, small bounds. On the real engine in virtual time.

use cahoots_gossip::engine::{ReplicaConfig, Status};
use cahoots_gossip::store::WriteError;
use cahoots_tests::client::Request;
use cahoots_tests::oracle::{Action, Shown};
use cahoots_tests::sim::{Clocks, Link, World};

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
fn a_joiner_gets_small_and_large_keys_whole_and_its_watcher_hears_of_each() {
    for log_bytes_max in [64 << 20, 100_000] {
        let mut world = World::new(17, 2, short_log(log_bytes_max));
        world.detector().delay = (1_000, 50_000);
        world.start(0);
        for number in 0..500 {
            set(&mut world, 0, &format!("small{number}"), &number.to_string());
            world.advance(300);
        }
        let large = |number: usize| vec![b'a' + u8::try_from(number).unwrap(); (1 << 20) >> (number % 5)];
        for number in 0..15 {
            run(&mut world, 0, &format!("large{number}"), Action::Set(large(number)));
        }
        world.start(1);
        world.heal(&[]);
        for number in 0..15 {
            everywhere(&world, &format!("large{number}"), &Shown::Text(large(number)));
        }
        // The checks of `heal` compared what the watcher heard with what there is.
        assert!(world.tally().changes >= 2 * 515);
        assert_eq!(world.status(1).keys, 515);
        let by_buckets = world.status(1).counters.reconciliations > 0;
        assert_eq!(by_buckets, log_bytes_max < 1 << 20, "the log is used when it reaches back, buckets when not");
    }
}

#[test]
fn three_against_two_both_sides_go_on_and_agree_when_the_partition_ends() {
    let mut world = cluster(5, ReplicaConfig::default());
    set(&mut world, 0, "doomed", "1");
    add(&mut world, 0, "count", 10);
    world.advance(2 * SECOND);
    run(&mut world, 4, "doomed", Action::Delete);
    world.advance(2 * SECOND);
    everywhere(&world, "doomed", &Shown::Nothing);

    world.split(&[0, 1, 2]);
    for host in 0..5 {
        add(&mut world, host, "count", 1);
        run(&mut world, host, "members", Action::AddMember(host.to_string().into()));
    }
    world.advance(5 * SECOND);
    for host in 0..5 {
        let (count, members) = if host < 3 { ("13", vec!["0", "1", "2"]) } else { ("12", vec!["3", "4"]) };
        assert_eq!(world.shown(host, "count"), Shown::text(count), "host {host} sees its own side");
        assert_eq!(world.shown(host, "members"), Shown::set(members));
    }
    assert!(world.weather().cut > 0);
    world.heal(&[]);
    everywhere(&world, "count", &Shown::text("15"));
    everywhere(&world, "members", &Shown::set(["0", "1", "2", "3", "4"]));
    everywhere(&world, "doomed", &Shown::Nothing);
}

#[test]
fn what_reached_anyone_before_its_writer_died_for_ever_reaches_all() {
    let mut world = cluster(5, ReplicaConfig::default());
    world.split(&[0, 1]);
    set(&mut world, 0, "last", "words");
    world.advance(SECOND);
    assert_eq!(world.shown(1, "last"), Shown::text("words"));
    world.crash(0);
    add(&mut world, 4, "other", 1);
    world.advance(10 * SECOND);
    assert_eq!(world.shown(2, "last"), Shown::Nothing);
    world.heal(&[0]);
    everywhere(&world, "last", &Shown::text("words"));
    everywhere(&world, "other", &Shown::text("1"));
}

#[test]
fn a_network_that_does_everything_networks_do_is_repaired() {
    let mut world = cluster(4, short_log(30_000));
    let link = Link { loss: 30.0, duplication: 20.0, corruption: 1.0, delay: 1_000, jitter: 200_000, cut: false };
    for from in 0..4 {
        for to in 0..4 {
            world.set_link(from, to, link);
        }
    }
    world.cut(2, 3, true); // one way only
    for round in 0..400 {
        for host in 0..4 {
            add(&mut world, host, "total", 1);
            run(&mut world, host, "log", Action::SetField(format!("{host}:{round}").into(), vec![b'x'; 20]));
            if round % 50 == host {
                set(&mut world, host, &format!("large{host}"), &"y".repeat(5_000));
            }
        }
        world.advance(5_000);
    }
    world.check();
    world.advance(5 * SECOND);
    let weather = world.weather();
    assert!(weather.lost > 0 && weather.duplicated > 0 && weather.overtaken > 0 && weather.cut > 0, "{weather:?}");
    assert_eq!(world.tally().refused, weather.corrupted, "every damaged datagram that arrived was refused");
    assert!(weather.corrupted > 0);
    world.heal(&[]);
    everywhere(&world, "total", &Shown::text("1600"));
    let counters: Vec<_> = statuses(&mut world).into_iter().map(|status| status.counters).collect();
    let ran = |name: &str| {
        let of = |entries: Vec<(&'static str, u64)>| entries.into_iter().find(|(it, _)| *it == name).unwrap().1;
        counters.iter().map(|it| of(it.entries())).sum::<u64>()
    };
    for repair in
        ["gaps_asked", "wants_sent", "tails_probed", "versions_sent", "events_resent", "events_held", "blobs_assembled"]
    {
        assert!(ran(repair) > 0, "{repair} never happened");
    }
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
fn a_replica_away_until_every_log_was_cut_gets_what_it_missed_and_brings_what_it_wrote() {
    let mut world = cluster(3, short_log(2_000));
    for number in 0..20 {
        set(&mut world, 0, &format!("old{number}"), "1");
    }
    add(&mut world, 2, "count", 10);
    world.advance(2 * SECOND);
    world.split(&[2]);
    run(&mut world, 0, "count", Action::Delete);
    for number in 0..20 {
        run(&mut world, 1, &format!("old{number}"), Action::Delete);
        world.advance(1_000);
    }
    for number in 0..500 {
        add(&mut world, number % 2, "busy", 1);
        add(&mut world, 2, "count", 1);
        add(&mut world, 2, &format!("own{}", number % 50), 1);
        world.advance(1_000);
    }
    let before = world.status(2).counters.reconciliations;
    world.heal(&[]);
    assert!(world.status(2).counters.reconciliations > before, "its peers' logs did not reach back");
    everywhere(&world, "busy", &Shown::text("500"));
    everywhere(&world, "count", &Shown::text("500"));
    everywhere(&world, "own7", &Shown::text("10"));
    (0..20).for_each(|number| everywhere(&world, &format!("old{number}"), &Shown::Nothing));
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
    }
}

#[test]
fn replicas_that_wrongly_take_each_other_for_dead_still_come_to_agree() {
    let mut world = cluster(2, ReplicaConfig::default());
    world.detector().delay = (1_000 * SECOND, 1_000 * SECOND); // nobody looks again in this test
    world.suspect(0, 1);
    world.suspect(1, 0);
    set(&mut world, 0, "k", "1");
    set(&mut world, 1, "l", "2");
    world.advance(SECOND);
    assert_eq!(world.shown(1, "k"), Shown::Nothing);
    world.advance(60 * SECOND);
    assert!(world.agree());
    everywhere(&world, "k", &Shown::text("1"));
    everywhere(&world, "l", &Shown::text("2"));
}

#[test]
fn what_a_replica_serves_after_it_was_carried_past_a_gap_is_what_it_says_it_is() {
    // A writes much; B lags below A's log and catches up by buckets, then gets A's next events one by one. A dies, and
    // C, who lacks what B never had as events, asks B.
    let mut world = cluster(3, short_log(3_000));
    set(&mut world, 0, "k", "before");
    world.advance(SECOND);
    world.split(&[0]);
    for number in 0..200 {
        set(&mut world, 0, &format!("k{number}"), &number.to_string());
        world.advance(1_000);
    }
    world.split(&[0, 1]); // B hears A again, C neither
    world.advance(5 * SECOND);
    assert!(world.status(1).counters.buckets_joined > 0);
    for number in 200..210 {
        set(&mut world, 0, &format!("k{number}"), &number.to_string());
        world.advance(SECOND / 10);
    }
    world.crash(0);
    world.heal(&[0]);
    for number in 0..210 {
        everywhere(&world, &format!("k{number}"), &Shown::text(&number.to_string()));
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
fn a_replica_whose_source_dies_while_it_catches_up_goes_on_with_another() {
    let mut world = cluster(4, short_log(2_000));
    world.split(&[3]);
    for number in 0..200 {
        set(&mut world, 0, &format!("k{number}"), "1");
        world.advance(1_000);
    }
    world.advance(5 * SECOND);
    // The returning replica hears the first host only, and loses it in the middle of the first answer.
    world.split(&[]);
    world.cut(1, 3, true);
    world.cut(2, 3, true);
    while !world.status(3).catching_up {
        world.advance(1_000);
    }
    world.crash(0);
    world.cut(1, 3, false);
    world.cut(2, 3, false);
    let took = world.heal(&[0]);
    assert!(took < 5 * SECOND, "{took} us after its source died");
    everywhere(&world, "k199", &Shown::text("1"));
}

#[test]
fn a_joiner_gets_from_a_survivor_what_that_one_has_only_in_some_buckets() {
    let mut config = short_log(1_000); // whoever lags needs buckets
    config.transfer_bytes = 1; // one at a time
    let mut world = cluster(2, config);
    world.cut(0, 1, true);
    for number in 0..200 {
        set(&mut world, 0, &format!("k{number}"), "of the dead");
    }
    world.advance(SECOND / 100);
    world.cut(0, 1, false);
    while world.status(1).buckets_ahead < 300 {
        world.advance(1_000);
    }
    world.crash(0); // in the middle: what it wrote is known here in some buckets, and in the others to nobody
    let had = (0..200).find(|number| world.shown(1, &format!("k{number}")) != Shown::Nothing).unwrap();
    // This event names one of the dead replica's, which nobody can serve as an event.
    run(&mut world, 1, &format!("k{had}"), Action::Set(b"of the living".to_vec()));
    world.start(0);
    let took = world.heal(&[]);
    assert!(took < 10 * SECOND, "{took} us");
    everywhere(&world, &format!("k{had}"), &Shown::text("of the living"));
}
