//! What leaves: datagrams put together for one peer at a time.
//!
//! A datagram is self-contained: whole messages to its end, mostly whole events. Own events go to every live peer (in
//! a large cluster to some, see `relay`) once, in order, as far as the flight bound allows; what was asked for goes
//! beside them. Peers have turns, a datagram each. Where a rate is configured, datagrams that carry data wait for it.

use std::net::SocketAddr;

use cahoots_crdt::{Dot, ReplicaId};

use super::assembly::{CHUNK_BYTES, EAGER_CHUNKS, chunk_count, chunk_of};
use super::config::{Now, ReplicaConfig};
use super::peer::Peer;
use super::{Counters, Event, Log, Replica};
use crate::bytes::Bytes;
use crate::wire::{Envelope, Kind, Message};

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Its bytes.
    pub datagram: Vec<u8>,
}

/// The ids of sender and receiver at the head of a payload.
const HEAD_BYTES: usize = 16;
/// Kept free for an acknowledgement: tag and seq.
const ACK_BYTES: usize = 11;
/// Tag, seq and flag of the question how far a peer is.
const TAIL_BYTES: usize = 12;
/// Tag, origin, seq and length of an event at most.
const EVENT_HEAD_BYTES: usize = 1 + 8 + 10 + 3;

/// The body of an event that fits a datagram of its own.
pub(super) fn event_bytes_max(config: &ReplicaConfig, envelope: &Envelope) -> usize {
    config.datagram_bytes_max - envelope.overhead_bytes() - HEAD_BYTES - ACK_BYTES - EVENT_HEAD_BYTES
}

/// A payload being filled.
struct Payload {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Payload {
    fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    fn fits(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= self.bytes_max
    }

    fn push(&mut self, message: &Message<'_>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(message, bytes).expect("a message is plain data");
    }
}

impl Replica {
    /// The next datagram to send, if any. To be called until there is none.
    pub fn poll_transmit(&mut self, now: Now) -> Option<Transmit> {
        if self.conflicted {
            return None;
        }
        if self.flush_due.is_some_and(|due| due <= now.mono) {
            self.flush(now);
        }
        self.log_sealed();
        self.spread(now);
        let me = self.id();
        let upto = self.store.certain_seq();
        self.peers.settle(now.mono, upto);
        self.paced_until = None;
        for id in self.peers.with_output(self.served) {
            let ready_at = self.pace.ready_at().max(self.peers.get(&id).map_or(0, |peer| peer.pace.ready_at()));
            let paced = ready_at > now.mono;
            if paced {
                self.paced_until = Some(self.paced_until.map_or(ready_at, |known| known.min(ready_at)));
            }
            let payload = Payload {
                bytes: Message::head(me, id),
                bytes_max: self.config.datagram_bytes_max - self.envelope.overhead_bytes(),
            };
            let Some((to, payload)) = self.fill(now, id, payload, !paced) else { continue };
            let datagram = self.envelope.wrap(Kind::Engine, &payload);
            self.counters.datagrams_sent += 1;
            self.counters.bytes_sent += datagram.len() as u64;
            self.pace.charge(now.mono, self.config.send_bytes_per_second, datagram.len());
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.pace.charge(now.mono, self.config.send_bytes_per_second_peer, datagram.len());
            }
            self.served = id;
            debug_assert!(datagram.len() <= self.config.datagram_bytes_max);
            return Some(Transmit { to, datagram });
        }
        None
    }

    fn fill(&mut self, now: Now, id: ReplicaId, mut payload: Payload, data: bool) -> Option<(SocketAddr, Vec<u8>)> {
        let me = self.id();
        let applied = self.store.version_vector().get(id);
        let upto = self.store.certain_seq();
        let flight_max = self.config.flight_bytes_max;
        let relayed = self.relays();
        let peer = self.peers.get_mut(&id)?;
        payload.bytes_max -= ACK_BYTES;
        while let Some(message) = peer.control.pop_front_if(|message| payload.fits(message.len())) {
            payload.bytes.extend_from_slice(&message);
        }
        if data {
            let own = Own { me, upto, relayed, flight_max };
            peer.push_events(now.mono, &own, &self.log, &mut payload, &mut self.counters);
            self.counters.relays_sent += peer.push_relays(&mut payload);
        }
        if peer.tail_now && payload.fits(TAIL_BYTES) {
            peer.tail_now = false;
            payload.push(&Message::Tail { seq: peer.sent, overdue: !std::mem::take(&mut peer.hurried) });
        }
        if data {
            self.counters.chunks_sent += peer.send_chunks(&self.log, &mut payload);
            self.counters.events_resent += peer.serve_jobs(&self.log, &mut payload);
        }
        payload.bytes_max += ACK_BYTES;
        if peer.ack_due.is_some_and(|due| due <= now.mono || !payload.is_empty()) {
            payload.push(&Message::Ack { upto: applied });
            peer.note_ack_sent();
        }
        (!payload.is_empty()).then_some((peer.addr, payload.bytes))
    }

    /// Asks peers whose acknowledgement is overdue how far they are.
    pub(super) fn probe_tails(&mut self, now: Now) {
        let seq = self.position_sealed();
        for id in self.peers.due_at(now.mono, seq) {
            let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.live) else { continue };
            if peer.tail_due.is_some_and(|due| due <= now.mono) {
                if peer.acked >= seq {
                    peer.tail_due = None;
                    continue;
                }
                peer.note_tail(now.mono);
                self.counters.tails_probed += 1;
            }
        }
    }

    pub(super) fn note_ack(&mut self, now: Now, peer: ReplicaId, upto: u64) {
        if upto > self.store.certain_seq() {
            self.identity_conflict(peer);
            return;
        }
        let Some(it) = self.peers.get_mut(&peer) else { return };
        if let Some((_, at)) = self.timed.filter(|(seq, _)| !it.pushed && (it.acked + 1..=upto).contains(seq)) {
            it.note_relayed_rtt(now.mono.saturating_sub(at));
        }
        if it.note_ack(now.mono, upto) {
            self.emit(Event::Acked { peer, seq: upto });
        }
    }

    pub(super) fn position_sealed(&self) -> u64 {
        self.store.sealed_seq()
    }
}

/// What there is of own events, and how it is sent.
struct Own {
    me: ReplicaId,
    upto: u64,
    /// Whether they are to be passed on.
    relayed: bool,
    flight_max: usize,
}

impl Peer {
    pub(super) fn has_output(&self, now: u64, upto: u64) -> bool {
        let asked = self.tail_now || !self.control.is_empty() || !self.chunks.is_empty() || !self.jobs.is_empty();
        let events = self.live && self.pushed && self.sent < upto;
        asked || events || !self.relays.is_empty() || self.ack_due.is_some_and(|due| due <= now)
    }

    /// Own events that were not sent to it yet.
    fn push_events(&mut self, now: u64, own: &Own, log: &Log, payload: &mut Payload, counters: &mut Counters) {
        let Own { me, upto, relayed, flight_max } = *own;
        while self.live && self.pushed && self.sent < upto && self.flight_bytes < flight_max {
            let event = Dot::new(me, self.sent + 1);
            let Some(body) = log.get(event) else {
                // It lags below the log. It will notice, and catch up by buckets.
                self.go_on_after(upto);
                return;
            };
            if body.len() <= self.single_bytes_max(payload) {
                if !payload.fits(body.len() + EVENT_HEAD_BYTES) {
                    return;
                }
                let (origin, seq, body) = (me, event.seq, Bytes(body));
                payload.push(&if relayed {
                    Message::Relay { origin, seq, body }
                } else {
                    Message::Event { origin, seq, body }
                });
                let body = body.0;
                self.note_sent(now, event.seq, body.len());
                counters.events_sent += 1;
                continue;
            }
            if !payload.is_empty() {
                return;
            }
            push_chunk(event, self.sent_chunks, body, payload);
            counters.chunks_sent += 1;
            self.sent_chunks += 1;
            if self.sent_chunks == chunk_count(body.len()).min(EAGER_CHUNKS) {
                self.note_sent(now, event.seq, body.len().min(EAGER_CHUNKS as usize * CHUNK_BYTES));
                counters.events_sent += 1;
            }
            return;
        }
    }

    /// Events of others on their way to it and through it; says how many.
    fn push_relays(&mut self, payload: &mut Payload) -> u64 {
        let mut sent = 0;
        while let Some((event, body)) = self.relays.first() {
            if !payload.fits(body.len() + EVENT_HEAD_BYTES) {
                break;
            }
            payload.push(&Message::Relay { origin: event.replica, seq: event.seq, body: Bytes(body) });
            self.relays.pop();
            sent += 1;
        }
        sent
    }

    /// Chunks it asked for; says how many.
    fn send_chunks(&mut self, log: &Log, payload: &mut Payload) -> u64 {
        if !payload.is_empty() {
            return 0;
        }
        while let Some((event, chunk)) = self.chunks.pop_front() {
            match log.get(event) {
                Some(bytes) if chunk < chunk_count(bytes.len()) => {
                    push_chunk(event, chunk, bytes, payload);
                    return 1;
                }
                Some(_) => {}
                None => {
                    self.chunks.retain(|(it, _)| *it != event);
                    payload.push(&Message::NoEvent { event });
                    return 0;
                }
            }
        }
        0
    }

    /// Events it asked for; says how many.
    fn serve_jobs(&mut self, log: &Log, payload: &mut Payload) -> u64 {
        let mut sent = 0;
        while let Some(job) = self.jobs.front_mut() {
            let event = Dot::new(job.origin, job.next);
            let body = log.get(event).filter(|_| job.next <= job.upto && job.bytes_left > 0);
            let Some(body) = body else {
                let served = Message::Served { origin: job.origin, upto: job.next - 1 };
                if !payload.fits(served.encode().len()) {
                    return sent;
                }
                payload.push(&served);
                self.jobs.pop_front();
                continue;
            };
            if body.len() + EVENT_HEAD_BYTES + HEAD_BYTES <= payload.bytes_max {
                if !payload.fits(body.len() + EVENT_HEAD_BYTES) {
                    return sent;
                }
                payload.push(&Message::Event { origin: job.origin, seq: job.next, body: Bytes(body) });
            } else {
                // Its first chunks come unasked, as those of a new event do; the peer asks for the others.
                if !payload.is_empty() {
                    return sent;
                }
                push_chunk(event, job.chunk, body, payload);
                job.chunk += 1;
                if job.chunk < chunk_count(body.len()).min(EAGER_CHUNKS) {
                    return sent;
                }
                job.chunk = 0;
            }
            job.next += 1;
            job.bytes_left = job.bytes_left.saturating_sub(body.len().min(EAGER_CHUNKS as usize * CHUNK_BYTES));
            sent += 1;
        }
        sent
    }

    fn single_bytes_max(&self, payload: &Payload) -> usize {
        payload.bytes_max - HEAD_BYTES - EVENT_HEAD_BYTES
    }
}

fn push_chunk(event: Dot, index: u32, bytes: &[u8], payload: &mut Payload) {
    let total = u32::try_from(bytes.len()).expect("limits keep events below 4 GiB");
    payload.push(&Message::Chunk { event, index, total, data: Bytes(chunk_of(bytes, index)) });
}
