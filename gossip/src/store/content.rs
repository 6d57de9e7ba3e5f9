//! What a bucket holds, as it travels: cells by key, baselines, the frontier.

use serde::{Deserialize, Serialize};

use cahoots_crdt::{Dot, DotFun, Observed, ReplicaId, VersionVector};

use super::bucket::{Bucket, bucket_of};
use super::cell::{Class, Count, Element, Path, Register, hash_of};
use super::entry::Entry;
use super::transfer::TransferError;
use crate::bytes::Bytes;
use crate::{Hlc, Limits};

#[derive(Serialize, Deserialize)]
pub(super) struct Content<'a> {
    pub(super) frontier: Vec<Dot>,
    #[serde(borrow)]
    pub(super) baselines: Vec<BaselineState<'a>>,
    pub(super) keys: Vec<KeyState<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BaselineState<'a> {
    #[serde(borrow)]
    pub(super) key: Bytes<'a>,
    pub(super) class: u8,
    pub(super) name: Bytes<'a>,
    pub(super) owner: ReplicaId,
    pub(super) birth: u64,
    pub(super) seen: u64,
    pub(super) total: i128,
    pub(super) reset: Dot,
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyState<'a> {
    #[serde(borrow)]
    pub(super) key: Bytes<'a>,
    pub(super) elements: Vec<ElementState<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ElementState<'a> {
    pub(super) class: u8,
    #[serde(borrow)]
    pub(super) name: Bytes<'a>,
    pub(super) registers: Vec<(Dot, Hlc, Bytes<'a>)>,
    /// Dot, clock, birth, total.
    pub(super) counts: Vec<(Dot, Hlc, u64, i128)>,
}

/// The bucket's side tables, and these of its keys.
pub(super) fn content_of<'a>(bucket: &'a Bucket, keys: impl Iterator<Item = (&'a [u8], &'a Entry)>) -> Content<'a> {
    let baselines = bucket.baselines.iter().map(|it| BaselineState {
        key: Bytes(&it.key),
        class: it.class as u8,
        name: Bytes(&it.name),
        owner: it.baseline.owner,
        birth: it.baseline.birth,
        seen: it.baseline.seen,
        total: it.baseline.total,
        reset: it.baseline.reset,
    });
    let keys = keys.map(|(key, entry)| KeyState {
        key: Bytes(key),
        elements: entry.elements(key, 0).map(|(path, element)| state_of(path, element)).collect(),
    });
    Content { frontier: bucket.frontier().iter().collect(), baselines: baselines.collect(), keys: keys.collect() }
}

fn state_of<'a>(path: Path<'a>, element: &'a Element) -> ElementState<'a> {
    ElementState {
        class: path.class as u8,
        name: Bytes(path.name),
        registers: element.value.iter().map(|(dot, it)| (dot, it.clock, Bytes(&it.value))).collect(),
        counts: element.counts().map(|(dot, it)| (dot, it.clock, it.birth, it.total)).collect(),
    }
}

pub(super) fn element_of(state: ElementState<'_>) -> ((Class, &[u8]), Element) {
    let class = Class::from_code(state.class).expect("checked");
    let register = |(dot, clock, value): (Dot, Hlc, Bytes<'_>)| (dot, Register { clock, value: value.0.into() });
    let count = |(dot, clock, birth, total)| (dot, Count { clock, birth, total });
    let counts: DotFun<Count> = state.counts.into_iter().map(count).collect();
    let value = state.registers.into_iter().map(register).collect();
    ((class, state.name.0), Element { value, counts: (!counts.is_empty()).then(|| Box::new(counts)) })
}

pub(super) fn check(
    content: &Content<'_>,
    bucket: usize,
    vv: &VersionVector,
    limits: &Limits,
) -> Result<(), TransferError> {
    let place = |key: &[u8], code: u8, name: &[u8]| {
        let class = Class::from_code(code).ok_or(TransferError::Illegal("no such type"))?;
        if key.len().max(name.len()) > limits.name_bytes_max {
            return Err(TransferError::TooLong);
        }
        if class == Class::Text && !name.is_empty() {
            return Err(TransferError::Illegal("a text has no named parts"));
        }
        if bucket_of(hash_of(key)) != bucket { Err(TransferError::Illegal("key outside its bucket")) } else { Ok(()) }
    };
    let cell = |dot: Dot| if vv.covers(dot) { Ok(()) } else { Err(TransferError::Illegal("cell before its event")) };
    content.frontier.iter().try_for_each(|dot| cell(*dot))?;
    content.baselines.iter().try_for_each(|it| place(it.key.0, it.class, it.name.0))?;
    for key in &content.keys {
        for element in &key.elements {
            place(key.key.0, element.class, element.name.0)?;
            if element.registers.iter().any(|(_, _, value)| value.0.len() > limits.value_bytes_max) {
                return Err(TransferError::TooLong);
            }
            element.registers.iter().try_for_each(|(dot, ..)| cell(*dot))?;
            element.counts.iter().try_for_each(|(dot, ..)| cell(*dot))?;
        }
    }
    Ok(())
}
