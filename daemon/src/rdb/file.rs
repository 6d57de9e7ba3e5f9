//! An RDB file, or the same as a primary sends it to a replica: read as it comes, a key at a time.
//!
//! Values are not looked into: each is handed on as the payload that RESTORE takes, which checks it. What is not a value is
//! told (functions, fields about the file) or read past (hints of sizes, how often keys were used, what modules keep beside
//! their values). The sum at the end is checked where there is one.

use std::io::Read;

use super::extent::{module_name, pass_module, pass_value};
use super::incoming::{FileError, Incoming};
use super::write::seal;
use super::{VALKEY_VERSION, VERSION, VERSION_MAX, kind};

/// From this version on there is a sum at the end.
const SUM_SINCE: u16 = 5;

/// What introduces something that is no value.
mod opcode {
    pub(super) const SLOT_INFO: u8 = 244;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const RESIZE: u8 = 251;
    pub(super) const EXPIRE_MS: u8 = 252;
    pub(super) const EXPIRE_SECONDS: u8 = 253;
    pub(super) const SELECT: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// Something in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A field about the file: its name and its value.
    Aux(Vec<u8>, Vec<u8>),
    /// The source of a library of functions.
    Function(Vec<u8>),
    /// A key.
    Key(FileKey),
}

/// A key in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKey {
    /// The database it is in.
    pub database: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// When it ends, in milliseconds since 1970.
    pub deadline: Option<u64>,
    /// What it holds.
    pub content: Content,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A value, as RESTORE takes it.
    Payload(Vec<u8>),
    /// More than was to be kept: how many bytes.
    TooLarge(u64),
    /// A value of a module: the name of its type.
    Module(String),
}

/// An RDB file as it comes.
pub struct RdbFile<R> {
    input: Incoming<R>,
    version: u16,
    database: u64,
    value_bytes_max: usize,
}

impl<R: Read> RdbFile<R> {
    /// Begins to read. Of a value at most `value_bytes_max` bytes are kept.
    ///
    /// # Errors
    /// It is no RDB, or of a version that is not known.
    pub fn begin(reader: R, value_bytes_max: usize) -> Result<Self, FileError> {
        let mut input = Incoming::new(reader);
        let head: [u8; 9] = input.array()?;
        let (digits, versions) = match &head {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (&digits[..], 1..=VERSION_MAX),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (&digits[..], VALKEY_VERSION..=VALKEY_VERSION),
            _ => return Err(FileError::NotRdb),
        };
        let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let version = version.ok_or(FileError::NotRdb)?;
        if !versions.contains(&version) {
            return Err(FileError::Version(version));
        }
        Ok(Self { input, version, database: 0, value_bytes_max })
    }

    /// How many bytes have been read.
    pub fn at(&self) -> u64 {
        self.input.at()
    }

    /// The reader, which stands behind the last byte of the file once [`RdbFile::next_entry`] has come to the end.
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }

    /// What comes next; `None` at the end, once the sum has been checked.
    ///
    /// # Errors
    /// The file cannot be read, or is malformed. It cannot be read on then.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, FileError> {
        let mut deadline = None;
        loop {
            let [first] = self.input.array()?;
            match first {
                opcode::EXPIRE_MS => deadline = Some(u64::from_le_bytes(self.input.array()?)),
                opcode::EXPIRE_SECONDS => deadline = Some(u64::from(u32::from_le_bytes(self.input.array()?)) * 1000),
                opcode::IDLE => drop(self.input.number()?),
                opcode::FREQUENCY => self.input.pass(1)?,
                opcode::SELECT => self.database = self.input.number()?,
                opcode::RESIZE => drop((self.input.number()?, self.input.number()?)),
                opcode::SLOT_INFO => drop((self.input.number()?, self.input.number()?, self.input.number()?)),
                opcode::AUX => return Ok(Some(Entry::Aux(self.input.string()?, self.input.string()?))),
                opcode::FUNCTION => return Ok(Some(Entry::Function(self.input.string()?))),
                opcode::MODULE_AUX => {
                    self.input.number()?; // whose
                    pass_module(&mut self.input)?; // when it is to be loaded stands in front, as a part of it
                }
                opcode::END => {
                    self.check_sum()?;
                    return Ok(None);
                }
                form => return self.key(form, deadline).map(|key| Some(Entry::Key(key))),
            }
        }
    }

    fn key(&mut self, form: u8, deadline: Option<u64>) -> Result<FileKey, FileError> {
        let input = &mut self.input;
        let name = input.string()?;
        let content = if form == kind::MODULE {
            let id = input.number()?;
            pass_module(input)?;
            Content::Module(module_name(id))
        } else {
            input.keep(form, self.value_bytes_max);
            pass_value(form, input)?;
            input.kept().map_or_else(Content::TooLarge, |body| Content::Payload(seal(body, VERSION)))
        };
        Ok(FileKey { database: self.database, name, deadline, content })
    }

    fn check_sum(&mut self) -> Result<(), FileError> {
        if self.version < SUM_SINCE {
            return Ok(());
        }
        let sum = self.input.sum();
        let told = u64::from_le_bytes(self.input.array()?);
        // Zero where the source was told to make none.
        if told == 0 || told == sum { Ok(()) } else { Err(FileError::Checksum) }
    }
}
