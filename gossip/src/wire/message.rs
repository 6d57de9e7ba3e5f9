//! The engine's messages.
//!
//! A payload is the sender's id, the receiver's, and then messages to its end, each by postcard; perhaps padding behind
//! them. All of them are idempotent and none depends on another having arrived. The receiver is named because an address outlives a replica:
//! what was meant for the one before must not be taken by the one that came after.

use serde::{Deserialize, Serialize};

use cahoots_crdt::{Dot, ReplicaId};

use crate::bytes::Bytes;
use crate::engine::PartHead;
use crate::store::Fingerprint;

/// The ids of sender and receiver at the head of a payload.
pub(crate) const HEAD_BYTES: usize = 16;

/// Begins the padding of a payload, in the place of a message: zeros to the end. So the datagrams of a run are of one
/// length, and a kernel takes them all at once.
const PADDING: u8 = 0x7F;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// The sender has applied the receiver's events up to here.
    Ack { upto: u64 },
    /// The sender would like to know at once how far the receiver has its events, of which this is the last.
    Tail {
        seq: u64,
        /// The acknowledgement is overdue: what the receiver lacks is not on its way any more.
        overdue: bool,
    },
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
    /// What the sender has of replicas from `first` to `last`.
    Versions {
        /// The sender's own last seq.
        seq: u64,
        /// How many of its buckets are ahead of this vector; none while others still come in.
        ahead: u16,
        first: ReplicaId,
        last: ReplicaId,
        entries: Vec<(ReplicaId, u64)>,
        /// A sum over the entries of this range that are not listed; `None`: there are none.
        rest: Option<u64>,
        /// Whether the sender asks for the receiver's.
        reply: bool,
    },
    /// Asks for chunks of an event larger than a datagram: ranges of (first, count).
    GetChunks { event: Dot, ranges: Vec<(u32, u32)> },
    /// One chunk of an event of `total` bytes.
    Chunk {
        event: Dot,
        index: u32,
        total: u32,
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// The sender does not have that event (any more), whose chunks were asked for.
    NoEvent { event: Dot },
    /// The receiver's event `seq` is another one here: its id is in use twice, or its disk was older than it said.
    Forked { seq: u64 },
    /// One event, to be passed on down the tree of its origin.
    Relay {
        origin: ReplicaId,
        seq: u64,
        #[serde(borrow)]
        body: Bytes<'a>,
    },
    /// The sender has this event, which is too large to be passed on unasked.
    Have { origin: ReplicaId, seq: u64 },
    /// Sums over what the sender has of replicas from `first` to `last`, that range cut into as many equal parts.
    Ranges { first: ReplicaId, last: ReplicaId, sums: Vec<u64> },
    /// Asks how far the receiver has the sender's events on disk.
    AskKept,
    /// The sender has the receiver's events on disk up to here.
    Kept { upto: u64 },
    /// Asks what the receiver's wall clock reads.
    AskClock,
    /// What the sender's wall clock reads, in milliseconds since 1970.
    Clock { wall_ms: u64 },
    /// A request as a stream carries it, of this number, where streams cannot be had.
    Ask {
        number: u64,
        #[serde(borrow)]
        body: Bytes<'a>,
    },
    /// Asks for chunks of the answer to request `number`: ranges of (first, count).
    GetAnswer { number: u64, ranges: Vec<(u32, u32)> },
    /// One chunk of that answer, which has `total` bytes.
    AnswerChunk {
        number: u64,
        index: u32,
        total: u32,
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// The sender has no answer to that request (any more), or refuses it.
    NoAnswer { number: u64, refused: bool },
    /// The sender stops: can it rely on the receiver to keep what both have?
    AskStays { number: u64 },
    /// The answer to the question of that number.
    Stays { number: u64, staying: Staying },
    /// A part of a publication: part `at` of a run of them between these two replicas.
    Part {
        link: u64,
        at: u64,
        head: PartHead,
        #[serde(borrow)]
        data: Bytes<'a>,
    },
    /// The sender has the parts of that run before this one.
    Heard { link: u64, next: u64 },
    /// The sender's data takes so many bytes more than it should; 0 if no more.
    Full { over: u64 },
    /// The sender has read keys of these hashes, 8 bytes each, which the receiver may evict.
    Used {
        #[serde(borrow)]
        hashes: Bytes<'a>,
    },
}

/// Whether a replica stays, and can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Staying {
    /// It stays, and has what its cluster has.
    Whole,
    /// It stays, and may lack something that its cluster has.
    Lacks,
    /// It stops as well.
    Stops,
}

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a message is plain data")
    }

    /// The head of a payload from `sender` to `receiver`.
    pub(crate) fn head(sender: ReplicaId, receiver: ReplicaId) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        postcard::to_slice(&(sender, receiver), &mut head).expect("ids are of one length");
        head
    }

    /// Pads a payload to `length`, if it is shorter.
    pub(crate) fn pad(payload: &mut Vec<u8>, length: usize) {
        if payload.len() < length {
            payload.push(PADDING);
            payload.resize(length, 0);
        }
    }

    /// Splits a payload into sender, receiver and messages; `None` if it is malformed anywhere.
    pub(crate) fn decode_all(payload: &'a [u8]) -> Option<((ReplicaId, ReplicaId), Vec<Self>)> {
        let (head, mut rest) = postcard::take_from_bytes(payload).ok()?;
        let mut messages = Vec::new();
        while let Some((first, zeros)) = rest.split_first() {
            if *first == PADDING {
                return zeros.iter().all(|byte| *byte == 0).then_some((head, messages));
            }
            let (message, tail) = postcard::take_from_bytes(rest).ok()?;
            messages.push(message);
            rest = tail;
        }
        Some((head, messages))
    }
}

/// A whole event, or the chunk of this number of one, that a payload carries: for checkers on the wire.
pub type Carried<'a> = (Dot, Option<u32>, &'a [u8]);

/// The events in the payload of an engine's datagram; `None` if it is malformed.
#[must_use]
pub fn carried(payload: &[u8]) -> Option<Vec<Carried<'_>>> {
    let (_, messages) = Message::decode_all(payload)?;
    let events = messages.into_iter().filter_map(|message| match message {
        Message::Event { origin, seq, body } | Message::Relay { origin, seq, body } => {
            Some((Dot::new(origin, seq), None, body.0))
        }
        Message::Chunk { event, index, data, .. } => Some((event, Some(index), data.0)),
        _ => None,
    });
    Some(events.collect())
}
