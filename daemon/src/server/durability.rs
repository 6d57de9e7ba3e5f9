//! What the disk has to do with clients: whether data is being loaded, and whether what was written is kept.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::storage::{AppendFsync, Progress, Storage};

/// The disk as connections and commands see it.
#[derive(Debug, Default)]
pub struct Durability {
    /// Set while data is being loaded: commands that need it are refused.
    loading: AtomicBool,
    /// How far that is.
    pub progress: Progress,
    /// There once everything is loaded, if data is kept at all.
    storage: OnceLock<Storage>,
}

impl Durability {
    /// Data is about to be loaded.
    #[must_use]
    pub fn of_a_directory() -> Self {
        Self { loading: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether data is being loaded.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.loading.load(Relaxed)
    }

    /// Data is loaded, and kept by `storage` from now on.
    pub fn loaded(&self, storage: Storage) {
        // There is one directory, loaded once.
        let _ = self.storage.set(storage);
        self.loading.store(false, Relaxed);
    }

    /// Where data is kept, if it is.
    #[must_use]
    pub fn storage(&self) -> Option<&Storage> {
        self.storage.get()
    }

    /// Where data is kept if replies to writes wait for it.
    #[must_use]
    pub fn storage_waited_for(&self) -> Option<&Storage> {
        self.storage().filter(|storage| storage.policy() == AppendFsync::Always)
    }
}
