//! How tables of dot stores merge: the joins that all sets and maps share.
//!
//! Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), figure 9:
//!
//! ```text
//! (m, c) ⊔ (m', c') = { k ↦ v(k) | k ∈ dom m ∪ dom m', v(k) ≠ ⊥ },  v(k) = (m(k), c) ⊔ (m'(k), c')
//! ```

use alloc::vec::Vec;
use core::hash::Hash;

use serde::Serialize;

use crate::table::Verdict;
use crate::wire::{EncodeError, key_bytes};
use crate::{CausalContext, Dot, DotMap, DotStore, Mutation, ReplicaId, Reset, VersionVector};

impl<K: Eq + Hash + Clone, V: DotStore> DotStore for DotMap<K, V> {
    const LEAVES_RESIDUE: bool = V::LEAVES_RESIDUE;

    fn nothing() -> Self {
        Self::listing_none()
    }

    // In a whole table the first entry answers each of these, unless it is all residue.
    fn is_bottom(&self) -> bool {
        self.iter().all(|(_, value)| value.is_bottom())
    }

    fn has_dots(&self) -> bool {
        self.iter().any(|(_, value)| value.has_dots())
    }

    fn is_live(&self) -> bool {
        self.iter().any(|(_, value)| value.is_live())
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        let was_listing = self.is_listing();
        let whole = !(was_listing && theirs.is_listing());
        self.set_listing(!whole);
        // Keys only here: (m(k), c) ⊔ (⊥, c') = m(k) \ c'. A listing table has nothing to say about them.
        if !theirs.is_listing() {
            if self.is_empty() {
                self.grow_for(theirs.len());
            }
            self.retain(|key, value| {
                if theirs.get(key).is_none() {
                    value.forget(their_context);
                }
                !value.is_bottom()
            });
        }
        for (key, value) in theirs.into_entries() {
            self.meet_or_take(
                key,
                value,
                // Keys on both sides: (m(k), c) ⊔ (m'(k), c').
                |here, value| {
                    here.join(my_context, value, their_context);
                    if whole && here.is_bottom() { Verdict::Drop } else { Verdict::Keep }
                },
                // Keys only there: (⊥, c) ⊔ (m'(k), c') = m'(k) \ c.
                |mut value| {
                    value.forget(my_context);
                    if whole {
                        value.make_whole();
                    }
                    (!whole || !value.is_bottom()).then_some(value)
                },
            );
        }
        // A delta that took in a whole table has become one: what it only listed goes.
        if whole && was_listing {
            self.make_whole();
        }
    }

    fn forget(&mut self, context: &CausalContext) {
        let listing = self.is_listing();
        self.retain(|_, value| {
            value.forget(context);
            listing || !value.is_bottom()
        });
    }

    fn make_whole(&mut self) {
        self.set_listing(false);
        self.retain(|_, value| {
            value.make_whole();
            !value.is_bottom()
        });
    }

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        for (_, value) in self.iter() {
            value.for_each_dot(visit);
        }
    }

    fn since(&self, seen: &VersionVector) -> Self {
        let mut lacking = Self::default();
        for (key, value) in self.iter() {
            let value = value.since(seen);
            if !value.is_bottom() {
                lacking.insert_new(key.clone(), value);
            }
        }
        lacking
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        for (key, value) in self.into_entries() {
            value.atoms(&mut |atom| emit(Self::listing(key.clone(), atom)));
        }
    }

    /// What is dead in a whole table may lie anywhere, so that stays whole; a listing one keeps its keys.
    fn strip(&mut self) {
        if self.is_listing() {
            for value in self.values_mut() {
                value.strip();
            }
        } else {
            *self = Self::default();
        }
    }

    fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, mine: &CausalContext) {
        let listing = self.is_listing();
        self.retain(|_, value| {
            value.collect(owner, acked, mine);
            listing || !value.is_bottom()
        });
    }
}

impl<K: Eq + Hash + Clone, V: Reset> Reset for DotMap<K, V> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        let mut residue = Self::default();
        let mut kept = Self::default();
        for (key, mut value) in core::mem::take(self).into_entries() {
            let left = value.reset(mutation, event);
            if !left.is_bottom() {
                residue.insert_new(key.clone(), left);
            }
            if !value.is_bottom() {
                kept.insert_new(key, value);
            }
        }
        *self = kept;
        residue
    }
}

/// Equal when the same dots are live with the same values; what is only listed, or awaits collection, does not count.
impl<K: Eq + Hash, V: DotStore + PartialEq> PartialEq for DotMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let dotted = |table: &Self| table.iter().filter(|(_, value)| value.has_dots()).count();
        dotted(self) == dotted(other)
            && self
                .iter()
                .filter(|(_, value)| value.has_dots())
                .all(|(key, value)| other.get(key).is_some_and(|theirs| value == theirs))
    }
}

impl<K: Eq + Hash, V: DotStore + Eq> Eq for DotMap<K, V> {}

impl<K: Eq + Hash + Serialize, V> DotMap<K, V> {
    /// The entries in the order of their encoded keys.
    pub(crate) fn sorted(&self) -> Result<Vec<(Vec<u8>, &V)>, EncodeError> {
        let mut entries =
            self.iter().map(|(key, value)| Ok((key_bytes(key)?, value))).collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }
}
