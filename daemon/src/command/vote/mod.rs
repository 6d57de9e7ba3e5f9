//! Votes: one ballot per daemon, counted over the members that are alive. Redis has no word for them.

use super::arguments::{KEY, string};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::flags::{DENYOOM, FAST, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::ONE_KEY;
use crate::resp::{Args, Reply};
use cahoots_gossip::store::Class;

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("vote", name, arity, flags, handler).at(ONE_KEY)
}

pub(super) const COMMANDS: &[Command] = &[
    command("vote.cast", 3, WRITE.and(DENYOOM).and(FAST), cast)
        .using(&[KeyUse::ADDS])
        .about("0.1.0", "O(1)", "Casts this daemon's ballot, in place of its earlier one.")
        .takes(&[KEY, string("choice")]),
    command("vote.retract", 2, WRITE.and(FAST), retract)
        .using(&[KeyUse::REMOVES])
        .about("0.1.0", "O(1)", "Takes this daemon's ballot back.")
        .takes(&[KEY]),
    command("vote.tally", 2, READONLY, tally)
        .about("0.1.0", "O(N), N the ballots", "Counts, for each choice, the live members that have cast it.")
        .takes(&[KEY]),
];

/// Of a daemon's clients the last to vote decides.
fn cast(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, choice) = (args.at(1), args.at(2));
    ctx.current(key, Class::Vote)?;
    ctx.write(args.bytes(), |writer| writer.cast(key, Class::Vote, choice))?;
    reply.ok();
    Ok(Flow::Continue)
}

/// Says whether there was a ballot to take back.
fn retract(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let there = ctx.current(key, Class::Vote)?.is_some();
    let retracted = there && ctx.write(args.bytes(), |writer| writer.withdraw(key, Class::Vote))?;
    reply.count(usize::from(retracted));
    Ok(Flow::Continue)
}

/// Choices and counts, in the order of the choices.
fn tally(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    ctx.read(key, Class::Vote)?;
    let tally = ctx.tally(key);
    reply.map(tally.choices.len());
    for (choice, voters) in &tally.choices {
        reply.bulk(choice);
        reply.count(voters.len());
    }
    Ok(Flow::Continue)
}
