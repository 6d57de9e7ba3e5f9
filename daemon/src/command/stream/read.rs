//! Entries counted and listed.

use super::{id, reply_entries};
use crate::command::collection;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::Class;

pub(super) fn xlen(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::length(ctx, args, Class::Stream, reply)
}

pub(super) fn xrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    range(ctx, args, false, reply)
}

pub(super) fn xrevrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    range(ctx, args, true, reply)
}

fn range(ctx: &mut Context<'_>, args: Args<'_>, reverse: bool, reply: &mut Reply<'_>) -> Outcome {
    let (start, end) = if reverse { (args.at(3), args.at(2)) } else { (args.at(2), args.at(3)) };
    let (first, last) = id::interval(start, end)?;
    let mut count = usize::MAX;
    let mut at = 4;
    while let Some(option) = args.get(at) {
        let Some(value) = args.get(at + 1).filter(|_| is(option, "count")) else { return Err(CommandError::Syntax) };
        count = usize::try_from(int_arg(value)?).unwrap_or(0);
        at += 2;
    }
    let view = ctx.read(args.at(1), Class::Stream)?;
    match view.map(|view| view.stream()) {
        None => reply.array(0),
        Some(_) if count == 0 => reply.null_array(),
        Some(stream) if reverse => reply_entries(reply, stream.range(first, last).rev().take(count)),
        Some(stream) => reply_entries(reply, stream.range(first, last).take(count)),
    }
    Ok(Flow::Continue)
}
