//! The engine's messages.
//!
//! A payload is the sender's id, the receiver's, and then messages to its end, each by postcard. All of them are
//! idempotent and none depends on another having arrived. The receiver is named because an address outlives a replica:
//! what was meant for the one before must not be taken by the one that came after.

use serde::{Deserialize, Serialize};

use cahoots_crdt::ReplicaId;

use crate::bytes::Bytes;
use crate::store::Fingerprint;

/// Something too large for a datagram, fetched in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Blob {
    /// The body of an event; whoever has it in the log serves it.
    Event { origin: ReplicaId, seq: u64 },
    /// The answer to the receiver's own request of this number.
    Transfer { request: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// The sender has applied the receiver's events up to here.
    Ack { upto: u64 },
    /// The sender would like to know at once how far the receiver has its events, of which this is the last.
    Tail { seq: u64 },
    /// One event.
    Event {
        origin: ReplicaId,
        seq: u64,
        #[serde(borrow)]
        body: Bytes<'a>,
    },
    /// Asks for events of `origin` after one seq up to another.
    Want { origin: ReplicaId, after: u64, upto: u64 },
    /// What was wanted has been sent up to here.
    Served { origin: ReplicaId, upto: u64 },
    /// The log does not reach back to what was wanted: it begins after `floor`.
    BelowFloor { origin: ReplicaId, floor: u64 },
    /// What the sender has, in short: hash of the version vector, fingerprint of the state, own last seq, wall clock.
    Digest { versions: [u8; 16], fingerprint: Fingerprint, seq: u64, wall_ms: u64 },
    /// What the sender has, in full, for replicas from `first` to `last`; one not listed has 0.
    Versions {
        /// The sender's own last seq.
        seq: u64,
        /// How many of its buckets are ahead of this vector.
        ahead: u16,
        first: ReplicaId,
        last: ReplicaId,
        entries: Vec<(ReplicaId, u64)>,
        /// Whether the sender asks for the receiver's.
        reply: bool,
    },
    /// Asks for a transfer of buckets from `first` on, of which the sender has these fingerprints.
    GetBuckets { request: u64, first: u16, fingerprints: Vec<u64> },
    /// Asks for chunks: ranges of (first, count).
    GetChunks { blob: Blob, ranges: Vec<(u32, u32)> },
    /// One chunk of a blob of `total` bytes.
    Chunk {
        blob: Blob,
        index: u32,
        total: u32,
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// The sender has no such blob (any more).
    NoBlob { blob: Blob },
    /// Asks how far the receiver has the sender's events on disk.
    AskKept,
    /// The sender has the receiver's events on disk up to here.
    Kept { upto: u64 },
}

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a message is plain data")
    }

    /// The head of a payload from `sender` to `receiver`.
    pub(crate) fn head(sender: ReplicaId, receiver: ReplicaId) -> Vec<u8> {
        postcard::to_allocvec(&(sender, receiver)).expect("ids are plain data")
    }

    /// Splits a payload into sender, receiver and messages; `None` if it is malformed anywhere.
    pub(crate) fn decode_all(payload: &'a [u8]) -> Option<((ReplicaId, ReplicaId), Vec<Self>)> {
        let (head, mut rest) = postcard::take_from_bytes(payload).ok()?;
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let (message, tail) = postcard::take_from_bytes(rest).ok()?;
            messages.push(message);
            rest = tail;
        }
        Some((head, messages))
    }
}
