//! What clients are sent unasked by channels: the same as by a Redis, and by a daemon that clients cannot wear out.

mod process;

use process::listener::Listener;
use process::{Process, Value, frame};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Three clients of one server, of both protocols.
struct Listeners(Vec<Listener>);

impl Listeners {
    fn of(server: &Process) -> Self {
        Self(["2", "3", "3"].map(|protocol| Listener::new(server, protocol)).into())
    }

    /// One of them says something: what each has heard then.
    fn say(&mut self, who: usize, words: &str) -> Vec<Vec<Value>> {
        let said = self.0[who].call(words);
        let hears = |(at, it): (usize, &mut Listener)| if at == who { said.clone() } else { it.heard() };
        self.0.iter_mut().enumerate().map(hears).collect()
    }
}

/// Of what Redis gives in the order of a table of hashes, the order is not compared.
fn without_order(heard: Vec<Vec<Value>>, words: &str) -> Vec<Vec<String>> {
    let unordered = words.starts_with("PUBLISH")
        || words == "EXEC"
        || words.ends_with("UNSUBSCRIBE")
        || words.starts_with("PUBSUB");
    heard
        .into_iter()
        .map(|values| {
            let mut parts: Vec<String> = values.iter().map(Value::lines).collect();
            if unordered {
                parts = parts.iter().flat_map(|part| part.split(' ')).map(str::to_owned).collect();
                parts.sort();
            }
            // Of one that is in a transaction, what was said before may be heard with what it says next.
            parts
                .chunk_by_mut(|one, next| to_a_pattern(one).is_some() && to_a_pattern(one) == to_a_pattern(next))
                .for_each(<[_]>::sort);
            parts
        })
        .collect()
}

/// What is said, and where, to one who listens to a pattern.
fn to_a_pattern(line: &str) -> Option<&str> {
    line.split_once("pmessage ")?.1.splitn(3, ' ').nth(2)
}

fn commands() -> impl Strategy<Value = Vec<(usize, String)>> {
    let name = || prop::sample::select(vec!["a", "b", "ab", "c"]);
    let pattern = || prop::sample::select(vec!["a*", "*", "?", "[ab]", "c"]);
    let two = move |command: &'static str| (name(), name()).prop_map(move |(a, b)| format!("{command} {a} {b}"));
    let command = prop_oneof![
        3 => two("SUBSCRIBE"),
        3 => pattern().prop_map(|it| format!("PSUBSCRIBE {it}")),
        1 => two("SSUBSCRIBE"),
        1 => two("UNSUBSCRIBE"),
        1 => Just("UNSUBSCRIBE".to_owned()),
        1 => pattern().prop_map(|it| format!("PUNSUBSCRIBE {it}")),
        1 => Just("PUNSUBSCRIBE".to_owned()),
        1 => Just("SUNSUBSCRIBE".to_owned()),
        8 => (name(), "[a-z]{0,3}x").prop_map(|(name, text)| format!("PUBLISH {name} {text}")),
        2 => name().prop_map(|name| format!("SPUBLISH {name} m")),
        1 => Just("PUBSUB CHANNELS".to_owned()),
        1 => pattern().prop_map(|it| format!("PUBSUB CHANNELS {it}")),
        1 => Just("PUBSUB NUMPAT".to_owned()),
        1 => two("PUBSUB NUMSUB"),
        1 => two("PUBSUB SHARDNUMSUB"),
        1 => Just("PUBSUB SHARDCHANNELS".to_owned()),
        1 => Just("PUBSUB NUMPAT x".to_owned()),
        1 => Just("PUBSUB CHANNELS a b".to_owned()),
        1 => Just("PUBSUB NOTHING".to_owned()),
        1 => Just("GET k".to_owned()),
        1 => Just("SUBSCRIBE".to_owned()),
        2 => Just("MULTI".to_owned()),
        2 => Just("EXEC".to_owned()),
        1 => Just("RESET".to_owned()),
    ];
    prop::collection::vec((0..3_usize, command), 1..60)
}

#[test]
fn whoever_listens_to_whatever_hears_what_it_would_from_redis() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let result = runner.run(&commands(), |commands| {
        let (mut theirs, mut mine) = (Listeners::of(&redis), Listeners::of(&ours));
        for (who, words) in commands {
            let (theirs, mine) = (theirs.say(who, &words), mine.say(who, &words));
            let (theirs, mine) = (without_order(theirs, &words), without_order(mine, &words));
            prop_assert_eq!(theirs, mine, "{} says {}", who, words);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn one_who_speaks_to_itself_hears_that_before_it_is_answered() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let [theirs, mine] = [&redis, &ours].map(|server| {
        let mut listener = Listener::new(server, "3");
        let words = ["SUBSCRIBE a", "PUBLISH a 1", "MULTI", "PUBLISH a 2", "PUBLISH a 3", "EXEC", "RESET"];
        words.map(|words| listener.call(words))
    });
    assert_eq!(theirs, mine);
}

#[test]
fn one_who_does_not_take_its_messages_is_cut_and_the_others_are_not() {
    let server = Process::cahoots(&[]);
    let (mut slow, mut quick, mut speaker) =
        (server.client(), Listener::new(&server, "3"), Listener::new(&server, "3"));
    slow.call(&["SUBSCRIBE", "a"]);
    quick.call("SUBSCRIBE a");
    let message = "x".repeat(1 << 20);
    let mut count = 0;
    while speaker.call(&format!("PUBLISH a {message}"))[0].integer() == 2 {
        assert_eq!(quick.heard().len(), 1);
        count += 1;
        assert!(count < 200, "what waits for one client is bounded");
    }
    assert!(count >= 32, "it was cut too early: {count}");
    assert_eq!(quick.heard().len(), 1, "the others hear on");
    let whole = slow.rest();
    assert!(whole.len() < (count + 1) << 20, "the slow one has missed something, and knows it");
}

#[test]
fn a_blocked_client_hears_messages_and_one_that_is_gone_listens_no_more() {
    let server = Process::cahoots(&[]);
    let (mut blocked, mut speaker) = (server.client(), Listener::new(&server, "2"));
    blocked.call(&["HELLO", "3"]);
    blocked.call(&["SUBSCRIBE", "a"]);
    blocked.send(&frame(&["BLPOP", "list", "0"]));
    speaker.call("PUBLISH a m");
    assert!(format!("{:?}", blocked.receive()).starts_with('>'), "the message, though it waits");
    speaker.call("RPUSH list x");
    assert!(blocked.receive().lines().ends_with("$1 x"));
    drop(blocked);
    while speaker.call("PUBLISH a m")[0].integer() > 0 {
        std::thread::yield_now();
    }
}
