//! Reading a payload.

use std::collections::HashSet;

use super::RdbError::{self, Checksum, Malformed};
use super::budget::Budget;
use super::crc64::crc64;
use super::packed::{Element, intset, listpack, ziplist};
use super::reader::Reader;
use super::{FOOTER_BYTES, LISTPACK, PLAIN, VALKEY_VERSION, VERSION_MAX, kind, stream};
use cahoots_gossip::store::{Field, Value};

/// The value that a payload holds, of which at most `bytes_max` bytes may be made.
///
/// # Errors
/// It is no such payload, or it holds more.
pub fn restore(payload: &[u8], bytes_max: usize) -> Result<Value, RdbError> {
    let mut reader = Reader::new(opened(payload)?, Budget::new(bytes_max));
    let [form] = reader.array()?;
    let value = value(form, &mut reader)?;
    if reader.is_empty() { Ok(value) } else { Err(Malformed) }
}

/// What is in a payload, whose version is known and whose sum is right.
pub(super) fn opened(payload: &[u8]) -> Result<&[u8], RdbError> {
    let body = payload.len().checked_sub(FOOTER_BYTES).ok_or(Checksum)?;
    let (body, footer) = payload.split_at(body);
    let (version, sum) = footer.split_first_chunk().ok_or(Checksum)?;
    let summed = &payload[..payload.len() - sum.len()];
    let version = u16::from_le_bytes(*version);
    if version > VERSION_MAX && version != VALKEY_VERSION || crc64(summed).to_le_bytes() != sum {
        return Err(Checksum);
    }
    Ok(body)
}

fn value(form: u8, reader: &mut Reader<'_>) -> Result<Value, RdbError> {
    match form {
        kind::STRING => Ok(Value::Text(reader.string()?.into_owned())),
        kind::LIST => Ok(Value::List(many(reader, |reader| Ok(boxed(&reader.string()?)))?)),
        kind::LIST_ZIPLIST => list(texts(reader, ziplist)?),
        kind::LIST_OF_ZIPLISTS => list(many(reader, |reader| texts(reader, ziplist))?.concat()),
        kind::LIST_OF_LISTPACKS => list(many(reader, node)?.concat()),
        kind::SET => set(many(reader, |reader| Ok(boxed(&reader.string()?)))?),
        kind::SET_INTSET => {
            let packed = reader.string()?;
            let members = intset(&packed, &mut reader.budget)?;
            set(members.into_iter().map(|member| boxed(&Element::Number(member).text())).collect())
        }
        kind::SET_LISTPACK => set(texts(reader, listpack)?),
        kind::HASH => hash(many(reader, |reader| field(reader, None))?),
        kind::HASH_ZIPLIST => hash(fields(texts(reader, ziplist)?)?),
        kind::HASH_LISTPACK => hash(fields(texts(reader, listpack)?)?),
        kind::HASH_WITH_ENDS => {
            let first = u64::from_le_bytes(reader.array()?);
            hash(many(reader, |reader| {
                // How long after the first end, and one more; 0 where there is none.
                let after = reader.number()?;
                let deadline = after.checked_sub(1).map(|after| first.checked_add(after).ok_or(Malformed));
                field(reader, deadline.transpose()?)
            })?)
        }
        kind::HASH_OF_VALKEY => hash(many(reader, |reader| {
            let field = field(reader, None)?;
            // Less than zero where there is none.
            Ok(Field { deadline: u64::try_from(i64::from_le_bytes(reader.array()?)).ok(), ..field })
        })?),
        kind::HASH_LISTPACK_WITH_ENDS => {
            reader.take(8)?; // the first end, which is found
            hash(fields_with_ends(texts(reader, listpack)?)?)
        }
        kind::ZSET_TEXT => sorted(many(reader, |reader| Ok((boxed(&reader.string()?), spelled_score(reader)?)))?),
        kind::ZSET => {
            sorted(many(reader, |reader| Ok((boxed(&reader.string()?), f64::from_le_bytes(reader.array()?))))?)
        }
        kind::ZSET_ZIPLIST => sorted(scored(texts(reader, ziplist)?)?),
        kind::ZSET_LISTPACK => sorted(scored(texts(reader, listpack)?)?),
        kind::STREAM_1 | kind::STREAM_2 | kind::STREAM_3 => stream::read(form, reader),
        _ => Err(Malformed),
    }
}

/// An element, or the name of one.
type Bytes = Box<[u8]>;

fn boxed(text: &[u8]) -> Bytes {
    text.into()
}

/// As many things as are said to follow.
fn many<'a, T>(
    reader: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, RdbError>,
) -> Result<Vec<T>, RdbError> {
    (0..reader.count()?).map(|_| one(reader)).collect()
}

/// How a packed string is read.
type Unpack = for<'b> fn(&'b [u8], &mut Budget) -> Result<Vec<Element<'b>>, RdbError>;

/// The elements of a packed string.
fn texts(reader: &mut Reader<'_>, unpack: Unpack) -> Result<Vec<Bytes>, RdbError> {
    let packed = reader.string()?;
    let elements = unpack(&packed, &mut reader.budget)?;
    Ok(elements.into_iter().map(|element| boxed(&element.text())).collect())
}

/// A node of a quicklist.
fn node(reader: &mut Reader<'_>) -> Result<Vec<Bytes>, RdbError> {
    match reader.number()? {
        PLAIN => Ok(vec![boxed(&reader.string()?)]),
        LISTPACK => texts(reader, listpack),
        _ => Err(Malformed),
    }
}

fn list(elements: Vec<Bytes>) -> Result<Value, RdbError> {
    if elements.is_empty() { Err(Malformed) } else { Ok(Value::List(elements)) }
}

fn set(members: Vec<Bytes>) -> Result<Value, RdbError> {
    are_different(members.iter().map(|it| &**it))?;
    Ok(Value::Set(members))
}

fn hash(fields: Vec<Field>) -> Result<Value, RdbError> {
    are_different(fields.iter().map(|it| &*it.name))?;
    Ok(Value::Hash(fields))
}

fn sorted(members: Vec<(Bytes, f64)>) -> Result<Value, RdbError> {
    are_different(members.iter().map(|(member, _)| &**member))?;
    if members.iter().any(|(_, score)| score.is_nan()) { Err(Malformed) } else { Ok(Value::Sorted(members)) }
}

/// Refuses names of which one is there twice, and none at all.
fn are_different<'a>(mut names: impl Iterator<Item = &'a [u8]>) -> Result<(), RdbError> {
    let mut seen = HashSet::new();
    let all = names.all(|name| seen.insert(name));
    if all && !seen.is_empty() { Ok(()) } else { Err(Malformed) }
}

fn field(reader: &mut Reader<'_>, deadline: Option<u64>) -> Result<Field, RdbError> {
    Ok(Field { name: boxed(&reader.string()?), value: boxed(&reader.string()?), deadline })
}

fn pairs(texts: Vec<Bytes>) -> Result<impl Iterator<Item = (Bytes, Bytes)>, RdbError> {
    if !texts.len().is_multiple_of(2) {
        return Err(Malformed);
    }
    let mut texts = texts.into_iter();
    Ok(std::iter::from_fn(move || texts.next().zip(texts.next())))
}

fn fields(texts: Vec<Bytes>) -> Result<Vec<Field>, RdbError> {
    Ok(pairs(texts)?.map(|(name, value)| Field { name, value, deadline: None }).collect())
}

/// Fields as names, values and ends in turn; 0 for one that has no end.
fn fields_with_ends(texts: Vec<Bytes>) -> Result<Vec<Field>, RdbError> {
    if !texts.len().is_multiple_of(3) {
        return Err(Malformed);
    }
    let mut texts = texts.into_iter();
    let triples = std::iter::from_fn(|| Some((texts.next()?, texts.next()?, texts.next()?)));
    triples
        .map(|(name, value, end)| {
            let end = crate::resp::unsigned(&end).ok_or(Malformed)?;
            Ok(Field { name, value, deadline: (end > 0).then_some(end) })
        })
        .collect()
}

fn scored(texts: Vec<Bytes>) -> Result<Vec<(Bytes, f64)>, RdbError> {
    pairs(texts)?.map(|(member, score)| Ok((member, score_of(&score)?))).collect()
}

fn score_of(text: &[u8]) -> Result<f64, RdbError> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

/// A score as older versions wrote it: digits, or a sign in place of their number.
fn spelled_score(reader: &mut Reader<'_>) -> Result<f64, RdbError> {
    match reader.array()? {
        [253] => Err(Malformed),
        [254] => Ok(f64::INFINITY),
        [255] => Ok(f64::NEG_INFINITY),
        [len] => score_of(reader.take(len.into())?),
    }
}
