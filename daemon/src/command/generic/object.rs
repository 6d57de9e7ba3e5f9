//! OBJECT: what Redis tells of how it keeps a value. Ours are kept otherwise; clients are told what Redis 7.0 would do with
//! the same contents under its default limits.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::resp::integer;
use cahoots_gossip::store::{Class, View};

/// The longest string that Redis keeps in one piece with its head.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Up to so many integers are a sorted array.
const INTEGERS_MAX: usize = 512;
/// Up to so many fields, and so many members with scores, none of them longer, are one string.
const PACKED_FIELDS_MAX: usize = 512;
const PACKED_SCORES_MAX: usize = 128;
const PACKED_BYTES_MAX: usize = 64;
/// Elements that are asked how old they are: time is bounded, however many there are.
const ASKED_MAX: usize = 1_024;

pub(super) fn encoding(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.maybe_bulk(ctx.read_any(&args[2]).map(|view| encoding_of(&view).as_bytes()));
    Ok(Flow::Continue)
}

fn encoding_of(view: &View<'_>) -> &'static str {
    let are_short = |max: usize| {
        let are_short =
            |(name, value): (&[u8], &[u8])| name.len() <= PACKED_BYTES_MAX && value.len() <= PACKED_BYTES_MAX;
        view.len() <= max && view.iter().all(|(name, value)| are_short((name, &value)))
    };
    match view.class() {
        Class::Text => match view.text().unwrap_or_default() {
            text if integer(&text).is_some() => "int",
            text if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
            _ => "raw",
        },
        Class::Set if view.len() <= INTEGERS_MAX && view.iter().all(|(name, _)| integer(name).is_some()) => "intset",
        Class::Hash if are_short(PACKED_FIELDS_MAX) => "listpack",
        Class::Set | Class::Hash => "hashtable",
        Class::Sorted if are_short(PACKED_SCORES_MAX) => "listpack",
        Class::Sorted => "skiplist",
        Class::List => "quicklist",
        Class::Stream => "stream",
        _ => "raw",
    }
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
