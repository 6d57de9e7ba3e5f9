//! All peers, and which of them have something due or to send: a step costs what it touches, not the cluster's size.
//!
//! Borrowing a peer for change leaves its id here, and the index is brought up to date before it is next used.

use std::collections::{BTreeMap, BTreeSet};

use cahoots_crdt::ReplicaId;

use super::peer::Peer;

#[derive(Debug, Default)]
pub(in crate::engine) struct Peers {
    all: BTreeMap<ReplicaId, Peer>,
    /// Those borrowed for change since the index was made.
    touched: Vec<ReplicaId>,
    /// What is due at each peer first.
    timers: BTreeSet<(u64, ReplicaId)>,
    /// Those with something to send.
    output: BTreeSet<ReplicaId>,
    live: usize,
}

impl Peers {
    pub(in crate::engine) fn get(&self, id: &ReplicaId) -> Option<&Peer> {
        self.all.get(id)
    }

    pub(in crate::engine) fn get_mut(&mut self, id: &ReplicaId) -> Option<&mut Peer> {
        let peer = self.all.get_mut(id)?;
        if !std::mem::replace(&mut peer.touched, true) {
            self.touched.push(*id);
        }
        Some(peer)
    }

    /// Has a peer looked at again, for whom there may be something to send.
    pub(in crate::engine) fn touch(&mut self, id: ReplicaId) {
        self.get_mut(&id);
    }

    pub(in crate::engine) fn contains_key(&self, id: &ReplicaId) -> bool {
        self.all.contains_key(id)
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = (&ReplicaId, &Peer)> {
        self.all.iter()
    }

    pub(in crate::engine) fn keys(&self) -> impl Iterator<Item = &ReplicaId> {
        self.all.keys()
    }

    pub(in crate::engine) fn values(&self) -> impl Iterator<Item = &Peer> {
        self.all.values()
    }

    /// The peer of this id, if need be made.
    pub(in crate::engine) fn get_or_insert_with(&mut self, id: ReplicaId, make: impl FnOnce() -> Peer) -> &mut Peer {
        let live = &mut self.live;
        self.all.entry(id).or_insert_with(|| {
            let peer = make();
            *live += usize::from(peer.live);
            peer
        });
        self.get_mut(&id).expect("it is there now")
    }

    /// Takes a peer for alive or dead; says whether that is news.
    pub(in crate::engine) fn set_live(&mut self, id: ReplicaId, live: bool) -> bool {
        let Some(peer) = self.get_mut(&id).filter(|peer| peer.live != live) else { return false };
        peer.live = live;
        if live {
            self.live += 1;
        } else {
            self.live -= 1;
        }
        true
    }

    pub(in crate::engine) fn remove(&mut self, id: &ReplicaId) -> Option<Peer> {
        let peer = self.all.remove(id)?;
        self.live -= usize::from(peer.live);
        self.output.remove(id);
        self.touched.retain(|it| it != id);
        if let Some(due) = peer.indexed {
            self.timers.remove(&(due, *id));
        }
        Some(peer)
    }

    /// How many are alive.
    pub(in crate::engine) fn live(&self) -> usize {
        self.live
    }

    pub(in crate::engine) fn live_ids(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.iter().filter(|(_, peer)| peer.live).map(|(id, _)| *id)
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.all.len()
    }

    /// Brings the index up to date, own events being sealed up to `upto`.
    pub(in crate::engine) fn settle(&mut self, now: u64, upto: u64) {
        for id in std::mem::take(&mut self.touched) {
            let Some(peer) = self.all.get_mut(&id) else { continue };
            peer.touched = false;
            let due = peer.due();
            if due != peer.indexed {
                peer.indexed.into_iter().for_each(|old| _ = self.timers.remove(&(old, id)));
                due.into_iter().for_each(|new| _ = self.timers.insert((new, id)));
                peer.indexed = due;
            }
            if peer.has_output(now, upto) {
                self.output.insert(id);
            } else {
                self.output.remove(&id);
            }
        }
        // Acknowledgements whose time has come.
        for (_, id) in self.timers.range(..=(now, ReplicaId::new(u64::MAX))) {
            if self.all[id].has_output(now, upto) {
                self.output.insert(*id);
            }
        }
    }

    /// Those with something to send, as of the last [`Peers::settle`]: first those after `last`, so that all have turns.
    pub(in crate::engine) fn with_output(&self, last: ReplicaId) -> Vec<ReplicaId> {
        let after = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
        self.output.range(after).chain(self.output.range(..=last)).copied().collect()
    }

    /// When something is due at a peer first.
    pub(in crate::engine) fn due(&self) -> Option<u64> {
        let indexed = self.timers.iter().find(|(_, id)| !self.all[id].touched).map(|(due, _)| *due);
        let touched = self.touched.iter().filter_map(|id| self.all.get(id)?.due()).min();
        indexed.into_iter().chain(touched).min()
    }

    /// The peers at which something is due.
    pub(in crate::engine) fn due_at(&mut self, now: u64, upto: u64) -> Vec<ReplicaId> {
        self.settle(now, upto);
        self.timers.range(..=(now, ReplicaId::new(u64::MAX))).map(|(_, id)| *id).collect()
    }
}
