//! Every key of one server put into another: SCAN, DUMP and PTTL here, RESTORE there.
//!
//! No snapshot: a key is as it was when it was read, and what is written behind the cursor is not seen. What is there all the
//! time is copied.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use super::super::resp_client::{Reply, RespClient};
use super::progress::Progress;
use super::rate::Rate;
use super::resume::{Position, ResumeFile};
use super::target::{Target, TargetError};
use crate::rdb;

/// Keys asked for at a time.
const PAGE: &[u8] = b"200";
/// Bytes of names that are asked for together: less than a socket holds, so that asking never waits for answers.
const ASK_BYTES_MAX: usize = 32 << 10;
/// Between two notes of where the copy stands.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of all libraries of functions.
const LIBRARIES_BYTES_MAX: usize = 256 << 20;
/// What they are called for people.
const LIBRARIES: &str = "the libraries of functions";

/// What is copied, and how.
pub(super) struct Copy<'c> {
    pub(super) source: &'c mut RespClient,
    pub(super) target: &'c mut Target,
    pub(super) progress: &'c Progress,
    pub(super) pattern: Option<&'c str>,
    pub(super) rate: Rate,
    pub(super) resume: Option<(&'c ResumeFile, String)>,
}

impl Copy<'_> {
    /// Copies the libraries of functions, which belong to no database.
    pub(super) fn libraries(&mut self) -> Result<(), TargetError> {
        let payload = match self.source.call(&[b"FUNCTION", b"DUMP"])? {
            Reply::Bulk(Some(payload)) => payload,
            // Before Redis 7.0 there are none.
            Reply::Error(error) if error.starts_with("ERR unknown command") => return Ok(()),
            Reply::Error(error) => {
                self.progress.refuse(LIBRARIES, &error);
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        };
        match rdb::restore_libraries(&payload, LIBRARIES_BYTES_MAX) {
            Ok(codes) => codes.iter().try_for_each(|code| self.target.load_library(code)),
            Err(error) => {
                self.progress.refuse(LIBRARIES, &error.to_string());
                Ok(())
            }
        }
    }

    /// Copies these databases, in this order; the first from a cursor on.
    pub(super) fn run(mut self, databases: &[u64], mut cursor: String) -> Result<(), TargetError> {
        for &database in databases {
            if let Reply::Error(error) = self.source.call(&[b"SELECT", database.to_string().as_bytes()])? {
                return Err(format!("the source has no database {database}: {error}").into());
            }
            self.target.select(database)?;
            self.database(database, std::mem::replace(&mut cursor, "0".to_owned()))?;
        }
        self.target.settle()
    }

    fn database(&mut self, database: u64, mut cursor: String) -> Result<(), TargetError> {
        let mut noted = Instant::now();
        loop {
            let pattern: &[&[u8]] = &self.pattern.map_or_else(Vec::new, |it| vec![&b"MATCH"[..], it.as_bytes()]);
            let (next, keys) = self.source.scan(cursor.as_bytes(), &[&[b"COUNT", PAGE], pattern].concat())?;
            cursor = String::from_utf8(next).map_err(|_| "an unexpected reply to SCAN")?;
            self.keys(&keys)?;
            self.progress.show(None);
            if cursor == "0" {
                return Ok(());
            }
            if noted.elapsed() >= NOTE_INTERVAL && self.resume.is_some() {
                noted = Instant::now();
                self.target.settle()?;
                self.note(database, &cursor)?;
            }
        }
    }

    fn note(&self, database: u64, cursor: &str) -> Result<(), TargetError> {
        let Some((file, run_id)) = &self.resume else { return Ok(()) };
        let pattern = self.pattern.map(str::to_owned);
        Ok(file.write(&Position { run_id: run_id.clone(), pattern, database, cursor: cursor.to_owned() })?)
    }

    fn keys(&mut self, mut keys: &[Vec<u8>]) -> Result<(), TargetError> {
        while !keys.is_empty() {
            let mut bytes = 0;
            let fits = keys.iter().take_while(|key| {
                bytes += 2 * key.len();
                bytes <= ASK_BYTES_MAX
            });
            let (now, later) = keys.split_at(fits.count().max(1));
            for key in now {
                self.source.prepare(&[b"DUMP", key]);
                self.source.prepare(&[b"PTTL", key]);
            }
            // Reading what comes may take long; saying it does not.
            let asked_ms = now_ms();
            self.source.send()?;
            for key in now {
                self.key(key, asked_ms)?;
            }
            keys = later;
        }
        Ok(())
    }

    /// Hands one key on, of which the source tells next.
    fn key(&mut self, key: &[u8], asked_ms: u64) -> Result<(), TargetError> {
        let (payload, lasts) = (self.source.receive()?, self.source.receive()?);
        let lasts = match lasts {
            Reply::Integer(lasts) => lasts,
            other => return Err(other.unexpected().into()),
        };
        match payload {
            // It ended, or was deleted, meanwhile.
            Reply::Bulk(None) => {}
            Reply::Bulk(Some(_)) if lasts == -2 => {}
            Reply::Bulk(Some(payload)) => {
                if let Some(wait) = self.rate.wait(Instant::now()) {
                    self.target.flush()?;
                    std::thread::sleep(wait);
                }
                let deadline = u64::try_from(lasts).ok().map(|lasts| asked_ms.saturating_add(lasts));
                self.target.restore(key, deadline, &payload)?;
            }
            // Votes and presence, of which there is no payload.
            Reply::Error(error) if error.starts_with("WRONGTYPE") => {
                self.progress.left_out.fetch_add(1, Relaxed);
            }
            Reply::Error(error) => self.target.refuse_key(key, &error),
            other => return Err(other.unexpected().into()),
        }
        Ok(())
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
