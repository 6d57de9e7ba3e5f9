//! Parameters that clients have set while the daemon runs: the values of those that mean nothing here, and what a rewritten
//! configuration file has to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was set.
#[derive(Debug, Default)]
pub struct Parameters {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    values: BTreeMap<&'static str, String>,
    set: BTreeSet<&'static str>,
}

impl Parameters {
    /// Of a daemon with this configuration file.
    #[must_use]
    pub fn of(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value that was set, of a parameter that has no other place for it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        self.kept().values.get(name).cloned()
    }

    /// Keeps a value for a parameter that has no other place for it.
    pub fn keep(&self, name: &'static str, value: String) {
        self.kept().values.insert(name, value);
    }

    /// A parameter was set.
    pub fn note_set(&self, name: &'static str) {
        self.kept().set.insert(name);
    }

    /// Which were set.
    #[must_use]
    pub fn set(&self) -> Vec<&'static str> {
        self.kept().set.iter().copied().collect()
    }
}
