//! The last-writer-wins register.
//!
//! Every write carries a stamp and must exceed the stamps it sees, so only concurrent writes ever compete; they stay
//! stored until a later write has seen them, and the highest stamp is shown, ties decided by replica id. When the
//! winner is removed by a replica that had seen only it, the next best write is shown: it was never removed.

use core::fmt;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotFun, DotStore, Hlc, Mutation, ReplicaId, Reset, VersionVector};

/// A register in which the write with the highest stamp wins.
///
/// `C` is the clock: [`Hlc`] unless you bring an ordered stamp of your own.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `write(10, x)` | `write(20, y)` | `y` |
/// | `write(10, x)` | `write(10, y)` | that of the higher replica id |
/// | `write(10, x)` | `clear` | `x` |
///
/// All operations cost O(concurrent values).
///
/// A write must exceed the stamps it sees, so let your clock [`observe`](crate::HybridClock::observe) the
/// [`stamp`](Self::stamp) shown before you write; a stamp too far ahead is better refused before it is merged.
/// Concurrent writes stay stored until a later write has seen them: when the winner is removed by a replica that had
/// seen only it, the next best is shown.
///
/// Source: Shapiro, Preguiça, Baquero, Zawirski, *A comprehensive study of Convergent and Commutative Replicated
/// Data Types* (2011), section 3.2.1; [`Hlc`] after Kulkarni et al., *Logical Physical Clocks* (2014).
///
/// ```
/// use cahoots_crdt::{Causal, HybridClock, LwwRegister, ReplicaId};
///
/// let a = ReplicaId::new(1);
/// let mut clock = HybridClock::new(60_000);
/// let mut name: Causal<LwwRegister<&str>> = Causal::new();
/// let wall_millis = 1_763_000_000_000; // your clock; this crate reads none
/// let _delta = name.write(a, clock.tick(wall_millis)?, "Ada")?;
/// assert_eq!(name.get(), Some(&"Ada"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct LwwRegister<T, C = Hlc> {
    pub(crate) writes: DotFun<(C, T)>,
}

/// A write was refused because its stamp does not exceed one it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stamp of a write must exceed every stamp it has seen")]
pub struct StaleStamp;

impl<T, C: Ord> LwwRegister<T, C> {
    /// The winning value.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.winner().map(|(_, value)| value)
    }

    /// The winning stamp.
    #[must_use]
    pub fn stamp(&self) -> Option<&C> {
        self.winner().map(|(stamp, _)| stamp)
    }

    /// All concurrent writes, the winner among them, in the same order everywhere.
    pub fn siblings(&self) -> impl ExactSizeIterator<Item = (&C, &T)> + '_ {
        self.writes.iter().map(|(_, (stamp, value))| (stamp, value))
    }

    /// Writes `value` under `stamp`.
    ///
    /// # Errors
    /// [`StaleStamp`] when a stamp at least as high was seen here; nothing is touched then.
    pub fn write(&mut self, mutation: &mut Mutation<'_>, stamp: C, value: T) -> Result<Self, StaleStamp>
    where
        T: Clone,
        C: Clone,
    {
        if self.stamp().is_some_and(|winning| *winning >= stamp) {
            return Err(StaleStamp);
        }
        let dot = mutation.mint();
        mutation.supersede_all(&self.writes);
        self.writes = DotFun::of(dot, (stamp, value));
        Ok(self.clone())
    }

    fn winner(&self) -> Option<&(C, T)> {
        // Cells are sorted by replica; of equal maxima `max_by` takes the last.
        self.writes.iter().map(|(_, write)| write).max_by(|a, b| a.0.cmp(&b.0))
    }
}

impl<T: Clone, C: Ord + Clone> Causal<LwwRegister<T, C>> {
    /// Writes `value` under `stamp`.
    ///
    /// # Errors
    /// See [`LwwRegister::write`].
    pub fn write(&mut self, replica: ReplicaId, stamp: C, value: T) -> Result<Self, StaleStamp> {
        self.try_mutate(replica, |register, mutation| register.write(mutation, stamp, value))
    }
}

dot_store_by_field! {
    impl[T: Clone, C: Clone] LwwRegister<T, C> { writes: DotFun<(C, T)> }

    fn is_live(&self) -> bool {
        !self.writes.is_empty()
    }
}

impl<T: Clone, C: Clone> Reset for LwwRegister<T, C> {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { writes: self.writes.reset(mutation, event) }
    }
}

impl<T, C> Default for LwwRegister<T, C> {
    fn default() -> Self {
        Self { writes: DotFun::new() }
    }
}

impl<T: fmt::Display, C: Ord> fmt::Display for LwwRegister<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().map_or(Ok(()), |value| value.fmt(f))
    }
}
