//! Counters of a node that are added to again and again: most of those additions never reach the engine by themselves,
//! and nobody may be able to tell.
mod driver_cluster;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cahoots_gossip::driver::{AccessError, Node};
use cahoots_gossip::store::{Change, WriteError};
use driver_cluster::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Add(u8, i64),
    AddInGroup(u8, i64),
    Set(u8, &'static str),
    Value(u8),
    Text(u8),
    Delete(u8),
    LookAtTheEngine,
    LetTheWindowEnd,
}

/// Mostly few counters, and sometimes more than a node keeps sums of.
fn key() -> impl Strategy<Value = u8> {
    prop_oneof![8 => 0..3_u8, 1 => 0..100_u8]
}

fn step() -> impl Strategy<Value = Step> {
    let delta = || prop_oneof![8 => -5..5_i64, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let text = prop_oneof![Just("7"), Just("-9223372036854775808"), Just("9223372036854775807"), Just("no number")];
    prop_oneof![
        30 => (key(), delta()).prop_map(|(key, delta)| Step::Add(key, delta)),
        2 => (key(), delta()).prop_map(|(key, delta)| Step::AddInGroup(key, delta)),
        1 => (key(), text).prop_map(|(key, text)| Step::Set(key, text)),
        3 => key().prop_map(Step::Value),
        2 => key().prop_map(Step::Text),
        1 => key().prop_map(Step::Delete),
        1 => Just(Step::LookAtTheEngine),
        1 => Just(Step::LetTheWindowEnd),
    ]
}

/// What a plain map of texts says of an addition.
fn expected(texts: &mut HashMap<u8, String>, key: u8, delta: i64) -> Result<i64, AccessError> {
    let text = texts.get(&key).map_or("0", String::as_str);
    let known: i64 = text.parse().map_err(|_| AccessError::Write(WriteError::NotInteger))?;
    let sum = known.checked_add(delta).ok_or(AccessError::Write(WriteError::Overflow))?;
    texts.insert(key, sum.to_string());
    Ok(sum)
}

fn play(node: &Node, steps: &[Step]) {
    let mut texts = HashMap::new();
    node.write(0, |writer| writer.clear()).expect("an own clock");
    for step in steps {
        let name = |key: &u8| format!("counter:{key}");
        match step {
            Step::Add(key, delta) => {
                assert_eq!(node.counter(name(key)).add(*delta), expected(&mut texts, *key, *delta), "{step:?}");
            }
            Step::AddInGroup(key, delta) => {
                let sum = node.group(|group| group.counter(name(key)).add(*delta));
                assert_eq!(sum, expected(&mut texts, *key, *delta), "{step:?}");
            }
            Step::Set(key, text) => {
                node.register(name(key)).set(text).expect("a small text");
                texts.insert(*key, (*text).to_owned());
            }
            Step::Value(key) => {
                let value = texts.get(key).map_or("0", String::as_str).parse().ok();
                assert_eq!(node.counter(name(key)).value().ok(), value, "{step:?}");
            }
            Step::Text(key) => {
                let text = texts.get(key).map(|text| text.as_bytes().to_vec());
                assert_eq!(node.register(name(key)).get(), Ok(text), "{step:?}");
            }
            Step::Delete(key) => {
                assert_eq!(node.delete(name(key)), Ok(texts.remove(key).is_some()), "{step:?}");
            }
            Step::LookAtTheEngine => assert_eq!(node.with(|replica, _| replica.store().len()), texts.len()),
            Step::LetTheWindowEnd => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    for (key, text) in texts {
        assert_eq!(node.register(format!("counter:{key}")).get(), Ok(Some(text.into_bytes())));
    }
}

#[test]
fn sums_are_those_of_a_plain_map_whatever_happens_between_the_additions() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
    let node = runtime.block_on(start(config("a", &[])));
    proptest!(ProptestConfig::with_cases(300), |(steps in prop::collection::vec(step(), 1..120))| play(&node, &steps));
}

#[tokio::test(flavor = "multi_thread")]
async fn additions_of_several_threads_are_all_counted_here_and_at_a_peer_and_no_reader_sees_a_sum_fall() {
    const EACH: i64 = 50_000;
    let nodes = cluster(2).await;
    let [a, b] = &nodes[..] else { unreachable!() };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (one, other) = (a.counter("one"), a.counter("other"));
                let mut last = 0;
                for _ in 0..EACH {
                    let sum = one.add(1).expect("a number");
                    assert!(sum > last, "{sum} after {last}");
                    last = sum;
                    other.add(-2).expect("a number");
                }
            });
        }
        scope.spawn(|| {
            let mut last = 0;
            while last < 2 * i128::from(EACH) {
                let sum = a.counter("one").value().expect("a number");
                assert!(sum >= last, "{sum} after {last}");
                last = sum;
            }
        });
    });
    assert_eq!(within("both have it", a.wait_for(1, Some(BOUND))).await, 1);
    for node in [a, b] {
        let sums = ["one", "other"].map(|key| node.counter(key).value());
        assert_eq!(sums, [Ok(2 * i128::from(EACH)), Ok(-4 * i128::from(EACH))]);
    }
    assert_equal(a, b);
}

/// Runs `additions` with a node and a peer that know each other. Nothing of the node runs meanwhile but what they call:
/// neither the task that waits for its timer nor any other.
fn while_its_runtime_is_held_up(additions: impl FnOnce(&Node, &Node)) {
    let there = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread");
    let b = there.block_on(start(config("b", &[])));
    here.block_on(async {
        let a = start(config("a", &[&b])).await;
        has_peers(&a, 1).await;
        has_peers(&b, 1).await;
        additions(&a, &b);
    });
}

#[test]
fn additions_in_a_loop_that_never_lets_the_runtime_go_reach_a_peer() {
    while_its_runtime_is_held_up(|a, b| {
        let hits = a.counter("hits");
        let begun = Instant::now();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            assert!(begun.elapsed() < BOUND, "the peer has seen {seen:?} only");
            let sum = i128::from(hits.add(1).expect("a number"));
            let there = b.counter("hits").value().expect("a number");
            assert!(there <= sum);
            if seen.last().copied().unwrap_or(0) < there {
                seen.push(there);
            }
        }
    });
}

/// As above, but the additions are far apart: one after the end of a window hands over what the window holds.
#[test]
fn an_addition_after_the_end_of_a_window_hands_it_over_though_the_runtime_is_held_up() {
    while_its_runtime_is_held_up(|a, b| {
        let hits = a.counter("hits");
        (0..5).for_each(|_| assert!(hits.add(1).is_ok()));
        // A datagram may be lost, and nobody is there to send it again; ten in a row are not.
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(50)); // far longer than a window
            hits.add(1).expect("a number");
            if b.counter("hits").value().expect("a number") >= 5 {
                return;
            }
        }
        panic!("the peer has seen {:?}", b.counter("hits").value());
    });
}

#[tokio::test]
async fn who_begins_to_listen_hears_of_the_next_addition() {
    let node = start(config("a", &[])).await;
    let hits = node.counter("hits");
    for _ in 0..100 {
        hits.add(1).expect("a number");
    }
    let mut changes = node.subscribe().of("hits");
    hits.add(1).expect("a number");
    assert!(matches!(within("a change", changes.next()).await, Some(Change::Key { .. })));
}
