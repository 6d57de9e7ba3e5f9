//! Presence: who is here. A client is present for as long as its connection lasts, and its daemon.
//!
//! What is held is a guard of the node, which takes the replica's lock when it comes and when it goes; a command runs
//! under that lock. So coming and going are handed to the connection.

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, Pause, typed};
use crate::resp::Args;
use cahoots_gossip::ReplicaId;
use cahoots_gossip::store::{Class, View, present};

/// Keys at which one connection may be present. A client that needs more wants a set.
const KEYS_MAX: usize = 1024;

/// Says whether this connection was absent.
pub(super) fn join(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    if exec.session.present.contains_key(key) {
        exec.reply.count(0);
        return Ok(Flow::Continue);
    }
    typed(exec.replica.store(), key, Class::Presence)?;
    if exec.session.present.len() >= KEYS_MAX {
        return Err(CommandError::Other(format!("ERR a connection is present at {KEYS_MAX} keys at most").into()));
    }
    exec.settle_identity();
    Ok(Flow::Pause(Pause::Enter { key: key.into() }))
}

/// Says whether this connection was present.
pub(super) fn leave(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    if exec.session.present.contains_key(key) {
        return Ok(Flow::Pause(Pause::Depart { key: key.into() }));
    }
    typed(exec.replica.store(), key, Class::Presence)?;
    exec.reply.count(0);
    Ok(Flow::Continue)
}

pub(super) fn count(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let found = typed(exec.replica.store(), key, Class::Presence)?.is_some();
    let count = exec.replica.present(key);
    exec.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    exec.looked_up(found);
    Ok(Flow::Continue)
}

/// How many are present at which live replica.
pub(super) fn members(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), args.at(1), Class::Presence)?;
    let ballots = view.iter().flat_map(View::ballots).filter(|(id, _)| exec.replica.is_live(*id));
    let members: Vec<(ReplicaId, u32)> = ballots.filter_map(|(id, ballot)| Some((id, present(ballot)?))).collect();
    let found = view.is_some();
    exec.reply.map(members.len());
    for (id, count) in members {
        exec.reply.bulk(id.to_string().as_bytes());
        exec.reply.integer(count.into());
    }
    exec.looked_up(found);
    Ok(Flow::Continue)
}
