//! Consumer groups of streams: under which names what they know lies, and what is written there.
//!
//! A group lies among the entries of its stream, as registers under names that begin as the id 0-0 does, which no entry has,
//! and are longer: so they are in front of all entries, and those of one group together. Behind the 16 zeros stand the name
//! of the group with its length, what the register is of, and whose it is.
//!
//! | part | name | value | of several at once |
//! | --- | --- | --- | --- |
//! | group | nothing | an *epoch*: where the group began, and a number that nobody else draws | all count |
//! | consumer | its name | when it asked last, and when it got something | the latest of each |
//! | cursor | a replica and a slot | of each epoch, the highest id of these that was handed out | the highest of each epoch |
//! | share | a replica | since when and until when it has asked for entries | the newest |
//! | pending | the id of an entry | to whom it was handed out, when, and how often | the newest |
//!
//! A *slot* is four bits of the hash of an id. Of one replica, the ids of a slot ascend and arrive in this order, so what was
//! handed out of them is told by one id, whoever handed it out. One id for the whole group would not do: an entry that
//! arrives late, below it, would never be handed out.
//!
//! Rejected: an attribute of its own for groups. A key of attributes alone does not exist, but a stream without entries does
//! if it has a group; and what is written to attributes has no deadline.

use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use super::hash_of;
use super::stream::{ID_BYTES, StreamId};
use crate::mix::fold;
use crate::varint;

/// What the name of everything about groups begins with.
const FRONT: [u8; ID_BYTES] = [0; ID_BYTES];
/// The lowest name of an entry: all that is less is about groups, or the mark.
pub(in crate::store) const FIRST_ENTRY: [u8; ID_BYTES] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Bits of the hash of an id that say its slot.
const SLOT_BITS: u32 = 4;
/// How many slots there are: into so many parts the entries of a stream are divided among those who hand them out.
pub const GROUP_SLOTS: u8 = 1 << SLOT_BITS;
/// Epochs of one group that count at once: what is more was made by nobody.
const EPOCHS_MAX: usize = 1 << 12;
/// Replicas that an epoch tells of at most.
pub(in crate::store) const SEEN_MAX: usize = 1 << 12;
/// Bytes of a replica and an id.
const SEEN_BYTES: usize = 8 + ID_BYTES;
/// Bytes of the value of a cursor of one epoch, at most.
pub(in crate::store) const CURSOR_BYTES_MAX: usize = 8 + ID_BYTES + varint::BYTES_MAX;
/// Bytes that the value of a pending entry has beside the name of its consumer, at most.
pub(in crate::store) const PENDING_BYTES_MAX: usize = 2 * varint::BYTES_MAX;
/// Bytes that the name of what is pending has beside that of its group, at most.
pub(in crate::store) const PENDING_NAME_BYTES_MAX: usize = FRONT.len() + varint::BYTES_MAX + 1 + ID_BYTES;

/// What is known of a group lies in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Part<'a> {
    /// That there is the group, and where it began.
    Group,
    Consumer(&'a [u8]),
    Cursor(ReplicaId, u8),
    Share(ReplicaId),
    Pending(StreamId),
}

/// What the codes of parts are, in the order in which they lie.
const GROUP: u8 = 0;
pub(in crate::store) const CONSUMER: u8 = 1;
pub(in crate::store) const CURSOR: u8 = 2;
pub(in crate::store) const SHARE: u8 = 3;
pub(in crate::store) const PENDING: u8 = 4;
/// Above all of them.
pub(in crate::store) const END: u8 = 5;

/// What the names of all parts of a group begin with.
pub(in crate::store) fn prefix(group: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(PENDING_NAME_BYTES_MAX + group.len());
    name.extend_from_slice(&FRONT);
    varint::put_len(group.len(), &mut name);
    name.extend_from_slice(group);
    name
}

/// What the names of the parts of this code begin with.
pub(in crate::store) fn within(prefix: &[u8], code: u8) -> Vec<u8> {
    [prefix, &[code]].concat()
}

/// The name of a part of the group that `prefix` is of.
pub(in crate::store) fn name_of(prefix: &[u8], part: Part<'_>) -> Vec<u8> {
    match part {
        Part::Group => within(prefix, GROUP),
        Part::Consumer(name) => [prefix, &[CONSUMER], name].concat(),
        Part::Cursor(replica, slot) => [prefix, &[CURSOR], &replica.get().to_be_bytes(), &[slot]].concat(),
        Part::Share(replica) => [prefix, &[SHARE], &replica.get().to_be_bytes()].concat(),
        Part::Pending(id) => [prefix, &[PENDING], &id.to_bytes()].concat(),
    }
}

/// The group that a name is of, and the part; `None` of every other name.
pub(in crate::store) fn read_name(name: &[u8]) -> Option<(&[u8], Part<'_>)> {
    let mut rest = name.strip_prefix(&FRONT)?;
    let len = usize::try_from(varint::read(&mut rest)?).ok()?;
    let (group, rest) = rest.split_at_checked(len)?;
    let replica = |bytes: &[u8]| Some(ReplicaId::new(u64::from_be_bytes(bytes.try_into().ok()?)));
    let part = match rest.split_first()? {
        (&GROUP, []) => Part::Group,
        (&CONSUMER, name) => Part::Consumer(name),
        (&CURSOR, [id @ .., slot]) if *slot < GROUP_SLOTS => Part::Cursor(replica(id)?, *slot),
        (&SHARE, id) => Part::Share(replica(id)?),
        (&PENDING, id) => Part::Pending(StreamId::from_bytes(id).filter(|id| *id > StreamId::MIN)?),
        _ => return None,
    };
    Some((group, part))
}

/// The slot of an entry. Every replica of every version computes the same.
pub(in crate::store) fn slot_of(id: StreamId) -> u8 {
    (hash_of(&id.to_bytes()) >> (u64::BITS - SLOT_BITS)) as u8
}

/// Where a group begins. What was handed out counts for one epoch only, so SETID hands out anew; but of epochs that were
/// made at the same time, every one counts, and what any of them wants is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Epoch {
    pub(in crate::store) id: u64,
    /// Entries up to this one are not handed out.
    pub(in crate::store) start: StreamId,
    /// How many entries there were up to there, as far as that is known.
    pub(in crate::store) read: Option<u64>,
    /// Of a group that begins with what is new: the highest id of each replica that was there, up to which only they are not
    /// handed out. What was under way then is new, whatever its id.
    pub(in crate::store) seen: Option<Vec<(ReplicaId, StreamId)>>,
}

impl Epoch {
    /// Up to where what `origin` wrote is not handed out.
    pub(in crate::store) fn start_of(&self, origin: ReplicaId) -> StreamId {
        let Some(seen) = &self.seen else { return self.start };
        let at = seen.binary_search_by_key(&origin, |(replica, _)| *replica);
        at.map_or(StreamId::MIN, |at| seen[at].1.min(self.start))
    }

    pub(in crate::store) fn write(&self) -> Vec<u8> {
        let mut value = self.id.to_be_bytes().to_vec();
        value.extend_from_slice(&self.start.to_bytes());
        put_maybe(self.read, &mut value);
        if let Some(seen) = &self.seen {
            value.push(1);
            for (replica, id) in seen {
                value.extend_from_slice(&replica.get().to_be_bytes());
                value.extend_from_slice(&id.to_bytes());
            }
        }
        value
    }

    pub(in crate::store) fn read(value: &[u8]) -> Option<Self> {
        let (id, rest) = value.split_first_chunk()?;
        let (start, mut rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let read = read_maybe(&mut rest)?;
        let seen = match rest.split_first() {
            None => None,
            Some((1, rest)) => Some(read_seen(rest)?),
            Some(_) => return None,
        };
        Some(Self { id: u64::from_be_bytes(*id), start: StreamId::from_bytes(start)?, read, seen })
    }
}

fn read_seen(bytes: &[u8]) -> Option<Vec<(ReplicaId, StreamId)>> {
    let (parts, []) = bytes.as_chunks::<SEEN_BYTES>() else { return None };
    let part = |part: &[u8; SEEN_BYTES]| {
        let (replica, id) = part.split_first_chunk()?;
        Some((ReplicaId::new(u64::from_be_bytes(*replica)), StreamId::from_bytes(id)?))
    };
    let seen = parts.iter().map(part).collect::<Option<Vec<_>>>()?;
    (seen.len() <= SEEN_MAX && seen.is_sorted_by(|a, b| a.0 < b.0)).then_some(seen)
}

/// A number for an epoch that no other of its group has: `before` are those that it follows.
pub(in crate::store) fn epoch_id(clock: u64, replica: ReplicaId, before: impl Iterator<Item = u64>) -> u64 {
    before.fold(fold(fold(0, clock), replica.get()), fold)
}

/// How far one epoch has come with a slot of what one replica wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Reached {
    pub(in crate::store) epoch: u64,
    /// All up to it was handed out.
    pub(in crate::store) id: StreamId,
    /// How many entries of the stream had been read with it, as Redis counts them.
    pub(in crate::store) read: Option<u64>,
}

/// The value of a cursor: few, for an epoch that is over is left out.
pub(in crate::store) type Cursor = SmallVec<[Reached; 1]>;

pub(in crate::store) fn write_cursor(cursor: &[Reached]) -> Vec<u8> {
    let mut value = Vec::with_capacity(cursor.len() * CURSOR_BYTES_MAX);
    for Reached { epoch, id, read } in cursor {
        value.extend_from_slice(&epoch.to_be_bytes());
        value.extend_from_slice(&id.to_bytes());
        put_maybe(*read, &mut value);
    }
    value
}

pub(in crate::store) fn read_cursor(mut value: &[u8]) -> Option<Cursor> {
    let mut cursor = Cursor::new();
    while !value.is_empty() {
        let (epoch, rest) = value.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        value = rest;
        let (epoch, id) = (u64::from_be_bytes(*epoch), StreamId::from_bytes(id)?);
        cursor.push(Reached { epoch, id, read: read_maybe(&mut value)? });
        if cursor.len() > EPOCHS_MAX {
            return None;
        }
    }
    Some(cursor)
}

/// What two cursors of one slot come to: of each epoch the highest.
pub(in crate::store) fn raise(cursor: &mut Cursor, by: Reached) {
    match cursor.iter_mut().find(|it| it.epoch == by.epoch) {
        Some(known) if known.id < by.id => *known = by,
        Some(known) if known.id == by.id => known.read = known.read.max(by.read),
        Some(_) => {}
        None => cursor.push(by),
    }
}

/// Two times of a consumer or of a share, in milliseconds since 1970; the second may be missing.
pub(in crate::store) fn write_times(first: u64, second: Option<u64>) -> Vec<u8> {
    let mut value = Vec::with_capacity(2 * varint::BYTES_MAX);
    varint::put(first, &mut value);
    put_maybe(second, &mut value);
    value
}

pub(in crate::store) fn read_times(mut value: &[u8]) -> Option<(u64, Option<u64>)> {
    let times = (varint::read(&mut value)?, read_maybe(&mut value)?);
    value.is_empty().then_some(times)
}

/// To whom an entry was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The name of the consumer.
    pub consumer: &'a [u8],
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How often it was.
    pub count: u64,
}

impl<'a> Delivery<'a> {
    pub(in crate::store) fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(PENDING_BYTES_MAX + self.consumer.len());
        varint::put(self.at, &mut value);
        varint::put(self.count, &mut value);
        value.extend_from_slice(self.consumer);
        value
    }

    pub(in crate::store) fn read(mut value: &'a [u8]) -> Option<Self> {
        let (at, count) = (varint::read(&mut value)?, varint::read(&mut value)?);
        Some(Self { at, count, consumer: value })
    }
}

fn put_maybe(number: Option<u64>, value: &mut Vec<u8>) {
    varint::put(number.map_or(0, |number| number.saturating_add(1)), value);
}

fn read_maybe(value: &mut &[u8]) -> Option<Option<u64>> {
    Some(varint::read(value)?.checked_sub(1))
}

/// Whether a group may have a register of this name and value.
pub(in crate::store) fn is_sound(name: &[u8], value: &[u8]) -> bool {
    read_name(name).is_some_and(|(_, part)| match part {
        Part::Group => Epoch::read(value).is_some(),
        Part::Consumer(_) | Part::Share(_) => read_times(value).is_some(),
        Part::Cursor(..) => read_cursor(value).is_some(),
        Part::Pending(_) => Delivery::read(value).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = StreamId> {
        (0..4_u64, 1..5_u64).prop_map(|(ms, seq)| StreamId { ms, seq })
    }

    proptest! {
        #[test]
        fn parts_are_read_as_they_were_written_and_lie_in_front_of_all_entries(
            group in prop::collection::vec(any::<u8>(), 0..200), consumer in prop::collection::vec(any::<u8>(), 0..9),
            replica: u64, slot in 0..GROUP_SLOTS, id in id(),
        ) {
            let replica = ReplicaId::new(replica);
            let parts = [Part::Group, Part::Consumer(&consumer), Part::Cursor(replica, slot), Part::Share(replica), Part::Pending(id)];
            let names: Vec<_> = parts.iter().map(|part| name_of(&prefix(&group), *part)).collect();
            for (name, part) in names.iter().zip(parts) {
                prop_assert_eq!(read_name(name), Some((&group[..], part)));
                prop_assert!(&name[..] > super::super::stream::MARK && name[..] < FIRST_ENTRY[..] && name.len() > ID_BYTES);
            }
            prop_assert!(names.is_sorted());
        }

        #[test]
        fn values_are_read_as_they_were_written(
            start in id(), read: Option<u32>, seen in prop::option::of(prop::collection::btree_map(any::<u64>(), id(), 0..4)),
            reached in prop::collection::vec((any::<u64>(), id(), any::<Option<u32>>()), 0..4), times: (u64, Option<u32>),
            consumer in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let read = read.map(u64::from);
            let seen = seen.map(|seen| seen.into_iter().map(|(replica, id)| (ReplicaId::new(replica), id)).collect());
            let epoch = Epoch { id: times.0, start, read, seen };
            prop_assert_eq!(Epoch::read(&epoch.write()), Some(epoch));
            let cursor: Cursor =
                reached.into_iter().map(|(epoch, id, read)| Reached { epoch, id, read: read.map(u64::from) }).collect();
            prop_assert!(write_cursor(&cursor).len() <= cursor.len() * CURSOR_BYTES_MAX);
            prop_assert_eq!(read_cursor(&write_cursor(&cursor)), Some(cursor));
            let second = times.1.map(u64::from);
            prop_assert_eq!(read_times(&write_times(times.0, second)), Some((times.0, second)));
            let delivery = Delivery { consumer: &consumer, at: times.0, count: 3 };
            let written = delivery.write();
            prop_assert_eq!(Delivery::read(&written), Some(delivery));
        }

        #[test]
        fn bytes_of_others_are_told_not_trusted(name in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..40), value in prop::collection::vec(any::<u8>(), 0..60)) {
            if is_sound(&name, &value) {
                let (group, part) = read_name(&name).unwrap();
                prop_assert!(group.len() < name.len());
                if let Part::Cursor(_, slot) = part {
                    prop_assert!(slot < GROUP_SLOTS);
                }
            }
        }
    }

    #[test]
    fn an_epoch_of_what_is_new_begins_with_what_its_author_had_not_seen() {
        let replica = ReplicaId::new;
        let (start, low) = (StreamId::new(9, 0), StreamId::new(5, 0));
        let given = Epoch { id: 1, start, read: None, seen: None };
        assert_eq!(given.start_of(replica(7)), start);
        let new = Epoch { seen: Some(vec![(replica(1), low), (replica(2), start)]), ..given };
        assert_eq!([1, 2, 3].map(|it| new.start_of(replica(it))), [low, start, StreamId::MIN]);
    }
}
