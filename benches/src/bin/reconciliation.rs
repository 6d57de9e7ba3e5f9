//! Prints what it costs two replicas to find and mend a few differences between many equal keys, when no log reaches back
//! to them.
//!
//! `cargo run --release -p cahoots-benches --bin reconciliation [keys]`. Two engines in one process, no sockets. Values
//! have 100 bytes. Requests that are under way at the same time count as one round trip; *ratio* is all bytes that
//! crossed, in both directions, over those of the keys and values that differed; CPU is that of both engines.

use std::net::SocketAddr;

use cahoots_gossip::ReplicaId;
use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};

const VALUE_BYTES: usize = 100;
const WALL: u64 = 1_700_000_000_000;
const SECOND: u64 = 1_000_000;
const ROUND_TRIP: u64 = 1_000;

fn main() {
    let keys = std::env::args().nth(1).map_or(1_000_000, |keys| keys.parse().expect("a number of keys"));
    println!("| {keys} equal keys, and | up | down | datagrams | round trips | ratio | CPU |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut pair = Pair::equal(keys, ReplicaConfig::default());
    for differing in [1, 100, 10_000, 100_000] {
        row(&mut pair, &format!("{differing} changed at one"), differing, 0);
    }
    for differing in [100, 10_000] {
        row(&mut pair, &format!("{differing} changed, half of them at each"), differing / 2, differing - differing / 2);
    }
    let mut config = ReplicaConfig::default();
    config.refine_bytes_min = usize::MAX;
    let mut pair = Pair::equal(keys, config);
    for differing in [1, 100, 10_000] {
        row(&mut pair, &format!("{differing} changed at one, buckets sent whole"), differing, 0);
    }
}

fn row(pair: &mut Pair, name: &str, at_first: u64, at_second: u64) {
    pair.cost = Cost::default();
    let bytes = pair.change(at_first, at_second);
    let begun = cpu_ms();
    pair.mend();
    let cpu = cpu_ms() - begun;
    let Cost { up, down, datagrams, round_trips } = pair.cost;
    println!(
        "| {name} ({bytes} bytes) | {up} | {down} | {datagrams} | {round_trips} | {:.2} | {cpu} ms |",
        (up + down + datagrams) as f64 / bytes as f64,
    );
}

/// Of this process; others on the machine do not count.
fn cpu_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[derive(Default)]
struct Cost {
    /// Bytes of requests and of answers.
    up: usize,
    down: usize,
    datagrams: usize,
    round_trips: usize,
}

struct Pair {
    now: Now,
    replicas: [Replica; 2],
    keys: u64,
    changes: u64,
    cost: Cost,
}

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], if index == 0 { 1 } else { 2 }))
}

fn id(index: usize) -> ReplicaId {
    // As random as ids are.
    ReplicaId::new([0x9F3A_77C1_0B5D_E218, 0xC41E_8D02_66AF_937B][index])
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:08}").into_bytes()
}

impl Pair {
    /// Both have the same keys; neither keeps events for the other.
    fn equal(keys: u64, mut config: ReplicaConfig) -> Self {
        config.log_bytes_max = 0;
        let now = Now { mono: 0, wall: WALL };
        let replicas = [0, 1].map(|index| Replica::new(config.clone(), id(index), now));
        let mut pair = Self { now, replicas, keys, changes: 0, cost: Cost::default() };
        (0..keys).for_each(|number| pair.write(0, number));
        pair.replicas[0].flush(pair.now);
        pair.replicas[0].peer_up(pair.now, id(1), addr(1), cahoots_gossip::Zone::default());
        pair.replicas[1].peer_up(pair.now, id(0), addr(0), cahoots_gossip::Zone::default());
        pair.mend();
        pair
    }

    fn write(&mut self, at: usize, number: u64) {
        self.changes += 1;
        let mut value = vec![b'v'; VALUE_BYTES];
        value[..8].copy_from_slice(&self.changes.to_le_bytes());
        self.now.mono += 2;
        self.now.wall = WALL + self.now.mono / 1_000;
        let key = key(number);
        self.replicas[at].write(self.now, key.len() + value.len(), |w| w.set(&key, &value)).expect("within limits");
        if self.changes.is_multiple_of(100) {
            self.replicas[at].flush(self.now);
        }
    }

    /// Writes keys all over the key space at either; nothing of it reaches the other. Says how many bytes they have.
    fn change(&mut self, at_first: u64, at_second: u64) -> usize {
        let all = at_first + at_second;
        for number in 0..all {
            let at = usize::from(number >= at_first);
            self.write(at, number * (self.keys / all));
        }
        for replica in &mut self.replicas {
            replica.flush(self.now);
            while replica.poll_transmit(self.now).is_some() {}
        }
        usize::try_from(all).expect("few") * (key(0).len() + VALUE_BYTES)
    }

    /// Lets time pass until both agree.
    fn mend(&mut self) {
        self.now.mono += 2 * SECOND;
        for round in 0.. {
            assert!(round < 100_000, "they do not agree");
            self.now.mono += ROUND_TRIP;
            self.now.wall = WALL + self.now.mono / 1_000;
            self.replicas.iter_mut().for_each(|replica| replica.handle_timeout(self.now));
            if !self.exchange() && self.agree() {
                return;
            }
        }
    }

    fn agree(&mut self) -> bool {
        let [a, b] = &mut self.replicas;
        a.store().version_vector() == b.store().version_vector() && a.status().fingerprint == b.status().fingerprint
    }

    /// Carries what is under way at this moment; says whether there was anything.
    fn exchange(&mut self) -> bool {
        let (mut answers, mut datagrams) = (Vec::new(), Vec::new());
        for from in 0..2 {
            while let Some(ask) = self.replicas[from].poll_ask() {
                let answer = self.replicas[1 - from].serve(self.now, id(from), &ask.body).expect("a sound request");
                self.cost.up += ask.body.len();
                self.cost.down += answer.len();
                answers.push((from, ask.number, answer));
            }
            while let Some(transmit) = self.replicas[from].poll_transmit(self.now) {
                self.cost.datagrams += transmit.bytes.len();
                datagrams.extend(transmit.datagrams().map(|datagram| (from, datagram.to_vec())));
            }
        }
        let any = !answers.is_empty() || !datagrams.is_empty();
        self.cost.round_trips += usize::from(!answers.is_empty());
        for (from, number, answer) in answers {
            self.replicas[from].handle_answer(self.now, number, Some(&answer));
        }
        for (from, datagram) in datagrams {
            self.replicas[1 - from].handle_datagram(self.now, addr(from), &datagram).expect("a sound datagram");
        }
        any
    }
}
