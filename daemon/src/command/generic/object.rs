//! OBJECT: what Redis tells of how it keeps a value. Ours are kept otherwise; clients are told what Redis 7.0 would do with
//! the same contents under the limits that are set.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::resp::integer;
use crate::state::Parameters;
use cahoots_gossip::store::{Class, View};

/// The longest string that Redis keeps in one piece with its head.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Unless it is said otherwise, up to so many integers are a sorted array.
const INTEGERS_MAX: usize = 512;
/// Up to so many fields, and so many members with scores, none of them longer, are one string.
const PACKED_FIELDS_MAX: usize = 512;
const PACKED_SCORES_MAX: usize = 128;
const PACKED_BYTES_MAX: usize = 64;
/// Elements that are asked how old they are: time is bounded, however many there are.
const ASKED_MAX: usize = 1_024;

pub(super) fn encoding(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read_any(&args[2]);
    reply.maybe_bulk(view.map(|view| encoding_of(&view, &ctx.server.parameters).as_bytes()));
    Ok(Flow::Continue)
}

fn encoding_of(view: &View<'_>, parameters: &Parameters) -> &'static str {
    let limit = |name, default| parameters.value(name).and_then(|value| value.parse().ok()).unwrap_or(default);
    // A score is never long.
    let has_values = view.class() == Class::Hash;
    let are_packed = |entries, entries_default, value| {
        let bytes_max = limit(value, PACKED_BYTES_MAX);
        let are_short =
            |name: &[u8], value: &[u8]| name.len() <= bytes_max && (!has_values || value.len() <= bytes_max);
        view.len() <= limit(entries, entries_default) && view.iter().all(|(name, value)| are_short(name, &value))
    };
    match view.class() {
        Class::Text => match view.text().unwrap_or_default() {
            text if integer(&text).is_some() => "int",
            text if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
            _ => "raw",
        },
        Class::Set if view.len() <= limit("set-max-intset-entries", INTEGERS_MAX) => {
            if view.iter().all(|(name, _)| integer(name).is_some()) { "intset" } else { "hashtable" }
        }
        Class::Hash if are_packed("hash-max-listpack-entries", PACKED_FIELDS_MAX, "hash-max-listpack-value") => {
            "listpack"
        }
        Class::Set | Class::Hash => "hashtable",
        Class::Sorted if are_packed("zset-max-listpack-entries", PACKED_SCORES_MAX, "zset-max-listpack-value") => {
            "listpack"
        }
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
