//! The consumer groups of a stream in payloads: behind its entries, and each with what is pending first, then with its
//! consumers, which name by their ids what of that is theirs.

use std::collections::BTreeMap;

use super::RdbError::{self, Malformed};
use super::kind;
use super::reader::Reader;
use super::stream::id;
use super::write::{write_length, write_string};
use cahoots_gossip::store::{Consumer, PendingEntry, StreamGroup, StreamId};

/// A count that is not known.
const UNKNOWN: u64 = u64::MAX;

pub(super) fn read(form: u8, reader: &mut Reader<'_>) -> Result<Vec<StreamGroup>, RdbError> {
    let mut groups: BTreeMap<Box<[u8]>, StreamGroup> = BTreeMap::new();
    for _ in 0..reader.number()? {
        let group = read_group(form, reader)?;
        if groups.insert(group.name.clone(), group).is_some() {
            return Err(Malformed);
        }
    }
    Ok(groups.into_values().collect())
}

fn read_group(form: u8, reader: &mut Reader<'_>) -> Result<StreamGroup, RdbError> {
    let name = boxed(reader)?;
    let last = id(reader)?;
    let read = if form == kind::STREAM_1 { UNKNOWN } else { reader.number()? };
    let mut pending = BTreeMap::new();
    for _ in 0..reader.number()? {
        let id = raw_id(reader)?;
        let entry = (time(reader)?.unwrap_or(0), reader.number()?);
        if pending.insert(id, entry).is_some() {
            return Err(Malformed);
        }
    }
    let (mut consumers, mut owned) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..reader.number()? {
        let name = boxed(reader)?;
        let seen = time(reader)?.unwrap_or(0);
        let active = if form == kind::STREAM_3 { time(reader)? } else { Some(seen) };
        for _ in 0..reader.number()? {
            let id = raw_id(reader)?;
            let (at, count) = pending.remove(&id).ok_or(Malformed)?;
            reader.budget.take(name.len())?;
            owned.insert(id, PendingEntry { id, consumer: name.clone(), at, count });
        }
        if consumers.insert(name.clone(), Consumer { name, seen, active }).is_some() {
            return Err(Malformed);
        }
    }
    if !pending.is_empty() {
        return Err(Malformed); // they are nobody's
    }
    let read = (read != UNKNOWN).then_some(read);
    Ok(StreamGroup {
        name,
        last,
        read,
        consumers: consumers.into_values().collect(),
        pending: owned.into_values().collect(),
    })
}

fn boxed(reader: &mut Reader<'_>) -> Result<Box<[u8]>, RdbError> {
    Ok(reader.string()?.into_owned().into())
}

fn raw_id(reader: &mut Reader<'_>) -> Result<StreamId, RdbError> {
    let id = StreamId::from_bytes(&reader.array::<16>()?).filter(|id| *id > StreamId::MIN);
    reader.budget.take(size_of::<PendingEntry>())?;
    id.ok_or(Malformed)
}

/// Milliseconds since 1970; `None` of what is before, which stands for never.
fn time(reader: &mut Reader<'_>) -> Result<Option<u64>, RdbError> {
    Ok(u64::try_from(i64::from_le_bytes(reader.array()?)).ok())
}

/// In the form of Redis 7.0, which does not tell when a consumer got something.
pub(super) fn write(groups: &[StreamGroup], out: &mut Vec<u8>) {
    write_length(groups.len() as u64, out);
    for group in groups {
        write_string(&group.name, out);
        write_length(group.last.ms, out);
        write_length(group.last.seq, out);
        write_length(group.read.unwrap_or(UNKNOWN), out);
        write_length(group.pending.len() as u64, out);
        // To each consumer what is pending at it, whether it was removed elsewhere or not.
        let mut consumers: BTreeMap<&[u8], (u64, Vec<StreamId>)> =
            group.consumers.iter().map(|it| (&*it.name, (it.seen, Vec::new()))).collect();
        for entry in &group.pending {
            out.extend_from_slice(&entry.id.to_bytes());
            out.extend_from_slice(&entry.at.to_le_bytes());
            write_length(entry.count, out);
            consumers.entry(&entry.consumer).or_insert((entry.at, Vec::new())).1.push(entry.id);
        }
        write_length(consumers.len() as u64, out);
        for (name, (seen, ids)) in consumers {
            write_string(name, out);
            out.extend_from_slice(&seen.to_le_bytes());
            write_length(ids.len() as u64, out);
            ids.iter().for_each(|id| out.extend_from_slice(&id.to_bytes()));
        }
    }
}
