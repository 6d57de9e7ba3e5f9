//! Events on their way into the store, in order and after what they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use cahoots_crdt::{Dot, ReplicaId};

use crate::engine::{Event, Now, Record, Replica};
use crate::store::{Applied, Missing, Store};

/// What a waiting event costs beside its body.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
struct HeldEvent {
    body: Box<[u8]>,
    /// Who sent it.
    from: ReplicaId,
    since: u64,
    /// What it waits for at least: it is not read again before, for it may be long and wait while much else comes.
    waits_for: Missing,
}

impl HeldEvent {
    /// Whether it, being `event`, waits for that no more. A bucket that has the event by a transfer has what it names.
    fn is_due(&self, store: &Store, event: Dot) -> bool {
        let Missing { bucket, dot } = self.waits_for;
        [dot, event].iter().any(|dot| store.covers_in(bucket, *dot))
    }

    fn cost(&self) -> usize {
        self.body.len() + ENTRY_BYTES
    }
}

/// Events that came before what they follow or name. Bounded in bytes; what does not fit is asked for again.
#[derive(Debug)]
pub(in crate::engine) struct Held {
    origins: BTreeMap<ReplicaId, BTreeMap<u64, HeldEvent>>,
    bytes: usize,
    bytes_max: usize,
}

impl Held {
    pub(in crate::engine) fn new(bytes_max: usize) -> Self {
        Self { origins: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::engine) fn contains(&self, event: Dot) -> bool {
        self.origins.get(&event.replica).is_some_and(|events| events.contains_key(&event.seq))
    }

    fn len(&self) -> usize {
        self.origins.values().map(BTreeMap::len).sum()
    }

    pub(in crate::engine) fn origins(&self) -> Vec<ReplicaId> {
        self.origins.keys().copied().collect()
    }

    /// Says whether there was room. What is further from its turn makes room for what is nearer.
    fn insert(&mut self, event: Dot, held: HeldEvent) -> bool {
        self.remove(event);
        let nearer = |events: &BTreeMap<u64, HeldEvent>| count_before(events, event.seq);
        while self.bytes + held.cost() > self.bytes_max {
            let ahead = self.origins.get(&event.replica).map_or(0, nearer);
            let longest = self.origins.iter().max_by_key(|(_, events)| events.len());
            let Some((origin, events)) = longest.filter(|(_, events)| events.len() > ahead + 1) else { return false };
            let last = Dot::new(*origin, *events.last_key_value().expect("no origin without events").0);
            self.remove(last);
        }
        self.bytes += held.cost();
        self.origins.entry(event.replica).or_default().insert(event.seq, held);
        true
    }

    fn get(&self, event: Dot) -> Option<&HeldEvent> {
        self.origins.get(&event.replica)?.get(&event.seq)
    }

    fn remove(&mut self, event: Dot) -> Option<HeldEvent> {
        let events = self.origins.get_mut(&event.replica)?;
        let held = events.remove(&event.seq)?;
        self.bytes -= held.cost();
        if events.is_empty() {
            self.origins.remove(&event.replica);
        }
        Some(held)
    }

    /// Drops the events of `origin` up to `seq`.
    fn drop_upto(&mut self, origin: ReplicaId, seq: u64) {
        let Some(events) = self.origins.get_mut(&origin) else { return };
        while let Some(first) = events.first_entry().filter(|first| *first.key() <= seq) {
            self.bytes -= first.remove().cost();
        }
        if events.is_empty() {
            self.origins.remove(&origin);
        }
    }

    /// Drops the events that came before `time`; says how many.
    fn drop_older(&mut self, time: u64) -> usize {
        let (mut dropped, bytes) = (0, &mut self.bytes);
        self.origins.retain(|_, events| {
            events.retain(|_, held| {
                let keep = held.since >= time;
                if !keep {
                    *bytes -= held.cost();
                    dropped += 1;
                }
                keep
            });
            !events.is_empty()
        });
        dropped
    }
}

/// How many of these lie before `seq`. O(those on the side where there are fewer).
fn count_before<T>(events: &BTreeMap<u64, T>, seq: u64) -> usize {
    let (mut before, mut after) = (events.range(..seq), events.range(seq..));
    for count in 0.. {
        if before.next().is_none() {
            return count;
        }
        if after.next().is_none() {
            return events.len() - count;
        }
    }
    unreachable!("a map has an end")
}

impl Replica {
    /// An event has arrived, whole; perhaps to be passed on.
    pub(in crate::engine) fn on_event(&mut self, now: Now, sender: ReplicaId, event: Dot, body: &[u8], relayed: bool) {
        if event.replica != sender {
            if relayed {
                self.owe_relayed_ack(now, event.replica);
            }
        } else if let Some(peer) = self.peers.get_mut(&sender) {
            peer.owe_ack(now.mono, false);
        }
        let applied = self.store.version_vector().get(event.replica);
        if event.replica == self.id() && event.seq > self.store.certain_seq() {
            return self.identity_conflict(sender);
        }
        if event.seq <= applied {
            self.counters.events_known += 1;
            self.compare(sender, event, body);
            return;
        }
        let known = self.held.contains(event);
        let applied = self.offer(now, now.mono, sender, event, body);
        if relayed && !known && (applied || self.held.contains(event)) {
            self.pass_on(event, body);
        }
        if applied {
            self.release_held(now);
            self.settle_pull(event.replica);
        }
    }

    /// Offers an event to the store; says whether it was applied. One that must wait is held, as it has been `since`.
    fn offer(&mut self, now: Now, since: u64, sender: ReplicaId, event: Dot, body: &[u8]) -> bool {
        let applied = match self.store.apply(event, body) {
            Ok(applied) => applied,
            Err(error) => {
                self.counters.rejected += 1;
                self.reach.clear();
                self.emit(Event::Rejected { peer: sender, reason: format!("event {event:?}: {error}") });
                return false;
            }
        };
        match applied {
            Applied::Now => {
                self.counters.events_applied += 1;
                let body = Arc::<[u8]>::from(body);
                self.record(|| Record::Event(event, Arc::clone(&body)));
                self.log.append(event, body);
                self.recent.note(event.replica);
                if let Some(peer) = self.peers.get_mut(&event.replica) {
                    peer.note_applied(now.mono, event.seq);
                }
                return true;
            }
            Applied::Known => self.counters.events_known += 1,
            Applied::OwnId => self.identity_conflict(sender),
            Applied::Waits(missing) => {
                // A gap before it, if there is one, comes first.
                let last = missing.last().expect("it waits for something");
                self.hold(since, sender, event, body, *last);
                // Relayed, what it names comes another way and may be slower.
                let grace = if self.relays() { self.rto_us(sender) / 2 } else { 0 };
                for it in missing {
                    let grace = if it.dot.replica == event.replica { 0 } else { grace };
                    self.pull_in(now, grace, it.dot.replica, sender, it.dot.seq);
                }
            }
        }
        false
    }

    fn hold(&mut self, since: u64, from: ReplicaId, event: Dot, body: &[u8], waits_for: Missing) {
        if self.held.contains(event) {
            return;
        }
        let before = self.held.len();
        let held = self.held.insert(event, HeldEvent { body: body.into(), from, since, waits_for });
        self.counters.events_held += u64::from(held);
        let dropped = before + 1 - self.held.len();
        if dropped > 0 {
            self.reach.clear();
            self.counters.events_dropped += dropped as u64;
        }
    }

    /// Applies held events for as long as one can be.
    pub(in crate::engine) fn release_held(&mut self, now: Now) {
        self.try_held(now, false);
    }

    /// Applies held events for as long as one can be; with `all`, first tries each that is next, also those that wait
    /// for others still: so what they wait for is asked for again.
    fn try_held(&mut self, now: Now, mut all: bool) {
        loop {
            let mut progress = false;
            for origin in self.held.origins() {
                let applied = self.store.version_vector().get(origin);
                self.held.drop_upto(origin, applied);
                let mut next = Dot::new(origin, applied + 1);
                while let Some(held) = self.held.get(next) {
                    let is_over = all || held.is_due(&self.store, next);
                    let Some(held) = is_over.then(|| self.held.remove(next)).flatten() else { break };
                    if !self.offer(now, held.since, held.from, next, &held.body) {
                        break;
                    }
                    progress = true;
                    next.seq += 1;
                }
                self.settle_pull(origin);
            }
            if !progress {
                return;
            }
            all = false;
        }
    }

    /// Tries held events again, and gives up those that waited too long.
    pub(in crate::engine) fn review_held(&mut self, now: Now) {
        self.try_held(now, true);
        let patience = self.config.patience_us;
        let dropped = self.held.drop_older(now.mono.saturating_sub(patience));
        if dropped > 0 {
            self.reach.clear();
            self.counters.events_dropped += dropped as u64;
        }
    }

    /// Up to where the events of `origin` are here without a gap: applied, held or being put together.
    pub(in crate::engine) fn have(&mut self, origin: ReplicaId) -> u64 {
        let applied = self.store.version_vector().get(origin);
        let mut seq = self.reach.get(&origin).map_or(applied, |reach| applied.max(*reach));
        loop {
            let next = Dot::new(origin, seq + 1);
            if !self.held.contains(next) && !self.assemblies.contains(next) {
                break;
            }
            seq += 1;
        }
        if seq > applied {
            self.reach.insert(origin, seq);
        } else {
            self.reach.remove(&origin);
        }
        seq
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::engine::ReplicaConfig;
    use crate::store::Store;

    const A: ReplicaId = ReplicaId::new(1);
    const B: ReplicaId = ReplicaId::new(2);
    const C: ReplicaId = ReplicaId::new(3);
    const WALL: u64 = 1_700_000_000_000;

    fn insert(held: &mut Held, event: Dot) -> bool {
        let waits_for = Missing { bucket: 0, dot: Dot::new(C, 1) };
        held.insert(event, HeldEvent { body: [0; 10].into(), from: A, since: 0, waits_for })
    }

    #[test]
    fn when_there_is_no_room_what_is_furthest_from_its_turn_goes() {
        let mut held = Held::new(3 * (10 + ENTRY_BYTES));
        for seq in [5, 3, 4] {
            assert!(insert(&mut held, Dot::new(A, seq)));
        }
        assert!(!insert(&mut held, Dot::new(A, 6)), "nothing is further away than this");
        assert!(insert(&mut held, Dot::new(A, 2)));
        assert!(!held.contains(Dot::new(A, 5)));
        assert!(insert(&mut held, Dot::new(B, 9)), "the first of its origin");
        assert!(!held.contains(Dot::new(A, 4)));
        assert_eq!((held.len(), held.bytes()), (3, 3 * (10 + ENTRY_BYTES)));
        held.drop_upto(A, 3);
        held.drop_older(1);
        assert_eq!((held.len(), held.bytes()), (0, 0));
    }

    #[test]
    fn how_many_are_nearer_is_counted_from_either_end() {
        let events: BTreeMap<u64, ()> = [2, 3, 5, 8, 13].map(|seq| (seq, ())).into();
        for seq in 0..15 {
            assert_eq!(count_before(&events, seq), events.range(..seq).count(), "{seq}");
        }
    }

    fn store(id: ReplicaId) -> Store {
        Store::new(id, crate::Limits::default(), 1_024)
    }

    fn set(store: &mut Store, key: &[u8]) -> Vec<u8> {
        store.write(WALL, 0, |w| w.set(key, b"v")).expect("admitted");
        store.seal();
        store.poll_sealed().expect("sealed").body
    }

    /// It may be megabytes long: reading it again for whatever else arrives would be work without end.
    #[test]
    fn an_event_that_waits_is_not_read_again_before_what_it_waits_for_is_here() {
        let now = Now { mono: 0, wall: WALL };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(9), now);
        for peer in [A, B, C] {
            let addr = SocketAddr::from(([127, 0, 0, 1], 1));
            replica.peer_up(now, peer, addr, crate::Zone::default());
        }
        let (mut a, mut b, mut c) = (store(A), store(B), store(C));
        let first = set(&mut a, b"key");
        assert_eq!(b.apply(Dot::new(A, 1), &first), Ok(Applied::Now));
        let second = set(&mut b, b"key");
        replica.on_event(now, B, Dot::new(B, 1), &second, false);
        for seq in 1..=100 {
            let other = set(&mut c, b"other");
            replica.on_event(now, C, Dot::new(C, seq), &other, false);
        }
        assert_eq!(
            (replica.counters.events_applied, replica.counters.events_held),
            (100, 1),
            "held once and left alone"
        );
        replica.pulls.clear(); // given up, as after too many tries
        replica.review_held(now);
        assert!(replica.pulls.contains_key(&A), "in each round it is asked for again");
        replica.on_event(now, A, Dot::new(A, 1), &first, false);
        assert_eq!((replica.counters.events_applied, replica.held.len()), (102, 0));
    }
}
