//! The queue of changed keys, read by the watchers of the store.
//!
//! A change is told as clients see it: what was visible under the key before, beside what is visible after it. Whoever
//! changes a key has it looked at first ([`Changes::look`]) and told of afterwards ([`Changes::push`]); while nobody listens
//! both come to one comparison.

use std::collections::VecDeque;

use crate::store::cell::lapse::Lapse;
use crate::store::kind::Class;
use crate::store::memory::deadlines::prefix_of;
use crate::store::memory::entry::Entry;
use crate::store::memory::keys::Keys;

/// Bytes of keys queued before the watcher is told that it must look at everything again.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// What a watcher of the store is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something under this key changed.
    Key {
        /// The key.
        key: Box<[u8]>,
        /// The type it shows; of one that is gone, the type it showed.
        class: Class,
        /// What happened to it.
        what: What,
        /// Who did that.
        by: By,
    },
    /// More changed than the queue holds: read everything again.
    Lost,
}

/// What happened to a key, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was not there before.
    Created,
    /// It was, and is. Its type may be another one.
    Changed,
    /// It was removed.
    Removed,
    /// Its deadline has passed.
    Expired,
}

/// Who changed a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// A write at this replica.
    #[default]
    Client,
    /// What came from another replica: an event, or what was fetched.
    Peer,
    /// A deadline, or a clock that was put back before one.
    Time,
    /// A replica that came or went: ballots count while their replica lives.
    Membership,
}

/// What is visible under a key before it is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Nothing,
    Shown(Class),
    /// Its deadline has passed, and nobody was told.
    Untold(Class),
}

/// What one key is, for those who tell of its changes.
#[derive(Clone, Copy)]
pub(in crate::store) struct Subject<'a> {
    pub(in crate::store) keys: &'a Keys,
    pub(in crate::store) hash: u64,
    pub(in crate::store) key: &'a [u8],
}

impl<'a> Subject<'a> {
    fn entry(self) -> Option<Entry<'a>> {
        self.keys.get(self.hash, self.key)
    }

    fn before(self, now: u64) -> Before {
        let Some(entry) = self.entry() else { return Before::Nothing };
        match (shown(entry, now), entry.class()) {
            (Some(class), _) => Before::Shown(class),
            (None, Some(class)) if !self.keys.is_noted(prefix_of(self.hash)) => Before::Untold(class),
            (None, _) => Before::Nothing,
        }
    }
}

/// The type an entry shows at a time.
fn shown(entry: Entry<'_>, now: u64) -> Option<Class> {
    Lapse::of(entry, now).map_or_else(|| entry.class(), |lapse| lapse.class())
}

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Changes {
    on: bool,
    bytes: usize,
    queue: VecDeque<Change>,
    /// What was seen before the change that is being made, who makes it, and at what time.
    before: Before,
    by: By,
    now: u64,
}

impl Changes {
    pub(in crate::store) fn record(&mut self, on: bool) {
        *self = Self { on, now: self.now, ..Self::default() };
    }

    pub(in crate::store) fn is_on(&self) -> bool {
        self.on
    }

    /// Bytes queued, and what they never exceed.
    pub(in crate::store) fn queue(&self) -> (usize, usize) {
        (self.bytes, QUEUE_BYTES_MAX)
    }

    /// It is so late by now.
    pub(in crate::store) fn see_time(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    /// The clock has run back.
    pub(in crate::store) fn look_back(&mut self, now: u64) {
        self.now = now;
    }

    /// A key is about to be changed.
    #[inline]
    pub(in crate::store) fn look(&mut self, subject: Subject<'_>, by: By) {
        if self.on {
            self.look_at(subject, by);
        }
    }

    #[cold]
    fn look_at(&mut self, subject: Subject<'_>, by: By) {
        (self.before, self.by) = (subject.before(self.now), by);
    }

    /// The change that is being made is the work of time: what is taken away was hidden.
    pub(in crate::store) fn is_by_time(&mut self) {
        self.by = By::Time;
    }

    /// The key that was looked at last has been changed.
    #[inline]
    pub(in crate::store) fn push(&mut self, subject: Subject<'_>) {
        if self.on {
            self.compare(subject);
        }
    }

    #[cold]
    fn compare(&mut self, subject: Subject<'_>) {
        let after = subject.entry().and_then(|entry| shown(entry, self.now));
        let mut before = std::mem::take(&mut self.before);
        if let Before::Untold(class) = before {
            self.tell(subject.key, class, What::Expired, By::Time);
            before = Before::Nothing;
        }
        let by = self.by;
        match (before, after) {
            (Before::Shown(_), Some(class)) => self.tell(subject.key, class, What::Changed, by),
            (Before::Shown(class), None) => self.tell(subject.key, class, What::Removed, by),
            (_, Some(class)) => self.tell(subject.key, class, What::Created, by),
            (_, None) => {}
        }
    }

    /// A key that is looked at only now is removed by this replica.
    pub(in crate::store) fn removed(&mut self, subject: Subject<'_>) {
        if !self.on {
            return;
        }
        match subject.before(self.now) {
            Before::Shown(class) => self.tell(subject.key, class, What::Removed, By::Client),
            Before::Untold(class) => self.tell(subject.key, class, What::Expired, By::Time),
            Before::Nothing => {}
        }
    }

    /// Tells of a change that needs no looking.
    pub(in crate::store) fn tell(&mut self, key: &[u8], class: Class, what: What, by: By) {
        if !self.on || self.queue.back() == Some(&Change::Lost) || self.joins_last(key, class, what, by) {
            return;
        }
        self.bytes += cost(key);
        if self.bytes > QUEUE_BYTES_MAX {
            self.queue.clear();
            self.bytes = 0;
            self.queue.push_back(Change::Lost);
        } else {
            self.queue.push_back(Change::Key { key: key.into(), class, what, by });
        }
    }

    /// Several changes of one key by one operation are one: says whether this one belongs to the last.
    fn joins_last(&mut self, key: &[u8], class: Class, what: What, by: By) -> bool {
        let Some(Change::Key { key: last, class: its_class, what: it, by: its_by }) = self.queue.back_mut() else {
            return false;
        };
        if *its_by != by || **last != *key {
            return false;
        }
        let both = match (*it, what) {
            (What::Created, What::Changed) => What::Created,
            (What::Changed, What::Changed) | (What::Removed, What::Created) => What::Changed,
            (What::Changed, What::Removed) => What::Removed,
            _ => return false,
        };
        (*its_class, *it) = (class, both);
        true
    }

    pub(in crate::store) fn poll(&mut self) -> Option<Change> {
        let change = self.queue.pop_front()?;
        if let Change::Key { key, .. } = &change {
            self.bytes -= cost(key);
        }
        Some(change)
    }
}

/// A queued key costs its bytes and its subject in the queue.
fn cost(key: &[u8]) -> usize {
    key.len() + size_of::<Change>()
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::{Dot, ReplicaId};

    use super::*;
    use crate::Limits;
    use crate::store::{Store, Writer};

    const WALL: u64 = 1_700_000_000_000;

    fn change(key: &[u8], class: Class, what: What, by: By) -> Change {
        Change::Key { key: key.into(), class, what, by }
    }

    fn store(id: u64) -> Store {
        let mut store = Store::new(ReplicaId::new(id), Limits::default(), 1_000);
        store.record_changes(true);
        store
    }

    fn write(store: &mut Store, wall: u64, write: impl FnOnce(&mut Writer<'_>)) {
        store.write(wall, 0, write);
    }

    fn told(store: &mut Store) -> Vec<(String, Class, What, By)> {
        let told = std::iter::from_fn(|| store.poll_change());
        let told = told.map(|change| match change {
            Change::Key { key, class, what, by } => (String::from_utf8(key.into()).unwrap(), class, what, by),
            Change::Lost => panic!("so little cannot be too much"),
        });
        told.collect()
    }

    /// Brings what one store has written to another.
    fn bring(from: &mut Store, to: &mut Store) {
        from.seal();
        let id = from.id();
        while let Some(sealed) = from.poll_sealed() {
            to.apply(Dot::new(id, sealed.seq), &sealed.body).expect("sound");
        }
    }

    #[test]
    fn a_watcher_that_falls_behind_is_told_so_once_and_then_goes_on() {
        let mut changes = Changes::default();
        let tell = |changes: &mut Changes, key: &[u8]| changes.tell(key, Class::Text, What::Changed, By::Peer);
        tell(&mut changes, b"unwatched");
        assert_eq!(changes.poll(), None);
        changes.record(true);
        let key = vec![0; QUEUE_BYTES_MAX / 2];
        for at in 0..4 {
            let mut key = key.clone();
            key[0] = at;
            tell(&mut changes, &key);
        }
        assert_eq!(changes.poll(), Some(Change::Lost));
        assert_eq!(changes.poll(), None);
        tell(&mut changes, b"k");
        assert_eq!(changes.poll(), Some(change(b"k", Class::Text, What::Changed, By::Peer)));
    }

    #[test]
    fn a_change_says_what_became_of_the_key_and_who_did_it() {
        let (mut a, mut b) = (store(1), store(2));
        let key = |what, class, by| vec![("k".to_owned(), class, what, by)];
        write(&mut a, WALL, |w| {
            w.insert(b"k", Class::Set, b"x", b"").unwrap();
            w.insert(b"k", Class::Set, b"y", b"").unwrap();
        });
        assert_eq!(told(&mut a), key(What::Created, Class::Set, By::Client), "two members, one operation");
        bring(&mut a, &mut b);
        assert_eq!(told(&mut b), key(What::Created, Class::Set, By::Peer));
        write(&mut b, WALL, |w| w.set(b"k", b"v").unwrap());
        assert_eq!(told(&mut b), key(What::Changed, Class::Text, By::Client));
        bring(&mut b, &mut a);
        assert_eq!(told(&mut a), key(What::Changed, Class::Text, By::Peer));
        write(&mut a, WALL, |w| assert_eq!(w.clear(), Ok(1)));
        assert_eq!(told(&mut a), key(What::Removed, Class::Text, By::Client));
        bring(&mut a, &mut b);
        assert_eq!(told(&mut b), key(What::Removed, Class::Text, By::Peer));
    }

    #[test]
    fn an_end_is_told_once_whoever_removes_what_is_left_and_however_early() {
        let (mut a, mut b) = (store(1), store(2));
        let expired = |key: &str| (key.to_owned(), Class::Text, What::Expired, By::Time);
        for key in [b"k", b"l", b"m"] {
            write(&mut a, WALL, |w| w.set_until(key, b"v", Some(WALL + 100)).unwrap());
        }
        bring(&mut a, &mut b);
        told(&mut a);
        told(&mut b);
        // Before anybody has looked for what has ended, one is written and one removed.
        write(&mut a, WALL + 100, |w| {
            w.set(b"k", b"again").unwrap();
            w.remove_expired(b"l").unwrap();
        });
        let created = ("k".to_owned(), Class::Text, What::Created, By::Client);
        assert_eq!(told(&mut a), [expired("k"), created, expired("l")]);
        a.lapse(WALL + 100, usize::MAX, |_| u64::MAX);
        assert_eq!(told(&mut a), [expired("m")]);
        // The other one has looked: removals tell nothing more.
        b.lapse(WALL + 100, usize::MAX, |_| u64::MAX);
        let mut ended = told(&mut b);
        ended.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(ended, [expired("k"), expired("l"), expired("m")]);
        bring(&mut a, &mut b);
        assert_eq!(told(&mut b), [("k".to_owned(), Class::Text, What::Created, By::Peer)]);
    }
}
