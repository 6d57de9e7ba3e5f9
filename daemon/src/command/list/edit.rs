//! Elements put into lists, and replaced.

use super::{POSITION_BYTES, rank};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, ListEnd};

pub(super) fn lpush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    push(ctx, args, ListEnd::Left, reply)
}

pub(super) fn rpush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    push(ctx, args, ListEnd::Right, reply)
}

pub(super) fn lpushx(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    push_if_present(ctx, args, ListEnd::Left, reply)
}

pub(super) fn rpushx(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    push_if_present(ctx, args, ListEnd::Right, reply)
}

fn push(ctx: &mut Context<'_>, args: Args<'_>, end: ListEnd, reply: &mut Reply<'_>) -> Outcome {
    let values = args.from(2);
    let bytes = args.bytes() + values.len() * POSITION_BYTES;
    let len = ctx.write(bytes, |writer| writer.push(&args[1], end, values.iter()))?;
    reply.count(len);
    Ok(Flow::Continue)
}

fn push_if_present(ctx: &mut Context<'_>, args: Args<'_>, end: ListEnd, reply: &mut Reply<'_>) -> Outcome {
    if ctx.current(&args[1], Class::List)?.is_some() {
        return push(ctx, args, end, reply);
    }
    reply.count(0);
    Ok(Flow::Continue)
}

pub(super) fn lset(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(view) = ctx.current(&args[1], Class::List)? else { return Err(CommandError::text("ERR no such key")) };
    let rank = rank(int_arg(&args[2])?, view.len()).ok_or(CommandError::text("ERR index out of range"))?;
    ctx.write(args.bytes() + POSITION_BYTES, |writer| writer.set_element(&args[1], rank, &args[3]))?;
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn linsert(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let side = match args.at(2) {
        word if is(word, "before") => ListEnd::Left,
        word if is(word, "after") => ListEnd::Right,
        _ => return Err(CommandError::Syntax),
    };
    let Some(view) = ctx.current(&args[1], Class::List)? else {
        reply.count(0);
        return Ok(Flow::Continue);
    };
    let pivot = view.ordered().range(0..usize::MAX).position(|(_, value)| value == &args[3]);
    let len = match pivot {
        Some(rank) => {
            ctx.write(args.bytes() + POSITION_BYTES, |writer| writer.insert_beside(&args[1], rank, side, &args[4]))?
        }
        None => None,
    };
    match len {
        Some(len) => reply.count(len),
        None => reply.integer(-1),
    }
    Ok(Flow::Continue)
}
