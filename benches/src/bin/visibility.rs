//! How long a write takes from the moment it is sent to one server until a reader at another sees it.
//!
//! `cargo run --release -p cahoots-benches --bin visibility`. Three cahoots daemons, a Redis primary with two replicas,
//! and three `chitchat` nodes (in this process, over UDP) that carry the same key. The servers take turns in short
//! blocks, so that noise of the machine hits them alike. The reader polls: it asks again as soon as it has its answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cahoots_benches::redis::Redis;
use cahoots_benches::times::{Times, told};
use cahoots_tests::cluster::{Client, Group, Value};
use chitchat::transport::UdpTransport;
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat};

/// Alternations, and writes in each.
const BLOCKS: usize = 10;
const WRITES: usize = 500;
/// Writes carried by chitchat, each of which takes up to its gossip interval.
const CHITCHAT_WRITES: usize = 100;
const CHITCHAT_INTERVAL: Duration = Duration::from_millis(250);
/// Writes a second of other keys in the runs under load, in batches of one millisecond.
const LOAD: usize = 50_000;

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cahoots = Group::start(3);
    let primary = Redis::start(directory.path(), "primary", None);
    let replicas = ["first", "second"].map(|name| Redis::start(directory.path(), name, Some(&primary)));
    primary.await_replicas(2);

    println!("| write at A until readable at B | cahoots p50 | p99 | Redis p50 | p99 | p50, cahoots / Redis | p99 |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for load in [None, Some(LOAD)] {
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        for _ in 0..BLOCKS {
            ours.extend(block(|| cahoots[0].client(), cahoots[1].client(), load));
            theirs.extend(block(|| primary.client(), replicas[0].client(), load));
        }
        let p50 = (ours.per_mille(500), theirs.per_mille(500));
        let p99 = (ours.per_mille(990), theirs.per_mille(990));
        let ratio = |(ours, theirs): (Duration, Duration)| ours.as_secs_f64() / theirs.as_secs_f64();
        println!(
            "| {} | {} | {} | {} | {} | {:.2} | {:.2} |",
            load.map_or_else(|| "idle".to_owned(), |load| format!("under {load} SET a second at A")),
            told(p50.0),
            told(p99.0),
            told(p50.1),
            told(p99.1),
            ratio(p50),
            ratio(p99),
        );
    }
    let mut times = Times::default();
    times.extend(through_chitchat());
    println!();
    println!(
        "The same carried by `chitchat` as a value of its own, at a gossip interval of {CHITCHAT_INTERVAL:?}: p50 {}, p99 {}.",
        told(times.per_mille(500)),
        told(times.per_mille(990))
    );
}

/// Writes through one connection and reads through another, while a third may write other keys.
fn block(to_a: impl Fn() -> Client, mut at_b: Client, load: Option<usize>) -> Vec<Duration> {
    let (mut writer, mut burden) = (to_a(), to_a());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(load) = load {
            let stop = &stop;
            scope.spawn(move || burden_with(&mut burden, load, stop));
        }
        let times = (0..WRITES).map(|number| visible(&mut writer, &mut at_b, number)).collect();
        stop.store(true, Ordering::Relaxed);
        times
    })
}

fn visible(writer: &mut Client, reader: &mut Client, number: usize) -> Duration {
    let value = number.to_string();
    let sent = Instant::now();
    writer.call(&[b"SET", b"watched", value.as_bytes()]);
    while reader.call(&[b"GET", b"watched"]) != Value::text(&value) {}
    let time = sent.elapsed();
    // Idle again: whatever the last write set in motion has ended.
    std::thread::sleep(Duration::from_millis(1));
    time
}

/// Writes 1,000 keys in turn, a batch each millisecond.
fn burden_with(client: &mut Client, per_second: usize, stop: &AtomicBool) {
    let begun = Instant::now();
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_millis() as usize * per_second / 1000;
        for number in written..due {
            let key = format!("burden:{}", number % 1000);
            client.send(&[b"SET", key.as_bytes(), b"0123456789abcdef"]).expect("the server runs");
        }
        for _ in written..due {
            client.receive().expect("the server runs");
        }
        written = due.max(written);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::main]
async fn through_chitchat() -> Vec<Duration> {
    let mut nodes: Vec<ChitchatHandle> = Vec::new();
    let mut seeds: Vec<String> = Vec::new();
    for number in 0..3 {
        let address = free_address();
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new(format!("n{number}"), 0, address),
            cluster_id: "visibility".to_owned(),
            gossip_interval: CHITCHAT_INTERVAL,
            listen_addr: address,
            seed_nodes: seeds.clone(),
            failure_detector_config: FailureDetectorConfig::default(),
            marked_for_deletion_grace_period: Duration::from_secs(3600),
            catchup_callback: None,
            extra_liveness_predicate: None,
        };
        seeds.push(address.to_string());
        nodes.push(spawn_chitchat(config, Vec::new(), &UdpTransport).await.expect("a free port"));
    }
    let writer = nodes[0].with_chitchat(|it| it.self_chitchat_id().clone()).await;
    let mut times = Vec::new();
    // The first writes wait for the nodes to find each other.
    for number in 0..CHITCHAT_WRITES + 10 {
        let value = number.to_string();
        let sent = Instant::now();
        nodes[0].with_chitchat(|it| it.self_node_state().set("watched", &value)).await;
        let seen = async |node: &ChitchatHandle| {
            let read = |it: &mut chitchat::Chitchat| it.node_state(&writer)?.get("watched").map(str::to_owned);
            node.with_chitchat(read).await.as_deref() == Some(&value)
        };
        while !seen(&nodes[1]).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(sent.elapsed());
    }
    times.split_off(10)
}

fn free_address() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}
