//! Recent events of every origin, for peers that lag.
//!
//! Bounded in bytes over all origins; the oldest to arrive go first. Cutting is an optimisation, never a matter of
//! correctness: a peer that needs what was cut catches up by buckets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cahoots_crdt::{Dot, ReplicaId};

/// What an event costs beside its body.
const ENTRY_BYTES: usize = 48;
/// Arrivals kept, beside twice those of the events that are here, before those that name nothing are taken out.
const STALE_MAX: usize = 1024;

#[derive(Debug, Default)]
struct Origin {
    /// Events `1..=floor` are not here.
    floor: u64,
    events: VecDeque<Arc<[u8]>>,
}

#[derive(Debug)]
pub(in crate::engine) struct Log {
    origins: BTreeMap<ReplicaId, Origin>,
    /// Whose event came when, oldest first. May name events that a takeover has dropped already.
    arrivals: VecDeque<ReplicaId>,
    /// How many events are here.
    events: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Log {
    pub(in crate::engine) fn new(bytes_max: usize) -> Self {
        Self { origins: BTreeMap::new(), arrivals: VecDeque::new(), events: 0, bytes: 0, bytes_max }
    }

    /// Appends the next event of an origin. One that does not follow on the last starts the origin's log anew.
    pub(in crate::engine) fn append(&mut self, event: Dot, body: Arc<[u8]>) {
        if self.last(event.replica) + 1 != event.seq {
            self.restart(event.replica, event.seq - 1);
        }
        self.bytes += body.len() + ENTRY_BYTES;
        self.events += 1;
        self.origins.entry(event.replica).or_default().events.push_back(body);
        self.arrivals.push_back(event.replica);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.arrivals.pop_front() else { break };
            let Some(origin) = self.origins.get_mut(&oldest) else { continue };
            if let Some(body) = origin.events.pop_front() {
                origin.floor += 1;
                self.events -= 1;
                self.bytes -= body.len() + ENTRY_BYTES;
            }
            if origin.events.is_empty() {
                // An origin that has died leaves nothing; one that goes on begins anew where it is.
                self.origins.remove(&oldest);
            }
        }
        if self.arrivals.len() > 2 * self.events + STALE_MAX {
            self.forget_stale();
        }
    }

    /// Takes out of the arrivals what names no event any more: of each origin the last ones stay, as many as there are.
    fn forget_stale(&mut self) {
        let mut left: BTreeMap<ReplicaId, usize> =
            self.origins.iter().map(|(id, origin)| (*id, origin.events.len())).collect();
        let mut kept = VecDeque::with_capacity(self.events);
        for id in self.arrivals.drain(..).rev() {
            if let Some(left) = left.get_mut(&id).filter(|left| **left > 0) {
                *left -= 1;
                kept.push_front(id);
            }
        }
        self.arrivals = kept;
    }

    /// A transfer has gone past a gap: what the log of `origin` holds does not join up with what comes next.
    pub(in crate::engine) fn restart(&mut self, origin: ReplicaId, floor: u64) {
        let origin = self.origins.entry(origin).or_default();
        self.events -= origin.events.len();
        self.bytes -= origin.events.drain(..).map(|body| body.len() + ENTRY_BYTES).sum::<usize>();
        origin.floor = floor;
    }

    /// Drops the events of `origin` after `seq`: they are not its own.
    pub(in crate::engine) fn cut(&mut self, origin: ReplicaId, seq: u64) {
        let Some(origin) = self.origins.get_mut(&origin) else { return };
        let keep = usize::try_from(seq.saturating_sub(origin.floor)).unwrap_or(usize::MAX).min(origin.events.len());
        self.events -= origin.events.len() - keep;
        self.bytes -= origin.events.drain(keep..).map(|body| body.len() + ENTRY_BYTES).sum::<usize>();
        origin.floor = origin.floor.min(seq);
    }

    /// The body of an event, if the log reaches back to it.
    pub(in crate::engine) fn get(&self, event: Dot) -> Option<&Arc<[u8]>> {
        let origin = self.origins.get(&event.replica)?;
        let at = event.seq.checked_sub(origin.floor + 1)?;
        origin.events.get(usize::try_from(at).ok()?)
    }

    /// The last event of `origin` that the log knows of.
    pub(in crate::engine) fn last(&self, origin: ReplicaId) -> u64 {
        self.origins.get(&origin).map_or(0, |it| it.floor + it.events.len() as u64)
    }

    /// Events of `origin` up to this one are not in the log.
    pub(in crate::engine) fn floor(&self, origin: ReplicaId) -> u64 {
        self.origins.get(&origin).map_or(0, |it| it.floor)
    }

    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many origins have events here.
    pub(in crate::engine) fn origins(&self) -> usize {
        self.origins.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId::new(1);
    const B: ReplicaId = ReplicaId::new(2);

    fn body() -> Arc<[u8]> {
        vec![0; 100].into()
    }

    #[test]
    fn the_oldest_events_go_when_the_bound_is_reached_whoever_wrote_them() {
        let mut log = Log::new(3 * (100 + ENTRY_BYTES));
        log.append(Dot::new(A, 1), body());
        log.append(Dot::new(B, 1), body());
        log.append(Dot::new(A, 2), body());
        assert_eq!((log.floor(A), log.floor(B)), (0, 0));
        log.append(Dot::new(A, 3), body());
        assert_eq!((log.floor(A), log.floor(B)), (1, 0));
        log.append(Dot::new(A, 4), body());
        assert_eq!(log.floor(A), 1);
        assert!(log.get(Dot::new(B, 1)).is_none());
        assert!(log.get(Dot::new(A, 1)).is_none());
        assert!(log.get(Dot::new(A, 2)).is_some());
        assert_eq!(log.bytes(), 3 * (100 + ENTRY_BYTES));
    }

    #[test]
    fn an_origin_whose_last_event_is_cut_leaves_nothing_and_may_go_on() {
        let mut log = Log::new(2 * (100 + ENTRY_BYTES));
        log.append(Dot::new(A, 1), body());
        log.append(Dot::new(B, 1), body());
        log.append(Dot::new(B, 2), body());
        assert_eq!((log.origins(), log.last(A)), (1, 0));
        log.append(Dot::new(A, 2), body());
        assert!(log.get(Dot::new(A, 2)).is_some() && log.get(Dot::new(A, 1)).is_none());
        assert_eq!(log.floor(A), 1);
    }

    #[test]
    fn an_event_past_a_gap_starts_the_log_anew() {
        let mut log = Log::new(1 << 20);
        log.append(Dot::new(A, 1), body());
        log.append(Dot::new(A, 5), body());
        assert_eq!((log.floor(A), log.last(A)), (4, 5));
        assert!(log.get(Dot::new(A, 1)).is_none());
        assert_eq!(log.bytes(), 100 + ENTRY_BYTES);
    }

    #[test]
    fn a_log_that_begins_anew_again_and_again_keeps_no_trace_of_what_it_held() {
        let mut log = Log::new(1 << 20);
        log.append(Dot::new(B, 1), body());
        for seq in (1..100_000).step_by(2) {
            log.append(Dot::new(A, seq), body());
            log.cut(A, if seq % 3 == 0 { 0 } else { seq });
        }
        assert!(log.events <= 2 && log.arrivals.len() <= STALE_MAX + 4, "{} arrivals", log.arrivals.len());
        log.append(Dot::new(B, 2), body());
        log.forget_stale();
        assert_eq!(log.arrivals.iter().filter(|id| **id == B).count(), 2, "what is there stays in its order");
    }
}
