//! Answering what peers ask on reliable streams.
//!
//! An answer is read from the store in one piece, given out and forgotten: nothing is kept for the asker, and it
//! costs nothing if the stream breaks. What is given out in a second may be bounded, in total and for each peer.
//!
//! A bucket travels whole, so an answer is as long as the largest bucket. The driver says how long an answer may be
//! at the moment; a bucket that is longer is not read at all, and is asked for again a little later.

use cahoots_crdt::ReplicaId;

use crate::bytes::Bytes;
use crate::engine::{Now, Replica};
use crate::store::{Sketch, Snapshot};
use crate::wire::{ANSWER_BYTES_MAX, Answer, Refusal, Request};

/// How far answers may run ahead of the bound, in microseconds: a second's worth at once after a second of silence.
const BURST_US: u64 = 1_000_000;

/// When to ask again a replica whose id is in doubt, in milliseconds: a few round trips settle that.
const DOUBT_MS: u32 = 200;

/// When to ask again for a bucket that is too long at the moment, in milliseconds. So long the asker is held up with
/// others, too; it asks for those first.
const LONG_MS: u32 = 200;

/// A bound on bytes given out per second (a leaky bucket): the time from which the next answer is within it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Allowance {
    free_at: u64,
}

impl Allowance {
    /// Notes that so many bytes were given out. A single answer may overdraw: it delays the next one for longer.
    fn spend(&mut self, now: u64, bytes: usize, per_second: Option<u64>) {
        let Some(per_second) = per_second else { return };
        let cost = (bytes as u64).saturating_mul(1_000_000) / per_second.max(1);
        self.free_at = self.free_at.max(now.saturating_sub(BURST_US)).saturating_add(cost);
    }
}

/// What is answered to a peer.
#[derive(Clone, Debug)]
pub enum Served {
    /// This.
    Whole(Vec<u8>),
    /// What this says, after a while.
    Apart(Box<Reading>),
}

impl Served {
    /// What it is, read now if it was not yet.
    ///
    /// # Errors
    /// It is longer than any answer can be.
    pub fn bytes(self) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Whole(bytes) if bytes.len() <= ANSWER_BYTES_MAX => Ok(bytes),
            Self::Whole(_) => Err(Refusal::TooLong),
            Self::Apart(reading) => reading.read(),
        }
    }

    fn bytes_about(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Apart(reading) => reading.snapshot.memory(),
        }
    }
}

/// A copy of a bucket, to be written as an answer. Needs nothing of the replica any more.
#[derive(Clone, Debug)]
pub struct Reading {
    next: u16,
    snapshot: Snapshot,
}

impl Reading {
    /// The answer. O(the bucket): a second for every 400 MB.
    ///
    /// # Errors
    /// It is longer than any answer can be.
    pub fn read(self) -> Result<Vec<u8>, Refusal> {
        let Self { next, snapshot } = self;
        let transfer = snapshot.encode();
        drop(snapshot);
        let answer = Answer::Buckets { next, transfer: Bytes(&transfer) }.encode();
        if answer.len() <= ANSWER_BYTES_MAX { Ok(answer) } else { Err(Refusal::TooLong) }
    }
}

impl Replica {
    /// The answer to what `from` asks. Seals the window.
    ///
    /// # Errors
    /// Its sender is no peer, or it is malformed; counted, and nothing was touched.
    pub fn serve(&mut self, now: Now, from: ReplicaId, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.serve_short(now, from, body, usize::MAX)
    }

    /// As [`Replica::serve`], with no bucket in it that takes more than about `long_bytes`: a peer that asks for one is
    /// told to ask again later.
    ///
    /// # Errors
    /// As [`Replica::serve`].
    pub fn serve_short(
        &mut self,
        now: Now,
        from: ReplicaId,
        body: &[u8],
        long_bytes: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let bytes_max = long_bytes.min(ANSWER_BYTES_MAX);
        self.serve_counted(now, from, body, |replica, request| {
            // What a bucket takes here is about what it takes in an answer.
            match replica.read(request, bytes_max).filter(|answer| answer.len() <= bytes_max) {
                Some(answer) => Ok(Served::Whole(answer)),
                None if bytes_max == ANSWER_BYTES_MAX => Err(Refusal::TooLong),
                None => Ok(Served::Whole(Answer::Busy { after_ms: LONG_MS }.encode())),
            }
        })
        .and_then(Served::bytes)
    }

    /// As [`Replica::serve`], where a long bucket may be given out: it is copied, to be written elsewhere while this
    /// replica goes on.
    ///
    /// # Errors
    /// As [`Replica::serve`].
    pub fn serve_long(&mut self, now: Now, from: ReplicaId, body: &[u8], long_bytes: usize) -> Result<Served, Refusal> {
        self.serve_counted(now, from, body, |replica, request| {
            if let Some(answer) = replica.read(request, long_bytes.min(ANSWER_BYTES_MAX)) {
                return Ok(Served::Whole(answer));
            }
            match request {
                Request::Buckets { first, .. } if replica.store.is_longer((*first).into(), ANSWER_BYTES_MAX) => {
                    Err(Refusal::TooLong)
                }
                Request::Buckets { first, .. } => {
                    let snapshot = replica.store.snapshot((*first).into());
                    replica.log_sealed();
                    Ok(Served::Apart(Box::new(Reading { next: first + 1, snapshot })))
                }
                Request::Differences(_) => {
                    replica.read(request, ANSWER_BYTES_MAX).map(Served::Whole).ok_or(Refusal::TooLong)
                }
            }
        })
    }

    fn serve_counted(
        &mut self,
        now: Now,
        from: ReplicaId,
        body: &[u8],
        answer: impl FnOnce(&mut Self, &Request) -> Result<Served, Refusal>,
    ) -> Result<Served, Refusal> {
        let answer = self.answer(now, from, body, answer);
        match &answer {
            Ok(_) => self.counters.asks_answered += 1,
            Err(refusal) => *self.counters.refused.entry(*refusal).or_default() += 1,
        }
        answer
    }

    fn answer(
        &mut self,
        now: Now,
        from: ReplicaId,
        body: &[u8],
        answer: impl FnOnce(&mut Self, &Request) -> Result<Served, Refusal>,
    ) -> Result<Served, Refusal> {
        let peer = self.peers.get(&from).ok_or(Refusal::UnknownPeer)?;
        let request = Request::decode(body)?;
        if self.store.is_doubted() {
            // What is here under the own id may have to be moved to another first.
            return Ok(Served::Whole(Answer::Busy { after_ms: DOUBT_MS }.encode()));
        }
        let free_at = self.allowance.free_at.max(peer.allowance.free_at);
        if free_at > now.mono {
            let after_ms = u32::try_from((free_at - now.mono).div_ceil(1_000)).unwrap_or(u32::MAX);
            return Ok(Served::Whole(Answer::Busy { after_ms }.encode()));
        }
        let answer = answer(self, &request)?;
        let bytes = answer.bytes_about();
        self.counters.bytes_answered += bytes as u64;
        self.allowance.spend(now.mono, bytes, self.config.serve_bytes_per_second);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.allowance.spend(now.mono, bytes, self.config.serve_bytes_per_second_each);
        }
        Ok(answer)
    }

    /// `None` if the first bucket takes more than about `long_bytes`.
    fn read(&mut self, request: &Request, long_bytes: usize) -> Option<Vec<u8>> {
        match request {
            Request::Buckets { first, fingerprints, whole } => {
                self.answer_buckets(*first, &fingerprints.0, *whole, long_bytes)
            }
            Request::Differences(sketch) => self.answer_differences(sketch, long_bytes),
        }
    }

    fn answer_buckets(&mut self, first: u16, fingerprints: &[u64], whole: bool, long_bytes: usize) -> Option<Vec<u8>> {
        let whole_bytes_max = if whole { usize::MAX } else { self.config.refine_bytes_min };
        let (first, bytes_max) = (usize::from(first), self.config.transfer_bytes);
        let (transfer, next) =
            self.store.encode_transfer_within(first, fingerprints, bytes_max, whole_bytes_max, long_bytes);
        self.log_sealed();
        let held = u16::try_from(next).expect("BUCKETS fits 16 bits");
        (next > first).then(|| Answer::Buckets { next: held, transfer: Bytes(&transfer) }.encode())
    }

    fn answer_differences(&mut self, sketch: &Sketch, long_bytes: usize) -> Option<Vec<u8>> {
        let differences = self.store.encode_differences_within(sketch, self.config.transfer_bytes, long_bytes);
        self.log_sealed();
        let Some((transfer, count)) = differences else { return Some(Answer::Undecoded.encode()) };
        let held = u16::try_from(count).expect("BUCKETS fits 16 bits");
        (count > 0).then(|| Answer::Differences { count: held, transfer: Bytes(&transfer) }.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_silence_a_seconds_worth_goes_at_once_and_then_the_rate_holds() {
        let mut allowance = Allowance::default();
        let (begin, rate) = (60_000_000, Some(1_000));
        for _ in 0..10 {
            assert!(allowance.free_at <= begin);
            allowance.spend(begin, 100, rate);
        }
        assert!(allowance.free_at <= begin, "a second's worth");
        allowance.spend(begin, 3_000, rate);
        assert_eq!(allowance.free_at, begin + 3_000_000, "one answer may overdraw, and the next waits");
        allowance.spend(begin, 1 << 40, None);
        assert_eq!(allowance.free_at, begin + 3_000_000, "without a bound nothing is counted");
    }
}
