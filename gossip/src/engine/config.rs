//! What a replica is told at its start, each default with its reason.

use super::repair::versions::ENTRIES_MAX;
use super::spread::relay::{RELAY_ABOVE, RELAY_FANOUT, RELAY_ZONES_FANOUT};
use cahoots_crdt::ReplicaId;

use crate::wire::{ClusterKey, Envelope};
use crate::{Limits, Zone};

/// A reading of both clocks, taken by the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds of a clock that never goes back; its zero does not matter.
    pub mono: u64,
    /// Milliseconds since 1970.
    pub wall: u64,
}

/// The configuration of a [`Replica`](super::Replica).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReplicaConfig {
    /// The cluster's name; datagrams of others are refused.
    pub cluster: String,
    /// The cluster's secret; with one, every datagram is sealed.
    pub key: Option<ClusterKey>,
    /// Further keys by which datagrams may be sealed, while the members of a cluster change theirs one after the other. Each
    /// costs an attempt for a datagram that none before it opens, so they should be few.
    pub other_keys: Vec<ClusterKey>,
    /// With a key: a number drawn at random for this start. Nonces are made of it, the replica's id and a counter, so
    /// that a replica that continues under its id after a restart repeats none.
    pub nonce_salt: u64,
    /// What the cluster agrees to hold.
    pub limits: Limits,
    /// Bytes of a datagram. Default 1200: fits every path that carries IPv6, as QUIC assumes.
    pub datagram_bytes_max: usize,
    /// Least time between two flush windows, in microseconds. Default 200: at most 5,000 events a second per
    /// replica, and a change waits no longer than a local round trip takes.
    pub flush_gap_us: u64,
    /// Least time between two flush windows under load, if that is more: while windows fill a datagram before they
    /// would end. Default 500: what is done once a run of datagrams, at both ends, is then done for more of them.
    pub busy_flush_gap_us: u64,
    /// Time between two digests, in microseconds. Default one second: 100 bytes a second when idle.
    pub gossip_interval_us: u64,
    /// Bytes of recent events kept for peers that lag. Default 8 MiB; beyond it the oldest go, and who needs
    /// them catches up by buckets.
    pub log_bytes_max: usize,
    /// Own events in flight to one peer, in bytes. Default 256 KiB: a loopback or LAN round trip at a gigabyte a
    /// second, and a sixteenth of the receive buffer that the driver asks for.
    pub flight_bytes_max: usize,
    /// Events that wait for others, in bytes. Default 64 MiB.
    pub held_bytes_max: usize,
    /// Large events being put together, in bytes. Default 128 MiB: a few of the largest events.
    pub assembly_bytes_max: usize,
    /// About how many bytes of buckets go into one answer to a peer that catches up. Default 128 KiB.
    pub transfer_bytes: usize,
    /// How long a joiner that meets only other joiners waits for one with data, in microseconds. Default 250 ms: one
    /// round of membership, in which a member that was told of one of them is told of all.
    pub join_settle_us: u64,
    /// How long one that was started to be the first listens whether somebody calls who has data, before it takes itself for
    /// complete, in microseconds. Default 2 s: in this time each peer that is up, and knows its address, calls several
    /// times.
    pub found_listen_us: u64,
    /// While a disk is told what was applied: bytes of it that wait to be taken. Default 64 MiB, some seconds of a
    /// replica at full load; beyond it they are dropped, and images of all buckets are taken anew. The longest record is
    /// not counted: it may be a bucket of any length.
    pub records_bytes_max: usize,
    /// A bucket that differs from a peer's is sent to it whole if it has no more than about so many bytes, and otherwise
    /// what it differs in, at the price of a round trip and of 12 bytes a symbol. Default 2 KiB.
    pub refine_bytes_min: usize,
    /// Bytes of answers to peers that catch up, per second and in total. Default no bound: who catches up is not ready
    /// for its clients before it has, and answers are asked for one by one, so they never queue before other traffic.
    /// A site behind a thin uplink sets it.
    pub serve_bytes_per_second: Option<u64>,
    /// Bytes of answers to each peer that catches up, per second. Default no bound.
    pub serve_bytes_per_second_each: Option<u64>,
    /// Entries of a version vector in one message, 3 to 55. Default 55: fills a datagram.
    pub version_entries_max: usize,
    /// Where this replica stands. In a cluster that relays, events cross between zones as seldom as can be.
    pub zone: Zone,
    /// Above so many live replicas, the own one counted, events are relayed. Default 16: below, one hop is best and an
    /// origin can afford it. Replicas may differ in it.
    pub relay_above: usize,
    /// To how many members of a zone one passes an event on. Default 16, so that three hops reach thousands. Equal in a
    /// cluster, or the trees do not fit and repair does their work.
    pub relay_fanout: usize,
    /// To how many leaders of zones one passes an event on. Default 32: as many regions as most have. Equal in a cluster.
    pub relay_zones_fanout: usize,
    /// Events waiting to be passed on to one peer, in bytes. Default 256 KiB, as in flight. Beyond it they are dropped,
    /// and who lacks them asks.
    pub relay_bytes_max: usize,
    /// Bytes of datagrams to all peers together, a second. Default no bound: what is under way to each peer is bounded
    /// by what it has acknowledged or asked for, so a sender adapts to its peers, and a bound that fits every link does
    /// not exist. A site behind a thin or metered uplink sets it. Acknowledgements and requests do not wait.
    pub send_bytes_per_second: Option<u64>,
    /// Bytes of datagrams to each peer by itself, a second. Default no bound.
    pub send_bytes_per_second_peer: Option<u64>,
    /// How long a waiting event or an unfinished large one is kept without progress, in microseconds. Default 30 s.
    pub patience_us: u64,
}

impl ReplicaConfig {
    /// What wraps and unwraps the datagrams of a replica under this id.
    pub(in crate::engine) fn envelope(&self, id: ReplicaId) -> Envelope {
        let mut envelope = Envelope::new(&self.cluster, self.key.as_ref(), id, self.nonce_salt);
        if let Some(key) = &self.key {
            envelope.set_keys(key, &self.other_keys);
        }
        envelope
    }
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            cluster: "cahoots".into(),
            key: None,
            other_keys: Vec::new(),
            nonce_salt: 0,
            limits: Limits::default(),
            datagram_bytes_max: 1200,
            flush_gap_us: 200,
            busy_flush_gap_us: 500,
            gossip_interval_us: 1_000_000,
            log_bytes_max: 8 << 20,
            flight_bytes_max: 256 << 10,
            held_bytes_max: 64 << 20,
            assembly_bytes_max: 128 << 20,
            join_settle_us: 250_000,
            found_listen_us: 2_000_000,
            transfer_bytes: 128 << 10,
            refine_bytes_min: 2 << 10,
            serve_bytes_per_second: None,
            serve_bytes_per_second_each: None,
            version_entries_max: ENTRIES_MAX,
            zone: Zone::default(),
            relay_above: RELAY_ABOVE,
            relay_fanout: RELAY_FANOUT,
            relay_zones_fanout: RELAY_ZONES_FANOUT,
            relay_bytes_max: 256 << 10,
            send_bytes_per_second: None,
            send_bytes_per_second_peer: None,
            records_bytes_max: 64 << 20,
            patience_us: 30_000_000,
        }
    }
}
