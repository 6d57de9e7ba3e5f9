//! The name of one incarnation of one replica.

use core::fmt;

use serde::{Deserialize, Serialize};

/// One incarnation of a replica: the first half of every [`Dot`](crate::Dot).
///
/// An id is drawn at random by the program that starts the replica and is continued only from storage that provably
/// holds everything the replica ever told anyone. 64 random bits keep the chance that ten thousand ids
/// collide below one in 10¹¹.
///
/// ```
/// use cahoots_crdt::ReplicaId;
///
/// let id = ReplicaId::new(0xA11CE);
/// assert_eq!(id.to_string(), "00000000000a11ce");
/// assert_eq!(id.get(), 0xA11CE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(u64);

impl ReplicaId {
    /// The id with these 64 bits.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The 64 bits of this id.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Ids are random: eight plain bytes are shorter than the varint most formats would choose.
impl Serialize for ReplicaId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_be_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ReplicaId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 8]>::deserialize(deserializer).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}
