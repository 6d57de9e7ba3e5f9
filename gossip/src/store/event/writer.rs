//! Writing: operations of one group, which become part of one event.
//!
//! Every operation captures what it observes at the moment it runs: the frontier of its bucket, and the dots of
//! the foreign cells it supersedes. One that changes nothing opens no window and publishes nothing.

use std::ops::Deref;

use cahoots_crdt::{Dot, DotFun, ReplicaId};

use super::window::Window;
use crate::Hlc;
use crate::store::Store;
use crate::store::cell::baseline::{Baseline, Baselines};
use crate::store::cell::fingerprint::Fingerprint;
use crate::store::cell::lifetime::{self, Lifetime, Ruling};
use crate::store::cell::{Cell, Count, Dots, Element, Path, Register};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, bucket_of, discard_cells};
use crate::store::memory::entry::Entry;
use crate::store::memory::keys::{At, Draft, Keys};
use crate::store::read::changes::Changes;
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
    pub(in crate::store) wall_ms: u64,
    /// Bytes of keys, names and values written by this group.
    bytes: usize,
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
        changes.push(key);
        if let Some(deadline) = deadline {
            let path = Path { class: Class::Deadline, ..path }.rehashed();
            let value = lifetime::write_deadline(Some(deadline));
            let register = Register { clock, value: &value };
            window.ends(deadline);
            put_own(&path, event, &register, (keys, baselines, fingerprint, window), draft);
        }
        Ok(())
    }

    /// As [`Writer::set`], and the deadline stays in force that is.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn set_keeping(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        let deadline = self.moment().view(key).and_then(|view| view.deadline());
        self.set_until(key, value, deadline)
    }

    /// Has `key` end at `deadline`, in milliseconds since 1970, or never: whatever is written to it later, unless it is
    /// set. Says whether there is such a key; and of `None`, whether that changes anything. A deadline that has passed
    /// deletes the key.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn expire(&mut self, key: &[u8], deadline: Option<u64>) -> Result<bool, WriteError> {
        let Some(view) = self.moment().view(key) else { return Ok(false) };
        if deadline.is_none() && view.deadline().is_none() {
            return Ok(false);
        }
        if deadline.is_some_and(|deadline| deadline <= self.now()) {
            return self.delete(key);
        }
        self.admit(key, b"", 0)?;
        let path = Path::new(key, Class::Deadline, b"");
        self.prepare(&path)?;
        let value = lifetime::write_deadline(deadline);
        let Parts { bucket, opening, draft, changes } = self.begin(&path, value.len());
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, clock } = opening.open(&path, frontier);
        let register = Register { clock, value: &value };
        let (at, element) = keys.look(&path);
        let mut context = Dots::default();
        replace(&path, &element, (baselines, fingerprint, window), event, &mut context);
        drop(element);
        fingerprint.add(Fingerprint::of_register(&path, event, &register));
        window.assign(&path, &register, &context);
        window.ends(deadline.unwrap_or(u64::MAX));
        keys.draft(at, &path, Element { value: DotFun::of(event, register), ..Element::default() }, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(key);
        Ok(true)
    }

    /// Removes what has expired under a key, and attributes without data; says whether there was something.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove_expired(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, Class::Text, b"");
        let Some(entry) = self.bucket(&path).keys.get(path.key_hash, key) else { return Ok(false) };
        if !entry.has_attributes() {
            return Ok(false);
        }
        if entry.has_data() && !Lifetime::of(entry, self.now()).has_passed(self.now()) {
            return Ok(false);
        }
        self.admit(key, b"", 0)?;
        Ok(self.purge(&path)?.0)
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
        let (at, ruling) = self.ready_or(&path, |writer| writer.check_sum(&path, delta))?;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let mut element = keys.element_at(at, &path);
        let sum = sum_of(number(&path, &element, baselines), delta)?;

        let Opened { window, event, clock } = opening.open(&path, frontier);
        raise(&path, &mut element, (baselines, fingerprint, window), (event, clock), delta.into());
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(key);
        self.restate(&path, clock, ruling);
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
        let (at, ruling) = self.ready(&path)?;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, value.len());
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let element = keys.element_at(at, &path);
        let Opened { window, event, clock } = opening.open(&path, frontier);
        let register = Register { clock, value };
        let was_absent = element.is_empty();
        let mut context = Dots::default();
        replace(&path, &element, (baselines, fingerprint, window), event, &mut context);
        drop(element);
        fingerprint.add(Fingerprint::of_register(&path, event, &register));
        window.assign(&path, &register, &context);
        let element = Element { value: DotFun::of(event, register), ..Element::default() };
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(key);
        self.restate(&path, clock, ruling);
        Ok(was_absent)
    }

    /// Removes an element of a collection; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove(&mut self, key: &[u8], class: Class, name: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, class, name);
        let Some((_, entry)) = self.bucket(&path).keys.find(path.key_hash, key) else { return Ok(false) };
        if entry.has_attributes() {
            let is_shown = self.moment().view(key).is_some_and(|view| view.class() == class && view.contains(name));
            if !is_shown {
                return Ok(false);
            }
            self.admit(key, name, 0)?;
            self.prepare(&path)?;
        } else if entry.element(class, name).is_empty() {
            return Ok(false);
        }
        self.admit(key, name, 0)?;
        let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, .. } = opening.open(&path, frontier);
        let mut context = Dots::default();
        let (at, element) = keys.look(&path);
        supersede(&path, &element, (baselines, fingerprint, window), event, &mut context);
        drop(element);
        window.remove(&path, &context);
        keys.draft(at, &path, Element::default(), draft);
        keys.commit(at, &path, baselines, draft);
        changes.push(key);
        let is_bare = keys.get(path.key_hash, key).is_some_and(|entry| !entry.has_data());
        if is_bare {
            self.delete_all(&path); // attributes go with the last of what they are about
        }
        Ok(true)
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

    fn delete_all(&mut self, path: &Path<'_>) {
        let Parts { bucket, opening, changes, .. } = self.begin(path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, .. } = opening.open(path, frontier);
        let mut context = Dots::default();
        if let Some(entry) = keys.get(path.key_hash, path.key) {
            supersede_entry(path, entry, (baselines, fingerprint, window), event, &mut context);
        }
        keys.remove(path.key_hash, path.key);
        window.delete(path.key_hash, path.key, &context);
        changes.push(path.key);
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
            let Parts { bucket, opening, changes, .. } = self.begin(&path, 0);
            let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
            let Opened { window, event, .. } = opening.open(&path, frontier);
            let mut context = Dots::default();
            for (key, entry) in keys.iter() {
                let path = Path::new(key, Class::Text, b"");
                let parts = (&mut *baselines, &mut *fingerprint, &mut *window);
                supersede_entry(&path, entry, parts, event, &mut context);
                changes.push(key);
            }
            *keys = Keys::default();
            window.clear(index, &context);
        }
        Ok(count)
    }

    /// What there is now, for this group.
    #[must_use]
    pub fn moment(&self) -> Moment<'_> {
        self.store.at(self.wall_ms)
    }

    fn now(&self) -> u64 {
        self.store.now(self.wall_ms)
    }

    fn bucket(&self, path: &Path<'_>) -> &Bucket {
        &self.store.buckets[bucket_of(path.key_hash)]
    }

    /// Where a key is that is about to be written to, if there is one, and the deadline in force for what is written. What
    /// has expired there is removed first.
    ///
    /// # Errors
    /// The key shows another type than that of `path`; then nothing was done.
    pub(in crate::store) fn ready(&mut self, path: &Path<'_>) -> Result<(Option<At>, Option<Ruling>), WriteError> {
        self.ready_or(path, |_| Ok(()))
    }

    /// As [`ready`](Self::ready), where `check` says what else is wrong, before what has expired is removed. It is asked of
    /// keys with deadlines only: of others nothing is removed.
    #[inline]
    fn ready_or(
        &mut self,
        path: &Path<'_>,
        check: impl FnOnce(&Self) -> Result<(), WriteError>,
    ) -> Result<(Option<At>, Option<Ruling>), WriteError> {
        let Some((at, entry)) = self.bucket(path).keys.find(path.key_hash, path.key) else { return Ok((None, None)) };
        if entry.has_attributes() {
            check(self)?;
            return self.ready_volatile(path);
        }
        match entry.class() {
            Some(class) if class == path.class => Ok((Some(at), None)),
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

    #[cold]
    fn ready_volatile(&mut self, path: &Path<'_>) -> Result<(Option<At>, Option<Ruling>), WriteError> {
        if let Some(view) = self.moment().view(path.key).filter(|view| view.class() != path.class) {
            return Err(WriteError::WrongType { found: view.class() });
        }
        let ruling = self.prepare(path)?;
        Ok((self.bucket(path).keys.find(path.key_hash, path.key).map(|(at, _)| at), ruling))
    }

    /// Removes what has expired under the key of `path`; says which deadline is in force for what is left.
    pub(in crate::store) fn prepare(&mut self, path: &Path<'_>) -> Result<Option<Ruling>, WriteError> {
        let now = self.now();
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, path.key) else { return Ok(None) };
        let lifetime = Lifetime::of(entry, now);
        if lifetime.has_passed(now) || !entry.has_data() {
            let (_, is_left) = self.purge(path)?;
            if !is_left {
                return Ok(None);
            }
        }
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, path.key) else { return Ok(None) };
        Ok(Lifetime::of(entry, now).in_force(entry, now))
    }

    /// Removes the cells that are hidden under a key, and nothing else; but of a key of which nothing is visible, all. Says
    /// whether something was removed, and whether something is left.
    fn purge(&mut self, path: &Path<'_>) -> Result<(bool, bool), WriteError> {
        let (now, key) = (self.now(), path.key);
        if self.moment().view(key).is_none() {
            self.delete_all(path);
            return Ok((true, false));
        }
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, key) else { return Ok((false, false)) };
        let lifetime = Lifetime::of(entry, now);
        let hidden: Vec<Hidden> = entry
            .iter()
            .filter(|(class, ..)| !class.is_attribute())
            .filter_map(|(class, name, element)| Hidden::of(class, name, &element, &lifetime, now))
            .collect();
        self.admit_group(hidden.iter().map(|it| it.name.len()).sum())?;
        for Hidden { class, name, registers, counts } in &hidden {
            let path = Path::within(path.key_hash, key, *class, name);
            let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
            let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
            let Opened { window, event, .. } = opening.open(&path, frontier);
            let (at, mut element) = keys.look(&path);
            debug_assert!(
                registers.iter().chain(counts).all(|dot| *dot != event),
                "a window ends before its deadlines"
            );
            for (dot, count) in element.counts.iter().filter(|(dot, _)| counts.contains(dot)) {
                if dot.replica == event.replica {
                    window.own_reset(&path, (dot, *count));
                }
            }
            let observed: Vec<(Dot, Count)> =
                element.counts.iter().filter(|(dot, _)| counts.contains(dot)).map(|(dot, it)| (dot, *it)).collect();
            discard_cells(&path, &mut element, baselines, fingerprint, Cell::Register, |dot| registers.contains(&dot));
            discard_cells(&path, &mut element, baselines, fingerprint, Cell::Count, |dot| counts.contains(&dot));
            keys.draft(at, &path, element, draft);
            keys.commit(at, &path, baselines, draft);
            for (dot, Count { birth, total, .. }) in
                observed.into_iter().filter(|(dot, _)| dot.replica != event.replica)
            {
                baselines.merge(&path, Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: event });
                window.reset(&path, dot, birth, total);
            }
            for (cell, cells) in [(Cell::Register, registers), (Cell::Count, counts)] {
                if !cells.is_empty() {
                    window.discard(&path, cell, cells);
                }
            }
            changes.push(key);
        }
        Ok((!hidden.is_empty(), true))
    }

    /// Writes down under which deadline this replica has written to the key of `path`, at `clock`.
    pub(in crate::store) fn restate(&mut self, path: &Path<'_>, clock: Hlc, ruling: Option<Ruling>) {
        let Some(ruling) = ruling else { return };
        let path = Path { class: Class::Until, name: b"", ..*path }.rehashed();
        let Parts { bucket, opening, draft, .. } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = bucket;
        let (window, event) = opening.opened();
        let value = lifetime::write_until(&ruling, (clock, event.replica));
        window.ends(ruling.deadline().unwrap_or(u64::MAX));
        put_own(&path, event, &Register { clock, value: &value }, (keys, baselines, fingerprint, window), draft);
    }

    /// What an operation at `path` works on, which writes a value of so many bytes if it writes.
    pub(in crate::store) fn begin(&mut self, path: &Path<'_>, value_bytes: usize) -> Parts<'_> {
        self.bytes += path.key.len() + path.name.len() + value_bytes;
        let next = self.store.sealed_seq() + 1;
        let Store { id, buckets, clock, window, spare, draft, changes, .. } = &mut *self.store;
        let opening = Opening { window, spare, clock, wall_ms: self.wall_ms, next: Dot::new(*id, next) };
        Parts { bucket: &mut buckets[bucket_of(path.key_hash)], opening, draft, changes }
    }
}

/// The parts of a store that one operation works on.
pub(in crate::store) struct Parts<'a> {
    pub(in crate::store) bucket: &'a mut Bucket,
    pub(in crate::store) opening: Opening<'a>,
    pub(in crate::store) draft: &'a mut Draft,
    pub(in crate::store) changes: &'a mut Changes,
}

/// What every operation that changes something goes through first.
pub(in crate::store) struct Opening<'a> {
    window: &'a mut Option<Window>,
    spare: &'a mut Window,
    clock: &'a mut Hlc,
    wall_ms: u64,
    /// The dot of the next window.
    next: Dot,
}

/// What an operation writes with.
pub(in crate::store) struct Opened<'a> {
    pub(in crate::store) window: &'a mut Window,
    /// The open dot.
    pub(in crate::store) event: Dot,
    pub(in crate::store) clock: Hlc,
}

impl<'a> Opening<'a> {
    /// Opens the window if need be, advances the clock, and notes what the operation observes of its bucket.
    pub(in crate::store) fn open(self, path: &Path<'_>, frontier: &Dots) -> Opened<'a> {
        let Self { window, spare, clock, wall_ms, next } = self;
        *clock = clock.next(wall_ms);
        let window = window.get_or_insert_with(|| std::mem::take(spare).open(next.seq, *clock));
        window.touch(bucket_of(path.key_hash), frontier, next.replica);
        Opened { window, event: next, clock: *clock }
    }

    /// The window that the operation has opened, for more that it writes at the same clock.
    fn opened(self) -> (&'a mut Window, Dot) {
        (self.window.as_mut().expect("the operation has opened it"), self.next)
    }
}

fn sum_of(number: Result<i128, NotCounted>, delta: i64) -> Result<i64, WriteError> {
    let current = i64::try_from(number.map_err(|_| WriteError::NotInteger)?).ok();
    current.and_then(|current| current.checked_add(delta)).ok_or(WriteError::Overflow)
}

/// The hidden cells of an element.
struct Hidden {
    class: Class,
    name: Box<[u8]>,
    registers: Vec<Dot>,
    counts: Vec<Dot>,
}

impl Hidden {
    fn of(class: Class, name: &[u8], element: &Element<'_>, lifetime: &Lifetime, now: u64) -> Option<Self> {
        let is_hidden = |dot: Dot, clock| lifetime.hides((clock, dot.replica), now);
        let registers = element.value.iter().filter(|(dot, it)| is_hidden(*dot, it.clock)).map(|(dot, _)| dot);
        let counts = element.counts.iter().filter(|(dot, it)| is_hidden(*dot, it.clock)).map(|(dot, _)| dot);
        let (registers, counts): (Vec<_>, Vec<_>) = (registers.collect(), counts.collect());
        (registers.len() + counts.len() > 0).then(|| Self { class, name: name.into(), registers, counts })
    }
}

/// Puts this replica's register at a path in place of its earlier one, and beside those of others.
pub(in crate::store) fn put_own(
    path: &Path<'_>,
    event: Dot,
    register: &Register<'_>,
    (keys, baselines, fingerprint, window): (&mut Keys, &Baselines, &mut Fingerprint, &mut Window),
    draft: &mut Draft,
) {
    let (at, mut element) = keys.look(path);
    element.value.retain(|dot, cell| {
        let own = dot.replica == event.replica;
        if own {
            fingerprint.subtract(Fingerprint::of_register(path, dot, cell));
        }
        !own
    });
    fingerprint.add(Fingerprint::of_register(path, event, register));
    // Its context is empty: what it replaces is the own part that every context implies.
    window.assign(path, register, &Dots::default());
    element.value.insert(event, *register);
    keys.draft(at, path, element, draft);
    keys.commit(at, path, baselines, draft);
}

/// Adds to this replica's count at a path.
pub(in crate::store) fn raise(
    path: &Path<'_>,
    element: &mut Element<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    (event, clock): (Dot, Hlc),
    delta: i128,
) {
    let known = element.slot(event.replica).map(|(dot, count)| (dot, *count));
    let (birth, total) = match known {
        Some((dot, count)) => {
            fingerprint.subtract(Fingerprint::of_count(path, dot, &count, baselines));
            element.counts.retain(|it, _| it != dot);
            (count.birth, count.total)
        }
        None => {
            baselines.begin_life(path, event.replica, event.seq);
            (event.seq, 0)
        }
    };
    let count = Count { clock, birth, total: total.wrapping_add(delta) };
    fingerprint.add(Fingerprint::of_count(path, event, &count, baselines));
    window.count(path, &count, known.filter(|(dot, _)| *dot != event));
    element.counts.insert(event, count);
}

/// Makes way for an assignment: as [`supersede`], unless the only cell is a register written in the open window. That
/// one's change becomes the new one's.
fn replace(
    path: &Path<'_>,
    element: &Element<'_>,
    parts: (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    let open = element.value.get(event).filter(|_| element.counts.is_empty() && element.value.len() == 1);
    match open {
        Some(open) => parts.1.subtract(Fingerprint::of_register(path, event, open)),
        None => supersede(path, element, parts, event, context),
    }
}

/// Notes that all cells of an element are removed as observed: raises `context` by the foreign ones, and leaves a
/// baseline for each foreign counter slot.
fn supersede(
    path: &Path<'_>,
    element: &Element<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    let me: ReplicaId = event.replica;
    for (dot, register) in element.value.iter() {
        fingerprint.subtract(Fingerprint::of_register(path, dot, register));
        match dot {
            open if open == event => window.take_back(path, Cell::Register, context),
            own if own.replica == me => {}
            foreign => context.raise(foreign),
        }
    }
    for (dot, count) in element.counts.iter() {
        fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
        match dot {
            open if open == event => window.take_back(path, Cell::Count, context),
            own if own.replica == me => window.own_reset(path, (dot, *count)),
            foreign => {
                context.raise(foreign);
                let Count { birth, total, .. } = *count;
                baselines.merge(path, Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: event });
                window.reset(path, dot, birth, total);
            }
        }
    }
}

/// Supersedes everything under the key of `path`.
fn supersede_entry(
    path: &Path<'_>,
    entry: Entry<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    for (path, element) in entry.elements(path.key, path.key_hash) {
        supersede(&path, &element, (&mut *baselines, &mut *fingerprint, &mut *window), event, context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::store::{Applied, BUCKETS};

    const WALL: u64 = 1_700_000_000_000;

    fn stores() -> [Store; 2] {
        [1, 2].map(|id| Store::new(ReplicaId::new(id), Limits::default(), 200))
    }

    fn send(from: &mut Store, to: &mut Store) {
        from.seal();
        let id = from.id();
        while let Some(sealed) = from.poll_sealed() {
            assert_eq!(to.apply(Dot::new(id, sealed.seq), &sealed.body), Ok(Applied::Now));
        }
    }

    fn text(store: &Store, at: u64, key: &str) -> Option<String> {
        let view = store.at(at).view(key.as_bytes())?;
        Some(String::from_utf8(view.text()?.into_owned()).expect("text"))
    }

    #[test]
    fn a_group_is_one_event_however_many_calls_write_it_and_however_long_it_is() {
        let mut store = stores().into_iter().next().unwrap();
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

    #[test]
    fn set_ends_a_time_to_live_and_what_else_is_written_keeps_it() {
        let mut store = stores().into_iter().next().unwrap();
        let deadline = |store: &Store, key: &[u8]| store.at(WALL).view(key).expect("it is there").deadline();
        store.write(WALL, 0, |w| w.set_until(b"k", b"1", Some(WALL + 9))).unwrap();
        store.write(WALL, 0, |w| w.add(b"k", 1)).unwrap();
        assert_eq!(deadline(&store, b"k"), Some(WALL + 9));
        store.write(WALL, 0, |w| w.set_keeping(b"k", b"x")).unwrap();
        assert_eq!(deadline(&store, b"k"), Some(WALL + 9));
        assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", None)), Ok(true));
        assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", None)), Ok(false), "there is none any more");
        assert_eq!(deadline(&store, b"k"), None);
        assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", Some(WALL + 5))), Ok(true));
        store.write(WALL, 0, |w| w.set(b"k", b"y")).unwrap();
        assert_eq!(deadline(&store, b"k"), None);
        assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", Some(WALL))), Ok(true), "it has passed: the key is deleted");
        assert_eq!(store.write(WALL, 0, |w| w.expire(b"k", Some(WALL + 5))), Ok(false), "there is none");
        assert!(store.fingerprints_are_exact());
    }

    /// What was written under a deadline that its writer had not seen pass goes with it, though the key was removed in
    /// between; what was written after it stays.
    #[test]
    fn what_survives_a_removal_ends_at_the_deadline_it_was_written_under() {
        let [mut a, mut b] = stores();
        a.write(WALL, 0, |w| w.insert(b"s", Class::Set, b"x", b"")).unwrap();
        a.write(WALL, 0, |w| w.expire(b"s", Some(WALL + 10))).unwrap();
        send(&mut a, &mut b);
        b.write(WALL + 1, 0, |w| w.delete(b"s")).unwrap();
        a.write(WALL + 1, 0, |w| w.insert(b"s", Class::Set, b"y", b"")).unwrap();
        send(&mut a, &mut b);
        send(&mut b, &mut a);
        for store in [&mut a, &mut b] {
            let members = |at| store.at(at).view(b"s").map(|view| view.len());
            assert_eq!(
                (members(WALL + 9), members(WALL + 10)),
                (Some(1), None),
                "y outlives the removal, not its time"
            );
        }
        a.write(WALL + 12, 0, |w| w.insert(b"s", Class::Set, b"z", b"")).unwrap();
        send(&mut a, &mut b);
        for store in [&mut a, &mut b] {
            let view = store.at(WALL + 99).view(b"s").expect("z was written after it");
            assert!(view.contains(b"z") && view.len() == 1 && view.deadline().is_none());
            assert!(store.fingerprints_are_exact());
        }
        assert_eq!(a.fingerprint(), b.fingerprint());
    }

    /// Rule 6: only what is hidden goes, and of a counter what was added since stays.
    #[test]
    fn a_removal_takes_what_is_hidden_and_nothing_else() {
        let [mut a, mut b] = stores();
        a.write(WALL, 0, |w| w.add_field(b"h", b"n", 5)).unwrap();
        a.write(WALL, 0, |w| w.expire(b"h", Some(WALL + 10))).unwrap();
        // It has not seen the deadline.
        b.write(WALL + 20, 0, |w| w.add_field(b"h", b"n", 1)).unwrap();
        send(&mut a, &mut b);
        send(&mut b, &mut a);
        for store in [&a, &b] {
            let view = store.at(WALL + 20).view(b"h").expect("one was added after the deadline");
            assert_eq!(view.get(b"n").as_deref(), Some(&b"1"[..]));
        }
        assert_eq!(b.write(WALL + 21, 0, |w| w.remove_expired(b"h")), Ok(true));
        assert_eq!(b.write(WALL + 21, 0, |w| w.remove_expired(b"h")), Ok(false));
        a.write(WALL + 21, 0, |w| w.add_field(b"h", b"n", 2)).unwrap();
        send(&mut a, &mut b);
        send(&mut b, &mut a);
        for store in [&mut a, &mut b] {
            assert_eq!(store.at(WALL + 22).view(b"h").unwrap().get(b"n").as_deref(), Some(&b"3"[..]));
            assert!(store.fingerprints_are_exact());
        }
        let theirs = b.bucket_fingerprints(0, BUCKETS);
        assert_eq!(a.bucket_fingerprints(0, BUCKETS), theirs);
    }

    #[test]
    fn an_assignment_says_that_it_never_ends_to_a_deadline_set_elsewhere_before_it() {
        let [mut a, mut b] = stores();
        a.write(WALL, 0, |w| w.set_until(b"k", b"v", Some(WALL + 10))).unwrap();
        b.write(WALL + 1, 0, |w| w.set(b"k", b"w")).unwrap();
        send(&mut a, &mut b);
        send(&mut b, &mut a);
        for store in [&a, &b] {
            assert_eq!(text(store, WALL + 50, "k").as_deref(), Some("w"));
        }
    }
}
