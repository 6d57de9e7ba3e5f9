//! Elements removed by value and by index.

use super::{POSITION_BYTES, ranks};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::options::int_arg;
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, ListEnd};

pub(super) fn lrem(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let count = int_arg(&args[2])?;
    let removed = match ctx.current(&args[1], Class::List)? {
        Some(view) => {
            let from = if count < 0 { ListEnd::Right } else { ListEnd::Left };
            let wanted =
                if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
            let count_max = wanted.min(view.len());
            let bytes = count_max * POSITION_BYTES;
            ctx.write(bytes, |writer| writer.remove_equal(&args[1], &args[3], from, count_max))?
        }
        None => 0,
    };
    reply.count(removed);
    Ok(Flow::Continue)
}

pub(super) fn ltrim(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (start, stop) = (int_arg(&args[2])?, int_arg(&args[3])?);
    if let Some(view) = ctx.current(&args[1], Class::List)? {
        let keep = ranks(start, stop, view.len());
        let bytes = (view.len() - keep.len()) * POSITION_BYTES;
        ctx.write(bytes, |writer| writer.trim(&args[1], keep))?;
    }
    reply.ok();
    Ok(Flow::Continue)
}
