//! Timings of `cahoots-crdt`, `crdts` 7.3 and `dson` side by side: `cargo bench -p cahoots-benches --bench crdt`.
//!
//! For the table of ratios and for memory: `cargo run --release -p cahoots-benches --bin crdt-table`.

use std::hint::black_box;
use std::time::Duration;

use cahoots_benches::contenders::{DsonSet, Member, Receiver, Set, local, member, pair, set};
use cahoots_crdt::{AwSet, Causal};
use crdts::Orswot;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion};

type Ours = Causal<AwSet<Member>>;
type Theirs = Orswot<Member, u64>;

fn merge_of_one<S: Set>(group: &mut BenchmarkGroup<'_, WallTime>, size: u64) {
    let mut receiver = Receiver::<S>::new(size);
    group.bench_function(format!("{} of {size}", S::NAME), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut left = usize::try_from(iterations).expect("64 bits");
            let mut took = Duration::ZERO;
            while left > 0 {
                let batch = left.min(receiver.batch());
                took += receiver.merge(batch);
                left -= batch;
            }
            took
        });
    });
}

fn local_set<S: Set>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut state: S = set(10_000, 3);
    let mut next = 0;
    let mut step = move || {
        next = (next + 7_919) % 10_000;
        member(next)
    };
    group.bench_function(format!("add, {}", S::NAME), |bencher| bencher.iter(|| state.add(1, step())));
    let present: S = set(10_000, 3);
    group.bench_function(format!("contains, {}", S::NAME), |bencher| {
        bencher.iter(|| present.contains(black_box(&member(4_711))));
    });
    let mut state = present;
    let mut next = 0;
    group.bench_function(format!("remove, {}", S::NAME), |bencher| {
        bencher.iter_batched_ref(
            || {
                // Each sample removes a member of its own from one state that goes on.
                next = (next + 7_919) % 10_000;
                let gone = member(next);
                if !state.contains(&gone) {
                    let _sent = state.add(1, gone);
                }
                (state.clone(), gone)
            },
            |(state, gone)| state.remove(1, gone),
            BatchSize::PerIteration,
        );
    });
}

fn counters_and_maps(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut ours = local::Counter::new();
    group.bench_function("increment, cahoots", |bencher| bencher.iter(|| local::increment(&mut ours, 1)));
    let mut theirs = local::CrdtsCounter::new();
    group.bench_function("increment, crdts", |bencher| bencher.iter(|| local::increment_crdts(&mut theirs, 1)));
    let mut ours = local::Map::new();
    group.bench_function("map update, cahoots", |bencher| bencher.iter(|| local::update(&mut ours, 1, 7, 8)));
    let mut theirs = local::CrdtsMap::new();
    group.bench_function("map update, crdts", |bencher| bencher.iter(|| local::update_crdts(&mut theirs, 1, 7, 8)));
    let mut theirs = local::DsonMap::default();
    group.bench_function("map update, dson", |bencher| bencher.iter(|| local::update_dson(&mut theirs, 1, 7, 8)));
}

fn merge_of_all<S: Set>(group: &mut BenchmarkGroup<'_, WallTime>, different: u64) {
    let (left, right): (S, S) = pair(100_000, different);
    group.bench_function(format!("{} with {different} different", S::NAME), |bencher| {
        bencher.iter_batched(
            || (left.clone(), right.clone()),
            |(mut left, right)| {
                left.merge_state(right);
                left
            },
            BatchSize::PerIteration,
        );
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut group = criterion.benchmark_group("merge one");
    for size in [1_000, 10_000, 100_000] {
        merge_of_one::<Ours>(&mut group, size);
        merge_of_one::<Theirs>(&mut group, size);
        merge_of_one::<DsonSet>(&mut group, size);
    }
    group.finish();
    let mut group = criterion.benchmark_group("local");
    local_set::<Ours>(&mut group);
    local_set::<Theirs>(&mut group);
    local_set::<DsonSet>(&mut group);
    counters_and_maps(&mut group);
    group.finish();
    let mut group = criterion.benchmark_group("merge all");
    for different in [1_000, 50_000] {
        merge_of_all::<Ours>(&mut group, different);
        merge_of_all::<Theirs>(&mut group, different);
        merge_of_all::<DsonSet>(&mut group, different);
    }
    group.finish();
    criterion.final_summary();
}
