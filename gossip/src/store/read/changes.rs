//! The queue of changed keys, read by the watchers of the store.
//!
//! A change is told as clients see it: what was visible under the key before, beside what is visible after it. Whoever
//! changes a key has it looked at first ([`Changes::look`]) and told of afterwards ([`Changes::push`]); while nobody listens
//! both come to one comparison.

use std::collections::VecDeque;

use crate::store::cell::lapse::Lapse;
use crate::store::cell::lifetime::Lifetime;
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
    /// The bound on memory: it was evicted here.
    Bound,
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
    /// What was seen before the change that is being made, and who makes it.
    before: Before,
    by: By,
    /// The time as of which is told: what is visible, and was before.
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

    /// The time as of which is told.
    pub(in crate::store) fn now(&self) -> u64 {
        self.now
    }

    /// It is another time by now. What shows again because that is an earlier one, the caller tells of.
    pub(in crate::store) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// The time has run back from `then`, and what a key shows may be something else again.
    pub(in crate::store) fn show_again(&mut self, key: &[u8], entry: Entry<'_>, then: u64) {
        let now = self.now;
        let (of_key, of_fields) = (Lifetime::of(entry, now), entry.field_deadline_from(now + 1));
        if !of_key.deadlines().chain(of_fields).any(|deadline| now < deadline && deadline <= then) {
            return;
        }
        if let Some(class) = shown(entry, now) {
            let what = if shown(entry, then).is_some() { What::Changed } else { What::Created };
            self.tell(key, class, what, By::Time);
        }
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

    /// The change that is being made is not the work of a client.
    pub(in crate::store) fn is_by(&mut self, by: By) {
        self.by = by;
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
mod tests;
