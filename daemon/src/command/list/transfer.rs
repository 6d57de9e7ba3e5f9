//! Elements moved from an end of one list to an end of another, at once or as soon as there is one.

use super::{POSITION_BYTES, end_arg};
use crate::command::blocking::{self, timeout_arg};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::resp::{Args, Reply};
use crate::watch::Takes;
use cahoots_gossip::store::{Class, ListEnd};

/// Off which end, and at which.
type Ends = (ListEnd, ListEnd);

/// Those of RPOPLPUSH.
const LAST_TO_FIRST: Ends = (ListEnd::Right, ListEnd::Left);

pub(super) fn lmove(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    now(ctx, args, (end_arg(&args[3])?, end_arg(&args[4])?), reply)
}

pub(super) fn rpoplpush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    now(ctx, args, LAST_TO_FIRST, reply)
}

pub(super) fn blmove(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    when_there(ctx, args, (end_arg(&args[3])?, end_arg(&args[4])?), reply)
}

pub(super) fn brpoplpush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    when_there(ctx, args, LAST_TO_FIRST, reply)
}

fn now(ctx: &mut Context<'_>, args: Args<'_>, ends: Ends, reply: &mut Reply<'_>) -> Outcome {
    let moved = transfer(ctx, &args[1], &args[2], ends)?;
    reply.maybe_bulk(moved.as_deref());
    Ok(Flow::Continue)
}

/// Waits for the source alone, and looks at the destination when it has something to put there.
fn when_there(ctx: &mut Context<'_>, args: Args<'_>, ends: Ends, reply: &mut Reply<'_>) -> Outcome {
    let timeout = timeout_arg(&args[args.len() - 1])?;
    let destination = Box::<[u8]>::from(&args[2]);
    let look = move |ctx: &mut Context<'_>, source: &[u8], reply: &mut Reply<'_>| {
        let moved = transfer(ctx, source, &destination, ends)?;
        moved.iter().for_each(|value| reply.bulk(value));
        Ok(moved.is_some())
    };
    let source = args.from(1).first(1);
    blocking::first_of(
        ctx,
        source,
        timeout,
        Some(Takes::Elements(Class::List)),
        Box::new(look),
        |reply| reply.null(),
        reply,
    )
}

/// Moves an element; its value. `None` if there is none.
fn transfer(
    ctx: &mut Context<'_>,
    source: &[u8],
    destination: &[u8],
    (out, into): Ends,
) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(view) = ctx.current(source, Class::List)? else { return Ok(None) };
    let list = view.ordered();
    let element: usize = list.range(out.ranks(1, list.len())).map(|(name, value)| name.len() + value.len()).sum();
    let bytes = source.len() + destination.len() + element + POSITION_BYTES;
    let moved = ctx.write(bytes, |writer| writer.move_element((source, out), (destination, into)))?;
    ctx.happened(destination, if into == ListEnd::Left { "lpush" } else { "rpush" });
    ctx.happened(source, if out == ListEnd::Left { "lpop" } else { "rpop" });
    Ok(moved)
}
