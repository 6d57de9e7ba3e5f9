//! A key that stands between two neighbours.
//!
//! In a tree larger than the caches, each key that a search compares is a wait for memory. So the first bytes of a separator lie
//! beside the child that it is of: mostly they decide, and the rest is not looked at.

/// A key, and its first bytes as a number that orders as they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Separator {
    head: u64,
    key: Box<[u8]>,
}

/// A key that is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    head: u64,
    key: &'a [u8],
}

impl Separator {
    pub(super) fn new(key: Box<[u8]>) -> Self {
        Self { head: head_of(&key), key }
    }

    /// Whether the key that is looked for is not less.
    #[inline]
    pub(super) fn is_upto(&self, wanted: Wanted<'_>) -> bool {
        self.head < wanted.head || self.head == wanted.head && *self.key <= *wanted.key
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

impl<'a> Wanted<'a> {
    pub(super) fn new(key: &'a [u8]) -> Self {
        Self { head: head_of(key), key }
    }
}

/// The first bytes of a key. One that is shorter is less than all that go on from it, or as much: then the keys decide.
fn head_of(key: &[u8]) -> u64 {
    let head = key.first_chunk().copied().unwrap_or_else(|| {
        let mut head = [0; size_of::<u64>()];
        head[..key.len()].copy_from_slice(key);
        head
    });
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of few different bytes, so that keys are alike, beginnings of each other, or end in zeros.
        #[test]
        fn a_separator_compares_as_its_bytes(
            a in prop::collection::vec(0..3_u8, 0..12),
            b in prop::collection::vec(0..3_u8, 0..12),
        ) {
            prop_assert_eq!(Separator::new(a.clone().into()).is_upto(Wanted::new(&b)), a <= b);
        }
    }
}
