//! Members removed: by name, by range.

use super::bounds::{Bounds, By};
use super::take;
use crate::command::collection;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::Class;

pub(super) fn zrem(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::remove(ctx, args, Class::Sorted, reply)
}

pub(super) fn zremrangebyrank(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    remove(ctx, args, By::Rank, reply)
}

pub(super) fn zremrangebyscore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    remove(ctx, args, By::Score, reply)
}

pub(super) fn zremrangebylex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    remove(ctx, args, By::Name, reply)
}

fn remove(ctx: &mut Context<'_>, args: Args<'_>, by: By, reply: &mut Reply<'_>) -> Outcome {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let (members, all) = match ctx.current(&args[1], Class::Sorted)? {
        Some(view) => {
            let sorted = view.sorted();
            let members: Vec<Box<[u8]>> =
                sorted.range(bounds.of(&sorted, false)).map(|(member, _)| member.into()).collect();
            let all = members.len() == sorted.len() && !view.clashes();
            (members, all)
        }
        None => (Vec::new(), false),
    };
    let removed = take(ctx, args.at(1), &members, all)?;
    reply.count(removed);
    Ok(Flow::Continue)
}
