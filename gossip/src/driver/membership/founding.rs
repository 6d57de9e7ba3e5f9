//! Which first start a cluster goes back to: what tells a cluster that grew from two that were merged by mistake.
//!
//! Without a key and under the default name, a cluster takes in any process that answers at an address that it knows: a
//! reused address is enough to merge two clusters, and a merge cannot be taken back. Nothing else shows it, for merged
//! data looks like any. So each cluster has a *founding id*: a random number, drawn by a node that becomes ready
//! without having caught up with a peer, and taken over by all who catch up with it. Members announce theirs, and a
//! data directory keeps it.
//!
//! - Daemons that are started together find each other within moments, each perhaps with an id of its own: for
//!   [`SETTLE_TIME`] an id is *fresh*, gives way to a settled one, and of two fresh ones the smaller stays.
//! - A settled id that is not ours is told of, once. From then on it is ours as well: the set of ids only grows, so each
//!   side hears of the other's, and a node that joins later hears of nothing.
//!
//! Time and randomness come in as arguments.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long after it was drawn an id may still be another's. Starts of one cluster lie seconds apart; two clusters that
/// are merged within half a minute of their first starts have hardly anything to regret.
pub(super) const SETTLE_TIME: Duration = Duration::from_secs(30);

/// Clusters that one goes back to are few. What is announced has to stay short: of more, the smallest are told.
const IDS_MAX: usize = 16;

/// What a member says about the first starts it goes back to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::driver) struct Founding {
    pub(in crate::driver) ids: BTreeSet<u64>,
    /// It may still be another's.
    pub(in crate::driver) fresh: bool,
}

impl fmt::Display for Founding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.fresh { "fresh" } else { "settled" })?;
        self.ids.iter().take(IDS_MAX).try_for_each(|id| write!(f, " {id:016x}"))
    }
}

impl FromStr for Founding {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let fresh = match words.next() {
            Some("fresh") => true,
            Some("settled") => false,
            _ => return Err(()),
        };
        let ids =
            words.take(IDS_MAX).map(|word| u64::from_str_radix(word, 16).map_err(drop)).collect::<Result<_, _>>()?;
        Ok(Self { ids, fresh })
    }
}

/// What this node goes back to.
#[derive(Debug)]
pub(super) struct Founded {
    own: Founding,
    /// When a fresh id becomes settled.
    settles_at: Option<Instant>,
}

impl Founded {
    /// With the ids that a disk has kept, if any.
    pub(super) fn new(kept: &[u64]) -> Self {
        Self { own: Founding { ids: kept.iter().copied().collect(), fresh: false }, settles_at: None }
    }

    /// What to announce; nothing as long as nothing is known.
    pub(super) fn announced(&self) -> Option<&Founding> {
        Some(&self.own).filter(|own| !own.ids.is_empty())
    }

    /// What to keep.
    pub(super) fn settled(&self) -> Vec<u64> {
        if self.own.fresh { Vec::new() } else { self.own.ids.iter().copied().collect() }
    }

    /// When [`Founded::pass`] has something to do.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        self.settles_at
    }

    /// The node is ready. What it goes back to is what those do whom it knows, `closest` (with whom it has caught up) before
    /// all others; without any it founds a cluster, and draws.
    pub(super) fn ready<'a>(
        &mut self,
        now: Instant,
        closest: Option<&Founding>,
        others: impl Iterator<Item = &'a Founding>,
        draw: impl FnOnce() -> u64,
    ) {
        if !self.own.ids.is_empty() {
            return;
        }
        let known = closest.into_iter().cloned().chain(others.cloned()).filter(|it| !it.ids.is_empty());
        // Settled ones first; of equals, the first.
        self.own = known.min_by_key(|it| it.fresh).unwrap_or_else(|| Founding { ids: [draw()].into(), fresh: true });
        self.settles_at = self.own.fresh.then_some(now + SETTLE_TIME);
    }

    /// A member announces this. What of it belongs to another first start, if that has to be told.
    pub(super) fn meet(&mut self, theirs: &Founding) -> Option<Vec<u64>> {
        // A node that has none has not caught up with a peer yet; and when it does, it takes over theirs silently.
        if self.own.ids.is_empty() || theirs.ids.is_empty() {
            return None;
        }
        match (self.own.fresh, theirs.fresh) {
            (true, false) => (self.own, self.settles_at) = (theirs.clone(), None),
            (true, true) if theirs.ids < self.own.ids => self.own.ids.clone_from(&theirs.ids),
            (false, false) => {
                let strange: Vec<u64> = theirs.ids.difference(&self.own.ids).copied().collect();
                self.own.ids.extend(&strange);
                return Some(strange).filter(|it| !it.is_empty());
            }
            _ => {}
        }
        None
    }

    /// Time passes.
    pub(super) fn pass(&mut self, now: Instant) {
        if self.settles_at.is_some_and(|at| at <= now) {
            (self.own.fresh, self.settles_at) = (false, None);
        }
    }
}

/// As people read them.
pub(super) fn described(ids: impl IntoIterator<Item = u64>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| format!("{id:016x}")).collect();
    ids.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(now: Instant, id: u64) -> Founded {
        let mut founded = Founded::new(&[]);
        founded.ready(now, None, [].into_iter(), || id);
        founded
    }

    fn meet(one: &mut Founded, other: &mut Founded) -> [Option<Vec<u64>>; 2] {
        let theirs = other.own.clone();
        let mine = one.own.clone();
        [one.meet(&theirs), other.meet(&mine)]
    }

    #[test]
    fn what_is_announced_is_read_back() {
        for founding in [
            Founding { ids: [1, u64::MAX].into(), fresh: false },
            Founding { ids: [7].into(), fresh: true },
            Founding::default(),
        ] {
            assert_eq!(founding.to_string().parse(), Ok(founding));
        }
        for text in ["", "stale 1", "fresh x"] {
            assert_eq!(text.parse::<Founding>(), Err(()), "{text}");
        }
    }

    #[test]
    fn members_that_were_started_together_settle_silently_on_the_smallest() {
        let now = Instant::now();
        let (mut a, mut b) = (drawn(now, 9), drawn(now, 5));
        assert_eq!(meet(&mut a, &mut b), [None, None]);
        a.pass(now + SETTLE_TIME);
        b.pass(now + SETTLE_TIME);
        assert_eq!((a.settled(), b.settled()), (vec![5], vec![5]));
        assert_eq!(meet(&mut a, &mut b), [None, None]);
    }

    #[test]
    fn whoever_catches_up_takes_over_what_it_caught_up_with_and_a_late_one_that_served_alone_gives_way() {
        let now = Instant::now();
        let mut old = drawn(now, 9);
        old.pass(now + SETTLE_TIME);
        let mut joiner = Founded::new(&[]);
        assert_eq!(joiner.meet(old.announced().unwrap()), None, "it has not caught up yet");
        joiner.ready(now, old.announced(), [].into_iter(), || unreachable!("there is one"));
        assert_eq!(joiner.settled(), [9]);
        let mut alone = drawn(now, 3);
        assert_eq!(meet(&mut alone, &mut old), [None, None]);
        assert_eq!((alone.settled(), old.settled()), (vec![9], vec![9]));
    }

    #[test]
    fn two_first_starts_that_meet_are_told_of_on_both_sides_once() {
        let now = Instant::now();
        let (mut a, mut b) = (Founded::new(&[1]), Founded::new(&[2]));
        // One after the other: the second sees what the first has become.
        assert_eq!(a.meet(b.announced().unwrap()), Some(vec![2]));
        assert_eq!(b.meet(a.announced().unwrap()), Some(vec![1]));
        assert_eq!(meet(&mut a, &mut b), [None, None]);
        let mut later = Founded::new(&[]);
        later.ready(now, a.announced(), [].into_iter(), || unreachable!("there is one"));
        assert_eq!(meet(&mut later, &mut b), [None, None], "it belongs to both");
    }
}
