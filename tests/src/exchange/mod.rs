//! Stores that exchange events and transfers with no engine between them: every order of delivery that the
//! replication rules allow, not only those a protocol happens to produce.
//!
//! A step says which event reaches whom, which bucket is shipped and when it arrives, which log is cut. The oracle
//! judges every key at every store after every step. Thousands of histories a second make this the place to look
//! for rare orders; the simulator is the place to look at the protocol.

use cahoots_crdt::ReplicaId;
use cahoots_gossip::Limits;
use cahoots_gossip::store::{BUCKETS, Store};

mod check;
mod replica;
mod search;
mod step;
mod tale;
mod world;

pub use search::{Mix, attempt, draw, shrink};
pub use step::Step;
pub use tale::Tale;
pub use world::World;

/// The bucket of a key, found out from outside: the one whose fingerprint a write of the key changes.
///
/// # Panics
/// If a write changes none.
#[must_use]
pub fn bucket_of(key: &str) -> usize {
    let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1_000);
    let before = store.bucket_fingerprints(0, BUCKETS);
    store.write(0, 0, |writer| writer.set(key.as_bytes(), b"").expect("within the limits"));
    let after = store.bucket_fingerprints(0, BUCKETS);
    (0..BUCKETS).find(|&bucket| before[bucket] != after[bucket]).expect("one bucket changed")
}
