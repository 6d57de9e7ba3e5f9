//! What clients learn of each other, and of the daemon: as from a Redis.

mod process;

use process::{Client, PATIENCE, Process, Value};

/// Both servers are asked the same, one after the other.
fn same(lines: &[&str]) {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    for hello in ["2", "3"] {
        let mut clients = [&redis, &ours].map(Process::client);
        for client in &mut clients {
            client.call(&["HELLO", hello]);
        }
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [theirs, mine] = clients.each_mut().map(|client| client.call(&words));
            assert_eq!(theirs, mine, "{line}");
        }
    }
}

#[test]
fn words_and_refusals_are_redis_s() {
    same(&[
        "CLIENT KILL",
        "CLIENT KILL 1.2.3.4:5",
        "CLIENT KILL ID x",
        "CLIENT KILL ID 0",
        "CLIENT KILL ID 9999",
        "CLIENT KILL TYPE foo",
        "CLIENT KILL TYPE pubsub",
        "CLIENT KILL SKIPME maybe",
        "CLIENT KILL USER nobody",
        "CLIENT KILL FOO BAR",
        "CLIENT KILL TYPE normal SKIPME yes",
        "CLIENT LIST TYPE foo",
        "CLIENT LIST TYPE master",
        "CLIENT LIST ID",
        "CLIENT LIST ID x",
        "CLIENT LIST ID 999",
        "CLIENT LIST FOO",
        "SLOWLOG LEN",
        "SLOWLOG GET x",
        "SLOWLOG GET -2",
        "SLOWLOG GET 0",
        "SLOWLOG RESET",
        "SLOWLOG FOO",
        "CONFIG SET slowlog-max-len -1",
        "CONFIG SET slowlog-max-len abc",
        "CONFIG SET slowlog-log-slower-than -5",
        "CONFIG SET tracking-table-max-keys x",
        "CONFIG SET nothing 1",
        "CONFIG SET databases 3",
        "CONFIG SET slowlog-max-len 100 slowlog-max-len 100",
        "CONFIG SET client-output-buffer-limit x",
        "CONFIG GET slowlog-max-len",
        "LOLWUT",
        "MODULE LIST",
        "CLUSTER INFO",
        "CLUSTER KEYSLOT abc",
        "CLUSTER FOO",
        "COMMAND GETKEYS GET a",
        "COMMAND GETKEYS MSET a 1 b 2",
        "COMMAND GETKEYS PING x",
        "COMMAND GETKEYS FOO a",
        "COMMAND GETKEYS GET a b",
        "COMMAND GETKEYS ZUNIONSTORE d 2 a b",
        "COMMAND GETKEYS XREAD STREAMS a b 0 0",
        "COMMAND GETKEYS MEMORY USAGE a",
        "COMMAND LIST FILTERBY PATTERN hincrby",
        "COMMAND LIST FILTERBY ACLCAT nothing",
        "COMMAND LIST FILTERBY MODULE x",
        "COMMAND LIST x",
        "COMMAND LIST FILTERBY foo x",
        "MULTI",
        "MONITOR",
        "EXEC",
    ]);
}

#[test]
fn a_monitor_is_shown_what_redis_shows() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let [theirs, mine] = [&redis, &ours].map(|server| {
        let (mut monitor, mut client) = (server.client(), server.client());
        assert_eq!(monitor.words("MONITOR").text(), "OK");
        client.call(&[&b"SET"[..], b"a", b"x y\n\x01\"\\\xff"]);
        for words in [
            "GET",
            "FOO",
            "MULTI",
            "SET b 1",
            "EXEC",
            "CONFIG GET port",
            "CLIENT LIST",
            "LPUSH a 1",
            "HELLO 3",
            "PING end",
        ] {
            client.words(words);
        }
        let mut shown = Vec::new();
        while !shown.last().is_some_and(|line: &String| line.contains("end")) {
            let line = monitor.receive().text();
            let (_, words) = line.split_once("] ").expect("behind where it came from");
            shown.push(words.to_owned());
        }
        assert_eq!(monitor.words("RESET").text(), "RESET");
        client.words("SET a 1");
        assert_eq!(monitor.words("PING").text(), "PONG", "nothing is shown any more");
        shown
    });
    assert_eq!(theirs, mine);
}

fn field(line: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    line.split(' ').find_map(|field| field.trim().strip_prefix(&prefix).map(str::to_owned)).unwrap_or_default()
}

/// The line of a client in the list that another one gets.
fn line_of(asker: &mut Client, id: i64) -> String {
    asker.words(&format!("CLIENT LIST ID {id}")).text()
}

#[test]
fn a_list_says_what_each_client_is_and_does() {
    let Some(redis) = Process::redis() else { return };
    for server in [redis, Process::cahoots(&[])] {
        let (mut asker, mut other) = (server.client(), server.client());
        let id = other.words("CLIENT ID").integer();
        other.words("CLIENT SETNAME somebody");
        let line = line_of(&mut asker, id);
        let fields = ["name", "flags", "sub", "psub", "multi", "resp", "cmd", "redir", "db", "user"];
        assert_eq!(
            fields.map(|name| field(&line, name)),
            ["somebody", "U", "0", "0", "-1", "2", "client|setname", "-1", "0", "default"]
        );
        other.words("MULTI");
        other.words("GET a");
        let line = line_of(&mut asker, id);
        assert_eq!([field(&line, "flags"), field(&line, "multi")], ["xU", "1"]);
        other.words("RESET");
        other.words("CLIENT TRACKING ON BCAST");
        assert_eq!(field(&line_of(&mut asker, id), "flags"), "tBU");
        other.words("RESET");
        other.words("SUBSCRIBE a");
        other.words("PSUBSCRIBE b*");
        let line = line_of(&mut asker, id);
        assert_eq!([field(&line, "flags"), field(&line, "sub"), field(&line, "psub")], ["PU", "1", "1"]);
        let listed = asker.words("CLIENT LIST TYPE pubsub").text();
        assert_eq!(listed.lines().count(), 1);
        assert_eq!(asker.words("CLIENT LIST").text().lines().count(), 2);
    }
}

#[test]
fn one_that_is_killed_is_gone_though_it_waits_and_oneself_is_answered_before() {
    let Some(redis) = Process::redis() else { return };
    for server in [redis, Process::cahoots(&[])] {
        let (mut killer, mut waiting, mut idle) = (server.client(), server.client(), server.client());
        let [first, second] = [&mut waiting, &mut idle].map(|client| client.words("CLIENT ID").integer());
        waiting.send(b"BLPOP nothing 0\r\n");
        let begun = std::time::Instant::now();
        while field(&line_of(&mut killer, first), "flags") != "bU" {
            assert!(begun.elapsed() < PATIENCE);
        }
        assert_eq!(killer.words(&format!("CLIENT KILL ID {first}")).integer(), 1);
        assert_eq!(waiting.rest(), b"");
        assert_eq!(killer.words(&format!("CLIENT KILL ID {second} SKIPME yes")).integer(), 1);
        assert_eq!(idle.rest(), b"");
        killer.send(b"CLIENT KILL TYPE normal SKIPME no\r\nPING\r\n");
        assert_eq!(killer.rest(), b":1\r\n", "nothing behind it is executed");
    }
}

#[test]
fn what_took_long_is_kept_with_whose_it_was() {
    let server = Process::cahoots(&[]);
    let mut client = server.client();
    client.words("CLIENT SETNAME me");
    client.words("CONFIG SET slowlog-log-slower-than 0");
    client.words("SET k v");
    client.words("CONFIG SET slowlog-log-slower-than -1");
    client.words("GET k");
    let log = client.words("SLOWLOG GET");
    let parts: Vec<String> = log.parts().iter().map(|entry| entry.parts()[3].lines()).collect();
    assert_eq!(parts[0], "*3 $3 SET $1 k $1 v");
    assert!(parts[1].starts_with("*4 $6 CONFIG"), "the command that has it kept is, as by Redis: {parts:?}");
    assert_eq!(log.parts()[0].parts()[5].text(), "me");
    let Value::Node(..) = log else { panic!("{log:?}") };
    assert_eq!(client.words("SLOWLOG LEN").integer(), 2);
    client.words("SLOWLOG RESET");
    assert_eq!(client.words("SLOWLOG LEN").integer(), 0);
}
