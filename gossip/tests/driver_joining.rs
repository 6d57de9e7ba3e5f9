//! Nodes on real sockets that join: when they are ready, and what ends one that must not go on.
mod driver_cluster;

use std::time::{Duration, Instant};

use cahoots_gossip::driver::NodeFailure;
use cahoots_gossip::engine::{Readiness, ReadyReason, Standing};
use driver_cluster::*;

#[tokio::test]
async fn a_node_without_seeds_is_ready_at_once_and_announces_it_once_it_has_listened() {
    let node = start(config("a", &[])).await;
    assert_eq!(node.readiness(), Readiness::Ready(ReadyReason::First));
    assert_eq!(within("readiness", node.ready()).await, ReadyReason::First);
    assert!(!node.members()[0].ready && node.read(|replica| replica.standing()) == Standing::Joining);
    within("the announcement", node.members_when(|members| members[0].ready)).await;
    assert_eq!(node.read(|replica| replica.standing()), Standing::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_has_everything_when_it_is_ready_and_its_peers_see_that_it_is() {
    let a = start(config("a", &[])).await;
    for n in 0..2_000 {
        set(&a, &format!("key {n}"), &"v".repeat(100));
    }
    let b = start(config("b", &[&a])).await;
    assert!(!b.readiness().is_ready() && !b.members()[0].ready);
    assert_eq!(within("readiness", b.ready()).await, ReadyReason::CaughtUp { peer: a.id() });
    assert_eq!(b.read(|replica| replica.store().len()), 2_000);
    let sees_it = a.members_when(|members| members.iter().any(|member| member.name == "b" && member.ready));
    within("the announcement", sees_it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_nodes_that_are_each_others_seeds_are_ready_together() {
    let ports: Vec<_> = (0..3).map(|_| std::net::UdpSocket::bind(loopback()).unwrap()).collect();
    let addresses: Vec<_> = ports.iter().map(|port| port.local_addr().unwrap()).collect();
    drop(ports);
    let mut nodes = Vec::new();
    for (n, address) in addresses.iter().enumerate() {
        let mut config = config(&format!("n{n}"), &[]);
        config.listen = *address;
        config.seeds = addresses.iter().map(ToString::to_string).collect();
        // With the default interval, which is what this is about.
        config.gossip_interval = Duration::from_millis(250);
        nodes.push(start(config).await);
    }
    let begun = Instant::now();
    for node in &nodes {
        let reason = within("readiness", node.ready()).await;
        assert!(!matches!(reason, ReadyReason::Alone | ReadyReason::Unfinished { .. }), "{reason:?}");
    }
    // About one second; without the rule it would be the timeout.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_node_whose_seeds_do_not_answer_is_ready_after_the_timeout_and_says_why() {
    let mut config = config("a", &[]);
    config.seeds = vec![std::net::UdpSocket::bind(loopback()).unwrap().local_addr().unwrap().to_string()];
    config.join_timeout = Duration::from_millis(300);
    let begun = Instant::now();
    let node = start(config).await;
    assert_eq!(within("readiness", node.ready()).await, ReadyReason::Alone);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    // The announcement follows.
    within("the announcement", node.members_when(|members| members[0].ready)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_with_one_id_the_younger_stops_and_the_older_goes_on() {
    let a = start(config("a", &[])).await;
    let c = start(config("c", &[&a])).await;
    has_peers(&c, 1).await;
    let mut clone = config("clone", &[&a]);
    clone.id = Some(a.id());
    let clone = start(clone).await;
    let failure = within("the failure", clone.failed()).await;
    assert_eq!(failure, NodeFailure::IdentityConflict { id: a.id(), name: "a".into(), addr: a.local_addr() });
    // The older one has noticed too, and lives on.
    counts(&a, "the refusal of the clone", |it| it.members_refused > 0).await;
    set(&a, "key", "still here");
    reads(&c, "key", "still here").await;
    assert!(tokio::time::timeout(Duration::ZERO, a.failed()).await.is_err());
}
