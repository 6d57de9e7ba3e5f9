//! What the same data takes in a cahoots daemon and in a Redis server.
//!
//! `cargo run --release -p cahoots-benches --bin memory`. Each server is started empty, asked for its resident set, given
//! one kind of data, and asked again: bytes an item, allocator, tables and log of recent events included. *value* and
//! *metadata* are what `MEMORY USAGE key SPLIT` says of it (of a thousand keys, if there are many).

use std::path::Path;

use cahoots_benches::redis::Redis;
use cahoots_tests::cluster::{Client, Group};

/// One kind of data: a name, how many items, and the command that makes the `n`-th.
struct Kind {
    name: &'static str,
    items: u32,
    /// How many of them lie under one key.
    per_key: u32,
    command: fn(u32) -> Vec<Vec<u8>>,
    key: fn(u32) -> Vec<u8>,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "string of 16 bytes under a key of 20",
        items: 1_000_000,
        per_key: 1,
        command: |n| vec![b"SET".into(), key(n), format!("{:016x}", mixed(n)).into()],
        key,
    },
    Kind {
        name: "member of 18 bytes in one set",
        items: 1_000_000,
        per_key: 1_000_000,
        command: |n| vec![b"SADD".into(), b"set".into(), format!("member:{n:011}").into()],
        key: |_| b"set".into(),
    },
    Kind {
        name: "member of 18 bytes with a score in one sorted set",
        items: 1_000_000,
        per_key: 1_000_000,
        command: |n| {
            let score = (mixed(n) % 1_000_000_000).to_string();
            vec![b"ZADD".into(), b"zset".into(), score.into(), format!("member:{n:011}").into()]
        },
        key: |_| b"zset".into(),
    },
    Kind {
        name: "entry of two fields in one stream",
        items: 1_000_000,
        per_key: 1_000_000,
        command: |n| {
            let value = |n: u32| format!("{:04}", mixed(n) % 10_000).into_bytes();
            let words = ["XADD", "stream", "*", "sensor"].map(|word| word.as_bytes().to_vec());
            words.into_iter().chain([value(n), b"value".to_vec(), value(!n)]).collect()
        },
        key: |_| b"stream".into(),
    },
    Kind {
        name: "hash of 10 fields",
        items: 100_000,
        per_key: 1,
        command: |n| {
            let fields = (0..10).flat_map(|field| {
                [format!("field:{field}").into_bytes(), format!("{:08x}", mixed(n + field)).into_bytes()]
            });
            [b"HSET".into(), key(n)].into_iter().chain(fields).collect()
        },
        key,
    },
    Kind {
        name: "counter under a key of 20 bytes",
        items: 1_000_000,
        per_key: 1,
        command: |n| vec![b"INCRBY".into(), key(n), (mixed(n) % 1000).to_string().into()],
        key,
    },
];

fn key(n: u32) -> Vec<u8> {
    format!("key:{n:016}").into()
}

/// A number without a pattern.
fn mixed(n: u32) -> u64 {
    (u64::from(n) ^ 0x5851_F42D).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn main() {
    println!("| bytes an item | cahoots | Redis | cahoots / Redis | value | metadata |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for kind in &KINDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cahoots = Group::start(1);
        let socket = cahoots[0].setup.socket();
        let mine = growth(cahoots.pids()[0], &socket, kind);
        let (value, metadata) = split(&socket, kind);
        let redis = Redis::start(directory.path(), "redis", None);
        let others = growth(redis.pid(), &redis.socket, kind);
        println!("| {} | {mine:.0} | {others:.0} | {:.2} | {value:.0} | {metadata:.0} |", kind.name, mine / others);
    }
}

/// By how many bytes an item the process grew.
fn growth(process: u32, socket: &Path, kind: &Kind) -> f64 {
    let before = resident(process);
    let mut client = Client::connect(socket).expect("the server runs");
    const BATCH: u32 = 100;
    for first in (0..kind.items).step_by(BATCH as usize) {
        let batch = first..kind.items.min(first + BATCH);
        for n in batch.clone() {
            let command = (kind.command)(n);
            client.send(&command.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("the server takes it");
        }
        for _ in batch {
            client.receive().expect("the server answers");
        }
    }
    (resident(process) - before) / f64::from(kind.items)
}

/// What the daemon says of it, an item.
fn split(socket: &Path, kind: &Kind) -> (f64, f64) {
    let mut client = Client::connect(socket).expect("the daemon runs");
    let keys = (kind.items / kind.per_key).min(1_000);
    let (mut value, mut metadata) = (0, 0);
    for n in 0..keys {
        let answer = client.call(&[b"MEMORY", b"USAGE", &(kind.key)(n), b"SPLIT"]);
        value += answer.at("value").integer();
        metadata += answer.at("metadata").integer();
    }
    let items = f64::from(keys) * f64::from(kind.per_key);
    (value as f64 / items, metadata as f64 / items)
}

/// Bytes of a process that are in memory.
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    let kib: f64 = line.trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024.0
}
