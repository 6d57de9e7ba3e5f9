//! What lies under one key, to be read: a few elements packed into one record, or tables of many.

use smallvec::SmallVec;

use super::order::Order;
use super::packed::{self, Packed};
use super::records::Records;
use crate::bytes::same;
use crate::store::cell::{Element, Path, Stamp, hash_of};
use crate::store::kind::Class;

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
    pub(in crate::store) fn iter(self) -> impl Iterator<Item = (Class, &'a [u8], Element<'a>)> {
        let (few, many) = match self {
            Self::Few(_, packed) => (Some(packed), None),
            Self::Many(tables) => (None, Some(tables)),
        };
        let many = many.into_iter().flat_map(|tables| &tables.0);
        let named = many.flat_map(|(class, table)| table.iter().map(move |(name, element)| (*class, name, element)));
        few.into_iter().flatten().chain(named)
    }

    /// Those of one class, with their names.
    pub(in crate::store) fn of(self, class: Class) -> impl Iterator<Item = (&'a [u8], Element<'a>)> {
        let (few, many) = match self {
            Self::Few(_, packed) => (Some(packed), None),
            Self::Many(tables) => (None, tables.of(class)),
        };
        let few = few.into_iter().flatten().filter(move |(it, ..)| *it == class);
        few.map(|(_, name, element)| (name, element)).chain(many.into_iter().flat_map(Table::iter))
    }

    /// The elements of this class in the order of their scores, if they have scores and are many.
    pub(in crate::store) fn order(self, class: Class) -> Option<&'a Order> {
        match self {
            Self::Few(..) => None,
            Self::Many(tables) => tables.of(class)?.order.as_deref(),
        }
    }

    /// All elements as [`Entry::iter`] gives them, with their paths.
    pub(in crate::store) fn elements(
        self,
        key: &'a [u8],
        key_hash: u64,
    ) -> impl Iterator<Item = (Path<'a>, Element<'a>)> {
        self.iter().map(move |(class, name, element)| (Path::within(key_hash, key, class, name), element))
    }

    /// The type this key shows: that of the highest clock among the live cells of its data, if there are any. O(1) unless
    /// it has several.
    pub(in crate::store) fn class(self) -> Option<Class> {
        match self {
            Self::Few(Mix { data: Some(class), .. }, _) => Some(class),
            Self::Few(Mix { data: None, .. }, _) => self.newest_class(|_| true),
            Self::Many(tables) => {
                let mut data = tables.data();
                let first = data.next()?;
                if data.next().is_some() { self.newest_class(|_| true) } else { Some(first) }
            }
        }
    }

    /// The class of the newest of these cells of data.
    pub(in crate::store) fn newest_class(self, is_in: impl Fn(Stamp) -> bool) -> Option<Class> {
        let data = self.iter().filter(|(class, ..)| !class.is_attribute());
        let cells = data.flat_map(|(class, _, element)| {
            let stamps: SmallVec<[Stamp; 2]> = element.stamps().filter(|it| is_in(*it)).collect();
            stamps.into_iter().map(move |stamp| (stamp, class))
        });
        cells.max().map(|(_, class)| class)
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

    /// Whether there is anything but attributes.
    pub(in crate::store) fn has_data(self) -> bool {
        self.class().is_some()
    }
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
        let at = self.0.iter().position(|(it, _)| *it == class);
        if let Some(at) = at.filter(|_| class.is_scored()) {
            self.0[at].1.reorder((hash, name), packed);
        }
        match (at, packed.is_empty()) {
            (Some(at), true) => {
                self.0[at].1.remove(hash, name);
                if self.0[at].1.len() == 0 {
                    self.0.remove(at);
                }
            }
            (Some(at), false) => self.0[at].1.put(hash, name, packed),
            (None, true) => {}
            (None, false) => {
                let mut table = Table::default();
                if class.is_scored() {
                    table.reorder((hash, name), packed);
                }
                table.put(hash, name, packed);
                self.0.push((class, table));
            }
        }
    }

    /// The table that an element is in, if its class is the first one, and its hash there.
    pub(in crate::store) fn place(&self, name_hash: u64) -> Option<(&Records, u64)> {
        let table = &self.0.first()?.1;
        Some((table.parts.get(table.part_of(name_hash))?, name_hash))
    }

    /// Bytes of memory taken.
    pub(in crate::store) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.iter().map(|(_, table)| table.memory()).sum::<usize>()
    }
}

/// Named elements of one class. Holds none that is empty.
///
/// They lie in several tables of records, one more whenever they have become too many on average, so that no table
/// ever grows by more than itself at once (linear hashing; Litwin, *Linear Hashing: a New Tool for File and Table
/// Addressing*, 1980).
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Table {
    parts: Vec<Records>,
    len: usize,
    /// Those that have scores, by score and name; see [`ranked`].
    order: Option<Box<Order>>,
}

/// An element in the order of scores: the number that is ordered as its score is, then its name.
pub(in crate::store) fn ranked(rank: u64, name: &[u8]) -> SmallVec<[u8; 64]> {
    let mut key = SmallVec::from_slice(&rank.to_be_bytes());
    key.extend_from_slice(name);
    key
}

/// The rank and the name that a key in the order of scores is made of.
pub(in crate::store) fn ranked_parts(key: &[u8]) -> (u64, &[u8]) {
    let (rank, name) = key.split_first_chunk().expect("a key begins with a rank");
    (u64::from_be_bytes(*rank), name)
}

/// Elements in one part on average, at most.
const PART_LEN: usize = 1 << 12;

impl Table {
    pub(in crate::store) fn len(&self) -> usize {
        self.len
    }

    fn get(&self, hash: u64, name: &[u8]) -> Option<Element<'_>> {
        Some(Packed::new(self.parts.get(self.part_of(hash))?.get(hash, name)?).first())
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Element<'_>)> {
        self.parts.iter().flat_map(Records::iter).map(|(name, content)| (name, Packed::new(content).first()))
    }

    fn put(&mut self, hash: u64, name: &[u8], packed: &[u8]) {
        if self.len >= self.parts.len() * PART_LEN {
            self.split();
        }
        let at = self.part_of(hash);
        let part = &mut self.parts[at];
        if let Some((found, _)) = part.find(hash, name) {
            part.replace(found, name, packed);
        } else {
            part.insert(hash, name, packed, hash_of);
            self.len += 1;
        }
    }

    /// Moves an element in the order of scores from where it is to where `packed` says; away, if that is nothing.
    fn reorder(&mut self, (hash, name): (u64, &[u8]), packed: &[u8]) {
        let before = if self.len == 0 { None } else { self.parts[self.part_of(hash)].get(hash, name) };
        let before = before.and_then(packed::rank_of);
        let after = packed::rank_of(packed);
        if before == after {
            return;
        }
        let order = self.order.get_or_insert_default();
        if let Some(before) = before {
            order.remove(&ranked(before, name));
        }
        if let Some(after) = after {
            order.insert(&ranked(after, name), b"");
        }
    }

    fn remove(&mut self, hash: u64, name: &[u8]) {
        let at = self.part_of(hash);
        self.len -= usize::from(self.parts[at].remove(hash, name));
    }

    fn memory(&self) -> usize {
        let order = self.order.as_ref().map_or(0, |order| order.memory());
        order + self.parts.capacity() * size_of::<Records>() + self.parts.iter().map(Records::memory).sum::<usize>()
    }

    /// Which part has the names of this hash: as many of its bits as there are parts, or one less where the part that
    /// they name has not been split off yet.
    fn part_of(&self, hash: u64) -> usize {
        // Not the lowest and not the highest, by which each part finds its records.
        let bits = usize::try_from(hash >> 24 & 0xFF_FFFF).expect("24 bits");
        let all = self.parts.len().next_power_of_two();
        let at = bits & (all - 1);
        if at < self.parts.len() { at } else { at & (all / 2 - 1) }
    }

    fn split(&mut self) {
        let new = self.parts.len();
        self.parts.push(Records::default());
        if new == 0 {
            return;
        }
        let from = new ^ 1 << new.ilog2();
        let whole = std::mem::take(&mut self.parts[from]);
        for (name, content) in whole.iter() {
            let hash = hash_of(name);
            let at = self.part_of(hash);
            self.parts[at].insert(hash, name, content, hash_of);
        }
    }
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::{Dot, DotFun, ReplicaId};

    use super::*;
    use crate::Hlc;
    use crate::store::cell::Register;
    use crate::store::memory::packed::pack_one;

    #[test]
    fn a_table_that_grows_and_shrinks_finds_every_element_and_none_twice() {
        let mut table = Table::default();
        let name = |number: u32| number.to_le_bytes();
        let value = DotFun::of(Dot::new(ReplicaId::new(1), 1), Register { clock: Hlc::new(1), value: b"" });
        let mut element = Vec::new();
        pack_one(Class::Set, &Element { value, ..Element::default() }, &mut element);
        for number in 0..40_000 {
            table.put(hash_of(&name(number)), &name(number), &element);
        }
        assert!(table.parts.len() > 8 && table.len() == 40_000);
        let longest = table.parts.iter().map(Records::len).max().unwrap();
        assert!(longest < PART_LEN * 5 / 2, "{longest}");
        for number in 0..40_000 {
            assert!(table.get(hash_of(&name(number)), &name(number)).is_some());
        }
        for number in (0..40_000).step_by(2) {
            table.remove(hash_of(&name(number)), &name(number));
        }
        let mut left: Vec<Vec<u8>> = table.iter().map(|(name, _)| name.to_vec()).collect();
        left.sort_unstable();
        left.dedup();
        assert_eq!((left.len(), table.len()), (20_000, 20_000));
    }
}
