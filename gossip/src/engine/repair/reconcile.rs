//! Catching up bucket by bucket, when no log reaches back to what is missing.
//!
//! A *pass* is a list of buckets still to be fetched (`work`). Some at a time are asked for, with fingerprints so that
//! equal ones cost nothing and with sketches so that large ones cost what they differ in, of up to [`PEERS_MAX`] peers at
//! a time that are known to have what is missing; each answer is joined when it comes, whatever comes of the others. What
//! is not answered goes back on the list, for another peer.
//!
//! Each bucket has a version vector of its own, so answers of different peers, of different times and in any order are
//! exact. A pass that breaks off loses nothing, and the next one leaves out the buckets it has fetched. Nothing is
//! ever completed by a pass: digests with the peers asked come after it, and logs close the rest.

use std::collections::{BTreeMap, BTreeSet};

use cahoots_crdt::{Dot, ReplicaId};

use super::by_datagrams::SPAN_MAX;
use super::work::{Batch, Differing, Work};
use crate::engine::{Event, Now, Record, Replica};
use crate::store::{BUCKETS, Joined, TransferError};
use crate::wire::{Answer, Fingerprints, Request};

/// Peers asked at a time. With more, each sends less than it could, and every one of them spends time on it.
const PEERS_MAX: usize = 3;
/// Requests under way to one peer: while one answer is joined here, the next is read there.
pub(super) const ASKS_PER_PEER_MAX: usize = 2;
/// Requests under way to all of them.
pub(in crate::engine) const ASKS_MAX: usize = PEERS_MAX * ASKS_PER_PEER_MAX;
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

/// A request that waits for its answer.
#[derive(Debug)]
struct UnderWay {
    peer: ReplicaId,
    batch: Batch,
    by_datagrams: bool,
}

#[derive(Debug)]
pub(in crate::engine) struct Reconciliation {
    /// For whose sake the pass is made.
    lead: ReplicaId,
    /// An event that the lead, and every other peer that is asked, has in every bucket. Without one only the lead is
    /// asked: something about its state differs that no version vector shows.
    target: Option<Dot>,
    left: Work,
    under_way: BTreeMap<u64, UnderWay>,
    /// Everyone asked in this pass.
    sources: BTreeMap<ReplicaId, Source>,
    /// When a bucket was last joined.
    progress_at: u64,
    /// When to look again without an answer having come.
    pub(in crate::engine) due: u64,
    joined: usize,
}

impl Reconciliation {
    fn asks_of(&self, peer: ReplicaId) -> usize {
        self.under_way.values().filter(|it| it.peer == peer).count()
    }

    fn is_out(&self, peer: ReplicaId) -> bool {
        self.sources.get(&peer).is_some_and(|it| it.strikes >= STRIKES_MAX)
    }

    fn strike(&mut self, peer: ReplicaId, strikes: u32) {
        self.sources.entry(peer).or_default().strikes += strikes;
    }

    /// Takes what was asked of `peer` back on the list, and asks it no more.
    fn give_up(&mut self, peer: ReplicaId) {
        for (_, it) in self.under_way.extract_if(.., |_, it| it.peer == peer) {
            self.left.put_back(it.batch);
        }
        self.strike(peer, STRIKES_MAX);
        self.due = 0;
    }
}

impl Replica {
    /// The next request to a peer. Each must be answered by [`Replica::handle_answer`], within a bounded time.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// The answer to request `number`; `None` if the stream broke, took too long, or the peer cannot be reached.
    pub fn handle_answer(&mut self, now: Now, number: u64, answer: Option<&[u8]>) {
        self.see_time(now);
        let Some(it) = &mut self.reconciliation else { return };
        let Some(UnderWay { peer, batch, by_datagrams }) = it.under_way.remove(&number) else { return }; // given up meanwhile
        self.counters.bytes_fetched += answer.map_or(0, <[u8]>::len) as u64;
        if let Some(known) = self.peers.get_mut(&peer).filter(|_| answer.is_some() && !by_datagrams) {
            known.streams.note_success();
        }
        match (answer.map(Answer::decode), batch) {
            (Some(Ok(Answer::Buckets { next, transfer })), batch @ Batch::Run { .. }) => {
                let Batch::Run { run, .. } = &batch else { unreachable!("matched") };
                let held = usize::from(next).saturating_sub(run.start);
                self.on_transfer(now, peer, batch, held, transfer.0);
            }
            (Some(Ok(Answer::Differences { count, transfer })), batch @ Batch::Differing { .. }) => {
                self.on_transfer(now, peer, batch, count.into(), transfer.0);
            }
            (Some(Ok(Answer::Undecoded)), batch @ Batch::Differing { .. }) => {
                self.counters.differences_undecoded += 1;
                it.left.undecoded(batch);
            }
            (Some(Ok(Answer::Busy { after_ms })), batch) => {
                self.counters.asks_busy += 1;
                let wait = (u64::from(after_ms) * 1_000).min(BUSY_MOST_US);
                it.sources.entry(peer).or_default().free_at = now.mono + wait;
                it.left.put_off(batch);
            }
            (Some(_), batch) => {
                it.left.put_back(batch);
                self.refuse_source(peer, "an answer to something else".into());
            }
            (None, batch) => {
                self.counters.asks_failed += 1;
                it.left.put_off(batch);
                if by_datagrams {
                    it.strike(peer, 1);
                } else {
                    self.note_stream_failure(now, peer);
                }
            }
        }
        self.ask_on(now);
    }

    /// Of the answer to request `number`, which is a long one, so many bytes are here: no reason to lose patience. The
    /// driver, which carries it, sees to it that it moves at a pace that is worth the wait.
    pub fn handle_progress(&mut self, now: Now, number: u64, bytes: usize) {
        let Some(it) = self.reconciliation.as_mut().filter(|it| it.under_way.contains_key(&number)) else { return };
        it.progress_at = now.mono;
        if let Some(joining) = &mut self.joining {
            joining.note_bytes(now.mono, bytes as u64);
        }
    }

    /// Whether buckets come in, or have until a moment ago. A pass that no peer answers, and the next after it, fetch
    /// nothing.
    pub(in crate::engine) fn is_fetching(&self) -> bool {
        self.reconciliation.is_some() && self.fetching
    }

    /// Begins a pass: `lead` has `target` in every bucket, or differs in a way that only its buckets show. Nothing
    /// happens while a pass is under way, or if one for the same peer was a moment ago.
    pub(in crate::engine) fn reconcile(&mut self, now: Now, lead: ReplicaId, target: Option<Dot>) {
        let Some(known) = self.peers.get_mut(&lead).filter(|_| self.reconciliation.is_none()) else { return };
        if known.reconciled_at.is_some_and(|at| now.mono.saturating_sub(at) < PAUSE_US) {
            return;
        }
        let left = match target {
            Some(event) => Work::new(self.store.buckets_without(event), self.config.transfer_bytes),
            None => Work::new(0..BUCKETS, self.config.transfer_bytes),
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
            progress_at: now.mono,
            due: now.mono,
            joined: 0,
        });
        self.emit(Event::CatchingUp { peer: lead });
        self.ask_on(now);
    }

    pub(in crate::engine) fn retry_reconciliation(&mut self, now: Now) {
        let Some(it) = self.reconciliation.as_ref().filter(|it| it.due <= now.mono) else { return };
        if now.mono.saturating_sub(it.progress_at) >= self.config.patience_us {
            // The driver, which carries streams, may have more patience than this replica.
            let silent: BTreeSet<ReplicaId> =
                it.under_way.values().filter(|it| !it.by_datagrams).map(|it| it.peer).collect();
            silent.into_iter().for_each(|peer| self.note_stream_failure(now, peer));
            self.end_reconciliation(now);
        } else {
            self.ask_on(now);
        }
    }

    /// A peer is dead or gone: others are asked.
    pub(in crate::engine) fn drop_source(&mut self, peer: ReplicaId) {
        if let Some(it) = &mut self.reconciliation {
            it.give_up(peer);
        }
        self.asks.retain(|ask| ask.peer != peer);
        self.fetches.forget(peer);
    }

    /// Hands out what is left to peers that have room, and ends the pass if there is nothing left or no peer to ask.
    fn ask_on(&mut self, now: Now) {
        while let Some((peer, batch, by_datagrams)) = self.next_ask(now) {
            self.asks_made += 1;
            self.counters.asks_made += 1;
            let number = self.asks_made;
            let body = self.request(&batch, number).encode();
            let Some(it) = &mut self.reconciliation else { return };
            it.sources.entry(peer).or_default();
            it.under_way.insert(number, UnderWay { peer, batch, by_datagrams });
            if by_datagrams {
                self.fetch(now, number, peer, body);
            } else {
                self.asks.push_back(Ask { number, peer, body });
            }
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

    fn request(&mut self, batch: &Batch, number: u64) -> Request {
        let request = match batch {
            Batch::Run { run, whole } => {
                let fingerprints = self.store.bucket_fingerprints(run.start, run.end);
                let first = u16::try_from(run.start).expect("BUCKETS fits 16 bits");
                Request::Buckets { first, fingerprints: Fingerprints(fingerprints), whole: *whole }
            }
            Batch::Differing { buckets, symbols } => {
                let buckets = buckets.iter().map(|(bucket, _)| *bucket);
                Request::Differences(self.store.sketch(buckets, *symbols, self.id().get() ^ number))
            }
        };
        self.log_sealed();
        request
    }

    /// The next buckets and the peer to ask for them, if some peer has room.
    fn next_ask(&mut self, now: Now) -> Option<(ReplicaId, Batch, bool)> {
        let it = self.reconciliation.as_ref().filter(|it| !it.left.is_empty())?;
        let has_target =
            |peer: &crate::engine::Peer| it.target.is_some_and(|dot| peer.versions.get(dot.replica) >= dot.seq);
        let fits = |id: ReplicaId| {
            let peer = self.peers.get(&id);
            peer.is_some_and(|peer| id == it.lead || (peer.live && has_target(peer))) && !it.is_out(id)
        };
        let asked: Vec<ReplicaId> = it.sources.keys().copied().filter(|id| fits(*id)).collect();
        let room = |id: ReplicaId| {
            let known = it.sources.contains_key(&id) || asked.len() < PEERS_MAX;
            known && it.sources.get(&id).is_none_or(|source| source.free_at <= now.mono)
        };
        // The peer that has least to do; the lead before the others.
        let candidates = self.peers.keys().copied().filter(|id| fits(*id) && room(*id));
        let (asks, _, peer) = candidates.map(|id| (it.asks_of(id), id != it.lead, id)).min()?;
        if asks >= ASKS_PER_PEER_MAX {
            return None;
        }
        let by_datagrams = self.goes_by_datagrams(now, peer);
        let left = &mut self.reconciliation.as_mut()?.left;
        let batch = if by_datagrams { left.take_few(SPAN_MAX) } else { left.take() };
        Some((peer, batch?, by_datagrams))
    }

    /// The first `held` of the buckets asked for have come.
    fn on_transfer(&mut self, now: Now, peer: ReplicaId, batch: Batch, held: usize, transfer: &[u8]) {
        let joined = match self.join_answer(&batch, held, transfer) {
            Ok(joined) => joined,
            Err(error) => {
                if let Some(it) = &mut self.reconciliation {
                    it.left.put_back(batch);
                }
                match error {
                    TransferError::OwnId => {
                        self.identity_conflict(peer);
                        self.drop_source(peer);
                    }
                    error => self.refuse_source(peer, error.to_string()),
                }
                return;
            }
        };
        self.log_sealed();
        if joined.joined + joined.equal > 0 {
            self.record(|| Record::Transfer(transfer.into()));
        }
        self.counters.buckets_joined += joined.joined as u64;
        self.counters.buckets_refined += joined.refined as u64;
        self.counters.buckets_equal += joined.equal as u64;
        self.counters.buckets_stale += joined.stale.len() as u64;
        let store = &self.store;
        let Some(it) = &mut self.reconciliation else { return };
        it.sources.entry(peer).or_default().strikes = 0;
        it.progress_at = now.mono;
        it.joined += joined.joined;
        self.fetching |= joined.joined > 0;
        if let Batch::Differing { .. } = batch {
            self.counters.differences_stale += joined.stale.len() as u64;
            it.left.refined(batch, held, transfer.len(), (joined.refined, joined.items), &joined.stale);
        } else {
            let differing = joined.differing.iter();
            let differing = differing.map(|(bucket, keys)| (*bucket, Differing::new(*keys, store.bucket_len(*bucket))));
            it.left.compared(batch, held, joined.equal, &joined.stale, differing);
        }
        self.settle_assemblies();
        self.release_held(now);
    }

    /// Joins an answer, if it is one to what was asked for.
    fn join_answer(&mut self, batch: &Batch, held: usize, transfer: &[u8]) -> Result<Joined, TransferError> {
        if held == 0 || held > batch.len() {
            return Err(TransferError::Illegal("none of the buckets asked for"));
        }
        let joined = self.store.join_transfer(transfer)?;
        // Joined already, which does no harm; but asking on would never end.
        match batch {
            Batch::Run { whole: false, .. } => Ok(joined),
            _ if joined.differing.is_empty() => Ok(joined),
            _ => Err(TransferError::Illegal("that buckets differ was known")),
        }
    }

    /// A peer's answer was refused: it is not asked again in this pass.
    fn refuse_source(&mut self, peer: ReplicaId, reason: String) {
        self.counters.rejected += 1;
        self.emit(Event::Rejected { peer, reason });
        self.drop_source(peer);
    }

    fn end_reconciliation(&mut self, now: Now) {
        let Some(it) = self.reconciliation.take() else { return };
        self.fetching = it.joined > 0;
        self.asks.retain(|ask| !it.under_way.contains_key(&ask.number));
        self.fetches.clear();
        let left = it.left.len() + it.under_way.values().map(|it| it.batch.len()).sum::<usize>();
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::bytes::Bytes;
    use crate::engine::ReplicaConfig;
    use crate::store::Store;
    use crate::wire::{Envelope, Kind, Message};

    const FAR: ReplicaId = ReplicaId::new(9);
    const WALL: u64 = 1_700_000_000_000;

    fn addr(index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], if index == 0 { 1 } else { 2 }))
    }

    fn id(index: usize) -> ReplicaId {
        ReplicaId::new(index as u64 + 1)
    }

    fn event(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut store = Store::new(FAR, crate::Limits::default(), 1_024);
        store
            .write(WALL, 0, |w| pairs.iter().for_each(|(key, value)| w.set(key.as_bytes(), value.as_bytes()).unwrap()));
        store.seal();
        store.poll_sealed().unwrap().body
    }

    fn text(replica: &Replica, key: &str) -> Option<Vec<u8>> {
        replica.store().at(0).view(key.as_bytes())?.text().map(|it| it.into_owned())
    }

    #[test]
    fn unequal_states_at_equal_vectors_are_told_with_both_sides_and_mended_by_their_differences() {
        let mut now = Now { mono: 0, wall: WALL };
        let config = ReplicaConfig { refine_bytes_min: 0, ..ReplicaConfig::default() };
        let mut replicas = [0, 1].map(|index| Replica::new(config.clone(), id(index), now));
        // One event, as two replicas remember it whose memory is not to be trusted.
        let remembered = [
            event(&[("same", "1"), ("here", "1"), ("here too", "1"), ("value", "right")]),
            event(&[("same", "1"), ("there", "1"), ("value", "wrong")]),
        ];
        for (index, body) in remembered.iter().enumerate() {
            let (me, peer) = (id(index), id(1 - index));
            replicas[index].peer_up(now, peer, addr(1 - index), crate::Zone::default());
            let event = Message::Event { origin: FAR, seq: 1, body: Bytes(body) };
            let payload = [&Message::head(peer, me)[..], &event.encode()].concat();
            let datagram = Envelope::new(&config.cluster, None, peer, 0).wrap(Kind::Engine, &payload);
            replicas[index].handle_datagram(now, addr(1 - index), &datagram).expect("well formed");
        }
        let fingerprints = replicas.each_mut().map(|it| it.status().fingerprint);
        assert_ne!(fingerprints[0], fingerprints[1]);
        let mut told = Vec::new();
        for _ in 0..100 {
            now.mono += 100_000;
            for from in 0..2 {
                replicas[from].handle_timeout(now);
                while let Some(ask) = replicas[from].poll_ask() {
                    let answer = replicas[1 - from].serve(now, id(from), &ask.body).expect("a peer asks");
                    replicas[from].handle_answer(now, ask.number, Some(&answer));
                }
                while let Some(transmit) = replicas[from].poll_transmit(now) {
                    for datagram in transmit.datagrams() {
                        replicas[1 - from].handle_datagram(now, addr(from), datagram).expect("well formed");
                    }
                }
                told.extend(std::iter::from_fn(|| replicas[from].poll_event()));
            }
        }
        let both = |event: &Event| match event {
            Event::FingerprintMismatch { ours, theirs, .. } => {
                fingerprints.contains(ours) && fingerprints.contains(theirs)
            }
            _ => false,
        };
        assert!(told.iter().any(both), "{told:?}");
        let counters = replicas.each_mut().map(|it| it.status().counters);
        assert!(counters.iter().any(|it| it.fingerprint_mismatches > 0 && it.buckets_refined > 0), "{counters:?}");
        assert_eq!(replicas[0].status().fingerprint, replicas[1].status().fingerprint);
        for replica in &mut replicas {
            assert!(replica.fingerprints_are_exact());
            assert_eq!(replica.status().peers[0].agrees, Some(true));
            assert_eq!(text(replica, "same").as_deref(), Some(&b"1"[..]));
            assert_eq!(replica.store().len(), 2, "what one side lacks counts as removed");
        }
        assert_eq!(text(&replicas[0], "value"), text(&replicas[1], "value"), "one of the two, whichever");
    }

    /// For a while a peer keeps an answer that went by datagrams, under its asker's id and the request's number.
    #[test]
    fn a_replica_that_goes_on_under_its_id_numbers_its_requests_otherwise_than_before() {
        let now = Now { mono: 0, wall: WALL };
        let numbers = [7 << 40, 9 << 40].map(|nonce_salt| {
            let config = ReplicaConfig { nonce_salt, ..ReplicaConfig::default() };
            let store = Store::new(id(0), config.limits.clone(), 1_024);
            let mut replica = Replica::resume(config, store, id(0), now);
            replica.peer_up(now, id(1), addr(1), crate::Zone::default());
            replica.reconcile(now, id(1), None);
            replica.poll_ask().expect("it asks").number
        });
        assert_ne!(numbers[0], numbers[1]);
    }

    /// It tries again and again, and is told from one that fetches: what it has is still asked for.
    #[test]
    fn a_replica_that_fetches_in_vain_gives_what_it_has_only_in_some_buckets() {
        const SECOND: u64 = 1_000_000;
        let mut now = Now { mono: 0, wall: WALL };
        let mut replicas = [0, 1].map(|index| Replica::new(ReplicaConfig::default(), id(index), now));
        // An event of two buckets, of which each has one. Its writer is gone.
        let mut far = Store::new(FAR, crate::Limits::default(), 1_024);
        far.write(WALL, 0, |w| ["one", "other"].iter().for_each(|key| w.set(key.as_bytes(), b"1").unwrap()));
        let mut touched = (0..BUCKETS).filter(|bucket| far.bucket_len(*bucket) > 0).collect::<Vec<_>>().into_iter();
        for (index, replica) in replicas.iter_mut().enumerate() {
            let bucket = touched.next().expect("two");
            let (transfer, _) = far.encode_transfer(bucket, &[0], usize::MAX, usize::MAX);
            replica.store.join_transfer(&transfer).unwrap();
            assert_eq!((replica.store.buckets_ahead(), replica.store.len()), (1, 1));
            replica.peer_up(now, id(1 - index), addr(1 - index), crate::Zone::default());
        }
        let mut in_vain: Vec<(u64, Ask)> = Vec::new();
        while replicas[1].store.len() < 2 {
            now.mono += SECOND / 20;
            assert!(now.mono < 300 * SECOND, "{:?}", replicas.map(|it| it.counters));
            for from in 0..2 {
                replicas[from].handle_timeout(now);
                while let Some(ask) = replicas[from].poll_ask() {
                    if from == 0 {
                        // No stream of its comes through.
                        in_vain.push((now.mono + 10 * SECOND, ask));
                        continue;
                    }
                    let answer = replicas[1 - from].serve(now, id(from), &ask.body).expect("a peer asks");
                    replicas[from].handle_answer(now, ask.number, Some(&answer));
                }
                while let Some(transmit) = replicas[from].poll_transmit(now) {
                    for datagram in transmit.datagrams() {
                        replicas[1 - from].handle_datagram(now, addr(from), datagram).expect("well formed");
                    }
                }
            }
            for (_, ask) in in_vain.extract_if(.., |(due, _)| *due <= now.mono) {
                replicas[0].handle_answer(now, ask.number, None);
            }
        }
        assert!(now.mono < 60 * SECOND, "{} us", now.mono);
        assert!(replicas[0].counters.asks_made > 0);
    }
}
