//! XINFO: what there is to tell about a stream, its groups and their consumers.

use std::collections::BTreeMap;

use super::group::no_group;
use super::{reply_entries, reply_entry, reply_id};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Fields, Reply};
use cahoots_gossip::store::{Class, Consumer, Delivery, Group, Stream, StreamId, View};

/// Entries that FULL shows unless it is told how many.
const COUNT: i64 = 10;

/// Entries that are pending, each with its delivery.
type Pending<'a> = Vec<(StreamId, Delivery<'a>)>;

fn found<'s>(ctx: &'s Context<'_>, key: &'s [u8]) -> Result<View<'s>, CommandError> {
    ctx.current(key, Class::Stream)?.ok_or(CommandError::text("ERR no such key"))
}

/// The number of entries that FULL shows, 0 for all; `None` without it.
fn full(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let count = match (args.get(3), args.get(4), args.get(5)) {
        (None, ..) => return Ok(None),
        (Some(full), None, _) if is(full, "full") => COUNT,
        (Some(full), Some(word), Some(count)) if args.len() == 6 && is(full, "full") && is(word, "count") => {
            Some(int_arg(count)?).filter(|count| *count >= 0).unwrap_or(COUNT)
        }
        _ => return Err(CommandError::wrong_subcommand(args)),
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
        fields.count("entries-added", stream.added());
        reply_id(fields.field("recorded-first-entry-id"), stream.get(0).map_or(StreamId::MIN, |(id, _)| id));
        match full {
            Some(count) => {
                let count = if count == 0 { usize::MAX } else { count };
                reply_entries(fields.field("entries"), stream.ranks(0..count));
                let groups = stream.groups();
                let known = groups.iter().filter_map(|name| Some((name, stream.group(name)?)));
                fields.field("groups").array_of(|items| {
                    known
                        .for_each(|(name, group)| items.one().map_of(|fields| full_group(name, &group, count, fields)));
                });
            }
            None => {
                fields.count("groups", stream.groups().len() as u64);
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

/// A group with what is pending, and with its consumers.
fn full_group(name: &[u8], group: &Group<'_, '_>, count: usize, fields: &mut Fields<'_, '_>) {
    fields.field("name").bulk(name);
    reply_id(fields.field("last-delivered-id"), group.last_delivered());
    counts(group, fields);
    let pending: Pending<'_> = group.pending(StreamId::MIN, StreamId::MAX).collect();
    fields.count("pel-count", pending.len() as u64);
    fields.field("pending").array_of(|items| {
        for (id, delivery) in pending.iter().take(count) {
            let item = items.one();
            item.array(4);
            reply_id(item, *id);
            item.bulk(delivery.consumer);
            item.integer(delivery.at.cast_signed());
            item.integer(delivery.count.cast_signed());
        }
    });
    fields.field("consumers").array_of(|items| {
        for consumer in group.consumers() {
            items.one().map_of(|fields| full_consumer(&consumer, &pending, count, fields));
        }
    });
}

fn full_consumer(consumer: &Consumer, pending: &Pending<'_>, count: usize, fields: &mut Fields<'_, '_>) {
    fields.field("name").bulk(&consumer.name);
    fields.count("seen-time", consumer.seen);
    fields.field("active-time").integer(consumer.active.map_or(-1, u64::cast_signed));
    let own = || pending.iter().filter(|(_, it)| *it.consumer == *consumer.name);
    fields.count("pel-count", own().count() as u64);
    fields.field("pending").array_of(|items| {
        for (id, delivery) in own().take(count) {
            let item = items.one();
            item.array(3);
            reply_id(item, *id);
            item.integer(delivery.at.cast_signed());
            item.integer(delivery.count.cast_signed());
        }
    });
}

/// How many entries a group has read and not read, as far as that is known.
fn counts(group: &Group<'_, '_>, fields: &mut Fields<'_, '_>) {
    let (read, lag) = group.counts();
    for (name, count) in [("entries-read", read.map(u64::cast_signed)), ("lag", lag)] {
        match count {
            Some(count) => fields.field(name).integer(count),
            None => fields.field(name).null(),
        }
    }
}

pub(super) fn groups(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = found(ctx, args.at(2))?;
    let stream = view.stream();
    reply.array_of(|items| {
        for name in stream.groups() {
            let Some(group) = stream.group(&name) else { continue };
            items.one().map_of(|fields| {
                fields.field("name").bulk(&name);
                fields.count("consumers", group.consumers_len() as u64);
                fields.count("pending", group.pending_len() as u64);
                reply_id(fields.field("last-delivered-id"), group.last_delivered());
                counts(&group, fields);
            });
        }
    });
    Ok(Flow::Continue)
}

pub(super) fn consumers(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = found(ctx, args.at(2))?;
    let stream = view.stream();
    let group = stream.group(args.at(3)).ok_or_else(|| no_group(args.at(2), args.at(3)))?;
    let now = ctx.time();
    let ago = |at: u64| i64::try_from(now.saturating_sub(at)).unwrap_or(i64::MAX);
    let mut pending: BTreeMap<&[u8], u64> = BTreeMap::new();
    group.pending(StreamId::MIN, StreamId::MAX).for_each(|(_, it)| *pending.entry(it.consumer).or_default() += 1);
    reply.array_of(|items| {
        for consumer in group.consumers() {
            items.one().map_of(|fields| {
                fields.field("name").bulk(&consumer.name);
                fields.count("pending", pending.get(&*consumer.name).copied().unwrap_or(0));
                fields.field("idle").integer(ago(consumer.seen));
                fields.field("inactive").integer(consumer.active.map_or(-1, ago));
            });
        }
    });
    Ok(Flow::Continue)
}
