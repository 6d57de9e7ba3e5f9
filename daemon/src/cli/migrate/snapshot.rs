//! An RDB file, or the copy that a primary sends, written to a target key by key.

use std::io::Read;
use std::time::Instant;

use super::hold::HELD_MS;
use super::mirror::Seen;
use super::progress::{Bytes, Progress};
use super::rate::Rate;
use super::target::{Target, TargetError};
use crate::command::glob_matches;
use crate::rdb::{Content, Entry, FileError, FileKey, RdbFile};

/// Bytes of one value that are kept. A larger one is told of and left.
const VALUE_BYTES_MAX: usize = 1 << 30;

/// Why a snapshot is not whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    /// The source has ended, or sends what makes no sense.
    #[error(transparent)]
    Source(#[from] FileError),
    /// Nothing can be written any more.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// How a snapshot is written.
pub(super) struct Snapshot<'s> {
    pub(super) target: &'s mut Target,
    pub(super) progress: &'s Progress,
    pub(super) pattern: Option<&'s str>,
    pub(super) rate: Rate,
    /// Which keys there are, for who wants to know. Deadlines are held off then.
    pub(super) seen: Option<&'s mut Seen>,
}

impl Snapshot<'_> {
    /// Writes all of it. Returns the reader, behind the last byte, and the database that the stream behind it begins in, if
    /// that is told.
    pub(super) fn load<R: Read>(mut self, reader: R) -> Result<(R, Option<u64>), SnapshotError> {
        let mut file = RdbFile::begin(reader, VALUE_BYTES_MAX)?;
        let mut database = None;
        while let Some(entry) = file.next_entry()? {
            match entry {
                Entry::Key(key) => self.key(key)?,
                Entry::Aux(name, value) if name == b"repl-stream-db" => {
                    // -1 where there is none.
                    database = crate::resp::unsigned(&value);
                }
                Entry::Aux(..) => {}
                // Libraries belong to no key.
                Entry::Function(code) if self.pattern.is_none() => self.target.load_library(&code)?,
                Entry::Function(_) => {}
            }
            self.progress.show(None);
        }
        Ok((file.into_inner(), database))
    }

    fn key(&mut self, key: FileKey) -> Result<(), TargetError> {
        let FileKey { database, name, deadline, content } = key;
        if self.pattern.is_some_and(|pattern| !glob_matches(pattern.as_bytes(), &name)) {
            return Ok(());
        }
        if let Some(wait) = self.rate.wait(Instant::now()) {
            self.target.flush()?;
            std::thread::sleep(wait);
        }
        self.target.select(database)?;
        let mut until = deadline;
        if let Some(seen) = &mut self.seen {
            seen.add(database, &name);
            until = deadline.map(|deadline| deadline.saturating_add(HELD_MS));
        }
        match content {
            Content::Payload(payload) => self.target.restore(&name, until, &payload)?,
            Content::TooLarge(bytes) => {
                self.target.refuse_key(&name, &format!("its value of {} is larger than any here", Bytes(bytes)));
            }
            Content::Module(module) => {
                self.target.refuse_key(&name, &format!("it is of the type {module} of a module"));
            }
        }
        Ok(())
    }
}
