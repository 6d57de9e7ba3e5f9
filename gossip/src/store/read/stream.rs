//! Streams: entries in the order of their ids, and what a reader has not seen of them.
//!
//! Ids of one replica ascend, and of each replica a prefix of what it wrote is here. So how far a reader has come is one id
//! for each replica: an entry is new if its id is above that of its writer. Such a [`StreamCursor`] holds at every replica,
//! however much is on its way to that. One id alone does not: an entry that was written elsewhere with a lower id, and
//! arrives after a higher one was read, would never be read.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use cahoots_crdt::ReplicaId;

use super::ordered::Ordered;
use super::view::View;
use crate::store::cell::group::FIRST_ENTRY;
use crate::store::cell::stream::{Fields, MARK, Mark, StreamId, is_entry};
use crate::store::kind::Class;
use crate::store::memory::origins::Origins;

/// Replicas that a cursor knows at most. Beyond it those with the lowest ids are forgotten, and what is still there of them is
/// read again.
pub const CURSOR_ORIGINS_MAX: usize = 1 << 12;
/// What an encoded cursor begins with.
const CURSOR_VERSION: u8 = 1;
/// Bytes of one replica and its id.
const PART_BYTES: usize = 24;

/// The entries of a stream.
pub struct Stream<'a> {
    pub(super) view: View<'a>,
    pub(super) ordered: Ordered<'a>,
    mark: Mark,
    origins: Option<&'a Origins>,
}

/// How far a reader has read a stream: of each replica the highest id. The default is the beginning.
///
/// 24 bytes for each replica that entries were read of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamCursor(BTreeMap<ReplicaId, StreamId>);

/// The bytes are no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a stream")]
pub struct NoCursor;

impl<'a> View<'a> {
    /// The entries of a stream; none of other types. O(log n), but O(n) of few, and where a deadline has passed.
    #[must_use]
    pub fn stream(&self) -> Stream<'a> {
        let ordered = self.ordered();
        if self.class() != Class::Stream {
            return Stream { view: *self, ordered, mark: Mark::default(), origins: None };
        }
        let marks = self.element(MARK);
        let read = marks.value.iter().filter_map(|(_, register)| Mark::read(register.value));
        let mut mark = read.fold(Mark::default(), Mark::join);
        let newest = ordered.len().checked_sub(1).and_then(|rank| ordered.get(rank));
        mark.last = mark.last.max(newest.map_or(StreamId::MIN, |(name, _)| id_of(&name)));
        Stream { view: *self, ordered, mark, origins: self.origins() }
    }
}

impl<'a> Stream<'a> {
    /// How many entries there are. O(log n).
    #[must_use]
    pub fn len(&self) -> usize {
        self.ordered.len() - self.front()
    }

    /// How many elements lie there, entries or not.
    pub(in crate::store) fn elements(&self) -> usize {
        self.ordered.len()
    }

    /// How many elements are in front of the entries: the mark, and what is about groups. O(log n).
    fn front(&self) -> usize {
        match self.ordered.get(0) {
            Some((name, _)) if !is_entry(&name) => self.ordered.rank_from(&FIRST_ENTRY),
            _ => 0,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest id that was ever there: what comes next is above it.
    #[must_use]
    pub fn last_id(&self) -> StreamId {
        self.mark.last
    }

    /// What is known of entries that are gone.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// How many entries were ever added.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.mark.removed.saturating_add(self.len() as u64)
    }

    /// Whether an entry of this id or a higher one may have been deleted from among those that are there, so that entries
    /// from there on are not counted by ranks.
    pub(in crate::store) fn has_gone_from(&self, id: StreamId) -> bool {
        let deleted = self.mark.max_deleted;
        deleted > StreamId::MIN && id <= deleted && self.get(0).is_some_and(|(first, _)| first <= deleted)
    }

    /// How many entries were ever added up to this id, as far as that can be told; as Redis has it.
    pub(in crate::store) fn read_upto(&self, id: StreamId) -> Option<u64> {
        let (added, last) = (self.added(), self.last_id());
        let Some((first, _)) = self.get(0) else { return (added == 0 || id <= last).then_some(added) };
        if id >= last {
            return (id == last).then_some(added);
        }
        let gone = added - self.len() as u64;
        match id.cmp(&first) {
            _ if self.mark.max_deleted > StreamId::MIN && self.mark.max_deleted >= first => None,
            Ordering::Less => Some(gone),
            Ordering::Equal => Some(gone + 1),
            Ordering::Greater => None,
        }
    }

    /// Whether there is an entry of this id. O(log n).
    #[must_use]
    pub fn contains(&self, id: StreamId) -> bool {
        self.entry(id).is_some()
    }

    /// How many entries have a lower id. O(log n).
    #[must_use]
    pub fn rank_from(&self, id: StreamId) -> usize {
        self.ordered.rank_from(&id.to_bytes()).saturating_sub(self.front())
    }

    /// The fields of the entry of this id, if there is one. O(log n).
    #[must_use]
    pub fn entry(&self, id: StreamId) -> Option<Fields<'a>> {
        self.get(self.rank_from(id)).filter(|(it, _)| *it == id).map(|(_, fields)| fields)
    }

    /// The entry of this rank, counted from 0 at the lowest id. O(log n).
    #[must_use]
    pub fn get(&self, rank: usize) -> Option<(StreamId, Fields<'a>)> {
        self.ranks(rank..rank.saturating_add(1)).next()
    }

    /// The entries of these ranks, from either end. O(log n), and then O(1) for each.
    pub fn ranks(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (StreamId, Fields<'a>)> + use<'_, 'a> {
        self.ordered.range(self.places(ranks)).map(|(name, value)| (id_of(&name), Fields::of(value)))
    }

    /// The entries from one id to another, both included, from either end. O(log n), and then O(1) for each.
    pub fn range(
        &self,
        first: StreamId,
        last: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, Fields<'a>)> + use<'_, 'a> {
        let end = last.above().map_or(self.len(), |above| self.rank_from(above));
        self.ranks(self.rank_from(first).min(end)..end)
    }

    /// The highest id of each replica that has written entries, in the order of their ids; entries that are gone may count.
    /// O(replicas), but O(n) of few, and where a deadline has passed.
    #[must_use]
    pub fn writers(&self) -> Vec<(ReplicaId, StreamId)> {
        if let Some(origins) = self.origins {
            return origins.iter().collect();
        }
        let mut writers = BTreeMap::new();
        for (name, (dot, _)) in self.ordered.placed(self.places(0..self.len())) {
            writers.insert(dot.replica, id_of(&name)); // the last one is the highest
        }
        writers.into_iter().collect()
    }

    /// The entries within a range of ids, both ends included, with who wrote each.
    pub(super) fn written(
        &self,
        first: StreamId,
        last: StreamId,
    ) -> impl Iterator<Item = (StreamId, ReplicaId)> + use<'_, 'a> {
        let end = last.above().map_or(self.len(), |above| self.rank_from(above));
        let ranks = self.places(self.rank_from(first).min(end)..end);
        self.ordered.placed(ranks).map(|(name, (dot, _))| (id_of(&name), dot.replica))
    }

    fn places(&self, ranks: Range<usize>) -> Range<usize> {
        let front = self.front();
        ranks.start.saturating_add(front)..ranks.end.saturating_add(front)
    }

    /// The first `count` entries that a reader who has come as far as `cursor` has not read, in the order of their ids, and
    /// how far it has come then.
    ///
    /// A reader that goes on so, at whatever replicas, reads every entry once that is not removed before, and none twice;
    /// not in the order of ids throughout, for an entry may arrive after one of a higher id. O(log n), and then O(1) for
    /// each entry from the first new one on.
    #[must_use]
    pub fn read_after(&self, cursor: &StreamCursor, count: usize) -> (Vec<(StreamId, Fields<'a>)>, StreamCursor) {
        let mut next = cursor.clone();
        let first = match self.origins {
            Some(origins) => {
                let behind = origins.iter().filter(|(replica, upto)| cursor.of(*replica) < *upto);
                match behind.map(|(replica, _)| cursor.of(replica)).min() {
                    Some(first) => self.rank_from(first),
                    None => return (Vec::new(), next),
                }
            }
            None => 0,
        };
        let mut read = Vec::new();
        for (name, (dot, value)) in self.ordered.placed(self.places(first..self.len())) {
            let id = id_of(&name);
            if id <= cursor.of(dot.replica) {
                continue;
            }
            if read.len() == count {
                return (read, next.bounded());
            }
            next.raise(dot.replica, id);
            read.push((id, Fields::of(value)));
        }
        // What is gone counts as read: it need not be looked for again.
        for (replica, upto) in self.origins.into_iter().flat_map(Origins::iter) {
            next.raise(replica, upto);
        }
        (read, next.bounded())
    }
}

/// The id that an entry has as its name. Names of entries were checked when they came.
fn id_of(name: &[u8]) -> StreamId {
    StreamId::from_bytes(name).unwrap_or_default()
}

impl StreamCursor {
    /// How far it has come of what `replica` wrote.
    #[must_use]
    pub fn of(&self, replica: ReplicaId) -> StreamId {
        self.0.get(&replica).copied().unwrap_or_default()
    }

    fn raise(&mut self, replica: ReplicaId, id: StreamId) {
        let known = self.0.entry(replica).or_default();
        *known = id.max(*known);
    }

    fn bounded(mut self) -> Self {
        if self.0.len() > CURSOR_ORIGINS_MAX {
            let mut parts: Vec<_> = self.0.into_iter().collect();
            parts.sort_unstable_by_key(|(_, id)| std::cmp::Reverse(*id));
            parts.truncate(CURSOR_ORIGINS_MAX);
            self.0 = parts.into_iter().collect();
        }
        self
    }

    /// The cursor as bytes, which mean the same at every replica. Opaque: what is in them may change.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * PART_BYTES);
        bytes.push(CURSOR_VERSION);
        for (replica, id) in &self.0 {
            bytes.extend_from_slice(&replica.get().to_be_bytes());
            bytes.extend_from_slice(&id.to_bytes());
        }
        bytes
    }

    /// The cursor that was encoded so.
    ///
    /// # Errors
    /// No replica encodes one so.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoCursor> {
        let Some((&CURSOR_VERSION, parts)) = bytes.split_first() else { return Err(NoCursor) };
        let (parts, rest) = parts.as_chunks::<PART_BYTES>();
        if !rest.is_empty() || parts.len() > CURSOR_ORIGINS_MAX {
            return Err(NoCursor);
        }
        let mut cursor = Self::default();
        for part in parts {
            let (replica, id) = part.split_first_chunk().ok_or(NoCursor)?;
            let replica = ReplicaId::new(u64::from_be_bytes(*replica));
            let id = StreamId::from_bytes(id).filter(|id| *id > StreamId::MIN).ok_or(NoCursor)?;
            if cursor.0.last_key_value().is_some_and(|(last, _)| *last >= replica) {
                return Err(NoCursor);
            }
            cursor.0.insert(replica, id);
        }
        Ok(cursor)
    }
}
