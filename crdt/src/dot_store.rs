//! What a type must offer to live under a causal context, alone or nested in a map.
//!
//! Every type of this library is a *dot store*: values tagged with the dots of the events that wrote them. Under a
//! context that says which dots have been seen, "seen and not here" means removed, and "not here and not seen" means
//! not yet heard of. All joins follow from that; none keeps tombstones of members.
//!
//! Source: section 7 of Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018).

use crate::{CausalContext, Dot, DotFun, Mutation, Observed, ReplicaId, VersionVector};

/// Values tagged with dots, to be read under a [`CausalContext`].
///
/// The types of this crate implement it; implement it yourself to nest a composition of them in an
/// [`OrMap`](crate::OrMap). Every method recurses into the parts, each part under the same context; a delta of one part
/// holds [`nothing`](Self::nothing) of the others. `crdt/tests/history/record.rs` in the repository is a whole one, a
/// record of three types.
pub trait DotStore: Clone + Default {
    /// Whether something may be stored of which a reader sees nothing. `false` lets a map count its keys in O(1).
    const LEAVES_RESIDUE: bool = false;

    /// The store of a delta that touches nothing.
    #[must_use]
    fn nothing() -> Self {
        Self::default()
    }

    /// Whether nothing is stored at all, so that the store need not be kept.
    fn is_bottom(&self) -> bool;

    /// Whether any dot is live.
    fn has_dots(&self) -> bool;

    /// Whether a reader sees anything: a map shows a key exactly when its value is live.
    fn is_live(&self) -> bool;

    /// Merges `theirs`, read under `their_context`, into this store, read under `my_context`:
    ///
    /// ```text
    /// (s ∩ s') ∪ (s \ c') ∪ (s' \ c)
    /// ```
    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext);

    /// Drops the cells whose dots `context` covers: the join with a store that has nothing live, `s \ c`.
    fn forget(&mut self, context: &CausalContext);

    /// Turns a delta's store into a state's: keys that are listed only to say where a removal happened go.
    fn make_whole(&mut self);

    /// Calls `visit` with every live dot.
    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot));

    /// The cells whose dots `seen` does not cover, as a whole store.
    #[must_use]
    fn since(&self, seen: &VersionVector) -> Self;

    /// Hands `emit` this store cut into parts that hold one cell each, as listing stores.
    fn atoms(self, emit: &mut dyn FnMut(Self));

    /// Drops all cells but keeps the keys a delta lists, which is where a removal applies.
    fn strip(&mut self);

    /// Drops what was kept only because `owner` might still have been counting on it. See
    /// [`Causal::collect`](crate::Causal::collect).
    fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, mine: &CausalContext) {
        let _ = (owner, acked, mine);
    }
}

/// A dot store whose content can be removed: exactly what was observed goes, whatever is concurrent stays.
pub trait Reset: DotStore {
    /// Removes everything visible here on behalf of the event `event`, and returns what a delta must say besides
    /// the dots: usually nothing.
    #[must_use]
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self;
}

/// Implements [`DotStore`] for a type that is one dot store under another name.
macro_rules! dot_store_by_field {
    (impl[$($generics:tt)*] $type:ty { $field:ident: $inner:ty } $($rest:tt)*) => {
        impl<$($generics)*> DotStore for $type {
            fn nothing() -> Self {
                Self { $field: DotStore::nothing() }
            }

            fn is_bottom(&self) -> bool {
                DotStore::is_bottom(&self.$field)
            }

            fn has_dots(&self) -> bool {
                DotStore::has_dots(&self.$field)
            }

            fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
                DotStore::join(&mut self.$field, my_context, theirs.$field, their_context);
            }

            fn forget(&mut self, context: &CausalContext) {
                DotStore::forget(&mut self.$field, context);
            }

            fn make_whole(&mut self) {
                DotStore::make_whole(&mut self.$field);
            }

            fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
                DotStore::for_each_dot(&self.$field, visit);
            }

            fn since(&self, seen: &VersionVector) -> Self {
                Self { $field: DotStore::since(&self.$field, seen) }
            }

            fn atoms(self, emit: &mut dyn FnMut(Self)) {
                DotStore::atoms(self.$field, &mut |$field| emit(Self { $field }));
            }

            fn strip(&mut self) {
                DotStore::strip(&mut self.$field);
            }

            fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, mine: &CausalContext) {
                DotStore::collect(&mut self.$field, owner, acked, mine);
            }

            $($rest)*
        }
    };
}
pub(crate) use dot_store_by_field;

/// A set of live dots.
pub type DotSet = DotFun<()>;

impl<V: Clone> DotStore for DotFun<V> {
    fn is_bottom(&self) -> bool {
        self.is_empty()
    }

    fn has_dots(&self) -> bool {
        !self.is_empty()
    }

    fn is_live(&self) -> bool {
        !self.is_empty()
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        Self::join(self, my_context, theirs, their_context);
    }

    fn forget(&mut self, context: &CausalContext) {
        self.retain(|dot, _| !context.covers(dot));
    }

    fn make_whole(&mut self) {}

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        for (dot, _) in self.iter() {
            visit(dot);
        }
    }

    fn since(&self, seen: &VersionVector) -> Self {
        self.iter().filter(|(dot, _)| !seen.covers(*dot)).map(|(dot, value)| (dot, value.clone())).collect()
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        for (dot, value) in self.into_cells() {
            emit(Self::of(dot, value));
        }
    }

    fn strip(&mut self) {
        *self = Self::new();
    }
}

impl<V: Clone> Reset for DotFun<V> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        mutation.supersede_all(self);
        *self = Self::new();
        Self::new()
    }
}
