//! WAIT: how many other replicas have what this connection wrote.

use std::time::Duration;

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, Pause, int_arg};
use crate::resp::Args;

pub(super) fn wait(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let replicas = usize::try_from(int_arg(&args[1])?).unwrap_or(0);
    let timeout =
        crate::resp::integer(&args[2]).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    let timeout = (timeout > 0).then(|| Duration::from_millis(timeout));
    let seq = match exec.session.written {
        None => 0,
        Some(written) if written.replica == exec.replica.id() => written.seq,
        Some(_) => {
            // The id it was written under turned out to be in use elsewhere: nobody is known to have it.
            exec.reply.count(0);
            return Ok(Flow::Continue);
        }
    };
    Ok(Flow::Pause(Pause::Wait { seq, replicas, timeout }))
}
