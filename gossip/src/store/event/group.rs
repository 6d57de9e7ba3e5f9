//! Writing to the consumer groups of streams.

use std::collections::BTreeMap;

use super::writer::{WriteError, Writer};
use crate::store::cell::group::{
    self, CURSOR_BYTES_MAX, Delivery, Epoch, PENDING_BYTES_MAX, PENDING_NAME_BYTES_MAX, Part, Reached, SEEN_MAX,
    slot_of,
};
use crate::store::cell::stream::{MARK, MARK_BYTES_MAX, Mark, StreamId};
use crate::store::kind::Class;
use crate::store::read::group::{Group, Share};
use crate::store::value::StreamGroup;
use cahoots_crdt::ReplicaId;

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStart {
    /// Behind this id.
    After(StreamId),
    /// Behind all that is there: with what this replica has not seen yet.
    New,
}

/// Bytes that handing out one entry writes under a key, at most; beside them what is written once.
#[must_use]
pub fn delivery_bytes(key: &[u8], group: &[u8], consumer: &[u8]) -> usize {
    key.len() + PENDING_NAME_BYTES_MAX + group.len() + PENDING_BYTES_MAX + consumer.len() + CURSOR_BYTES_MAX
}

impl Writer<'_> {
    /// Makes a group at the stream at `key`, which is made if there is none. Says whether there was none of this name. `read` is
    /// how many entries there were up to where it begins, if that is known.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn create_group(
        &mut self,
        key: &[u8],
        name: &[u8],
        start: GroupStart,
        read: Option<u64>,
    ) -> Result<bool, WriteError> {
        let (left, is_there) = match self.stream_at(key)? {
            Some(stream) if stream.group(name).is_some() => return Ok(false),
            Some(stream) => (stream.parts_of(name), true),
            None => (Vec::new(), false),
        };
        self.begin_epoch(key, name, start, read, &left)?;
        if !is_there {
            // The stream is there when the group is no more.
            self.insert(key, Class::Stream, MARK, &Mark::default().write())?;
        }
        Ok(true)
    }

    /// Has a group begin anew somewhere; says whether there is such a group. What is pending stays.
    ///
    /// # Errors
    /// As [`Writer::create_group`].
    pub fn set_group(
        &mut self,
        key: &[u8],
        name: &[u8],
        start: GroupStart,
        read: Option<u64>,
    ) -> Result<bool, WriteError> {
        let Some(stream) = self.stream_at(key)? else { return Ok(false) };
        if stream.group(name).is_none() {
            return Ok(false);
        }
        let is_cursor = |part: &Vec<u8>| matches!(group::read_name(part), Some((_, Part::Cursor(..))));
        let over: Vec<_> = stream.parts_of(name).into_iter().filter(is_cursor).collect();
        self.begin_epoch(key, name, start, read, &over)?;
        Ok(true)
    }

    /// Writes a new epoch, and removes what is over.
    fn begin_epoch(
        &mut self,
        key: &[u8],
        name: &[u8],
        start: GroupStart,
        read: Option<u64>,
        over: &[Vec<u8>],
    ) -> Result<(), WriteError> {
        let stream = self.stream_at(key)?;
        let before: Vec<u64> =
            stream.iter().filter_map(|it| it.group(name)).flat_map(|it| it.epochs).map(|it| it.id).collect();
        let (start, seen) = match (start, &stream) {
            (GroupStart::After(id), _) => (id, None),
            (GroupStart::New, None) => (StreamId::MIN, None),
            (GroupStart::New, Some(stream)) => {
                let writers = stream.writers();
                // With more replicas than that, what is under way is not told from what is not.
                (stream.last_id(), (writers.len() <= SEEN_MAX).then_some(writers))
            }
        };
        let id = group::epoch_id(self.next_clock().get(), self.id(), before.into_iter());
        let value = Epoch { id, start, read, seen }.write();
        let part = group::name_of(&group::prefix(name), Part::Group);
        self.admit(key, &part, value.len())?;
        let removed: usize = over.iter().map(|part| key.len() + part.len()).sum();
        self.admit_group(key.len() + part.len() + value.len() + key.len() + MARK_BYTES_MAX + removed)?;
        self.insert(key, Class::Stream, &part, &value)?;
        for part in over {
            self.remove(key, Class::Stream, part)?;
        }
        Ok(())
    }

    /// Removes a group with all that is known of it; says whether there was one.
    ///
    /// # Errors
    /// The key is of another type, what is removed exceeds the limit of a group of writes, or the clock is too far ahead.
    pub fn destroy_group(&mut self, key: &[u8], name: &[u8]) -> Result<bool, WriteError> {
        let Some(stream) = self.stream_at(key)? else { return Ok(false) };
        if stream.group(name).is_none() {
            return Ok(false);
        }
        let (parts, mark) = (stream.parts_of(name), stream.mark());
        let is_all = stream.elements() == parts.len();
        self.admit(key, MARK, MARK_BYTES_MAX)?;
        self.admit_group(parts.iter().map(|part| key.len() + part.len()).sum::<usize>() + key.len() + MARK_BYTES_MAX)?;
        if is_all {
            // The last thing that says that the stream is there.
            self.insert(key, Class::Stream, MARK, &mark.write())?;
        }
        for part in &parts {
            self.remove(key, Class::Stream, part)?;
        }
        Ok(true)
    }

    /// Says when a consumer has asked last, and when it got something, which makes it if there is none; says whether there was
    /// none. There has to be the group.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn touch_consumer(
        &mut self,
        key: &[u8],
        group: &[u8],
        consumer: &[u8],
        seen: u64,
        active: Option<u64>,
    ) -> Result<bool, WriteError> {
        let part = group::name_of(&group::prefix(group), Part::Consumer(consumer));
        let known = self.group_at(key, group, |group| group.consumer(consumer))?.flatten();
        let (seen, active) = known.map_or((seen, active), |it| (seen.max(it.seen), active.max(it.active)));
        self.insert(key, Class::Stream, &part, &group::write_times(seen, active))
    }

    /// Removes a consumer with all that is pending at it; says how much that was. `None` if there is no such consumer.
    ///
    /// # Errors
    /// As [`Writer::destroy_group`].
    pub fn remove_consumer(&mut self, key: &[u8], group: &[u8], consumer: &[u8]) -> Result<Option<usize>, WriteError> {
        let pending = self.group_at(key, group, |group| {
            group.consumer(consumer)?;
            let all = group.pending(StreamId::MIN, StreamId::MAX);
            Some(all.filter(|(_, it)| it.consumer == consumer).map(|(id, _)| id).collect::<Vec<_>>())
        })?;
        let Some(pending) = pending.flatten() else { return Ok(None) };
        let part = group::name_of(&group::prefix(group), Part::Consumer(consumer));
        self.admit_group((pending.len() + 1) * (key.len() + part.len() + PENDING_NAME_BYTES_MAX))?;
        self.acknowledge(key, group, &pending)?;
        self.remove(key, Class::Stream, &part)?;
        Ok(Some(pending.len()))
    }

    /// Says since when and until when the clients of this replica have asked for the entries of a group.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn set_share(&mut self, key: &[u8], group: &[u8], since: u64, until: u64) -> Result<(), WriteError> {
        let part = group::name_of(&group::prefix(group), Part::Share(self.id()));
        self.insert(key, Class::Stream, &part, &group::write_times(since, Some(until))).map(drop)
    }

    /// Forgets that the clients of these replicas have asked for entries.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn forget_shares(&mut self, key: &[u8], group: &[u8], shares: &[Share]) -> Result<(), WriteError> {
        let prefix = group::prefix(group);
        let mut parts = shares.iter().map(|share| group::name_of(&prefix, Part::Share(share.replica)));
        parts.try_for_each(|part| self.remove(key, Class::Stream, &part).map(drop))
    }

    /// Notes that these entries, which are new to the group and in the order of their ids, are handed out: to whom, unless
    /// they count as acknowledged at once.
    ///
    /// Of one origin and slot none may be left below them: what is below counts as handed out, too.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn hand_out(
        &mut self,
        key: &[u8],
        group: &[u8],
        entries: &[(StreamId, ReplicaId)],
        to: Option<Delivery<'_>>,
    ) -> Result<(), WriteError> {
        let cursors = self.group_at(key, group, |it| moved(it, entries))?.unwrap_or_default();
        let prefix = group::prefix(group);
        let value = to.map(|it| it.write());
        let written = value.as_ref().map_or(0, |it| it.len() + prefix.len() + PENDING_NAME_BYTES_MAX + key.len());
        let moved: usize =
            cursors.iter().map(|(_, it)| key.len() + prefix.len() + PENDING_NAME_BYTES_MAX + it.len()).sum();
        self.admit(key, &group::name_of(&prefix, Part::Pending(StreamId::MAX)), value.as_ref().map_or(0, Vec::len))?;
        self.admit_group(entries.len() * written + moved)?;
        for ((origin, slot), cursor) in &cursors {
            let part = group::name_of(&prefix, Part::Cursor(*origin, *slot));
            self.insert(key, Class::Stream, &part, cursor)?;
        }
        for ((id, _), value) in entries.iter().zip(value.iter().cycle()) {
            self.insert(key, Class::Stream, &group::name_of(&prefix, Part::Pending(*id)), value)?;
        }
        Ok(())
    }

    /// Says to whom an entry was handed out, in place of what is known of that.
    ///
    /// # Errors
    /// As [`Writer::hand_out`].
    pub fn set_delivery(&mut self, key: &[u8], group: &[u8], id: StreamId, to: Delivery<'_>) -> Result<(), WriteError> {
        let part = group::name_of(&group::prefix(group), Part::Pending(id));
        self.insert(key, Class::Stream, &part, &to.write()).map(drop)
    }

    /// These entries are pending no more; says how many were.
    ///
    /// # Errors
    /// As [`Writer::hand_out`].
    pub fn acknowledge(&mut self, key: &[u8], group: &[u8], ids: &[StreamId]) -> Result<usize, WriteError> {
        let prefix = group::prefix(group);
        self.admit_group(ids.len() * (key.len() + prefix.len() + PENDING_NAME_BYTES_MAX))?;
        let mut removed = 0;
        for id in ids {
            removed += usize::from(self.remove(key, Class::Stream, &group::name_of(&prefix, Part::Pending(*id)))?);
        }
        Ok(removed)
    }

    /// Writes a group with all that is known of it, where there is none of its name.
    pub(super) fn put_group(&mut self, key: &[u8], group: &StreamGroup) -> Result<(), WriteError> {
        self.begin_epoch(key, &group.name, GroupStart::After(group.last), group.read, &[])?;
        for consumer in &group.consumers {
            self.touch_consumer(key, &group.name, &consumer.name, consumer.seen, consumer.active)?;
        }
        for pending in &group.pending {
            let to = Delivery { consumer: &pending.consumer, at: pending.at, count: pending.count };
            self.set_delivery(key, &group.name, pending.id, to)?;
        }
        Ok(())
    }

    /// Whether [`put_group`](Self::put_group) would be refused for the length of a name.
    pub(super) fn admit_names(&self, key: &[u8], group: &StreamGroup) -> Result<(), WriteError> {
        let (prefix, longest) = (group::prefix(&group.name), group.longest_consumer());
        self.admit(key, &group::name_of(&prefix, Part::Consumer(longest)), 0)?;
        self.admit(key, &group::name_of(&prefix, Part::Pending(StreamId::MAX)), longest.len() + PENDING_BYTES_MAX)
    }

    fn group_at<R>(
        &self,
        key: &[u8],
        name: &[u8],
        look: impl FnOnce(&Group<'_, '_>) -> R,
    ) -> Result<Option<R>, WriteError> {
        Ok(self.stream_at(key)?.and_then(|stream| stream.group(name).map(|group| look(&group))))
    }
}

/// The cursors that change when these entries are handed out: which, and their new values.
fn moved(group: &Group<'_, '_>, entries: &[(StreamId, ReplicaId)]) -> Vec<((ReplicaId, u8), Vec<u8>)> {
    let (stream, is_shared, mut last) = (group.stream(), group.is_shared(), group.last());
    let mut highest: BTreeMap<(ReplicaId, u8), (StreamId, Option<u64>)> = BTreeMap::new();
    for (id, origin) in entries {
        // Redis counts on where it has counted so far and nothing was deleted above, and else where it can tell.
        last.read = match last.read {
            _ if is_shared => None,
            read if *id <= last.id => read,
            Some(read) if !stream.has_gone_from(*id) => Some(read.saturating_add(1)),
            _ => stream.read_upto(*id),
        };
        last.id = last.id.max(*id);
        highest.insert((*origin, slot_of(*id)), (*id, last.read));
    }
    let value = |((origin, slot), (id, read)): ((ReplicaId, u8), (StreamId, Option<u64>))| {
        let mut cursor = group.cursor(origin, slot);
        for epoch in group.epochs.iter().filter(|epoch| epoch.start_of(origin) < id) {
            group::raise(&mut cursor, Reached { epoch: epoch.id, id, read });
        }
        ((origin, slot), group::write_cursor(&cursor))
    };
    highest.into_iter().map(value).collect()
}
