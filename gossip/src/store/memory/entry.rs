//! What lies under one key, to be read: a few elements packed into one record, or tables of many.

use smallvec::SmallVec;

use super::name::Name;
use super::order::{Coded, Order, Plain};
use super::origins::Origins;
use super::packed::Packed;
use super::records::Records;
use super::table::{Hashed, Table, ranked, ranked_parts};
use crate::bytes::same;
use crate::store::cell::lifetime::deadlines_of;
use crate::store::cell::stream;
use crate::store::cell::{Element, hash_of};
use crate::store::kind::Class;

/// The attributes of fields.
const FIELD_ATTRIBUTES: [Class; 2] = [Class::FieldDeadline, Class::FieldUntil];

/// All live cells of one key. A key without any has no entry.
#[derive(Clone, Copy)]
pub(in crate::store) enum Entry<'a> {
    /// So few that one looks through them.
    Few(Mix, Packed<'a>),
    Many(&'a Tables),
}

/// What classes the few elements of a key are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Mix {
    /// The class that all data has in common; `None` if it is of several, or if there is none.
    pub(in crate::store) data: Option<Class>,
    /// Whether there may be attributes.
    pub(in crate::store) attributes: bool,
}

impl<'a> Entry<'a> {
    /// Whether it is a text and nothing else, and so has one element.
    pub(in crate::store) fn is_text(self) -> bool {
        matches!(self, Self::Few(Mix { data: Some(Class::Text), attributes: false }, _))
    }

    /// Whether there are attributes. O(1) of many, and of few without.
    pub(in crate::store) fn has_attributes(self) -> bool {
        match self {
            Self::Few(mix, mut packed) => mix.attributes && packed.any(|(class, ..)| class.is_attribute()),
            Self::Many(tables) => tables.0.iter().any(|(class, _)| class.is_attribute()),
        }
    }

    /// How many elements of this class there are. O(1) of many.
    pub(in crate::store) fn len(self, class: Class) -> usize {
        match self {
            Self::Few(_, packed) => packed.filter(|(it, ..)| *it == class).count(),
            Self::Many(tables) => tables.of(class).map_or(0, Table::len),
        }
    }

    /// How many elements there are. O(1) of many.
    pub(in crate::store) fn count(self) -> usize {
        match self {
            Self::Few(_, packed) => packed.count(),
            Self::Many(tables) => tables.0.iter().map(|(_, table)| table.len()).sum(),
        }
    }

    /// The element of this class and name; an empty one if there is none.
    pub(in crate::store) fn element(self, class: Class, name: &[u8]) -> Element<'a> {
        let found = match self {
            // There is one, without a name.
            Self::Few(Mix { data: Some(of), attributes: false }, packed) if of == class && !class.has_names() => {
                return packed.first();
            }
            Self::Few(_, mut packed) => {
                packed.find(|(of, it, _)| *of == class && same(it, name)).map(|(.., element)| element)
            }
            Self::Many(tables) => tables.of(class).and_then(|table| table.get(hash_of(name), name)),
        };
        found.unwrap_or_default()
    }

    /// Every element with its class and name.
    pub(in crate::store) fn iter(self) -> impl Iterator<Item = (Class, Name<'a>, Element<'a>)> {
        let (few, many) = match self {
            Self::Few(_, packed) => (Some(packed), None),
            Self::Many(tables) => (None, Some(tables)),
        };
        let many = many.into_iter().flat_map(|tables| &tables.0);
        let named = many.flat_map(|(class, table)| table.iter().map(move |(name, element)| (*class, name, element)));
        let few = few.into_iter().flatten().map(|(class, name, element)| (class, Name::kept(name), element));
        few.chain(named)
    }

    /// Those of one class, with their names.
    pub(in crate::store) fn of(self, class: Class) -> impl Iterator<Item = (Name<'a>, Element<'a>)> {
        let (few, many) = match self {
            Self::Few(_, packed) => (Some(packed), None),
            Self::Many(tables) => (None, tables.of(class)),
        };
        let few = few.into_iter().flatten().filter(move |(it, ..)| *it == class);
        few.map(|(_, name, element)| (Name::kept(name), element)).chain(many.into_iter().flat_map(Table::iter))
    }

    /// The order of the ranks of this class, if it has ranks and the elements are many.
    pub(in crate::store) fn ranks(self, class: Class) -> Option<&'a Order<Plain>> {
        if let Self::Many(tables) = self { tables.of(class)?.ranks() } else { None }
    }

    /// The elements of this class, if they are found by the hashes of their names and are many.
    pub(in crate::store) fn hashed(self, class: Class) -> Option<&'a Hashed> {
        if let Self::Many(tables) = self { tables.of(class)?.hashed() } else { None }
    }

    /// Who wrote to the stream that lies here, if its entries are many.
    pub(in crate::store) fn origins(self) -> Option<&'a Origins> {
        if let Self::Many(tables) = self { tables.of(Class::Stream)?.origins() } else { None }
    }

    /// The elements of this class in the order of their names, if they have one and are many.
    pub(in crate::store) fn ordered(self, class: Class) -> Option<&'a Order<Coded>> {
        if let Self::Many(tables) = self { tables.of(class)?.ordered() } else { None }
    }

    /// The first deadline that fields have, not before `from`. Replicas that were apart may have given a field several.
    /// O(log n) of many, and O(1) for each field with a deadline before `from`.
    pub(in crate::store) fn field_deadline_from(self, from: u64) -> Option<u64> {
        let first_of = |class, element: &Element<'_>| deadlines_of(class, element).filter(|it| *it >= from).min();
        let first = FIELD_ATTRIBUTES.map(|class| match self {
            Self::Few(Mix { attributes: false, .. }, _) => None,
            Self::Few(..) => self.of(class).filter_map(|(_, element)| first_of(class, &element)).min(),
            Self::Many(_) => {
                // Each field is ordered by the first of its deadlines.
                let order = self.ranks(class)?;
                let at = order.rank_from(&ranked(from, b""));
                let next = order.range(at..at + 1).next().map(|(key, _)| ranked_parts(key).0);
                let passed = order.range(0..at).map(|(key, _)| self.element(class, ranked_parts(key).1));
                passed.filter_map(|element| first_of(class, &element)).chain(next).min()
            }
        });
        first.into_iter().flatten().min()
    }

    /// How many fields have a deadline up to `now`, at most. O(log n) of many.
    pub(in crate::store) fn due_fields_max(self, now: u64) -> usize {
        let upto = |class| match self {
            Self::Few(..) => self.due_fields(now).count(),
            Self::Many(_) => self.ranks(class).map_or(0, |order| order.rank_from(&ranked(now.saturating_add(1), b""))),
        };
        FIELD_ATTRIBUTES.into_iter().map(upto).sum()
    }

    /// The names of the fields with a deadline up to `now`, some of them twice. O(log n) of many, and then O(1) for each.
    pub(in crate::store) fn due_fields(self, now: u64) -> impl Iterator<Item = &'a [u8]> {
        FIELD_ATTRIBUTES.into_iter().flat_map(move |class| {
            let is_due = move |element: &Element<'_>| deadlines_of(class, element).any(|deadline| deadline <= now);
            let few = match self {
                Self::Few(Mix { attributes: true, .. }, packed) => Some(packed),
                _ => None,
            };
            let few = few.into_iter().flatten().filter(move |(it, _, element)| *it == class && is_due(element));
            let few = few.map(|(_, name, _)| name);
            let many =
                self.ranks(class).map(|order| order.range(0..order.rank_from(&ranked(now.saturating_add(1), b""))));
            few.chain(many.into_iter().flatten().map(|(key, _)| ranked_parts(key).1))
        })
    }

    /// The type this key shows: that of the highest clock among the live cells of its data, if there are any. O(1) unless
    /// it has several.
    pub(in crate::store) fn class(self) -> Option<Class> {
        match self {
            Self::Few(Mix { data: Some(class), .. }, _) => Some(class),
            Self::Few(Mix { data: None, .. }, _) => newest_class(self.data()),
            Self::Many(tables) => {
                let mut data = tables.data();
                let first = data.next()?;
                if data.next().is_some() { newest_class(self.data()) } else { Some(first) }
            }
        }
    }

    /// The elements of data, with their classes and names.
    pub(in crate::store) fn data(self) -> impl Iterator<Item = (Class, Name<'a>, Element<'a>)> {
        self.iter().filter(|(class, ..)| !class.is_attribute())
    }

    /// Whether there are ballots, of whatever class.
    pub(in crate::store) fn holds_ballots(self) -> bool {
        match self {
            Self::Few(Mix { data: Some(class), .. }, _) => class.holds_ballots(),
            Self::Few(_, mut packed) => packed.any(|(class, ..)| class.holds_ballots()),
            Self::Many(tables) => tables.0.iter().any(|(class, _)| class.holds_ballots()),
        }
    }

    /// The elements that hold ballots, by class.
    pub(in crate::store) fn ballots(self) -> impl Iterator<Item = (Class, Element<'a>)> {
        let held = self.holds_ballots().then_some([Class::Vote, Class::Presence]);
        held.into_iter().flatten().map(move |class| (class, self.element(class, b"")))
    }

    /// Whether data of more than one type is live: replicas created the key with different types while apart.
    pub(in crate::store) fn clashes(self) -> bool {
        match self {
            Self::Few(Mix { data: Some(_), .. }, _) => false,
            Self::Few(_, packed) => {
                let mut data = packed.map(|(class, ..)| class).filter(|class| !class.is_attribute());
                data.next().is_some_and(|first| data.any(|class| class != first))
            }
            Self::Many(tables) => tables.data().count() > 1,
        }
    }

    /// Whether there is anything but attributes. O(1) of many.
    pub(in crate::store) fn has_data(self) -> bool {
        match self {
            Self::Few(Mix { data: Some(_), .. }, _) => true,
            Self::Few(_, mut packed) => packed.any(|(class, ..)| !class.is_attribute()),
            Self::Many(tables) => tables.data().next().is_some(),
        }
    }
}

/// The class of the newest cell in these elements. What says that a stream is there although its entries may be gone, its
/// groups included, counts as older than any other.
pub(in crate::store) fn newest_class<'a>(
    elements: impl Iterator<Item = (Class, Name<'a>, Element<'a>)>,
) -> Option<Class> {
    let newest = |(class, name, element): (Class, Name<'a>, Element<'a>)| {
        let is_mark = class == Class::Stream && !stream::is_entry(&name);
        Some((element.stamps().max().map(|stamp| (!is_mark).then_some(stamp))?, class))
    };
    elements.filter_map(newest).max().map(|(_, class)| class)
}

/// Many elements under one key: a table for each class of which there are any.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Tables(SmallVec<[(Class, Table); 1]>);

impl Tables {
    fn of(&self, class: Class) -> Option<&Table> {
        self.0.iter().find(|(it, _)| *it == class).map(|(_, table)| table)
    }

    /// The classes of data.
    fn data(&self) -> impl Iterator<Item = Class> + '_ {
        self.0.iter().map(|(class, _)| *class).filter(|class| !class.is_attribute())
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts an element that is packed, or takes it away if nothing is packed.
    pub(in crate::store) fn put(&mut self, class: Class, (hash, name): (u64, &[u8]), packed: &[u8]) {
        match (self.0.iter().position(|(it, _)| *it == class), packed.is_empty()) {
            (Some(at), true) => {
                self.0[at].1.remove(hash, name);
                if self.0[at].1.len() == 0 {
                    self.0.remove(at);
                }
            }
            (Some(at), false) => self.0[at].1.put(hash, name, packed),
            (None, true) => {}
            (None, false) => {
                let mut table = Table::new(class);
                table.put(hash, name, packed);
                self.0.push((class, table));
            }
        }
    }

    /// The table that an element is in, if its class is the first one and found by hash, and its hash there.
    pub(in crate::store) fn place(&self, name_hash: u64) -> Option<(&Records, u64)> {
        Some((self.0.first()?.1.records_of(name_hash)?, name_hash))
    }

    /// As [`Keys::renew_origins`](super::keys::Keys::renew_origins).
    pub(in crate::store) fn renew_origins(&mut self) {
        self.0.iter_mut().for_each(|(_, table)| table.renew_origins());
    }

    /// Bytes of memory taken.
    pub(in crate::store) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.iter().map(|(_, table)| table.memory()).sum::<usize>()
    }

    /// Bytes that they take with their elements, without room to spare. O(1).
    pub(in crate::store) fn used(&self) -> usize {
        size_of::<Self>() + self.0.iter().map(|(_, table)| table.used()).sum::<usize>()
    }

    /// As [`used`](Self::used), counted anew. O(n).
    pub(in crate::store) fn count_used(&self) -> usize {
        size_of::<Self>() + self.0.iter().map(|(_, table)| table.count_used()).sum::<usize>()
    }
}
