//! Commands for those who watch a daemon: MONITOR and SLOWLOG; and what Redis is asked about itself: ROLE, LOLWUT, MODULE
//! and CLUSTER, in the words of one without modules and without cluster mode.

use std::sync::Arc;

use super::{Args, CommandError, Context, Flow, Outcome, Reply};
use crate::account::REDIS_VERSION;
use crate::resp::integer;

/// How many SLOWLOG GET answers unless it is told.
const SHOWN: usize = 10;

pub(super) fn monitor(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.session.executes {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    ctx.server.monitors.begin(&Arc::clone(&ctx.session.client));
    ctx.session.client.facts().monitors = true;
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn slowlog_get(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let count = match args.get(2) {
        None => SHOWN,
        Some(_) if args.len() > 3 => return Err(CommandError::Arity("slowlog|get".into())),
        Some(count) => match integer(count).filter(|count| *count >= -1) {
            None => return Err(CommandError::text("ERR count should be greater than or equal to -1")),
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        },
    };
    let entries = ctx.server.slowlog.last(count);
    reply.array(entries.len());
    for entry in &entries {
        reply.array(6);
        for number in [entry.number, entry.at, entry.micros] {
            reply.integer(number.cast_signed());
        }
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(Flow::Continue)
}

pub(super) fn slowlog_len(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.server.slowlog.len());
    Ok(Flow::Continue)
}

pub(super) fn slowlog_reset(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.server.slowlog.clear();
    reply.ok();
    Ok(Flow::Continue)
}

/// All replicas are equal, so each is a primary; those of Redis that follow one are not among its peers.
pub(super) fn role(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let position = ctx.position();
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(position.cast_signed());
    reply.array(0);
    Ok(Flow::Continue)
}

pub(super) fn lolwut(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.verbatim(&format!("Redis ver. {REDIS_VERSION}\n"));
    Ok(Flow::Continue)
}

pub(super) fn module_list(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.array(0);
    Ok(Flow::Continue)
}

pub(super) fn no_cluster(_: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}
