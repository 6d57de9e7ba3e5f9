//! A cahoots daemon against a Redis server, under the same load tool over the same kind of socket.
//!
//! `cargo run --release -p cahoots-benches --bin server [rounds]`. Two settings: (a) one of each alone; (b) the first of
//! three cahoots daemons, all replicating, against a Redis primary with two replicas. In each, the two take turns under
//! `redis-benchmark` (Unix socket, no persistence), command by command; a figure is the median of the rounds. CPU
//! seconds are those of every process of that side, from /proc.

use std::collections::BTreeMap;

use cahoots_benches::load::{Asked, Side, knows, median, run};
use cahoots_benches::redis::Redis;
use cahoots_tests::cluster::{Client, Group};

const COMMANDS: [Asked; 17] = [
    Asked::test("set"),
    Asked::test("get"),
    Asked::test("incr"),
    Asked::test("sadd"),
    Asked::test("hset"),
    Asked::test("mset"),
    Asked { name: "set ex", words: &["SET", "key:__rand_int__", "0123456789abcdef", "EX", "100"] },
    Asked { name: "zadd", words: &["ZADD", "scores", "__rand_int__", "element:__rand_int__"] },
    Asked { name: "zincrby", words: &["ZINCRBY", "scores", "1", "element:__rand_int__"] },
    Asked { name: "zrange 10", words: &["ZRANGE", "scores", "0", "9"] },
    Asked { name: "zrank", words: &["ZRANK", "scores", "element:__rand_int__"] },
    Asked::test("lpush"),
    Asked::test("rpop"),
    Asked { name: "lrange 100", words: &["LRANGE", "hundred", "0", "99"] },
    Asked { name: "xadd", words: &["XADD", "stream", "MAXLEN", "~", "100000", "*", "field", "0123456789abcdef"] },
    Asked {
        name: "eval",
        words: &["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "key:__rand_int__", "0123456789abcdef"],
    },
    Asked { name: "xrange 10", words: &["XRANGE", "stream", "-", "+", "COUNT", "10"] },
];
/// Those that write nothing.
const READS: [&str; 5] = ["get", "zrange 10", "zrank", "lrange 100", "xrange 10"];
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
            let writes = together.iter().filter(|(load, _)| !READS.contains(&load.0) && !without.contains(&load.0));
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
    let known: Vec<Asked> = COMMANDS.into_iter().filter(|asked| knows(&ours.socket, asked.command())).collect();
    [ours, theirs].into_iter().for_each(fill);
    let (mut reached, mut speeds, mut waits) = (BTreeMap::new(), Vec::new(), Vec::new());
    println!(
        "| command | pipeline | clients | cahoots /s | Redis /s | ratio | p50 ms | Redis | p99 ms | Redis | CPU s/M | Redis |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (pipeline, clients, requests) in LOADS {
        for &asked in &known {
            let name = asked.name;
            let (mut mine, mut others) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                mine.push(run(ours, asked, (pipeline, clients, requests), KEYS));
                others.push(run(theirs, asked, (pipeline, clients, requests), KEYS));
            }
            let [mine, others] = [median(&mine), median(&others)];
            let ratio = mine.per_second / others.per_second;
            speeds.push((pipeline, ratio));
            waits.push((pipeline, mine.p99_ms / others.p99_ms));
            reached.insert((name, pipeline, clients), [mine.per_second, others.per_second]);
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
    let unknown = COMMANDS.into_iter().filter(|asked| !known.iter().any(|known| known.name == asked.name));
    let unknown: Vec<&str> = unknown.map(|asked| asked.name).collect();
    if !unknown.is_empty() {
        println!("Not compared, for cahoots has no such command: {}.", unknown.join(", ").to_uppercase());
    }
    reached
}

/// A list of a hundred elements, for LRANGE.
fn fill(side: &Side) {
    let mut client = Client::connect(&side.socket).expect("the server runs");
    let elements = ["0123456789abcdef"; 100].join(" ");
    client.words("DEL hundred");
    client.words(&format!("RPUSH hundred {elements}"));
}
