//! Reading: what the live cells of a key amount to.

use std::borrow::Cow;

use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use super::scan;
use crate::store::Store;
use crate::store::cell::baseline::Baselines;
use crate::store::cell::{Class, Element, Path, hash_of};
use crate::store::memory::bucket::{Bucket, bucket_of};
use crate::store::memory::entry::Entry;

/// The value is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value is not an integer or out of range")]
pub struct NotCounted;

/// A key that exists, seen as the type it shows.
#[derive(Clone, Copy)]
pub struct View<'a> {
    bucket: &'a Bucket,
    entry: Entry<'a>,
    hash: u64,
    key: &'a [u8],
    class: Class,
}

impl Store {
    /// The key, if it exists. O(1), unless the key holds several types: then O(its cells).
    #[must_use]
    pub fn view<'a>(&'a self, key: &'a [u8]) -> Option<View<'a>> {
        let hash = hash_of(key);
        let bucket = &self.buckets[bucket_of(hash)];
        Some(View::new(bucket, bucket.keys.get(hash, key)?, hash, key))
    }
}

impl<'a> View<'a> {
    pub(in crate::store) fn new(bucket: &'a Bucket, entry: Entry<'a>, hash: u64, key: &'a [u8]) -> Self {
        Self { bucket, entry, hash, key, class: entry.class() }
    }

    /// The type the key shows.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whether replicas made the key with different types while apart. All cells are kept; this view shows one type.
    #[must_use]
    pub fn clashes(&self) -> bool {
        self.entry.clashes()
    }

    /// The value of a text: the winning assignment plus the live increments. `None` for other types.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, [u8]>> {
        (self.class == Class::Text).then(|| self.value_of(b"", &self.entry.element(Class::Text, b"")))
    }

    /// The value of a text as a number. 128 bits: concurrent increments may sum to more than 64.
    ///
    /// # Errors
    /// The key is no text, or its winning assignment is no 64-bit integer.
    pub fn count(&self) -> Result<i128, NotCounted> {
        if self.class != Class::Text {
            return Err(NotCounted);
        }
        number(&self.path(b""), &self.entry.element(Class::Text, b""), &self.bucket.baselines)
    }

    /// How many members, fields or ballots there are; of a text, how many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.class {
            Class::Text => self.text().map_or(0, |text| text.len()),
            Class::Vote | Class::Presence => self.ballots().count(),
            Class::Set | Class::Hash => self.entry.len(self.class),
        }
    }

    /// The ballots, each with the replica that cast it, in the order of their ids. None for other types.
    pub fn ballots(&self) -> impl Iterator<Item = (ReplicaId, &'a [u8])> + use<'a> {
        let class = self.class;
        let elements = self.entry.ballots().filter(move |(it, _)| *it == class);
        elements.flat_map(|(_, element)| owned_values(&element))
    }

    /// Whether there is nothing to count; only a text can be empty and exist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the collection has this member or field.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.class.has_names() && !self.entry.element(self.class, name).is_empty()
    }

    /// The value of a field; of a set's member, the empty one.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        if !self.class.has_names() {
            return None;
        }
        let element = self.entry.element(self.class, name);
        (!element.is_empty()).then(|| self.value_of(name, &element))
    }

    /// Members or fields with their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Cow<'a, [u8]>)> + use<'a> {
        let this = *self;
        let elements = self.entry.of(self.class).filter(move |_| this.class.has_names());
        elements.map(move |(name, element)| (name, this.value_of(name, &element)))
    }

    /// Visits about `count` elements from `cursor` on; 0 begins, and 0 is returned at the end. Elements that stay
    /// throughout are visited exactly once. A page costs O(elements), so large collections get larger pages.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], Cow<'_, [u8]>)) -> u64 {
        if !self.class.has_names() {
            return 0;
        }
        let elements = self.entry.of(self.class).map(|(name, element)| (hash_of(name), (name, element)));
        let page = scan::page(elements, cursor, count.max(self.len() / scan::PAGES_MAX));
        page.items.into_iter().for_each(|(name, element)| visit(name, self.value_of(name, &element)));
        page.next
    }

    fn path<'b>(&self, name: &'b [u8]) -> Path<'b>
    where
        'a: 'b,
    {
        Path::within(self.hash, self.key, self.class, name)
    }

    fn value_of(&self, name: &[u8], element: &Element<'a>) -> Cow<'a, [u8]> {
        if !element.counts.is_empty() {
            let path = Path::within(self.hash, self.key, self.class, name);
            if let Ok(number) = number(&path, element, &self.bucket.baselines) {
                return Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec());
            }
        }
        Cow::Borrowed(element.winner().map_or(&[], |(_, register)| register.value))
    }
}

/// What each replica has assigned.
pub(in crate::store) fn owned_values<'a>(element: &Element<'a>) -> SmallVec<[(ReplicaId, &'a [u8]); 1]> {
    element.value.iter().map(|(dot, register)| (dot.replica, register.value)).collect()
}

/// The value of an element as a number: its winning assignment, 0 when there is none, plus the live increments.
pub(in crate::store) fn number(
    path: &Path<'_>,
    element: &Element<'_>,
    baselines: &Baselines,
) -> Result<i128, NotCounted> {
    let assigned = element.winner().map_or(Some(0), |(_, register)| parse(register.value)).ok_or(NotCounted)?;
    // Wrapping: only forged totals come near the ends of 128 bits, and they must not stop a reader.
    let slots = element.counts.iter().map(|(dot, count)| baselines.contribution(path, dot, count));
    Ok(slots.fold(i128::from(assigned), i128::wrapping_add))
}

/// A 64-bit integer in the one form in which it would be written.
fn parse(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (itoa::Buffer::new().format(number).as_bytes() == text).then_some(number)
}
