//! What DEBUG tells of keys, in Redis's words, and keys that it makes.

use super::{Args, CommandError, Context, Flow, Outcome, Reply, int_arg};
use crate::command::encoding::encoding_of;
use crate::rdb;
use crate::resp::integer;
use cahoots_gossip::store::{View, WriteError};

/// Keys that are made in one event.
const KEYS_AT_ONCE: i64 = 1_000;
/// What a serialized value has besides what Redis counts: its type, the version, the sum.
const NOT_COUNTED_BYTES: usize = 11;
/// Elements that are asked how old they are.
const ASKED_MAX: usize = 1_024;

/// A key by its name in the store, and how Redis would keep its value.
fn view<'v>(ctx: &'v Context<'_>, key: &'v [u8]) -> Result<(View<'v>, &'static str), CommandError> {
    let view = ctx.current_any(key).ok_or(CommandError::text("ERR no such key"))?;
    let encoding = encoding_of(&view, &ctx.server.parameters);
    Ok((view, encoding))
}

pub(super) fn object(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.stored(&args[2]);
    let (view, encoding) = view(ctx, &key)?;
    let serialized = view.value().map_or(0, |value| rdb::dump(&value).len().saturating_sub(NOT_COUNTED_BYTES));
    let idle = ctx.now().wall.saturating_sub(view.written_at(ASKED_MAX)) / 1_000;
    reply.simple(&format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{serialized} lru:0 lru_seconds_idle:{idle}"
    ));
    Ok(Flow::Continue)
}

pub(super) fn listpack(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    is_kept_as(ctx, args, "listpack", "ERR Not a listpack encoded object.")?;
    reply.simple("Listpack structure printed on stdout");
    Ok(Flow::Continue)
}

pub(super) fn quicklist(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    is_kept_as(ctx, args, "quicklist", "ERR Not a quicklist encoded object.")?;
    reply.simple("Quicklist structure printed on stdout");
    Ok(Flow::Continue)
}

fn is_kept_as(ctx: &Context<'_>, args: Args<'_>, encoding: &str, refusal: &'static str) -> Result<(), CommandError> {
    let key = ctx.stored(&args[2]);
    if view(ctx, &key)?.1 == encoding { Ok(()) } else { Err(CommandError::text(refusal)) }
}

/// How many there are: tables here are not those of Redis.
pub(super) fn htstats(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let database = ctx.database(int_arg(&args[2])?).ok_or(CommandError::text("ERR Out of range database"))?;
    let (keys, expire) = ctx.databases().get(&database).copied().unwrap_or_default();
    reply.verbatim(&format!(
        "[Dictionary HT]\n number of elements: {keys}\n[Expires HT]\n number of elements: {expire}\n"
    ));
    Ok(Flow::Continue)
}

pub(super) fn htstats_key(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.stored(&args[2]);
    match view(ctx, &key)? {
        (view, "hashtable" | "skiplist") => reply.verbatim(&format!(" number of elements: {}\n", view.len())),
        _ => {
            return Err(CommandError::text(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    }
    Ok(Flow::Continue)
}

/// Keys that are there stay as they are. In Redis they are made at this server alone; here everything is at all daemons.
pub(super) fn populate(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let count = integer(&args[2]).filter(|count| *count >= 0);
    let count = count.ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
    let prefix = args.get(3).unwrap_or(b"key");
    let size = args.get(4).map_or(Ok(0), int_arg)?;
    let size = usize::try_from(size).map_err(|_| CommandError::text("ERR value is out of range, must be positive"))?;
    if size > ctx.limits().value_bytes_max {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let mut next = 0;
    while next < count {
        // Few enough for one event, however long the values are.
        let fit = ctx.limits().group_bytes_max / (size + prefix.len() + 64).max(1);
        let end = count.min(next.saturating_add(KEYS_AT_ONCE.min(i64::try_from(fit).unwrap_or(1)).max(1)));
        let named = (next..end).map(|number| (number, [prefix, format!(":{number}").as_bytes()].concat()));
        let fresh: Vec<(i64, Vec<u8>)> = named
            .map(|(number, key)| (number, ctx.stored(&key).into_owned()))
            .filter(|(_, key)| ctx.current_any(key).is_none())
            .collect();
        let bytes = fresh.iter().map(|(_, key)| key.len() + size.max(32)).sum();
        ctx.write(bytes, |writer| {
            fresh.iter().try_for_each(|(number, key)| {
                let mut value = format!("value:{number}").into_bytes();
                if size > 0 {
                    value.resize(size, 0);
                }
                writer.set(key, &value)
            })
        })
        .map_err(|error: WriteError| CommandError::from(error))?;
        next = end;
    }
    reply.ok();
    Ok(Flow::Continue)
}
