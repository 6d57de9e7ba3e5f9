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
    let view = ctx.peek(&args[2]);
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
