//! Keys that expire: found here at their deadlines, and removed by one live replica.
//!
//! Every replica hides what has expired by itself, so a removal changes nothing that clients see; it gives the memory
//! back. Who removes a key is decided by rendezvous hashing over the live replicas (Thaler, Ravishankar, *Using name-based
//! mappings to increase hit rates*, 1998): the one of the highest hash at the deadline, the next one a while later, should
//! it still be there. Replicas that hold each other to be dead remove it several times, with the same result.
//!
//! Refuses to know what has expired: the store does.

use cahoots_crdt::{Dot, ReplicaId};

use crate::engine::spread::relay::rank;
use crate::engine::{Now, Replica};

/// Between two looks while keys expire, in microseconds: so much later than its deadline a key is told of.
const PAUSE_US: u64 = 10_000;
/// Keys looked at in one look: a thousandth of a second's work, or two.
const LOOKED_MAX: usize = 2_000;
/// A replica leaves a removal to the one before it in rank for so many milliseconds.
const TURN_MS: u64 = 5_000;
/// A removal that may not be made is tried again after so many milliseconds.
const RETRY_MS: u64 = 1_000;

/// When to look.
#[derive(Debug, Default)]
pub(in crate::engine) struct Expiry {
    /// The time as it was seen last: how deadlines, which are of the wall clock, lie on the monotonic one.
    seen: Now,
    not_before: u64,
    /// Nothing is told of, and nothing removed.
    held: bool,
    /// What the last look removed, by which events, where that is asked for.
    removed: Option<Vec<(Box<[u8]>, Dot)>>,
}

impl Replica {
    /// When something expires next, on the monotonic clock.
    pub(in crate::engine) fn expiry_due(&self) -> Option<u64> {
        if self.expiry.held {
            return None;
        }
        let next = self.store.next_deadline()?;
        let Expiry { seen, not_before, .. } = self.expiry;
        let wait_ms = next.saturating_sub(self.store.at(seen.wall).now());
        Some(seen.mono.saturating_add(wait_ms.saturating_mul(1_000)).max(not_before))
    }

    /// So late it is by now: what is told from now on, of keys that change, is what is visible then. If the clock was put back,
    /// what shows again is told of. For those who only read; everything else that is given the time sees to it.
    pub fn see_time(&mut self, now: Now) {
        self.watch_clock(now);
        self.expiry.seen = now;
        self.store.see_time(now.wall);
    }

    /// Tells of what has expired, and removes what is this replica's to remove.
    pub(in crate::engine) fn expire(&mut self, now: Now) {
        self.see_time(now);
        if self.expiry_due().is_none_or(|due| due > now.mono) {
            return;
        }
        self.expiry.not_before = now.mono + PAUSE_US;
        self.look_for_expired(now, LOOKED_MAX);
    }

    /// Whether what has expired is left where it is from now on: hidden, but neither told of nor removed by this replica. What
    /// others remove goes.
    pub fn hold_expiry(&mut self, held: bool) {
        self.expiry.held = held;
    }

    /// How many keys there are, as clients see them. O(buckets + keys that have expired since it was looked last).
    pub fn count_keys(&mut self, now: Now) -> usize {
        self.look_for_expired(now, usize::MAX);
        self.store.len()
    }

    /// Has [`Replica::take_removed`] say what is removed here because it has expired: for those that account for every event.
    pub fn note_removed(&mut self) {
        self.expiry.removed.get_or_insert_default();
    }

    /// The keys of which [`Replica::handle_timeout`] or [`Replica::count_keys`] has removed something when it looked last, and
    /// by which events.
    pub fn take_removed(&mut self) -> Vec<(Box<[u8]>, Dot)> {
        self.expiry.removed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn look_for_expired(&mut self, now: Now, max: usize) {
        self.see_time(now);
        let time = self.store.at(now.wall).now();
        if self.expiry.held || self.store.next_deadline().is_none_or(|next| next > time) {
            return;
        }
        self.flush(now);
        let (me, live): (ReplicaId, Vec<ReplicaId>) = (self.id(), self.live().collect());
        let wait = |key: u64| {
            let own = (rank(key, me), me);
            live.iter().filter(|id| (rank(key, **id), **id) > own).count() as u64 * TURN_MS
        };
        let lapsed = self.store.lapse(now.wall, max, wait);
        self.counters.keys_expired += lapsed.keys as u64;
        self.expiry.removed.iter_mut().for_each(Vec::clear);
        // While an id is on probation nothing is minted under it, and who joins knows little yet of what there is, or of
        // what time it is.
        let may_remove = self.is_ready() && !self.on_probation() && self.trusts_clock(now);
        for key in lapsed.removals {
            if !may_remove {
                self.store.put_off(&key, now.wall, RETRY_MS);
                continue;
            }
            match self.write(now, key.len(), |writer| writer.remove_expired(&key)) {
                Ok(true) => self.note_removal(key),
                Ok(false) => {} // with an earlier deadline of the key
                Err(_) => self.store.put_off(&key, now.wall, RETRY_MS),
            }
        }
    }

    fn note_removal(&mut self, key: Box<[u8]>) {
        self.counters.keys_removed += 1;
        let event = Dot::new(self.id(), self.store.position());
        if let Some(removed) = &mut self.expiry.removed {
            removed.push((key, event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ReplicaConfig;
    use crate::store::{By, Change, Class, What, hash_of};

    const WALL: u64 = 1_700_000_000_000;

    fn after(ms: u64) -> Now {
        Now { mono: ms * 1_000, wall: WALL + ms }
    }

    fn replica() -> Replica {
        Replica::new(ReplicaConfig::default(), ReplicaId::new(1), after(0))
    }

    /// Lets time pass; says when the replica wanted to be woken.
    fn pass(replica: &mut Replica, until: u64) -> Vec<u64> {
        let mut woken = Vec::new();
        while replica.poll_timeout() <= until * 1_000 {
            let now = after(replica.poll_timeout().div_ceil(1_000));
            woken.push(now.mono / 1_000);
            replica.handle_timeout(now);
            while replica.poll_transmit(now).is_some() {}
        }
        woken
    }

    #[test]
    fn a_key_is_hidden_at_its_deadline_told_of_and_removed() {
        let mut replica = replica();
        let told = |what, by| Some(Change::Key { key: b"k".as_slice().into(), class: Class::Text, what, by });
        replica.record_changes(true);
        replica.write(after(0), 0, |w| w.set_until(b"k", b"v", Some(WALL + 400))).unwrap();
        assert!(replica.store().at(WALL + 399).view(b"k").is_some());
        assert!(replica.store().at(WALL + 400).view(b"k").is_none());
        assert_eq!(replica.poll_change(), told(What::Created, By::Client));
        let woken = pass(&mut replica, 500);
        assert!(woken.contains(&400), "{woken:?}");
        assert_eq!(replica.poll_change(), told(What::Expired, By::Time));
        assert_eq!(replica.poll_change(), None, "its removal changes nothing that is seen");
        assert_eq!((replica.store().len(), replica.store().memory_of(b"k")), (0, None));
        assert_eq!(replica.store().next_deadline(), None);
    }

    #[test]
    fn keys_are_counted_as_clients_see_them_before_anything_is_removed() {
        let mut replica = replica();
        for number in 0..3_000_u64 {
            let deadline = (number % 3 > 0).then_some(WALL + 100 * (number % 3));
            replica.write(after(0), 0, |w| w.set_until(&number.to_be_bytes(), b"v", deadline)).unwrap();
        }
        assert_eq!(replica.count_keys(after(99)), 3_000);
        assert_eq!(replica.count_keys(after(100)), 2_000);
        assert_eq!(replica.count_keys(after(200)), 1_000);
        assert_eq!(replica.store().next_deadline(), None);
    }

    #[test]
    fn a_deadline_that_is_put_off_again_and_again_leaves_no_room_taken() {
        let mut replica = replica();
        replica.write(after(0), 0, |w| w.set(b"k", b"v")).unwrap();
        let before = replica.store().memory();
        for round in 0..100_000 {
            let later = Some(WALL + 1_000_000 + round);
            assert_eq!(replica.write(after(0), 0, |w| w.expire(b"k", later)), Ok(true));
        }
        assert!(replica.store().memory() - before < 10_000, "{}", replica.store().memory() - before);
        assert_eq!(replica.store().at(WALL).view(b"k").unwrap().deadline(), Some(WALL + 1_099_999));
    }

    /// One that is alone in rank removes; the others wait for it, and then do it themselves.
    #[test]
    fn the_next_in_rank_removes_what_the_first_did_not() {
        let mut replica = replica();
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        for peer in 2..6 {
            replica.peer_up(after(0), ReplicaId::new(peer), addr, crate::Zone::default());
            replica.note_clock(after(0), ReplicaId::new(peer), after(0).wall);
        }
        for number in 0..500_u64 {
            replica.write(after(0), 0, |w| w.set_until(&number.to_be_bytes(), b"v", Some(WALL + 100))).unwrap();
        }
        let entries = |replica: &Replica| replica.store().memory();
        pass(&mut replica, 200);
        assert_eq!(replica.store().len(), 0, "all are hidden");
        let removed = replica.counters.keys_removed;
        assert!((50..200).contains(&removed), "a fifth of them: {removed}");
        let before = entries(&replica);
        pass(&mut replica, 200 + 4 * TURN_MS);
        assert_eq!(replica.counters.keys_removed, 500);
        assert!(entries(&replica) < before);
    }

    /// Its clock was ahead, and keys that are others' to remove were hidden here too early.
    #[test]
    fn a_clock_that_is_put_back_shows_again_what_it_hid_and_tells_of_it() {
        let (mut replica, peer) = (replica(), ReplicaId::new(2));
        replica.peer_up(after(0), peer, ([127, 0, 0, 1], 9).into(), crate::Zone::default());
        let is_the_peers = |key: &[u8; 8]| rank(hash_of(key), peer) > rank(hash_of(key), ReplicaId::new(1));
        for key in (0..).map(u64::to_be_bytes).filter(is_the_peers).take(10) {
            replica.write(after(0), 0, |w| w.set_until(&key, b"v", Some(WALL + 500))).unwrap();
        }
        let ahead = |ms: u64| Now { mono: ms * 1_000, wall: WALL + ms + 600 };
        assert_eq!((replica.count_keys(after(0)), replica.count_keys(ahead(1))), (10, 0));
        replica.record_changes(true);
        replica.handle_timeout(after(2));
        assert_eq!(std::iter::from_fn(|| replica.poll_change()).count(), 10);
        assert_eq!((replica.store().len(), replica.count_keys(after(3))), (10, 10));
        assert_eq!(replica.count_keys(after(501)), 0);
        assert_eq!(std::iter::from_fn(|| replica.poll_change()).count(), 10, "it is told again when they end");
    }
}
