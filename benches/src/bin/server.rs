//! A cahoots daemon against a Redis server, under the same load tool over the same kind of socket.
//!
//! `cargo run --release -p cahoots-benches --bin server [rounds]`. Two settings: (a) one of each alone; (b) the first of
//! three cahoots daemons, all replicating, against a Redis primary with two replicas. In each, the two take turns under
//! `redis-benchmark` (Unix socket, no persistence), command by command; a figure is the median of the rounds. CPU
//! seconds are those of every process of that side, from /proc.

use std::collections::BTreeMap;

use cahoots_benches::load::{Side, knows, median, run};
use cahoots_benches::redis::Redis;
use cahoots_tests::cluster::Group;

/// As `redis-benchmark` calls them.
const COMMANDS: [&str; 8] = ["set", "get", "incr", "sadd", "hset", "zadd", "lpush", "mset"];
/// Pipeline, clients, requests: each run takes about half a second.
const LOADS: [(u32, u32, u32); 6] =
    [(1, 1, 20_000), (1, 50, 60_000), (16, 1, 200_000), (16, 50, 500_000), (64, 1, 300_000), (64, 50, 800_000)];
const KEYS: u32 = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let rounds = std::env::args().nth(1).map_or(ROUNDS, |it| it.parse().expect("a number of rounds"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let alone = {
        let cahoots = Group::start(1);
        let redis = Redis::start(directory.path(), "alone", None);
        println!("### (a) One daemon alone, one Redis server alone\n");
        compare(rounds, &side_of(&cahoots), &Side { socket: redis.socket.clone(), processes: vec![redis.pid()] })
    };
    let cahoots = Group::start(3);
    let primary = Redis::start(directory.path(), "primary", None);
    let replicas = ["first", "second"].map(|name| Redis::start(directory.path(), name, Some(&primary)));
    primary.await_replicas(2);
    let processes = [&primary, &replicas[0], &replicas[1]].map(Redis::pid).to_vec();
    println!("\n### (b) Three daemons that replicate, a Redis primary with two replicas\n");
    let together = compare(rounds, &side_of(&cahoots), &Side { socket: primary.socket.clone(), processes });
    let tax = |without: &[&str]| {
        let [ours, theirs] = [0, 1].map(|side| {
            let writes = together.iter().filter(|(load, _)| load.0 != "get" && !without.contains(&load.0));
            means(writes.map(|(load, speeds)| (load.1, speeds[side] / alone[load][side])))
        });
        format!("cahoots {ours}; Redis {theirs}.")
    };
    println!("\nOf what writes reach in (a) they reach in (b): {}", tax(&[]));
    println!("The same of those that both replicate, without SADD: {}", tax(&["sadd"]));
}

/// A command, its pipeline and how many clients.
type Load = (&'static str, u32, u32);

/// Geometric means by pipeline.
fn means(values: impl Iterator<Item = (u32, f64)>) -> String {
    let mut by_pipeline: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    values.for_each(|(pipeline, value)| by_pipeline.entry(pipeline).or_default().push(value));
    let mean = |values: &[f64]| (values.iter().map(|it| it.ln()).sum::<f64>() / values.len() as f64).exp();
    let told = by_pipeline.iter().map(|(pipeline, values)| format!("pipeline {pipeline}: {:.2}", mean(values)));
    told.collect::<Vec<_>>().join(", ")
}

fn side_of(cluster: &Group) -> Side {
    let processes = cluster.pids();
    Side { socket: cluster[0].setup.socket(), processes }
}

/// Prints a table; what was reached on either side, a second.
fn compare(rounds: usize, ours: &Side, theirs: &Side) -> BTreeMap<Load, [f64; 2]> {
    let known: Vec<&'static str> = COMMANDS.into_iter().filter(|name| knows(&ours.socket, name)).collect();
    let (mut reached, mut speeds, mut waits) = (BTreeMap::new(), Vec::new(), Vec::new());
    println!(
        "| command | pipeline | clients | cahoots /s | Redis /s | ratio | p50 ms | Redis | p99 ms | Redis | CPU s/M | Redis |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (pipeline, clients, requests) in LOADS {
        for name in &known {
            let (mut mine, mut others) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                mine.push(run(ours, name, (pipeline, clients, requests), KEYS));
                others.push(run(theirs, name, (pipeline, clients, requests), KEYS));
            }
            let [mine, others] = [median(&mine), median(&others)];
            let ratio = mine.per_second / others.per_second;
            speeds.push((pipeline, ratio));
            waits.push((pipeline, mine.p99_ms / others.p99_ms));
            reached.insert((*name, pipeline, clients), [mine.per_second, others.per_second]);
            println!(
                "| {} | {pipeline} | {clients} | {:.0} | {:.0} | {ratio:.2} | {:.3} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} |",
                name.to_uppercase(),
                mine.per_second,
                others.per_second,
                mine.p50_ms,
                others.p50_ms,
                mine.p99_ms,
                others.p99_ms,
                mine.cpu,
                others.cpu,
            );
        }
    }
    let (speeds, waits) = (means(speeds.into_iter()), means(waits.into_iter()));
    println!(
        "\nGeometric mean of the ratios over commands and numbers of clients: {speeds}; of those of p99: {waits}."
    );
    let unknown: Vec<&str> = COMMANDS.into_iter().filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        println!("Not compared, for cahoots has no such command: {}.", unknown.join(", ").to_uppercase());
    }
    reached
}
