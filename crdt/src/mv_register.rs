//! The multi-value register.
//!
//! A write supersedes the values it sees; values written concurrently stay side by side until a later write has seen
//! them. Nothing is lost silently, and no clock is needed.

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotFun, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A register that keeps all concurrent values.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `write(1)` | `write(2)` | 1 and 2 |
/// | `write(1)` | `clear` | 1 |
/// | then `write(3)`, having seen both | | 3 |
///
/// All operations cost O(concurrent values).
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7.4.2.
///
/// ```
/// use cahoots_crdt::{Causal, Lattice, MvRegister, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<MvRegister<&str>> = Causal::new();
/// let mut right = left.clone();
/// let written = left.write(a, "draft");
/// left.merge(right.write(b, "final"));
/// right.merge(written);
/// assert_eq!(left.iter().collect::<Vec<_>>(), [&"draft", &"final"]);
/// assert_eq!(left, right);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct MvRegister<T> {
    pub(crate) values: DotFun<T>,
}

impl<T> MvRegister<T> {
    /// The concurrent values, in the same order everywhere.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + '_ {
        self.values.iter().map(|(_, value)| value)
    }

    /// The value, when no other is concurrent with it.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        let mut values = self.iter();
        if values.len() == 1 { values.next() } else { None }
    }

    /// How many concurrent values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Writes `value` over all values seen here.
    pub fn write(&mut self, mutation: &mut Mutation<'_>, value: T) -> Self
    where
        T: Clone,
    {
        let dot = mutation.mint();
        mutation.supersede_all(&self.values);
        self.values = DotFun::of(dot, value.clone());
        Self { values: DotFun::of(dot, value) }
    }
}

impl<T: Clone> Causal<MvRegister<T>> {
    /// Writes `value`. See [`MvRegister::write`].
    pub fn write(&mut self, replica: ReplicaId, value: T) -> Self {
        self.mutate(replica, |register, mutation| register.write(mutation, value))
    }
}

dot_store_by_field! {
    impl[T: Clone] MvRegister<T> { values: DotFun<T> }

    fn is_live(&self) -> bool {
        !self.is_empty()
    }
}

impl<T: Clone> Reset for MvRegister<T> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { values: self.values.reset(mutation, event) }
    }
}

impl<T> Default for MvRegister<T> {
    fn default() -> Self {
        Self { values: DotFun::new() }
    }
}
