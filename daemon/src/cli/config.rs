//! `cahoots config`.

use std::process::ExitCode;

use clap::ArgMatches;

use super::{CliResult, print};
use crate::config::{Config, Flags};

pub(super) fn config(flags: Flags, matches: &ArgMatches) -> CliResult {
    print(&Config::resolve(flags, matches)?.to_toml());
    Ok(ExitCode::SUCCESS)
}
