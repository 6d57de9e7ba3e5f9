//! Elements removed: from either end, by value, by index.

use super::{POSITION_BYTES, count_arg, end_arg, ranks};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, ListEnd};

pub(super) fn lpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop(ctx, args, ListEnd::Left, reply)
}

pub(super) fn rpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop(ctx, args, ListEnd::Right, reply)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: ListEnd, reply: &mut Reply<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(CommandError::Arity(if end == ListEnd::Left { "lpop" } else { "rpop" }.into()));
    }
    let count = match args.get(2) {
        Some(count) => Some(count_arg(count, 0, "ERR value is out of range, must be positive")?),
        None => None,
    };
    let popped = take(ctx, &args[1], end, count.unwrap_or(1))?;
    match (count, popped) {
        (Some(_), Some(values)) => list(&values, reply),
        (None, Some(values)) => reply.maybe_bulk(values.first().map(Vec::as_slice)),
        (Some(_), None) => reply.null_array(),
        (None, None) => reply.null(),
    }
    Ok(Flow::Continue)
}

pub(super) fn lmpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = count_arg(&args[1], 1, "ERR numkeys should be greater than 0")?;
    let options = args.from(keys.saturating_add(2));
    let end = end_arg(options.get(0).ok_or(CommandError::Syntax)?)?;
    let mut count = None;
    let mut at = 1;
    while let Some(option) = options.get(at) {
        let Some(value) = options.get(at + 1).filter(|_| count.is_none() && is(option, "count")) else {
            return Err(CommandError::Syntax);
        };
        count = Some(count_arg(value, 1, "ERR count should be greater than 0")?);
        at += 2;
    }
    for key in args.from(2).iter().take(keys) {
        if let Some(values) = take(ctx, key, end, count.unwrap_or(1))? {
            reply.array(2);
            reply.bulk(key);
            list(&values, reply);
            return Ok(Flow::Continue);
        }
    }
    reply.null_array();
    Ok(Flow::Continue)
}

/// Removes elements from an end of a list; their values, that at the end first. `None` if there is no list.
fn take(ctx: &mut Context<'_>, key: &[u8], end: ListEnd, count: usize) -> Result<Option<Vec<Vec<u8>>>, CommandError> {
    let Some(view) = ctx.current(key, Class::List)? else { return Ok(None) };
    let ranks = end.ranks(count, view.len());
    if ranks.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut values = ctx.write(ranks.len() * POSITION_BYTES, |writer| writer.take_ranks(key, ranks))?;
    if end == ListEnd::Right {
        values.reverse();
    }
    Ok(Some(values))
}

pub(super) fn lrem(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let count = int_arg(&args[2])?;
    let removed = match ctx.current(&args[1], Class::List)? {
        Some(view) => {
            let from = if count < 0 { ListEnd::Right } else { ListEnd::Left };
            let wanted =
                if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
            let count_max = wanted.min(view.len());
            let bytes = count_max * POSITION_BYTES;
            ctx.write(bytes, |writer| writer.remove_equal(&args[1], &args[3], from, count_max))?
        }
        None => 0,
    };
    reply.count(removed);
    Ok(Flow::Continue)
}

pub(super) fn ltrim(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (start, stop) = (int_arg(&args[2])?, int_arg(&args[3])?);
    if let Some(view) = ctx.current(&args[1], Class::List)? {
        let keep = ranks(start, stop, view.len());
        let bytes = (view.len() - keep.len()) * POSITION_BYTES;
        ctx.write(bytes, |writer| writer.trim(&args[1], keep))?;
    }
    reply.ok();
    Ok(Flow::Continue)
}

fn list(values: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply.array(values.len());
    values.iter().for_each(|value| reply.bulk(value));
}
