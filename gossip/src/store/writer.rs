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
use super::window::Window;

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
        if self.window.as_ref().is_some_and(|window| window.bytes + bytes > self.window_bytes_max) {
            self.seal();
        }
        self.bound_doubt();
        let result = operations(&mut Writer { store: self, wall_ms, bytes: 0 });
        if self.window.as_ref().is_some_and(|window| window.bytes > self.window_bytes_max) {
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
        let op = self.begin(key, value.len());
        let path = Path::within(op.hash, key, Class::Text, b"");
        let register = Register { clock: self.store.clock, value };
        let Open { bucket, window, draft, changes } = self.open(&op);
        let Bucket { keys, baselines, fingerprint, .. } = &mut *bucket;
        let entry = keys.get(op.hash, key);
        let text = entry.filter(|entry| !entry.clashes()).map(|entry| entry.element(Class::Text, b""));
        match (text.as_ref().and_then(|text| lone_open(text, op.event)), text, entry) {
            (Some(open), ..) => window.bytes += value.len().saturating_sub(open.value.len()),
            (None, text, Some(entry)) => {
                let mut context = Dots::default();
                match text.filter(|text| !text.is_empty()) {
                    Some(text) => supersede(&path, &text, (baselines, fingerprint, window), op.event, &mut context),
                    None => {
                        supersede_entry(
                            (op.hash, key),
                            entry,
                            (baselines, fingerprint, window),
                            op.event,
                            &mut context,
                        );
                    }
                }
                window.delete(key, context);
                window.assign(&path, value.len());
            }
            (None, _, None) => window.assign(&path, value.len()),
        }
        bucket.keys.set(&path, &Element { value: DotFun::of(op.event, register), ..Element::default() }, draft);
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
        let current = number(&path, &bucket.keys.element(&path), &bucket.baselines);
        let current = i64::try_from(current.map_err(|_| WriteError::NotInteger)?);
        let sum = current.ok().and_then(|current| current.checked_add(delta)).ok_or(WriteError::Overflow)?;

        let op = self.begin(key, name.len());
        let (clock, me) = (self.store.clock, self.store.id);
        let Open { bucket, window, draft, changes } = self.open(&op);
        let mut element = bucket.keys.element(&path);
        if let Some(open) = element.counts.get_mut(op.event) {
            open.total = open.total.wrapping_add(delta.into());
            open.clock = clock;
        } else {
            let sealed = element.slot(me).map(|(dot, count)| (dot, *count));
            let (birth, total) = match sealed {
                Some((dot, count)) => {
                    bucket.fingerprint.subtract(Fingerprint::of_count(&path, dot, &count, &bucket.baselines));
                    element.counts.retain(|it, _| it != dot);
                    (count.birth, count.total)
                }
                None => {
                    bucket.baselines.begin_life(&path, me, op.event.seq);
                    (op.event.seq, 0)
                }
            };
            element.counts.insert(op.event, Count { clock, birth, total: total.wrapping_add(delta.into()) });
            window.count(&path, sealed);
        }
        bucket.keys.draft(&path, element, draft);
        bucket.keys.commit(&path, draft);
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
        let op = self.begin(key, name.len() + value.len());
        let path = Path::within(op.hash, key, class, name);
        let register = Register { clock: self.store.clock, value };
        let Open { bucket, window, draft, changes } = self.open(&op);
        let mut element = bucket.keys.element(&path);
        let was_absent = element.is_empty();
        if let Some(open) = lone_open(&element, op.event) {
            window.bytes += value.len().saturating_sub(open.value.len());
        } else {
            if !was_absent {
                let mut context = Dots::default();
                let parts = (&mut bucket.baselines, &mut bucket.fingerprint, &mut *window);
                supersede(&path, &element, parts, op.event, &mut context);
                window.remove(&path, context);
            }
            window.assign(&path, value.len());
        }
        element = Element { value: DotFun::of(op.event, register), ..Element::default() };
        bucket.keys.draft(&path, element, draft);
        bucket.keys.commit(&path, draft);
        changes.push(key);
        Ok(was_absent)
    }

    /// Removes an element of a collection; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove(&mut self, key: &[u8], class: Class, name: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, class, name);
        if self.store.buckets[bucket_of(path.key_hash)].keys.element(&path).is_empty() {
            return Ok(false);
        }
        self.admit(key, name, 0)?;
        let op = self.begin(key, name.len());
        let Open { bucket, window, draft, changes } = self.open(&op);
        let mut context = Dots::default();
        let parts = (&mut bucket.baselines, &mut bucket.fingerprint, &mut *window);
        supersede(&path, &bucket.keys.element(&path), parts, op.event, &mut context);
        bucket.keys.draft(&path, Element::default(), draft);
        bucket.keys.commit(&path, draft);
        window.remove(&path, context);
        changes.push(key);
        Ok(true)
    }

    /// Deletes a key: all that was observed under it, of whatever type. Says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let hash = hash_of(key);
        if self.store.buckets[bucket_of(hash)].keys.get(hash, key).is_none() {
            return Ok(false);
        }
        self.admit(key, b"", 0)?;
        let op = self.begin(key, 0);
        let Open { bucket, window, changes, .. } = self.open(&op);
        let mut context = Dots::default();
        let Bucket { keys, baselines, fingerprint, .. } = &mut *bucket;
        if let Some(entry) = keys.get(op.hash, key) {
            supersede_entry((op.hash, key), entry, (baselines, fingerprint, window), op.event, &mut context);
        }
        keys.remove(op.hash, key);
        window.delete(key, context);
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
            let op = self.begin(&first, 0);
            let Open { bucket, window, changes, .. } = self.open(&op);
            let mut context = Dots::default();
            let Bucket { keys, baselines, fingerprint, .. } = &mut *bucket;
            for (key, entry) in keys.iter() {
                let parts = (&mut *baselines, &mut *fingerprint, &mut *window);
                supersede_entry((hash_of(key), key), entry, parts, op.event, &mut context);
                changes.push(key);
            }
            *keys = Keys::default();
            window.clear(index, &context);
        }
        Ok(count)
    }

    /// Opens the window if need be, advances the clock, and notes what the operation observes of its bucket.
    pub(super) fn begin(&mut self, key: &[u8], bytes: usize) -> Operation {
        self.bytes += key.len() + bytes;
        let store = &mut *self.store;
        let hash = hash_of(key);
        let bucket = bucket_of(hash);
        store.clock = store.clock.next(self.wall_ms);
        let next = store.sealed_seq() + 1;
        let window = store.window.get_or_insert_with(|| Window::new(next));
        window.touch(bucket, store.buckets[bucket].frontier(), store.id);
        Operation { hash, bucket, event: Dot::new(store.id, window.seq) }
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
    pub(super) hash: u64,
    pub(super) bucket: usize,
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
    for (dot, register) in element.value.iter().filter(|(dot, _)| *dot != event) {
        fingerprint.subtract(Fingerprint::of_register(path, dot, register));
    }
    for (dot, count) in element.counts.iter().filter(|(dot, _)| *dot != event) {
        fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
    }
    element.dots().filter(|dot| dot.replica != me).for_each(|dot| context.raise(dot));
    for (dot, count) in element.counts.iter().filter(|(dot, _)| *dot != event) {
        if dot.replica == me {
            window.own_reset(path, (dot, *count));
            continue;
        }
        let Count { birth, total, .. } = *count;
        baselines.merge(path, Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: event });
        window.reset(path, dot, birth, total);
    }
}

/// The same of everything under a key.
fn supersede_entry(
    (hash, key): (u64, &[u8]),
    entry: Entry<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    for (path, element) in entry.elements(key, hash) {
        supersede(&path, &element, (&mut *baselines, &mut *fingerprint, &mut *window), event, context);
    }
}
