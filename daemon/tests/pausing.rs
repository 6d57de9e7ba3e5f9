//! Clients that are paused: what is held and what is not, at a Redis and at a daemon of ours.

mod process;

use std::time::{Duration, Instant};

use process::{Client, PATIENCE, Process, frame};

/// Longer than any test.
const PAUSE: &str = "CLIENT PAUSE 1000000 WRITE";

/// A Redis, if there is one, and a daemon.
fn both() -> impl Iterator<Item = Process> {
    Process::redis().into_iter().chain([Process::cahoots(&[])])
}

fn figure(client: &mut Client, section: &str, field: &str) -> u64 {
    let info = client.words(&format!("INFO {section}")).text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {info}")).trim().parse().expect("a number")
}

fn await_figure(client: &mut Client, section: &str, field: &str, value: u64) {
    let begun = Instant::now();
    while figure(client, section, field) != value {
        assert!(begun.elapsed() < PATIENCE, "{field} stays {}", figure(client, section, field));
        std::thread::yield_now();
    }
}

/// A client that sends a command, which is held behind those that are held already.
fn held(server: &Process, other: &mut Client, words: &str, before: u64) -> Client {
    let mut client = server.client();
    client.send(&frame(&words.split(' ').collect::<Vec<_>>()));
    await_figure(other, "clients", "blocked_clients", before + 1);
    client
}

#[test]
fn writes_wait_until_the_pause_is_over_first_come_first_served() {
    for server in both() {
        let mut other = server.client();
        other.words("SET k v");
        assert_eq!(other.words(PAUSE).text(), "OK");
        let mut held: Vec<Client> =
            (0..3).map(|number| held(&server, &mut other, &format!("RPUSH l {number}"), number)).collect();
        assert_eq!(other.words("GET k").text(), "v", "who reads is not held");
        assert_eq!(other.words("LLEN l").integer(), 0);
        assert_eq!(other.words("CLIENT UNPAUSE").text(), "OK");
        let lens: Vec<i64> = held.iter_mut().map(|client| client.receive().integer()).collect();
        assert_eq!(lens, [1, 2, 3]);
        assert_eq!(other.words("LRANGE l 0 -1").lines(), "*3 $1 0 $1 1 $1 2");
        await_figure(&mut other, "clients", "blocked_clients", 0);
    }
}

#[test]
fn what_may_write_is_held_and_what_says_that_it_does_not_is_not() {
    for server in both() {
        let mut other = server.client();
        other.words("SET k v");
        let library = "#!lua name=l\nredis.register_function('w', function() return 1 end)\n\
                       redis.register_function{function_name='r', callback=function() return 1 end, flags={'no-writes'}}";
        other.call(&["FUNCTION", "LOAD", library]);
        let sha = other.words("SCRIPT LOAD return(1)").text();
        other.words(PAUSE);
        for words in ["PUBLISH c m", "SPUBLISH c m", "PFCOUNT k", "EVAL return(1) 0", "FCALL w 0", "SORT k STORE s"] {
            drop(held(&server, &mut other, words, 0));
            await_figure(&mut other, "clients", "blocked_clients", 0);
        }
        drop(held(&server, &mut other, &format!("EVALSHA {sha} 0"), 0));
        await_figure(&mut other, "clients", "blocked_clients", 0);
        for words in ["EVAL_RO return(1) 0", "FCALL r 0", "FCALL_RO r 0"] {
            assert_eq!(other.words(words).integer(), 1, "{words}");
        }
        assert_eq!(other.call(&["EVAL", "#!lua flags=no-writes\nreturn 1", "0"]).integer(), 1);
        assert!(other.words("SET k").text().starts_with("ERR wrong number"), "what makes no sense is not held");
        assert_eq!(other.words("PING").text(), "PONG");
    }
}

#[test]
fn a_transaction_is_held_if_one_of_its_commands_would_be() {
    for server in both() {
        let (mut writes, mut reads, mut other) = (server.client(), server.client(), server.client());
        for words in ["MULTI", "GET k", "SET k 2"] {
            writes.words(words);
        }
        for words in ["MULTI", "GET k"] {
            reads.words(words);
        }
        // What follows in the same transaction goes on.
        for words in ["MULTI", "SET k 1", PAUSE, "APPEND k 0"] {
            other.words(words);
        }
        assert_eq!(other.words("EXEC").lines(), "*3 +OK +OK :2");
        assert_eq!(reads.words("EXEC").lines(), "*1 $2 10");
        writes.send(&frame(&["EXEC"]));
        await_figure(&mut other, "clients", "blocked_clients", 1);
        reads.words("MULTI");
        reads.send(&frame(&["SET", "k", "3"]));
        await_figure(&mut other, "clients", "blocked_clients", 2);
        other.words("CLIENT UNPAUSE");
        assert_eq!(writes.receive().lines(), "*2 $2 10 +OK");
        assert_eq!(reads.receive().text(), "QUEUED");
    }
}

#[test]
fn of_two_pauses_the_longer_one_and_the_one_that_holds_more_are_in_force() {
    for server in both() {
        let (mut client, mut other) = (server.client(), server.client());
        let begun = Instant::now();
        client.words("CLIENT PAUSE 300 ALL");
        other.send(&frame(&["CLIENT", "PAUSE", "1", "WRITE"]));
        client.send(&frame(&["GET", "k"]));
        assert_eq!(client.receive().lines(), "$-1");
        assert!(begun.elapsed() >= Duration::from_millis(300), "it was held to the end");
        assert_eq!(other.receive().text(), "OK");
    }
}

#[test]
fn keys_that_expire_in_a_pause_are_hidden_and_stay_until_it_is_over() {
    for server in both() {
        let mut client = server.client();
        client.words("SET k v PX 1");
        // Set in the pause, so that it cannot have gone before.
        for words in ["MULTI", PAUSE, "SET kept v PX 1", "EXEC"] {
            client.words(words);
        }
        let before = figure(&mut client, "stats", "expired_keys");
        let begun = Instant::now();
        while client.words("EXISTS kept").integer() == 1 {
            assert!(begun.elapsed() < PATIENCE);
        }
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(client.words("GET kept").lines(), "$-1");
        assert_eq!(figure(&mut client, "stats", "expired_keys"), before);
        client.words("CLIENT UNPAUSE");
        await_figure(&mut client, "stats", "expired_keys", 2);
        assert_eq!(client.words("DBSIZE").integer(), 0);
    }
}

/// In Redis only who writes to it by a transaction can come to this; here other daemons write, too.
#[test]
fn who_is_blocked_takes_nothing_in_a_pause_and_has_it_afterwards() {
    let server = Process::cahoots(&[]);
    let mut other = server.client();
    let mut blocked = held(&server, &mut other, "BLPOP l 0", 0);
    for words in ["MULTI", PAUSE, "RPUSH l a b", "EXEC"] {
        other.words(words);
    }
    assert_eq!(other.words("LLEN l").integer(), 2);
    other.words("CLIENT UNPAUSE");
    assert_eq!(blocked.receive().lines(), "*2 $1 l $1 a");
    assert_eq!(other.words("LLEN l").integer(), 1);
}

/// Redis holds this, too, so that nothing but time ends a pause of all commands.
#[test]
fn a_pause_of_all_commands_is_ended_by_any_client() {
    let server = Process::cahoots(&[]);
    let mut other = server.client();
    other.words("CLIENT PAUSE 1000000");
    let mut client = server.client();
    client.send(&frame(&["PING"]));
    assert_eq!(other.words("CLIENT UNPAUSE").text(), "OK");
    assert_eq!(client.receive().text(), "PONG");
}

#[test]
fn what_is_no_pause_is_refused_in_the_same_words() {
    let asked = [
        "CLIENT PAUSE",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE abc",
        "CLIENT PAUSE 1.5",
        "CLIENT PAUSE 99999999999999999999",
        "CLIENT PAUSE 10 foo",
        "client pause 10 WRITE x",
        "CLIENT PAUSE 0",
        "CLIENT PAUSE 0 write",
        "CLIENT UNPAUSE x",
        "CLIENT UNPAUSE",
        "CLIENT UNBLOCK 1 a b",
        "CLIENT unblock 1 a b",
        "CLIENT UNBLOCK 1 a",
        "CLIENT UNBLOCK 1",
        "CLIENT UNBLOCK x",
        "CLIENT NO-EVICT x",
        "CLIENT NO-EVICT on",
    ];
    let answers: Vec<Vec<String>> = both()
        .map(|server| {
            let mut client = server.client();
            asked.iter().map(|words| client.words(words).lines()).collect()
        })
        .collect();
    if let [redis, ours] = &answers[..] {
        assert_eq!(redis, ours);
    }
}
