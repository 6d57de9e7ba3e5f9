//! A counter that never falls below its bound, with no coordination: escrow.
//!
//! What stands above the bound is divided into *rights*. A replica that increments gains that many rights; one that
//! decrements spends its own; rights can be handed over. A replica without rights has to ask another for some, outside
//! of this library. Since every replica spends only what is provably its own, no partition can bring the sum below the
//! bound.
//!
//! Each replica writes one row: granted, spent, and handed to each peer, all growing. A later row of a replica holds
//! everything the earlier did, so its dot supersedes the earlier one, and of two live rows of one replica (the delta in
//! between being under way) the later counts.
//!
//! # Decision: no removal
//!
//! Removing exactly what was observed contradicts the bound: remove the increments you have seen, and a decrement
//! made elsewhere on the strength of them leaves the sum below it. So this type is no [`Reset`](crate::Reset): it nests
//! in an [`OrMap`](crate::OrMap), and such a map has no `remove`, which the compiler says. Spend the rights instead.

use alloc::collections::BTreeMap;

use crate::dot_store::dot_store_by_field;
use crate::{Causal, CausalContext, Dot, DotFun, DotStore, Mutation, Overflow, ReplicaId, VersionVector};

/// A counter that starts at its bound, 0, and never falls below it.
///
/// For another bound, add it when reading: the rights are what stands above it.
///
/// | A does | B does, concurrently | both read |
/// | --- | --- | --- |
/// | `increment(5)` | `increment(2)` | 7 |
/// | `decrement(3)` of its 5 | `decrement(2)` of its 2 | 2 |
/// | `decrement(6)` of its 5 | | refused at A: [`NoRights`](BoundedError::NoRights) |
///
/// All operations cost O(n) for n replicas; a row has an entry for every peer it ever handed rights to.
///
/// What stands above the bound is divided into rights, each held by one replica. Incrementing gains rights,
/// decrementing spends them, [`transfer`](Causal::<BoundedCounter>::transfer) hands them over; asking another replica
/// for some is up to you. Rights are bound to their id: what a replica holds when it is lost, or goes on under another
/// id, no replica can spend any more. Two copies that run under one id spend the same rights twice.
///
/// It cannot be removed, nor a key it is nested under: removing what was observed contradicts the bound, since a
/// decrement made elsewhere on the strength of it would be left below. Spend the rights instead.
///
/// Source: Balegas et al., *Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants* (SRDS
/// 2015), section IV.
///
/// ```
/// use cahoots_crdt::{BoundedCounter, Causal, Lattice, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut stock: Causal<BoundedCounter> = Causal::new();
/// let _delta = stock.increment(a, 10)?;
/// let _delta = stock.transfer(a, b, 4)?;
///
/// let mut other = stock.clone();
/// let sold = stock.decrement(a, 6)?;
/// other.merge(sold);
/// assert!(other.decrement(b, 5).is_err()); // 4 are left, all of them b's
/// let _delta = other.decrement(b, 4)?;
/// assert_eq!(other.value()?, 0);
/// # Ok::<(), cahoots_crdt::BoundedError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a delta has to reach the other replicas"]
pub struct BoundedCounter {
    pub(crate) rows: DotFun<Row>,
}

/// What one replica has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) granted: u128,
    pub(crate) spent: u128,
    pub(crate) handed: BTreeMap<ReplicaId, u128>,
}

/// Why a [`BoundedCounter`] refuses. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoundedError {
    /// The replica has fewer rights than asked for.
    #[error("{asked} rights are needed, this replica has {held}")]
    NoRights {
        /// How many the operation needs.
        asked: u64,
        /// How many the replica has.
        held: u128,
    },
    /// A total left its integer type.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl BoundedCounter {
    /// The total above the bound.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit 64 bits.
    pub fn value(&self) -> Result<u64, Overflow> {
        let (mut granted, mut spent) = (0_u128, 0_u128);
        for (_, row) in self.rows.latest() {
            granted = granted.checked_add(row.granted).ok_or(Overflow)?;
            spent = spent.checked_add(row.spent).ok_or(Overflow)?;
        }
        // A row of a receiver may arrive before the giver's: what it spent can exceed what is known to be granted.
        u64::try_from(granted.saturating_sub(spent)).map_err(|_| Overflow)
    }

    /// The rights `replica` holds, as far as is known here; the replica itself knows exactly.
    ///
    /// # Errors
    /// [`Overflow`] when a total does not fit 128 bits.
    pub fn rights(&self, replica: ReplicaId) -> Result<u128, Overflow> {
        let (mut gained, mut gone) = (0_u128, 0_u128);
        for (dot, row) in self.rows.latest() {
            if dot.replica == replica {
                gained = gained.checked_add(row.granted).ok_or(Overflow)?;
                gone = gone.checked_add(row.spent).ok_or(Overflow)?;
                for handed in row.handed.values() {
                    gone = gone.checked_add(*handed).ok_or(Overflow)?;
                }
            } else if let Some(handed) = row.handed.get(&replica) {
                gained = gained.checked_add(*handed).ok_or(Overflow)?;
            }
        }
        Ok(gained.saturating_sub(gone))
    }

    /// Adds `amount` and gains as many rights. Of 0: no event.
    ///
    /// # Errors
    /// [`BoundedError::Overflow`].
    pub fn increment(&mut self, mutation: &mut Mutation<'_>, amount: u64) -> Result<Self, BoundedError> {
        self.change(mutation, amount, |row| grow(&mut row.granted, amount))
    }

    /// Subtracts `amount` and spends as many rights. Of 0: no event.
    ///
    /// # Errors
    /// [`BoundedError::NoRights`] when this replica has too few; [`BoundedError::Overflow`].
    pub fn decrement(&mut self, mutation: &mut Mutation<'_>, amount: u64) -> Result<Self, BoundedError> {
        self.check_rights(mutation.replica(), amount)?;
        self.change(mutation, amount, |row| grow(&mut row.spent, amount))
    }

    /// Hands `amount` of this replica's rights to `to`. Of 0, or to itself: no event.
    ///
    /// # Errors
    /// [`BoundedError::NoRights`] when this replica has too few; [`BoundedError::Overflow`].
    pub fn transfer(&mut self, mutation: &mut Mutation<'_>, to: ReplicaId, amount: u64) -> Result<Self, BoundedError> {
        self.check_rights(mutation.replica(), amount)?;
        let amount = if to == mutation.replica() { 0 } else { amount };
        self.change(mutation, amount, |row| grow(row.handed.entry(to).or_default(), amount))
    }

    fn check_rights(&self, replica: ReplicaId, asked: u64) -> Result<(), BoundedError> {
        let held = self.rights(replica)?;
        if held < asked.into() { Err(BoundedError::NoRights { asked, held }) } else { Ok(()) }
    }

    fn change(
        &mut self,
        mutation: &mut Mutation<'_>,
        amount: u64,
        change: impl FnOnce(&mut Row) -> Result<(), Overflow>,
    ) -> Result<Self, BoundedError> {
        if amount == 0 {
            return Ok(Self::default());
        }
        let at = self.rows.own_at(mutation.replica());
        let mut row = at.map_or_else(Row::default, |at| self.rows.cell_at(at).1.clone());
        change(&mut row)?;
        let dot = mutation.mint();
        match at {
            Some(at) => {
                mutation.supersede(self.rows.cell_at(at).0);
                self.rows.succeed_at(at, dot, row.clone());
            }
            None => {
                self.rows.insert(dot, row.clone());
            }
        }
        Ok(Self { rows: DotFun::of(dot, row) })
    }
}

fn grow(total: &mut u128, amount: u64) -> Result<(), Overflow> {
    *total = total.checked_add(amount.into()).ok_or(Overflow)?;
    Ok(())
}

impl Causal<BoundedCounter> {
    /// Adds `amount` and gains as many rights.
    ///
    /// # Errors
    /// See [`BoundedCounter::increment`].
    pub fn increment(&mut self, replica: ReplicaId, amount: u64) -> Result<Self, BoundedError> {
        self.try_mutate(replica, |counter, mutation| counter.increment(mutation, amount))
    }

    /// Subtracts `amount` and spends as many rights.
    ///
    /// # Errors
    /// See [`BoundedCounter::decrement`].
    pub fn decrement(&mut self, replica: ReplicaId, amount: u64) -> Result<Self, BoundedError> {
        self.try_mutate(replica, |counter, mutation| counter.decrement(mutation, amount))
    }

    /// Hands `amount` of the rights of `replica` to `to`.
    ///
    /// # Errors
    /// See [`BoundedCounter::transfer`].
    pub fn transfer(&mut self, replica: ReplicaId, to: ReplicaId, amount: u64) -> Result<Self, BoundedError> {
        self.try_mutate(replica, |counter, mutation| counter.transfer(mutation, to, amount))
    }
}

dot_store_by_field! {
    impl[] BoundedCounter { rows: DotFun<Row> }

    fn is_live(&self) -> bool {
        !self.rows.is_empty()
    }
}
