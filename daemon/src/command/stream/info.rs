//! XINFO: what there is to tell about a stream. There are no groups yet.

use super::{reply_entries, reply_entry, reply_id};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::database::parts;
use cahoots_gossip::store::{Class, Stream, StreamId, View};

/// Entries that FULL shows unless it is told how many.
const COUNT: i64 = 10;

fn found<'s>(ctx: &'s Context<'_>, key: &'s [u8]) -> Result<View<'s>, CommandError> {
    ctx.current(key, Class::Stream)?.ok_or(CommandError::text("ERR no such key"))
}

/// The number of entries that FULL shows, 0 for all; `None` without it.
fn full(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let wrong = || {
        let name = String::from_utf8_lossy(&args[1]);
        let text = format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try XINFO HELP.");
        CommandError::Other(text.into())
    };
    let count = match (args.get(3), args.get(4), args.get(5)) {
        (None, ..) => return Ok(None),
        (Some(full), None, _) if is(full, "full") => COUNT,
        (Some(full), Some(word), Some(count)) if args.len() == 6 && is(full, "full") && is(word, "count") => {
            Some(int_arg(count)?).filter(|count| *count >= 0).unwrap_or(COUNT)
        }
        _ => return Err(wrong()),
    };
    Ok(Some(usize::try_from(count).unwrap_or(usize::MAX)))
}

pub(super) fn stream(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = found(ctx, args.at(2))?;
    let full = full(args)?;
    let stream = view.stream();
    reply.map_of(|fields| {
        let len = stream.len() as u64;
        fields.count("length", len);
        // Entries lie in no radix tree here.
        fields.count("radix-tree-keys", 0);
        fields.count("radix-tree-nodes", 0);
        reply_id(fields.field("last-generated-id"), stream.last_id());
        reply_id(fields.field("max-deleted-entry-id"), stream.mark().max_deleted);
        fields.count("entries-added", stream.mark().removed.saturating_add(len));
        reply_id(fields.field("recorded-first-entry-id"), stream.get(0).map_or(StreamId::MIN, |(id, _)| id));
        match full {
            Some(count) => {
                let count = if count == 0 { usize::MAX } else { count };
                reply_entries(fields.field("entries"), stream.ranks(0..count));
                fields.field("groups").array(0);
            }
            None => {
                fields.count("groups", 0);
                edge(fields.field("first-entry"), &stream, Some(0));
                edge(fields.field("last-entry"), &stream, stream.len().checked_sub(1));
            }
        }
    });
    Ok(Flow::Continue)
}

/// The entry of this rank, if there is one.
fn edge(reply: &mut Reply<'_>, stream: &Stream<'_>, rank: Option<usize>) {
    match rank.and_then(|rank| stream.get(rank)) {
        Some(entry) => reply_entry(reply, entry),
        None => reply.null(),
    }
}

pub(super) fn groups(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    found(ctx, args.at(2))?;
    reply.array(0);
    Ok(Flow::Continue)
}

pub(super) fn consumers(ctx: &mut Context<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    found(ctx, args.at(2))?;
    let (group, key) = (String::from_utf8_lossy(&args[3]), String::from_utf8_lossy(parts(&args[2]).1));
    let text = format!("NOGROUP No such consumer group '{group}' for key name '{key}'");
    Err(CommandError::Other(text.into()))
}
