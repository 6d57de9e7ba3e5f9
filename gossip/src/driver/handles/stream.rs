//! Streams.

use super::{Access, AccessError, Node, typed};
use crate::store::{Class, NewId, StreamCursor, StreamId, WriteError, Writer};

/// An entry: its id, and its fields in the order in which they were given.
pub type Entry = (StreamId, Vec<(Vec<u8>, Vec<u8>)>);

/// Entries in the order of their ids, which nodes add to and readers follow.
///
/// An id is above every one that its node had seen. A reader that goes on from its cursor, at whatever nodes, reads each
/// entry once that is not removed before.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # use cahoots_gossip::store::StreamCursor;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let orders = node.stream("orders");
/// let first = orders.append([("item", "tea"), ("count", "2")])?;
/// let second = orders.append([("item", "jam")])?;
///
/// let (read, cursor) = orders.read_after(&StreamCursor::default(), 10)?;
/// assert_eq!(read.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first, second]);
/// assert_eq!(read[1].1, [(b"item".to_vec(), b"jam".to_vec())]);
/// assert!(orders.read_after(&cursor, 10)?.0.is_empty());
///
/// assert_eq!((orders.trim(1)?, orders.len()?), (1, 1));
/// assert_eq!(orders.range(first, second, 10)?.len(), 1);
/// assert!(orders.delete(second)? && orders.is_empty()?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Stream<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Stream<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Adds an entry of these fields, one at least; its id.
    ///
    /// # Errors
    /// There is no field, the key holds another type, a limit is exceeded, ids are used up, or the clock is too far ahead.
    pub fn append<N, V>(&self, fields: impl IntoIterator<Item = (N, V)>) -> Result<StreamId, AccessError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let fields: Vec<(N, V)> = fields.into_iter().collect();
        let sizes = fields.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len());
        let bytes = self.key.len() + size_of::<StreamId>() + sizes.sum::<usize>();
        self.write(bytes, |writer, key| {
            writer.append(key, NewId::Next, fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
        })
    }

    /// The first `count` entries from one id to another, both included. O(log n + count).
    ///
    /// # Errors
    /// The key holds another type.
    pub fn range(&self, first: StreamId, last: StreamId, count: usize) -> Result<Vec<Entry>, AccessError> {
        self.access.read(|moment| {
            let Some(view) = typed(moment, &self.key, Class::Stream)? else { return Ok(Vec::new()) };
            Ok(view.stream().range(first, last).take(count).map(owned).collect())
        })
    }

    /// The first `count` entries that a reader who has come as far as `cursor` has not read, and how far it has come then.
    /// O(log n), and O(1) for each entry from the first new one on.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn read_after(&self, cursor: &StreamCursor, count: usize) -> Result<(Vec<Entry>, StreamCursor), AccessError> {
        self.access.read(|moment| {
            let Some(view) = typed(moment, &self.key, Class::Stream)? else { return Ok((Vec::new(), cursor.clone())) };
            let (read, next) = view.stream().read_after(cursor, count);
            Ok((read.into_iter().map(owned).collect(), next))
        })
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn len(&self) -> Result<usize, AccessError> {
        self.access.read(|moment| Ok(typed(moment, &self.key, Class::Stream)?.map_or(0, |view| view.len())))
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn is_empty(&self) -> Result<bool, AccessError> {
        Ok(self.len()? == 0)
    }

    /// Removes the oldest entries until `len` are left; says how many it removed. What is added elsewhere meanwhile stays.
    ///
    /// # Errors
    /// The key holds another type, so many cannot be removed at once, or the clock is too far ahead.
    pub fn trim(&self, len: usize) -> Result<usize, AccessError> {
        self.write(self.key.len(), |writer, key| {
            let found = writer.moment().view(key).map_or(0, |view| view.len());
            writer.trim_entries(key, found.saturating_sub(len))
        })
    }

    /// Removes an entry; says whether there was one.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn delete(&self, id: StreamId) -> Result<bool, AccessError> {
        let bytes = self.key.len() + size_of::<StreamId>();
        Ok(self.write(bytes, |writer, key| writer.remove_entries(key, &[id]))? > 0)
    }

    fn write<R>(
        &self,
        bytes: usize,
        f: impl FnOnce(&mut Writer<'_>, &[u8]) -> Result<R, WriteError>,
    ) -> Result<R, AccessError> {
        self.access.write(bytes, |writer| f(writer, &self.key).map_err(|error| AccessError::of(Class::Stream, error)))
    }
}

fn owned((id, fields): (StreamId, crate::store::Fields<'_>)) -> Entry {
    (id, fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}
