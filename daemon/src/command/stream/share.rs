//! Which replica hands out which entries of a consumer group, so that each is handed out once, with nobody to decide it.
//!
//! Every entry has a slot, by the hash of its id. A slot is served by one of the replicas whose clients have asked for
//! entries of the group lately: the first by rendezvous hashing among those that are live. That one hands out at once. The
//! next in rank does so too, where an entry was known to it for a second and is still there; and so on. So nothing waits
//! for ever, and in quiet times nothing is handed out twice: an entry that is handed out somewhere is known to be everywhere
//! long before anybody else would.
//!
//! Who asks says so in the state of the group: its *share*. Who has only just begun waits until all know of it, unless
//! nobody else asks. Who has asked no more for a while is passed over.

use cahoots_gossip::ReplicaId;
use cahoots_gossip::store::{GROUP_SLOTS, Group, Share};

use crate::state::GroupMemory;
use cahoots_gossip::store::Unread;

/// Milliseconds for which an entry is left to each that comes before in rank.
pub(super) const DELAY_MS: u64 = 1_000;
/// Milliseconds for which a replica has its share after it was asked last.
const HOLD_MS: u64 = 10_000;
/// A share that lasts is written anew after so many milliseconds.
const REFRESH_MS: u64 = 3_000;
/// Milliseconds by which a replica takes itself for one that begins later, and ends earlier, than others take it: clocks
/// differ, and events are under way.
const MARGIN_MS: u64 = 100;
/// Shares of replicas that are gone are removed after so many milliseconds.
const FORGET_MS: u64 = 60_000;
/// No replica waits longer than as the one of this rank.
const RANK_MAX: u64 = 4;

/// What this replica may hand out of a group at this time.
pub(super) struct Turn {
    now: u64,
    /// Its rank for each slot.
    ranks: [u64; GROUP_SLOTS as usize],
}

/// What is to be written of the share of this replica.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Renewal {
    /// Since when it has its share, if that is to be written.
    pub(super) since: Option<u64>,
    /// Replicas that are gone.
    pub(super) gone: Vec<Share>,
}

impl Turn {
    /// For the replica `me`, where these shares are known; `seed` is of the key and the group.
    pub(super) fn new(
        me: ReplicaId,
        now: u64,
        seed: u64,
        shares: &[Share],
        is_live: impl Fn(ReplicaId) -> bool,
    ) -> Self {
        let holds = |share: &Share, margin| now < share.until.saturating_add(HOLD_MS - margin);
        let others = || shares.iter().filter(|it| it.replica != me && holds(it, 0) && is_live(it.replica));
        let own = shares.iter().find(|it| it.replica == me && holds(it, MARGIN_MS));
        let is_settled = |since: u64, margin| now >= since.saturating_add(DELAY_MS + margin);
        let mut holders: Vec<ReplicaId> = others().filter(|it| is_settled(it.since, 0)).map(|it| it.replica).collect();
        holders.extend(own.filter(|it| is_settled(it.since, MARGIN_MS)).map(|it| it.replica));
        if holders.is_empty() {
            holders = others().map(|it| it.replica).chain([me]).collect();
        }
        let weight = |replica: ReplicaId, slot: u8| weight(seed, replica, slot);
        let mut ranks = [0; GROUP_SLOTS as usize];
        for (slot, rank) in (0..).zip(&mut ranks) {
            *rank = if holders.contains(&me) {
                holders.iter().filter(|it| weight(**it, slot) > weight(me, slot)).count() as u64
            } else {
                holders.len() as u64
            };
        }
        Self { now, ranks }
    }

    /// Whether an entry is this replica's to hand out now.
    pub(super) fn may(&self, entry: Unread, memory: &GroupMemory) -> bool {
        let rank = self.ranks[usize::from(entry.slot)].min(RANK_MAX);
        rank == 0 || memory.knew(self.now.saturating_sub(rank * DELAY_MS), entry.origin, entry.id)
    }
}

impl Renewal {
    /// What follows from a client asking at this time.
    pub(super) fn due(me: ReplicaId, now: u64, group: &Group<'_, '_>, is_live: impl Fn(ReplicaId) -> bool) -> Self {
        let shares = group.shares();
        let own = shares.iter().find(|it| it.replica == me && now < it.until.saturating_add(HOLD_MS - MARGIN_MS));
        match own {
            Some(own) if now < own.until.saturating_add(REFRESH_MS) => Self::default(),
            Some(own) => Self { since: Some(own.since), gone: Vec::new() },
            None => {
                let is_gone =
                    |it: &Share| it.replica != me && !is_live(it.replica) && it.until.saturating_add(FORGET_MS) < now;
                Self { since: Some(now), gone: shares.into_iter().filter(is_gone).collect() }
            }
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_none(&self) -> bool {
        self.since.is_none()
    }
}

/// What makes the order of replicas another one for each group: FNV-1a over the key and the name.
pub(super) fn seed_of(key: &[u8], group: &[u8]) -> u64 {
    let bytes = key.iter().chain(group);
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// By which replicas are in the same order everywhere, another one for each slot.
fn weight(seed: u64, replica: ReplicaId, slot: u8) -> u64 {
    let mut mixed = seed ^ replica.get().rotate_left(29) ^ u64::from(slot) << 56;
    for multiplier in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB_u64] {
        mixed = (mixed ^ mixed >> 30).wrapping_mul(multiplier);
    }
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn id(number: u64) -> ReplicaId {
        ReplicaId::new(number)
    }

    fn share(number: u64, since: u64, until: u64) -> Share {
        Share { replica: id(number), since: NOW - since, until: NOW - until }
    }

    fn owned(me: u64, shares: &[Share], dead: &[u64]) -> Vec<u8> {
        let turn = Turn::new(id(me), NOW, 7, shares, |it| !dead.contains(&it.get()));
        (0..GROUP_SLOTS).filter(|slot| turn.ranks[usize::from(*slot)] == 0).collect()
    }

    #[test]
    fn every_slot_is_served_by_one_of_those_who_ask_and_are_live() {
        let shares = [share(1, 60_000, 500), share(2, 60_000, 500), share(3, 60_000, 500)];
        for dead in [&[][..], &[2], &[2, 3]] {
            let live = (1..=3).filter(|it| !dead.contains(it));
            let mut all: Vec<u8> = live.flat_map(|me| owned(me, &shares, dead)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..GROUP_SLOTS).collect::<Vec<_>>(), "{dead:?}");
        }
        assert!((1..=3).all(|me| !owned(me, &shares, &[]).is_empty()), "the work is spread");
    }

    #[test]
    fn who_begins_waits_for_the_others_and_alone_for_nobody() {
        let old = share(1, 60_000, 500);
        assert!(owned(2, &[old, share(2, 500, 0)], &[]).is_empty());
        assert_eq!(owned(1, &[old, share(2, 500, 0)], &[]).len(), 16, "the old one serves all until then");
        assert_eq!(owned(2, &[share(2, 0, 0)], &[]).len(), 16);
        assert_eq!(owned(2, &[], &[]).len(), 16, "one that has not yet said so, too");
        let both = [share(1, 10, 0), share(2, 10, 0)];
        assert_eq!(owned(1, &both, &[]).len() + owned(2, &both, &[]).len(), 16);
        // Between what others think and what it thinks itself nobody serves at once.
        let settling = [old, share(2, DELAY_MS + MARGIN_MS / 2, 0)];
        assert!(owned(1, &settling, &[]).len() < 16);
        assert!(owned(2, &settling, &[]).is_empty());
    }

    #[test]
    fn who_asks_no_more_is_passed_over() {
        let idle = [share(1, 60_000, HOLD_MS), share(2, 60_000, 500)];
        assert_eq!(owned(2, &idle, &[]).len(), 16);
        assert!(owned(1, &idle, &[]).is_empty());
        let ending = [share(1, 60_000, HOLD_MS - MARGIN_MS / 2), share(2, 60_000, 500)];
        assert!(owned(1, &ending, &[]).is_empty());
        assert!(owned(2, &ending, &[]).len() < 16);
    }
}
