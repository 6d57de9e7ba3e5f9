//! The body of an event as it travels: what one flush window changed.
//!
//! Layout (as postcard has it): the window's clocks, then per bucket touched the frontier named, and per key the changes. Dots
//! written by the event itself are implied (origin and seq stand outside), as is the own part of every context: the
//! origin's previous seq. A decoded body borrows from the bytes it came in.
//!
//! A window writes its changes down one by one as they are made, and puts the rest around them when it is sealed.
//!
//! Decoding checks everything that can be checked without the store, so that what is applied is well-formed. It notes
//! where the changes of each key are; they are read again when they are asked for, which costs less than a list of them.

pub(super) mod apply;
pub(super) mod cells;
pub(super) mod expire;
pub(super) mod group;
pub(super) mod list;
pub(super) mod parts;
mod replace;
pub(super) mod sorted;
mod stream;
pub(super) mod window;
pub(super) mod writer;

use std::ops::Range;

use cahoots_crdt::{Dot, ReplicaId};

use super::cell::Cell;
use super::cell::ballot::BallotError;
use super::cell::hash_of;
use super::cell::sound;
use super::kind::Class;
use super::memory::bucket::{BUCKETS, bucket_of};
use crate::bytes::{Bytes, append, same};
use crate::varint;
use crate::{Hlc, Limits};

#[derive(Debug)]
pub(super) struct Body<'a> {
    /// The highest clock in the event.
    pub(super) clock: Hlc,
    /// How far that is after the first; cells carry how far theirs is after the first.
    span: u64,
    /// In the order of their buckets.
    pub(super) parts: Vec<Part<'a>>,
    /// Those of all parts.
    pub(super) keys: Vec<KeyChanges<'a>>,
    /// Every dot that the event refers to outside its origin, with the bucket it refers to it in.
    pub(super) dependencies: Vec<(usize, Dot)>,
    /// The elements that are changed: the hash of the key, and the name. Some more than once.
    pub(super) places: Vec<(u64, &'a [u8])>,
}

/// What an event does in one bucket.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) bucket: usize,
    /// The bucket's frontier when the operations ran, the origin's own dot left out.
    pub(super) names: Foreign<'a>,
    /// Supersedes everything in the bucket that it covers.
    pub(super) cleared: Option<Foreign<'a>>,
    keys: Range<usize>,
}

#[derive(Debug)]
pub(super) struct KeyChanges<'a> {
    pub(super) key: &'a [u8],
    pub(super) key_hash: u64,
    /// How many changes there are.
    pub(super) count: usize,
    encoded: &'a [u8],
}

/// A few dots of others: as they were encoded, or as they will be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Foreign<'a> {
    Encoded(usize, &'a [u8]),
    Of(&'a [Dot]),
}

/// One change under a key. Within an event, changes that supersede come before those that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// Supersedes everything under the key that `context` covers.
    Delete { context: Foreign<'a> },
    /// Supersedes what `context` covers of one element.
    Remove { class: u8, name: Bytes<'a>, context: Foreign<'a> },
    /// A reset of a foreign counter slot; the reset's dot is the event's.
    Reset { class: u8, name: Bytes<'a>, owner: ReplicaId, birth: u64, seen: u64, total: i128 },
    /// Writes the origin's register in place of everything at its element that `context` covers.
    Assign { class: u8, name: Bytes<'a>, context: Foreign<'a>, clock_after: u64, value: Bytes<'a> },
    /// Writes the origin's counter slot.
    Count { class: u8, name: Bytes<'a>, clock_after: u64, birth: u64, total: i128 },
    /// Removes exactly these cells of one element, registers or counts: unlike in a context, nothing of the origin's own is
    /// implied. For what has expired, and for ballots of others.
    Discard { class: u8, name: Bytes<'a>, cell: Cell, cells: Foreign<'a> },
}

impl<'a> Foreign<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = Dot> + 'a {
        let ((len, encoded), dots) = match self {
            Self::Encoded(len, encoded) => ((len, encoded), &[][..]),
            Self::Of(dots) => ((0, &[][..]), dots),
        };
        let mut reader = Reader(encoded);
        (0..len).map(move |_| reader.dot().expect("it was checked")).chain(dots.iter().copied())
    }

    fn len(self) -> usize {
        match self {
            Self::Encoded(len, _) => len,
            Self::Of(dots) => dots.len(),
        }
    }
}

impl PartialEq for Foreign<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Foreign<'_> {}

impl<'a> KeyChanges<'a> {
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'a>> {
        let mut reader = Reader(self.encoded);
        (0..self.count).map(move |_| reader.change().expect("it was checked"))
    }
}

impl<'a> Change<'a> {
    /// Reads what [`encode`](Self::encode) has written.
    pub(super) fn decode(bytes: &'a [u8]) -> Self {
        Reader(bytes).change().expect("it was encoded here")
    }

    /// Appends it in postcard's encoding: the number of the variant, then the fields.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut place = |variant: u8, class: u8, name: &Bytes<'_>| {
            bytes.extend_from_slice(&[variant, class]);
            put_bytes(*name, bytes);
        };
        match self {
            Self::Delete { context } => {
                bytes.push(0);
                put_dots(*context, bytes);
            }
            Self::Remove { class, name, context } => {
                place(1, *class, name);
                put_dots(*context, bytes);
            }
            Self::Discard { class, name, cell, cells } => {
                place(5, *class, name);
                bytes.push(*cell as u8);
                put_dots(*cells, bytes);
            }
            Self::Reset { class, name, owner, birth, seen, total } => {
                place(2, *class, name);
                append(owner, bytes);
                varint::put(*birth, bytes);
                varint::put(*seen, bytes);
                put_total(*class, *total, bytes);
            }
            Self::Assign { class, name, context, clock_after, value } => {
                place(3, *class, name);
                put_dots(*context, bytes);
                varint::put(*clock_after, bytes);
                put_bytes(*value, bytes);
            }
            Self::Count { class, name, clock_after, birth, total } => {
                place(4, *class, name);
                varint::put(*clock_after, bytes);
                varint::put(*birth, bytes);
                put_total(*class, *total, bytes);
            }
        }
    }

    fn place(&self) -> Option<(u8, &'a [u8])> {
        match *self {
            Self::Delete { .. } => None,
            Self::Remove { class, name, .. }
            | Self::Discard { class, name, .. }
            | Self::Reset { class, name, .. }
            | Self::Assign { class, name, .. }
            | Self::Count { class, name, .. } => Some((class, name.0)),
        }
    }

    /// The context, of those that supersede what it covers.
    pub(super) fn context_mut(&mut self) -> Option<&mut Foreign<'a>> {
        match self {
            Self::Delete { context } | Self::Remove { context, .. } | Self::Assign { context, .. } => Some(context),
            Self::Reset { .. } | Self::Count { .. } | Self::Discard { .. } => None,
        }
    }

    /// The name of the element it is about; empty where there is none.
    fn name(&self) -> &'a [u8] {
        self.place().map_or(b"", |(_, name)| name)
    }
}

/// Why the bytes of an event were refused. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Not the encoding of an event.
    #[error("malformed event")]
    Malformed,
    /// A key, name or value longer than the cluster's limit.
    #[error("event exceeds a limit")]
    TooLong,
    /// Well encoded, but no replica that keeps the rules writes it.
    #[error("event breaks a rule: {0}")]
    Illegal(&'static str),
}

impl<'a> Body<'a> {
    /// Reads the body of event `dot`. O(size of the event).
    pub(super) fn decode(bytes: &'a [u8], dot: Dot, limits: &Limits) -> Result<Self, EventError> {
        let mut reader = Reader(bytes);
        let (clock, span) = (Hlc::new(reader.number()?), reader.number()?);
        if dot.seq == 0 {
            return Err(EventError::Illegal("seq counts from 1"));
        }
        if !clock.is_sane() {
            return Err(EventError::Illegal("a clock beyond all sense"));
        }
        if span > clock.get() {
            return Err(EventError::Illegal("clock before time"));
        }
        let count = reader.len()?;
        // Most parts are of one key, and all of that is in one element.
        let room = count.min(BUCKETS).min(reader.0.len());
        let (parts, keys) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let mut body = Self { clock, span, parts, keys, dependencies: Vec::new(), places: Vec::with_capacity(room) };
        for _ in 0..count {
            body.take_part(&mut reader, dot, limits)?;
        }
        if reader.0.is_empty() { Ok(body) } else { Err(EventError::Malformed) }
    }

    fn take_part(&mut self, reader: &mut Reader<'a>, dot: Dot, limits: &Limits) -> Result<(), EventError> {
        let bucket = reader.len()?;
        if bucket >= BUCKETS {
            return Err(EventError::Illegal("no such bucket"));
        }
        if self.parts.last().is_some_and(|last| last.bucket >= bucket) {
            return Err(EventError::Illegal("buckets out of order"));
        }
        let names = reader.dots()?;
        let cleared = match reader.byte()? {
            0 => None,
            1 => Some(reader.dots()?),
            _ => return Err(EventError::Malformed),
        };
        names.iter().chain(cleared.iter().flat_map(|it| it.iter())).for_each(|it| self.note(bucket, dot, it));
        let from = self.keys.len();
        for _ in 0..reader.len()? {
            self.take_key(reader, bucket, dot, limits)?;
        }
        self.parts.push(Part { bucket, names, cleared, keys: from..self.keys.len() });
        Ok(())
    }

    fn take_key(
        &mut self,
        reader: &mut Reader<'a>,
        bucket: usize,
        dot: Dot,
        limits: &Limits,
    ) -> Result<(), EventError> {
        let key = reader.bytes()?.0;
        let key_hash = hash_of(key);
        if key.len() > limits.name_bytes_max {
            return Err(EventError::TooLong);
        }
        if bucket_of(key_hash) != bucket {
            return Err(EventError::Illegal("key outside its bucket"));
        }
        let count = reader.len()?;
        let encoded = reader.0;
        for _ in 0..count {
            let change = reader.change()?;
            check_change(&change, dot, limits, self.span)?;
            self.check_clocked(&change, dot)?;
            let (context, reset) = match change {
                Change::Delete { context } | Change::Remove { context, .. } => (context, None),
                Change::Assign { context, .. } | Change::Discard { cells: context, .. } => (context, None),
                Change::Reset { owner, seen, .. } => (Foreign::Of(&[]), Some(Dot::new(owner, seen))),
                Change::Count { .. } => (Foreign::Of(&[]), None),
            };
            context.iter().chain(reset).for_each(|it| self.note(bucket, dot, it));
            let place = (key_hash, change.name());
            // What is superseded, and what takes its place, mostly are in one.
            if self.places.last().is_none_or(|last| last.0 != key_hash || !same(last.1, place.1)) {
                self.places.push(place);
            }
        }
        self.keys.push(KeyChanges { key, key_hash, count, encoded });
        Ok(())
    }

    /// What depends on the clock of the event, or of a cell.
    fn check_clocked(&self, change: &Change<'a>, dot: Dot) -> Result<(), EventError> {
        let clock = match *change {
            Change::Assign { clock_after, .. } | Change::Count { clock_after, .. } => self.clock_of(clock_after),
            _ => self.clock,
        };
        if let Some((class, name)) = change.place() {
            let class = Class::from_code(class).expect("checked");
            sound::check_name(class, name, clock).map_err(EventError::Illegal)?;
        }
        let Change::Assign { class, name, value, .. } = *change else { return Ok(()) };
        let class = Class::from_code(class).expect("checked");
        sound::check(class, name.0, dot, clock, value.0).map_err(EventError::Illegal)
    }

    fn note(&mut self, bucket: usize, event: Dot, named: Dot) {
        if named.replica != event.replica {
            self.dependencies.push((bucket, named));
        }
    }

    pub(super) fn keys_of(&self, part: &Part<'_>) -> &[KeyChanges<'a>] {
        &self.keys[part.keys.clone()]
    }

    /// No clock in the event is before it.
    pub(super) fn since(&self) -> Hlc {
        Hlc::new(self.clock.get() - self.span)
    }

    /// The clock of a cell.
    pub(super) fn clock_of(&self, clock_after: u64) -> Hlc {
        Hlc::new(self.since().get() + clock_after)
    }
}

/// What is left of the bytes of a body. Each method takes one thing from the front, if it is there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn change(&mut self) -> Result<Change<'a>, EventError> {
        Ok(match self.byte()? {
            0 => Change::Delete { context: self.dots()? },
            1 => Change::Remove { class: self.byte()?, name: self.bytes()?, context: self.dots()? },
            2 => {
                let class = self.byte()?;
                Change::Reset {
                    class,
                    name: self.bytes()?,
                    owner: self.replica()?,
                    birth: self.number()?,
                    seen: self.number()?,
                    total: self.total(class)?,
                }
            }
            3 => Change::Assign {
                class: self.byte()?,
                name: self.bytes()?,
                context: self.dots()?,
                clock_after: self.number()?,
                value: self.bytes()?,
            },
            4 => {
                let class = self.byte()?;
                Change::Count {
                    class,
                    name: self.bytes()?,
                    clock_after: self.number()?,
                    birth: self.number()?,
                    total: self.total(class)?,
                }
            }
            5 => Change::Discard {
                class: self.byte()?,
                name: self.bytes()?,
                cell: match self.byte()? {
                    0 => Cell::Register,
                    1 => Cell::Count,
                    _ => return Err(EventError::Malformed),
                },
                cells: self.dots()?,
            },
            _ => return Err(EventError::Malformed),
        })
    }

    fn dots(&mut self) -> Result<Foreign<'a>, EventError> {
        let len = self.len()?;
        let encoded = self.0;
        for _ in 0..len {
            self.dot()?;
        }
        Ok(Foreign::Encoded(len, encoded))
    }

    fn dot(&mut self) -> Result<Dot, EventError> {
        Ok(Dot::new(self.replica()?, self.number()?))
    }

    fn replica(&mut self) -> Result<ReplicaId, EventError> {
        let (id, rest) = self.0.split_first_chunk().ok_or(EventError::Malformed)?;
        self.0 = rest;
        Ok(ReplicaId::new(u64::from_be_bytes(*id)))
    }

    fn bytes(&mut self) -> Result<Bytes<'a>, EventError> {
        let len = self.len()?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(EventError::Malformed)?;
        self.0 = rest;
        Ok(Bytes(bytes))
    }

    fn byte(&mut self) -> Result<u8, EventError> {
        let (byte, rest) = self.0.split_first().ok_or(EventError::Malformed)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// Lists and runs of bytes begin with how many there are.
    fn len(&mut self) -> Result<usize, EventError> {
        self.number().and_then(|len| usize::try_from(len).map_err(|_| EventError::Malformed))
    }

    #[inline]
    fn number(&mut self) -> Result<u64, EventError> {
        varint::read(&mut self.0).ok_or(EventError::Malformed)
    }

    fn total(&mut self, class: u8) -> Result<i128, EventError> {
        let read = if has_fractions(class) { varint::read_fraction } else { varint::read_wide };
        read(&mut self.0).ok_or(EventError::Malformed)
    }
}

/// Begins a body: `parts` parts follow.
pub(super) fn encode_head(clock: Hlc, since: Hlc, parts: usize, bytes: &mut Vec<u8>) {
    varint::put(clock.get(), bytes);
    varint::put(clock.get() - since.get(), bytes);
    varint::put_len(parts, bytes);
}

/// Begins a part: `keys` keys follow.
pub(super) fn begin_part(bucket: usize, names: &[Dot], cleared: Option<&[Dot]>, keys: usize, bytes: &mut Vec<u8>) {
    varint::put_len(bucket, bytes);
    put_dots(Foreign::Of(names), bytes);
    bytes.push(u8::from(cleared.is_some()));
    cleared.into_iter().for_each(|dots| put_dots(Foreign::Of(dots), bytes));
    varint::put_len(keys, bytes);
}

/// Begins what is done under a key: `changes` encoded [`Change`]s follow.
pub(super) fn begin_key(key: &[u8], changes: usize, bytes: &mut Vec<u8>) {
    varint::put_len(key.len(), bytes);
    bytes.extend_from_slice(key);
    varint::put_len(changes, bytes);
}

fn put_dots(dots: Foreign<'_>, bytes: &mut Vec<u8>) {
    varint::put_len(dots.len(), bytes);
    // There are none, nearly always, and the iterator takes long to find out.
    if dots.len() > 0 {
        dots.iter().for_each(|dot| append(&dot, bytes));
    }
}

/// A total as its class has it: of many fractions most bits are zeros at the end.
fn put_total(class: u8, total: i128, bytes: &mut Vec<u8>) {
    if has_fractions(class) { varint::put_fraction(total, bytes) } else { varint::put_wide(total, bytes) }
}

fn has_fractions(class: u8) -> bool {
    Class::from_code(class).is_some_and(Class::is_scored)
}

fn put_bytes(run: Bytes<'_>, bytes: &mut Vec<u8>) {
    varint::put_len(run.0.len(), bytes);
    bytes.extend_from_slice(run.0);
}

/// Only what counts is added to, ballots are discarded by others, and attributes say something.
fn type_rule_broken(change: &Change<'_>, class: Class, origin: ReplicaId) -> Option<EventError> {
    match change {
        Change::Count { .. } | Change::Reset { .. } | Change::Discard { cell: Cell::Count, .. }
            if !class.is_counted() =>
        {
            Some(EventError::Illegal(sound::NOT_COUNTED))
        }
        Change::Discard { cells, .. } if class.holds_ballots() && cells.iter().any(|dot| dot.replica == origin) => {
            Some(EventError::Illegal("an own ballot is withdrawn, not discarded"))
        }
        Change::Assign { value, .. } => match super::cell::ballot::check(class, value.0) {
            Ok(()) => None,
            Err(BallotError::TooLong) => Some(EventError::TooLong),
            Err(BallotError::NoNumber) => Some(EventError::Illegal("a presence is no number")),
        },
        _ => None,
    }
}

fn check_change(change: &Change<'_>, dot: Dot, limits: &Limits, span: u64) -> Result<(), EventError> {
    if let Some((code, name)) = change.place() {
        let class = Class::from_code(code).ok_or(EventError::Illegal("no such type"))?;
        if name.len() > limits.name_bytes_max {
            return Err(EventError::TooLong);
        }
        if !class.has_names() && !name.is_empty() {
            return Err(EventError::Illegal("this type has no named parts"));
        }
        if let Some(broken) = type_rule_broken(change, class, dot.replica) {
            return Err(broken);
        }
    }
    match *change {
        Change::Assign { value, .. } if value.0.len() > limits.value_bytes_max => Err(EventError::TooLong),
        Change::Assign { clock_after, .. } | Change::Count { clock_after, .. } if clock_after > span => {
            Err(EventError::Illegal("clock after that of its event"))
        }
        Change::Count { birth, .. } if birth == 0 || birth > dot.seq => {
            Err(EventError::Illegal("counter slot born after its event"))
        }
        Change::Reset { owner, birth, seen, .. } if owner == dot.replica || birth == 0 || birth > seen => {
            Err(EventError::Illegal("reset of an impossible slot"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dots() -> impl Strategy<Value = &'static [Dot]> {
        let dot = (any::<u64>(), any::<u64>()).prop_map(|(replica, seq)| Dot::new(ReplicaId::new(replica), seq));
        prop::collection::vec(dot, 0..3).prop_map(|dots| &*dots.leak())
    }

    fn foreign() -> impl Strategy<Value = Foreign<'static>> {
        dots().prop_map(Foreign::Of)
    }

    fn run() -> impl Strategy<Value = Bytes<'static>> {
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Bytes(bytes.leak()))
    }

    fn change() -> impl Strategy<Value = Change<'static>> {
        let numbers = || (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift);
        let totals = || (any::<i128>(), 0..128_u32).prop_map(|(total, shift)| total >> shift);
        prop_oneof![
            foreign().prop_map(|context| Change::Delete { context }),
            (any::<u8>(), run(), foreign()).prop_map(|(class, name, context)| Change::Remove { class, name, context }),
            (any::<u8>(), run(), any::<bool>(), foreign()).prop_map(|(class, name, counts, cells)| {
                let cell = if counts { Cell::Count } else { Cell::Register };
                Change::Discard { class, name, cell, cells }
            }),
            (any::<u8>(), run(), numbers(), numbers(), numbers(), totals()).prop_map(
                |(class, name, owner, birth, seen, total)| {
                    Change::Reset { class, name, owner: ReplicaId::new(owner), birth, seen, total }
                }
            ),
            (any::<u8>(), run(), foreign(), numbers(), run()).prop_map(|(class, name, context, clock_after, value)| {
                Change::Assign { class, name, context, clock_after, value }
            }),
            (any::<u8>(), run(), numbers(), numbers(), totals()).prop_map(
                |(class, name, clock_after, birth, total)| Change::Count { class, name, clock_after, birth, total }
            ),
        ]
    }

    /// Changes that are legal under any key, in an event whose clocks span this much.
    fn legal(span: u64) -> impl Strategy<Value = Vec<Change<'static>>> {
        let assign = (foreign(), 0..=span, run()).prop_map(|(context, clock_after, value)| Change::Assign {
            class: 0,
            name: Bytes(b""),
            context,
            clock_after,
            value,
        });
        prop::collection::vec(prop_oneof![foreign().prop_map(|context| Change::Delete { context }), assign], 0..4)
    }

    proptest! {
        #[test]
        fn a_change_that_is_encoded_is_decoded(change in change()) {
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            let bytes: &'static [u8] = bytes.leak();
            let mut reader = Reader(bytes);
            prop_assert_eq!(reader.change(), Ok(change));
            prop_assert!(reader.0.is_empty());
            prop_assert!((0..bytes.len()).all(|len| Reader(&bytes[..len]).change().is_err()));
        }

        #[test]
        fn a_body_that_is_encoded_is_decoded(
            clock in 100..Hlc::at(Hlc::SANE_MS_MAX).get(),
            keys in prop::collection::btree_map(run().prop_map(|it| it.0), legal(100), 0..6),
            names in dots(),
            cleared in prop::option::of(dots()),
        ) {
            let event = Dot::new(ReplicaId::new(7), 3);
            let mut buckets = std::collections::BTreeMap::<usize, Vec<_>>::new();
            keys.iter().for_each(|it| buckets.entry(bucket_of(hash_of(it.0))).or_default().push(it));
            let mut bytes = Vec::new();
            encode_head(Hlc::new(clock), Hlc::new(clock - 100), buckets.len(), &mut bytes);
            for (bucket, keys) in &buckets {
                begin_part(*bucket, names, cleared, keys.len(), &mut bytes);
                for (key, changes) in keys {
                    begin_key(key, changes.len(), &mut bytes);
                    changes.iter().for_each(|change| change.encode(&mut bytes));
                }
            }
            let body = Body::decode(&bytes, event, &Limits::default()).unwrap();
            prop_assert_eq!((body.clock, body.since()), (Hlc::new(clock), Hlc::new(clock - 100)));
            prop_assert_eq!(body.parts.len(), buckets.len());
            let mut dependencies = Vec::new();
            for (part, (bucket, keys)) in body.parts.iter().zip(buckets) {
                prop_assert_eq!(part.bucket, bucket);
                prop_assert!(part.names == Foreign::Of(names));
                prop_assert!(part.cleared == cleared.map(Foreign::Of));
                let read: Vec<_> = body.keys_of(part).iter().map(|it| (it.key, it.changes().collect())).collect();
                let contexts = keys.iter().flat_map(|(_, changes)| changes.iter()).flat_map(|change| match change {
                    Change::Delete { context } | Change::Assign { context, .. } => context.iter().collect(),
                    _ => Vec::new(),
                });
                let all = names.iter().chain(cleared.into_iter().flatten()).copied().chain(contexts);
                dependencies.extend(all.filter(|dot| dot.replica != event.replica).map(|dot| (bucket, dot)));
                let written: Vec<_> = keys.into_iter().map(|(key, changes)| (*key, changes.clone())).collect();
                prop_assert_eq!(read, written);
            }
            prop_assert_eq!(&body.dependencies, &dependencies);
            prop_assert!((0..bytes.len()).all(|len| Body::decode(&bytes[..len], event, &Limits::default()).is_err()));
        }
    }
}
