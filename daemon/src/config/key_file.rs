//! The file with the cluster's key.
//!
//! Whoever reads it can read and write the whole cluster, so a file others may read is refused: a warning would be
//! one more line in a log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// More than any spelling of a key has.
const FILE_BYTES_MAX: u64 = 256;

/// Why there is no key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read, or written.
    #[error("cannot {action} the key file {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could have read it.
    #[error("the key file {path:?} has mode {mode:04o}: others than its owner have access; run `chmod 600 {path:?}`")]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "the key file {path:?} must hold 64 hex digits or 32 bytes, nothing else; `cahoots keygen --out FILE` makes one"
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the key in `path`.
///
/// # Errors
/// See [`KeyFileError`].
pub fn read_key(path: &Path) -> Result<[u8; KEY_BYTES], KeyFileError> {
    let io = |source| KeyFileError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    // Of the file that is open, not of what has the name by now.
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
    parse(&bytes).ok_or_else(|| KeyFileError::NotAKey { path: path.to_owned() })
}

/// Writes a key to a new file only its owner can read.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_key(path: &Path, hex: &str) -> Result<(), KeyFileError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{hex}"));
    written.map_err(|source| KeyFileError::Io { action: "write", path: path.to_owned(), source })
}

fn parse(bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let digits = bytes.trim_ascii();
    if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hex_digits_or_32_bytes() {
        let hex = "00ff".repeat(16);
        let key: [u8; 32] = std::array::from_fn(|at| if at % 2 == 0 { 0 } else { 0xff });
        for spelling in [hex.clone(), format!("{hex}\n"), hex.to_uppercase()] {
            assert_eq!(parse(spelling.as_bytes()), Some(key), "{spelling:?}");
        }
        assert_eq!(parse(&key), Some(key));
        for wrong in ["", "00", &hex[1..], &format!("{hex}0"), &"zz".repeat(32), &"é".repeat(17)] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_key_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_key(&path, &"00ff".repeat(16)).unwrap();
        assert!(read_key(&path).is_ok());
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refusal = read_key(&path).unwrap_err().to_string();
            assert!(refusal.contains(&format!("{mode:04o}")) && refusal.contains("chmod 600"), "{refusal}");
        }
        assert!(matches!(write_key(&path, ""), Err(KeyFileError::Io { .. })), "an existing key is not overwritten");
    }
}
