//! What a replica is told at its start, each default with its reason.

use crate::Limits;
use crate::wire::ClusterKey;

/// A reading of both clocks, taken by whoever drives the engine.
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
    /// Time between two digests, in microseconds. Default one second: 100 bytes a second when idle.
    pub gossip_interval_us: u64,
    /// Bytes of recent events kept for peers that lag. Default 64 MiB; beyond it the oldest go, and who needs
    /// them catches up by buckets.
    pub log_bytes_max: usize,
    /// Own events in flight to one peer, in bytes. Default 256 KiB: a loopback or LAN round trip at a gigabyte a
    /// second, and a sixteenth of the receive buffer that the driver asks for.
    pub flight_bytes_max: usize,
    /// Events that wait for others, in bytes. Default 64 MiB.
    pub held_bytes_max: usize,
    /// Blobs being put together, in bytes. Default 128 MiB: a few of the largest events.
    pub assembly_bytes_max: usize,
    /// Transfers kept for peers that are fetching them, in bytes. Default 64 MiB.
    pub transfer_bytes_max: usize,
    /// About how many bytes of buckets go into one transfer. Default 256 KiB.
    pub transfer_bytes: usize,
    /// How long a joiner that meets only other joiners waits for one with data, in microseconds. Default 250 ms: one
    /// round of membership, in which whoever was told of one of them is told of all.
    pub join_settle_us: u64,
    /// How long a waiting event or an unfinished blob is kept without progress, in microseconds. Default 30 s.
    pub patience_us: u64,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            cluster: "cahoots".into(),
            key: None,
            nonce_salt: 0,
            limits: Limits::default(),
            datagram_bytes_max: 1200,
            flush_gap_us: 200,
            gossip_interval_us: 1_000_000,
            log_bytes_max: 64 << 20,
            flight_bytes_max: 256 << 10,
            held_bytes_max: 64 << 20,
            assembly_bytes_max: 128 << 20,
            transfer_bytes_max: 64 << 20,
            transfer_bytes: 256 << 10,
            join_settle_us: 250_000,
            patience_us: 30_000_000,
        }
    }
}
