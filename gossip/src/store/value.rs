//! The value of a key as a whole, apart from where it lay: to be put under another key, or written to somewhere else.
//!
//! It is what clients see: the score, not who added what to it. Ballots are no such values: each is its replica's.

use super::cell::group::{PENDING_BYTES_MAX, PENDING_NAME_BYTES_MAX};
use super::cell::position::PUSHED_BYTES;
use super::cell::score::SCORE_BYTES;
use super::cell::stream::{self, Fields, ID_BYTES, MARK_BYTES_MAX, Mark, StreamId};
use super::read::group::Consumer;

/// Bytes of a part of a group beside the names of the group and of a consumer, at most.
const GROUP_PART_BYTES_MAX: usize = PENDING_NAME_BYTES_MAX + PENDING_BYTES_MAX + ID_BYTES;

/// A name of an element or its value.
type Bytes = Box<[u8]>;

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string; a counter as it is spelled.
    Text(Vec<u8>),
    /// Members.
    Set(Vec<Bytes>),
    /// Fields.
    Hash(Vec<Field>),
    /// Members with their scores, none of which is "not a number".
    Sorted(Vec<(Bytes, f64)>),
    /// Elements from left to right.
    List(Vec<Bytes>),
    /// Entries in the order of their ids, what is known of those that are gone, and the groups that read them.
    Stream(Vec<StreamEntry>, Mark, Vec<StreamGroup>),
}

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is called.
    pub name: Bytes,
    /// What it holds.
    pub value: Bytes,
    /// When it ends by itself, in milliseconds since 1970.
    pub deadline: Option<u64>,
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its id.
    pub id: StreamId,
    pub(super) fields: Bytes,
}

/// A consumer group of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamGroup {
    /// What it is called.
    pub name: Bytes,
    /// Entries up to this one were handed out, or are not to be.
    pub last: StreamId,
    /// How many entries there were up to there, as far as that is known.
    pub read: Option<u64>,
    /// Its consumers.
    pub consumers: Vec<Consumer>,
    /// What was handed out and not acknowledged.
    pub pending: Vec<PendingEntry>,
}

/// An entry that was handed out and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// Its id.
    pub id: StreamId,
    /// The name of the consumer that was handed it.
    pub consumer: Bytes,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How often it was handed out.
    pub count: u64,
}

impl StreamEntry {
    /// An entry of these fields; `None` if there are none.
    #[must_use]
    pub fn new<'f>(id: StreamId, fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Option<Self> {
        let fields = stream::write_fields(fields);
        (!fields.is_empty()).then(|| Self { id, fields: fields.into() })
    }

    /// Its fields in their order.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::of(&self.fields)
    }
}

impl StreamGroup {
    /// The elements that are written, each with the name of the group in place of its own; what that has besides counts as
    /// value.
    fn parts(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let consumers = self.consumers.iter().map(|it| it.name.len());
        let pending = self.pending.iter().map(|it| it.consumer.len());
        let sizes = std::iter::once(0).chain(consumers).chain(pending);
        sizes.map(|size| (&*self.name, size + GROUP_PART_BYTES_MAX))
    }

    /// The longest of the names that consumers have.
    pub(super) fn longest_consumer(&self) -> &[u8] {
        let names = self.consumers.iter().map(|it| &it.name).chain(self.pending.iter().map(|it| &it.consumer));
        names.max_by_key(|name| name.len()).map_or(&[], |name| name)
    }
}

impl Value {
    /// Whether there is nothing in it, which only a string and a stream can be and exist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Set(elements) | Self::List(elements) => elements.is_empty(),
            Self::Hash(fields) => fields.is_empty(),
            Self::Sorted(members) => members.is_empty(),
            Self::Stream(entries, ..) => entries.is_empty(),
        }
    }

    /// About how many bytes of names and values it takes to write it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts().map(|(name, value)| name.len() + value).sum()
    }

    /// The elements that are written: the name of each, or as much in its place, and the bytes of its value.
    pub(super) fn parts(&self) -> Box<dyn Iterator<Item = (&[u8], usize)> + '_> {
        const NAME: &[u8] = &[0; PUSHED_BYTES + 4];
        match self {
            Self::Text(text) => Box::new(std::iter::once((&[][..], text.len()))),
            Self::Set(members) => Box::new(members.iter().map(|member| (&**member, 0))),
            Self::Hash(fields) => Box::new(fields.iter().map(|it| (&*it.name, it.value.len()))),
            Self::Sorted(members) => Box::new(members.iter().map(|(member, _)| (&**member, SCORE_BYTES))),
            Self::List(elements) => Box::new(elements.iter().map(|it| (NAME, it.len()))),
            Self::Stream(entries, _, groups) => {
                let entries = entries.iter().map(|it| (&NAME[..ID_BYTES], it.fields.len()));
                Box::new(entries.chain([(&[][..], MARK_BYTES_MAX)]).chain(groups.iter().flat_map(StreamGroup::parts)))
            }
        }
    }
}
