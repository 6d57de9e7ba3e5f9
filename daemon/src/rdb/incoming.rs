//! The bytes of an RDB file as they come: counted, summed, and kept where a value is to be handed on as it is.
//!
//! - Nothing is allocated because a length says so: memory follows the bytes that have arrived.
//! - Of a value at most a named number of bytes is kept. The rest is read past, so that what follows can be read.

use std::io::{self, Read};

use super::crc64::extended;
use super::lzf;
use super::reader::Length;

/// The longest string that is decoded here: a key or an auxiliary field. Redis's own limit.
const STRING_BYTES_MAX: u64 = 512 << 20;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Why an RDB file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The source failed, or ended in the middle.
    #[error("the RDB ends too early, or cannot be read, at byte {at}")]
    Io {
        /// Where.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// It does not begin as one.
    #[error("this is no RDB: it does not begin with REDIS and a version")]
    NotRdb,
    /// It is of a format that is not known.
    #[error("the RDB is of version {0}, which is not known")]
    Version(u16),
    /// The bytes are not in the form that an RDB has.
    #[error("the RDB is malformed at byte {at}")]
    Malformed {
        /// Where.
        at: u64,
    },
    /// A value of a type that is not known: where it ends cannot be told.
    #[error("the RDB has a value of the unknown type {form} at byte {at}")]
    UnknownType {
        /// As Redis numbers it.
        form: u8,
        /// Where.
        at: u64,
    },
    /// The sum at the end is not that of the bytes.
    #[error("the checksum of the RDB is wrong")]
    Checksum,
}

/// What is kept of a value.
struct Kept {
    bytes: Vec<u8>,
    /// How many there were, also of those that are not kept.
    count: u64,
    max: usize,
}

/// Bytes as they come.
pub(super) struct Incoming<R> {
    reader: R,
    at: u64,
    sum: u64,
    kept: Option<Kept>,
    chunk: Box<[u8]>,
}

impl<R: Read> Incoming<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, at: 0, sum: 0, kept: None, chunk: vec![0; CHUNK_BYTES].into() }
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// How many bytes have been read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The sum of what has been read.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn malformed(&self) -> FileError {
        FileError::Malformed { at: self.at }
    }

    /// Keeps what is read from now on, `first` in front, and at most `max` bytes.
    pub(super) fn keep(&mut self, first: u8, max: usize) {
        self.kept = Some(Kept { bytes: vec![first], count: 1, max });
    }

    /// What was kept since; if it was too much, how many bytes there were.
    pub(super) fn kept(&mut self) -> Result<Vec<u8>, u64> {
        let kept = self.kept.take().expect("a value was being kept");
        if kept.count > kept.max as u64 { Err(kept.count) } else { Ok(kept.bytes) }
    }

    fn fill(&mut self, count: usize) -> Result<(), FileError> {
        let Self { reader, at, sum, kept, chunk } = self;
        let bytes = &mut chunk[..count];
        reader.read_exact(bytes).map_err(|source| FileError::Io { at: *at, source })?;
        (*at, *sum) = (*at + count as u64, extended(*sum, bytes));
        if let Some(kept) = kept {
            kept.count += count as u64;
            if kept.count <= kept.max as u64 {
                kept.bytes.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        self.fill(N)?;
        Ok(self.chunk[..N].try_into().expect("as many as were read"))
    }

    /// Reads past so many bytes.
    pub(super) fn pass(&mut self, mut count: u64) -> Result<(), FileError> {
        while count > 0 {
            let now = usize::try_from(count).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            self.fill(now)?;
            count -= now as u64;
        }
        Ok(())
    }

    fn bytes(&mut self, mut count: u64) -> Result<Vec<u8>, FileError> {
        if count > STRING_BYTES_MAX {
            return Err(self.malformed());
        }
        let mut bytes = Vec::new();
        while count > 0 {
            let now = usize::try_from(count).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            self.fill(now)?;
            bytes.extend_from_slice(&self.chunk[..now]);
            count -= now as u64;
        }
        Ok(bytes)
    }

    pub(super) fn length_or_encoding(&mut self) -> Result<Length, FileError> {
        let fill = |bytes: &mut [u8]| {
            self.fill(bytes.len())?;
            bytes.copy_from_slice(&self.chunk[..bytes.len()]);
            Ok(())
        };
        Length::read(fill)?.ok_or_else(|| self.malformed())
    }

    pub(super) fn number(&mut self) -> Result<u64, FileError> {
        match self.length_or_encoding()? {
            Length::Of(number) => Ok(number),
            Length::Encoded(_) => Err(self.malformed()),
        }
    }

    /// A string as it is meant.
    pub(super) fn string(&mut self) -> Result<Vec<u8>, FileError> {
        let number = |number: i64| itoa::Buffer::new().format(number).as_bytes().to_vec();
        Ok(match self.length_or_encoding()? {
            Length::Of(len) => self.bytes(len)?,
            Length::Encoded(0) => number(i8::from_le_bytes(self.array()?).into()),
            Length::Encoded(1) => number(i16::from_le_bytes(self.array()?).into()),
            Length::Encoded(2) => number(i32::from_le_bytes(self.array()?).into()),
            Length::Encoded(3) => {
                let (packed, len) = (self.number()?, self.number()?);
                let packed = self.bytes(packed)?;
                let len = usize::try_from(len).ok().filter(|len| *len as u64 <= STRING_BYTES_MAX);
                len.and_then(|len| lzf::decompress(&packed, len)).ok_or_else(|| self.malformed())?
            }
            Length::Encoded(_) => return Err(self.malformed()),
        })
    }

    /// Reads past a string.
    pub(super) fn pass_string(&mut self) -> Result<(), FileError> {
        match self.length_or_encoding()? {
            Length::Of(len) => self.pass(len),
            Length::Encoded(kind @ 0..=2) => self.pass(1 << kind),
            Length::Encoded(3) => {
                let packed = self.number()?;
                self.number()?;
                self.pass(packed)
            }
            Length::Encoded(_) => Err(self.malformed()),
        }
    }
}
