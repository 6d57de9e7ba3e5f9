//! One fault at a time, on the real engine: slow processes, clocks that jump, links that differ by direction.

use cahoots_gossip::engine::ReplicaConfig;
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

fn run(world: &mut World, host: usize, key: &str, action: Action) {
    world.write(host, &[Request(key.into(), action)]);
}

fn everywhere(world: &World, key: &str, expected: &Shown) {
    for host in world.alive() {
        assert_eq!(world.shown(host, key), *expected, "{key} at host {host}");
    }
}

#[test]
fn a_peer_too_slow_for_its_traffic_costs_the_others_nothing_and_catches_up() {
    let mut world = cluster(3, ReplicaConfig::default());
    world.backlog = 32;
    world.slow_down(2, 5_000); // 200 datagrams a second
    for round in 0..4_000 {
        let value = vec![b'x'; 500];
        run(&mut world, round % 2, "shared", Action::SetField(format!("f{}", round % 50).into(), value));
        world.advance(250);
    }
    assert!(world.tally().socket_overflows > 0, "its socket was full");
    for host in 0..2 {
        let peer = 1 - host;
        let id = world.process(peer).engine.id();
        let lag = world.status(host).peers.iter().find(|peer| peer.id == id).map(|peer| peer.lag_events);
        assert!(lag.is_some_and(|lag| lag < 20), "host {host} is {lag:?} events ahead of {peer}");
    }
    world.check(); // queues within their bounds among the rest
    world.slow_down(2, 0);
    let took = world.heal(&[]);
    assert!(took < 5 * SECOND, "{took} us after it was fast again");
}

/// It doubts its clock until a peer has spoken, or none has for a while: what it writes then, cut off, is stamped in the
/// future. Held back until then, it blocked all that its writer wrote later, for as long as the clock had been wrong.
#[test]
fn a_clock_that_jumps_ahead_stops_its_own_writes_and_nobody_elses() {
    let mut world = cluster(3, ReplicaConfig::default());
    run(&mut world, 0, "k", Action::Set("before".into()));
    world.advance(SECOND);
    world.split(&[0]);
    world.set_clocks(0, Clocks { wall_error: 7_200_000, ..Clocks::default() });
    run(&mut world, 0, "k", Action::Set("doubted".into()));
    assert_eq!(world.shown(0, "k"), Shown::text("before"));
    world.advance(4 * SECOND);
    run(&mut world, 0, "k", Action::Set("from the future".into())); // nobody has told it
    assert_eq!(world.shown(0, "k"), Shown::text("from the future"));
    world.mend();
    world.advance(2 * SECOND);
    everywhere(&world, "k", &Shown::text("from the future"));
    run(&mut world, 0, "l", Action::Set("refused".into()));
    assert_eq!(world.shown(0, "l"), Shown::Nothing);
    assert!(world.tally().clock_refusals > 0);
    run(&mut world, 1, "m", Action::Add(1));
    world.set_clocks(0, Clocks::default());
    world.advance(2 * SECOND);
    run(&mut world, 0, "l", Action::Set("later".into()));
    run(&mut world, 1, "k", Action::Set("after".into()));
    run(&mut world, 0, "m", Action::Add(1));
    world.advance(SECOND / 10);
    everywhere(&world, "k", &Shown::text("after"));
    everywhere(&world, "l", &Shown::text("later"));
    everywhere(&world, "m", &Shown::text("2"));
    world.heal(&[]);
}

/// A step that a clock makes is noticed at once, by the monotonic one, and the peers are asked: no round of gossip in
/// which writes are stamped wrong, and none in which they are refused although the clock is right again.
#[test]
fn a_clock_step_is_noticed_within_a_round_trip_in_both_directions() {
    let mut world = cluster(3, ReplicaConfig::default());
    for (wall_error, refused) in [(7_200_000, true), (0, false)] {
        world.set_clocks(0, Clocks { wall_error, ..Clocks::default() });
        run(&mut world, 1, "noise", Action::Add(1)); // whatever wakes it
        world.advance(5_000);
        assert_eq!(world.process(0).engine.clock_ahead_ms() > 0, refused);
    }
}

#[test]
fn a_glitch_of_all_clocks_that_was_corrected_costs_nothing_to_whoever_restarts() {
    let mut world = cluster(3, ReplicaConfig::default());
    for host in 0..3 {
        world.set_clocks(host, Clocks { wall_error: 7_200_000, ..Clocks::default() });
    }
    world.advance(SECOND);
    run(&mut world, 0, "k", Action::Set("from the future".into()));
    world.advance(SECOND);
    for host in 0..3 {
        world.set_clocks(host, Clocks::default());
    }
    world.advance(SECOND);
    for host in 0..3 {
        world.crash(host);
        world.start(host);
        world.advance(5 * SECOND);
        run(&mut world, host, "count", Action::Add(1));
        world.advance(SECOND);
    }
    everywhere(&world, "k", &Shown::text("from the future"));
    run(&mut world, 2, "k", Action::Set("after".into()));
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("after"));
    everywhere(&world, "count", &Shown::text("3"));
}

#[test]
fn a_fresh_replica_whose_clock_is_far_behind_gets_everything_at_once() {
    let mut world = cluster(2, ReplicaConfig::default());
    run(&mut world, 0, "k", Action::Set("value".into()));
    world.crash(1);
    world.set_clocks(1, Clocks { wall_error: -50 * 365 * 86_400_000, ..Clocks::default() });
    world.start(1);
    world.advance(2 * SECOND);
    everywhere(&world, "k", &Shown::text("value"));
    run(&mut world, 1, "k", Action::Set("after".into()));
    world.advance(SECOND);
    everywhere(&world, "k", &Shown::text("after"));
}

#[test]
fn a_clock_that_jumps_back_never_makes_a_later_write_lose_to_an_earlier_one() {
    let mut world = cluster(2, ReplicaConfig::default());
    run(&mut world, 0, "k", Action::Set("first".into()));
    world.advance(SECOND);
    world.set_clocks(0, Clocks { wall_error: -3_600_000, ..Clocks::default() });
    world.set_clocks(1, Clocks { wall_error: -3_600_000, ..Clocks::default() });
    run(&mut world, 0, "k", Action::Set("second".into()));
    world.advance(SECOND);
    assert_eq!(world.shown(1, "k"), Shown::text("second"), "nor does it wait for an hour");
    run(&mut world, 1, "k", Action::Set("third".into()));
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("third"));
}

#[test]
fn a_link_that_is_good_one_way_and_bad_the_other_carries_everything() {
    let mut world = cluster(2, ReplicaConfig::default());
    world.set_link(1, 0, Link { loss: 60.0, delay: 80_000, jitter: 40_000, ..Link::default() });
    for round in 0..200 {
        run(&mut world, 0, "count", Action::Add(1));
        run(&mut world, 1, "count", Action::Add(1));
        if round == 100 {
            run(&mut world, 1, "large", Action::Set(vec![b'x'; 50_000]));
        }
        world.advance(10_000);
    }
    world.advance(30 * SECOND);
    assert!(world.agree(), "{}", world.describe());
    everywhere(&world, "count", &Shown::text("400"));
    everywhere(&world, "large", &Shown::Text(vec![b'x'; 50_000]));
}
