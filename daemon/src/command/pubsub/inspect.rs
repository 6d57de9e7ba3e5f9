//! PUBSUB: who listens to what, at this daemon.

use super::{Args, Context, Flow, Outcome, Reply, Topic};
use crate::command::error::CommandError;

pub(super) fn channels(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    list(ctx, Topic::Channel, args, reply)
}

pub(super) fn shardchannels(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    list(ctx, Topic::Shard, args, reply)
}

fn list(ctx: &mut Context<'_>, topic: Topic, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(CommandError::wrong_subcommand(args));
    }
    let names = ctx.server.pubsub.channels(topic, args.get(2));
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(Flow::Continue)
}

pub(super) fn numsub(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tally(ctx, Topic::Channel, args.from(2), reply);
    Ok(Flow::Continue)
}

pub(super) fn shardnumsub(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tally(ctx, Topic::Shard, args.from(2), reply);
    Ok(Flow::Continue)
}

fn tally(ctx: &mut Context<'_>, topic: Topic, names: Args<'_>, reply: &mut Reply<'_>) {
    reply.array(2 * names.len());
    for name in names.iter() {
        reply.bulk(name);
        reply.count(ctx.server.pubsub.listeners(topic, name));
    }
}

pub(super) fn numpat(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.server.pubsub.counts().0);
    Ok(Flow::Continue)
}
