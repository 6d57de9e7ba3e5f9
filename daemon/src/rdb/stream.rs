//! Streams in payloads: entries in listpacks, each with an entry in front that tells the names of fields once.

use super::RdbError::{self, Malformed};
use super::packed::{Element, listpack};
use super::reader::Reader;
use super::write::{Listpack, write_length, write_string};
use super::{group, kind};
use cahoots_gossip::store::{Mark, StreamEntry, StreamId, Value};

/// An entry is gone, and still in the listpack.
const IS_DELETED: i64 = 1;
/// The names of its fields are those in front.
const HAS_SAME_FIELDS: i64 = 2;
/// Entries in one listpack.
const ENTRIES_MAX: usize = 100;

pub(super) fn read(form: u8, reader: &mut Reader<'_>) -> Result<Value, RdbError> {
    let mut entries = Vec::new();
    // A stream whose entries are gone has no listpack.
    for _ in 0..reader.number()? {
        let name = reader.string()?;
        let first = StreamId::from_bytes(&name).ok_or(Malformed)?;
        let packed = reader.string()?;
        let elements = listpack(&packed, &mut reader.budget)?;
        read_node(first, &mut Elements(elements.iter()), &mut entries)?;
    }
    if entries.windows(2).any(|pair| pair[0].id >= pair[1].id) {
        return Err(Malformed);
    }
    let len = reader.number()?;
    let last = id(reader)?;
    let newest = entries.last().map_or(StreamId::MIN, |entry: &StreamEntry| entry.id);
    if len != entries.len() as u64 || newest > last {
        return Err(Malformed);
    }
    let mut mark = Mark { last, ..Mark::default() };
    if form != kind::STREAM_1 {
        id(reader)?; // the first entry, which is found
        mark.max_deleted = id(reader)?;
        mark.removed = reader.number()?.checked_sub(len).ok_or(Malformed)?;
    }
    Ok(Value::Stream(entries, mark, group::read(form, reader)?))
}

pub(super) fn id(reader: &mut Reader<'_>) -> Result<StreamId, RdbError> {
    Ok(StreamId::new(reader.number()?, reader.number()?))
}

/// What is left of a listpack.
struct Elements<'i, 'a>(std::slice::Iter<'i, Element<'a>>);

impl<'a> Elements<'_, 'a> {
    fn element(&mut self) -> Result<Element<'a>, RdbError> {
        self.0.next().copied().ok_or(Malformed)
    }

    fn number(&mut self) -> Result<i64, RdbError> {
        self.element()?.number().ok_or(Malformed)
    }

    /// How many elements follow, of those that are there.
    fn count(&mut self) -> Result<usize, RdbError> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len()).ok_or(Malformed)
    }

    fn texts(&mut self, count: usize) -> Result<Vec<Vec<u8>>, RdbError> {
        (0..count).map(|_| Ok(self.element()?.text().into_owned())).collect()
    }
}

fn read_node(first: StreamId, left: &mut Elements<'_, '_>, entries: &mut Vec<StreamEntry>) -> Result<(), RdbError> {
    let (there, gone) = (left.count()?, left.count()?);
    let names = left.count()?;
    let names = left.texts(names)?;
    left.number()?;
    for _ in 0..there + gone {
        let flags = left.number()?;
        let (ms, seq) = (left.number()?, left.number()?);
        let id = StreamId::new(first.ms.wrapping_add_signed(ms), first.seq.wrapping_add_signed(seq));
        let pairs = if flags & HAS_SAME_FIELDS != 0 {
            let values = left.texts(names.len())?;
            names.iter().cloned().zip(values).collect::<Vec<_>>()
        } else {
            let count = left.count()?;
            let texts = left.texts(count.checked_mul(2).filter(|it| *it <= left.0.len()).ok_or(Malformed)?)?;
            texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        left.number()?; // how many elements the entry has
        if flags & IS_DELETED == 0 {
            let fields = pairs.iter().map(|(name, value)| (&**name, &**value));
            entries.push(StreamEntry::new(id, fields).ok_or(Malformed)?);
        }
    }
    if left.0.len() == 0 { Ok(()) } else { Err(Malformed) }
}

/// In the form of Redis 7.0, without the groups.
pub(super) fn write(entries: &[StreamEntry], mark: &Mark, out: &mut Vec<u8>) {
    let nodes = entries.chunks(ENTRIES_MAX);
    write_length(nodes.len() as u64, out);
    for node in nodes {
        write_string(&node[0].id.to_bytes(), out);
        write_string(&node_of(node), out);
    }
    write_length(entries.len() as u64, out);
    let first = entries.first().map_or(StreamId::MIN, |entry| entry.id);
    for id in [mark.last, first, mark.max_deleted] {
        write_length(id.ms, out);
        write_length(id.seq, out);
    }
    write_length(mark.removed.saturating_add(entries.len() as u64), out);
}

fn node_of(entries: &[StreamEntry]) -> Vec<u8> {
    let first = &entries[0];
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let names: Vec<&[u8]> = first.fields().map(|(name, _)| name).collect();
    let mut packed = Listpack::default();
    packed.number(number(entries.len()));
    packed.number(0);
    packed.number(number(names.len()));
    names.iter().for_each(|name| packed.text(name));
    packed.number(0);
    for entry in entries {
        let are_same = entry.fields().map(|(name, _)| name).eq(names.iter().copied());
        packed.number(if are_same { HAS_SAME_FIELDS } else { 0 });
        packed.number(entry.id.ms.wrapping_sub(first.id.ms).cast_signed());
        packed.number(entry.id.seq.wrapping_sub(first.id.seq).cast_signed());
        let fields = entry.fields().count();
        if !are_same {
            packed.number(number(fields));
        }
        for (name, value) in entry.fields() {
            if !are_same {
                packed.text(name);
            }
            packed.text(value);
        }
        packed.number(number(if are_same { fields + 3 } else { 2 * fields + 4 }));
    }
    packed.end()
}
