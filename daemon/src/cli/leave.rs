//! `cahoots leave`: what SIGTERM does, from outside, with an account of it.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::query::LocalClient;
use super::{CliResult, EXIT_NOT_HANDED_OVER, print};
use crate::config::Locate;

/// The daemon bounds the wait itself; a minute more than any sensible bound.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn leave(locate: Locate) -> CliResult {
    let drained = LocalClient::connect_patiently(&locate.local()?, PATIENCE)?.call(&["CAHOOTS", "LEAVE"])?;
    let complete_at = drained["complete_at"].as_u64().unwrap_or(0);
    if drained["handed_over"] == Value::Bool(true) {
        print(&format!("everything is on {complete_at} other nodes; this one leaves\n"));
        return Ok(ExitCode::SUCCESS);
    }
    if drained["kept_on_disk"] == Value::Bool(true) {
        print("no other node stays; everything is on the disk of this one, which leaves\n");
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("this node leaves, and everything it held is on {complete_at} other nodes only\n"));
    Ok(ExitCode::from(EXIT_NOT_HANDED_OVER))
}
