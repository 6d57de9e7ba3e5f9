//! Members removed: by name, by range, from either end.

use super::bounds::{Bounds, By};
use super::{list, take};
use crate::command::collection;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
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

pub(super) fn zpopmin(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop(ctx, args, false, reply)
}

pub(super) fn zpopmax(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    pop(ctx, args, true, reply)
}

/// A member with its score.
type Scored = (Box<[u8]>, f64);

fn pop(ctx: &mut Context<'_>, args: Args<'_>, highest: bool, reply: &mut Reply<'_>) -> Outcome {
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
    let (popped, all): (Vec<Scored>, bool) = match ctx.current(&args[1], Class::Sorted)? {
        Some(view) => {
            let sorted = view.sorted();
            let wanted = count.unwrap_or(1).min(sorted.len());
            let ranks = if highest { sorted.len() - wanted..sorted.len() } else { 0..wanted };
            let popped = sorted.walk(ranks, highest).map(|(member, score)| (member.into(), score)).collect();
            (popped, wanted == sorted.len() && !view.clashes())
        }
        None => (Vec::new(), false),
    };
    let members: Vec<Box<[u8]>> = popped.iter().map(|(member, _)| member.clone()).collect();
    take(ctx, args.at(1), &members, all)?;
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
