//! Throughput over ten thousand keys, and over ten million, which no cache of the processor holds.
//!
//! `cargo run --release -p cahoots-benches --bin many_keys [rounds]`. A cahoots daemon alone and a Redis server alone take
//! turns under `redis-benchmark` with 50 clients; a figure is the median of the rounds. Needs 5 GB of memory.

use cahoots_benches::load::{Asked, Side, median, run};
use cahoots_benches::redis::Redis;
use cahoots_tests::cluster::Group;

const FEW: u32 = 10_000;
const MANY: u32 = 10_000_000;
const CLIENTS: u32 = 50;
/// Pipeline, and requests of a run.
const LOADS: [(u32, u32); 2] = [(1, 200_000), (16, 2_000_000)];
const ROUNDS: usize = 5;

fn main() {
    let rounds = std::env::args().nth(1).map_or(ROUNDS, |it| it.parse().expect("a number of rounds"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    println!("| command | pipeline | cahoots, {FEW} keys | {MANY} | ratio | Redis, {FEW} keys | {MANY} | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let sides = [FEW, MANY].map(|keys| {
        let (cluster, redis) = (Group::start(1), Redis::start(directory.path(), &format!("of-{keys}"), None));
        let ours = Side { socket: cluster[0].setup.socket(), processes: cluster.pids() };
        let theirs = Side { socket: redis.socket.clone(), processes: vec![redis.pid()] };
        for side in [&ours, &theirs] {
            // Keys are drawn by chance: of three times as many draws, 95 of 100 are there.
            let _ = run(side, Asked::test("set"), (64, CLIENTS, 3 * keys), keys);
        }
        (keys, [ours, theirs], (cluster, redis))
    });
    for command in ["get", "set"] {
        for (pipeline, requests) in LOADS {
            let mut runs = [const { Vec::new() }; 4];
            for _ in 0..rounds {
                for (at, runs) in runs.iter_mut().enumerate() {
                    let (keys, servers, _) = &sides[at % 2];
                    runs.push(run(&servers[at / 2], Asked::test(command), (pipeline, CLIENTS, requests), *keys));
                }
            }
            let [few, many, few_there, many_there] = runs.map(|runs| median(&runs).per_second);
            println!(
                "| {} | {pipeline} | {few:.0} | {many:.0} | {:.2} | {few_there:.0} | {many_there:.0} | {:.2} |",
                command.to_uppercase(),
                many / few,
                many_there / few_there,
            );
        }
    }
}
