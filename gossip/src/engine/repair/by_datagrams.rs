//! Requests and answers of catching up by datagrams: for peers whose streams cannot be had.
//!
//! Streams need a port of their own, and a firewall that lets the other one through is a usual mistake. Then a request goes
//! in one datagram, and its answer is put together from chunks, as large events are: the asker decides the pace. Slower
//! than a stream, and without its advantages in a wide network; but it comes to an end.
//!
//! Unlike a stream's, such an answer is kept by the peer for as long as the asker fetches it: two at most for each asker,
//! all of them within a bound, each for as long as chunks of it are asked for. What finds no room is put off; a bucket that
//! is longer than an answer may be has to wait for streams, which are tried again at once. Lost, forgotten or refused, an
//! answer is only asked for again.

use std::collections::BTreeMap;

use cahoots_crdt::ReplicaId;

use super::assembly::{Assembly, CHUNK_BYTES, EAGER_CHUNKS, chunk_count};
use crate::engine::spread::peer::Chunked;
use crate::engine::{Event, Now, Replica};
use crate::wire::{Answer, Message};

/// Bytes of an answer at most: a bucket that is longer travels by streams only.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Answers kept for one asker: as many as it has requests under way.
const ANSWERS_EACH_MAX: usize = super::reconcile::ASKS_PER_PEER_MAX;
/// An answer is kept for so long after its asker last asked for chunks of it, in microseconds: longer than the longest
/// pause between two questions.
const KEPT_US: u64 = 10_000_000;
/// When a peer that has no room for an answer is asked again, in milliseconds.
const NO_ROOM_MS: u32 = 200;
/// Questions in a row without an answer before a request has failed.
const TRIES_MAX: u32 = 6;
/// The pause before the next question doubles up to so many times.
const DOUBLINGS_MAX: u32 = 3;
/// Streams to a peer that fail in a row before datagrams take their place.
const FAILURES_MAX: u32 = 2;
/// Before streams to such a peer are tried again, in microseconds.
const STREAM_RETRY_US: u64 = 30_000_000;
/// Buckets in a request, so that it fits a datagram with room to spare.
pub(super) const SPAN_MAX: usize = 96;

/// Whether streams to a peer can be had.
#[derive(Debug, Default)]
pub(in crate::engine) struct StreamHealth {
    failures: u32,
    /// They cannot, and are not tried again before this.
    retry_at: Option<u64>,
}

impl StreamHealth {
    /// Whether a request goes by datagrams.
    fn is_bad(&mut self, now: u64) -> bool {
        if self.retry_at.is_some_and(|at| at <= now) {
            // One more failure is enough.
            (self.failures, self.retry_at) = (FAILURES_MAX - 1, None);
        }
        self.retry_at.is_some()
    }

    /// Says whether that is news.
    fn note_failure(&mut self, now: u64) -> bool {
        let first = self.failures == FAILURES_MAX - 1 && self.retry_at.is_none();
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        if self.failures == FAILURES_MAX {
            self.retry_at = Some(now + STREAM_RETRY_US);
        }
        first
    }

    pub(in crate::engine) fn note_success(&mut self) {
        *self = Self::default();
    }

    /// There is something that only streams can carry: whether they can be had again is found out now.
    fn retry(&mut self, now: u64) {
        self.retry_at = self.retry_at.map(|_| now);
    }

    /// Whether they failed when last tried.
    pub(in crate::engine) fn has_failed(&self) -> bool {
        self.retry_at.is_some()
    }
}

/// A request under way by datagrams.
#[derive(Debug)]
struct Fetch {
    peer: ReplicaId,
    body: Vec<u8>,
    /// There once a chunk of the answer has come.
    answer: Option<Assembly>,
    asked_at: u64,
    due: u64,
    /// Questions since the last chunk came.
    tries: u32,
}

/// All of them, by their numbers.
#[derive(Debug, Default)]
pub(in crate::engine) struct Fetches(BTreeMap<u64, Fetch>);

impl Fetches {
    pub(in crate::engine) fn due(&self) -> Option<u64> {
        self.0.values().map(|it| it.due).min()
    }

    /// Bytes of answers that are being put together.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.0.values().filter_map(|it| it.answer.as_ref()).map(Assembly::len).sum()
    }

    pub(in crate::engine) fn forget(&mut self, peer: ReplicaId) {
        self.0.retain(|_, it| it.peer != peer);
    }

    pub(in crate::engine) fn clear(&mut self) {
        self.0.clear();
    }
}

/// An answer kept for an asker.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    used_at: u64,
}

/// All of them, by asker and number.
#[derive(Debug, Default)]
pub(in crate::engine) struct KeptAnswers(BTreeMap<(ReplicaId, u64), Kept>);

impl KeptAnswers {
    pub(in crate::engine) fn get(&self, asker: ReplicaId, number: u64) -> Option<&[u8]> {
        self.0.get(&(asker, number)).map(|it| &it.bytes[..])
    }

    pub(in crate::engine) fn bytes(&self) -> usize {
        self.0.values().map(|it| it.bytes.len()).sum()
    }

    pub(in crate::engine) fn forget(&mut self, asker: ReplicaId) {
        self.0.retain(|(it, _), _| *it != asker);
    }

    /// Makes room for another answer to an asker. What it asked for longest ago may be from before a restart.
    fn drop_surplus(&mut self, asker: ReplicaId) {
        let range = (asker, 0)..=(asker, u64::MAX);
        while self.0.range(range.clone()).count() >= ANSWERS_EACH_MAX {
            let oldest = self.0.range(range.clone()).min_by_key(|(_, it)| it.used_at);
            let oldest = oldest.map(|(key, _)| *key).expect("there are some");
            self.0.remove(&oldest);
        }
    }
}

impl Replica {
    /// Whoever carries requests on streams knows whether those to a peer can be had: it need not find out by failing.
    pub fn note_streams(&mut self, now: Now, peer: ReplicaId, reachable: bool) {
        if reachable {
            self.peers.get_mut(&peer).into_iter().for_each(|it| it.streams.note_success());
        } else {
            (0..FAILURES_MAX).for_each(|_| self.note_stream_failure(now, peer));
        }
    }

    /// A request on a stream has no answer.
    pub(super) fn note_stream_failure(&mut self, now: Now, peer: ReplicaId) {
        if self.peers.get_mut(&peer).is_some_and(|it| it.streams.note_failure(now.mono)) {
            self.emit(Event::StreamsFail { peer });
        }
    }

    /// Whether requests to a peer go by datagrams.
    pub(super) fn goes_by_datagrams(&mut self, now: Now, peer: ReplicaId) -> bool {
        self.peers.get_mut(&peer).is_some_and(|it| it.streams.is_bad(now.mono))
    }

    /// Sends a request by datagrams.
    pub(super) fn fetch(&mut self, now: Now, number: u64, peer: ReplicaId, body: Vec<u8>) {
        debug_assert!(body.len() <= CHUNK_BYTES, "it fits a datagram");
        self.counters.asks_by_datagrams += 1;
        self.fetches.0.insert(number, Fetch { peer, body, answer: None, asked_at: now.mono, due: now.mono, tries: 0 });
        self.ask_for(now, number);
    }

    /// Asks for an answer, or for what is missing of it.
    fn ask_for(&mut self, now: Now, number: u64) {
        let Some(peer) = self.fetches.0.get(&number).map(|it| it.peer) else { return };
        let rto = self.rto_us(peer);
        let Some(fetch) = self.fetches.0.get_mut(&number) else { return };
        (fetch.asked_at, fetch.due) = (now.mono, now.mono + (rto << fetch.tries.min(DOUBLINGS_MAX)));
        fetch.tries += 1;
        let ranges = fetch.answer.as_mut().map(Assembly::next_window);
        let body = fetch.body.clone();
        match ranges {
            Some(ranges) => self.tell(peer, &Message::GetAnswer { number, ranges }),
            None => self.tell(peer, &Message::Ask { number, body: crate::bytes::Bytes(&body) }),
        }
    }

    /// Asks again where nothing has come for too long, and gives up what was asked for too often.
    pub(in crate::engine) fn retry_fetches(&mut self, now: Now) {
        let due: Vec<u64> = self.fetches.0.iter().filter(|(_, it)| it.due <= now.mono).map(|(at, _)| *at).collect();
        for number in due {
            let Some(fetch) = self.fetches.0.get_mut(&number) else { continue };
            if fetch.tries >= TRIES_MAX {
                self.fetches.0.remove(&number);
                self.handle_answer(now, number, None);
                continue;
            }
            if let Some(answer) = &mut fetch.answer {
                answer.narrow();
            }
            self.ask_for(now, number);
        }
    }

    /// Drops answers that nobody fetches any more.
    pub(super) fn review_kept_answers(&mut self, now: Now) {
        self.kept_answers.0.retain(|_, it| now.mono.saturating_sub(it.used_at) < KEPT_US);
    }

    /// The bound on answers that are kept, and on those that are put together.
    fn answers_bytes_max(&self) -> usize {
        self.config.assembly_bytes_max
    }

    /// A peer asks by a datagram.
    pub(super) fn on_ask(&mut self, now: Now, sender: ReplicaId, number: u64, body: &[u8]) {
        if self.kept_answers.get(sender, number).is_none() {
            self.kept_answers.drop_surplus(sender);
            let room = self.answers_bytes_max().saturating_sub(self.kept_answers.bytes());
            let answer = self.serve_short(now, sender, body, ANSWER_BYTES_MAX);
            let Some(answer) = answer.ok().filter(|it| it.len() <= self.answers_bytes_max()) else {
                return self.tell(sender, &Message::NoAnswer { number, refused: true });
            };
            let bytes = match answer.len() <= room {
                true => answer,
                false => Answer::Busy { after_ms: NO_ROOM_MS }.encode(),
            };
            self.kept_answers.0.insert((sender, number), Kept { bytes, used_at: now.mono });
        }
        let Some(kept) = self.kept_answers.0.get_mut(&(sender, number)) else { return };
        kept.used_at = now.mono;
        let eager = chunk_count(kept.bytes.len()).min(EAGER_CHUNKS);
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.queue_chunks(Chunked::Answer(number), 0..eager);
        }
    }

    /// A peer asks for chunks of an answer.
    pub(super) fn on_get_answer(&mut self, now: Now, sender: ReplicaId, number: u64, ranges: &[(u32, u32)]) {
        match self.kept_answers.0.get_mut(&(sender, number)) {
            Some(kept) => kept.used_at = now.mono,
            None => return self.tell(sender, &Message::NoAnswer { number, refused: false }),
        }
        self.queue_asked_chunks(sender, Chunked::Answer(number), ranges);
    }

    /// A peer has no answer to a request (any more): it is made again, unless it was refused.
    pub(super) fn on_no_answer(&mut self, now: Now, sender: ReplicaId, number: u64, refused: bool) {
        let rto = self.rto_us(sender);
        let Some(fetch) = self.fetches.0.get_mut(&number).filter(|it| it.peer == sender) else { return };
        if refused {
            self.fetches.0.remove(&number);
            self.peers.get_mut(&sender).into_iter().for_each(|it| it.streams.retry(now.mono));
            return self.handle_answer(now, number, None);
        }
        // Not at once: a peer that keeps too much goes on forgetting.
        (fetch.answer, fetch.due) = (None, now.mono + rto);
    }

    /// A chunk of an answer has come.
    pub(super) fn on_answer_chunk(
        &mut self,
        now: Now,
        sender: ReplicaId,
        number: u64,
        (index, total): (u32, u32),
        data: &[u8],
    ) {
        let (total, bytes, rto) = (total as usize, self.fetches.bytes(), self.rto_us(sender));
        let bytes_max = self.answers_bytes_max();
        let Some(fetch) = self.fetches.0.get_mut(&number).filter(|it| it.peer == sender) else { return };
        if fetch.answer.is_none() && (1..=ANSWER_BYTES_MAX).contains(&total) && bytes + total <= bytes_max {
            fetch.answer = Some(Assembly::new(sender, total, EAGER_CHUNKS, now.mono));
        }
        let Some(answer) = fetch.answer.as_mut().filter(|it| it.len() == total) else { return };
        if !answer.put(now.mono, index, data) {
            return;
        }
        let round_trip = (fetch.tries == 1).then(|| now.mono - fetch.asked_at);
        fetch.tries = 0;
        fetch.due = now.mono + rto;
        if let (Some(peer), Some(sample)) = (self.peers.get_mut(&sender), round_trip) {
            peer.note_rtt(sample);
        }
        if answer.is_whole() {
            let bytes = self.fetches.0.remove(&number).and_then(|it| it.answer).map(Assembly::into_bytes);
            return self.handle_answer(now, number, bytes.as_deref());
        }
        if answer.is_window_over(index) {
            let here = answer.bytes_here();
            self.handle_progress(now, number, here);
            self.ask_for(now, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An asker that goes on under its id may begin with a lower number than those it used before.
    #[test]
    fn of_the_answers_kept_for_one_asker_the_one_fetched_longest_ago_makes_room() {
        let [asker, other] = [1, 2].map(ReplicaId::new);
        let mut kept = KeptAnswers::default();
        for (key, used_at) in [((asker, 900), 1), ((asker, 901), 2), ((other, 1), 0)] {
            kept.0.insert(key, Kept { bytes: Vec::new(), used_at });
        }
        for (number, used_at) in [(5, 3), (6, 4)] {
            kept.drop_surplus(asker);
            kept.0.insert((asker, number), Kept { bytes: Vec::new(), used_at });
        }
        assert_eq!(kept.0.keys().collect::<Vec<_>>(), [&(asker, 5), &(asker, 6), &(other, 1)]);
    }
}
