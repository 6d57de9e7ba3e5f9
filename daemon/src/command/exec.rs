//! Executing the frames of one read, one after the other, under one lock of the replica.

use std::time::Duration;

use super::error::CommandError;
use super::table::{self, Command};
use crate::resp::{Args, Parser, Reply};
use crate::session::Session;
use crate::state::{Server, Tally};
use cahoots_gossip::Dot;
use cahoots_gossip::driver::random_id;
use cahoots_gossip::engine::{Now, Replica};
use cahoots_gossip::store::{Class, Store, View, WARM_KEYS_MAX, WriteError, Writer};

/// Commands of one turn. A read rarely holds as many; a pipeline that waited behind a `WAIT` may hold millions, and
/// everything else waits for the replica meanwhile.
const BATCH_COMMANDS_MAX: u64 = 4096;

/// What the connection does after a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// Goes on with the next one.
    Continue,
    /// Waits for something outside the replica, answers, goes on.
    Pause(Pause),
    /// Sends what it has, this command's reply included, and closes.
    Close,
    /// Closes at once without a word.
    Cut,
}

/// A reply that is not in the replica's hands alone. Later commands of the connection wait behind it.
#[derive(Debug, PartialEq, Eq)]
pub enum Pause {
    /// `WAIT`: until `replicas` peers have applied this replica's events up to `seq`.
    Wait {
        /// The event that carries the connection's last write.
        seq: u64,
        /// How many peers to wait for.
        replicas: usize,
        /// How long at most; `None` is for ever.
        timeout: Option<Duration>,
    },
    /// `WAITAOF`: until own events up to `seq` are on this disk, if `local`, and on those of `replicas` peers.
    WaitAof {
        /// The event that carries the connection's last write.
        seq: u64,
        /// Whether to wait for the disk here.
        local: bool,
        /// How many peers to wait for.
        replicas: usize,
        /// How long at most; `None` is for ever.
        timeout: Option<Duration>,
    },
    /// `SAVE`, and `BGSAVE` if it is answered before it is done.
    Save {
        /// Whether nobody waits for the end.
        background: bool,
    },
    /// `PRESENCE.JOIN`: this connection is present from now on.
    Enter {
        /// Where.
        key: Box<[u8]>,
    },
    /// `PRESENCE.LEAVE`: it is no more.
    Depart {
        /// Where it was.
        key: Box<[u8]>,
    },
    /// `RESET` of a connection that is present somewhere.
    Reset,
    /// `CAHOOTS LEAVE`.
    Leave,
    /// `CAHOOTS STATUS`.
    Status,
    /// `CAHOOTS MEMBERS`.
    Members,
}

/// Why [`Exec::run`] stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// Every complete frame is executed.
    Drained,
    /// Enough for one turn: send the replies, let others have theirs, then call again.
    Enough,
    /// See [`Flow::Pause`]; call again after it.
    Pause(Pause),
    /// See [`Flow::Close`].
    Close,
    /// See [`Flow::Cut`].
    Cut,
}

pub(super) type Outcome = Result<Flow, CommandError>;

/// What a command works on.
pub struct Exec<'a> {
    /// The replica, locked.
    pub replica: &'a mut Replica,
    /// When this batch began: one reading of the clocks serves all its commands.
    pub now: Now,
    /// What the connection remembers.
    pub session: &'a mut Session,
    /// What all connections share.
    pub server: &'a Server,
    /// Where the replies go.
    pub reply: Reply<'a>,
    /// Counts of this batch.
    pub tally: Tally,
}

impl<'a> Exec<'a> {
    /// Ready to execute what `session` sends; replies are appended to `out`.
    pub fn new(
        replica: &'a mut Replica,
        now: Now,
        session: &'a mut Session,
        server: &'a Server,
        out: &'a mut Vec<u8>,
    ) -> Self {
        let reply = Reply::new(out, session.protocol);
        Self { replica, now, session, server, reply, tally: Tally::default() }
    }

    /// Executes the complete frames at the front of `input`; says how many bytes they were and why it stopped.
    pub fn run(&mut self, parser: &mut Parser, input: &mut [u8]) -> (usize, Stop) {
        let mut done = 0;
        let stop = loop {
            if self.tally.commands >= BATCH_COMMANDS_MAX || self.reply.len() >= self.server.limits.output_pause_bytes {
                break Stop::Enough;
            }
            if !parser.is_ahead() {
                self.look_ahead(parser, &input[done..]);
            }
            let rest = &mut input[done..];
            let length = match parser.parse(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break Stop::Drained,
                Err(error) => {
                    self.reply.error(format_args!("ERR Protocol error: {error}"));
                    break Stop::Close;
                }
            };
            let args = parser.args(&rest[..length]);
            done += length;
            if args.is_empty() {
                continue;
            }
            match self.command(args) {
                Flow::Continue => {}
                Flow::Pause(pause) => break Stop::Pause(pause),
                Flow::Close => break Stop::Close,
                Flow::Cut => break Stop::Cut,
            }
        };
        self.server.stats.add(&std::mem::take(&mut self.tally));
        (done, stop)
    }

    /// Reads commands at the front of `input`, and has the store look ahead for their keys.
    fn look_ahead(&self, parser: &mut Parser, input: &[u8]) {
        let mut wanted: [(&[u8], &[u8]); WARM_KEYS_MAX] = [(b"", b""); WARM_KEYS_MAX];
        let (mut keys, mut rest) = (0, input);
        // Pipelines are often of one command.
        let (mut name, mut keys_of) = (&b""[..], None);
        for _ in 0..WARM_KEYS_MAX {
            if keys == wanted.len() {
                break;
            }
            let Some(length) = parser.read_ahead(rest) else { break };
            let (frame, behind) = rest.split_at(length);
            rest = behind;
            let arg = |at| parser.arg_ahead(at).map(|range| &frame[range]);
            let Some(its_name) = arg(0) else { continue };
            if its_name != name {
                name = its_name;
                keys_of = table::by_name(name).map(|command| command.keys);
            }
            let Some(keys_of) = keys_of else { continue };
            for at in table::positions(keys_of, parser.args_ahead()) {
                if let (Some(place), Some(key)) = (wanted.get_mut(keys), arg(at)) {
                    *place = (key, arg(at + 1).unwrap_or_default());
                    keys += 1;
                }
            }
        }
        // For one key it would only do the work twice.
        if keys > 1 {
            self.replica.store().warm(&wanted[..keys]);
        }
    }

    /// Executes one command, its reply or refusal included.
    fn command(&mut self, args: Args<'_>) -> Flow {
        self.tally.commands += 1;
        let start = self.reply.len();
        let flow = match table::find(args).and_then(|command| {
            self.session.last_command = Some(command);
            // What a container's subcommand may do is asked of the subcommand.
            if command.subcommands.is_empty() || args.len() == 1 {
                self.admit(command)?;
            }
            (command.handler)(self, args)
        }) {
            Ok(flow) => flow,
            Err(error) => {
                self.refuse(&error);
                if table::is_foreign_protocol(&args[0]) { Flow::Cut } else { Flow::Continue }
            }
        };
        // A paused command has written nothing yet; its reply is settled when it comes.
        if !matches!(flow, Flow::Pause(_)) && !self.session.replies.settle() {
            self.reply.truncate(start);
        }
        flow
    }

    /// Refuses what needs data that is not there yet, and writes whose promise could not be kept.
    fn admit(&self, command: &Command) -> Result<(), CommandError> {
        let durability = &self.server.durability;
        if (durability.is_loading() || !self.replica.is_ready())
            && !command.is_served_while_loading()
            && let Some(reason) = self.server.not_ready(&self.replica.readiness())
        {
            return Err(CommandError::Loading(reason));
        }
        if let Some(storage) = durability.storage_waited_for()
            && storage.is_failing()
            && command.has_flag("write")
        {
            let error = storage.status().failing.unwrap_or_default();
            return Err(CommandError::Other(
                format!("MISCONF Errors writing to the data directory, and appendfsync is always: {error}").into(),
            ));
        }
        Ok(())
    }

    // Out of line: refusals are rare, and their formatting would only fill the hot path.
    #[cold]
    fn refuse(&mut self, error: &CommandError) {
        self.tally.errors += 1;
        self.reply.error(error);
    }

    /// One event group. `bytes` is an upper estimate of the keys and values written.
    pub(super) fn write<R>(&mut self, bytes: usize, write: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.settle_identity();
        let result = self.replica.write(self.now, bytes, write);
        self.session.written = Some(Dot::new(self.replica.id(), self.replica.position()));
        self.session.wrote = true;
        result
    }

    /// To be called before anything is written: while nobody has confirmed that the id is this replica's alone, no event
    /// is ever minted under it.
    pub(super) fn settle_identity(&mut self) {
        if self.replica.on_probation() {
            self.replica.take_new_id(self.now, random_id());
        }
    }

    /// Counts a read of one key for `INFO`.
    pub(super) fn looked_up(&mut self, found: bool) {
        if found {
            self.tally.hits += 1;
        } else {
            self.tally.misses += 1;
        }
    }

    /// The subcommand `args[1]` of the command being executed, executed.
    pub(super) fn subcommand(&mut self, args: Args<'_>) -> Outcome {
        let command = table::find_subcommand(args)?;
        self.session.last_command = Some(command);
        self.admit(command)?;
        (command.handler)(self, args)
    }
}

/// The value at `key` if it is of this class; `None` if there is no such key.
pub(super) fn typed<'s>(store: &'s Store, key: &'s [u8], class: Class) -> Result<Option<View<'s>>, CommandError> {
    match store.view(key) {
        Some(view) if view.class() != class => Err(CommandError::WrongType),
        view => Ok(view),
    }
}

/// Whether every one of these writes (key, name, bytes of the value) and all together would be admitted: asked before
/// the first of several, because a command is done whole or not at all.
pub(super) fn admit<'n>(
    writer: &Writer<'_>,
    writes: impl Iterator<Item = (&'n [u8], &'n [u8], usize)>,
) -> Result<(), WriteError> {
    let mut bytes = 0;
    for (key, name, value) in writes {
        writer.admit(key, name, value)?;
        bytes += key.len() + name.len() + value;
    }
    writer.admit_group(bytes)
}

/// The integer an argument spells.
pub(super) fn int_arg(arg: &[u8]) -> Result<i64, CommandError> {
    crate::resp::integer(arg).ok_or(CommandError::NotInteger)
}
