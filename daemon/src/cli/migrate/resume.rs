//! Where a copy goes on that was ended: a small file.
//!
//! A cursor of SCAN is worth something as long as the process lives that gave it, and however its tables grow meanwhile: what
//! was there all the time is seen. So the file holds which process that was; a copy from another one begins anew. What was
//! copied twice is the same, so a file that is a little old does no harm.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

/// Where a copy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The process that is copied.
    pub(super) run_id: String,
    /// Which keys: a pattern.
    pub(super) pattern: Option<String>,
    /// The database that is being copied; those below are done.
    pub(super) database: u64,
    /// The cursor that comes next in it.
    pub(super) cursor: String,
}

/// The file.
pub(super) struct ResumeFile {
    path: PathBuf,
}

impl ResumeFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn named(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// What was kept; `None` if there is no file.
    pub(super) fn read(&self) -> Result<Option<Position>, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.named(&error)),
        };
        let position = (|| {
            let value: serde_json::Value = serde_json::from_str(&text).ok()?;
            let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
            Some(Position {
                run_id: text("source")?,
                pattern: text("match"),
                database: value.get("database")?.as_u64()?,
                cursor: text("cursor")?,
            })
        })();
        let position = position.ok_or_else(|| format!("{} was not written by a copy", self.path.display()));
        position.map(Some)
    }

    /// Keeps where the copy stands: whole, or as before.
    pub(super) fn write(&self, position: &Position) -> Result<(), String> {
        let Position { run_id, pattern, database, cursor } = position;
        let text = json!({ "source": run_id, "match": pattern, "database": database, "cursor": cursor });
        let beside = self.path.with_extension("new");
        let write = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(format!("{text}\n").as_bytes())?;
            file.sync_data()?;
            fs::rename(&beside, &self.path)
        };
        write().map_err(|error| self.named(&error))
    }

    /// The copy is complete.
    pub(super) fn remove(&self) -> Result<(), String> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.named(&error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_kept_and_other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.state");
        let file = ResumeFile::at(&path);
        assert_eq!(file.read(), Ok(None));
        let cursor = u64::MAX.to_string();
        let position = Position { run_id: "abc".to_owned(), pattern: Some("a\"*".to_owned()), database: 3, cursor };
        file.write(&position).unwrap();
        assert_eq!(file.read(), Ok(Some(position.clone())));
        let position = Position { pattern: None, ..position };
        file.write(&position).unwrap();
        assert_eq!(file.read(), Ok(Some(position)));
        for text in ["", "{}", "{\"source\":1}"] {
            fs::write(&path, text).unwrap();
            assert!(file.read().is_err(), "{text}");
        }
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.read(), Ok(None));
    }
}
