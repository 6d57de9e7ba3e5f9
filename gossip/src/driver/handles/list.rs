//! Lists.

use std::ops::Range;

use super::{Access, AccessError, Node, typed};
use crate::store::{Class, ListEnd, WriteError, Writer};

/// Byte strings in an order, each at a place of its own: what is put beside an element stays there whatever becomes of that.
///
/// Indexes count from 0, and are those of this node at this moment: an element that is taken off is one that this node sees,
/// and may be taken off elsewhere at the same time. Costs O(log n) for each element, if nothing else is said.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let playlist = node.list("playlist");
/// playlist.push_back("Blue in Green")?;
/// playlist.push_back("So What")?;
/// playlist.push_front("Naima")?;
/// assert!(playlist.insert(1, "Lonely Woman")?);
/// assert!(playlist.set(3, "All Blues")?);
/// assert_eq!(playlist.range(1..3)?, [&b"Lonely Woman"[..], b"Blue in Green"]);
/// assert_eq!(playlist.pop_front()?.as_deref(), Some(&b"Naima"[..]));
/// assert_eq!(playlist.remove(0)?.as_deref(), Some(&b"Lonely Woman"[..]));
/// assert_eq!(playlist.iter()?.collect::<Vec<_>>(), [&b"Blue in Green"[..], b"All Blues"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct List<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> List<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Puts a value behind the last; how many elements there are then.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn push_back(&self, value: impl AsRef<[u8]>) -> Result<usize, AccessError> {
        self.push(ListEnd::Right, value.as_ref())
    }

    /// Puts a value before the first; how many elements there are then.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn push_front(&self, value: impl AsRef<[u8]>) -> Result<usize, AccessError> {
        self.push(ListEnd::Left, value.as_ref())
    }

    /// Takes the last element off; `None` if there is none.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn pop_back(&self) -> Result<Option<Vec<u8>>, AccessError> {
        self.take(|len| ListEnd::Right.ranks(1, len))
    }

    /// Takes the first element off; `None` if there is none.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn pop_front(&self) -> Result<Option<Vec<u8>>, AccessError> {
        self.take(|len| ListEnd::Left.ranks(1, len))
    }

    /// Puts a value before the element at `index`, or behind the last if that is the length; says whether there is such a
    /// place.
    ///
    /// # Errors
    /// The key holds another type, elements are nested too deeply at this place, a limit is exceeded, or the clock is too far
    /// ahead.
    pub fn insert(&self, index: usize, value: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        let value = value.as_ref();
        self.write(value.len(), |writer, key, len| match index {
            _ if index == len => writer.push(key, ListEnd::Right, std::iter::once(value)).map(|_| true),
            _ => writer.insert_beside(key, index, ListEnd::Left, value).map(|len| len.is_some()),
        })
    }

    /// Replaces the element at `index`, which stays at its place; says whether there is one.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn set(&self, index: usize, value: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        let value = value.as_ref();
        self.write(value.len(), |writer, key, _| writer.set_element(key, index, value))
    }

    /// Takes the element at `index` out; `None` if there is none.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn remove(&self, index: usize) -> Result<Option<Vec<u8>>, AccessError> {
        self.take(|_| index..index.saturating_add(1))
    }

    /// The element at `index`; `None` if there is none.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn get(&self, index: usize) -> Result<Option<Vec<u8>>, AccessError> {
        Ok(self.range(index..index.saturating_add(1))?.pop())
    }

    /// How many elements there are. O(1).
    ///
    /// # Errors
    /// The key holds another type.
    pub fn len(&self) -> Result<usize, AccessError> {
        self.access.read(|moment| Ok(typed(moment, &self.key, Class::List)?.map_or(0, |view| view.len())))
    }

    /// Whether there is none. O(1).
    ///
    /// # Errors
    /// The key holds another type.
    pub fn is_empty(&self) -> Result<bool, AccessError> {
        Ok(self.len()? == 0)
    }

    /// The elements at these indexes, as far as they are there. O(log n + how many), during which this node does nothing
    /// else.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn range(&self, indexes: Range<usize>) -> Result<Vec<Vec<u8>>, AccessError> {
        self.access.read(|moment| {
            let list = typed(moment, &self.key, Class::List)?.map(|view| view.ordered());
            Ok(list.iter().flat_map(|list| list.range(indexes.clone())).map(|(_, value)| value.to_vec()).collect())
        })
    }

    /// All elements at this moment, from either end. O(elements), during which this node does nothing else.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn iter(&self) -> Result<impl DoubleEndedIterator<Item = Vec<u8>> + ExactSizeIterator + use<A>, AccessError> {
        Ok(self.range(0..usize::MAX)?.into_iter())
    }

    fn push(&self, end: ListEnd, value: &[u8]) -> Result<usize, AccessError> {
        self.write(value.len(), |writer, key, _| writer.push(key, end, std::iter::once(value)))
    }

    fn take(&self, ranks: impl FnOnce(usize) -> Range<usize>) -> Result<Option<Vec<u8>>, AccessError> {
        self.write(0, |writer, key, len| Ok(writer.take_ranks(key, ranks(len))?.pop()))
    }

    /// Runs `f` on this key, which has so many elements.
    fn write<R>(
        &self,
        bytes: usize,
        f: impl FnOnce(&mut Writer<'_>, &[u8], usize) -> Result<R, WriteError>,
    ) -> Result<R, AccessError> {
        self.access.write(self.key.len() + bytes, |writer| {
            let len = typed(writer.moment(), &self.key, Class::List)?.map_or(0, |view| view.len());
            f(writer, &self.key, len).map_err(|error| AccessError::of(Class::List, error))
        })
    }
}
