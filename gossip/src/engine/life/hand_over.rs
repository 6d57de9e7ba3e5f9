//! Handing over before a stop: whether everything that is held here is held by others, too.
//!
//! What counts is all data here, whoever wrote it: of a writer that is gone, this replica may be the last to hold what it
//! wrote. And only peers count that are alive and whole ([`Standing::is_whole`]): one that is catching up may have to be
//! stopped itself, and one that stops has nothing for others.
//!
//! What each peer is known to have is worked out against a *target*: what was here when the hand-over began. It is
//! confirmed by the accounts that version vectors are compared with, range by range of origins, so a peer that was left
//! out by a lost datagram is asked again. Own events may go on being written; for those acknowledgements tell.
//!
//! Refuses to know how a peer gets what it lacks: comparing version vectors makes it ask.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use cahoots_crdt::{ReplicaId, VersionVector};

use crate::engine::{Now, Replica};

/// Between two questions to a peer that lacks something, in microseconds: several round trips of a wide network.
const ASK_US: u64 = 100_000;
/// Peers asked at a time. They confirm each for all, mostly; the next is asked when one of these has everything.
const ASKED_MAX: usize = 16;

/// A hand-over under way.
#[derive(Debug)]
pub(in crate::engine) struct HandOver {
    /// What was here when it began, of others; in any bucket.
    target: VersionVector,
    /// Of each peer asked, the origins of which it is not known to have what is in the target.
    lacking: BTreeMap<ReplicaId, BTreeSet<ReplicaId>>,
    ask_at: u64,
}

impl HandOver {
    /// A peer has said what it has of a range of origins; `rest_agrees`: of those not listed what is `here` in all buckets.
    /// Of what is here in some buckets only, that says nothing.
    pub(in crate::engine) fn heard(
        &mut self,
        peer: ReplicaId,
        range: &RangeInclusive<ReplicaId>,
        entries: &[(ReplicaId, u64)],
        rest_agrees: bool,
        here: &VersionVector,
    ) {
        let Some(lacking) = self.lacking.get_mut(&peer) else { return };
        for (origin, seq) in entries {
            if *seq >= self.target.get(*origin) {
                lacking.remove(origin);
            }
        }
        if rest_agrees {
            let listed: BTreeSet<ReplicaId> = entries.iter().map(|(origin, _)| *origin).collect();
            let is_told = |origin: ReplicaId| range.contains(&origin) && !listed.contains(&origin);
            lacking.retain(|origin| !is_told(*origin) || here.get(*origin) < self.target.get(*origin));
        }
    }

    /// A peer has the same as is here.
    pub(in crate::engine) fn agrees(&mut self, peer: ReplicaId) {
        if let Some(lacking) = self.lacking.get_mut(&peer) {
            lacking.clear();
        }
    }
}

impl Replica {
    /// Begins to hand over everything that is here now.
    pub fn begin_hand_over(&mut self, now: Now) {
        let me = self.id();
        let target = self.store.version_ceiling().iter().filter(|(id, _)| *id != me).collect();
        self.hand_over = Some(HandOver { target, lacking: BTreeMap::new(), ask_at: now.mono });
        self.pursue_hand_over(now);
    }

    /// Goes on with it: asks the peers what they have. To be called again and again, until [`Replica::is_handed_over`].
    pub fn pursue_hand_over(&mut self, now: Now) {
        self.hurry_acks(now);
        let fit: Vec<ReplicaId> = self.keepers().collect();
        let Some(it) = &mut self.hand_over else { return };
        it.lacking.retain(|id, _| fit.contains(id));
        let mut asked = it.lacking.values().filter(|lacking| !lacking.is_empty()).count();
        for id in fit {
            if asked < ASKED_MAX && !it.lacking.contains_key(&id) {
                // What it wrote it has.
                let of_others = it.target.iter().map(|(origin, _)| origin).filter(|origin| *origin != id);
                it.lacking.insert(id, of_others.collect());
                asked += 1;
            }
        }
        if now.mono < it.ask_at {
            return;
        }
        it.ask_at = now.mono + ASK_US;
        let asked: Vec<ReplicaId> = it.lacking.iter().filter(|(_, it)| !it.is_empty()).map(|(id, _)| *id).collect();
        asked.into_iter().for_each(|peer| self.send_versions(peer, true));
    }

    /// Whether all that was here when the hand-over began, and all that was written here since, is held by so many live
    /// peers that are whole; or there was nothing to hold.
    #[must_use]
    pub fn is_handed_over(&self, peers: usize) -> bool {
        let Some(it) = &self.hand_over else { return false };
        let own = self.position();
        let own_kept = own == 0 || self.keepers().filter(|id| self.has_own(*id, own)).count() >= peers;
        let kept = |origin| {
            let has = |(peer, lacking): &(&ReplicaId, &BTreeSet<ReplicaId>)| {
                !lacking.contains(&origin) && self.peers.get(peer).is_some_and(|it| it.live && it.standing.is_whole())
            };
            it.lacking.iter().filter(has).count() >= peers
        };
        own_kept && it.target.iter().all(|(origin, _)| kept(origin))
    }

    /// Whether every live peer that is whole is known to have all of it.
    #[must_use]
    pub fn is_handed_over_to_all(&self) -> bool {
        self.handed_over_to() == self.keepers().count()
    }

    /// How many live peers that are whole are known to have all of it.
    #[must_use]
    pub fn handed_over_to(&self) -> usize {
        let Some(it) = &self.hand_over else { return 0 };
        let own = self.position();
        self.keepers().filter(|id| self.has_own(*id, own) && it.lacking.get(id).is_some_and(BTreeSet::is_empty)).count()
    }

    /// The peers that can be relied on to keep what is here.
    fn keepers(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.peers.iter().filter(|(_, it)| it.live && it.standing.is_whole()).map(|(id, _)| *id)
    }

    fn has_own(&self, peer: ReplicaId, seq: u64) -> bool {
        self.peers.get(&peer).is_some_and(|it| it.acked >= seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::repair::versions::ALL;

    #[test]
    fn of_what_is_here_in_some_buckets_only_a_sum_over_vectors_says_nothing() {
        let [writer, other, peer] = [1, 2, 3].map(ReplicaId::new);
        let target: VersionVector = [(writer, 9), (other, 4)].into_iter().collect();
        let here: VersionVector = [(writer, 5), (other, 4)].into_iter().collect();
        let lacking = [(peer, [writer, other].into())].into();
        let mut it = HandOver { target, lacking, ask_at: 0 };
        it.heard(peer, &ALL, &[], true, &here);
        assert_eq!(it.lacking[&peer], [writer].into());
        it.heard(peer, &ALL, &[(writer, 9)], true, &here);
        assert_eq!(it.lacking[&peer], [].into());
    }
}
