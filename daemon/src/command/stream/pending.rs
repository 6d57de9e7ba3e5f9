//! XACK and XPENDING: what was handed out and not acknowledged.

use std::collections::BTreeMap;

use super::group::no_key_or_group;
use super::{id, reply_id};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, Delivery, Group, StreamId};

pub(super) fn xack(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (args.at(1), args.at(2));
    let mut acknowledged = 0;
    let stream = ctx.read(key, Class::Stream)?.map(|view| view.stream());
    if let Some(group) = stream.as_ref().and_then(|stream| stream.group(name)) {
        let ids: Vec<StreamId> = args.from(3).iter().map(|arg| id::strict(arg, 0)).collect::<Result<_, _>>()?;
        if ids.iter().any(|id| group.delivery(*id).is_some()) {
            acknowledged = ctx.write(args.bytes(), |writer| writer.acknowledge(key, name, &ids))?;
            ctx.nothing_happened();
        }
    }
    reply.count(acknowledged);
    Ok(Flow::Continue)
}

/// What XPENDING lists.
struct Query<'a> {
    first: StreamId,
    last: StreamId,
    count: usize,
    /// Milliseconds for which an entry was not handed out again, at least.
    idle: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    /// What is behind the group, if anything is.
    fn parse(args: Args<'a>) -> Result<Option<Self>, CommandError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::Syntax);
        }
        let (mut idle, mut at) = (0, 3);
        if is(args.at(3), "idle") {
            idle = int_arg(args.at(4))?;
            at = 5;
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
        }
        let count = usize::try_from(int_arg(args.at(at + 2))?).unwrap_or(0);
        let (first, last) = id::interval(args.at(at), args.at(at + 1))?;
        Ok(Some(Self { first, last, count, idle, consumer: args.get(at + 3) }))
    }
}

pub(super) fn xpending(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (args.at(1), args.at(2));
    let query = Query::parse(args)?;
    let stream = ctx.read(key, Class::Stream)?.map(|view| view.stream());
    let group = stream.as_ref().and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    match query {
        None => summary(&group, reply),
        Some(query) => {
            let now = ctx.time();
            let idle = |delivery: &Delivery<'_>| idle(now, delivery);
            let listed = group
                .pending(query.first, query.last)
                .filter(|(_, it)| query.consumer.is_none_or(|consumer| it.consumer == consumer))
                .filter(|(_, it)| query.idle == 0 || idle(it) >= query.idle)
                .take(query.count);
            reply.array_of(|entries| {
                for (id, delivery) in listed {
                    let entry = entries.one();
                    entry.array(4);
                    reply_id(entry, id);
                    entry.bulk(delivery.consumer);
                    entry.integer(idle(&delivery));
                    entry.integer(delivery.count.cast_signed());
                }
            });
        }
    }
    Ok(Flow::Continue)
}

/// Milliseconds since an entry was handed out.
pub(super) fn idle(now: u64, delivery: &Delivery<'_>) -> i64 {
    i64::try_from(now.saturating_sub(delivery.at)).unwrap_or(i64::MAX)
}

/// How many entries are pending, which is the first and which the last, and how many at whom.
fn summary(group: &Group<'_, '_>, reply: &mut Reply<'_>) {
    let all = || group.pending(StreamId::MIN, StreamId::MAX);
    reply.array(4);
    reply.count(group.pending_len());
    let (Some((first, _)), Some((last, _))) = (all().next(), all().next_back()) else {
        reply.null();
        reply.null();
        return reply.null_array();
    };
    reply_id(reply, first);
    reply_id(reply, last);
    let mut consumers: BTreeMap<&[u8], u64> = BTreeMap::new();
    all().for_each(|(_, delivery)| *consumers.entry(delivery.consumer).or_default() += 1);
    reply.array(consumers.len());
    for (consumer, count) in consumers {
        reply.array(2);
        reply.bulk(consumer);
        reply.bulk_integer(count);
    }
}
