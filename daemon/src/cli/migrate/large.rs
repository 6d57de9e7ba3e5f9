//! Values that are larger than what one command may write: taken apart, to be written by many.

use super::super::export::group_of;
use super::super::json_lines::{Data, Entries, Hash, Item};
use crate::rdb;
use crate::resp::digits_of;
use cahoots_gossip::Limits;
use cahoots_gossip::store::Value;

/// Payloads below this become nothing that is too large.
const LOOK_BYTES: usize = 256 << 10;
/// What is made of a payload at most.
const VALUE_BYTES_MAX: usize = 4 << 30;

/// The value as data, if it is one of many elements that RESTORE would refuse because of their number.
pub(super) fn unpacked(key: &[u8], until: Option<u64>, payload: &[u8]) -> Option<Item> {
    if payload.len() < LOOK_BYTES {
        return None;
    }
    let max = Limits::default().group_bytes_max;
    let value = match rdb::restore(payload, max) {
        Ok(value) if key.len() + value.bytes() > max => value,
        Err(rdb::RdbError::TooLarge { .. }) => rdb::restore(payload, VALUE_BYTES_MAX).ok()?,
        // It is small enough; or RESTORE says what is wrong with it.
        _ => return None,
    };
    Some(Item { key: key.to_vec(), value: data_of(value)?, until })
}

fn data_of(value: Value) -> Option<Data> {
    let owned = |elements: Vec<Box<[u8]>>| elements.into_iter().map(Vec::from).collect();
    Some(match value {
        Value::Text(_) => return None,
        Value::Set(members) => Data::Set(owned(members)),
        Value::List(elements) => Data::List(owned(elements)),
        Value::Hash(fields) => {
            let mut hash = Hash::default();
            for field in fields {
                hash.until.extend(field.deadline.map(|until| (field.name.to_vec(), until)));
                hash.fields.push((field.name.into(), field.value.into()));
            }
            Data::Hash(hash)
        }
        Value::Sorted(members) => {
            let spelled = |(member, score): (Box<[u8]>, f64)| (Vec::from(member), digits_of(score).into_bytes());
            Data::Sorted(members.into_iter().map(spelled).collect())
        }
        Value::Stream(entries, mark, groups) => {
            let added = mark.removed.saturating_add(entries.len() as u64);
            let fields = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
            let entries = entries.iter().map(|entry| (entry.id.to_string(), entry.fields().map(fields).collect()));
            let entries = entries.collect();
            let (last, deleted) = (mark.last.to_string(), mark.max_deleted.to_string());
            let groups = groups.iter().map(group_of).collect();
            Data::Stream(Entries { entries, last, deleted, added, groups })
        }
    })
}
