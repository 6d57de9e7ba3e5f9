//! Parts of strings.

use super::{Args, Context, Flow, Outcome, Reply, copied, int_arg};
use crate::command::error::CommandError;
use cahoots_gossip::store::{Class, View, WriteError};

/// Redis refuses longer strings in these words; the cluster's own maximum is below that.
const STRING_BYTES_MAX: u64 = 512 << 20;

/// GETRANGE, and SUBSTR, which is the same.
pub(super) fn getrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (start, end) = (int_arg(&args[2])?, int_arg(&args[3])?);
    let text = ctx.read(&args[1], Class::Text)?.as_ref().and_then(View::text).unwrap_or_default();
    let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (from, to) = (from_end(start), from_end(end).min(len - 1));
    let is_backwards = start < 0 && end < 0 && start > end;
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok()).filter(|(from, to)| from <= to);
    reply.bulk(range.filter(|_| !is_backwards).map_or(&[], |(from, to)| &text[from..=to]));
    Ok(Flow::Continue)
}

pub(super) fn setrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, part) = (args.at(1), args.at(3));
    let offset = u64::try_from(int_arg(&args[2])?).map_err(|_| CommandError::text("ERR offset is out of range"))?;
    let mut value = ctx.current(key, Class::Text)?.and_then(copied).unwrap_or_default();
    if part.is_empty() {
        reply.count(value.len());
        return Ok(Flow::Continue);
    }
    let end = offset.checked_add(part.len() as u64).filter(|end| *end <= STRING_BYTES_MAX);
    let too_long = CommandError::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    let (Some(end), Ok(offset)) = (end.and_then(|end| usize::try_from(end).ok()), usize::try_from(offset)) else {
        return Err(too_long);
    };
    let len = end.max(value.len());
    ctx.write(key.len() + len, |writer| {
        // Before there is so much of it.
        writer.admit(key, b"", len)?;
        value.resize(len, 0);
        value[offset..end].copy_from_slice(part);
        writer.set_keeping(key, &value)?;
        Ok::<_, WriteError>(())
    })?;
    reply.count(len);
    Ok(Flow::Continue)
}
