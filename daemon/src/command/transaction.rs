//! Transactions: commands that are queued and then carried out together.
//!
//! What a transaction writes is one event: every other replica sees all of it or nothing. WATCH is about this replica: it
//! notices whatever changes a key here, a local write, one that arrives, or its end. It is no lock against others.

use std::sync::Arc;

use super::arguments::KEY;
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{
    ALLOW_BUSY, Categories, FAST, Flags, LOADING, MAY_REPLICATE, NO_MULTI, NOSCRIPT, SKIP_SLOWLOG, STALE, WRITE,
};
use super::key_use::KeyUse;
use super::keys::ALL_KEYS;
use super::options::is;
use crate::resp::{Args, KeptArgs, Reply};
use crate::watch::{Dirty, Watch};

/// Keys that one connection may watch.
const WATCHED_MAX: usize = 1 << 16;

const GROUP: &str = "transactions";
const TALK: Flags = NOSCRIPT.and(LOADING).and(STALE).and(FAST).and(ALLOW_BUSY);

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler).also(Categories::TRANSACTION)
}

pub(super) const COMMANDS: &[Command] = &[
    command("multi", 1, TALK, multi).about("1.2.0", "O(1)", "Begins a transaction."),
    command("exec", 1, NOSCRIPT.and(LOADING).and(STALE).and(SKIP_SLOWLOG), exec).about(
        "1.2.0",
        "Depends on the commands in the transaction",
        "Carries out the commands of a transaction, as one event.",
    ),
    command("discard", 1, TALK, discard).about("2.0.0", "O(N), N the queued commands", "Forgets a transaction."),
    command("watch", -2, TALK, watch)
        .using(&[KeyUse::EXAMINES])
        .about("2.2.0", "O(N), N the keys", "Has the next transaction fail if one of the keys changes here.")
        .at(ALL_KEYS)
        .takes(&[KEY.multiple()]),
    command("unwatch", 1, TALK, unwatch).about("2.2.0", "O(N), N the keys", "Forgets about keys that were watched."),
];

/// Commands that are queued.
#[derive(Debug, Default)]
pub struct Transaction {
    queue: Vec<(KeptArgs, bool)>,
    bytes: usize,
    /// One of them is held where writes are.
    may_write: bool,
    /// One was refused when it came, so none will be carried out.
    refused: bool,
}

impl Transaction {
    /// How many are queued.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether one of them may write.
    pub(super) fn may_write(&self) -> bool {
        self.may_write
    }
}

/// Keys that are watched, by now.
#[derive(Debug, Default)]
pub struct Watched {
    dirty: Arc<Dirty>,
    /// With their ends, in milliseconds since 1970.
    keys: Vec<(Box<[u8]>, Option<u64>)>,
}

impl Watched {
    /// Whether one of them has changed, or has ended by `now`.
    fn is_dirty(&self, now: u64) -> bool {
        self.dirty.is_set() || self.keys.iter().any(|(_, ends)| ends.is_some_and(|ends| ends <= now))
    }

    /// They are watched no more.
    pub fn forget(self, watch: &Watch) {
        let Self { dirty, keys } = self;
        drop(dirty);
        watch.forget(keys.iter().map(|(key, _)| &**key));
    }
}

/// Whether a command is carried out though a transaction has begun.
fn passes(command: &Command) -> bool {
    matches!(command.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Whether a command that comes after MULTI is not carried out then.
pub(super) fn is_queued(command: &Command) -> bool {
    !passes(command)
}

/// Takes a command that comes after MULTI: most are queued.
pub(super) fn take(
    ctx: &mut Context<'_>,
    (command, handler): (&'static Command, Handler),
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Outcome {
    if passes(command) {
        return handler(ctx, args, reply);
    }
    queue(ctx, command, args).map_err(|error| refused(ctx, args, error))?;
    reply.simple("QUEUED");
    Ok(Flow::Continue)
}

/// What is answered to a command that was refused as it came. A transaction that it would have been a part of fails.
#[cold]
pub(super) fn refused(ctx: &mut Context<'_>, args: Args<'_>, error: CommandError) -> CommandError {
    if !is(&args[0], "exec") {
        if let Some(transaction) = &mut ctx.session.transaction {
            transaction.refused = true;
        }
        return error;
    }
    ctx.session.transaction = None;
    forget(ctx);
    let error = error.to_string();
    let error = error.strip_prefix("ERR ").unwrap_or(&error);
    CommandError::Other(format!("EXECABORT Transaction discarded because of: {error}").into())
}

fn queue(ctx: &mut Context<'_>, command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
    if command.flags.has(NO_MULTI) {
        return Err(CommandError::text("ERR Command not allowed inside a transaction"));
    }
    let max = ctx.server.limits.query_bytes_max;
    let Some(transaction) = &mut ctx.session.transaction else { return Ok(()) };
    // What is kept of an argument beside its bytes.
    transaction.bytes += args.bytes() + args.len() * size_of::<u64>() + size_of::<KeptArgs>();
    if transaction.bytes > max {
        return Err(CommandError::Other(format!("ERR a transaction takes {max} bytes of commands at most").into()));
    }
    transaction.may_write |= command.flags.has(WRITE) || command.flags.has(MAY_REPLICATE);
    if !transaction.refused {
        transaction.queue.push((args.kept(), command.flags.has(WRITE)));
    }
    Ok(())
}

fn multi(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.session.transaction.is_some() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    ctx.session.transaction = Some(Transaction::default());
    reply.ok();
    Ok(Flow::Continue)
}

fn exec(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(transaction) = ctx.session.transaction.take() else {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    };
    let is_dirty = ctx.session.watched.as_ref().is_some_and(|watched| watched.is_dirty(ctx.time()));
    forget(ctx);
    if transaction.refused {
        return Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."));
    }
    if is_dirty {
        reply.null_array();
        return Ok(Flow::Continue);
    }
    let writes = transaction.queue.iter().filter(|(_, writes)| *writes).map(|(args, _)| args.args().bytes());
    let bytes = writes.clone().sum();
    if writes.count() > 0 {
        ctx.write(0, |writer| writer.admit_group(bytes))?;
    }
    ctx.begin_group(bytes);
    ctx.session.executes = true;
    let mut flow = Flow::Continue;
    reply.array(transaction.queue.len());
    for (args, _) in &transaction.queue {
        let start = reply.len();
        match ctx.call(args.args(), reply) {
            Flow::Wait(_) => {
                // Nothing was begun.
                reply.truncate(start);
                reply.error("ERR Command not allowed inside a transaction");
            }
            Flow::Close => flow = Flow::Close,
            Flow::Continue | Flow::Cut => {}
        }
        ctx.hear_oneself(reply, start);
    }
    ctx.session.executes = false;
    ctx.end_group();
    Ok(flow)
}

fn discard(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.session.transaction.take().is_none() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    forget(ctx);
    reply.ok();
    Ok(Flow::Continue)
}

fn watch(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.session.transaction.is_some() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    let keys = args.from(1);
    if ctx.session.watched.as_ref().map_or(0, |watched| watched.keys.len()) + keys.len() > WATCHED_MAX {
        return Err(CommandError::Other(format!("ERR a connection watches {WATCHED_MAX} keys at most").into()));
    }
    let mut watched = ctx.session.watched.take().unwrap_or_default();
    ctx.record_changes();
    ctx.server.watch.watch(keys.iter(), &watched.dirty);
    watched.keys.extend(keys.iter().map(|key| (key.into(), ctx.current_any(key).and_then(|view| view.deadline()))));
    ctx.session.watched = Some(watched);
    reply.ok();
    Ok(Flow::Continue)
}

fn unwatch(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    forget(ctx);
    reply.ok();
    Ok(Flow::Continue)
}

/// Forgets what was watched.
fn forget(ctx: &mut Context<'_>) {
    if let Some(watched) = ctx.session.watched.take() {
        watched.forget(&ctx.server.watch);
    }
}
