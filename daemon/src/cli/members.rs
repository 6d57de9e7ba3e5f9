//! `cahoots members`: who is in the cluster, as the local node sees it.

use std::process::ExitCode;

use serde_json::Value;

use super::query::query;
use super::table::table;
use super::{CliResult, print};
use crate::config::Locate;

pub(super) fn members(locate: Locate, json: bool) -> CliResult {
    let members = query(&locate.local()?, &["CAHOOTS", "MEMBERS"])?;
    print(&if json { format!("{members:#}\n") } else { describe(&members) });
    Ok(ExitCode::SUCCESS)
}

fn describe(members: &Value) -> String {
    let rows: Vec<_> = members.as_array().map_or(&[][..], Vec::as_slice).iter().map(row).collect();
    table(["NODE", "ADDRESS", "STATE", "REPLICA", "VERSION", ""], &rows)
}

fn row(member: &Value) -> [String; 6] {
    let text = |name: &str| member[name].as_str().unwrap_or("").to_owned();
    let shared = member["shares_name_with"].as_array().map_or(&[][..], Vec::as_slice);
    let shared: Vec<_> = shared.iter().filter_map(Value::as_str).collect();
    let mut note = match (&member["self"], &member["ready"]) {
        (Value::Bool(true), Value::Bool(false)) => format!("this node, not ready: {}", text("standing")),
        (Value::Bool(true), _) => "this node".to_owned(),
        (_, Value::Bool(false)) if text("reason").is_empty() => match text("standing").as_str() {
            // One that stops has all it ever had, but not for long.
            "complete" | "alone" => "not ready".to_owned(),
            standing => format!("not ready: {standing}"),
        },
        _ => text("reason"),
    };
    let mut add = |what: String| {
        let comma = if note.is_empty() { "" } else { ", " };
        note.push_str(comma);
        note.push_str(&what);
    };
    if member["streams"] == "unreachable" {
        add(format!("NO STREAMS at {}", text("streams_address")));
    }
    if !shared.is_empty() {
        add(format!("SHARES ITS NAME with {}", shared.join(", ")));
    }
    [text("node"), text("address"), text("state"), text("id"), text("version"), note]
}
