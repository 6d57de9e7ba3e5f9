//! Bucket transfers: how a replica catches up when the log no longer reaches back.
//!
//! A transfer is some buckets, each read atomically (after sealing) with the version vector it is exact for, and each
//! joined at once. There is no session: lost, duplicated, stale and interleaved transfers, from several senders and in
//! both directions, are all exact. Of each bucket it holds one of:
//! - that it is *equal* on both sides: its version vector is raised, if it is *still* equal when the transfer arrives;
//! - that it *differs*, and is too large to be sent unless it is known in what: nothing is joined;
//! - its *whole* content;
//! - its *difference* from what the receiver had (`difference`): joined if the receiver's keys still are what they were.
//!
//! The join of two states: cells live on both sides, plus cells of one side whose dot the other's vector does not
//! cover (Almeida, Shoker, Baquero 2016). The frontier joins by the same rule, baselines by their own merge.

pub(super) mod content;
pub(super) mod difference;
pub(super) mod image;
pub(super) mod sketch;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use cahoots_crdt::{Dot, DotFun, Observed, VersionVector};

use super::cell::baseline::{Baseline, Baselines};
use super::cell::fingerprint::Fingerprint;
use super::cell::{Element, Path, hash_of};
use super::kind::Class;
use super::memory::bucket::{BUCKETS, Bucket, place_of, remove_cells};
use super::memory::keys::{Draft, Keys};
use super::read::changes::{By, Subject};
use super::transfer::content::{Content, ElementState, check, content_of};
use super::transfer::difference::{Difference, Sketch};
use super::{Store, beyond};
use crate::bytes::append;
use crate::mix::fold;
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
    #[serde(borrow)]
    form: Form<'a>,
}

#[derive(Serialize, Deserialize)]
enum Form<'a> {
    /// The receiver has shown this fingerprint, and it is the sender's too.
    Equal {
        fingerprint: [u8; 8],
    },
    /// The sender has so many keys there.
    Differs {
        keys: u32,
    },
    Whole(#[serde(borrow)] Content<'a>),
    Difference(#[serde(borrow)] Difference<'a>),
}

impl<'a> Form<'a> {
    fn whole(bucket: &'a Bucket) -> Self {
        bucket.keys.warm();
        Self::Whole(content_of(bucket, bucket.keys.iter()))
    }
}

/// What a transfer did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Buckets whose content was joined, wholly or in what it differed.
    pub joined: usize,
    /// Those of them of which only the difference came.
    pub refined: usize,
    /// Keys in other states here and there that came in those, each counted on both sides.
    pub items: usize,
    /// Buckets that were equal and had their version vector raised.
    pub equal: usize,
    /// Buckets of which the sender has seen less than is here: there is nothing to join.
    pub known: usize,
    /// Buckets no longer what they were when the transfer was asked for: to be asked for again.
    pub stale: Vec<usize>,
    /// Buckets that differ, with how many keys the sender has there.
    pub differing: Vec<(usize, usize)>,
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
}

/// One bucket as it was at a moment, to be written as a transfer while the store goes on changing: copying it takes a
/// small part of the time that writing it takes.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    header: Vec<u8>,
    index: usize,
    ahead: VersionVector,
    bucket: Bucket,
}

impl Snapshot {
    /// Bytes that it takes, and about as many in a transfer. O(keys with tables).
    pub(crate) fn memory(&self) -> usize {
        self.bucket.keys.memory()
    }

    /// The transfer. O(the bucket).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        append_bucket(self.index, self.ahead.clone(), Form::whole(&self.bucket), &mut bytes);
        bytes
    }
}

fn append_bucket(index: usize, ahead: VersionVector, form: Form<'_>, bytes: &mut Vec<u8>) {
    let bucket = u16::try_from(index).expect("BUCKETS fits 16 bits");
    append(&BucketState { bucket, ahead, form }, bytes);
}

impl Store {
    /// Whether a bucket takes more than `bytes`.
    pub(crate) fn is_longer(&self, index: usize, bytes: usize) -> bool {
        self.buckets[index].is_longer_than(bytes)
    }

    /// Copies one bucket. Seals the window. O(the bucket).
    pub(crate) fn snapshot(&mut self, index: usize) -> Snapshot {
        let header = self.begin_transfer();
        let ahead = self.ahead.get(&index).cloned().unwrap_or_default();
        Snapshot { header, index, ahead, bucket: self.buckets[index].clone() }
    }

    /// The low halves of the fingerprints of buckets `first..last`, for asking for a transfer. Seals the window.
    pub fn bucket_fingerprints(&mut self, first: usize, last: usize) -> Vec<u64> {
        self.seal();
        (first..last).map(|index| low_half(self.buckets[index].fingerprint(index))).collect()
    }

    /// Writes buckets from `first` on, as many as `theirs` has fingerprints, ending early beyond `bytes_max`. A bucket
    /// that differs is sent whole if it has no more than about `whole_bytes_max` or the receiver has nothing there.
    /// Returns the transfer and the first bucket not in it. Seals the window.
    pub fn encode_transfer(
        &mut self,
        first: usize,
        theirs: &[u64],
        bytes_max: usize,
        whole_bytes_max: usize,
    ) -> (Vec<u8>, usize) {
        self.encode_transfer_within(first, theirs, bytes_max, whole_bytes_max, usize::MAX)
    }

    /// As [`Store::encode_transfer`], but ending before a bucket that would be sent whole and takes more than about
    /// `long_bytes`.
    pub(crate) fn encode_transfer_within(
        &mut self,
        first: usize,
        theirs: &[u64],
        bytes_max: usize,
        whole_bytes_max: usize,
        long_bytes: usize,
    ) -> (Vec<u8>, usize) {
        let mut bytes = self.begin_transfer();
        let mut next = first;
        for theirs in theirs.iter().take(BUCKETS.saturating_sub(first)) {
            let bucket = &self.buckets[next];
            let fingerprint = low_half(bucket.fingerprint(next));
            let form = if fingerprint == *theirs {
                Form::Equal { fingerprint: fingerprint.to_le_bytes() }
            } else if *theirs != low_half(Fingerprint::default()) && bucket.has_more_than(whole_bytes_max) {
                Form::Differs { keys: u32::try_from(bucket.keys.len()).unwrap_or(u32::MAX) }
            } else if bucket.is_longer_than(long_bytes) {
                break;
            } else {
                Form::whole(bucket)
            };
            self.add_bucket(&mut bytes, next, form);
            next += 1;
            if bytes.len() >= bytes_max {
                break;
            }
        }
        (bytes, next)
    }

    /// What the other replica's sketch shows to be different, of as many of its buckets as fit `bytes_max`, one at least:
    /// the transfer, and how many buckets are in it. `None` if the sketch has too few symbols to tell. Seals the window.
    pub fn encode_differences(&mut self, sketch: &Sketch, bytes_max: usize) -> Option<(Vec<u8>, usize)> {
        self.encode_differences_within(sketch, bytes_max, usize::MAX)
    }

    /// As [`Store::encode_differences`], but ending before a bucket that takes more than about `long_bytes`: what
    /// differs may be all of it, for a key is sent with everything under it.
    pub(crate) fn encode_differences_within(
        &mut self,
        sketch: &Sketch,
        bytes_max: usize,
        long_bytes: usize,
    ) -> Option<(Vec<u8>, usize)> {
        let mut bytes = self.begin_transfer();
        let differences = self.differences(sketch)?;
        let mut count = 0;
        for found in differences {
            let (index, bucket) = (found.index, &self.buckets[found.index]);
            if bucket.is_longer_than(long_bytes) {
                break;
            }
            self.add_bucket(&mut bytes, index, Form::Difference(found.read(bucket)));
            count += 1;
            if bytes.len() >= bytes_max {
                break;
            }
        }
        Some((bytes, count))
    }

    /// Writes one bucket, whole. Seals the window.
    pub(super) fn encode_bucket(&mut self, index: usize) -> Vec<u8> {
        let mut bytes = self.begin_transfer();
        self.add_bucket(&mut bytes, index, Form::whole(&self.buckets[index]));
        bytes
    }

    fn begin_transfer(&mut self) -> Vec<u8> {
        self.seal();
        self.settle();
        postcard::to_allocvec(&Header { vv: self.vv.clone(), clock: self.clock }).expect("plain data")
    }

    fn add_bucket(&self, bytes: &mut Vec<u8>, index: usize, form: Form<'_>) {
        append_bucket(index, self.ahead.get(&index).cloned().unwrap_or_default(), form, bytes);
    }

    /// Joins a transfer: every bucket in it at once, or none if it is refused. Seals the window.
    ///
    /// # Errors
    /// The bytes are malformed or break a rule; nothing was touched.
    pub fn join_transfer(&mut self, bytes: &[u8]) -> Result<Joined, TransferError> {
        let (header, states) = decode(bytes, &self.limits)?;
        self.seal();
        let knows_too_much = |vv: &VersionVector| vv.get(self.id) > self.certain_seq();
        if knows_too_much(&header.vv) || states.iter().any(|state| knows_too_much(&state.ahead)) {
            return Err(TransferError::OwnId);
        }
        if !header.clock.is_sane() {
            return Err(TransferError::Illegal("a clock beyond all sense"));
        }
        let mut joined = Joined::default();
        for state in states {
            let index = usize::from(state.bucket);
            let mut their_vv = header.vv.clone();
            their_vv.merge(&state.ahead);
            let my_vv = self.bucket_vv(index);
            match state.form {
                Form::Differs { keys } => {
                    joined.differing.push((index, usize::try_from(keys).unwrap_or(usize::MAX)));
                    continue;
                }
                // The join of a state with what it came from is that state. At equal vectors it is looked at all the same:
                // if the states differ then, something is wrong, and this mends it.
                Form::Whole(_) | Form::Difference(_) if my_vv.dominates(&their_vv) && my_vv != their_vv => {
                    joined.known += 1;
                    continue;
                }
                Form::Equal { fingerprint }
                    if fingerprint == low_half(self.buckets[index].fingerprint(index)).to_le_bytes() =>
                {
                    joined.equal += 1;
                }
                Form::Whole(content) => {
                    let here_only = unnamed(&content, self.buckets[index].keys.iter().map(|(key, _)| key));
                    self.join_bucket(index, &here_only, content, &their_vv);
                    joined.joined += 1;
                }
                Form::Difference(difference) if difference.is_fresh(&self.buckets[index]) => {
                    joined.items += difference.items();
                    let here = difference.only_here(&self.buckets[index], index);
                    let here_only = unnamed(&difference.content, here);
                    self.join_bucket(index, &here_only, difference.content, &their_vv);
                    joined.joined += 1;
                    joined.refined += 1;
                }
                Form::Equal { .. } | Form::Difference(_) => {
                    joined.stale.push(index);
                    continue;
                }
            }
            let ahead = self.ahead.entry(index).or_default();
            ahead.merge(&their_vv);
            *ahead = beyond(ahead, &self.vv);
            if ahead.is_empty() {
                self.ahead.remove(&index);
            }
        }
        self.clock = self.clock.max(header.clock);
        if self.ahead.len() == BUCKETS {
            self.settle();
        }
        Ok(joined)
    }

    /// Joins the keys that `content` names and those that are `here_only`; the other own keys stay as they are.
    fn join_bucket(&mut self, index: usize, here_only: &[Box<[u8]>], content: Content<'_>, their_vv: &VersionVector) {
        let my_vv = &self.bucket_vv(index);
        let bucket = &mut self.buckets[index];
        let changes = &mut self.changes;
        bucket.keys.reserve(content.keys.len());
        let mut joining =
            Joining { keys: &mut bucket.keys, baselines: &bucket.baselines, draft: &mut self.draft, my_vv, their_vv };
        for state in content.keys {
            let (hash, key) = (hash_of(state.key.0), state.key.0);
            changes.look(Subject { keys: joining.keys, hash, key }, By::Peer);
            if joining.join_key(key, state.elements.as_read()) {
                changes.push(Subject { keys: joining.keys, hash, key });
            }
        }
        for key in here_only {
            let hash = hash_of(key);
            changes.look(Subject { keys: joining.keys, hash, key }, By::Peer);
            if joining.join_key(key, &[]) {
                changes.push(Subject { keys: joining.keys, hash, key });
            }
        }
        for state in content.baselines {
            let path = Path::new(state.key.0, Class::from_code(state.class).expect("checked"), state.name.0);
            let (owner, birth, seen, total) = (state.owner, state.birth, state.seen, state.total);
            if bucket.baselines.merge(&path, Baseline { owner, birth, seen, total, reset: state.reset }) {
                changes.look(bucket.keys.subject(&path), By::Peer);
                changes.push(bucket.keys.subject(&path));
            }
        }
        settle_baselines(bucket, &mut self.draft);
        let theirs: DotFun<()> = content.frontier.into_iter().map(|dot| (dot, ())).collect();
        let mut frontier: DotFun<()> = bucket.frontier.iter().map(|dot| (dot, ())).collect();
        frontier.join(my_vv, theirs, their_vv);
        bucket.frontier = frontier.iter().map(|(dot, ())| dot).collect();
        bucket.cells_fingerprint = bucket.cells_print();
    }
}

/// These of the own keys that `content` does not name.
fn unnamed<K: AsRef<[u8]>>(content: &Content<'_>, keys: impl IntoIterator<Item = K>) -> Vec<Box<[u8]>> {
    let mut named: HashTable<&[u8]> = HashTable::with_capacity(content.keys.len());
    for state in &content.keys {
        named.insert_unique(place_of(hash_of(state.key.0)), state.key.0, |key| place_of(hash_of(key)));
    }
    let is_named = |key: &[u8]| named.find(place_of(hash_of(key)), |it| *it == key).is_some();
    keys.into_iter().filter(|key| !is_named(key.as_ref())).map(|key| key.as_ref().into()).collect()
}

/// The keys of a bucket that is joined with another one, and what either side has seen.
struct Joining<'a> {
    keys: &'a mut Keys,
    /// The own ones: those of the other side are merged afterwards.
    baselines: &'a Baselines,
    draft: &'a mut Draft,
    my_vv: &'a VersionVector,
    their_vv: &'a VersionVector,
}

impl Joining<'_> {
    /// Joins the elements of one key; says whether anything changed.
    fn join_key(&mut self, key: &[u8], theirs: &[ElementState<'_>]) -> bool {
        let hash = hash_of(key);
        let gone = self.gone(hash, key, theirs);
        let mut changed = false;
        for state in theirs {
            let class = Class::from_code(state.class).expect("checked");
            changed |= self.join_element(&Path::within(hash, key, class, state.name.0), Some(state));
        }
        for (class, name) in gone {
            changed |= self.join_element(&Path::within(hash, key, class, &name), None);
        }
        changed
    }

    /// The own elements that the other side does not have, and of which it has seen some cell.
    fn gone(&self, hash: u64, key: &[u8], theirs: &[ElementState<'_>]) -> Vec<(Class, Box<[u8]>)> {
        let Some(entry) = self.keys.get(hash, key) else { return Vec::new() };
        let place_of = |class: u8, name: &[u8]| fold(hash_of(name), u64::from(class));
        let mut named: HashTable<(u8, &[u8])> = HashTable::with_capacity(theirs.len());
        for state in theirs {
            let place = (state.class, state.name.0);
            named.insert_unique(place_of(place.0, place.1), place, |(class, name)| place_of(*class, name));
        }
        let mine = entry.iter().filter(|(class, name, _)| {
            let class = *class as u8;
            named.find(place_of(class, name), |it| *it == (class, &**name)).is_none()
        });
        let seen = mine.filter(|(.., element)| element.dots().any(|dot| self.their_vv.covers(dot)));
        seen.map(|(class, name, _)| (class, Box::from(&*name))).collect()
    }

    fn join_element(&mut self, path: &Path<'_>, theirs: Option<&ElementState<'_>>) -> bool {
        let (at, mut mine) = self.keys.look(path);
        let changed = join_element(&mut mine, self.my_vv, theirs, self.their_vv);
        if changed {
            self.keys.draft(at, path, mine, self.draft);
            self.keys.commit(at, path, self.baselines, self.draft);
        }
        changed
    }
}

/// Joins the cells of one element; says whether anything changed.
fn join_element<'a>(
    mine: &mut Element<'a>,
    my_vv: &VersionVector,
    theirs: Option<&'a ElementState<'_>>,
    their_vv: &VersionVector,
) -> bool {
    if theirs.map_or(mine.is_empty(), |theirs| theirs.describes(mine)) {
        return false;
    }
    let before: SmallVec<[Dot; 2]> = mine.dots().collect();
    let theirs = theirs.map(ElementState::element).unwrap_or_default();
    let agreed = agree_on_forked(mine, &theirs);
    mine.value.join(my_vv, theirs.value, their_vv);
    mine.counts.join(my_vv, theirs.counts, their_vv);
    agreed || !mine.dots().eq(before)
}

/// A dot that names two cells (its id was used twice) keeps the greater on both sides, so that they agree again. Says
/// whether a cell changed here.
fn agree_on_forked<'a>(mine: &mut Element<'a>, theirs: &Element<'a>) -> bool {
    let mut changed = false;
    for (dot, theirs) in theirs.value.iter() {
        let Some(mine) = mine.value.get_mut(dot) else { continue };
        if (mine.clock, mine.value) < (theirs.clock, theirs.value) {
            *mine = *theirs;
            changed = true;
        }
    }
    for (dot, theirs) in theirs.counts.iter() {
        let Some(mine) = mine.counts.get_mut(dot) else { continue };
        if (mine.clock, mine.birth, mine.total) < (theirs.clock, theirs.birth, theirs.total) {
            *mine = *theirs;
            changed = true;
        }
    }
    changed
}

/// Removes cells that a baseline shows to be reset, and baselines of lives that are over.
fn settle_baselines(bucket: &mut Bucket, draft: &mut Draft) {
    let located: Vec<_> = bucket.baselines.iter().cloned().collect();
    for it in &located {
        let (path, baseline) = (it.path(), &it.baseline);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
        let (at, mut element) = keys.look(&path);
        let Some((dot, birth)) = element.slot(baseline.owner).map(|(dot, count)| (dot, count.birth)) else { continue };
        if dot.seq <= baseline.seen {
            // The fingerprint is recomputed after the join.
            remove_cells(&path, &mut element, baselines, fingerprint, |cell| cell == dot);
            keys.draft(at, &path, element, draft);
            keys.commit(at, &path, baselines, draft);
        } else {
            baselines.begin_life(&path, baseline.owner, birth);
            drop(element);
            keys.rank_again(&path, baselines, draft);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
pub(super) fn low_half(fingerprint: Fingerprint) -> u64 {
    fingerprint.get() as u64
}

/// Shows the contents in a transfer, whole ones and those of differences.
pub(super) fn each_content(
    bytes: &[u8],
    limits: &Limits,
    mut show: impl FnMut(&Content<'_>),
) -> Result<(), TransferError> {
    for state in decode(bytes, limits)?.1 {
        if let Form::Whole(content) | Form::Difference(Difference { content, .. }) = &state.form {
            show(content);
        }
    }
    Ok(())
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
        match &state.form {
            Form::Equal { .. } | Form::Differs { .. } => {}
            Form::Whole(content) | Form::Difference(Difference { content, .. }) => {
                check(content, usize::from(state.bucket), (&vv, header.clock), limits)?;
            }
        }
        states.push(state);
    }
    Ok((header, states))
}
