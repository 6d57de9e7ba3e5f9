//! How long a daemon that was told to stop goes on serving: until its clients need it no more, within a bound.
//!
//! The application beside a daemon is usually told to stop at the same moment, and has a last state to write. It may hold
//! one connection all the time, or make one for each command. So what ends the lingering is that nothing has come for a
//! while, counted from the order to stop or from the last thing that did come:
//!
//! - for a short while ([`GAP`]) if no client is connected: longer than the gap between two connections;
//! - for half of the whole time if some are: a pool that is open and idle does not hold up every stop for all of it, and an
//!   application that is busy with its own end has time before its last words. Who gives a long time gives a long half.
//!
//! It looks at counters that are kept anyway, so serving costs nothing more; time comes in as an argument.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::state::Stats;

/// Without any client for so long, none is expected to come back: clients that connect for each command do so many times
/// a second while they are at work.
pub(super) const GAP: Duration = Duration::from_secs(1);

/// Between two looks. A stop may last so much longer than it must.
pub const LOOK: Duration = Duration::from_millis(50);

/// Why a daemon lingers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// No client is connected, and none has been for a while.
    NoClients,
    /// Clients are connected, and none has sent anything for a while.
    AllIdle,
    /// They have had the time there was.
    NoTime,
}

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoClients => "no client is left",
            Self::AllIdle => "the clients that are left are idle",
            Self::NoTime => "the time is over",
        })
    }
}

/// What shows that clients are at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Activity {
    connections: u64,
    clients: usize,
    bytes_in: u64,
}

impl Activity {
    fn of(stats: &Stats) -> Self {
        Self {
            connections: stats.connections.load(Relaxed),
            clients: stats.clients.load(Relaxed),
            bytes_in: stats.bytes_in.load(Relaxed),
        }
    }
}

/// One lingering.
#[derive(Debug)]
pub struct Linger {
    began: Instant,
    bound: Duration,
    seen: Activity,
    /// When something was seen to have come, or gone, last.
    active: Instant,
}

impl Linger {
    /// Begins now; over after `bound` at the latest.
    #[must_use]
    pub fn begin(now: Instant, bound: Duration, stats: &Stats) -> Self {
        Self { began: now, bound, seen: Activity::of(stats), active: now }
    }

    /// Whether it is over.
    pub fn over(&mut self, now: Instant, stats: &Stats) -> Option<Over> {
        let seen = Activity::of(stats);
        if seen != self.seen {
            (self.seen, self.active) = (seen, now);
        }
        let quiet = now.duration_since(self.active);
        if now.duration_since(self.began) >= self.bound {
            Some(Over::NoTime)
        } else if seen.clients == 0 && quiet >= GAP {
            Some(Over::NoClients)
        } else if seen.clients > 0 && quiet >= self.bound / 2 {
            Some(Over::AllIdle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(20);
    const MOMENT: Duration = Duration::from_millis(1);

    fn came(stats: &Stats) {
        stats.connections.fetch_add(1, Relaxed);
        stats.clients.fetch_add(1, Relaxed);
    }

    fn went(stats: &Stats) {
        stats.clients.fetch_sub(1, Relaxed);
    }

    #[test]
    fn without_clients_it_is_over_after_the_gap_and_one_that_came_meanwhile_begins_it_anew() {
        let (stats, start) = (Stats::default(), Instant::now());
        let mut linger = Linger::begin(start, BOUND, &stats);
        assert_eq!(linger.over(start + GAP - MOMENT, &stats), None);
        // Between two looks a client came, wrote, and went.
        came(&stats);
        went(&stats);
        let seen = start + GAP;
        assert_eq!(linger.over(seen, &stats), None);
        assert_eq!(linger.over(seen + GAP - MOMENT, &stats), None);
        assert_eq!(linger.over(seen + GAP, &stats), Some(Over::NoClients));
    }

    #[test]
    fn an_open_connection_holds_it_for_half_the_time_after_its_last_command() {
        let (stats, start) = (Stats::default(), Instant::now());
        came(&stats);
        let mut linger = Linger::begin(start, BOUND, &stats);
        let wrote = start + BOUND / 4;
        stats.bytes_in.fetch_add(30, Relaxed);
        assert_eq!(linger.over(wrote, &stats), None);
        assert_eq!(linger.over(wrote + BOUND / 2 - MOMENT, &stats), None);
        assert_eq!(linger.over(wrote + BOUND / 2, &stats), Some(Over::AllIdle));
    }

    #[test]
    fn clients_that_never_rest_hold_it_for_all_the_time_and_no_longer() {
        let (stats, start) = (Stats::default(), Instant::now());
        came(&stats);
        let mut linger = Linger::begin(start, BOUND, &stats);
        let mut now = start;
        while now + LOOK < start + BOUND {
            now += LOOK;
            stats.bytes_in.fetch_add(30, Relaxed);
            assert_eq!(linger.over(now, &stats), None);
        }
        assert_eq!(linger.over(start + BOUND, &stats), Some(Over::NoTime));
    }

    #[test]
    fn the_last_client_that_goes_leaves_a_gap_for_the_next() {
        let (stats, start) = (Stats::default(), Instant::now());
        came(&stats);
        let mut linger = Linger::begin(start, BOUND, &stats);
        went(&stats);
        let left = start + BOUND / 4;
        assert_eq!(linger.over(left, &stats), None);
        assert_eq!(linger.over(left + GAP - MOMENT, &stats), None);
        assert_eq!(linger.over(left + GAP, &stats), Some(Over::NoClients));
    }

    #[test]
    fn no_time_to_linger_is_over_at_once() {
        let (stats, start) = (Stats::default(), Instant::now());
        came(&stats);
        assert_eq!(Linger::begin(start, Duration::ZERO, &stats).over(start, &stats), Some(Over::NoTime));
    }
}
