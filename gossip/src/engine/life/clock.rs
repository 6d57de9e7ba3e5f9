//! What the peers' wall clocks read, and whether this one is so far ahead of them that writing must wait.
//!
//! The bound is kept where events are minted and nowhere else. A stamp from the future, once it exists, is applied like any
//! other: whoever has seen it stamps what it writes later above it. Refused, it would block its origin instead.
//!
//! A clock that steps, this one's or that of all, is noticed by the monotonic one: what peers said before the step says
//! nothing any more, and a few are asked at once. So a wrong step stops writing after a round trip, and one that all
//! clocks make together, or that puts a wrong clock right, stops it no longer than that.

use cahoots_crdt::ReplicaId;

use crate::engine::{Event, Now, Replica};
use crate::wire::Message;

/// A wall clock that moves by more than this against the monotonic one has stepped. Slewing by NTP moves it by half a
/// millisecond a second.
const STEP_MS: u64 = 1_000;
/// Peers asked after a step: enough that a few wrong ones are outvoted.
const ASKED_MAX: usize = 16;

/// This replica's wall clock as it stands to its peers' clocks.
#[derive(Debug, Default)]
pub(in crate::engine) struct WallClock {
    /// By how many milliseconds it is too far ahead of the cluster's for writing; 0 = it is not.
    pub(in crate::engine) ahead_ms: u64,
    /// Its reading less that of the monotonic clock, in milliseconds, when it was last looked at.
    base_ms: Option<i64>,
}

impl WallClock {
    /// Looks at both clocks; says whether the wall clock has stepped since the last look.
    fn has_stepped(&mut self, now: Now) -> bool {
        let base = now.wall.cast_signed().saturating_sub_unsigned(now.mono / 1_000);
        self.base_ms.replace(base).is_some_and(|before| before.abs_diff(base) > STEP_MS)
    }
}

impl Replica {
    /// By how many milliseconds the wall clock is too far ahead of the cluster's for writing; 0 = it is not.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> u64 {
        self.wall_clock.ahead_ms
    }

    /// Asks what the peers' clocks read if this one has stepped.
    pub(in crate::engine) fn watch_clock(&mut self, now: Now) {
        if !self.wall_clock.has_stepped(now) {
            return;
        }
        self.counters.clock_steps += 1;
        let mut live: Vec<ReplicaId> = self.peers.iter().filter(|(_, it)| it.live).map(|(id, _)| *id).collect();
        for id in &live {
            self.peers.get_mut(id).expect("it was just seen").clock_offset_ms = None;
        }
        while live.len() > ASKED_MAX {
            live.swap_remove(self.random_below(live.len()));
        }
        live.into_iter().for_each(|id| self.tell(id, &Message::AskClock));
        self.check_clock();
    }

    /// A peer says what its clock reads.
    pub(in crate::engine) fn on_clock(&mut self, now: Now, sender: ReplicaId, wall_ms: u64) {
        self.note_clock(now, sender, wall_ms);
        self.check_clock();
    }

    pub(in crate::engine) fn note_clock(&mut self, now: Now, sender: ReplicaId, wall_ms: u64) {
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.clock_offset_ms = Some(wall_ms.cast_signed().saturating_sub(now.wall.cast_signed()));
        }
    }

    /// Compares the own wall clock with the live peers': the lower median of all is the cluster's time, so of two
    /// that differ the one ahead stops writing, and of more a single wrong one stops nobody else.
    pub(in crate::engine) fn check_clock(&mut self) {
        let offsets = self.peers.values().filter(|peer| peer.live).filter_map(|peer| peer.clock_offset_ms);
        let mut offsets: Vec<i64> = offsets.chain([0]).collect();
        offsets.sort_unstable();
        let median = offsets[(offsets.len() - 1) / 2];
        let ahead_ms = median.saturating_neg().max(0).unsigned_abs();
        let ahead_ms = if ahead_ms > self.config.limits.clock_ahead_ms_max { ahead_ms } else { 0 };
        self.store.set_clock_ahead(ahead_ms);
        let before = std::mem::replace(&mut self.wall_clock.ahead_ms, ahead_ms);
        if (ahead_ms > 0) != (before > 0) {
            self.emit(Event::ClockAhead { ahead_ms });
        }
    }
}
