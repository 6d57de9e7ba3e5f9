//! Publications: at most once, in the order of each origin, whatever their size; what is lost is counted.

mod circle;

use std::collections::BTreeMap;

use cahoots_gossip::ReplicaId;
use circle::{Circle, id};

/// What one has heard since it was last asked: of each origin the messages, in order.
fn heard(circle: &mut Circle, at: usize) -> BTreeMap<ReplicaId, Vec<Vec<u8>>> {
    let mut heard: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
    while let Some(publication) = circle.at(at).poll_publication() {
        assert_eq!((publication.kind, &*publication.channel), (7, &b"channel"[..]));
        heard.entry(publication.origin).or_default().push(publication.message.into());
    }
    heard
}

fn publish(circle: &mut Circle, at: usize, message: &[u8]) {
    let now = circle.now;
    circle.at(at).publish(now, 7, b"channel", message).expect("short enough");
}

fn counter(circle: &mut Circle, at: usize, name: &str) -> u64 {
    let entries = circle.at(at).status().counters.entries();
    entries.into_iter().find(|(it, _)| *it == name).expect("a counter").1
}

/// Messages of many lengths, of which each says which one it is.
fn message(number: u32) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(4 + (number as usize * 7919) % 5000, 1);
    message
}

#[test]
fn all_hear_what_one_publishes_in_order_and_nobody_hears_itself() {
    let mut circle = Circle::new(3);
    let sent: Vec<Vec<u8>> = (0..100).map(message).collect();
    for (number, message) in sent.iter().enumerate() {
        publish(&mut circle, number % 2, message);
        circle.run(10);
    }
    circle.run(10_000);
    let of = |origin: usize| -> Vec<Vec<u8>> { sent.iter().skip(origin).step_by(2).cloned().collect() };
    assert_eq!(heard(&mut circle, 2), BTreeMap::from([(id(0), of(0)), (id(1), of(1))]));
    assert_eq!(heard(&mut circle, 0), BTreeMap::from([(id(1), of(1))]));
    assert_eq!(heard(&mut circle, 1), BTreeMap::from([(id(0), of(0))]));
    assert_eq!(counter(&mut circle, 2, "publications_lost"), 0);
}

#[test]
fn lost_datagrams_cost_no_message_however_large() {
    let mut circle = Circle::new(2);
    circle.loses_one_of = 7;
    let large = vec![3; 1 << 20];
    let sent: Vec<Vec<u8>> = (0..200).map(message).chain([large]).chain((200..210).map(message)).collect();
    for message in &sent {
        publish(&mut circle, 0, message);
    }
    circle.run(60_000_000);
    assert!(circle.sent > 1_000, "a large one takes many datagrams");
    let all = heard(&mut circle, 1).remove(&id(0)).unwrap_or_default();
    assert!(all == sent, "{} of {}", all.len(), sent.len());
    assert_eq!(counter(&mut circle, 1, "publications_lost"), 0);
}

#[test]
fn in_a_large_cluster_each_hears_everything_once_and_an_origin_sends_to_a_few() {
    let mut circle = Circle::new(40);
    let before = circle.sent;
    let sent: Vec<Vec<u8>> = (0..20).map(message).collect();
    for message in &sent {
        publish(&mut circle, 5, message);
    }
    circle.run(1_000_000);
    assert!(circle.sent > before);
    for at in (0..40).filter(|at| *at != 5) {
        assert_eq!(heard(&mut circle, at).remove(&id(5)).as_ref(), Some(&sent), "at {at}");
    }
    assert_eq!(counter(&mut circle, 5, "publications_made"), 20);
}

#[test]
fn a_peer_that_takes_nothing_costs_a_bounded_queue_and_what_it_missed_is_counted() {
    let mut circle = Circle::new(3);
    publish(&mut circle, 0, b"first");
    circle.run(10_000);
    circle.silent.insert(1);
    let message = vec![1; 1 << 20];
    for _ in 0..40 {
        publish(&mut circle, 0, &message);
        circle.run(100_000);
    }
    let queues = circle.at(0).queues();
    for queue in queues.iter().filter(|queue| queue.name.contains("publications")) {
        assert!(queue.bytes <= queue.bytes_max, "{queue:?}");
    }
    assert!(
        queues.iter().map(|queue| queue.bytes).max().is_some_and(|most| most > 8 << 20),
        "it waits for the silent one"
    );
    let dropped = counter(&mut circle, 0, "publications_dropped");
    assert!((20..40).contains(&dropped), "{dropped}");
    // It gives up what waits, in the end, and goes on when the peer is there again.
    circle.run(30_000_000);
    circle.silent.clear();
    circle.run(2_000_000);
    publish(&mut circle, 0, b"last");
    circle.run(1_000_000);
    let heard_by = |circle: &mut Circle, at| heard(circle, at).remove(&id(0)).map_or(0, |it| it.len());
    assert_eq!(heard_by(&mut circle, 2), 42);
    let heard = heard_by(&mut circle, 1) as u64;
    assert_eq!(heard + counter(&mut circle, 1, "publications_lost"), 42);
    assert!(heard >= 2, "the first and the last");
}

#[test]
fn one_that_starts_again_under_its_id_is_heard_from_the_beginning() {
    let mut circle = Circle::new(2);
    for number in 0..5 {
        publish(&mut circle, 0, &message(number));
    }
    circle.run(10_000);
    assert_eq!(heard(&mut circle, 1).remove(&id(0)).map(|it| it.len()), Some(5));
    circle.kill(0);
    circle.run(5_000);
    let config = cahoots_gossip::engine::ReplicaConfig::default();
    circle.replicas[0] = Some(cahoots_gossip::engine::Replica::new(config, id(0), circle.now));
    circle.up(0, 1);
    circle.run(10_000);
    publish(&mut circle, 0, b"again");
    circle.run(100_000);
    assert_eq!(heard(&mut circle, 1).remove(&id(0)), Some(vec![b"again".to_vec()]));
}

#[test]
fn what_is_larger_than_a_value_may_be_is_refused() {
    let mut circle = Circle::new(2);
    let now = circle.now;
    let max = circle.at(0).store().limits().value_bytes_max;
    assert!(circle.at(0).publish(now, 7, b"channel", &vec![0; max]).is_err());
    publish(&mut circle, 0, &vec![0; max - 7]);
    circle.run(5_000_000);
    assert_eq!(heard(&mut circle, 1).remove(&id(0)).map(|it| it[0].len()), Some(max - 7));
}
