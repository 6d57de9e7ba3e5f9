//! Consumer groups of streams across daemons. Each entry is told apart by its field, which nobody gives twice; who adds and who
//! works notes what was answered, and what must hold of these notes does not know who hands out what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Client, Faults, Group, Value, until};

/// Longer than a daemon that begins to hand out waits until all know of it.
const SETTLED: Duration = Duration::from_millis(1_500);

/// The names that were handed out, with how often.
#[derive(Default)]
struct Handed(Mutex<BTreeMap<String, usize>>);

impl Handed {
    fn note(&self, names: impl Iterator<Item = String>) {
        let mut handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.for_each(|name| *handed.entry(name).or_default() += 1);
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn twice(&self) -> Vec<String> {
        let handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handed.iter().filter(|(_, times)| **times > 1).map(|(name, _)| name.clone()).collect()
    }

    fn lacks(&self, names: &[String]) -> Vec<String> {
        let handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|name| !handed.contains_key(*name)).cloned().collect()
    }
}

/// The ids and names in what XREADGROUP answered of one stream.
fn entries(answer: &Value) -> Vec<(Vec<u8>, String)> {
    if *answer == Value::Null {
        return Vec::new();
    }
    listed(answer.at("jobs"))
}

/// The ids and names in a list of entries.
fn listed(entries: &Value) -> Vec<(Vec<u8>, String)> {
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    };
    let entry = |entry: &Value| {
        let name = text(&entry.array()[1].array()[1]);
        (text(&entry.array()[0]), String::from_utf8(name).expect("it was given so"))
    };
    entries.array().iter().map(entry).collect()
}

/// Asks for entries and acknowledges them until told to end.
fn work(mut client: Client, consumer: &str, handed: &Handed, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let answer = client.words(&format!("XREADGROUP GROUP g {consumer} COUNT 3 BLOCK 200 STREAMS jobs >"));
        for (id, name) in entries(&answer) {
            handed.note([name].into_iter());
            assert_eq!(client.call(&[b"XACK", b"jobs", b"g", &id]), Value::Integer(1));
        }
    }
}

/// Adds so many entries; their names.
fn produce(mut client: Client, producer: &str, count: usize) -> Vec<String> {
    let mut names = Vec::with_capacity(count);
    for number in 0..count {
        let name = format!("{producer}-{number}");
        assert!(matches!(client.words(&format!("XADD jobs * name {name}")), Value::Text(_)));
        names.push(name);
        std::thread::sleep(Duration::from_millis(2));
    }
    names
}

fn pending(client: &mut Client) -> i64 {
    client.words("XPENDING jobs g").array()[0].integer()
}

#[test]
fn in_quiet_times_every_entry_is_handed_out_once_wherever_it_was_added() {
    let group = Group::start(3);
    let (handed, ends) = (Handed::default(), AtomicBool::new(false));
    assert_eq!(group[0].ask("XGROUP CREATE jobs g $ MKSTREAM"), Value::text("OK"));
    group.agree_on_versions();
    std::thread::scope(|scope| {
        for (at, client) in group.clients().into_iter().chain(group.clients()).enumerate() {
            let (handed, ends) = (&handed, &ends);
            scope.spawn(move || work(client, &format!("c{at}"), handed, ends));
        }
        std::thread::sleep(SETTLED);
        let producers: Vec<_> = group.clients().into_iter().enumerate().collect();
        let producers: Vec<_> = producers
            .into_iter()
            .map(|(at, client)| scope.spawn(move || produce(client, &format!("p{at}"), 150)))
            .collect();
        let added: Vec<String> = producers.into_iter().flat_map(|it| it.join().expect("it ends")).collect();
        until(
            "all are handed out",
            || if handed.len() == added.len() { Ok(()) } else { Err(handed.len().to_string()) },
        );
        ends.store(true, Ordering::Relaxed);
        assert_eq!(handed.lacks(&added), Vec::<String>::new());
    });
    assert_eq!(handed.twice(), Vec::<String>::new());
    group.agree();
    for mut client in group.clients() {
        assert_eq!(pending(&mut client), 0);
        let told = client.words("XINFO GROUPS jobs");
        assert_eq!(told.array()[0].at("lag"), &Value::Integer(0), "{told:?}");
    }
}

#[test]
fn entries_added_at_one_daemon_are_worked_off_at_another_without_delay() {
    let group = Group::start(3);
    assert_eq!(group[0].ask("XGROUP CREATE jobs g $ MKSTREAM"), Value::text("OK"));
    group.agree_on_versions();
    let (mut producer, mut worker) = (group[0].client(), group[1].client());
    worker.send(&words("XREADGROUP GROUP g c BLOCK 0 STREAMS jobs >")).unwrap();
    std::thread::sleep(SETTLED);
    let begun = Instant::now();
    for number in 0..40 {
        let id = producer.words(&format!("XADD jobs * name {number}"));
        let found = entries(&worker.receive().unwrap());
        assert_eq!((Value::Text(found[0].0.clone()), found.len()), (id, 1));
        worker.send(&words("XREADGROUP GROUP g c BLOCK 0 STREAMS jobs >")).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "each waited for: {:?}", begun.elapsed());
}

fn words(command: &str) -> Vec<&[u8]> {
    command.split(' ').map(str::as_bytes).collect()
}

#[test]
fn what_a_daemon_that_is_killed_was_to_hand_out_and_what_its_workers_held_goes_to_others() {
    let mut group = Group::start(3);
    assert_eq!(group[0].ask("XGROUP CREATE jobs g $ MKSTREAM"), Value::text("OK"));
    group.agree_on_versions();
    let mut workers = group.clients();
    for (at, client) in workers.iter_mut().enumerate() {
        client.words(&format!("XREADGROUP GROUP g c{at} STREAMS jobs >"));
    }
    group.agree_on_versions();
    std::thread::sleep(SETTLED);
    let mut producer = group[0].client();
    let names: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    names[..30].iter().for_each(|name| drop(producer.words(&format!("XADD jobs * name {name}"))));
    assert_eq!(producer.words("WAIT 2 10000"), Value::Integer(2));
    let held = entries(&workers[1].words("XREADGROUP GROUP g c1 STREAMS jobs >"));
    assert!(!held.is_empty(), "one of three has a share");
    assert_eq!(workers[1].words("WAIT 2 10000"), Value::Integer(2));
    drop(workers.remove(1));
    let _ = group.take(1).kill();
    names[30..].iter().for_each(|name| drop(producer.words(&format!("XADD jobs * name {name}"))));
    let handed = Handed::default();
    until("the others have the rest", || {
        for (client, consumer) in workers.iter_mut().zip(["c0", "c2"]) {
            let answer = client.words(&format!("XREADGROUP GROUP g {consumer} STREAMS jobs >"));
            handed.note(entries(&answer).into_iter().map(|(_, name)| name));
        }
        if handed.len() + held.len() == names.len() { Ok(()) } else { Err(handed.len().to_string()) }
    });
    assert_eq!(handed.twice(), Vec::<String>::new());
    let mut next = b"0".to_vec();
    loop {
        let claimed = workers[0].call(&[b"XAUTOCLAIM", b"jobs", b"g", b"c0", b"0", &next, b"COUNT", b"7"]);
        let found = listed(&claimed.array()[1]);
        handed.note(found.into_iter().map(|(_, name)| name));
        let Value::Text(cursor) = &claimed.array()[0] else { panic!("{claimed:?}") };
        next.clone_from(cursor);
        if next == b"0-0" {
            break;
        }
    }
    assert_eq!(handed.lacks(&names), Vec::<String>::new());
    group.agree();
    assert_eq!(pending(&mut workers[0]), 60);
}

#[test]
fn on_both_sides_of_a_cut_work_goes_on_and_nothing_is_lost() {
    let group = Group::start_relayed(3, 11);
    let relay = group.relay.as_ref().expect("there is one");
    let (handed, ends) = (Handed::default(), AtomicBool::new(false));
    assert_eq!(group[0].ask("XGROUP CREATE jobs g $ MKSTREAM"), Value::text("OK"));
    group.agree_on_versions();
    std::thread::scope(|scope| {
        for (at, client) in group.clients().into_iter().enumerate() {
            let (handed, ends) = (&handed, &ends);
            scope.spawn(move || work_at_least(client, &format!("c{at}"), handed, ends));
        }
        let mut added = Vec::new();
        for round in 0..3 {
            relay.set(Faults::default());
            if round == 1 {
                relay.split(&[0], &[1, 2]);
            }
            let producers: Vec<_> = (0..3)
                .map(|at| {
                    let client = group[at].client();
                    scope.spawn(move || produce(client, &format!("r{round}p{at}"), 60))
                })
                .collect();
            added.extend(producers.into_iter().flat_map(|it| it.join().expect("it ends")));
        }
        until("all are handed out", || {
            let lacks = handed.lacks(&added);
            if lacks.is_empty() { Ok(()) } else { Err(format!("{lacks:?}")) }
        });
        ends.store(true, Ordering::Relaxed);
    });
    group.agree_on_versions();
    let mut client = group[0].client();
    // What two daemons handed out is pending at one of them, unless that has acknowledged it.
    let left = client.words("XPENDING jobs g - + 1000");
    for entry in left.array() {
        let Value::Text(id) = &entry.array()[0] else { panic!("{entry:?}") };
        assert_eq!(client.call(&[b"XACK", b"jobs", b"g", id]), Value::Integer(1));
    }
    group.agree();
    assert!(group.clients().iter_mut().all(|client| pending(client) == 0));
}

/// As [`work`], where another may have acknowledged an entry before.
fn work_at_least(mut client: Client, consumer: &str, handed: &Handed, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let answer = client.words(&format!("XREADGROUP GROUP g {consumer} COUNT 3 BLOCK 200 STREAMS jobs >"));
        for (id, name) in entries(&answer) {
            handed.note([name].into_iter());
            client.call(&[b"XACK", b"jobs", b"g", &id]);
        }
    }
}
