//! Writing to streams: entries are added under ids above all that were seen, and removed.

use std::collections::BTreeSet;

use super::writer::{WriteError, Writer};
use crate::store::cell::stream::{self, ID_BYTES, MARK, MARK_BYTES_MAX, Mark, NewId, StreamId};
use crate::store::kind::Class;
use crate::store::read::stream::Stream;

impl Writer<'_> {
    /// Adds an entry to the stream at `key`, which is made if there is none; its id.
    ///
    /// # Errors
    /// There are no fields, the id that is wanted is not above all that were seen, ids are used up, the key is of another
    /// type, a limit is exceeded, or the clock is too far ahead.
    pub fn append<'f>(
        &mut self,
        key: &[u8],
        id: NewId,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<StreamId, WriteError> {
        let value = stream::write_fields(fields);
        if value.is_empty() {
            return Err(WriteError::NoFields);
        }
        self.admit(key, &[0; ID_BYTES], value.len())?;
        let last = self.stream_at(key)?.map_or(StreamId::MIN, |stream| stream.last_id());
        let clock = self.next_clock();
        let refused =
            if id == NewId::Next || last == StreamId::MAX { WriteError::IdsUsedUp } else { WriteError::IdNotAbove };
        let id = last.next(id, clock, self.id()).ok_or(refused)?;
        self.insert(key, Class::Stream, &id.to_bytes(), &value)?;
        Ok(id)
    }

    /// Removes the entries of these ids; says how many there were. What is known of them stays: no id is given again, and
    /// the stream is there without entries, too.
    ///
    /// # Errors
    /// The key is of another type, the group would exceed its limit, or the clock is too far ahead.
    pub fn remove_entries(&mut self, key: &[u8], ids: &[StreamId]) -> Result<usize, WriteError> {
        let (found, mut mark): (BTreeSet<StreamId>, Mark) = match self.stream_at(key)? {
            Some(stream) => (ids.iter().copied().filter(|id| stream.contains(*id)).collect(), stream.mark()),
            None => return Ok(0),
        };
        mark.max_deleted = mark.max_deleted.max(found.last().copied().unwrap_or_default());
        self.take_out(key, &found.into_iter().collect::<Vec<_>>(), mark)
    }

    /// Removes the `count` entries of the lowest ids; says how many there were. As [`Writer::remove_entries`], but the ids
    /// do not count as deleted.
    ///
    /// # Errors
    /// As [`Writer::remove_entries`].
    pub fn trim_entries(&mut self, key: &[u8], count: usize) -> Result<usize, WriteError> {
        let (oldest, len, mark): (Vec<StreamId>, usize, Mark) = match self.stream_at(key)? {
            Some(stream) => (stream.ranks(0..count).map(|(id, _)| id).collect(), stream.len(), stream.mark()),
            None => return Ok(0),
        };
        let is_simple = self
            .moment()
            .view(key)
            .is_some_and(|view| !view.clashes() && !view.has_attributes() && !view.stream().has_groups());
        if oldest.is_empty() || oldest.len() < len || !is_simple {
            return self.take_out(key, &oldest, mark);
        }
        // All of many are removed as one.
        self.admit(key, MARK, MARK_BYTES_MAX)?;
        let removed = mark.removed.saturating_add(oldest.len() as u64);
        self.delete(key)?;
        self.insert(key, Class::Stream, MARK, &Mark { removed, ..mark }.write())?;
        Ok(oldest.len())
    }

    /// Says what the stream at `key` knows of entries that are gone, in place of what it knew. Says whether there is such a
    /// stream. What it says of the last id counts as far as no entry is above it.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far
    /// ahead.
    pub fn set_mark(&mut self, key: &[u8], mark: Mark) -> Result<bool, WriteError> {
        if self.stream_at(key)?.is_none() {
            return Ok(false);
        }
        self.insert(key, Class::Stream, MARK, &mark.write())?;
        Ok(true)
    }

    /// Removes entries that are there, and writes down that they were.
    fn take_out(&mut self, key: &[u8], ids: &[StreamId], mark: Mark) -> Result<usize, WriteError> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.admit(key, &[0; ID_BYTES], 0)?;
        self.admit_group(ids.len().saturating_mul(key.len() + ID_BYTES) + key.len() + MARK_BYTES_MAX)?;
        let removed = mark.removed.saturating_add(ids.len() as u64);
        // First, so that the key is never without data, and keeps its deadline.
        self.insert(key, Class::Stream, MARK, &Mark { removed, ..mark }.write())?;
        for id in ids {
            self.remove(key, Class::Stream, &id.to_bytes())?;
        }
        Ok(ids.len())
    }

    pub(super) fn stream_at<'s>(&'s self, key: &'s [u8]) -> Result<Option<Stream<'s>>, WriteError> {
        match self.moment().view(key) {
            Some(view) if view.class() != Class::Stream => Err(WriteError::WrongType { found: view.class() }),
            view => Ok(view.map(|view| view.stream())),
        }
    }
}
