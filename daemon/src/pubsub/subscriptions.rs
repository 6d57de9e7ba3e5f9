//! What one client listens to.

use std::collections::BTreeSet;

use super::Topic;

/// Bytes of the names that one client may listen to, with what each costs beside.
pub const CLIENT_BYTES_MAX: usize = 16 << 20;
/// What a name costs beside its bytes: its place here, and at the daemon.
const NAME_BYTES: usize = 128;

/// What one client listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Box<[u8]>>; 3],
    bytes: usize,
}

/// What a name costs.
pub(super) fn cost(name: &[u8]) -> usize {
    name.len() + NAME_BYTES
}

impl Subscriptions {
    /// How many names of this kind there are.
    #[must_use]
    pub fn len(&self, topic: Topic) -> usize {
        self.names[topic as usize].len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    /// Whether it listens to this.
    #[must_use]
    pub fn has(&self, topic: Topic, name: &[u8]) -> bool {
        self.names[topic as usize].contains(name)
    }

    /// What it costs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The names of this kind, in their order.
    pub fn names(&self, topic: Topic) -> impl Iterator<Item = &[u8]> {
        self.names[topic as usize].iter().map(|name| &**name)
    }

    /// Says whether it is new.
    pub(super) fn insert(&mut self, topic: Topic, name: &[u8]) -> bool {
        let is_new = self.names[topic as usize].insert(name.into());
        self.bytes += if is_new { cost(name) } else { 0 };
        is_new
    }

    /// Says whether it was there.
    pub(super) fn remove(&mut self, topic: Topic, name: &[u8]) -> bool {
        let was_there = self.names[topic as usize].remove(name);
        self.bytes -= if was_there { cost(name) } else { 0 };
        was_there
    }
}
