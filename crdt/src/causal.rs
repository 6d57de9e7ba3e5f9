//! A dot store with a context of its own: a complete replicated value, or a delta of one.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::wire::{self, EncodeError, Wire};
use crate::{
    CausalContext, Delta, Dot, DotStore, Lattice, Mutation, Observed, ReplicaId, Reset, Run, Size, VersionVector,
};

/// `Causal⟨S⟩ = S × CausalContext`: a dot store and the set of events it has seen.
///
/// This is what you hold, merge and ship. It reads like the store inside (it derefs to it) and each type adds its
/// mutators, which take the id of the replica that makes the change and return the delta: a small value of the very
/// same type, to be merged by all other replicas.
///
/// ```
/// use cahoots_crdt::{AwSet, Causal, Lattice, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut here: Causal<AwSet<&str>> = Causal::new();
/// let mut there: Causal<AwSet<&str>> = Causal::new();
///
/// let delta = here.add(a, "milk");
/// there.merge(delta.clone());
/// there.merge(delta); // arrives twice: no harm
/// assert!(there.contains("milk"));
///
/// here.merge(there.remove(b, "milk"));
/// assert!(!here.contains("milk"));
/// assert_eq!(here, there);
/// ```
///
/// Merging a delta costs O(size of the delta), whatever the size of the state. Merging two states costs O(n + m).
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7.
#[derive(Clone, Default)]
#[must_use = "a delta has to reach the other replicas"]
pub struct Causal<S> {
    pub(crate) store: S,
    pub(crate) context: CausalContext,
}

impl<S: DotStore> Causal<S> {
    /// The bottom value: nothing has been written to it.
    pub fn new() -> Self {
        Self { store: S::default(), context: CausalContext::new() }
    }

    /// The delta that changes nothing: where to start when you gather deltas into one.
    ///
    /// (Deltas gathered in a [`new`](Self::new) value make a correct state, but merging a state looks at every key of
    /// the receiver, merging a delta only at the keys it is about.)
    pub fn empty_delta() -> Self {
        Self { store: S::nothing(), context: CausalContext::new() }
    }

    /// The events this value has seen. Two replicas with equal contexts hold equal values.
    ///
    /// (After a [`split`](Delta::split) of which a piece was lost, only once that piece was made good.)
    #[must_use]
    pub fn context(&self) -> &CausalContext {
        &self.context
    }

    /// The store inside.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Makes one change on behalf of `replica` and returns its delta. `change` gets the store and returns the store
    /// of the delta, as every mutator of a store does. Of several mutators put the parts together by [`Mutation::and`]:
    /// what `change` does not return, no other replica gets.
    pub fn mutate(&mut self, replica: ReplicaId, change: impl FnOnce(&mut S, &mut Mutation<'_>) -> S) -> Self {
        let mut mutation = Mutation::new(replica, &mut self.context);
        let store = change(&mut self.store, &mut mutation);
        Self { store, context: mutation.into_delta() }
    }

    /// Like [`mutate`](Self::mutate), for changes that can be refused.
    ///
    /// # Errors
    /// Those of `change`. The mutators of this crate refuse before they touch anything; what `change` did before one
    /// refused is not undone, and only [`since`](Delta::since) and whole states carry it to others.
    pub fn try_mutate<E>(
        &mut self,
        replica: ReplicaId,
        change: impl FnOnce(&mut S, &mut Mutation<'_>) -> Result<S, E>,
    ) -> Result<Self, E> {
        let mut mutation = Mutation::new(replica, &mut self.context);
        let store = change(&mut self.store, &mut mutation)?;
        Ok(Self { store, context: mutation.into_delta() })
    }

    /// Removes everything observed here, as one event; what is written concurrently elsewhere stays.
    ///
    /// O(n). Nothing visible: no event, and the delta is bottom.
    pub fn clear(&mut self, replica: ReplicaId) -> Self
    where
        S: Reset,
    {
        if !self.store.is_live() {
            return Self::empty_delta();
        }
        self.mutate(replica, |store, mutation| {
            let event = mutation.mint();
            store.reset(mutation, event)
        })
    }

    /// Drops bookkeeping about removed counters that `owner` can no longer need. Values do not change.
    ///
    /// A counter removed from a map leaves a *baseline* per replica that had counted in it (see
    /// [`PnCounter`](crate::PnCounter)), for increments of that replica which may still be under way. Pass the context
    /// `owner` itself reported: what it has acknowledged, and all of whose events have arrived here, needs no
    /// baseline any more (its [`version_vector`](CausalContext::version_vector) is enough, as
    /// `CausalContext::from`). Nothing else is ever kept, so values without counters need no collection. O(n).
    pub fn collect(&mut self, owner: ReplicaId, acknowledged: &CausalContext) {
        if self.context.version_vector().get(owner) >= acknowledged.last(owner) {
            self.store.collect(owner, acknowledged, &self.context);
        }
    }

    /// Encodes with a version byte, deterministically: the same value gives the same bytes on every machine, whatever
    /// its history. O(n log n).
    ///
    /// Two things are encoded that `==` passes over: whether this is a delta, and the baselines of removed counters,
    /// which one replica may have dropped already and the other not. So compare values, or contexts, not bytes.
    ///
    /// # Errors
    /// When a member, key or value refuses to be serialised.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError>
    where
        S: Wire,
    {
        wire::encode(self).map(|(bytes, _)| bytes)
    }

    /// Decodes what [`encode`](Self::encode) wrote. Never panics, whatever the bytes; nothing is allocated beyond
    /// what `limits` allow.
    ///
    /// # Errors
    /// See [`DecodeError`](crate::DecodeError).
    pub fn decode(bytes: &[u8], limits: &wire::Limits) -> Result<Self, wire::DecodeError>
    where
        S: Wire,
    {
        wire::decode(bytes, limits)
    }

    fn live_dots(&self) -> Vec<Dot> {
        let mut dots = Vec::new();
        self.store.for_each_dot(&mut |dot| dots.push(dot));
        dots.sort_unstable();
        dots.dedup();
        dots
    }
}

impl<S: DotStore> Lattice for Causal<S> {
    /// ```text
    /// (s, c) ⊔ (s', c') = ((s ∩ s') ∪ (s \ c') ∪ (s' \ c), c ∪ c')
    /// ```
    fn merge(&mut self, other: Self) {
        if other.is_bottom() {
            return;
        }
        self.store.join(&self.context, other.store, &other.context);
        self.context.union(&other.context);
    }

    fn is_bottom(&self) -> bool {
        self.context.is_empty() && self.store.is_bottom()
    }
}

/// Encoded bytes of one run of dots at most: its replica in the table, the index, two integers.
const RUN_BYTES_MAX: usize = 8 + 3 + 10 + 10;
/// Encoded bytes of version and counts at most, and of the empty store.
const HEAD_BYTES_MAX: usize = 1 + 3 + 5 + 5 + 8;

impl<S: Wire> Delta for Causal<S> {
    fn split(self, bytes_max: usize) -> Result<Vec<Self>, EncodeError> {
        if wire::encode(&self)?.0.len() <= bytes_max {
            return Ok(alloc::vec![self]);
        }
        let dead = self.context.without(&self.live_dots());
        let mut removals = self.store.clone();
        removals.strip();
        let removals = Self { store: removals, context: dead };

        // What lives: pieces of one cell each, then packed. A piece claims its own dots only, so it removes nothing.
        let mut atoms = Vec::new();
        self.store.atoms(&mut |store| {
            let mut atom = Self { store, context: CausalContext::new() };
            atom.context = atom.live_dots().into_iter().collect();
            atoms.push(atom);
        });
        // In the order of their dots, which then make few runs.
        atoms.sort_by_key(|atom| atom.context.runs().next());
        let mut pieces: Vec<Self> = Vec::new();
        let mut filled = bytes_max;
        for atom in atoms {
            // A joined encoding shares what its parts repeat, so the sum is an upper bound.
            let bytes = wire::encode(&atom)?.0.len();
            match pieces.last_mut() {
                Some(piece) if filled + bytes <= bytes_max => {
                    piece.merge(atom);
                    filled += bytes;
                }
                _ => {
                    pieces.push(atom);
                    filled = bytes;
                }
            }
        }
        if removals.is_bottom() || removals.context.is_empty() {
            return Ok(pieces);
        }
        // What is dead: in one piece that knows where to look, or else by dots, to be looked for everywhere.
        if wire::encode(&removals)?.0.len() <= bytes_max {
            pieces.push(removals);
            return Ok(pieces);
        }
        let runs: Vec<Run> = removals.context.runs().collect();
        let runs_max = (bytes_max.saturating_sub(HEAD_BYTES_MAX) / RUN_BYTES_MAX).max(1);
        pieces.extend(
            runs.chunks(runs_max).map(|runs| Self { store: S::default(), context: runs.iter().copied().collect() }),
        );
        Ok(pieces)
    }

    fn size(&self) -> Result<Size, EncodeError> {
        wire::encode(self).map(|(_, size)| size)
    }

    fn since(&self, seen: &VersionVector) -> Self {
        let mut known = self.live_dots();
        known.retain(|dot| seen.covers(*dot));
        Self { store: self.store.since(seen), context: self.context.without(&known) }
    }
}

impl<S> Deref for Causal<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.store
    }
}

impl<S: PartialEq> PartialEq for Causal<S> {
    fn eq(&self, other: &Self) -> bool {
        self.context == other.context && self.store == other.store
    }
}

impl<S: Eq> Eq for Causal<S> {}

impl<S: fmt::Debug> fmt::Debug for Causal<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Causal").field("store", &self.store).field("context", &self.context).finish()
    }
}
