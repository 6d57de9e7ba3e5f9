//! Who this replica is: going on from an image, and finding out that its id is in use elsewhere.
//!
//! An id may be continued only from an image of the store that holds everything the replica ever told anyone; only the
//! storage can know, so the caller decides, and a resumed replica is on probation until every live peer has been seen
//! to agree with it. Proof against it is any of:
//!
//! - a peer has, or acknowledges, events of it beyond its own last;
//! - a peer, or an event that comes back, shows that one of its dots names another event there;
//! - on probation: a peer has applied the same and is in another state.
//!
//! Then [`Event::IdentityConflict`] is reported and the replica falls silent: it mints, tells and applies nothing until
//! [`Replica::take_new_id`], which whoever drives it calls at once. What was minted on probation is minted anew
//! under the new id, and what the old one had really written comes from the peers as from any dead replica.

use std::collections::BTreeMap;

use cahoots_crdt::{Dot, ReplicaId};

use super::assembly::Assemblies;
use super::peer::Peer;
use super::reconcile::Transfers;
use super::{Event, Now, Replica, ReplicaConfig};
use crate::store::{Renamed, Store};
use crate::wire::{Envelope, Message};

impl Replica {
    /// A replica that goes on from an image of a store. With the image's own id it continues as that replica, which is
    /// allowed only if the image holds everything that was ever told to anyone under it, acknowledgements of others'
    /// events included. Otherwise `id` must never have been used: the data stays, and the old id is a dead replica's.
    #[must_use]
    pub fn resume(config: ReplicaConfig, mut image: Store, id: ReplicaId, now: Now) -> Self {
        let mut replica = Self::new(config, id, now);
        image.resume(id, replica.config.limits.clone(), super::transmit::event_bytes_max(&replica.config, &replica.envelope));
        replica.store = image;
        replica.log_sealed();
        // Answers to requests of an earlier process under this id are not to be taken for answers to these.
        replica.requests = now.wall << 20;
        replica
    }

    /// The store as a disk would keep it. Seals the window.
    pub fn image(&mut self) -> Store {
        self.store.seal();
        self.log_sealed();
        self.store.clone()
    }

    /// Whether it is waiting for [`Replica::take_new_id`].
    #[must_use]
    pub fn needs_new_id(&self) -> bool {
        self.conflicted
    }

    /// Goes on under a fresh id. Peers learn of it as of a new replica; the old one is dead.
    pub fn take_new_id(&mut self, now: Now, id: ReplicaId) -> Renamed {
        self.log_sealed();
        let renamed = self.store.rename(id);
        self.log.cut(renamed.old, renamed.kept);
        self.envelope = Envelope::new(&self.config.cluster, self.config.key.as_ref(), id, self.config.nonce_salt);
        self.assemblies = Assemblies::new(self.config.assembly_bytes_max);
        self.reconciliation = None;
        self.transfers = Transfers::new(self.config.transfer_bytes_max);
        self.pulls.clear();
        self.reach.clear();
        self.conflicted = false;
        self.agreed_with.clear();
        self.counters.identities_taken += 1;
        self.log_sealed();
        self.peers.remove(&id);
        let known: Vec<(ReplicaId, std::net::SocketAddr, bool)> =
            self.peers.iter().map(|(id, peer)| (*id, peer.addr, peer.live)).collect();
        self.peers = BTreeMap::new();
        for (peer, addr, live) in known {
            // Nothing is known of how far anybody has the new id's events: they are sent as new ones are.
            let mut anew = Peer::new(addr, 0);
            anew.live = live;
            self.peers.insert(peer, anew);
            self.send_digest(now, peer);
        }
        renamed
    }

    /// This replica's id is in use elsewhere, by what `peer` told.
    pub(super) fn identity_conflict(&mut self, peer: ReplicaId) {
        if !self.conflicted {
            self.conflicted = true;
            // An open window is not sealed under an id that is not this replica's.
            self.store.doubt();
            self.emit(Event::IdentityConflict { peer });
        }
    }

    /// An event that is known already has come again: the two must be the same.
    pub(super) fn compare(&mut self, sender: ReplicaId, event: Dot, body: &[u8]) {
        if self.log.get(event).is_none_or(|known| **known == *body) {
            return;
        }
        if event.replica == self.id() {
            return self.identity_conflict(sender);
        }
        self.counters.events_forked += 1;
        self.emit(Event::Forked { origin: event.replica, seq: event.seq });
        self.tell(event.replica, &Message::Forked { seq: event.seq });
    }

    /// A peer has applied the same and is in the same state, or not.
    pub(super) fn note_agreement(&mut self, peer: ReplicaId, agree: bool) {
        let Some(minted) = self.store.provisional_events() else { return };
        if !agree {
            if minted > 0 {
                self.identity_conflict(peer);
            }
            return;
        }
        self.agreed_with.insert(peer);
        if self.peers.iter().all(|(id, peer)| !peer.live || self.agreed_with.contains(id)) {
            self.agreed_with.clear();
            self.store.trust();
        }
    }
}
