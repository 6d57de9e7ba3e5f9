//! The grow-only set.
//!
//! Nothing takes a member out of it but the removal of the key it is nested under, and that removes, as everywhere,
//! exactly the adds that were observed.

use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotMap, DotSet, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A set that only grows.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `add(x)` | `add(y)` | `x` and `y` are in |
/// | `add(x)` | removes the key the set is nested under | `x` is in, unless B had seen an add of it and A therefore wrote nothing |
///
/// `add` and `contains` cost O(1), merging a delta O(its members), merging a state O(n + m).
///
/// Source: Shapiro, Preguiça, Baquero, Zawirski, *A comprehensive study of Convergent and Commutative Replicated
/// Data Types* (2011), section 3.3.1.
///
/// ```
/// use cahoots_crdt::{Causal, GSet, ReplicaId};
///
/// let a = ReplicaId::new(1);
/// let mut seen: Causal<GSet<u32>> = Causal::new();
/// let _delta = seen.add(a, 7);
/// assert!(seen.contains(&7));
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct GSet<T> {
    pub(crate) members: DotMap<T, DotSet>,
}

impl<T: Eq + Hash> GSet<T> {
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

    /// Adds `member`. Of a member that is in: no event.
    pub fn add(&mut self, mutation: &mut Mutation<'_>, member: T) -> Self
    where
        T: Clone,
    {
        let dots = self.members.entry(&member);
        if !dots.is_empty() {
            return Self { members: DotMap::listing_none() };
        }
        let dot = mutation.mint();
        *dots = DotSet::of(dot, ());
        Self { members: DotMap::listing(member, DotSet::of(dot, ())) }
    }
}

impl<T: Eq + Hash + Clone> Causal<GSet<T>> {
    /// Adds `member`. See [`GSet::add`].
    pub fn add(&mut self, replica: ReplicaId, member: T) -> Self {
        self.mutate(replica, |set, mutation| set.add(mutation, member))
    }
}

dot_store_by_field! {
    impl[T: Eq + Hash + Clone] GSet<T> { members: DotMap<T, DotSet> }

    fn is_live(&self) -> bool {
        self.has_dots()
    }
}

impl<T: Eq + Hash + Clone> Reset for GSet<T> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        for (_, dots) in self.members.iter() {
            mutation.supersede_all(dots);
        }
        *self = Self::default();
        Self::default()
    }
}

impl<T: Eq + Hash> Default for GSet<T> {
    fn default() -> Self {
        Self { members: DotMap::default() }
    }
}

impl<T: Eq + Hash + Clone> PartialEq for GSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl<T: Eq + Hash + Clone> Eq for GSet<T> {}

impl<T: Eq + Hash + fmt::Debug> fmt::Debug for GSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
