//! The remove-wins set.
//!
//! An add and a remove both write a *mark* and supersede the marks they see. A member is in when there are live marks
//! and all say "add". So a remove wins over every add that had not seen it.
//!
//! Removing the key such a set is nested under takes away the observed "add" marks and spares the "remove" marks:
//! without them a member could appear that a concurrent remove had beaten.
//!
//! Price: a removed member keeps one mark per replica that removed it last, concurrently; members that come and go
//! for ever under ever new names should live in an [`AwSet`](crate::AwSet).

use core::borrow::Borrow;
use core::fmt;
use core::hash::Hash;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotFun, DotMap, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A set in which a remove wins over a concurrent add of the same member.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `add(x)` | `remove(x)` | `x` is out |
/// | `add(x)` | `add(x)` | `x` is in |
/// | `add(x)` | removes the key the set is nested under | `x` is in, unless a live remove beats it |
///
/// `add`, `remove` and `contains` cost O(1), merging a delta O(its members), merging a state O(n + m).
///
/// Price: a removed member keeps a mark for each replica that removed it last, concurrently. Members that come and
/// go for ever under ever new names should live in an [`AwSet`](crate::AwSet).
///
/// Source: Baquero, Almeida, Shoker, *Pure Operation-Based Replicated Data Types* (2017), section 5.
///
/// ```
/// use cahoots_crdt::{Causal, Lattice, ReplicaId, RwSet};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<RwSet<&str>> = Causal::new();
/// let mut right = left.clone();
/// let add = left.add(a, "mallory");
/// left.merge(right.remove(b, "mallory"));
/// right.merge(add);
/// assert!(!left.contains("mallory") && !right.contains("mallory"));
/// ```
#[derive(Clone)]
#[must_use = "a delta has to reach the other replicas"]
pub struct RwSet<T> {
    /// Whether each mark says "add".
    pub(crate) marks: DotMap<T, DotFun<bool>>,
}

impl<T: Eq + Hash> RwSet<T> {
    /// Whether `member` is in. O(1).
    #[must_use]
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.marks.get(member).is_some_and(all_say_yes)
    }

    /// The members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.marks.iter().filter(|(_, marks)| all_say_yes(marks)).map(|(member, _)| member)
    }

    /// How many members there are. O(n).
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no member. O(n) at worst.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Adds `member`, over every remove seen here.
    pub fn add(&mut self, mutation: &mut Mutation<'_>, member: T) -> Self
    where
        T: Clone,
    {
        self.mark(mutation, member, true)
    }

    /// Removes `member`, also one that is not in: the remove still wins over concurrent adds.
    pub fn remove(&mut self, mutation: &mut Mutation<'_>, member: T) -> Self
    where
        T: Clone,
    {
        self.mark(mutation, member, false)
    }

    fn mark(&mut self, mutation: &mut Mutation<'_>, member: T, is_in: bool) -> Self
    where
        T: Clone,
    {
        let dot = mutation.mint();
        let marks = self.marks.entry(&member);
        mutation.supersede_all(marks);
        *marks = DotFun::of(dot, is_in);
        Self { marks: DotMap::listing(member, DotFun::of(dot, is_in)) }
    }
}

/// Whether there are marks and none says "out".
pub(crate) fn all_say_yes(marks: &DotFun<bool>) -> bool {
    !marks.is_empty() && marks.iter().all(|(_, yes)| *yes)
}

/// Supersedes the marks that say "in" and spares the others.
pub(crate) fn reset_marks(marks: &mut DotFun<bool>, mutation: &mut Mutation<'_>) {
    marks.retain(|dot, yes| {
        if *yes {
            mutation.supersede(dot);
        }
        !*yes
    });
}

impl<T: Eq + Hash + Clone> Causal<RwSet<T>> {
    /// Adds `member`. See [`RwSet::add`].
    pub fn add(&mut self, replica: ReplicaId, member: T) -> Self {
        self.mutate(replica, |set, mutation| set.add(mutation, member))
    }

    /// Removes `member`. See [`RwSet::remove`].
    pub fn remove(&mut self, replica: ReplicaId, member: T) -> Self {
        self.mutate(replica, |set, mutation| set.remove(mutation, member))
    }
}

dot_store_by_field! {
    impl[T: Eq + Hash + Clone] RwSet<T> { marks: DotMap<T, DotFun<bool>> }

    const LEAVES_RESIDUE: bool = true;

    fn is_live(&self) -> bool {
        !self.is_empty()
    }
}

impl<T: Eq + Hash + Clone> Reset for RwSet<T> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        self.marks.retain(|_, marks| {
            reset_marks(marks, mutation);
            !marks.is_empty()
        });
        // The delta names superseded dots only. The marks spared are not among them, so a whole store is exact.
        Self::default()
    }
}

impl<T: Eq + Hash> Default for RwSet<T> {
    fn default() -> Self {
        Self { marks: DotMap::default() }
    }
}

impl<T: Eq + Hash + Clone> PartialEq for RwSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.marks == other.marks
    }
}

impl<T: Eq + Hash + Clone> Eq for RwSet<T> {}

impl<T: Eq + Hash + fmt::Debug> fmt::Debug for RwSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
