//! Transactions over real sockets: what they write is seen whole elsewhere, and what they watch is noticed whoever changes it.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process};

/// Two daemons that have found each other.
fn pair() -> [Process; 2] {
    let first = Process::cahoots(&["--node", "first"]);
    let seed = first.client().words("CAHOOTS STATUS").pair("listen");
    let second = Process::cahoots(&["--node", "second", "--seed", &seed]);
    let mut client = first.client();
    until(|| {
        client.words("INCR ready");
        client.words("WAIT 1 100").integer() == 1
    });
    let mut client = second.client();
    until(|| !client.words("GET ready").lines().starts_with("-LOADING"));
    [first, second]
}

fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it never comes to that");
        std::thread::yield_now();
    }
}

fn exec(client: &mut Client, commands: &[&str]) -> String {
    assert_eq!(client.words("MULTI").text(), "OK");
    for command in commands {
        assert_eq!(client.words(command).text(), "QUEUED", "{command}");
    }
    client.words("EXEC").lines()
}

/// A reader elsewhere sees both keys of a transaction, or neither; they lie in different buckets.
#[test]
fn another_replica_sees_all_of_a_transaction_or_nothing() {
    let [first, second] = pair();
    let (mut writer, mut reader) = (first.client(), second.client());
    exec(&mut writer, &["SET left 0", "SET right 0"]);
    writer.words("WAIT 1 5000");
    let (mut seen, rounds) = (0, 3_000);
    let write = std::thread::spawn(move || {
        for round in 1..=rounds {
            exec(&mut writer, &[&format!("SET left {round}"), "PING", &format!("SET right {round}")]);
        }
    });
    let begun = Instant::now();
    while seen < rounds {
        let both = reader.words("MGET left right");
        let [left, right] = [0, 1].map(|at| both.parts()[at].text());
        assert_eq!(left, right, "a part of a transaction is seen");
        seen = left.parse().expect("a number");
        assert!(begun.elapsed() < PATIENCE, "{seen} of {rounds}");
    }
    write.join().expect("it wrote");
}

#[test]
fn a_transaction_is_one_event_however_much_it_writes() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let seq = |client: &mut Client| client.words("CAHOOTS STATUS").pair("seq").parse::<u64>().expect("a number");
    client.words("SET a 0");
    let before = seq(&mut client);
    let commands: Vec<String> = (0..2_000).map(|number| format!("SET key:{number} {number}")).collect();
    exec(&mut client, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(seq(&mut client), before + 1);
    exec(&mut client, &["GET a", "DBSIZE", "INFO", "CAHOOTS STATUS", "SET a 1", "DBSIZE", "SET a 2", "INFO"]);
    assert_eq!(seq(&mut client), before + 2, "what looks at everything parts no transaction");
    exec(&mut client, &["GET a", "DBSIZE"]);
    assert_eq!(seq(&mut client), before + 2, "what writes nothing is no event");
}

#[test]
fn whatever_changes_a_watched_key_has_the_transaction_fail() {
    let [first, second] = pair();
    let (mut here, mut other, mut elsewhere) = (first.client(), first.client(), second.client());
    let fails = |here: &mut Client, change: &mut dyn FnMut()| {
        assert_eq!(here.words("WATCH k k other").text(), "OK");
        change();
        exec(here, &["PING"]) == "*-1"
    };
    assert!(!fails(&mut here, &mut || {}), "nothing has changed");
    assert!(fails(&mut here, &mut || drop(other.words("SET k 1"))), "by another client");
    assert!(!fails(&mut here, &mut || drop(other.words("GET k"))), "reading changes nothing");
    assert!(fails(&mut here, &mut || drop(other.words("EXPIRE k 1000"))), "its end");
    let mut arrives = || {
        elsewhere.words("SADD other member");
        assert_eq!(elsewhere.words("WAIT 1 5000").integer(), 1);
        elsewhere.words("DEL other");
        assert_eq!(elsewhere.words("WAIT 1 5000").integer(), 1);
    };
    assert!(fails(&mut here, &mut arrives), "from elsewhere, though it is as it was");
    other.words("SET k 1 PX 30");
    let mut ends = || std::thread::sleep(std::time::Duration::from_millis(60));
    assert!(fails(&mut here, &mut ends), "it has ended");
    assert!(!fails(&mut here, &mut || {}), "a transaction that failed watches nothing any more");
    here.words("WATCH k");
    here.words("UNWATCH");
    other.words("SET k 2");
    assert_eq!(exec(&mut here, &["GET k"]), "*1 $1 2");
}

/// Counting by check-and-set on one daemon loses nothing, however many clients do it.
#[test]
fn counting_by_watching_loses_no_count() {
    let daemon = Process::cahoots(&[]);
    let clients: Vec<_> = (0..8).map(|_| daemon.client()).collect();
    let counting = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            for _ in 0..100 {
                loop {
                    client.words("WATCH count");
                    let count = client.words("GET count").lines();
                    let count: u64 = count.rsplit(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0);
                    if exec(&mut client, &[&format!("SET count {}", count + 1)]) != "*-1" {
                        break;
                    }
                }
            }
        })
    });
    counting.collect::<Vec<_>>().into_iter().for_each(|it| it.join().expect("it counted"));
    assert_eq!(daemon.client().words("GET count").text(), "800");
}
