//! CLIENT: what a client says about itself, and asks about itself.

use super::{Args, CommandError, Context, Flow, Outcome, Replies, Reply, int_arg, is, timeout_arg};
use crate::state::Holds;
use crate::watch::Served;

pub(super) fn id(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.integer(ctx.session.id.cast_signed());
    Ok(Flow::Continue)
}

pub(super) fn getname(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let name = &ctx.session.client.facts().name;
    reply.maybe_bulk((!name.is_empty()).then_some(name));
    Ok(Flow::Continue)
}

pub(super) fn setname(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    check_name(&args[2], "Client names")?;
    ctx.session.client.facts().name = args.at(2).into();
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn setinfo(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (attribute, value) = (args.at(2), args.at(3));
    if is(attribute, "lib-name") {
        check_name(value, "lib-name")?;
        ctx.session.client.facts().library_name = value.into();
    } else if is(attribute, "lib-ver") {
        check_name(value, "lib-ver")?;
        ctx.session.client.facts().library_version = value.into();
    } else {
        let attribute = String::from_utf8_lossy(attribute);
        return Err(CommandError::Other(format!("ERR Unrecognized option '{attribute}'").into()));
    }
    reply.ok();
    Ok(Flow::Continue)
}

/// What a client calls itself stands in lists of one line each, separated by spaces.
pub(super) fn check_name(name: &[u8], what: &str) -> Result<(), CommandError> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(())
    } else {
        let refusal = format!("ERR {what} cannot contain spaces, newlines or special characters.");
        Err(CommandError::Other(refusal.into()))
    }
}

/// Clients are never evicted for memory; that one asked not to be is told by CLIENT LIST.
pub(super) fn no_evict(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.session.client.facts().no_evict = on_or_off(&args[2])?;
    reply.ok();
    Ok(Flow::Continue)
}

/// No key notes that it was read; that one asked for that is told by CLIENT LIST.
pub(super) fn no_touch(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.session.client.facts().no_touch = on_or_off(&args[2])?;
    reply.ok();
    Ok(Flow::Continue)
}

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    if is(word, "on") || is(word, "off") { Ok(is(word, "on")) } else { Err(CommandError::Syntax) }
}

pub(super) fn unblock(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let how = match args.get(3) {
        None => Served::TimedOut,
        Some(word) if args.len() == 4 && is(word, "timeout") => Served::TimedOut,
        Some(word) if args.len() == 4 && is(word, "error") => Served::Unblocked,
        Some(_) if args.len() == 4 => {
            return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
        Some(_) => return Err(CommandError::wrong_subcommand(args)),
    };
    let id = int_arg(&args[2])?;
    let unblocked = ctx.server.watch.unblock(id.cast_unsigned(), how);
    reply.integer(unblocked.into());
    Ok(Flow::Continue)
}

pub(super) fn pause(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let holds = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::wrong_subcommand(args)),
        None => Holds::All,
        Some(word) if is(word, "write") => Holds::Writes,
        Some(word) if is(word, "all") => Holds::All,
        Some(_) => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let lasts = timeout_arg(&args[2])?.unwrap_or_default();
    if !ctx.server.pause.begin(holds, lasts) {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    ctx.see_to_expiry();
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn unpause(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.end_pause();
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn reply(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mode = args.at(2);
    ctx.session.replies = if is(mode, "on") {
        reply.ok();
        Replies::On
    } else if is(mode, "off") {
        Replies::Off
    } else if is(mode, "skip") {
        match ctx.session.replies {
            Replies::Off => Replies::Off,
            _ => Replies::SkipNext,
        }
    } else {
        return Err(CommandError::Syntax);
    };
    Ok(Flow::Continue)
}
