//! Unions, intersections and differences of sets.

use std::collections::HashSet;

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::options::is;
use crate::resp::integer;
use cahoots_gossip::store::{Class, Value, View};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

pub(super) fn sunion(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    list(ctx, args, Operation::Union, reply)
}

pub(super) fn sinter(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    list(ctx, args, Operation::Intersection, reply)
}

pub(super) fn sdiff(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    list(ctx, args, Operation::Difference, reply)
}

pub(super) fn sunionstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    store(ctx, args, Operation::Union, reply)
}

pub(super) fn sinterstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    store(ctx, args, Operation::Intersection, reply)
}

pub(super) fn sdiffstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    store(ctx, args, Operation::Difference, reply)
}

pub(super) fn sintercard(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let numkeys = integer(&args[1]).and_then(|keys| usize::try_from(keys).ok()).filter(|keys| *keys > 0);
    let numkeys = numkeys.ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
    if numkeys > args.len() - 2 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let (keys, mut options, mut limit) = (args.from(2).first(numkeys), args.from(2 + numkeys).iter(), 0);
    while let Some(option) = options.next() {
        let Some(most) = options.next().filter(|_| is(option, "limit")) else { return Err(CommandError::Syntax) };
        let most = integer(most).and_then(|most| usize::try_from(most).ok());
        limit = most.ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
    }
    let sources = sources(ctx, keys)?;
    let most = if limit == 0 { usize::MAX } else { limit };
    let mut count = 0;
    in_all(&sources, |_| {
        count += 1;
        count < most
    });
    reply.count(count);
    Ok(Flow::Continue)
}

fn list(ctx: &mut Context<'_>, args: Args<'_>, operation: Operation, reply: &mut Reply<'_>) -> Outcome {
    let members = combine(operation, &sources(ctx, args.from(1))?);
    reply.set(members.len());
    members.into_iter().for_each(|member| reply.bulk(member));
    Ok(Flow::Continue)
}

fn store(ctx: &mut Context<'_>, args: Args<'_>, operation: Operation, reply: &mut Reply<'_>) -> Outcome {
    let to = args.at(1);
    let members = combine(operation, &sources(ctx, args.from(2))?);
    let (count, value) = (members.len(), Value::Set(members.into_iter().map(Box::from).collect()));
    if count > 0 || ctx.current_any(to).is_some() {
        ctx.write(to.len() + value.bytes(), |writer| writer.replace(to, &value, None))?;
    }
    reply.count(count);
    Ok(Flow::Continue)
}

/// A set for each key; none where there is none.
fn sources<'a>(ctx: &'a Context<'_>, keys: Args<'a>) -> Result<Vec<Option<View<'a>>>, CommandError> {
    keys.iter().map(|key| ctx.read(key, Class::Set)).collect()
}

fn combine<'a>(operation: Operation, sources: &[Option<View<'a>>]) -> Vec<&'a [u8]> {
    let members = |source: &Option<View<'a>>| {
        source.iter().flat_map(|view| view.iter()).map(|(name, _)| name).collect::<Vec<_>>()
    };
    match operation {
        Operation::Union => {
            let mut seen = HashSet::new();
            let mut all: Vec<&[u8]> = sources.iter().flat_map(members).collect();
            all.retain(|member| seen.insert(*member));
            all
        }
        Operation::Intersection => {
            let mut found = Vec::new();
            in_all(sources, |member| {
                found.push(member);
                true
            });
            found
        }
        Operation::Difference => {
            let Some((first, others)) = sources.split_first() else { return Vec::new() };
            let others: Vec<&View<'_>> = others.iter().flatten().collect();
            let mut left = members(first);
            // The cheaper of two ways: to look every member up in every other set, or to strike out the members of all.
            let looked_up = left.len().saturating_mul(others.len()) / 2;
            let struck_out = left.len() + others.iter().map(|view| view.len()).sum::<usize>();
            if looked_up <= struck_out {
                left.retain(|member| !others.iter().any(|view| view.contains(member)));
            } else {
                let mut kept: HashSet<&[u8]> = left.iter().copied().collect();
                for (member, _) in others.iter().flat_map(|view| view.iter()) {
                    kept.remove(member);
                }
                left.retain(|member| kept.contains(member));
            }
            left
        }
    }
}

/// Hands out the members of the smallest set that all others have, until `wants_more` says no. O(members * sets).
fn in_all<'a>(sources: &[Option<View<'a>>], mut wants_more: impl FnMut(&'a [u8]) -> bool) {
    if sources.iter().any(Option::is_none) {
        return;
    }
    let mut views: Vec<&View<'a>> = sources.iter().flatten().collect();
    views.sort_by_key(|view| view.len());
    let Some((least, others)) = views.split_first() else { return };
    for (member, _) in least.iter() {
        if others.iter().all(|view| view.contains(member)) && !wants_more(member) {
            return;
        }
    }
}
