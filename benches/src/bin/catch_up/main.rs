//! How long an empty replica takes to have what others have: 1,000,000 string keys with values of 100 bytes, from one
//! peer, from two, and beside it Redis' full resync of the same data.
//!
//! `cargo run --release -p cahoots-benches --bin catch-up [-- KEYS [ROUNDS]]`; `-- steps [KEYS]` prints the second table
//! only, of what an engine does under its lock. Every node is a process of its own; all
//! talk over loopback. Redis is given its fastest ways: diskless on both sides and no delay before it begins. Needs
//! `redis-server`.

mod node;
mod redis;
mod steps;

use std::process::ExitCode;
use std::time::Duration;

/// Bytes of a value.
const VALUE_BYTES: usize = 100;

fn key(number: usize) -> String {
    format!("key:{number}")
}

fn value(number: usize) -> Vec<u8> {
    // Letters of no pattern: Redis compresses what has one.
    let mut state = number as u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[usize::from(state.to_be_bytes()[0] >> 2)]
    })
    .take(VALUE_BYTES)
    .collect()
}

/// Bytes of keys and values together.
fn data_bytes(keys: usize) -> usize {
    (0..keys).map(|number| key(number).len() + VALUE_BYTES).sum()
}

/// One catching up.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// From starting the replica, or telling it whom to follow.
    total: Duration,
    /// From the first byte fetched.
    fetching: Duration,
    /// Bytes of what was fetched, without what UDP or TCP add.
    bytes: u64,
    /// Processor time of the one that caught up.
    cpu_there: Duration,
    /// Processor time of those it fetched from, together.
    cpu_here: Duration,
    /// How long a client of it and one of a peer waited at most, and 99.9 % of them at most.
    stalls: Option<[Duration; 4]>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("node") {
        node::child(&arguments.collect::<Vec<_>>());
        return ExitCode::SUCCESS;
    }
    if first.as_deref() == Some("steps") {
        steps::table(arguments.next().map_or(1_000_000, |keys| keys.parse().expect("KEYS is a number")));
        return ExitCode::SUCCESS;
    }
    let keys = first.map_or(1_000_000, |keys| keys.parse().expect("KEYS is a number"));
    let rounds = arguments.next().map_or(3, |rounds| rounds.parse().expect("ROUNDS is a number"));
    let data = data_bytes(keys);
    println!("{keys} keys, {data} bytes of keys and values, best of {rounds} rounds\n");
    println!(
        "| | from start | fetching | bytes / data | CPU replica | CPU peers | longest stall replica, peer (99.9 %) |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    // Interleaved, so that noise of the machine hits all alike.
    let mut outcomes: [Vec<Outcome>; 3] = Default::default();
    for _ in 0..rounds {
        outcomes[0].push(node::catch_up(keys, 1));
        outcomes[1].push(node::catch_up(keys, 2));
        outcomes[2].push(redis::resync(keys));
    }
    for (name, outcomes) in ["cahoots, one peer", "cahoots, two peers", "Redis full resync"].iter().zip(&outcomes) {
        let Some(best) = outcomes.iter().min_by_key(|it| it.total) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^53")]
        let overhead = best.bytes as f64 / data as f64;
        let stalls = best.stalls.map_or_else(String::new, |[here, here_most, there, there_most]| {
            format!("{here:.1?} ({here_most:.1?}), {there:.1?} ({there_most:.1?})")
        });
        println!(
            "| {name} | {:.2?} | {:.2?} | {overhead:.2} | {:.2?} | {:.2?} | {stalls} |",
            best.total, best.fetching, best.cpu_there, best.cpu_here
        );
    }
    steps::table(keys);
    ExitCode::SUCCESS
}
