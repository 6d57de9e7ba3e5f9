//! What a cluster agrees to hold.

/// Limits enforced where events are minted, equal in every replica of a cluster.
///
/// A replica that refused an event would block its origin there for ever (an event is never skipped), so a
/// receiver relies on the minting side; replicas announce their limits and refuse peers whose limits differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a key, member or field name. Default 64 KiB: names are kept in memory once per replica and travel
    /// with every change, so one that outgrows this is a value in the wrong place.
    pub name_bytes_max: usize,
    /// Bytes of one value. Default 8 MiB: it must travel whole and fit the reassembly buffers.
    pub value_bytes_max: usize,
    /// Bytes of all keys, names and values written by one group (one command). Default 32 MiB.
    pub group_bytes_max: usize,
    /// How far a replica's clock may run ahead of the cluster's before it must not write, in milliseconds.
    /// Default one minute.
    pub clock_ahead_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes_max: 64 << 10,
            value_bytes_max: 8 << 20,
            group_bytes_max: 32 << 20,
            clock_ahead_ms_max: 60_000,
        }
    }
}
