//! The value of a key as a whole, apart from where it lay: to be put under another key, or written to somewhere else.
//!
//! It is what clients see: the score, not who added what to it. Ballots are no such values: each is its replica's.

use super::cell::position::PUSHED_BYTES;
use super::cell::score::SCORE_BYTES;
use super::cell::stream::{self, Fields, ID_BYTES, MARK_BYTES_MAX, Mark, StreamId};

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
    /// Entries in the order of their ids, and what is known of those that are gone.
    Stream(Vec<StreamEntry>, Mark),
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

impl Value {
    /// Whether there is nothing in it, which only a string and a stream can be and exist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Set(elements) | Self::List(elements) => elements.is_empty(),
            Self::Hash(fields) => fields.is_empty(),
            Self::Sorted(members) => members.is_empty(),
            Self::Stream(entries, _) => entries.is_empty(),
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
            Self::Stream(entries, _) => {
                let entries = entries.iter().map(|it| (&NAME[..ID_BYTES], it.fields.len()));
                Box::new(entries.chain([(&[][..], MARK_BYTES_MAX)]))
            }
        }
    }
}
