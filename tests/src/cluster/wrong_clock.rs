//! A wall clock that a test sets: Debian's `faketime`, preloaded into a daemon. Its monotonic clock stays right, as a
//! machine's does when its wall clock steps.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian has the library: in the directory of the machine's architecture.
const LIBRARY: &str = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1";

/// The wall clock of one or more daemons.
#[derive(Clone, Debug)]
pub struct WrongClock {
    file: PathBuf,
    library: String,
}

impl WrongClock {
    /// A clock that is right, kept in this directory; nothing where `faketime` is not installed.
    ///
    /// # Panics
    /// If it is not, although `CAHOOTS_REQUIRE_FAKETIME` is set; or its file cannot be written.
    #[must_use]
    pub fn new(directory: &Path, name: &str) -> Option<Self> {
        let library = LIBRARY.replace("{}", std::env::consts::ARCH);
        if !Path::new(&library).exists() {
            assert!(std::env::var_os("CAHOOTS_REQUIRE_FAKETIME").is_none(), "{library} is not there");
            eprintln!("NOT TESTED: no {library}; install the package faketime");
            return None;
        }
        let clock = Self { file: directory.join(format!("{name}.clock")), library };
        clock.set(0);
        Some(clock)
    }

    /// From now on the clock is wrong by so many seconds.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn set(&self, seconds: i64) {
        // Replaced as a whole: it is read at each look at the clock.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("a file of ours");
        fs::rename(new, &self.file).expect("a file of ours");
    }

    /// The command that runs a daemon with this clock, for [`Setup::within`](super::Setup::within).
    #[must_use]
    pub fn within(&self) -> Vec<String> {
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display());
        let settings = [format!("LD_PRELOAD={}", self.library), file];
        let constant = ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
        ["env".to_owned()].into_iter().chain(settings).chain(constant.map(str::to_owned)).collect()
    }
}
