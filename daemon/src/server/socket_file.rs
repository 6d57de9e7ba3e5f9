//! The file of the Unix socket: made, found left over, and removed.
//!
//! - The file is never readable by more users than its mode says, not even for a moment.
//! - A file left over from a crash is replaced; the socket of a live daemon is not.
//! - Two daemons that start at once on one path: one gets it. Looking, removing and binding happen under a lock of the
//!   directory, so nobody removes what the other has just made.
//! - At exit the file is removed only if it is still the one made here.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;
use tokio::net::UnixListener;

/// Longest path of a Unix socket: what fits `sun_path` with its final NUL.
const PATH_BYTES_MAX: usize = 107;

/// Why there is no Unix socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The kernel's structure has no room for the path.
    #[error(
        "the socket path {path:?} has {bytes} bytes; a Unix socket's path has at most {PATH_BYTES_MAX}: \
         choose a shorter one with --socket"
    )]
    PathTooLong {
        /// As configured.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// The file's directory does not exist.
    #[error("the directory {directory:?} of the socket does not exist")]
    NoDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Something else has the name.
    #[error("{path:?} exists and is not a socket")]
    NotASocket {
        /// As configured.
        path: PathBuf,
    },
    /// Someone answers at the socket.
    #[error("the socket {path:?} is in use by a live daemon")]
    InUse {
        /// As configured.
        path: PathBuf,
    },
    /// A directory others can write to is no place for the default socket.
    #[error("the directory {directory:?} must belong to this user and be closed to others; set --socket")]
    UnsafeDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Anything else.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SocketError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The path used unless another is configured: in the user's runtime directory, or in a directory of the user's own
/// under `/tmp`. The daemon makes that directory; a configured one must exist.
#[must_use]
pub fn default_socket() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        Some(directory) => PathBuf::from(directory).join("cahoots/cahoots.sock"),
        None => format!("/tmp/cahoots-{}/cahoots.sock", rustix::process::getuid().as_raw()).into(),
    }
}

/// A socket's file. Dropping it removes the file if it is still the one made here.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: what "still the one made here" means.
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds and listens at `path`, with permissions `mode`. Within a tokio runtime.
    ///
    /// # Errors
    /// See [`SocketError`]; nothing is changed then, except that a left-over file may be gone.
    pub fn bind(path: PathBuf, mode: u32) -> Result<(UnixListener, Self), SocketError> {
        let bytes = path.as_os_str().len();
        if bytes > PATH_BYTES_MAX {
            return Err(SocketError::PathTooLong { path, bytes });
        }
        if path == default_socket() {
            make_own_directory(directory_of(&path))?;
        }
        let _lock = lock_directory(&path)?;
        remove_left_over(&path)?;
        // The permissions at the moment of binding are the mode less the umask; the old umask is back before anything
        // else in this single-threaded process makes a file.
        let umask = rustix::process::umask(Mode::from_raw_mode(!mode & 0o777));
        let listener = UnixListener::bind(&path);
        rustix::process::umask(umask);
        let listener = listener.map_err(SocketError::io("bind", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(SocketError::io("set the mode of", &path))?;
        let made = fs::symlink_metadata(&path).map_err(SocketError::io("look at", &path))?;
        Ok((listener, Self { path, identity: (made.dev(), made.ino()) }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(_lock) = lock_directory(&self.path) else { return };
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            // If it cannot be removed it is found left over at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the directory of the default socket; refuses one that others could have prepared.
fn make_own_directory(directory: &Path) -> Result<(), SocketError> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(directory).map_err(SocketError::io("look at", directory))?;
            let ours = found.is_dir() && found.uid() == rustix::process::getuid().as_raw() && found.mode() & 0o022 == 0;
            if ours { Ok(()) } else { Err(SocketError::UnsafeDirectory { directory: directory.to_owned() }) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SocketError::NoDirectory { directory: directory_of(directory).to_owned() })
        }
        Err(error) => Err(SocketError::io("make the directory", directory)(error)),
    }
}

/// Locks the directory of `path` against other daemons, as long as the file lives. Leaves nothing behind.
fn lock_directory(path: &Path) -> Result<File, SocketError> {
    let directory = directory_of(path);
    let file = File::open(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SocketError::NoDirectory { directory: directory.to_owned() },
        _ => SocketError::io("open the directory", directory)(error),
    })?;
    if !file.metadata().map_err(SocketError::io("look at", directory))?.is_dir() {
        return Err(SocketError::NoDirectory { directory: directory.to_owned() });
    }
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| SocketError::io("lock the directory", directory)(error.into()))?;
    Ok(file)
}

/// Removes the socket of a daemon that is gone.
fn remove_left_over(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::io("look at", path)(error)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    if is_answered(path)? {
        return Err(SocketError::InUse { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(SocketError::io("remove the left-over socket", path))
}

/// Whether anyone listens at `path`. Does not wait: a daemon too busy to accept is alive.
fn is_answered(path: &Path) -> Result<bool, SocketError> {
    let attempt = || {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &address)
    };
    match attempt() {
        Ok(()) | Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(rustix::io::Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(SocketError::io("connect to", path)(error.into())),
    }
}
