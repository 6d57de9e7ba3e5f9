//! `cahoots status`: how far the local node and its peers are.

use std::process::ExitCode;

use serde_json::Value;

use super::query::query;
use super::table::{duration, table};
use super::{CliResult, print};
use crate::config::Locate;

pub(super) fn status(locate: Locate, json: bool) -> CliResult {
    let status = query(&locate.local()?, &["CAHOOTS", "STATUS"])?;
    print(&if json { format!("{status:#}\n") } else { describe(&status) });
    Ok(ExitCode::SUCCESS)
}

fn describe(status: &Value) -> String {
    let text = |name: &str| status[name].as_str().unwrap_or("?").to_owned();
    let number = |name: &str| status[name].as_u64().unwrap_or(0);
    let mut lines = format!(
        "node     {} of cluster {}, replica {}, version {}, up {}\n\
         listens  to clients at {}, to peers at {}\n\
         holds    {} keys, fingerprint {}\n\
         wrote    {} events\n",
        text("node"),
        text("cluster"),
        text("id"),
        text("version"),
        duration(number("uptime_seconds")),
        text("socket"),
        text("listen"),
        number("keys"),
        text("fingerprint"),
        number("seq"),
    );
    match (status["ready"].as_bool(), status["serving"].as_bool()) {
        (Some(false), Some(true)) => lines.push_str(&format!("         INCOMPLETE, {}\n", text("readiness"))),
        (Some(false), _) => lines.push_str(&format!("         NOT READY, {}\n", text("readiness"))),
        _ => lines.push_str(&format!("         {}\n", text("readiness"))),
    }
    lines.push_str(&describe_storage(&status["storage"]));
    if status["catching_up"] == Value::Bool(true) {
        lines.push_str("         catching up with a peer, bucket by bucket\n");
    }
    match number("clock_ahead_ms") {
        0 => {}
        ms => lines.push_str(&format!("         REFUSES WRITES: its clock is {ms} ms ahead of the cluster's\n")),
    }
    match number("type_clashes") {
        0 => {}
        keys => lines.push_str(&format!("         {keys} keys were made with different types on different nodes\n")),
    }
    let members = |standing: &str| status["members"][standing].as_u64().unwrap_or(0);
    match members("unreachable") {
        0 => {}
        count => lines.push_str(&format!("         {count} live members are UNREACHABLE: see cahoots members\n")),
    }
    match members("without_streams") {
        0 => {}
        count => lines.push_str(&format!("         {count} members take NO STREAMS: see cahoots members\n")),
    }
    match members("sharing_a_name") {
        0 => {}
        count => lines.push_str(&format!("         {count} live members SHARE A NAME: see cahoots members\n")),
    }
    lines.push('\n');
    let peers = status["peers"].as_array().map_or(&[][..], Vec::as_slice);
    if peers.is_empty() {
        lines.push_str("no peers known\n");
        return lines;
    }
    let seq = number("seq");
    let rows: Vec<_> = peers.iter().map(|peer| row(peer, seq)).collect();
    lines.push_str(&table(["PEER", "ADDRESS", "LIVE", "HAS OF OUR EVENTS", "LAG", "SAME STATE", "ROUND TRIP"], &rows));
    lines
}

fn describe_storage(storage: &Value) -> String {
    let text = |name: &str| storage[name].as_str().unwrap_or_default();
    let bytes = storage["log_bytes"].as_u64().unwrap_or(0);
    let behind = match storage["clock_behind_ms"].as_u64() {
        None | Some(0) => String::new(),
        Some(ms) => format!("         CLOCK SET BACK: it is {ms} ms behind what it was when this data was last used\n"),
    };
    let place = format!("{}, {bytes} bytes, appendfsync {}", text("directory"), text("appendfsync"));
    match text("state") {
        "ok" => format!("keeps    {place}\n{behind}"),
        "loading" => format!("         LOADING: {}% of its data\n", storage["loaded_percent"]),
        "failing" => format!("         CANNOT WRITE TO DISK: {}; what it holds is not kept\n", text("error")),
        "rebuilding" => format!("keeps    {place}\n         NOT COMPLETE ON DISK YET, after: {}\n", text("error")),
        _ => "keeps    everything in memory\n".to_owned(),
    }
}

fn row(peer: &Value, seq: u64) -> [String; 7] {
    let yes = |value: &Value| match value.as_bool() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let name = match peer["node"].as_str() {
        None | Some("") => peer["id"].as_str().unwrap_or("?"),
        Some(name) => name,
    };
    let micros = peer["rtt_us"].as_u64();
    [
        name.to_owned(),
        peer["address"].as_str().unwrap_or("?").to_owned(),
        yes(&peer["live"]).to_owned(),
        format!("{} of {seq}", peer["acked"]),
        peer["lag_events"].to_string(),
        yes(&peer["agrees"]).to_owned(),
        micros.map_or_else(|| "?".to_owned(), |micros| format!("{}.{:03} ms", micros / 1000, micros % 1000)),
    ]
}
