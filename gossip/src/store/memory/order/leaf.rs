//! What the leaves of an order can do, however they lay out their entries.

use std::fmt::Debug;
use std::ops::Range;

/// Bytes of entries in a leaf at most, unless it is one entry. Searched through from the front: more would take longer than
/// the levels above.
pub(super) const LEAF_BYTES_MAX: usize = 1 << 10;
/// A leaf of fewer is merged with a neighbour.
pub(super) const LEAF_BYTES_MIN: usize = LEAF_BYTES_MAX / 4;
/// Room for entries is made so many bytes at a time.
const GROWTH_BYTES: usize = 64;

/// Whether a node is the first, and the last, of its level.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Edge {
    pub(super) first: bool,
    pub(super) last: bool,
}

/// Entries one after the other, in the order of their keys.
pub(in crate::store) trait Leaf: Clone + Debug + Default {
    /// A key as it is read.
    type Key<'a>: AsRef<[u8]> + Clone
    where
        Self: 'a;
    /// What is under it.
    type Content<'a>: Clone
    where
        Self: 'a;

    /// How many entries there are.
    fn len(&self) -> usize;

    /// Bytes of its entries.
    fn bytes(&self) -> usize;

    /// Bytes of memory beside the leaf itself.
    fn memory(&self) -> usize;

    fn entries(&self) -> impl Iterator<Item = (Self::Key<'_>, Self::Content<'_>)>;

    fn get(&self, key: &[u8]) -> Option<Self::Content<'_>>;

    /// How many keys are less than `key`.
    fn rank_from(&self, key: &[u8]) -> usize;

    /// Says whether the key is new, and where the leaf is to be split if it has become too long. A leaf at an end of the
    /// order stays full there: what comes next comes beyond it.
    fn insert(&mut self, key: &[u8], content: &[u8], edge: Edge) -> (bool, Option<usize>);

    /// Splits off what lies behind `cut`, with a key that is not greater than its first and greater than all that stay.
    fn split(&mut self, cut: usize) -> (Box<[u8]>, Self);

    /// Says whether the key was there.
    fn remove(&mut self, key: &[u8]) -> bool;

    /// Appends the entries of the leaf to the right.
    fn append(&mut self, right: &Self);
}

/// The shortest beginning of `first` that is greater than `last`, which is less.
pub(super) fn separator(last: &[u8], first: &[u8]) -> Box<[u8]> {
    let common = last.iter().zip(first).take_while(|(a, b)| a == b).count();
    first[..=common].into()
}

/// Makes a place in `bytes` so many bytes long, moving what lies behind it; room is kept close to what is needed.
pub(super) fn replace(bytes: &mut Vec<u8>, place: Range<usize>, size: usize) {
    let old = bytes.len();
    let new = old - place.len() + size;
    if new > old {
        if new > bytes.capacity() {
            bytes.reserve_exact((new - old).next_multiple_of(GROWTH_BYTES));
        }
        bytes.resize(new, 0);
    }
    bytes.copy_within(place.end..old, place.start + size);
    bytes.truncate(new);
    if bytes.capacity() > new + 4 * GROWTH_BYTES {
        bytes.shrink_to(new + GROWTH_BYTES);
    }
}
