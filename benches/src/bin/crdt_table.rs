//! Prints how `cahoots-crdt` compares with `crdts` 7.3 and `dson`: times, memory, encoded sizes, and their ratios.
//!
//! `cargo run --release -p cahoots-benches --bin crdt-table`. All three run in one process, one after the other for
//! each row, so that noise of the machine hits them alike; a time is the median of several batches.

#![allow(unsafe_code)] // The counting allocator at the end; nothing else.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cahoots_benches::contenders::{DsonSet, Member, Set, local, member, pair, set};
use cahoots_crdt::{AwSet, Causal};
use crdts::{CmRDT, Orswot};

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
    let mut flat = Vec::new();
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        let ours = merge_of_one::<Ours>(size, 500);
        flat.push(ours);
        // A million members at the peers would take minutes to build; the cost of a merge is linear there.
        let (theirs, dsons) = if size <= 100_000 {
            (Some(merge_of_one::<Theirs>(size, 5)), Some(merge_of_one::<DsonSet>(size, 5)))
        } else {
            (None, None)
        };
        time(&format!("merge a one-element delta into {size} members"), ours, theirs, dsons);
    }
    let (low, high) = flat.iter().fold((f64::MAX, 0.0_f64), |(low, high), t| (low.min(*t), high.max(*t)));
    println!("| one-element merge, slowest size / fastest size | {:.2} | | | | |", high / low);

    let mut state: Theirs = set(100_000, 3);
    let mut other = state.clone();
    let mut next = 1 << 40;
    let ours = merge_of_one::<Ours>(100_000, 500);
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

/// Each merged delta adds one member to the state, which grows by at most a few of a hundred meanwhile.
fn merge_of_one<S: Set>(size: u64, per_batch: usize) -> f64 {
    let mut state: S = set(size, 3);
    let mut other = state.clone();
    let mut next = 1 << 40;
    let per_batch = per_batch.min(usize::try_from(size / 20).expect("small")).max(2);
    // A merge that costs milliseconds needs no repetition to be measured.
    let batches = if per_batch > 10 { 21 } else { 5 };
    median(
        batches,
        per_batch,
        || {
            next += 1;
            let change = other.add(3, member(next));
            // Only crdts looks at the whole; of a clone for each delta the others would not fit in memory.
            (change, if S::NAME == "crdts" { other.clone() } else { S::empty() })
        },
        |(change, whole)| state.merge_change(change, whole),
    )
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
        let ours = median(51, 1_000, || (), |()| local::increment(&mut ours, 1));
        let theirs = median(51, 1_000, || (), |()| local::increment_crdts(&mut theirs, 1));
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
    median(9, 5_000, || members.next().expect("endless"), |member| state.contains(&member))
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
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let set: S = set(MEASURED_MEMBERS, replicas);
    let after = LIVE_BYTES.load(Ordering::Relaxed);
    drop(black_box(set));
    Some((after - before) as f64 / MEASURED_MEMBERS as f64)
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
    let mut times: Vec<f64> = (0..batches)
        .map(|_| {
            let inputs: Vec<I> = (0..per_batch).map(|_| input()).collect();
            let mut outputs = Vec::with_capacity(per_batch);
            let start = Instant::now();
            for input in inputs {
                outputs.push(black_box(work(input)));
            }
            start.elapsed().as_nanos() as f64 / per_batch as f64
        })
        .collect();
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

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting what is live.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above with this layout, hence from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
