//! Keyspace events: the same as Redis's, in its order; and those of what other daemons have done.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process, Value, frame};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A client that writes, and one that listens to all events.
struct Watched {
    writer: Client,
    listener: Client,
    asked: u64,
}

impl Watched {
    fn new(server: &Process) -> Self {
        let (mut writer, mut listener) = (server.client(), server.client());
        assert_eq!(writer.words("CONFIG SET notify-keyspace-events KEAn").text(), "OK");
        listener.words("PSUBSCRIBE __key*@*__:*");
        Self { writer, listener, asked: 0 }
    }

    /// The events since this was last asked.
    fn events(&mut self) -> Vec<String> {
        self.asked += 1;
        let token = format!("token-{}", self.asked);
        self.listener.send(&frame(&["PING", &token]));
        let mut events = Vec::new();
        loop {
            let value = self.listener.receive();
            if value.lines().ends_with(&token) {
                return events;
            }
            let parts: Vec<String> = value.parts()[2..].iter().map(Value::text).collect();
            events.push(parts.join(" "));
        }
    }

    /// Runs a command; the events of it.
    fn run(&mut self, words: &str) -> Vec<String> {
        self.writer.words(words);
        self.events()
    }
}

fn commands() -> impl Strategy<Value = Vec<String>> {
    let command = prop::sample::select(vec![
        "SET a 1",
        "SET a 2 EX 100",
        "SET a x KEEPTTL",
        "SETEX a 100 1",
        "SETNX a 1",
        "GETSET a 5",
        "GETDEL a",
        "GETEX a EX 100",
        "GETEX a PERSIST",
        "MSET a 1 b 2",
        "MSETNX a 1 z 2",
        "APPEND a 1",
        "SETRANGE a 1 x",
        "INCR a",
        "DECRBY a 3",
        "INCRBYFLOAT a 1.5",
        "SETBIT a 7 1",
        "DEL a b c",
        "UNLINK a",
        "EXPIRE a 100",
        "EXPIRE l -1",
        "PEXPIREAT a 1",
        "PERSIST a",
        "RENAME a b",
        "RENAMENX b a",
        "COPY a c",
        "COPY l b REPLACE",
        "LPUSH l x y",
        "RPUSH l x",
        "LPUSHX l z",
        "LPOP l",
        "RPOP l 2",
        "LSET l 0 q",
        "LINSERT l BEFORE x w",
        "LREM l 0 x",
        "LMOVE l m LEFT RIGHT",
        "RPOPLPUSH l l",
        "LMPOP 2 l m LEFT",
        "BLPOP l m 1",
        "SADD s x y",
        "SADD s x",
        "SREM s x",
        "SMOVE s t x",
        "SPOP t",
        "SUNIONSTORE t s t",
        "SINTERSTORE t s nothing",
        "HSET h f 1 g 2",
        "HSETNX h f 1",
        "HINCRBY h f 2",
        "HINCRBYFLOAT h g 1.5",
        "HDEL h f",
        "HDEL h g",
        "ZADD z 1 x 2 y",
        "ZADD z 1 x",
        "ZADD z INCR 1 x",
        "ZINCRBY z 2 y",
        "ZREM z x",
        "ZPOPMIN z",
        "ZMPOP 1 z MAX",
        "ZREMRANGEBYRANK z 0 0",
        "ZUNIONSTORE y 1 z",
        "ZRANGESTORE y z 0 -1",
        "GEOADD z 1 1 p",
        "XADD x 5-1 f v",
        "XGROUP CREATE x g 0",
        "XGROUP CREATE y g 0 MKSTREAM",
        "XGROUP CREATECONSUMER x g c",
        "XGROUP DELCONSUMER x g c",
        "XGROUP SETID x g 0",
        "XGROUP DESTROY x g",
        "XREADGROUP GROUP g d STREAMS x 0",
        "XACK x g 5-1",
        "XADD x MAXLEN 1 * f v",
        "XADD x 1-1 f v",
        "XDEL x 5-1",
        "XTRIM x MAXLEN 0",
        "SORT l ALPHA STORE m",
        "FLUSHALL",
        "FLUSHDB",
        "SELECT 1",
        "SELECT 0",
        "MOVE a 1",
        "MOVE l 0",
        "COPY a b DB 1",
        "MULTI",
        "EXEC",
        "DISCARD",
        "GET a",
    ]);
    prop::collection::vec(command.prop_map(str::to_owned), 1..50)
}

#[test]
fn every_command_tells_what_redis_tells_in_its_order() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let servers = std::cell::RefCell::new([Watched::new(&redis), Watched::new(&ours)]);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let result = runner.run(&commands(), |commands| {
        let [theirs, mine] = &mut *servers.borrow_mut();
        for it in [&mut *theirs, &mut *mine] {
            it.writer.words("RESET");
            it.writer.words("FLUSHALL");
            it.events();
        }
        for words in commands {
            prop_assert_eq!(theirs.run(&words), mine.run(&words), "{}", words);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_end_and_a_miss_are_told_and_nothing_is_while_nothing_is_wanted() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&["--notify-keyspace-events", "Ex"]);
    for server in [&redis, &ours] {
        let mut watched = Watched::new(server);
        watched.run("SET k v PX 30");
        let begun = Instant::now();
        loop {
            let events = watched.events();
            if events.contains(&"__keyevent@0__:expired k".to_owned()) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE);
        }
        assert_eq!(watched.run("CONFIG SET notify-keyspace-events KEm"), [""; 0]);
        let missed = ["__keyspace@0__:nothing keymiss", "__keyevent@0__:keymiss nothing"];
        assert_eq!(watched.run("GET nothing"), missed);
        assert_eq!(watched.run("SET k v"), [""; 0]);
        watched.run("CONFIG SET notify-keyspace-events K");
        assert_eq!(watched.run("LPUSH l x"), [""; 0], "no class was chosen");
        watched.writer.words("CONFIG SET notify-keyspace-events $lshzxE");
        let refusal = watched.writer.words("CONFIG SET notify-keyspace-events KEy").text();
        assert!(refusal.ends_with("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."), "{refusal}");
        assert_eq!(watched.writer.words("CONFIG GET notify-keyspace-events").parts()[1].text(), "$lshzxE");
    }
}

#[test]
fn what_is_popped_for_one_who_waits_is_told_after_what_was_pushed() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let [theirs, mine] = [&redis, &ours].map(|server| {
        let mut watched = Watched::new(server);
        let mut waiting = server.client();
        waiting.send(&frame(&["BLMOVE", "l", "m", "LEFT", "RIGHT", "0"]));
        let begun = Instant::now();
        while !watched.writer.words("INFO clients").text().contains("blocked_clients:1") {
            assert!(begun.elapsed() < PATIENCE);
        }
        watched.run("RPUSH l x")
    });
    assert_eq!(theirs, mine);
}

#[test]
fn what_another_daemon_has_done_is_told_by_what_comes_of_it() {
    let first = Process::cahoots(&["--node", "a"]);
    let status = first.client().words("CAHOOTS STATUS");
    let seed = status.pair("listen");
    let second = Process::cahoots(&["--node", "b", "--seed", &seed]);
    let (mut watched, mut other) = (Watched::new(&first), second.client());
    let begun = Instant::now();
    while other.words("CAHOOTS STATUS").pair("ready") != "1"
        || other.words("INFO cahoots").text().contains("peers_live:0")
    {
        assert!(begun.elapsed() < PATIENCE);
    }
    let mut heard = |words: &str| {
        other.words(words);
        other.words("WAIT 1 10000");
        watched.events().into_iter().filter(|event| event.contains("keyevent")).collect::<Vec<_>>()
    };
    assert_eq!(heard("SADD s x"), ["__keyevent@0__:new s", "__keyevent@0__:merge s"]);
    assert_eq!(heard("SADD s y"), ["__keyevent@0__:merge s"]);
    assert_eq!(heard("DEL s"), ["__keyevent@0__:del s"]);
}
