//! Who has written to a stream, and how far: what finds the entries that a reader has not seen without looking at all.
//!
//! It says of each replica an id above which it has written none of the entries that were ever here; that one itself may
//! be gone. Derived from cells, and never replicated.

use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use crate::store::cell::Element;
use crate::store::cell::stream::StreamId;

/// In the order of the replicas' ids.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Origins(SmallVec<[(ReplicaId, StreamId); 2]>);

impl Origins {
    /// Takes in who wrote an element of this name.
    pub(in crate::store) fn note(&mut self, name: &[u8], element: &Element<'_>) {
        let Some(id) = StreamId::from_bytes(name) else { return };
        for (dot, _) in element.value.iter() {
            match self.0.binary_search_by_key(&dot.replica, |(replica, _)| *replica) {
                Ok(at) => self.0[at].1 = self.0[at].1.max(id),
                Err(at) => self.0.insert(at, (dot.replica, id)),
            }
        }
    }

    /// Whether they say as much as an element of this name does.
    pub(in crate::store) fn cover(&self, name: &[u8], element: &Element<'_>) -> bool {
        let upto = |replica| self.iter().find(|(it, _)| *it == replica).map(|(_, upto)| upto);
        StreamId::from_bytes(name).is_none_or(|id| element.value.iter().all(|(dot, _)| upto(dot.replica) >= Some(id)))
    }

    /// Each with the highest id that it wrote.
    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = (ReplicaId, StreamId)> + '_ {
        self.0.iter().copied()
    }

    /// Bytes of memory taken beside itself.
    pub(in crate::store) fn memory(&self) -> usize {
        if self.0.spilled() { self.0.capacity() * size_of::<(ReplicaId, StreamId)>() } else { 0 }
    }
}
