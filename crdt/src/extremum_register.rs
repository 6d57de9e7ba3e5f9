//! Registers that keep the largest or the smallest value written.
//!
//! A write that does not improve on what it sees is no event. Concurrent writes are all kept until a better one has
//! seen them: when the best is removed by a replica that had not seen the second best, that one is shown.

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotFun, DotStore, Mutation, ReplicaId, Reset, VersionVector};

macro_rules! extremum_register {
    ($(#[$doc:meta])* $name:ident, $best:ident, $better:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[must_use = "a delta has to reach the other replicas"]
        pub struct $name<T> {
            pub(crate) values: DotFun<T>,
        }

        impl<T: Ord> $name<T> {
            /// The best value written. O(concurrent values).
            #[must_use]
            pub fn get(&self) -> Option<&T> {
                self.values.iter().map(|(_, value)| value).$best()
            }

            /// Writes `value`. When it is no better than the value seen here: no event.
            pub fn write(&mut self, mutation: &mut Mutation<'_>, value: T) -> Self
            where
                T: Clone,
            {
                if self.get().is_some_and(|best| !(value $better *best)) {
                    return Self::default();
                }
                let dot = mutation.mint();
                mutation.supersede_all(&self.values);
                self.values = DotFun::of(dot, value);
                self.clone()
            }
        }

        impl<T: Ord + Clone> Causal<$name<T>> {
            /// Writes `value`; when it is no better than the value seen here: no event.
            pub fn write(&mut self, replica: ReplicaId, value: T) -> Self {
                self.mutate(replica, |register, mutation| register.write(mutation, value))
            }
        }

        dot_store_by_field! {
            impl[T: Clone] $name<T> { values: DotFun<T> }

            fn is_live(&self) -> bool {
                !self.values.is_empty()
            }
        }

        impl<T: Clone> Reset for $name<T> {
            fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
                Self { values: self.values.reset(mutation, event) }
            }
        }

        impl<T> Default for $name<T> {
            fn default() -> Self {
                Self { values: DotFun::new() }
            }
        }
    };
}

extremum_register! {
    /// A register in which the largest value wins.
    ///
    /// | A does | B does, concurrently | both read |
    /// | --- | --- | --- |
    /// | `write(3)` | `write(5)` | 5 |
    /// | `write(3)` | `clear` | 3 |
    ///
    /// All operations cost O(concurrent values).
    ///
    /// Concurrent values stay stored until a better one has seen them: when the best is removed by a replica that had
    /// not seen the second best, that one is shown.
    ///
    /// Source: the max lattice of Shapiro, Preguiça, Baquero, Zawirski, *Conflict-free Replicated Data Types* (2011),
    /// under a causal context.
    ///
    /// ```
    /// use cahoots_crdt::{Causal, Lattice, MaxRegister, ReplicaId};
    ///
    /// let a = ReplicaId::new(1);
    /// let mut best: Causal<MaxRegister<u32>> = Causal::new();
    /// let _delta = best.write(a, 5);
    /// assert!(best.write(a, 3).is_bottom()); // no event
    /// assert_eq!(best.get(), Some(&5));
    /// ```
    MaxRegister, max, >
}

extremum_register! {
    /// A register in which the smallest value wins.
    ///
    /// | A does | B does, concurrently | both read |
    /// | --- | --- | --- |
    /// | `write(3)` | `write(5)` | 3 |
    /// | `write(5)` | `clear` | 5 |
    ///
    /// All operations cost O(concurrent values).
    ///
    /// Concurrent values stay stored until a better one has seen them: when the best is removed by a replica that had
    /// not seen the second best, that one is shown.
    ///
    /// Source: the max lattice of Shapiro, Preguiça, Baquero, Zawirski, *Conflict-free Replicated Data Types* (2011),
    /// under a causal context.
    ///
    /// ```
    /// use cahoots_crdt::{Causal, MinRegister, ReplicaId};
    ///
    /// let a = ReplicaId::new(1);
    /// let mut fastest: Causal<MinRegister<u32>> = Causal::new();
    /// let _delta = fastest.write(a, 5);
    /// let _delta = fastest.write(a, 3);
    /// assert_eq!(fastest.get(), Some(&3));
    /// ```
    MinRegister, min, <
}
