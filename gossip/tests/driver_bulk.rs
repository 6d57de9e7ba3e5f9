//! Catching up over streams, on real sockets: nodes whose peers' logs do not reach back.
mod driver_cluster;

use cahoots_gossip::driver::{Node, NodeConfig};
use cahoots_gossip::store::Class;
use cahoots_gossip::wire::ClusterKey;
use driver_cluster::*;

/// A node that keeps so little of a log that whoever comes later needs buckets.
fn short_log(name: &str, seeds: &[&Node]) -> NodeConfig {
    let mut config = config(name, seeds);
    config.replica.log_bytes_max = 1_000;
    config
}

fn fill(node: &Node, keys: usize, value: &[u8]) {
    for first in (0..keys).step_by(500) {
        node.with(|replica, now| {
            replica.write(now, 0, |writer| {
                for key in first..keys.min(first + 500) {
                    writer.set(format!("key {key}").as_bytes(), value).expect("a small value");
                }
            });
        });
    }
}

async fn has_keys(node: &Node, keys: usize) {
    let mut changes = node.subscribe();
    let all = async {
        while node.read(|replica| replica.store().len()) < keys {
            changes.next().await.expect("the node runs");
        }
    };
    within(&format!("{keys} keys"), all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_catches_up_on_what_no_log_has_with_and_without_a_key() {
    for key in [None, Some(ClusterKey::new([7; 32]))] {
        let keys = 100_000;
        let mut config = short_log("full", &[]);
        config.replica.key = key.clone();
        let full = start(config).await;
        fill(&full, keys, b"a value of some thirty bytes ..");
        let mut config = short_log("empty", &[&full]);
        config.replica.key = key;
        let empty = start(config).await;
        has_keys(&empty, keys).await;
        set(&full, "after", "that");
        reads(&empty, "after", "that").await;
        assert_equal(&full, &empty);
        let asked = empty.counters();
        // Answers are counted once all of them is written, which may be after it was read.
        counts(&full, "all answers", |it| it.bulk_bytes_sent >= asked.bulk_bytes_received).await;
        let answered = full.counters();
        // Beside it one at most that was to find out whether there are streams.
        assert_eq!(asked.bulk_connections_made, 1, "one for all streams");
        assert!((1..=2).contains(&answered.bulk_connections_accepted), "{}", answered.bulk_connections_accepted);
        assert_eq!((asked.bulk_failed, answered.bulk_refused, answered.bulk_broken), (0, 0, 0));
        assert!(asked.bulk_bytes_received > 3_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_much_longer_than_the_bound_on_answers_reach_a_joiner_with_all_the_rest() {
    let (keys, members) = (2_000, 20_000);
    let bounded = |name, seeds: &[&Node]| {
        let mut config = short_log(name, seeds);
        config.bulk_bytes_max = 256 << 10;
        config.bulk_patience = BOUND; // a busy machine is no reason to ask twice
        config.replica.transfer_bytes = 20_000;
        config
    };
    let full = start(bounded("full", &[])).await;
    fill(&full, keys, b"a value of some thirty bytes ..");
    for set in ["one", "two", "three"] {
        for first in (0..members).step_by(500) {
            let add = |writer: &mut cahoots_gossip::store::Writer<'_>| {
                for member in first..first + 500 {
                    let member = format!("a member of {set} with a long name and the number {member}");
                    writer.insert(set.as_bytes(), Class::Set, member.as_bytes(), b"").expect("a small member");
                }
            };
            full.with(|replica, now| replica.write(now, 0, add));
        }
    }
    // A second source, so that long answers of two meet at the joiner.
    let copy = start(bounded("copy", &[&full])).await;
    has_keys(&copy, keys + 3).await;
    assert!(full.counters().bulk_long_answers >= 3);
    let joiner = start(bounded("joiner", &[&full, &copy])).await;
    has_keys(&joiner, keys + 3).await;
    set(&full, "after", "that");
    for node in [&copy, &joiner] {
        reads(node, "after", "that").await;
        assert_equal(&full, node);
        let long = node.read(|replica| replica.store().at(0).view(b"two").map(|view| view.len()));
        assert_eq!(long, Some(members));
        assert_eq!(node.counters().bulk_failed, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_both_lack_much_fetch_from_each_other() {
    let (a, b) = (start(short_log("a", &[])).await, start(short_log("b", &[])).await);
    fill(&a, 5_000, b"of a");
    fill(&b, 5_000, b"of b");
    b.with(|replica, now| replica.write(now, 0, |w| w.set(b"only b", b"1"))).expect("a small value");
    a.with(|replica, now| replica.write(now, 0, |w| w.set(b"only a", b"1"))).expect("a small value");
    let bridge = start(short_log("bridge", &[&a, &b])).await;
    for node in [&a, &b, &bridge] {
        reads(node, "only a", "1").await;
        reads(node, "only b", "1").await;
    }
    for node in [&a, &b] {
        counts(node, "an answer", |it| it.bulk_answered > 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_goes_on_from_another_peer_when_its_source_is_gone() {
    let keys = 20_000;
    let slow = |name, seeds: &[&Node]| {
        let mut config = short_log(name, seeds);
        config.replica.serve_bytes_per_second = Some(600_000);
        config.replica.transfer_bytes = 20_000;
        config
    };
    let first = start(slow("first", &[])).await;
    fill(&first, keys, &[b'x'; 100]);
    let second = start(slow("second", &[&first])).await;
    has_keys(&second, keys).await;
    let joiner = start(short_log("joiner", &[&first, &second])).await;
    has_keys(&joiner, keys / 10).await;
    assert!(joiner.with(|replica, _| replica.status().catching_up));
    drop(first);
    has_keys(&joiner, keys).await;
    set(&second, "after", "that");
    reads(&joiner, "after", "that").await;
    assert_equal(&second, &joiner);
    counts(&second, "an answer", |it| it.bulk_answered > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_for_streams_given_is_used_announced_and_named_when_it_is_taken() {
    let a = start(config("a", &[])).await;
    let mut fixed = config("b", &[&a]);
    fixed.bulk_listen = Some("127.0.0.2:0".parse().unwrap());
    let b = start(fixed).await;
    let address = b.bulk_addr();
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    has_peers(&a, 1).await;
    assert_eq!(a.members()[1].bulk, Some(address));
    let mut same = config("c", &[]);
    same.bulk_listen = Some(address);
    let error = Node::start(same).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
