//! How often membership calls on a peer: often while anything changes, once a second while nothing does.
//!
//! Chitchat calls on up to three members at every tick. In a cluster at rest that is most of its traffic: three
//! nodes at four ticks a second send 2.8 KB a second each. Here calls are let through or held back. Heartbeats still
//! advance with every tick and travel with answers and through third parties, so that one call a second is enough
//! for a failure detector that waits four. A call on a live peer that is not answered ends the rest at once: on a bad
//! link the full rate is needed, and used.
//!
//! Time and what is known of the callee come in as arguments.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long calls stay frequent after something has changed: a change reaches everybody in a few rounds.
const BUSY: Duration = Duration::from_secs(10);

/// Between two calls at rest. At n = 3 one call and its answers cost about 340 bytes.
const REST: Duration = Duration::from_millis(950);

/// A live peer that has not answered for so long may not have been reached.
const ANSWER: Duration = Duration::from_millis(200);

/// Whether and when calls may leave.
#[derive(Debug)]
pub(in crate::driver) struct Pace {
    busy_until: Instant,
    /// The last call on a live peer, and on any other address.
    peer_called: Option<Instant>,
    other_called: Option<Instant>,
    /// The live peer that has not answered yet.
    unanswered: Option<SocketAddr>,
}

impl Pace {
    /// A node that has just started is busy.
    pub(in crate::driver) fn new(now: Instant) -> Self {
        Self { busy_until: now + BUSY, peer_called: None, other_called: None, unanswered: None }
    }

    /// Something has changed: a member came or went, or this node announces something new.
    pub(in crate::driver) fn stir(&mut self, now: Instant) {
        self.busy_until = now + BUSY;
    }

    /// Whether a call may leave now; `live` says whether it is one on a live peer.
    pub(in crate::driver) fn may_call(&mut self, now: Instant, to: SocketAddr, live: bool) -> bool {
        let last = if live { self.peer_called } else { self.other_called };
        let since = last.map(|last| now.duration_since(last));
        let rested = since.is_none_or(|since| since >= REST);
        let lost = live && self.unanswered.is_some() && since.is_none_or(|since| since >= ANSWER);
        if now >= self.busy_until && !rested && !lost {
            return false;
        }
        if live {
            self.peer_called = Some(now);
            self.unanswered = Some(to);
        } else {
            self.other_called = Some(now);
        }
        true
    }

    /// A call was answered.
    pub(in crate::driver) fn answered(&mut self, from: SocketAddr) {
        self.unanswered.take_if(|it| *it == from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Calls that leave in ten seconds, two tried at each tick.
    fn calls(pace: &mut Pace, from: Instant, answered: bool, live: bool) -> usize {
        let mut count = 0;
        for tick in 0..40 {
            let called: Vec<u16> =
                [1, 2].into_iter().filter(|port| pace.may_call(from + TICK * tick, addr(*port), live)).collect();
            count += called.len();
            if answered {
                called.into_iter().for_each(|port| pace.answered(addr(port)));
            }
        }
        count
    }

    #[test]
    fn at_rest_one_call_a_second_leaves_and_while_busy_all_do() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(calls(&mut pace, start, true, true), 80);
        let rested = start + Duration::from_secs(10);
        assert_eq!(calls(&mut pace, rested, true, true), 10);
        pace.stir(rested + Duration::from_secs(10));
        assert_eq!(calls(&mut pace, rested + Duration::from_secs(10), true, true), 80);
    }

    #[test]
    fn without_answers_from_live_peers_there_is_no_rest() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let rested = start + Duration::from_secs(10);
        assert_eq!(calls(&mut pace, rested, false, true), 40, "one at each tick");
    }

    #[test]
    fn those_who_are_down_are_called_once_a_second_and_do_not_keep_the_others_awake() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let rested = start + Duration::from_secs(10);
        assert_eq!(calls(&mut pace, rested, false, false), 10);
        assert_eq!(calls(&mut pace, rested + Duration::from_secs(10), true, true), 10);
    }

    #[test]
    fn an_answer_from_somebody_else_does_not_count() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let rested = start + Duration::from_secs(10);
        assert!(pace.may_call(rested, addr(1), true));
        pace.answered(addr(2));
        assert!(pace.may_call(rested + TICK, addr(1), true), "not answered: again at once");
        pace.answered(addr(1));
        assert!(!pace.may_call(rested + TICK * 2, addr(1), true));
    }
}
