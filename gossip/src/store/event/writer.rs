//! Writing: operations of one group, which become part of one event.
//!
//! Every operation captures what it observes at the moment it runs: the frontier of its bucket, and the dots of
//! the foreign cells it supersedes. One that changes nothing opens no window and publishes nothing.

use std::ops::Deref;

use cahoots_crdt::DotFun;

use super::cells::{put_own, raise, replace, supersede, supersede_entry};
use super::expire::{Ready, Rulings};
use super::parts::{Opened, Parts};
use super::window::Window;
use crate::Hlc;
use crate::store::Store;
use crate::store::cell::fingerprint::Fingerprint;
use crate::store::cell::lifetime;
use crate::store::cell::{Dots, Element, Path, Register};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, bucket_of};
use crate::store::memory::keys::{At, Keys};
use crate::store::read::changes::By;
use crate::store::read::view::{Moment, NotCounted, number};

/// Why a write was refused. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The key holds something of another type.
    #[error("the key holds a value of type {found:?}")]
    WrongType {
        /// What is there.
        found: Class,
    },
    /// Only an integer can be added to.
    #[error("value is not an integer or out of range")]
    NotInteger,
    /// The sum leaves the range of 64-bit integers.
    #[error("increment or decrement would overflow")]
    Overflow,
    /// A key, member or field name over the cluster's limit.
    #[error("name of {bytes} bytes exceeds the cluster's maximum of {max}")]
    NameTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A value over the cluster's limit.
    #[error("value of {bytes} bytes exceeds the cluster's maximum of {max}")]
    ValueTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A score that would be infinite and minus infinite at once.
    #[error("resulting score is not a number (NaN)")]
    ScoreNotANumber,
    /// What this replica has added to one score is beyond what it may add.
    #[error("increments of one score may add up to less than 2^62 at each replica")]
    ScoreOverflow,
    /// An entry of a stream without fields.
    #[error("an entry has at least one field")]
    NoFields,
    /// An entry's id that is not above all that the stream has had.
    #[error("the id is not above the last one of the stream")]
    IdNotAbove,
    /// The stream has had the highest id there is.
    #[error("the ids of the stream are used up")]
    IdsUsedUp,
    /// Too many elements were put between others at one place of a list.
    #[error("list is too deeply nested here; rewrite it (a position would take more than {max} bytes)")]
    TooDeep {
        /// How long the name of a place may be.
        max: usize,
    },
    /// One group writes more than the cluster's limit.
    #[error("command writes more than the cluster's maximum of {max} bytes")]
    GroupTooLarge {
        /// The limit.
        max: usize,
    },
    /// The wall clock reads a time that no stamp may have.
    #[error("this machine's clock is set beyond the year 2108; refusing to write until it is corrected")]
    ClockInsane,
    /// Writing now would win over every later write of the others until their clocks catch up.
    #[error("clock is {ms} ms ahead of the cluster's; refusing to write until it is corrected")]
    ClockAhead {
        /// By how much.
        ms: u64,
    },
}

/// Write access to the store within one group. Derefs to the store for reads.
#[derive(Debug)]
pub struct Writer<'a> {
    pub(in crate::store) store: &'a mut Store,
    pub(super) wall_ms: u64,
    /// Bytes of keys, names and values written by this group.
    pub(super) bytes: usize,
}

impl Store {
    /// Runs one group of writes at wall time `wall_ms`: whatever `operations` does becomes part of one event. Within a
    /// group that is open it is a part of that.
    ///
    /// `bytes` estimates what it writes; if that would outgrow the open window, the window is sealed first.
    pub fn write<R>(&mut self, wall_ms: u64, bytes: usize, operations: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        let bytes_before = match self.group {
            Some(written) => written,
            None => {
                self.make_room(wall_ms, bytes);
                0
            }
        };
        self.see_time(wall_ms);
        let mut writer = Writer { store: self, wall_ms, bytes: bytes_before };
        let result = operations(&mut writer);
        let written = writer.bytes;
        match &mut self.group {
            Some(group) => *group = written,
            None => self.end_if_full(),
        }
        result
    }

    /// Opens a group: all that is written until [`Store::end_group`] becomes part of one event, however many calls write
    /// it. Nothing may read the store for replication meanwhile.
    ///
    /// # Panics
    /// If a group is open.
    pub fn begin_group(&mut self, wall_ms: u64, bytes: usize) {
        assert!(self.group.is_none(), "groups do not nest");
        self.make_room(wall_ms, bytes);
        self.group = Some(0);
    }

    /// Closes the group that is open.
    ///
    /// # Panics
    /// If none is.
    pub fn end_group(&mut self) {
        assert!(self.group.take().is_some(), "a group is open");
        self.end_if_full();
    }

    fn make_room(&mut self, wall_ms: u64, bytes: usize) {
        // What is written is never hidden in its own event.
        let now = self.now(wall_ms);
        let ends = |window: &Window| window.size() + bytes > self.window_bytes_max || window.earliest() <= now;
        // Nor by a deadline that has come from elsewhere meanwhile, and was before now.
        let is_due = self.next_deadline().is_some_and(|next| next <= now);
        if self.window.as_ref().is_some_and(|window| is_due && window.since().wall_ms() < now || ends(window)) {
            self.seal();
        }
        self.bound_doubt();
    }

    fn end_if_full(&mut self) {
        if self.window.as_ref().is_some_and(|window| window.size() > self.window_bytes_max) {
            self.seal();
        }
    }
}

impl Deref for Writer<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl Writer<'_> {
    /// Whether a write of `value_bytes` under `key` and `name` would be refused, as any write of this group is.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn admit(&self, key: &[u8], name: &[u8], value_bytes: usize) -> Result<(), WriteError> {
        let limits = &self.store.limits;
        let longest = key.len().max(name.len());
        if self.store.clock_ahead_ms > 0 {
            return Err(WriteError::ClockAhead { ms: self.store.clock_ahead_ms });
        }
        if self.wall_ms >= Hlc::SANE_MS_MAX {
            return Err(WriteError::ClockInsane);
        }
        if longest > limits.name_bytes_max {
            return Err(WriteError::NameTooLong { bytes: longest, max: limits.name_bytes_max });
        }
        if value_bytes > limits.value_bytes_max {
            return Err(WriteError::ValueTooLong { bytes: value_bytes, max: limits.value_bytes_max });
        }
        self.admit_group(key.len() + name.len() + value_bytes)
    }

    /// Whether `bytes` more in this group would be refused. To be asked before the first of several writes.
    ///
    /// # Errors
    /// The group would exceed the limit.
    pub fn admit_group(&self, bytes: usize) -> Result<(), WriteError> {
        let max = self.store.limits.group_bytes_max;
        if self.bytes + bytes > max { Err(WriteError::GroupTooLarge { max }) } else { Ok(()) }
    }

    /// Makes `key` a text of this value, superseding all that was observed under it, of whatever type; the key never ends.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.set_until(key, value, None)
    }

    /// As [`Writer::set`], and the key ends at `deadline`, in milliseconds since 1970, if that is given. One that has
    /// passed leaves no key.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn set_until(&mut self, key: &[u8], value: &[u8], deadline: Option<u64>) -> Result<(), WriteError> {
        self.admit(key, b"", value.len())?;
        if deadline.is_some_and(|deadline| deadline <= self.now()) {
            return self.delete(key).map(drop);
        }
        let path = Path::new(key, Class::Text, b"");
        let Parts { bucket, opening, draft, changes } = self.begin(&path, value.len());
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, clock } = opening.open(&path, frontier);
        let register = Register { clock, value };
        let found = keys.find(path.key_hash, key);
        let mut context = Dots::default();
        match found {
            Some((_, entry)) if entry.is_text() => {
                let text = entry.element(Class::Text, b"");
                replace(&path, &text, (baselines, fingerprint, window), event, &mut context);
            }
            Some((_, entry)) => {
                let mut whole = Dots::default();
                supersede_entry(&path, entry, (baselines, fingerprint, window), event, &mut whole);
                window.delete(path.key_hash, key, &whole);
            }
            None => {}
        }
        let at = found.map(|(at, _)| at);
        fingerprint.add(Fingerprint::of_register(&path, event, &register));
        window.assign(&path, &register, &context);
        let element = Element { value: DotFun::of(event, register), ..Element::default() };
        Keys::draft_alone(&path, &element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(keys.subject(&path));
        if let Some(deadline) = deadline {
            let path = Path { class: Class::Deadline, ..path }.rehashed();
            let value = lifetime::write_deadline(Some(deadline));
            let register = Register { clock, value: &value };
            window.ends(deadline);
            put_own(&path, event, &register, (keys, baselines, fingerprint, window), draft);
        }
        Ok(())
    }

    /// Adds `delta` to the number at `key`, 0 when there is none; the sum.
    ///
    /// # Errors
    /// The key is no text, its value no integer, the sum overflows, a limit is exceeded, or the clock is too far ahead.
    pub fn add(&mut self, key: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.add_at(key, Class::Text, b"", delta)
    }

    /// Adds `delta` to the field `name` of the hash at `key`; the sum.
    ///
    /// # Errors
    /// As [`Writer::add`].
    pub fn add_field(&mut self, key: &[u8], name: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.add_at(key, Class::Hash, name, delta)
    }

    fn add_at(&mut self, key: &[u8], class: Class, name: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.admit(key, name, 0)?;
        let path = Path::new(key, class, name);
        let (at, rulings) = self.ready_to_add(&path, |writer| writer.check_sum(&path, delta))?;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let mut element = keys.element_at(at, &path);
        let sum = sum_of(number(&path, &element, baselines), delta)?;

        let Opened { window, event, clock } = opening.open(&path, frontier);
        raise(&path, &mut element, (baselines, fingerprint, window), (event, clock), delta.into());
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(keys.subject(&path));
        self.restate(&path, clock, rulings);
        Ok(sum)
    }

    /// Puts an element into a collection: a set's member (with an empty value) or a hash's field. Says whether it
    /// was absent. One that is present is asserted anew, and so survives a concurrent remove.
    ///
    /// # Errors
    /// The key is of another type, a limit is exceeded, or the clock is too far ahead.
    pub fn insert(&mut self, key: &[u8], class: Class, name: &[u8], value: &[u8]) -> Result<bool, WriteError> {
        self.admit(key, name, value.len())?;
        let path = Path::new(key, class, name);
        let (at, rulings) = self.ready(&path)?;
        let (clock, was_absent) = self.assign(&path, at, value);
        self.restate(&path, clock, rulings);
        Ok(was_absent)
    }

    /// Makes `value` the register at a path, in place of all that is there; says at which clock, and whether nothing was.
    pub(super) fn assign(&mut self, path: &Path<'_>, at: Option<At>, value: &[u8]) -> (Hlc, bool) {
        let Parts { bucket, opening, draft, changes } = self.begin(path, value.len());
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let element = keys.element_at(at, path);
        let Opened { window, event, clock } = opening.open(path, frontier);
        let register = Register { clock, value };
        let was_absent = element.is_empty();
        let mut context = Dots::default();
        replace(path, &element, (baselines, fingerprint, window), event, &mut context);
        drop(element);
        fingerprint.add(Fingerprint::of_register(path, event, &register));
        window.assign(path, &register, &context);
        let element = Element { value: DotFun::of(event, register), ..Element::default() };
        keys.draft(at, path, element, draft);
        keys.commit(at, path, baselines, draft);
        changes.push(keys.subject(path));
        (clock, was_absent)
    }

    /// Removes an element of a collection; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove(&mut self, key: &[u8], class: Class, name: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, class, name);
        let Some(entry) = self.bucket(&path).keys.get(path.key_hash, key) else { return Ok(false) };
        let is_volatile = entry.has_attributes();
        let is_there = if is_volatile {
            self.moment().view(key).is_some_and(|view| view.class() == class && view.contains(name))
        } else {
            !entry.element(class, name).is_empty()
        };
        if !is_there {
            return Ok(false);
        }
        self.admit(key, name, 0)?;
        if is_volatile {
            self.prepare(&path)?;
        }
        self.take(&path);
        if is_volatile && class == Class::Hash {
            self.clear_field(&path);
        }
        let is_left = |it: &Self| it.bucket(&path).keys.get(path.key_hash, key).is_some();
        if is_volatile && is_left(self) && self.moment().view(key).is_none() {
            self.delete_all(&path); // with the last that is visible go attributes, and what is hidden
        }
        Ok(true)
    }

    /// Removes the element at a path, which is there.
    pub(super) fn take(&mut self, path: &Path<'_>) {
        let Parts { bucket, opening, draft, changes } = self.begin(path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, .. } = opening.open(path, frontier);
        let mut context = Dots::default();
        let (at, element) = keys.look(path);
        supersede(path, &element, (baselines, fingerprint, window), event, &mut context);
        drop(element);
        window.remove(path, &context);
        keys.draft(at, path, Element::default(), draft);
        keys.commit(at, path, baselines, draft);
        changes.push(keys.subject(path));
    }

    /// Deletes a key: all that was observed under it, of whatever type. Says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, Class::Text, b"");
        let Some(entry) = self.bucket(&path).keys.get(path.key_hash, key) else { return Ok(false) };
        if entry.has_attributes() && self.moment().view(key).is_none() {
            return Ok(false); // it has expired, and will be removed
        }
        self.admit(key, b"", 0)?;
        self.delete_all(&path);
        Ok(true)
    }

    /// Deletes a key to keep memory within its bound; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn evict(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, Class::Text, b"");
        if self.bucket(&path).keys.get(path.key_hash, key).is_none() {
            return Ok(false);
        }
        self.admit(key, b"", 0)?;
        self.delete_by(&path, By::Bound);
        Ok(true)
    }

    pub(super) fn delete_all(&mut self, path: &Path<'_>) {
        self.delete_by(path, By::Client);
    }

    fn delete_by(&mut self, path: &Path<'_>, by: By) {
        let Parts { bucket, opening, draft, changes } = self.begin(path, 0);
        changes.is_by(by);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, .. } = opening.open(path, frontier);
        let mut context = Dots::default();
        if let Some(entry) = keys.get(path.key_hash, path.key) {
            supersede_entry(path, entry, (baselines, fingerprint, window), event, &mut context);
        }
        keys.remove(path.key_hash, path.key, draft);
        window.delete(path.key_hash, path.key, &context);
        changes.push(keys.subject(path));
    }

    /// Deletes every key that is observed; says how many. One context per bucket, whatever the number of keys.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn clear(&mut self) -> Result<usize, WriteError> {
        if self.store.buckets.iter().all(|bucket| bucket.keys.len() == 0) {
            return Ok(0);
        }
        self.admit(b"", b"", 0)?;
        let (mut count, now) = (0, self.now());
        for index in 0..self.store.buckets.len() {
            let first = self.store.buckets[index].keys.iter().next().map(|(key, _)| Box::<[u8]>::from(key));
            let Some(first) = first else { continue };
            count += self.store.buckets[index].count_at(now);
            let path = Path::new(&first, Class::Text, b"");
            let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
            let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
            let Opened { window, event, .. } = opening.open(&path, frontier);
            let mut context = Dots::default();
            for (key, entry) in keys.iter() {
                let path = Path::new(key, Class::Text, b"");
                let parts = (&mut *baselines, &mut *fingerprint, &mut *window);
                supersede_entry(&path, entry, parts, event, &mut context);
                changes.removed(keys.subject(&path));
            }
            keys.clear(draft);
            window.clear(index, &context);
        }
        Ok(count)
    }

    /// What there is now, for this group.
    #[must_use]
    pub fn moment(&self) -> Moment<'_> {
        self.store.at(self.wall_ms)
    }

    pub(super) fn now(&self) -> u64 {
        self.store.now(self.wall_ms)
    }

    /// No clock of what is written next is before it.
    pub(in crate::store) fn next_clock(&self) -> Hlc {
        self.store.clock.next(self.wall_ms)
    }

    pub(super) fn bucket(&self, path: &Path<'_>) -> &Bucket {
        &self.store.buckets[bucket_of(path.key_hash)]
    }

    /// Makes ready for a value to be assigned at `path`: what has expired there is removed first.
    ///
    /// # Errors
    /// The key shows another type than that of `path`; then nothing was done.
    pub(super) fn ready(&mut self, path: &Path<'_>) -> Result<Ready, WriteError> {
        self.ready_or_volatile(path, |writer| writer.ready_volatile(path, true))
    }

    /// As [`ready`](Self::ready), for something to be added, where `check` says what else is wrong, before what has expired
    /// is removed. It is asked of keys with deadlines only: of others nothing is removed.
    #[inline]
    pub(super) fn ready_to_add(
        &mut self,
        path: &Path<'_>,
        check: impl FnOnce(&Self) -> Result<(), WriteError>,
    ) -> Result<Ready, WriteError> {
        self.ready_or_volatile(path, |writer| {
            check(writer)?;
            writer.ready_volatile(path, false)
        })
    }

    #[inline]
    fn ready_or_volatile(
        &mut self,
        path: &Path<'_>,
        volatile: impl FnOnce(&mut Self) -> Result<Ready, WriteError>,
    ) -> Result<Ready, WriteError> {
        let Some((at, entry)) = self.bucket(path).keys.find(path.key_hash, path.key) else {
            return Ok(Ready::default());
        };
        if entry.has_attributes() {
            return volatile(self);
        }
        match entry.class() {
            Some(class) if class == path.class => Ok((Some(at), Rulings::default())),
            Some(found) => Err(WriteError::WrongType { found }),
            None => unreachable!("an entry without attributes has data"),
        }
    }

    /// Whether an addition at `path` would be refused, by what is visible there.
    #[cold]
    fn check_sum(&self, path: &Path<'_>, delta: i64) -> Result<(), WriteError> {
        match self.moment().view(path.key) {
            Some(view) if view.class() == path.class => sum_of(view.number(path.name), delta).map(drop),
            Some(view) => Err(WriteError::WrongType { found: view.class() }),
            None => Ok(()),
        }
    }
}

fn sum_of(number: Result<i128, NotCounted>, delta: i64) -> Result<i64, WriteError> {
    let current = i64::try_from(number.map_err(|_| WriteError::NotInteger)?).ok();
    current.and_then(|current| current.checked_add(delta)).ok_or(WriteError::Overflow)
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::ReplicaId;

    use super::*;
    use crate::Limits;

    const WALL: u64 = 1_700_000_000_000;

    #[test]
    fn a_group_is_one_event_however_many_calls_write_it_and_however_long_it_is() {
        let mut store = Store::new(ReplicaId::new(1), Limits::default(), 200);
        store.write(WALL, 0, |w| w.set(b"before", &[0; 150])).unwrap();
        store.begin_group(WALL, 150);
        for number in 0..9_u8 {
            store.write(WALL, 150, |w| w.set(&[number], &[0; 150])).unwrap();
        }
        let refused = store.write(WALL, 0, |w| w.admit_group(Limits::default().group_bytes_max));
        assert!(matches!(refused, Err(WriteError::GroupTooLarge { .. })), "what was written before counts");
        store.end_group();
        store.write(WALL, 0, |w| w.set(b"after", b"")).unwrap();
        store.seal();
        let events: Vec<usize> = std::iter::from_fn(|| store.poll_sealed()).map(|it| it.body.len() / 150).collect();
        assert_eq!(events, [1, 9, 0]);
    }
}
