//! What every replicated value is: an element of a join semilattice, and what every delta can do besides.

use alloc::vec::Vec;

use crate::wire::EncodeError;
use crate::{CausalContext, VersionVector};

/// A join semilattice: values that merge.
///
/// [`merge`](Self::merge) is associative, commutative and idempotent, and the bottom value is neutral. That is all a
/// value needs to survive a network that loses, duplicates and reorders. Source: Shapiro, Preguiça, Baquero,
/// Zawirski, *Conflict-free Replicated Data Types* (2011).
pub trait Lattice: Sized {
    /// Takes in everything `other` knows: `self = self ⊔ other`.
    fn merge(&mut self, other: Self);

    /// Whether this is the bottom: the value that knows nothing and changes nothing when merged.
    fn is_bottom(&self) -> bool;
}

/// A lattice value fit for travelling: it can be cut to datagrams, measured, and reduced to what a peer lacks.
///
/// A delta is a value of the same lattice as the state, only small. Source: Almeida, Shoker, Baquero, *Delta State
/// Replicated Data Types* (2018), section 4; the decomposition is in the spirit of Enes et al., *Efficient
/// Synchronization of State-based CRDTs* (ICDE 2019), section 3.
pub trait Delta: Lattice {
    /// Cuts this value into pieces of at most `bytes_max` encoded bytes whose join, in any order, is this value.
    ///
    /// Each piece can be merged alone: it adds only what is live here and removes only what is dead here. One member or
    /// value with the keys it stands under, what one replica counted in one counter, and one replica's row of a bounded
    /// counter are never cut, so a piece that holds just one of them may be larger than asked.
    ///
    /// After a lost piece the receiver's context may already cover a removal that the lost piece would have
    /// performed; like any loss it is repaired by [`since`](Self::since), which always restates removals.
    ///
    /// O(n log n) in the size of this value.
    ///
    /// # Errors
    /// When a member, key or value refuses to be serialised.
    fn split(self, bytes_max: usize) -> Result<Vec<Self>, EncodeError>;

    /// How many encoded bytes are the user's data and how many are bookkeeping. O(n).
    ///
    /// # Errors
    /// When a member, key or value refuses to be serialised.
    fn size(&self) -> Result<Size, EncodeError>;

    /// What a replica that has seen `seen` lacks: every live cell not covered by it, and every removal.
    ///
    /// Removals leave no trace but the context, so all dots known to be dead are restated, as runs. O(n log n).
    #[must_use]
    fn since(&self, seen: &VersionVector) -> Self;
}

/// Encoded bytes, told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Dots, contexts, lengths, versions: what replication costs.
    pub metadata: usize,
    /// Members, keys and values as the user gave them.
    pub data: usize,
}

impl Size {
    /// All bytes.
    #[must_use]
    pub const fn total(self) -> usize {
        self.metadata + self.data
    }
}

impl Lattice for VersionVector {
    fn merge(&mut self, other: Self) {
        Self::merge(self, &other);
    }

    fn is_bottom(&self) -> bool {
        self.is_empty()
    }
}

impl Lattice for CausalContext {
    fn merge(&mut self, other: Self) {
        self.union(&other);
    }

    fn is_bottom(&self) -> bool {
        self.is_empty()
    }
}
