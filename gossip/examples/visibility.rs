//! How long a write takes to be readable at a peer: three nodes on loopback in one process.
//!
//! `cargo run --release -p cahoots-gossip --example visibility [writes] [concurrent-writers]`
//!
//! Each round writes a fresh value at A and measures the time until B reads it, B's reader being woken by its
//! subscription to changes, as a client connection would be. With more writers, each has a key of its own and writes
//! again as soon as its last write is visible, which shows what the flush window costs under load.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cahoots_gossip::driver::{MemberState, Node, NodeConfig};

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().expect("a number"));
    let writes = args.next().unwrap_or(10_000);
    let writers = args.next().unwrap_or(1);
    let nodes = cluster(3).await;
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for writer in 0..writers {
        tasks.spawn(run(nodes[0].clone(), nodes[1].clone(), format!("key {writer}"), writes / writers));
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let elapsed = begun.elapsed();
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000];
    println!(
        "{} writes by {writers} writers: {:.0} a second; visible at a peer after median {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
        times.len(),
        times.len() as f64 / elapsed.as_secs_f64(),
        at(500),
        at(990),
        at(999),
        at(1000),
    );
    println!("writing node: {:?}", nodes[0].counters());
}

/// Writes `count` values one after the other, each once the last has been read at the other node.
async fn run(from: Node, at: Node, key: String, count: usize) -> Vec<Duration> {
    let mut changes = at.subscribe();
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let value = n.to_string();
        let written = Instant::now();
        from.with(|replica, now| replica.write(now, 32, |writer| writer.set(key.as_bytes(), value.as_bytes())))
            .expect("a small value");
        while !reads(&at, &key, &value) {
            changes.next().await.expect("the node runs");
        }
        times.push(written.elapsed());
        // Idle again: the flush window of the last write has passed.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times
}

fn reads(node: &Node, key: &str, value: &str) -> bool {
    node.read(|replica| {
        replica
            .store()
            .at(0)
            .view(key.as_bytes())
            .and_then(|view| Some(view.text()? == value.as_bytes()))
            .unwrap_or(false)
    })
}

async fn cluster(count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for n in 0..count {
        let mut config = NodeConfig::new(format!("n{n}"), SocketAddr::from(([127, 0, 0, 1], 0)));
        config.seeds = nodes.iter().map(|node| node.local_addr().to_string()).collect();
        nodes.push(Node::start(config).await.expect("a free port on loopback"));
    }
    for node in &nodes {
        node.members_when(|members| members.iter().filter(|member| member.state == MemberState::Live).count() == count)
            .await;
    }
    nodes
}
