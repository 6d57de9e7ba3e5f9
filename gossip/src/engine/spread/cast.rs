//! Publications: messages to whoever listens now, which nobody keeps.
//!
//! They go the ways that events go: to every peer, or in a large cluster down the tree of their origin. On each of these ways
//! they are cut into parts that a datagram holds, which arrive in order or not at all: the sender keeps what was not
//! acknowledged, within a window, and begins again from there when one is seen to be missing (go-back-N). So a message
//! of many datagrams arrives, a lost datagram costs no message, and each peer has a queue of its own, bounded in bytes.
//!
//! Each publication has a number among those of its origin. Who receives one whole hands it on once, and none that is older:
//! *at most once, in the order of each origin*. What did not arrive (a queue was full, a relay or the origin died, trees had
//! changed) shows as a gap in the numbers, and is counted. An origin that starts again begins another stretch of numbers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cahoots_crdt::ReplicaId;

use crate::bytes::{Bytes, append};
use crate::engine::{Now, Replica};
use crate::wire::Message;

/// Bytes of a publication in one part: it fits the smallest datagram with its head and an envelope.
const PART_BYTES: usize = 960;
/// Bytes of what stands before them at most.
const PART_HEAD_BYTES: usize = 64;
/// Bytes of parts on the way to one peer before some of them are acknowledged.
const FLIGHT_BYTES_MAX: usize = 256 << 10;
/// Bytes of parts that wait for one peer. A single publication may be larger, if nothing else waits.
pub(in crate::engine) const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Bytes of publications that wait for the driver, which takes them at once.
pub(in crate::engine) const HEARD_BYTES_MAX: usize = 64 << 20;
/// After so many parts an acknowledgement waits no longer, and otherwise for so many microseconds.
const ACK_PARTS_MAX: u32 = 16;
const ACK_DELAY_US: u64 = 1_000;
/// A peer that acknowledges nothing for so long loses what waits for it, in microseconds.
const PATIENCE_US: u64 = 10_000_000;

/// A message to whoever listens now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Who published it.
    pub origin: ReplicaId,
    /// Which of the origin's kinds of channels it is for: a number that means something to those who publish.
    pub kind: u8,
    /// The channel.
    pub channel: Box<[u8]>,
    /// The message.
    pub message: Box<[u8]>,
}

impl Publication {
    fn bytes(&self) -> usize {
        self.channel.len() + self.message.len() + size_of::<Self>()
    }
}

/// The body of a publication as it travels.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    kind: u8,
    #[serde(borrow)]
    channel: Bytes<'a>,
    message: Bytes<'a>,
}

/// A publication is larger than the cluster takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of {bytes} bytes exceeds the cluster's maximum of {max}")]
pub struct PublicationTooLong {
    /// Its length.
    pub bytes: usize,
    /// The limit.
    pub max: usize,
}

/// Which part of which publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartHead {
    pub(crate) origin: ReplicaId,
    /// Which of the origin's starts.
    pub(crate) stretch: u64,
    /// Which of that one's publications, from 1 on.
    pub(crate) number: u64,
    pub(crate) index: u32,
    /// Bytes of the whole publication.
    pub(crate) total: u32,
}

impl PartHead {
    fn parts(&self) -> usize {
        (self.total as usize).div_ceil(PART_BYTES).max(1)
    }

    fn is_last(&self) -> bool {
        self.index as usize + 1 == self.parts()
    }

    /// What the whole of it costs in a queue.
    fn cost(&self) -> usize {
        self.total as usize + self.parts() * size_of::<Part>()
    }
}

/// A part on its way: a piece of bytes that all who are sent it share.
#[derive(Clone, Debug)]
struct Part {
    head: PartHead,
    body: Arc<[u8]>,
    from: usize,
}

impl Part {
    fn data(&self) -> &[u8] {
        &self.body[self.from..self.body.len().min(self.from + PART_BYTES)]
    }

    fn cost(&self) -> usize {
        self.data().len() + size_of::<Self>()
    }
}

/// What goes to one peer.
#[derive(Debug, Default)]
pub(in crate::engine) struct Outgoing {
    /// Names this run of parts, which are counted from 0.
    link: u64,
    queue: VecDeque<Part>,
    bytes: usize,
    /// The number of the first in the queue, and how many of the queue are on their way.
    first: u64,
    sent: usize,
    flight: usize,
    /// When an acknowledgement is overdue, how often it was since the last, and when that came.
    due: Option<u64>,
    tries: u32,
    heard_at: u64,
    /// The part that was sent again before it was overdue.
    hurried: Option<u64>,
    /// Of publications that come in parts: which one of an origin is taken, the part that is next, and what is to come.
    taking: BTreeMap<ReplicaId, (u64, u32, usize)>,
    reserved: usize,
}

impl Outgoing {
    /// Says whether there was room: for all parts of a publication, or none.
    fn push(&mut self, part: Part) -> bool {
        let PartHead { origin, number, index, .. } = part.head;
        let taken = self.taking.remove(&origin);
        let taken_left = taken.map_or(0, |(.., left)| left);
        self.reserved -= taken_left;
        let left = match index {
            0 => {
                let (waiting, cost) = (self.bytes + self.reserved, part.head.cost());
                Some(cost).filter(|_| waiting == 0 || waiting + cost <= QUEUE_BYTES_MAX)
            }
            _ => taken.filter(|(it, next, _)| (*it, *next) == (number, index)).map(|_| taken_left),
        };
        let Some(left) = left.map(|left| left.saturating_sub(part.cost())) else { return false };
        if !part.head.is_last() {
            self.taking.insert(origin, (number, index + 1, left));
            self.reserved += left;
        }
        self.bytes += part.cost();
        self.queue.push_back(part);
        true
    }

    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::engine) fn due(&self) -> Option<u64> {
        self.due
    }

    pub(in crate::engine) fn has_output(&self) -> bool {
        self.sent < self.queue.len() && self.flight < FLIGHT_BYTES_MAX
    }

    /// Everything that waits is dropped; says how many publications that were.
    pub(in crate::engine) fn clear(&mut self) -> u64 {
        let ends = self.queue.iter().filter(|part| part.head.is_last()).count();
        *self = Self { link: self.link, ..Self::default() };
        // What is on its way still belongs to no run any more.
        self.link += u64::from(self.link > 0);
        ends as u64
    }

    /// The next parts, as far as `push` takes them.
    pub(in crate::engine) fn send(&mut self, now: Now, rto_us: u64, mut push: impl FnMut(&Message<'_>, usize) -> bool) {
        if self.link == 0 {
            // Later starts have later times.
            self.link = now.wall << 16;
        }
        while self.has_output() {
            let (part, at) = (&self.queue[self.sent], self.first + self.sent as u64);
            let data = part.data();
            let message = Message::Part { link: self.link, at, head: part.head, data: Bytes(data) };
            if !push(&message, PART_HEAD_BYTES + data.len()) {
                return;
            }
            self.flight += part.cost();
            self.sent += 1;
            if self.due.is_none() {
                (self.due, self.heard_at) = (Some(now.mono + rto_us), now.mono);
            }
        }
    }

    /// It has all parts before `next`.
    fn heard(&mut self, now: u64, rto_us: u64, link: u64, next: u64) {
        if link != self.link || next < self.first || next > self.first + self.sent as u64 {
            return;
        }
        if next == self.first {
            // Something behind the first has arrived, so that one is lost: no need to wait until it is overdue, once.
            if self.sent > 0 && self.hurried != Some(next) {
                (self.hurried, self.sent, self.flight) = (Some(next), 0, 0);
                self.due = Some(now + rto_us);
            }
            return;
        }
        while self.first < next {
            let Some(part) = self.queue.pop_front() else { break };
            self.bytes -= part.cost();
            self.flight = self.flight.saturating_sub(part.cost());
            self.first += 1;
            self.sent -= 1;
        }
        (self.tries, self.heard_at) = (0, now);
        self.due = (self.sent > 0).then_some(now + rto_us);
    }

    /// An acknowledgement may be overdue: then all that was sent is sent again. Says whether the peer is given up.
    fn retry(&mut self, now: u64, rto_us: u64) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        if now.saturating_sub(self.heard_at) > PATIENCE_US {
            return true;
        }
        self.tries = (self.tries + 1).min(5);
        (self.sent, self.flight) = (0, 0);
        self.due = Some(now + (rto_us << self.tries));
        false
    }
}

/// What comes from one peer.
#[derive(Debug, Default)]
pub(in crate::engine) struct Incoming {
    link: u64,
    next: u64,
    unheard: u32,
    pub(in crate::engine) ack_due: Option<u64>,
}

impl Incoming {
    /// Whether a part is the next one. Of any other its sender is told which one is.
    fn take(&mut self, now: u64, link: u64, at: u64) -> bool {
        if link > self.link && at == 0 {
            *self = Self { link, ..Self::default() };
        }
        if link != self.link {
            return false; // of a run whose beginning was not seen, or that is over
        }
        let is_next = at == self.next;
        self.next += u64::from(is_next);
        self.unheard += 1;
        let due = if is_next && self.unheard < ACK_PARTS_MAX { now + ACK_DELAY_US } else { now };
        self.ack_due = Some(self.ack_due.map_or(due, |known| known.min(due)));
        is_next
    }

    /// What its sender is told.
    pub(in crate::engine) fn answer(&mut self) -> Message<'static> {
        (self.unheard, self.ack_due) = (0, None);
        Message::Heard { link: self.link, next: self.next }
    }
}

/// What was heard of one origin.
#[derive(Debug, Default)]
struct Heard {
    stretch: u64,
    /// The number of the last publication that was handed on.
    number: u64,
    /// The next one, as far as it is here: its number, its length, its bytes.
    partial: Option<(u64, u32, Vec<u8>)>,
}

/// Publications, the own ones and those of others.
#[derive(Debug, Default)]
pub(in crate::engine) struct Casts {
    stretch: u64,
    number: u64,
    /// Something was published since it was last asked what there is to send.
    pub(in crate::engine) fresh: bool,
    heard: BTreeMap<ReplicaId, Heard>,
    partial_bytes: usize,
    /// For the driver.
    whole: VecDeque<Publication>,
    whole_bytes: usize,
}

impl Casts {
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.partial_bytes + self.whole_bytes
    }

    pub(in crate::engine) fn forget(&mut self, origin: ReplicaId) {
        if let Some(Heard { partial: Some((.., bytes)), .. }) = self.heard.remove(&origin) {
            self.partial_bytes -= bytes.len();
        }
    }

    /// Takes a part in; `None` if it is none that continues what is here. Else the publication, if that is whole now, and how
    /// many before it never came.
    fn hear(&mut self, head: &PartHead, data: &[u8], bytes_max: usize) -> Option<Option<(Vec<u8>, u64)>> {
        let heard = self.heard.entry(head.origin).or_default();
        if head.stretch != heard.stretch {
            if head.stretch < heard.stretch {
                return None;
            }
            let old = std::mem::replace(heard, Heard { stretch: head.stretch, number: head.number - 1, partial: None });
            self.partial_bytes -= old.partial.map_or(0, |(.., bytes)| bytes.len());
        }
        if head.number <= heard.number {
            return None;
        }
        let begun = heard.partial.as_ref().map(|(number, ..)| *number);
        if head.index == 0 && begun.is_none_or(|begun| begun < head.number) {
            let old = heard.partial.replace((head.number, head.total, Vec::new()));
            self.partial_bytes -= old.map_or(0, |(.., bytes)| bytes.len());
        }
        let (number, total, bytes) = heard.partial.as_mut()?;
        let continues =
            *number == head.number && *total == head.total && bytes.len() == head.index as usize * PART_BYTES;
        let fits = bytes.len() + data.len() == (*total as usize).min((head.index as usize + 1) * PART_BYTES);
        if !continues || !fits || self.partial_bytes + data.len() > bytes_max {
            return None;
        }
        bytes.extend_from_slice(data);
        self.partial_bytes += data.len();
        if !head.is_last() {
            return Some(None);
        }
        let (number, _, bytes) = heard.partial.take()?;
        self.partial_bytes -= bytes.len();
        let lost = number - heard.number - 1;
        heard.number = number;
        Some(Some((bytes, lost)))
    }
}

impl Replica {
    /// Sends a message to all replicas that are alive, once: each hands it on with [`Replica::poll_publication`], in the
    /// order of this replica's publications, or never.
    ///
    /// # Errors
    /// It is larger than a value may be; nothing was sent.
    pub fn publish(&mut self, now: Now, kind: u8, channel: &[u8], message: &[u8]) -> Result<(), PublicationTooLong> {
        let (bytes, max) = (channel.len() + message.len(), self.config.limits.value_bytes_max);
        if bytes > max {
            return Err(PublicationTooLong { bytes, max });
        }
        self.counters.publications_made += 1;
        self.aim(now);
        if self.targets.is_empty() {
            return Ok(());
        }
        if self.casts.stretch == 0 {
            // Later starts have later times, whatever the clock does.
            self.casts.stretch = self.store.at(now.wall).now().max(1);
        }
        self.casts.number += 1;
        self.casts.fresh = true;
        let mut body = Vec::with_capacity(bytes + 8);
        append(&Body { kind, channel: Bytes(channel), message: Bytes(message) }, &mut body);
        let total = u32::try_from(body.len()).expect("limits keep it below 4 GiB");
        let body: Arc<[u8]> = body.into();
        let (origin, stretch, number) = (self.id(), self.casts.stretch, self.casts.number);
        for target in self.targets.clone() {
            let head = PartHead { origin, stretch, number, index: 0, total };
            for (index, from) in (0..head.parts()).map(|index| (index, index * PART_BYTES)) {
                let head = PartHead { index: u32::try_from(index).expect("as many as its bytes"), ..head };
                if !self.give(target, Part { head, body: Arc::clone(&body), from }) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The next message that another replica has published.
    pub fn poll_publication(&mut self) -> Option<Publication> {
        let publication = self.casts.whole.pop_front()?;
        self.casts.whole_bytes -= publication.bytes();
        Some(publication)
    }

    /// Whether there is something to send that was published since it was asked last.
    #[must_use]
    pub fn has_published(&self) -> bool {
        self.casts.fresh
    }

    /// Queues a part for a peer; says whether there was room.
    fn give(&mut self, to: ReplicaId, part: Part) -> bool {
        let is_first = part.head.index == 0;
        let given = self.peers.get_mut(&to).is_some_and(|peer| peer.outgoing.push(part));
        self.counters.publications_dropped += u64::from(!given && is_first);
        given
    }

    pub(in crate::engine) fn on_part(
        &mut self,
        now: Now,
        sender: ReplicaId,
        (link, at): (u64, u64),
        head: &PartHead,
        data: &[u8],
    ) {
        let is_next = self.peers.get_mut(&sender).is_some_and(|peer| peer.incoming.take(now.mono, link, at));
        let is_known = head.origin != self.id() && self.peers.contains_key(&head.origin);
        let is_sound = head.number > 0 && head.total as usize <= self.config.limits.value_bytes_max + PART_BYTES;
        if !is_next || !is_known || !is_sound {
            return;
        }
        let Some(heard) = self.casts.hear(head, data, self.config.assembly_bytes_max) else { return };
        if self.relays() {
            let children = self.place(head.origin).map(|it| it.children.clone()).unwrap_or_default();
            let body: Arc<[u8]> = data.into();
            for child in children {
                self.give(child, Part { head: *head, body: Arc::clone(&body), from: 0 });
            }
        }
        let Some((body, lost)) = heard else { return };
        self.counters.publications_lost += lost;
        let Ok(Body { kind, channel, message }) = postcard::from_bytes(&body) else { return };
        let (channel, message) = (channel.0.into(), message.0.into());
        let publication = Publication { origin: head.origin, kind, channel, message };
        if self.casts.whole_bytes + publication.bytes() > HEARD_BYTES_MAX {
            self.counters.publications_lost += 1;
            return;
        }
        self.counters.publications_heard += 1;
        self.casts.whole_bytes += publication.bytes();
        self.casts.whole.push_back(publication);
    }

    pub(in crate::engine) fn on_heard(&mut self, now: Now, sender: ReplicaId, link: u64, next: u64) {
        if let Some(peer) = self.peers.get_mut(&sender) {
            let rto = peer.rto_us();
            peer.outgoing.heard(now.mono, rto, link, next);
        }
    }

    /// Sends again what was not acknowledged in time, and gives up peers that acknowledge nothing.
    pub(in crate::engine) fn retry_casts(&mut self, now: Now) {
        let seq = self.position_sealed();
        for id in self.peers.due_at(now.mono, seq) {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let rto = peer.rto_us();
            if peer.outgoing.retry(now.mono, rto) {
                self.counters.publications_dropped += peer.outgoing.clear();
            }
        }
    }
}
