//! Votes: one ballot per daemon, counted over the members that are alive. Redis has no word for them.

use super::exec::{Exec, Flow, Outcome, typed};
use crate::resp::Args;
use cahoots_gossip::store::Class;

/// This daemon's ballot, in place of its earlier one: of its clients the last to vote decides.
pub(super) fn cast(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, choice) = (args.at(1), args.at(2));
    typed(exec.replica.store(), key, Class::Vote)?;
    exec.write(args.bytes(), |writer| writer.cast(key, Class::Vote, choice))?;
    exec.reply.ok();
    Ok(Flow::Continue)
}

/// Says whether there was a ballot to take back.
pub(super) fn retract(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let there = typed(exec.replica.store(), key, Class::Vote)?.is_some();
    let retracted = there && exec.write(args.bytes(), |writer| writer.withdraw(key, Class::Vote))?;
    exec.reply.count(usize::from(retracted));
    Ok(Flow::Continue)
}

/// What the live members have cast: choice and count, in the order of the choices.
pub(super) fn tally(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let found = typed(exec.replica.store(), key, Class::Vote)?.is_some();
    let tally = exec.replica.tally(key);
    exec.reply.map(tally.choices.len());
    for (choice, voters) in &tally.choices {
        exec.reply.bulk(choice);
        exec.reply.count(voters.len());
    }
    exec.looked_up(found);
    Ok(Flow::Continue)
}
