//! Memory within a bound: what is refused and told as by a Redis, what goes by which policy, and what a fleet makes of it.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process, cahoots, frame};

/// What is asked of a server whose memory is full and that evicts nothing. Words that have spaces stand between bars.
const FULL: &str = r"
GET text
SET text x
SET new x
SETEX new 10 x
MSET text x new x
APPEND text x
INCR number
INCRBYFLOAT number 1
GETSET text x
GETDEL gone
DEL gone
UNLINK gone
EXPIRE text 1000
PERSIST text
RENAME text text2
RENAME text2 text
COPY text other
SETRANGE text 0 x
SETBIT text 1 1
BITOP NOT other text
BITFIELD text GET u8 0
BITFIELD text SET u8 0 1
BITFIELD_RO text GET u8 0
LPUSH list x
LPUSHX list x
LINSERT list BEFORE a x
LSET list 0 x
LRANGE list 0 -1
RPOPLPUSH list list
LMOVE list list LEFT RIGHT
LREM list 1 none
LTRIM list 0 -1
LPOP list
BLMOVE none list LEFT RIGHT 1
BRPOPLPUSH none list 1
BLPOP list 1
SADD set x
SREM set none
SMOVE set other none
SUNIONSTORE other set
SINTERSTORE other set
SDIFFSTORE other set
SINTERCARD 1 set
HSET hash f x
HSETNX hash f x
HMSET hash f x
HINCRBY hash n 1
HINCRBYFLOAT hash n 1
HDEL hash none
HGET hash f
ZADD zset 1 a
ZINCRBY zset 1 a
ZRANGESTORE other zset 0 -1
ZUNIONSTORE other 1 zset
ZINTERSTORE other 1 zset
ZDIFFSTORE other 1 zset
ZREM zset none
ZPOPMIN none
GEOADD geo 1 1 a
GEOSEARCHSTORE other geo FROMLONLAT 1 1 BYRADIUS 1 km
GEORADIUS geo 1 1 1 km STORE other
PFADD hll x
PFMERGE other hll
PFCOUNT hll
XADD stream * f v
XTRIM stream MAXLEN 100
XGROUP CREATE stream group $
XGROUP CREATECONSUMER stream group me
XSETID stream 99-1
XDEL stream 1-1
SORT list STORE other
SORT list ALPHA
RESTORE other 0 x
DUMP none
OBJECT ENCODING text
OBJECT FREQ text
TOUCH text
PUBLISH channel x
CONFIG GET lfu*
FUNCTION LOAD x
FUNCTION RESTORE x
FUNCTION FLUSH
SCRIPT LOAD |return 1|
EVAL |return redis.call('get', 'text')| 0
EVAL |return redis.call('set', 'text', 'x')| 0
EVAL |return redis.pcall('set', 'text', 'x')| 0
EVAL |redis.call('del', 'gone'); return redis.call('set', 'text', 'y')| 0
GET text
EVAL |redis.call('get', 'text'); return redis.call('incr', 'number')| 0
EVAL |#!lua@return redis.call('get', 'text')| 0
EVAL |#!lua flags=no-writes@return redis.call('get', 'text')| 0
EVAL |#!lua flags=allow-oom@return redis.call('set', 'text', 'z')| 0
EVAL |#!lua flags=allow-oom@return 1| 0
EVAL_RO |return redis.call('get', 'text')| 0
EVAL_RO |#!lua@return 1| 0
GET text
MULTI
EVAL |#!lua@return 1| 0
DISCARD
MULTI
GET text
EXEC
MULTI
DEL gone
DISCARD
MULTI
MULTI
DISCARD
MULTI
PING
RESET
MULTI
EXEC
WATCH text
MULTI
UNWATCH
EXEC
EXEC
DISCARD
GET text
DBSIZE
FLUSHALL
SET text x
";

/// What a bound may be, and what is told of it.
const BOUNDS: &str = r"
CONFIG GET maxmemory
CONFIG GET maxmemory-policy
CONFIG GET maxmemory-samples
CONFIG GET lfu-log-factor
CONFIG GET lfu-decay-time
CONFIG SET maxmemory x
CONFIG SET maxmemory 1tb
CONFIG SET maxmemory 100mb
CONFIG GET maxmemory
CONFIG SET maxmemory 2gb maxmemory-policy allkeys-lfu
SET k v
OBJECT FREQ k
OBJECT FREQ none
OBJECT IDLETIME k
OBJECT IDLETIME none
CONFIG SET maxmemory-policy Volatile-TTL
CONFIG GET maxmemory-policy
OBJECT FREQ k
OBJECT FREQ none
CONFIG SET maxmemory-policy lru
CONFIG GET maxmemory-policy
CONFIG SET maxmemory-samples 64
CONFIG GET maxmemory-samples
CONFIG SET lfu-log-factor -1
CONFIG SET lfu-log-factor 3 lfu-decay-time 0
CONFIG GET lfu*
CONFIG SET lfu-decay-time x
CONFIG SET maxmemory-policy allkeys-lru
SET k v
OBJECT IDLETIME k
RESTORE old 0 PAYLOAD IDLETIME 1000
OBJECT IDLETIME old
TYPE old
TTL old
EXISTS old
OBJECT IDLETIME old
TOUCH old
OBJECT IDLETIME old
CONFIG SET maxmemory-policy volatile-lfu
RESTORE often 0 PAYLOAD FREQ 200
OBJECT FREQ often
CONFIG SET maxmemory 0
CONFIG GET maxmemory
";

fn words_of(line: &str, payload: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    for (at, part) in line.split('|').enumerate() {
        if at % 2 == 1 {
            words.push(part.replace('@', "\n").into_bytes());
        } else {
            words.extend(part.split_whitespace().map(|word| word.as_bytes().to_vec()));
        }
    }
    for word in words.iter_mut().filter(|word| &word[..] == b"PAYLOAD") {
        // "x", as DUMP of Redis 7.0 writes it.
        *word = payload
            .as_bytes()
            .chunks(2)
            .map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap())
            .collect();
    }
    words
}

/// DUMP of a key that is "x", in hexadecimal digits.
fn payload(client: &mut Client) -> String {
    client.words("SET payload x");
    let dumped = client.call(&["DUMP", "payload"]);
    client.words("DEL payload");
    let process::Value::Leaf(bytes) = dumped else { panic!("a bulk string") };
    let begins = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[begins..bytes.len() - 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare(prepare: &[&str], lines: &str) {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    for hello in ["2", "3"] {
        let mut clients = [redis.client(), ours.client()];
        for client in &mut clients {
            client.words("CONFIG SET maxmemory 0");
            client.words("FLUSHALL");
        }
        let payload = payload(&mut clients[0]);
        for client in &mut clients {
            client.call(&["HELLO", hello]);
            for line in prepare {
                assert!(!client.words(line).lines().starts_with('-'), "{line}");
            }
        }
        let mut differences = String::new();
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let [redis, ours] = clients.each_mut().map(|client| client.call(&words_of(line, &payload)).sorted(false));
            if redis != ours {
                differences += &format!("\n  {line}\n    Redis {redis:?}\n    ours  {ours:?}");
            }
        }
        assert!(differences.is_empty(), "{differences}");
        for client in &mut clients {
            client
                .words("CONFIG SET maxmemory-policy noeviction maxmemory-samples 5 lfu-log-factor 10 lfu-decay-time 1");
        }
    }
}

#[test]
fn what_is_refused_while_memory_is_full_is_what_redis_refuses() {
    let prepare = [
        "SET text x",
        "SET number 1",
        "SET gone x",
        "RPUSH list a b c d e",
        "SADD set a b",
        "HSET hash f x n 1",
        "ZADD zset 1 a 2 b",
        "GEOADD geo 1 1 a",
        "PFADD hll a",
        "XADD stream 1-1 f v",
        "CONFIG SET maxmemory 1",
    ];
    compare(&prepare, FULL);
}

#[test]
fn bounds_are_set_and_told_as_by_redis() {
    compare(&[], BOUNDS);
}

fn number(client: &mut Client, field: &str) -> u64 {
    let info = client.words("INFO").text();
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect(field);
    line.trim().parse().expect("a number")
}

/// As Redis's own tests of its policies do.
#[test]
fn the_bound_holds_by_every_policy_and_keys_that_must_stay_do() {
    let daemon = Process::cahoots(&["--maxmemory-samples", "10"]);
    let mut client = daemon.client();
    for policy in [
        "allkeys-random",
        "allkeys-lru",
        "allkeys-lfu",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        client.words("CONFIG SET maxmemory 0");
        client.words("FLUSHALL");
        let limit = number(&mut client, "used_memory") + 200_000;
        client.words(&format!("CONFIG SET maxmemory {limit} maxmemory-policy {policy}"));
        let evicted = number(&mut client, "evicted_keys");
        let value = "x".repeat(100);
        let volatile = policy.starts_with("volatile");
        if volatile {
            for at in 0..500 {
                assert_eq!(client.call(&["SET", &format!("stays:{at}"), &value]).text(), "OK", "{policy}");
            }
        }
        let mut refused = 0;
        for at in 0..4_000 {
            let reply = client.call(&["SETEX", &format!("goes:{at}"), "10000", &value]).lines();
            refused += usize::from(reply.starts_with("-OOM"));
            assert!(reply == "+OK" || reply.starts_with("-OOM"), "{reply}");
        }
        assert_eq!(refused, 0, "{policy}");
        let used = number(&mut client, "used_memory");
        assert!(used < limit + 4_096, "{policy}: {used} of {limit}");
        assert!(
            used > limit - 50_000 && number(&mut client, "evicted_keys") > evicted + 1_000,
            "{policy}: {used} of {limit}"
        );
        if volatile {
            assert_eq!(client.words("EXISTS stays:0 stays:1 stays:250 stays:499").integer(), 4, "{policy}");
            let refused =
                (0..4_000).find(|at| client.call(&["SET", &format!("more:{at}"), &value]).lines().starts_with('-'));
            assert!(refused.is_some(), "{policy}: in the end there is nothing that ends by itself");
            assert_eq!(client.words("SCAN 0 MATCH goes:* COUNT 100000").lines(), "*2 $1 0 *0", "{policy}");
        }
    }
}

#[test]
fn who_cares_for_a_key_is_told_that_it_was_evicted() {
    let daemon = Process::cahoots(&["--maxmemory-policy", "allkeys-random", "--notify-keyspace-events", "Ee"]);
    let (mut client, mut listener) = (daemon.client(), daemon.client());
    client.call(&["HELLO", "3"]);
    listener.words("SUBSCRIBE __keyevent@0__:evicted");
    client.words("CLIENT TRACKING ON NOLOOP");
    client.words("SET first x");
    client.words("GET first");
    client.words("WATCH first");
    let limit = number(&mut client, "used_memory");
    client.words(&format!("CONFIG SET maxmemory {limit}"));
    // The only key there is goes before this one is written.
    client.words("SET second x");
    client.send(&frame(&["SET", "third", "x"]));
    let mut heard = vec![client.receive().lines()];
    while heard.last().is_some_and(|it| it.starts_with('>')) {
        heard.push(client.receive().lines());
    }
    let told = listener.receive().lines();
    assert!(told.ends_with("$5 first") || told.ends_with("$6 second"), "{told}");
    client.words("MULTI");
    let is_gone = client.words("EXISTS first").lines() == "+QUEUED" && client.words("EXEC").lines().starts_with('_');
    let invalidated = heard.iter().any(|it| it.contains("invalidate") && it.contains("first"));
    assert_eq!(is_gone, invalidated || told.ends_with("$5 first"), "{heard:?} {told}");
}

/// Daemons that have all found each other, each with more flags of its own.
fn fleet(flags: &[&[&str]]) -> Vec<Process> {
    let status = |daemon: &Process| -> serde_json::Value {
        let output =
            cahoots().args(["status", "--json", "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let mut daemons = vec![Process::cahoots(&[flags[0], &["--node", "n0"]].concat())];
    let seed = status(&daemons[0])["listen"].as_str().expect("an address").to_owned();
    for (at, flags) in flags.iter().enumerate().skip(1) {
        let name = format!("n{at}");
        daemons.push(Process::cahoots(&[flags, &["--node", &name, "--seed", &seed][..]].concat()));
    }
    for daemon in &daemons {
        let begun = Instant::now();
        loop {
            let status = status(daemon);
            let live = status["peers"].as_array().expect("peers").iter().filter(|peer| peer["live"] == true).count();
            if live == daemons.len() - 1 && status["ready"] == true {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{status}");
        }
    }
    daemons
}

#[test]
fn a_fleet_has_the_bound_of_its_smallest_daemon_and_all_agree() {
    let policy = ["--maxmemory-policy", "allkeys-lru", "--maxmemory"];
    let flags = ["1mb", "2mb", "0"].map(|size| [&policy[..], &[size]].concat());
    let daemons = fleet(&flags.each_ref().map(|it| &it[..]));
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    let value = "x".repeat(500);
    for at in 0..9_000 {
        // Most is written where there is no bound.
        let client = &mut clients[if at % 10 == 0 { at / 10 % 3 } else { 2 }];
        let begun = Instant::now();
        // One that is full may have to wait for the others, which decide most keys.
        while client.call(&["SET", &format!("k:{at}"), &value]).lines() != "+OK" {
            assert!(begun.elapsed() < PATIENCE, "it never has room");
        }
    }
    let begun = Instant::now();
    loop {
        let used: Vec<u64> = clients.iter_mut().map(|client| number(client, "used_memory")).collect();
        let prints: Vec<String> =
            clients.iter_mut().map(|client| client.words("CAHOOTS STATUS").pair("fingerprint")).collect();
        if used.iter().all(|used| *used <= 1 << 20) && prints.iter().all(|it| *it == prints[0]) {
            assert!(used[0] > 600_000, "{used:?}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{used:?} {prints:?}");
    }
    let evicted: Vec<u64> = clients.iter_mut().map(|client| number(client, "evicted_keys")).collect();
    assert!(evicted.iter().all(|of_one| *of_one > 500), "each its part: {evicted:?}");
}

#[test]
fn without_eviction_a_write_is_refused_where_it_is_made_and_none_that_was_taken_is_lost() {
    let daemons = fleet(&[&["--maxmemory", "1mb"], &[], &["--maxmemory", "8mb"]]);
    let mut clients: Vec<Client> = daemons.iter().map(Process::client).collect();
    let value = "x".repeat(500);
    let (mut taken, mut refused) = (Vec::new(), [0; 3]);
    let begun = Instant::now();
    let mut at = 0;
    while refused.iter().any(|count| *count < 10) {
        assert!(begun.elapsed() < PATIENCE, "{refused:?}");
        for (client, refused) in clients.iter_mut().zip(&mut refused) {
            at += 1;
            let key = format!("k:{at}");
            match &*client.call(&["SET", &key, &value]).lines() {
                "+OK" => taken.push(key),
                reply => {
                    assert_eq!(reply, "-OOM command not allowed when used memory > 'maxmemory'.");
                    *refused += 1;
                }
            }
        }
    }
    let taken: Vec<&str> = std::iter::once("EXISTS").chain(taken.iter().map(String::as_str)).collect();
    for client in &mut clients {
        while client.call(&taken).integer() < i64::try_from(taken.len() - 1).unwrap() {
            assert!(begun.elapsed() < PATIENCE, "what was taken anywhere is everywhere");
        }
        assert_eq!(number(client, "evicted_keys"), 0);
    }
    clients[1].words("FLUSHALL");
    while clients.iter_mut().any(|client| client.words("SET again x").lines() != "+OK") {
        assert!(begun.elapsed() < PATIENCE * 2, "there is room again");
    }
}
