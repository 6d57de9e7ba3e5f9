//! Members at random: read, taken out, or moved by name.

use super::{Args, Context, Flow, Outcome, Reply, admit};
use crate::command::error::CommandError;
use crate::command::random::{Random, Wanted, wanted};
use crate::resp::integer;
use cahoots_gossip::store::{Class, WriteError};

pub(super) fn srandmember(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut random = Random::new();
    let Some(Wanted { count, repeats, .. }) = wanted(args, None)? else {
        let view = ctx.read(&args[1], Class::Set)?;
        let member = view.and_then(|view| view.draws().one(|max| random.below(max)));
        reply.maybe_bulk(member.map(|(member, _)| member));
        return Ok(Flow::Continue);
    };
    let draws = ctx.read(&args[1], Class::Set)?.map(|view| view.draws());
    match draws {
        None => reply.array(0),
        Some(draws) if repeats => {
            reply.array(count);
            let one = |_| draws.one(|max| random.below(max));
            (0..count).filter_map(one).for_each(|(member, _)| reply.bulk(member));
        }
        Some(draws) => {
            let members = draws.different(count, |max| random.below(max));
            reply.array(members.len());
            members.into_iter().for_each(|(member, _)| reply.bulk(member));
        }
    }
    Ok(Flow::Continue)
}

pub(super) fn spop(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(count) = args.get(2) else {
        let popped = pop(ctx, args.at(1), 1)?.pop();
        reply.maybe_bulk(popped.as_deref());
        return Ok(Flow::Continue);
    };
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = integer(count).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
    let popped = pop(ctx, args.at(1), count)?;
    reply.set(popped.len());
    popped.iter().for_each(|member| reply.bulk(member));
    Ok(Flow::Continue)
}

/// Takes `count` members out, or all.
fn pop(ctx: &mut Context<'_>, key: &[u8], count: usize) -> Result<Vec<Box<[u8]>>, CommandError> {
    let mut random = Random::new();
    let Some(view) = ctx.current(key, Class::Set)? else { return Ok(Vec::new()) };
    let members = view.draws().different(count, |max| random.below(max));
    let members: Vec<Box<[u8]>> = members.into_iter().map(|(member, _)| member.into()).collect();
    let are_all = members.len() == view.len() && !view.clashes();
    if members.is_empty() {
        return Ok(members);
    }
    let bytes = key.len() + members.iter().map(|member| member.len()).sum::<usize>();
    ctx.write(bytes, |writer| {
        if are_all {
            return writer.delete(key).map(drop);
        }
        admit(writer, members.iter().map(|member| (key, &**member, 0)))?;
        members.iter().try_for_each(|member| writer.remove(key, Class::Set, member).map(drop))
    })?;
    Ok(members)
}

pub(super) fn smove(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (from, to, member) = (args.at(1), args.at(2), args.at(3));
    let Some(source) = ctx.current(from, Class::Set)? else {
        reply.count(0);
        return Ok(Flow::Continue);
    };
    let is_new = !ctx.current(to, Class::Set)?.is_some_and(|view| view.contains(member));
    let is_there = source.contains(member);
    if is_there && from != to {
        ctx.write(args.bytes(), |writer| {
            admit(writer, [(from, member, 0), (to, member, 0)].into_iter())?;
            writer.insert(to, Class::Set, member, b"")?;
            writer.remove(from, Class::Set, member)?;
            Ok::<_, WriteError>(())
        })?;
        ctx.happened(from, "srem");
        if is_new {
            ctx.happened(to, "sadd");
        }
    }
    reply.integer(is_there.into());
    Ok(Flow::Continue)
}
