//! Clients that cache what they read: told of what changes as by a Redis, and of what other daemons change.

mod process;

use process::listener::Listener;
use process::{Process, Value, frame};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// What was heard, each by its lines.
fn lines(heard: &[Value]) -> Vec<String> {
    heard.iter().map(Value::lines).collect()
}

/// Sends a command and has its reply before it asks what was pushed behind that: told of all keys with a prefix, a client hears of
/// its own changes only once Redis has nothing left to do.
fn say(listener: &mut Listener, words: &str) -> Vec<String> {
    listener.client.send(&frame(&words.split(' ').collect::<Vec<_>>()));
    let mut heard = listener.up_to(|value| !value.lines().starts_with('>'));
    let reply = heard.last().map(Value::lines).unwrap_or_default();
    listener.queues = match words {
        "MULTI" => listener.queues || reply == "+OK",
        "EXEC" | "DISCARD" | "RESET" => false,
        _ => listener.queues,
    };
    heard.extend(listener.heard());
    lines(&heard)
}

fn commands() -> impl Strategy<Value = Vec<(usize, &'static str)>> {
    let command = prop::sample::select(vec![
        "CLIENT TRACKING ON",
        "CLIENT TRACKING ON NOLOOP",
        "CLIENT TRACKING ON OPTIN",
        "CLIENT TRACKING ON OPTOUT",
        "CLIENT TRACKING ON OPTIN OPTOUT",
        // Not OFF by itself: Redis goes on to tell of what was read before it once tracking is on again.
        "CLIENT TRACKING OFF x",
        "CLIENT TRACKING ON PREFIX a",
        "CLIENT TRACKING ON REDIRECT 99999",
        "CLIENT TRACKING maybe",
        "CLIENT CACHING YES",
        "CLIENT CACHING NO",
        "CLIENT CACHING maybe",
        "CLIENT TRACKINGINFO",
        "CLIENT GETREDIR",
        "GET a",
        "GET a",
        "MGET a b",
        "HGETALL h",
        "LRANGE l 0 -1",
        "SET a 1",
        "SET a 2",
        "MSET a 1 b 2",
        "HSET h f v",
        "RPUSH l x",
        "LPOP l",
        "DEL a",
        "EXPIRE a 100",
        "FLUSHALL",
        "MULTI",
        "EXEC",
        "DISCARD",
    ]);
    prop::collection::vec((0..3_usize, command), 1..60)
}

#[test]
fn who_caches_what_is_told_of_what_redis_tells() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    let result = runner.run(&commands(), |commands| {
        let [mut theirs, mut mine] = [&redis, &ours].map(|server| {
            let mut listeners = ["3", "3", "2"].map(|protocol| Listener::new(server, protocol));
            say(&mut listeners[0], "FLUSHALL");
            listeners
        });
        for (who, words) in commands {
            let heard = |listeners: &mut [Listener; 3]| {
                let said = say(&mut listeners[who], words);
                let hears =
                    |(at, it): (usize, &mut Listener)| if at == who { said.clone() } else { lines(&it.heard()) };
                listeners.iter_mut().enumerate().map(hears).collect::<Vec<_>>()
            };
            prop_assert_eq!(heard(&mut theirs), heard(&mut mine), "{} says {}", who, words);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn prefixes_and_other_connections_are_told_as_by_redis() {
    let Some(redis) = Process::redis() else { return };
    let ours = Process::cahoots(&[]);
    let [theirs, mine] = [&redis, &ours].map(|server| {
        let (mut old, mut told, mut broad) =
            (Listener::new(server, "2"), Listener::new(server, "2"), Listener::new(server, "3"));
        let id = say(&mut told, "CLIENT ID")[0].trim_start_matches(':').to_owned();
        say(&mut told, "SUBSCRIBE __redis__:invalidate");
        let mut all = Vec::new();
        all.push(say(&mut old, &format!("CLIENT TRACKING ON REDIRECT {id}")));
        for words in ["GET a", "CLIENT TRACKING ON BCAST", "SET a 1"] {
            all.push(say(&mut old, words));
            all.push(lines(&told.heard()));
        }
        let tracks = [
            "CLIENT TRACKING ON BCAST PREFIX a PREFIX ab",
            "CLIENT TRACKING ON BCAST PREFIX a PREFIX bc",
            "CLIENT TRACKING ON BCAST PREFIX b",
            "CLIENT TRACKINGINFO",
            "CLIENT TRACKING ON",
            "SET bcd 1",
            "SET cd 1",
        ];
        all.extend(tracks.map(|words| say(&mut broad, words)));
        for words in ["SET ab 1", "SET b 1", "DEL ab bcd", "FLUSHALL"] {
            all.push(say(&mut old, words));
            let mut heard = lines(&broad.heard());
            // Redis tells of several keys at once.
            heard = heard.iter().flat_map(|it| it.split(' ').skip(3)).map(str::to_owned).collect();
            heard.retain(|it| !it.starts_with('$') && !it.starts_with('*'));
            heard.sort();
            all.push(heard);
            all.push(lines(&told.heard()));
        }
        drop(told);
        all
    });
    assert_eq!(theirs, mine);
}

#[test]
fn a_table_that_is_full_forgets_a_key_and_says_so() {
    let server = Process::cahoots(&[]);
    let mut listener = Listener::new(&server, "3");
    say(&mut listener, "CONFIG SET tracking-table-max-keys 2");
    say(&mut listener, "CLIENT TRACKING ON");
    say(&mut listener, "GET a");
    say(&mut listener, "GET b");
    assert_eq!(say(&mut listener, "GET c"), [">2 $10 invalidate *1 $1 a", "_"], "what was noted first goes first");
    assert!(say(&mut listener, "INFO stats")[0].contains("tracking_total_keys:2"));
}

#[test]
fn what_another_daemon_changes_and_what_ends_is_told() {
    let first = Process::cahoots(&["--node", "a"]);
    let seed = first.client().words("CAHOOTS STATUS").pair("listen");
    let second = Process::cahoots(&["--node", "b", "--seed", &seed]);
    let (mut listener, mut other) = (Listener::new(&first, "3"), Listener::new(&second, "2"));
    let begun = std::time::Instant::now();
    let is_apart = |other: &mut Listener| {
        other.client.words("CAHOOTS STATUS").pair("ready") != "1"
            || other.client.words("INFO cahoots").text().contains("peers_live:0")
    };
    while is_apart(&mut other) {
        assert!(begun.elapsed() < process::PATIENCE);
    }
    say(&mut listener, "CLIENT TRACKING ON");
    say(&mut listener, "GET k");
    say(&mut other, "SET k 1 PX 300");
    assert_eq!(listener.client.receive().lines(), ">2 $10 invalidate *1 $1 k");
    say(&mut listener, "GET k");
    assert_eq!(listener.client.receive().lines(), ">2 $10 invalidate *1 $1 k", "it has ended");
}
