//! XCLAIM and XAUTOCLAIM: what was handed out to one consumer becomes another's.

use std::collections::HashMap;

use super::group::no_key_or_group;
use super::pending::idle;
use super::{id, reply_entry, reply_id};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, Delivery, Group, GroupStart, Stream, StreamId, WriteError, delivery_bytes};

/// Entries that XAUTOCLAIM claims unless it is told how many.
const COUNT: usize = 100;
/// For each of which it looks at so many at most.
const LOOKS: usize = 10;
/// More than that is no count of XAUTOCLAIM, as in Redis.
const COUNT_MAX: i64 = i64::MAX / 16;
/// Bytes that are written of a consumer beside names, at most.
const HEAD_BYTES: usize = 64;

/// What becomes of entries that are pending.
#[derive(Default)]
struct Claim {
    /// Those that are claimed: to when, and how often they were handed out.
    taken: Vec<(StreamId, u64, u64)>,
    /// Those that are pending no more, for the entries are gone.
    gone: Vec<StreamId>,
    /// Up to where the group has come, if that is said.
    last: Option<(StreamId, Option<u64>)>,
}

/// What is behind the ids of XCLAIM.
#[derive(Default)]
struct Options {
    at: Option<i64>,
    count: Option<i64>,
    forced: bool,
    only_ids: bool,
    last: StreamId,
}

impl Options {
    fn parse(args: Args<'_>, now: i64) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let number = |value: &[u8], error| int_arg(value).map_err(|_| CommandError::text(error));
        let mut words = args.iter();
        while let Some(word) = words.next() {
            if is(word, "force") {
                options.forced = true;
                continue;
            } else if is(word, "justid") {
                options.only_ids = true;
                continue;
            }
            let known = ["idle", "time", "retrycount", "lastid"].into_iter().find(|it| is(word, it));
            let (Some(known), Some(value)) = (known, words.next()) else {
                let word = String::from_utf8_lossy(word);
                return Err(CommandError::Other(format!("ERR Unrecognized XCLAIM option '{word}'").into()));
            };
            match known {
                "idle" => {
                    options.at = Some(now.wrapping_sub(number(value, "ERR Invalid IDLE option argument for XCLAIM")?));
                }
                "time" => options.at = Some(number(value, "ERR Invalid TIME option argument for XCLAIM")?),
                "retrycount" => {
                    options.count = Some(number(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?);
                }
                _ => options.last = id::strict(value, 0)?,
            }
        }
        // What lies ahead, or before all time, is now: clients may have reckoned with a clock of their own.
        options.at = options.at.map(|at| if (0..=now).contains(&at) { at } else { now });
        Ok(options)
    }
}

pub(super) fn xclaim(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer) = (args.at(1), args.at(2), args.at(3));
    let stream = ctx.read(key, Class::Stream)?.map(|view| view.stream());
    let group = stream.as_ref().and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    let min_idle = min_idle(args.at(4), "ERR Invalid min-idle-time argument for XCLAIM")?;
    let ids: Vec<StreamId> = args.from(5).iter().map_while(|arg| id::strict(arg, 0).ok()).collect();
    let now = ctx.time();
    let options = Options::parse(args.from(5 + ids.len()), now.cast_signed())?;
    let mut claim = Claim::default();
    let reached = group.last_delivered();
    claim.last = (options.last > reached).then(|| (options.last, group.counts().0));
    let at = options.at.map_or(now, i64::cast_unsigned);
    let mut seen = HashMap::new();
    for id in ids {
        // The same id may be there more than once: what it came to before is what is found.
        let known = seen.get(&id).copied().unwrap_or_else(|| group.delivery(id).map(|it| (idle(now, &it), it.count)));
        if group.stream().entry(id).is_none() {
            if known.is_some() {
                claim.gone.push(id);
                seen.insert(id, None);
            }
            continue;
        }
        let count = match known {
            Some((idle, _)) if min_idle > 0 && idle < min_idle => continue,
            Some((_, count)) => count,
            None if options.forced => 1,
            None => continue,
        };
        let count = match options.count {
            Some(count) if count >= 0 => count.cast_unsigned(),
            _ => count.saturating_add(u64::from(!options.only_ids)),
        };
        claim.taken.push((id, at, count));
        seen.insert(id, Some((i64::try_from(now.saturating_sub(at)).unwrap_or(i64::MAX), count)));
    }
    let answer = claim.answer(group.stream(), options.only_ids, reply);
    claim.carry_out(ctx, (key, name, consumer))?;
    reply.written(&answer);
    Ok(Flow::Continue)
}

pub(super) fn xautoclaim(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer) = (args.at(1), args.at(2), args.at(3));
    let min_idle = min_idle(args.at(4), "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let (start, _) = id::interval(args.at(5), b"+")?;
    let (mut count, mut only_ids) = (COUNT, false);
    let mut words = args.from(6).iter();
    while let Some(word) = words.next() {
        if is(word, "justid") {
            only_ids = true;
        } else if is(word, "count")
            && let Some(value) = words.next()
        {
            let given = int_arg(value).ok().filter(|count| (1..=COUNT_MAX).contains(count));
            let given = given.ok_or(CommandError::text("ERR COUNT must be > 0"))?;
            count = usize::try_from(given).unwrap_or(usize::MAX);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let stream = ctx.read(key, Class::Stream)?.map(|view| view.stream());
    let group = stream.as_ref().and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    let now = ctx.time();
    let most = (ctx.limits().group_bytes_max / 2 / delivery_bytes(key, name, consumer)).min(count);
    let (claim, next) = idle_ones(&group, start, (now, min_idle), (count, most), only_ids);
    let answer = claim.answer(group.stream(), only_ids, reply);
    claim.carry_out(ctx, (key, name, consumer))?;
    reply.array(3);
    reply_id(reply, next);
    reply.written(&answer);
    reply.array(claim.gone.len());
    claim.gone.iter().for_each(|id| reply_id(reply, *id));
    Ok(Flow::Continue)
}

/// The entries from `start` on that nobody was handed for so long, `most` at most, and the first one that was not looked at.
fn idle_ones(
    group: &Group<'_, '_>,
    start: StreamId,
    (now, min_idle): (u64, i64),
    (count, most): (usize, usize),
    only_ids: bool,
) -> (Claim, StreamId) {
    let (mut claim, mut looks) = (Claim::default(), count.saturating_mul(LOOKS));
    for (id, delivery) in group.pending(start, StreamId::MAX) {
        if looks == 0 || claim.taken.len() + claim.gone.len() >= most {
            return (claim, id);
        }
        looks -= 1;
        if group.stream().entry(id).is_none() {
            claim.gone.push(id);
        } else if min_idle == 0 || idle(now, &delivery) >= min_idle {
            claim.taken.push((id, now, delivery.count.saturating_add(u64::from(!only_ids))));
        }
    }
    (claim, StreamId::MIN)
}

/// Milliseconds for which an entry was not handed out to be claimed.
fn min_idle(arg: &[u8], error: &'static str) -> Result<i64, CommandError> {
    int_arg(arg).map(|idle| idle.max(0)).map_err(|_| CommandError::text(error))
}

impl Claim {
    /// What is claimed, as it is answered.
    fn answer(&self, stream: &Stream<'_>, only_ids: bool, reply: &Reply<'_>) -> Vec<u8> {
        let mut answer = Vec::new();
        Reply::new(&mut answer, reply.protocol()).array_of(|items| {
            for (id, ..) in &self.taken {
                match stream.entry(*id) {
                    Some(fields) if !only_ids => reply_entry(items.one(), (*id, fields)),
                    _ => reply_id(items.one(), *id),
                }
            }
        });
        answer
    }

    /// Writes all of it, and that the consumer has asked.
    fn carry_out(
        &self,
        ctx: &mut Context<'_>,
        (key, group, consumer): (&[u8], &[u8], &[u8]),
    ) -> Result<(), CommandError> {
        let now = ctx.time();
        let bytes = (self.taken.len() + self.gone.len() + 2) * delivery_bytes(key, group, consumer) + HEAD_BYTES;
        let is_new = ctx.write(bytes, |writer| {
            writer.admit_group(bytes)?;
            let is_new = writer.touch_consumer(key, group, consumer, now, (!self.taken.is_empty()).then_some(now))?;
            if let Some((last, read)) = self.last {
                writer.set_group(key, group, GroupStart::After(last), read)?;
            }
            writer.acknowledge(key, group, &self.gone)?;
            for (id, at, count) in &self.taken {
                writer.set_delivery(key, group, *id, Delivery { consumer, at: *at, count: *count })?;
            }
            Ok::<_, WriteError>(is_new)
        })?;
        ctx.nothing_happened();
        if is_new {
            ctx.happened(key, "xgroup-createconsumer");
        }
        Ok(())
    }
}
