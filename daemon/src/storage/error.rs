//! Why storage cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

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
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }
}
