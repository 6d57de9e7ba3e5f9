//! Catching up bucket by bucket, when a peer's log no longer reaches back to what is missing.
//!
//! One pass asks a peer for all buckets in order, a run at a time, showing fingerprints so that equal ones cost
//! nothing. There is no session on the other side: it keeps the last transfer per peer while its chunks are fetched,
//! and forgets it for the next. A pass that breaks off loses nothing; what was joined stays joined.

use std::collections::BTreeMap;

use cahoots_crdt::ReplicaId;

use super::{Event, Now, Record, Replica};
use crate::store::{BUCKETS, TransferError};
use crate::wire::{Blob, Message};

/// Buckets asked for at a time: as many fingerprints as fit a datagram with room to spare.
const RUN_BUCKETS: usize = 96;
/// Requests without an answer before the pass is given up.
const TRIES_MAX: u32 = 5;
/// Least time between two passes over one peer, in microseconds.
const PAUSE_US: u64 = 1_000_000;

/// A pass over the buckets of one peer.
#[derive(Debug)]
pub(super) struct Reconciliation {
    pub(super) peer: ReplicaId,
    /// The request under way.
    pub(super) request: u64,
    /// The first bucket not fetched yet.
    next: usize,
    /// When to ask again.
    pub(super) due: u64,
    tries: u32,
    joined: usize,
}

/// Transfers that peers are fetching: the last one asked for, for each.
#[derive(Debug)]
pub(super) struct Transfers {
    kept: BTreeMap<ReplicaId, (u64, Vec<u8>)>,
    bytes_max: usize,
}

impl Transfers {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { kept: BTreeMap::new(), bytes_max }
    }

    pub(super) fn get(&self, peer: ReplicaId, request: u64) -> Option<&[u8]> {
        self.kept.get(&peer).filter(|(it, _)| *it == request).map(|(_, bytes)| &**bytes)
    }

    pub(super) fn forget(&mut self, peer: ReplicaId) {
        self.kept.remove(&peer);
    }

    /// Keeps a transfer for `peer`, in place of its last one; others go if there is no room.
    fn keep(&mut self, peer: ReplicaId, request: u64, bytes: Vec<u8>) {
        self.kept.remove(&peer);
        while self.kept.values().map(|(_, it)| it.len()).sum::<usize>() + bytes.len() > self.bytes_max {
            if self.kept.pop_first().is_none() {
                break; // one bucket larger than the bound still has to be served
            }
        }
        self.kept.insert(peer, (request, bytes));
    }
}

impl Replica {
    /// Begins a pass over the buckets of `peer`, unless one is under way or was a moment ago.
    pub(super) fn reconcile(&mut self, now: Now, peer: ReplicaId) {
        let Some(known) = self.peers.get_mut(&peer).filter(|_| self.reconciliation.is_none()) else { return };
        if known.reconciled_at.is_some_and(|at| now.mono.saturating_sub(at) < PAUSE_US) {
            return;
        }
        known.reconciled_at = Some(now.mono);
        self.counters.reconciliations += 1;
        self.reconciliation = Some(Reconciliation { peer, request: 0, next: 0, due: now.mono, tries: 0, joined: 0 });
        self.emit(Event::CatchingUp { peer });
        self.ask_buckets(now);
    }

    /// Asks for the next run of buckets.
    fn ask_buckets(&mut self, now: Now) {
        let Some(it) = &mut self.reconciliation else { return };
        let (peer, first) = (it.peer, it.next);
        self.assemblies.remove(Blob::Transfer { request: it.request });
        self.requests += 1;
        it.request = self.requests;
        let wait = self.peers.get(&peer).map_or(100_000, super::Peer::rto_us).max(50_000);
        it.due = now.mono + (wait << it.tries.min(3));
        let request = it.request;
        let fingerprints = self.store.bucket_fingerprints(first, (first + RUN_BUCKETS).min(BUCKETS));
        self.log_sealed();
        let first = u16::try_from(first).expect("BUCKETS fits 16 bits");
        self.tell(peer, &Message::GetBuckets { request, first, fingerprints });
    }

    pub(super) fn retry_reconciliation(&mut self, now: Now) {
        let Some(it) = self.reconciliation.as_mut().filter(|it| it.due <= now.mono) else { return };
        if self.assemblies.is_growing(Blob::Transfer { request: it.request }, now.mono) {
            it.due = now.mono + PAUSE_US; // chunks are coming; their own timer asks for them
            return;
        }
        it.tries += 1;
        if it.tries > TRIES_MAX {
            self.end_reconciliation(now, false);
        } else {
            self.ask_buckets(now);
        }
    }

    /// A peer asks for buckets.
    pub(super) fn on_get_buckets(&mut self, sender: ReplicaId, request: u64, first: u16, fingerprints: &[u64]) {
        let first = usize::from(first);
        if first >= BUCKETS || fingerprints.is_empty() {
            return;
        }
        let (transfer, next) = self.store.encode_transfer(first, fingerprints, self.config.transfer_bytes);
        self.log_sealed();
        let mut bytes = u16::try_from(next).expect("BUCKETS fits 16 bits").to_le_bytes().to_vec();
        bytes.extend_from_slice(&transfer);
        let chunks = super::assembly::chunk_count(bytes.len()).min(super::assembly::EAGER_CHUNKS);
        self.transfers.keep(sender, request, bytes);
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.chunks.retain(|(blob, _)| !matches!(blob, Blob::Transfer { .. }));
            peer.queue_chunks(Blob::Transfer { request }, 0..chunks);
        }
    }

    /// A transfer has arrived, whole.
    pub(super) fn on_transfer(&mut self, now: Now, sender: ReplicaId, bytes: &[u8]) {
        let Some(first) = self.reconciliation.as_ref().filter(|it| it.peer == sender).map(|it| it.next) else { return };
        let Some((next, transfer)) = bytes.split_first_chunk::<2>() else { return };
        let next = usize::from(u16::from_le_bytes(*next));
        let joined = match self.store.join_transfer(transfer, now.wall) {
            Ok(joined) if next > first && next <= BUCKETS => joined,
            Err(TransferError::OwnId) => {
                self.identity_conflict(sender);
                return self.end_reconciliation(now, false);
            }
            Err(TransferError::Early { ahead_ms }) => {
                self.emit(Event::OriginEarly { origin: sender, ahead_ms });
                return self.end_reconciliation(now, false);
            }
            refused => {
                let reason = refused.map_or_else(|error| error.to_string(), |_| "transfer out of order".into());
                self.counters.rejected += 1;
                self.emit(Event::Rejected { peer: sender, reason });
                return self.end_reconciliation(now, false);
            }
        };
        self.log_sealed();
        self.record(|| Record::Transfer(transfer.into()));
        self.counters.buckets_joined += joined.joined as u64;
        self.counters.buckets_equal += joined.equal as u64;
        self.counters.buckets_stale += joined.stale as u64;
        if let Some(it) = &mut self.reconciliation {
            it.next = next;
            it.tries = 0;
            it.joined += joined.joined;
        }
        self.release_held(now);
        if next == BUCKETS { self.end_reconciliation(now, true) } else { self.ask_buckets(now) }
    }

    fn end_reconciliation(&mut self, now: Now, complete: bool) {
        let Some(it) = self.reconciliation.take() else { return };
        self.assemblies.remove(Blob::Transfer { request: it.request });
        let done: Vec<ReplicaId> = self.pulls.keys().copied().collect();
        done.into_iter().for_each(|origin| self.settle_pull(origin));
        if complete {
            self.emit(Event::CaughtUp { peer: it.peer, buckets: it.joined });
            self.send_digest(now, it.peer);
        }
    }
}
