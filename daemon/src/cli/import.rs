//! `cahoots import`: what `export` wrote, written to the local node as ordinary commands.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::json_groups::{Group, Pending};
use super::json_lines::{self, Data, Entries, Hash, Item, Line, VERSION};
use super::resp_client::{Reply, RespClient};
use super::{CliResult, print};
use crate::config::Locate;

/// Between two lines about progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Members, fields or elements in one command, so that it stays well below what a command may write.
const NAMES_MAX: usize = 500;
/// Commands under way.
const PIPELINE: usize = 200;

pub(super) fn import(locate: Locate) -> CliResult {
    let mut client = RespClient::connect(&locate.local()?)?;
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
                under_way += write(&mut client, &item);
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

/// Prepares the commands for one key; says how many.
fn write(client: &mut RespClient, item: &Item) -> usize {
    let commands = write_value(client, item);
    let Some(until) = item.until else { return commands };
    client.prepare(&[b"PEXPIREAT", &item.key, until.to_string().as_bytes()]);
    commands + 1
}

fn write_value(client: &mut RespClient, item: &Item) -> usize {
    match &item.value {
        Data::Text(text) => {
            client.prepare(&[b"SET", &item.key, text]);
            1
        }
        Data::Set(members) => write_named(client, b"SADD", &item.key, members, |member| [member]),
        Data::Hash(hash) => write_hash(client, &item.key, hash),
        // In the place of what is there: a list would have every element twice.
        Data::List(values) => {
            client.prepare(&[b"DEL", &item.key]);
            1 + write_named(client, b"RPUSH", &item.key, values, |value| [value])
        }
        Data::Sorted(members) => write_named(client, b"ZADD", &item.key, members, |(member, score)| [score, member]),
        Data::Stream(stream) => {
            client.prepare(&[b"DEL", &item.key]);
            1 + write_stream(client, &item.key, stream)
        }
    }
}

/// Prepares as many commands as it takes for what has names under a key, of which `words` says the words of each.
fn write_named<'a, T, const N: usize>(
    client: &mut RespClient,
    command: &'a [u8],
    key: &'a [u8],
    named: &'a [T],
    words: impl Fn(&'a T) -> [&'a [u8]; N],
) -> usize {
    let chunks = named.chunks(NAMES_MAX);
    let commands = chunks.len();
    for chunk in chunks {
        let words: Vec<&[u8]> = [command, key].into_iter().chain(chunk.iter().flat_map(&words)).collect();
        client.prepare(&words);
    }
    commands
}

fn write_hash(client: &mut RespClient, key: &[u8], hash: &Hash) -> usize {
    let mut commands = write_named(client, b"HSET", key, &hash.fields, |(name, value)| [name, value]);
    let mut ends: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for (name, until) in &hash.until {
        ends.entry(*until).or_default().push(name);
    }
    for (until, names) in ends {
        let until = until.to_string();
        for chunk in names.chunks(NAMES_MAX) {
            let count = chunk.len().to_string();
            let head = [&b"HPEXPIREAT"[..], key, until.as_bytes(), b"FIELDS", count.as_bytes()];
            client.prepare(&[&head[..], chunk].concat());
            commands += 1;
        }
    }
    commands
}

fn write_stream(client: &mut RespClient, key: &[u8], stream: &Entries) -> usize {
    for (id, fields) in &stream.entries {
        let pairs = fields.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]);
        let words: Vec<&[u8]> = [&b"XADD"[..], key, id.as_bytes()].into_iter().chain(pairs).collect();
        client.prepare(&words);
    }
    let mut commands = stream.entries.len();
    if stream.entries.is_empty() {
        // It is there without entries: one comes and goes.
        client.prepare(&[b"XADD", key, b"MAXLEN", b"0", stream.last.as_bytes(), b"", b""]);
        commands += 1;
    }
    let added = stream.added.to_string();
    let (last, deleted) = (stream.last.as_bytes(), stream.deleted.as_bytes());
    client.prepare(&[b"XSETID", key, last, b"ENTRIESADDED", added.as_bytes(), b"MAXDELETEDID", deleted]);
    commands + 1 + stream.groups.iter().map(|group| write_group(client, key, group)).sum::<usize>()
}

fn write_group(client: &mut RespClient, key: &[u8], group: &Group) -> usize {
    let read = group.read.map_or_else(|| "-1".to_owned(), |read| read.to_string());
    let name = &*group.name;
    client.prepare(&[b"XGROUP", b"CREATE", key, name, group.last.as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
    for consumer in &group.consumers {
        client.prepare(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer]);
    }
    for Pending { id, consumer, at, count } in &group.pending {
        let (at, count) = (at.to_string(), count.to_string());
        let words = [&b"XCLAIM"[..], key, name, consumer, b"0", id.as_bytes(), b"TIME", at.as_bytes()];
        let options = [&b"RETRYCOUNT"[..], count.as_bytes(), b"FORCE", b"JUSTID"];
        client.prepare(&[&words[..], &options[..]].concat());
    }
    1 + group.consumers.len() + group.pending.len()
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
