//! Where a replica stands, as far as replication cares: which others are near.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// A set of replicas that are near to each other: a data centre, a region. Compared for equality only.
///
/// Replicas that announce no zone are together in [`Zone::default`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(u64);

impl Zone {
    /// The zone of this label.
    #[must_use]
    pub fn named(label: &str) -> Self {
        Self(xxh3_64(label.as_bytes()))
    }

    /// The zone of a label that may not be there.
    #[must_use]
    pub fn of(label: Option<&str>) -> Self {
        label.map_or_else(Self::default, Self::named)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zone {:x}", self.0)
    }
}
