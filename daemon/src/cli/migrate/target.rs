//! The server that is written to: commands one after the other without waiting, their replies read by a thread beside.
//!
//! - Order is kept: one connection, and what is awaited lies in the order of what was sent.
//! - What is under way is bounded, by a number of commands; a server that is slow slows the copy.
//! - A refusal of one key or command is counted and told, and the copy goes on. A server that refuses everything (it loads,
//!   its disk has failed, a password is missing) ends the copy.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;

use super::super::pieces;
use super::super::resp_client::{RespClient, write_command};
use super::super::stream::Stream;
use super::large;
use super::progress::Progress;
use super::replies::{Awaited, Expected, Replies};
use crate::state::Limits;

/// Commands under way.
const UNDER_WAY_MAX: usize = 2_048;
/// Bytes of commands that are sent together.
const SEND_BYTES: usize = 64 << 10;
/// Redis's default bound of an argument. More would end the connection.
const REDIS_ARGUMENT_BYTES_MAX: usize = 512 << 20;
/// Bytes of a library that people are shown, which has its name in its first line.
const LIBRARY_SHOWN_BYTES_MAX: usize = 100;

/// Why nothing more can be written.
pub(super) type TargetError = Box<dyn std::error::Error + Send + Sync>;

/// Which kind of server is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours: values that are too large for one command are written by many.
    Daemon,
    /// Any other.
    Redis,
}

/// A server that is written to.
pub(super) struct Target {
    out: BufWriter<Stream>,
    /// Taken at the end, so that the thread ends.
    awaited: Option<SyncSender<Awaited>>,
    replies: Option<JoinHandle<Result<(), String>>>,
    database: Option<u64>,
    /// Databases that it has.
    known: HashSet<u64>,
    progress: Arc<Progress>,
    applied: Arc<AtomicU64>,
    has_failed: Arc<AtomicBool>,
    kind: Kind,
    frame: Vec<u8>,
}

impl Target {
    /// Writes on this connection.
    pub(super) fn over(client: RespClient, progress: Arc<Progress>, kind: Kind) -> io::Result<Self> {
        let reader = client.into_reader();
        // How long a server takes is its own affair: who copies sees that nothing moves.
        reader.get_ref().set_patience(None)?;
        let out = reader.get_ref().try_clone()?;
        let (awaited, coming) = sync_channel(UNDER_WAY_MAX);
        let applied = Arc::new(AtomicU64::new(0));
        let has_failed = Arc::new(AtomicBool::new(false));
        let replies = Replies {
            reader,
            progress: Arc::clone(&progress),
            applied: Arc::clone(&applied),
            has_failed: Arc::clone(&has_failed),
            refusal: None,
        };
        Ok(Self {
            out: BufWriter::with_capacity(SEND_BYTES, out),
            awaited: Some(awaited),
            replies: Some(std::thread::spawn(move || replies.read(&coming))),
            database: None,
            known: HashSet::new(),
            progress,
            applied,
            has_failed,
            kind,
            frame: Vec::new(),
        })
    }

    /// The most arguments of a command.
    pub(super) fn args_max(&self) -> usize {
        Limits::default().frame.args_max
    }

    fn argument_bytes_max(&self) -> usize {
        match self.kind {
            Kind::Daemon => Limits::default().frame.bulk_bytes_max,
            Kind::Redis => REDIS_ARGUMENT_BYTES_MAX,
        }
    }

    /// How far into the source's stream everything has been answered.
    pub(super) fn applied(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.applied)
    }

    /// Whether nothing more can be written, as the replies have it.
    pub(super) fn has_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_failed)
    }

    /// Why nothing more can be written, if that is so.
    pub(super) fn check(&mut self) -> Result<(), TargetError> {
        if self.has_failed.load(Acquire) { Err(self.failure(&io::ErrorKind::NotConnected.into())) } else { Ok(()) }
    }

    /// What follows is for this database. Nothing is sent behind a SELECT that may be refused: it would be written to the
    /// database before.
    pub(super) fn select(&mut self, database: u64) -> Result<(), TargetError> {
        if self.database == Some(database) {
            return Ok(());
        }
        self.database = Some(database);
        self.send(&[b"SELECT", database.to_string().as_bytes()])?;
        self.expect(Expected::Selected, None)?;
        if self.known.insert(database) { self.settle() } else { Ok(()) }
    }

    /// Puts a payload at a key, in the place of what is there.
    pub(super) fn restore(&mut self, key: &[u8], deadline: Option<u64>, payload: &[u8]) -> Result<(), TargetError> {
        self.progress.bytes.fetch_add(payload.len() as u64, Relaxed);
        if self.kind == Kind::Daemon
            && let Some(item) = large::unpacked(key, deadline, payload)
        {
            let mut result = self.part(&[b"DEL", key]);
            pieces::write(&item, &mut |words| {
                if result.is_ok() {
                    result = self.part(words);
                }
            });
            result?;
            return self.expect(Expected::Written(key.to_vec()), None);
        }
        // Zero would be a value without an end.
        let deadline = deadline.map_or(0, |deadline| deadline.max(1)).to_string();
        self.part(&[b"RESTORE", key, deadline.as_bytes(), payload, b"REPLACE", b"ABSTTL"])?;
        self.expect(Expected::Written(key.to_vec()), None)
    }

    /// Puts a library of functions in the place of one of the same name.
    pub(super) fn load_library(&mut self, code: &[u8]) -> Result<(), TargetError> {
        let first_line = code.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let shown = &first_line[..first_line.len().min(LIBRARY_SHOWN_BYTES_MAX)];
        let what = format!("library \"{}\"", shown.escape_ascii());
        self.progress.bytes.fetch_add(code.len() as u64, Relaxed);
        if code.len() > self.argument_bytes_max() {
            self.progress.refuse(&what, &format!("{} bytes are more than one command takes", code.len()));
            return Ok(());
        }
        self.send(&[b"FUNCTION", b"LOAD", b"REPLACE", code])?;
        self.expect(Expected::Loaded(what), None)
    }

    /// One of the commands that write a key.
    fn part(&mut self, words: &[&[u8]]) -> Result<(), TargetError> {
        let max = self.argument_bytes_max();
        if words.iter().any(|word| word.len() > max) {
            return self.expect(Expected::Refused(format!("more than {max} bytes in one argument")), None);
        }
        self.send(words)?;
        self.expect(Expected::Part, None)
    }

    /// Tells of a key that cannot be copied.
    pub(super) fn refuse_key(&self, key: &[u8], why: &str) {
        let database = self.database.unwrap_or(0);
        self.progress.refuse(&format!("key \"{}\" of database {database}", key.escape_ascii()), why);
    }

    /// Hands on a command as it came, which ends at `offset` in the source's stream.
    pub(super) fn pass(&mut self, frame: &[u8], name: String, offset: u64) -> Result<(), TargetError> {
        self.count(frame, 1);
        if frame.len() > self.argument_bytes_max() {
            self.progress.refuse(&name, &format!("{} bytes are more than one command takes", frame.len()));
            return self.pass_nothing(offset);
        }
        self.out.write_all(frame).map_err(|error| self.failure(&error))?;
        self.expect(Expected::Done(name), Some(offset))
    }

    /// Hands on commands to be one event: `frames` of them, whose names are these.
    pub(super) fn pass_together(&mut self, frames: &[u8], names: Vec<String>, offset: u64) -> Result<(), TargetError> {
        self.count(frames, names.len());
        // Replies are read while commands are still being sent: of many they are more than a server keeps.
        self.expect(Expected::Executed(names), Some(offset))?;
        self.send(&[b"MULTI"])?;
        self.out.write_all(frames).map_err(|error| self.failure(&error))?;
        self.send(&[b"EXEC"])
    }

    /// There was nothing for the target up to `offset`.
    pub(super) fn pass_nothing(&mut self, offset: u64) -> Result<(), TargetError> {
        self.expect(Expected::Nothing, Some(offset))
    }

    /// A transaction has left the connection in this database.
    pub(super) fn has_selected(&mut self, database: u64) {
        self.database = Some(database);
    }

    fn count(&self, frames: &[u8], commands: usize) {
        self.progress.bytes.fetch_add(frames.len() as u64, Relaxed);
        self.progress.commands.fetch_add(commands as u64, Relaxed);
    }

    fn send(&mut self, words: &[&[u8]]) -> Result<(), TargetError> {
        self.frame.clear();
        write_command(words, &mut self.frame);
        self.out.write_all(&self.frame).map_err(|error| self.failure(&error))
    }

    fn expect(&mut self, what: Expected, offset: Option<u64>) -> Result<(), TargetError> {
        let awaited = Awaited { what, database: self.database.unwrap_or(0), offset };
        let Some(sender) = &self.awaited else { return Err(self.failure(&io::ErrorKind::NotConnected.into())) };
        match sender.try_send(awaited) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(awaited)) => {
                // What is awaited may not have been sent yet.
                self.flush()?;
                let sent = self.awaited.as_ref().map(|sender| sender.send(awaited));
                if matches!(sent, Some(Ok(()))) {
                    Ok(())
                } else {
                    Err(self.failure(&io::ErrorKind::NotConnected.into()))
                }
            }
            Err(TrySendError::Disconnected(_)) => Err(self.failure(&io::ErrorKind::NotConnected.into())),
        }
    }

    /// Sends what was prepared.
    pub(super) fn flush(&mut self) -> Result<(), TargetError> {
        self.out.flush().map_err(|error| self.failure(&error))
    }

    /// Waits until everything has been answered.
    pub(super) fn settle(&mut self) -> Result<(), TargetError> {
        let (told, done) = channel::<()>();
        self.expect(Expected::Settled(told), None)?;
        self.flush()?;
        done.recv().map_err(|_| self.failure(&io::ErrorKind::NotConnected.into()))
    }

    /// Why it is over: what the replies said, or else this.
    fn failure(&mut self, error: &io::Error) -> TargetError {
        self.awaited = None;
        self.out.get_ref().shut();
        let said = self.replies.take().map(|thread| thread.join().expect("reading replies does not panic"));
        match said {
            Some(Err(reason)) => reason.into(),
            _ => format!("the target closed the connection: {error}").into(),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.awaited = None;
        self.out.get_ref().shut();
        if let Some(thread) = self.replies.take() {
            // What it says now was of no interest to who let go of it.
            let _ = thread.join();
        }
    }
}
