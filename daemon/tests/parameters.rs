//! CONFIG: every parameter that Redis has, in its words.

mod process;

use std::collections::BTreeMap;

use process::{Client, Process};

/// Parameters of Redis that are older names, of its build, or hidden in a way of its own.
fn pairs(client: &mut Client, pattern: &str) -> BTreeMap<String, String> {
    let reply = client.call(&["CONFIG", "GET", pattern]);
    reply.parts().chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect()
}

#[test]
fn every_parameter_that_redis_tells_is_told() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let (theirs, ours) = (pairs(&mut redis.client(), "*"), pairs(&mut ours.client(), "*"));
    let missing: Vec<&String> = theirs.keys().filter(|name| !ours.contains_key(*name)).collect();
    assert!(missing.is_empty(), "not told: {missing:?}");
    // What differs is this daemon's own.
    let own = [
        "acl-pubsub-default",
        "bind",
        "busy-reply-threshold",
        "client-output-buffer-limit",
        "client-query-buffer-limit",
        "dir",
        "lua-time-limit",
        "maxclients",
        "proto-max-bulk-len",
        "unixsocket",
    ];
    let differs = theirs.iter().filter(|(name, value)| ours[*name] != **value && !own.contains(&name.as_str()));
    assert_eq!(differs.collect::<Vec<_>>(), []);
}

const SESSION: &[&str] = &[
    "CONFIG",
    "CONFIG GET",
    "CONFIG GET hz",
    "CONFIG GET HZ",
    "CONFIG GET rdb-key-save-delay",
    "CONFIG GET rdb-key-save-dela?",
    "CONFIG GET none hz none",
    "CONFIG SET",
    "CONFIG SET hz",
    "CONFIG SET hz 20 port",
    "CONFIG SET none 1",
    "CONFIG SET hz 20 none 1",
    "CONFIG SET hz x none 1",
    "CONFIG SET hz x",
    "CONFIG SET hz -5",
    "CONFIG SET hz 20 repl-timeout 0",
    "CONFIG GET hz",
    "CONFIG SET hz 20 repl-timeout 7",
    "CONFIG GET repl-timeout",
    "CONFIG GET hz",
    "CONFIG SET hz 30 hz 40",
    "CONFIG SET databases 3",
    "CONFIG SET hz 50 databases 3",
    "CONFIG GET hz",
    "CONFIG SET daemonize yes",
    "CONFIG SET dbfilename x",
    "CONFIG SET rdbcompression maybe",
    "CONFIG SET rdbcompression NO",
    "CONFIG GET rdbcompression",
    "CONFIG SET slave-priority x",
    "CONFIG SET slave-priority 7",
    "CONFIG GET *priority",
    "CONFIG SET loglevel loud",
    "CONFIG SET loglevel WARNING",
    "CONFIG GET loglevel",
    "CONFIG SET hash-max-ziplist-entries 9",
    "CONFIG GET hash-max-listpack-entries",
    "CONFIG SET hll-sparse-max-bytes 1kb",
    "CONFIG GET hll-sparse-max-bytes",
    "CONFIG SET hll-sparse-max-bytes -1",
    "CONFIG SET hll-sparse-max-bytes 1tb",
    "CONFIG SET active-defrag-cycle-min 100",
    "CONFIG SET list-max-listpack-size 99999999999",
    "CONFIG SET tcp-keepalive 0",
    "CONFIG SET slowlog-max-len 01",
    "CONFIG SET slowlog-max-len +1",
    "CONFIG SET maxclients x",
    "CONFIG SET maxclients 0",
    "CONFIG SET maxclients 100",
    "CONFIG GET maxclients",
    "CONFIG SET appendonly maybe",
    "CONFIG SET appendonly no",
    "CONFIG SET appendfsync everysec",
    "CONFIG SET min-replicas-to-write 0",
    "CONFIG SET timeout 0",
    "CONFIG RESETSTAT",
    "CONFIG RESETSTAT x",
    "CONFIG REWRITE",
    "CONFIG NONE",
];

#[test]
fn parameters_are_got_set_and_refused_in_the_same_words() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let mut clients = [redis.client(), ours.client()];
    let mut different = Vec::new();
    for words in SESSION {
        let [theirs, ours] = clients.each_mut().map(|client| client.words(words).sorted(true));
        // Here there is but one value, and it is not that one.
        if theirs != ours && *words != "CONFIG SET appendonly maybe" {
            different.push(format!("{words}\n  Redis {theirs:?}\n  ours  {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn encodings_are_told_under_the_limits_that_are_set() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    for client in &mut [redis.client(), ours.client()] {
        let limits = "CONFIG SET hash-max-ziplist-entries 1 zset-max-listpack-value 2 set-max-intset-entries 2";
        assert_eq!(client.words(limits).text(), "OK");
        for words in ["HSET h a 1 b 2", "HSET short a 1", "ZADD z 1 abc", "ZADD y 1 ab", "SADD s 1 2 3", "SADD t 1 2"] {
            client.words(words);
        }
        let encodings = ["h", "short", "z", "y", "s", "t"].map(|key| client.call(&["OBJECT", "ENCODING", key]).text());
        assert_eq!(encodings, ["hashtable", "listpack", "skiplist", "listpack", "hashtable", "intset"]);
    }
}

#[test]
fn a_parameter_with_one_value_takes_that_and_says_so() {
    let ours = Process::cahoots(&[]);
    let mut client = ours.client();
    for (words, why) in [
        ("CONFIG SET min-replicas-to-write 1", "there is no value for it here but '0'"),
        ("CONFIG SET save 900", "there is no value for it here but ''"),
        ("CONFIG SET appendonly yes", "it is 'no' until the daemon is started again"),
        ("CONFIG SET tls-port 1", "there is no value for it here but '0'"),
    ] {
        let refusal = client.words(words).text();
        assert!(refusal.starts_with("ERR CONFIG SET failed (possibly") && refusal.ends_with(why), "{refusal}");
    }
    assert_eq!(client.call(&["CONFIG", "SET", "save", ""]).text(), "OK");
}

fn figure(client: &mut Client, field: &str) -> u64 {
    let info = client.words("INFO").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field}")).trim().parse().expect("a number")
}

#[test]
fn what_is_counted_begins_anew_and_clients_keep_numbers_of_their_own() {
    let ours = Process::cahoots(&[]);
    let mut client = ours.client();
    for words in ["SET k v", "GET k", "GET none", "NONE"] {
        client.words(words);
    }
    assert_eq!(figure(&mut client, "keyspace_misses"), 1);
    client.words("CONFIG RESETSTAT");
    for field in ["keyspace_hits", "keyspace_misses", "total_error_replies", "total_connections_received"] {
        assert_eq!(figure(&mut client, field), 0, "{field}");
    }
    assert!(figure(&mut client, "total_commands_processed") < 10);
    let other = ours.client().words("CLIENT ID").integer();
    assert!(other > client.words("CLIENT ID").integer());
    assert_eq!(figure(&mut client, "total_connections_received"), 1);
}

#[test]
fn what_was_set_is_written_into_the_file_and_in_force_after_the_next_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("cahoots.toml");
    std::fs::write(&path, "node = \"a\" # mine\n\n[redis]\nhz = \"11\"\n").expect("written");
    let config = path.to_str().expect("a plain path");
    let set = "CONFIG SET slowlog-max-len 77 notify-keyspace-events KEA repl-timeout 9 requirepass secret";
    {
        let ours = Process::cahoots(&["--config", config]);
        let mut client = ours.client();
        assert_eq!(client.words("CONFIG GET hz").lines(), "*2 $2 hz $2 11");
        for words in [set, "CONFIG REWRITE"] {
            assert_eq!(client.words(words).text(), "OK", "{words}");
        }
    }
    let text = std::fs::read_to_string(&path).expect("it is there");
    assert!(text.starts_with("node = \"a\" # mine\n\n[redis]\nhz = \"11\"\n") && !text.contains("secret"), "{text}");
    let ours = Process::cahoots(&["--config", config]);
    let mut client = ours.client();
    assert!(client.words("PING").text().starts_with("NOAUTH"));
    assert_eq!(client.words("AUTH secret").text(), "OK");
    for (name, value) in [("slowlog-max-len", "77"), ("notify-keyspace-events", "AKE"), ("repl-timeout", "9")] {
        assert_eq!(pairs(&mut client, name)[name], value);
    }
}

#[test]
fn a_file_that_sets_what_there_is_not_is_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("cahoots.toml");
    for (line, why) in [
        ("none = \"1\"", "Unknown option or number of arguments for CONFIG SET - 'none'"),
        ("hz = \"x\"", "argument couldn't be parsed into an integer"),
        ("port = \"1\"", "can't set immutable config"),
    ] {
        std::fs::write(&path, format!("[redis]\n{line}\n")).expect("written");
        let socket = directory.path().join("c.sock");
        let output = process::cahoots()
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .args([&path, std::path::Path::new("--socket"), &socket])
            .output()
            .expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(why), "{told}");
    }
}
