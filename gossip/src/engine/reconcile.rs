//! Catching up bucket by bucket, when no log reaches back to what is missing.
//!
//! A *pass* is a list of buckets still to be fetched. Runs of them are asked for, with fingerprints so that equal ones
//! cost nothing, of up to [`PEERS_MAX`] peers at a time that are known to have what is missing; each answer is joined
//! when it comes, whatever comes of the others. What is not answered goes back on the list, for another peer.
//!
//! Each bucket has a version vector of its own, so answers of different peers, of different times and in any order are
//! exact. A pass that breaks off loses nothing, and the next one leaves out the buckets it has fetched. Nothing is
//! ever completed by a pass: digests with the peers asked come after it, and logs close the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cahoots_crdt::{Dot, ReplicaId};

use super::{Event, Now, Replica};
use crate::store::{BUCKETS, TransferError};
use crate::wire::{Answer, Request};

/// Peers asked at a time. With more, each sends less than it could, and every one of them spends time on it.
const PEERS_MAX: usize = 3;
/// Requests under way to one peer: while one answer is joined here, the next is read there.
const ASKS_PER_PEER_MAX: usize = 2;
/// Requests under way to all of them.
pub(super) const ASKS_MAX: usize = PEERS_MAX * ASKS_PER_PEER_MAX;
/// Buckets in one request: their fingerprints are 1.2 kB. More are asked for only while all are answered at once.
const SPAN_MAX: usize = 128;
const SPAN_FIRST: usize = 16;
/// Requests to one peer that may fail in a row before it is left out of the pass.
const STRIKES_MAX: u32 = 2;
/// Least time between two passes for the sake of one peer, in microseconds.
const PAUSE_US: u64 = 1_000_000;
/// How long a peer that is busy is left alone at most, in microseconds, whatever it says.
const BUSY_MOST_US: u64 = 5_000_000;

/// A request to one peer, to be carried by a reliable stream and answered by that peer's [`Replica::serve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its number, for [`Replica::handle_answer`].
    pub number: u64,
    /// Whom it is for.
    pub peer: ReplicaId,
    /// What to give to its [`Replica::serve`].
    pub body: Vec<u8>,
}

/// A peer as a pass sees it.
#[derive(Debug, Default)]
struct Source {
    /// Requests that failed since the last that did not.
    strikes: u32,
    /// It is busy until then.
    free_at: u64,
}

#[derive(Debug)]
pub(super) struct Reconciliation {
    /// For whose sake the pass is made.
    lead: ReplicaId,
    /// An event that the lead, and whoever else is asked, has in every bucket. Without one only the lead is asked:
    /// something about its state differs that no version vector shows.
    target: Option<Dot>,
    left: BTreeSet<usize>,
    under_way: BTreeMap<u64, (ReplicaId, Range<usize>)>,
    /// Everyone asked in this pass.
    sources: BTreeMap<ReplicaId, Source>,
    /// Buckets to ask for at a time: what an answer has been seen to hold, and some more.
    span: usize,
    /// When a bucket was last joined.
    progress_at: u64,
    /// When to look again without an answer having come.
    pub(super) due: u64,
    joined: usize,
    /// How many buckets more may be fetched again because they changed while the answer was under way.
    stale_left: usize,
}

impl Reconciliation {
    fn asks_of(&self, peer: ReplicaId) -> usize {
        self.under_way.values().filter(|(it, _)| *it == peer).count()
    }

    fn is_out(&self, peer: ReplicaId) -> bool {
        self.sources.get(&peer).is_some_and(|it| it.strikes >= STRIKES_MAX)
    }

    fn strike(&mut self, peer: ReplicaId, strikes: u32) {
        self.sources.entry(peer).or_default().strikes += strikes;
    }

    /// Takes what was asked of `peer` back on the list, and asks it no more.
    fn give_up(&mut self, peer: ReplicaId) {
        let left = &mut self.left;
        self.under_way.retain(|_, (it, run)| {
            if *it == peer {
                left.extend(run.clone());
            }
            *it != peer
        });
        self.strike(peer, STRIKES_MAX);
        self.due = 0;
    }

    /// The next run of buckets to ask for.
    fn take_run(&mut self) -> Option<Range<usize>> {
        let first = self.left.pop_first()?;
        let mut run = first..first + 1;
        while run.len() < self.span && self.left.remove(&run.end) {
            run.end += 1;
        }
        Some(run)
    }
}

impl Replica {
    /// The next request to a peer. Each must be answered by [`Replica::handle_answer`], within a bounded time.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// The answer to request `number`; `None` if the stream broke, took too long, or the peer cannot be reached.
    pub fn handle_answer(&mut self, now: Now, number: u64, answer: Option<&[u8]>) {
        let Some((peer, run)) = self.reconciliation.as_mut().and_then(|it| it.under_way.remove(&number)) else {
            return; // given up meanwhile
        };
        self.counters.bytes_fetched += answer.map_or(0, <[u8]>::len) as u64;
        let first = run.start;
        if let Some(it) = &mut self.reconciliation {
            it.left.extend(run.clone()); // what an answer holds is taken off again
        }
        match answer.map(Answer::decode) {
            Some(Ok(Answer::Buckets { next, transfer })) if run.contains(&(usize::from(next).wrapping_sub(1))) => {
                self.on_transfer(now, peer, first..next.into(), run.len(), transfer.0);
            }
            Some(Ok(Answer::Busy { after_ms })) => {
                self.counters.asks_busy += 1;
                if let Some(it) = &mut self.reconciliation {
                    let wait = (u64::from(after_ms) * 1_000).min(BUSY_MOST_US);
                    it.sources.entry(peer).or_default().free_at = now.mono + wait;
                }
            }
            Some(_) => self.refuse_source(peer, "an answer to something else".into()),
            None => {
                self.counters.asks_failed += 1;
                if let Some(it) = &mut self.reconciliation {
                    it.strike(peer, 1);
                }
            }
        }
        self.ask_on(now);
    }

    /// Begins a pass: `lead` has `target` in every bucket, or differs in a way that only its buckets show. Nothing
    /// happens while a pass is under way, or if one for the same peer was a moment ago.
    pub(super) fn reconcile(&mut self, now: Now, lead: ReplicaId, target: Option<Dot>) {
        let Some(known) = self.peers.get_mut(&lead).filter(|_| self.reconciliation.is_none()) else { return };
        if known.reconciled_at.is_some_and(|at| now.mono.saturating_sub(at) < PAUSE_US) {
            return;
        }
        let left: BTreeSet<usize> = match target {
            Some(event) => self.store.buckets_without(event).collect(),
            None => (0..BUCKETS).collect(),
        };
        if left.is_empty() {
            return;
        }
        known.reconciled_at = Some(now.mono);
        self.counters.reconciliations += 1;
        self.reconciliation = Some(Reconciliation {
            lead,
            target,
            left,
            under_way: BTreeMap::new(),
            sources: BTreeMap::new(),
            span: SPAN_FIRST,
            progress_at: now.mono,
            due: now.mono,
            joined: 0,
            stale_left: BUCKETS,
        });
        self.emit(Event::CatchingUp { peer: lead });
        self.ask_on(now);
    }

    pub(super) fn retry_reconciliation(&mut self, now: Now) {
        let Some(it) = self.reconciliation.as_ref().filter(|it| it.due <= now.mono) else { return };
        if now.mono.saturating_sub(it.progress_at) >= self.config.patience_us {
            self.end_reconciliation(now);
        } else {
            self.ask_on(now);
        }
    }

    /// A peer is dead or gone: others are asked.
    pub(super) fn drop_source(&mut self, peer: ReplicaId) {
        if let Some(it) = &mut self.reconciliation {
            it.give_up(peer);
        }
        self.asks.retain(|ask| ask.peer != peer);
    }

    /// Hands out what is left to peers that have room, and ends the pass if there is nothing left or nobody to ask.
    fn ask_on(&mut self, now: Now) {
        while let Some((peer, run)) = self.next_ask(now) {
            let fingerprints = self.store.bucket_fingerprints(run.start, run.end);
            self.log_sealed();
            let first = u16::try_from(run.start).expect("BUCKETS fits 16 bits");
            let body = Request::Buckets { first, fingerprints }.encode();
            self.asks_made += 1;
            self.counters.asks_made += 1;
            let number = self.asks_made;
            let Some(it) = &mut self.reconciliation else { return };
            it.sources.entry(peer).or_default();
            it.under_way.insert(number, (peer, run));
            self.asks.push_back(Ask { number, peer, body });
        }
        let Some(it) = &self.reconciliation else { return };
        let waiting = it.sources.iter().filter(|(id, source)| !it.is_out(**id) && source.free_at > now.mono);
        let waiting = waiting.map(|(_, source)| source.free_at).min().filter(|_| !it.left.is_empty());
        if it.under_way.is_empty() && waiting.is_none() {
            return self.end_reconciliation(now);
        }
        let patience_end = it.progress_at + self.config.patience_us;
        let due = waiting.unwrap_or(u64::MAX).min(patience_end);
        if let Some(it) = &mut self.reconciliation {
            it.due = due;
        }
    }

    /// The next run of buckets and the peer to ask for it, if some peer has room.
    fn next_ask(&mut self, now: Now) -> Option<(ReplicaId, Range<usize>)> {
        let it = self.reconciliation.as_ref().filter(|it| !it.left.is_empty())?;
        let has_target = |peer: &super::Peer| it.target.is_some_and(|dot| peer.versions.get(dot.replica) >= dot.seq);
        let fits = |id: ReplicaId| {
            let peer = self.peers.get(&id);
            peer.is_some_and(|peer| id == it.lead || (peer.live && has_target(peer))) && !it.is_out(id)
        };
        let asked: Vec<ReplicaId> = it.sources.keys().copied().filter(|id| fits(*id)).collect();
        let room = |id: ReplicaId| {
            let known = it.sources.contains_key(&id) || asked.len() < PEERS_MAX;
            known && it.sources.get(&id).is_none_or(|source| source.free_at <= now.mono)
        };
        // Whoever has least to do; the lead before the others.
        let candidates = self.peers.keys().copied().filter(|id| fits(*id) && room(*id));
        let (asks, _, peer) = candidates.map(|id| (it.asks_of(id), id != it.lead, id)).min()?;
        if asks >= ASKS_PER_PEER_MAX {
            return None;
        }
        let run = self.reconciliation.as_mut()?.take_run()?;
        Some((peer, run))
    }

    /// Buckets `held` have come, of so many asked for.
    fn on_transfer(&mut self, now: Now, peer: ReplicaId, held: Range<usize>, asked: usize, transfer: &[u8]) {
        let joined = match self.store.join_transfer(transfer, now.wall) {
            Ok(joined) => joined,
            Err(TransferError::OwnId) => {
                self.identity_conflict(peer);
                return self.drop_source(peer);
            }
            Err(TransferError::Early { ahead_ms }) => {
                self.emit(Event::OriginEarly { origin: peer, ahead_ms });
                return self.drop_source(peer);
            }
            Err(error) => return self.refuse_source(peer, error.to_string()),
        };
        self.log_sealed();
        self.counters.buckets_joined += joined.joined as u64;
        self.counters.buckets_equal += joined.equal as u64;
        self.counters.buckets_stale += joined.stale.len() as u64;
        if let Some(it) = &mut self.reconciliation {
            it.sources.entry(peer).or_default().strikes = 0;
            it.span = if held.len() == asked { it.span * 2 } else { held.len() * 2 }.clamp(1, SPAN_MAX);
            it.progress_at = now.mono;
            it.joined += joined.joined;
            it.left.retain(|bucket| !held.contains(bucket));
            let again = joined.stale.len().min(it.stale_left);
            it.stale_left -= again;
            it.left.extend(&joined.stale[..again]);
        }
        self.release_held(now);
    }

    /// A peer's answer was refused: it is not asked again in this pass.
    fn refuse_source(&mut self, peer: ReplicaId, reason: String) {
        self.counters.rejected += 1;
        self.emit(Event::Rejected { peer, reason });
        self.drop_source(peer);
    }

    fn end_reconciliation(&mut self, now: Now) {
        let Some(it) = self.reconciliation.take() else { return };
        self.asks.retain(|ask| !it.under_way.contains_key(&ask.number));
        let left = it.left.len() + it.under_way.values().map(|(_, run)| run.len()).sum::<usize>();
        let origins: Vec<ReplicaId> = self.pulls.keys().copied().collect();
        origins.into_iter().for_each(|origin| self.settle_pull(origin));
        if left > 0 {
            self.emit(Event::CatchUpBroken { peer: it.lead, buckets: it.joined, left });
            return;
        }
        self.emit(Event::CaughtUp { peer: it.lead, buckets: it.joined });
        it.sources.keys().for_each(|peer| self.send_digest(now, *peer));
    }
}
