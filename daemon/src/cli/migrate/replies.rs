//! What a target answers, read in the order of what was sent.

use std::io::BufReader;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, Sender};

use super::super::resp_client::Reply;
use super::super::stream::Stream;
use super::progress::Progress;

/// What an error begins with that is about the server, not about what it was sent.
const ABOUT_SERVER: [&str; 8] =
    ["LOADING", "MISCONF", "READONLY", "NOAUTH", "OOM", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS"];

/// What is to come of something that was sent.
pub(super) enum Expected {
    /// OK, or nothing goes on: what follows is for this database and no other.
    Selected,
    /// A reply to one of the commands that write a key.
    Part,
    /// One of them was not sent, for this reason.
    Refused(String),
    /// Nothing was sent; the key is counted, unless one of its commands was refused.
    Written(Vec<u8>),
    /// A reply to a library of functions; what it is called for people.
    Loaded(String),
    /// A reply to a command; what it is called for people.
    Done(String),
    /// The replies to a transaction of these commands.
    Executed(Vec<String>),
    /// Nothing was sent.
    Nothing,
    /// Nothing was sent; who waits for all before is told.
    Settled(Sender<()>),
}

pub(super) struct Awaited {
    pub(super) what: Expected,
    pub(super) database: u64,
    /// How far into the source's stream this came.
    pub(super) offset: Option<u64>,
}

/// The side of a target that reads.
pub(super) struct Replies {
    pub(super) reader: BufReader<Stream>,
    pub(super) progress: Arc<Progress>,
    pub(super) applied: Arc<AtomicU64>,
    pub(super) has_failed: Arc<AtomicBool>,
    /// Why a command for the key that is being written was refused.
    pub(super) refusal: Option<String>,
}

impl Replies {
    /// Reads what comes of everything that was sent, until nothing more will be. An error ends the connection, so that
    /// nobody goes on writing.
    pub(super) fn read(mut self, coming: &Receiver<Awaited>) -> Result<(), String> {
        let result = coming.iter().try_for_each(|awaited| self.one(awaited));
        self.has_failed.store(result.is_err(), Release);
        self.reader.get_ref().shut();
        result
    }

    fn one(&mut self, Awaited { what, database, offset }: Awaited) -> Result<(), String> {
        match what {
            Expected::Selected => {
                if let Some(error) = self.error()? {
                    return Err(format!("the target has no database {database}: {error}"));
                }
            }
            Expected::Part => {
                let error = self.error()?;
                self.refusal = self.refusal.take().or(error);
            }
            Expected::Refused(why) => self.refusal = self.refusal.take().or(Some(why)),
            Expected::Written(key) => match self.refusal.take() {
                None => drop(self.progress.keys.fetch_add(1, Relaxed)),
                Some(error) => {
                    let what = format!("key \"{}\" of database {database}", key.escape_ascii());
                    self.progress.refuse(&what, &error);
                }
            },
            Expected::Loaded(library) => {
                if let Some(error) = self.error()? {
                    self.progress.refuse(&library, &error);
                }
            }
            Expected::Done(name) => {
                if let Some(error) = self.error()? {
                    self.progress.refuse(&format!("{name} in database {database}"), &error);
                }
            }
            Expected::Executed(names) => self.executed(&names, database)?,
            Expected::Nothing => {}
            // Who waited may have gone.
            Expected::Settled(told) => drop(told.send(())),
        }
        if let Some(offset) = offset {
            self.applied.store(offset, Release);
        }
        Ok(())
    }

    fn executed(&mut self, names: &[String], database: u64) -> Result<(), String> {
        let mut refusal = self.error()?; // MULTI
        for name in names {
            let error = self.error()?.map(|error| format!("{name}: {error}"));
            refusal = refusal.or(error);
        }
        match self.reply()? {
            Reply::Array(replies) => {
                for (name, reply) in names.iter().zip(replies) {
                    if let Reply::Error(error) = reply {
                        self.progress.refuse(&format!("{name} in database {database}"), &error);
                    }
                }
            }
            Reply::Error(error) => {
                let what = format!("a transaction of {} commands in database {database}", names.len());
                self.progress.refuse(&what, &refusal.unwrap_or(error));
            }
            other => return Err(other.unexpected().to_string()),
        }
        Ok(())
    }

    fn reply(&mut self) -> Result<Reply, String> {
        let reply = Reply::read(&mut self.reader);
        let reply = reply.map_err(|error| format!("the target closed the connection: {error}"))?;
        match reply {
            Reply::Error(error) if ABOUT_SERVER.iter().any(|code| error.starts_with(code)) => {
                Err(format!("the target refuses all writes: {error}"))
            }
            reply => Ok(reply),
        }
    }

    /// The next reply, if it is an error.
    fn error(&mut self) -> Result<Option<String>, String> {
        match self.reply()? {
            Reply::Error(error) => Ok(Some(error)),
            _ => Ok(None),
        }
    }
}
