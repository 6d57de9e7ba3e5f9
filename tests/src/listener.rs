//! A listener on the wire, apart from those who talk: one dot must never name two events.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use cahoots_crdt::{Dot, ReplicaId};
use cahoots_gossip::wire::{ClusterKey, Envelope, Kind, carried};

/// Every event seen on any link: of its dot, and of which of its chunks, the hash.
#[derive(Debug)]
pub struct Listener {
    envelope: Envelope,
    seen: BTreeMap<(Dot, Option<u32>), u64>,
    /// The dots that were seen to name another event than before.
    pub forks: Vec<Dot>,
}

impl Listener {
    /// Of a cluster of this name and key.
    #[must_use]
    pub fn new(cluster: &str, key: Option<&ClusterKey>) -> Self {
        let envelope = Envelope::new(cluster, key, ReplicaId::new(0), 0);
        Self { envelope, seen: BTreeMap::new(), forks: Vec::new() }
    }

    /// Listens to a datagram that leaves an engine, or its membership.
    ///
    /// # Panics
    /// If it is no datagram of this cluster.
    pub fn hear(&mut self, datagram: &[u8]) {
        let (kind, payload) = self.envelope.unwrap(datagram).expect("members send sound datagrams");
        if kind != Kind::Engine {
            return;
        }
        for (dot, chunk, bytes) in carried(&payload).expect("engines send whole messages") {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            let hash = hasher.finish();
            if *self.seen.entry((dot, chunk)).or_insert(hash) != hash {
                self.forks.push(dot);
            }
        }
    }

    /// How many different events were heard.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.seen.len() as u64
    }
}
