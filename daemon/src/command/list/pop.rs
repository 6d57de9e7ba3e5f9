//! Elements taken off either end of a list, at once or as soon as there is one.

use super::{POSITION_BYTES, count_arg, end_arg};
use crate::command::blocking::{self, timeout_arg};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::is;
use crate::resp::{Args, Reply};
use cahoots_gossip::store::database::parts;
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

pub(super) fn blpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_when_there(ctx, args, ListEnd::Left, reply)
}

pub(super) fn brpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_when_there(ctx, args, ListEnd::Right, reply)
}

fn pop_when_there(ctx: &mut Context<'_>, args: Args<'_>, end: ListEnd, reply: &mut Reply<'_>) -> Outcome {
    let keys = args.from(1).first(args.len() - 2);
    let timeout = timeout_arg(&args[args.len() - 1])?;
    let look = move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| {
        let popped = take(ctx, key, end, 1)?.unwrap_or_default();
        let Some(value) = popped.first() else { return Ok(false) };
        reply.array(2);
        reply.bulk(parts(key).1);
        reply.bulk(value);
        Ok(true)
    };
    blocking::first_element_of(ctx, keys, timeout, Class::List, look, reply)
}

/// Off which end, and how many.
struct Wanted {
    end: ListEnd,
    count: usize,
}

/// The keys behind `numkeys` at `args`'s front, and what follows them: `LEFT|RIGHT [COUNT count]`.
fn keys_and_wanted(args: Args<'_>) -> Result<(Args<'_>, Wanted), CommandError> {
    let keys = count_arg(&args[0], 1, "ERR numkeys should be greater than 0")?;
    let options = args.from(keys.saturating_add(1));
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
    Ok((args.from(1).first(keys), Wanted { end, count: count.unwrap_or(1) }))
}

/// Takes elements of a list, answers the key and them, if there are any.
fn pop_several(
    ctx: &mut Context<'_>,
    key: &[u8],
    wanted: &Wanted,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let Some(values) = take(ctx, key, wanted.end, wanted.count)? else { return Ok(false) };
    ctx.happened_as(if wanted.end == ListEnd::Left { "lpop" } else { "rpop" });
    reply.array(2);
    reply.bulk(parts(key).1);
    list(&values, reply);
    Ok(true)
}

pub(super) fn lmpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (keys, wanted) = keys_and_wanted(args.from(1))?;
    for key in keys.iter() {
        if pop_several(ctx, key, &wanted, reply)? {
            return Ok(Flow::Continue);
        }
    }
    reply.null_array();
    Ok(Flow::Continue)
}

pub(super) fn blmpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (keys, wanted) = keys_and_wanted(args.from(2))?;
    let timeout = timeout_arg(&args[1])?;
    let look = move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| pop_several(ctx, key, &wanted, reply);
    blocking::first_element_of(ctx, keys, timeout, Class::List, look, reply)
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

fn list(values: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply.array(values.len());
    values.iter().for_each(|value| reply.bulk(value));
}
