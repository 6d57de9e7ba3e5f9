//! A leaf of an order: entries packed one after the other, each as two lengths, the key, the content.

use std::ops::Range;

use crate::varint;

/// Bytes of entries in a leaf at most, unless it is one entry. Searched through from the front: more would take longer than
/// the levels above.
pub(super) const LEAF_BYTES_MAX: usize = 1 << 10;
/// A leaf of fewer is merged with a neighbour.
pub(super) const LEAF_BYTES_MIN: usize = LEAF_BYTES_MAX / 4;
/// Room for entries is made so many bytes at a time.
const GROWTH_BYTES: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Leaf {
    bytes: Vec<u8>,
    len: u32,
}

/// An entry, and where it lies.
pub(super) struct Found<'a> {
    pub(super) key: &'a [u8],
    pub(super) content: &'a [u8],
    pub(super) at: Range<usize>,
}

/// The entries of a leaf from one on.
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        let mut rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (key_len, content_len) = match *rest {
            [key_len @ ..0x80, content_len @ ..0x80, ref behind @ ..] => {
                rest = behind;
                (key_len.into(), content_len.into())
            }
            _ => (varint::take_len(&mut rest), varint::take_len(&mut rest)),
        };
        let (key, behind) = rest.split_at(key_len);
        let (content, behind) = behind.split_at(content_len);
        let from = std::mem::replace(&mut self.at, self.bytes.len() - behind.len());
        Some(Found { key, content, at: from..self.at })
    }
}

impl Leaf {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of its entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { bytes: &self.bytes, at: 0 }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries().find(|it| it.key >= key).filter(|it| it.key == key).map(|it| it.content)
    }

    /// How many keys are less than `key`.
    pub(super) fn rank_from(&self, key: &[u8]) -> usize {
        self.entries().take_while(|it| it.key < key).count()
    }

    /// Where `key` lies; if it is not there, an empty place where it belongs.
    fn place_of(&self, key: &[u8]) -> Range<usize> {
        match self.entries().find(|it| it.key >= key) {
            Some(found) if found.key == key => found.at,
            Some(found) => found.at.start..found.at.start,
            None => self.bytes.len()..self.bytes.len(),
        }
    }

    /// Says whether the key is new, and where the leaf is to be split if it has become too long. A leaf at an end of the
    /// order stays full there: what comes next comes beyond it.
    pub(super) fn insert(&mut self, key: &[u8], content: &[u8], (first, last): (bool, bool)) -> (bool, Option<usize>) {
        let place = self.place_of(key);
        let (added, from) = (place.is_empty(), place.start);
        let size = varint::len(key.len()) + varint::len(content.len()) + key.len() + content.len();
        self.resize(place, size);
        let mut at = from + varint::write_len(key.len(), &mut self.bytes[from..]);
        at += varint::write_len(content.len(), &mut self.bytes[at..]);
        self.bytes[at..at + key.len()].copy_from_slice(key);
        self.bytes[at + key.len()..from + size].copy_from_slice(content);
        self.len += u32::from(added);
        if self.bytes.len() <= LEAF_BYTES_MAX || self.len < 2 {
            return (added, None);
        }
        let cut = match (first && from == 0, last && from + size == self.bytes.len()) {
            (_, true) => from,
            (true, false) => size,
            _ => self.middle(),
        };
        (added, Some(cut))
    }

    /// The first entry in the second half, but not the first of all.
    fn middle(&self) -> usize {
        let half = self.bytes.len() / 2;
        let starts = || self.entries().map(|it| it.at.start).skip(1);
        let cut = starts().find(|start| *start >= half).or_else(|| starts().last());
        cut.expect("a leaf to be split has two entries")
    }

    /// Splits off what lies behind `cut`, with a key that is not greater than its first and greater than all that stay.
    pub(super) fn split(&mut self, cut: usize) -> (Box<[u8]>, Self) {
        let (mut last, mut kept) = (&[][..], 0);
        for entry in self.entries().take_while(|it| it.at.start < cut) {
            (last, kept) = (entry.key, kept + 1);
        }
        let first = Entries { bytes: &self.bytes, at: cut }.next().expect("something is split off").key;
        let common = last.iter().zip(first).take_while(|(a, b)| a == b).count();
        let from: Box<[u8]> = first[..=common].into();
        let right = Self { bytes: self.bytes[cut..].to_vec(), len: self.len - kept };
        self.bytes.truncate(cut);
        self.bytes.shrink_to_fit();
        self.len = kept;
        (from, right)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let place = self.place_of(key);
        let found = !place.is_empty();
        if found {
            self.resize(place, 0);
            self.len -= 1;
        }
        found
    }

    /// Appends the entries of the leaf to the right.
    pub(super) fn append(&mut self, right: &Self) {
        self.bytes.reserve_exact(right.bytes.len());
        self.bytes.extend_from_slice(&right.bytes);
        self.len += right.len;
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes a place so many bytes long, moving what lies behind it.
    fn resize(&mut self, place: Range<usize>, size: usize) {
        let old = self.bytes.len();
        let new = old - place.len() + size;
        if new > old {
            if new > self.bytes.capacity() {
                self.bytes.reserve_exact((new - old).next_multiple_of(GROWTH_BYTES));
            }
            self.bytes.resize(new, 0);
        }
        self.bytes.copy_within(place.end..old, place.start + size);
        self.bytes.truncate(new);
        if self.bytes.capacity() > new + 4 * GROWTH_BYTES {
            self.bytes.shrink_to(new + GROWTH_BYTES);
        }
    }
}
