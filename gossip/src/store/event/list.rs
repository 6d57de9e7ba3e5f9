//! Writing to lists: elements are put at positions, written where they are, and removed by their positions.
//!
//! What an operation does to a list that others change at the same time follows from the positions: it removes exactly the
//! elements that it found, and an element that is put beside another stays there whatever becomes of that.

use std::ops::Range;

use cahoots_crdt::Side;

use super::writer::{WriteError, Writer};
use crate::store::cell::position::{self, POSITION_BYTES_MAX, PUSHED_BYTES, Stamp, TooDeep};
use crate::store::kind::Class;
use crate::store::read::ordered::Ordered;
use crate::store::read::view::View;

/// An end of a list, or a side of one of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// Where the first element is; before an element.
    Left,
    /// Where the last element is; behind an element.
    Right,
}

/// Bytes that a position at an end of a list adds to a write: offsets from 240 on take four more.
const PUSHED_BYTES_MAX: usize = PUSHED_BYTES + 4;

impl ListEnd {
    /// The ranks of the `count` elements next to it, of `len`.
    #[must_use]
    pub fn ranks(self, count: usize, len: usize) -> Range<usize> {
        let count = count.min(len);
        match self {
            Self::Left => 0..count,
            Self::Right => len - count..len,
        }
    }

    /// How a position at this end of a list is made: right of the start, or left of the end.
    fn tie(self) -> Side {
        match self {
            Self::Left => Side::Right,
            Self::Right => Side::Left,
        }
    }
}

impl From<TooDeep> for WriteError {
    fn from(_: TooDeep) -> Self {
        Self::TooDeep { max: POSITION_BYTES_MAX }
    }
}

impl Writer<'_> {
    /// Puts values at an end of a list, one after the other, which makes the list if there is none; how many elements it
    /// has then. O(log n) for each.
    ///
    /// Elements pushed elsewhere at the same time come before or behind them all, by the time.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn push<'v>(
        &mut self,
        key: &[u8],
        end: ListEnd,
        values: impl Iterator<Item = &'v [u8]> + Clone,
    ) -> Result<usize, WriteError> {
        self.list(key)?;
        self.admit_writes(key, values.clone().map(|value| (PUSHED_BYTES_MAX, value.len())))?;
        let stamp = self.stamp();
        for (offset, value) in values.enumerate() {
            let position = position::between(None, None, end.tie(), stamp, offset)?;
            self.insert(key, Class::List, position.as_bytes(), value)?;
        }
        Ok(self.list(key)?.map_or(0, |view| view.len()))
    }

    /// Puts a value beside the element of this rank; how many elements there are then, `None` if there is no such element.
    /// O(log n).
    ///
    /// It stays at its place if that element is removed at the same time.
    ///
    /// # Errors
    /// The key is of another type, elements are nested too deeply at this place, a limit is exceeded, or the clock is too
    /// far ahead.
    pub fn insert_beside(
        &mut self,
        key: &[u8],
        rank: usize,
        side: ListEnd,
        value: &[u8],
    ) -> Result<Option<usize>, WriteError> {
        let Some(list) = self.list(key)?.map(|view| view.ordered()).filter(|list| rank < list.len()) else {
            return Ok(None);
        };
        let name = |rank| list.get(rank).map(|(name, _)| Box::<[u8]>::from(&*name));
        let (before, after, tie) = match side {
            ListEnd::Left => (rank.checked_sub(1).and_then(name), name(rank), Side::Left),
            ListEnd::Right => (name(rank), name(rank + 1), Side::Right),
        };
        self.admit(key, b"", value.len())?;
        let stamp = self.stamp();
        let position = position::between(before.as_deref(), after.as_deref(), tie, stamp, 0)?;
        self.insert(key, Class::List, position.as_bytes(), value)?;
        Ok(self.list(key)?.map(|view| view.len()))
    }

    /// Replaces the value of the element of this rank, which stays where it is; says whether there is one. O(log n).
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn set_element(&mut self, key: &[u8], rank: usize, value: &[u8]) -> Result<bool, WriteError> {
        let Some(name) = self.names(key, rank..rank.saturating_add(1))?.pop() else { return Ok(false) };
        self.insert(key, Class::List, &name, value)?;
        Ok(true)
    }

    /// Removes the elements of these ranks; their values, from left to right. O(log n) for each.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn take_ranks(&mut self, key: &[u8], ranks: Range<usize>) -> Result<Vec<Vec<u8>>, WriteError> {
        let Some(list) = self.list(key)?.map(|view| view.ordered()) else { return Ok(Vec::new()) };
        let (names, values): (Vec<Box<[u8]>>, Vec<Vec<u8>>) =
            list.range(ranks).map(|(name, value)| (Box::from(&*name), value.to_vec())).unzip();
        self.remove_named(key, &names)?;
        Ok(values)
    }

    /// Removes all elements but those of these ranks. O(log n) for each that is removed.
    ///
    /// Elements put there elsewhere at the same time stay.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn trim(&mut self, key: &[u8], keep: Range<usize>) -> Result<(), WriteError> {
        let mut names = self.names(key, 0..keep.start)?;
        names.extend(self.names(key, keep.end.max(keep.start)..usize::MAX)?);
        self.remove_named(key, &names)
    }

    /// Removes elements of this value, `count_max` at most, those nearest to an end; says how many. O(n).
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn remove_equal(
        &mut self,
        key: &[u8],
        value: &[u8],
        from: ListEnd,
        count_max: usize,
    ) -> Result<usize, WriteError> {
        let Some(list) = self.list(key)?.map(|view| view.ordered()) else { return Ok(0) };
        let names = equal(&list, value, from, count_max);
        self.remove_named(key, &names)?;
        Ok(names.len())
    }

    /// Takes an element off an end of one list and puts it at an end of another, or of the same; its value. `None` if there
    /// is no element, and then nothing is done. O(log n).
    ///
    /// Moved by two replicas at once, it is there twice.
    ///
    /// # Errors
    /// One of the keys is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn move_element(
        &mut self,
        (from, out): (&[u8], ListEnd),
        (to, into): (&[u8], ListEnd),
    ) -> Result<Option<Vec<u8>>, WriteError> {
        let Some(list) = self.list(from)?.map(|view| view.ordered()) else { return Ok(None) };
        let found = list.range(out.ranks(1, list.len())).next();
        let Some((name, value)) = found.map(|(name, value)| (Box::<[u8]>::from(&*name), value.to_vec())) else {
            return Ok(None);
        };
        self.list(to)?;
        self.admit(from, &name, 0)?;
        self.admit(to, &[0; PUSHED_BYTES], value.len())?;
        self.admit_group(from.len() + name.len() + to.len() + PUSHED_BYTES + value.len())?;
        // First put, then removed: a list of one element that is moved within it has not been empty, and keeps its deadline.
        self.push(to, into, std::iter::once(value.as_slice()))?;
        self.remove(from, Class::List, &name)?;
        Ok(Some(value))
    }

    /// A reading of the clock for what one command names by it: above all that was seen, and never given again.
    pub(in crate::store) fn stamp(&mut self) -> Stamp {
        self.store.clock = self.store.clock.next(self.wall_ms);
        (self.store.clock, self.store.id)
    }

    /// The list at a key, if there is one.
    fn list<'k>(&'k self, key: &'k [u8]) -> Result<Option<View<'k>>, WriteError> {
        match self.moment().view(key) {
            Some(view) if view.class() != Class::List => Err(WriteError::WrongType { found: view.class() }),
            view => Ok(view),
        }
    }

    fn names(&self, key: &[u8], ranks: Range<usize>) -> Result<Vec<Box<[u8]>>, WriteError> {
        let list: Option<Ordered<'_>> = self.list(key)?.map(|view| view.ordered());
        Ok(list.iter().flat_map(|list| list.range(ranks.clone())).map(|(name, _)| Box::from(&*name)).collect())
    }

    /// Removes these elements, which are there. All of them are the key.
    fn remove_named(&mut self, key: &[u8], names: &[Box<[u8]>]) -> Result<(), WriteError> {
        let Some(view) = self.list(key)?.filter(|_| !names.is_empty()) else { return Ok(()) };
        if names.len() == view.len() && !view.clashes() {
            return self.delete(key).map(drop);
        }
        self.admit_writes(key, names.iter().map(|name| (name.len(), 0)))?;
        names.iter().try_for_each(|name| self.remove(key, Class::List, name).map(drop))
    }

    /// Whether every one of these writes, and all together, would be admitted: bytes of the position and of the value.
    fn admit_writes(&self, key: &[u8], writes: impl Iterator<Item = (usize, usize)>) -> Result<(), WriteError> {
        const LONGEST: [u8; POSITION_BYTES_MAX] = [0; POSITION_BYTES_MAX];
        let mut bytes = 0;
        for (name, value) in writes {
            self.admit(key, &LONGEST[..name], value)?;
            bytes += key.len() + name + value;
        }
        self.admit_group(bytes)
    }
}

/// The names of the elements of this value, `count_max` at most, those nearest to an end.
fn equal(list: &Ordered<'_>, value: &[u8], from: ListEnd, count_max: usize) -> Vec<Box<[u8]>> {
    let mut elements = list.range(0..usize::MAX);
    let walk = std::iter::from_fn(|| match from {
        ListEnd::Left => elements.next(),
        ListEnd::Right => elements.next_back(),
    });
    walk.filter(|(_, it)| *it == value).take(count_max).map(|(name, _)| Box::from(&*name)).collect()
}
