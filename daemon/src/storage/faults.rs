//! A file system that fails when told to, and forgets what was not synced when the power is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::files::{Files, Output, SystemFiles};

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A write does nothing: the disk is full.
    Write,
    /// A write ends half way.
    Torn,
    Sync,
    Rename,
    Create,
}

impl Fault {
    pub(super) const ALL: [Self; 5] = [Self::Write, Self::Torn, Self::Sync, Self::Rename, Self::Create];
}

/// And when, by the number of the call among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Every(u64),
    Once(u64),
    Twice(u64, u64),
}

impl When {
    fn is(self, call: u64) -> bool {
        match self {
            Self::Every(nth) => call.is_multiple_of(nth),
            Self::Once(nth) => call == nth,
            Self::Twice(first, second) => call == first || call == second,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    fault: Option<(Fault, When)>,
    /// Calls of that kind so far, and failures.
    calls: u64,
    failures: u64,
    /// A call has failed by `fault`.
    fired: bool,
    /// Everything fails from now on.
    broken: bool,
    /// Per file: bytes known to be on disk.
    synced: BTreeMap<PathBuf, u64>,
    /// Files whose names are not.
    unnamed: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FaultyFiles {
    state: Arc<Mutex<State>>,
}

impl FaultyFiles {
    /// Calls of a kind fail.
    pub(super) fn failing(fault: Fault, when: When) -> Self {
        let files = Self::default();
        files.state.lock().unwrap().fault = Some((fault, when));
        files
    }

    /// Whether one has.
    pub(super) fn fired(&self) -> bool {
        self.state.lock().unwrap().fired
    }

    /// From now on nothing works, or everything does.
    pub(super) fn set_broken(&self, broken: bool) {
        let mut state = self.state.lock().unwrap();
        state.broken = broken;
        state.fault = None;
    }

    /// From now on nothing can be written for want of space, or everything can.
    pub(super) fn set_full(&self, full: bool) {
        self.state.lock().unwrap().fault = full.then_some((Fault::Write, When::Every(1)));
    }

    pub(super) fn failures(&self) -> u64 {
        self.state.lock().unwrap().failures
    }

    fn fails(&self, fault: Fault) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let due = state.fault.filter(|(it, _)| *it == fault).is_some_and(|(_, when)| {
            state.calls += 1;
            when.is(state.calls)
        });
        state.fired |= due;
        if due || state.broken {
            state.failures += 1;
            // As a disk without space says it: then a start goes on without it.
            let kind = if fault == Fault::Write { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
            return Err(io::Error::new(kind, format!("{fault:?} fails as told")));
        }
        Ok(())
    }

    /// The machine goes down: what was not synced is there in part. `choose(n)` gives a number up to `n`.
    pub(super) fn cut_power(&self, mut choose: impl FnMut(u64) -> u64) {
        let mut state = self.state.lock().unwrap();
        for path in std::mem::take(&mut state.unnamed) {
            if choose(2) == 0 {
                let _ = std::fs::remove_file(path);
            }
        }
        for (path, synced) in &state.synced {
            let Ok(bytes) = std::fs::read(path) else { continue };
            let unsynced = bytes.len() as u64 - synced;
            let keep = usize::try_from(synced + choose(unsynced)).unwrap();
            let mut bytes = bytes[..keep].to_vec();
            // A page in the middle may be missing while a later one is there.
            let hole = usize::try_from(synced + choose(keep as u64 - synced)).unwrap();
            let end = (hole + usize::try_from(choose(100)).unwrap()).min(keep);
            bytes[hole..end].fill(0);
            std::fs::write(path, bytes).unwrap();
        }
    }
}

#[derive(Debug)]
struct FaultyOutput {
    path: PathBuf,
    inner: Arc<dyn Output>,
    files: FaultyFiles,
}

impl Output for FaultyOutput {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.files.fails(Fault::Write)?;
        if let Err(error) = self.files.fails(Fault::Torn) {
            self.inner.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.inner.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.files.fails(Fault::Sync)?;
        let bytes = std::fs::metadata(&self.path).map_or(0, |it| it.len());
        self.files.state.lock().unwrap().synced.insert(self.path.clone(), bytes);
        Ok(())
    }
}

impl Files for FaultyFiles {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        SystemFiles.create_directory(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        self.fails(Fault::Create)?;
        let inner = SystemFiles.create(path)?;
        let mut state = self.state.lock().unwrap();
        state.synced.insert(path.to_owned(), 0);
        state.unnamed.insert(path.to_owned());
        Ok(Arc::new(FaultyOutput { path: path.to_owned(), inner, files: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fails(Fault::Rename)?;
        SystemFiles.rename(from, to)?;
        let mut state = self.state.lock().unwrap();
        let synced = state.synced.remove(from).unwrap_or(0);
        state.synced.insert(to.to_owned(), synced);
        state.unnamed.remove(from);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.synced.remove(path);
        state.unnamed.remove(path);
        SystemFiles.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.fails(Fault::Sync)?;
        self.state.lock().unwrap().unnamed.clear();
        Ok(())
    }
}
