//! `cahoots import`: what `export` wrote, written to the local node as ordinary commands. What comes from a Redis is the
//! affair of `migrate/`.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::json_lines::{self, Line, VERSION};
use super::migrate::ImportFlags;
use super::resp_client::{Reply, RespClient};
use super::{CliResult, pieces, print};
use crate::config::Locate;

/// Between two lines about progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Commands under way.
const PIPELINE: usize = 200;

pub(super) fn import(from: &ImportFlags, locate: Locate) -> CliResult {
    let daemon = locate.local()?;
    if let Some(result) = from.run(&daemon) {
        return result;
    }
    let mut client = RespClient::connect(&daemon)?;
    let (mut count, mut total, mut ended, mut under_way) = (0, None, None, 0);
    let mut told = Instant::now();
    for (number, line) in (1..).zip(io::stdin().lock().lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        match json_lines::read(&line).map_err(|error| format!("line {number}: {error}"))? {
            Line::Begin { version, .. } if version != VERSION => {
                return Err(format!("the stream is of version {version}, and this program reads {VERSION}").into());
            }
            Line::Begin { keys, .. } => total = Some(keys.unwrap_or(0)),
            Line::Item(_) if total.is_none() => return Err("this is no stream of `cahoots export`".into()),
            Line::Item(item) => {
                pieces::write(&item, &mut |words| {
                    client.prepare(words);
                    under_way += 1;
                });
                count += 1;
                if under_way >= PIPELINE {
                    settle(&mut client, &mut under_way)?;
                }
            }
            Line::End { count } => ended = Some(count),
        }
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            eprintln!("{count} of {} keys", total.unwrap_or(0));
        }
    }
    settle(&mut client, &mut under_way)?;
    print(&format!("{count} keys\n"));
    match ended {
        Some(end) if end == count => Ok(ExitCode::SUCCESS),
        Some(end) => Err(format!("the stream should have had {end} keys").into()),
        None => Err("the stream was cut off: what there was of it is written".into()),
    }
}

fn settle(client: &mut RespClient, under_way: &mut usize) -> Result<(), String> {
    client.send().map_err(|error| error.to_string())?;
    for _ in 0..std::mem::take(under_way) {
        match client.receive().map_err(|error| error.to_string())? {
            Reply::Error(error) => return Err(format!("the daemon refused a key: {error}")),
            _ => continue,
        }
    }
    Ok(())
}
