//! What a client of one daemon did that may be killed at any moment, and what must be there of it afterwards.
//!
//! One command at a time, n = 0, 1, 2, ...: each sets a key to n; some add to a counter, make a transaction over keys of
//! five types, or write a key and a field that end. The keys of a transaction but one lie in one bucket: of these a client
//! sees a transaction whole at any time. The last lies in another, and is whole with the others once all agree.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::{Client, Value};
use crate::oracle::bucket_of;

/// When keys end that are to be there for as long as a test runs, in milliseconds since 1970: n is added.
const LATER_MS: u64 = 4_102_444_800_000;
/// For how long keys live that are to be gone.
const SOON: Duration = Duration::from_millis(150);
/// Numbers asked about at once.
const ASKED: usize = 500;

/// Numbers of one kind of command.
#[derive(Default)]
struct Done {
    /// The last may have been executed or not.
    tried: BTreeSet<u64>,
    /// When each of those that were answered was.
    answered: Vec<(u64, Instant)>,
}

impl Done {
    fn before(&self, since: Instant) -> Vec<u64> {
        self.answered.iter().filter(|(_, at)| *at <= since).map(|(n, _)| *n).collect()
    }
}

/// The ledger of one client.
pub struct Ledger {
    daemon: usize,
    next: u64,
    set: Done,
    transactions: Done,
    ending: Done,
    /// When keys that end soon have ended.
    ended: Vec<(u64, SystemTime)>,
    increments_tried: i64,
    /// The highest reply and when it came.
    increments_answered: Vec<(i64, Instant)>,
    /// The keys of transactions: a list, a sorted set, a stream, a hash and a text; and a list in another bucket.
    keys: [String; 6],
}

impl Ledger {
    /// Of the client of this daemon.
    #[must_use]
    pub fn new(daemon: usize) -> Self {
        let list = format!("list{daemon}");
        let beside = |kind: &str| {
            let mut names = (0..).map(|number: u32| format!("{kind}{daemon}-{number}"));
            names.find(|name| bucket_of(name.as_bytes()) == bucket_of(list.as_bytes())).expect("one in a thousand")
        };
        let keys =
            [list.clone(), beside("zset"), beside("stream"), beside("hash"), beside("text"), format!("far{daemon}")];
        assert_ne!(bucket_of(keys[5].as_bytes()), bucket_of(keys[0].as_bytes()));
        let (set, transactions, ending) = Default::default();
        Self {
            daemon,
            next: 0,
            set,
            transactions,
            ending,
            ended: Vec::new(),
            increments_tried: 0,
            increments_answered: Vec::new(),
            keys,
        }
    }

    /// Writes until the daemon is gone, or `stop`; one command at a time.
    pub fn write(&mut self, mut client: Client, done: &AtomicUsize, stop: &AtomicUsize) {
        while stop.load(Ordering::Relaxed) == 0 && self.step(&mut client).is_some() {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `None` if the daemon is gone.
    fn step(&mut self, client: &mut Client) -> Option<()> {
        let (n, daemon) = (self.next, self.daemon);
        self.next += 1;
        self.set.tried.insert(n);
        let reply = ask(client, &format!("SET w{daemon}:{n} {n}"))?;
        assert_eq!(reply, Value::text("OK"));
        self.set.answered.push((n, Instant::now()));
        match n % 6 {
            0 | 3 => {
                self.increments_tried += 1;
                let sum = ask(client, &format!("INCR c{daemon}"))?.integer();
                self.increments_answered.push((sum, Instant::now()));
            }
            1 | 4 => {
                self.transactions.tried.insert(n);
                self.transact(n, client)?;
                self.transactions.answered.push((n, Instant::now()));
            }
            2 => {
                self.ending.tried.insert(n);
                let soon = SOON.as_millis();
                ask(client, &format!("SET soon{daemon}:{n} {n} PX {soon}"))?;
                self.ended.push((n, SystemTime::now() + SOON));
                let at = LATER_MS + n;
                ask(client, &format!("SET later{daemon}:{n} {n} PXAT {at}"))?;
                ask(client, &format!("HSETEX fields{daemon} PXAT {at} FIELDS 1 {n} {n}"))?;
                self.ending.answered.push((n, Instant::now()));
            }
            _ => {}
        }
        Some(())
    }

    fn transact(&self, n: u64, client: &mut Client) -> Option<()> {
        let [list, zset, stream, hash, text, far] = &self.keys;
        ask(client, "MULTI")?;
        for words in [
            format!("RPUSH {list} {n}"),
            format!("ZADD {zset} {n} {n}"),
            format!("XADD {stream} * n {n}"),
            format!("HSET {hash} {n} {n}"),
            format!("SET {text} {n}"),
            format!("RPUSH {far} {n}"),
        ] {
            assert_eq!(ask(client, &words)?, Value::text("QUEUED"));
        }
        assert_eq!(ask(client, "EXEC")?.array().len(), self.keys.len());
        Some(())
    }

    /// A kill may have taken what was answered after `since`: it is promised no more.
    pub fn forget_after(&mut self, since: Instant) {
        for done in [&mut self.set, &mut self.transactions, &mut self.ending] {
            done.answered.retain(|(_, at)| *at <= since);
        }
        self.increments_answered.retain(|(_, at)| *at <= since);
    }

    /// Checks that what was answered before `since` is at `client`, and nothing that was never tried; and, where all agree,
    /// that transactions are whole in all buckets.
    ///
    /// # Panics
    /// If not.
    pub fn check(&self, client: &mut Client, since: Instant, agreed: bool) {
        self.check_set(client, since);
        self.check_increments(client, since);
        self.check_transactions(client, since, agreed);
        self.check_ending(client, since);
    }

    fn check_set(&self, client: &mut Client, since: Instant) {
        let daemon = self.daemon;
        for chunk in self.set.before(since).chunks(ASKED) {
            let keys: Vec<String> = chunk.iter().map(|n| format!("w{daemon}:{n}")).collect();
            let values = client.words(&format!("MGET {}", keys.join(" ")));
            for (n, value) in chunk.iter().zip(values.array()) {
                assert_eq!(*value, Value::text(&n.to_string()), "w{daemon}:{n} was promised");
            }
        }
    }

    fn check_increments(&self, client: &mut Client, since: Instant) {
        let daemon = self.daemon;
        let least = self.increments_answered.iter().filter(|(_, at)| *at <= since).map(|(sum, _)| *sum).max();
        let sum = match client.words(&format!("GET c{daemon}")) {
            Value::Text(text) => String::from_utf8_lossy(&text).parse::<i64>().expect("a number"),
            _ => 0,
        };
        assert!(sum >= least.unwrap_or(0), "c{daemon} is {sum}, and {least:?} was promised");
        assert!(sum <= self.increments_tried, "c{daemon} is {sum} after {} increments", self.increments_tried);
    }

    fn check_transactions(&self, client: &mut Client, since: Instant, agreed: bool) {
        let [list, zset, stream, hash, text, far] = &self.keys;
        // Between two commands something may arrive from a peer that has more: all are asked in one transaction.
        client.words("MULTI");
        for words in [
            format!("LRANGE {list} 0 -1"),
            format!("ZRANGE {zset} 0 -1"),
            format!("XRANGE {stream} - +"),
            format!("HKEYS {hash}"),
            format!("MGET {text}"),
            format!("LRANGE {far} 0 -1"),
        ] {
            client.words(&words);
        }
        let replies = client.words("EXEC");
        let [list, zset, stream, hash, text, far] = replies.array() else { panic!("{replies:?}") };
        let entry = |entry: &Value| entry.array()[1].array()[1].clone();
        let stream = Value::Array(stream.array().iter().map(entry).collect());
        let shown = numbers(list);
        for (other, what) in [(zset, "zset"), (&stream, "stream"), (hash, "hash")] {
            assert_eq!(numbers(other), shown, "a transaction is whole or absent in the {what} of {}", self.daemon);
        }
        let text = if text.array() == [Value::Null] { BTreeSet::new() } else { numbers(text) };
        assert!(text.is_subset(&shown) && text.is_empty() == shown.is_empty(), "{text:?} of {}", self.daemon);
        if agreed {
            assert_eq!(numbers(far), shown, "a transaction is whole in all buckets");
        }
        let promised = self.transactions.before(since);
        let lacking = promised.iter().find(|n| !shown.contains(n));
        assert!(lacking.is_none(), "transaction {lacking:?} of {} was promised", self.daemon);
        assert!(shown.is_subset(&self.transactions.tried), "what nobody tried is in the list of {}", self.daemon);
    }

    fn check_ending(&self, client: &mut Client, since: Instant) {
        let (daemon, now) = (self.daemon, SystemTime::now());
        for chunk in self.ending.before(since).chunks(ASKED) {
            for n in chunk {
                let end = client.words(&format!("PEXPIRETIME later{daemon}:{n}"));
                assert_eq!(end, Value::Integer((LATER_MS + n).cast_signed()), "later{daemon}:{n}");
            }
            let names: Vec<String> = chunk.iter().map(u64::to_string).collect();
            let asked = format!("HPEXPIRETIME fields{daemon} FIELDS {} {}", names.len(), names.join(" "));
            let expected = chunk.iter().map(|n| Value::Integer((LATER_MS + n).cast_signed())).collect();
            assert_eq!(client.words(&asked), Value::Array(expected), "fields of fields{daemon}");
        }
        let ended: Vec<u64> = self.ended.iter().filter(|(_, at)| *at < now).map(|(n, _)| *n).collect();
        for chunk in ended.chunks(ASKED) {
            let keys: Vec<String> = chunk.iter().map(|n| format!("soon{daemon}:{n}")).collect();
            let there = client.words(&format!("EXISTS {}", keys.join(" ")));
            assert_eq!(there, Value::Integer(0), "of the keys of {daemon} that have ended");
        }
    }
}

/// The numbers in a reply, each of which is there once.
fn numbers(reply: &Value) -> BTreeSet<u64> {
    let number = |value: &Value| match value {
        Value::Text(text) => String::from_utf8_lossy(text).parse().expect("a number"),
        other => panic!("{other:?} is no number"),
    };
    let numbers: BTreeSet<u64> = reply.array().iter().map(number).collect();
    assert_eq!(numbers.len(), reply.array().len(), "each once");
    numbers
}

/// The reply, which is no error; `None` if the daemon is gone.
fn ask(client: &mut Client, words: &str) -> Option<Value> {
    let parts: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    let reply = client.try_call(&parts).ok()?;
    assert!(!matches!(reply, Value::Error(_)), "{words}: {reply:?}");
    Some(reply)
}
