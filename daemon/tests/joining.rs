//! A daemon that joins a cluster, as its clients see it: refused as by a Redis that loads, and served in time.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process, cahoots};
use serde_json::Value;

/// A UDP address at which nobody answers as long as the socket lives.
fn silence() -> (std::net::UdpSocket, String) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    (socket, address)
}

fn status(daemon: &Process) -> Value {
    let output =
        cahoots().args(["status", "--json", "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn info(client: &mut Client, section: &str) -> String {
    client.words(&format!("INFO {section}")).text()
}

#[test]
fn until_it_has_caught_up_commands_on_data_are_refused_as_by_a_redis_that_loads() {
    let (_socket, seed) = silence();
    let daemon = Process::cahoots(&["--seed", &seed, "--join-timeout", "1000"]);
    let mut client = daemon.client();
    for words in
        ["GET k", "SET k v", "INCR n", "DEL k", "SADD s m", "HGETALL h", "DBSIZE", "SCAN 0", "FLUSHALL", "WAIT 1 0"]
    {
        let refusal = client.words(words);
        assert_eq!(format!("{refusal:?}"), r"-LOADING cahoots is catching up with its peers (0 %)\r\n", "{words}");
    }
    for words in [
        "PING",
        "ECHO x",
        "HELLO 3",
        "HELLO 2",
        "SELECT 0",
        "CLIENT ID",
        "CLIENT SETNAME x",
        "COMMAND COUNT",
        "CONFIG GET save",
        "COMMAND INFO get",
        "INFO",
        "TIME",
        "CAHOOTS STATUS",
        "CAHOOTS MEMBERS",
    ] {
        let reply = format!("{:?}", client.words(words));
        assert!(!reply.starts_with('-'), "{words}: {reply}");
    }
    // What clients look at to know when to come back, and what people look at.
    let text = info(&mut client, "persistence");
    for line in ["loading:1", "loading_start_time:", "loading_loaded_perc:0.00", "loading_eta_seconds:1"] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let text = info(&mut client, "cahoots");
    for line in ["ready:0", "joining_percent:0", "joining_buckets:0", "joining_peers_heard:0"] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let status = status(&daemon);
    assert_eq!((&status["ready"], &status["joined_percent"]), (&false.into(), &0.into()));
    for (what, words) in
        [("status", "NOT READY, joining: 0 % of what its peers had"), ("members", "this node, not ready")]
    {
        let output = cahoots().args([what, "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    // Leaving without having joined is no loss.
    drop(daemon);
}

#[test]
fn it_serves_when_nobody_answers_for_the_join_timeout_and_says_why() {
    let (_socket, seed) = silence();
    let daemon = Process::cahoots(&["--seed", &seed, "--join-timeout", "0.3"]);
    let (mut client, begun) = (daemon.client(), Instant::now());
    while client.words("SET k v").text() != "OK" {
        assert!(begun.elapsed() < PATIENCE, "{}", status(&daemon));
    }
    assert!(info(&mut client, "persistence").contains("loading:0\r\n"));
    assert!(info(&mut client, "cahoots").contains("ready:1\r\n"));
    assert_eq!(status(&daemon)["readiness"], "ready: nobody answered in time, so it serves what it has");
}

#[test]
fn it_serves_at_once_if_told_to_and_is_announced_as_not_ready_all_the_same() {
    let (_socket, seed) = silence();
    let daemon = Process::cahoots(&["--seed", &seed, "--join-timeout", "1000", "--serve-while-joining"]);
    let mut client = daemon.client();
    assert_eq!(client.words("INCR n").integer(), 1);
    assert!(info(&mut client, "persistence").contains("loading:0\r\n"));
    assert_eq!(status(&daemon)["ready"], false);
}

#[test]
fn a_daemon_without_seeds_serves_at_once_and_one_that_joins_it_serves_what_it_has() {
    let first = Process::cahoots(&["--node", "first"]);
    let mut client = first.client();
    assert_eq!(client.words("SET k v").text(), "OK");
    let seed = status(&first)["listen"].as_str().expect("an address").to_owned();
    let second = Process::cahoots(&["--node", "second", "--seed", &seed]);
    let (mut client, begun) = (second.client(), Instant::now());
    loop {
        let reply = client.words("GET k").text();
        if reply == "v" {
            break;
        }
        assert!(reply.starts_with("LOADING "), "an empty answer before it has caught up: {reply:?}");
        assert!(begun.elapsed() < PATIENCE, "{}", status(&second));
    }
    assert_eq!(status(&second)["readiness"], "ready: caught up with first");
    let members = cahoots().args(["members", "--socket"]).arg(&first.socket).output().expect("the binary runs");
    let members = String::from_utf8(members.stdout).expect("text");
    assert!(members.contains("second"), "{members}");
}

#[test]
fn members_shows_who_failed_and_forgets_who_left() {
    let first = Process::cahoots(&["--node", "first"]);
    let seed = status(&first)["listen"].as_str().expect("an address").to_owned();
    let mut leaves = Process::cahoots(&["--node", "leaves", "--seed", &seed]);
    let fails = Process::cahoots(&["--node", "fails", "--seed", &seed]);
    let states = || {
        let output = cahoots().args(["members", "--json", "--socket"]).arg(&first.socket).output().expect("it runs");
        let members: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let state =
            |it: &Value| format!("{} {}", it["node"].as_str().unwrap_or(""), it["state"].as_str().unwrap_or(""));
        members.as_array().expect("members").iter().map(state).collect::<std::collections::BTreeSet<_>>()
    };
    let until = |expected: &[&str]| {
        let begun = Instant::now();
        while !states().iter().eq(expected) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", states());
        }
    };
    until(&["fails live", "first live", "leaves live"]);
    leaves.signal(rustix::process::Signal::TERM);
    assert!(leaves.wait().success());
    until(&["fails live", "first live"]);
    drop(fails); // kill -9
    until(&["fails down", "first live"]);
}
