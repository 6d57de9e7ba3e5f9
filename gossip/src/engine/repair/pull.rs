//! Asking for events: for gaps that show on arrival, for what digests reveal, for what other events name.
//!
//! At most one request per origin is under way. It is repeated, from another peer each time, until everything up to
//! its target is here; the peer that serves it sends a bounded burst and says how far it got, which may be nowhere.

use cahoots_crdt::{Dot, ReplicaId};

use crate::engine::spread::peer::{Job, Peer, RTO_UNKNOWN_US};
use crate::engine::{Now, Replica};
use crate::wire::Message;

/// Bytes served for one request; the asker asks on when they have come.
const BURST_BYTES: usize = 128 << 10;
/// Requests without progress before it is left to the next digest.
const TRIES_MAX: u32 = 12;
/// Origins asked about at a time. Who lacks more than that finds out again at the next digest, or gets them by buckets.
const PULLS_MAX: usize = 1024;

#[derive(Debug)]
pub(in crate::engine) struct Pull {
    from: ReplicaId,
    /// Events up to here are known to exist.
    target: u64,
    /// When to ask again.
    pub(in crate::engine) due: u64,
    tries: u32,
    /// How far things were at the last request.
    had: u64,
    /// Whether there was a request yet.
    asked: bool,
}

impl Replica {
    /// Events of `origin` up to `upto` exist, and `from` has them: asks for those that are not here.
    pub(in crate::engine) fn pull(&mut self, now: Now, origin: ReplicaId, from: ReplicaId, upto: u64) {
        self.pull_in(now, 0, origin, from, upto);
    }

    /// Asks for events that may be on their way still, if they are not here after `grace` microseconds.
    pub(in crate::engine) fn pull_in(&mut self, now: Now, grace: u64, origin: ReplicaId, from: ReplicaId, upto: u64) {
        if origin == self.id() {
            if upto > self.store.certain_seq() {
                self.identity_conflict(from);
            }
            return;
        }
        let have = self.have(origin);
        if upto <= have {
            return;
        }
        if let Some(pull) = self.pulls.get_mut(&origin) {
            pull.target = pull.target.max(upto);
            return;
        }
        if self.pulls.len() == PULLS_MAX {
            return;
        }
        self.pulls
            .insert(origin, Pull { from, target: upto, due: now.mono + grace, tries: 0, had: have, asked: false });
        if grace == 0 {
            self.ask(now, origin);
        }
    }

    /// Asks for what is missing now, of the peer chosen for it.
    fn ask(&mut self, now: Now, origin: ReplicaId) {
        let have = self.have(origin);
        let Some(pull) = self.pulls.get_mut(&origin) else { return };
        if pull.target <= have {
            self.pulls.remove(&origin);
            return;
        }
        let (from, upto) = (pull.from, pull.target);
        pull.had = have;
        self.counters.gaps_asked += u64::from(!std::mem::replace(&mut pull.asked, true));
        let wait = self.peers.get(&from).map_or(RTO_UNKNOWN_US, Peer::rto_us) << pull.tries.min(3);
        pull.due = now.mono + wait.min(2_000_000);
        self.counters.wants_sent += 1;
        self.tell(from, &Message::Want { origin, after: have, upto });
    }

    pub(in crate::engine) fn retry_pulls(&mut self, now: Now) {
        let due: Vec<ReplicaId> = self.pulls.iter().filter(|(_, pull)| pull.due <= now.mono).map(|it| *it.0).collect();
        for origin in due {
            let have = self.have(origin);
            let Some(pull) = self.pulls.get_mut(&origin) else { continue };
            pull.tries = if have > pull.had || !pull.asked { 0 } else { pull.tries + 1 };
            if pull.tries > 0 {
                self.turn(now, origin);
            } else {
                self.ask(now, origin);
            }
        }
    }

    /// Asks another peer, one that said it has more if there is one; after too many tries none.
    fn turn(&mut self, now: Now, origin: ReplicaId) {
        let Some(tries) = self.pulls.get(&origin).map(|pull| pull.tries) else { return };
        if tries > TRIES_MAX {
            self.pulls.remove(&origin);
            return;
        }
        let next = Dot::new(origin, self.have(origin) + 1);
        let said = self.holders(next);
        let from = if said.is_empty() {
            // Who has applied what names it knows it in that bucket, of which no version vector tells.
            let live: Vec<ReplicaId> = self.peers.iter().filter(|(_, peer)| peer.live).map(|it| *it.0).collect();
            (!live.is_empty()).then(|| live[self.random_below(live.len())])
        } else {
            Some(said[tries as usize % said.len()])
        };
        if let (Some(pull), Some(from)) = (self.pulls.get_mut(&origin), from) {
            pull.from = from;
        }
        self.ask(now, origin);
    }

    /// The live peers that may have `event`: its origin, and the peers that said so.
    pub(in crate::engine) fn holders(&self, event: Dot) -> Vec<ReplicaId> {
        let has = |id, peer: &Peer| id == event.replica || peer.versions.get(event.replica) >= event.seq;
        self.peers.iter().filter(|(id, peer)| peer.live && has(**id, peer)).map(|(id, _)| *id).collect()
    }

    /// Forgets the request for events of `origin` once everything it was for is here.
    pub(in crate::engine) fn settle_pull(&mut self, origin: ReplicaId) {
        let applied = self.store.version_vector().get(origin);
        if self.pulls.get(&origin).is_some_and(|pull| pull.target <= applied) {
            self.pulls.remove(&origin);
        }
    }

    /// A peer asks for events.
    pub(in crate::engine) fn on_want(&mut self, sender: ReplicaId, origin: ReplicaId, after: u64, upto: u64) {
        let have = if origin == self.id() { self.store.certain_seq() } else { self.store.version_vector().get(origin) };
        if upto > have && after >= have && self.store.buckets_ahead() > 0 {
            // What is asked for may be known here in some buckets only, which is how it was learnt of.
            self.tell(sender, &Message::BelowFloor { origin, floor: upto });
            return;
        }
        let upto = upto.min(have);
        if after >= upto {
            // Nothing of it is here: the asker need not wait to turn to another.
            self.tell(sender, &Message::Served { origin, upto });
            return;
        }
        let next = after + 1;
        if self.log.get(Dot::new(origin, next)).is_none() {
            // After a transfer has taken over, the log may end before what is applied, and begin anew later.
            let floor = if self.log.last(origin) >= next { self.log.floor(origin) } else { have };
            self.tell(sender, &Message::BelowFloor { origin, floor });
        } else if let Some(peer) = self.peers.get_mut(&sender) {
            if origin == self.store.id() {
                peer.forget_sample();
            }
            peer.queue_job(Job { origin, next, chunk: 0, upto, bytes_left: BURST_BYTES });
        }
    }

    /// A peer has served what it will of a request: asks on, for the rest or for what was lost on the way.
    pub(in crate::engine) fn on_served(&mut self, now: Now, sender: ReplicaId, origin: ReplicaId, upto: u64) {
        let have = self.have(origin);
        let Some(pull) = self.pulls.get_mut(&origin).filter(|pull| pull.from == sender) else { return };
        pull.tries = if have > pull.had { 0 } else { pull.tries + 1 };
        if upto <= pull.had && pull.tries > 0 {
            self.turn(now, origin); // it had nothing to send
        } else if pull.tries <= 1 {
            self.ask(now, origin); // without progress the timer decides
        }
    }

    /// A peer's log does not reach back to what was wanted.
    pub(in crate::engine) fn on_below_floor(&mut self, now: Now, sender: ReplicaId, origin: ReplicaId, floor: u64) {
        if floor <= self.have(origin) {
            return;
        }
        self.pulls.remove(&origin);
        self.reconcile(now, sender, Some(Dot::new(origin, floor)));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::Limits;
    use crate::bytes::Bytes;
    use crate::engine::{ReplicaConfig, Transmit};
    use crate::store::Store;
    use crate::wire::{Envelope, Kind};

    const ME: ReplicaId = ReplicaId::new(1);
    const FAR: ReplicaId = ReplicaId::new(9);

    fn addr(peer: u64) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(peer).unwrap()))
    }

    /// Two peers that both have five events of a third.
    fn replica() -> Replica {
        let now = Now::default();
        let mut replica = Replica::new(ReplicaConfig::default(), ME, now);
        for peer in [2, 3] {
            replica.peer_up(now, ReplicaId::new(peer), addr(peer), crate::Zone::default());
        }
        sent_to(&mut replica, 2);
        sent_to(&mut replica, 3);
        replica
    }

    fn hear(replica: &mut Replica, peer: u64, message: &Message<'_>) {
        let sender = ReplicaId::new(peer);
        let payload = [&Message::head(sender, ME)[..], &message.encode()].concat();
        let datagram = Envelope::new(&replica.config().cluster, None, sender, 0).wrap(Kind::Engine, &payload);
        replica.handle_datagram(Now::default(), addr(peer), &datagram).expect("well formed");
    }

    /// Whether what leaves now holds this message for `peer`.
    fn tells(replica: &mut Replica, peer: u64, message: &Message<'_>) -> bool {
        let wanted = message.encode();
        sent_to(replica, peer).iter().any(|it| it.windows(wanted.len()).any(|part| part == wanted))
    }

    fn sent_to(replica: &mut Replica, peer: u64) -> Vec<Vec<u8>> {
        let all = std::iter::from_fn(|| replica.poll_transmit(Now::default()));
        let to_peer = all.filter(|it| it.to == addr(peer));
        to_peer.flat_map(|it| it.datagrams().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_peer_that_has_nothing_of_what_is_wanted_says_so() {
        let mut replica = replica();
        hear(&mut replica, 2, &Message::Want { origin: FAR, after: 3, upto: 5 });
        assert!(tells(&mut replica, 2, &Message::Served { origin: FAR, upto: 0 }));
    }

    #[test]
    fn whoever_hears_that_a_peer_has_nothing_turns_to_another_at_once() {
        let mut replica = replica();
        let (first, last) = (ReplicaId::new(0), ReplicaId::new(u64::MAX));
        let entries = vec![(FAR, 5)];
        let versions = Message::Versions { seq: 0, ahead: 0, first, last, entries, rest: None, reply: false };
        hear(&mut replica, 2, &versions);
        let want = Message::Want { origin: FAR, after: 0, upto: 5 };
        assert!(tells(&mut replica, 2, &want));
        hear(&mut replica, 3, &versions);
        hear(&mut replica, 2, &Message::Served { origin: FAR, upto: 0 });
        assert!(tells(&mut replica, 3, &want), "no timer had to fire");
    }

    /// The one who sent what names it is dead; others that have applied the same know it in that bucket, which no version
    /// vector says.
    #[test]
    fn what_no_live_peer_says_it_has_is_asked_of_all_that_live() {
        const WALL: u64 = 1_700_000_000_000;
        let mut replica = replica();
        let [mut far, mut writer] = [FAR, ReplicaId::new(2)].map(|id| Store::new(id, Limits::default(), 1_024));
        let write = |store: &mut Store| {
            store.write(WALL, 0, |w| w.set(b"key", b"v")).expect("admitted");
            store.seal();
            store.poll_sealed().expect("sealed").body
        };
        let named = write(&mut far);
        writer.apply(Dot::new(FAR, 1), &named).expect("well formed");
        let body = write(&mut writer);
        hear(&mut replica, 2, &Message::Event { origin: ReplicaId::new(2), seq: 1, body: Bytes(&body) });
        let want = Message::Want { origin: FAR, after: 0, upto: 1 };
        assert!(tells(&mut replica, 2, &want), "the sender is asked first");
        let mut now = Now { mono: 1, wall: WALL };
        replica.peer_up(now, ReplicaId::new(4), addr(4), crate::Zone::default());
        replica.peer_down(now, ReplicaId::new(2));
        sent_to(&mut replica, 4);
        let mut unasked = vec![3, 4];
        while !unasked.is_empty() {
            now.mono += 100_000;
            assert!(now.mono < 10_000_000, "{unasked:?} were never asked");
            replica.handle_timeout(now);
            let sent: Vec<_> = std::iter::from_fn(|| replica.poll_transmit(now)).collect();
            let wanted = want.encode();
            let has_want =
                |it: &&Transmit| it.datagrams().any(|it| it.windows(wanted.len()).any(|part| part == wanted));
            let asked: Vec<_> = sent.iter().filter(has_want).map(|it| it.to).collect();
            unasked.retain(|peer| !asked.contains(&addr(*peer)));
        }
        replica.on_below_floor(now, ReplicaId::new(4), FAR, 1);
        assert_eq!(replica.poll_ask().expect("it fetches buckets").peer, ReplicaId::new(4));
    }
}
