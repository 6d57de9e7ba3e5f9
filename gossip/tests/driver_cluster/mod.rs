//! Nodes on loopback, and waiting for what they come to show. Every wait has one bound, far above what it takes.
#![allow(dead_code, reason = "every suite uses a part of this")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use cahoots_gossip::driver::{Changes, Counters, Member, MemberState, Node, NodeConfig, StartError};

/// When to give up on something that has to happen.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A node that gossips fast enough for tests and forgives a busy machine.
pub(crate) fn config(name: &str, seeds: &[&Node]) -> NodeConfig {
    let mut config = NodeConfig::new(name, loopback());
    config.seeds = seeds.iter().map(|node| node.local_addr().to_string()).collect();
    config.gossip_interval = Duration::from_millis(50);
    config.failure_timeout = Duration::from_millis(1500);
    config
}

pub(crate) async fn start(config: NodeConfig) -> Node {
    Node::start(config).await.expect("a free port on loopback")
}

/// Starts a node where another one was that has been dropped: the port is free as soon as the tasks of that have ended.
pub(crate) async fn restart(config: NodeConfig) -> Node {
    let started = async {
        loop {
            match Node::start(config.clone()).await {
                Ok(node) => return node,
                Err(StartError::AddressInUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    within("the port", started).await
}

/// `count` nodes that all know each other, the first one the seed of the rest.
pub(crate) async fn cluster(count: usize) -> Vec<Node> {
    let mut nodes = vec![start(config("n0", &[])).await];
    for n in 1..count {
        let config = config(&format!("n{n}"), &[&nodes[0]]);
        nodes.push(start(config).await);
    }
    for node in &nodes {
        has_peers(node, count - 1).await;
    }
    nodes
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BOUND, future).await {
        Ok(value) => value,
        Err(_) => panic!("did not happen in {BOUND:?}: {what}"),
    }
}

pub(crate) fn live_peers(members: &[Member]) -> usize {
    members.iter().filter(|member| !member.is_self && member.state == MemberState::Live).count()
}

/// Waits until a node has exactly this many live peers.
pub(crate) async fn has_peers(node: &Node, count: usize) {
    within("the number of live peers", node.members_when(|members| live_peers(members) == count)).await;
}

/// Waits until a node has counted this: what one task has done, and others have seen, it may count a moment later.
pub(crate) async fn counts(node: &Node, what: &str, is_counted: impl Fn(&Counters) -> bool) {
    let counted = async {
        while !is_counted(&node.counters()) {
            tokio::task::yield_now().await;
        }
    };
    within(what, counted).await;
}

/// Waits until a member stands like this.
pub(crate) async fn sees(node: &Node, name: &str, state: MemberState) {
    let seen = node.members_when(|members| members.iter().any(|member| member.name == name && member.state == state));
    within("a member's state", seen).await;
}

pub(crate) fn set(node: &Node, key: &str, value: &str) -> u64 {
    node.with(|replica, now| {
        let set = replica.write(now, key.len() + value.len(), |writer| writer.set(key.as_bytes(), value.as_bytes()));
        set.expect("a small value");
        replica.position()
    })
}

pub(crate) fn get(node: &Node, key: &str) -> Option<String> {
    node.read(|replica| {
        let view = replica.store().at(0).view(key.as_bytes())?;
        Some(String::from_utf8(view.text()?.into_owned()).expect("tests write text"))
    })
}

/// Waits until a node reads this value at this key.
pub(crate) async fn reads(node: &Node, key: &str, value: &str) {
    let mut changes: Changes = node.subscribe();
    let read = async {
        while get(node, key).as_deref() != Some(value) {
            changes.next().await.expect("the node runs");
        }
    };
    within(&format!("{key} = {value}"), read).await;
}

/// Two nodes that have applied the same are the same.
pub(crate) fn assert_equal(a: &Node, b: &Node) {
    let [a, b] = [a, b].map(|node| node.with(|replica, _| replica.status()));
    assert_eq!((a.version_vector, a.fingerprint), (b.version_vector, b.fingerprint));
}
