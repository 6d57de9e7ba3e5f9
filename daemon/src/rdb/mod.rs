//! Redis's serialization of a value, what DUMP answers and RESTORE takes; and of all keys, an RDB file (`file.rs`).
//!
//! A payload is a type, the value in that type's form, the version of the format (two bytes) and a CRC-64 of all that, the
//! lowest byte of each first. Read are all forms that Redis has written since version 2.6, up to those of 7.2, but those of
//! modules and zipmaps; and the hashes of 7.4 and of Valkey 9 whose fields end. Written is the plainest form of each type, which Redis 7.0
//! reads; a hash whose fields end has the form of 7.4.
//!
//! - Nothing is believed: the sum and the version are checked first, then every length before something is made of it.
//! - What is made of a payload is bounded, however small that is: a budget of bytes (`budget.rs`).
//! - Nothing here knows commands or the key space.

mod budget;
mod crc64;
mod extent;
mod file;
mod function;
mod group;
mod incoming;
mod lzf;
mod packed;
mod read;
mod reader;
mod stream;
mod write;

pub use file::{Content, Entry, FileKey, RdbFile};
pub use function::{dump_libraries, restore_libraries};
pub use incoming::FileError;
pub use read::restore;
pub use write::{dump, sealed};

/// Why a payload is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RdbError {
    /// The sum is not that of the bytes, or the version is one that is not known.
    #[error("DUMP payload version or checksum are wrong")]
    Checksum,
    /// The bytes are not in the form that the type has.
    #[error("Bad data format")]
    Malformed,
    /// Something else than libraries of functions.
    #[error("given type is not a function")]
    NoLibrary,
    /// What is in it is more than may be written at once.
    #[error("command writes more than the cluster's maximum of {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
}

/// The newest version that is read: that of Redis 7.4.
const VERSION_MAX: u16 = 12;
/// That of Valkey 9, which counts anew from 80.
const VALKEY_VERSION: u16 = 80;
/// The version that Redis 7.0 reads.
const VERSION: u16 = 10;
/// The version, and the sum.
const FOOTER_BYTES: usize = 10;
/// What stands in front of an element that is a string in a quicklist, not a listpack.
const PLAIN: u64 = 1;
/// What stands in front of a listpack there.
const LISTPACK: u64 = 2;

/// The forms of values, as Redis numbers them.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET: u8 = 5;
    pub(super) const MODULE: u8 = 7;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_OF_ZIPLISTS: u8 = 14;
    pub(super) const STREAM_1: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const LIST_OF_LISTPACKS: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    pub(super) const HASH_OF_VALKEY: u8 = 22;
    pub(super) const HASH_WITH_ENDS: u8 = 24;
    pub(super) const HASH_LISTPACK_WITH_ENDS: u8 = 25;
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
