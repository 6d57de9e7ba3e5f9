//! What one operation works on, and what it goes through before it changes something.

use cahoots_crdt::Dot;

use super::window::Window;
use super::writer::Writer;
use crate::Hlc;
use crate::store::Store;
use crate::store::cell::{Dots, Path};
use crate::store::memory::bucket::{Bucket, bucket_of};
use crate::store::memory::keys::Draft;
use crate::store::read::changes::{By, Changes};

impl Writer<'_> {
    /// The dot of what is written now.
    pub(super) fn open_event(&self) -> Dot {
        Dot::new(self.store.id, self.store.sealed_seq() + 1)
    }

    /// What an operation at `path` works on, which writes a value of so many bytes if it writes.
    pub(in crate::store) fn begin(&mut self, path: &Path<'_>, value_bytes: usize) -> Parts<'_> {
        self.bytes += path.key.len() + path.name.len() + value_bytes;
        let next = self.open_event();
        let Store { buckets, clock, window, spare, draft, changes, uses, .. } = &mut *self.store;
        let opening = Opening { window, spare, clock, wall_ms: self.wall_ms, next };
        let bucket = &mut buckets[bucket_of(path.key_hash)];
        if let Some(uses) = uses {
            let how = bucket.keys.how_used(path.key_hash, path.key);
            uses.note(path.key_hash, bucket.keys.len() + 1, self.wall_ms, how);
        }
        changes.look(bucket.keys.subject(path), By::Client);
        Parts { bucket, opening, draft, changes }
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
    pub(super) fn opened(self) -> (&'a mut Window, Dot) {
        (self.window.as_mut().expect("the operation has opened it"), self.next)
    }
}
