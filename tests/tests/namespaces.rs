//! Daemons on hosts of their own, whose network is misconfigured, half open or cut.
//!
//! Each test says what `cahoots members --json` shows, and that all is well once the cause is gone.

use std::net::SocketAddr;
use std::path::Path;

use cahoots_tests::cluster::{Bridge, Daemon, Setup, Value, command, until};
use serde_json::Value as Json;

/// Where daemons take datagrams, and streams.
const PORT: u16 = 7101;
const STREAMS: u16 = 7102;

/// A daemon's setup at a host.
fn setup(bridge: &Bridge, directory: &Path, node: &str, host: usize, seeds: &[usize]) -> Setup {
    let directory = directory.join(host.to_string());
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut setup = Setup::new(node, &directory);
    setup.listen = SocketAddr::from(([0, 0, 0, 0], PORT));
    setup.seeds = seeds.iter().map(|seed| Bridge::address(*seed, PORT)).collect();
    setup.flags = ["--insecure", "--bulk-listen", &format!("0.0.0.0:{STREAMS}")].map(str::to_owned).into();
    setup.within = bridge.within(host);
    setup
}

/// What `cahoots members --json` says of a host's daemon.
fn members(daemon: &Daemon) -> Vec<Json> {
    let output = command().args(["members", "--json", "--socket"]).arg(daemon.setup.socket()).output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let members: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    members.as_array().expect("an array").clone()
}

/// Waits until one of the members that a daemon shows is as described.
fn shows(daemon: &Daemon, what: &str, is: impl Fn(&Json) -> bool) -> Json {
    until(&format!("{} shows {what}", daemon.setup.node), || {
        let members = members(daemon);
        members.iter().find(|member| is(member)).cloned().ok_or_else(|| format!("{members:#?}"))
    })
}

/// Waits until a daemon shows a member as unreachable there, for a reason with this word in it.
fn shows_unreachable(daemon: &Daemon, node: &str, address: &str, word: &str) {
    let what = format!("{node} at {address} as unreachable: {word}");
    shows(daemon, &what, |member| {
        member["node"] == node
            && member["state"] == "unreachable"
            && member["address"] == address
            && member["reason"].as_str().is_some_and(|reason| reason.contains(word))
    });
    assert!(daemon.status().at("members").at("unreachable").integer() >= 1);
    let log = std::fs::read_to_string(daemon.setup.log()).expect("a log");
    assert!(log.contains("unreachable") && log.contains(address), "{log}");
}

fn shows_live(daemon: &Daemon, node: &str) -> Json {
    shows(daemon, &format!("{node} as live"), |member| member["node"] == node && member["state"] == "live")
}

fn reads(daemon: &Daemon, key: &str, value: &str) {
    until(&format!("{} reads {key} = {value}", daemon.setup.node), || {
        let read = daemon.ask(&format!("GET {key}"));
        if read == Value::text(value) { Ok(()) } else { Err(format!("{read:?}")) }
    });
}

/// Both are peers, and what is written at one is read at the other.
fn replicates(one: &Daemon, other: &Daemon) {
    shows_live(one, &other.setup.node);
    shows_live(other, &one.setup.node);
    for daemon in [one, other] {
        until(&format!("{} serves", daemon.setup.node), || match daemon.status().at("serving") {
            Value::Boolean(true) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    for (from, to) in [(one, other), (other, one)] {
        let key = format!("from-{}-to-{}", from.setup.node, to.setup.node);
        from.ask(&format!("SET {key} 1"));
        reads(to, &key, "1");
    }
}

const NOTHING_BACK: &str = "nothing comes back";
const NO_ANSWER: &str = "does not answer at the address";

/// c is cut off and counts five; a replacement starts under its name elsewhere; then the cut heals.
#[test]
fn what_was_written_behind_a_cut_survives_although_the_name_was_given_to_another() {
    let Some(mut bridge) = Bridge::new(4) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let start = |node, host, seeds: &[usize]| Daemon::start(setup(&bridge, directory.path(), node, host, seeds));
    let (a, b) = (start("a", 1, &[]), start("b", 2, &[1]));
    let old = start("c", 3, &[1, 2]);
    [&a, &b, &old].into_iter().for_each(|daemon| daemon.await_peers(2));
    bridge.isolate(3, true);
    for _ in 0..5 {
        old.ask("INCR n");
    }
    shows(&a, "c as down", |member| member["node"] == "c" && member["state"] == "down");
    let new = Daemon::start(setup(&bridge, directory.path(), "c", 4, &[1, 2]));
    [&a, &b, &new].into_iter().for_each(|daemon| daemon.await_peers(2));
    shows(&a, "the old c as down still", |member| member["node"] == "c" && member["state"] == "down");
    new.ask("INCR n");
    bridge.isolate(3, false);
    for daemon in [&a, &b, &old, &new] {
        reads(daemon, "n", "6");
        daemon.await_peers(3);
        for address in ["10.77.0.3:7101", "10.77.0.4:7101"] {
            shows(daemon, "both of one name", |member| {
                let shared = member["shares_name_with"].as_array().map_or(0, Vec::len);
                member["node"] == "c" && member["state"] == "live" && member["address"] == address && shared == 1
            });
        }
        assert_eq!(daemon.status().at("members").at("sharing_a_name").integer(), 2);
    }
    // Both may go on, or one leaves.
    assert_eq!(new.terminate().code(), Some(0));
    shows(&a, "one c", |member| {
        member["node"] == "c" && member["state"] == "live" && member["shares_name_with"] == Json::Array(Vec::new())
    });
    assert_eq!(a.ask("INCR n"), Value::Integer(7));
    reads(&old, "n", "7");
}

#[test]
fn a_daemon_that_announces_an_address_where_nobody_is_is_shown_as_unreachable_at_both_ends() {
    let Some(bridge) = Bridge::new(2) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let a = Daemon::start(setup(&bridge, directory.path(), "a", 1, &[]));
    let mut wrong = setup(&bridge, directory.path(), "b", 2, &[1]);
    wrong.advertise = Some("10.77.0.99:7101".parse().expect("an address"));
    wrong.flags.push("--serve-while-joining".to_owned());
    let b = Daemon::start(wrong);
    shows_unreachable(&a, "b", "10.77.0.99:7101", NO_ANSWER);
    shows_unreachable(&b, "a", "10.77.0.1:7101", NOTHING_BACK);
    assert_eq!((a.live_peers(), b.live_peers()), (0, 0));
    bridge.add_address(2, "10.77.0.99");
    replicates(&a, &b);
}

#[test]
fn a_daemon_that_announces_its_loopback_address_is_shown_as_unreachable_at_both_ends() {
    let Some(bridge) = Bridge::new(2) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let a = Daemon::start(setup(&bridge, directory.path(), "a", 1, &[]));
    let mut wrong = setup(&bridge, directory.path(), "b", 2, &[1]);
    // Another port than a's, or a would know that it is there itself.
    wrong.listen = SocketAddr::from(([0, 0, 0, 0], PORT + 10));
    wrong.advertise = Some(SocketAddr::from(([127, 0, 0, 1], PORT + 10)));
    let b = Daemon::start(wrong.clone());
    shows_unreachable(&a, "b", "127.0.0.1:7111", NO_ANSWER);
    shows_unreachable(&b, "a", "10.77.0.1:7101", NOTHING_BACK);
    drop(b);
    wrong.advertise = None;
    replicates(&a, &Daemon::start(wrong));
}

#[test]
fn a_daemon_on_all_addresses_of_both_families_announces_the_one_that_its_seeds_use() {
    let Some(bridge) = Bridge::new(3) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let on_both = |node, host, seeds: &[usize]| {
        let mut setup = setup(&bridge, directory.path(), node, host, seeds);
        setup.listen = format!("[::]:{PORT}").parse().expect("an address");
        setup.flags.truncate(1);
        setup.flags.extend(["--bulk-listen".to_owned(), format!("[::]:{STREAMS}")]);
        setup
    };
    let a = Daemon::start(setup(&bridge, directory.path(), "a", 1, &[]));
    let b = Daemon::start(on_both("b", 2, &[1]));
    replicates(&a, &b);
    let streams = |member: &Json| member["node"] == "b" && member["streams"] == "reachable";
    let member = shows(&a, "the streams of b", streams);
    assert_eq!((&member["address"], &member["streams_address"]), (&"10.77.0.2:7101".into(), &"10.77.0.2:7102".into()));

    let mut six = on_both("c", 3, &[]);
    six.seeds = vec!["[fd77::2]:7101".parse().expect("an address")];
    let c = Daemon::start(six);
    replicates(&b, &c);
    assert_eq!(shows_live(&b, "c")["address"], "[fd77::3]:7101");
    shows(&b, "the streams of c", |member| member["node"] == "c" && member["streams"] == "reachable");
    // It speaks IPv4 alone; but what c writes reaches it by way of b.
    shows_unreachable(&a, "c", "[fd77::3]:7101", NO_ANSWER);
    c.ask("SET key 1");
    reads(&a, "key", "1");
    drop(a);
    replicates(&c, &Daemon::start(on_both("a", 1, &[2])));
}

#[test]
fn of_a_link_that_works_one_way_both_ends_say_which() {
    let Some(mut bridge) = Bridge::new(3) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let start = |node, host, seeds: &[usize]| Daemon::start(setup(&bridge, directory.path(), node, host, seeds));
    let (a, b, c) = (start("a", 1, &[]), start("b", 2, &[1]), start("c", 3, &[1]));
    [&a, &b, &c].into_iter().for_each(|daemon| daemon.await_peers(2));
    bridge.cut(2, 1, true);
    shows_unreachable(&a, "b", "10.77.0.2:7101", NOTHING_BACK);
    shows_unreachable(&b, "a", "10.77.0.1:7101", NO_ANSWER);
    assert_eq!(c.live_peers(), 2);
    // By way of the one that reaches both.
    b.ask("SET key 1");
    reads(&a, "key", "1");
    bridge.cut(2, 1, false);
    replicates(&a, &b);
}

#[test]
fn a_path_that_drops_full_datagrams_is_shown_as_such_and_carries_no_peer() {
    let Some(mut bridge) = Bridge::new(2) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    bridge.limit(1, 2, Some(1_227));
    let a = Daemon::start(setup(&bridge, directory.path(), "a", 1, &[]));
    let b = Daemon::start(setup(&bridge, directory.path(), "b", 2, &[1]));
    shows_unreachable(&a, "b", "10.77.0.2:7101", "MTU");
    shows_unreachable(&b, "a", "10.77.0.1:7101", "MTU");
    // The least that a path must carry.
    bridge.limit(1, 2, Some(1_228));
    replicates(&a, &b);
}

#[test]
fn a_peer_whose_port_for_streams_is_closed_is_live_and_shown_to_be_without() {
    let Some(mut bridge) = Bridge::new(2) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    bridge.close(2, STREAMS, true);
    let a = Daemon::start(setup(&bridge, directory.path(), "a", 1, &[]));
    let b = Daemon::start(setup(&bridge, directory.path(), "b", 2, &[1]));
    replicates(&a, &b);
    let streams = |daemon: &Daemon, node: &str, state: &str| {
        shows(daemon, &format!("streams of {node}: {state}"), |member| {
            member["node"] == node && member["state"] == "live" && member["streams"] == state
        })
    };
    let member = streams(&a, "b", "unreachable");
    assert_eq!(member["streams_address"], "10.77.0.2:7102");
    assert!(member["streams_since_seconds"].is_number(), "{member}");
    // It asks from that port, too, and the answers do not pass: this firewall keeps no account of who asked.
    streams(&b, "a", "unreachable");
    assert_eq!(a.status().at("members").at("without_streams").integer(), 1);
    bridge.close(2, STREAMS, false);
    streams(&a, "b", "reachable");
    streams(&b, "a", "reachable");
}
