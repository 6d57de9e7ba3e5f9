//! Files that are as they were or as they shall be, whatever happens meanwhile.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Tells files apart that are being written at once.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Writes a file that only its owner may read, or whom these permissions name.
///
/// # Errors
/// It cannot be written; then it is as it was.
pub fn write_whole(path: &Path, text: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".tmp-{}-{}", std::process::id(), WRITES.fetch_add(1, Relaxed)));
    let fresh = PathBuf::from(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&fresh);
    }
    written
}
