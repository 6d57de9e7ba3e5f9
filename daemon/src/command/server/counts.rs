//! Sections of INFO that have a line for each of many.

use std::fmt::Write;

use super::config;
use crate::account::Account;
use crate::command::contract::Command;
use crate::command::table;

// Formatting into a String fails only if a Display says so by itself; none here does.

/// The keys of each database. How long those that end have is an estimate over all of them.
pub(super) fn keyspace(account: &mut Account<'_>, text: &mut String) {
    let left = account.mean_left_ms();
    for (database, (keys, expires)) in account.databases().into_iter().filter(|(_, (keys, _))| *keys > 0) {
        let left = if expires > 0 { left } else { 0 };
        let _ = write!(text, "db{database}:keys={keys},expires={expires},avg_ttl={left}\r\n");
    }
}

/// Everything the engine counts.
pub(super) fn engine(account: &mut Account<'_>, text: &mut String) {
    for (name, value) in account.status().counters.entries() {
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

fn all() -> impl Iterator<Item = (usize, &'static Command)> {
    let all = table::commands().flat_map(|command| std::iter::once(command).chain(command.subcommands));
    all.filter_map(|command| Some((table::number(command)?, command)))
}

/// What is counted of each command.
pub(super) fn commands(account: &mut Account<'_>, text: &mut String) {
    for (number, command) in all() {
        let Some(stat) = account.server().command_stats.command(number) else { continue };
        let [calls, micros, rejected, failed] = stat.counts();
        if calls + rejected + failed > 0 {
            let hundredths = (micros * 100).checked_div(calls).unwrap_or(0);
            let _ = write!(
                text,
                "cmdstat_{}:calls={calls},usec={micros},usec_per_call={}.{:02},rejected_calls={rejected},failed_calls={failed}\r\n",
                command.name,
                hundredths / 100,
                hundredths % 100
            );
        }
    }
}

/// How many errors there were of each kind.
pub(super) fn errors(account: &mut Account<'_>, text: &mut String) {
    for (kind, count) in account.server().command_stats.errors() {
        // It stands in a line of its own.
        let kind: String = kind.chars().map(|it| if it.is_control() || it == ':' { '_' } else { it }).collect();
        let _ = write!(text, "errorstat_{kind}:count={count}\r\n");
    }
}

/// How long commands take: of each percentile the end of its bucket, which is up to twice as much.
pub(super) fn percentiles(account: &mut Account<'_>, text: &mut String) {
    let wanted = config::percentiles(account.server());
    for (number, command) in all() {
        let histogram = account.server().command_stats.command(number).map(|stat| stat.histogram()).unwrap_or_default();
        let Some((_, calls)) = histogram.last().copied() else { continue };
        let told: Vec<String> = wanted
            .split_whitespace()
            .map(|name| {
                let end = histogram.iter().find(|(_, upto)| is_within(*upto, calls, name)).map_or(0, |(end, _)| *end);
                format!("p{name}={end}.000")
            })
            .collect();
        let _ = write!(text, "latency_percentiles_usec_{}:{}\r\n", command.name, told.join(","));
    }
}

/// Whether so many of all calls are at least so many percent of them.
#[expect(clippy::cast_precision_loss, reason = "of percents of counts")]
fn is_within(upto: u64, calls: u64, percent: &str) -> bool {
    upto as f64 >= calls as f64 * percent.parse::<f64>().unwrap_or(100.0) / 100.0
}
