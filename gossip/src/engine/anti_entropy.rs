//! Digest rounds: two replicas compare what they have, and the one that lacks something asks for it.
//!
//! A digest is 32 bytes while replicas agree, whatever they hold. Version vectors follow only when it differs, and
//! events only for what a vector shows to be missing.

use std::ops::RangeInclusive;

use cahoots_crdt::ReplicaId;

use super::{Event, Now, Replica};
use crate::store::Fingerprint;
use crate::wire::Message;

/// Every so many rounds a dead peer is tried, so that a partition heals even if nobody noticed.
const DEAD_ROUND: u64 = 8;
/// Entries of a version vector in one message: fits a datagram.
const ENTRIES_MAX: usize = 55;

impl Replica {
    pub(super) fn gossip_round(&mut self, now: Now) {
        // Spread over a tenth of the interval, so that replicas started together do not stay in step.
        let interval = self.config.gossip_interval_us;
        let spread = usize::try_from(interval / 10).unwrap_or(usize::MAX).max(1);
        self.round_due = now.mono + interval - interval / 20 + self.random_below(spread) as u64;
        self.rounds += 1;
        self.review_held(now);
        self.collect_baselines();
        if let Some(peer) = self.choose_peer(true) {
            self.send_digest(now, peer);
        }
        if self.rounds.is_multiple_of(DEAD_ROUND)
            && let Some(peer) = self.choose_peer(false)
        {
            self.send_digest(now, peer);
        }
        self.check_clock();
    }

    fn choose_peer(&mut self, live: bool) -> Option<ReplicaId> {
        let peers: Vec<ReplicaId> = self.peers.iter().filter(|(_, it)| it.live == live).map(|(id, _)| *id).collect();
        (!peers.is_empty()).then(|| peers[self.random_below(peers.len())])
    }

    /// Tells a peer in short what is here.
    pub(super) fn send_digest(&mut self, now: Now, peer: ReplicaId) {
        let versions = self.store.version_hash().to_le_bytes();
        let fingerprint = self.store.fingerprint();
        self.log_sealed();
        self.counters.digests_sent += 1;
        let seq = self.position_sealed();
        self.tell(peer, &Message::Digest { versions, fingerprint, seq, wall_ms: now.wall });
    }

    pub(super) fn on_digest(
        &mut self,
        now: Now,
        sender: ReplicaId,
        versions: u128,
        fingerprint: Fingerprint,
        seq: u64,
        wall_ms: u64,
    ) {
        let agree = self.store.version_hash() == versions;
        let ours = self.store.fingerprint();
        self.log_sealed();
        let sealed = self.position_sealed();
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        peer.clock_offset_ms = Some(wall_ms.cast_signed().saturating_sub(now.wall.cast_signed()));
        if !agree {
            peer.agrees = Some(false);
            self.send_versions(sender, true);
            return;
        }
        if let Some(joining) = &mut self.joining {
            joining.agrees(sender, self.store.version_vector());
        }
        // It had applied exactly what is here, the buckets that are ahead included, and had nothing open.
        peer.versions = self.store.version_vector().clone();
        peer.said_seq = peer.said_seq.max(seq);
        self.counters.baselines_collected += self.store.collect_agreed_baselines(sender) as u64;
        let news = peer.agrees.replace(ours == fingerprint) != Some(true);
        self.note_ack(now, sender, sealed);
        if ours == fingerprint {
            if news {
                self.emit(Event::InSync { peer: sender });
            }
        } else {
            self.counters.fingerprint_mismatches += 1;
            self.emit(Event::FingerprintMismatch { peer: sender, ours, theirs: fingerprint });
            self.reconcile(now, sender);
        }
    }

    /// Tells a peer in full what is here, in as many messages as it takes. Seals first: the own seq told must count
    /// whatever was written before the account was given.
    pub(super) fn send_versions(&mut self, peer: ReplicaId, reply: bool) {
        self.store.seal();
        self.log_sealed();
        let ahead = u16::try_from(self.store.buckets_ahead()).unwrap_or(u16::MAX);
        let seq = self.position_sealed();
        let entries: Vec<(ReplicaId, u64)> = self.store.version_vector().iter().collect();
        let mut first = ReplicaId::new(0);
        let mut parts = entries.chunks(ENTRIES_MAX).peekable();
        loop {
            let entries = parts.next().unwrap_or_default().to_vec();
            let end = parts.peek().is_none();
            let last = match entries.last() {
                Some((last, _)) if !end => *last,
                _ => ReplicaId::new(u64::MAX),
            };
            self.counters.versions_sent += 1;
            // One answer will do.
            self.tell(peer, &Message::Versions { seq, ahead, first, last, entries, reply: reply && end });
            if end {
                return;
            }
            first = ReplicaId::new(last.get() + 1);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_versions(
        &mut self,
        now: Now,
        sender: ReplicaId,
        seq: u64,
        ahead: u16,
        range: RangeInclusive<ReplicaId>,
        entries: &[(ReplicaId, u64)],
        reply: bool,
    ) {
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        if let Some(joining) = &mut self.joining {
            joining.heard(sender, *range.start(), *range.end(), entries.iter().copied());
        }
        for (origin, seq) in entries {
            peer.versions.raise(*origin, *seq);
        }
        peer.said_seq = peer.said_seq.max(seq);
        peer.has_news = true;
        if let Some((_, acked)) = entries.iter().find(|(origin, _)| *origin == self.store.id()) {
            self.note_ack(now, sender, *acked);
        }
        let mut lacking = false;
        for (origin, seq) in entries {
            lacking |= *seq > self.store.version_vector().get(*origin);
            self.pull(now, *origin, sender, *seq);
        }
        if ahead > 0 && !lacking && *range.end() == ReplicaId::new(u64::MAX) {
            // It knows buckets further than any vector says: what is known of them travels by buckets only.
            self.reconcile(now, sender);
        }
        if reply {
            self.send_versions(sender, false);
        }
    }

    /// Drops baselines that their owners, by what they last said, cannot need any more; of own slots, by what is here.
    fn collect_baselines(&mut self) {
        self.store.seal();
        self.log_sealed();
        let (me, applied, seq) = (self.id(), self.store.version_vector().clone(), self.position_sealed());
        let own = self.store.collect_baselines(me, &applied, seq).unwrap_or_default();
        self.counters.baselines_collected += own as u64;
        for (owner, peer) in &mut self.peers {
            if !peer.has_news {
                continue;
            }
            if let Some(count) = self.store.collect_baselines(*owner, &peer.versions, peer.said_seq) {
                self.counters.baselines_collected += count as u64;
                peer.has_news = false;
            }
        }
    }

    /// Compares the own wall clock with the live peers': the lower median of all is the cluster's time, so of two
    /// that differ the one ahead stops writing, and of more a single wrong one stops nobody else.
    fn check_clock(&mut self) {
        let offsets = self.peers.values().filter(|peer| peer.live).filter_map(|peer| peer.clock_offset_ms);
        let mut offsets: Vec<i64> = offsets.chain([0]).collect();
        offsets.sort_unstable();
        let median = offsets[(offsets.len() - 1) / 2];
        let ahead_ms = median.saturating_neg().max(0).unsigned_abs();
        let ahead_ms = if ahead_ms > self.config.limits.clock_ahead_ms_max { ahead_ms } else { 0 };
        self.store.set_clock_ahead(ahead_ms);
        if (ahead_ms > 0) != (self.clock_ahead_ms > 0) {
            self.emit(Event::ClockAhead { ahead_ms });
        }
        self.clock_ahead_ms = ahead_ms;
    }
}
