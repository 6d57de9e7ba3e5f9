//! Changes at a low rate from origins chosen at random, and what became of them.

use cahoots_gossip::engine::ReplicaConfig;
use cahoots_tests::sim::Random;

use super::{Cluster, Network};

const SECOND: u64 = 1_000_000;
/// For membership to come to rest and the first digests.
const SETTLE: u64 = 5 * SECOND;
const IDLE: u64 = 20 * SECOND;
/// Between two changes.
const GAP: u64 = 200_000;
/// For the last changes to arrive, whatever was lost.
const END: u64 = 20 * SECOND;
const VALUE: [u8; 16] = [b'v'; 16];

/// What is measured.
pub struct Spread {
    /// Replicas.
    pub hosts: usize,
    /// Their network.
    pub network: Network,
    /// Whether they know their regions.
    pub zones: bool,
    /// Of 100 datagrams, how many vanish.
    pub loss: f64,
    /// How many changes.
    pub changes: usize,
    /// Everything else.
    pub config: ReplicaConfig,
}

/// What came of it. Times are in microseconds and sorted, the rest is per change, or per node and second.
#[derive(Debug)]
pub struct Outcome {
    /// Of each change, until all replicas had it.
    pub all: Vec<u64>,
    /// Of each change and replica, until this one had it.
    pub each: Vec<u64>,
    /// Datagrams.
    pub sends: f64,
    /// Events in datagrams, the same one to two peers counted twice.
    pub events: f64,
    /// Bytes of datagrams.
    pub bytes: f64,
    /// Bytes of datagrams while nothing changes.
    pub idle_bytes: f64,
}

/// The value below which so many of a thousand lie.
#[must_use]
pub fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    sorted[(sorted.len() - 1) * per_mille / 1_000]
}

struct Change {
    origin: usize,
    seq: u64,
    at: u64,
    here: Vec<bool>,
    missing: usize,
}

/// Runs one cluster.
///
/// # Panics
/// If a change does not reach all in time.
#[must_use]
pub fn measure(spread: &Spread) -> Outcome {
    let mut cluster = Cluster::new(spread.hosts as u64, spread.hosts, spread.network, spread.zones, &spread.config);
    let mut random = Random::new(7);
    cluster.advance(SETTLE, |_, _, _| {});
    let before = cluster.sent;
    cluster.advance(IDLE, |_, _, _| {});
    let idle = (cluster.sent.0 - before.0, cluster.sent.1 - before.1);
    let counted = |cluster: &mut Cluster| {
        ["events_sent", "relays_sent", "events_resent"].map(|name| cluster.counted(name)).iter().sum::<u64>()
    };
    cluster.loss = spread.loss;
    let (before, events, begun) = (cluster.sent, counted(&mut cluster), cluster.now);
    let (mut open, mut all, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..spread.changes {
        let origin = random.index(spread.hosts);
        let seq = cluster.set(origin, format!("key{}", number % 100).as_bytes(), &VALUE);
        let mut here = vec![false; spread.hosts];
        here[origin] = true;
        open.push(Change { origin, seq, at: cluster.now, here, missing: spread.hosts - 1 });
        run(&mut cluster, GAP, &mut open, &mut all, &mut each);
    }
    run(&mut cluster, END, &mut open, &mut all, &mut each);
    assert!(open.is_empty(), "{} changes did not reach all", open.len());
    all.sort_unstable();
    each.sort_unstable();
    let (changes, part) = (spread.changes as f64, (cluster.now - begun) as f64 / IDLE as f64);
    let caused = |now: u64, before: u64, idle: u64| ((now - before) as f64 - idle as f64 * part) / changes;
    Outcome {
        all,
        each,
        sends: caused(cluster.sent.0, before.0, idle.0),
        events: (counted(&mut cluster) - events) as f64 / changes,
        bytes: caused(cluster.sent.1, before.1, idle.1),
        idle_bytes: idle.1 as f64 / spread.hosts as f64 / (IDLE / SECOND) as f64,
    }
}

fn run(cluster: &mut Cluster, micros: u64, open: &mut Vec<Change>, all: &mut Vec<u64>, each: &mut Vec<u64>) {
    let ids: Vec<_> = open.iter().map(|change| cluster.replica(change.origin).id()).collect();
    cluster.advance(micros, |host, now, replica| {
        let versions = replica.store().version_vector();
        for (change, id) in open.iter_mut().zip(&ids) {
            if !change.here[host] && versions.get(*id) >= change.seq {
                change.here[host] = true;
                change.missing -= 1;
                each.push(now - change.at);
                if change.missing == 0 {
                    all.push(now - change.at);
                }
            }
        }
    });
    open.retain(|change| change.missing > 0);
}
