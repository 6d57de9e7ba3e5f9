//! The encoding: compact, deterministic, versioned, and safe to decode from any source.
//!
//! ```text
//! version (1 byte) | replica table | context | store
//! replica table    n, then n ids of 8 bytes: each id is written once, everything else says its index
//! context          n, then n × (replica, last) without gaps; m, then m × (replica, first, last - first)
//! store            as its type lays it out
//! ```
//!
//! Integers are LEB128 varints, signed ones zigzag. Members, keys and values are encoded by serde through postcard.
//! Sets and maps are sorted (by dot or by encoded key), so the same value has the same encoding, on every machine and
//! whatever its history. (Beside the value itself it says whether this is a delta, and holds baselines not yet dropped.)
//!
//! Invariants of decoding: no panic for any input; nothing is allocated that the input did not pay for with bytes;
//! counts, nesting and replicas have limits; every live dot is covered by the context, or the bytes are refused.
//! Postcard itself bounds what it allocates for strings and vectors by the input; it cannot bound the nesting of a
//! *user's* recursive type, so do not use one as a member.

mod reader;
mod scores;
mod sequences;
mod serde_impls;
mod stores;
mod writer;

use alloc::vec::Vec;

pub use reader::Reader;
pub use writer::Writer;
pub(crate) use writer::key_bytes;

use crate::{Causal, DotStore, Size};

/// The version byte that [`Causal::encode`] writes and [`Causal::decode`] expects.
pub const VERSION: u8 = 1;

/// A dot store that can be encoded. Implement it for a store of your own by calling that of its parts.
pub trait Wire: DotStore {
    /// Writes this store.
    ///
    /// # Errors
    /// When a member, key or value refuses to be serialised.
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError>;

    /// Reads a store.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// What decoding accepts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Encoded bytes. Default 64 MiB: far above any delta, enough for a state of millions of members.
    pub bytes_max: usize,
    /// Members, keys, cells, runs of dots and steps of positions, all together. Default 16 Mi.
    pub entries_max: usize,
    /// Maps within maps. Default 32: types are nested by hand, and never that deep.
    pub depth_max: usize,
    /// Distinct replicas. Default 65,536: each restart under a new id adds one.
    pub replicas_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, entries_max: 16 << 20, depth_max: 32, replicas_max: 1 << 16 }
    }
}

/// Why a value cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A member, key or value refused to be serialised.
    #[error("a member, key or value cannot be serialised: {0}")]
    Payload(postcard::Error),
}

/// Why bytes are no value. Whatever the reason, nothing was changed anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte names a version this library does not know.
    #[error("unknown version {0} of the encoding")]
    Version(u8),
    /// The input ends within a value.
    #[error("the input ends early")]
    Truncated,
    /// The input goes on after the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The input is longer than [`Limits::bytes_max`].
    #[error("{bytes} bytes, at most {max} are accepted")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// More entries than [`Limits::entries_max`].
    #[error("more than {0} entries")]
    TooManyEntries(usize),
    /// Deeper than [`Limits::depth_max`].
    #[error("nested deeper than {0}")]
    TooDeep(usize),
    /// More replicas than [`Limits::replicas_max`].
    #[error("more than {0} replicas")]
    TooManyReplicas(usize),
    /// A live dot that the context does not cover: no history leads there.
    #[error("a live dot is not covered by the context")]
    Uncovered,
    /// A member, key or value does not decode.
    #[error("a member, key or value does not decode: {0}")]
    Payload(postcard::Error),
    /// Bytes that no encoder writes.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

pub(crate) fn encode<S: Wire>(value: &Causal<S>) -> Result<(Vec<u8>, Size), EncodeError> {
    let mut writer = Writer::new();
    writer.context(&value.context);
    value.store.encode_to(&mut writer)?;
    Ok(writer.finish())
}

pub(crate) fn decode<S: Wire>(bytes: &[u8], limits: &Limits) -> Result<Causal<S>, DecodeError> {
    let mut reader = Reader::new(bytes, limits)?;
    let context = reader.context()?;
    let store = S::decode_from(&mut reader)?;
    reader.finish()?;
    Ok(Causal { store, context })
}
