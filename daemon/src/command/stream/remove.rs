//! Entries removed: by id, and the oldest; and what a stream knows of those that are gone.

use super::id;
use super::trim::Options;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, Mark, StreamId};

pub(super) fn xdel(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let mut removed = 0;
    if ctx.current(key, Class::Stream)?.is_some() {
        let ids: Vec<StreamId> = args.from(2).iter().map(|arg| id::strict(arg, 0)).collect::<Result<_, _>>()?;
        removed = ctx.write(args.bytes(), |writer| writer.remove_entries(key, &ids))?;
    }
    reply.count(removed);
    Ok(Flow::Continue)
}

pub(super) fn xtrim(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let trim = Options::parse(args, false)?.trim;
    let view = ctx.current(key, Class::Stream)?;
    let count = view.zip(trim).map_or(0, |(view, trim)| trim.count(&view.stream()));
    let removed = match count {
        0 => 0,
        count => ctx.write(args.bytes(), |writer| writer.trim_entries(key, count))?,
    };
    reply.count(removed);
    Ok(Flow::Continue)
}

pub(super) fn xsetid(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let last = id::strict(&args[2], 0)?;
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    let mut at = 3;
    while let Some(option) = args.get(at) {
        let Some(value) = args.get(at + 1) else { return Err(CommandError::Syntax) };
        if is(option, "entriesadded") {
            let given = u64::try_from(int_arg(value)?);
            added = Some(given.map_err(|_| CommandError::text("ERR entries_added must be positive"))?);
        } else if is(option, "maxdeletedid") {
            max_deleted = id::strict(value, 0)?;
            if last < max_deleted {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    let Some(view) = ctx.current(key, Class::Stream)? else { return Err(CommandError::text("ERR no such key")) };
    let stream = view.stream();
    let (known, len) = (stream.mark(), stream.len());
    if len.checked_sub(1).and_then(|rank| stream.get(rank)).is_some_and(|(newest, _)| last < newest) {
        return Err(CommandError::text("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    let removed = match added {
        None => known.removed,
        Some(added) => added.checked_sub(len as u64).ok_or(CommandError::text(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ))?,
    };
    let max_deleted = if max_deleted == StreamId::MIN { known.max_deleted } else { max_deleted };
    ctx.write(args.bytes(), |writer| writer.set_mark(key, Mark { last, max_deleted, removed }))?;
    reply.ok();
    Ok(Flow::Continue)
}
