//! How a change spreads: time, datagrams and bytes, for clusters of 3 to 1000 replicas, in virtual time.
//!
//! `cargo run --release -p cahoots-benches --bin spread`. Names of tables as arguments print those only. Deterministic:
//! two runs print the same.

use cahoots_benches::spread::{Network, Outcome, Spread, epidemic, measure, percentile};
use cahoots_gossip::engine::ReplicaConfig;
use cahoots_tests::sim::Random;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let tables: [(&str, fn()); 4] = [("lan", lan), ("geographic", geographic), ("schemes", schemes), ("loss", loss)];
    for (name, table) in tables {
        if chosen.is_empty() || chosen.iter().any(|it| it == name) {
            table();
            println!();
        }
    }
}

fn spread(hosts: usize, network: Network, zones: bool) -> Spread {
    let changes = if hosts > 100 { 200 } else { 500 };
    Spread { hosts, network, zones, loss: 0.0, changes, config: ReplicaConfig::default() }
}

fn ms(sorted: &[u64], per_mille: usize) -> String {
    let micros = percentile(sorted, per_mille) as f64 / 1_000.0;
    if micros < 10.0 { format!("{micros:.2}") } else { format!("{micros:.0}") }
}

fn row(name: &str, outcome: &Outcome) {
    let Outcome { all, each, sends, events, bytes, idle_bytes } = outcome;
    println!(
        "| {name} | {} | {} | {} | {} | {sends:.0} | {events:.0} | {bytes:.0} | {idle_bytes:.0} |",
        ms(each, 500),
        ms(each, 990),
        ms(all, 500),
        ms(all, 990),
    );
}

const HEAD: &str = "one has it, p50 | p99 (ms) | all have it, p50 | p99 (ms) | datagrams a change | of them events \
                    | bytes a change | idle bytes a second a node |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |";

fn lan() {
    println!("Any two 100 to 500 us apart, five changes a second from replicas chosen at random.\n");
    println!("| replicas | {HEAD}");
    for hosts in [3, 10, 30, 100, 300, 1000] {
        row(&hosts.to_string(), &measure(&spread(hosts, Network::Lan, false)));
    }
}

fn geographic() {
    println!(
        "300 replicas in 30 regions of the world, apart by distance at 200,000 km/s and half as much again, and 2 ms.\n"
    );
    println!("| 300 replicas | {HEAD}");
    row("zones are regions", &measure(&spread(300, Network::Geographic, true)));
    row("no zones", &measure(&spread(300, Network::Geographic, false)));
    let mut direct = spread(300, Network::Geographic, true);
    direct.config.relay_above = usize::MAX;
    row("no relaying", &measure(&direct));
    println!("| Corrosion, Plumtree, as it reports | | | 123 | 188 | 1643 | | | |");
}

fn schemes() {
    println!(
        "Ways to spread a change to 300 replicas; what an origin sends itself decides how many changes it can make.\n"
    );
    println!("| scheme | network | all have it, p50 | p99 (ms) | events sent | by the origin | reached |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (network, name) in [(Network::Lan, "LAN"), (Network::Geographic, "30 regions")] {
        let tree = measure(&spread(300, network, true));
        let own = if matches!(network, Network::Lan) { 16 } else { 29 + 9 };
        scheme("tree", name, &tree, own);
        let mut direct = spread(300, network, true);
        direct.config.relay_above = usize::MAX;
        scheme("origin to all", name, &measure(&direct), 299);
        for fanout in [4, 8, 12] {
            let mut random = Random::new(11);
            let runs: Vec<_> = (0..200).map(|_| epidemic(&mut random, 300, network, fanout)).collect();
            let mut last: Vec<u64> = runs.iter().filter_map(|(heard, _)| heard.iter().max().copied()).collect();
            last.sort_unstable();
            let heard: usize = runs.iter().map(|(heard, _)| heard.len()).sum();
            let sends: u64 = runs.iter().map(|(_, sends)| sends).sum();
            let reached = heard as f64 / 600.0;
            println!(
                "| everyone to {fanout} at random | {name} | {} | {} | {} | {fanout} | {reached:.2} % |",
                ms(&last, 500),
                ms(&last, 990),
                sends / 200,
            );
        }
    }
}

fn scheme(name: &str, network: &str, outcome: &Outcome, own: usize) {
    let (p50, p99) = (ms(&outcome.all, 500), ms(&outcome.all, 990));
    println!("| {name} | {network} | {p50} | {p99} | {:.0} | {own} | 100 % |", outcome.events);
}

fn loss() {
    println!("Datagrams lost at random, LAN; overhead is bytes a change against none lost.\n");
    println!("| replicas | lost | one has it, p50 | p99 (ms) | all have it, p99 (ms) | bytes a change | overhead |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for hosts in [3, 30] {
        let mut none = 0.0;
        for loss in [0.0, 1.0, 10.0, 30.0] {
            let mut spread = spread(hosts, Network::Lan, false);
            (spread.loss, spread.changes) = (loss, 2_000);
            let outcome = measure(&spread);
            if loss == 0.0 {
                none = outcome.bytes;
            }
            println!(
                "| {hosts} | {loss:.0} % | {} | {} | {} | {:.0} | {:+.0} % |",
                ms(&outcome.each, 500),
                ms(&outcome.each, 990),
                ms(&outcome.all, 990),
                outcome.bytes,
                (outcome.bytes / none - 1.0) * 100.0,
            );
        }
    }
}
