//! Where a data directory is: what tells it from a copy of it.
//!
//! A copy of files is made of other files, so the place is that of the file `lock`: when it was made, which no program
//! can set, and its inode where the file system does not say when. (Two made within one tick of its clock, some milliseconds, look
//! the same; nobody copies a directory that soon after it was first used.) To that comes the machine, for a volume that was
//! attached to another one, or a snapshot of it that was.
//!
//! A restart must not look like a copy, so nothing is compared that one may change: the number of the device differs from
//! boot to boot, inodes do on file systems that make them up, and a machine without a lasting `/etc/machine-id` has
//! another at each. Left undetected is the image of a whole disk, back on the same machine or with the machine's own
//! name in it; the cluster tells those apart. Left refused without need is a directory on a file system that neither says when
//! files were made nor keeps their inodes.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use rustix::fs::fstatfs;
use xxhash_rust::xxh3::xxh3_64;

const MACHINE_ID: &str = "/etc/machine-id";
/// `f_type` of a tmpfs.
const TMPFS: u64 = 0x0102_1994;

/// See the module. What is not known is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Hash of the machine's id.
    pub machine: u64,
    /// Of `lock`.
    pub inode: u64,
    /// When `lock` was made, in nanoseconds since 1970.
    pub born: u128,
}

impl Place {
    /// Where `lock` is.
    pub(super) fn of(lock: &File) -> Self {
        let found = lock.metadata().ok();
        let inode = found.as_ref().map_or(0, MetadataExt::ino);
        let born = found.and_then(|it| it.created().ok()).and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        Self { machine: machine().unwrap_or(0), inode, born: born.map_or(0, |it| it.as_nanos()) }
    }

    /// Whether this is where `other` was, as far as can be known.
    pub(super) fn is(&self, other: &Self) -> bool {
        let differ = |one: u128, other: u128| one != 0 && other != 0 && one != other;
        let both_born = self.born != 0 && other.born != 0;
        let another_file = if both_born { self.born != other.born } else { self.inode != other.inode };
        !another_file && !differ(self.machine.into(), other.machine.into())
    }
}

/// This machine's id, if it has one that stays: on a read-only system a new one is made at each boot, in memory.
fn machine() -> Option<u64> {
    let file = File::open(MACHINE_ID).ok()?;
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // its type differs between architectures
    let kind = fstatfs(&file).ok()?.f_type as u64;
    let id = std::io::read_to_string(file).ok()?;
    let id = id.trim();
    (kind != TMPFS && !id.is_empty() && id != "uninitialized").then(|| xxh3_64(id.as_bytes()))
}

/// The machine's name and the path, for people.
pub(super) fn described(directory: &Path) -> String {
    let path = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // One line, whatever a path may hold.
    format!("{name}:{}", path.display()).escape_debug().to_string()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}-{:x}", self.machine, self.inode, self.born)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut next = || parts.next().and_then(|part| u128::from_str_radix(part, 16).ok()).ok_or(());
        let (machine, inode, born) = (next()?, next()?, next()?);
        let small = |number: u128| u64::try_from(number).map_err(drop);
        Ok(Self { machine: small(machine)?, inode: small(inode)?, born })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { machine: 1, inode: 2, born: 3 };

    #[test]
    fn a_place_is_told_by_when_its_lock_was_made_and_by_the_machine_as_far_as_either_is_known() {
        let with = |change: fn(&mut Place)| {
            let mut place = HERE;
            change(&mut place);
            place.is(&HERE) && HERE.is(&place)
        };
        assert!(with(|_| ()));
        assert!(with(|place| place.inode = 9), "a file system that makes inodes up, after a reboot");
        assert!(with(|place| place.machine = 0), "no lasting machine id");
        assert!(with(|place| place.born = 0), "a kernel that does not tell; the inode is the same");
        assert!(!with(|place| (place.born, place.inode) = (0, 9)));
        assert!(!with(|place| place.born = 9), "a copy, though inodes happen to agree");
        assert!(!with(|place| place.machine = 9), "a volume at another machine");
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        assert_eq!(HERE.to_string().parse(), Ok(HERE));
        let lock = tempfile::tempfile().unwrap();
        let place = Place::of(&lock);
        assert!(place.inode != 0);
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in ["", "1-2", "1-2-x", "123456789abcdef01-1-1"] {
            assert_eq!(text.parse::<Place>(), Err(()), "{text}");
        }
    }
}
