//! A leaf whose entries are any bytes: each is two lengths, the key, the content.

use std::ops::Range;

use super::leaf::{Edge, LEAF_BYTES_MAX, Leaf, replace, separator};
use crate::varint;

/// Keys and contents as they are.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Plain {
    bytes: Vec<u8>,
    len: u32,
}

/// An entry, and where it lies.
struct Found<'a> {
    key: &'a [u8],
    content: &'a [u8],
    at: Range<usize>,
}

/// The entries of a leaf from one on.
struct Entries<'a> {
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

impl Plain {
    fn found(&self) -> Entries<'_> {
        Entries { bytes: &self.bytes, at: 0 }
    }

    /// Where `key` lies; if it is not there, an empty place where it belongs.
    fn place_of(&self, key: &[u8]) -> Range<usize> {
        match self.found().find(|it| it.key >= key) {
            Some(found) if found.key == key => found.at,
            Some(found) => found.at.start..found.at.start,
            None => self.bytes.len()..self.bytes.len(),
        }
    }

    /// The first entry in the second half, but not the first of all.
    fn middle(&self) -> usize {
        let half = self.bytes.len() / 2;
        let starts = || self.found().map(|it| it.at.start).skip(1);
        let cut = starts().find(|start| *start >= half).or_else(|| starts().last());
        cut.expect("a leaf to be split has two entries")
    }
}

impl Leaf for Plain {
    type Key<'a> = &'a [u8];
    type Content<'a> = &'a [u8];

    fn len(&self) -> usize {
        self.len as usize
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.found().map(|it| (it.key, it.content))
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.found().find(|it| it.key >= key).filter(|it| it.key == key).map(|it| it.content)
    }

    fn rank_from(&self, key: &[u8]) -> usize {
        self.found().take_while(|it| it.key < key).count()
    }

    fn insert(&mut self, key: &[u8], content: &[u8], edge: Edge) -> (bool, Option<usize>) {
        let place = self.place_of(key);
        let (added, from) = (place.is_empty(), place.start);
        let size = varint::len(key.len()) + varint::len(content.len()) + key.len() + content.len();
        replace(&mut self.bytes, place, size);
        let mut at = from + varint::write_len(key.len(), &mut self.bytes[from..]);
        at += varint::write_len(content.len(), &mut self.bytes[at..]);
        self.bytes[at..at + key.len()].copy_from_slice(key);
        self.bytes[at + key.len()..from + size].copy_from_slice(content);
        self.len += u32::from(added);
        if self.bytes.len() <= LEAF_BYTES_MAX || self.len < 2 {
            return (added, None);
        }
        let cut = match (edge.first && from == 0, edge.last && from + size == self.bytes.len()) {
            (_, true) => from,
            (true, false) => size,
            _ => self.middle(),
        };
        (added, Some(cut))
    }

    fn split(&mut self, cut: usize) -> (Box<[u8]>, Self) {
        let (mut last, mut kept) = (&[][..], 0);
        for entry in self.found().take_while(|it| it.at.start < cut) {
            (last, kept) = (entry.key, kept + 1);
        }
        let first = Entries { bytes: &self.bytes, at: cut }.next().expect("something is split off").key;
        let from = separator(last, first);
        let right = Self { bytes: self.bytes[cut..].to_vec(), len: self.len - kept };
        self.bytes.truncate(cut);
        self.bytes.shrink_to_fit();
        self.len = kept;
        (from, right)
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let place = self.place_of(key);
        let found = !place.is_empty();
        if found {
            replace(&mut self.bytes, place, 0);
            self.len -= 1;
        }
        found
    }

    fn append(&mut self, right: &Self) {
        self.bytes.reserve_exact(right.bytes.len());
        self.bytes.extend_from_slice(&right.bytes);
        self.len += right.len;
    }

    fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}
