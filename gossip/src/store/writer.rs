//! Writing: operations of one group, which become part of one event.
//!
//! Every operation captures what it observes at the moment it runs: the frontier of its bucket, and the dots of
//! the foreign cells it supersedes. One that changes nothing opens no window and publishes nothing.

use std::ops::Deref;

use cahoots_crdt::{Dot, DotFun, ReplicaId};

use super::Store;
use super::baseline::{Baseline, Baselines};
use super::bucket::{Bucket, bucket_of};
use super::cell::{Class, Count, Dots, Element, Path, Register, hash_of};
use super::changes::Changes;
use super::entry::Entry;
use super::fingerprint::Fingerprint;
use super::keys::{Draft, Keys};
use super::view::number;
use super::window::{Cell, Window};

/// Why a write was refused. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
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
    /// One group writes more than the cluster's limit.
    #[error("command writes more than the cluster's maximum of {max} bytes")]
    GroupTooLarge {
        /// The limit.
        max: usize,
    },
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
    pub(super) store: &'a mut Store,
    wall_ms: u64,
    /// Bytes of keys, names and values written by this group.
    bytes: usize,
}

impl Store {
    /// Runs one group of writes at wall time `wall_ms`: whatever `operations` does becomes part of one event.
    ///
    /// `bytes` estimates what it writes; if that would outgrow the open window, the window is sealed first.
    pub fn write<R>(&mut self, wall_ms: u64, bytes: usize, operations: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        if self.window.as_ref().is_some_and(|window| window.size() + bytes > self.window_bytes_max) {
            self.seal();
        }
        self.bound_doubt();
        let result = operations(&mut Writer { store: self, wall_ms, bytes: 0 });
        if self.window.as_ref().is_some_and(|window| window.size() > self.window_bytes_max) {
            self.seal();
        }
        result
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

    /// Makes `key` a text of this value, superseding all that was observed under it, of whatever type.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.admit(key, b"", value.len())?;
        let path = Path::new(key, Class::Text, b"");
        let op = self.begin(path.key_hash, key, value.len());
        let register = Register { clock: self.store.clock, value };
        let Open { bucket, window, draft, changes } = self.open(&op);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
        let at = keys.find(path.key_hash, key);
        if let Some(entry) = at.map(|at| keys.at(at)) {
            let is_text = entry.class() == Class::Text && !entry.clashes();
            match is_text.then(|| lone_open(&entry.element(Class::Text, b""), op.event)).flatten() {
                Some(open) => fingerprint.subtract(Fingerprint::of_register(&path, op.event, &open)),
                None => {
                    let mut context = Dots::default();
                    supersede_entry(&path, entry, (baselines, fingerprint, window), op.event, &mut context);
                    window.delete(path.key_hash, key, &context);
                }
            }
        }
        fingerprint.add(Fingerprint::of_register(&path, op.event, &register));
        window.assign(&path, &register);
        let element = Element { value: DotFun::of(op.event, register), ..Element::default() };
        Keys::draft_alone(&path, &element, draft);
        keys.commit(at, &path, draft);
        changes.push(key);
        Ok(())
    }

    /// Adds `delta` to the number at `key`, 0 when there is none; the sum. The key is a text or absent.
    ///
    /// # Errors
    /// The value is no integer, the sum overflows, a limit is exceeded, or the clock is too far ahead.
    pub fn add(&mut self, key: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.add_at(key, Class::Text, b"", delta)
    }

    /// Adds `delta` to the field `name` of the hash at `key`; the sum. The key is a hash or absent.
    ///
    /// # Errors
    /// As [`Writer::add`].
    pub fn add_field(&mut self, key: &[u8], name: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.add_at(key, Class::Hash, name, delta)
    }

    fn add_at(&mut self, key: &[u8], class: Class, name: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.admit(key, name, 0)?;
        let path = Path::new(key, class, name);
        let bucket = &self.store.buckets[bucket_of(path.key_hash)];
        let (at, element) = bucket.keys.look(&path);
        let current = number(&path, &element, &bucket.baselines).map_err(|_| WriteError::NotInteger)?;
        drop(element);
        let current = i64::try_from(current).ok();
        let sum = current.and_then(|current| current.checked_add(delta)).ok_or(WriteError::Overflow)?;

        let op = self.begin(path.key_hash, key, name.len());
        let (clock, me) = (self.store.clock, self.store.id);
        let Open { bucket, window, draft, changes } = self.open(&op);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
        let mut element = at.map(|at| keys.at(at).element(class, name)).unwrap_or_default();
        let known = element.slot(me).map(|(dot, count)| (dot, *count));
        let (birth, total) = match known {
            Some((dot, count)) => {
                fingerprint.subtract(Fingerprint::of_count(&path, dot, &count, baselines));
                element.counts.retain(|it, _| it != dot);
                (count.birth, count.total)
            }
            None => {
                baselines.begin_life(&path, me, op.event.seq);
                (op.event.seq, 0)
            }
        };
        let count = Count { clock, birth, total: total.wrapping_add(delta.into()) };
        fingerprint.add(Fingerprint::of_count(&path, op.event, &count, baselines));
        window.count(&path, &count, known.filter(|(dot, _)| *dot != op.event));
        element.counts.insert(op.event, count);
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, draft);
        changes.push(key);
        Ok(sum)
    }

    /// Puts an element into a collection: a set's member (with an empty value) or a hash's field. Says whether it
    /// was absent. One that is present is asserted anew, and so survives a concurrent remove.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn insert(&mut self, key: &[u8], class: Class, name: &[u8], value: &[u8]) -> Result<bool, WriteError> {
        self.admit(key, name, value.len())?;
        let path = Path::new(key, class, name);
        let op = self.begin(path.key_hash, key, name.len() + value.len());
        let register = Register { clock: self.store.clock, value };
        let Open { bucket, window, draft, changes } = self.open(&op);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
        let (at, element) = keys.look(&path);
        let was_absent = element.is_empty();
        if let Some(open) = lone_open(&element, op.event) {
            fingerprint.subtract(Fingerprint::of_register(&path, op.event, &open));
        } else if !was_absent {
            let mut context = Dots::default();
            supersede(&path, &element, (baselines, fingerprint, window), op.event, &mut context);
            window.remove(&path, &context);
        }
        drop(element);
        fingerprint.add(Fingerprint::of_register(&path, op.event, &register));
        window.assign(&path, &register);
        let element = Element { value: DotFun::of(op.event, register), ..Element::default() };
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, draft);
        changes.push(key);
        Ok(was_absent)
    }

    /// Removes an element of a collection; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove(&mut self, key: &[u8], class: Class, name: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, class, name);
        let (at, element) = self.store.buckets[bucket_of(path.key_hash)].keys.look(&path);
        if element.is_empty() {
            return Ok(false);
        }
        drop(element);
        self.admit(key, name, 0)?;
        let op = self.begin(path.key_hash, key, name.len());
        let Open { bucket, window, draft, changes } = self.open(&op);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
        let mut context = Dots::default();
        supersede(&path, &keys.element(&path), (baselines, fingerprint, window), op.event, &mut context);
        window.remove(&path, &context);
        keys.draft(at, &path, Element::default(), draft);
        keys.commit(at, &path, draft);
        changes.push(key);
        Ok(true)
    }

    /// Deletes a key: all that was observed under it, of whatever type. Says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, Class::Text, b"");
        if self.store.buckets[bucket_of(path.key_hash)].keys.find(path.key_hash, key).is_none() {
            return Ok(false);
        }
        self.admit(key, b"", 0)?;
        let op = self.begin(path.key_hash, key, 0);
        let Open { bucket, window, changes, .. } = self.open(&op);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
        let mut context = Dots::default();
        if let Some(entry) = keys.get(path.key_hash, key) {
            supersede_entry(&path, entry, (baselines, fingerprint, window), op.event, &mut context);
        }
        keys.remove(path.key_hash, key);
        window.delete(path.key_hash, key, &context);
        changes.push(key);
        Ok(true)
    }

    /// Deletes every key that is observed; says how many. One context per bucket, whatever the number of keys.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn clear(&mut self) -> Result<usize, WriteError> {
        let count = self.store.len();
        if count == 0 {
            return Ok(0);
        }
        self.admit(b"", b"", 0)?;
        for index in 0..self.store.buckets.len() {
            let first = self.store.buckets[index].keys.iter().next().map(|(key, _)| Box::<[u8]>::from(key));
            let Some(first) = first else { continue };
            let op = self.begin(hash_of(&first), &first, 0);
            let Open { bucket, window, changes, .. } = self.open(&op);
            let mut context = Dots::default();
            let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *bucket;
            for (key, entry) in keys.iter() {
                let path = Path::new(key, Class::Text, b"");
                let parts = (&mut *baselines, &mut *fingerprint, &mut *window);
                supersede_entry(&path, entry, parts, op.event, &mut context);
                changes.push(key);
            }
            *keys = Keys::default();
            window.clear(index, &context);
        }
        Ok(count)
    }

    /// Opens the window if need be, advances the clock, and notes what the operation observes of its bucket.
    pub(super) fn begin(&mut self, key_hash: u64, key: &[u8], bytes: usize) -> Operation {
        self.bytes += key.len() + bytes;
        let store = &mut *self.store;
        let bucket = bucket_of(key_hash);
        store.clock = store.clock.next(self.wall_ms);
        if store.window.is_none() {
            let spare = std::mem::take(&mut store.spare);
            store.window = Some(spare.open(store.sealed_seq() + 1, store.clock));
        }
        let window = store.window.as_mut().expect("it is open");
        window.touch(bucket, &store.buckets[bucket].frontier, store.id);
        Operation { bucket, event: Dot::new(store.id, window.seq) }
    }

    /// What an operation works on.
    pub(super) fn open(&mut self, op: &Operation) -> Open<'_> {
        let Store { buckets, window, draft, changes, .. } = &mut *self.store;
        Open { bucket: &mut buckets[op.bucket], window: window.as_mut().expect("begin opened it"), draft, changes }
    }
}

/// The parts of a store that one operation works on.
pub(super) struct Open<'a> {
    pub(super) bucket: &'a mut Bucket,
    pub(super) window: &'a mut Window,
    pub(super) draft: &'a mut Draft,
    pub(super) changes: &'a mut Changes,
}

/// One operation under way.
pub(super) struct Operation {
    bucket: usize,
    /// The open dot.
    pub(super) event: Dot,
}

/// The only cell of `element`, if it is a register written in the open window: assigning again needs no context,
/// the first assignment left one.
fn lone_open<'a>(element: &Element<'a>, event: Dot) -> Option<Register<'a>> {
    if !element.counts.is_empty() || element.value.len() != 1 {
        return None;
    }
    element.value.get(event).copied()
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
            open if open == event => window.take_back(path, Cell::Register),
            own if own.replica == me => {}
            foreign => context.raise(foreign),
        }
    }
    for (dot, count) in element.counts.iter() {
        fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
        match dot {
            open if open == event => window.take_back(path, Cell::Count),
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

/// The same of everything under the key of `path`.
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
