//! Daemons of one cluster, as their clients see them.

mod process;

use std::time::{Duration, Instant};

use process::{Client, PATIENCE, Process, cahoots};
use rustix::process::Signal;
use serde_json::Value;

/// `cahoots status --json` or `members --json` at a daemon.
fn ask(daemon: &Process, what: &str) -> Value {
    let output = cahoots().args([what, "--json", "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn listen(daemon: &Process) -> String {
    ask(daemon, "status")["listen"].as_str().expect("an address").to_owned()
}

/// Daemons that have all found each other.
fn cluster(size: usize, args: &[&str]) -> Vec<Process> {
    let mut daemons = vec![Process::cahoots(&[args, &["--node", "n0"]].concat())];
    let seed = listen(&daemons[0]);
    for at in 1..size {
        let name = format!("n{at}");
        daemons.push(Process::cahoots(&[args, &["--node", &name, "--seed", &seed]].concat()));
    }
    for daemon in &daemons {
        let begun = Instant::now();
        while live_peers(daemon) < size - 1 || ask(daemon, "status")["ready"] != true {
            assert!(begun.elapsed() < PATIENCE, "{}", ask(daemon, "status"));
        }
    }
    daemons
}

fn live_peers(daemon: &Process) -> usize {
    let status = ask(daemon, "status");
    status["peers"].as_array().expect("peers").iter().filter(|peer| peer["live"] == true).count()
}

/// Libraries of functions go where keys go, and clients do not meet them as keys.
#[test]
fn a_library_that_is_loaded_at_one_is_called_at_the_others() {
    let daemons = cluster(3, &[]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    let library = |name: &str, function: &str, value: &str| {
        let body = format!("return redis.call('incrby', keys[1], {value})");
        format!("#!lua name={name}\nredis.register_function('{function}', function(keys) {body} end)")
    };
    let settle = |client: &mut Client| assert_eq!(client.words("WAIT 2 10000").integer(), 2);
    assert!(clients[1].words("FCALL add 1 n").lines().starts_with("-ERR Function not found"));
    assert_eq!(clients[0].call(&["FUNCTION", "LOAD", &library("one", "add", "3")]).text(), "one");
    settle(&mut clients[0]);
    assert_eq!(clients[1].words("FCALL add 1 n").integer(), 3);
    assert_eq!(clients[2].call(&["FUNCTION", "LOAD", "REPLACE", &library("one", "add", "10")]).text(), "one");
    settle(&mut clients[2]);
    settle(&mut clients[1]);
    assert_eq!(clients[1].words("FCALL add 1 n").integer(), 13);
    settle(&mut clients[1]);
    for client in &mut clients {
        assert_eq!(client.words("KEYS *").lines(), "*1 $1 n");
        assert_eq!(client.words("DBSIZE").integer(), 1);
    }
    assert_eq!(clients[0].words("FLUSHALL").text(), "OK");
    settle(&mut clients[0]);
    assert_eq!(clients[2].words("FCALL add 1 n").integer(), 10);
    settle(&mut clients[2]);
    assert_eq!(clients[1].words("FUNCTION DELETE one").text(), "OK");
    settle(&mut clients[1]);
    for client in &mut clients {
        assert!(client.words("FCALL add 1 n").lines().starts_with("-ERR Function not found"));
    }
}

#[test]
fn what_is_written_at_one_is_read_at_the_others_once_wait_says_so() {
    let daemons = cluster(3, &[]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    assert_eq!(clients[0].words("INCRBY hits 3").integer(), 3);
    assert_eq!(clients[0].words("WAIT 2 10000").integer(), 2);
    assert_eq!(clients[2].words("GET hits").text(), "3");
    assert_eq!(clients[1].words("SADD cart milk").integer(), 1);
    assert_eq!(clients[1].words("WAIT 2 10000").integer(), 2);
    for client in &mut clients {
        assert_eq!(client.words("SISMEMBER cart milk").integer(), 1);
        assert!(client.words("INCR hits").integer() > 3);
        assert_eq!(client.words("WAIT 2 10000").integer(), 2);
    }
    assert_eq!(clients[0].words("GET hits").text(), "6");
}

/// Neither has seen what the other adds, of some of the keys at least; of all of them nothing is lost.
#[test]
fn a_key_of_one_database_is_in_that_database_everywhere() {
    let daemons = cluster(2, &[]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    for (database, value) in [("0", "zero"), ("3", "three"), ("15", "fifteen")] {
        clients[0].words(&format!("SELECT {database}"));
        clients[0].words(&format!("SET key {value}"));
    }
    assert_eq!(clients[0].words("WAIT 1 10000").integer(), 1);
    for (database, value) in [("0", "zero"), ("3", "three"), ("15", "fifteen")] {
        clients[1].words(&format!("SELECT {database}"));
        assert_eq!(clients[1].words("GET key").text(), value);
        assert_eq!(clients[1].words("DBSIZE").integer(), 1);
        assert_eq!(clients[1].words("KEYS *").parts().len(), 1);
    }
    clients[1].words("FLUSHDB");
    assert_eq!(clients[1].words("WAIT 1 10000").integer(), 1);
    assert_eq!(clients[0].words("DBSIZE").integer(), 0);
    clients[0].words("SELECT 3");
    assert_eq!(clients[0].words("GET key").text(), "three");
}

#[test]
fn what_two_add_to_a_hyperloglog_at_once_is_counted_at_both() {
    const KEYS: usize = 200;
    let daemons = cluster(2, &[]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let commands: String = (0..KEYS).map(|key| format!("PFADD h{key} from{at}\r\n")).collect();
        client.send(commands.as_bytes());
    }
    for client in &mut clients {
        (0..KEYS).for_each(|_| assert_eq!(client.receive().integer(), 1));
        assert_eq!(client.words("WAIT 1 10000").integer(), 1);
    }
    for client in &mut clients {
        for key in 0..KEYS {
            assert_eq!(client.words(&format!("PFCOUNT h{key}")).integer(), 2, "h{key}");
        }
    }
    // Who adds next writes down what both had, and all read that.
    assert_eq!(clients[0].words("PFADD h0 more").integer(), 1);
    assert_eq!(clients[0].words("WAIT 1 10000").integer(), 1);
    clients.iter_mut().for_each(|client| assert_eq!(client.words("PFCOUNT h0").integer(), 3));
}

#[test]
fn a_reader_that_moves_from_daemon_to_daemon_is_given_every_entry_once() {
    let daemons = cluster(2, &[]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    let (mut cursor, mut given, mut added) = ("0".to_owned(), Vec::new(), Vec::new());
    for number in 0..60 {
        added.push(clients[number % 2].words(&format!("XADD s * n {number}")).text());
        // Not waited for: what arrives late is what the cursor is for.
        if number % 7 == 0 {
            let answer = clients[number / 7 % 2].call(&["CRDT.XREAD", "s", &cursor, "COUNT", "9"]);
            cursor = answer.parts()[0].text();
            given.extend(answer.parts()[1].parts().iter().map(|entry| entry.parts()[0].text()));
        }
    }
    while given.len() < added.len() {
        let answer = clients[given.len() % 2].call(&["CRDT.XREAD", "s", &cursor, "COUNT", "9", "BLOCK", "50"]);
        if answer.parts().is_empty() {
            continue;
        }
        cursor = answer.parts()[0].text();
        given.extend(answer.parts()[1].parts().iter().map(|entry| entry.parts()[0].text()));
    }
    given.sort();
    added.sort();
    assert_eq!(given, added);
    let told: Vec<u64> = clients.iter_mut().map(|client| client.words("XLEN s").integer().unsigned_abs()).collect();
    assert_eq!(told.iter().max(), Some(&60));
}

#[test]
fn three_replicas_count_a_hundred_increments_each_to_three_hundred() {
    let daemons = cluster(3, &[]);
    let threads: Vec<_> = daemons
        .iter()
        .map(|daemon| {
            let mut client = daemon.client();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    client.words("INCR n");
                }
                assert_eq!(client.words("WAIT 2 10000").integer(), 2);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("every increment is taken"));
    for daemon in &daemons {
        assert_eq!(daemon.client().words("GET n").text(), "300");
    }
}

#[test]
fn status_and_members_tell_who_is_there_and_how_far() {
    let daemons = cluster(2, &[]);
    let mut client = daemons[0].client();
    client.words("SET k v");
    assert_eq!(client.words("WAIT 1 10000").integer(), 1);
    let status = ask(&daemons[0], "status");
    assert_eq!(status["node"], "n0");
    assert_eq!(status["keys"], 1);
    let peer = &status["peers"][0];
    assert_eq!((&peer["node"], &peer["acked"], &peer["lag_events"]), (&"n1".into(), &status["seq"], &0.into()));
    let members = ask(&daemons[0], "members");
    let names: Vec<_> =
        members.as_array().expect("members").iter().map(|member| (&member["node"], &member["state"])).collect();
    assert_eq!(names, [(&"n0".into(), &"live".into()), (&"n1".into(), &"live".into())]);
    for (what, words) in [("status", ["n1", "HAS OF OUR EVENTS", "1 of 1"]), ("members", ["n0", "n1", "this node"])] {
        let output = cahoots().arg(what).arg("--socket").arg(&daemons[0].socket).output().expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("text");
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
}

#[test]
fn wait_for_more_replicas_than_there_are_waits_for_its_timeout_and_the_write_stays() {
    let daemons = cluster(2, &[]);
    let mut client = daemons[0].client();
    client.words("SET k v");
    let begun = Instant::now();
    assert_eq!(client.words("WAIT 2 300").integer(), 1);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(client.words("GET k").text(), "v");
    daemons[1].signal(Signal::STOP);
    client.words("SET k w");
    assert_eq!(client.words("WAIT 1 300").integer(), 0);
    daemons[1].signal(Signal::CONT);
    assert_eq!(client.words("WAIT 1 10000").integer(), 1);
    assert_eq!(daemons[1].client().words("GET k").text(), "w");
}

#[test]
fn what_was_acknowledged_before_a_sigterm_under_load_is_on_a_peer_after_it() {
    let mut daemons = cluster(2, &[]);
    let client = daemons[0].client();
    let stream = client.stream().try_clone().expect("another handle");
    let writer = std::thread::spawn(move || {
        // Counts what was answered, until the daemon goes.
        use std::io::{BufRead, BufReader, Write};
        let mut lines = BufReader::new(stream.try_clone().expect("another handle"));
        let mut stream = stream;
        let (mut acknowledged, mut line) = (0u64, String::new());
        loop {
            line.clear();
            if stream.write_all(b"INCR n\r\n").is_err() || lines.read_line(&mut line).is_err() || !line.ends_with('\n')
            {
                return acknowledged;
            }
            acknowledged = line[1..].trim_end().parse().expect("a count");
        }
    });
    // Well under way.
    while client_count(&daemons[0]) < 500 {}
    daemons[0].signal(Signal::TERM);
    let status = daemons[0].wait();
    let acknowledged = writer.join().expect("the writer ends");
    assert_eq!(status.code(), Some(0));
    assert!(acknowledged >= 500);
    let there: u64 = daemons[1].client().words("GET n").text().parse().expect("a count");
    // The last increment may have been done and not answered.
    assert!(there == acknowledged || there == acknowledged + 1, "{acknowledged} acknowledged, {there} handed over");
}

fn client_count(daemon: &Process) -> u64 {
    daemon.client().words("INCRBY n 0").integer().try_into().expect("a count")
}

#[test]
fn a_stop_that_leaves_writes_on_no_other_node_says_so_by_its_exit_code() {
    let mut alone = Process::cahoots(&[]);
    alone.client().words("SET k v");
    alone.signal(Signal::TERM);
    assert_eq!(alone.wait().code(), Some(3));
    let mut idle = Process::cahoots(&[]);
    idle.client().words("GET k");
    idle.signal(Signal::INT);
    assert_eq!(idle.wait().code(), Some(0), "there was nothing to hand over");
}

#[test]
fn nodes_with_one_key_meet_and_one_without_it_stays_outside() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = directory.path().join("key");
    assert!(cahoots().args(["keygen", "--out"]).arg(&key).status().expect("the binary runs").success());
    let daemons = cluster(2, &["--key-file", key.to_str().expect("a plain path")]);
    let mut client = daemons[0].client();
    client.words("SET secret v");
    assert_eq!(client.words("WAIT 1 10000").integer(), 1);
    // Refused datagrams are counted at those who refuse, so it is known that it has tried.
    let stranger = Process::cahoots(&["--node", "stranger", "--seed", &listen(&daemons[0]), "--serve-while-joining"]);
    let refused = |client: &mut Client| -> u64 {
        let info = client.words("INFO cahoots").text();
        let line = info.lines().find_map(|line| line.strip_prefix("datagrams_refused:"));
        line.expect("the counter").parse().expect("a number")
    };
    let begun = Instant::now();
    while refused(&mut client) < 2 {
        assert!(begun.elapsed() < PATIENCE, "the stranger's datagrams do not arrive");
    }
    assert_eq!(live_peers(&stranger), 0);
    assert_eq!(live_peers(&daemons[0]), 1);
    assert_eq!(stranger.client().words("DBSIZE").integer(), 0);
}

/// What is published at one daemon is heard at all, large messages too, in the order in which it was published.
#[test]
fn what_is_published_at_one_is_heard_at_all() {
    let daemons = cluster(3, &[]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    let mut listeners: Vec<Client> = daemons.iter().map(Process::client).collect();
    for listener in &mut listeners {
        assert_eq!(listener.words("SUBSCRIBE news").lines(), "*3 $9 subscribe $4 news :1");
        assert_eq!(listener.words("SSUBSCRIBE shard").lines(), "*3 $10 ssubscribe $5 shard :1");
    }
    let large = "x".repeat(5 << 20);
    let messages: Vec<String> = (0..200).map(|number| number.to_string()).chain([large, "end".to_owned()]).collect();
    for message in &messages {
        assert_eq!(clients[1].call(&["PUBLISH", "news", message]).integer(), 1, "those of this daemon");
    }
    clients[1].call(&["PUBLISH", "elsewhere", "m"]);
    clients[1].call(&["SPUBLISH", "shard", "m"]);
    for listener in &mut listeners {
        for message in &messages {
            let heard = listener.receive();
            let parts: Vec<String> = heard.parts().iter().map(process::Value::text).collect();
            assert!(parts[..2] == ["message", "news"] && parts[2] == *message, "{}", &message[..message.len().min(9)]);
        }
        assert_eq!(listener.receive().lines(), "*3 $8 smessage $5 shard $1 m");
    }
    let info = clients[0].words("INFO cahoots").text();
    assert!(info.contains("publications_lost:0") && info.contains("publications_heard:204"), "{info}");
}
