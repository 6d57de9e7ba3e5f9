//! Users and their rights: the same rules to Redis and to us, and the same answers.
//!
//! Redis here is 7.0, which says some things in other words than 7.2, whose words are ours. Those are put right before they
//! are compared; nothing else is forgiven:
//!
//! - 7.0 does not say `sanitize-payload` of users that were not told.
//! - 7.0 tells commands by the shortest list that it finds, 7.2 as they were asked for. So Redis is given our list, too, and
//!   must find the same shortest one for it.
//! - Refusals name the user in 7.2.

mod process;

use process::{Client, Process, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Both servers, and a client of each that may do everything.
struct Pair {
    redis: Process,
    ours: Process,
    clients: [Client; 2],
}

impl Pair {
    fn start() -> Option<Self> {
        let redis = Process::redis()?;
        let ours = Process::cahoots(&[]);
        let clients = [redis.client(), ours.client()];
        Some(Self { redis, ours, clients })
    }

    fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> [Value; 2] {
        self.clients.each_mut().map(|client| client.call(args))
    }

    /// How Redis tells these rules on commands.
    fn as_redis_tells(&mut self, rules: &str) -> String {
        let words = ["ACL", "SETUSER", "probe", "reset"]
            .into_iter()
            .chain(rules.split(' ').skip(usize::from(rules.is_empty())));
        assert_eq!(self.clients[0].call(&words.collect::<Vec<_>>()).text(), "OK", "{rules}");
        field(&self.clients[0].words("ACL GETUSER probe"), "commands").text()
    }

    /// What differs in how the two tell the user `u`.
    fn difference_in_user(&mut self) -> Option<String> {
        let [redis, ours] = self.call(&["ACL", "GETUSER", "u"]);
        let flags = |user: &Value| -> Vec<String> {
            let flags = field(user, "flags");
            let flags = flags.parts().iter().map(Value::text);
            flags.filter(|flag| flag != "sanitize-payload").collect()
        };
        let mut pairs = vec![("flags", flags(&redis).join(" "), flags(&ours).join(" "))];
        pairs.push(("passwords", field(&redis, "passwords").lines(), field(&ours, "passwords").lines()));
        let selectors =
            |user: &Value| -> Vec<Value> { [vec![user.clone()], field(user, "selectors").parts().to_vec()].concat() };
        let (theirs, mine) = (selectors(&redis), selectors(&ours));
        pairs.push(("selectors", theirs.len().to_string(), mine.len().to_string()));
        for (theirs, mine) in theirs.iter().zip(&mine) {
            for name in ["keys", "channels"] {
                pairs.push((name, field(theirs, name).text(), field(mine, name).text()));
            }
            let rules = self.as_redis_tells(&field(mine, "commands").text());
            pairs.push(("commands", field(theirs, "commands").text(), rules));
        }
        let differs = pairs.into_iter().find(|(_, redis, ours)| redis != ours)?;
        Some(format!("{}: Redis {:?}, ours {:?}", differs.0, differs.1, differs.2))
    }
}

fn field(map: &Value, name: &str) -> Value {
    let pair = map.parts().chunks(2).find(|pair| pair[0].text() == name);
    pair.unwrap_or_else(|| panic!("no {name} in {map:?}"))[1].clone()
}

/// A refusal of 7.0 in the words of 7.2, for a user called `u`.
fn newer(text: &str) -> String {
    text.replace("the HELLO AUTH <user>", "the HELLO <proto> AUTH <user>")
        .replace("This user has no permissions", "User u has no permissions")
        .replace("NOPERM this user has no permissions to run", "NOPERM User u has no permissions to run")
        .replace(
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM No permissions to access a key",
        )
        .replace(
            "NOPERM this user has no permissions to access one of the channels used as arguments",
            "NOPERM No permissions to access a channel",
        )
}

/// What users might be asked for: words, or one selector.
fn rule() -> impl Strategy<Value = String> {
    let about_user = prop::sample::select(
        "on off nopass resetpass >a >b <a <c reset clearselectors nonsense \
         #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb \
         !ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb #abc !ABC"
            .split_whitespace()
            .collect::<Vec<_>>(),
    );
    let permission = || {
        prop::sample::select(
            "allkeys resetkeys ~* ~a ~a:* %R~b* %w~c %RW~d %RW~a % %~a %RR~a %R ~ allchannels RESETCHANNELS &* &a &b* & \
             allcommands nocommands +@all -@all +@read +@write -@write +@hash -@hash +@fast -@slow +@admin -@dangerous \
             +@pubsub +@connection +@scripting +@nothing +get -get +GET +set +hset -del +mget +copy +sort +publish \
             +subscribe +psubscribe +config -config +config|get -config|set +config|nothing +config|get|x +client|id \
             +select|0 +select|1 -select +SELECT|0 +select| +eval +nothing - + +object|freq -object"
                .split_whitespace()
                .collect::<Vec<_>>(),
        )
    };
    let selector = prop::collection::vec(permission(), 0..5).prop_map(|words| format!("({})", words.join(" ")));
    prop_oneof![
        3 => about_user.prop_map(str::to_owned),
        9 => permission().prop_map(str::to_owned),
        2 => selector,
    ]
}

/// Commands that both have, to be asked about.
const CALLED: &[&str] = &[
    "get a",
    "get a:1",
    "get b2",
    "set a v",
    "set a v GET",
    "set c v",
    "del a d",
    "mget a b d",
    "copy a d",
    "copy b c",
    "hset a f v",
    "hget b f",
    "sort a",
    "sort a BY x STORE c",
    "bitfield b GET u8 0",
    "bitfield b SET u8 0 1",
    "exists c",
    "zunionstore c 2 a b",
    "xread STREAMS a b 0 0",
    "eval x 1 a",
    "eval x 2 a b",
    "blpop a d 0",
    "lmove b d LEFT RIGHT",
    "publish a m",
    "publish b1 m",
    "subscribe a b",
    "psubscribe b*",
    "psubscribe b",
    "ssubscribe a",
    "unsubscribe x",
    "select 0",
    "select 1",
    "config get x",
    "config set x y",
    "client id",
    "object freq a",
    "auth x",
    "reset",
    "ping",
    "dbsize",
    "nothing a",
    "get",
];

#[test]
fn any_rules_come_to_the_same_user_with_the_same_rights() {
    let Some(pair) = Pair::start() else { return };
    let pair = std::cell::RefCell::new(pair);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let calls = prop::collection::vec(prop::collection::vec(rule(), 0..6), 1..6);
    let outcome = runner.run(&calls, |calls| {
        let mut pair = pair.borrow_mut();
        pair.call(&["ACL", "DELUSER", "u"]);
        for rules in &calls {
            let words: Vec<&str> = ["ACL", "SETUSER", "u"].into_iter().chain(rules.iter().map(|it| &**it)).collect();
            let [redis, ours] = pair.call(&words);
            prop_assert_eq!(redis, ours, "\n  rules {:?}\n  left is Redis, right is ours", words);
        }
        if pair.clients[1].words("ACL GETUSER u").parts().is_empty() {
            return Ok(());
        }
        prop_assert_eq!(pair.difference_in_user(), None, "{:?}", calls);
        for called in CALLED {
            let words: Vec<&str> = ["ACL", "DRYRUN", "u"].into_iter().chain(called.split(' ')).collect();
            let [redis, ours] = pair.call(&words).map(|reply| reply.text());
            prop_assert_eq!(newer(&redis), ours, "\n  {} after {:?}\n  left is Redis, right is ours", called, calls);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// What clients do one after the other: the first word says whose client it is. `u` is not told from `d` but by name.
const SESSION: &str = "
d ACL WHOAMI
d AUTH x
d AUTH default x
d AUTH nobody x
d AUTH a b c
d AUTH
d ACL CAT nothing
d ACL CAT
d ACL NOTHING
d ACL
d ACL WHOAMI x
d ACL CAT a b
d ACL LOG a b
d ACL LOG x
d ACL GENPASS 0
d ACL GENPASS 4097
d ACL GENPASS x
d ACL GENPASS 1 2
d ACL GETUSER nobody
d ACL DELUSER default
d ACL DELUSER nobody nobody
d ACL DRYRUN nobody get a
d ACL DRYRUN default nothing
d ACL DRYRUN default get
d ACL DRYRUN default config nothing
d ACL LOAD
d ACL SAVE
d ACL USERS
d ACL SETUSER u
d ACL USERS
u AUTH u p
d ACL SETUSER u on >p
u AUTH u q
u AUTH u p
u ACL WHOAMI
u PING
d ACL SETUSER u +@all -@dangerous ~a* &c*
u PING
u ACL WHOAMI
u SET a 1
u SET b 1
u GET a
u MGET a b
u KEYS *
u PUBLISH c m
u PUBLISH d m
u SORT a
u SORT a BY a*
u SORT a GET a*
u SORT a GET #
u SORT a BY nosort
u EVAL return(redis.call('set','a1','1')) 0
u EVAL return(redis.acl_check_cmd('set','a','1')) 0
u EVAL return(redis.acl_check_cmd('set','b','1')) 0
u EVAL return(redis.acl_check_cmd('keys','b')) 0
u EVAL return(redis.acl_check_cmd('nothing')) 0
u EVAL return(redis.acl_check_cmd('config','get','a')) 0
u EVAL return(1) 1 b
u MULTI
u GET b
u EXEC
u MULTI
u SET a 2
d ACL SETUSER u -set
u EXEC
d ACL SETUSER u +set -publish
u MULTI
u PUBLISH c m
u GET a
u EXEC
u MULTI
u SET a 3
d ACL SETUSER u resetkeys ~b
u EXEC
d ACL SETUSER u resetkeys
u AUTH default any
u ACL WHOAMI
u GET b
u RESET
u HELLO 3 AUTH u q
u HELLO 3 AUTH u
u HELLO 2 SETNAME me AUTH default x SETNAME you
u CLIENT GETNAME
d CONFIG SET requirepass secret
u PING
u RESET
u PING
u GET a
u GET
u NOTHING
u HELLO
u HELLO 3
u AUTH wrong
u AUTH default wrong
u MULTI
u RESET
u AUTH secret
u PING
d AUTH secret
d CONFIG SET requirepass x requirepass y
d CONFIG SET acl-pubsub-default nothing
d CONFIG SET acllog-max-len x
d CONFIG SET acllog-max-len -1
d CONFIG SET aclfile x
d CONFIG GET acl-pubsub-default
d CONFIG SET acl-pubsub-default allchannels
d CONFIG GET acl*
d ACL SETUSER v +publish
d ACL DRYRUN v publish x y
d ACL SETUSER default >other
u RESET
u AUTH other
d CONFIG SET requirepass \"\"
u RESET
u PING
d CONFIG GET requirepass
d CLIENT KILL USER nobody
d CLIENT KILL USER v
d ACL DELUSER u v
d ACL USERS
";

/// What the two say differently on purpose: replies of 7.0 in the words of 7.2, and times and addresses of log entries.
fn comparable(reply: Value) -> Value {
    match reply {
        Value::Leaf(bytes) if bytes[0] == b'-' => {
            let text = newer(&String::from_utf8_lossy(&bytes));
            // Where it was in the script is compared elsewhere.
            Value::Leaf(text.split(" script: ").next().unwrap_or_default().trim_end().as_bytes().to_vec())
        }
        Value::Leaf(bytes) => Value::Leaf(bytes),
        Value::Node(head, parts) => Value::Node(head, parts.into_iter().map(comparable).collect()),
    }
}

#[test]
fn what_clients_are_told_is_what_redis_tells_them() {
    for hello in ["2", "3"] {
        let Some(pair) = Pair::start() else { return };
        let clients = [&pair.redis, &pair.ours].map(|server| [server.client(), server.client()]);
        let mut clients = clients;
        for client in clients.iter_mut().flatten() {
            client.call(&["HELLO", hello]);
        }
        let mut differences = String::new();
        for line in SESSION.lines().filter(|line| !line.is_empty()) {
            let (who, command) = line.split_once(' ').expect("who, and what");
            let words: Vec<&str> = command.split(' ').map(|word| if word == "\"\"" { "" } else { word }).collect();
            let [redis, ours] = clients.each_mut().map(|pair| {
                let reply = comparable(pair[usize::from(who == "u")].call(&words));
                if words[0] == "CONFIG" { reply.sorted(hello == "2") } else { reply }
            });
            // HELLO tells the number of the connection.
            if redis != ours
                && !(words[0] == "HELLO" && redis.parts().len() == ours.parts().len() && !redis.parts().is_empty())
            {
                differences.push_str(&format!("\n  {line}\n    Redis {redis:?}\n    ours  {ours:?}"));
            }
        }
        assert!(differences.is_empty(), "RESP{hello}{differences}");
    }
}

/// Which keys a command has and what it does to them, for every command that both have.
#[test]
fn what_is_done_to_keys_is_what_redis_says() {
    let Some(mut pair) = Pair::start() else { return };
    let commands = pair.clients[1].words("COMMAND");
    let mut compared = 0;
    let known =
        |pair: &mut Pair, name: &str| !pair.clients[0].call(&["COMMAND", "INFO", name]).parts()[0].parts().is_empty();
    for command in commands.parts() {
        for command in std::iter::once(command).chain(command.parts()[9].parts()) {
            let (name, arity) = (command.parts()[0].text(), command.parts()[1].integer());
            let has_subcommands = !command.parts()[9].parts().is_empty();
            if has_subcommands || !known(&mut pair, &name) {
                continue;
            }
            let least = usize::try_from(arity.unsigned_abs()).expect("few");
            // Their arguments are those of 7.2.
            if matches!(&*name, "zrank" | "zrevrank") {
                continue;
            }
            let named: Vec<&str> = name.split('|').collect();
            for more in 0..=if arity < 0 { 3 } else { 0 } {
                let mut words = vec!["COMMAND", "GETKEYSANDFLAGS"];
                words.extend(&named);
                words.resize(2 + least + more, "1");
                let [redis, ours] = pair.call(&words).map(|reply| sorted(&reply));
                // Redis finds no keys where there are none to be read.
                if name == "pfmerge" && more == 0 {
                    continue;
                }
                assert_eq!(redis, ours, "{words:?}");
                compared += usize::from(redis.starts_with('*'));
            }
        }
    }
    assert!(compared > 200, "only {compared} compared");
    for line in [
        "set k v GET",
        "set k v EX 1 get",
        "set k GET",
        "bitfield k",
        "bitfield k GET u8 0",
        "bitfield k GET u8 0 SET u8 0 1",
        "bitfield k OVERFLOW SAT GET u8 0",
        "xread COUNT 1 STREAMS a b 0 0",
        "sort a BY b GET c STORE d",
        "georadius a 1 1 1 m STORE b",
        "georadius a 1 1 1 m STOREDIST b",
        "zunionstore a 2 b c WEIGHTS 1 2",
        "bitop AND a b c",
        "eval x 2 a b c",
        "memory usage a",
        "ssubscribe a",
        "spublish a b",
        "publish a b",
    ] {
        let words: Vec<&str> = ["COMMAND", "GETKEYSANDFLAGS"].into_iter().chain(line.split(' ')).collect();
        let [redis, ours] = pair.call(&words).map(|reply| sorted(&reply));
        assert_eq!(redis, ours, "{line}");
    }
}

/// With the words about each key in their order, as one text.
fn sorted(reply: &Value) -> String {
    let keys = reply.parts().iter().map(|key| match key {
        Value::Node(head, parts) => Value::Node(head.clone(), vec![parts[0].clone(), parts[1].clone().sorted(false)]),
        leaf @ Value::Leaf(_) => leaf.clone(),
    });
    match reply {
        Value::Node(head, _) => Value::Node(head.clone(), keys.collect()).lines(),
        leaf @ Value::Leaf(_) => leaf.lines(),
    }
}

/// The same commands are in the same categories.
#[test]
fn categories_have_the_commands_that_they_have_in_redis() {
    let Some(mut pair) = Pair::start() else { return };
    let names = |reply: &Value| reply.parts().iter().map(Value::text).collect::<std::collections::BTreeSet<String>>();
    let [all, ours] = pair.call(&["COMMAND", "LIST"]).map(|reply| names(&reply));
    for category in names(&pair.clients[1].words("ACL CAT")) {
        let [redis, mine] = pair.call(&["ACL", "CAT", &category]).map(|reply| names(&reply));
        let both = |it: &std::collections::BTreeSet<String>| -> Vec<String> {
            it.iter().filter(|name| all.contains(*name) && ours.contains(*name)).cloned().collect()
        };
        assert_eq!(both(&redis), both(&mine), "{category}");
    }
}
