//! The name of one event.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ReplicaId;

/// One event: the `seq`-th change published by `replica`, counted 1, 2, 3 ... without holes.
///
/// Source: Almeida, Baquero, Gonçalves, Preguiça, Fonte, *Scalable and Accurate Causality Tracking for Eventually
/// Consistent Stores* (DAIS 2014).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The replica that minted the event.
    pub replica: ReplicaId,
    /// Its position among that replica's events; the first is 1.
    pub seq: u64,
}

impl Dot {
    /// The highest sequence number accepted from outside. It leaves 2⁶³ events for a replica whose entry a hostile
    /// peer raised to it, so counting on can never overflow. What that replica then publishes is refused by others, so
    /// check what peers claim of your own id: see [the crate](crate#bytes).
    pub const SEQ_MAX: u64 = u64::MAX >> 1;

    /// The dot of the `seq`-th event of `replica`.
    #[must_use]
    pub const fn new(replica: ReplicaId, seq: u64) -> Self {
        Self { replica, seq }
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.replica, self.seq)
    }
}
