//! Spreading in a large cluster: each event travels down a tree, and everyone passes it on to a few.
//!
//! Up to [`RELAY_ABOVE`] replicas an origin sends every event to every peer itself. Above, everybody computes the
//! same tree for each origin from the live membership, with no message about it: the origin sends to one leader in each
//! other zone and to its own zone; the leaders form a heap below the origin, and the members of a zone a heap below
//! their leader, so an event crosses from zone to zone as seldom as can be. Who leads, and who stands where, is decided
//! by rendezvous hashing (Thaler, Ravishankar 1998) of origin and id: each origin has a tree of its own, so the work of
//! passing on is spread over all, and a member that comes or goes moves few others.
//!
//! An event marked as relayed is passed on when it arrives for the first time, also if it then has to wait for others.
//! Nothing is promised: what a relay that died, a queue that was full or a view of the membership that differed kept
//! from arriving shows in acknowledgements that stay away, and the replica that lacks it asks for it, as for anything
//! lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cahoots_crdt::{Dot, ReplicaId};

use super::peer::{ACK_DELAY_US, RTO_MOST_US};
use super::peers::Peers;
use crate::Zone;
use crate::engine::{Now, Peer, Replica};
use crate::mix::mix;
use crate::wire::Message;

/// Up to so many live replicas, the own one counted, every event is sent to every peer directly: one hop, and at 1200
/// bytes 19 KB a flush. Above, an event is relayed.
pub(in crate::engine) const RELAY_ABOVE: usize = 16;
/// Below one replica in a tree. With 16, three hops reach 4,368, and what a hop of a loaded replica costs beside the
/// network is small against sending.
pub(in crate::engine) const RELAY_FANOUT: usize = 16;

/// Leaders of zones below one in a tree. More than members, for here each hop may cross an ocean: with up to 32 zones
/// an origin sends to every leader itself.
pub(in crate::engine) const RELAY_ZONES_FANOUT: usize = 32;

/// Events queued for one peer to be passed on to it, however small they are.
const RELAYS_MAX: usize = 4096;

/// Apart by how much acknowledgements should reach an origin, in microseconds: 20,000 a second, a tenth of a core.
const ACK_SPACING_US: u64 = 50;

/// How long to wait for an acknowledgement by way of others while nothing is known of how far they are: three times
/// around the world, in microseconds.
const RELAYED_UNKNOWN_US: u64 = 600_000;

/// A replica's place in the tree of one origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Place {
    /// Whether the origin itself sends to it.
    pub(in crate::engine) below_origin: bool,
    /// To whom it passes on.
    pub(in crate::engine) children: Vec<ReplicaId>,
}

impl Place {
    /// The place of `me` in the tree of `origin`, among these live members (which may include both).
    pub(in crate::engine) fn find(
        origin: (ReplicaId, Zone),
        me: (ReplicaId, Zone),
        members: impl Iterator<Item = (ReplicaId, Zone)>,
        (zones, members_each): (usize, usize),
    ) -> Self {
        let (root, root_zone) = origin;
        let mut leaders: BTreeMap<Zone, (u64, ReplicaId)> = BTreeMap::new();
        let mut zone: Vec<(u64, ReplicaId)> = Vec::new();
        for (id, its_zone) in members.filter(|(id, _)| *id != root) {
            let ranked = (rank(root.get(), id), id);
            if its_zone != root_zone {
                let leader = leaders.entry(its_zone).or_insert(ranked);
                *leader = (*leader).max(ranked);
            }
            if its_zone == me.1 {
                zone.push(ranked);
            }
        }
        let leader = leaders.get(&me.1).copied();
        zone.retain(|it| Some(*it) != leader);
        let mut place = Self::default();
        if me.0 == root || leader.is_some_and(|(_, id)| id == me.0) {
            let own = if me.0 == root { None } else { leader };
            let at = place.stand(own, leaders.into_values().collect(), zones);
            place.below_origin = (1..=zones).contains(&at);
            place.stand(None, zone, members_each);
        } else {
            let at = place.stand(Some((rank(root.get(), me.0), me.0)), zone, members_each);
            place.below_origin = me.1 == root_zone && at <= members_each;
        }
        place
    }

    /// Adds the children of one in a heap of these members (`None`: of the root above them); says where that one stands,
    /// the root being 0.
    fn stand(&mut self, one: Option<(u64, ReplicaId)>, mut members: Vec<(u64, ReplicaId)>, fanout: usize) -> usize {
        let at = one.map_or(0, |one| 1 + members.iter().filter(|it| **it > one).count());
        let first = at.saturating_mul(fanout);
        if first < members.len() {
            members.sort_unstable_by(|a, b| b.cmp(a));
            let last = members.len().min(first + fanout);
            self.children.extend(members[first..last].iter().map(|(_, id)| *id));
        }
        at
    }
}

/// How high `id` ranks for one origin, or one key: as good as random, and the same everywhere.
pub(in crate::engine) fn rank(of: u64, id: ReplicaId) -> u64 {
    mix(of ^ mix(id.get()))
}

/// Events on their way through this replica to one peer.
#[derive(Debug, Default)]
pub(in crate::engine) struct Relays {
    queue: VecDeque<(Dot, Arc<[u8]>)>,
    bytes: usize,
}

impl Relays {
    /// Says whether there was room.
    pub(in crate::engine) fn push(&mut self, event: Dot, body: Arc<[u8]>, bytes_max: usize) -> bool {
        let room = self.bytes + body.len() <= bytes_max && self.queue.len() < RELAYS_MAX;
        if room {
            self.bytes += body.len();
            self.queue.push_back((event, body));
        }
        room
    }

    pub(in crate::engine) fn first(&self) -> Option<&(Dot, Arc<[u8]>)> {
        self.queue.front()
    }

    pub(in crate::engine) fn pop(&mut self) {
        if let Some((_, body)) = self.queue.pop_front() {
            self.bytes -= body.len();
        }
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::engine) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }
}

/// The last event given to the own tree that has not been looked after yet.
#[derive(Debug)]
pub(in crate::engine) struct SpreadCheck {
    pub(in crate::engine) due: u64,
    seq: u64,
    /// When it left.
    at: u64,
}

impl Replica {
    /// Whether the cluster is so large that events are relayed.
    pub(in crate::engine) fn relays(&self) -> bool {
        self.peers.live() + 1 > self.config.relay_above
    }

    /// The own place in the tree of `origin`; computed when first asked for, and again when membership has changed.
    /// An origin that membership has not announced stands nowhere, so nothing is passed on for it.
    pub(in crate::engine) fn place(&mut self, origin: ReplicaId) -> Option<&Place> {
        let me = (self.id(), self.config.zone);
        let zone = if origin == me.0 { me.1 } else { self.peers.get(&origin)?.zone };
        let (peers, config) = (&self.peers, &self.config);
        let place = self.places.entry(origin).or_insert_with(|| {
            let live = peers.iter().filter(|(_, peer)| peer.live).map(|(id, peer)| (*id, peer.zone));
            let fanouts = (config.relay_zones_fanout.max(1), config.relay_fanout.max(1));
            Place::find((origin, zone), me, live.chain([me]), fanouts)
        });
        Some(place)
    }

    /// Live members or their zones have changed: every tree has.
    pub(in crate::engine) fn membership_changed(&mut self) {
        self.places.clear();
        self.aim_stale = true;
    }

    /// Works out anew, if membership has changed, to whom own events are sent: to all, or to the first in the tree.
    pub(in crate::engine) fn aim(&mut self, now: Now) {
        if !std::mem::take(&mut self.aim_stale) {
            return;
        }
        let me = self.id();
        let live: Vec<ReplicaId> = self.peers.live_ids().collect();
        for id in &live {
            // What went to it by a tree that may be no more it is asked about; nothing is sent again.
            let peer = self.peers.get_mut(id).expect("it was just seen");
            if !peer.pushed {
                peer.expect(now.mono, now.mono, self.spread_upto, RELAYED_UNKNOWN_US);
            }
        }
        let targets =
            if self.relays() { self.place(me).map(|it| it.children.clone()).unwrap_or_default() } else { live };
        for id in std::mem::replace(&mut self.targets, targets) {
            self.peers.get_mut(&id).into_iter().for_each(|peer| peer.pushed = false);
        }
        for id in &self.targets {
            self.peers.get_mut(id).into_iter().for_each(|peer| peer.pushed = true);
        }
    }

    /// Sees to own events sealed since the last time: those they are sent to have output, the others are looked after.
    pub(in crate::engine) fn spread(&mut self, now: Now) {
        self.aim(now);
        let seq = self.store.certain_seq();
        if seq == self.spread_upto {
            return;
        }
        self.spread_upto = seq;
        for id in &self.targets {
            self.peers.touch(*id);
        }
        if self.targets.len() < self.peers.live() {
            if self.timed.as_ref().is_none_or(|(_, at)| now.mono.saturating_sub(*at) > RTO_MOST_US) {
                self.timed = Some((seq, now.mono));
            }
            let due = self.spread_check.as_ref().map_or(now.mono + self.ack_delay_us(), |it| it.due);
            self.spread_check = Some(SpreadCheck { due, seq, at: now.mono });
        }
    }

    /// Begins to ask those who were sent events by way of others, and have not acknowledged them, how far they are.
    pub(in crate::engine) fn check_spread(&mut self, now: Now) {
        let Some(SpreadCheck { seq, at, .. }) = self.spread_check.take_if(|it| it.due <= now.mono) else { return };
        // Of one that has never answered it is believed that it is as far as others of its zone.
        let mut zones: BTreeMap<Zone, u64> = BTreeMap::new();
        for peer in self.peers.values().filter(|it| it.live && it.rtt_us().is_some()) {
            let rto = zones.entry(peer.zone).or_default();
            *rto = peer.rto_us().max(*rto);
        }
        let lacking = self.peers.iter().filter(|(_, it)| it.live && !it.pushed && it.acked < seq);
        let lacking: Vec<ReplicaId> = lacking.map(|(id, _)| *id).collect();
        for id in lacking {
            let peer = self.peers.get_mut(&id).expect("it was just seen");
            let unknown = zones.get(&peer.zone).copied().unwrap_or(RELAYED_UNKNOWN_US);
            peer.expect(at, now.mono, seq, unknown);
        }
    }

    /// Passes an event on that has come by way of the tree, to those below.
    pub(in crate::engine) fn pass_on(&mut self, event: Dot, body: &[u8]) {
        if !self.relays() {
            return;
        }
        let children = self.place(event.replica).map(|it| it.children.clone()).unwrap_or_default();
        if children.is_empty() {
            return;
        }
        if body.len() > self.single_bytes_max {
            // Too large to be sent unasked so often: they fetch it from here, chunk by chunk.
            for child in children {
                self.tell(child, &Message::Have { origin: event.replica, seq: event.seq });
            }
            return;
        }
        let body: Arc<[u8]> = self.log.get(event).cloned().unwrap_or_else(|| body.into());
        for child in children {
            let Some(peer) = self.peers.get_mut(&child) else { continue };
            if !peer.relays.push(event, Arc::clone(&body), self.config.relay_bytes_max) {
                self.counters.relays_dropped += 1;
            }
        }
    }

    /// How long an acknowledgement to the origin of a relayed event may wait: the longer, the more there are who
    /// acknowledge, so that an origin hears so many a second at most.
    pub(in crate::engine) fn ack_delay_us(&self) -> u64 {
        (self.peers.live() as u64 * ACK_SPACING_US).max(ACK_DELAY_US)
    }

    /// An event of `origin` has come by way of others: acknowledges it, at a moment of this replica's own.
    pub(in crate::engine) fn owe_relayed_ack(&mut self, now: Now, origin: ReplicaId) {
        let most = self.ack_delay_us();
        let half = usize::try_from(most / 2).unwrap_or(usize::MAX).max(1);
        let delay = most - self.random_below(half) as u64;
        if let Some(peer) = self.peers.get_mut(&origin).filter(|peer| peer.live) {
            peer.owe_ack_within(now.mono, delay);
        }
    }

    /// The peer to ask for an event that most have by now, its origin aside: near if possible, else any.
    pub(in crate::engine) fn helper(&mut self, origin: ReplicaId) -> Option<ReplicaId> {
        let zone = self.config.zone;
        let live = |near: bool, peers: &Peers| -> Vec<ReplicaId> {
            let fits = |it: &Peer| it.live && (!near || it.zone == zone);
            peers.iter().filter(|(id, it)| **id != origin && fits(it)).map(|(id, _)| *id).collect()
        };
        let mut choice = live(true, &self.peers);
        if choice.len() < 2 {
            choice = live(false, &self.peers); // the only one near is most likely where it got lost
        }
        (!choice.is_empty()).then(|| choice[self.random_below(choice.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Members = Vec<(ReplicaId, Zone)>;

    fn members(count: u64, zones: u64) -> Members {
        let zone = |id: u64| if zones == 0 { Zone::default() } else { Zone::named(&(mix(id) % zones).to_string()) };
        (0..count).map(|id| (ReplicaId::new(mix(id)), zone(id))).collect()
    }

    fn place(members: &Members, origin: usize, id: ReplicaId, fanouts: (usize, usize)) -> Place {
        let me = *members.iter().find(|it| it.0 == id).expect("a member");
        Place::find(members[origin], me, members.iter().copied(), fanouts)
    }

    #[test]
    fn every_tree_reaches_everyone_once_in_few_hops_and_enters_each_zone_once() {
        let sizes =
            [1, 2, 3, 17, 18, 60, 300].into_iter().flat_map(|count| [0, 1, 2, 7, 400].map(|zones| (count, zones)));
        for ((count, zones), fanouts) in sizes.flat_map(|it| [(1, 2), (2, 2), (32, 16)].map(|fanouts| (it, fanouts))) {
            let members = members(count, zones);
            let zone_of: BTreeMap<ReplicaId, Zone> = members.iter().copied().collect();
            for origin in (0..members.len()).step_by(7) {
                let mut hops = BTreeMap::from([(members[origin].0, 0)]);
                let mut queue = VecDeque::from([members[origin].0]);
                let mut crossings = 0;
                while let Some(id) = queue.pop_front() {
                    let place = place(&members, origin, id, fanouts);
                    assert_eq!(place.below_origin, hops[&id] == 1);
                    assert!(place.children.len() <= fanouts.0 + fanouts.1);
                    for child in place.children {
                        crossings += usize::from(zone_of[&id] != zone_of[&child]);
                        assert_eq!(hops.insert(child, hops[&id] + 1), None, "{child} is reached twice");
                        queue.push_back(child);
                    }
                }
                assert_eq!(hops.len(), members.len());
                let distinct: std::collections::BTreeSet<Zone> = zone_of.values().copied().collect();
                assert_eq!(crossings, distinct.len() - 1);
                if fanouts == (32, 16) && zones <= 7 {
                    assert!(hops.values().all(|hops| *hops <= 4), "{count} members, {zones} zones");
                }
            }
        }
    }

    #[test]
    fn over_all_origins_everyone_passes_on_about_as_much() {
        let members = members(100, 0);
        let mut work = BTreeMap::new();
        for origin in 0..members.len() {
            for (id, _) in members.iter().filter(|(id, _)| *id != members[origin].0) {
                *work.entry(*id).or_insert(0) += place(&members, origin, *id, (32, 16)).children.len();
            }
        }
        // 83 of 99 are reached through relays, whoever writes.
        assert_eq!(work.values().sum::<usize>(), 83 * 100);
        assert!(work.values().all(|work| *work <= 4 * 83), "{work:?}");
    }

    #[test]
    fn one_that_comes_moves_few_others() {
        let (before, after) = (members(100, 0), members(101, 0));
        let moved = |id| place(&before, 0, id, (32, 16)).children != place(&after, 0, id, (32, 16)).children;
        assert!(before.iter().filter(|(id, _)| moved(*id)).count() <= 7, "the root and those who pass on");
    }

    #[test]
    fn what_is_to_be_passed_on_has_bounds_in_bytes_and_in_number() {
        let event = |seq| Dot::new(ReplicaId::new(1), seq);
        let mut relays = Relays::default();
        assert!(relays.push(event(1), vec![0; 60].into(), 100) && relays.push(event(2), vec![0; 40].into(), 100));
        assert!(!relays.push(event(3), vec![0; 1].into(), 100));
        relays.pop();
        assert_eq!(relays.first().map(|(event, _)| event.seq), Some(2));
        assert!(relays.push(event(3), vec![0; 60].into(), 100));
        relays.clear();
        let mut empty = (0..).take_while(|seq| relays.push(event(*seq), Arc::from([]), 100));
        assert_eq!(empty.by_ref().count(), RELAYS_MAX);
        assert!(!relays.is_empty());
    }
}
