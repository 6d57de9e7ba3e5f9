//! Flags: one bit that concurrent writers can pull in both directions.
//!
//! [`EwFlag`] is an add-wins set of one member, [`DwFlag`] a remove-wins one; see there for the rules.

use crate::dot_store::dot_store_by_field;
use crate::rw_set::{all_say_yes, reset_marks};
use crate::{Causal, CausalContext, Dot, DotFun, DotSet, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A flag in which enabling wins over a concurrent disabling. It starts disabled.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `enable` | `disable` | enabled |
/// | `enable`, already enabled: no event | `disable` | disabled |
///
/// All operations cost O(concurrent writers).
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7.4.1.
///
/// ```
/// use cahoots_crdt::{Causal, EwFlag, Lattice, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut flag: Causal<EwFlag> = Causal::new();
/// let _delta = flag.enable(a);
/// assert!(flag.enable(a).is_bottom()); // enabling twice is one event
/// let _delta = flag.disable(b);
/// assert!(!flag.is_enabled());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct EwFlag {
    pub(crate) enablings: DotSet,
}

impl EwFlag {
    /// Whether the flag is enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.enablings.is_empty()
    }

    /// Enables the flag. When it is enabled: no event.
    pub fn enable(&mut self, mutation: &mut Mutation<'_>) -> Self {
        if self.is_enabled() {
            return Self::default();
        }
        self.enablings = DotSet::of(mutation.mint(), ());
        self.clone()
    }

    /// Disables the flag. When it is disabled: no event.
    pub fn disable(&mut self, mutation: &mut Mutation<'_>) -> Self {
        if self.is_enabled() {
            let event = mutation.mint();
            return self.reset(mutation, event);
        }
        Self::default()
    }
}

impl Causal<EwFlag> {
    /// Enables the flag. See [`EwFlag::enable`].
    pub fn enable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, EwFlag::enable)
    }

    /// Disables the flag. See [`EwFlag::disable`].
    pub fn disable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, EwFlag::disable)
    }
}

dot_store_by_field! {
    impl[] EwFlag { enablings: DotSet }

    fn is_live(&self) -> bool {
        self.is_enabled()
    }
}

impl Reset for EwFlag {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { enablings: self.enablings.reset(mutation, event) }
    }
}

/// A flag in which disabling wins over a concurrent enabling. It starts disabled.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `enable` | `disable` | disabled |
/// | `enable` | `disable`, already disabled by a mark A has seen: no event | enabled |
///
/// Enabling and disabling both write a mark and supersede the marks they see; the flag is enabled when there are live
/// marks and all say so. Removing the key it is nested under spares the marks that say "disabled". All operations
/// cost O(concurrent writers).
///
/// Source: Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (2018), section 7.4.1.
///
/// ```
/// use cahoots_crdt::{Causal, DwFlag, Lattice, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<DwFlag> = Causal::new();
/// let mut right = left.clone();
/// let enable = left.enable(a);
/// left.merge(right.disable(b));
/// right.merge(enable);
/// assert!(!left.is_enabled() && !right.is_enabled());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct DwFlag {
    /// Whether each mark says "enabled".
    pub(crate) marks: DotFun<bool>,
}

impl DwFlag {
    /// Whether the flag is enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        all_say_yes(&self.marks)
    }

    /// Enables the flag. When it is enabled: no event.
    pub fn enable(&mut self, mutation: &mut Mutation<'_>) -> Self {
        if self.is_enabled() { Self::default() } else { self.mark(mutation, true) }
    }

    /// Disables the flag. When a mark disables it already: no event.
    pub fn disable(&mut self, mutation: &mut Mutation<'_>) -> Self {
        if self.marks.iter().any(|(_, enabled)| !enabled) { Self::default() } else { self.mark(mutation, false) }
    }

    fn mark(&mut self, mutation: &mut Mutation<'_>, enabled: bool) -> Self {
        let dot = mutation.mint();
        mutation.supersede_all(&self.marks);
        self.marks = DotFun::of(dot, enabled);
        self.clone()
    }
}

impl Causal<DwFlag> {
    /// Enables the flag. See [`DwFlag::enable`].
    pub fn enable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, DwFlag::enable)
    }

    /// Disables the flag. See [`DwFlag::disable`].
    pub fn disable(&mut self, replica: ReplicaId) -> Self {
        self.mutate(replica, DwFlag::disable)
    }
}

dot_store_by_field! {
    impl[] DwFlag { marks: DotFun<bool> }

    const LEAVES_RESIDUE: bool = true;

    fn is_live(&self) -> bool {
        self.is_enabled()
    }
}

impl Reset for DwFlag {
    fn reset(&mut self, mutation: &mut Mutation<'_>, _event: Dot) -> Self {
        reset_marks(&mut self.marks, mutation);
        Self::default()
    }
}
