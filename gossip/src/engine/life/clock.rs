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
        let live: Vec<ReplicaId> = self.peers.iter().filter(|(_, it)| it.live).map(|(id, _)| *id).collect();
        for id in live {
            self.peers.get_mut(&id).expect("it was just seen").clock_offset_ms = None;
        }
        self.ask_clocks();
        self.check_clock();
    }

    /// Once a round: a replica that must not write asks again. It may be its peers' clocks that were wrong when they
    /// spoke last, and in a large cluster that may be a while ago.
    pub(in crate::engine) fn review_clock(&mut self) {
        if self.wall_clock.ahead_ms > 0 {
            self.ask_clocks();
        }
        self.check_clock();
    }

    /// Asks some live peers what their clocks read.
    fn ask_clocks(&mut self) {
        let mut live: Vec<ReplicaId> = self.peers.iter().filter(|(_, it)| it.live).map(|(id, _)| *id).collect();
        while live.len() > ASKED_MAX {
            live.swap_remove(self.random_below(live.len()));
        }
        live.into_iter().for_each(|id| self.tell(id, &Message::AskClock));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ReplicaConfig;

    /// Their clocks were wrong, and are right again; of most peers a large cluster hears once in many rounds.
    #[test]
    fn whoever_may_not_write_asks_some_of_its_peers_for_the_time_in_every_round() {
        let mut now = Now { mono: 0, wall: 1_700_000_000_000 };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), now);
        for peer in (2..42).map(ReplicaId::new) {
            replica.peer_up(now, peer, ([127, 0, 0, 1], 2).into(), crate::Zone::default());
            replica.note_clock(now, peer, now.wall - 7_200_000);
        }
        let pass = |replica: &mut Replica, now: &mut Now| {
            (now.mono, now.wall) = (now.mono + 2_000_000, now.wall + 2_000);
            replica.handle_timeout(*now);
        };
        pass(&mut replica, &mut now);
        assert_eq!(replica.clock_ahead_ms(), 7_200_000);
        for rounds in 1.. {
            pass(&mut replica, &mut now);
            // Whoever was asked answers at once.
            let asked = |it: &&crate::engine::Peer| it.is_told(&Message::AskClock);
            let answered: Vec<ReplicaId> =
                replica.peers.iter().filter(|(_, it)| asked(it)).map(|(id, _)| *id).collect();
            assert!((1..=ASKED_MAX).contains(&answered.len()));
            answered.into_iter().for_each(|peer| replica.on_clock(now, peer, now.wall));
            while replica.poll_transmit(now).is_some() {}
            if replica.clock_ahead_ms() == 0 {
                assert!(rounds < 8, "{rounds} rounds");
                break;
            }
        }
    }
}
