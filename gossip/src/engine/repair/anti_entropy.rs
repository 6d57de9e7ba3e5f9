//! Digest rounds: two replicas compare what they have, and the one that lacks something asks for it.
//!
//! A digest is 32 bytes while replicas agree, whatever they hold. Version vectors follow only when it differs
//! (`versions`), and events only for what a vector shows to be missing.

use cahoots_crdt::ReplicaId;

use crate::engine::{Event, Now, Replica};
use crate::store::Fingerprint;
use crate::wire::Message;

/// Every so many rounds a dead peer is tried, so that a partition heals even if no member noticed.
const DEAD_ROUND: u64 = 8;

impl Replica {
    pub(in crate::engine) fn gossip_round(&mut self, now: Now) {
        // Spread over a tenth of the interval, so that replicas started together do not stay in step.
        let interval = self.config.gossip_interval_us;
        let spread = usize::try_from(interval / 10).unwrap_or(usize::MAX).max(1);
        self.round_due = now.mono + interval - interval / 20 + self.random_below(spread) as u64;
        self.rounds += 1;
        self.review_held(now);
        self.review_kept_answers(now);
        self.collect_baselines();
        if self.store.is_doubted() {
            self.examine(now);
        } else if let Some(peer) = self.choose_peer(true) {
            self.send_digest(now, peer);
        }
        if self.rounds.is_multiple_of(DEAD_ROUND)
            && let Some(peer) = self.choose_peer(false)
        {
            self.send_digest(now, peer);
        }
        self.review_clock(now);
    }

    fn choose_peer(&mut self, live: bool) -> Option<ReplicaId> {
        let peers: Vec<ReplicaId> = self.peers.iter().filter(|(_, it)| it.live == live).map(|(id, _)| *id).collect();
        (!peers.is_empty()).then(|| peers[self.random_below(peers.len())])
    }

    /// Tells a peer in short what is here.
    pub(in crate::engine) fn send_digest(&mut self, now: Now, peer: ReplicaId) {
        if self.store.is_doubted() {
            return self.send_versions(peer, true); // asks for what the peer has, and tells nothing that is in doubt
        }
        let versions = self.store.version_hash().to_le_bytes();
        let fingerprint = self.store.fingerprint();
        self.log_sealed();
        self.counters.digests_sent += 1;
        let seq = self.position_sealed();
        self.tell(peer, &Message::Digest { versions, fingerprint, seq, wall_ms: now.wall });
    }

    pub(in crate::engine) fn on_digest(
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
        self.note_clock(now, sender, wall_ms);
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        if !agree {
            peer.agrees = Some(false);
            self.send_versions(sender, true);
            return;
        }
        if let Some(joining) = &mut self.joining {
            joining.agrees(sender);
        }
        if let Some(hand_over) = &mut self.hand_over {
            hand_over.agrees(sender);
        }
        // It had applied exactly what is here, the buckets that are ahead included, and had nothing open.
        peer.said_seq = peer.said_seq.max(seq);
        self.counters.baselines_collected += self.store.collect_agreed_baselines(sender) as u64;
        let news = peer.agrees.replace(ours == fingerprint) != Some(true);
        self.note_ack(now, sender, sealed);
        self.note_heard(sender);
        if ours == fingerprint {
            if news {
                self.emit(Event::InSync { peer: sender });
            }
        } else {
            self.counters.fingerprint_mismatches += 1;
            self.emit(Event::FingerprintMismatch { peer: sender, ours, theirs: fingerprint });
            self.reconcile(now, sender, None);
        }
    }

    /// Drops baselines that their owners, by what they last said, cannot need any more; of own slots, by what is here.
    fn collect_baselines(&mut self) {
        self.store.seal();
        self.log_sealed();
        self.counters.baselines_collected += self.store.collect_agreed_baselines(self.id()) as u64;
        let news: Vec<ReplicaId> = self.peers.iter().filter(|(_, it)| it.has_news).map(|it| *it.0).collect();
        for owner in news {
            let peer = self.peers.get_mut(&owner).expect("it was just seen");
            if let Some(count) = self.store.collect_baselines(owner, &peer.versions, peer.said_seq) {
                self.counters.baselines_collected += count as u64;
                peer.has_news = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::engine::ReplicaConfig;
    use crate::store::{BUCKETS, Store};

    const WALL: u64 = 1_700_000_000_000;

    /// No version vector of the owner's covers the event that reset the slot: that died with its writer.
    #[test]
    fn an_owner_drops_the_baseline_of_a_reset_that_is_known_in_one_bucket_only() {
        let mut now = Now { mono: 0, wall: WALL };
        let mut owner = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), now);
        let mut writer = Store::new(ReplicaId::new(2), Limits::default(), 1_024);
        owner.write(now, 0, |w| w.add(b"k", 1)).unwrap();
        let (all, _) = owner.store.encode_transfer(0, &[0; BUCKETS], usize::MAX, usize::MAX);
        writer.join_transfer(&all).unwrap();
        let bucket = (0..BUCKETS).find(|bucket| writer.bucket_len(*bucket) == 1).unwrap();
        writer.write(WALL, 0, |w| {
            w.delete(b"k").unwrap();
            w.set(b"elsewhere", b"1").unwrap();
        });
        let (one, _) = writer.encode_transfer(bucket, &[0], usize::MAX, usize::MAX);
        owner.store.join_transfer(&one).unwrap();
        assert_eq!((owner.store.baselines(), owner.store.buckets_ahead(), owner.store.len()), (1, 1, 0));
        now.mono += 10_000_000;
        owner.handle_timeout(now);
        assert_eq!(owner.store.baselines(), 0);
    }
}
