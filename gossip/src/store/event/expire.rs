//! Writing under deadlines: they are set, restated by what is written under them, and what they have hidden is removed.
//!
//! The rules, by number, are those of `docs/design.md`, 4b, expiry.

use cahoots_crdt::Dot;

use super::cells::{put_own, reset_slot};
use super::parts::{Opened, Parts};
use super::writer::{WriteError, Writer};
use crate::Hlc;
use crate::store::cell::lifetime::{self, Lifetime, Ruling};
use crate::store::cell::{Cell, Count, Element, Path, Register};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, discard_cells};
use crate::store::memory::keys::At;

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
        let at = self.bucket(&path).keys.find(path.key_hash, key).map(|(at, _)| at);
        self.assign(&path, at, &lifetime::write_deadline(deadline));
        self.ends(deadline);
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
        self.purge(&path)
    }

    #[cold]
    pub(super) fn ready_volatile(&mut self, path: &Path<'_>) -> Result<(Option<At>, Option<Ruling>), WriteError> {
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
            self.purge(path)?;
        }
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, path.key) else { return Ok(None) };
        Ok(Lifetime::of(entry, now).in_force(entry, now))
    }

    /// Removes the cells that are hidden under a key, and nothing else; but of a key of which nothing is visible, all. Says
    /// whether something was removed.
    fn purge(&mut self, path: &Path<'_>) -> Result<bool, WriteError> {
        let (now, key) = (self.now(), path.key);
        if self.moment().view(key).is_none() {
            self.delete_all(path);
            return Ok(true);
        }
        let Some(entry) = self.bucket(path).keys.get(path.key_hash, key) else { return Ok(false) };
        let lifetime = Lifetime::of(entry, now);
        let data = entry.iter().filter(|(class, ..)| !class.is_attribute());
        let hidden: Vec<Hidden> =
            data.filter_map(|(class, name, element)| Hidden::of(class, name, &element, &lifetime, now)).collect();
        self.admit_group(hidden.iter().map(|it| it.name.len()).sum())?;
        for Hidden { class, name, registers, counts } in &hidden {
            let path = Path::within(path.key_hash, key, *class, name);
            let Parts { bucket, opening, draft, changes } = self.begin(&path, 0);
            let Bucket { keys, baselines, cells_fingerprint: fingerprint, frontier } = bucket;
            let Opened { window, event, .. } = opening.open(&path, frontier);
            let (at, mut element) = keys.look(&path);
            let slots: Vec<Dot> = counts.iter().map(|(dot, _)| *dot).collect();
            debug_assert!(!registers.contains(&event) && !slots.contains(&event), "a window ends before its deadlines");
            for (cell, dots) in [(Cell::Register, registers), (Cell::Count, &slots)] {
                discard_cells(&path, &mut element, baselines, fingerprint, cell, |dot| dots.contains(&dot));
            }
            counts.iter().for_each(|slot| reset_slot(&path, *slot, (baselines, window), event));
            for (cell, dots) in [(Cell::Register, registers), (Cell::Count, &slots)] {
                if !dots.is_empty() {
                    window.discard(&path, cell, dots);
                }
            }
            keys.draft(at, &path, element, draft);
            keys.commit(at, &path, baselines, draft);
            changes.push(key);
        }
        Ok(!hidden.is_empty())
    }

    /// Writes down under which deadline this replica has written to the key of `path`, at `clock`.
    pub(in crate::store) fn restate(&mut self, path: &Path<'_>, clock: Hlc, ruling: Option<Ruling>) {
        let Some(ruling) = ruling else { return };
        let path = Path { class: Class::Until, name: b"", ..*path }.rehashed();
        let Parts { bucket, opening, draft, .. } = self.begin(&path, 0);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = bucket;
        let (window, event) = opening.opened();
        let value = lifetime::write_until(&ruling, (clock, event.replica));
        put_own(&path, event, &Register { clock, value: &value }, (keys, baselines, fingerprint, window), draft);
        self.ends(ruling.deadline());
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
    fn of(class: Class, name: &[u8], element: &Element<'_>, lifetime: &Lifetime, now: u64) -> Option<Self> {
        let is_hidden = |dot: Dot, clock| lifetime.hides((clock, dot.replica), now);
        let registers = element.value.iter().filter(|(dot, it)| is_hidden(*dot, it.clock)).map(|(dot, _)| dot);
        let counts = element.counts.iter().filter(|(dot, it)| is_hidden(*dot, it.clock)).map(|(dot, it)| (dot, *it));
        let (registers, counts): (Vec<_>, Vec<_>) = (registers.collect(), counts.collect());
        (registers.len() + counts.len() > 0).then(|| Self { class, name: name.into(), registers, counts })
    }
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::ReplicaId;

    use super::*;
    use crate::Limits;
    use crate::store::{Applied, BUCKETS, Store};

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
