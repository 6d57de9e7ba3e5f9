//! Ballots: one per replica, counted against a membership that the caller knows.
//!
//! The library has no idea who is a member; a ballot of a replica that left stays stored and simply does not count.

use alloc::vec::Vec;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotFun, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A yes/no vote with one ballot per replica.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `cast(true)` | `cast(false)` | one for, one against |
/// | `cast(true)`, then `cast(false)` | | one against: the second ballot replaces the first |
/// | `cast(true)` | `clear` | one for |
///
/// `cast` costs O(log n) to find the ballot among those of n replicas, a tally O(n log n).
///
/// Source: a dot function (Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), figure 9) in which
/// a replica supersedes only its own cell.
///
/// ```
/// use cahoots_crdt::{Causal, ReplicaId, Vote};
///
/// let [a, b, c] = [1, 2, 3].map(ReplicaId::new);
/// let mut ready: Causal<Vote> = Causal::new();
/// let _delta = ready.cast(a, true);
/// let _delta = ready.cast(b, true);
/// let tally = ready.tally([a, b, c]);
/// assert_eq!((tally.in_favor, tally.against, tally.silent), (2, 0, 1));
/// assert!(tally.majority() && !tally.all());
/// assert!(!ready.tally([b, c]).majority()); // a has left
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct Vote {
    pub(crate) ballots: DotFun<bool>,
}

/// The result of a [`Vote`] among a given membership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Members whose ballot says yes.
    pub in_favor: usize,
    /// Members whose ballot says no.
    pub against: usize,
    /// Members without a ballot.
    pub silent: usize,
}

impl Tally {
    /// Whether at least one member is in favor.
    #[must_use]
    pub fn at_least_one(self) -> bool {
        self.in_favor > 0
    }

    /// Whether more than half of the members are in favor.
    #[must_use]
    pub fn majority(self) -> bool {
        self.in_favor > self.against + self.silent
    }

    /// Whether all members, of whom there is at least one, are in favor.
    #[must_use]
    pub fn all(self) -> bool {
        self.in_favor > 0 && self.against + self.silent == 0
    }
}

impl Vote {
    /// The ballot of `replica`.
    #[must_use]
    pub fn ballot(&self, replica: ReplicaId) -> Option<bool> {
        self.ballots.own(replica).map(|(_, yes)| *yes)
    }

    /// Counts the ballots of `members`; naming one twice makes no difference.
    #[must_use]
    pub fn tally(&self, members: impl IntoIterator<Item = ReplicaId>) -> Tally {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        let mut tally = Tally::default();
        for member in members {
            match self.ballot(member) {
                Some(true) => tally.in_favor += 1,
                Some(false) => tally.against += 1,
                None => tally.silent += 1,
            }
        }
        tally
    }

    /// Casts the ballot of the replica that makes the change, in place of its earlier one. The same again: no event.
    pub fn cast(&mut self, mutation: &mut Mutation<'_>, yes: bool) -> Self {
        let Some(at) = self.ballots.own_at(mutation.replica()) else {
            let dot = mutation.mint();
            self.ballots.insert(dot, yes);
            return Self { ballots: DotFun::of(dot, yes) };
        };
        let (earlier, earlier_yes) = self.ballots.cell_at(at);
        if *earlier_yes == yes {
            return Self::default();
        }
        let dot = mutation.mint();
        mutation.supersede(earlier);
        self.ballots.succeed_at(at, dot, yes);
        Self { ballots: DotFun::of(dot, yes) }
    }

    /// Takes back the ballot of the replica that makes the change. Without one: no event.
    pub fn withdraw(&mut self, mutation: &mut Mutation<'_>) -> Self {
        if let Some((earlier, _)) = self.ballots.own(mutation.replica()) {
            mutation.mint();
            mutation.supersede(earlier);
            self.ballots.retain(|dot, _| dot != earlier);
        }
        Self::default()
    }
}

impl Causal<Vote> {
    /// Casts the ballot of `replica`. See [`Vote::cast`].
    pub fn cast(&mut self, replica: ReplicaId, yes: bool) -> Self {
        self.mutate(replica, |vote, mutation| vote.cast(mutation, yes))
    }

    /// Takes back the ballot of `replica`. See [`Vote::withdraw`].
    pub fn withdraw(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, Vote::withdraw)
    }
}

dot_store_by_field! {
    impl[] Vote { ballots: DotFun<bool> }

    fn is_live(&self) -> bool {
        !self.ballots.is_empty()
    }
}

impl Reset for Vote {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { ballots: self.ballots.reset(mutation, event) }
    }
}
