//! The queue of changed keys, read by the watchers of the store.

use std::collections::VecDeque;

/// Bytes of keys queued before the watcher is told that it must look at everything again.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// What a watcher of the store is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something under this key changed.
    Key(Box<[u8]>),
    /// More changed than the queue holds: read everything again.
    Lost,
}

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Changes {
    on: bool,
    bytes: usize,
    queue: VecDeque<Change>,
}

impl Changes {
    pub(in crate::store) fn record(&mut self, on: bool) {
        *self = Self { on, ..Self::default() };
    }

    pub(in crate::store) fn is_on(&self) -> bool {
        self.on
    }

    /// Bytes queued, and what they never exceed.
    pub(in crate::store) fn queue(&self) -> (usize, usize) {
        (self.bytes, QUEUE_BYTES_MAX)
    }

    pub(in crate::store) fn push(&mut self, key: &[u8]) {
        if !self.on || self.queue.back() == Some(&Change::Lost) {
            return;
        }
        if matches!(self.queue.back(), Some(Change::Key(last)) if **last == *key) {
            return;
        }
        self.bytes += cost(key);
        if self.bytes > QUEUE_BYTES_MAX {
            self.queue.clear();
            self.bytes = 0;
            self.queue.push_back(Change::Lost);
        } else {
            self.queue.push_back(Change::Key(key.into()));
        }
    }

    pub(in crate::store) fn poll(&mut self) -> Option<Change> {
        let change = self.queue.pop_front()?;
        if let Change::Key(key) = &change {
            self.bytes -= cost(key);
        }
        Some(change)
    }
}

/// A queued key costs its bytes and its place in the queue.
fn cost(key: &[u8]) -> usize {
    key.len() + size_of::<Change>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_falls_behind_is_told_so_once_and_then_goes_on() {
        let mut changes = Changes::default();
        changes.push(b"unwatched");
        assert_eq!(changes.poll(), None);
        changes.record(true);
        let key = vec![0; QUEUE_BYTES_MAX / 2];
        for at in 0..4 {
            let mut key = key.clone();
            key[0] = at;
            changes.push(&key);
        }
        assert_eq!(changes.poll(), Some(Change::Lost));
        assert_eq!(changes.poll(), None);
        changes.push(b"k");
        assert_eq!(changes.poll(), Some(Change::Key(b"k".as_slice().into())));
    }
}
