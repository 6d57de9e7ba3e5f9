//! The stream of changes behind a snapshot: commands in the order in which the source carried them out.
//!
//! - A place in the stream is a number of bytes, all of which count: PING and what else is not for the data, too.
//! - What the source did in one transaction is handed on as one, without the commands that the daemon does not know: one of
//!   those would have it refuse all. A transaction that is too large is handed on command by command.

use super::super::resp_client::write_command;
use super::handshake::Place;
use super::hold;
use super::progress::Progress;
use super::target::{Target, TargetError};
use crate::command::find_command;
use crate::resp::{Args, KeptArgs};

/// Bytes of a transaction that are handed on as one: half of what a daemon writes at once.
const TRANSACTION_BYTES_MAX: usize = 16 << 20;
/// Bytes of a command's name and key as people are told of them.
const NAME_BYTES_MAX: usize = 100;

/// What a command asks of who reads the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing more.
    Nothing,
    /// To say how far it has come.
    Acknowledge,
    /// To begin anew: what the source did cannot be done here.
    Everything,
}

/// A transaction that has begun in the stream.
enum Open {
    No,
    /// Its commands up to now, and what they are called.
    Gathering {
        frames: Vec<u8>,
        names: Vec<String>,
        database: u64,
    },
    /// It is too large: its commands are handed on as they come.
    Passing,
}

/// The stream as it is applied.
pub(super) struct Changes {
    /// Up to where everything has been handed to the target. A transaction is handed on at its end.
    done: Place,
    /// Up to where the stream has been read.
    offset: u64,
    database: u64,
    open: Open,
    /// Commands that write, as far as the stream has been read.
    writes: u64,
}

impl Changes {
    /// Behind a snapshot, or where an earlier connection has ended.
    pub(super) fn after(place: Place) -> Self {
        let (offset, database) = (place.offset, place.database);
        Self { done: place, offset, database, open: Open::No, writes: 0 }
    }

    /// Where another connection goes on.
    pub(super) fn place(&self) -> &Place {
        &self.done
    }

    /// Goes on with another connection: what was read and not handed on comes again.
    pub(super) fn rewind(&mut self, id: Option<String>) {
        if let Some(id) = id {
            self.done.id = id;
        }
        (self.offset, self.database) = (self.done.offset, self.done.database);
        if matches!(self.open, Open::Gathering { .. }) {
            self.open = Open::No;
        }
    }

    /// How many commands that write were read.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Applies one command.
    pub(super) fn apply(
        &mut self,
        frame: &[u8],
        args: Args<'_>,
        target: &mut Target,
        progress: &Progress,
    ) -> Result<Asked, TargetError> {
        self.offset += frame.len() as u64;
        let Some(first) = args.get(0) else { return self.skip(target) };
        let is = |name: &str| first.eq_ignore_ascii_case(name.as_bytes());
        if is("PING") {
            return self.skip(target);
        }
        if is("REPLCONF") {
            let asks = args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"GETACK"));
            self.skip(target)?;
            return Ok(if asks { Asked::Acknowledge } else { Asked::Nothing });
        }
        if is("SELECT") {
            self.select(frame, args, target)?;
        } else if is("MULTI") {
            self.open = Open::Gathering { frames: Vec::new(), names: Vec::new(), database: self.database };
        } else if is("EXEC") {
            self.flush_open(target)?;
            self.open = Open::No;
            target.pass_nothing(self.offset)?;
        } else if is("SWAPDB") {
            progress.say("the source swapped two databases, which cannot be done here: everything is copied anew");
            return Ok(Asked::Everything);
        } else {
            self.command(frame, args, target, progress)?;
        }
        self.advance();
        Ok(Asked::Nothing)
    }

    /// What was read is handed on, unless it is gathered.
    fn advance(&mut self) {
        if !matches!(self.open, Open::Gathering { .. }) {
            (self.done.offset, self.done.database) = (self.offset, self.database);
        }
    }

    fn skip(&mut self, target: &mut Target) -> Result<Asked, TargetError> {
        self.advance();
        if !matches!(self.open, Open::Gathering { .. }) {
            target.pass_nothing(self.offset)?;
        }
        Ok(Asked::Nothing)
    }

    fn select(&mut self, frame: &[u8], args: Args<'_>, target: &mut Target) -> Result<(), TargetError> {
        let database = args.get(1).and_then(crate::resp::unsigned);
        self.database = database.ok_or("the source selects a database that is no number")?;
        match &mut self.open {
            Open::Gathering { frames, names, .. } => {
                frames.extend_from_slice(frame);
                names.push(format!("SELECT {}", self.database));
                // A database that is not there is noticed here, not in the middle of the transaction.
                target.select(self.database)
            }
            _ => target.pass_nothing(self.offset),
        }
    }

    fn command(
        &mut self,
        frame: &[u8],
        args: Args<'_>,
        target: &mut Target,
        progress: &Progress,
    ) -> Result<(), TargetError> {
        self.writes += 1;
        // What a node of a cluster is sent together with a slot: elsewhere it is called RESTORE.
        let asking = args.at(0).eq_ignore_ascii_case(b"RESTORE-ASKING");
        let asking = asking.then(|| KeptArgs::of([&b"RESTORE"[..]].into_iter().chain(args.iter().skip(1))));
        let args = asking.as_ref().map_or(args, KeptArgs::args);
        let name = name_of(args);
        if args.len() > target.args_max() {
            progress.refuse(&name, &format!("{} arguments are more than a command takes", args.len()));
            return if matches!(self.open, Open::Gathering { .. }) { Ok(()) } else { target.pass_nothing(self.offset) };
        }
        let mut rewritten = Vec::new();
        let renamed = || asking.is_some().then(|| args.iter().map(<[u8]>::to_vec).collect());
        if let Some(words) = hold::held(args).or_else(renamed) {
            write_command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut rewritten);
        }
        let frame = if rewritten.is_empty() { frame } else { &rewritten };
        match &mut self.open {
            Open::Gathering { frames, names, .. } if frames.len() + frame.len() <= TRANSACTION_BYTES_MAX => {
                match find_command(args) {
                    Ok(_) => {
                        frames.extend_from_slice(frame);
                        names.push(name);
                    }
                    Err(error) => progress.refuse(&format!("{name} in database {}", self.database), &error.to_string()),
                }
                Ok(())
            }
            Open::Gathering { .. } => {
                progress.say("a transaction of the source is too large to be one event: its commands are single ones");
                self.flush_open(target)?;
                self.open = Open::Passing;
                target.select(self.database)?;
                target.pass(frame, name, self.offset)
            }
            Open::No | Open::Passing => {
                target.select(self.database)?;
                target.pass(frame, name, self.offset)
            }
        }
    }

    /// Hands on what was gathered.
    fn flush_open(&mut self, target: &mut Target) -> Result<(), TargetError> {
        if let Open::Gathering { frames, names, database } = &mut self.open
            && !names.is_empty()
        {
            target.select(*database)?;
            target.pass_together(frames, std::mem::take(names), self.offset)?;
            target.has_selected(self.database);
        }
        Ok(())
    }
}

/// A command for people: its name, and what it is for.
fn name_of(args: Args<'_>) -> String {
    let key = args.get(1).unwrap_or_default();
    let key = &key[..key.len().min(NAME_BYTES_MAX)];
    let name = args.at(0);
    format!("{} \"{}\"", name[..name.len().min(NAME_BYTES_MAX)].escape_ascii(), key.escape_ascii())
}
