//! The time, and commands on all data at once.

use std::time::SystemTime;

use super::{Args, CommandError, Context, Flow, Outcome, Reply, is};

pub(super) fn time(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    // Before 1970 there is nothing to tell.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    reply.array(2);
    reply.bulk_integer(now.as_secs());
    reply.bulk_integer(now.subsec_micros().into());
    Ok(Flow::Continue)
}

pub(super) fn dbsize(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.keys());
    Ok(Flow::Continue)
}

/// Removes what this replica has observed; a concurrent write stays.
pub(super) fn flush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match args.get(1) {
        None => {}
        Some(mode) if args.len() == 2 && (is(mode, "sync") || is(mode, "async")) => {}
        Some(_) => return Err(CommandError::Syntax),
    }
    ctx.write(0, |writer| writer.clear().map(drop))?;
    reply.ok();
    Ok(Flow::Continue)
}
