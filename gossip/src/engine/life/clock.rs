//! What the peers' wall clocks read, and whether this one is so far ahead of them that writing must wait.
//!
//! The bound is kept where events are minted and nowhere else. A stamp from the future, once it exists, is applied like any
//! other: whoever has seen it stamps what it writes later above it. Refused, it would block its origin instead.
//!
//! A clock that steps, this one's or that of all, is noticed by the monotonic one: what peers said before the step says
//! nothing any more, and a few are asked at once. Until one of them has answered, a clock that has stepped ahead by more
//! than the bound is taken for wrong: nothing is written by it, and nothing removed that has expired by it. So a wrong step
//! is never written by, and one that all clocks make together, or that puts a wrong clock right, stops writing for a round
//! trip. One that was wrong when the process started has made no step: so whoever joins is not complete before it has
//! heard what a peer's clock reads (`joining.rs`).
//!
//! A clock that is behind most peers' stops nothing: the hybrid clock is kept at theirs. Else what is given so many seconds to live
//! here would have ended elsewhere before it arrives.
//!
//! Stamps ahead of the wall clock, whoever wrote them, are no time that stands still either: deadlines are of the hybrid clock
//! ([`Store::at`](crate::store::Store::at)), and it runs on by itself, a little slower than time, until the wall clock has caught up.
//! Else what is given five seconds to live after a clock was two hours ahead and was put right lives for two hours.
//!
//! What has expired by a wrong clock shows again when that is put right, unless it was removed meanwhile. So nothing is removed by
//! a clock that is not [trusted](Replica::trusts_clock): hiding is enough, and costs only memory.

use cahoots_crdt::ReplicaId;

use crate::engine::life::joining::Joining;
use crate::engine::{Event, Now, Replica};
use crate::wire::Message;

/// A wall clock that moves by more than this against the monotonic one has stepped. Slewing by NTP moves it by half a
/// millisecond a second.
const STEP_MS: u64 = 1_000;
/// For so long, in microseconds, a step ahead is doubted of which no peer has said anything.
const DOUBT_US: u64 = 2_000_000;
/// Where no peer is there to say anything, a clock is trusted that has not stepped for so many microseconds.
const TRUST_US: u64 = 60_000_000;
/// The hybrid clock that is ahead runs slower than time by one part of so many: two hours are made up for in a day and a half,
/// and what lives an hour lives four minutes longer.
const LEAD_PARTS: u64 = 16;
/// Peers asked after a step: enough that a few wrong ones are outvoted.
const ASKED_MAX: usize = 16;

/// This replica's wall clock as it stands to its peers' clocks.
#[derive(Debug, Default)]
pub(in crate::engine) struct WallClock {
    /// By how many milliseconds it is too far ahead of the cluster's for writing; 0 = it is not.
    pub(in crate::engine) ahead_ms: u64,
    /// By how many milliseconds it is behind the cluster's; 0 = it is not, or by so little that it does not matter.
    behind_ms: u64,
    /// Its reading less that of the monotonic clock, in milliseconds, when it was last looked at.
    base_ms: Option<i64>,
    /// When it was first looked at, or has stepped last, on the monotonic clock.
    since: u64,
    doubt: Option<Doubt>,
    lead: Option<Lead>,
}

/// The hybrid clock is ahead of the wall clock.
#[derive(Clone, Copy, Debug)]
struct Lead {
    /// Since when, on the monotonic clock, it runs on by itself, and what it read then.
    since: u64,
    from_ms: u64,
}

impl Lead {
    fn reads(self, now: Now) -> u64 {
        let passed_ms = now.mono.saturating_sub(self.since) / 1_000;
        self.from_ms.saturating_add(passed_ms - passed_ms / LEAD_PARTS)
    }
}

/// A step ahead that no peer has said anything of.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    by_ms: u64,
    /// On the monotonic clock.
    until: u64,
}

impl WallClock {
    /// Looks at both clocks; says by how many milliseconds the wall clock has stepped since the last look, if it has.
    fn step(&mut self, now: Now) -> Option<i64> {
        let base = now.wall.cast_signed().saturating_sub_unsigned(now.mono / 1_000);
        let before = self.base_ms.replace(base);
        let stepped = before.filter(|before| before.abs_diff(base) > STEP_MS);
        if before.is_none() || stepped.is_some() {
            self.since = now.mono;
        }
        stepped.map(|before| base.saturating_sub(before))
    }
}

impl Replica {
    /// By how many milliseconds the wall clock is too far ahead of the cluster's for writing; 0 = it is not.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> u64 {
        self.wall_clock.ahead_ms
    }

    /// Whether what has expired by the wall clock may be removed: most of the live peers that are asked have said since its last
    /// step what theirs read, and it is not ahead of them; or none is live, and it has run evenly for a while. One that
    /// never had a peer has nobody to ask.
    pub(in crate::engine) fn trusts_clock(&self, now: Now) -> bool {
        if self.wall_clock.ahead_ms > 0 {
            return false;
        }
        let live = self.peers.live();
        if live == 0 {
            return self.peers.values().next().is_none() || now.mono >= self.wall_clock.since.saturating_add(TRUST_US);
        }
        let heard = self.peers.values().filter(|peer| peer.live && peer.clock_offset_ms.is_some()).count();
        heard >= live.min(ASKED_MAX).div_ceil(2)
    }

    /// Asks what the peers' clocks read if this one has stepped, and keeps the hybrid clock running where the wall clock is behind
    /// it, or behind the cluster's.
    #[inline]
    pub(in crate::engine) fn watch_clock(&mut self, now: Now) {
        if let Some(step_ms) = self.wall_clock.step(now) {
            self.clock_stepped(now, step_ms);
        }
        if self.wall_clock.behind_ms > 0 || self.store.clock().wall_ms() > now.wall {
            self.run_clock_ahead(now);
        } else {
            self.wall_clock.lead = None;
        }
    }

    #[cold]
    fn run_clock_ahead(&mut self, now: Now) {
        if self.wall_clock.behind_ms > 0 {
            self.store.raise_clock(now.wall.saturating_add(self.wall_clock.behind_ms));
        }
        let reads = self.store.clock().wall_ms();
        // By so little it stands still: the wall clock is there in a moment.
        let lead = self.wall_clock.lead.filter(|it| it.reads(now) >= reads && reads > now.wall.saturating_add(STEP_MS));
        let lead = lead.unwrap_or(Lead { since: now.mono, from_ms: reads });
        self.wall_clock.lead = Some(lead);
        self.store.raise_clock(lead.reads(now));
    }

    #[cold]
    fn clock_stepped(&mut self, now: Now, step_ms: i64) {
        self.counters.clock_steps += 1;
        let live: Vec<ReplicaId> = self.peers.live_ids().collect();
        for id in live {
            self.peers.get_mut(&id).expect("it was just seen").clock_offset_ms = None;
        }
        let by_ms = u64::try_from(step_ms).unwrap_or(0);
        // What was known of it holds until somebody says more.
        let behind_ms = self.wall_clock.behind_ms;
        self.wall_clock.behind_ms = if behind_ms > 0 { behind_ms.saturating_add_signed(-step_ms) } else { 0 };
        let is_doubted = by_ms > self.config.limits.clock_ahead_ms_max;
        self.wall_clock.doubt = is_doubted.then_some(Doubt { by_ms, until: now.mono.saturating_add(DOUBT_US) });
        self.ask_clocks();
        self.check_clock();
    }

    /// Once a round: a replica that must not write asks again. It may be its peers' clocks that were wrong when they
    /// spoke last, and in a large cluster that may be a while ago.
    pub(in crate::engine) fn review_clock(&mut self, now: Now) {
        self.wall_clock.doubt = self.wall_clock.doubt.filter(|doubt| now.mono < doubt.until);
        if self.wall_clock.ahead_ms > 0 {
            self.ask_clocks();
        }
        self.check_clock();
    }

    /// Asks some live peers what their clocks read.
    fn ask_clocks(&mut self) {
        let mut live: Vec<ReplicaId> = self.peers.live_ids().collect();
        while live.len() > ASKED_MAX {
            live.swap_remove(self.random_below(live.len()));
        }
        live.into_iter().for_each(|id| self.tell(id, &Message::AskClock));
    }

    /// A peer says what its clock reads.
    pub(in crate::engine) fn on_clock(&mut self, now: Now, sender: ReplicaId, wall_ms: u64) {
        self.note_clock(now, sender, wall_ms);
        self.check_clock();
        self.consider_joining(now);
    }

    pub(in crate::engine) fn note_clock(&mut self, now: Now, sender: ReplicaId, wall_ms: u64) {
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.clock_offset_ms = Some(wall_ms.cast_signed().saturating_sub(now.wall.cast_signed()));
        }
        if self.joining.as_mut().is_some_and(Joining::hear_clock) {
            self.check_clock();
        }
    }

    /// Compares the own wall clock with the live peers': the lower median of all is the cluster's time, so of two
    /// that differ the one ahead stops writing, and of more a single wrong one stops nobody else.
    pub(in crate::engine) fn check_clock(&mut self) {
        let offsets = self.peers.values().filter(|peer| peer.live).filter_map(|peer| peer.clock_offset_ms);
        let mut offsets: Vec<i64> = offsets.chain([0]).collect();
        offsets.sort_unstable();
        let median = offsets[(offsets.len() - 1) / 2];
        if offsets.len() > 1 {
            self.wall_clock.behind_ms = u64::try_from(median).ok().filter(|behind| *behind > STEP_MS).unwrap_or(0);
        }
        let ahead_ms = match self.wall_clock.doubt {
            Some(doubt) if offsets.len() == 1 && self.peers.live() > 0 => doubt.by_ms,
            _ => median.saturating_neg().max(0).unsigned_abs(),
        };
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

    /// A clock that is wrong for a moment: nothing is written by it, and nothing removed that has expired by it.
    #[test]
    fn a_step_ahead_is_doubted_until_a_peer_has_spoken() {
        let begin = Now { mono: 1_000_000, wall: 1_700_000_000_000 };
        let after = |ms: u64, step: u64| Now { mono: begin.mono + ms * 1_000, wall: begin.wall + ms + step };
        let step = 7_200_000;
        let replica = || {
            let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), begin);
            replica.peer_up(begin, ReplicaId::new(2), ([127, 0, 0, 1], 2).into(), crate::Zone::default());
            replica.note_clock(begin, ReplicaId::new(2), begin.wall);
            let ends = Some(begin.wall + 600_000);
            replica.write(begin, 0, |writer| writer.set_until(b"k", b"v", ends)).expect("clocks are right");
            replica.handle_timeout(after(1, 0));
            replica
        };
        let write = |replica: &mut Replica, now| replica.write(now, 0, |writer| writer.set(b"x", b"")).is_ok();

        let mut wrong = replica();
        assert!(!write(&mut wrong, after(10, step)), "not even at once");
        assert_eq!(wrong.count_keys(after(11, step)), 0, "it is hidden, while the clock says so");
        wrong.handle_timeout(after(500, step));
        assert_eq!(wrong.counters.keys_removed, 0);
        assert!(write(&mut wrong, after(900, 0)), "the clock is right again, and no peer has been heard");
        assert_eq!(
            wrong.store().at(after(900, 0).wall).view(b"k").and_then(|view| view.deadline()),
            Some(begin.wall + 600_000)
        );

        let mut right = replica();
        assert!(!write(&mut right, after(10, step)));
        right.on_clock(after(12, step), ReplicaId::new(2), after(12, step).wall);
        assert!(write(&mut right, after(12, step)), "its peer's clock has stepped, too");

        let mut unheard = replica();
        assert!(!write(&mut unheard, after(10, step)));
        for ms in (0..=6_000).step_by(500) {
            unheard.handle_timeout(after(10 + ms, step));
        }
        assert!(write(&mut unheard, after(6_010, step)), "a doubt that nobody confirms ends");
    }

    /// The first of a cluster, started with a wrong clock, learns what there is before it has heard what time it is.
    #[test]
    fn nothing_is_removed_before_most_peers_have_said_what_time_it_is() {
        let start = Now { mono: 1_000_000, wall: 1_700_000_000_000 };
        let after = |ms: u64| Now { mono: start.mono + ms * 1_000, wall: start.wall + ms };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), start);
        replica
            .write(start, 0, |writer| writer.set_until(b"k", b"v", Some(start.wall + 10)))
            .expect("clocks are right");
        assert!(replica.trusts_clock(start), "it is alone in the world");
        for peer in 2..5 {
            replica.peer_up(start, ReplicaId::new(peer), ([127, 0, 0, 1], 2).into(), crate::Zone::default());
        }
        // The others in rank have had their turns by then.
        let late = 20_000;
        for ms in (0..late).step_by(500) {
            replica.handle_timeout(after(ms));
        }
        assert_eq!((replica.count_keys(after(late)), replica.counters.keys_removed), (0, 0), "hidden, and there");
        replica.on_clock(after(late), ReplicaId::new(2), after(late).wall);
        assert!(!replica.trusts_clock(after(late)), "one of three");
        replica.on_clock(after(late), ReplicaId::new(3), after(late).wall);
        for ms in (late..late + 3_000).step_by(500) {
            replica.handle_timeout(after(ms));
        }
        assert_eq!(replica.counters.keys_removed, 1);

        for peer in 2..5 {
            replica.peer_down(after(30_000), ReplicaId::new(peer));
        }
        let ahead = |ms: u64| Now { wall: after(ms).wall + 7_200_000, ..after(ms) };
        assert!(replica.trusts_clock(after(70_000)), "it has run evenly");
        replica.handle_timeout(ahead(70_001));
        assert!(!replica.trusts_clock(ahead(71_000)) && replica.trusts_clock(ahead(140_000)));
    }

    /// Two of three are an hour ahead of it: a key that it gives five seconds to live has five seconds there.
    #[test]
    fn a_clock_behind_most_others_gives_keys_the_time_to_live_that_they_have_elsewhere() {
        const BEHIND: u64 = 3_600_000;
        let after = |ms: u64| Now { mono: ms * 1_000, wall: 1_700_000_000_000 + ms };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), after(0));
        for peer in [2, 3].map(ReplicaId::new) {
            replica.peer_up(after(0), peer, ([127, 0, 0, 1], 2).into(), crate::Zone::default());
            assert_eq!(replica.store().at(after(0).wall).now(), after(0).wall, "of two nobody is right");
            replica.on_clock(after(0), peer, after(0).wall + BEHIND);
        }
        let time = |replica: &mut Replica, now: Now| {
            replica.handle_timeout(now);
            replica.store().at(now.wall).now()
        };
        assert_eq!(time(&mut replica, after(700)), after(700).wall + BEHIND);
        replica.write(after(700), 0, |writer| writer.set(b"k", b"v")).expect("it may write");
        assert_eq!(replica.store().clock().wall_ms(), after(700).wall + BEHIND, "what is written is of that time");
        let ended = Now { wall: after(900).wall + BEHIND, ..after(900) };
        assert_eq!(time(&mut replica, ended), ended.wall, "its clock was put right");
        for peer in [2, 3].map(ReplicaId::new) {
            replica.on_clock(ended, peer, ended.wall);
        }
        assert_eq!(time(&mut replica, Now { mono: 950_000, wall: ended.wall + 50 }), ended.wall + 50);
    }

    /// It was written to while all clocks were two hours ahead, and they have been put right.
    #[test]
    fn what_lives_five_seconds_lives_about_five_seconds_though_stamps_are_hours_ahead() {
        const AHEAD: u64 = 7_200_000;
        let after = |ms: u64| Now { mono: ms * 1_000, wall: 1_700_000_000_000 + ms };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), after(0));
        let wrong = Now { wall: after(0).wall + AHEAD, ..after(0) };
        replica.write(wrong, 0, |writer| writer.set(b"x", b"")).expect("nobody knows better");
        let time = |replica: &mut Replica, ms: u64| {
            replica.see_time(after(ms));
            replica.store().at(after(ms).wall).now()
        };
        let set_at = time(&mut replica, 1_000);
        let set = replica.write(after(1_000), 0, |writer| writer.set_until(b"k", b"v", Some(set_at + 5_000)));
        set.expect("its clock is right");
        let mut ended = None;
        while ended.is_none() {
            let due = replica.expiry_due().expect("it ends").div_ceil(1_000);
            replica.handle_timeout(after(due));
            let sees = replica.store().at(after(due).wall).view(b"k").is_some();
            ended = (!sees).then_some(due);
        }
        assert_eq!(ended, Some(1_000 + 5_000 + 5_000 / (LEAD_PARTS - 1)), "a little slower than time");

        // So it goes on, whoever is ahead of whom, until the wall clock is there.
        let day = 86_400_000;
        for hour in 1..48 {
            let (ms, before) = (hour * 3_600_000, time(&mut replica, (hour - 1) * 3_600_000));
            let now = time(&mut replica, ms);
            assert!(now > before && now - before <= 3_600_000, "{hour}");
        }
        assert_eq!(time(&mut replica, 2 * day), after(2 * day).wall);
    }

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
