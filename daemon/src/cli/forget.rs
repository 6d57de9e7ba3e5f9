//! `cahoots forget`: takes members that are down for good off the lists of all.

use std::process::ExitCode;

use super::query::query;
use super::{CliResult, print};
use crate::config::Locate;

pub(super) fn forget(who: &str, locate: Locate) -> CliResult {
    let forgotten = query(&locate.local()?, &["CAHOOTS", "FORGET", who])?.as_u64().unwrap_or(0);
    match forgotten {
        0 => Err(format!("no member that is down goes by {who:?}; `cahoots members` lists them").into()),
        1 => Ok(done("1 member is forgotten\n")),
        _ => Ok(done(&format!("{forgotten} members are forgotten\n"))),
    }
}

fn done(text: &str) -> ExitCode {
    print(text);
    ExitCode::SUCCESS
}
