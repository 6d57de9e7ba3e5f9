//! Streams: the ids of entries, their fields, and the mark of what is no longer there.
//!
//! An entry is an element whose name is its id, 16 bytes, the greatest first, so that the order of names is that of ids. Its
//! value is its fields: length and bytes of each name and each value. A value is a function of nothing but the entry, and so
//! is what travels and is hashed; names of fields that are those of the entry before are written again. Rejected: to leave
//! them out in memory. It would need values put together for every reader, and a leaf rewritten where an entry between two
//! others arrives late or goes. Entries of two fields
//! (names of 5 and 6 bytes, values of 4) take 33 bytes each: 23 the fields, of which the names are 11 and the lengths 4, and
//! 10 what is new of id, dot and clock beside the entry before, lengths and the tree. Redis takes 23, for it writes names once
//! in a hundred entries.
//!
//! In front of the entries lies what is known of the groups that read them (`group.rs`), and one more element may lie there,
//! without a name: the *mark*. It says which id was the last, which was the highest that
//! was deleted, and how many entries are gone. Whoever removes an entry writes it, in place of those it has seen; of several
//! written at once the greatest of each counts. So an id is never given twice, and a stream whose entries are all gone is
//! still there, as in Redis. Rejected: an attribute, which would say it as well; but a key of attributes alone does not
//! exist, and the last id would be gone with the last entry. A mark never decides which type a key shows as long as
//! something else lies there: a removal hides nothing that others wrote. Its price: who removes an entry while another
//! deletes the key leaves an empty stream.
//!
//! An id that is not given is made of the hybrid clock: its milliseconds, then its counter, then 48 bits that are the
//! replica's. It is above every id seen, ids of one replica ascend, and no two replicas make the same. Where an id
//! that was given is ahead of the clock, it is continued from: its counter raised by one, with the bits of the replica.

use std::fmt;

use cahoots_crdt::ReplicaId;

use super::{group, hash_of};
use crate::{Hlc, varint};

/// Bytes of an id.
pub(in crate::store) const ID_BYTES: usize = 16;
/// The name of the mark.
pub(in crate::store) const MARK: &[u8] = b"";
/// Bytes of a mark at most.
pub(in crate::store) const MARK_BYTES_MAX: usize = 2 * ID_BYTES + 10;
/// Bits of the second half of an id that tell replicas apart.
const TAG_BITS: u32 = 48;

/// The id of an entry of a stream, as Redis has it: `ms-seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970, unless a client said otherwise.
    pub ms: u64,
    /// What tells entries of one millisecond apart.
    pub seq: u64,
}

/// What a new entry is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The next one by the clock: above all that were seen, and unlike any that others make.
    Next,
    /// The lowest of this millisecond that is above all that were seen.
    Within(u64),
    /// This one.
    Exactly(StreamId),
}

impl StreamId {
    /// The lowest id, which no entry has.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The highest id.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The id with these two numbers.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id above this one, if there is one.
    #[must_use]
    pub fn above(self) -> Option<Self> {
        self.number().checked_add(1).map(Self::of_number)
    }

    /// The id below this one, if there is one.
    #[must_use]
    pub fn below(self) -> Option<Self> {
        self.number().checked_sub(1).map(Self::of_number)
    }

    /// The 16 bytes by which it is ordered, the greatest first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ID_BYTES] {
        self.number().to_be_bytes()
    }

    /// The id of these bytes; `None` if they are not 16.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self::of_number(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    const fn number(self) -> u128 {
        (self.ms as u128) << 64 | self.seq as u128
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    const fn of_number(number: u128) -> Self {
        Self { ms: (number >> 64) as u64, seq: number as u64 }
    }

    /// What an entry is called that `replica` adds at `clock` to a stream whose last id is this; `None` if ids are used up,
    /// or the one that is wanted is not above this.
    pub(in crate::store) fn next(self, id: NewId, clock: Hlc, replica: ReplicaId) -> Option<Self> {
        let id = match id {
            NewId::Exactly(id) => id,
            NewId::Within(ms) if ms == self.ms => Self::new(ms, self.seq.checked_add(1)?),
            NewId::Within(ms) => Self::new(ms, 0),
            NewId::Next => {
                let tag = tag_of(replica);
                let by_clock = Self::new(clock.wall_ms(), u64::from(clock.counter()) << TAG_BITS | tag);
                if by_clock > self {
                    return Some(by_clock);
                }
                match (self.seq >> TAG_BITS) + 1 {
                    counter if counter >> (u64::BITS - TAG_BITS) == 0 => Self::new(self.ms, counter << TAG_BITS | tag),
                    _ => Self::new(self.ms.checked_add(1)?, tag),
                }
            }
        };
        (id > self).then_some(id)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// What tells the ids of a replica from those of others.
fn tag_of(replica: ReplicaId) -> u64 {
    hash_of(&replica.get().to_be_bytes()) & ((1 << TAG_BITS) - 1)
}

/// What a stream says beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// No entry was above it, unless a client has said that it is lower.
    pub last: StreamId,
    /// The highest entry that was deleted by its id.
    pub max_deleted: StreamId,
    /// How many entries were removed.
    pub removed: u64,
}

impl Mark {
    pub(in crate::store) fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(MARK_BYTES_MAX);
        value.extend_from_slice(&self.last.to_bytes());
        value.extend_from_slice(&self.max_deleted.to_bytes());
        varint::put(self.removed, &mut value);
        value
    }

    pub(in crate::store) fn read(value: &[u8]) -> Option<Self> {
        let (last, rest) = value.split_at_checked(ID_BYTES)?;
        let (max_deleted, mut rest) = rest.split_at_checked(ID_BYTES)?;
        let removed = varint::read(&mut rest)?;
        let mark = Self { last: StreamId::from_bytes(last)?, max_deleted: StreamId::from_bytes(max_deleted)?, removed };
        rest.is_empty().then_some(mark)
    }

    /// What two of them amount to.
    pub(in crate::store) fn join(self, other: Self) -> Self {
        Self {
            last: self.last.max(other.last),
            max_deleted: self.max_deleted.max(other.max_deleted),
            removed: self.removed.max(other.removed),
        }
    }
}

/// The fields of an entry: names and values, in the order in which they were given. A name may be there twice.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Those that the value of an entry holds.
    pub(in crate::store) fn of(value: &'a [u8]) -> Self {
        Self(value)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((take_run(&mut self.0)?, take_run(&mut self.0)?))
    }
}

fn take_run<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::read(bytes)?).ok()?;
    let (run, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(run)
}

/// The value of an entry of these fields.
pub(in crate::store) fn write_fields<'f>(fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    let mut value = Vec::new();
    for run in fields.into_iter().flat_map(|(name, value)| [name, value]) {
        varint::put_len(run.len(), &mut value);
        value.extend_from_slice(run);
    }
    value
}

/// Whether an element of this name is an entry: else it is the mark, or about a group.
pub(in crate::store) fn is_entry(name: &[u8]) -> bool {
    name.len() == ID_BYTES
}

/// Whether a stream may have a register of this name and value: an entry of one field at least, a mark, or a part of a group.
pub(in crate::store) fn is_sound(name: &[u8], value: &[u8]) -> bool {
    if name == MARK {
        return Mark::read(value).is_some();
    }
    if name.len() > ID_BYTES {
        return group::is_sound(name, value);
    }
    StreamId::from_bytes(name).is_some_and(|id| id > StreamId::MIN) && are_fields(value)
}

fn are_fields(mut value: &[u8]) -> bool {
    let mut runs = 0_usize;
    while !value.is_empty() {
        if take_run(&mut value).is_none() {
            return false;
        }
        runs += 1;
    }
    runs > 0 && runs.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = StreamId> {
        let part = || prop_oneof![0..4_u64, any::<u64>(), Just(u64::MAX)];
        (part(), part()).prop_map(|(ms, seq)| StreamId { ms, seq })
    }

    proptest! {
        #[test]
        fn ids_are_ordered_as_their_bytes_are(a in id(), b in id()) {
            prop_assert_eq!(StreamId::from_bytes(&a.to_bytes()), Some(a));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert!(a.above().is_none_or(|above| above > a && above.below() == Some(a)));
        }

        #[test]
        fn entries_and_marks_are_read_as_they_were_written(
            fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(any::<u8>(), 0..5)), 1..9),
            last in id(), deleted in id(), removed in any::<u64>(),
        ) {
            let value = write_fields(fields.iter().map(|(name, value)| (&name[..], &value[..])));
            let read: Vec<_> = Fields::of(&value).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(read, fields);
            prop_assert!(is_sound(&StreamId::new(0, 1).to_bytes(), &value) && !is_sound(&[0; 16], &value));
            let mark = Mark { last, max_deleted: deleted, removed };
            prop_assert_eq!(Mark::read(&mark.write()), Some(mark));
            prop_assert!(mark.write().len() <= MARK_BYTES_MAX);
        }

        #[test]
        fn what_comes_next_is_above_the_last_and_unlike_what_others_make(
            last in id(), clock in 0..1_u64 << 58, wanted in any::<u64>(),
        ) {
            let by = |replica| last.next(NewId::Next, Hlc::new(clock), ReplicaId::new(replica));
            if let (Some(a), Some(b)) = (by(1), by(2)) {
                prop_assert!(a > last && b > last && a != b);
            }
            if let Some(id) = last.next(NewId::Within(wanted), Hlc::new(clock), ReplicaId::new(1)) {
                prop_assert!(id > last && id.ms == wanted && (id.seq == 0 || id.seq == last.seq + 1));
            }
        }

        #[test]
        fn bytes_of_others_are_told_not_trusted(name in prop::collection::vec(any::<u8>(), 0..18), value in prop::collection::vec(any::<u8>(), 0..40)) {
            if is_sound(&name, &value) {
                prop_assert!(name.is_empty() || is_entry(&name) || group::read_name(&name).is_some());
            }
            prop_assert!(Fields::of(&value).count() <= value.len());
        }
    }

    #[test]
    fn entries_without_fields_with_half_a_field_or_without_a_right_id_are_unsound() {
        let id = StreamId::new(1, 1).to_bytes();
        assert!(is_sound(&id, &[1, b'f', 0]) && is_sound(&id, &[0, 0]));
        for value in [&[][..], &[1, b'f'], &[1, b'f', 2, b'v'], &[0, 0, 0], &[0xFF; 12]] {
            assert!(!is_sound(&id, value), "{value:?}");
        }
        assert!(!is_sound(&id[1..], &[0, 0]) && !is_sound(&[0; 16], &[0, 0]));
        assert!(!is_sound(b"", &[0; 32]) && is_sound(b"", &[0; 33]) && !is_sound(b"", &[0; 34]));
    }

    #[test]
    fn an_id_ahead_of_the_clock_is_continued_from_and_the_last_is_followed_by_none() {
        let (clock, me) = (Hlc::at(7), ReplicaId::new(1));
        let next = |last: StreamId| last.next(NewId::Next, clock, me);
        let tag = tag_of(me);
        assert_eq!(next(StreamId::new(6, u64::MAX)), Some(StreamId::new(7, tag)));
        assert_eq!(next(StreamId::new(9, 5)), Some(StreamId::new(9, 1 << TAG_BITS | tag)));
        assert_eq!(next(StreamId::new(9, u64::MAX)), Some(StreamId::new(10, tag)));
        assert_eq!(next(StreamId::MAX), None);
        assert_eq!(StreamId::new(9, u64::MAX).next(NewId::Within(9), clock, me), None);
        assert_eq!(StreamId::new(9, 5).next(NewId::Within(8), clock, me), None);
        assert_eq!(StreamId::new(9, 5).next(NewId::Exactly(StreamId::new(9, 5)), clock, me), None);
    }
}
