//! Bucket transfers: how a replica catches up when the log no longer reaches back.
//!
//! A transfer is a run of buckets, each read atomically (after sealing) with the version vector it is exact for, and
//! each joined at once. There is no session: lost, duplicated, stale and interleaved transfers, from several senders
//! and in both directions, are all exact. A bucket equal on both sides is only named; its version vector is raised
//! if it is *still* equal when the transfer arrives.
//!
//! The join of two states: cells live on both sides, plus cells of one side whose dot the other's vector does not
//! cover (Almeida, Shoker, Baquero 2016). The frontier joins by the same rule, baselines by their own merge.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use cahoots_crdt::{Dot, DotFun, Observed, ReplicaId, VersionVector};

use super::Store;
use super::ballot::BallotError;
use super::baseline::Baseline;
use super::bucket::{BUCKETS, Bucket, bucket_of, remove_cells};
use super::cell::{Class, Count, Dots, Element, Path, Register, hash_of};
use super::entry::Entry;
use super::fingerprint::Fingerprint;
use crate::bytes::Bytes;
use crate::{Hlc, Limits};

/// More events than any replica mints: keeps forged vectors away from the end of the number range.
const SEQ_MAX: u64 = 1 << 62;

#[derive(Serialize, Deserialize)]
struct Header {
    /// The sender's common version vector; a bucket's own is this plus what it is ahead.
    vv: VersionVector,
    clock: Hlc,
}

#[derive(Serialize, Deserialize)]
struct BucketState<'a> {
    bucket: u16,
    ahead: VersionVector,
    fingerprint: Fingerprint,
    /// `None` when the receiver has shown an equal fingerprint.
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Content<'a> {
    frontier: Vec<Dot>,
    #[serde(borrow)]
    baselines: Vec<BaselineState<'a>>,
    keys: Vec<KeyState<'a>>,
}

#[derive(Serialize, Deserialize)]
struct BaselineState<'a> {
    #[serde(borrow)]
    key: Bytes<'a>,
    class: u8,
    name: Bytes<'a>,
    owner: ReplicaId,
    birth: u64,
    seen: u64,
    total: i128,
    reset: Dot,
}

#[derive(Serialize, Deserialize)]
struct KeyState<'a> {
    #[serde(borrow)]
    key: Bytes<'a>,
    elements: Vec<ElementState<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ElementState<'a> {
    class: u8,
    #[serde(borrow)]
    name: Bytes<'a>,
    registers: Vec<(Dot, Hlc, Bytes<'a>)>,
    /// Dot, clock, birth, total.
    counts: Vec<(Dot, Hlc, u64, i128)>,
}

/// What a transfer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Buckets whose content was joined.
    pub joined: usize,
    /// Buckets that were equal and had their version vector raised.
    pub equal: usize,
    /// Buckets no longer equal when the transfer arrived: to be asked for again.
    pub stale: usize,
}

/// Why a transfer was refused. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Not the encoding of a transfer.
    #[error("malformed transfer")]
    Malformed,
    /// A key, name or value longer than the cluster's limit.
    #[error("transfer exceeds a limit")]
    TooLong,
    /// Well encoded, but no replica that keeps the rules sends it.
    #[error("transfer breaks a rule: {0}")]
    Illegal(&'static str),
    /// It knows events of this replica's id that were never minted here: the id is in use twice.
    #[error("transfer holds unknown events of this replica's own id")]
    OwnId,
    /// The sender's clock is beyond the bound.
    #[error("transfer is {ahead_ms} ms ahead of this replica's clock")]
    Early {
        /// How far the sender's clock is ahead of the wall.
        ahead_ms: u64,
    },
}

impl Store {
    /// The low halves of the fingerprints of buckets `first..last`, for asking for a transfer. Seals the window.
    pub fn bucket_fingerprints(&mut self, first: usize, last: usize) -> Vec<u64> {
        self.seal();
        self.buckets[first..last].iter().map(|bucket| low_half(bucket.fingerprint)).collect()
    }

    /// Writes buckets from `first` on, as many as `theirs` has fingerprints, ending early beyond `bytes_max`.
    /// Returns the transfer and the first bucket not in it. Seals the window.
    pub fn encode_transfer(&mut self, first: usize, theirs: &[u64], bytes_max: usize) -> (Vec<u8>, usize) {
        self.seal();
        self.settle();
        let header = Header { vv: self.vv.clone(), clock: self.clock };
        let mut bytes = postcard::to_allocvec(&header).expect("plain data");
        let mut next = first;
        for theirs in theirs.iter().take(BUCKETS.saturating_sub(first)) {
            let bucket = &self.buckets[next];
            let content = (low_half(bucket.fingerprint) != *theirs).then(|| content_of(bucket));
            let state = BucketState {
                bucket: u16::try_from(next).expect("BUCKETS fits 16 bits"),
                ahead: self.ahead.get(&next).cloned().unwrap_or_default(),
                fingerprint: bucket.fingerprint,
                content,
            };
            bytes = postcard::to_extend(&state, bytes).expect("plain data");
            next += 1;
            if bytes.len() >= bytes_max {
                break;
            }
        }
        (bytes, next)
    }

    /// Joins a transfer: every bucket in it at once, or none if it is refused. Seals the window.
    ///
    /// # Errors
    /// The bytes are malformed or break a rule; nothing was touched.
    pub fn join_transfer(&mut self, bytes: &[u8], wall_ms: u64) -> Result<Joined, TransferError> {
        let (header, states) = decode(bytes, &self.limits)?;
        self.seal();
        let knows_too_much = |vv: &VersionVector| vv.get(self.id) > self.sealed_seq();
        if knows_too_much(&header.vv) || states.iter().any(|state| knows_too_much(&state.ahead)) {
            return Err(TransferError::OwnId);
        }
        if let Some(ahead_ms) = self.too_early(header.clock, wall_ms) {
            return Err(TransferError::Early { ahead_ms });
        }
        let mut joined = Joined::default();
        for state in states {
            let index = usize::from(state.bucket);
            let mut their_vv = header.vv.clone();
            their_vv.merge(&state.ahead);
            match state.content {
                Some(content) => {
                    let my_vv = self.bucket_vv(index);
                    self.join_bucket(index, content, &my_vv, &their_vv);
                    joined.joined += 1;
                }
                None if self.buckets[index].fingerprint == state.fingerprint => joined.equal += 1,
                None => {
                    joined.stale += 1;
                    continue;
                }
            }
            self.ahead.entry(index).or_default().merge(&their_vv);
        }
        self.clock = self.clock.max(header.clock);
        self.settle();
        Ok(joined)
    }

    fn join_bucket(&mut self, index: usize, content: Content<'_>, my_vv: &VersionVector, their_vv: &VersionVector) {
        let bucket = &mut self.buckets[index];
        let changes = &mut self.changes;
        let mut theirs: HashMap<&[u8], Vec<ElementState<'_>>> =
            content.keys.into_iter().map(|state| (state.key.0, state.elements)).collect();
        let mine: Vec<Box<[u8]>> = bucket.iter().map(|(key, _)| key.into()).collect();
        let new: Vec<Box<[u8]>> =
            theirs.keys().filter(|key| bucket.get(hash_of(key), key).is_none()).map(|key| (*key).into()).collect();
        for key in mine.iter().chain(&new) {
            let elements = theirs.remove(&**key).unwrap_or_default();
            let changed = bucket.alter(hash_of(key), key, |entry, _, _| join_entry(entry, elements, my_vv, their_vv));
            if changed {
                changes.push(key);
            }
        }
        for state in content.baselines {
            let path = Path::new(state.key.0, Class::from_code(state.class).expect("checked"), state.name.0);
            let (owner, birth, seen, total) = (state.owner, state.birth, state.seen, state.total);
            if bucket.baselines.merge(&path, Baseline { owner, birth, seen, total, reset: state.reset }) {
                changes.push(path.key);
            }
        }
        settle_baselines(bucket);
        let theirs: DotFun<()> = content.frontier.into_iter().map(|dot| (dot, ())).collect();
        let mut frontier: DotFun<()> = bucket.frontier().iter().map(|dot| (dot, ())).collect();
        frontier.join(my_vv, theirs, their_vv);
        let frontier: Dots = frontier.iter().map(|(dot, ())| dot).collect();
        bucket.set_frontier(index, frontier);
        bucket.fingerprint = bucket.recompute(index);
    }
}

/// Joins the elements of one key; says whether anything changed.
fn join_entry(
    entry: &mut Entry,
    elements: Vec<ElementState<'_>>,
    my_vv: &VersionVector,
    their_vv: &VersionVector,
) -> bool {
    let mut theirs: HashMap<Class, HashMap<&[u8], Element>> = HashMap::new();
    for ((class, name), element) in elements.into_iter().map(element_of) {
        theirs.entry(class).or_default().insert(name, element);
    }
    let mut changed = false;
    entry.alter(b"", 0, |path, element| {
        let their_element = theirs.get_mut(&path.class).and_then(|it| it.remove(path.name)).unwrap_or_default();
        changed |= join_element(element, my_vv, their_element, their_vv);
    });
    let new = theirs.into_iter().flat_map(|(class, it)| it.into_iter().map(move |(name, it)| (class, name, it)));
    for (class, name, their_element) in new {
        let element = entry.element_mut(class, name);
        changed |= join_element(element, my_vv, their_element, their_vv);
        if element.is_empty() {
            entry.drop_if_empty(class, name);
        }
    }
    changed
}

fn join_element(mine: &mut Element, my_vv: &VersionVector, theirs: Element, their_vv: &VersionVector) -> bool {
    if *mine == theirs {
        return false;
    }
    let before = mine.clone();
    mine.value.join(my_vv, theirs.value, their_vv);
    let mut counts = mine.counts.take().map(|counts| *counts).unwrap_or_default();
    counts.join(my_vv, theirs.counts.map(|counts| *counts).unwrap_or_default(), their_vv);
    mine.counts = (!counts.is_empty()).then(|| Box::new(counts));
    *mine != before
}

/// Removes cells that a baseline shows to be reset, and baselines of lives that are over.
fn settle_baselines(bucket: &mut Bucket) {
    let located: Vec<_> = bucket.baselines.iter().cloned().collect();
    for it in &located {
        let path = it.path();
        let baseline = &it.baseline;
        bucket.alter_present(hash_of(&it.key), &it.key, |entry, baselines, fingerprint| {
            let Some(slot) = entry.element(it.class, &it.name).and_then(|element| element.slot(baseline.owner)) else {
                return;
            };
            let (dot, birth) = (slot.0, slot.1.birth);
            if dot.seq <= baseline.seen {
                // The fingerprint is recomputed after the join.
                let element = entry.element_mut(it.class, &it.name);
                remove_cells(&path, element, baselines, fingerprint, |_| false, |cell| cell == dot);
                entry.drop_if_empty(it.class, &it.name);
            } else {
                baselines.begin_life(&path, baseline.owner, birth);
            }
        });
    }
}

fn content_of(bucket: &Bucket) -> Content<'_> {
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
    let keys = bucket.iter().map(|(key, entry)| KeyState {
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

fn element_of(state: ElementState<'_>) -> ((Class, &[u8]), Element) {
    let class = Class::from_code(state.class).expect("checked");
    let register = |(dot, clock, value): (Dot, Hlc, Bytes<'_>)| (dot, Register { clock, value: value.0.into() });
    let count = |(dot, clock, birth, total)| (dot, Count { clock, birth, total });
    let counts: DotFun<Count> = state.counts.into_iter().map(count).collect();
    let value = state.registers.into_iter().map(register).collect();
    ((class, state.name.0), Element { value, counts: (!counts.is_empty()).then(|| Box::new(counts)) })
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
fn low_half(fingerprint: Fingerprint) -> u64 {
    fingerprint.get() as u64
}

fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Vec<BucketState<'a>>), TransferError> {
    let (header, mut rest) = postcard::take_from_bytes::<Header>(bytes).map_err(|_| TransferError::Malformed)?;
    let mut states: Vec<BucketState<'a>> = Vec::new();
    while !rest.is_empty() {
        let (state, tail) = postcard::take_from_bytes::<BucketState<'a>>(rest).map_err(|_| TransferError::Malformed)?;
        rest = tail;
        if usize::from(state.bucket) >= BUCKETS || states.last().is_some_and(|last| last.bucket >= state.bucket) {
            return Err(TransferError::Illegal("buckets out of order"));
        }
        let mut vv = header.vv.clone();
        vv.merge(&state.ahead);
        if vv.iter().any(|(_, seq)| seq > SEQ_MAX) {
            return Err(TransferError::Illegal("more events than there can be"));
        }
        state.content.iter().try_for_each(|content| check(content, usize::from(state.bucket), &vv, limits))?;
        states.push(state);
    }
    Ok((header, states))
}

fn check(content: &Content<'_>, bucket: usize, vv: &VersionVector, limits: &Limits) -> Result<(), TransferError> {
    let place = |key: &[u8], code: u8, name: &[u8]| {
        let class = Class::from_code(code).ok_or(TransferError::Illegal("no such type"))?;
        if key.len().max(name.len()) > limits.name_bytes_max {
            return Err(TransferError::TooLong);
        }
        if !class.has_names() && !name.is_empty() {
            return Err(TransferError::Illegal("this type has no named parts"));
        }
        if bucket_of(hash_of(key)) != bucket {
            Err(TransferError::Illegal("key outside its bucket"))
        } else {
            Ok(class)
        }
    };
    let cell = |dot: Dot| if vv.covers(dot) { Ok(()) } else { Err(TransferError::Illegal("cell before its event")) };
    content.frontier.iter().try_for_each(|dot| cell(*dot))?;
    for it in &content.baselines {
        if place(it.key.0, it.class, it.name.0)?.holds_ballots() {
            return Err(TransferError::Illegal("a ballot is no counter"));
        }
    }
    for key in &content.keys {
        for element in &key.elements {
            let class = place(key.key.0, element.class, element.name.0)?;
            if class.holds_ballots() {
                check_ballots(class, element)?;
            }
            if element.registers.iter().any(|(_, _, value)| value.0.len() > limits.value_bytes_max) {
                return Err(TransferError::TooLong);
            }
            element.registers.iter().try_for_each(|(dot, ..)| cell(*dot))?;
            element.counts.iter().try_for_each(|(dot, ..)| cell(*dot))?;
        }
    }
    Ok(())
}

/// One ballot per replica, each as that replica may cast it.
fn check_ballots(class: Class, element: &ElementState<'_>) -> Result<(), TransferError> {
    if !element.counts.is_empty() {
        return Err(TransferError::Illegal("a ballot is no counter"));
    }
    let mut owners: Vec<ReplicaId> = element.registers.iter().map(|(dot, ..)| dot.replica).collect();
    owners.sort_unstable();
    if owners.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(TransferError::Illegal("two ballots of one replica"));
    }
    element.registers.iter().try_for_each(|(.., value)| match super::ballot::check(class, value.0) {
        Ok(()) => Ok(()),
        Err(BallotError::TooLong) => Err(TransferError::TooLong),
        Err(BallotError::NoNumber) => Err(TransferError::Illegal("a presence is no number")),
    })
}
