//! One change being made by one replica.

use alloc::vec::Vec;

use crate::{CausalContext, Dot, DotFun, DotStore, ReplicaId};

/// Write access for one change of one replica: mints its dots and notes what it supersedes.
///
/// A mutator takes it, changes its store in place, and returns the store of the delta; whatever it minted and
/// superseded becomes the delta's context. You meet it inside the closures of
/// [`OrMap::update`](crate::OrMap::update) and [`Causal::mutate`](crate::Causal::mutate), where it carries the replica and the shared
/// context down to the nested value.
#[derive(Debug)]
pub struct Mutation<'a> {
    replica: ReplicaId,
    context: &'a mut CausalContext,
    delta: CausalContext,
    /// Dots of the delta that came when it had many runs already. Removing a large set supersedes its dots in the order
    /// of a hash table: inserted one by one, each would move half of the runs. They are taken in together.
    loose: Vec<Dot>,
    events: usize,
}

/// Up to this many runs are inserted one by one.
const RUNS_MAX: usize = 16;

impl<'a> Mutation<'a> {
    pub(crate) fn new(replica: ReplicaId, context: &'a mut CausalContext) -> Self {
        Self { replica, context, delta: CausalContext::new(), loose: Vec::new(), events: 0 }
    }

    /// Who makes the change.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Mints a dot that no event has used, from now on covered by the state's context and by the delta's.
    ///
    /// Every event mints one, removals too: so a version vector tells whether a replica has seen a removal.
    #[inline]
    pub fn mint(&mut self) -> Dot {
        let dot = self.context.mint(self.replica);
        self.note(dot);
        self.events += 1;
        dot
    }

    /// Notes that the cell written by `dot` is superseded wherever it still lives.
    #[inline]
    pub fn supersede(&mut self, dot: Dot) {
        self.note(dot);
    }

    /// Notes that all cells of `store` are superseded.
    #[inline]
    pub fn supersede_all<V>(&mut self, store: &DotFun<V>) {
        for (dot, _) in store.iter() {
            self.note(dot);
        }
    }

    /// Makes one more change in the same closure and returns the delta of both; `first` is the delta of what was
    /// changed before.
    ///
    /// A closure returns one delta. Return that of its last change only, and the others know that something happened but
    /// not what, which is how a removal looks.
    ///
    /// ```
    /// use cahoots_crdt::{Causal, Lattice, MvRegister, OrMap, ReplicaId};
    ///
    /// let ada = ReplicaId::new(1);
    /// type Users = Causal<OrMap<u32, OrMap<&'static str, MvRegister<&'static str>>>>;
    /// let (mut users, mut elsewhere) = (Users::new(), Users::new());
    /// let delta = users.update(ada, 7, |user, m| {
    ///     let name = user.update(m, "name", |register, m| register.write(m, "Ada"));
    ///     m.and(name, |m| user.update(m, "town", |register, m| register.write(m, "London")))
    /// });
    /// elsewhere.merge(delta);
    /// assert_eq!(elsewhere, users);
    /// ```
    #[must_use = "a delta has to reach the other replicas"]
    pub fn and<S: DotStore>(&mut self, mut first: S, change: impl FnOnce(&mut Self) -> S) -> S {
        let before = self.take_delta();
        let second = change(self);
        let after = self.take_delta();
        first.join(&before, second, &after);
        self.delta = before;
        self.delta.union(&after);
        first
    }

    /// How many events were minted so far.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    #[inline]
    pub(crate) fn into_delta(self) -> CausalContext {
        gathered(self.delta, self.loose)
    }

    #[inline]
    fn note(&mut self, dot: Dot) {
        if self.delta.cloud().len() < RUNS_MAX {
            self.delta.insert(dot);
        } else {
            self.loose.push(dot);
        }
    }

    fn take_delta(&mut self) -> CausalContext {
        gathered(core::mem::take(&mut self.delta), core::mem::take(&mut self.loose))
    }
}

#[inline]
fn gathered(mut delta: CausalContext, loose: Vec<Dot>) -> CausalContext {
    if !loose.is_empty() {
        delta.union(&loose.into_iter().collect());
    }
    delta
}
