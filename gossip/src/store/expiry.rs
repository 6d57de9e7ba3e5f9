//! What becomes of keys that have expired: found at their deadlines, told of, removed by one replica.
//!
//! Reads hide what has expired by themselves ([`Store::at`]). Here it is found, so that those who watch are told, keys are
//! counted as clients see them, and memory comes back. A key whose removal is another replica's is put off: when its
//! turn comes here, it is mostly gone.

use super::Store;
use super::cell::hash_of;
use super::cell::lifetime::Lifetime;
use super::memory::bucket::{BUCKETS, bucket_of};
use super::memory::deadlines::prefix_of;
use super::memory::entry::Entry;
use super::read::changes::{By, What};
use super::read::view::View;

/// What was found to have expired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lapsed {
    /// Keys to be removed here, wholly or in part.
    pub removals: Vec<Box<[u8]>>,
    /// How many keys there are less for clients.
    pub keys: usize,
}

impl Store {
    /// The first deadline, or a time before it; `None` if there is none. O(1).
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.draft.earliest()
    }

    /// It is wall time `wall_ms`: those who watch changes are told of what is visible now. If the clock has run back, what it
    /// had hidden is visible again, and they are told of that. O(1), else O(buckets + keys that were found to have expired).
    #[inline]
    pub fn see_time(&mut self, wall_ms: u64) {
        let (now, then) = (self.now(wall_ms), self.changes.now());
        self.changes.set_now(now);
        if now < then {
            self.look_back(now, then);
        }
    }

    #[cold]
    fn look_back(&mut self, now: u64, then: u64) {
        let Self { buckets, changes, draft, .. } = self;
        for (index, bucket) in buckets.iter_mut().enumerate() {
            bucket.keys.look_back(now);
            draft.expect_deadline(draft.earliest().into_iter().chain(bucket.keys.next_deadline()).min());
            if changes.is_on() {
                for prefix in bucket.keys.due(then) {
                    let keys = bucket.keys.beginning_with(index, prefix);
                    keys.for_each(|(key, entry)| changes.show_again(key, entry, then));
                }
            }
        }
    }

    /// Takes note of what has expired by wall time `wall_ms`, of `max` keys at most; those who watch changes are told once
    /// of each. Seals the window if there is something. `wait` says how many milliseconds after its deadline a key, by its
    /// hash, is to be removed here: those whose time has come are returned, the others are put off. O(buckets + keys
    /// looked at).
    pub fn lapse(&mut self, wall_ms: u64, max: usize, wait: impl Fn(u64) -> u64) -> Lapsed {
        let now = self.now(wall_ms);
        if self.group.is_some() {
            return Lapsed::default(); // what the group writes stays visible to it
        }
        if self.next_deadline().is_some_and(|next| next <= now) {
            // Nothing that is hidden is in an open window, so what removes it has no event to change.
            self.seal();
        }
        self.see_time(wall_ms);
        let (mut lapsed, mut looked) = (Lapsed::default(), 0);
        let mut next = None;
        for index in 0..BUCKETS {
            while looked < max
                && let Some(prefix) = self.buckets[index].keys.pop_deadline(now)
            {
                looked += 1;
                self.lapse_keys(index, prefix, now, &wait, &mut lapsed);
            }
            next = next.into_iter().chain(self.buckets[index].keys.next_deadline()).min();
        }
        self.draft.expect_deadline(next);
        lapsed
    }

    fn lapse_keys(&mut self, index: usize, prefix: u32, now: u64, wait: &impl Fn(u64) -> u64, lapsed: &mut Lapsed) {
        let bucket = &self.buckets[index];
        let (mut found, mut next) = (Vec::new(), None);
        for (key, entry) in bucket.keys.beginning_with(index, prefix) {
            next = next.into_iter().chain(entry.field_deadline_from(now + 1)).min();
            match View::new(bucket, entry, (hash_of(key), key), now) {
                Some(view) if !view.is_lapsed() => {} // the deadline was replaced
                view => {
                    let passed = Lifetime::of(entry, now).deadlines().filter(|it| *it <= now).max();
                    // Of what is left of a key without data, a deadline to come is of no use.
                    let passed = passed.or(entry.field_deadline_from(0).filter(|it| *it <= now));
                    let shown = view.map(|view| view.class());
                    found.push((Box::<[u8]>::from(key), shown, entry.class(), passed.unwrap_or(now)));
                }
            }
        }
        if let Some(next) = next {
            self.buckets[index].keys.put_off(prefix, next);
        }
        for (key, shown, held, passed) in found {
            let is_hidden = shown.is_none() && held.is_some();
            let is_new = self.buckets[index].keys.note_hidden(prefix, is_hidden);
            lapsed.keys += usize::from(is_new && is_hidden);
            if let Some(class) = shown.or(held).filter(|_| is_new) {
                let what = if is_hidden { What::Expired } else { What::Changed };
                self.changes.tell(&key, class, what, By::Time);
            }
            let due = passed.saturating_add(wait(hash_of(&key)));
            if due <= now {
                // Entries of the key for several of its deadlines follow each other.
                if lapsed.removals.last() != Some(&key) {
                    lapsed.removals.push(key);
                }
            } else {
                self.buckets[index].keys.put_off(prefix, due);
            }
        }
    }

    /// Whether a key may end by itself. O(1).
    #[must_use]
    pub fn may_expire(&self, key: &[u8]) -> bool {
        let hash = hash_of(key);
        let keys = &self.buckets[bucket_of(hash)].keys;
        keys.volatile() > 0 && keys.get(hash, key).is_some_and(Entry::has_attributes)
    }

    /// Has the removal of a key be tried again in so many milliseconds.
    pub fn put_off(&mut self, key: &[u8], wall_ms: u64, wait: u64) {
        let (hash, until) = (hash_of(key), self.now(wall_ms) + wait);
        self.buckets[bucket_of(hash)].keys.put_off(prefix_of(hash), until);
        self.draft.expect_deadline(self.draft.earliest().into_iter().chain([until]).min());
    }
}
