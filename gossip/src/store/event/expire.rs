//! Writing under deadlines: they are set, restated by what is written under them, and what they have hidden is removed.
//!
//! The rules, by number, are those of `docs/design.md`, 4b, expiry.

use cahoots_crdt::Dot;

use super::cells::{put_own, reset_slot};
use super::parts::{Opened, Parts};
use super::writer::{WriteError, Writer};
use crate::Hlc;
use crate::store::cell::lapse::{self, Lapse};
use crate::store::cell::lifetime::{self, Ruling};
use crate::store::cell::{Cell, Count, Element, Path, Register};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, discard_cells};
use crate::store::memory::keys::At;
use crate::store::memory::name::Name;
use crate::store::read::changes::By;

/// Elements of one key that are removed at once, when they have expired: a few thousandths of a second's work.
const REMOVED_MAX: usize = 1_000;

/// The deadlines in force for what is written: those that it is to be restated with.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Rulings {
    key: Option<Ruling>,
    field: Option<Ruling>,
}

/// Where a key is that is about to be written to, if there is one, and the deadlines in force for what is written.
pub(in crate::store) type Ready = (Option<At>, Rulings);

impl Writer<'_> {
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
        self.assign_deadline(&path, deadline);
        Ok(true)
    }

    /// Has the field `name` of the hash at `key` end at `deadline`, in milliseconds since 1970, or not by itself: whatever is
    /// added to it later, unless it is assigned. Says whether there is such a field; and of `None`, whether that changes
    /// anything. A deadline that has passed removes the field.
    ///
    /// # Errors
    /// A limit is exceeded, or the clock is too far ahead.
    pub fn expire_field(&mut self, key: &[u8], name: &[u8], deadline: Option<u64>) -> Result<bool, WriteError> {
        let view = self.moment().view(key).filter(|view| view.class() == Class::Hash && view.contains(name));
        let Some(view) = view else { return Ok(false) };
        if deadline.is_none() && view.field_deadline(name).is_none() {
            return Ok(false);
        }
        if deadline.is_some_and(|deadline| deadline <= self.now()) {
            return self.remove(key, Class::Hash, name);
        }
        self.admit(key, name, 0)?;
        self.prepare(&Path::new(key, Class::Hash, name))?;
        self.assign_deadline(&Path::new(key, Class::FieldDeadline, name), deadline);
        Ok(true)
    }

    fn assign_deadline(&mut self, path: &Path<'_>, deadline: Option<u64>) {
        let at = self.bucket(path).keys.find(path.key_hash, path.key).map(|(at, _)| at);
        self.assign(path, at, &lifetime::write_deadline(deadline));
        self.ends(deadline);
    }

    /// Removes what has expired under a key, and attributes without data; says whether there was something. Of many fields
    /// that have expired some are left for the next time.
    ///
    /// # Errors
    /// The clock is too far ahead.
    pub fn remove_expired(&mut self, key: &[u8]) -> Result<bool, WriteError> {
        let path = Path::new(key, Class::Text, b"");
        let Some(entry) = self.bucket(&path).keys.get(path.key_hash, key) else { return Ok(false) };
        if !entry.has_attributes() || entry.has_data() && Lapse::of(entry, self.now()).is_none() {
            return Ok(false);
        }
        self.admit(key, b"", 0)?;
        self.purge(&path, REMOVED_MAX)
    }

    /// As [`ready_or`](Self::ready_or), of a key with attributes, by a write that `assigns` a value or adds to one.
    #[cold]
    pub(super) fn ready_volatile(&mut self, path: &Path<'_>, assigns: bool) -> Result<Ready, WriteError> {
        if let Some(view) = self.moment().view(path.key).filter(|view| view.class() != path.class) {
            return Err(WriteError::WrongType { found: view.class() });
        }
        let mut rulings = self.prepare(path)?;
        if assigns && path.class == Class::Hash {
            // An assignment says "none" for its field, so what said more is of no use.
            self.clear_field(path);
            rulings.field = None;
        }
        Ok((self.bucket(path).keys.find(path.key_hash, path.key).map(|(at, _)| at), rulings))
    }

    /// Removes what has expired under the key of `path`, or its field; says which deadlines are in force for what is left.
    pub(in crate::store) fn prepare(&mut self, path: &Path<'_>) -> Result<Rulings, WriteError> {
        let now = self.now();
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, path.key) else { return Ok(Rulings::default()) };
        if !entry.has_data() || Lapse::of(entry, now).is_some() {
            self.purge(path, usize::MAX)?;
        }
        let is_field = path.class == Class::Hash;
        if is_field && !self.moment().view(path.key).is_some_and(|view| view.contains(path.name)) {
            self.clear_field(path); // it begins anew
        }
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, path.key) else { return Ok(Rulings::default()) };
        let field = if is_field { lapse::in_force_at_field(entry, path.name, now) } else { None };
        Ok(Rulings { key: lapse::in_force(entry, now), field })
    }

    /// Removes the cells that are hidden under a key, and nothing else; but of a key of which nothing is visible, all. Where
    /// only deadlines of fields have passed, and `path` is that of a field, it is about that field alone. At most `max`
    /// elements; says whether something was removed.
    fn purge(&mut self, path: &Path<'_>, max: usize) -> Result<bool, WriteError> {
        let (now, key) = (self.now(), path.key);
        if self.moment().view(key).is_none() {
            self.delete_all(path);
            return Ok(true);
        }
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, key) else { return Ok(false) };
        let Some(lapse) = Lapse::of(entry, now) else { return Ok(false) };
        // What is in the open window is left for later: its event is not to be changed by a deadline that passes in it.
        let open = self.open_event();
        let hidden: Vec<Hidden> = if lapse.is_of_key() {
            let hidden = |(class, name, element): (_, Name<'_>, _)| Hidden::of(class, &name, &element, &lapse, open);
            entry.data().filter_map(hidden).take(max).collect()
        } else if path.class == Class::Hash {
            let element = entry.element(path.class, path.name);
            Hidden::of(path.class, path.name, &element, &lapse, open).into_iter().collect()
        } else {
            let hidden = |(name, element)| Hidden::of(Class::Hash, name, &element, &lapse, open);
            lapse.due_fields(max).filter_map(hidden).collect()
        };
        self.admit_group(hidden.iter().map(|it| it.name.len()).sum())?;
        hidden.iter().for_each(|hidden| self.discard_hidden(path, hidden));
        Ok(!hidden.is_empty())
    }

    /// Removes the cells of one element under the key of `path`.
    fn discard_hidden(&mut self, path: &Path<'_>, Hidden { class, name, registers, counts }: &Hidden) {
        let path = Path::within(path.key_hash, path.key, *class, name);
        let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
        let Opened { window, event, .. } = opening.open(&path, frontier);
        let (at, mut element) = keys.look(&path);
        let slots: Vec<Dot> = counts.iter().map(|(dot, _)| *dot).collect();
        debug_assert!(!registers.contains(&event) && !slots.contains(&event), "what is open is left");
        for (cell, dots) in [(Cell::Register, registers), (Cell::Count, &slots)] {
            discard_cells(&path, &mut element, baselines, fingerprint, cell, |dot| dots.contains(&dot));
        }
        counts.iter().for_each(|slot| reset_slot(&path, *slot, (baselines, window), event));
        for (cell, dots) in [(Cell::Register, registers), (Cell::Count, &slots)] {
            if !dots.is_empty() {
                window.discard(&path, cell, dots);
            }
        }
        let is_gone = element.is_empty();
        keys.draft(at, &path, element, draft);
        keys.commit(at, &path, baselines, draft);
        changes.is_by(By::Time);
        changes.push(keys.subject(&path));
        if is_gone && *class == Class::Hash {
            self.clear_field(&path);
        }
    }

    /// Removes the attributes of the field at `path`.
    pub(super) fn clear_field(&mut self, path: &Path<'_>) {
        for class in [Class::FieldDeadline, Class::FieldUntil] {
            let path = Path { class, ..*path }.rehashed();
            if !self.bucket(&path).keys.element(&path).is_empty() {
                self.take(&path);
            }
        }
    }

    /// Writes down under which deadlines this replica has written at `path`, at `clock`.
    pub(in crate::store) fn restate(&mut self, path: &Path<'_>, clock: Hlc, rulings: Rulings) {
        let Rulings { key, field } = rulings;
        for (class, name, ruling) in [(Class::Until, &b""[..], key), (Class::FieldUntil, path.name, field)] {
            let Some(ruling) = ruling else { continue };
            let path = Path { class, name, ..*path }.rehashed();
            let Parts { bucket, opening, draft, .. } = self.begin(&path, 0);
            let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = bucket;
            let (window, event) = opening.opened();
            let value = lifetime::write_until(&ruling, (clock, event.replica));
            put_own(&path, event, &Register { clock, value: &value }, (keys, baselines, fingerprint, window), draft);
            self.ends(ruling.deadline());
        }
    }

    /// Has the window that is open end by a deadline: what it carries is never hidden in its own event.
    fn ends(&mut self, deadline: Option<u64>) {
        if let (Some(window), Some(deadline)) = (&mut self.store.window, deadline) {
            window.ends(deadline);
        }
    }
}

/// The hidden cells of an element.
struct Hidden {
    class: Class,
    name: Box<[u8]>,
    registers: Vec<Dot>,
    counts: Vec<(Dot, Count)>,
}

impl Hidden {
    /// `None` if nothing is hidden; of a field that has nothing but attributes there is something, without cells.
    fn of(class: Class, name: &[u8], element: &Element<'_>, lapse: &Lapse<'_>, open: Dot) -> Option<Self> {
        let mut visible = element.clone();
        lapse.hide(class, name, &mut visible);
        let registers = element.value.iter().map(|(dot, _)| dot);
        let registers = registers.filter(|dot| *dot != open && visible.value.get(*dot).is_none());
        let counts = element.counts.iter().map(|(dot, count)| (dot, *count));
        let counts = counts.filter(|(dot, _)| *dot != open && visible.counts.get(*dot).is_none());
        let (registers, counts): (Vec<_>, Vec<_>) = (registers.collect(), counts.collect());
        let is_something = registers.len() + counts.len() > 0 || element.is_empty();
        is_something.then(|| Self { class, name: name.into(), registers, counts })
    }
}

#[cfg(test)]
mod tests;
