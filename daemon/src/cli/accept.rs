//! `cahoots accept`: takes what a node holds for all there is, where the rest is known to be lost.

use std::process::ExitCode;

use super::query::query;
use super::{CliResult, print};
use crate::config::Locate;

pub(super) fn accept(who: Option<&str>, locate: Locate) -> CliResult {
    let words = ["CAHOOTS", "ACCEPT"].into_iter().chain(who).collect::<Vec<_>>();
    match query(&locate.local()?, &words)?.as_u64().unwrap_or(0) {
        0 => return Err("this node lacks nothing that it knows of; `cahoots status` says how it stands".into()),
        1 => print("no more is expected of 1 node, or of seeds\n"),
        count => print(&format!("no more is expected of {count} nodes, seeds among them\n")),
    }
    Ok(ExitCode::SUCCESS)
}
