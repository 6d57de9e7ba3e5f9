//! What arrives: a datagram is unwrapped and decoded whole, then its messages are handled one by one.

use std::net::SocketAddr;

use cahoots_crdt::{Dot, ReplicaId};

use super::{Now, Replica};
use crate::wire::{Kind, Message, Refusal};

/// For whom a datagram was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// For the engine, which has handled it.
    Engine,
    /// A message of the membership protocol.
    Membership(Vec<u8>),
}

impl Replica {
    /// Handles a datagram that came from `from`.
    ///
    /// # Errors
    /// It is refused, counted, and nothing was touched.
    pub fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) -> Result<Received, Refusal> {
        let result = self.receive(now, from, datagram);
        match &result {
            Ok(_) => {
                self.counters.datagrams_received += 1;
                self.counters.bytes_received += datagram.len() as u64;
            }
            Err(refusal) => *self.counters.refused.entry(*refusal).or_default() += 1,
        }
        result
    }

    /// `_from` is not trusted: whoever a datagram is from says so inside, and answers go where membership says.
    fn receive(&mut self, now: Now, _from: SocketAddr, datagram: &[u8]) -> Result<Received, Refusal> {
        let (kind, payload) = self.envelope.unwrap(datagram)?;
        if kind == Kind::Membership {
            return Ok(Received::Membership(payload));
        }
        let ((sender, receiver), messages) = Message::decode_all(&payload).ok_or(Refusal::Malformed)?;
        if receiver != self.id() {
            return Err(Refusal::OtherReceiver);
        }
        if !self.peers.contains_key(&sender) {
            return Err(Refusal::UnknownPeer);
        }
        for message in messages {
            self.handle(now, sender, message);
        }
        self.review_joining(now);
        Ok(Received::Engine)
    }

    fn handle(&mut self, now: Now, sender: ReplicaId, message: Message<'_>) {
        match message {
            Message::Ack { upto } => self.note_ack(now, sender, upto),
            Message::Tail { seq } => self.on_tail(now, sender, seq),
            Message::Event { origin, seq, body } => self.on_event(now, sender, Dot::new(origin, seq), body.0),
            Message::Want { origin, after, upto } => self.on_want(sender, origin, after, upto),
            Message::Served { origin, upto } => self.on_served(now, sender, origin, upto),
            Message::BelowFloor { origin, floor } => self.on_below_floor(now, sender, origin, floor),
            Message::Digest { versions, fingerprint, seq, wall_ms } => {
                self.on_digest(now, sender, u128::from_le_bytes(versions), fingerprint, seq, wall_ms);
            }
            Message::Versions { seq, ahead, first, last, entries, reply } => {
                self.on_versions(now, sender, seq, ahead, first..=last, &entries, reply);
            }
            Message::GetBuckets { request, first, fingerprints } => {
                self.on_get_buckets(sender, request, first, &fingerprints);
            }
            Message::GetChunks { blob, ranges } => self.on_get_chunks(sender, blob, &ranges),
            Message::Chunk { blob, index, total, data } => self.on_chunk(now, sender, blob, index, total, data.0),
            Message::NoBlob { blob } => self.on_no_blob(now, sender, blob),
        }
    }

    /// A peer asks how far its events are applied here.
    fn on_tail(&mut self, now: Now, sender: ReplicaId, seq: u64) {
        self.pull(now, sender, sender, seq);
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.owe_ack(now.mono, true);
        }
    }
}
