//! Commands about channels: what clients tell each other, and nobody keeps.

mod inspect;

use super::arguments::{Argument, pattern, string};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{FAST, Flags, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE};
use super::help::help;
use super::key_use::Channels;
use super::keys::{ALL_KEYS, ONE_KEY};
use crate::pubsub::{CLIENT_BYTES_MAX, Subscriptions, TOTAL_BYTES_MAX, Topic};
use crate::resp::{Args, Reply};

const GROUP: &str = "pubsub";

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler)
}

const ALWAYS: Flags = LOADING.and(STALE);
const LISTEN: Flags = PUBSUB.and(NOSCRIPT).and(ALWAYS);
const SPEAK: Flags = PUBSUB.and(ALWAYS).and(FAST);
const ASK: Flags = PUBSUB.and(ALWAYS);

const CHANNELS: &[Argument] = &[string("channel").multiple()];
const MAYBE_CHANNELS: &[Argument] = &[string("channel").multiple().optional()];
const SHARD_CHANNELS: &[Argument] = &[string("shardchannel").multiple()];
const MAYBE_SHARD_CHANNELS: &[Argument] = &[string("shardchannel").multiple().optional()];
const MAYBE_PATTERN: &[Argument] = &[pattern("pattern").optional()];

pub(in crate::command) const COMMANDS: &[Command] = &[
    command("subscribe", -2, LISTEN, subscribe)
        .on(Channels::All)
        .about("2.0.0", "O(N), N the channels", "Listens to channels.")
        .takes(CHANNELS),
    command("unsubscribe", -1, LISTEN, unsubscribe)
        .about("2.0.0", "O(N), N the channels", "Listens to channels, or to any channel, no longer.")
        .takes(MAYBE_CHANNELS),
    command("psubscribe", -2, LISTEN, psubscribe)
        .on(Channels::Patterns)
        .about("2.0.0", "O(N), N the patterns", "Listens to all channels whose names match.")
        .takes(&[pattern("pattern").multiple()]),
    command("punsubscribe", -1, LISTEN, punsubscribe)
        .about("2.0.0", "O(N), N the patterns", "Listens to patterns, or to any pattern, no longer.")
        .takes(&[pattern("pattern").multiple().optional()]),
    command("ssubscribe", -2, LISTEN, ssubscribe)
        .on(Channels::All)
        .about("7.0.0", "O(N), N the channels", "Listens to channels of shards.")
        .at(ALL_KEYS)
        .takes(SHARD_CHANNELS),
    command("sunsubscribe", -1, LISTEN, sunsubscribe)
        .about("7.0.0", "O(N), N the channels", "Listens to channels of shards, or to any of them, no longer.")
        .at(ALL_KEYS)
        .takes(MAYBE_SHARD_CHANNELS),
    command("publish", 3, SPEAK.and(MAY_REPLICATE), publish)
        .on(Channels::First)
        .about("2.0.0", "O(N + M), N those who listen to the channel, M all patterns", "Sends a message to a channel.")
        .takes(&[string("channel"), string("message")]),
    command("spublish", 3, SPEAK.and(MAY_REPLICATE), spublish)
        .on(Channels::First)
        .about("7.0.0", "O(N), N those who listen to the channel", "Sends a message to a channel of a shard.")
        .at(ONE_KEY)
        .takes(&[string("shardchannel"), string("message")]),
    Command::container(
        GROUP,
        "pubsub",
        &[
            command("pubsub|channels", -2, ASK, inspect::channels)
                .about("2.8.0", "O(N), N the channels", "Lists the channels that clients of this daemon listen to.")
                .takes(MAYBE_PATTERN),
            command("pubsub|numpat", 2, ASK, inspect::numpat).about(
                "2.8.0",
                "O(1)",
                "Counts the patterns that clients of this daemon listen to.",
            ),
            command("pubsub|numsub", -2, ASK, inspect::numsub)
                .about("2.8.0", "O(N), N the channels asked about", "Counts who of this daemon listens to channels.")
                .takes(MAYBE_CHANNELS),
            command("pubsub|shardchannels", -2, ASK, inspect::shardchannels)
                .about("7.0.0", "O(N), N the channels", "Lists the channels of shards that are listened to.")
                .takes(MAYBE_PATTERN),
            command("pubsub|shardnumsub", -2, ASK, inspect::shardnumsub)
                .about("7.0.0", "O(N), N the channels asked about", "Counts who listens to channels of shards.")
                .takes(MAYBE_SHARD_CHANNELS),
            command("pubsub|help", 2, ALWAYS, help).about("6.2.0", "O(1)", "Explains the subcommands."),
        ],
    )
    .about("2.8.0", "Depends on the subcommand", "Commands about who listens."),
];

fn subscribe(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    listen(ctx, Topic::Channel, "subscribe", args.from(1), reply)
}

fn psubscribe(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    listen(ctx, Topic::Pattern, "psubscribe", args.from(1), reply)
}

fn ssubscribe(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if ctx.session.executes {
        return Err(CommandError::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    listen(ctx, Topic::Shard, "ssubscribe", args.from(1), reply)
}

fn unsubscribe(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    leave(ctx, Topic::Channel, "unsubscribe", args.from(1), reply);
    Ok(Flow::Continue)
}

fn punsubscribe(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    leave(ctx, Topic::Pattern, "punsubscribe", args.from(1), reply);
    Ok(Flow::Continue)
}

fn sunsubscribe(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    leave(ctx, Topic::Shard, "sunsubscribe", args.from(1), reply);
    Ok(Flow::Continue)
}

fn listen(ctx: &mut Context<'_>, topic: Topic, word: &'static str, names: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (session, pubsub) = (&mut *ctx.session, &ctx.server.pubsub);
    let mut its = session.subscriptions.take().unwrap_or_default();
    let has_room = pubsub.has_room(&its, topic, names.iter());
    for name in names.iter().filter(|_| has_room) {
        pubsub.subscribe(&session.client, &mut its, topic, name);
        told(reply, word, Some(name), count(&its, topic));
    }
    session.client.set_listens(!its.is_empty());
    session.subscriptions = (!its.is_empty()).then_some(its);
    if has_room {
        return Ok(Flow::Continue);
    }
    let refusal = format!(
        "ERR too many subscriptions: names take {CLIENT_BYTES_MAX} bytes of one client at most, {TOTAL_BYTES_MAX} of all"
    );
    Err(CommandError::Other(refusal.into()))
}

fn leave(ctx: &mut Context<'_>, topic: Topic, word: &'static str, names: Args<'_>, reply: &mut Reply<'_>) {
    let (session, pubsub) = (&mut *ctx.session, &ctx.server.pubsub);
    let mut its = session.subscriptions.take().unwrap_or_default();
    let given = names.iter().map(Box::from);
    let all: Vec<Box<[u8]>> =
        if names.is_empty() { its.names(topic).map(Box::from).collect() } else { given.collect() };
    for name in &all {
        pubsub.unsubscribe(&session.client, &mut its, topic, name);
        told(reply, word, Some(name), count(&its, topic));
    }
    if all.is_empty() {
        told(reply, word, None, count(&its, topic));
    }
    session.client.set_listens(!its.is_empty());
    session.subscriptions = (!its.is_empty()).then_some(its);
}

/// Channels and patterns are counted together, those of shards apart.
fn count(its: &Subscriptions, topic: Topic) -> usize {
    match topic {
        Topic::Channel | Topic::Pattern => its.len(Topic::Channel) + its.len(Topic::Pattern),
        Topic::Shard => its.len(Topic::Shard),
    }
}

fn told(reply: &mut Reply<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word.as_bytes());
    reply.maybe_bulk(name);
    reply.count(count);
}

fn publish(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.publish(Topic::Channel, &args[1], &args[2])?);
    Ok(Flow::Continue)
}

fn spublish(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.publish(Topic::Shard, &args[1], &args[2])?);
    Ok(Flow::Continue)
}
