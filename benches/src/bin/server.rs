//! A cahoots daemon against a Redis server, under the same load tool over the same kind of socket.
//!
//! `cargo run --release -p cahoots-benches --bin server [rounds]`. Two settings: (a) one of each alone; (b) the first of
//! three cahoots daemons, all replicating, against a Redis primary with two replicas. In each, the two take turns under
//! `redis-benchmark` (Unix socket, no persistence), command by command; a figure is the median of the rounds. CPU
//! seconds are those of every process of that side, from /proc.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cahoots_benches::redis::Redis;
use cahoots_tests::cluster::{Group, Value};

/// As `redis-benchmark` calls them.
const COMMANDS: [&str; 8] = ["set", "get", "incr", "sadd", "hset", "zadd", "lpush", "mset"];
/// Pipeline, clients, requests: each run takes about half a second.
const LOADS: [(u32, u32, u32); 6] =
    [(1, 1, 20_000), (1, 50, 60_000), (16, 1, 200_000), (16, 50, 500_000), (64, 1, 300_000), (64, 50, 800_000)];
const KEYS: u32 = 100_000;
const ROUNDS: usize = 5;

/// One side of a comparison: where clients connect, and the processes it consists of.
struct Side {
    socket: PathBuf,
    processes: Vec<u32>,
}

/// One run of the load tool.
#[derive(Clone, Copy, Debug)]
struct Run {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// CPU seconds a million operations.
    cpu: f64,
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(ROUNDS, |it| it.parse().expect("a number of rounds"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    {
        let cahoots = Group::start(1);
        let redis = Redis::start(directory.path(), "alone", None);
        println!("### (a) One daemon alone, one Redis server alone\n");
        compare(rounds, &side_of(&cahoots), &Side { socket: redis.socket.clone(), processes: vec![redis.pid()] });
    }
    let cahoots = Group::start(3);
    let primary = Redis::start(directory.path(), "primary", None);
    let replicas = ["first", "second"].map(|name| Redis::start(directory.path(), name, Some(&primary)));
    primary.await_replicas(2);
    let processes = [&primary, &replicas[0], &replicas[1]].map(Redis::pid).to_vec();
    println!("\n### (b) Three daemons that replicate, a Redis primary with two replicas\n");
    compare(rounds, &side_of(&cahoots), &Side { socket: primary.socket.clone(), processes });
}

fn side_of(cluster: &Group) -> Side {
    let processes = cluster.pids();
    Side { socket: cluster[0].setup.socket(), processes }
}

fn compare(rounds: usize, ours: &Side, theirs: &Side) {
    let known: Vec<&str> = COMMANDS.into_iter().filter(|name| knows(&ours.socket, name)).collect();
    let mut summary = String::new();
    let mut ratios: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    println!(
        "| command | pipeline | clients | cahoots /s | Redis /s | ratio | p50 ms | Redis | p99 ms | Redis | CPU s/M | Redis |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (pipeline, clients, requests) in LOADS {
        for name in &known {
            let (mut mine, mut others) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                mine.push(run(ours, name, pipeline, clients, requests));
                others.push(run(theirs, name, pipeline, clients, requests));
            }
            let [mine, others] = [median(&mine), median(&others)];
            let ratio = mine.per_second / others.per_second;
            ratios.entry(pipeline).or_default().push(ratio);
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
    for (pipeline, ratios) in ratios {
        let mean = (ratios.iter().map(|it| it.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let _ = write!(summary, "{}pipeline {pipeline}: {mean:.2}", if summary.is_empty() { "" } else { ", " });
    }
    println!("\nGeometric mean of the ratios over commands and numbers of clients: {summary}.");
    let unknown: Vec<&str> = COMMANDS.into_iter().filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        println!("Not compared, for cahoots has no such command: {}.", unknown.join(", ").to_uppercase());
    }
}

fn knows(socket: &Path, command: &str) -> bool {
    let mut client = cahoots_tests::cluster::Client::connect(socket).expect("the daemon runs");
    match client.call(&[b"COMMAND", b"INFO", command.as_bytes()]) {
        Value::Array(found) => found.first().is_some_and(|it| *it != Value::Null),
        other => panic!("COMMAND INFO answers {other:?}"),
    }
}

fn run(side: &Side, command: &str, pipeline: u32, clients: u32, requests: u32) -> Run {
    let before = cpu_seconds(&side.processes);
    let mut tool = Command::new("redis-benchmark");
    tool.arg("-s").arg(&side.socket).args(["--csv", "-d", "16", "-t", command]);
    for (flag, value) in [("-P", pipeline), ("-c", clients), ("-n", requests), ("-r", KEYS)] {
        tool.arg(flag).arg(value.to_string());
    }
    let output = tool.output().expect("redis-benchmark is installed");
    let cpu = (cpu_seconds(&side.processes) - before) * 1e6 / f64::from(requests);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
    let line = text.lines().rev().find(|line| line.starts_with('"')).unwrap_or_else(|| panic!("no result: {output:?}"));
    let field = |at: usize| -> f64 {
        let field = line.split("\",\"").nth(at).unwrap_or_else(|| panic!("not what was expected: {line}"));
        field.trim_matches('"').parse().unwrap_or_else(|_| panic!("no number in {line}"))
    };
    Run { per_second: field(1), p50_ms: field(4), p99_ms: field(6), cpu }
}

/// User and system time of these processes so far.
fn cpu_seconds(processes: &[u32]) -> f64 {
    // The kernel's unit in /proc is fixed at a hundredth of a second on Linux.
    let ticks = |pid: &u32| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let after_name = stat.rsplit_once(')').expect("the name ends").1;
        after_name.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().expect("a number")).sum()
    };
    processes.iter().map(ticks).sum::<u64>() as f64 / 100.0
}

fn median(runs: &[Run]) -> Run {
    let of = |field: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Run {
        per_second: of(|it| it.per_second),
        p50_ms: of(|it| it.p50_ms),
        p99_ms: of(|it| it.p99_ms),
        cpu: of(|it| it.cpu),
    }
}
