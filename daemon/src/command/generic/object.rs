//! OBJECT: what Redis tells of how it keeps a value. Ours are kept otherwise; clients are told what Redis 7.0 would do with
//! the same contents under the limits that are set.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::encoding::encoding_of;
use crate::command::error::CommandError;

/// Elements that are asked how old they are: time is bounded, however many there are.
const ASKED_MAX: usize = 1_024;

pub(super) fn encoding(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read_any(&args[2]);
    reply.maybe_bulk(view.map(|view| encoding_of(&view, &ctx.server.parameters).as_bytes()));
    Ok(Flow::Continue)
}

/// No access is counted.
pub(super) fn freq(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.read_any(&args[2]).is_some() {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    reply.null();
    Ok(Flow::Continue)
}

/// Reads leave no trace, so this is since the last write.
pub(super) fn idletime(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match ctx.read_any(&args[2]).map(|view| view.written_at(ASKED_MAX)) {
        Some(written) => reply.integer(i64::try_from(ctx.time().saturating_sub(written) / 1_000).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
    Ok(Flow::Continue)
}

/// Nothing is shared.
pub(super) fn refcount(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match ctx.read_any(&args[2]) {
        Some(_) => reply.integer(1),
        None => reply.null(),
    }
    Ok(Flow::Continue)
}
