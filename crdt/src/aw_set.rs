//! The add-wins set, also known as the observed-remove set.
//!
//! A member is present while any dot of an add is live. An add supersedes the dots it sees and writes one of its own;
//! a remove supersedes the dots it sees. So a remove takes away exactly the adds it observed.
//!
//! Invariant: no member of a whole set has an empty set of dots; one dot belongs to one member.

use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotMap, DotSet, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A set in which an add wins over a concurrent remove of the same member.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `add(x)` | `remove(x)` | `x` is in |
/// | `add(x)` | `add(x)` | `x` is in |
/// | `remove(x)` | `remove(x)` | `x` is out |
/// | `add(x)` | [`clear`](Causal::clear) | `x` is in, all else that B saw is out |
///
/// `add`, `remove` and `contains` cost O(1), merging a delta O(its members), merging a state O(n + m).
///
/// Source: Bieniusa et al., *An Optimized Conflict-free Replicated Set* (2012); as a dot map, Almeida, Shoker,
/// Baquero, *Delta State Replicated Data Types* (2018), section 7.4.3.
///
/// ```
/// use cahoots_crdt::{AwSet, Causal, Lattice, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<AwSet<&str>> = Causal::new();
/// let mut right = left.clone();
/// right.merge(left.add(a, "x"));
///
/// let again = left.add(a, "x"); // concurrently with ...
/// let remove = right.remove(b, "x");
/// left.merge(remove);
/// right.merge(again);
/// assert!(left.contains("x") && right.contains("x"));
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct AwSet<T> {
    pub(crate) members: DotMap<T, DotSet>,
}

impl<T: Eq + Hash> AwSet<T> {
    /// Whether `member` is in. O(1).
    #[must_use]
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        // Only a delta lists members that are not in.
        let listing = self.members.is_listing();
        self.members.get(member).is_some_and(|dots| !listing || !dots.is_empty())
    }

    /// The members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.members.iter().filter(|(_, dots)| !dots.is_empty()).map(|(member, _)| member)
    }

    /// How many members there are. O(1); O(n) for a delta.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.members.is_listing() { self.iter().count() } else { self.members.len() }
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `member` as one event, also when it is in already: so it stays in through any concurrent remove.
    pub fn add(&mut self, mutation: &mut Mutation<'_>, member: T) -> Self
    where
        T: Clone,
    {
        let dot = mutation.mint();
        let dots = self.members.entry(&member);
        mutation.supersede_all(dots);
        *dots = DotSet::of(dot, ());
        Self { members: DotMap::listing(member, DotSet::of(dot, ())) }
    }

    /// Removes the adds of `member` seen here. Of a member that is not in: no event.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, mutation: &mut Mutation<'_>, member: &Q) -> Self
    where
        T: Borrow<Q> + Clone,
    {
        let Some((member, dots)) = self.members.remove(member) else { return Self::nothing() };
        mutation.mint();
        mutation.supersede_all(&dots);
        Self { members: DotMap::listing(member, DotSet::new()) }
    }
}

impl<T: Eq + Hash + Clone> Causal<AwSet<T>> {
    /// Adds `member`. See [`AwSet::add`].
    pub fn add(&mut self, replica: ReplicaId, member: T) -> Self {
        self.mutate(replica, |set, mutation| set.add(mutation, member))
    }

    /// Removes `member`. See [`AwSet::remove`].
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, replica: ReplicaId, member: &Q) -> Self
    where
        T: Borrow<Q>,
    {
        self.mutate(replica, |set, mutation| set.remove(mutation, member))
    }
}

dot_store_by_field! {
    impl[T: Eq + Hash + Clone] AwSet<T> { members: DotMap<T, DotSet> }

    fn is_live(&self) -> bool {
        self.has_dots()
    }
}

impl<T: Eq + Hash + Clone> Reset for AwSet<T> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        for (_, dots) in self.members.iter() {
            mutation.supersede_all(dots);
        }
        *self = Self::default();
        Self::default()
    }
}

impl<T: Eq + Hash> Default for AwSet<T> {
    fn default() -> Self {
        Self { members: DotMap::default() }
    }
}

impl<T: Eq + Hash + Clone> PartialEq for AwSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl<T: Eq + Hash + Clone> Eq for AwSet<T> {}

impl<T: Eq + Hash + fmt::Debug> fmt::Debug for AwSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
