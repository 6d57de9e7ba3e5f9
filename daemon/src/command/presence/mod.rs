//! Presence: a client is present at a key for as long as its connection lasts, and its daemon.
//!
//! What is held is a guard of the node, which takes the replica's lock when it comes and when it goes; a command runs
//! under that lock. So coming and going are done while the command waits, outside of it.

use super::arguments::KEY;
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{DENYOOM, FAST, Flags, NO_MULTI, NOSCRIPT, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::ONE_KEY;
use super::wait::Wait;
use crate::resp::{Args, Reply};
use cahoots_gossip::ReplicaId;
use cahoots_gossip::store::{Class, View, present};

/// Keys at which one connection may be present. A client that needs more wants a set.
const KEYS_MAX: usize = 1024;

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("presence", name, arity, flags, handler).at(ONE_KEY).takes(&[KEY])
}

pub(super) const COMMANDS: &[Command] = &[
    command("presence.join", 2, WRITE.and(DENYOOM).and(NOSCRIPT).and(NO_MULTI).and(FAST), join)
        .using(&[KeyUse::ADDS])
        .about(
            "0.1.0",
            "O(log N), N the keys at which the connection is present",
            "Makes this connection present at a key until it goes.",
        ),
    command("presence.leave", 2, WRITE.and(NOSCRIPT).and(NO_MULTI).and(FAST), leave).using(&[KeyUse::REMOVES]).about(
        "0.1.0",
        "O(log N), N the keys at which the connection is present",
        "Ends this connection's presence at a key.",
    ),
    command("presence.count", 2, READONLY, count).about(
        "0.1.0",
        "O(N), N the members",
        "Counts who is present at a key, at all live members.",
    ),
    command("presence.members", 2, READONLY, members).about(
        "0.1.0",
        "O(N), N the members",
        "Counts who is present at a key, for each live member.",
    ),
];

/// Says whether this connection was absent.
fn join(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    if ctx.session.present.contains_key(key) {
        reply.count(0);
        return Ok(Flow::Continue);
    }
    ctx.current(key, Class::Presence)?;
    if ctx.session.present.len() >= KEYS_MAX {
        return Err(CommandError::Other(format!("ERR a connection is present at {KEYS_MAX} keys at most").into()));
    }
    ctx.leave_probation();
    let key: Box<[u8]> = key.into();
    let enter = |node: cahoots_gossip::driver::Node, _| async move { (node.presence(&key).join(), key) };
    Ok(Flow::Wait(Wait::new(enter, |ctx, (entered, key), reply| {
        ctx.session.present.insert(key, entered?);
        ctx.wrote();
        reply.count(1);
        Ok(Flow::Continue)
    })))
}

/// Says whether this connection was present.
fn leave(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    if let Some(guard) = ctx.session.present.remove(key) {
        return Ok(Flow::Wait(Wait::new(
            |_, _| async move { drop(guard) },
            |ctx, (), reply| {
                ctx.wrote();
                reply.count(1);
                Ok(Flow::Continue)
            },
        )));
    }
    ctx.current(key, Class::Presence)?;
    reply.count(0);
    Ok(Flow::Continue)
}

fn count(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    ctx.read(key, Class::Presence)?;
    reply.integer(i64::try_from(ctx.present(key)).unwrap_or(i64::MAX));
    Ok(Flow::Continue)
}

/// How many are present at which live replica.
fn members(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(args.at(1), Class::Presence)?;
    let ballots = view.iter().flat_map(View::ballots).filter(|(id, _)| ctx.is_live(*id));
    let members: Vec<(ReplicaId, u32)> = ballots.filter_map(|(id, ballot)| Some((id, present(ballot)?))).collect();
    reply.map(members.len());
    for (id, count) in members {
        reply.bulk(id.to_string().as_bytes());
        reply.integer(count.into());
    }
    Ok(Flow::Continue)
}
