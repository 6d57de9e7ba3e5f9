//! Events on their way into the store, in order and after what they name.

use std::collections::BTreeMap;

use cahoots_crdt::{Dot, ReplicaId};

use super::{Event, Now, Replica};
use crate::store::Applied;

/// What a waiting event costs beside its body.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
struct HeldEvent {
    body: Box<[u8]>,
    /// Who sent it.
    from: ReplicaId,
    since: u64,
}

/// Events that came before what they follow or name. Bounded in bytes; what does not fit is asked for again.
#[derive(Debug)]
pub(super) struct Held {
    events: BTreeMap<Dot, HeldEvent>,
    bytes: usize,
    bytes_max: usize,
}

impl Held {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { events: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, event: Dot) -> bool {
        self.events.contains_key(&event)
    }

    /// The first event of `origin` that waits.
    fn first_of(&self, origin: ReplicaId) -> Option<u64> {
        self.events.range(Dot::new(origin, 0)..=Dot::new(origin, u64::MAX)).next().map(|(dot, _)| dot.seq)
    }

    fn origins(&self) -> Vec<ReplicaId> {
        let mut origins: Vec<_> = self.events.keys().map(|dot| dot.replica).collect();
        origins.dedup();
        origins
    }

    /// Says whether there was room.
    fn insert(&mut self, event: Dot, body: &[u8], from: ReplicaId, since: u64) -> bool {
        let bytes = body.len() + ENTRY_BYTES;
        if self.bytes + bytes > self.bytes_max {
            return false;
        }
        if self.events.insert(event, HeldEvent { body: body.into(), from, since }).is_none() {
            self.bytes += bytes;
        }
        true
    }

    fn remove(&mut self, event: Dot) -> Option<HeldEvent> {
        let held = self.events.remove(&event)?;
        self.bytes -= held.body.len() + ENTRY_BYTES;
        Some(held)
    }

    /// Drops what `drop` chooses; says how many.
    fn drop_where(&mut self, mut drop: impl FnMut(Dot, &HeldEvent) -> bool) -> usize {
        let before = self.events.len();
        let bytes = &mut self.bytes;
        self.events.retain(|dot, held| {
            let gone = drop(*dot, held);
            if gone {
                *bytes -= held.body.len() + ENTRY_BYTES;
            }
            !gone
        });
        before - self.events.len()
    }
}

impl Replica {
    /// An event has arrived, whole.
    pub(super) fn on_event(&mut self, now: Now, sender: ReplicaId, event: Dot, body: &[u8]) {
        if event.replica == sender
            && let Some(peer) = self.peers.get_mut(&sender)
        {
            peer.owe_ack(now.mono, false);
        }
        let applied = self.store.version_vector().get(event.replica);
        if event.seq <= applied && event.replica != self.id() {
            self.counters.events_known += 1;
            return;
        }
        if !self.offer(now, sender, event, body) {
            return;
        }
        self.release_held(now);
        self.settle_pull(event.replica);
    }

    /// Offers an event to the store; says whether it was applied. One that must wait is held.
    fn offer(&mut self, now: Now, sender: ReplicaId, event: Dot, body: &[u8]) -> bool {
        let applied = match self.store.apply(event, body, now.wall) {
            Ok(applied) => applied,
            Err(error) => {
                self.counters.rejected += 1;
                self.emit(Event::Rejected { peer: sender, reason: format!("event {event:?}: {error}") });
                return false;
            }
        };
        match applied {
            Applied::Now => {
                self.counters.events_applied += 1;
                self.log.append(event, body.into());
                return true;
            }
            Applied::Known => self.counters.events_known += 1,
            Applied::OwnId => self.identity_conflict(sender),
            Applied::Early { ahead_ms } => {
                if self.hold(now, sender, event, body) {
                    self.emit(Event::OriginEarly { origin: event.replica, ahead_ms });
                }
            }
            Applied::Waits(missing) => {
                self.hold(now, sender, event, body);
                for it in missing {
                    self.pull(now, it.dot.replica, sender, it.dot.seq);
                }
            }
        }
        false
    }

    /// Says whether it is held now and was not before.
    fn hold(&mut self, now: Now, sender: ReplicaId, event: Dot, body: &[u8]) -> bool {
        if self.held.contains(event) {
            return false;
        }
        let held = self.held.insert(event, body, sender, now.mono);
        if held {
            self.counters.events_held += 1;
        } else {
            self.counters.events_dropped += 1;
        }
        held
    }

    /// Applies held events for as long as one can be.
    pub(super) fn release_held(&mut self, now: Now) {
        loop {
            let mut progress = false;
            for origin in self.held.origins() {
                let applied = self.store.version_vector().get(origin);
                self.held.drop_where(|dot, _| dot.replica == origin && dot.seq <= applied);
                let mut next = Dot::new(origin, applied + 1);
                while let Some(held) = self.held.remove(next) {
                    if !self.offer(now, held.from, next, &held.body) {
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
        }
    }

    /// Tries held events again, for whom only time was missing, and gives up those that waited too long.
    pub(super) fn review_held(&mut self, now: Now) {
        self.release_held(now);
        let patience = self.config.patience_us;
        let dropped = self.held.drop_where(|_, held| now.mono.saturating_sub(held.since) > patience);
        self.counters.events_dropped += dropped as u64;
    }

    /// Up to where the events of `origin` are here without a gap: applied, held or being put together.
    pub(super) fn have(&self, origin: ReplicaId) -> u64 {
        let mut seq = self.store.version_vector().get(origin);
        if self.held.first_of(origin).is_none() && self.assemblies.is_empty() {
            return seq;
        }
        loop {
            let next = Dot::new(origin, seq + 1);
            if !self.held.contains(next) && !self.assemblies.contains_event(next) {
                return seq;
            }
            seq += 1;
        }
    }
}
