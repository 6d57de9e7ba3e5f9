//! Whose data a directory holds, and how its last user left it.
//!
//! A small text file, replaced as a whole: written under another name, synced, renamed, and the directory synced. A
//! process that begins to use the directory first takes the note of the clean stop away, so that the note is only ever
//! there when nobody has told or acknowledged anything since.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cahoots_gossip::ReplicaId;
use rustix::fs::{FlockOperation, flock};
use xxhash_rust::xxh3::xxh3_64;

use super::error::StorageError;
use super::files::Files;
use super::frame::FORMAT;
use super::place::Place;

const FILE: &str = "identity";
const LOCK: &str = "lock";
const TITLE: &str = "cahoots data directory, format ";
/// The place of what `SAVE` made.
const BACKUP: &str = "backup";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: String,
    /// The replica that used the directory last.
    pub(super) id: ReplicaId,
    /// Where the directory was; nothing if this is a backup, which may be anywhere.
    pub(super) place: Option<Place>,
    /// The same for people: the machine's name and the path.
    pub(super) used_at: String,
    /// The last position of the log if it was closed with everything in it; nothing while it is in use.
    pub(super) stopped: Option<u64>,
    /// When this was written, in milliseconds since 1970.
    pub(super) wall_ms: u64,
}

impl Identity {
    fn encode(&self) -> String {
        let stopped = self.stopped.map_or_else(|| "no".to_owned(), |position| position.to_string());
        let place = self.place.map_or_else(|| BACKUP.to_owned(), |place| place.to_string());
        let Self { cluster, id, used_at, wall_ms, .. } = self;
        let text = format!(
            "{TITLE}{FORMAT}\ncluster {cluster}\nid {:016x}\nplace {place}\nused-at {used_at}\nstopped {stopped}\n\
             written {wall_ms}\n",
            id.get()
        );
        let checksum = xxh3_64(text.as_bytes());
        format!("{text}checksum {checksum:016x}\n")
    }

    fn decode(text: &str, path: &Path) -> Result<Self, StorageError> {
        let damaged = |what: &str| StorageError::damaged(path, 0, what);
        let format = text.strip_prefix(TITLE).and_then(|rest| rest.lines().next());
        let format: u32 = format.and_then(|it| it.parse().ok()).ok_or_else(|| damaged("not an identity file"))?;
        if format != FORMAT {
            return Err(StorageError::Version { path: path.to_owned(), found: format, supported: FORMAT });
        }
        let at = text.find("checksum ").ok_or_else(|| damaged("no checksum"))?;
        let (body, checksum) = text.split_at(at);
        if checksum.trim_end() != format!("checksum {:016x}", xxh3_64(body.as_bytes())) {
            return Err(damaged("the checksum does not fit"));
        }
        let field = |name: &str| {
            let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or_else(|| damaged("a line is missing"))
        };
        Ok(Self {
            cluster: field("cluster")?.to_owned(),
            id: ReplicaId::new(u64::from_str_radix(field("id")?, 16).map_err(|_| damaged("no id"))?),
            place: match field("place")? {
                BACKUP => None,
                place => Some(place.parse().map_err(|()| damaged("no place"))?),
            },
            used_at: field("used-at")?.to_owned(),
            stopped: field("stopped")?.parse().ok(),
            wall_ms: field("written")?.parse().unwrap_or(0),
        })
    }

    /// Reads the file of `directory`, if there is one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, StorageError> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => Self::decode(&String::from_utf8_lossy(&bytes), &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("read", &path)(error)),
        }
    }

    /// Puts this in the place of what `directory` says. On disk when it returns.
    pub(super) fn write(&self, directory: &Path, files: &dyn Files) -> Result<(), StorageError> {
        let (path, new) = (directory.join(FILE), directory.join(format!("{FILE}.new")));
        files.remove(&new).map_err(StorageError::io("remove", &new))?;
        let file = files.create(&new).map_err(StorageError::io("create", &new))?;
        file.append(self.encode().as_bytes()).map_err(StorageError::io("write", &new))?;
        file.sync().map_err(StorageError::io("sync", &new))?;
        files.rename(&new, &path).map_err(StorageError::io("rename to", &path))?;
        files.sync_directory(directory).map_err(StorageError::io("sync", directory))
    }
}

/// A directory that this process alone uses, as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the directory; whoever has it keeps it.
    pub(super) fn take(directory: &Path) -> Result<Self, StorageError> {
        let path: PathBuf = directory.join(LOCK);
        let opened = match File::options().create(true).write(true).truncate(false).open(&path) {
            // What is there can be read, and is ours alone all the same.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && path.exists() => File::open(&path),
            opened => opened,
        };
        let file = opened.map_err(StorageError::io("open", &path))?;
        Self::locked(file, FlockOperation::NonBlockingLockExclusive, directory)
    }

    /// Takes the directory to read it, as others may who only read, too. Changes nothing, so that the disk may be one that
    /// cannot be written to any more. Nothing if nobody has used the directory yet.
    pub(super) fn take_to_read(directory: &Path) -> Result<Option<Self>, StorageError> {
        let path = directory.join(LOCK);
        match File::open(&path) {
            Ok(file) => Self::locked(file, FlockOperation::NonBlockingLockShared, directory).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("open", &path)(error)),
        }
    }

    fn locked(file: File, operation: FlockOperation, directory: &Path) -> Result<Self, StorageError> {
        match flock(&file, operation) {
            Ok(()) => Ok(Self { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StorageError::Locked { path: directory.to_owned() }),
            Err(error) => Err(StorageError::io("lock", &directory.join(LOCK))(error.into())),
        }
    }

    /// Where the directory is.
    pub(super) fn place(&self) -> Place {
        Place::of(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::files::SystemFiles;

    #[test]
    fn an_identity_is_read_as_it_was_written_and_a_changed_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut identity = Identity {
            cluster: "a cluster".into(),
            id: ReplicaId::new(0xABC),
            place: Some(Place::default()),
            used_at: "a machine:/some/where".into(),
            stopped: Some(7),
            wall_ms: 12,
        };
        assert_eq!(Identity::read(directory.path()).unwrap(), None);
        identity.write(directory.path(), &SystemFiles).unwrap();
        assert_eq!(Identity::read(directory.path()).unwrap(), Some(identity.clone()));
        (identity.stopped, identity.place) = (None, None);
        identity.write(directory.path(), &SystemFiles).unwrap();
        assert_eq!(Identity::read(directory.path()).unwrap(), Some(identity));
        let path = directory.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("stopped no", "stopped 9")).unwrap();
        let error = Identity::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("identity") && error.contains("checksum"), "{error}");
        std::fs::write(&path, text.replace(&format!("format {FORMAT}"), "format 99")).unwrap();
        assert!(matches!(Identity::read(directory.path()), Err(StorageError::Version { found: 99, .. })));
    }

    #[test]
    fn a_directory_has_one_user_and_a_copy_is_another_place() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path()).unwrap();
        assert!(matches!(Lock::take(directory.path()), Err(StorageError::Locked { .. })));
        assert!(matches!(Lock::take_to_read(directory.path()), Err(StorageError::Locked { .. })));
        let place = lock.place();
        drop(lock);
        let readers = [Lock::take_to_read(directory.path()), Lock::take_to_read(directory.path())];
        assert!(readers.iter().all(|it| matches!(it, Ok(Some(_)))), "any number may read");
        assert!(matches!(Lock::take(directory.path()), Err(StorageError::Locked { .. })));
        drop(readers);
        assert!(Lock::take(directory.path()).unwrap().place().is(&place));
        // Clocks of file systems tick every few milliseconds.
        let another_tick = (0..1_000_000).any(|_| {
            let copy = tempfile::tempdir().unwrap();
            std::fs::copy(directory.path().join(LOCK), copy.path().join(LOCK)).unwrap();
            !Lock::take(copy.path()).unwrap().place().is(&place)
        });
        assert!(another_tick);
    }
}
