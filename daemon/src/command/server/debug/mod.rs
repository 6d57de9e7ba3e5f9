//! DEBUG: what test suites of clients and of other servers lean on, if the operator allows it (`enable-debug-command`).
//!
//! What would end the daemon or damage its data (SEGFAULT, PANIC, CRASH-AND-RECOVER, LEAK) there is not. What tunes the inner
//! workings of Redis is accepted and changes nothing, since nothing here has them.

mod digest;
mod keys;
mod protocol;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::config::bytes_of;
use super::{Args, CommandError, Context, Flow, Outcome, Reply, int_arg, is};
use crate::command::glob;
use crate::command::wait::Wait;
use crate::config::DebugCommand;

type Run = fn(&mut Context<'_>, Args<'_>, &mut Reply<'_>) -> Outcome;

/// What there is: how it is called, how many arguments it takes at least and at most, the two words included, and what it does.
const SUBCOMMANDS: &[(&str, usize, usize, Run, &str)] = &[
    ("CHANGE-REPL-ID", 2, 2, nothing, "Accepted: a replica keeps its id."),
    ("CLIENT-ENFORCE-REPLY-LIST <0|1>", 3, 3, nothing, "Accepted."),
    ("DICT-RESIZING <0|1>", 3, 3, nothing, "Accepted."),
    ("DIGEST", 2, 2, digest::digest, "Tells a sum of all data, as Redis computes it."),
    (
        "DIGEST-VALUE <key> [<key> ...]",
        2,
        usize::MAX,
        digest::digest_value,
        "Tells a sum of each value, as Redis computes it.",
    ),
    ("ERROR <string>", 3, 3, error, "Answers this error."),
    ("HELP", 2, 2, help, "Lists these subcommands."),
    ("HTSTATS <dbid>", 3, 4, keys::htstats, "Counts the keys of a database, and those that expire."),
    ("HTSTATS-KEY <key>", 3, 4, keys::htstats_key, "Counts the elements of a key that Redis would keep in a table."),
    ("LISTPACK <key>", 3, 3, keys::listpack, "Says whether Redis would keep the value as a listpack."),
    ("LOADAOF", 2, 2, reload, "As RELOAD."),
    ("LOG <message>", 3, 3, log, "Writes a line into the log."),
    ("OBJECT <key>", 3, 3, keys::object, "Tells how Redis would keep the value."),
    ("PAUSE-CRON <0|1>", 3, 3, nothing, "Accepted."),
    ("POPULATE <count> [<prefix>] [<size>]", 3, 5, keys::populate, "Makes keys, at all daemons."),
    ("PROTOCOL <type>", 3, 3, protocol::protocol, "Answers a value of this type."),
    ("QUICKLIST <key> [<0|1>]", 3, 4, keys::quicklist, "Says whether Redis would keep the value as a quicklist."),
    ("QUICKLIST-PACKED-THRESHOLD <size>", 3, 3, packed, "Accepted."),
    (
        "RELOAD [option ...]",
        2,
        usize::MAX,
        reload,
        "Has everything be on disk, if data is kept. Nothing is read again.",
    ),
    ("REPLYBUFFER (PEAK-RESET-TIME|RESIZING) <value>", 4, 4, reply_buffer, "Accepted."),
    ("SET-ACTIVE-EXPIRE <0|1>", 3, 3, active_expire, "Says whether this daemon removes keys that have expired."),
    ("SET-DISABLE-DENY-SCRIPTS <0|1>", 3, 3, in_scripts, "Lets scripts call what would block, and does not then."),
    ("SLEEP <seconds>", 3, 3, sleep, "Has the daemon do nothing for a while; peers take it for one that is slow."),
    ("STRINGMATCH-LEN <pattern> <string>", 4, 4, string_match, "Says whether a string matches."),
];

pub(super) fn debug(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let is_allowed = match ctx.server.debugging.allowed {
        DebugCommand::No => false,
        DebugCommand::Local => ctx.session.client.is_local(),
        DebugCommand::Yes => true,
    };
    if !is_allowed {
        return Err(CommandError::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
             connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        ));
    }
    let name = |syntax: &'static str| syntax.split(' ').next().unwrap_or_default();
    let found = SUBCOMMANDS.iter().find(|(syntax, ..)| is(&args[1], name(syntax)));
    match found.filter(|(_, least, most, ..)| (*least..=*most).contains(&args.len())) {
        Some((_, _, _, run, _)) => run(ctx, args, reply),
        None => Err(CommandError::wrong_subcommand(args)),
    }
}

fn help(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.array_of(|items| {
        items.one().simple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
        for (syntax, .., about) in SUBCOMMANDS {
            items.one().simple(syntax);
            items.one().simple(&format!("    {about}"));
        }
    });
    Ok(Flow::Continue)
}

fn nothing(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.ok();
    Ok(Flow::Continue)
}

fn error(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.error_bytes(&args[2]);
    Ok(Flow::Continue)
}

fn log(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tracing::warn!("DEBUG LOG: {}", args.at(2).escape_ascii());
    reply.ok();
    Ok(Flow::Continue)
}

/// Numbers as C reads them: what is none is 0.
fn number(word: &[u8]) -> f64 {
    std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn sleep(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    std::thread::sleep(Duration::try_from_secs_f64(number(&args[2])).unwrap_or_default());
    reply.ok();
    Ok(Flow::Continue)
}

fn active_expire(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.server.debugging.keeps_expired.store(number(&args[2]) == 0.0, Relaxed);
    ctx.see_to_expiry();
    reply.ok();
    Ok(Flow::Continue)
}

fn in_scripts(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.server.debugging.blocks_in_scripts.store(number(&args[2]) != 0.0, Relaxed);
    reply.ok();
    Ok(Flow::Continue)
}

fn packed(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let bytes = bytes_of(&String::from_utf8_lossy(&args[2]));
    if bytes.is_none_or(|bytes| bytes > u32::MAX as usize) {
        return Err(CommandError::text("ERR argument must be a memory value bigger than 1 and smaller than 4gb"));
    }
    reply.ok();
    Ok(Flow::Continue)
}

fn reply_buffer(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if is(&args[2], "peak-reset-time") {
        if !is(&args[3], "never") && !is(&args[3], "reset") {
            int_arg(&args[3])?;
        }
    } else if !is(&args[2], "resizing") {
        return Err(CommandError::wrong_subcommand(args));
    }
    reply.ok();
    Ok(Flow::Continue)
}

fn string_match(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.integer(glob::matches(&args[2], &args[3]).into());
    Ok(Flow::Continue)
}

/// Redis writes its data, throws it away and reads it again, so that who tests it sees that nothing is lost. Here data is written
/// all the time, and reading it again would be a new start under the eyes of the peers: what can be asked for is that
/// everything is on disk.
fn reload(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let is_known = |option: &[u8]| ["merge", "noflush", "nosave"].iter().any(|known| is(option, known));
    if !args.from(2).iter().all(is_known) {
        return Err(CommandError::text("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
    }
    let seq = ctx.position();
    if ctx.server.durability.storage().is_none() || ctx.session.executes {
        reply.ok();
        return Ok(Flow::Continue);
    }
    let kept = move |_, server: std::sync::Arc<crate::state::Server>| async move {
        let Some(storage) = server.durability.storage() else { return false };
        let mut durable = storage.durable();
        storage.sync_soon();
        durable.wait_for(|durable| durable.seq >= seq || durable.failing).await.is_ok_and(|durable| !durable.failing)
    };
    Ok(Flow::Wait(Wait::new(kept, |_, kept: bool, reply| {
        if !kept {
            return Err(CommandError::text("ERR Error trying to save the DB, check server logs"));
        }
        reply.ok();
        Ok(Flow::Continue)
    })))
}
