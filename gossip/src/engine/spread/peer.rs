//! Another replica, as the engine sees it: what it has, what it is owed, and what is on its way to it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use cahoots_crdt::{Dot, ReplicaId, VersionVector};

use super::cast::{Incoming, Outgoing, QUEUE_BYTES_MAX};
use super::pace::Pace;
use super::relay::Relays;
use crate::Zone;
use crate::engine::life::kept::Kept;
use crate::engine::repair::by_datagrams::StreamHealth;
use crate::engine::repair::serve::Allowance;
use crate::engine::{Queue, ReplicaConfig, Standing};
use crate::wire::Message;

/// Control messages queued for one peer. All of them are repeated by some timer, so the newest may be dropped.
const CONTROL_MAX: usize = 256;
/// Chunks queued for one peer: what it may have asked for at a time.
const CHUNKS_MAX: usize = 2048;
/// Requests for events served to one peer at a time: one per origin.
const JOBS_MAX: usize = 64;

/// How long an acknowledgement waits for something to travel with, in microseconds.
pub(in crate::engine) const ACK_DELAY_US: u64 = 1_000;
/// After so many events it waits no longer.
const ACK_EVENTS_MAX: u32 = 32;

pub(in crate::engine) const RTO_UNKNOWN_US: u64 = 100_000;
const RTO_LEAST_US: u64 = 10_000;
pub(in crate::engine) const RTO_MOST_US: u64 = 1_000_000;

/// What is too long for a datagram and travels in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Chunked {
    /// An event.
    Event(Dot),
    /// The answer to the peer's request of this number.
    Answer(u64),
}

/// Events of one origin on their way to a peer that asked for them.
#[derive(Debug)]
pub(in crate::engine) struct Job {
    pub(in crate::engine) origin: ReplicaId,
    pub(in crate::engine) next: u64,
    /// The next chunk of that event, when it is large.
    pub(in crate::engine) chunk: u32,
    pub(in crate::engine) upto: u64,
    /// What may still be sent before the peer has to ask again.
    pub(in crate::engine) bytes_left: usize,
}

#[derive(Debug)]
pub(in crate::engine) struct Peer {
    pub(in crate::engine) addr: SocketAddr,
    pub(in crate::engine) zone: Zone,
    pub(in crate::engine) live: bool,
    /// What it is to those who join, as it announces.
    pub(in crate::engine) standing: Standing,
    /// Own events are sent to it, not left to others to pass on.
    pub(in crate::engine) pushed: bool,
    /// Whether it may have changed since [`Peers`](super::peers::Peers) looked, and what was due first then.
    pub(in crate::engine) touched: bool,
    pub(in crate::engine) indexed: Option<u64>,

    /// It has applied own events up to here.
    pub(in crate::engine) acked: u64,
    /// Own events up to here were sent to it once, or are left to it to ask for.
    pub(in crate::engine) sent: u64,
    /// How many chunks of the next own event were sent, when that one is large.
    pub(in crate::engine) sent_chunks: u32,
    /// Own events sent and not acknowledged: seq and bytes.
    flight: VecDeque<(u64, usize)>,
    pub(in crate::engine) flight_bytes: usize,
    /// When to ask how far it is.
    pub(in crate::engine) tail_due: Option<u64>,
    tail_tries: u32,
    /// Whether to ask in the next datagram, behind the events in it.
    pub(in crate::engine) tail_now: bool,
    /// Asked because a caller waits, not because its acknowledgement is overdue.
    pub(in crate::engine) hurried: bool,

    smoothed_us: Option<u64>,
    variance_us: u64,
    /// The event whose acknowledgement is timed, and when it left.
    sample: Option<(u64, u64)>,

    /// When an acknowledgement of its events is due.
    pub(in crate::engine) ack_due: Option<u64>,
    events_unacked: u32,
    /// It has asked how far its events up to this one are applied, and is told at once when they are.
    asked_upto: u64,

    pub(in crate::engine) control: VecDeque<Vec<u8>>,
    pub(in crate::engine) chunks: VecDeque<(Chunked, u32)>,
    pub(in crate::engine) jobs: VecDeque<Job>,
    /// Events of others to be passed on to it.
    pub(in crate::engine) relays: Relays,
    /// Parts of publications for it, and from it.
    pub(in crate::engine) outgoing: Outgoing,
    pub(in crate::engine) incoming: Incoming,
    pub(in crate::engine) pace: Pace,

    /// Of what it said it has: what it had lately, and what collecting baselines depends on. Never all of it, for then
    /// the vectors of all peers would be kept by all.
    pub(in crate::engine) versions: VersionVector,
    /// The highest own seq it ever said it was at when it told what it has. Of several accounts that arrive out of
    /// order the latest counts: what it had applied by then, it had applied before writing anything later.
    pub(in crate::engine) said_seq: u64,
    /// Whether it has told something since baselines were last collected by it.
    pub(in crate::engine) has_news: bool,
    pub(in crate::engine) agrees: Option<bool>,
    /// Its wall clock minus ours, in milliseconds.
    pub(in crate::engine) clock_offset_ms: Option<i64>,
    /// When catching up for its sake was last begun.
    pub(in crate::engine) reconciled_at: Option<u64>,
    /// Since when it has said that buckets of its are ahead of its vector.
    pub(in crate::engine) ahead_since: Option<u64>,
    pub(in crate::engine) kept: Kept,
    /// Whether streams to it can be had.
    pub(in crate::engine) streams: StreamHealth,
    /// Of what is given out to it.
    pub(in crate::engine) allowance: Allowance,
}

impl Peer {
    /// A peer just announced. What was written before it came it asks for, so nothing is queued.
    pub(in crate::engine) fn new(addr: SocketAddr, zone: Zone, sealed_seq: u64) -> Self {
        Self {
            addr,
            zone,
            live: true,
            standing: Standing::default(),
            pushed: false,
            touched: false,
            indexed: None,
            acked: 0,
            sent: sealed_seq,
            sent_chunks: 0,
            flight: VecDeque::new(),
            flight_bytes: 0,
            tail_due: None,
            tail_tries: 0,
            tail_now: false,
            hurried: false,
            smoothed_us: None,
            variance_us: 0,
            sample: None,
            ack_due: None,
            events_unacked: 0,
            asked_upto: 0,
            control: VecDeque::new(),
            chunks: VecDeque::new(),
            jobs: VecDeque::new(),
            relays: Relays::default(),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            pace: Pace::default(),
            versions: VersionVector::new(),
            said_seq: 0,
            has_news: false,
            agrees: None,
            clock_offset_ms: None,
            reconciled_at: None,
            ahead_since: None,
            kept: Kept::default(),
            streams: StreamHealth::default(),
            allowance: Allowance::default(),
        }
    }

    /// Drops everything queued: the peer is gone for now, and asks for what it lacks when it is back.
    pub(in crate::engine) fn drop_queues(&mut self, sealed_seq: u64) {
        self.go_on_after(sealed_seq);
        self.flight.clear();
        self.flight_bytes = 0;
        self.sample = None;
        self.tail_due = None;
        self.tail_now = false;
        self.ack_due = None;
        self.control.clear();
        self.chunks.clear();
        self.jobs.clear();
        self.relays.clear();
        self.outgoing.clear();
        self.asked_upto = 0;
    }

    /// When something is due for it.
    pub(in crate::engine) fn due(&self) -> Option<u64> {
        let tail_due = self.tail_due.filter(|_| self.live);
        let others = [self.ack_due, self.outgoing.due(), self.incoming.ack_due];
        tail_due.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// What is queued for it.
    pub(in crate::engine) fn queues(&self, config: &ReplicaConfig) -> [Queue; 6] {
        let control = self.control.iter().map(Vec::len).sum();
        let (chunk, job) = (size_of::<(Chunked, u32)>(), size_of::<Job>());
        // The last event to go may be the largest there is.
        let flight = config.flight_bytes_max + 2 * config.limits.group_bytes_max;
        let parts = QUEUE_BYTES_MAX + 2 * config.limits.value_bytes_max;
        [
            Queue { name: "messages", bytes: control, bytes_max: CONTROL_MAX * config.datagram_bytes_max },
            Queue { name: "chunks to send", bytes: self.chunks.len() * chunk, bytes_max: CHUNKS_MAX * chunk },
            Queue { name: "requests to serve", bytes: self.jobs.len() * job, bytes_max: JOBS_MAX * job },
            Queue { name: "events in flight", bytes: self.flight_bytes, bytes_max: flight },
            Queue { name: "publications to send", bytes: self.outgoing.bytes(), bytes_max: parts },
            Queue { name: "events to pass on", bytes: self.relays.bytes(), bytes_max: config.relay_bytes_max },
        ]
    }

    /// Queues a control message; says whether there was room.
    pub(in crate::engine) fn tell(&mut self, message: &Message<'_>) -> bool {
        let room = self.control.len() < CONTROL_MAX;
        if room {
            self.control.push_back(message.encode());
        }
        room
    }

    /// Whether a control message waits to be sent.
    #[cfg(test)]
    pub(in crate::engine) fn is_told(&self, message: &Message<'_>) -> bool {
        self.control.contains(&message.encode())
    }

    pub(in crate::engine) fn queue_chunks(&mut self, of: Chunked, chunks: impl Iterator<Item = u32>) {
        let room = CHUNKS_MAX.saturating_sub(self.chunks.len());
        self.chunks.extend(chunks.take(room).map(|chunk| (of, chunk)));
    }

    /// It has asked for own events: when it acknowledges says nothing of how far it is.
    pub(in crate::engine) fn forget_sample(&mut self) {
        self.sample = None;
    }

    /// Serves a request, in place of an earlier one for the same origin.
    pub(in crate::engine) fn queue_job(&mut self, job: Job) {
        self.jobs.retain(|it| it.origin != job.origin);
        if self.jobs.len() < JOBS_MAX {
            self.jobs.push_back(job);
        }
    }

    /// The next own event to be sent is the one after `seq`, from its beginning.
    pub(in crate::engine) fn go_on_after(&mut self, seq: u64) {
        self.sent = seq;
        self.sent_chunks = 0;
    }

    /// Notes that own event `seq` left for it.
    pub(in crate::engine) fn note_sent(&mut self, now: u64, seq: u64, bytes: usize) {
        self.go_on_after(seq);
        self.flight.push_back((seq, bytes));
        self.flight_bytes += bytes;
        if self.tail_tries == 0 {
            self.sample.get_or_insert((seq, now)); // else its acknowledgement waits for what was lost before it
        }
        if self.tail_due.is_none() {
            self.tail_due = Some(now + self.rto_us());
        }
    }

    /// Notes that own events up to `seq` left at `at` by way of others, and that it is to be asked about them in time,
    /// which is `unknown_us` while no round trip was measured.
    pub(in crate::engine) fn expect(&mut self, at: u64, now: u64, seq: u64, unknown_us: u64) {
        if self.sent < seq {
            self.go_on_after(seq);
            if self.acked < seq && self.tail_due.is_none() {
                let rto = if self.smoothed_us.is_some() { self.rto_us() } else { unknown_us };
                self.tail_due = Some(now.max(at + rto));
            }
        }
    }

    /// Notes that it has applied own events up to `upto`; says whether that is news.
    pub(in crate::engine) fn note_ack(&mut self, now: u64, upto: u64) -> bool {
        if upto <= self.acked {
            return false;
        }
        self.acked = upto;
        while let Some((_, bytes)) = self.flight.pop_front_if(|(seq, _)| *seq <= upto) {
            self.flight_bytes -= bytes;
        }
        if let Some((_, at)) = self.sample.take_if(|(seq, _)| *seq <= upto) {
            self.note_rtt(now.saturating_sub(at));
        }
        self.tail_tries = 0;
        self.tail_due = (self.acked < self.sent).then(|| now + self.rto_us());
        true
    }

    /// Has it asked how far it is: the next time is twice as far away.
    pub(in crate::engine) fn note_tail(&mut self, now: u64) {
        self.tail_now = true;
        self.tail_tries = (self.tail_tries + 1).min(10);
        self.sample = None; // an answer to this could not be told from one to the event itself
        self.tail_due = Some(now + (self.rto_us() << self.tail_tries.min(5)).min(RTO_MOST_US));
    }

    /// Notes that an event of its own came from it.
    pub(in crate::engine) fn owe_ack(&mut self, now: u64, at_once: bool) {
        self.events_unacked += 1;
        let due = if at_once || self.events_unacked >= ACK_EVENTS_MAX { now } else { now + ACK_DELAY_US };
        self.ack_due = Some(self.ack_due.map_or(due, |known| known.min(due)));
    }

    /// Notes that an event of its own came by way of others, and that telling it has so much time.
    pub(in crate::engine) fn owe_ack_within(&mut self, now: u64, delay: u64) {
        let due = now + delay;
        self.ack_due = Some(self.ack_due.map_or(due, |known| known.min(due)));
    }

    /// Notes that it waits to be told when its events up to `seq` are applied.
    pub(in crate::engine) fn note_asked(&mut self, seq: u64) {
        self.asked_upto = self.asked_upto.max(seq);
    }

    /// Tells it at once if what it asked about is applied now.
    pub(in crate::engine) fn note_applied(&mut self, now: u64, applied: u64) {
        if self.asked_upto > 0 && applied >= self.asked_upto {
            self.asked_upto = 0;
            self.owe_ack(now, true);
        }
    }

    pub(in crate::engine) fn note_ack_sent(&mut self) {
        self.ack_due = None;
        self.events_unacked = 0;
    }

    /// Takes the time since an event left by way of others for a round trip, if it can have been one.
    pub(in crate::engine) fn note_relayed_rtt(&mut self, sample: u64) {
        if self.tail_tries == 0 {
            self.note_rtt(sample);
        }
    }

    /// Smoothing by Jacobson's rule (RFC 6298).
    pub(in crate::engine) fn note_rtt(&mut self, sample: u64) {
        match self.smoothed_us {
            None => {
                self.smoothed_us = Some(sample);
                self.variance_us = sample / 2;
            }
            Some(smoothed) => {
                self.variance_us = (3 * self.variance_us + smoothed.abs_diff(sample)) / 4;
                self.smoothed_us = Some((7 * smoothed + sample) / 8);
            }
        }
    }

    pub(in crate::engine) fn rtt_us(&self) -> Option<u64> {
        self.smoothed_us
    }

    /// How long to wait for an answer before asking again.
    pub(in crate::engine) fn rto_us(&self) -> u64 {
        let measured = |smoothed| smoothed + 4 * self.variance_us + ACK_DELAY_US;
        self.smoothed_us.map_or(RTO_UNKNOWN_US, measured).clamp(RTO_LEAST_US, RTO_MOST_US)
    }
}
