//! Prints how `cahoots-crdt` compares with `crdts` 7.3 and `dson`: times, memory, encoded sizes, and their ratios.
//!
//! `cargo run --release -p cahoots-benches --bin crdt-table`. All three run in one process, one after the other for
//! each row, so that noise of the machine hits them alike; a time is the median of several batches.

use std::hint::black_box;
use std::time::Instant;

use cahoots_benches::contenders::{DsonSet, Member, Receiver, Set, id, local, member, pair, set};
use cahoots_benches::live_bytes::{Counting, kept_by};
use cahoots_crdt::{AwSet, Causal};
use crdts::{CmRDT, Orswot};
use hashbrown::HashMap;

type Ours = Causal<AwSet<Member>>;
type Theirs = Orswot<Member, u64>;

fn main() {
    println!("| | cahoots | crdts 7.3 | dson 0.3 | crdts / cahoots | dson / cahoots |");
    println!("| --- | --- | --- | --- | --- | --- |");
    merges_of_one();
    local_operations();
    merges_of_all();
    sizes();
}

fn merges_of_one() {
    let sizes = [1_000, 10_000, 100_000, 1_000_000];
    let merges = sizes.map(|size| {
        let ours = merge_of_one::<Ours>(size, 401);
        // What costs seconds is measured once.
        let times = if size > 100_000 { 1 } else { 5 };
        let theirs = [merge_of_one::<Theirs>(size, times), merge_of_one::<DsonSet>(size, times)];
        time(&format!("merge a one-element delta into {size} members"), ours, Some(theirs[0]), Some(theirs[1]));
        ours
    });
    let insertions = sizes.map(|size| {
        let bare = bare_insertion(size);
        time(&format!("for comparison: insert into a bare hash table of {size}"), bare, None, None);
        bare
    });
    let spread = |times: &[f64]| {
        let (low, high) = times.iter().fold((f64::MAX, 0.0_f64), |(low, high), t| (low.min(*t), high.max(*t)));
        high / low
    };
    println!("| one-element merge, slowest size / fastest size | {:.1} | | | | |", spread(&merges));
    println!("| bare hash table, slowest size / fastest size | {:.1} | | | | |", spread(&insertions));
    let over: Vec<String> = merges.iter().zip(insertions).map(|(merge, bare)| format!("{:.1}", merge / bare)).collect();
    println!("| one-element merge / bare insertion, by size | {} | | | | |", over.join(", "));

    let mut state: Theirs = set(100_000, 3);
    let mut other = state.clone();
    let mut next = 1 << 40;
    let ours = merge_of_one::<Ours>(100_000, 401);
    let apply = median(
        9,
        500,
        || {
            next += 1;
            Set::add(&mut other, 3, member(next))
        },
        |op| state.apply(op),
    );
    time("the same at 100000, against `apply` of an operation (exactly once, in order)", ours, Some(apply), None);
}

fn merge_of_one<S: Set>(size: u64, batches: usize) -> f64 {
    let mut receiver = Receiver::<S>::new(size);
    let batch = receiver.batch();
    middle((0..batches).map(|_| receiver.merge(batch).as_nanos() as f64 / batch as f64).collect())
}

/// What the members of a set and one dot each cost in the hash table that our sets are made of, and nothing else.
fn bare_insertion(size: u64) -> f64 {
    let dot = |n: u64| (1_usize, id(3), n);
    let mut table: HashMap<Member, (usize, u64, u64)> = HashMap::new();
    let batch = usize::try_from(size / 20).expect("small").min(500);
    table.extend((0..size).map(|n| (member(n), dot(n))));
    let mut next = 1 << 40;
    let mut times = Vec::new();
    for _ in 0..401 {
        let members: Vec<Member> = (next..).take(batch).map(member).collect();
        next += 1 << 20;
        let entries: Vec<_> = members.iter().map(|member| (*member, dot(next))).collect();
        times.push(mean(entries, |(member, dot)| table.insert(member, dot)));
        for member in &members {
            table.remove(member);
        }
    }
    middle(times)
}

fn local_operations() {
    for replicas in [3, 100] {
        let row = |what: &str| format!("{what}, 10000 members, {replicas} replicas");
        let times = [add::<Ours>(replicas, 1_000), add::<Theirs>(replicas, 1_000), add::<DsonSet>(replicas, 5)];
        time(&row("local add"), times[0], Some(times[1]), Some(times[2]));
        let times = [remove::<Ours>(replicas, 500), remove::<Theirs>(replicas, 500), remove::<DsonSet>(replicas, 5)];
        time(&row("local remove"), times[0], Some(times[1]), Some(times[2]));
        let times = [contains::<Ours>(replicas), contains::<Theirs>(replicas), contains::<DsonSet>(replicas)];
        time(&row("contains"), times[0], Some(times[1]), Some(times[2]));

        let (mut ours, mut theirs) = (local::Counter::new(), local::CrdtsCounter::new());
        for by in 0..replicas {
            let _sent = (local::increment(&mut ours, by), local::increment_crdts(&mut theirs, by));
        }
        let ours = in_place(|| local::increment(&mut ours, 1));
        let theirs = in_place(|| local::increment_crdts(&mut theirs, 1));
        time(&format!("counter increment, {replicas} replicas"), ours, Some(theirs), None);

        let (mut ours, mut theirs) = (local::Map::new(), local::CrdtsMap::new());
        let mut dsons = local::DsonMap::default();
        for key in 0..1_000_u64 {
            let by = usize::try_from(key).expect("small") % replicas;
            let _sent = (local::update(&mut ours, by, key, 1), local::update_crdts(&mut theirs, by, key, 1));
            let _sent = local::update_dson(&mut dsons, by, key, 1);
        }
        let mut keys = (0..).map(|n: u64| n.wrapping_mul(7_919) % 1_000);
        let mut key = || keys.next().expect("endless");
        let ours = median(9, 5_000, &mut key, |key| local::update(&mut ours, 1, key, 2));
        let theirs = median(9, 5_000, &mut key, |key| local::update_crdts(&mut theirs, 1, key, 2));
        let dsons = median(9, 50, &mut key, |key| local::update_dson(&mut dsons, 1, key, 2));
        time(&format!("map update, 1000 registers, {replicas} replicas"), ours, Some(theirs), Some(dsons));
    }
}

fn add<S: Set>(replicas: usize, per_batch: usize) -> f64 {
    let mut state: S = set(10_000, replicas);
    let mut next = 0;
    let step = || {
        next += 1;
        member(1 << 40 | next)
    };
    median(9, per_batch, step, |member| state.add(1, member))
}

fn remove<S: Set>(replicas: usize, per_batch: usize) -> f64 {
    let mut state: S = set(10_000, replicas);
    let mut members = (0..).map(member);
    median(9, per_batch, || members.next().expect("endless"), |member| state.remove(1, &member))
}

fn contains<S: Set>(replicas: usize) -> f64 {
    let state: S = set(10_000, replicas);
    let mut members = (0..10_000).cycle().map(member);
    median(201, 1_000, || members.next().expect("endless"), |member| state.contains(&member))
}

fn merges_of_all() {
    for different in [1_000, 50_000] {
        let times =
            [merge_of_all::<Ours>(different), merge_of_all::<Theirs>(different), merge_of_all::<DsonSet>(different)];
        let row = format!("merge two sets of 100000 that differ in {} %", different / 1_000);
        time(&row, times[0], Some(times[1]), Some(times[2]));
    }
}

fn merge_of_all<S: Set>(different: u64) -> f64 {
    let (left, right): (S, S) = pair(100_000, different);
    let merged = median(
        7,
        1,
        || (left.clone(), right.clone()),
        |(mut left, right)| {
            left.merge_state(right);
            left
        },
    );
    let mut check = left;
    check.merge_state(right);
    assert_eq!(check.count() as u64, 100_000 + different);
    merged
}

fn sizes() {
    for replicas in [3, 100] {
        let memory = [memory::<Ours>(replicas), memory::<Theirs>(replicas), memory::<DsonSet>(replicas)];
        bytes(&format!("memory a 16-byte member, {replicas} replicas"), memory);
        let encoded = [encoded::<Ours>(replicas), encoded::<Theirs>(replicas), encoded::<DsonSet>(replicas)];
        bytes(&format!("encoded bytes a 16-byte member, {replicas} replicas"), encoded);
        let beyond = encoded.map(|total| total.map(|total| total - 16.0));
        bytes(&format!("of these beyond the 16, {replicas} replicas"), beyond);
        let delta = [delta::<Ours>(replicas), delta::<Theirs>(replicas), delta::<DsonSet>(replicas)];
        bytes(&format!("encoded one-element change beyond its 16 bytes, {replicas} replicas"), delta);
    }
}

const MEASURED_MEMBERS: u64 = 100_000;

fn memory<S: Set>(replicas: usize) -> Option<f64> {
    Some(kept_by(|| set::<S>(MEASURED_MEMBERS, replicas)) as f64 / MEASURED_MEMBERS as f64)
}

fn encoded<S: Set>(replicas: usize) -> Option<f64> {
    Some(set::<S>(MEASURED_MEMBERS, replicas).encoded()?.len() as f64 / MEASURED_MEMBERS as f64)
}

fn delta<S: Set>(replicas: usize) -> Option<f64> {
    let mut set: S = set(10_000, replicas);
    Some(S::encoded_change(&set.add(1, member(1 << 40)))?.len() as f64 - 16.0)
}

/// The median over `batches` batches of the mean nanoseconds of `per_batch` runs of `work`. Neither making the input
/// nor dropping the output is counted.
fn median<I, O>(batches: usize, per_batch: usize, mut input: impl FnMut() -> I, mut work: impl FnMut(I) -> O) -> f64 {
    middle((0..batches).map(|_| mean((0..per_batch).map(|_| input()).collect(), &mut work)).collect())
}

/// The same for what takes a few nanoseconds: setting 128 bytes aside for later would cost more than making them, so
/// each output is dropped where it is. (Neither library's owns memory.)
fn in_place<O>(mut work: impl FnMut() -> O) -> f64 {
    const RUNS: u32 = 1_000;
    let batch = || {
        let start = Instant::now();
        for _ in 0..RUNS {
            black_box(&work());
        }
        start.elapsed().as_nanos() as f64 / f64::from(RUNS)
    };
    middle(std::iter::repeat_with(batch).take(501).collect())
}

/// The mean nanoseconds of `work` on one of the inputs.
fn mean<I, O>(inputs: Vec<I>, mut work: impl FnMut(I) -> O) -> f64 {
    let runs = inputs.len();
    let mut outputs = Vec::with_capacity(runs);
    let start = Instant::now();
    for input in inputs {
        outputs.push(black_box(work(input)));
    }
    start.elapsed().as_nanos() as f64 / runs as f64
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn time(row: &str, ours: f64, theirs: Option<f64>, dsons: Option<f64>) {
    let nanos = |nanos: f64| match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    };
    let show = |time: Option<f64>| time.map_or_else(String::new, nanos);
    let ratio = |time: Option<f64>| time.map_or_else(String::new, |time| format!("{:.1}", time / ours));
    println!("| {row} | {} | {} | {} | {} | {} |", nanos(ours), show(theirs), show(dsons), ratio(theirs), ratio(dsons));
}

fn bytes(row: &str, [ours, theirs, dsons]: [Option<f64>; 3]) {
    let show = |bytes: Option<f64>| bytes.map_or_else(String::new, |bytes| format!("{bytes:.1}"));
    let ratio = |bytes: Option<f64>| show(bytes.zip(ours).map(|(bytes, ours)| bytes / ours));
    println!("| {row} | {} | {} | {} | {} | {} |", show(ours), show(theirs), show(dsons), ratio(theirs), ratio(dsons));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
