//! Reading: what the live cells of a key amount to.

use std::borrow::Cow;

use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use super::scan;
use crate::mix;
use crate::store::Store;
use crate::store::cell::baseline::Baselines;
use crate::store::cell::lapse::{self, Lapse};
use crate::store::cell::score;
use crate::store::cell::{Element, Path, Stamp, hash_of};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, bucket_of};
use crate::store::memory::entry::Entry;
use crate::store::memory::name::Name;
use crate::store::memory::order::{Coded, Order, Plain};
use crate::store::memory::origins::Origins;
use crate::store::memory::table::Hashed;

/// The value is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value is not an integer or out of range")]
pub struct NotCounted;

/// The store as clients see it at a moment: what has expired by then is not there.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    store: &'a Store,
    now: u64,
}

/// A key that exists, seen as the type it shows.
#[derive(Clone, Copy)]
pub struct View<'a> {
    bucket: &'a Bucket,
    entry: Entry<'a>,
    hash: u64,
    key: &'a [u8],
    class: Class,
    now: u64,
    /// Whether a deadline has passed, so that some cells may be hidden.
    lapsed: bool,
}

impl Store {
    /// What there is at wall time `wall_ms`, or at the highest clock seen if that is later.
    #[must_use]
    pub fn at(&self, wall_ms: u64) -> Moment<'_> {
        Moment { store: self, now: self.now(wall_ms) }
    }

    /// The time for deadlines: the hybrid clock's.
    pub(in crate::store) fn now(&self, wall_ms: u64) -> u64 {
        wall_ms.max(self.clock.wall_ms())
    }
}

impl<'a> Moment<'a> {
    /// The key, if it exists. O(1), unless the key holds several types, or a deadline of it has passed: then O(its cells).
    #[must_use]
    pub fn view(self, key: &'a [u8]) -> Option<View<'a>> {
        let hash = hash_of(key);
        let bucket = &self.store.buckets[bucket_of(hash)];
        View::new(bucket, bucket.keys.get(hash, key)?, (hash, key), self.now)
    }

    /// The time, in milliseconds since 1970.
    #[must_use]
    pub fn now(self) -> u64 {
        self.now
    }

    pub(in crate::store) fn store(self) -> &'a Store {
        self.store
    }
}

impl<'a> View<'a> {
    pub(in crate::store) fn new(
        bucket: &'a Bucket,
        entry: Entry<'a>,
        (hash, key): (u64, &'a [u8]),
        now: u64,
    ) -> Option<Self> {
        let (lapsed, class) = match Lapse::of(entry, now) {
            None => (false, entry.class()),
            Some(lapse) => (true, lapse.class()),
        };
        Some(Self { bucket, entry, hash, key, class: class?, now, lapsed })
    }

    /// Whether anything was ever said about when the key ends.
    pub(in crate::store) fn has_attributes(&self) -> bool {
        self.entry.has_attributes()
    }

    /// Whether something under the key has expired, and is hidden.
    pub(in crate::store) fn is_lapsed(&self) -> bool {
        self.lapsed
    }

    /// The hash of the key.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
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
        (self.class == Class::Text).then(|| self.value_of(b"", &self.element(b"")))
    }

    /// What was assigned to a text, by whoever did so at the same time, in no order: what has won, and what it has won over
    /// without having been seen. Increments are not in it. None of other types.
    pub fn assignments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let assigned = (self.class == Class::Text).then(|| self.element(b""));
        assigned.into_iter().flat_map(|element| owned_values(&element)).map(|(_, value)| value)
    }

    /// The value of a text as a number. 128 bits: concurrent increments may sum to more than 64.
    ///
    /// # Errors
    /// The key is no text, or its winning assignment is no 64-bit integer.
    pub fn count(&self) -> Result<i128, NotCounted> {
        if self.class != Class::Text {
            return Err(NotCounted);
        }
        self.number(b"")
    }

    /// The value of a text or a field as a number, 0 where there is none.
    pub(in crate::store) fn number(&self, name: &[u8]) -> Result<i128, NotCounted> {
        number(&self.path(name), &self.element(name), &self.bucket.baselines)
    }

    /// When the key ends, in milliseconds since 1970, if it does.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        lapse::in_force(self.entry, self.now)?.deadline()
    }

    /// When a field of a hash ends, in milliseconds since 1970, if it is there and does by itself; its key may end before.
    #[must_use]
    pub fn field_deadline(&self, name: &[u8]) -> Option<u64> {
        if !self.contains(name) {
            return None; // its deadline may outlive it, where it was removed by a replica that did not know of that
        }
        lapse::in_force_at_field(self.entry, name, self.now)?.deadline()
    }

    /// When the newest of its elements was written, in milliseconds since 1970, `elements_max` of them looked at. O(those).
    #[must_use]
    pub fn written_at(&self, elements_max: usize) -> u64 {
        let newest = |(_, element): (_, Element<'_>)| element.stamps().max();
        let newest = self.elements().take(elements_max).filter_map(newest).max();
        newest.map_or(0, |(clock, _)| clock.wall_ms())
    }

    /// A number that is another one, all but surely, once something else is here: for who keeps what was made of it. O(elements).
    #[must_use]
    pub fn version(&self) -> u64 {
        let of_element = |(name, element): (Name<'a>, Element<'a>)| {
            let fold = |state, (clock, replica): Stamp| mix::fold(mix::fold(state, clock.get()), replica.get());
            element.stamps().fold(hash_of(&name), fold)
        };
        self.elements().map(of_element).fold(0, u64::wrapping_add)
    }

    /// How many members, fields or ballots there are; of a text, how many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.class {
            Class::Text => self.text().map_or(0, |text| text.len()),
            Class::Vote | Class::Presence => self.ballots().count(),
            Class::Stream => self.stream().len(),
            _ => match self.lapse() {
                Some(lapse) => lapse.len(self.class),
                None => self.entry.len(self.class),
            },
        }
    }

    /// The ballots, each with the replica that cast it, in the order of their ids. None for other types.
    pub fn ballots(&self) -> impl Iterator<Item = (ReplicaId, &'a [u8])> + use<'a> {
        let held = self.class.holds_ballots().then(|| self.element(b""));
        held.into_iter().flat_map(|element| owned_values(&element))
    }

    /// Whether there is nothing to count; only a text and a stream can be empty and exist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the collection has this member or field.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.class.has_names() && !self.element(name).is_empty()
    }

    /// The value of a field; of a set's member, the empty one; of a sorted set's, the bits of its score, the greatest first.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        if !self.class.has_names() {
            return None;
        }
        let element = self.element(name);
        (!element.is_empty()).then(|| self.value_of(name, &element))
    }

    /// Members or fields with their values, in no order; none of lists and streams, which are [ordered](View::ordered).
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Cow<'a, [u8]>)> + use<'a> {
        let this = *self;
        let named = self.class.has_names().then(|| self.elements());
        named.into_iter().flatten().filter_map(move |(name, element)| {
            let name = name.as_kept()?;
            Some((name, this.value_of(name, &element)))
        })
    }

    /// Visits about `count` elements from `cursor` on; 0 begins, and 0 is returned at the end. Elements that stay
    /// throughout are visited exactly once. A page costs O(elements), so large collections get larger pages.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], Cow<'_, [u8]>)) -> u64 {
        if !self.class.has_names() {
            return 0;
        }
        let elements = self.elements().map(|(name, element)| (hash_of(&name), (name, element)));
        let page = scan::page(elements, cursor, count.max(self.len() / scan::PAGES_MAX));
        page.items.into_iter().for_each(|(name, element)| visit(&name, self.value_of(&name, &element)));
        page.next
    }

    /// What is visible of an element.
    pub(in crate::store) fn element(&self, name: &[u8]) -> Element<'a> {
        let mut element = self.entry.element(self.class, name);
        if let Some(lapse) = self.lapse() {
            lapse.hide(self.class, name, &mut element);
        }
        element
    }

    fn lapse(&self) -> Option<Lapse<'a>> {
        if self.lapsed { Lapse::of(self.entry, self.now) } else { None }
    }

    /// All elements of which something is visible.
    pub(in crate::store) fn elements(&self) -> impl Iterator<Item = (Name<'a>, Element<'a>)> + use<'a> {
        let (lapse, class) = (self.lapse(), self.class);
        self.entry.of(class).filter_map(move |(name, mut element)| {
            if let Some(lapse) = &lapse {
                lapse.hide(class, &name, &mut element);
            }
            (!element.is_empty()).then_some((name, element))
        })
    }

    fn path<'b>(&'b self, name: &'b [u8]) -> Path<'b> {
        Path::within(self.hash, self.key, self.class, name)
    }

    /// What a member's cells amount to.
    pub(in crate::store) fn score_of(&self, name: &[u8], element: &Element<'_>) -> f64 {
        score::of(&self.path(name), element, &self.bucket.baselines)
    }

    /// Who wrote to the stream that this is, if that is known without looking at all entries.
    pub(in crate::store) fn origins(&self) -> Option<&'a Origins> {
        if self.lapsed { None } else { self.entry.origins() }
    }

    /// The order of their scores, if it is kept and all elements are visible.
    pub(in crate::store) fn ranks(&self) -> Option<&'a Order<Plain>> {
        if self.lapsed { None } else { self.entry.ranks(self.class) }
    }

    /// The elements, if they are kept by the hashes of their names and all of them are visible.
    pub(in crate::store) fn hashed(&self) -> Option<&'a Hashed> {
        if self.lapsed { None } else { self.entry.hashed(self.class) }
    }

    /// The order that the elements are kept in, if they are and all of them are visible.
    pub(in crate::store) fn kept_order(&self) -> Option<&'a Order<Coded>> {
        if self.lapsed { None } else { self.entry.ordered(self.class) }
    }

    pub(in crate::store) fn value_of(&self, name: &[u8], element: &Element<'a>) -> Cow<'a, [u8]> {
        if self.class.is_scored() {
            return Cow::Owned(self.score_of(name, element).to_bits().to_be_bytes().to_vec());
        }
        if !element.counts.is_empty()
            && let Ok(number) = number(&self.path(name), element, &self.bucket.baselines)
        {
            return Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec());
        }
        Cow::Borrowed(element.winner().map_or(&[], |(_, register)| register.value))
    }
}

impl Bucket {
    /// How many keys there are at this time. O(keys).
    pub(in crate::store) fn count_at(&self, now: u64) -> usize {
        let is_there = |(key, entry): &(&[u8], Entry<'_>)| {
            !entry.has_attributes() || View::new(self, *entry, (hash_of(key), key), now).is_some()
        };
        self.keys.iter().filter(is_there).count()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::store::{Applied, Store};
    use crate::{Dot, Limits, ReplicaId};

    const WALL: u64 = 1_700_000_000_000;

    fn texts(store: &Store) -> BTreeSet<Vec<u8>> {
        store.at(WALL).view(b"k").into_iter().flat_map(|view| view.assignments()).map(<[u8]>::to_vec).collect()
    }

    fn tell(from: &mut Store, to: &mut Store) {
        from.seal();
        while let Some(sealed) = from.poll_sealed() {
            let applied = to.apply(Dot::new(from.id(), sealed.seq), &sealed.body);
            assert!(matches!(applied, Ok(Applied::Now | Applied::Known)), "{applied:?}");
        }
    }

    #[test]
    fn assignments_made_at_once_are_all_read_until_one_has_seen_them() {
        let new = |id| Store::new(ReplicaId::new(id), Limits::default(), 1 << 20);
        let (mut a, mut b) = (new(1), new(2));
        a.write(WALL, 0, |w| w.set(b"k", b"of a")).unwrap();
        b.write(WALL, 0, |w| w.set(b"k", b"of b")).unwrap();
        assert_eq!(texts(&a), BTreeSet::from([b"of a".to_vec()]));
        tell(&mut a, &mut b);
        tell(&mut b, &mut a);
        for store in [&a, &b] {
            assert_eq!(texts(store), BTreeSet::from([b"of a".to_vec(), b"of b".to_vec()]));
        }
        b.write(WALL, 0, |w| w.set(b"k", b"of both")).unwrap();
        tell(&mut b, &mut a);
        assert_eq!(texts(&a), BTreeSet::from([b"of both".to_vec()]));
        a.write(WALL, 0, |w| w.delete(b"k")).unwrap();
        assert!(texts(&a).is_empty());
    }
}
