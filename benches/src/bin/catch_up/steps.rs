//! The two steps that hold an engine's lock: reading an answer out of a store, and joining it into another.

use std::time::{Duration, Instant};

use cahoots_gossip::store::{BUCKETS, Store};
use cahoots_gossip::{Dot, Limits, ReplicaId};

use super::{key, value};

const WALL: u64 = 1_800_000_000_000;
/// Keys of one event.
const GROUP: usize = 1_000;

/// One row of the table for each size of an answer: answers, mean and longest time of both steps.
pub(super) fn table(keys: usize) {
    println!(
        "\n| answer | answers | read: mean, longest | join: mean, longest | join into what is equal but for 1 key |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let mut full = filled(keys);
    for kib in [32, 64, 128, 256, 1024] {
        let mut empty = Store::new(ReplicaId::new(2), Limits::default(), 1_024);
        let (reads, joins) = transfer(&mut full, &mut empty, kib << 10);
        assert_eq!(empty.fingerprint(), full.fingerprint());
        // The same once more with one key in each bucket changed: nearly everything travels for nothing.
        let changed: Vec<String> = (0..8 * BUCKETS).map(|number| format!("new:{kib}:{number}")).collect();
        full.write(WALL, 0, |writer| {
            changed.iter().for_each(|key| writer.set(key.as_bytes(), b"1").expect("a small value"));
        });
        let (_, again) = transfer(&mut full, &mut empty, kib << 10);
        let text = |times: &[Duration]| {
            let sum: Duration = times.iter().sum();
            let mean = sum / u32::try_from(times.len()).expect("few");
            format!("{mean:.0?}, {:.0?}", times.iter().max().copied().unwrap_or_default())
        };
        println!("| {kib} KiB | {} | {} | {} | {} |", reads.len(), text(&reads), text(&joins), text(&again));
    }
}

fn filled(keys: usize) -> Store {
    let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1_024);
    for first in (0..keys).step_by(GROUP) {
        store.write(WALL, 0, |writer| {
            for number in first..keys.min(first + GROUP) {
                writer.set(key(number).as_bytes(), &value(number)).expect("a small value");
            }
        });
        store.seal();
        while let Some(sealed) = store.poll_sealed() {
            std::hint::black_box(Dot::new(store.id(), sealed.seq));
        }
    }
    store
}

/// Brings `to` up to `from`; how long each answer took to read and to join.
fn transfer(from: &mut Store, to: &mut Store, bytes_max: usize) -> (Vec<Duration>, Vec<Duration>) {
    let (mut reads, mut joins) = (Vec::new(), Vec::new());
    let mut first = 0;
    while first < BUCKETS {
        let theirs = to.bucket_fingerprints(first, (first + 128).min(BUCKETS));
        let begun = Instant::now();
        let (transfer, next) = from.encode_transfer(first, &theirs, bytes_max, usize::MAX);
        reads.push(begun.elapsed());
        let begun = Instant::now();
        to.join_transfer(&transfer).expect("stores write what stores accept");
        joins.push(begun.elapsed());
        first = next;
    }
    (reads, joins)
}
