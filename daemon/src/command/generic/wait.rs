//! WAIT and WAITAOF: how many other replicas have what this connection wrote, and whose disks.

use std::time::Duration;

use crate::command::error::CommandError;
use crate::command::exec::{Exec, Flow, Outcome, Pause, int_arg};
use crate::resp::Args;

pub(in crate::command) fn wait(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let replicas = usize::try_from(int_arg(&args[1])?).unwrap_or(0);
    let timeout = timeout_arg(&args[2])?;
    let Some(seq) = position(exec) else {
        exec.reply.count(0);
        return Ok(Flow::Continue);
    };
    Ok(Flow::Pause(Pause::Wait { seq, replicas, timeout }))
}

pub(in crate::command) fn waitaof(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let local = match int_arg(&args[1])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR value is out of range, value must between 0 and 1")),
    };
    let replicas = usize::try_from(int_arg(&args[2])?)
        .map_err(|_| CommandError::text("ERR value is out of range, must be positive"))?;
    let timeout = timeout_arg(&args[3])?;
    if local && exec.server.durability.storage().is_none() {
        return Err(CommandError::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    let Some(seq) = position(exec) else {
        exec.reply.array(2);
        exec.reply.count(0);
        exec.reply.count(0);
        return Ok(Flow::Continue);
    };
    Ok(Flow::Pause(Pause::WaitAof { seq, local, replicas, timeout }))
}

/// The event that carries the connection's last write, 0 before the first; `None` if the id it was written under turned
/// out to be in use elsewhere: then nobody is known to have it.
fn position(exec: &Exec<'_>) -> Option<u64> {
    match exec.session.written {
        None => Some(0),
        Some(written) => (written.replica == exec.replica.id()).then_some(written.seq),
    }
}

/// Milliseconds; 0 is for ever.
fn timeout_arg(arg: &[u8]) -> Result<Option<Duration>, CommandError> {
    let timeout =
        crate::resp::integer(arg).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    Ok((timeout > 0).then(|| Duration::from_millis(timeout)))
}
