//! `cahoots export`: all data as lines of JSON, from a directory or from the local node.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use super::CliResult;
use super::json_groups::{Group, Pending};
use super::json_lines::{self, Data, Entries, Hash, Item};
use super::migrate::ExportFlags;
use super::resp_client::{Reply, RespClient};
use crate::config::{Local, Locate};
use crate::resp::digits_of;
use crate::storage::{self, Progress};
use cahoots_gossip::Limits;
use cahoots_gossip::store::{Class, Fields, Mark, StreamGroup, StreamId, Value, View};

/// Between two lines about progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Keys asked for at a time.
const BATCH: usize = 500;

pub(super) fn export(directory: Option<&Path>, to: &ExportFlags, locate: Locate) -> CliResult {
    if let Some(directory) = directory {
        of_directory(directory, &mut Export::new())?;
        return Ok(ExitCode::SUCCESS);
    }
    let daemon = locate.local()?;
    if let Some(result) = to.run(&daemon) {
        return result;
    }
    of_node(&daemon, &mut Export::new())?;
    Ok(ExitCode::SUCCESS)
}

struct Export {
    out: BufWriter<io::StdoutLock<'static>>,
    count: u64,
    total: u64,
    told: Instant,
}

impl Export {
    fn new() -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), count: 0, total: 0, told: Instant::now() }
    }

    fn begin(&mut self, cluster: Option<&str>, total: u64) -> io::Result<()> {
        self.total = total;
        self.out.write_all(json_lines::begin(cluster, total).as_bytes())
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        self.out.write_all(json_lines::write(item).as_bytes())?;
        self.count += 1;
        if self.told.elapsed() >= PROGRESS_INTERVAL {
            self.told = Instant::now();
            eprintln!("{} of about {} keys", self.count, self.total);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(json_lines::end(self.count).as_bytes())?;
        self.out.flush()?;
        eprintln!("{} keys", self.count);
        Ok(())
    }
}

fn of_directory(directory: &Path, writer: &mut Export) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let contents = storage::read(directory, Limits::default(), &Progress::default())?;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let moment = contents.store.at(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    writer.begin(contents.cluster.as_deref(), contents.store.len() as u64)?;
    let (mut cursor, mut result) = (0, Ok(()));
    loop {
        cursor = moment.scan(cursor, BATCH, |key, view| {
            if let (Ok(()), Some(value)) = (&result, data_of(&view)) {
                result = writer.item(&Item { key: key.to_vec(), value, until: view.deadline() });
            }
        });
        std::mem::replace(&mut result, Ok(()))?;
        if cursor == 0 {
            return Ok(writer.end()?);
        }
    }
}

/// What is exported of a value. Ballots are not: they are those of the members that were alive.
fn data_of(view: &View<'_>) -> Option<Data> {
    match view.class() {
        Class::Text => Some(Data::Text(view.text().unwrap_or_default().into_owned())),
        Class::Set => Some(Data::Set(view.iter().map(|(name, _)| name.to_vec()).collect())),
        Class::Hash => {
            let ends = |(name, _)| Some((Vec::from(name), view.field_deadline(name)?));
            let until = view.iter().filter_map(ends).collect();
            let fields = view.iter().map(|(name, value)| (name.to_vec(), value.into_owned())).collect();
            Some(Data::Hash(Hash { fields, until }))
        }
        Class::List => Some(Data::List(view.ordered().range(0..usize::MAX).map(|(_, value)| value.to_vec()).collect())),
        Class::Sorted => {
            let spelled = |score| digits_of(score).into_bytes();
            let sorted = view.sorted();
            let members = sorted.range(0..sorted.len()).map(|(member, score)| (member.to_vec(), spelled(score)));
            Some(Data::Sorted(members.collect()))
        }
        Class::Stream => {
            let stream = view.stream();
            let entry = |(id, fields): (StreamId, Fields<'_>)| {
                (id.to_string(), fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
            };
            let entries: Vec<_> = stream.ranks(0..stream.len()).map(entry).collect();
            let Mark { last, max_deleted, removed } = stream.mark();
            let added = removed.saturating_add(entries.len() as u64);
            let groups = match view.value() {
                Some(Value::Stream(_, _, groups)) => groups.iter().map(group_of).collect(),
                _ => Vec::new(),
            };
            let (last, deleted) = (last.to_string(), max_deleted.to_string());
            Some(Data::Stream(Entries { entries, last, deleted, added, groups }))
        }
        _ => None,
    }
}

pub(super) fn group_of(group: &StreamGroup) -> Group {
    let pending = group.pending.iter().map(|it| Pending {
        id: it.id.to_string(),
        consumer: it.consumer.to_vec(),
        at: it.at,
        count: it.count,
    });
    Group {
        name: group.name.to_vec(),
        last: group.last.to_string(),
        read: group.read,
        consumers: group.consumers.iter().map(|it| it.name.to_vec()).collect(),
        pending: pending.collect(),
    }
}

/// The hash at a key; empty if it was deleted meanwhile.
fn hash(client: &mut RespClient, key: &[u8]) -> io::Result<Hash> {
    let mut found = Hash::default();
    for chunk in pairs(list(client, &[b"HGETALL", key])?).chunks(BATCH) {
        let count = chunk.len().to_string();
        let head = [&b"HPEXPIRETIME"[..], key, b"FIELDS", count.as_bytes()];
        let names = chunk.iter().map(|(name, _)| name.as_slice());
        let told = client.call(&head.into_iter().chain(names).collect::<Vec<_>>())?.array()?;
        for ((name, value), until) in chunk.iter().zip(told) {
            match until {
                Reply::Integer(-2) => continue, // it has ended meanwhile
                Reply::Integer(until) => found.until.extend(u64::try_from(until).ok().map(|at| (name.clone(), at))),
                _ => return Err(unexpected("HPEXPIRETIME")),
            }
            found.fields.push((name.clone(), value.clone()));
        }
    }
    Ok(found)
}

/// The stream at a key; `None` if it was deleted meanwhile.
fn entries(client: &mut RespClient, key: &[u8]) -> io::Result<Option<Entries>> {
    let mut found = Entries::default();
    for entry in client.call(&[b"XRANGE", key, b"-", b"+"])?.array()? {
        let [id, fields] = <[Reply; 2]>::try_from(entry.array()?).map_err(|_| unexpected("XRANGE"))?;
        let words = fields.array()?.into_iter().map(Reply::bytes).collect::<io::Result<_>>()?;
        found.entries.push((text(id)?, pairs(words)));
    }
    // Later than the entries: no id among them is above the last one then.
    let told = match client.call(&[b"XINFO", b"STREAM", key])? {
        Reply::Error(_) => return Ok(None),
        told => told.array()?,
    };
    let mut told = told.into_iter();
    while let (Some(name), Some(value)) = (told.next(), told.next()) {
        match &*text(name)? {
            "last-generated-id" => found.last = text(value)?,
            "max-deleted-entry-id" => found.deleted = text(value)?,
            "entries-added" => match value {
                Reply::Integer(added) => found.added = u64::try_from(added).unwrap_or(0),
                _ => return Err(unexpected("XINFO")),
            },
            _ => {}
        }
    }
    found.groups = groups(client, key)?;
    Ok(Some(found))
}

/// The groups of the stream at a key; none if it was deleted meanwhile.
fn groups(client: &mut RespClient, key: &[u8]) -> io::Result<Vec<Group>> {
    let told = match client.call(&[b"XINFO", b"GROUPS", key])? {
        Reply::Error(_) => return Ok(Vec::new()),
        told => told.array()?,
    };
    let mut groups = Vec::with_capacity(told.len());
    for fields in told {
        let mut fields = fields.array()?.into_iter();
        let (mut name, mut last, mut read) = (Vec::new(), String::new(), None);
        while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
            match &*text(field)? {
                "name" => name = value.bytes()?,
                "last-delivered-id" => last = text(value)?,
                "entries-read" => {
                    if let Reply::Integer(count) = value {
                        read = u64::try_from(count).ok();
                    }
                }
                _ => {}
            }
        }
        let consumers = client.call(&[b"XINFO", b"CONSUMERS", key, &name])?;
        let consumers = if matches!(consumers, Reply::Error(_)) { Vec::new() } else { consumers.array()? };
        let first_value = |fields: Reply| fields.array()?.into_iter().nth(1).ok_or(unexpected("XINFO"))?.bytes();
        let consumers = consumers.into_iter().map(first_value).collect::<io::Result<_>>()?;
        let pending = pending(client, key, &name)?;
        groups.push(Group { name, last, read, consumers, pending });
    }
    Ok(groups)
}

/// What is pending in a group, a batch at a time.
fn pending(client: &mut RespClient, key: &[u8], group: &[u8]) -> io::Result<Vec<Pending>> {
    let (mut found, mut from): (Vec<Pending>, _) = (Vec::new(), "-".to_owned());
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    loop {
        let page = client.call(&[b"XPENDING", key, group, from.as_bytes(), b"+", BATCH.to_string().as_bytes()])?;
        let page = if matches!(page, Reply::Error(_)) { Vec::new() } else { page.array()? };
        let Some(len) = Some(page.len()).filter(|len| *len > 0) else { return Ok(found) };
        for entry in page {
            let [id, consumer, idle, count] =
                <[Reply; 4]>::try_from(entry.array()?).map_err(|_| unexpected("XPENDING"))?;
            let number = |reply| match reply {
                Reply::Integer(number) => Ok(u64::try_from(number).unwrap_or(0)),
                _ => Err(unexpected("XPENDING")),
            };
            let at = now.saturating_sub(number(idle)?);
            found.push(Pending { id: text(id)?, consumer: consumer.bytes()?, at, count: number(count)? });
        }
        if len < BATCH {
            return Ok(found);
        }
        from = found.last().map_or_else(|| "+".to_owned(), |last| format!("({}", last.id));
    }
}

fn text(reply: Reply) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&reply.bytes()?).into_owned())
}

fn unexpected(command: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an unexpected reply to {command}"))
}

/// A list of names and values as pairs.
fn pairs(words: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut words = words.into_iter();
    std::iter::from_fn(|| Some((words.next()?, words.next()?))).collect()
}

fn of_node(daemon: &Local, writer: &mut Export) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut client = RespClient::connect(daemon)?;
    let total = match client.call(&[b"DBSIZE"])? {
        Reply::Integer(keys) => u64::try_from(keys).unwrap_or(0),
        Reply::Error(error) => return Err(error.into()),
        _ => 0,
    };
    let status = client.call(&[b"CAHOOTS", b"STATUS"])?.array()?;
    let cluster = status.chunks_exact(2).find_map(|pair| match pair {
        [Reply::Bulk(Some(name)), Reply::Bulk(Some(cluster))] if name == b"cluster" => Some(cluster),
        _ => None,
    });
    writer.begin(cluster.map(|name| String::from_utf8_lossy(name)).as_deref(), total)?;
    let mut cursor = b"0".to_vec();
    loop {
        let (next, keys) = client.scan(&cursor, &[b"COUNT", BATCH.to_string().as_bytes()])?;
        for key in &keys {
            client.prepare(&[b"TYPE", key]);
        }
        client.send()?;
        let types = keys.iter().map(|_| client.receive()).collect::<io::Result<Vec<_>>>()?;
        for (key, class) in keys.into_iter().zip(types) {
            let value = match &class {
                Reply::Simple(class) if class == "string" => match client.call(&[b"GET", &key])? {
                    Reply::Bulk(Some(text)) => Data::Text(text),
                    _ => continue, // deleted meanwhile
                },
                Reply::Simple(class) if class == "set" => Data::Set(list(&mut client, &[b"SMEMBERS", &key])?),
                Reply::Simple(class) if class == "hash" => Data::Hash(hash(&mut client, &key)?),
                Reply::Simple(class) if class == "list" => {
                    Data::List(list(&mut client, &[b"LRANGE", &key, b"0", b"-1"])?)
                }
                Reply::Simple(class) if class == "zset" => {
                    Data::Sorted(pairs(list(&mut client, &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"])?))
                }
                Reply::Simple(class) if class == "stream" => match entries(&mut client, &key)? {
                    Some(entries) => Data::Stream(entries),
                    None => continue,
                },
                Reply::Simple(class) if ["none", "vote", "presence"].contains(&&**class) => continue,
                other => {
                    let key = String::from_utf8_lossy(&key).into_owned();
                    return Err(format!("key {key:?} is of a type that cannot be exported: {other:?}").into());
                }
            };
            let is_empty = match &value {
                Data::Text(_) | Data::Stream(_) => false,
                Data::Set(elements) | Data::List(elements) => elements.is_empty(),
                Data::Hash(Hash { fields: pairs, .. }) | Data::Sorted(pairs) => pairs.is_empty(),
            };
            if !is_empty {
                let until = match client.call(&[b"PEXPIRETIME", &key])? {
                    Reply::Integer(until) => u64::try_from(until).ok(),
                    _ => None,
                };
                writer.item(&Item { key, value, until })?;
            }
        }
        cursor = next;
        if cursor == b"0" {
            return Ok(writer.end()?);
        }
    }
}

fn list(client: &mut RespClient, command: &[&[u8]]) -> io::Result<Vec<Vec<u8>>> {
    client.call(command)?.array()?.into_iter().map(Reply::bytes).collect()
}
