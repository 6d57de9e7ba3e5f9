//! SAVE, BGSAVE, LASTSAVE: copies of the log, as of one moment, beside it.
//!
//! There is nothing else to save: what is applied is written all the time. A copy is made of second names for the log's
//! files, so it takes no longer for more data, and space only for what is overwritten later.

use crate::command::error::CommandError;
use crate::command::exec::{Exec, Flow, Outcome, Pause};
use crate::resp::Args;

pub(in crate::command) fn save(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    kept(exec)?;
    Ok(Flow::Pause(Pause::Save { background: false }))
}

pub(in crate::command) fn bgsave(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 || (args.len() == 2 && !args[1].eq_ignore_ascii_case(b"schedule")) {
        return Err(CommandError::Syntax);
    }
    kept(exec)?;
    Ok(Flow::Pause(Pause::Save { background: true }))
}

pub(in crate::command) fn lastsave(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    let saved_at = exec.server.durability.storage().map(|storage| storage.status().saved_at);
    let started = exec.now.wall / 1000 - exec.server.started.elapsed().as_secs().min(exec.now.wall / 1000);
    exec.reply.integer(saved_at.unwrap_or(started).cast_signed());
    Ok(Flow::Continue)
}

fn kept(exec: &Exec<'_>) -> Result<(), CommandError> {
    match exec.server.durability.storage() {
        Some(_) => Ok(()),
        None => Err(CommandError::text("ERR this node keeps everything in memory; start it with --data-dir")),
    }
}
