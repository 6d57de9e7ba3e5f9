//! A listener on the wire and on disks, apart from those who talk and write: one dot must never name two events.
//!
//! What goes over streams is sealed and cannot be listened to; it is on the disk of whoever received it, as transfers, which
//! hold cells with their dots. So a thorough listener knows the cells of events too, and a cell of a transfer must be that
//! of its event.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use cahoots_crdt::{Dot, ReplicaId};
use cahoots_gossip::Limits;
use cahoots_gossip::store::{CarriedCell, cells_of_event, cells_of_transfer};
use cahoots_gossip::wire::{ClusterKey, Envelope, Kind, carried};

/// Every event seen on any link: of its dot, and of which of its chunks, the hash.
#[derive(Debug)]
pub struct Listener {
    envelope: Envelope,
    seen: BTreeMap<(Dot, Option<u32>), u64>,
    /// Of every dot and place the content, if cells are compared; and how many came in transfers.
    cells: Option<BTreeMap<(Dot, u64), u64>>,
    transferred: u64,
    /// The dots that were seen to name another event than before.
    pub forks: Vec<Dot>,
}

impl Listener {
    /// Of a cluster of this name and key.
    #[must_use]
    pub fn new(cluster: &str, key: Option<&ClusterKey>) -> Self {
        let envelope = Envelope::new(cluster, key, ReplicaId::new(0), 0);
        Self { envelope, seen: BTreeMap::new(), cells: None, transferred: 0, forks: Vec::new() }
    }

    /// The same, and what disks hold can be compared with what is heard.
    #[must_use]
    pub fn thorough(cluster: &str) -> Self {
        Self { cells: Some(BTreeMap::new()), ..Self::new(cluster, None) }
    }

    /// Listens to a datagram that leaves an engine, or its membership.
    ///
    /// # Panics
    /// If it is no datagram of this cluster.
    pub fn hear(&mut self, datagram: &[u8]) {
        let (kind, payload) = self.envelope.unwrap(datagram).expect("members send sound datagrams");
        if kind != Kind::Engine {
            return;
        }
        for (dot, chunk, bytes) in carried(&payload).expect("engines send whole messages") {
            self.event(dot, chunk, bytes);
        }
    }

    /// Listens to an event, or a chunk of one.
    ///
    /// # Panics
    /// If cells are compared and it is no event.
    pub fn event(&mut self, dot: Dot, chunk: Option<u32>, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        let known = self.seen.insert((dot, chunk), hash);
        if known.is_some_and(|known| known != hash) {
            self.forks.push(dot);
        }
        let Some(cells) = self.cells.as_mut().filter(|_| known.is_none() && chunk.is_none()) else { return };
        let written = cells_of_event(dot, bytes, &Limits::default()).expect("members write sound events");
        let written: BTreeMap<(Dot, u64), u64> = written.iter().map(|cell| ((dot, cell.place), cell.content)).collect();
        // A transfer may have been first.
        let before = cells.range((dot, 0)..=(dot, u64::MAX));
        if before.into_iter().any(|(at, content)| written.get(at) != Some(content)) {
            self.forks.push(dot);
        }
        cells.extend(written);
    }

    /// Listens to a transfer, if cells are compared.
    ///
    /// # Panics
    /// If it is none.
    pub fn transfer(&mut self, bytes: &[u8]) {
        self.transferred += self.image(bytes);
    }

    /// The same of the image of a bucket, which is no transfer from another; how many cells it holds.
    ///
    /// # Panics
    /// If it is none.
    pub fn image(&mut self, bytes: &[u8]) -> u64 {
        let Some(cells) = &mut self.cells else { return 0 };
        let mut count = 0;
        for CarriedCell { dot, place, content } in
            cells_of_transfer(bytes, &Limits::default()).expect("members write sound transfers")
        {
            count += 1;
            let whole = self.seen.contains_key(&(dot, None));
            match cells.entry((dot, place)) {
                Entry::Occupied(known) if *known.get() == content => {}
                // Not what the event wrote there, or it wrote nothing there.
                Entry::Occupied(_) => self.forks.push(dot),
                Entry::Vacant(_) if whole => self.forks.push(dot),
                Entry::Vacant(unknown) => drop(unknown.insert(content)),
            }
        }
        count
    }

    /// How many cells came in transfers.
    #[must_use]
    pub fn transferred(&self) -> u64 {
        self.transferred
    }

    /// How many different events were heard.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.seen.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cahoots_gossip::store::{BUCKETS, Store};

    const A: ReplicaId = ReplicaId::new(1);

    fn store(value: &[u8]) -> Store {
        let mut store = Store::new(A, Limits::default(), 1000);
        store.write(1_000, 0, |writer| writer.set(b"k", value)).expect("it is short");
        store.seal();
        store
    }

    #[test]
    fn a_dot_that_names_one_thing_in_an_event_and_another_in_a_transfer_is_noticed_whichever_comes_first() {
        let (mut one, mut other) = (store(b"one"), store(b"other"));
        let event = one.poll_sealed().expect("it wrote").body;
        let transfer = |store: &mut Store| store.encode_transfer(0, &[0; BUCKETS], usize::MAX, usize::MAX).0;
        let (same, forked) = (transfer(&mut one), transfer(&mut other));
        for (transfer, forks) in [(&same, 0), (&forked, 1)] {
            for event_first in [true, false] {
                let mut listener = Listener::thorough("c");
                if event_first {
                    listener.event(Dot::new(A, 1), None, &event);
                }
                listener.transfer(transfer);
                if !event_first {
                    listener.event(Dot::new(A, 1), None, &event);
                }
                assert_eq!((listener.forks.len(), listener.transferred()), (forks, 1));
            }
        }
    }
}
