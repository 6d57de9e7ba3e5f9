//! Many elements of one class under one key.

use smallvec::SmallVec;

use super::name::Name;
use super::order::{Coded, Order, Plain};
use super::origins::Origins;
use super::packed::{self, Packed};
use super::records::Records;
use crate::store::cell::{Element, hash_of};
use crate::store::kind::Class;

/// Named elements of one class. Holds none that is empty.
#[derive(Clone, Debug)]
pub(in crate::store) enum Table {
    /// Found by the hashes of their names.
    Hashed(Hashed),
    /// As [`Hashed`](Self::Hashed), and kept in the order of their scores or deadlines beside; see [`ranked`].
    Ranked(Hashed, Order<Plain>),
    /// In the order of their names, and found by that.
    Ordered(Order<Coded>),
    /// As [`Ordered`](Self::Ordered), of a stream, with what is known of those who wrote to it.
    Stream(Order<Coded>, Origins),
}

impl Table {
    pub(in crate::store) fn new(class: Class) -> Self {
        if class == Class::Stream {
            Self::Stream(Order::default(), Origins::default())
        } else if class.is_ordered() {
            Self::Ordered(Order::default())
        } else if class.is_ranked() {
            Self::Ranked(Hashed::default(), Order::default())
        } else {
            Self::Hashed(Hashed::default())
        }
    }

    pub(in crate::store) fn len(&self) -> usize {
        match self {
            Self::Hashed(table) | Self::Ranked(table, _) => table.len,
            Self::Ordered(order) | Self::Stream(order, _) => order.len(),
        }
    }

    pub(in crate::store) fn get(&self, hash: u64, name: &[u8]) -> Option<Element<'_>> {
        match self {
            Self::Hashed(table) | Self::Ranked(table, _) => {
                table.get(hash, name).map(|packed| Packed::new(packed).first())
            }
            Self::Ordered(order) | Self::Stream(order, _) => order.get(name),
        }
    }

    /// In the order of their names, where that is an order; else in none.
    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = (Name<'_>, Element<'_>)> {
        let (hashed, ordered) = match self {
            Self::Hashed(table) | Self::Ranked(table, _) => (Some(table.iter()), None),
            Self::Ordered(order) | Self::Stream(order, _) => (None, Some(order.range(0..order.len()))),
        };
        let hashed = hashed.into_iter().flatten().map(|(name, element)| (Name::kept(name), element));
        hashed.chain(ordered.into_iter().flatten().map(|(name, element)| (Name::from(name), element)))
    }

    /// The order of ranks, if there is one.
    pub(in crate::store) fn ranks(&self) -> Option<&Order<Plain>> {
        if let Self::Ranked(_, order) = self { Some(order) } else { None }
    }

    /// The elements, if they are found by the hashes of their names.
    pub(in crate::store) fn hashed(&self) -> Option<&Hashed> {
        if let Self::Hashed(table) | Self::Ranked(table, _) = self { Some(table) } else { None }
    }

    /// The elements in the order of their names, if they are kept in it.
    pub(in crate::store) fn ordered(&self) -> Option<&Order<Coded>> {
        if let Self::Ordered(order) | Self::Stream(order, _) = self { Some(order) } else { None }
    }

    /// Who wrote to a stream.
    pub(in crate::store) fn origins(&self) -> Option<&Origins> {
        if let Self::Stream(_, origins) = self { Some(origins) } else { None }
    }

    /// As [`Keys::renew_origins`](super::keys::Keys::renew_origins). O(n).
    pub(in crate::store) fn renew_origins(&mut self) {
        if let Self::Stream(order, origins) = self {
            *origins = Origins::default();
            order.range(0..order.len()).for_each(|(name, element)| origins.note(&name, &element));
        }
    }

    /// Puts an element that is packed in place of the one of its name.
    pub(in crate::store) fn put(&mut self, hash: u64, name: &[u8], packed: &[u8]) {
        match self {
            Self::Hashed(table) => table.put(hash, name, packed),
            Self::Ranked(table, order) => {
                reorder(order, name, table.get(hash, name), Some(packed));
                table.put(hash, name, packed);
            }
            Self::Ordered(order) => _ = order.insert(name, packed),
            Self::Stream(order, origins) => {
                origins.note(name, &Packed::new(packed).first());
                order.insert(name, packed);
            }
        }
    }

    pub(in crate::store) fn remove(&mut self, hash: u64, name: &[u8]) {
        match self {
            Self::Hashed(table) => table.remove(hash, name),
            Self::Ranked(table, order) => {
                reorder(order, name, table.get(hash, name), None);
                table.remove(hash, name);
            }
            Self::Ordered(order) | Self::Stream(order, _) => _ = order.remove(name),
        }
    }

    /// Where an element of a name of this hash is, if they are found by hash.
    pub(in crate::store) fn records_of(&self, hash: u64) -> Option<&Records> {
        match self {
            Self::Hashed(table) | Self::Ranked(table, _) => table.parts.get(table.part_of(hash)),
            Self::Ordered(_) | Self::Stream(..) => None,
        }
    }

    /// Bytes of memory taken.
    pub(in crate::store) fn memory(&self) -> usize {
        match self {
            Self::Hashed(table) => table.memory(),
            Self::Ranked(table, order) => table.memory() + order.memory(),
            Self::Ordered(order) => order.memory(),
            Self::Stream(order, origins) => order.memory() + origins.memory(),
        }
    }

    /// Bytes that the elements take, without room to spare. O(1).
    pub(in crate::store) fn used(&self) -> usize {
        match self {
            Self::Hashed(table) => table.used,
            Self::Ranked(table, order) => table.used + order.used(),
            Self::Ordered(order) | Self::Stream(order, _) => order.used(),
        }
    }

    /// As [`used`](Self::used), counted anew. O(n).
    pub(in crate::store) fn count_used(&self) -> usize {
        match self {
            Self::Hashed(table) => table.count_used(),
            Self::Ranked(table, order) => table.count_used() + order.count_used(),
            Self::Ordered(order) | Self::Stream(order, _) => order.count_used(),
        }
    }
}

/// Moves an element in the order of ranks from where it was to where it is.
fn reorder(order: &mut Order<Plain>, name: &[u8], before: Option<&[u8]>, after: Option<&[u8]>) {
    let (before, after) = (before.and_then(packed::rank_of), after.and_then(packed::rank_of));
    if before == after {
        return;
    }
    if let Some(before) = before {
        order.remove(&ranked(before, name));
    }
    if let Some(after) = after {
        order.insert(&ranked(after, name), b"");
    }
}

/// An element in an order of ranks: a number, which of a score is ordered as that is, then its name.
pub(in crate::store) fn ranked(rank: u64, name: &[u8]) -> SmallVec<[u8; 64]> {
    let mut key = SmallVec::from_slice(&rank.to_be_bytes());
    key.extend_from_slice(name);
    key
}

/// The rank and the name that a key in an order of ranks is made of.
pub(in crate::store) fn ranked_parts(key: &[u8]) -> (u64, &[u8]) {
    let (rank, name) = key.split_first_chunk().expect("a key begins with a rank");
    (u64::from_be_bytes(*rank), name)
}

/// Packed elements by the hashes of their names.
///
/// They lie in several tables of records, one more whenever they have become too many on average, so that no table
/// ever grows by more than itself at once (linear hashing; Litwin, *Linear Hashing: a New Tool for File and Table
/// Addressing*, 1980).
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Hashed {
    parts: Vec<Records>,
    len: usize,
    /// Bytes that the elements take.
    used: usize,
}

/// Elements in one part on average, at most.
const PART_LEN: usize = 1 << 12;

impl Hashed {
    fn get(&self, hash: u64, name: &[u8]) -> Option<&[u8]> {
        if self.parts.is_empty() {
            return None;
        }
        self.parts.get(self.part_of(hash))?.get(hash, name)
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = (&[u8], Element<'_>)> {
        self.parts.iter().flat_map(Records::iter).map(|(name, packed)| (name, Packed::new(packed).first()))
    }

    /// One of the elements, each as likely as any other. O(parts), expected.
    pub(in crate::store) fn draw(&self, below: &mut impl FnMut(usize) -> usize) -> Option<(&[u8], Element<'_>)> {
        let mut number = if self.len == 0 { return None } else { below(self.len) };
        let part = self.parts.iter().find(|part| {
            let is_here = number < part.len();
            number -= if is_here { 0 } else { part.len() };
            is_here
        })?;
        part.draw(below).map(|(name, packed)| (name, Packed::new(packed).first()))
    }

    fn put(&mut self, hash: u64, name: &[u8], packed: &[u8]) {
        if self.len >= self.parts.len() * PART_LEN {
            self.split();
        }
        let at = self.part_of(hash);
        let part = &mut self.parts[at];
        let before = part.used();
        if let Some((found, _)) = part.find(hash, name) {
            part.replace(found, name, packed);
        } else {
            part.insert(hash, name, packed, hash_of);
            self.len += 1;
        }
        self.used = self.used + part.used() - before;
    }

    fn remove(&mut self, hash: u64, name: &[u8]) {
        let at = self.part_of(hash);
        let part = &mut self.parts[at];
        let before = part.used();
        self.len -= usize::from(part.remove(hash, name));
        self.used = self.used + part.used() - before;
    }

    fn count_used(&self) -> usize {
        self.parts.iter().map(Records::count_used).sum()
    }

    fn memory(&self) -> usize {
        self.parts.capacity() * size_of::<Records>() + self.parts.iter().map(Records::memory).sum::<usize>()
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
        let mut table = Hashed::default();
        let name = |number: u32| number.to_le_bytes();
        let value = DotFun::of(Dot::new(ReplicaId::new(1), 1), Register { clock: Hlc::new(1), value: b"" });
        let mut element = Vec::new();
        pack_one(Class::Set, &Element { value, ..Element::default() }, &mut element);
        for number in 0..40_000 {
            table.put(hash_of(&name(number)), &name(number), &element);
        }
        assert!(table.parts.len() > 8 && table.len == 40_000);
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
        assert_eq!((left.len(), table.len), (20_000, 20_000));
    }
}
