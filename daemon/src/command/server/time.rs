//! TIME.

use std::time::SystemTime;

use crate::command::exec::{Exec, Flow, Outcome};
use crate::resp::Args;

pub(in crate::command) fn time(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    // Before 1970 there is nothing to tell.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    exec.reply.array(2);
    exec.reply.bulk_integer(now.as_secs());
    exec.reply.bulk_integer(now.subsec_micros().into());
    Ok(Flow::Continue)
}
