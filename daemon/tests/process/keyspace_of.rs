//! Everything that clients can read of a server, database by database, type by type.

use std::collections::BTreeMap;

use super::{Client, Value, frame};

/// Keys asked for at a time.
const BATCH: usize = 200;

/// A key: its database, and its name as it came.
pub(crate) type Key = (u64, Vec<u8>);

/// What is read of a key: its type, all of its contents, and its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) value: Vec<Value>,
    pub(crate) deadline: i64,
}

/// The bytes of a string.
pub(crate) fn body_of(reply: &Value) -> Vec<u8> {
    let Value::Leaf(bytes) = reply else { panic!("{reply:?} is no string") };
    assert!(bytes.starts_with(b"$"), "{reply:?} is no string");
    let head = bytes.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
    bytes[head..bytes.len() - 2].to_vec()
}

/// All keys of the first sixteen databases.
pub(crate) fn everything(client: &mut Client) -> BTreeMap<Key, Contents> {
    let mut found = BTreeMap::new();
    for database in 0..16 {
        client.call(&["SELECT", &database.to_string()]);
        let keys: Vec<Vec<u8>> = client.call(&["KEYS", "*"]).parts().iter().map(body_of).collect();
        for keys in keys.chunks(BATCH) {
            for (key, contents) in keys.iter().zip(contents(client, keys)) {
                found.insert((database, key.clone()), contents);
            }
        }
    }
    found
}

fn ask(client: &mut Client, commands: &[Vec<&[u8]>]) -> Vec<Value> {
    client.send(&commands.iter().flat_map(|words| frame(words)).collect::<Vec<_>>());
    commands.iter().map(|_| client.receive()).collect()
}

fn contents(client: &mut Client, keys: &[Vec<u8>]) -> Vec<Contents> {
    let heads: Vec<Vec<&[u8]>> =
        keys.iter().flat_map(|key| [vec![&b"TYPE"[..], key], vec![&b"PEXPIRETIME"[..], key]]).collect();
    let heads = ask(client, &heads);
    let reads: Vec<Vec<&[u8]>> = keys
        .iter()
        .zip(heads.chunks(2))
        .map(|(key, head)| match &*head[0].text() {
            "string" => vec![&b"GET"[..], key],
            "list" => vec![&b"LRANGE"[..], key, b"0", b"-1"],
            "set" => vec![&b"SMEMBERS"[..], key],
            "hash" => vec![&b"HGETALL"[..], key],
            "zset" => vec![&b"ZRANGE"[..], key, b"0", b"-1", b"WITHSCORES"],
            "stream" => vec![&b"XRANGE"[..], key, b"-", b"+"],
            _ => vec![&b"TYPE"[..], key],
        })
        .collect();
    let reads = ask(client, &reads);
    let more: Vec<usize> = (0..keys.len()).filter(|at| heads[2 * at].text() == "stream").collect();
    let infos: Vec<Vec<&[u8]>> = more.iter().map(|at| vec![&b"XINFO"[..], b"STREAM", &keys[*at]]).collect();
    let infos = ask(client, &infos);
    let mut found: Vec<Contents> = reads
        .into_iter()
        .zip(heads.chunks(2))
        .map(|(read, head)| {
            let read = match &*head[0].text() {
                "set" => read.sorted(false),
                "hash" => read.sorted(true),
                _ => read,
            };
            Contents { value: vec![head[0].clone(), read], deadline: head[1].integer() }
        })
        .collect();
    for (at, info) in more.into_iter().zip(infos) {
        let told = ["length", "last-generated-id", "max-deleted-entry-id", "entries-added"];
        found[at].value.extend(told.map(|name| Value::Leaf(info.pair(name).into_bytes())));
        found[at].value.extend(groups(client, &keys[at]));
    }
    found
}

/// The consumer groups of a stream: what was handed out, to whom and how often, and not when.
fn groups(client: &mut Client, key: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    for group in client.call(&[&b"XINFO"[..], b"GROUPS", key]).parts() {
        let name = body_of(&group.parts()[1]);
        let told = ["consumers", "pending", "last-delivered-id"];
        found.extend(told.map(|figure| Value::Leaf(group.pair(figure).into_bytes())));
        let consumers = client.call(&[&b"XINFO"[..], b"CONSUMERS", key, &name]);
        found.extend(consumers.parts().iter().map(|consumer| consumer.parts()[1].clone()));
        for pending in client.call(&[&b"XPENDING"[..], key, &name, b"-", b"+", b"100000"]).parts() {
            found.extend([0, 1, 3].map(|at| pending.parts()[at].clone()));
        }
        found.push(Value::Leaf(name));
    }
    found
}

/// Asserts that two servers hold the same. Deadlines may differ by so many milliseconds.
pub(crate) fn assert_same(a: &mut Client, b: &mut Client, slack_ms: u64) -> usize {
    let (a, b) = (everything(a), everything(b));
    let mut differences = Vec::new();
    for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
        let same = match (a.get(key), b.get(key)) {
            (Some(a), Some(b)) => {
                a.value == b.value
                    && (a.deadline < 0) == (b.deadline < 0)
                    && a.deadline.abs_diff(b.deadline) <= slack_ms
            }
            _ => false,
        };
        if !same {
            differences.push(format!(
                "{} \"{}\"\n  first  {:.300?}\n  second {:.300?}",
                key.0,
                key.1.escape_ascii(),
                a.get(key),
                b.get(key)
            ));
        }
    }
    let count = differences.len();
    differences.truncate(5);
    assert!(count == 0, "{count} of {} keys differ:\n{}", a.len(), differences.join("\n"));
    a.len()
}
