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
    Ok(Flow::Pause(Pause::Wait { seq: exec.session.written, replicas, timeout }))
}
