//! Why storage cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::place::Place;

/// Why a data directory cannot be used. Each names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The system refused something.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("the data directory {path:?} is in use by another process")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file of a newer version, or of something else.
    #[error("{path:?} is of format {found}, and this version reads format {supported}")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: u32,
        /// What could be read.
        supported: u32,
    },
    /// What was once safely on disk is not there, or not as it was.
    #[error(
        "{path:?} is damaged at byte {offset}: {what}. Restore a backup; or, if another replica of the cluster has the \
         data, start with --repair: what is readable is loaded under a new id and the rest is fetched"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// The directory is not where it was made: a copy, whose original may be in use, or one that was moved.
    #[error(
        "the data directory {path:?} was copied or moved: its data was last used at {used_at:?}, and its file \"lock\" is \
         another one than then ({}). Two nodes must not go on under one replica id from the same data, and only you know \
         whether there are two. If this is a copy and is to be a replica beside the original, or if it was moved here, start \
         it once with --new-id: all data is kept, and the replica gets an id of its own. If it is here by mistake, start the \
         original",
        seen(made_at, found_at)
    )]
    Copied {
        /// The directory.
        path: PathBuf,
        /// The machine and path at which it was last used.
        used_at: String,
        /// Where it was made.
        made_at: Place,
        /// Where it is.
        found_at: Place,
    },
    /// The data belongs to another cluster.
    #[error("{path:?} holds data of the cluster {theirs:?}, and this node is configured for {ours:?}")]
    OtherCluster {
        /// The file that says so.
        path: PathBuf,
        /// Its cluster.
        theirs: String,
        /// The configured one.
        ours: String,
    },
}

impl StorageError {
    /// Whether this says no more than that nothing can be written for now: the volume is full, or read-only. What is there
    /// can be read, and a person can give it space while the process runs.
    pub(super) fn is_want_of_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull))
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }
}

/// What tells two places apart.
fn seen(made_at: &Place, found_at: &Place) -> String {
    let file = |place: &Place| {
        format!(
            "inode {} made at {}.{:09} on machine {:016x}",
            place.inode,
            place.born / NANOS,
            place.born % NANOS,
            place.machine
        )
    };
    format!("then {}, now {}", file(made_at), file(found_at))
}

/// In a second.
const NANOS: u128 = 1_000_000_000;
