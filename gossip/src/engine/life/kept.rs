//! How far others have this replica's events on their disks, and this one theirs.
//!
//! Nobody tells unasked: a caller who waits for disks elsewhere has peers asked, again and again for as long as it waits.
//! A peer answers with how far its disk is, and once more when that has grown, if it has been asked since. A replica
//! without a disk does not answer.

use cahoots_crdt::{ReplicaId, VersionVector};

use crate::engine::{Event, Replica};
use crate::wire::Message;

/// What is known of disks between this replica and one peer.
#[derive(Debug, Default)]
pub(in crate::engine) struct Kept {
    /// The peer has own events up to here on disk.
    pub(in crate::engine) upto: u64,
    /// It would like to know how far its events are on disk here.
    asked: bool,
}

impl Replica {
    /// How many live peers have own events up to `seq` on disk, as far as they were asked.
    #[must_use]
    pub fn kept_by(&self, seq: u64) -> usize {
        self.peers.values().filter(|peer| peer.live && peer.kept.upto >= seq).count()
    }

    /// Asks every live peer that is not known to have own events up to `seq` on disk how far it is.
    pub fn ask_kept(&mut self, seq: u64) {
        let open = self.peers.iter().filter(|(_, peer)| peer.live && peer.kept.upto < seq);
        let asked: Vec<ReplicaId> = open.map(|(id, _)| *id).collect();
        asked.into_iter().for_each(|peer| self.tell(peer, &Message::AskKept));
    }

    /// The disk has all of this: whoever has asked is told.
    pub fn note_kept(&mut self, versions: VersionVector) {
        let asked = self.peers.iter().filter(|(_, peer)| peer.kept.asked).map(|(id, _)| *id).collect::<Vec<_>>();
        self.kept = Some(versions);
        asked.into_iter().for_each(|peer| self.tell_kept(peer));
    }

    pub(in crate::engine) fn on_ask_kept(&mut self, sender: ReplicaId) {
        if self.kept.is_some() {
            if let Some(peer) = self.peers.get_mut(&sender) {
                peer.kept.asked = true;
            }
            self.tell_kept(sender);
        }
    }

    pub(in crate::engine) fn on_kept(&mut self, sender: ReplicaId, upto: u64) {
        if upto > self.store.certain_seq() {
            return self.identity_conflict(sender); // nobody was told of so much
        }
        if let Some(peer) = self.peers.get_mut(&sender).filter(|peer| peer.kept.upto < upto) {
            peer.kept.upto = upto;
            self.emit(Event::Kept { peer: sender, seq: upto });
        }
    }

    fn tell_kept(&mut self, to: ReplicaId) {
        let upto = self.kept.as_ref().map_or(0, |kept| kept.get(to));
        if let Some(peer) = self.peers.get_mut(&to) {
            // Once it has everything there is, it has to ask again.
            peer.kept.asked = upto < self.store.version_vector().get(to);
        }
        self.tell(to, &Message::Kept { upto });
    }
}
