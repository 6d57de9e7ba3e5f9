//! The file with the cluster's key; with several, while the members of a cluster change theirs one after the other.
//!
//! Whoever reads it can read and write the whole cluster, so a file that strangers may read, or anybody but its owner
//! may change, is refused: a warning would be one more line in a log. A group that this process is in may read it: that
//! is how Kubernetes hands a Secret to a process that is not root (`fsGroup`: root:GID, mode 0440, on a volume that is
//! read-only, so that nothing could be changed about it).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// More than any spelling of so many keys has, with a word on each.
const FILE_BYTES_MAX: u64 = 4 << 10;
/// Keys in one file: the old and the new one, and room for a change that begins before another has ended. What none
/// before it opens is tried with each.
const KEYS_MAX: usize = 4;

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
    /// Others could have read it, or changed it.
    #[error("the key file {path:?} has mode {mode:04o}: {}; run `chmod {:03o} {path:?}`", .access.text(), .access.remedy())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Whose access that is.
        access: Access,
    },
    /// It holds something else.
    #[error(
        "the key file {path:?} must hold 64 hex digits or 32 bytes, nothing else, or up to 4 lines of 64 different hex digits \
         while a key is changed; `cahoots keygen --out FILE` makes one"
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
}

/// Access to a key file that nobody should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everybody has some.
    Everybody,
    /// Its group may change it.
    GroupWrites,
    /// A group that this process is not in, with this number, may read it.
    StrangeGroup(u32),
}

impl Access {
    fn text(self) -> String {
        match self {
            Self::Everybody => "every user of this machine has access".to_owned(),
            Self::GroupWrites => "others than its owner may change it".to_owned(),
            Self::StrangeGroup(gid) => {
                format!("its group, {gid}, may read it, and this process is not in that group")
            }
        }
    }

    /// The least change that makes the file acceptable.
    fn remedy(self) -> u32 {
        match self {
            Self::Everybody | Self::StrangeGroup(_) => 0o600,
            Self::GroupWrites => 0o640,
        }
    }
}

/// What is wrong with a file of this mode, whose group is `gid`, for a process in `groups`.
fn objection(mode: u32, gid: u32, groups: &[u32]) -> Option<Access> {
    if mode & 0o007 != 0 {
        Some(Access::Everybody)
    } else if mode & 0o020 != 0 {
        Some(Access::GroupWrites)
    } else if mode & 0o070 != 0 && !groups.contains(&gid) {
        Some(Access::StrangeGroup(gid))
    } else {
        None
    }
}

/// The groups this process is in.
fn own_groups() -> io::Result<Vec<u32>> {
    let supplementary = rustix::process::getgroups()?;
    let all = supplementary.into_iter().chain([rustix::process::getegid()]);
    Ok(all.map(rustix::process::Gid::as_raw).collect())
}

/// Reads the keys in `path`, one at least: the first seals, all open.
///
/// # Errors
/// See [`KeyFileError`].
pub fn read_keys(path: &Path) -> Result<Vec<[u8; KEY_BYTES]>, KeyFileError> {
    let io = |source| KeyFileError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    // Of the file that is open, not of what has the name by now.
    let found = file.metadata().map_err(io)?;
    let mode = found.mode() & 0o777;
    if let Some(access) = objection(mode, found.gid(), &own_groups().map_err(io)?) {
        return Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode, access });
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

fn parse(bytes: &[u8]) -> Option<Vec<[u8; KEY_BYTES]>> {
    if let Ok(raw) = bytes.try_into() {
        return Some(vec![raw]);
    }
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut keys = Vec::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
        let key = parse_digits(line)?;
        // Twice the same is a mistake: a key that was to be another.
        if keys.contains(&key) || keys.len() == KEYS_MAX {
            return None;
        }
        keys.push(key);
    }
    Some(keys).filter(|keys| !keys.is_empty())
}

fn parse_digits(digits: &[u8]) -> Option<[u8; KEY_BYTES]> {
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
            assert_eq!(parse(spelling.as_bytes()), Some(vec![key]), "{spelling:?}");
        }
        assert_eq!(parse(&key), Some(vec![key]));
        for wrong in ["", "00", &hex[1..], &format!("{hex}0"), &"zz".repeat(32), &"é".repeat(17)] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn several_keys_stand_on_a_line_each_and_the_first_is_the_first() {
        let line = |digit: &str| digit.repeat(64);
        let text = format!("# since March\n{}\n\n  {}\r\n", line("b"), line("a"));
        assert_eq!(parse(text.as_bytes()), Some(vec![[0xbb; 32], [0xaa; 32]]));
        let twice = format!("{}\n{}\n", line("a"), line("a"));
        let many: String = ["1", "2", "3", "4", "5"].map(|digit| line(digit) + "\n").concat();
        for wrong in [twice, many, format!("{}\nnot a key\n", line("a")), "# nothing\n".into()] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_group_of_this_process_may_read_a_key_and_nobody_but_its_owner_may_change_it() {
        use Access::{Everybody, GroupWrites, StrangeGroup};
        for (mode, in_group, elsewhere) in [
            (0o600, None, None),
            (0o400, None, None),
            (0o440, None, Some(StrangeGroup(7))),
            (0o640, None, Some(StrangeGroup(7))),
            (0o610, None, Some(StrangeGroup(7))),
            (0o620, Some(GroupWrites), Some(GroupWrites)),
            (0o660, Some(GroupWrites), Some(GroupWrites)),
            (0o604, Some(Everybody), Some(Everybody)),
            (0o602, Some(Everybody), Some(Everybody)),
            (0o601, Some(Everybody), Some(Everybody)),
            (0o444, Some(Everybody), Some(Everybody)),
        ] {
            assert_eq!(objection(mode, 7, &[1, 7]), in_group, "{mode:o}");
            assert_eq!(objection(mode, 7, &[1, 2]), elsewhere, "{mode:o}");
        }
    }

    #[test]
    fn a_key_others_can_read_is_refused_with_the_way_out() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_key(&path, &"00ff".repeat(16)).unwrap();
        assert!(read_keys(&path).is_ok());
        for (mode, remedy) in [(0o620, "chmod 640"), (0o604, "chmod 600"), (0o601, "chmod 600")] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refusal = read_keys(&path).unwrap_err().to_string();
            assert!(refusal.contains(&format!("{mode:04o}")) && refusal.contains(remedy), "{refusal}");
        }
        assert!(matches!(write_key(&path, ""), Err(KeyFileError::Io { .. })), "an existing key is not overwritten");
    }
}
