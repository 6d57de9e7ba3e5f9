//! What arrives: a datagram is unwrapped and decoded whole, then its messages are handled one by one.

use std::net::SocketAddr;

use cahoots_crdt::{Dot, ReplicaId};

use crate::engine::{Now, Replica};
use crate::wire::{Kind, Message, Probe, Refusal};

/// For whom a datagram was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// For the engine, which has handled it.
    Engine,
    /// A message of the membership protocol.
    Membership(Vec<u8>),
    /// A probe for this replica.
    Probe(Probe),
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

    /// `_from` is not trusted: a datagram says inside from whom it is, and answers go where membership says.
    fn receive(&mut self, now: Now, _from: SocketAddr, datagram: &[u8]) -> Result<Received, Refusal> {
        let (kind, payload) = self.envelope.unwrap(datagram)?;
        if kind == Kind::Membership {
            return Ok(Received::Membership(payload.into_owned()));
        }
        if kind == Kind::Probe {
            let probe = Probe::decode(&payload).ok_or(Refusal::Malformed)?;
            let is_ours = probe.receiver == self.id();
            return if is_ours { Ok(Received::Probe(probe)) } else { Err(Refusal::OtherReceiver) };
        }
        let ((sender, receiver), messages) = Message::decode_all(&payload).ok_or(Refusal::Malformed)?;
        if receiver != self.id() {
            return Err(Refusal::OtherReceiver);
        }
        if !self.peers.contains_key(&sender) {
            return Err(Refusal::UnknownPeer);
        }
        self.watch_clock(now);
        self.see_time(now);
        for message in messages {
            if self.conflicted {
                break;
            }
            self.handle(now, sender, message);
        }
        self.consider_joining(now);
        Ok(Received::Engine)
    }

    fn handle(&mut self, now: Now, sender: ReplicaId, message: Message<'_>) {
        match message {
            Message::Ack { upto } => self.note_ack(now, sender, upto),
            Message::Tail { seq, overdue } => self.on_tail(now, sender, seq, overdue),
            Message::Event { origin, seq, body } => self.on_event(now, sender, Dot::new(origin, seq), body.0, false),
            Message::Relay { origin, seq, body } => self.on_event(now, sender, Dot::new(origin, seq), body.0, true),
            Message::Have { origin, seq } => self.pull(now, origin, sender, seq),
            Message::Want { origin, after, upto } => self.on_want(sender, origin, after, upto),
            Message::Served { origin, upto } => self.on_served(now, sender, origin, upto),
            Message::BelowFloor { origin, floor } => self.on_below_floor(now, sender, origin, floor),
            Message::Digest { versions, fingerprint, seq, wall_ms } => {
                self.on_digest(now, sender, u128::from_le_bytes(versions), fingerprint, seq, wall_ms);
            }
            Message::Versions { seq, ahead, first, last, entries, rest, reply } => {
                self.on_versions(now, sender, seq, ahead, &(first..=last), &entries, rest, reply);
            }
            Message::Ranges { first, last, sums } => self.on_ranges(sender, &(first..=last), &sums),
            Message::GetChunks { event, ranges } => self.on_get_chunks(sender, event, &ranges),
            Message::Chunk { event, index, total, data } => self.on_chunk(now, sender, event, index, total, data.0),
            Message::NoEvent { event } => self.on_no_event(now, sender, event),
            Message::Forked { .. } => self.identity_conflict(sender),
            Message::Ask { number, body } => self.on_ask(now, sender, number, body.0),
            Message::GetAnswer { number, ranges } => self.on_get_answer(now, sender, number, &ranges),
            Message::AnswerChunk { number, index, total, data } => {
                self.on_answer_chunk(now, sender, number, (index, total), data.0);
            }
            Message::NoAnswer { number, refused } => self.on_no_answer(now, sender, number, refused),
            Message::AskClock => self.tell(sender, &Message::Clock { wall_ms: now.wall }),
            Message::Clock { wall_ms } => self.on_clock(now, sender, wall_ms),
            Message::AskKept => self.on_ask_kept(sender),
            Message::Kept { upto } => self.on_kept(sender, upto),
            Message::AskStays { number } => self.on_ask_stays(sender, number),
            Message::Part { link, at, head, data } => self.on_part(now, sender, (link, at), &head, data.0),
            Message::Heard { link, next } => self.on_heard(now, sender, link, next),
            Message::Full { over } => self.on_full(now, sender, over),
            Message::Used { hashes } => self.on_used(now, hashes.0),
            Message::Stays { number, staying } => self.on_stays(sender, number, staying),
        }
    }

    /// A peer asks how far its events are applied here. What comes by way of others may be on its way still, unless it is
    /// overdue; then a peer nearby is asked first, which most likely has it, so that an origin need not serve all those
    /// below a relay that has died.
    fn on_tail(&mut self, now: Now, sender: ReplicaId, seq: u64, overdue: bool) {
        let relayed = self.relays() && self.place(sender).is_some_and(|place| !place.below_origin);
        if !relayed {
            self.pull(now, sender, sender, seq);
        } else if overdue {
            let from = self.helper(sender).unwrap_or(sender);
            self.pull(now, sender, from, seq);
        } else {
            let grace = self.rto_us(sender) / 2;
            self.pull_in(now, grace, sender, sender, seq);
        }
        let applied = self.store.version_vector().get(sender);
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.owe_ack(now.mono, true);
            if applied < seq {
                peer.note_asked(seq);
            }
        }
    }
}
