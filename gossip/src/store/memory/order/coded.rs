//! A leaf of elements under names, each told by what is new about it beside the one before.
//!
//! Positions in a list and ids in a stream that one replica has made one after the other differ in a few bytes of their
//! clocks, and so do their cells. An entry is: how many bytes of its name, from the front and from the end, are those of the
//! name before (four bits each); the length of what is between, and that; then the element as a
//! [`Packer`](crate::store::memory::packed::Packer) goes on writing it.

use std::cmp::Ordering;
use std::ops::Range;

use super::leaf::{Edge, LEAF_BYTES_MAX, Leaf, replace, separator};
use crate::Hlc;
use crate::store::cell::Element;
use crate::store::kind::Class;
use crate::store::memory::name::Made;
use crate::store::memory::packed::{Packed, Packer};
use crate::varint;
use cahoots_crdt::Dot;

/// Bytes that a name is said to have in common with the one before, at either end.
const COMMON_MAX: usize = 15;

/// What an entry is told beside: the name before, and its last cell.
#[derive(Clone, Debug, Default)]
struct Before {
    name: Made,
    last: Option<(Dot, Hlc)>,
}

/// Elements of one class under their names.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Coded {
    bytes: Vec<u8>,
    len: u32,
}

/// Reads the entries of a leaf from one on.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What was read last.
    before: Before,
}

/// An element, and where it ends.
struct Found<'a> {
    class: Class,
    element: Element<'a>,
    end: usize,
}

impl<'a> Reader<'a> {
    /// The next element; its name is then that of `before`.
    fn next(&mut self) -> Option<Found<'a>> {
        let mut rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let common = usize::from(rest[0]);
        rest = &rest[1..];
        let (front, back) = (common >> 4, common & COMMON_MAX);
        let middle = varint::take_len(&mut rest);
        let (middle, behind) = rest.split_at(middle);
        let name = &mut self.before.name;
        let mut end = [0; COMMON_MAX];
        end[..back].copy_from_slice(&name[name.len() - back..]);
        name.truncate(front);
        name.extend_from_slice(middle);
        name.extend_from_slice(&end[..back]);
        let mut packed = Packed::after(behind, self.before.last);
        let (class, element) = packed.next_alone();
        self.before.last = Some(packed.last_cell());
        self.at = self.bytes.len() - packed.rest().len();
        Some(Found { class, element, end: self.at })
    }
}

impl Before {
    /// Appends an entry that comes next; it is the one before then.
    fn push(&mut self, name: &[u8], class: Class, element: &Element<'_>, bytes: &mut Vec<u8>) {
        let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
        let front = self.name.iter().zip(name).take(COMMON_MAX).take_while(same).count();
        let (before, rest) = (&self.name[front..], &name[front..]);
        let back = before.iter().rev().zip(rest.iter().rev()).take(COMMON_MAX).take_while(same).count();
        let middle = &rest[..rest.len() - back];
        bytes.push(u8::try_from(front << 4 | back).expect("four bits each"));
        varint::put_len(middle.len(), bytes);
        bytes.extend_from_slice(middle);
        let mut packer = Packer::after(bytes, self.last);
        packer.push_alone(class, element);
        self.last = packer.last_cell();
        self.name = name.into();
    }
}

/// How a leaf changes when an element is put under a name, or taken away.
#[derive(Default)]
struct Change {
    /// What is replaced: the entry of that name, if there is one, and the one behind it, which is told anew.
    range: Range<usize>,
    bytes: Vec<u8>,
    /// Bytes of the new entry.
    own: usize,
    was_there: bool,
    is_last: bool,
}

impl Coded {
    fn read(&self) -> Reader<'_> {
        Reader { bytes: &self.bytes, at: 0, before: Before::default() }
    }

    /// What is to be done for `new`, or nothing, to be under `name`.
    fn change(&self, name: &[u8], new: Option<(Class, &Element<'_>)>) -> Change {
        let mut change = Change { is_last: true, ..Change::default() };
        let (mut reader, mut before, mut next) = (self.read(), Before::default(), None);
        while let Some(found) = reader.next() {
            match (*reader.before.name).cmp(name) {
                Ordering::Less => {
                    change.range = found.end..found.end;
                    before.clone_from(&reader.before);
                }
                Ordering::Equal => {
                    change.range.end = found.end;
                    change.was_there = true;
                }
                Ordering::Greater => {
                    change.range.end = found.end;
                    change.is_last = false;
                    next = Some(found);
                    break;
                }
            }
        }
        if let Some((class, element)) = new {
            before.push(name, class, element, &mut change.bytes);
            change.own = change.bytes.len();
        }
        if let Some(next) = next {
            before.push(&reader.before.name, next.class, &next.element, &mut change.bytes);
        }
        change
    }

    /// Where the first entry in the second half begins, but not the first of all.
    fn middle(&self) -> usize {
        let (mut reader, mut cut) = (self.read(), 0);
        while let Some(found) = reader.next() {
            if found.end == self.bytes.len() {
                break;
            }
            cut = found.end;
            if cut >= self.bytes.len() / 2 {
                break;
            }
        }
        cut
    }

    fn make(&mut self, change: &Change) {
        let Change { range, bytes, .. } = change;
        replace(&mut self.bytes, range.clone(), bytes.len());
        self.bytes[range.start..range.start + bytes.len()].copy_from_slice(bytes);
    }
}

impl Leaf for Coded {
    type Key<'a> = Made;
    type Content<'a> = Element<'a>;

    fn len(&self) -> usize {
        self.len as usize
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    fn entries(&self) -> impl Iterator<Item = (Made, Element<'_>)> {
        let mut reader = self.read();
        std::iter::from_fn(move || {
            let Found { element, .. } = reader.next()?;
            Some((reader.before.name.clone(), element))
        })
    }

    fn get(&self, key: &[u8]) -> Option<Element<'_>> {
        let mut reader = self.read();
        while let Some(found) = reader.next() {
            if *reader.before.name >= *key {
                return (*reader.before.name == *key).then_some(found.element);
            }
        }
        None
    }

    fn rank_from(&self, key: &[u8]) -> usize {
        let (mut reader, mut rank) = (self.read(), 0);
        while reader.next().is_some() && *reader.before.name < *key {
            rank += 1;
        }
        rank
    }

    /// `content` is an element as [`pack_one`](crate::store::memory::packed::pack_one) writes it.
    fn insert(&mut self, key: &[u8], content: &[u8], edge: Edge) -> (bool, Option<usize>) {
        let (class, element) = Packed::new(content).next_alone();
        let change = self.change(key, Some((class, &element)));
        self.make(&change);
        let (start, is_new) = (change.range.start, !change.was_there);
        self.len += u32::from(is_new);
        if self.bytes.len() <= LEAF_BYTES_MAX || self.len < 2 {
            return (is_new, None);
        }
        let cut = match (edge.first && start == 0, edge.last && change.is_last) {
            (_, true) => start,
            (true, false) => change.own,
            _ => self.middle(),
        };
        (is_new, Some(cut))
    }

    fn split(&mut self, cut: usize) -> (Box<[u8]>, Self) {
        let (mut reader, mut kept) = (self.read(), 0);
        while reader.at < cut {
            reader.next();
            kept += 1;
        }
        let last = reader.before.name.clone();
        let Found { class, element, end } = reader.next().expect("something is split off");
        let from = separator(&last, &reader.before.name);
        let mut bytes = Vec::with_capacity(LEAF_BYTES_MAX);
        Before::default().push(&reader.before.name, class, &element, &mut bytes);
        bytes.extend_from_slice(&self.bytes[end..]);
        bytes.shrink_to_fit();
        drop(element);
        let right = Self { bytes, len: self.len - kept };
        self.bytes.truncate(cut);
        self.bytes.shrink_to_fit();
        self.len = kept;
        (from, right)
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let change = self.change(key, None);
        if change.was_there {
            self.make(&change);
            self.len -= 1;
        }
        change.was_there
    }

    fn append(&mut self, right: &Self) {
        let mut reader = self.read();
        while reader.next().is_some() {}
        let mut before = reader.before;
        let mut first = right.read();
        let Some(Found { class, element, end }) = first.next() else { return };
        self.bytes.reserve_exact(right.bytes.len());
        before.push(&first.before.name, class, &element, &mut self.bytes);
        self.bytes.extend_from_slice(&right.bytes[end..]);
        self.len += right.len;
    }
}
