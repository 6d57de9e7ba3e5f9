//! A listener on the wire, apart from those who talk: one dot must never name two events.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use cahoots_crdt::{Dot, ReplicaId};
use cahoots_gossip::engine::ReplicaConfig;
use cahoots_gossip::wire::{Envelope, Kind, carried};

/// Every event seen on any link: of its dot, and of which of its chunks, the hash.
pub(super) struct Listener {
    envelope: Envelope,
    seen: BTreeMap<(Dot, Option<u32>), u64>,
    /// How often a dot was seen that names another event than before.
    pub(super) forks: u64,
}

impl Listener {
    pub(super) fn new(config: &ReplicaConfig) -> Self {
        let envelope = Envelope::new(&config.cluster, config.key.as_ref(), ReplicaId::new(0), 0);
        Self { envelope, seen: BTreeMap::new(), forks: 0 }
    }

    /// Listens to a datagram that leaves an engine.
    ///
    /// # Panics
    /// If it is no datagram of this cluster.
    pub(super) fn hear(&mut self, datagram: &[u8]) {
        let (kind, payload) = self.envelope.unwrap(datagram).expect("engines send sound datagrams");
        assert_eq!(kind, Kind::Engine);
        for (dot, chunk, bytes) in carried(&payload).expect("engines send whole messages") {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            let hash = hasher.finish();
            self.forks += u64::from(*self.seen.entry((dot, chunk)).or_insert(hash) != hash);
        }
    }

    /// How many different events were heard.
    pub(super) fn events(&self) -> u64 {
        self.seen.len() as u64
    }
}
