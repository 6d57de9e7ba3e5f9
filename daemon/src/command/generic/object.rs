//! OBJECT: what Redis tells of how it keeps a value. Ours are kept otherwise; clients are told what Redis 7.0 would do with
//! the same contents under the limits that are set.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::encoding::encoding_of;
use crate::command::error::CommandError;

/// Elements that are asked how old they are: time is bounded, however many there are.
const ASKED_MAX: usize = 1_024;

pub(super) fn encoding(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.peek(&args[2]);
    reply.maybe_bulk(view.map(|view| encoding_of(&view, &ctx.server.parameters).as_bytes()));
    Ok(Flow::Continue)
}

/// Uses are counted while a policy of eviction is about them.
pub(super) fn freq(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match (ctx.peek(&args[2]).is_some(), ctx.frequency_of(&args[2])) {
        (false, _) => reply.null(),
        (true, Some(frequency)) => reply.integer(frequency.into()),
        (true, None) => {
            return Err(CommandError::text(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    }
    Ok(Flow::Continue)
}

/// Since the last use, while a policy of eviction is about that; else since the last write.
pub(super) fn idletime(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(written) = ctx.peek(&args[2]).map(|view| view.written_at(ASKED_MAX)) else {
        reply.null();
        return Ok(Flow::Continue);
    };
    if ctx.server.memory_bound().policy.is_lfu() {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let idle = ctx.idle_ms(&args[2]).unwrap_or_else(|| ctx.time().saturating_sub(written));
    reply.integer(i64::try_from(idle / 1_000).unwrap_or(i64::MAX));
    Ok(Flow::Continue)
}

/// Nothing is shared.
pub(super) fn refcount(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match ctx.peek(&args[2]) {
        Some(_) => reply.integer(1),
        None => reply.null(),
    }
    Ok(Flow::Continue)
}
