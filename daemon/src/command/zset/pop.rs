//! Members taken from either end of a sorted set, at once or as soon as there is one.

use super::{list, take};
use crate::command::blocking::{self, timeout_arg};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::Class;
use cahoots_gossip::store::database::parts;

/// A member with its score.
type Scored = (Box<[u8]>, f64);

/// Takes `count` members at most from an end of the sorted set at `key`.
fn pop(ctx: &mut Context<'_>, key: &[u8], highest: bool, count: usize) -> Result<Vec<Scored>, CommandError> {
    let Some(view) = ctx.current(key, Class::Sorted)? else { return Ok(Vec::new()) };
    let sorted = view.sorted();
    let wanted = count.min(sorted.len());
    let ranks = if highest { sorted.len() - wanted..sorted.len() } else { 0..wanted };
    let popped: Vec<Scored> = sorted.walk(ranks, highest).map(|(member, score)| (member.into(), score)).collect();
    let all = wanted == sorted.len() && !view.clashes();
    let members: Vec<Box<[u8]>> = popped.iter().map(|(member, _)| member.clone()).collect();
    take(ctx, key, &members, all)?;
    Ok(popped)
}

pub(super) fn zpopmin(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one_or_some(ctx, args, false, reply)
}

pub(super) fn zpopmax(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_one_or_some(ctx, args, true, reply)
}

fn pop_one_or_some(ctx: &mut Context<'_>, args: Args<'_>, highest: bool, reply: &mut Reply<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match args.get(2) {
        None => None,
        Some(count) => {
            let count = crate::resp::integer(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::text("ERR value is out of range, must be positive"))?)
        }
    };
    let popped = pop(ctx, args.at(1), highest, count.unwrap_or(1))?;
    if count.is_some() {
        list(popped.iter().map(|(member, score)| (&**member, *score)), true, reply);
    } else {
        // One alone is no pair in a list.
        reply.array(2 * popped.len());
        for (member, score) in &popped {
            reply.bulk(member);
            reply.double(*score);
        }
    }
    Ok(Flow::Continue)
}

pub(super) fn bzpopmin(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_when_there(ctx, args, false, reply)
}

pub(super) fn bzpopmax(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop_when_there(ctx, args, true, reply)
}

fn pop_when_there(ctx: &mut Context<'_>, args: Args<'_>, highest: bool, reply: &mut Reply<'_>) -> Outcome {
    let keys = args.from(1).first(args.len() - 2);
    let timeout = timeout_arg(&args[args.len() - 1])?;
    let look = move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| {
        let popped = pop(ctx, key, highest, 1)?;
        let Some((member, score)) = popped.first() else { return Ok(false) };
        reply.array(3);
        reply.bulk(parts(key).1);
        reply.bulk(member);
        reply.double(*score);
        Ok(true)
    };
    blocking::first_element_of(ctx, keys, timeout, Class::Sorted, look, reply)
}

/// From which end, and how many.
struct Wanted {
    highest: bool,
    count: usize,
}

/// The keys behind `numkeys` at `args`'s front, and what follows them: `MIN|MAX [COUNT count]`.
fn keys_and_wanted(args: Args<'_>) -> Result<(Args<'_>, Wanted), CommandError> {
    let count = int_arg_or(args.get(0), "ERR numkeys should be greater than 0")?;
    let keys = args.from(1).first(count);
    let options = args.from(1 + keys.len());
    let highest = match options.get(0) {
        Some(word) if keys.len() == count && is(word, "min") => false,
        Some(word) if keys.len() == count && is(word, "max") => true,
        _ => return Err(CommandError::Syntax),
    };
    let count = match (options.get(1), options.len()) {
        (None, _) => 1,
        (Some(word), 3) if is(word, "count") => int_arg_or(options.get(2), "ERR count should be greater than 0")?,
        _ => return Err(CommandError::Syntax),
    };
    Ok((keys, Wanted { highest, count }))
}

/// A positive number; `refusal` is answered of any other.
fn int_arg_or(arg: Option<&[u8]>, refusal: &'static str) -> Result<usize, CommandError> {
    let number = arg.and_then(|arg| int_arg(arg).ok()).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(CommandError::text(refusal))
}

/// Takes members of the first key that has some, answers the key and them.
fn pop_several(
    ctx: &mut Context<'_>,
    key: &[u8],
    wanted: &Wanted,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let popped = pop(ctx, key, wanted.highest, wanted.count)?;
    if popped.is_empty() {
        return Ok(false);
    }
    ctx.happened_as(if wanted.highest { "zpopmax" } else { "zpopmin" });
    reply.array(2);
    reply.bulk(parts(key).1);
    reply.array(popped.len());
    for (member, score) in &popped {
        reply.array(2);
        reply.bulk(member);
        reply.double(*score);
    }
    Ok(true)
}

pub(super) fn zmpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (keys, wanted) = keys_and_wanted(args.from(1))?;
    for key in keys.iter() {
        if pop_several(ctx, key, &wanted, reply)? {
            return Ok(Flow::Continue);
        }
    }
    reply.null_array();
    Ok(Flow::Continue)
}

pub(super) fn bzmpop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (keys, wanted) = keys_and_wanted(args.from(2))?;
    let timeout = timeout_arg(&args[1])?;
    let look = move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| pop_several(ctx, key, &wanted, reply);
    blocking::first_element_of(ctx, keys, timeout, Class::Sorted, look, reply)
}
