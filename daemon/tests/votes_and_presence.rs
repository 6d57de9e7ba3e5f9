//! Votes and presence over real sockets: whose ballots count, and that a daemon killed takes its clients along.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process, cahoots};
use rustix::process::Signal;

fn status(daemon: &Process) -> serde_json::Value {
    let output =
        cahoots().args(["status", "--json", "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// How many events a daemon has written.
fn seq(daemon: &Process) -> u64 {
    status(daemon)["seq"].as_u64().expect("a number")
}

/// Daemons that have all found each other.
fn cluster(size: usize) -> Vec<Process> {
    let mut daemons = vec![Process::cahoots(&["--node", "n0"])];
    let status = status(&daemons[0]);
    let seed = status["listen"].as_str().expect("an address");
    for at in 1..size {
        daemons.push(Process::cahoots(&["--node", &format!("n{at}"), "--seed", seed]));
    }
    for daemon in &daemons {
        // Nobody has voted: who is there to vote shows as soon as a write reaches all.
        let mut client = daemon.client();
        until(&mut client, |client| {
            client.words("INCR ready");
            client.words(&format!("WAIT {} 100", size - 1)).text() == (size - 1).to_string()
        });
    }
    daemons
}

fn until(client: &mut Client, condition: impl Fn(&mut Client) -> bool) {
    let begun = Instant::now();
    while !condition(client) {
        assert!(begun.elapsed() < PATIENCE, "it never comes to that");
        std::thread::yield_now();
    }
}

/// Choices and counts, in the order in which they came.
fn tally(client: &mut Client, key: &str) -> Vec<(String, i64)> {
    let reply = client.words(&format!("VOTE.TALLY {key}"));
    reply.parts().chunks(2).map(|pair| (pair[0].text(), pair[1].integer())).collect()
}

fn present(client: &mut Client, key: &str) -> i64 {
    client.words(&format!("PRESENCE.COUNT {key}")).integer()
}

fn counts<const N: usize>(choices: [(&str, i64); N]) -> Vec<(String, i64)> {
    choices.map(|(choice, count)| (choice.to_owned(), count)).into()
}

#[test]
fn a_second_ballot_replaces_the_first_and_that_of_a_killed_daemon_stops_counting() {
    let mut daemons = cluster(3);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    for (client, choice) in clients.iter_mut().zip(["x", "x", "y"]) {
        assert_eq!(client.words(&format!("VOTE.CAST leader {choice}")).text(), "OK");
    }
    for client in &mut clients {
        until(client, |client| tally(client, "leader") == counts([("x", 2), ("y", 1)]));
    }
    clients[1].words("VOTE.CAST leader z");
    for client in &mut clients {
        until(client, |client| tally(client, "leader") == counts([("x", 1), ("y", 1), ("z", 1)]));
    }
    daemons[2].signal(Signal::KILL);
    daemons[2].wait();
    let written = seq(&daemons[0]) + seq(&daemons[1]);
    for client in &mut clients[..2] {
        until(client, |client| tally(client, "leader") == counts([("x", 1), ("z", 1)]));
    }
    assert_eq!(seq(&daemons[0]) + seq(&daemons[1]), written, "nobody has written anything");
    assert_eq!(clients[0].words("VOTE.RETRACT leader").integer(), 1);
    assert_eq!(clients[0].words("VOTE.RETRACT leader").integer(), 0);
    until(&mut clients[1], |client| tally(client, "leader") == counts([("z", 1)]));
}

#[test]
fn a_watcher_counts_clients_as_they_come_and_go_and_those_of_a_killed_daemon_as_gone() {
    let mut daemons = cluster(3);
    let mut watcher = daemons[0].client();
    assert_eq!(present(&mut watcher, "room"), 0);
    let (mut ada, mut bob) = (daemons[1].client(), daemons[2].client());
    assert_eq!(ada.words("PRESENCE.JOIN room").integer(), 1);
    assert_eq!(ada.words("PRESENCE.JOIN room").integer(), 0, "she is there already");
    until(&mut watcher, |watcher| present(watcher, "room") == 1);
    assert_eq!(bob.words("PRESENCE.JOIN room").integer(), 1);
    until(&mut watcher, |watcher| present(watcher, "room") == 2);
    let members = watcher.words("PRESENCE.MEMBERS room");
    assert!(members.parts().len() == 4 && members.parts()[1].integer() == 1, "{members:?}");
    drop(ada);
    until(&mut watcher, |watcher| present(watcher, "room") == 1);
    daemons[2].signal(Signal::KILL);
    daemons[2].wait();
    until(&mut watcher, |watcher| present(watcher, "room") == 0);
    assert_eq!(watcher.words("PRESENCE.MEMBERS room").parts().len(), 0);
}

#[test]
fn presence_ends_when_a_client_leaves_resets_quits_or_is_cut() {
    let daemon = Process::cahoots(&[]);
    let mut watcher = daemon.client();
    // A browser would say `post`, and is cut.
    for (end, reply) in [("RESET", "+RESET\r\n"), ("QUIT", "+OK\r\n"), ("post", ""), ("PRESENCE.LEAVE", "")] {
        let mut client = daemon.client();
        assert_eq!(client.words("PRESENCE.JOIN room").integer(), 1);
        assert_eq!(client.words("PRESENCE.JOIN hall").integer(), 1);
        assert_eq!((present(&mut watcher, "room"), present(&mut watcher, "hall")), (1, 1));
        if end == "PRESENCE.LEAVE" {
            let left = [0, 1].map(|_| client.words("PRESENCE.LEAVE room").integer());
            assert_eq!(left, [1, 0], "once is enough");
            assert_eq!((present(&mut watcher, "room"), present(&mut watcher, "hall")), (0, 1));
            drop(client);
        } else {
            client.send(&process::frame(&[end]));
            assert!(client.rest().starts_with(reply.as_bytes()), "{end}");
        }
        until(&mut watcher, |watcher| present(watcher, "room") + present(watcher, "hall") == 0);
    }
    assert_eq!(watcher.words("EXISTS room hall").integer(), 0, "a presence that nobody holds is no key");
}

#[test]
fn a_hundred_clients_that_come_and_go_at_once_leave_nobody_behind() {
    let daemon = Process::cahoots(&[]);
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let mut clients: Vec<Client> = (0..5).map(|_| daemon.client()).collect();
            std::thread::spawn(move || {
                for client in &mut clients {
                    assert_eq!(client.words("PRESENCE.JOIN room").integer(), 1);
                }
                for client in &mut clients {
                    assert!(present(client, "room") >= 5);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("all are counted"));
    until(&mut daemon.client(), |client| present(client, "room") == 0);
}

#[test]
fn ballots_and_other_types_do_not_mix_and_what_is_refused_changes_nothing() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    client.words("SET text 1");
    client.words("VOTE.CAST vote x");
    client.words("PRESENCE.JOIN room");
    let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    for words in [
        "VOTE.CAST text x",
        "VOTE.RETRACT text",
        "VOTE.TALLY room",
        "PRESENCE.JOIN vote",
        "PRESENCE.LEAVE text",
        "PRESENCE.COUNT text",
        "PRESENCE.MEMBERS vote",
        "GET vote",
        "INCR room",
        "SADD vote x",
    ] {
        assert_eq!(client.words(words).text(), wrong, "{words}");
    }
    let long = "x".repeat(1025);
    assert_eq!(
        client.words(&format!("VOTE.CAST vote {long}")).text(),
        "ERR value of 1025 bytes exceeds the cluster's maximum of 1024"
    );
    assert_eq!(tally(&mut client, "vote"), counts([("x", 1)]));
    assert_eq!(client.words("VOTE.CAST vote").text(), "ERR wrong number of arguments for 'vote.cast' command");
    assert_eq!(
        (client.words("TYPE vote").text(), client.words("TYPE room").text()),
        ("vote".into(), "presence".into())
    );
    for (key, words) in [("missing", "VOTE.TALLY"), ("missing", "PRESENCE.MEMBERS")] {
        assert_eq!(client.words(&format!("{words} {key}")).parts().len(), 0);
    }
    assert_eq!(client.words("EXISTS missing").integer(), 0, "a read never creates a key");
    client.words("HELLO 3");
    assert_eq!(format!("{:?}", client.words("VOTE.TALLY vote")), r"%1\r\n[$1\r\nx\r\n, :1\r\n]");
}

#[test]
fn one_connection_is_present_at_a_bounded_number_of_keys() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    for at in 0..1024 {
        assert_eq!(client.words(&format!("PRESENCE.JOIN room{at}")).integer(), 1);
    }
    let refused = "ERR a connection is present at 1024 keys at most";
    assert_eq!(client.words("PRESENCE.JOIN more").text(), refused);
    assert_eq!(client.words("PRESENCE.LEAVE room7").integer(), 1);
    assert_eq!(client.words("PRESENCE.JOIN more").integer(), 1);
}

#[test]
fn info_is_text_for_people_and_says_so_to_who_speaks_resp3() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    assert!(format!("{:?}", client.words("INFO server")).starts_with('$'));
    client.words("HELLO 3");
    let info = format!("{:?}", client.words("INFO server"));
    assert!(info.starts_with('=') && info.contains(r"\r\ntxt:# Server\r\n"), "{info}");
}
