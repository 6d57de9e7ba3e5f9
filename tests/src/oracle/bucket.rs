//! Which keys share their causal order.

/// The bucket of a key, as the wire format documents it: the upper ten bits of XXH3's 64.
///
/// Delivery keeps to causal order within a bucket, so "observed" is a matter of buckets, not of keys.
#[must_use]
pub fn bucket_of(key: &[u8]) -> usize {
    usize::try_from(xxhash_rust::xxh3::xxh3_64(key) >> 54).expect("ten bits")
}
