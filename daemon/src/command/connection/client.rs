//! CLIENT: what a client says about itself, and asks about itself.

use super::{Args, CommandError, Context, Flow, Outcome, Replies, Reply, int_arg, is};
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

pub(super) fn no_evict(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    // Clients are never evicted for memory, so there is nothing to remember.
    if !is(&args[2], "on") && !is(&args[2], "off") {
        return Err(CommandError::Syntax);
    }
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn unblock(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let how = match args.get(3) {
        None => Served::TimedOut,
        Some(word) if args.len() == 4 && is(word, "timeout") => Served::TimedOut,
        Some(word) if args.len() == 4 && is(word, "error") => Served::Unblocked,
        Some(_) if args.len() == 4 => {
            return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
        Some(_) => {
            return Err(CommandError::text(
                "ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.",
            ));
        }
    };
    let id = int_arg(&args[2])?;
    let unblocked = ctx.server.watch.unblock(id.cast_unsigned(), how);
    reply.integer(unblocked.into());
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
