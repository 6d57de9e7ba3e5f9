//! Another replica, as the engine sees it: what it has, what it is owed, and what is on its way to it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use cahoots_crdt::{ReplicaId, VersionVector};

use super::kept::Kept;
use crate::wire::{Blob, Message};

/// Control messages queued for one peer. All of them are repeated by some timer, so the newest may be dropped.
const CONTROL_MAX: usize = 256;
/// Chunks queued for one peer: what it may have asked for at a time.
const CHUNKS_MAX: usize = 2048;
/// Requests for events served to one peer at a time: one per origin.
const JOBS_MAX: usize = 64;

/// How long an acknowledgement waits for something to travel with, in microseconds.
pub(super) const ACK_DELAY_US: u64 = 1_000;
/// After so many events it waits no longer.
const ACK_EVENTS_MAX: u32 = 32;

const RTO_UNKNOWN_US: u64 = 100_000;
const RTO_LEAST_US: u64 = 10_000;
const RTO_MOST_US: u64 = 1_000_000;

/// Events of one origin on their way to a peer that asked for them.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) origin: ReplicaId,
    pub(super) next: u64,
    /// The next chunk of that event, when it is large.
    pub(super) chunk: u32,
    pub(super) upto: u64,
    /// What may still be sent before the peer has to ask again.
    pub(super) bytes_left: usize,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    pub(super) live: bool,

    /// It has applied own events up to here.
    pub(super) acked: u64,
    /// Own events up to here were sent to it once, or are left to it to ask for.
    pub(super) sent: u64,
    /// How many chunks of the next own event were sent, when that one is large.
    pub(super) sent_chunks: u32,
    /// Own events sent and not acknowledged: seq and bytes.
    flight: VecDeque<(u64, usize)>,
    pub(super) flight_bytes: usize,
    /// When to ask how far it is.
    pub(super) tail_due: Option<u64>,
    tail_tries: u32,
    /// Whether to ask in the next datagram, behind the events in it.
    pub(super) tail_now: bool,

    smoothed_us: Option<u64>,
    variance_us: u64,
    /// The event whose acknowledgement is timed, and when it left.
    sample: Option<(u64, u64)>,

    /// When an acknowledgement of its events is due.
    pub(super) ack_due: Option<u64>,
    events_unacked: u32,

    pub(super) control: VecDeque<Vec<u8>>,
    pub(super) chunks: VecDeque<(Blob, u32)>,
    pub(super) jobs: VecDeque<Job>,

    /// What it said it has.
    pub(super) versions: VersionVector,
    /// The highest own seq it ever said it was at when it told what it has. Of several accounts that arrive out of
    /// order the latest counts: what it had applied by then, it had applied before writing anything later.
    pub(super) said_seq: u64,
    /// Whether it has told something since baselines were last collected by it.
    pub(super) has_news: bool,
    pub(super) agrees: Option<bool>,
    /// Its wall clock minus ours, in milliseconds.
    pub(super) clock_offset_ms: Option<i64>,
    /// When buckets were last fetched from it.
    pub(super) reconciled_at: Option<u64>,
    pub(super) kept: Kept,
}

impl Peer {
    /// A peer just announced. What was written before it came it asks for, so nothing is queued.
    pub(super) fn new(addr: SocketAddr, sealed_seq: u64) -> Self {
        Self {
            addr,
            live: true,
            acked: 0,
            sent: sealed_seq,
            sent_chunks: 0,
            flight: VecDeque::new(),
            flight_bytes: 0,
            tail_due: None,
            tail_tries: 0,
            tail_now: false,
            smoothed_us: None,
            variance_us: 0,
            sample: None,
            ack_due: None,
            events_unacked: 0,
            control: VecDeque::new(),
            chunks: VecDeque::new(),
            jobs: VecDeque::new(),
            versions: VersionVector::new(),
            said_seq: 0,
            has_news: false,
            agrees: None,
            clock_offset_ms: None,
            reconciled_at: None,
            kept: Kept::default(),
        }
    }

    /// Drops everything queued: the peer is gone for now, and asks for what it lacks when it is back.
    pub(super) fn drop_queues(&mut self, sealed_seq: u64) {
        self.sent = sealed_seq;
        self.sent_chunks = 0;
        self.flight.clear();
        self.flight_bytes = 0;
        self.tail_due = None;
        self.tail_now = false;
        self.ack_due = None;
        self.control.clear();
        self.chunks.clear();
        self.jobs.clear();
    }

    /// Queues a control message; says whether there was room.
    pub(super) fn tell(&mut self, message: &Message<'_>) -> bool {
        let room = self.control.len() < CONTROL_MAX;
        if room {
            self.control.push_back(message.encode());
        }
        room
    }

    pub(super) fn queue_chunks(&mut self, blob: Blob, chunks: impl Iterator<Item = u32>) {
        let room = CHUNKS_MAX.saturating_sub(self.chunks.len());
        self.chunks.extend(chunks.take(room).map(|chunk| (blob, chunk)));
    }

    /// Serves a request, in place of an earlier one for the same origin.
    pub(super) fn queue_job(&mut self, job: Job) {
        self.jobs.retain(|it| it.origin != job.origin);
        if self.jobs.len() < JOBS_MAX {
            self.jobs.push_back(job);
        }
    }

    /// Notes that own event `seq` left for it.
    pub(super) fn note_sent(&mut self, now: u64, seq: u64, bytes: usize) {
        self.sent = seq;
        self.sent_chunks = 0;
        self.flight.push_back((seq, bytes));
        self.flight_bytes += bytes;
        self.sample.get_or_insert((seq, now));
        if self.tail_due.is_none() {
            self.tail_due = Some(now + self.rto_us());
        }
    }

    /// Notes that it has applied own events up to `upto`; says whether that is news.
    pub(super) fn note_ack(&mut self, now: u64, upto: u64) -> bool {
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
    pub(super) fn note_tail(&mut self, now: u64) {
        self.tail_now = true;
        self.tail_tries = (self.tail_tries + 1).min(10);
        self.sample = None; // an answer to this could not be told from one to the event itself
        self.tail_due = Some(now + (self.rto_us() << self.tail_tries).min(RTO_MOST_US));
    }

    /// Notes that an event of its own came from it.
    pub(super) fn owe_ack(&mut self, now: u64, at_once: bool) {
        self.events_unacked += 1;
        let due = if at_once || self.events_unacked >= ACK_EVENTS_MAX { now } else { now + ACK_DELAY_US };
        self.ack_due = Some(self.ack_due.map_or(due, |known| known.min(due)));
    }

    pub(super) fn note_ack_sent(&mut self) {
        self.ack_due = None;
        self.events_unacked = 0;
    }

    /// Smoothing by Jacobson's rule (RFC 6298).
    fn note_rtt(&mut self, sample: u64) {
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

    pub(super) fn rtt_us(&self) -> Option<u64> {
        self.smoothed_us
    }

    /// How long to wait for an answer before asking again.
    pub(super) fn rto_us(&self) -> u64 {
        let measured = |smoothed| smoothed + 4 * self.variance_us + ACK_DELAY_US;
        self.smoothed_us.map_or(RTO_UNKNOWN_US, measured).clamp(RTO_LEAST_US, RTO_MOST_US)
    }
}
