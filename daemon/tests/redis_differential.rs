//! The same commands to Redis and to us: the same bytes back.
//!
//! Where Redis promises no order, order is not compared; nothing else is forgiven. What is different on purpose is
//! not asked here: databases beyond 0, expiry, and commands of Redis we do not have.

mod keyspace;
mod process;

use process::{Client, Process, Value, frame};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Both servers, and a client of each.
struct Pair {
    redis: Process,
    cahoots: Process,
    clients: [Client; 2],
}

impl Pair {
    fn start(hello: Option<&str>) -> Option<Self> {
        let redis = Process::redis()?;
        let cahoots = Process::cahoots(&[]);
        let mut clients = [redis.client(), cahoots.client()];
        if let Some(version) = hello {
            for client in &mut clients {
                client.call(&["HELLO", version]);
            }
        }
        Some(Self { redis, cahoots, clients })
    }

    /// In RESP3 in another database than the first.
    fn start_elsewhere(hello: Option<&str>) -> Option<Self> {
        let mut pair = Self::start(hello)?;
        if hello.is_some() {
            pair.assert_same(&["SELECT", "9"]);
        }
        Some(pair)
    }

    /// Redis's reply and ours, without order where there is none.
    fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> [Value; 2] {
        let name = String::from_utf8_lossy(args[0].as_ref()).to_ascii_lowercase();
        let [redis, cahoots] = &mut self.clients;
        [redis, cahoots].map(|client| {
            let reply = client.call(args);
            match (&*name, reply) {
                ("hgetall", reply) => reply.sorted(true),
                (
                    "smembers" | "sunion" | "sinter" | "sdiff" | "spop" | "keys" | "hkeys" | "hvals" | "config",
                    reply,
                ) => reply.sorted(false),
                ("scan" | "sscan" | "hscan" | "zscan", Value::Node(head, parts)) => {
                    let pairs = matches!(&*name, "hscan" | "zscan");
                    let parts = parts.into_iter().map(|part| part.sorted(pairs)).collect();
                    Value::Node(head, parts)
                }
                ("xinfo", reply) => without_times(without_trees(reply)),
                ("xpending", reply) => without_times(reply),
                (_, reply) => reply,
            }
        })
    }

    /// What is different, if anything.
    fn difference<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Option<String> {
        let [redis, cahoots] = self.call(args);
        let args: Vec<String> = args.iter().map(|arg| arg.as_ref().escape_ascii().to_string()).collect();
        (redis != cahoots).then(|| format!("\n  {args:?}\n    Redis {redis:?}\n    ours  {cahoots:?}"))
    }

    fn assert_same<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        assert_eq!(self.difference(args), None);
    }
}

/// What XINFO says but for how the entries lie in memory, which is Redis's own.
fn without_trees(reply: Value) -> Value {
    let Value::Node(head, mut parts) = reply else { return reply };
    for at in 1..parts.len() {
        if matches!(&parts[at - 1], Value::Leaf(name) if name.windows(11).any(|it| it == b"radix-tree-")) {
            parts[at] = Value::Leaf(b":0\r\n".to_vec());
        }
    }
    Value::Node(head, parts)
}

/// What is said of groups and their consumers but for times, and for what Redis says since 7.2 only.
fn without_times(reply: Value) -> Value {
    let Value::Node(head, parts) = reply else { return reply };
    let is_number = |part: Option<&Value>| matches!(part, Some(Value::Leaf(bytes)) if bytes[0] == b':');
    let mut parts: Vec<Value> = parts.into_iter().map(without_times).collect();
    let nothing = || Value::Leaf(b":0\r\n".to_vec());
    match parts.len() {
        // An entry that is pending: with its consumer, or at it.
        4 if is_number(parts.get(2)) && is_number(parts.get(3)) => parts[2] = nothing(),
        3 if is_number(parts.get(1)) && is_number(parts.get(2)) => parts[1] = nothing(),
        _ => {}
    }
    let said = |part: &Value, name: &str| matches!(part, Value::Leaf(bytes) if bytes[0] == b'$' && bytes.ends_with(format!("\r\n{name}\r\n").as_bytes()));
    let mut at = 0;
    while at + 1 < parts.len() {
        if said(&parts[at], "inactive") || said(&parts[at], "active-time") {
            parts.drain(at..at + 2);
            continue;
        }
        if said(&parts[at], "idle") || said(&parts[at], "seen-time") {
            parts[at + 1] = nothing();
        }
        at += 1;
    }
    let count = parts.len() / if head[0] == b'%' { 2 } else { 1 };
    let head = match head[0] {
        kind @ (b'*' | b'%') if head != b"*-1\r\n" => format!("{}{count}\r\n", char::from(kind)).into_bytes(),
        _ => head,
    };
    Value::Node(head, parts)
}

/// One line a command, words separated by spaces; `""` is the empty word.
const SESSION: &str = r#"
PING
ping hello
PING a b
ECHO hi
ECHO
GET missing
GET
GET a b
SET k v
set k v2
GET k
SET k
SET k v NX
SET k v XX
SET new v NX
SET newer v XX
SET k v NX XX
SET k v XX NX
SET k v NX NX
SET k v GET
SET k v3 GET
SET fresh v GET
SET k v4 NX GET
SET k v5 XX GET
SET k v BOGUS
SET k v KEEPTTL
SET k v EX
SET k v KEEPTTL EX 10
SET k v EX 0
SET k v EX -1
SET k v PX 9223372036854775807
SET k v EX 9223372036854775807
SET k v EX 9223372036854775
SET k v EX x
SET k v EX 100
TTL k
SET k v KEEPTTL
TTL k
SET k v
TTL k
PTTL k
SET k v PX 100000 NX
SET k v XX PX 100000 GET
TTL k
APPEND k x
TTL k
SET k v EX 100 EX 200
TTL k
SET k v EX 100 PX 100
SET k v EXAT 4102444800
EXPIRETIME k
PEXPIRETIME k
SET k v PXAT 4102444800999
EXPIRETIME k
PEXPIRETIME k
GETEX k
GETEX k PERSIST
TTL k
GETEX k EX 100
TTL k
GETEX k KEEPTTL
GETEX k EX
GETEX k EX 0
GETEX k EX 10 PERSIST
GETEX missing EX 10
GETEX k EXAT 1
GETEX k
SETEX k 100 v
TTL k
SETEX k 0 v
SETEX k x v
PSETEX k 100000 v
PSETEX k -5 v
TTL k
PERSIST k
PERSIST k
PERSIST missing
TTL missing
PTTL missing
EXPIRETIME missing
PEXPIRETIME k
EXPIRE missing 100
EXPIRE k 100 GT
EXPIRE k 100 XX
EXPIRE k 100 LT
TTL k
EXPIRE k 200 NX
EXPIRE k 200 XX
TTL k
EXPIRE k 100 GT
EXPIRE k 300 GT
EXPIRE k 400 LT
EXPIRE k 100 LT XX
TTL k
EXPIRE k 100 NX XX
EXPIRE k 100 NX GT
EXPIRE k 100 LT GT
EXPIRE k 100 FOO
EXPIRE k x
EXPIRE k 9223372036854775807
EXPIRE k -9223372036854775808
PEXPIRE k 9223372036854775807
PEXPIREAT k 9223372036854775807
PEXPIRETIME k
EXPIREAT k 4102444800
EXPIRETIME k
PEXPIREAT k 4102444800123 XX
PEXPIRETIME k
INCR volatile
EXPIRE volatile 100
INCR volatile
TTL volatile
SADD vset a b
EXPIRE vset 100
SADD vset c
SREM vset a
TTL vset
SREM vset b c
TTL vset
SADD vset a
TTL vset
HSET vhash f 1
PEXPIRE vhash 100000
HINCRBY vhash f 4
TTL vhash
HDEL vhash f
EXISTS vhash
EXPIRE vset 0
EXISTS vset
EXPIRE k -1
EXISTS k
DEL volatile
TYPE k
TYPE missing
STRLEN k
STRLEN missing
APPEND k tail
GET k
APPEND appended x
GETSET k other
GETSET unset first
GETDEL k
GETDEL k
SETNX k 1
SETNX k 2
MSET a 1 b 2 c 3
MSET a
MSET a 1 b
MGET a b c missing
MGET
EXISTS a
EXISTS a a b missing
DEL a a missing
UNLINK b
DEL
INCR n
INCR n
INCRBY n 40
DECR n
DECRBY n 2
GET n
INCRBY n -100
INCRBY n 1.5
INCRBY n abc
INCRBY n 9223372036854775808
INCRBY n
SET max 9223372036854775807
INCR max
INCRBY max 1
DECRBY max -1
SET min -9223372036854775808
DECR min
DECRBY n -9223372036854775808
SET text hello
INCR text
SET padded 01
INCR padded
SET plus +1
INCR plus
SET spaced ""
INCR spaced
SET minuszero -0
INCR minuszero
SET hundred 100
APPEND hundred 5
INCR hundred
SADD s a b c
SADD s a d
SADD s
SCARD s
SCARD missing
SISMEMBER s a
SISMEMBER s z
SISMEMBER missing a
SMISMEMBER s a z b
SMISMEMBER missing a b
SMEMBERS s
SMEMBERS missing
SREM s a z
SREM missing a
SREM s b c d
EXISTS s
TYPE s
SADD s ""
SMEMBERS s
HSET h f 1
HSET h f 2 g 3
HSET h f
HSET h f 1 g
HMSET h i 4 j 5
HMSET h i
HMSET h i 1 j
HGET h f
HGET h missing
HGET missing f
HMGET h f missing g
HMGET missing f g
HGETALL h
HGETALL missing
HKEYS h
HVALS h
HKEYS missing
HVALS missing
HLEN h
HLEN missing
HEXISTS h f
HEXISTS h z
HEXISTS missing f
HINCRBY h f 5
HINCRBY h new -7
HINCRBY h f 9223372036854775807
HINCRBY h f abc
HSET h t text
HINCRBY h t 1
HINCRBY counters c 1
HDEL h f missing
HDEL missing f
HDEL h g i j new t
EXISTS h
TYPE counters
GET s
SET s2 v
SADD s2 m
HSET s2 f v
HGET s f
SISMEMBER counters x
INCR s
APPEND s x
STRLEN s
GETSET s x
GETDEL s
HINCRBY s f 1
SMEMBERS counters
SCARD counters
SREM counters x
SSCAN counters 0
HSCAN s 0
HGETALL s
HKEYS s
HVALS s
HLEN s
HDEL s f
HEXISTS s f
HMGET s f
SMISMEMBER counters x
MGET s s2 counters
SETNX s v
SET s string GET
SET s string
GET s
SADD s x
KEYS *
KEYS s*
KEYS [a-c]*
KEYS ?
KEYS nothing*
SCAN 0 COUNT 1000
SCAN 0 MATCH s* COUNT 1000
SCAN 0 TYPE hash COUNT 1000
SCAN 0 TYPE nonsense COUNT 1000
SCAN x
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT x
SCAN 0 MATCH
SCAN 0 BOGUS 1
SSCAN missing 0
SSCAN missing x
SSCAN missing 0 COUNT 0
HSCAN missing 0
HSCAN counters 0
HSCAN counters 0 MATCH c*
HSCAN counters 0 MATCH x*
HSCAN counters 0 TYPE string
SSCAN missing
DBSIZE
DBSIZE x
SELECT 0
SELECT x
SELECT 99999
SELECT -1
SELECT
TIME x
WAIT 0 0
WAIT 0 10
WAIT 1 20
WAIT x 0
WAIT 0 x
WAIT 0 -1
WAIT -1 0
WAIT 1
CLIENT GETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT SETNAME ""
CLIENT GETNAME
CLIENT SETNAME
CLIENT GETNAME x
CLIENT NO-EVICT on
CLIENT NO-EVICT maybe
CLIENT REPLY ON
CLIENT REPLY maybe
CLIENT nonsense
CLIENT
client id extra
HELLO 4
HELLO x
HELLO 2 BOGUS
HELLO 3 AUTH
HELLO 3 SETNAME
HELLO 2 AUTH nobody pass
CONFIG GET save
CONFIG GET appendonly
CONFIG GET nothing-like-this
CONFIG GET save appendonly
CONFIG GET
CONFIG nonsense
CONFIG
COMMAND nonsense
COMMAND COUNT extra
COMMAND INFO nonsense
COMMAND INFO get set
COMMAND INFO GET nonsense
COMMAND DOCS nonsense
INFO nonsense
nonsense
nonsense a b c
NONSENSE with an argument list that goes on and on and on so that it has to be cut at one hundred and twenty eight characters somewhere in the middle of it
FLUSHALL BOGUS
FLUSHALL SYNC ASYNC
FLUSHALL async
DBSIZE
KEYS *
SCAN 0
SET after flush
FLUSHDB
FLUSHDB SYNC
GET after
RESET
PING
RESET x
"#;

/// Of strings, in the same form.
const STRINGS: &str = include_str!("strings.session");
/// Of keys as such, and the order of what they hold.
const KEYS: &str = include_str!("keys.session");
/// Of sets, and of what hashes have beside that.
const SETS: &str = include_str!("sets.session");
/// Of bitmaps.
const BITMAPS: &str = include_str!("bitmaps.session");
/// Of places on Earth.
const PLACES: &str = include_str!("places.session");
/// Of HyperLogLogs.
const HYPERLOGLOGS: &str = include_str!("hyperloglogs.session");
/// Of sorted sets.
const SORTED: &str = include_str!("sorted_sets.session");
/// Of lists.
const LISTS: &str = include_str!("lists.session");

/// Of streams.
const STREAMS: &str = include_str!("streams.session");
/// Of transactions, and of commands that wait.
/// Of consumer groups. Where a consumer asks in vain it is there before: since 7.2 Redis makes it then, too.
const GROUPS: &str = include_str!("groups.session");

const TRANSACTIONS: &str = include_str!("transactions.session");

/// Of numbered databases.
const DATABASES: &str = include_str!("databases.session");

/// Scripts, one a line.
const SCRIPTS: &str = include_str!("scripts.session");
/// What there is of scripts beside EVAL.
const KEPT_SCRIPTS: &str = r#"
SCRIPT
SCRIPT nonsense
SCRIPT LOAD
SCRIPT LOAD return
SCRIPT LOAD return(KEYS[1])
SCRIPT LOAD (
SCRIPT EXISTS
SCRIPT EXISTS ffffffffffffffffffffffffffffffffffffffff x 4ca238f611c9d0ae4e9a75a5dbac22aedc1e44282 1be7f3fd5a4f61ae1c1ae0a5c4ccf1b8ef5bd6ff
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
EVALSHA x 0
EVALSHA
EVALSHA x
EVALSHA x y
EVAL return(KEYS[1]) 1 a
SCRIPT EXISTS 9f7c9a54b2e3ae7d6cb5a2b6f27db0fc0ae1f1e7
EVAL return(1) x
EVAL return(1) -1
EVAL return(1) 1
EVAL return(1) 2 a
EVAL return(1)
EVAL return(ARGV[2]) 1 a b c
EVAL_RO return(redis.call('get','a')) 0
EVAL_RO return(redis.call('set','a',1)) 0
EVAL_RO return(redis.pcall('set','a',1)) 0
EVAL_RO #!lua\nreturn(1) 0
EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff 0
SCRIPT KILL
SCRIPT KILL x
SCRIPT FLUSH x
SCRIPT FLUSH ASYNC SYNC
SCRIPT FLUSH SYNC
SCRIPT FLUSH async
SCRIPT FLUSH
MULTI
EVAL return(redis.call('incr','n')) 0
EVAL return(redis.call('incr','n','x')) 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
SCRIPT LOAD return(5)
INCR n
EXEC
MULTI
EVAL return(1)
EXEC
SUBSCRIBE c
EVAL return(redis.call('ping')) 0
UNSUBSCRIBE c
"#;

/// Libraries of functions: `LOAD`, or `NEW` without REPLACE, and what is done with them.
const FUNCTIONS: &str = include_str!("functions.session");

fn session(pair: &mut Pair, lines: &str) {
    let mut differences = String::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').map(|word| if word == "\"\"" { "" } else { word }).collect();
        if words[0] == "COMMAND" && words[1] == "INFO" {
            // Key specifications and tips differ; the table has a test of its own below.
            let [redis, cahoots] = pair.call(&words).map(|reply| reply.parts().len());
            assert_eq!(redis, cahoots, "{line}");
            continue;
        }
        differences.extend(pair.difference(&words));
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn a_session_reads_the_same_in_resp2() {
    if let Some(mut pair) = Pair::start(None) {
        session(&mut pair, SESSION);
    }
}

#[test]
fn a_session_reads_the_same_in_resp3() {
    if let Some(mut pair) = Pair::start(Some("3")) {
        session(&mut pair, SESSION);
    }
}

#[test]
fn strings_keys_sets_and_hashes_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, STRINGS);
            pair.assert_same(&["FLUSHALL"]);
            session(&mut pair, KEYS);
            pair.assert_same(&["FLUSHALL"]);
            session(&mut pair, SETS);
        }
    }
}

#[test]
fn bitmaps_places_and_hyperloglogs_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, BITMAPS);
            pair.assert_same(&["FLUSHALL"]);
            session(&mut pair, PLACES);
            pair.assert_same(&["FLUSHALL"]);
            session(&mut pair, HYPERLOGLOGS);
        }
    }
}

/// Of few elements and of many, each server counts the other's string, and adds to it.
#[test]
fn a_hyperloglog_is_one_at_the_other_server_too() {
    let Some(mut pair) = Pair::start(None) else { return };
    for count in [0, 1, 10, 300, 3_000, 30_000] {
        let elements: Vec<String> = (0..count).map(|number| format!("element {number}")).collect();
        for part in elements.chunks(1_000) {
            let command: Vec<&str> = ["PFADD", "h"].into_iter().chain(part.iter().map(|it| &**it)).collect();
            pair.assert_same(&command);
        }
        pair.call(&["PFADD", "h"]);
        let [redis, ours] = pair.clients.each_mut().map(|client| {
            let Value::Leaf(reply) = client.call(&["GET", "h"]) else { panic!("a string") };
            let head = reply.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
            reply[head..reply.len() - 2].to_vec()
        });
        assert!(ours.len() <= redis.len() + 16, "{} bytes and {} for {count}", ours.len(), redis.len());
        let [at_redis, at_ours] = &mut pair.clients;
        at_redis.call(&[&b"SET"[..], b"theirs", &ours]);
        at_ours.call(&[&b"SET"[..], b"theirs", &redis]);
        pair.assert_same(&["PFCOUNT", "theirs"]);
        pair.assert_same(&["PFADD", "theirs", "one", "more", "element 3"]);
        pair.assert_same(&["PFCOUNT", "theirs", "h"]);
        pair.assert_same(&["DEL", "h"]);
    }
}

#[test]
fn databases_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start(hello) {
            session(&mut pair, DATABASES);
            // Names that might be taken for those of another database.
            for key in [&b"\0"[..], b"\0\x01a", b"\0\0"] {
                pair.assert_same(&[b"SET", key, key]);
                pair.assert_same(&[b"GET", key]);
                pair.assert_same(&[&b"KEYS"[..], b"*"]);
                pair.assert_same(&[&b"DBSIZE"[..]]);
                pair.assert_same(&[&b"MOVE"[..], key, b"1"]);
                pair.assert_same(&[&b"DBSIZE"[..]]);
                pair.assert_same(&[&b"SELECT"[..], b"1"]);
                pair.assert_same(&[b"GET", key]);
                pair.assert_same(&[&b"RANDOMKEY"[..]]);
                pair.assert_same(&[&b"FLUSHDB"[..]]);
                pair.assert_same(&[&b"SELECT"[..], b"0"]);
            }
        }
    }
}

#[test]
fn sorted_sets_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, SORTED);
        }
    }
}

#[test]
fn streams_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, STREAMS);
        }
    }
}

#[test]
fn groups_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, GROUPS);
        }
    }
}

#[test]
fn lists_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, LISTS);
        }
    }
}

#[test]
fn transactions_and_waiting_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        if let Some(mut pair) = Pair::start_elsewhere(hello) {
            session(&mut pair, TRANSACTIONS);
        }
    }
}

#[test]
fn scripts_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        let Some(mut pair) = Pair::start(hello) else { return };
        let scripts = SCRIPTS.lines().filter(|line| !line.is_empty());
        let differences: String = scripts
            .filter_map(|script| pair.difference(&["EVAL", script, "2", "key:1", "key:2", "arg", "1"]))
            .collect();
        assert!(differences.is_empty(), "{differences}");
        session(&mut pair, KEPT_SCRIPTS);
        for first_line in [
            "#!lua",
            "#!lua\n",
            "#!lua flags=no-writes\n",
            "#!lua flags=\n",
            "#!lua flags=allow-oom,no-writes\n",
            "#!js\n",
            "#!\n",
            "#! lua\n",
            "#!lua x\n",
            "#!lua flags=x\n",
            "#!lua name=x\n",
        ] {
            for rest in ["return 5", "return redis.call('set', 'k', 1)", "\n\n\nerror('x')"] {
                let script = format!("{first_line}{rest}");
                pair.assert_same(&["EVAL", &script, "0"]);
                pair.assert_same(&["EVAL_RO", &script, "0"]);
            }
        }
        let lines = "local x = 1\n\nlocal y = redis.call('get')\nreturn 1";
        pair.assert_same(&["EVAL", lines, "0"]);
        // Many keys, and many values back.
        let many: Vec<String> = (0..20_000).map(|number| format!("v{number}")).collect();
        let script = "local t = {} for i, v in ipairs(ARGV) do t[i] = v .. #KEYS end return t";
        let command = ["EVAL", script, "0"].into_iter().chain(many.iter().map(|it| &**it));
        pair.assert_same(&command.collect::<Vec<_>>());
        pair.assert_same(&[&b"EVAL"[..], b"return {KEYS[1], ARGV[1], #ARGV[1]}", b"1", b"\xFF\r\n\0", b"\0\x80"]);
    }
}

#[test]
fn functions_read_the_same_in_both_protocols() {
    for hello in [None, Some("3")] {
        let Some(mut pair) = Pair::start_elsewhere(hello) else { return };
        let mut differences = String::new();
        for line in FUNCTIONS.lines() {
            let (first, code) = line.split_once(' ').unwrap_or((line, ""));
            let code = code.replace("\\n", "\n");
            differences.extend(match first {
                "LOAD" => pair.difference(&["FUNCTION", "LOAD", "REPLACE", &code]),
                "NEW" => pair.difference(&["FUNCTION", "LOAD", &code]),
                _ => pair.difference(&line.split(' ').collect::<Vec<_>>()),
            });
        }
        assert!(differences.is_empty(), "{differences}");
    }
}

/// What one server dumps the other restores, and lists alike.
#[test]
fn libraries_are_restored_at_the_other_server() {
    let Some(mut pair) = Pair::start(None) else { return };
    let code = "#!lua name=one\nredis.register_function('f', function() return 'f' end)";
    let long =
        format!("#!lua name=two\nredis.register_function('g', function() return 'g' end)\n--{}", "x".repeat(30_000));
    pair.assert_same(&["FUNCTION", "LOAD", code]);
    pair.assert_same(&["FUNCTION", "LOAD", &long]);
    let payloads = pair.clients.each_mut().map(|client| {
        let Value::Leaf(reply) = client.call(&["FUNCTION", "DUMP"]) else { panic!("a string") };
        let head = reply.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
        reply[head..reply.len() - 2].to_vec()
    });
    let [of_redis, ours] = &payloads;
    for payload in [of_redis, ours] {
        // Which of the two is told first is Redis's own affair.
        for policy in [&[][..], &[&b"APPEND"[..]]] {
            let command = [&[&b"FUNCTION"[..], b"RESTORE", payload], policy].concat();
            let refused = |reply: Value| matches!(reply, Value::Leaf(words) if words.ends_with(b" already exists\r\n"));
            assert_eq!(pair.call(&command).map(refused), [true; 2]);
        }
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", payload, b"REPLACE"]);
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", payload, b"FLUSH"]);
        pair.assert_same(&["FUNCTION", "DELETE", "one"]);
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", payload]);
        pair.assert_same(&["FUNCTION", "FLUSH"]);
        pair.assert_same(&["FUNCTION", "LOAD", &code.replace("one", "other")]);
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", payload]);
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", payload, b"REPLACE"]);
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", payload, b"flush"]);
        pair.assert_same(&["FUNCTION", "LIST", "LIBRARYNAME", "one", "WITHCODE"]);
        pair.assert_same(&["FUNCTION", "LIST", "LIBRARYNAME", "two", "WITHCODE"]);
        pair.assert_same(&["FUNCTION", "LIST", "LIBRARYNAME", "other"]);
        pair.assert_same(&["FCALL", "g", "0"]);
        pair.assert_same(&[&b"FUNCTION"[..], b"RESTORE", &payload[..payload.len() - 1], b"FLUSH"]);
    }
}

#[test]
fn any_script_is_answered_the_same() {
    let Some(pair) = Pair::start(None) else { return };
    let pair = std::cell::RefCell::new(pair);
    let mut runner = TestRunner::new(Config { cases: 1_000, failure_persistence: None, ..Config::default() });
    let strategy = (keyspace::scripts::script(), any::<bool>());
    let outcome = runner.run(&strategy, |(script, resp3)| {
        let mut pair = pair.borrow_mut();
        pair.call(&["HELLO", if resp3 { "3" } else { "2" }]);
        let [redis, ours] = pair.call(&["EVAL", &script, "2", "a", "b", "text", "7"]);
        prop_assert_eq!(redis, ours, "\n  script {}\n  left is Redis, right is ours", script);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Ids by the clock are each server's own: of the same form, the times near, ascending.
#[test]
fn ids_by_the_clock_have_the_form_that_redis_gives_them() {
    let Some(mut pair) = Pair::start(None) else { return };
    let mut last = [(0, 0); 2];
    for _ in 0..100 {
        let ids = pair.call(&["XADD", "s", "*", "f", "v"]).map(|reply| {
            let text = reply.text();
            let (ms, seq) = text.split_once('-').expect("two numbers");
            (ms.parse::<u64>().expect("milliseconds"), seq.parse::<u64>().expect("a number"))
        });
        assert!(ids[0].0.abs_diff(ids[1].0) < 60_000, "{ids:?}");
        assert!(ids[0] > last[0] && ids[1] > last[1], "{ids:?} after {last:?}");
        last = ids;
    }
    pair.assert_same(&["XLEN", "s"]);
    // An id far ahead is continued from.
    pair.assert_same(&["XADD", "s", "99999999999999-5", "f", "v"]);
    let [redis, ours] = pair.call(&["XADD", "s", "*", "f", "v"]).map(|reply| reply.text());
    assert!(redis == "99999999999999-6" && ours.starts_with("99999999999999-"), "{redis} and {ours}");
}

/// Redis removes whole nodes of a hundred entries where it need not be exact.
#[test]
fn streams_are_trimmed_roughly_as_redis_trims_them() {
    let Some(mut pair) = Pair::start(None) else { return };
    for number in 1..=450 {
        pair.assert_same(&["XADD", "s", &format!("{number}-0"), "f", "v"]);
    }
    for rough in [
        "XTRIM s MAXLEN ~ 400",
        "XTRIM s MAXLEN ~ 349",
        "XTRIM s MINID ~ 250",
        "XTRIM s MINID ~ 301 LIMIT 0",
        "XADD s MAXLEN ~ 100 LIMIT 50 451-0 f v",
        "XTRIM s MAXLEN ~ 50 LIMIT 100",
        "XTRIM s MAXLEN ~ 0 LIMIT 40",
        "XTRIM s MAXLEN ~ 0",
    ] {
        pair.assert_same(&rough.split(' ').collect::<Vec<_>>());
        pair.assert_same(&["XINFO", "STREAM", "s"]);
    }
}

#[test]
fn arguments_may_be_any_bytes() {
    let Some(mut pair) = Pair::start(None) else { return };
    let bytes: Vec<u8> = (0..=255).collect();
    pair.assert_same(&[b"SET", &bytes[..], &bytes]);
    pair.assert_same(&[b"GET", &bytes[..]]);
    pair.assert_same(&[&b"SADD"[..], b"s", &bytes, b"", b"\r\n"]);
    pair.assert_same(&[&b"SMEMBERS"[..], b"s"]);
    pair.assert_same(&[&b"HSET"[..], b"h", &bytes, &bytes]);
    pair.assert_same(&[&b"HGETALL"[..], b"h"]);
    pair.assert_same(&[b"KEYS", &b"*"[..]]);
    pair.assert_same(&[&b"a\r\nb\0c"[..], b"d\r\ne\0f", &[b'x'; 200], b"g"]);
    pair.assert_same(&[&b"get\0"[..], b"k"]);
    pair.assert_same(&[&[b'n'; 300][..], b"k"]);
    pair.assert_same(&[&b""[..], b"k"]);
    pair.assert_same(&[&b"CLIENT"[..], b"SETNAME", b"a b"]);
    pair.assert_same(&[&b"CLIENT"[..], b"SETNAME", b"a\nb"]);
    let value = vec![b'v'; 1 << 20];
    pair.assert_same(&[b"SET", &b"large"[..], &value]);
    pair.assert_same(&[b"GET", &b"large"[..]]);
}

#[test]
fn streams_that_are_hardly_resp_are_answered_and_closed_the_same() {
    let Some(pair) = Pair::start(None) else { return };
    let unended = "x".repeat(70_000);
    let count_long = format!("*{}", "1".repeat(70_000));
    let length_long = format!("*1\r\n${}", "1".repeat(70_000));
    let nested = "*1\r\n".repeat(1_000_000);
    let mut differences = String::new();
    for stream in [
        "PING\r\n",
        "PING\n",
        "ping\r\nPING\r\n",
        "\r\n\r\nPING\r\n",
        "   PING   \r\n",
        "ECHO \"a\\x41\\n\\\"b\" \r\n",
        "ECHO 'it\\'s'\r\n",
        "ECHO \"a\r\n",
        "ECHO \"a\"b\r\n",
        "SET k 'v'\r\nGET k\r\nDEL k\r\n",
        "*0\r\nPING\r\n",
        "*-1\r\nPING\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        "*1\r\n$4\r\nPI",
        "*x\r\n",
        "*\r\n",
        "*2147483648\r\n",
        "*9223372036854775808\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$9223372036854775808\r\nPING",
        "*1\r\n$99999999999\r\nPING",
        "*1\r\n*1\r\n",
        "*1\r\nPING\r\n",
        "PING\r\n*2\r\n$4\r\nECHO\r\n:1\r\nPING\r\n",
        &unended,
        &count_long,
        &length_long,
        &nested,
        "QUIT\r\nPING\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nSET k v\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n",
        "CLIENT REPLY SKIP\r\nPING\r\nECHO 1\r\n",
        "CLIENT REPLY OFF\r\nPING\r\nECHO 1\r\nCLIENT REPLY ON\r\nECHO 2\r\n",
        "CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nECHO 1\r\nECHO 2\r\nRESET\r\nECHO 3\r\n",
        "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nECHO 1\r\n",
    ] {
        let [redis, cahoots] = [&pair.redis, &pair.cahoots].map(|server| {
            let mut client = server.client();
            // The server may close while it is still being written to.
            let _ = std::io::Write::write_all(&mut client.stream(), stream.as_bytes());
            client.send(b"");
            client.rest().escape_ascii().to_string()
        });
        let shown = &stream[..stream.len().min(80)];
        if redis != cahoots {
            differences.push_str(&format!("\n  {shown:?}\n    Redis {redis}\n    ours  {cahoots}"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn the_command_table_is_that_of_redis() {
    let Some(mut pair) = Pair::start(Some("3")) else { return };
    let [_, ours] = pair.call(&["COMMAND"]);
    let count = pair.clients[1].words("COMMAND COUNT").integer();
    assert_eq!(usize::try_from(count).unwrap(), ours.parts().len());
    let mut compared = 0;
    for command in ours.parts() {
        let subcommands = command.parts()[9].parts().iter();
        for command in std::iter::once(command).chain(subcommands) {
            let name = command.parts()[0].text();
            // Ours, and what Redis got since 7.0: some commands, and WITHSCORE of two others.
            let newer = ["client|setinfo", "client|no-touch", "cluster|myshardid", "zrank", "zrevrank"];
            let is_ours = ["cahoots", "vote.", "presence.", "crdt."].iter().any(|ours| name.starts_with(ours));
            if is_ours || newer.contains(&&*name) || is_newer(&mut pair.clients[1], &name) {
                continue;
            }
            let [redis, ours] = pair.call(&["COMMAND", "INFO", &name]).map(|reply| {
                let fields = reply.parts()[0].parts();
                fields[..7].iter().cloned().map(|field| field.sorted(false)).collect::<Vec<_>>()
            });
            assert_eq!(redis, ours, "{name}");
            let container = name.split('|').next().unwrap();
            let [redis, ours] = pair.call(&["COMMAND", "DOCS", container]).map(|reply| {
                let doc = reply.parts()[1].clone();
                ["since", "group"].map(|field| value_at(&doc, field))
            });
            assert_eq!(redis, ours, "{container}");
            compared += 1;
        }
    }
    assert!(compared > 60, "only {compared} commands compared");
}

/// Whether Redis got the command after 7.0, as our documentation has it.
fn is_newer(client: &mut Client, name: &str) -> bool {
    let docs = client.words(&format!("COMMAND DOCS {}", name.split('|').next().unwrap()));
    let since = value_at(&docs.parts()[1], "since").text();
    let mut version = since.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (version.next(), version.next()) > (Some(7), Some(0))
}

fn value_at(map: &Value, name: &str) -> Value {
    map.parts().chunks(2).find(|pair| pair[0].text() == name).unwrap_or_else(|| panic!("no {name} in {map:?}"))[1]
        .clone()
}

#[test]
fn hello_and_info_say_what_clients_look_for() {
    let Some(mut pair) = Pair::start(None) else { return };
    for version in ["2", "3"] {
        let [redis, ours] = pair.call(&["HELLO", version]);
        assert_eq!(redis.parts().len(), ours.parts().len());
        for (at, (redis, ours)) in redis.parts().iter().zip(ours.parts()).enumerate() {
            let id = at > 0 && redis_name(&pair, at) == "id";
            assert!(id || redis == ours, "HELLO {version}: {redis:?} and {ours:?}");
        }
    }
    let [redis, ours] = pair.call(&["INFO"]).map(|reply| reply.text());
    for line in ["redis_version:7.0.15", "loading:0", "role:master", "redis_mode:standalone", "cluster_enabled:0"] {
        assert!(ours.lines().any(|ours| ours == line), "no {line} in our INFO");
        assert!(line.starts_with("redis_version") || redis.lines().any(|redis| redis == line), "no {line} in Redis's");
    }
    let names = |info: &str| -> Vec<String> {
        info.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
    };
    let (redis, ours) = (names(&redis), names(ours.split("# Cahoots").next().unwrap_or_default()));
    // Of 7.2 and later are the figures of refusals, of blocked keys and of pauses.
    let newer =
        ["cahoots_version", "cut_connections", "total_blocking_keys", "paused_actions", "paused_timeout_milliseconds"];
    let is_newer = |name: &str| newer.contains(&name) || name.starts_with("acl_");
    for name in ours.iter().filter(|name| !is_newer(name)) {
        assert!(redis.contains(name), "{name} is no field of Redis's INFO");
    }
}

/// Which entry of HELLO's map the value at `at` belongs to.
fn redis_name(_: &Pair, at: usize) -> &'static str {
    ["server", "version", "proto", "id", "mode", "role", "modules"][at / 2]
}

/// Commands on sorted sets. Increments are such that their sums are exact.
fn sorted_sets() -> impl Strategy<Value = Vec<&'static str>> {
    let key = || prop_oneof![Just("a"), Just("b"), Just("y")];
    let member = || prop_oneof![Just("x"), Just("y"), Just("z"), Just(""), Just("xx")];
    let score = || {
        prop_oneof![4 => Just("1"), 4 => Just("-3"), 2 => Just("2.5"), 2 => Just("0"), 1 => Just("inf"),
            1 => Just("-inf"), 1 => Just("1e300"), 1 => Just("x"), 1 => Just("0.1")]
    };
    let increment =
        || prop_oneof![Just("1"), Just("-2"), Just("0.5"), Just("inf"), Just("-inf"), Just("0"), Just("1e15")];
    let bound = || prop::sample::select(vec!["-inf", "-inf", "+inf", "+inf", "(1", "1", "(-3", "2.5", "x"]);
    let name = || prop::sample::select(vec!["-", "-", "+", "+", "[x", "(x", "[y", "(z", "["]);
    let rank = || prop_oneof![Just("0"), Just("1"), Just("-1"), Just("-2"), Just("5"), Just("-9"), Just("x")];
    let condition = prop::collection::vec(
        prop_oneof![Just("NX"), Just("XX"), Just("GT"), Just("LT"), Just("CH"), Just("INCR")],
        0..3,
    );
    let by_score =
        prop_oneof![Just("ZCOUNT"), Just("ZRANGEBYSCORE"), Just("ZREVRANGEBYSCORE"), Just("ZREMRANGEBYSCORE")];
    let by_rank = prop_oneof![Just("ZRANGE"), Just("ZREVRANGE"), Just("ZREMRANGEBYRANK")];
    let counts = prop_oneof![Just("ZPOPMIN"), Just("ZPOPMAX")];
    let named = prop_oneof![Just("ZSCORE"), Just("ZMSCORE"), Just("ZRANK"), Just("ZREVRANK"), Just("ZREM")];
    let both = prop_oneof![Just("ZUNION"), Just("ZINTER"), Just("ZDIFF")];
    let stored = prop_oneof![Just("ZUNIONSTORE"), Just("ZINTERSTORE"), Just("ZDIFFSTORE")];
    let weights = prop_oneof![Just("1"), Just("2"), Just("-1"), Just("0.5")];
    prop_oneof![
        6 => (key(), condition, prop::collection::vec((score(), member()), 1..4)).prop_map(|(key, words, pairs)| {
            // One score that is added to is beyond what a daemon may add.
            let adds = words.contains(&"INCR");
            let within = |score| if adds && score == "1e300" { "1e15" } else { score };
            let pairs = pairs.into_iter().flat_map(|(score, member)| [within(score), member]);
            ["ZADD", key].into_iter().chain(words.clone()).chain(pairs).collect()
        }),
        3 => (key(), increment(), member()).prop_map(|(k, by, m)| vec!["ZINCRBY", k, by, m]),
        3 => (named, key(), member()).prop_map(|(c, k, m)| vec![c, k, m]),
        2 => key().prop_map(|k| vec!["ZRANGE", k, "0", "-1", "WITHSCORES"]),
        1 => key().prop_map(|k| vec!["ZCARD", k]),
        1 => key().prop_map(|k| vec!["ZSCAN", k, "0", "COUNT", "1000"]),
        2 => (by_score, key(), bound(), bound()).prop_map(|(c, k, min, max)| vec![c, k, min, max]),
        1 => (key(), bound(), bound()).prop_map(|(k, min, max)| vec!["ZRANGE", k, min, max, "BYSCORE", "REV", "LIMIT", "1", "2"]),
        1 => (by_rank, key(), rank(), rank()).prop_map(|(c, k, from, to)| vec![c, k, from, to]),
        // Only where all have one score does the order of names mean something.
        1 => (key(), name(), name()).prop_map(|(k, min, max)| vec!["ZRANGEBYLEX", "lex", min, max, "LIMIT", "0", if k == "a" { "-1" } else { "2" }]),
        1 => (member(), name(), name()).prop_map(|(m, _, _)| vec!["ZADD", "lex", "0", m]),
        1 => (name(), name()).prop_map(|(min, max)| vec!["ZREMRANGEBYLEX", "lex", min, max]),
        1 => (name(), name()).prop_map(|(min, max)| vec!["ZLEXCOUNT", "lex", min, max]),
        2 => (counts, key(), prop::option::of(rank())).prop_map(|(c, k, count)| [c, k].into_iter().chain(count).collect()),
        1 => (key(), key(), rank(), rank()).prop_map(|(to, k, from, until)| vec!["ZRANGESTORE", to, k, from, until]),
        1 => (both, key(), key()).prop_map(|(c, k, l)| vec![c, "2", k, l, "WITHSCORES"]),
        1 => (stored, key(), key(), key()).prop_map(|(c, to, k, l)| vec![c, to, "2", k, l]),
        1 => (key(), key(), weights).prop_map(|(k, l, w)| vec!["ZUNION", "2", k, l, "WEIGHTS", w, "1", "AGGREGATE", "MAX", "WITHSCORES"]),
        1 => (key(), key()).prop_map(|(k, l)| vec!["ZINTERCARD", "2", k, l]),
    ]
}

/// Commands on streams, under ids that are given.
fn streams() -> impl Strategy<Value = Vec<&'static str>> {
    let key = || prop_oneof![4 => Just("e"), 4 => Just("f"), 1 => Just("a")];
    let id = || {
        prop::sample::select(vec![
            "1-1", "1-2", "2", "2-*", "3-0", "3-*", "4-5", "5", "6-*", "7-7", "8", "9-*", "12-1", "20-*", "0-*", "x",
        ])
    };
    let bound = || prop::sample::select(vec!["-", "-", "+", "+", "2", "(2", "3-0", "(3-1", "5-1", "9", "x", "("]);
    let count = || prop_oneof![Just("0"), Just("1"), Just("2"), Just("3"), Just("-1"), Just("x")];
    let field = || prop_oneof![Just("f"), Just("g"), Just("")];
    let options = prop::sample::select(vec![
        &[][..],
        &[],
        &[],
        &["NOMKSTREAM"],
        &["MAXLEN", "2"],
        &["MAXLEN", "=", "3"],
        &["MINID", "3"],
        &["MAXLEN", "0"],
        &["LIMIT", "1"],
        &["MAXLEN", "1", "LIMIT", "1"],
        &["MINID", "x"],
    ]);
    let trim = prop::sample::select(vec![
        &["MAXLEN", "2"][..],
        &["MAXLEN", "=", "1"],
        &["MINID", "3-1"],
        &["MINID", "=", "7"],
        &["MAXLEN", "-1"],
        &["9"],
    ]);
    let told = prop::sample::select(vec![&[][..], &["FULL"], &["FULL", "COUNT", "1"], &["BOGUS"]]);
    let last = prop::sample::select(vec![
        &[][..],
        &["ENTRIESADDED", "7"],
        &["MAXDELETEDID", "2-2"],
        &["ENTRIESADDED", "1", "MAXDELETEDID", "1-1"],
    ]);
    let above = || prop_oneof![Just("0"), Just("2"), Just("3-0"), Just("7-6"), Just("$"), Just("x")];
    prop_oneof![
        8 => (key(), options, id(), prop::collection::vec((field(), field()), 1..3)).prop_map(|(k, options, id, pairs)| {
            let pairs = pairs.into_iter().flat_map(|(name, value)| [name, value]);
            ["XADD", k].into_iter().chain(options.iter().copied()).chain([id]).chain(pairs).collect()
        }),
        2 => (key(), bound(), bound(), prop::option::of(count())).prop_map(|(k, from, to, count)| {
            ["XRANGE", k, from, to].into_iter().chain(count.into_iter().flat_map(|count| ["COUNT", count])).collect()
        }),
        2 => (key(), bound(), bound(), prop::option::of(count())).prop_map(|(k, from, to, count)| {
            ["XREVRANGE", k, from, to].into_iter().chain(count.into_iter().flat_map(|count| ["COUNT", count])).collect()
        }),
        2 => (key(), key(), above(), above(), count()).prop_map(|(k, l, a, b, count)| vec!["XREAD", "COUNT", count, "STREAMS", k, l, a, b]),
        2 => (key(), id(), id()).prop_map(|(k, i, j)| vec!["XDEL", k, i, j]),
        1 => (key(), trim).prop_map(|(k, trim)| ["XTRIM", k].into_iter().chain(trim.iter().copied()).collect()),
        1 => (key(), id(), last).prop_map(|(k, id, last)| ["XSETID", k, id].into_iter().chain(last.iter().copied()).collect()),
        2 => (key(), told).prop_map(|(k, told)| ["XINFO", "STREAM", k].into_iter().chain(told.iter().copied()).collect()),
        1 => key().prop_map(|k| vec!["XLEN", k]),
        1 => key().prop_map(|k| vec!["DEL", k]),
        1 => key().prop_map(|k| vec!["EXISTS", k]),
    ]
}

/// Commands on groups of streams, whose consumers are there before they ask.
fn groups() -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    let key = || prop_oneof![6 => Just("e"), 3 => Just("f"), 1 => Just("a")];
    let group = || prop_oneof![5 => Just("g"), 3 => Just("h"), 1 => Just("none")];
    let consumer = || prop_oneof![Just("c"), Just("d")];
    let id = || prop::sample::select(vec!["1-1", "1-2", "2-0", "3-0", "4-5", "5-0", "7-7", "8-0", "9-0", "12-1", "x"]);
    let start = || prop::sample::select(vec!["0", "0", "0", "2", "$", "$", "12-0", "x"]);
    let read = || {
        prop::sample::select(vec![&[][..], &[], &["ENTRIESREAD", "2"], &["ENTRIESREAD", "-1"], &["ENTRIESREAD", "-2"]])
    };
    let count = || prop_oneof![Just("0"), Just("1"), Just("2"), Just("9")];
    let above = || prop::sample::select(vec![">", ">", ">", ">", "0", "2", "3-0", "$", "x"]);
    let bound = || prop::sample::select(vec!["-", "-", "+", "+", "2", "(2", "3-0", "(3-1", "x"]);
    let idle = || prop_oneof![5 => Just("0"), 1 => Just("100000"), 1 => Just("x")];
    let claim = || {
        prop::sample::select(vec![
            &[][..],
            &["JUSTID"],
            &["FORCE"],
            &["RETRYCOUNT", "4"],
            &["LASTID", "4-0"],
            &["IDLE", "5", "FORCE", "JUSTID"],
            &["BOGUS"],
        ])
    };
    let one = |words: Vec<&'static str>| vec![words];
    prop_oneof![
        4 => (key(), group(), start(), read()).prop_map(|(k, g, start, read)| {
            let create = ["XGROUP", "CREATE", k, g, start, "MKSTREAM"].into_iter().chain(read.iter().copied()).collect();
            let consumer = |c| vec!["XGROUP", "CREATECONSUMER", k, g, c];
            vec![create, consumer("c"), consumer("d")]
        }),
        1 => (key(), group(), start(), read()).prop_map(move |(k, g, start, read)| {
            one(["XGROUP", "SETID", k, g, start].into_iter().chain(read.iter().copied()).collect())
        }),
        1 => (key(), group()).prop_map(move |(k, g)| one(vec!["XGROUP", "DESTROY", k, g])),
        1 => (key(), group(), consumer()).prop_map(|(k, g, c)| {
            vec![vec!["XGROUP", "DELCONSUMER", k, g, c], vec!["XGROUP", "CREATECONSUMER", k, g, c]]
        }),
        8 => (key(), group(), consumer(), count(), above()).prop_map(move |(k, g, c, count, above)| {
            one(vec!["XREADGROUP", "GROUP", g, c, "COUNT", count, "STREAMS", k, above])
        }),
        2 => (key(), key(), group(), consumer(), above(), above()).prop_map(move |(k, l, g, c, a, b)| {
            one(vec!["XREADGROUP", "GROUP", g, c, "NOACK", "STREAMS", k, l, a, b])
        }),
        4 => (key(), group(), id(), id()).prop_map(move |(k, g, i, j)| one(vec!["XACK", k, g, i, j])),
        2 => (key(), group()).prop_map(move |(k, g)| one(vec!["XPENDING", k, g])),
        2 => (key(), group(), bound(), bound(), count()).prop_map(move |(k, g, from, to, count)| {
            one(vec!["XPENDING", k, g, "IDLE", "0", from, to, count])
        }),
        1 => (key(), group(), consumer()).prop_map(move |(k, g, c)| one(vec!["XPENDING", k, g, "-", "+", "9", c])),
        3 => (key(), group(), consumer(), idle(), id(), id(), claim()).prop_map(move |(k, g, c, idle, i, j, options)| {
            one(["XCLAIM", k, g, c, idle, i, j].into_iter().chain(options.iter().copied()).collect())
        }),
        3 => (key(), group(), consumer(), idle(), bound(), count()).prop_map(move |(k, g, c, idle, from, count)| {
            one(vec!["XAUTOCLAIM", k, g, c, idle, from, "COUNT", count])
        }),
        3 => key().prop_map(move |k| one(vec!["XINFO", "GROUPS", k])),
        2 => (key(), group()).prop_map(move |(k, g)| one(vec!["XINFO", "CONSUMERS", k, g])),
        2 => (key(), count()).prop_map(move |(k, count)| one(vec!["XINFO", "STREAM", k, "FULL", "COUNT", count])),
        1 => (key(), key()).prop_map(move |(k, l)| one(vec!["RENAME", k, l])),
        1 => (key(), key()).prop_map(move |(k, l)| one(vec!["COPY", k, l, "REPLACE"])),
    ]
}

/// Commands on lists. Values repeat, so that they are found more than once.
fn lists() -> impl Strategy<Value = Vec<&'static str>> {
    let key = || prop_oneof![3 => Just("l"), 3 => Just("m"), 1 => Just("a")];
    let value = || prop_oneof![Just("x"), Just("y"), Just("z"), Just("1"), Just("")];
    let index =
        || prop::sample::select(vec!["0", "0", "1", "2", "-1", "-1", "-2", "5", "-9", "x", "9223372036854775807"]);
    let end = || prop_oneof![4 => Just("LEFT"), 4 => Just("right"), 1 => Just("UP")];
    let side = prop_oneof![4 => Just("BEFORE"), 4 => Just("after"), 1 => Just("BESIDE")];
    let push = prop_oneof![3 => Just("LPUSH"), 3 => Just("RPUSH"), 1 => Just("LPUSHX"), 1 => Just("RPUSHX")];
    let pop = prop_oneof![Just("LPOP"), Just("RPOP")];
    let option = (prop_oneof![3 => Just("RANK"), 3 => Just("COUNT"), 2 => Just("MAXLEN"), 1 => Just("LEN")], index());
    prop_oneof![
        8 => (push, key(), prop::collection::vec(value(), 1..5))
            .prop_map(|(c, k, values)| [c, k].into_iter().chain(values).collect()),
        4 => (key(), side, value(), value()).prop_map(|(k, side, pivot, v)| vec!["LINSERT", k, side, pivot, v]),
        3 => (pop, key(), prop::option::of(index())).prop_map(|(c, k, n)| [c, k].into_iter().chain(n).collect()),
        // Redis takes an index of LSET modulo 2^32.
        3 => (key(), index(), value()).prop_map(|(k, at, v)| vec!["LSET", k, if at.len() > 9 { "77" } else { at }, v]),
        2 => (key(), index(), value()).prop_map(|(k, n, v)| vec!["LREM", k, n, v]),
        2 => (key(), index(), index()).prop_map(|(k, from, to)| vec!["LTRIM", k, from, to]),
        3 => (key(), key(), end(), end()).prop_map(|(k, l, from, to)| vec!["LMOVE", k, l, from, to]),
        2 => (key(), key()).prop_map(|(k, l)| vec!["RPOPLPUSH", k, l]),
        2 => (key(), value(), prop::collection::vec(option, 0..3)).prop_map(|(k, v, options)| {
            ["LPOS", k, v].into_iter().chain(options.into_iter().flat_map(|(word, n)| [word, n])).collect()
        }),
        2 => (key(), key(), end(), prop::option::of(index())).prop_map(|(k, l, end, n)| {
            let count = n.map(|n| ["COUNT", n]);
            ["LMPOP", "2", k, l, end].into_iter().chain(count.into_iter().flatten()).collect()
        }),
        2 => (key(), index()).prop_map(|(k, at)| vec!["LINDEX", k, at]),
        2 => (key(), index(), index()).prop_map(|(k, from, to)| vec!["LRANGE", k, from, to]),
        4 => key().prop_map(|k| vec!["LRANGE", k, "0", "-1"]),
        1 => key().prop_map(|k| vec!["LLEN", k]),
    ]
}

/// Commands over few keys, so that they meet; arguments at the edges.
fn commands() -> impl Strategy<Value = Vec<Vec<String>>> {
    let key = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
    let name = prop_oneof![Just("x"), Just("y"), Just("z"), Just("")];
    let value = prop_oneof![
        4 => Just("1"), 2 => Just("-3"), 2 => Just("text"), 1 => Just(""), 1 => Just("9223372036854775807"),
        1 => Just("-9223372036854775808"), 1 => Just("007"), 1 => Just("9223372036854775800"), 1 => Just("1.5"),
    ];
    let keyed = prop_oneof![
        Just("GET"),
        Just("INCR"),
        Just("DECR"),
        Just("DEL"),
        Just("TYPE"),
        Just("STRLEN"),
        Just("GETDEL"),
        Just("SMEMBERS"),
        Just("SCARD"),
        Just("HGETALL"),
        Just("HLEN"),
        Just("HKEYS"),
        Just("HVALS"),
        Just("EXISTS"),
    ];
    let valued =
        prop_oneof![Just("SET"), Just("SETNX"), Just("GETSET"), Just("APPEND"), Just("INCRBY"), Just("DECRBY"),];
    let named = prop_oneof![
        Just("SADD"),
        Just("SREM"),
        Just("SISMEMBER"),
        Just("HGET"),
        Just("HDEL"),
        Just("HEXISTS"),
        Just("HMGET"),
    ];
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let option = prop_oneof![
        2 => Just(vec!["NX"]),
        2 => Just(vec!["XX"]),
        2 => Just(vec!["GET"]),
        2 => Just(vec!["KEEPTTL"]),
        1 => Just(vec!["EX", "100"]),
        1 => Just(vec!["PXAT", "4102444800123"]),
    ];
    // Whole seconds, far from where they are rounded; hardly twice the same, since the two servers read their clocks apart.
    let seconds = prop_oneof![
        5 => (100..1_000_000_u32).prop_map(|seconds| seconds.to_string()),
        1 => prop_oneof![Just("0"), Just("-7"), Just("x")].prop_map(str::to_owned),
    ];
    let condition = prop_oneof![4 => Just(""), 1 => Just("NX"), 1 => Just("XX"), 1 => Just("GT"), 1 => Just("LT")];
    let lasting = prop_oneof![Just("TTL"), Just("PERSIST"), Just("GETEX")];
    let command = prop_oneof![
        3 => (keyed, key.clone()).prop_map(move |(c, k)| owned(vec![c, k])),
        3 => (valued, key.clone(), value.clone()).prop_map(move |(c, k, v)| owned(vec![c, k, v])),
        3 => (named, key.clone(), name.clone()).prop_map(move |(c, k, n)| owned(vec![c, k, n])),
        2 => (key.clone(), name.clone(), value.clone()).prop_map(move |(k, n, v)| owned(vec!["HSET", k, n, v])),
        2 => (key.clone(), name.clone(), value.clone()).prop_map(move |(k, n, v)| owned(vec!["HINCRBY", k, n, v])),
        1 => (key.clone(), name.clone(), name.clone()).prop_map(move |(k, n, m)| owned(vec!["SADD", k, n, m])),
        1 => (key.clone(), name.clone(), name.clone()).prop_map(move |(k, n, m)| owned(vec!["SREM", k, n, m])),
        1 => (key.clone(), name.clone(), name).prop_map(move |(k, n, m)| owned(vec!["HDEL", k, n, m])),
        1 => (key.clone(), value.clone(), prop::collection::vec(option, 1..3))
            .prop_map(move |(k, v, options)| owned([vec!["SET", k, v], options.concat()].concat())),
        2 => (key.clone(), seconds, condition).prop_map(move |(k, s, c)| {
            owned(["EXPIRE", k, &s, c].into_iter().filter(|word| !word.is_empty()).collect())
        }),
        1 => (lasting, key.clone()).prop_map(move |(c, k)| owned(vec![c, k])),
        1 => (key.clone(), value.clone()).prop_map(move |(k, v)| owned(vec!["SETEX", k, "300", v])),
        1 => (key.clone(), value.clone(), key.clone(), value).prop_map(move |(k, v, l, w)| owned(vec!["MSET", k, v, l, w])),
        1 => (key.clone(), key).prop_map(move |(k, l)| owned(vec!["MGET", k, l])),
        6 => sorted_sets().prop_map(owned),
        6 => streams().prop_map(owned),
        6 => lists().prop_map(owned),
        4 => keyspace::strings(),
        3 => keyspace::keys(),
        3 => keyspace::sets(),
        4 => keyspace::bitmaps(),
        4 => keyspace::places(),
        3 => keyspace::hyperloglogs(),
        1 => prop_oneof![Just("DBSIZE"), Just("FLUSHALL"), Just("RESET")].prop_map(move |c| owned(vec![c])),
        1 => Just(owned(vec!["KEYS", "*"])),
        1 => Just(owned(vec!["HELLO", "3"])),
    ];
    prop::collection::vec(command, 1..60)
}

#[test]
fn any_sequence_of_commands_is_answered_the_same() {
    let Some(pair) = Pair::start(None) else { return };
    // The runner's closure may be called again while shrinking, so it is no FnMut.
    let pair = std::cell::RefCell::new(pair);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&commands(), |commands| {
        let mut pair = pair.borrow_mut();
        pair.call(&["RESET"]);
        pair.call(&["FLUSHALL"]);
        for command in &commands {
            let [redis, cahoots] = pair.call(command);
            if command[0] != "HELLO" {
                prop_assert_eq!(redis, cahoots, "\n  command {:?}\n  left is Redis, right is ours", command);
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// As above, of streams and their groups alone, so that they come to hold something.
#[test]
fn any_sequence_of_commands_on_groups_is_answered_the_same() {
    let Some(pair) = Pair::start(None) else { return };
    let pair = std::cell::RefCell::new(pair);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let commands = prop_oneof![2 => streams().prop_map(|command| vec![command]), 5 => groups()];
    let outcome = runner.run(&prop::collection::vec(commands, 1..80), |commands| {
        let mut pair = pair.borrow_mut();
        pair.call(&["FLUSHALL"]);
        for command in commands.iter().flatten() {
            let [redis, cahoots] = pair.call(command);
            prop_assert_eq!(redis, cahoots, "\n  command {:?}\n  left is Redis, right is ours", command);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn any_pattern_matches_the_same_keys() {
    let Some(pair) = Pair::start(None) else { return };
    let pair = std::cell::RefCell::new(pair);
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    // Not the empty key: for Redis it matches `*` but not `**`.
    let keys = prop::collection::vec("[-ab\\]\\[^*?\\\\_]{1,4}", 1..20);
    let pattern = prop::collection::vec("[-ab\\]\\[^*?\\\\_]{0,6}", 1..20);
    let outcome = runner.run(&(keys, pattern), |(keys, patterns)| {
        let mut pair = pair.borrow_mut();
        pair.call(&["FLUSHALL"]);
        let set: Vec<&str> = std::iter::once("MSET").chain(keys.iter().flat_map(|key| [&**key, "v"])).collect();
        pair.call(&set);
        for pattern in patterns {
            let [redis, cahoots] = pair.call(&["KEYS", &pattern]);
            prop_assert_eq!(redis, cahoots, "pattern {:?} of {:?}", pattern, keys);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn a_pipeline_of_ten_thousand_commands_is_answered_in_order() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let pipeline: Vec<u8> = (0..10_000).flat_map(|_| frame(&["INCR", "n"])).collect();
    client.send(&pipeline);
    for expected in 1..=10_000 {
        assert_eq!(client.receive().integer(), expected);
    }
}
