//! Clusters of real processes: signals, sockets, a network that loses.

use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Client, Daemon, Faults, Group, Setup, Value, until};
use rustix::process::Signal;

/// Seconds a daemon is stopped: long enough to be taken for dead, unless the environment asks for more.
fn stop_seconds() -> u64 {
    std::env::var("CAHOOTS_STOP_SECONDS").map_or(6, |text| text.parse().expect("a number of seconds"))
}

fn get(client: &mut Client, key: &str, expected: &str) {
    until(&format!("{key} is {expected}"), || {
        let value = client.words(&format!("GET {key}"));
        if value == Value::text(expected) { Ok(()) } else { Err(format!("{value:?}")) }
    });
}

#[test]
fn what_one_daemon_is_told_the_others_show() {
    let group = Group::start(3);
    let mut clients = group.clients();
    assert_eq!(clients[0].words("SET greeting hello"), Value::text("OK"));
    assert_eq!(clients[0].words("WAIT 2 10000"), Value::Integer(2));
    for client in &mut clients {
        assert_eq!(client.words("GET greeting"), Value::text("hello"), "acknowledged means applied");
    }
    for client in &mut clients {
        (0..100).for_each(|_| drop(client.words("INCR visits")));
    }
    for client in &mut clients {
        get(client, "visits", "300");
    }
    assert_eq!(clients[1].words("DEL greeting"), Value::Integer(1));
    assert_eq!(clients[1].words("WAIT 2 10000"), Value::Integer(2));
    assert_eq!(clients[2].words("GET greeting"), Value::Null);
    group.agree();
}

#[test]
fn three_daemons_count_a_thousand_increments_of_twenty_keys_each_exactly() {
    let group = Group::start(3);
    std::thread::scope(|scope| {
        for mut client in group.clients() {
            scope.spawn(move || (0..1_000).for_each(|number| drop(client.words(&format!("INCR k{}", number % 20)))));
        }
    });
    group.agree();
    let mut client = group[1].client();
    for key in 0..20 {
        assert_eq!(client.words(&format!("GET k{key}")), Value::text("150"));
    }
}

#[test]
fn a_daemon_killed_outright_comes_back_under_a_new_id_and_gets_everything_again() {
    let mut group = Group::start(3);
    group[1].ask("SADD before b");
    let mut client = group[1].client();
    client.words("SET mine 1");
    assert_eq!(client.words("WAIT 2 10000"), Value::Integer(2));
    let old = group[1].status().at("id").clone();
    let setup = group.take(1).kill();
    group[0].ask("SET meanwhile 2");
    group[2].ask("SREM before b");
    group.put(1, Daemon::start(setup));
    assert_ne!(*group[1].status().at("id"), old);
    group.agree();
    let mut client = group[1].client();
    assert_eq!(client.words("GET mine"), Value::text("1"));
    assert_eq!(client.words("GET meanwhile"), Value::text("2"));
    assert_eq!(client.words("EXISTS before"), Value::Integer(0));
    client.words("SET mine 3");
    assert_eq!(client.words("WAIT 2 10000"), Value::Integer(2));
    group.agree();
}

#[test]
fn a_daemon_stopped_for_a_while_catches_up_and_its_own_last_writes_arrive() {
    let group = Group::start(3);
    let mut client = group[2].client();
    client.words("SET own 1");
    group[2].signal(Signal::STOP);
    // A command that is sent now is served when it goes on.
    client.send(&[b"INCR", b"own"]).unwrap();
    let begun = Instant::now();
    let (mut a, mut b) = (group[0].client(), group[1].client());
    let mut written = 0;
    while begun.elapsed() < Duration::from_secs(stop_seconds()) {
        written += 1;
        a.words(&format!("HSET log {written} a"));
        b.words("INCR count");
        b.words(&format!("SET big{} {}", written % 5, "x".repeat(3_000)));
        std::thread::park_timeout(Duration::from_millis(2)); // hundreds a second, not all that the machine can do
    }
    assert_eq!(a.words("WAIT 1 10000"), Value::Integer(1), "those that run go on");
    group[2].signal(Signal::CONT);
    assert_eq!(client.receive().unwrap(), Value::Integer(2));
    group.agree();
    assert_eq!(client.words("HLEN log"), Value::Integer(written));
    assert_eq!(client.words("GET count"), Value::text(&written.to_string()));
    assert_eq!(a.words("GET own"), Value::text("2"));
}

#[test]
fn a_network_that_loses_repeats_and_reorders_delays_and_nothing_more() {
    let group = Group::start_relayed(3, 20_261_121);
    let relay = group.relay.as_ref().unwrap();
    relay.set(Faults { loss: 30.0, duplication: 10.0, delay: 20_000, cut: Vec::new() });
    std::thread::scope(|scope| {
        for (number, mut client) in group.clients().into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..300 {
                    client.words("INCR total");
                    client.words(&format!("HSET by{number} {round} x"));
                }
                client.words(&format!("SET big{number} {}", "y".repeat(100_000)));
            });
        }
    });
    group.agree();
    let counts = relay.counts();
    assert!(counts.lost > 0 && counts.passed > 0, "{counts:?}");
    let mut client = group[0].client();
    assert_eq!(client.words("GET total"), Value::text("900"));
    for number in 0..3 {
        assert_eq!(client.words(&format!("HLEN by{number}")), Value::Integer(300));
        assert_eq!(client.words(&format!("STRLEN big{number}")), Value::Integer(100_000));
    }
    let counters = group[1].status().at("counters").clone();
    assert!(counters.at("wants_sent").integer() > 0, "lost events were asked for: {counters:?}");
}

#[test]
fn both_sides_of_a_partition_go_on_and_nothing_acknowledged_is_lost() {
    let group = Group::start_relayed(3, 2);
    let relay = group.relay.as_ref().unwrap();
    let mut clients = group.clients();
    clients[0].words("SADD team ada bob");
    clients[0].words("SET doomed 1");
    assert_eq!(clients[0].words("WAIT 2 10000"), Value::Integer(2));
    clients[1].words("DEL doomed");
    assert_eq!(clients[1].words("WAIT 2 10000"), Value::Integer(2));

    relay.split(&[0, 1], &[2]);
    clients[0].words("SADD team cy");
    clients[1].words("INCRBY score 5");
    clients[2].words("INCRBY score 7");
    clients[2].words("SREM team bob");
    clients[2].words("SADD team dee");
    get(&mut clients[0], "score", "5");
    assert_eq!(clients[2].words("GET score"), Value::text("7"), "a side sees its own writes");
    assert_eq!(clients[0].words("SCARD team"), Value::Integer(3));

    relay.set(Faults::default());
    group.agree();
    assert_eq!(clients[1].words("GET score"), Value::text("12"));
    let Value::Array(mut members) = clients[1].words("SMEMBERS team") else { panic!("no set") };
    members.sort();
    assert_eq!(members, ["ada", "cy", "dee"].map(Value::text));
    assert_eq!(clients[1].words("EXISTS doomed"), Value::Integer(0), "what was deleted stays deleted");
}

#[test]
fn wait_counts_the_replicas_that_have_the_writes_and_gives_up_in_time() {
    let group = Group::start_relayed(3, 3);
    let mut client = group[0].client();
    assert_eq!(client.words("WAIT 2 1000"), Value::Integer(2), "nothing written, nothing missing");
    client.words("SET k 1");
    assert!(client.words("WAIT 1 10000").integer() >= 1);
    assert_eq!(client.words("WAIT 2 10000"), Value::Integer(2));
    group.relay.as_ref().unwrap().split(&[0, 1], &[2]);
    client.words("SET k 2");
    assert_eq!(client.words("WAIT 1 10000"), Value::Integer(1));
    let begun = Instant::now();
    assert_eq!(client.words("WAIT 2 300"), Value::Integer(1));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(group[1].ask("GET k"), Value::text("2"), "the write stays");
    assert_eq!(group[2].ask("GET k"), Value::text("1"));
    group.relay.as_ref().unwrap().set(Faults::default());
    assert_eq!(client.words("WAIT 2 20000"), Value::Integer(2), "and arrives");
    assert_eq!(group[2].ask("GET k"), Value::text("2"));
    group.agree();
}

#[test]
fn two_clusters_on_one_network_ignore_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["red1", "red2", "blue1", "blue2"];
    let mut daemons: Vec<Daemon> = Vec::new();
    for name in names {
        let mut setup = Setup::new(name, directory.path());
        setup.seeds = daemons.iter().map(|daemon| daemon.setup.listen).collect();
        setup.flags = vec!["--cluster".into(), name[..name.len() - 1].into()];
        daemons.push(Daemon::start(setup));
    }
    daemons.iter().for_each(|daemon| daemon.await_peers(1));
    for (daemon, value) in daemons.iter().zip(["red", "-", "blue", "-"]) {
        if value != "-" {
            let mut client = daemon.client();
            client.words(&format!("SET colour {value}"));
            client.words(&format!("SET {value} 1"));
            assert_eq!(client.words("WAIT 1 10000"), Value::Integer(1));
        }
    }
    for (daemon, colour) in daemons.iter().zip(["red", "red", "blue", "blue"]) {
        assert_eq!(daemon.ask("GET colour"), Value::text(colour));
        assert_eq!(daemon.ask("DBSIZE"), Value::Integer(2));
        assert_eq!(daemon.live_peers(), 1);
    }
}

#[test]
fn a_daemon_without_the_clusters_key_learns_nothing_and_is_not_heard() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = directory.path().join(name);
        let made = cahoots_tests::cluster::command().arg("keygen").arg("--out").arg(&path).status().unwrap();
        assert!(made.success());
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (key("right.key"), key("wrong.key"));
    let mut daemons: Vec<Daemon> = Vec::new();
    for (name, key) in [("a", Some(&right)), ("b", Some(&right)), ("thief", Some(&wrong)), ("naive", None)] {
        let mut setup = Setup::new(name, directory.path());
        setup.seeds = daemons.iter().map(|daemon| daemon.setup.listen).collect();
        setup.flags = key.map_or_else(Vec::new, |key| vec!["--key-file".into(), key.clone()]);
        // The outsiders wait for seeds that never answer them.
        setup.flags.extend(daemons.get(1).map(|_| "--serve-while-joining".to_owned()));
        daemons.push(Daemon::start(setup));
    }
    daemons[..2].iter().for_each(|daemon| daemon.await_peers(1));
    daemons[2].ask("SET poison 1");
    daemons[3].ask("SET poison 2");
    let mut client = daemons[0].client();
    client.words("SET secret 1");
    assert_eq!(client.words("WAIT 1 10000"), Value::Integer(1));
    assert_eq!(daemons[1].ask("GET secret"), Value::text("1"));
    for outsider in &daemons[2..] {
        assert_eq!(outsider.ask("GET secret"), Value::Null);
        assert_eq!(outsider.live_peers(), 0);
    }
    assert_eq!(daemons[1].ask("EXISTS poison"), Value::Integer(0));
}

#[test]
fn a_daemon_that_joins_late_gets_small_and_large_keys_whole() {
    let directory = tempfile::tempdir().unwrap();
    let first = Daemon::start(Setup::new("a", directory.path()));
    let mut client = first.client();
    for number in 0..500 {
        client.words(&format!("SET small{number} {number}"));
    }
    let large = |number: usize| vec![b'a' + u8::try_from(number).unwrap(); 1 << 20 >> (number % 5)];
    for number in 0..15 {
        client.call(&[b"SET", format!("large{number}").as_bytes(), &large(number)]);
    }
    let mut setup = Setup::new("b", directory.path());
    setup.seeds = vec![first.setup.listen];
    let second = Daemon::start(setup);
    second.await_peers(1);
    assert_eq!(second.ask("DBSIZE"), Value::Integer(515), "once it serves it has everything");
    let mut client = second.client();
    for number in 0..500 {
        assert_eq!(client.words(&format!("GET small{number}")), Value::text(&number.to_string()));
    }
    for number in 0..15 {
        assert!(client.words(&format!("GET large{number}")) == Value::Text(large(number)), "large{number} differs");
    }
}
