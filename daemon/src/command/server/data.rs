//! The time, and commands on all data at once.

use std::time::SystemTime;

use super::{Args, CommandError, Context, Flow, Outcome, Reply, is};
use crate::command::context::WALK_KEYS;
use crate::command::libraries;

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
    if is(&args[0], "flushdb") && has_others(ctx) {
        clear_database(ctx)?;
    } else {
        clear(ctx)?;
    }
    reply.ok();
    Ok(Flow::Continue)
}

/// Removes everything but the libraries of functions, in one event.
fn clear(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let view = libraries::view(ctx);
    let kept: Vec<(Vec<u8>, Vec<u8>)> =
        libraries::sorted(view).into_iter().map(|(name, code)| (name.to_vec(), code.into_owned())).collect();
    let bytes = kept.iter().map(|(name, code)| name.len() + code.len()).sum();
    ctx.write(bytes, |writer| {
        writer.clear()?;
        libraries::put(writer, kept.iter().map(|(name, code)| (&**name, &**code)))
    })?;
    Ok(())
}

/// Between writers it has no meaning: a key that another daemon writes meanwhile would be in either database.
pub(super) fn swapdb(_: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    Err(CommandError::text("ERR SWAPDB is not possible where several daemons write"))
}

fn has_others(ctx: &mut Context<'_>) -> bool {
    let own = ctx.session.database;
    ctx.databases().iter().any(|(database, (keys, _))| *database != own && *keys > 0)
}

/// Removes the keys of the client's database: in one event for so many at a time.
fn clear_database(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (mut cursor, mut keys) = (0, Vec::new());
    loop {
        cursor = ctx.scan(cursor, WALK_KEYS, |key, _| keys.push(key.to_vec()));
        let stored: Vec<_> = keys.iter().map(|key| ctx.stored(key)).collect();
        ctx.write(stored.iter().map(|key| key.len()).sum(), |writer| {
            stored.iter().try_for_each(|key| writer.delete(key).map(drop))
        })?;
        keys.clear();
        if cursor == 0 {
            return Ok(());
        }
    }
}
