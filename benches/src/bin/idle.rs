//! What three idle daemons send, with few keys and with many.
//!
//! `cargo run --release -p cahoots-benches --bin idle`. Bytes of UDP datagrams, membership included, IP and UDP headers
//! not, as the daemons count what they receive; a warm-up first, until membership has come to rest.

use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Client, Group, Value};

const FEW: usize = 10;
const MANY: usize = 1_000_000;
const REST: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_secs(60);
/// Commands sent before their replies are read.
const PIPELINE: usize = 1_000;

fn main() {
    println!("| keys | bytes a second a node | datagrams a second a node |");
    println!("| --- | --- | --- |");
    for keys in [FEW, MANY] {
        let cluster = Group::start(3);
        fill(&mut cluster[0].client(), keys);
        cluster.agree_on_versions();
        std::thread::sleep(REST);
        let (before, begun) = (received(&cluster), Instant::now());
        std::thread::sleep(MEASURED);
        let (after, seconds) = (received(&cluster), begun.elapsed().as_secs_f64());
        let a_node = |after: u64, before: u64| (after - before) as f64 / seconds / 3.0;
        println!("| {keys} | {:.0} | {:.1} |", a_node(after.0, before.0), a_node(after.1, before.1));
    }
}

fn fill(client: &mut Client, keys: usize) {
    let value = [b'v'; 16];
    for first in (0..keys).step_by(PIPELINE) {
        let batch = first..keys.min(first + PIPELINE);
        for number in batch.clone() {
            client.send(&[b"SET", format!("key:{number:08}").as_bytes(), &value]).expect("the daemon runs");
        }
        for _ in batch {
            client.receive().expect("the daemon runs");
        }
    }
}

/// Bytes and datagrams that all daemons have received.
fn received(cluster: &Group) -> (u64, u64) {
    let of = |number: usize| {
        let Value::Text(info) = cluster[number].ask("INFO") else { panic!("INFO is a text") };
        let info = String::from_utf8_lossy(&info).into_owned();
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|it| it.trim().parse::<u64>().ok()).expect("a number")
        };
        (field("bytes_received"), field("datagrams_received"))
    };
    (0..3).map(of).fold((0, 0), |(bytes, datagrams), (b, d)| (bytes + b, datagrams + d))
}
