//! The body of an event as it travels: what one flush window changed.
//!
//! Layout (postcard): the window's clocks, then per bucket touched the frontier named, and per key the changes. Dots
//! written by the event itself are implied (origin and seq stand outside), as is the own part of every context: the
//! origin's previous seq. A decoded body borrows from the bytes it came in.
//!
//! A window writes its changes down one by one as they are made, and puts the rest around them when it is sealed.
//!
//! Decoding checks everything that can be checked without the store, so that what is applied is well-formed.

use serde::Deserialize;

use cahoots_crdt::{Dot, ReplicaId};

use super::ballot::BallotError;
use super::bucket::{BUCKETS, bucket_of};
use super::cell::{Class, hash_of};
use super::varint;
use crate::bytes::{Bytes, append};
use crate::{Hlc, Limits};

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Body<'a> {
    /// The highest clock in the event.
    pub(super) clock: Hlc,
    /// How far that is after the first; cells carry how far theirs is after the first.
    pub(super) span: u64,
    #[serde(borrow)]
    pub(super) parts: Vec<Part<'a>>,
}

/// What an event does in one bucket.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Part<'a> {
    pub(super) bucket: u16,
    /// The bucket's frontier when the operations ran, the origin's own dot left out.
    pub(super) names: Vec<Dot>,
    /// Supersedes everything in the bucket that it covers.
    pub(super) cleared: Option<Vec<Dot>>,
    #[serde(borrow)]
    pub(super) keys: Vec<KeyChanges<'a>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct KeyChanges<'a> {
    #[serde(borrow)]
    pub(super) key: Bytes<'a>,
    pub(super) changes: Vec<Change<'a>>,
}

/// One change under a key. Within an event, changes that supersede come before those that write.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Change<'a> {
    /// Supersedes everything under the key that `context` covers.
    Delete { context: Vec<Dot> },
    /// The same for one element.
    Remove {
        class: u8,
        #[serde(borrow)]
        name: Bytes<'a>,
        context: Vec<Dot>,
    },
    /// A reset of a foreign counter slot; the reset's dot is the event's.
    Reset {
        class: u8,
        #[serde(borrow)]
        name: Bytes<'a>,
        owner: ReplicaId,
        birth: u64,
        seen: u64,
        total: i128,
    },
    /// Writes the origin's register.
    Assign {
        class: u8,
        #[serde(borrow)]
        name: Bytes<'a>,
        clock_after: u64,
        #[serde(borrow)]
        value: Bytes<'a>,
    },
    /// Writes the origin's counter slot.
    Count {
        class: u8,
        #[serde(borrow)]
        name: Bytes<'a>,
        clock_after: u64,
        birth: u64,
        total: i128,
    },
    /// Removes ballots of others, exactly these: unlike in a context, nothing of the origin's own is implied.
    Discard { class: u8, ballots: Vec<Dot> },
}

impl Change<'_> {
    /// Appends it in postcard's encoding: the number of the variant, then the fields.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut place = |variant: u8, class: u8, name: &Bytes<'_>| {
            bytes.extend_from_slice(&[variant, class]);
            put_bytes(*name, bytes);
        };
        match self {
            Self::Delete { context } => {
                bytes.push(0);
                put_dots(context, bytes);
            }
            Self::Remove { class, name, context } => {
                place(1, *class, name);
                put_dots(context, bytes);
            }
            Self::Discard { class, ballots } => {
                bytes.extend_from_slice(&[5, *class]);
                put_dots(ballots, bytes);
            }
            Self::Reset { class, name, owner, birth, seen, total } => {
                place(2, *class, name);
                append(owner, bytes);
                varint::put(*birth, bytes);
                varint::put(*seen, bytes);
                varint::put_wide(*total, bytes);
            }
            Self::Assign { class, name, clock_after, value } => {
                place(3, *class, name);
                varint::put(*clock_after, bytes);
                put_bytes(*value, bytes);
            }
            Self::Count { class, name, clock_after, birth, total } => {
                place(4, *class, name);
                varint::put(*clock_after, bytes);
                varint::put(*birth, bytes);
                varint::put_wide(*total, bytes);
            }
        }
    }

    fn place(&self) -> Option<(u8, &[u8])> {
        match self {
            Self::Delete { .. } => None,
            Self::Discard { class, .. } => Some((*class, b"")),
            Self::Remove { class, name, .. }
            | Self::Reset { class, name, .. }
            | Self::Assign { class, name, .. }
            | Self::Count { class, name, .. } => Some((*class, name.0)),
        }
    }

    /// The name of the element it is about; empty where there is none.
    pub(super) fn name(&self) -> &[u8] {
        self.place().map_or(b"", |(_, name)| name)
    }

    fn context(&self) -> &[Dot] {
        match self {
            Self::Delete { context } | Self::Remove { context, .. } | Self::Discard { ballots: context, .. } => context,
            _ => &[],
        }
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
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_head(self.clock, Hlc::new(self.clock.get() - self.span), self.parts.len(), &mut bytes);
        for Part { bucket, names, cleared, keys } in &self.parts {
            begin_part(usize::from(*bucket), names, cleared.as_deref(), keys.len(), &mut bytes);
            for KeyChanges { key, changes } in keys {
                begin_key(key.0, changes.len(), &mut bytes);
                changes.iter().for_each(|change| change.encode(&mut bytes));
            }
        }
        bytes
    }

    /// The clock of a cell.
    pub(super) fn clock_of(&self, clock_after: u64) -> Hlc {
        Hlc::new(self.clock.get() - self.span + clock_after)
    }

    /// Reads the body of event `dot`. O(size of the event).
    pub(super) fn decode(bytes: &'a [u8], dot: Dot, limits: &Limits) -> Result<Self, EventError> {
        let (body, rest) = postcard::take_from_bytes::<Self>(bytes).map_err(|_| EventError::Malformed)?;
        if !rest.is_empty() {
            return Err(EventError::Malformed);
        }
        if dot.seq == 0 {
            return Err(EventError::Illegal("seq counts from 1"));
        }
        if !body.parts.is_sorted_by(|a, b| a.bucket < b.bucket) {
            return Err(EventError::Illegal("buckets out of order"));
        }
        if body.span > body.clock.get() {
            return Err(EventError::Illegal("clock before time"));
        }
        body.parts.iter().try_for_each(|part| part.check(dot, limits, body.span))?;
        Ok(body)
    }

    /// Every dot that the event refers to outside its origin, with the bucket it refers to it in.
    pub(super) fn dependencies(&self, origin: ReplicaId) -> impl Iterator<Item = (usize, Dot)> + '_ {
        self.parts.iter().flat_map(move |part| {
            let cleared = part.cleared.iter().flatten().copied();
            let changes = part.keys.iter().flat_map(|key| &key.changes).flat_map(|change| {
                let reset = match change {
                    Change::Reset { owner, seen, .. } => Some(Dot::new(*owner, *seen)),
                    _ => None,
                };
                change.context().iter().copied().chain(reset)
            });
            let all = part.names.iter().copied().chain(cleared).chain(changes);
            all.filter(move |dot| dot.replica != origin).map(|dot| (usize::from(part.bucket), dot))
        })
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
    put_dots(names, bytes);
    bytes.push(u8::from(cleared.is_some()));
    cleared.into_iter().for_each(|dots| put_dots(dots, bytes));
    varint::put_len(keys, bytes);
}

/// Begins what is done under a key: `changes` encoded [`Change`]s follow.
pub(super) fn begin_key(key: &[u8], changes: usize, bytes: &mut Vec<u8>) {
    varint::put_len(key.len(), bytes);
    bytes.extend_from_slice(key);
    varint::put_len(changes, bytes);
}

fn put_dots(dots: &[Dot], bytes: &mut Vec<u8>) {
    varint::put_len(dots.len(), bytes);
    dots.iter().for_each(|dot| append(dot, bytes));
}

fn put_bytes(run: Bytes<'_>, bytes: &mut Vec<u8>) {
    varint::put_len(run.0.len(), bytes);
    bytes.extend_from_slice(run.0);
}

impl Part<'_> {
    fn check(&self, dot: Dot, limits: &Limits, span: u64) -> Result<(), EventError> {
        let bucket = usize::from(self.bucket);
        if bucket >= BUCKETS {
            return Err(EventError::Illegal("no such bucket"));
        }
        for key in &self.keys {
            if key.key.0.len() > limits.name_bytes_max {
                return Err(EventError::TooLong);
            }
            if bucket_of(hash_of(key.key.0)) != bucket {
                return Err(EventError::Illegal("key outside its bucket"));
            }
            key.changes.iter().try_for_each(|change| check_change(change, dot, limits, span))?;
        }
        Ok(())
    }
}

/// Ballots are assigned and withdrawn, never counted on, and only theirs are discarded.
fn ballot_rule_broken(change: &Change<'_>, class: Class, origin: ReplicaId) -> Option<EventError> {
    match change {
        Change::Count { .. } | Change::Reset { .. } if class.holds_ballots() => {
            Some(EventError::Illegal("a ballot is no counter"))
        }
        Change::Discard { .. } if !class.holds_ballots() => Some(EventError::Illegal("only ballots are discarded")),
        Change::Discard { ballots, .. } if ballots.iter().any(|dot| dot.replica == origin) => {
            Some(EventError::Illegal("an own ballot is withdrawn, not discarded"))
        }
        Change::Assign { value, .. } => match super::ballot::check(class, value.0) {
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
        if let Some(broken) = ballot_rule_broken(change, class, dot.replica) {
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

    fn dots() -> impl Strategy<Value = Vec<Dot>> {
        let dot = (any::<u64>(), any::<u64>()).prop_map(|(replica, seq)| Dot::new(ReplicaId::new(replica), seq));
        prop::collection::vec(dot, 0..3)
    }

    fn run() -> impl Strategy<Value = Bytes<'static>> {
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Bytes(bytes.leak()))
    }

    fn change() -> impl Strategy<Value = Change<'static>> {
        let numbers = || (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift);
        let totals = || (any::<i128>(), 0..128_u32).prop_map(|(total, shift)| total >> shift);
        prop_oneof![
            dots().prop_map(|context| Change::Delete { context }),
            (any::<u8>(), run(), dots()).prop_map(|(class, name, context)| Change::Remove { class, name, context }),
            (any::<u8>(), dots()).prop_map(|(class, ballots)| Change::Discard { class, ballots }),
            (any::<u8>(), run(), numbers(), numbers(), numbers(), totals()).prop_map(
                |(class, name, owner, birth, seen, total)| {
                    Change::Reset { class, name, owner: ReplicaId::new(owner), birth, seen, total }
                }
            ),
            (any::<u8>(), run(), numbers(), run()).prop_map(|(class, name, clock_after, value)| Change::Assign {
                class,
                name,
                clock_after,
                value
            }),
            (any::<u8>(), run(), numbers(), numbers(), totals()).prop_map(
                |(class, name, clock_after, birth, total)| Change::Count { class, name, clock_after, birth, total }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            clock: u64,
            back: u64,
            parts in prop::collection::vec(
                (0..1024_u16, dots(), prop::option::of(dots()), prop::collection::vec((run(), prop::collection::vec(change(), 0..4)), 0..3)),
                0..3,
            ),
        ) {
            let parts = parts.into_iter().map(|(bucket, names, cleared, keys)| {
                let keys = keys.into_iter().map(|(key, changes)| KeyChanges { key, changes }).collect();
                Part { bucket, names, cleared, keys }
            });
            let body = Body { clock: Hlc::new(clock), span: back.min(clock), parts: parts.collect() };
            let bytes = body.encode();
            let (decoded, rest) = postcard::take_from_bytes::<Body<'_>>(&bytes).unwrap();
            prop_assert_eq!(decoded, body);
            prop_assert!(rest.is_empty());
        }
    }
}
