//! What one operation costs a Rust program that embeds a node, uncontended.
//!
//! `cargo run --release -p cahoots-benches --bin embedded [part of a name]`. Each figure is the mean of a batch of operations on one thread,
//! flush windows, datagrams and timers included as they fall due; the best and the median of many batches. Once with no
//! peer, once with a peer in the same process (which then has a thread of its own to apply what comes). Then how the
//! throughput grows when a second thread does the same to the same node.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use cahoots_gossip::driver::{MemberState, Node, NodeConfig};

const BATCHES: usize = 40;
const OPERATIONS: u32 = 50_000;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let wanted = || OPERATIONS_MEASURED.into_iter().filter(|(name, _)| name.contains(&wanted));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    println!("| operation | alone: best, median ns | with a peer: best, median ns |");
    println!("| --- | --- | --- |");
    let alone = runtime.block_on(start("alone", &[]));
    let first = runtime.block_on(start("first", &[]));
    let _second = runtime.block_on(async {
        let second = start("second", &[first.local_addr()]).await;
        let met = |members: &[_]| {
            members.iter().filter(|it: &&cahoots_gossip::driver::Member| it.state == MemberState::Live).count() == 2
        };
        first.members_when(met).await;
        second
    });
    for (name, operation) in wanted() {
        let [a, b] = [&alone, &first].map(|node| measure(&operation(node)));
        println!("| {name} | {:.0}, {:.0} | {:.0}, {:.0} |", a.0, a.1, b.0, b.1);
    }
    println!("\n| operation, alone | millions a second: one thread | two threads | ratio |");
    println!("| --- | --- | --- | --- |");
    for (name, operation) in wanted() {
        let [one, two] = [1, 2].map(|threads| throughput(&alone, operation, threads));
        println!("| {name} | {one:.2} | {two:.2} | {:.2} |", two / one);
    }
}

type Operation = Box<dyn Fn(u32)>;
type Named = (&'static str, fn(&Node) -> Operation);

const OPERATIONS_MEASURED: [Named; 7] = [
    ("counter add", |node| {
        let counter = node.counter("hits");
        Box::new(move |_| _ = black_box(counter.add(1)))
    }),
    ("counter add, 1000 keys in turn", |node| {
        let counters: Vec<_> = (0..1000).map(|key| node.counter(format!("hits:{key}"))).collect();
        Box::new(move |at| _ = black_box(counters[at as usize % 1000].add(1)))
    }),
    ("counter value", |node| {
        let counter = node.counter("hits");
        Box::new(move |_| _ = black_box(counter.value()))
    }),
    ("register get, 16 bytes", |node| {
        let register = node.register("motto");
        register.set("0123456789abcdef").expect("a small value");
        Box::new(move |_| _ = black_box(register.get()))
    }),
    ("register set, 16 bytes", |node| {
        let register = node.register("motto");
        Box::new(move |_| _ = black_box(register.set("0123456789abcdef")))
    }),
    ("set contains", |node| {
        let set = node.set("cart");
        set.insert("milk").expect("a small member");
        Box::new(move |_| _ = black_box(set.contains("milk")))
    }),
    ("map add", |node| {
        let map = node.map("user");
        Box::new(move |_| _ = black_box(map.add("visits", 1)))
    }),
];

/// Millions of operations a second of so many threads that do the same: the median of a few runs.
fn throughput(node: &Node, operation: fn(&Node) -> Operation, threads: u32) -> f64 {
    const RUNS: usize = 5;
    const OPERATIONS_EACH: u32 = 1_000_000;
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        let operation = operation(node);
                        (0..OPERATIONS_EACH).for_each(&operation);
                    });
                }
            });
            f64::from(threads * OPERATIONS_EACH) / begun.elapsed().as_secs_f64() / 1e6
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[RUNS / 2]
}

/// The best and the median mean of a batch, in nanoseconds.
fn measure(operation: &Operation) -> (f64, f64) {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..OPERATIONS).for_each(operation);
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[BATCHES / 2])
}

async fn start(name: &str, seeds: &[SocketAddr]) -> Node {
    let mut config = NodeConfig::new(name, SocketAddr::from(([127, 0, 0, 1], 0)));
    config.seeds = seeds.iter().map(ToString::to_string).collect();
    Node::start(config).await.expect("a free port on loopback")
}
