//! Commands about scripts: EVAL and its kin, SCRIPT, and those about functions.
//!
//! A script runs on this replica alone, and what it writes is one event. It is never taken back: one that fails, or is ended
//! because it runs for too long, has written what it had written by then, as in Redis.

mod function;

use std::sync::atomic::Ordering::Relaxed;

use super::arguments::{KEY, integer, one_of, pattern, string, word};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{
    ALLOW_BUSY, BLOCKING, Categories, DENYOOM, Flags, LOADING, MAY_REPLICATE, NO_MANDATORY_KEYS, NOSCRIPT, READONLY,
    SKIP_MONITOR, STALE, WRITE,
};
use super::help::help;
use super::key_use::KeyUse;
use super::keys::SECOND_COUNTED;
use super::options::is;
use super::table;
use crate::acl::User;
use crate::resp::{Args, KeptArgs, Reply};
use crate::script::{Digest, Interpreter, Script, ScriptError, ScriptFlags};

const GROUP: &str = "scripting";
const RUNS: Flags = NOSCRIPT.and(STALE).and(SKIP_MONITOR).and(NO_MANDATORY_KEYS);
const CHANGES: Flags = NOSCRIPT.and(WRITE);
const COMPLEXITY: &str = "Depends on the script";
const KEYS: super::arguments::Argument = KEY.multiple().optional();
const ARGS: super::arguments::Argument = string("arg").multiple().optional();

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler).also(Categories::SCRIPTING)
}

pub(super) const COMMANDS: &[Command] = &[
    command("eval", -3, RUNS.and(MAY_REPLICATE), eval)
        .using(&[KeyUse::CHANGES])
        .about("2.6.0", COMPLEXITY, "Runs a script: what it writes is one event.")
        .at(SECOND_COUNTED)
        .takes(&[string("script"), integer("numkeys"), KEYS, ARGS]),
    command("eval_ro", -3, RUNS.and(READONLY), eval_ro)
        .about("7.0.0", COMPLEXITY, "Runs a script that writes nothing.")
        .at(SECOND_COUNTED)
        .takes(&[string("script"), integer("numkeys"), KEYS, ARGS]),
    command("evalsha", -3, RUNS.and(MAY_REPLICATE), evalsha)
        .using(&[KeyUse::CHANGES])
        .about("2.6.0", COMPLEXITY, "Runs a script that is kept, by its digest.")
        .at(SECOND_COUNTED)
        .takes(&[string("sha1"), integer("numkeys"), KEYS, ARGS]),
    command("evalsha_ro", -3, RUNS.and(READONLY), evalsha_ro)
        .about("7.0.0", COMPLEXITY, "Runs a script that is kept and writes nothing.")
        .at(SECOND_COUNTED)
        .takes(&[string("sha1"), integer("numkeys"), KEYS, ARGS]),
    Command::container(
        GROUP,
        "script",
        &[
            command("script|load", 3, NOSCRIPT.and(STALE), load)
                .about("2.6.0", "O(N), N the bytes of the script", "Keeps a script, at this replica; says its digest.")
                .takes(&[string("script")]),
            command("script|exists", -3, NOSCRIPT, exists)
                .about("2.6.0", "O(N), N the digests", "Says which scripts are kept.")
                .takes(&[string("sha1").multiple()]),
            command("script|flush", -2, NOSCRIPT, flush)
                .about("2.6.0", "O(N), N the scripts kept", "Forgets all scripts.")
                .takes(&[one_of("how", &[word("ASYNC"), word("SYNC")]).optional()]),
            command("script|kill", 2, NOSCRIPT.and(ALLOW_BUSY), kill).about(
                "2.6.0",
                "O(1)",
                "Finds no script that runs: nothing is answered meanwhile, and it ends in time.",
            ),
            command("script|help", 2, LOADING.and(STALE), help).about("5.0.0", "O(1)", "Lists these subcommands."),
        ],
    )
    .about("2.6.0", "Depends on the subcommand", "Scripts that are kept."),
    command("fcall", -3, RUNS.and(MAY_REPLICATE), function::fcall)
        .using(&[KeyUse::CHANGES])
        .about("7.0.0", "Depends on the function", "Calls a function: what it writes is one event.")
        .at(SECOND_COUNTED)
        .takes(&[string("function"), integer("numkeys"), KEYS, ARGS]),
    command("fcall_ro", -3, RUNS.and(READONLY), function::fcall_ro)
        .about("7.0.0", "Depends on the function", "Calls a function that writes nothing.")
        .at(SECOND_COUNTED)
        .takes(&[string("function"), integer("numkeys"), KEYS, ARGS]),
    Command::container(
        GROUP,
        "function",
        &[
            command("function|load", -3, CHANGES.and(DENYOOM), function::load)
                .about("7.0.0", "O(1), and what the library does", "Makes a library of functions, at every replica.")
                .takes(&[word("REPLACE").optional(), string("function-code")]),
            command("function|delete", 3, CHANGES, function::delete)
                .about("7.0.0", "O(1)", "Deletes a library and its functions.")
                .takes(&[string("library-name")]),
            command("function|flush", -2, CHANGES, function::flush)
                .about("7.0.0", "O(N), N the libraries", "Deletes all libraries.")
                .takes(&[one_of("flush-type", &[word("ASYNC"), word("SYNC")]).optional()]),
            command("function|list", -2, NOSCRIPT, function::list)
                .about("7.0.0", "O(N), N the functions", "Lists the libraries.")
                .takes(&[
                    pattern("library-name-pattern").behind("LIBRARYNAME").optional(),
                    word("WITHCODE").optional(),
                ]),
            command("function|dump", 2, NOSCRIPT, function::dump).about(
                "7.0.0",
                "O(N), N the libraries",
                "Serializes all libraries.",
            ),
            command("function|restore", -3, CHANGES.and(DENYOOM), function::restore)
                .about("7.0.0", "O(N), N the libraries in it", "Makes libraries of what was serialized.")
                .takes(&[
                    string("serialized-value"),
                    one_of("policy", &[word("FLUSH"), word("APPEND"), word("REPLACE")]).optional(),
                ]),
            command("function|stats", 2, NOSCRIPT.and(ALLOW_BUSY), function::stats).about(
                "7.0.0",
                "O(1)",
                "Counts libraries and functions.",
            ),
            command("function|kill", 2, NOSCRIPT.and(ALLOW_BUSY), kill).about(
                "7.0.0",
                "O(1)",
                "Finds no function that runs, as SCRIPT KILL.",
            ),
            command("function|help", 2, LOADING.and(STALE), help).about("7.0.0", "O(1)", "Lists these subcommands."),
        ],
    )
    .about("7.0.0", "Depends on the subcommand", "Libraries of functions."),
];

fn eval(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, args, keys(args)?, reply, false, |lua| lua.compile(args.at(1), false))
}

fn eval_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, args, keys(args)?, reply, true, |lua| lua.compile(args.at(1), false))
}

fn evalsha(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let digest = Digest::parse(args.at(1)).ok_or(ScriptError::Unknown)?;
    run(ctx, args, keys(args)?, reply, false, |lua| lua.known(digest))
}

fn evalsha_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let digest = Digest::parse(args.at(1)).ok_or(ScriptError::Unknown)?;
    run(ctx, args, keys(args)?, reply, true, |lua| lua.known(digest))
}

/// How many keys are said to follow.
fn keys(args: Args<'_>) -> Result<i64, CommandError> {
    crate::resp::integer(args.at(2)).ok_or(CommandError::NotInteger)
}

/// Runs the script that `find` has, with so many keys.
fn run(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    keys: i64,
    reply: &mut Reply<'_>,
    reads_only: bool,
    find: impl FnOnce(&mut Interpreter) -> Result<Script, ScriptError>,
) -> Outcome {
    let keys = usize::try_from(keys).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))?;
    if keys > args.len() - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    ctx.show_ahead(args.iter());
    let server = ctx.server;
    let given = (args.from(3).first(keys), args.from(3 + keys));
    let user = ctx.bounded_user();
    let result = server.scripts.with(|lua| {
        let script = find(lua)?;
        if reads_only && script.flags.declared && !script.flags.no_writes() {
            return Err(ScriptError::Writes);
        }
        let reads_only = reads_only || script.flags.no_writes();
        let mut part = Part::begin(ctx, args.bytes(), reads_only, script.flags.allow_oom());
        let result = lua.run(
            &script,
            given,
            server.scripts.time_max(),
            &|words| may(user.as_deref(), words),
            &mut |words, protocol, out| {
                let words = KeptArgs::of(words.iter().map(mlua::LuaString::as_bytes));
                part.call(words.args(), &mut Reply::new(out, protocol));
            },
            reply,
        );
        part.end();
        result
    });
    result?;
    Ok(Flow::Continue)
}

/// What a script does to the replica.
struct Part<'c, 'a> {
    ctx: &'c mut Context<'a>,
    /// An estimate of what it writes.
    bytes: usize,
    reads_only: bool,
    /// Whether a transaction runs it: it writes into the group of that.
    in_transaction: bool,
    /// Whether it has opened a group.
    is_open: bool,
    /// Whether it may begin to write: once it has, it may go on.
    may_write: bool,
    last_command: Option<&'static Command>,
    /// The database of the client, whatever the script chooses.
    database: u8,
}

impl<'c, 'a> Part<'c, 'a> {
    fn begin(ctx: &'c mut Context<'a>, bytes: usize, reads_only: bool, allows_oom: bool) -> Self {
        let may_write = allows_oom || !ctx.is_full();
        let in_transaction = std::mem::replace(&mut ctx.session.executes, true);
        let (last_command, database) = (ctx.session.last_command, ctx.session.database);
        ctx.session.in_script = true;
        Self { ctx, bytes, reads_only, in_transaction, is_open: false, may_write, last_command, database }
    }

    /// Carries out what the script calls. Its first write opens the group that is one event.
    fn call(&mut self, args: Args<'_>, reply: &mut Reply<'_>) {
        // Nothing blocks within a script.
        let blocks = self.ctx.server.debugging.blocks_in_scripts.load(Relaxed);
        match admitted(args, self.reads_only, blocks) {
            Err(text) => return reply.error(text),
            Ok(command) if command.flags.has(DENYOOM) && !self.may_write => return reply.error(CommandError::Full),
            Ok(command) => {
                self.may_write |= command.flags.has(WRITE);
                if command.flags.has(WRITE) && !self.in_transaction && !self.is_open {
                    self.ctx.leave_probation();
                    self.ctx.begin_group(self.bytes);
                    self.is_open = true;
                }
            }
        }
        let start = reply.len();
        if !matches!(self.ctx.call(args, reply), Flow::Continue) {
            // Nothing was begun.
            reply.truncate(start);
            reply.error(NOT_ALLOWED);
        }
    }

    fn end(self) {
        if self.is_open {
            self.ctx.end_group();
        }
        let session = &mut *self.ctx.session;
        (session.executes, session.in_script) = (self.in_transaction, false);
        (session.last_command, session.database) = (self.last_command, self.database);
    }
}

const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";

/// The command, if a script may call it.
fn admitted(args: Args<'_>, reads_only: bool, blocks: bool) -> Result<&'static Command, &'static str> {
    let command = match table::find(args) {
        Ok(command) => command,
        Err(CommandError::Arity(_)) => return Err("ERR Wrong number of args calling Redis command from script"),
        Err(_) => return Err("ERR Unknown Redis command called from script"),
    };
    if command.flags.has(NOSCRIPT) && !(blocks && command.flags.has(BLOCKING)) {
        return Err(NOT_ALLOWED);
    }
    if reads_only && command.flags.has(WRITE) {
        return Err("ERR Write commands are not allowed from read-only scripts.");
    }
    Ok(command)
}

/// Whether a user may call a command, however many arguments that takes; `None` if there is none.
fn may(user: Option<&User>, words: &[mlua::LuaString]) -> Option<bool> {
    let words = KeptArgs::of(words.iter().map(mlua::LuaString::as_bytes));
    let args = words.args();
    let mut command = table::by_name(args.get(0)?)?;
    if let Some(name) = args.get(1).filter(|_| !command.subcommands.is_empty()) {
        command = table::by_full_name(&[command.name.as_bytes(), b"|", name].concat())?;
    }
    Some(user.is_none_or(|user| user.check(command, args).is_ok()))
}

/// What the script that a command runs, or the function that it calls, says of itself; nothing, if there is none.
pub(super) fn flags(ctx: &mut Context<'_>, command: &Command, args: Args<'_>) -> ScriptFlags {
    let script = match command.name {
        "eval" | "eval_ro" => ctx.server.scripts.with(|lua| lua.compile(args.at(1), false)),
        "evalsha" | "evalsha_ro" => Digest::parse(args.at(1))
            .map_or(Err(ScriptError::Unknown), |name| ctx.server.scripts.with(|lua| lua.known(name))),
        "fcall" | "fcall_ro" => function::find(ctx, args.at(1)),
        _ => return ScriptFlags::default(),
    };
    script.map(|script| script.flags).unwrap_or_default()
}

fn load(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let name = ctx.server.scripts.with(|lua| Ok(lua.compile(args.at(2), true)?.name))?;
    reply.bulk(name.to_string().as_bytes());
    Ok(Flow::Continue)
}

fn exists(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let kept = ctx.server.scripts.has(args.from(2).iter());
    reply.array(kept.len());
    kept.into_iter().for_each(|is_kept| reply.integer(i64::from(is_kept)));
    Ok(Flow::Continue)
}

fn flush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let is_known = args.len() == 2 || args.len() == 3 && (is(args.at(2), "async") || is(args.at(2), "sync"));
    if !is_known {
        return Err(CommandError::text("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    ctx.server.scripts.flush();
    reply.ok();
    Ok(Flow::Continue)
}

fn kill(_: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    Err(CommandError::text("NOTBUSY No scripts in execution right now."))
}
