//! How state spreads: joiners, partitions, bad networks, small bounds. On the real engine in virtual time.

use cahoots_gossip::engine::{Event, ReplicaConfig, Standing, Status};
use cahoots_gossip::store::ListEnd;
use cahoots_tests::client::Request;
use cahoots_tests::oracle::{Action, ListCommand, Shown};
use cahoots_tests::sim::{Link, World};

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
    let link = Link {
        loss: 30.0,
        duplication: 20.0,
        corruption: 1.0,
        delay: 1_000,
        jitter: 200_000,
        breaks: 30.0,
        ..Link::default()
    };
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
    // No more are damaged, and those in the air arrive.
    for from in 0..4 {
        for to in 0..4 {
            world.set_link(from, to, Link { corruption: 0.0, ..link });
        }
    }
    world.advance(SECOND);
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
    for repair in [
        "gaps_asked",
        "wants_sent",
        "tails_probed",
        "versions_sent",
        "events_resent",
        "events_held",
        "events_assembled",
        "reconciliations",
        "buckets_joined",
        "asks_failed",
    ] {
        assert!(ran(repair) > 0, "{repair} never happened");
    }
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

/// Buckets that have been fetched are ahead of those that have not, and of events on their way: that is no news for those
/// who gave them.
#[test]
fn nobody_fetches_from_a_joiner_what_it_has_just_fetched() {
    let mut world = World::new(5, 4, short_log(2_000));
    world.detector().delay = (1_000, 50_000);
    (0..3).for_each(|host| _ = world.start(host));
    world.advance(2 * SECOND);
    let write = |world: &mut World, number: usize| {
        add(world, number % 3, &format!("key{}", number % 5_000), 1);
        world.advance(1_000);
    };
    (0..5_000).for_each(|number| write(&mut world, number));
    let fetched = |world: &mut World, host| world.status(host).counters.reconciliations;
    let before: u64 = (0..3).map(|host| fetched(&mut world, host)).sum();
    world.start(3);
    (0..15_000).for_each(|number| write(&mut world, number));
    assert!(fetched(&mut world, 3) > 0, "the logs do not reach back");
    assert!(world.status(3).counters.buckets_joined > 500);
    assert_eq!((0..3).map(|host| fetched(&mut world, host)).sum::<u64>(), before, "it has nothing that they lack");
    world.heal(&[]);
    everywhere(&world, "key7", &Shown::text("4"));
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
    let begun = world.now;
    while !world.status(3).catching_up {
        assert!(world.now - begun < 10 * SECOND, "it never began to catch up");
        world.advance(50);
    }
    world.crash(0);
    world.cut(1, 3, false);
    world.cut(2, 3, false);
    let took = world.heal(&[0]);
    assert!(took < 10 * SECOND, "{took} us after its source died"); // its streams have to time out
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
    let begun = world.now;
    while world.status(1).buckets_ahead < 300 {
        assert!(world.now - begun < 10 * SECOND, "it never got so far");
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

#[test]
fn a_large_value_whose_sender_dies_in_the_middle_is_fetched_from_another() {
    let mut world = cluster(3, ReplicaConfig::default());
    world.cut(2, 0, true); // gets what is sent unasked, and can ask nobody for the rest
    world.cut(2, 1, true);
    run(&mut world, 0, "large", Action::Set(vec![b'x'; 100_000]));
    world.advance(SECOND);
    assert_ne!(world.shown(1, "large"), Shown::Nothing);
    assert_eq!(world.shown(2, "large"), Shown::Nothing);
    world.crash(0);
    let took = world.heal(&[0]);
    assert!(took < 5 * SECOND, "{took} us after its sender died");
    everywhere(&world, "large", &Shown::Text(vec![b'x'; 100_000]));
}

#[test]
fn a_large_value_whose_sender_does_not_answer_is_fetched_from_another() {
    let mut world = cluster(3, ReplicaConfig::default());
    world.detector().delay = (1_000 * SECOND, 1_000 * SECOND); // nobody notices
    world.cut(2, 0, true);
    run(&mut world, 0, "large", Action::Set(vec![b'x'; 100_000]));
    world.advance(2 * SECOND);
    assert_eq!(world.shown(2, "large"), Shown::Text(vec![b'x'; 100_000]));
    assert_eq!(world.status(2).counters.assemblies_dropped, 0, "what had come was kept");
}

#[test]
fn a_replica_catches_up_from_several_peers_at_once_and_asks_none_twice_for_the_same() {
    let mut config = short_log(2_000);
    config.transfer_bytes = 2_000;
    let mut world = cluster(4, config);
    world.split(&[3]);
    for number in 0..2_000 {
        set(&mut world, 0, &format!("k{number}"), "a value of some length");
        world.advance(100);
    }
    world.advance(10 * SECOND);
    let link = Link { bandwidth: 100_000, ..Link::default() };
    for peer in 0..3 {
        world.set_link(peer, 3, link);
    }
    world.split(&[]);
    let begun = world.now;
    while !world.agree() {
        world.advance(10_000);
        assert!(world.now - begun < 10 * SECOND, "{}", world.describe());
    }
    let answered: Vec<u64> = (0..3).map(|peer| world.status(peer).counters.bytes_answered).collect();
    let all: u64 = answered.iter().sum();
    assert!(answered.iter().all(|bytes| *bytes > all / 5), "each gave its part: {answered:?}");
    let counters = world.status(3).counters;
    // A bucket that is copied first is counted by what it takes in memory.
    assert!(counters.bytes_fetched.abs_diff(all) < all / 100, "{} of {all}", counters.bytes_fetched);
    assert_eq!(counters.buckets_joined + counters.buckets_equal, 1_024, "each bucket once");
}

#[test]
fn a_catch_up_that_breaks_off_again_and_again_fetches_only_what_was_under_way_again() {
    let mut config = short_log(2_000);
    config.transfer_bytes = 1;
    let mut world = cluster(2, config);
    world.split(&[1]);
    for number in 0..2_000 {
        set(&mut world, 0, &format!("k{number}"), "a value of some length");
        world.advance(100);
    }
    world.advance(5 * SECOND);
    world.split(&[]);
    let link = Link { breaks: 20.0, ..Link::default() };
    world.set_link(0, 1, link);
    world.set_link(1, 0, link);
    let begun = world.now;
    while !world.agree() {
        world.advance(10_000);
        assert!(world.now - begun < 120 * SECOND, "{}", world.describe());
    }
    assert!(world.weather().streams_failed > 5);
    let counters = world.status(1).counters;
    assert!(
        counters.asks_by_datagrams > 100,
        "two failures in a row, and datagrams take the place of streams for a while"
    );
    assert!(counters.buckets_joined + counters.buckets_equal < 1_100, "{counters:?}");
}

#[test]
fn a_link_that_works_one_way_only_is_made_up_for_by_others() {
    let mut world = cluster(3, short_log(50_000));
    world.cut(2, 0, true);
    for number in 0..300 {
        set(&mut world, 0, &format!("k{number}"), "of the first");
        set(&mut world, 2, &format!("l{number}"), "of the last");
        world.advance(5_000);
    }
    run(&mut world, 0, "large", Action::Set(vec![b'x'; 100_000]));
    run(&mut world, 2, "large too", Action::Set(vec![b'y'; 100_000]));
    world.advance(90 * SECOND);
    assert!(world.agree(), "{}", world.describe());
    everywhere(&world, "large", &Shown::Text(vec![b'x'; 100_000]));
    everywhere(&world, "large too", &Shown::Text(vec![b'y'; 100_000]));
}

/// Host 0 dies while two of the others fetch by buckets what it wrote: each of them has some of it, the first more.
fn survivors(hosts: usize, gossip_interval_us: u64) -> World {
    let mut config = short_log(1_000);
    (config.transfer_bytes, config.gossip_interval_us) = (1, gossip_interval_us);
    let mut world = cluster(hosts, config);
    for from in 0..hosts {
        (0..hosts).filter(|to| *to != from).for_each(|to| world.cut(from, to, true));
    }
    for number in 0..200 {
        set(&mut world, 0, &format!("k{number}"), "of the dead");
    }
    world.advance(SECOND / 100);
    for (host, buckets) in [(1, 600), (2, 300)] {
        world.cut(0, host, false);
        world.cut(host, 0, false);
        let begun = world.now;
        while world.status(host).buckets_ahead < buckets {
            assert!(world.now - begun < 20 * SECOND, "it never got so far");
            world.advance(1_000);
        }
        world.cut(0, host, true);
    }
    world.crash(0);
    world.mend();
    world
}

/// How long it takes until all of them have all of it.
fn until_all_have(world: &mut World, buckets: usize, most: u64) -> u64 {
    let begun = world.now;
    loop {
        let ahead: Vec<usize> = statuses(world).iter().map(|it| it.buckets_ahead).collect();
        if ahead.iter().all(|it| *it >= buckets) {
            return world.now - begun;
        }
        assert!(world.now - begun < most, "{ahead:?} of {buckets}");
        world.advance(SECOND / 10);
    }
}

/// It tries again and again, and each time is told apart from one that fetches.
#[test]
fn a_survivor_that_fetches_in_vain_still_gives_what_it_has_only_in_some_buckets() {
    let mut world = survivors(4, SECOND);
    // Between these two datagrams arrive, and no stream is done in time.
    world.set_link(1, 2, Link { bandwidth: 1, ..Link::default() });
    world.set_link(2, 1, Link { bandwidth: 1, ..Link::default() });
    let (had, other) = (world.status(1).buckets_ahead, world.status(2).buckets_ahead);
    assert!(had > other && other > 0, "{had} {other}");
    let took = until_all_have(&mut world, had, 600 * SECOND);
    assert!(took < 20 * SECOND, "{took} us");
}

/// Each begins to fetch from the other whenever it hears of it.
#[test]
fn two_survivors_fetch_from_each_other_however_seldom_they_compare() {
    for seconds in [1, 2, 5] {
        let mut world = survivors(3, seconds * SECOND);
        let had = world.status(1).buckets_ahead;
        let took = until_all_have(&mut world, had, 600 * SECOND);
        assert!(took < 5 * seconds * SECOND, "every {seconds} s: {took} us");
    }
}

/// The port for streams is closed by a firewall, the one for gossip is open: a usual mistake.
#[test]
fn where_no_stream_connects_catching_up_goes_on_over_datagrams() {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = 20_000;
    let mut world = cluster(2, config);
    world.streams_blocked = true;
    for link in [(0, 1), (1, 0)] {
        world.set_link(link.0, link.1, Link { loss: 10.0, jitter: 2_000, ..Link::default() });
    }
    for number in 0..40 {
        run(&mut world, 0, &format!("large{number}"), Action::Set(vec![b'x'; 100_000]));
        run(&mut world, 0, &format!("small{number}"), Action::Add(number));
        world.advance(50_000);
    }
    world.crash(1);
    world.joins = true;
    world.start(1);
    let begun = world.now;
    while world.process(1).engine.standing() != Standing::Complete {
        world.advance(100_000);
        assert!(world.now - begun < 60 * SECOND, "{}", world.describe());
    }
    assert!(world.agree());
    let counters = world.status(1).counters;
    assert!(counters.asks_by_datagrams > 0 && counters.buckets_joined > 40, "{counters:?}");
    let id = world.process(0).engine.id();
    let told =
        world.process(1).events.iter().filter(|it| matches!(it, Event::StreamsFail { peer } if *peer == id)).count();
    assert_eq!(told, 1, "that it is slower is said once");
    world.check();
}

/// How long one bucket of two megabytes takes a joiner where no stream connects, in virtual microseconds.
fn micros_for_a_large_bucket(config: ReplicaConfig, link: Link) -> u64 {
    let mut world = cluster(2, config);
    world.streams_blocked = true;
    for number in 0..20 {
        let push = ListCommand::Push(ListEnd::Right, vec![vec![b'a' + number; 100_000]]);
        run(&mut world, 0, "list", Action::List(push));
        world.advance(50_000);
    }
    world.crash(1);
    world.joins = true;
    for (from, to) in [(0, 1), (1, 0)] {
        world.set_link(from, to, link);
    }
    world.start(1);
    let begun = world.now;
    while world.process(1).engine.standing() != Standing::Complete {
        world.advance(10_000);
        assert!(world.now - begun < 100 * SECOND, "{}", world.describe());
    }
    world.now - begun
}

/// However it is paced, it comes to an end, and at about the rate that is allowed.
#[test]
fn a_bucket_of_megabytes_is_fetched_over_datagrams_at_the_pace_that_is_allowed() {
    const BYTES: u64 = 2_000_000;
    let lossy = Link { loss: 10.0, jitter: 2_000, ..Link::default() };
    let [usual, mut slow, mut narrow] = std::array::from_fn(|_| short_log(20_000));
    slow.serve_bytes_per_second_each = Some(100_000);
    (narrow.send_bytes_per_second, narrow.send_bytes_per_second_peer) = (Some(2_000_000), Some(100_000));
    for (config, link, rate) in [
        (usual.clone(), Link::default(), 1_000_000_000),
        (usual, lossy, 1_000_000),
        (slow, Link::default(), 100_000),
        (narrow, Link::default(), 100_000),
    ] {
        let took = micros_for_a_large_bucket(config, link);
        // Until it is clear that no stream connects; and as much again as the bytes take.
        let bound = 10 * SECOND + 2 * BYTES * SECOND / rate;
        assert!(took < bound, "{took} us at {rate} bytes a second");
    }
}
