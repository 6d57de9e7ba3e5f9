//! The flush window: local changes that share one open dot until it is sealed.
//!
//! Each operation writes down what it does as it will travel, so sealing only puts the changes in order. A place that is
//! written again has its change replaced.
//!
//! Invariants (each rule broken gives a wrong value at some peer, see the directed histories in the tests):
//! - the frontier and the contexts are captured when an operation runs, not when the window is sealed;
//! - a context's own part is the last *sealed* seq, never the open one: the event writes cells itself, and
//!   what an operation removes of the window's own cells is simply not sent;
//! - nothing reads the store for replication while a window is open.

use std::collections::BTreeMap;
use std::ops::Range;

use hashbrown::HashTable;

use cahoots_crdt::{Dot, ReplicaId};

use crate::Hlc;
use crate::bytes::{Bytes, same};
use crate::store::cell::{Cell, Count, Dots, Path, Register};
use crate::store::event::{Change, Foreign, begin_key, begin_part, encode_head};
use crate::store::kind::Class;
use crate::store::memory::bucket::bucket_of;

/// What one operation, or a part of it, does. Positions are in the window's bytes.
#[derive(Clone, Debug)]
struct Noted {
    key_hash: u64,
    path_hash: u64,
    key: Range<usize>,
    class: Class,
    name: Range<usize>,
    /// The encoded change; empty if a later operation took it back.
    change: Range<usize>,
    writes: Option<Cell>,
    /// Whether it is an assignment whose context names something.
    supersedes: bool,
}

/// An own counter slot that a window has changed, as it was before.
pub(in crate::store) struct Before<'a> {
    pub(in crate::store) key: &'a [u8],
    pub(in crate::store) class: Class,
    pub(in crate::store) name: &'a [u8],
    pub(in crate::store) cell: (Dot, Count),
}

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Window {
    /// The seq of the open dot.
    pub(in crate::store) seq: u64,
    /// No clock in the window is before it.
    since: Hlc,
    /// Keys, names and encoded changes.
    bytes: Vec<u8>,
    noted: Vec<Noted>,
    /// The order in which they travel, of a window arranged: hashes of keys, and what was noted under them.
    order: Vec<(u64, usize)>,
    /// The buckets that were touched, in their order, each with its part of `order`.
    parts: Vec<(usize, Range<usize>)>,
    /// Own counter slots that were continued or removed: what was noted of it, and the cell before. Not sent: needed if
    /// the window is moved to another id.
    before: Vec<(usize, Dot, Count)>,
    /// Those of `noted` that write a cell, by path.
    writes: HashTable<usize>,
    /// Per bucket whose operations saw one: the frontier.
    names: BTreeMap<usize, Dots>,
    /// Per bucket cleared: the context of the clearing.
    cleared: BTreeMap<usize, Dots>,
    /// An upper estimate of what encoding adds to `bytes`.
    frame_bytes: usize,
    /// The least deadline that something in the window was written under.
    earliest: u64,
}

/// Encoded bytes of a dot at most (eight of the id, ten of the seq), of an event's fixed parts, and of those of a key, the
/// bucket's included.
const DOT_BYTES: usize = 18;
const HEAD_BYTES: usize = 24;
const KEY_BYTES: usize = 12;
/// A table of more writes than this is not kept for the next window.
const WRITES_KEPT_MAX: usize = 1 << 10;

impl Window {
    /// Opens a window, in the room of one that was sealed.
    pub(in crate::store) fn open(mut self, seq: u64, clock: Hlc) -> Self {
        self.bytes.clear();
        self.noted.clear();
        self.order.clear();
        self.parts.clear();
        self.before.clear();
        self.names.clear();
        self.cleared.clear();
        if self.writes.capacity() > WRITES_KEPT_MAX {
            self.writes = HashTable::new();
        }
        self.writes.clear();
        Self { seq, since: clock, frame_bytes: HEAD_BYTES, earliest: u64::MAX, ..self }
    }

    /// An upper estimate of the event's encoded size.
    pub(in crate::store) fn size(&self) -> usize {
        self.bytes.len() + self.frame_bytes
    }

    /// Notes that an operation ran in `bucket` while its frontier was `frontier`.
    pub(in crate::store) fn touch(&mut self, bucket: usize, frontier: &Dots, me: ReplicaId) {
        for dot in frontier.iter().filter(|dot| dot.replica != me) {
            let names = self.names.entry(bucket).or_default();
            self.frame_bytes += if names.get(dot.replica) == 0 { DOT_BYTES } else { 0 };
            names.raise(dot);
        }
    }

    pub(in crate::store) fn delete(&mut self, key_hash: u64, key: &[u8], context: &Dots) {
        let path = Path::within(key_hash, key, Class::Text, b"");
        self.push(&path, &Change::Delete { context: Foreign::Of(context.as_slice()) });
    }

    pub(in crate::store) fn remove(&mut self, path: &Path<'_>, context: &Dots) {
        let (class, name) = (path.class as u8, Bytes(path.name));
        self.push(path, &Change::Remove { class, name, context: Foreign::Of(context.as_slice()) });
    }

    /// Removes exactly these cells.
    pub(in crate::store) fn discard(&mut self, path: &Path<'_>, cell: Cell, cells: &[Dot]) {
        let (class, name) = (path.class as u8, Bytes(path.name));
        self.push(path, &Change::Discard { class, name, cell, cells: Foreign::Of(cells) });
    }

    /// Notes that what was written may be hidden from this time on.
    pub(in crate::store) fn ends(&mut self, deadline: u64) {
        self.earliest = self.earliest.min(deadline);
    }

    /// No clock in the window is before it.
    pub(in crate::store) fn since(&self) -> Hlc {
        self.since
    }

    /// When the first of what was written is hidden.
    pub(in crate::store) fn earliest(&self) -> u64 {
        self.earliest
    }

    pub(in crate::store) fn reset(&mut self, path: &Path<'_>, observed: Dot, birth: u64, total: i128) {
        let (class, name) = (path.class as u8, Bytes(path.name));
        self.push(path, &Change::Reset { class, name, owner: observed.replica, birth, seen: observed.seq, total });
    }

    /// The own register at a path becomes this one, in place of what `context` covers there. One assigned again keeps what
    /// it covered at first: nothing else can be there now.
    pub(in crate::store) fn assign(&mut self, path: &Path<'_>, register: &Register<'_>, context: &Dots) {
        let known = self.written(path, Cell::Register);
        let kept;
        let context = match known.filter(|at| self.noted[*at].supersedes) {
            Some(at) => {
                debug_assert!(context.as_slice().is_empty());
                kept = self.superseded_by(at).collect();
                &kept
            }
            None => context,
        };
        let change = Change::Assign {
            class: path.class as u8,
            name: Bytes(path.name),
            context: Foreign::Of(context.as_slice()),
            clock_after: register.clock.get() - self.since.get(),
            value: Bytes(register.value),
        };
        let at = self.write(known, path, Cell::Register, &change);
        self.noted[at].supersedes = !context.as_slice().is_empty();
    }

    /// The own counter slot at a path becomes this one; `before` is the sealed one that it continues, if it is not open yet.
    pub(in crate::store) fn count(&mut self, path: &Path<'_>, count: &Count, before: Option<(Dot, Count)>) {
        let (class, name, birth, total) = (path.class as u8, Bytes(path.name), count.birth, count.total);
        let clock_after = count.clock.get() - self.since.get();
        let change = Change::Count { class, name, clock_after, birth, total };
        let at = self.write(self.written(path, Cell::Count), path, Cell::Count, &change);
        self.before.extend(before.map(|(dot, count)| (at, dot, count)));
    }

    /// An own sealed counter slot was removed. Not sent, as the own part of a context says it.
    pub(in crate::store) fn own_reset(&mut self, path: &Path<'_>, before: (Dot, Count)) {
        let at = self.note(path);
        let from = self.bytes.len();
        self.bytes.extend_from_slice(path.name);
        self.noted[at].name = from..self.bytes.len();
        self.before.push((at, before.0, before.1));
    }

    /// A cell of this window was removed again: what it had superseded is added to the context of the removal.
    pub(in crate::store) fn take_back(&mut self, path: &Path<'_>, cell: Cell, context: &mut Dots) {
        let Self { noted, writes, bytes, .. } = self;
        if let Ok(found) = writes.find_entry(path.hash, |at| noted[*at].is_write(bytes, path, cell)) {
            let at = found.remove().0;
            if self.noted[at].supersedes {
                self.superseded_by(at).for_each(|dot| context.raise(dot));
            }
            self.noted[at].change = 0..0;
        }
    }

    /// The change noted in this window that writes a cell at a path.
    fn written(&self, path: &Path<'_>, cell: Cell) -> Option<usize> {
        self.writes.find(path.hash, |at| self.noted[*at].is_write(&self.bytes, path, cell)).copied()
    }

    /// The context of an assignment that has one.
    fn superseded_by(&self, at: usize) -> impl Iterator<Item = Dot> + '_ {
        match Change::decode(&self.bytes[self.noted[at].change.clone()]) {
            Change::Assign { context, .. } => context.iter(),
            _ => unreachable!("only assignments supersede"),
        }
    }

    pub(in crate::store) fn clear(&mut self, bucket: usize, context: &Dots) {
        self.frame_bytes += KEY_BYTES + context.iter().len() * DOT_BYTES;
        let known = self.cleared.entry(bucket).or_default();
        context.iter().for_each(|dot| known.raise(dot));
    }

    /// Notes something about a path, of which nothing is encoded yet.
    fn note(&mut self, path: &Path<'_>) -> usize {
        let key = match self.noted.last() {
            Some(last) if last.key_hash == path.key_hash && same(&self.bytes[last.key.clone()], path.key) => {
                last.key.clone()
            }
            _ => {
                self.frame_bytes += KEY_BYTES;
                let from = self.bytes.len();
                self.bytes.extend_from_slice(path.key);
                from..self.bytes.len()
            }
        };
        let Path { key_hash, class, hash: path_hash, .. } = *path;
        self.noted.push(Noted {
            key_hash,
            path_hash,
            key,
            class,
            name: 0..0,
            change: 0..0,
            writes: None,
            supersedes: false,
        });
        self.noted.len() - 1
    }

    fn push(&mut self, path: &Path<'_>, change: &Change<'_>) -> usize {
        let at = self.note(path);
        self.encode_change(at, path, change);
        at
    }

    fn encode_change(&mut self, at: usize, path: &Path<'_>, change: &Change<'_>) {
        let from = self.bytes.len();
        change.encode(&mut self.bytes);
        let noted = &mut self.noted[at];
        noted.change = from..self.bytes.len();
        // Behind the variant, the class and the length of the name.
        let name = from + 2 + crate::varint::len(path.name.len());
        noted.name = name..name + path.name.len();
    }

    fn write(&mut self, known: Option<usize>, path: &Path<'_>, cell: Cell, change: &Change<'_>) -> usize {
        if let Some(at) = known {
            self.rewrite(at, path, change);
            return at;
        }
        let at = self.push(path, change);
        self.noted[at].writes = Some(cell);
        let noted = &self.noted;
        self.writes.insert_unique(path.hash, at, |at| noted[*at].path_hash);
        at
    }

    /// Replaces an encoded change by another of the same place: where it is, if the length stays.
    fn rewrite(&mut self, at: usize, path: &Path<'_>, change: &Change<'_>) {
        let old = self.noted[at].change.clone();
        if old.end == self.bytes.len() {
            self.bytes.truncate(old.start);
            return self.encode_change(at, path, change);
        }
        let before = self.noted[at].clone();
        self.encode_change(at, path, change);
        let new = self.noted[at].change.clone();
        if new.len() == old.len() {
            self.bytes.copy_within(new.clone(), old.start);
            self.bytes.truncate(new.start);
            self.noted[at] = before;
        }
    }

    /// Brings what was noted into the order of an event.
    pub(in crate::store) fn arrange(&mut self) {
        let Self { noted, order, parts, cleared, .. } = self;
        order.extend(noted.iter().enumerate().map(|(at, noted)| (noted.key_hash, at)));
        order.sort_unstable();
        let mut from = 0;
        for part in order.chunk_by(|a, b| bucket_of(a.0) == bucket_of(b.0)) {
            parts.push((bucket_of(part[0].0), from..from + part.len()));
            from += part.len();
        }
        for bucket in cleared.keys() {
            if let Err(at) = parts.binary_search_by_key(bucket, |part| part.0) {
                parts.insert(at, (*bucket, 0..0));
            }
        }
    }

    /// The buckets that were touched, in order, each with the foreign dots of its frontier. Of a window arranged.
    pub(in crate::store) fn buckets(&self) -> impl Iterator<Item = (usize, Option<&Dots>)> {
        self.parts.iter().map(|(bucket, _)| (*bucket, self.names.get(bucket)))
    }

    /// The event's body, as [`Body`](super::Body) reads it. Of a window arranged.
    pub(in crate::store) fn encode(&self, clock: Hlc) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.size());
        encode_head(clock, self.since, self.parts.len(), &mut body);
        let noted = |(_, at): &(u64, usize)| &self.noted[*at];
        let is_sent = |it: &&Noted| !it.change.is_empty();
        let is_same = |a: &_, b: &_| {
            let (a, b): (&Noted, &Noted) = (noted(a), noted(b));
            a.key == b.key || a.key_hash == b.key_hash && same(&self.bytes[a.key.clone()], &self.bytes[b.key.clone()])
        };
        for (bucket, part) in &self.parts {
            let part = &self.order[part.clone()];
            let (names, cleared) = (self.names.get(bucket), self.cleared.get(bucket));
            let begin = |keys: usize, body: &mut Vec<u8>| {
                begin_part(*bucket, names.map_or(&[], Dots::as_slice), cleared.map(Dots::as_slice), keys, body);
            };
            // Nearly every part is of one change.
            if let [one] = part {
                let it = noted(one);
                begin(usize::from(is_sent(&it)), &mut body);
                if is_sent(&it) {
                    begin_key(&self.bytes[it.key.clone()], 1, &mut body);
                    body.extend_from_slice(&self.bytes[it.change.clone()]);
                }
                continue;
            }
            let keys = part.chunk_by(is_same).filter(|key| key.iter().map(noted).any(|it| is_sent(&it)));
            begin(keys.clone().count(), &mut body);
            for key in keys {
                let sent = key.iter().map(noted).filter(is_sent);
                begin_key(&self.bytes[noted(&key[0]).key.clone()], sent.clone().count(), &mut body);
                sent.for_each(|it| body.extend_from_slice(&self.bytes[it.change.clone()]));
            }
        }
        body
    }

    /// What was noted of own counter slots that had been in use before.
    pub(in crate::store) fn slots_before(&self) -> impl Iterator<Item = Before<'_>> {
        self.before.iter().map(|(at, dot, count)| {
            let Noted { key, class, name, .. } = &self.noted[*at];
            let (key, name) = (&self.bytes[key.clone()], &self.bytes[name.clone()]);
            Before { key, class: *class, name, cell: (*dot, *count) }
        })
    }
}

impl Noted {
    fn is_write(&self, bytes: &[u8], path: &Path<'_>, cell: Cell) -> bool {
        let is_here = || same(&bytes[self.key.clone()], path.key) && same(&bytes[self.name.clone()], path.name);
        self.writes == Some(cell) && (self.path_hash, self.class) == (path.hash, path.class) && is_here()
    }
}
