//! What leaves: datagrams put together for one peer at a time.
//!
//! A datagram is self-contained: whole messages to its end, mostly whole events. Own events go to every live peer (in
//! a large cluster to some, see `relay`) once, in order, as far as the flight bound allows; what was asked for goes
//! beside them. Peers have turns, a run of datagrams each. Where a rate is configured, datagrams that carry data wait for
//! it.

use std::net::SocketAddr;

use cahoots_crdt::{Dot, ReplicaId};

use super::peer::{Chunked, Peer};
use crate::bytes::{Bytes, append};
use crate::engine::config::{Now, ReplicaConfig};
use crate::engine::repair::assembly::{CHUNK_BYTES, EAGER_CHUNKS, chunk_count, chunk_of};
use crate::engine::repair::by_datagrams::KeptAnswers;
use crate::engine::{Counters, Event, Log, Replica};
use crate::wire::{Envelope, HEAD_BYTES, Kind, Message};

/// A run of datagrams to send to one peer: all of one length but the last, which may be shorter. So a kernel that
/// segments takes them in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Their bytes, one behind the other.
    pub bytes: Vec<u8>,
    /// The length of each, the last excepted.
    pub datagram_bytes: usize,
}

impl Transmit {
    /// The datagrams, in order.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks(self.datagram_bytes)
    }
}

/// Datagrams in a run at most. More would save little, and make the other peers wait.
pub const RUN_MAX: usize = 16;

/// Kept free for an acknowledgement: tag and seq.
const ACK_BYTES: usize = 11;
/// Tag, seq and flag of the question how far a peer is.
const TAIL_BYTES: usize = 12;
/// Tag and two numbers of what was heard of publications.
const HEARD_BYTES: usize = 21;
/// Tag, origin, seq and length of an event at most.
const EVENT_HEAD_BYTES: usize = 1 + 8 + 10 + 3;

/// The body of an event that fits a datagram of its own.
pub(in crate::engine) fn event_bytes_max(config: &ReplicaConfig, envelope: &Envelope) -> usize {
    config.datagram_bytes_max - envelope.overhead_bytes() - HEAD_BYTES - ACK_BYTES - EVENT_HEAD_BYTES
}

/// A payload being filled.
struct Payload {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Payload {
    fn new(sender: ReplicaId, receiver: ReplicaId, bytes_max: usize) -> Self {
        let mut bytes = Vec::with_capacity(bytes_max);
        bytes.extend_from_slice(&Message::head(sender, receiver));
        Self { bytes, bytes_max }
    }

    fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    fn fits(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= self.bytes_max
    }

    fn push(&mut self, message: &Message<'_>) {
        append(message, &mut self.bytes);
    }
}

impl Replica {
    /// The next datagrams to send, if any. To be called until there are none.
    pub fn poll_transmit(&mut self, now: Now) -> Option<Transmit> {
        if self.conflicted {
            return None;
        }
        if self.flush_due.is_some_and(|due| due <= now.mono) {
            self.flush(now);
        }
        self.log_sealed();
        self.casts.fresh = false;
        self.spread(now);
        let upto = self.store.certain_seq();
        self.peers.settle(now.mono, upto);
        self.paced_until = None;
        for id in self.peers.with_output(self.served) {
            if let Some(transmit) = self.run(now, id) {
                self.served = id;
                return Some(transmit);
            }
        }
        None
    }

    /// What there is for one peer, as far as a run goes.
    fn run(&mut self, now: Now, id: ReplicaId) -> Option<Transmit> {
        let datagram_bytes = self.config.datagram_bytes_max;
        let payload_bytes_max = datagram_bytes - self.envelope.overhead_bytes();
        let to = self.peers.get(&id)?.addr;
        let mut bytes = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        for _ in 0..RUN_MAX {
            let ready_at = self.pace.ready_at().max(self.peers.get(&id)?.pace.ready_at());
            let paced = ready_at > now.mono;
            if paced {
                self.paced_until = Some(self.paced_until.map_or(ready_at, |known| known.min(ready_at)));
            }
            let Some(payload) = self.fill(now, id, payload_bytes_max, !paced) else { break };
            self.charge(now, id, payload.len() + self.envelope.overhead_bytes());
            if let Some(mut full) = last.replace(payload) {
                self.charge(now, id, payload_bytes_max - full.len());
                Message::pad(&mut full, payload_bytes_max);
                self.wrap(&full, &mut bytes);
            }
        }
        self.wrap(&last?, &mut bytes);
        Some(Transmit { to, bytes, datagram_bytes })
    }

    fn wrap(&mut self, payload: &[u8], bytes: &mut Vec<u8>) {
        let length = payload.len() + self.envelope.overhead_bytes();
        debug_assert!(length <= self.config.datagram_bytes_max);
        bytes.reserve(length);
        self.envelope.wrap_behind(bytes, Kind::Engine, payload);
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += length as u64;
    }

    fn charge(&mut self, now: Now, id: ReplicaId, bytes: usize) {
        self.pace.charge(now.mono, self.config.send_bytes_per_second, bytes);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.pace.charge(now.mono, self.config.send_bytes_per_second_peer, bytes);
        }
    }

    /// The next payload for one peer, with or without `data`.
    fn fill(&mut self, now: Now, id: ReplicaId, bytes_max: usize, data: bool) -> Option<Vec<u8>> {
        let me = self.id();
        let applied = self.store.version_vector().get(id);
        let upto = self.store.certain_seq();
        let flight_max = self.config.flight_bytes_max;
        let (relayed, wall) = (self.relays(), self.store.at(now.wall).now());
        let peer = self.peers.get_mut(&id)?;
        let mut payload = Payload::new(me, id, bytes_max);
        payload.bytes_max -= ACK_BYTES;
        while let Some(message) = peer.control.pop_front_if(|message| payload.fits(message.len())) {
            payload.bytes.extend_from_slice(&message);
        }
        if data {
            let own = Own { me, upto, relayed, flight_max };
            peer.push_events(now.mono, &own, &self.log, &mut payload, &mut self.counters);
            self.counters.relays_sent += peer.push_relays(&mut payload);
            peer.push_parts(Now { wall, ..now }, &mut payload);
        }
        if peer.tail_now && payload.fits(TAIL_BYTES) {
            peer.tail_now = false;
            payload.push(&Message::Tail { seq: peer.sent, overdue: !std::mem::take(&mut peer.hurried) });
        }
        if data {
            self.counters.chunks_sent += peer.send_chunks(id, &self.log, &self.kept_answers, &mut payload);
            self.counters.events_resent += peer.serve_jobs(&self.log, &mut payload);
        }
        payload.bytes_max += ACK_BYTES;
        if peer.incoming.ack_due.is_some_and(|due| due <= now.mono) && payload.fits(HEARD_BYTES) {
            payload.push(&peer.incoming.answer());
        }
        if peer.ack_due.is_some_and(|due| due <= now.mono || !payload.is_empty()) {
            payload.push(&Message::Ack { upto: applied });
            peer.note_ack_sent();
        }
        (!payload.is_empty()).then_some(payload.bytes)
    }

    /// Asks peers whose acknowledgement is overdue how far they are.
    pub(in crate::engine) fn probe_tails(&mut self, now: Now) {
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

    pub(in crate::engine) fn note_ack(&mut self, now: Now, peer: ReplicaId, upto: u64) {
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

    pub(in crate::engine) fn position_sealed(&self) -> u64 {
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
    pub(in crate::engine) fn has_output(&self, now: u64, upto: u64) -> bool {
        let asked = self.tail_now || !self.control.is_empty() || !self.chunks.is_empty() || !self.jobs.is_empty();
        let events = self.live && self.pushed && self.sent < upto;
        let parts = self.outgoing.has_output() || self.incoming.ack_due.is_some_and(|due| due <= now);
        asked || events || parts || !self.relays.is_empty() || self.ack_due.is_some_and(|due| due <= now)
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

    /// Parts of publications, as many as fit.
    fn push_parts(&mut self, now: Now, payload: &mut Payload) {
        let rto = self.rto_us();
        self.outgoing.send(now, rto, |part, bytes| {
            let fits = payload.fits(bytes);
            if fits {
                payload.push(part);
            }
            fits
        });
    }

    /// Chunks it asked for; says how many.
    fn send_chunks(&mut self, id: ReplicaId, log: &Log, answers: &KeptAnswers, payload: &mut Payload) -> u64 {
        if !payload.is_empty() {
            return 0;
        }
        while let Some((of, index)) = self.chunks.pop_front() {
            let bytes = match of {
                Chunked::Event(event) => log.get(event).map(|body| &body[..]),
                Chunked::Answer(number) => answers.get(id, number),
            };
            match (of, bytes) {
                (_, Some(bytes)) if index >= chunk_count(bytes.len()) => {}
                (Chunked::Event(event), Some(bytes)) => {
                    push_chunk(event, index, bytes, payload);
                    return 1;
                }
                (Chunked::Answer(number), Some(bytes)) => {
                    let (total, data) = (total_of(bytes), Bytes(chunk_of(bytes, index)));
                    payload.push(&Message::AnswerChunk { number, index, total, data });
                    return 1;
                }
                (Chunked::Event(event), None) => {
                    self.chunks.retain(|(it, _)| *it != of);
                    payload.push(&Message::NoEvent { event });
                    return 0;
                }
                // Its asker asks again, and hears that it is kept no more.
                (Chunked::Answer(_), None) => self.chunks.retain(|(it, _)| *it != of),
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
    payload.push(&Message::Chunk { event, index, total: total_of(bytes), data: Bytes(chunk_of(bytes, index)) });
}

fn total_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("limits keep events, and answers by datagrams, below 4 GiB")
}
