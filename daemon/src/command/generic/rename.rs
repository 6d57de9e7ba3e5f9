//! RENAME, RENAMENX, COPY: a key's value as this daemon sees it, put under another name in one event.
//!
//! Every element is written there anew, since each is on its own between replicas: what others write to the old name
//! meanwhile stays there. So a value has to fit into one command's writes.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::events::NEW;
use crate::command::options::{int_arg, is};
use cahoots_gossip::store::database::{parts, stored};
use cahoots_gossip::store::{Value, WriteError};

pub(super) fn rename(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (from, to) = (args.at(1), args.at(2));
    let (value, deadline) = whole(ctx, from)?.ok_or(CommandError::text("ERR no such key"))?;
    if from != to {
        put_elsewhere(ctx, (from, "rename_from"), (to, "rename_to"), &value, deadline)?;
    }
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn renamenx(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (from, to) = (args.at(1), args.at(2));
    let (value, deadline) = whole(ctx, from)?.ok_or(CommandError::text("ERR no such key"))?;
    let is_free = ctx.current_any(to).is_none();
    if is_free {
        put_elsewhere(ctx, (from, "rename_from"), (to, "rename_to"), &value, deadline)?;
    }
    reply.integer(is_free.into());
    Ok(Flow::Continue)
}

pub(super) fn copy(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let from = args.at(1);
    let (mut options, mut replace, mut database) = (args.from(3).iter(), false, ctx.session.database);
    while let Some(option) = options.next() {
        if is(option, "replace") {
            replace = true;
        } else if is(option, "db")
            && let Some(number) = options.next()
        {
            database = ctx.database(int_arg(number)?).ok_or(CommandError::NoDatabase)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let to = &*stored(database, parts(&args[2]).1);
    if from == to {
        return Err(CommandError::SamePlace);
    }
    let copies = ctx.read_any(from).is_some() && (replace || ctx.current_any(to).is_none());
    if copies && let Some((value, deadline)) = whole(ctx, from)? {
        ctx.write(to.len() + value.bytes(), |writer| writer.replace(to, &value, deadline))?;
        ctx.happened(to, NEW);
        ctx.happened(to, "copy_to");
    }
    reply.integer(copies.into());
    Ok(Flow::Continue)
}

/// MOVE: as RENAMENX, to the same name in another database.
pub(super) fn move_to(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let from = args.at(1);
    let database = ctx.database(int_arg(&args[2])?).ok_or(CommandError::NoDatabase)?;
    if database == ctx.session.database {
        return Err(CommandError::SamePlace);
    }
    let to = &*stored(database, parts(from).1);
    let found = if ctx.current_any(to).is_none() { whole(ctx, from)? } else { None };
    if let Some((value, deadline)) = &found {
        put_elsewhere(ctx, (from, "move_from"), (to, "move_to"), value, *deadline)?;
    }
    reply.integer(found.is_some().into());
    Ok(Flow::Continue)
}

/// What is at a key, and when it ends. Ballots are their replicas', and cannot be put elsewhere.
fn whole(ctx: &Context<'_>, key: &[u8]) -> Result<Option<(Value, Option<u64>)>, CommandError> {
    let Some(view) = ctx.current_any(key) else { return Ok(None) };
    Ok(Some((view.value().ok_or(CommandError::WrongType)?, view.deadline())))
}

/// Puts a value from one key to another; each with the event that its watchers are told of.
fn put_elsewhere(
    ctx: &mut Context<'_>,
    (from, goes): (&[u8], &'static str),
    (to, comes): (&[u8], &'static str),
    value: &Value,
    deadline: Option<u64>,
) -> Result<(), CommandError> {
    ctx.write(from.len() + to.len() + value.bytes(), |writer| {
        writer.admit(from, b"", 0)?;
        writer.admit_value(to, value)?;
        writer.admit_group(from.len() + to.len() + value.bytes())?;
        writer.replace(to, value, deadline)?;
        writer.delete(from)?;
        Ok::<_, WriteError>(())
    })?;
    ctx.happened(to, NEW);
    ctx.happened(from, goes);
    ctx.happened(to, comes);
    Ok(())
}
