//! DUMP and RESTORE beside Redis: what one serializes the other reads, and the same refusals.

mod process;

use std::path::Path;

use process::{Client, Process, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Redis and ours, a client of each.
struct Pair {
    _servers: [Process; 2],
    clients: [Client; 2],
}

impl Pair {
    fn start() -> Option<Self> {
        let servers = [Process::redis()?, Process::cahoots(&[])];
        let clients = [servers[0].client(), servers[1].client()];
        Some(Self { _servers: servers, clients })
    }

    /// The replies of Redis and of ours.
    fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> [Value; 2] {
        self.clients.each_mut().map(|client| client.call(args))
    }
}

/// All that clients can read of a key.
fn shown(client: &mut Client, key: &str) -> Vec<Value> {
    let class = client.call(&["TYPE", key]);
    let mut read = vec![class.clone()];
    match &*class.text() {
        "string" => read.push(client.call(&["GET", key])),
        "list" => read.push(client.call(&["LRANGE", key, "0", "-1"])),
        "set" => read.push(client.call(&["SMEMBERS", key]).sorted(false)),
        "hash" => read.push(client.call(&["HGETALL", key]).sorted(true)),
        "zset" => read.push(client.call(&["ZRANGE", key, "0", "-1", "WITHSCORES"])),
        "stream" => {
            read.push(client.call(&["XRANGE", key, "-", "+"]));
            let info = client.call(&["XINFO", "STREAM", key]);
            let told =
                ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "recorded-first-entry-id"];
            read.extend(told.map(|name| Value::Leaf(info.pair(name).into_bytes())));
        }
        _ => {}
    }
    read
}

fn body_of(reply: &Value) -> Vec<u8> {
    let Value::Leaf(bytes) = reply else { panic!("{reply:?} is no payload") };
    assert!(bytes.starts_with(b"$"), "{reply:?} is no payload");
    let head = bytes.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
    bytes[head..bytes.len() - 2].to_vec()
}

/// Carries what is at `key` from one server to the other, and asserts that it reads the same there.
fn carry(clients: &mut [Client; 2], from: usize, key: &str) -> Result<(), TestCaseError> {
    let payload = body_of(&clients[from].call(&["DUMP", key]));
    let to = 1 - from;
    let taken = clients[to].call(&[&b"RESTORE"[..], b"carried", b"0", &payload, b"REPLACE"]);
    prop_assert_eq!(taken.text(), "OK", "from {} to {}", from, to);
    prop_assert_eq!(shown(&mut clients[from], key), shown(&mut clients[to], "carried"), "from {} to {}", from, to);
    Ok(())
}

/// Every form of every type that Redis has had, made by it or by hand.
#[test]
fn every_form_of_every_type_reads_as_redis_reads_it() {
    let Some(mut pair) = Pair::start() else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/rdb");
    let mut compared = 0;
    for file in std::fs::read_dir(&directory).expect("a corpus") {
        let path = file.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let payload = cahoots::rdb::sealed(&std::fs::read(&path).expect("it is readable"));
        let replies = pair.call(&[&b"RESTORE"[..], b"k", b"0", &payload, b"REPLACE"]);
        if ["set-listpack", "stream-3", "hash-ends"].contains(&&*name) {
            assert_eq!(replies[1].text(), "OK", "{name} is newer than Redis 7.0");
            continue;
        }
        assert_eq!(replies.map(|reply| reply.text()), ["OK", "OK"], "{name}");
        let [redis, ours] = pair.clients.each_mut().map(|client| shown(client, "k"));
        assert_eq!(redis, ours, "{name}");
        carry(&mut pair.clients, 1, "k").unwrap_or_else(|error| panic!("{name}: {error}"));
        compared += 1;
    }
    assert!(compared >= 30, "only {compared} forms compared");
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..70),
        3 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        3 => (-200..200_i64).prop_map(|number| number.to_string().into_bytes()),
        1 => (any::<u8>(), 60..3_000_usize).prop_map(|(byte, count)| vec![byte; count]),
        1 => prop::collection::vec(any::<u8>(), 4_000..9_000),
    ]
}

/// Commands that make a value at `k`.
fn making() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let words = |count| prop::collection::vec(word(), 1..count);
    let command = |name: &str, rest: Vec<Vec<u8>>| [vec![name.as_bytes().to_vec(), b"k".to_vec()], rest].concat();
    let entry = (1..400_u64, 0..3_u64, prop::collection::vec((word(), word()), 1..3));
    prop_oneof![
        2 => word().prop_map(move |text| vec![command("SET", vec![text])]),
        2 => words(150).prop_map(move |words| vec![command("RPUSH", words)]),
        1 => words(150).prop_map(move |words| vec![command("SADD", words)]),
        1 => prop::collection::vec(any::<i32>(), 1..700).prop_map(move |numbers| {
            vec![command("SADD", numbers.into_iter().map(|number| number.to_string().into_bytes()).collect())]
        }),
        2 => prop::collection::vec((word(), word()), 1..80)
            .prop_map(move |pairs| vec![command("HSET", pairs.into_iter().flat_map(|(f, v)| [f, v]).collect())]),
        2 => prop::collection::vec((-1e9..1e9_f64, word()), 1..150).prop_map(move |pairs| {
            vec![command("ZADD", pairs.into_iter().flat_map(|(score, m)| [score.to_string().into_bytes(), m]).collect())]
        }),
        3 => (prop::collection::vec(entry, 1..150), prop::collection::vec(1..400_u64, 0..20)).prop_map(
            move |(mut entries, deleted)| {
                entries.sort_by_key(|(ms, seq, _)| (*ms, *seq));
                entries.dedup_by_key(|(ms, seq, _)| (*ms, *seq));
                let ids: Vec<(u64, u64)> = entries.iter().map(|(ms, seq, _)| (*ms, *seq)).collect();
                let mut commands: Vec<_> = entries
                    .into_iter()
                    .map(|(ms, seq, fields)| {
                        let fields = fields.into_iter().flat_map(|(name, value)| [name, value]);
                        command("XADD", std::iter::once(format!("{ms}-{seq}").into_bytes()).chain(fields).collect())
                    })
                    .collect();
                let gone = ids.into_iter().filter(|(ms, _)| deleted.contains(ms));
                let gone: Vec<_> = gone.map(|(ms, seq)| format!("{ms}-{seq}").into_bytes()).collect();
                if !gone.is_empty() {
                    commands.push(command("XDEL", gone));
                }
                commands
            }
        ),
    ]
}

#[test]
fn any_value_is_carried_there_and_back() {
    let Some(pair) = Pair::start() else { return };
    // The runner's closure may be called again while shrinking, so it is no FnMut.
    let pair = std::cell::RefCell::new(pair);
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&making(), |commands| {
        let pair = &mut *pair.borrow_mut();
        pair.call(&["DEL", "k"]);
        for command in &commands {
            pair.call(command);
        }
        let [redis, ours] = pair.clients.each_mut().map(|client| shown(client, "k"));
        prop_assert_eq!(redis, ours);
        carry(&mut pair.clients, 0, "k")?;
        carry(&mut pair.clients, 1, "k")
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn options_and_refusals_are_those_of_redis() {
    let Some(mut pair) = Pair::start() else { return };
    let good = cahoots::rdb::sealed(b"\x00\x05hello");
    let mut changed = good.clone();
    changed[3] ^= 1;
    let malformed = cahoots::rdb::sealed(b"\x02\x02\x01a\x01a");
    let payloads: [&[u8]; 5] = [&good, &changed, &malformed, b"", b"short"];
    let mut differences = String::new();
    for line in [
        "RESTORE k 0 @0",
        "RESTORE k 0 @0",
        "GET k",
        "RESTORE k 0 @0 REPLACE",
        "TTL k",
        "RESTORE k 100000 @0 REPLACE",
        "RESTORE k 4102444800000 @0 REPLACE ABSTTL",
        "PEXPIRETIME k",
        "RESTORE k 1 @0 REPLACE ABSTTL",
        "EXISTS k",
        "RESTORE k -1 @0",
        "RESTORE k x @0",
        "RESTORE k 0 @1",
        "RESTORE k 0 @2",
        "RESTORE k 0 @3",
        "RESTORE k 0 @4",
        "EXISTS k",
        "SET k old",
        "RESTORE k x @1",
        "RESTORE k 0 @1 REPLACE",
        "RESTORE k 0 @2 REPLACE",
        "GET k",
        "RESTORE k 0 @0 IDLETIME 10 REPLACE",
        "RESTORE k 0 @0 REPLACE FREQ 10",
        "RESTORE k 0 @0 REPLACE FREQ 256",
        "RESTORE k 0 @0 REPLACE FREQ -1",
        "RESTORE k 0 @0 REPLACE FREQ x",
        "RESTORE k 0 @0 REPLACE IDLETIME -1",
        "RESTORE k 0 @0 REPLACE IDLETIME x",
        "RESTORE k 0 @0 REPLACE IDLETIME",
        "RESTORE k 0 @0 REPLACE FREQ 1 IDLETIME 1",
        "RESTORE k 0 @0 REPLACE IDLETIME 1 FREQ 1",
        "RESTORE k 0 @0 BOGUS",
        "RESTORE k 0 @0 ABSTTL",
        "RESTORE k 0",
        "DUMP none",
        "DUMP",
        "DUMP k x",
    ] {
        let words: Vec<&[u8]> = line
            .split(' ')
            .map(|word| match word.strip_prefix('@') {
                Some(number) => payloads[number.parse::<usize>().expect("a number")],
                None => word.as_bytes(),
            })
            .collect();
        let [redis, ours] = pair.call(&words);
        if redis != ours {
            differences.push_str(&format!("\n  {line}\n    Redis {redis:?}\n    ours  {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// Redis 7.0 knows no such hashes; its payload would lose the ends.
#[test]
fn a_hash_whose_fields_end_takes_their_ends_along_and_redis_refuses_it() {
    let Some(mut pair) = Pair::start() else { return };
    let ours = &mut pair.clients[1];
    ours.words("HSET h f v g w");
    ours.words("HPEXPIREAT h 4102444800123 FIELDS 1 f");
    let payload = body_of(&ours.words("DUMP h"));
    ours.call(&[&b"RESTORE"[..], b"copy", b"0", &payload]);
    assert_eq!(shown(ours, "h")[1], shown(ours, "copy")[1]);
    assert_eq!(ours.words("HPEXPIRETIME copy FIELDS 2 f g").lines(), "*2 :4102444800123 :-1");
    let refused = pair.clients[0].call(&[&b"RESTORE"[..], b"copy", b"0", &payload]);
    assert_eq!(refused.text(), "ERR DUMP payload version or checksum are wrong");
}
