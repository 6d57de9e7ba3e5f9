//! Events too large for a datagram, put together from chunks.
//!
//! The receiver decides the pace: it asks for a window of missing chunks, and for the next when those have come, or
//! again after a while. The window doubles when all of it came and halves when some did not. A peer that answers
//! nothing, or no longer has the event, is left for another peer that has it: an event is the same bytes everywhere.
//! Memory is bounded; what does not fit or stops growing is given up, and asked for again later. What can never fit is
//! fetched by buckets: an event may be much longer than what its group wrote, and must not block its origin here.

use std::collections::BTreeMap;

use cahoots_crdt::{Dot, Observed, ReplicaId, VersionVector};

use crate::engine::spread::peer::{Chunked, Peer, RTO_UNKNOWN_US};
use crate::engine::{Now, Replica};
use crate::wire::Message;

/// Bytes of a chunk, the last of an event excepted. Part of the protocol; leaves room in 1200 bytes for all headers.
pub(in crate::engine) const CHUNK_BYTES: usize = 1024;
/// Chunks of a large event that are sent unasked.
pub(in crate::engine) const EAGER_CHUNKS: u32 = 16;
const WINDOW_LEAST: u32 = 8;
const WINDOW_MOST: u32 = 256;
/// Ranges in one request: as many as fit a datagram.
const RANGES_MAX: usize = 64;
/// No more than so many events are put together at a time.
const ASSEMBLIES_MAX: usize = 256;
/// Requests to one peer without a chunk in answer before another is asked.
const TRIES_EACH: u32 = 2;
/// Peers that may say that they do not have an event before it is given up.
const REFUSALS_MAX: u32 = 8;

pub(in crate::engine) fn chunk_count(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK_BYTES)).expect("limits keep events below 4 GiB")
}

/// The bytes of chunk `index`, which exists.
pub(in crate::engine) fn chunk_of(bytes: &[u8], index: u32) -> &[u8] {
    let start = index as usize * CHUNK_BYTES;
    &bytes[start..bytes.len().min(start + CHUNK_BYTES)]
}

#[derive(Debug)]
pub(super) struct Assembly {
    /// Who sends it.
    from: ReplicaId,
    data: Vec<u8>,
    /// One flag per chunk.
    here: Vec<bool>,
    /// Chunks below this are here.
    whole_to: u32,
    missing: u32,
    /// Chunks below this were asked for, or come unasked.
    asked: u32,
    window: u32,
    /// When to ask again.
    due: u64,
    /// Requests since the last chunk came.
    tries: u32,
    /// Peers that did not have it, since the last chunk came.
    refusals: u32,
    progress_at: u64,
}

impl Assembly {
    pub(super) fn new(from: ReplicaId, total: usize, eager: u32, now: u64) -> Self {
        let chunks = chunk_count(total);
        Self {
            from,
            data: vec![0; total],
            here: vec![false; chunks as usize],
            whole_to: 0,
            missing: chunks,
            asked: eager.min(chunks),
            window: 4 * WINDOW_LEAST,
            due: now,
            tries: 0,
            refusals: 0,
            progress_at: now,
        }
    }

    /// Its bytes when it is whole.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// About how many of them are here.
    pub(super) fn bytes_here(&self) -> usize {
        self.data.len().saturating_sub(self.missing as usize * CHUNK_BYTES)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.data
    }

    /// Chunk `index` has come; says whether to ask for more now: all of the window is here, or its last one is, so that what
    /// is missing was lost, or overtaken.
    pub(super) fn is_window_over(&mut self, index: u32) -> bool {
        if self.all_asked_are_here() {
            self.window = (self.window * 2).min(WINDOW_MOST);
            return true;
        }
        index + 1 == self.asked
    }

    /// Some of a window did not come: the next is shorter.
    pub(super) fn narrow(&mut self) {
        self.window = (self.window / 2).max(WINDOW_LEAST);
    }

    /// Takes a chunk in; says whether it was missing.
    pub(super) fn put(&mut self, now: u64, index: u32, data: &[u8]) -> bool {
        let start = index as usize * CHUNK_BYTES;
        let known = self.here.get(index as usize);
        if known != Some(&false) || data.len() != CHUNK_BYTES.min(self.data.len() - start) {
            return false;
        }
        self.data[start..start + data.len()].copy_from_slice(data);
        self.here[index as usize] = true;
        self.missing -= 1;
        while self.here.get(self.whole_to as usize) == Some(&true) {
            self.whole_to += 1;
        }
        (self.tries, self.refusals) = (0, 0);
        self.progress_at = now;
        true
    }

    fn all_asked_are_here(&self) -> bool {
        self.whole_to >= self.asked
    }

    /// The next window of missing chunks, as ranges; raises `asked` to its end.
    pub(super) fn next_window(&mut self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut left = self.window;
        for (index, here) in (self.whole_to..).zip(&self.here[self.whole_to as usize..]) {
            if *here {
                continue;
            }
            let full = ranges.len() == RANGES_MAX;
            match ranges.last_mut().filter(|(first, count)| first + count == index) {
                Some((_, count)) => *count += 1,
                None if full => break,
                None => ranges.push((index, 1)),
            }
            self.asked = self.asked.max(index + 1);
            left -= 1;
            if left == 0 {
                break;
            }
        }
        ranges
    }
}

#[derive(Debug)]
pub(in crate::engine) struct Assemblies {
    events: BTreeMap<Dot, Assembly>,
    bytes: usize,
    bytes_max: usize,
}

impl Assemblies {
    pub(in crate::engine) fn new(bytes_max: usize) -> Self {
        Self { events: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::engine) fn contains(&self, event: Dot) -> bool {
        self.events.contains_key(&event)
    }

    pub(in crate::engine) fn due(&self) -> Option<u64> {
        self.events.values().map(|it| it.due).min()
    }

    pub(in crate::engine) fn forget(&mut self, peer: ReplicaId) {
        let gone: Vec<Dot> = self.events.iter().filter(|(_, it)| it.from == peer).map(|(event, _)| *event).collect();
        gone.iter().for_each(|event| drop(self.remove(*event)));
    }

    /// Drops what is put together of events that are applied already, having come another way.
    fn drop_known(&mut self, applied: &VersionVector) {
        let known: Vec<Dot> = self.events.keys().copied().filter(|event| applied.covers(*event)).collect();
        known.iter().for_each(|event| drop(self.remove(*event)));
    }

    fn remove(&mut self, event: Dot) -> Option<Vec<u8>> {
        let assembly = self.events.remove(&event)?;
        self.bytes -= assembly.data.len();
        Some(assembly.data)
    }
}

impl Replica {
    /// A chunk has arrived.
    pub(in crate::engine) fn on_chunk(
        &mut self,
        now: Now,
        sender: ReplicaId,
        event: Dot,
        index: u32,
        total: u32,
        data: &[u8],
    ) {
        let total = total as usize;
        if !self.expects(now, sender, event, total) {
            return;
        }
        if !self.assemblies.contains(event) {
            let full = self.assemblies.bytes + total > self.assemblies.bytes_max;
            if full || self.assemblies.events.len() == ASSEMBLIES_MAX {
                self.counters.assemblies_dropped += 1;
                return;
            }
            let mut assembly = Assembly::new(sender, total, EAGER_CHUNKS, now.mono);
            assembly.due = now.mono + self.rto_us(sender);
            self.assemblies.bytes += total;
            self.assemblies.events.insert(event, assembly);
        }
        let known = self.assemblies.events.get_mut(&event);
        let Some(assembly) = known.filter(|it| it.data.len() == total) else { return };
        if !assembly.put(now.mono, index, data) {
            return;
        }
        assembly.from = sender;
        if !assembly.is_whole() {
            if assembly.is_window_over(index) {
                self.ask_chunks(now, event);
            }
            return;
        }
        let Some(bytes) = self.assemblies.remove(event) else { return };
        self.counters.events_assembled += 1;
        self.on_event(now, sender, event, &bytes, true);
    }

    /// Whether an event of this size is of use.
    fn expects(&mut self, now: Now, sender: ReplicaId, event: Dot, total: usize) -> bool {
        let origin = event.replica;
        if event.seq <= self.store.version_vector().get(origin) || self.held.contains(event) {
            self.counters.events_known += 1;
            if let Some(peer) = self.peers.get_mut(&sender).filter(|_| origin == sender) {
                peer.owe_ack(now.mono, false);
            }
            return false;
        }
        if total > self.event_bytes_max() {
            self.reconcile(now, sender, Some(event));
            return false;
        }
        total > 0
    }

    /// The largest event that is put together. Contexts and headers seldom more than double what a group writes; but of
    /// a million small keys, each of which takes the place of others' cells, more is to be said than it is itself.
    fn event_bytes_max(&self) -> usize {
        let usual = (2 * self.config.limits.group_bytes_max).saturating_add(1 << 20);
        usual.min(self.config.assembly_bytes_max)
    }

    /// A transfer has brought events that were being put together: nothing more is asked of them, and there is room again.
    pub(in crate::engine) fn settle_assemblies(&mut self) {
        self.assemblies.drop_known(self.store.version_vector());
    }

    fn ask_chunks(&mut self, now: Now, event: Dot) {
        let Some(assembly) = self.assemblies.events.get_mut(&event) else { return };
        let from = assembly.from;
        let ranges = assembly.next_window();
        assembly.tries += 1;
        assembly.due = now.mono + self.peers.get(&from).map_or(RTO_UNKNOWN_US, Peer::rto_us);
        self.tell(from, &Message::GetChunks { event, ranges });
    }

    pub(in crate::engine) fn retry_assemblies(&mut self, now: Now) {
        let due: Vec<Dot> =
            self.assemblies.events.iter().filter(|(_, it)| it.due <= now.mono).map(|it| *it.0).collect();
        for event in due {
            let Some(assembly) = self.assemblies.events.get_mut(&event) else { continue };
            if now.mono.saturating_sub(assembly.progress_at) > self.config.patience_us {
                self.give_up_assembly(event);
                continue;
            }
            assembly.narrow();
            if assembly.tries > 0 && assembly.tries.is_multiple_of(TRIES_EACH) {
                self.turn_assembly(event);
            }
            self.ask_chunks(now, event);
        }
    }

    /// Lets another peer that has the event serve the rest of it; says whether there is one.
    fn turn_assembly(&mut self, event: Dot) -> bool {
        let holders = self.holders(event);
        let Some(assembly) = self.assemblies.events.get_mut(&event) else { return false };
        let next = holders.iter().find(|id| **id > assembly.from).or(holders.first());
        let Some(next) = next.filter(|next| **next != assembly.from) else { return false };
        assembly.from = *next;
        true
    }

    fn give_up_assembly(&mut self, event: Dot) {
        if self.assemblies.remove(event).is_some() {
            self.reach.clear();
            self.counters.assemblies_dropped += 1;
        }
    }

    /// A peer asks for chunks.
    pub(in crate::engine) fn on_get_chunks(&mut self, sender: ReplicaId, event: Dot, ranges: &[(u32, u32)]) {
        self.queue_asked_chunks(sender, Chunked::Event(event), ranges);
    }

    pub(super) fn queue_asked_chunks(&mut self, sender: ReplicaId, of: Chunked, ranges: &[(u32, u32)]) {
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        // It asks for all it lacks: what still waits from an earlier request has come, or is asked for again.
        peer.chunks.retain(|(it, _)| *it != of);
        for (first, count) in ranges {
            peer.queue_chunks(of, (*first..first.saturating_add(*count)).take(WINDOW_MOST as usize));
        }
    }

    /// A peer no longer has the event it was asked for.
    pub(in crate::engine) fn on_no_event(&mut self, now: Now, sender: ReplicaId, event: Dot) {
        let Some(assembly) = self.assemblies.events.get_mut(&event).filter(|it| it.from == sender) else { return };
        assembly.refusals += 1;
        if assembly.refusals < REFUSALS_MAX && self.turn_assembly(event) {
            self.ask_chunks(now, event);
        } else {
            self.give_up_assembly(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::engine::ReplicaConfig;
    use crate::store::{BUCKETS, Store};
    use crate::wire::Answer;

    /// Else what no longer comes would take the place of what does for as long as patience lasts.
    #[test]
    fn an_event_that_came_by_a_transfer_is_put_together_no_more() {
        let now = Now { mono: 0, wall: 1_700_000_000_000 };
        let (me, peer) = (ReplicaId::new(1), ReplicaId::new(2));
        let config = ReplicaConfig { assembly_bytes_max: 5_000, ..ReplicaConfig::default() };
        let mut replica = Replica::new(config, me, now);
        replica.peer_up(now, peer, SocketAddr::from(([127, 0, 0, 1], 2)), crate::Zone::default());
        let mut theirs = Store::new(peer, crate::Limits::default(), 1_024);
        let mut write = |value: u8| {
            theirs.write(now.wall, 0, |w| w.set(b"key", &[value; 3_000])).expect("admitted");
            theirs.seal();
            (theirs.poll_sealed().expect("sealed").body, theirs.clone())
        };
        let (first, mut after_first) = write(1);
        let length = |body: &[u8]| u32::try_from(body.len()).expect("short");
        replica.on_chunk(now, peer, Dot::new(peer, 1), 0, length(&first), chunk_of(&first, 0));
        assert_eq!(replica.assemblies.events.len(), 1);

        replica.reconcile(now, peer, Some(Dot::new(peer, 1)));
        let ask = replica.poll_ask().expect("it asks");
        let (transfer, next) = after_first.encode_transfer(0, &vec![1; BUCKETS], usize::MAX, usize::MAX);
        let next = u16::try_from(next).expect("few buckets");
        let answer = Answer::Buckets { next, transfer: crate::bytes::Bytes(&transfer) }.encode();
        replica.handle_answer(now, ask.number, Some(&answer));
        assert_eq!(replica.store().version_vector().get(peer), 1);
        assert_eq!((replica.assemblies.events.len(), replica.assemblies.bytes), (0, 0));

        let (second, _) = write(2);
        for index in 0..chunk_count(second.len()) {
            replica.on_chunk(now, peer, Dot::new(peer, 2), index, length(&second), chunk_of(&second, index));
        }
        assert_eq!(replica.store().version_vector().get(peer), 2, "there was room for it");
    }

    #[test]
    fn chunks_in_any_order_and_twice_make_the_event() {
        let event: Vec<u8> = (0..5 * CHUNK_BYTES + 7).map(|it| it.to_le_bytes()[0]).collect();
        let mut assembly = Assembly::new(ReplicaId::new(1), event.len(), 2, 0);
        assert_eq!(assembly.next_window(), [(0, 6)]);
        for index in [5, 0, 3, 3, 1, 4, 2] {
            assembly.put(1, index, chunk_of(&event, index));
        }
        assert_eq!((assembly.missing, assembly.whole_to), (0, 6));
        assert!(assembly.all_asked_are_here() && assembly.next_window().is_empty());
        assert_eq!(assembly.data, event);
    }

    #[test]
    fn a_chunk_of_a_wrong_place_or_size_is_not_taken() {
        let mut assembly = Assembly::new(ReplicaId::new(1), CHUNK_BYTES + 1, 2, 0);
        assert!(!assembly.put(0, 2, &[0]));
        assert!(!assembly.put(0, 1, &[0, 0]));
        assert!(!assembly.put(0, 0, &[0]));
        assert!(assembly.put(0, 1, &[9]));
        assert_eq!(assembly.next_window(), [(0, 1)]);
    }
}
