//! Writing: operations of one group, which become part of one event.
//!
//! Every operation captures what it observes at the moment it runs: the frontier of its bucket, and the dots of
//! the foreign cells it supersedes. One that changes nothing opens no window and publishes nothing.

use std::ops::Deref;

use smallvec::SmallVec;

use cahoots_crdt::{Dot, ReplicaId};

use super::Store;
use super::baseline::{Baseline, Baselines};
use super::bucket::{bucket_of, remove_cells};
use super::cell::{Class, Count, Dots, Element, Path, Register, hash_of};
use super::fingerprint::Fingerprint;
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
        let register = Register { clock: self.store.clock, value: value.into() };
        let window = self.store.window.as_mut().expect("begin opened it");
        self.store.buckets[op.bucket].alter(op.hash, key, |entry, baselines, fingerprint| {
            if !entry.clashes()
                && let Some(open) = lone_open_register(&mut entry.text, op.event)
            {
                window.bytes += register.value.len().saturating_sub(open.value.len());
                *open = register;
                return;
            }
            if !entry.is_empty() {
                let mut context = Dots::default();
                entry.alter(key, op.hash, |path, element| {
                    supersede(path, element, baselines, fingerprint, window, op.event, &mut context);
                });
                window.delete(key, context);
            }
            entry.text.value.insert(op.event, register);
            window.assign(&path, value.len());
        });
        self.store.changes.push(key);
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
        let hash = hash_of(key);
        let path = Path::within(hash, key, class, name);
        if let Some(sum) = self.add_to_open(&path, hash, delta) {
            return sum;
        }
        let bucket = &self.store.buckets[bucket_of(hash)];
        let element = bucket.get(hash, key).and_then(|entry| entry.element(class, name));
        let current = element.map_or(Ok(0), |element| number(&path, element, &bucket.baselines));
        let current = i64::try_from(current.map_err(|_| WriteError::NotInteger)?);
        let sum = current.ok().and_then(|current| current.checked_add(delta)).ok_or(WriteError::Overflow)?;

        let op = self.begin(key, name.len());
        let (clock, me) = (self.store.clock, self.store.id);
        let window = self.store.window.as_mut().expect("begin opened it");
        self.store.buckets[op.bucket].alter(hash, key, |entry, baselines, fingerprint| {
            let element = entry.element_mut(class, name);
            if let Some(open) = element.counts.as_mut().and_then(|counts| counts.get_mut(op.event)) {
                open.total = open.total.wrapping_add(delta.into());
                open.clock = clock;
                return;
            }
            let sealed = element.slot(me).map(|(dot, count)| (dot, count.clone()));
            let (birth, total) = match &sealed {
                Some((dot, count)) => {
                    let dot = *dot;
                    fingerprint.subtract(Fingerprint::of_count(&path, dot, count, baselines));
                    element.retain_counts(|it, _| it != dot);
                    (count.birth, count.total)
                }
                None => {
                    baselines.begin_life(&path, me, op.event.seq);
                    (op.event.seq, 0)
                }
            };
            element.put_count(op.event, Count { clock, birth, total: total.wrapping_add(delta.into()) });
            window.count(&path, sealed);
        });
        self.store.changes.push(key);
        Ok(sum)
    }

    /// Adds to a slot that the open window has written already: the common case of a busy counter, in one look-up.
    fn add_to_open(&mut self, path: &Path<'_>, hash: u64, delta: i64) -> Option<Result<i64, WriteError>> {
        let store = &mut *self.store;
        let window = store.window.as_mut()?;
        let event = Dot::new(store.id, window.seq);
        let (entry, baselines, frontier) = store.buckets[bucket_of(hash)].get_mut(hash, path.key)?;
        entry.element(path.class, path.name)?.counts.as_ref()?.get(event)?;
        let element = entry.element_mut(path.class, path.name);
        let Ok(current) = number(path, element, baselines) else { return Some(Err(WriteError::NotInteger)) };
        let Some(sum) = i64::try_from(current).ok().and_then(|current| current.checked_add(delta)) else {
            return Some(Err(WriteError::Overflow));
        };
        store.clock = store.clock.next(self.wall_ms);
        window.touch(bucket_of(hash), frontier, store.id);
        let open = element.counts.as_mut().and_then(|counts| counts.get_mut(event)).expect("it was just looked at");
        open.total = open.total.wrapping_add(delta.into());
        open.clock = store.clock;
        self.bytes += path.key.len() + path.name.len();
        store.changes.push(path.key);
        Some(Ok(sum))
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
        let register = Register { clock: self.store.clock, value: value.into() };
        let window = self.store.window.as_mut().expect("begin opened it");
        let was_absent = self.store.buckets[op.bucket].alter(op.hash, key, |entry, baselines, fingerprint| {
            let element = entry.element_mut(class, name);
            if let Some(open) = lone_open_register(element, op.event) {
                window.bytes += register.value.len().saturating_sub(open.value.len());
                *open = register;
                return false;
            }
            let was_absent = element.is_empty();
            if !was_absent {
                let mut context = Dots::default();
                supersede(&path, element, baselines, fingerprint, window, op.event, &mut context);
                window.remove(&path, context);
            }
            element.value.insert(op.event, register);
            window.assign(&path, value.len());
            was_absent
        });
        self.store.changes.push(key);
        Ok(was_absent)
    }

    /// Removes an element of a collection; says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove(&mut self, key: &[u8], class: Class, name: &[u8]) -> Result<bool, WriteError> {
        let hash = hash_of(key);
        let entry = self.store.buckets[bucket_of(hash)].get(hash, key);
        if entry.and_then(|entry| entry.element(class, name)).is_none() {
            return Ok(false);
        }
        self.admit(key, name, 0)?;
        let op = self.begin(key, name.len());
        let path = Path::within(op.hash, key, class, name);
        let window = self.store.window.as_mut().expect("begin opened it");
        self.store.buckets[op.bucket].alter(op.hash, key, |entry, baselines, fingerprint| {
            let mut context = Dots::default();
            let element = entry.element_mut(class, name);
            supersede(&path, element, baselines, fingerprint, window, op.event, &mut context);
            entry.drop_if_empty(class, name);
            window.remove(&path, context);
        });
        self.store.changes.push(key);
        Ok(true)
    }

    /// Deletes a key: all that was observed under it, of whatever type. Says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let hash = hash_of(key);
        if self.store.buckets[bucket_of(hash)].get(hash, key).is_none() {
            return Ok(false);
        }
        self.admit(key, b"", 0)?;
        let op = self.begin(key, 0);
        let window = self.store.window.as_mut().expect("begin opened it");
        let mut context = Dots::default();
        self.store.buckets[op.bucket].alter(op.hash, key, |entry, baselines, fingerprint| {
            entry.alter(key, op.hash, |path, element| {
                supersede(path, element, baselines, fingerprint, window, op.event, &mut context);
            });
        });
        window.delete(key, context);
        self.store.changes.push(key);
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
            let keys: Vec<Box<[u8]>> = self.store.buckets[index].iter().map(|(key, _)| key.into()).collect();
            let Some(first) = keys.first() else { continue };
            let op = self.begin(first, 0);
            let window = self.store.window.as_mut().expect("begin opened it");
            let mut context = Dots::default();
            for key in &keys {
                let hash = hash_of(key);
                self.store.buckets[index].alter(hash, key, |entry, baselines, fingerprint| {
                    entry.alter(key, hash, |path, element| {
                        supersede(path, element, baselines, fingerprint, window, op.event, &mut context);
                    });
                });
                self.store.changes.push(key);
            }
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
fn lone_open_register(element: &mut Element, event: Dot) -> Option<&mut Register> {
    if element.counts.is_some() || element.value.len() != 1 {
        return None;
    }
    element.value.get_mut(event)
}

/// Removes all cells of an element as observed: raises `context` by the foreign ones, and leaves a baseline for
/// each foreign counter slot.
fn supersede(
    path: &Path<'_>,
    element: &mut Element,
    baselines: &mut Baselines,
    fingerprint: &mut Fingerprint,
    window: &mut Window,
    event: Dot,
    context: &mut Dots,
) {
    let me: ReplicaId = event.replica;
    let foreign = element.counts().filter(|(dot, _)| dot.replica != me);
    let own = element.slot(me).filter(|(dot, _)| *dot != event).map(|(dot, count)| (dot, count.clone()));
    let resets: SmallVec<[(Dot, u64, i128); 2]> = foreign.map(|(dot, it)| (dot, it.birth, it.total)).collect();
    remove_cells(
        path,
        element,
        baselines,
        fingerprint,
        |dot| dot == event,
        |dot| {
            if dot.replica != me {
                context.raise(dot);
            }
            true
        },
    );
    if let Some(before) = own {
        window.own_reset(path, before);
    }
    for (dot, birth, total) in resets {
        let baseline = Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: event };
        baselines.merge(path, baseline);
        window.reset(path, dot, birth, total);
    }
}
