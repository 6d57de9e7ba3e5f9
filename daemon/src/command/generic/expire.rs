//! When keys end: EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! A deadline is a register of the key; what it means when replicas write at once is in `docs/data-types.md`.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::deadline::{Condition, Unit};

pub(super) fn expire(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::SECONDS, "expire"), reply)
}

pub(super) fn pexpire(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::MILLIS, "pexpire"), reply)
}

pub(super) fn expireat(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::SECONDS_AT, "expireat"), reply)
}

pub(super) fn pexpireat(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::MILLIS_AT, "pexpireat"), reply)
}

fn set(ctx: &mut Context<'_>, args: Args<'_>, (unit, name): (Unit, &str), reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let condition = Condition::parse(args.from(3))?;
    let deadline = unit.time(ctx, &args[2], name)?;
    let current = ctx.current_any(key).map(|view| view.deadline());
    let applies = current.is_some_and(|current| condition.holds(current, deadline));
    if applies {
        let deadline = u64::try_from(deadline).unwrap_or(0);
        ctx.write(key.len(), |writer| writer.expire(key, Some(deadline)))?;
    }
    reply.integer(applies.into());
    Ok(Flow::Continue)
}

pub(super) fn persist(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let there_is_one = ctx.current_any(key).is_some_and(|view| view.deadline().is_some());
    if there_is_one {
        ctx.write(key.len(), |writer| writer.expire(key, None))?;
    }
    reply.integer(there_is_one.into());
    Ok(Flow::Continue)
}

pub(super) fn ttl(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::SECONDS, reply)
}

pub(super) fn pttl(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::MILLIS, reply)
}

pub(super) fn expiretime(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::SECONDS_AT, reply)
}

pub(super) fn pexpiretime(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::MILLIS_AT, reply)
}

/// The deadline of a key; -1 if it has none, -2 if there is no key. Seconds are rounded to the nearest.
fn tell(ctx: &mut Context<'_>, args: Args<'_>, unit: Unit, reply: &mut Reply<'_>) -> Outcome {
    let from = if unit.relative { ctx.time() } else { 0 };
    let answer = match ctx.peek(&args[1]).map(|view| view.deadline()) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => {
            let millis = i64::try_from(deadline.saturating_sub(from)).unwrap_or(i64::MAX);
            if unit.millis { millis } else { millis.saturating_add(500) / 1_000 }
        }
    };
    reply.integer(answer);
    Ok(Flow::Continue)
}
