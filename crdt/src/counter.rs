//! Counters: the sum of what each replica added.
//!
//! Both are [`Tallies`] underneath; the decision record on resets stands there.

use crate::dot_store::dot_store_by_field;
use crate::tallies::Tallies;
use crate::{Causal, CausalContext, Dot, DotStore, Mutation, ReplicaId, Reset, VersionVector};

/// A total left the range of its integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the total of the counter is out of range")]
pub struct Overflow;

/// A counter that only grows.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `increment(2)` | `increment(3)` | 5 more |
/// | `increment(2)` | removes the key the counter is nested under | 2 |
///
/// `increment` costs O(log n) for n replicas, reading O(n), merging a delta O(n) at most. One cell per replica,
/// however often it counts.
///
/// Source: Shapiro, Preguiça, Baquero, Zawirski, *A comprehensive study of Convergent and Commutative Replicated
/// Data Types* (2011), section 3.1; removal after Baquero, Almeida, Lerche, *The problem with embedded CRDT counters
/// and a solution* (PaPoC 2016).
///
/// ```
/// use cahoots_crdt::{Causal, GCounter, Lattice, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<GCounter> = Causal::new();
/// let mut right = left.clone();
/// let two = left.increment(a, 2)?;
/// left.merge(right.increment(b, 3)?);
/// right.merge(two);
/// assert_eq!((left.value()?, right.value()?), (5, 5));
/// # Ok::<(), cahoots_crdt::Overflow>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct GCounter {
    pub(crate) tallies: Tallies,
}

impl GCounter {
    /// The total.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit 64 bits.
    pub fn value(&self) -> Result<u64, Overflow> {
        u64::try_from(self.tallies.value()?).map_err(|_| Overflow)
    }

    /// The total in 128 bits.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit even those.
    pub fn value_wide(&self) -> Result<u128, Overflow> {
        u128::try_from(self.tallies.value()?).map_err(|_| Overflow)
    }

    /// Adds `amount`. Of 0: no event.
    ///
    /// # Errors
    /// [`Overflow`] when this replica's own total would leave 128 bits; nothing is touched then.
    #[inline]
    pub fn increment(&mut self, mutation: &mut Mutation<'_>, amount: u64) -> Result<Self, Overflow> {
        if amount == 0 {
            return Ok(Self::default());
        }
        Ok(Self { tallies: self.tallies.add(mutation, amount.into())? })
    }
}

impl Causal<GCounter> {
    /// Adds `amount`.
    ///
    /// # Errors
    /// See [`GCounter::increment`].
    // Out of line, moving the result would cost more than all the rest.
    #[inline(always)]
    pub fn increment(&mut self, replica: ReplicaId, amount: u64) -> Result<Self, Overflow> {
        if let Some((tallies, context)) = self.store.tallies.add_alone(&mut self.context, replica, amount.into()) {
            return Ok(Self { store: GCounter { tallies }, context });
        }
        self.increment_any(replica, amount)
    }

    #[cold]
    fn increment_any(&mut self, replica: ReplicaId, amount: u64) -> Result<Self, Overflow> {
        self.try_mutate(replica, |counter, mutation| counter.increment(mutation, amount))
    }
}

dot_store_by_field! {
    impl[] GCounter { tallies: Tallies }

    const LEAVES_RESIDUE: bool = true;

    fn is_live(&self) -> bool {
        self.tallies.is_live()
    }
}

impl Reset for GCounter {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { tallies: self.tallies.reset(mutation, event) }
    }
}

/// A counter that goes up and down, below zero too.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `add(2)` | `add(-3)` | 1 less |
/// | removes the key the counter is nested under, at 10 | `add(1)` | 1 |
///
/// Totals are kept in 128 bits and read checked: a sum outside 64 bits is an error, never a wrap.
///
/// `add` costs O(log n) for n replicas, reading O(n), merging a delta O(n) at most. One cell per replica, however
/// often it counts.
///
/// A removal leaves a few integers behind for each replica that had counted;
/// [`Causal::collect`](crate::Causal::collect) says when they go.
///
/// Source: Shapiro, Preguiça, Baquero, Zawirski, *A comprehensive study of Convergent and Commutative Replicated
/// Data Types* (2011), section 3.1; removal after Baquero, Almeida, Lerche, *The problem with embedded CRDT counters
/// and a solution* (PaPoC 2016).
///
/// ```
/// use cahoots_crdt::{Causal, Lattice, OrMap, PnCounter, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left: Causal<OrMap<&str, PnCounter>> = Causal::new();
/// let mut right = left.clone();
/// right.merge(left.add(a, "likes", 10)?);
///
/// let removed = left.remove(a, "likes");
/// let liked = right.add(b, "likes", 1)?; // had not seen the removal
/// left.merge(liked);
/// right.merge(removed);
/// assert_eq!(left.get("likes").unwrap().value()?, 1);
/// assert_eq!(left, right);
/// # Ok::<(), cahoots_crdt::Overflow>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct PnCounter {
    pub(crate) tallies: Tallies,
}

impl PnCounter {
    /// The total.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit 64 bits.
    pub fn value(&self) -> Result<i64, Overflow> {
        i64::try_from(self.tallies.value()?).map_err(|_| Overflow)
    }

    /// The total in 128 bits.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit even those.
    pub fn value_wide(&self) -> Result<i128, Overflow> {
        self.tallies.value()
    }

    /// Adds `amount`, which may be negative. Of 0: no event.
    ///
    /// # Errors
    /// [`Overflow`] when this replica's own total would leave 128 bits; nothing is touched then.
    #[inline]
    pub fn add(&mut self, mutation: &mut Mutation<'_>, amount: i64) -> Result<Self, Overflow> {
        if amount == 0 {
            return Ok(Self::default());
        }
        Ok(Self { tallies: self.tallies.add(mutation, amount.into())? })
    }
}

impl Causal<PnCounter> {
    /// Adds `amount`, which may be negative.
    ///
    /// # Errors
    /// See [`PnCounter::add`].
    // Out of line, moving the result would cost more than all the rest.
    #[inline(always)]
    pub fn add(&mut self, replica: ReplicaId, amount: i64) -> Result<Self, Overflow> {
        if let Some((tallies, context)) = self.store.tallies.add_alone(&mut self.context, replica, amount.into()) {
            return Ok(Self { store: PnCounter { tallies }, context });
        }
        self.add_any(replica, amount)
    }

    #[cold]
    fn add_any(&mut self, replica: ReplicaId, amount: i64) -> Result<Self, Overflow> {
        self.try_mutate(replica, |counter, mutation| counter.add(mutation, amount))
    }
}

dot_store_by_field! {
    impl[] PnCounter { tallies: Tallies }

    const LEAVES_RESIDUE: bool = true;

    fn is_live(&self) -> bool {
        self.tallies.is_live()
    }
}

impl Reset for PnCounter {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { tallies: self.tallies.reset(mutation, event) }
    }
}
