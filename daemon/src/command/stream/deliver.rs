//! XREADGROUP: entries handed out to the consumers of a group, or shown again to whom they were handed out.
//!
//! What is looked for and what is written are told apart: a plan for each stream says what follows, and then all of them are
//! carried out as one. A reader that waits has a plan made whenever its stream changes, and every so often.

use std::time::Duration;

use super::follow::ReadOptions;
use super::group::no_key_or_group;
use super::share::{Renewal, Turn, seed_of};
use super::{id, reply_entry, reply_id};
use crate::command::blocking;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::resp::{Args, Items, Protocol, Reply};
use crate::watch::Takes;
use cahoots_gossip::ReplicaId;
use cahoots_gossip::store::database::parts;
use cahoots_gossip::store::{Class, Delivery, Group, StreamId, Verdict, WriteError, delivery_bytes};

/// That a consumer has asked is written down anew after so many milliseconds.
const SEEN_MS: u64 = 100;
/// Bytes that are written of a consumer and a share beside names, at most.
const HEAD_BYTES: usize = 256;

/// Who reads, and how.
struct Reader {
    group: Box<[u8]>,
    consumer: Box<[u8]>,
    /// Entries of each stream, at most.
    count: usize,
    /// What is handed out is pending until it is acknowledged.
    keeps: bool,
}

/// What is read of a stream.
#[derive(Clone, Copy)]
enum Wanted {
    /// What was handed out to nobody.
    New,
    /// What was handed out to this consumer, above an id.
    After(StreamId),
}

/// What follows for one stream.
struct Plan {
    key: Box<[u8]>,
    /// What is answered: the list of entries.
    answer: Option<Vec<u8>>,
    /// What is handed out, with who wrote it.
    new: Vec<(StreamId, ReplicaId)>,
    /// What is shown again, with how often it was handed out then.
    again: Vec<(StreamId, u64)>,
    /// Whether the consumer is one already, and whether that it asks is written down.
    is_known: bool,
    touches: bool,
    renewal: Renewal,
}

pub(super) fn xreadgroup(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let ReadOptions { count, block, keys, ids, group, keeps } = ReadOptions::parse(ctx, args, true)?;
    let (group, consumer) = group.ok_or(CommandError::text("ERR Missing GROUP option for XREADGROUP"))?;
    let reader = Reader { group: group.into(), consumer: consumer.into(), count, keeps };
    let mut wanted = Vec::with_capacity(keys.len());
    for (key, arg) in keys.iter().zip(ids.iter()) {
        let view = ctx.read(key, Class::Stream)?;
        if view.is_none_or(|view| view.stream().group(group).is_none()) {
            return Err(reader.no_group(key));
        }
        wanted.push((key, wanted_of(arg)?));
    }
    reader.run(ctx, &wanted, keys, block, reply)
}

fn wanted_of(arg: &[u8]) -> Result<Wanted, CommandError> {
    match arg {
        b">" => Ok(Wanted::New),
        b"$" => Err(CommandError::text(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
             specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
        )),
        arg => id::strict(arg, 0).map(Wanted::After),
    }
}

impl Reader {
    fn no_group(&self, key: &[u8]) -> CommandError {
        no_key_or_group(key, &self.group, " in XREADGROUP with GROUP option")
    }

    /// Answers what there is of all streams; else waits until there is something at one of them, if it may.
    fn run(
        self,
        ctx: &mut Context<'_>,
        wanted: &[(&[u8], Wanted)],
        keys: Args<'_>,
        block: Option<Option<Duration>>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let mut plans: Vec<Plan> = Vec::with_capacity(wanted.len());
        for (key, wanted) in wanted {
            let taken: Vec<StreamId> =
                plans.iter().filter(|it| *it.key == **key).flat_map(|it| &it.new).map(|(id, _)| *id).collect();
            plans.push(self.plan(ctx, key, *wanted, &taken, reply.protocol())?);
        }
        self.carry_out(ctx, &plans)?;
        if answer(&plans, reply) {
            return Ok(Flow::Continue);
        }
        let Some(timeout) = block else {
            reply.null_array();
            return Ok(Flow::Continue);
        };
        let takes = Takes::Entries(self.group.clone());
        let look = move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| {
            let mut plan = self.plan(ctx, key, Wanted::New, &[], reply.protocol())?;
            plan.touches &= plan.answer.is_some();
            let plans = [plan];
            self.carry_out(ctx, &plans)?;
            Ok(answer(&plans, reply))
        };
        blocking::first_of(ctx, keys, timeout, Some(takes), Box::new(look), |reply| reply.null_array(), reply)
    }

    /// What follows for one stream, of which some entries are taken already.
    fn plan(
        &self,
        ctx: &Context<'_>,
        key: &[u8],
        wanted: Wanted,
        taken: &[StreamId],
        protocol: Protocol,
    ) -> Result<Plan, CommandError> {
        let stream = ctx.current(key, Class::Stream)?.map(|view| view.stream());
        let group = stream.as_ref().and_then(|stream| stream.group(&self.group)).ok_or_else(|| self.no_group(key))?;
        let (now, me) = (ctx.time(), ctx.replica_id());
        let consumer = group.consumer(&self.consumer);
        let mut plan = Plan {
            key: key.into(),
            answer: None,
            new: Vec::new(),
            again: Vec::new(),
            is_known: consumer.is_some(),
            touches: consumer.is_none_or(|it| it.seen.saturating_add(SEEN_MS) <= now),
            renewal: Renewal::default(),
        };
        match wanted {
            Wanted::New => {
                plan.renewal = Renewal::due(me, now, &group, |it| ctx.is_live(it));
                plan.new = self.unread(ctx, key, &group, taken);
                if !plan.new.is_empty() {
                    plan.answer = Some(list(protocol, |entries| {
                        for (id, _) in &plan.new {
                            reply_entry(entries.one(), (*id, group.stream().entry(*id).expect("it was found")));
                        }
                    }));
                }
            }
            Wanted::After(above) => {
                let own = group.pending(above.above().unwrap_or(above), StreamId::MAX);
                let own = own.filter(|(id, it)| *id > above && *it.consumer == *self.consumer).take(self.count);
                plan.answer = Some(list(protocol, |entries| {
                    for (id, delivery) in own {
                        let entry = entries.one();
                        match group.stream().entry(id) {
                            Some(fields) => {
                                plan.again.push((id, delivery.count.saturating_add(1)));
                                reply_entry(entry, (id, fields));
                            }
                            // It was removed, and is pending still.
                            None => {
                                entry.array(2);
                                reply_id(entry, id);
                                entry.null_array();
                            }
                        }
                    }
                }));
            }
        }
        plan.touches |= !plan.new.is_empty() && self.keeps;
        Ok(plan)
    }

    /// The entries that are handed out now.
    fn unread(
        &self,
        ctx: &Context<'_>,
        key: &[u8],
        group: &Group<'_, '_>,
        taken: &[StreamId],
    ) -> Vec<(StreamId, ReplicaId)> {
        let (now, me) = (ctx.time(), ctx.replica_id());
        let most = ctx.limits().group_bytes_max / 2 / delivery_bytes(key, &self.group, &self.consumer);
        let (most, mut found, mut turn) = (self.count.min(most), Vec::new(), None);
        ctx.server.groups.with(key, &self.group, |memory| {
            memory.sample(now, group.stream());
            let mut progress = std::mem::take(&mut memory.progress);
            group.unread(&mut progress, |entry| {
                if found.len() >= most {
                    return Verdict::Stop;
                }
                let turn = turn.get_or_insert_with(|| {
                    Turn::new(me, now, seed_of(key, &self.group), &group.shares(), |it| ctx.is_live(it))
                });
                if taken.contains(&entry.id) || !turn.may(entry, memory) {
                    return Verdict::Leave;
                }
                found.push((entry.id, entry.origin));
                Verdict::Take
            });
            memory.progress = progress;
        });
        found
    }

    /// Writes what follows, if anything does.
    fn carry_out(&self, ctx: &mut Context<'_>, plans: &[Plan]) -> Result<(), CommandError> {
        let (now, group, consumer) = (ctx.time(), &*self.group, &*self.consumer);
        if plans.iter().any(Plan::writes) {
            let bytes = plans.iter().filter(|plan| plan.writes()).map(|plan| {
                let each = delivery_bytes(&plan.key, group, consumer);
                (plan.new.len() + plan.again.len() + 3) * each + HEAD_BYTES
            });
            let bytes = bytes.sum();
            ctx.write(bytes, |writer| {
                writer.admit_group(bytes)?;
                for plan in plans {
                    let delivery = Delivery { consumer, at: now, count: 1 };
                    if plan.touches {
                        let is_active = self.keeps && !plan.new.is_empty();
                        writer.touch_consumer(&plan.key, group, consumer, now, is_active.then_some(now))?;
                    }
                    if let Some(since) = plan.renewal.since {
                        writer.forget_shares(&plan.key, group, &plan.renewal.gone)?;
                        writer.set_share(&plan.key, group, since, now)?;
                    }
                    writer.hand_out(&plan.key, group, &plan.new, self.keeps.then_some(delivery))?;
                    for (id, count) in &plan.again {
                        writer.set_delivery(&plan.key, group, *id, Delivery { count: *count, ..delivery })?;
                    }
                }
                Ok::<_, WriteError>(())
            })?;
        }
        ctx.nothing_happened();
        for plan in plans.iter().filter(|plan| plan.touches && !plan.is_known) {
            ctx.happened(&plan.key, "xgroup-createconsumer");
        }
        Ok(())
    }
}

/// A list as it is answered.
fn list(protocol: Protocol, fill: impl FnOnce(&mut Items<'_, '_>)) -> Vec<u8> {
    let mut answer = Vec::new();
    Reply::new(&mut answer, protocol).array_of(fill);
    answer
}

impl Plan {
    fn writes(&self) -> bool {
        self.touches || !self.renewal.is_none() || !self.new.is_empty() || !self.again.is_empty()
    }
}

/// Answers what there is, if there is something.
fn answer(plans: &[Plan], reply: &mut Reply<'_>) -> bool {
    let answers = || plans.iter().filter_map(|plan| Some((&plan.key, plan.answer.as_ref()?)));
    if answers().next().is_none() {
        return false;
    }
    reply.keyed(answers().count());
    for (key, entries) in answers() {
        reply.key(parts(key).1);
        reply.written(entries);
    }
    true
}
