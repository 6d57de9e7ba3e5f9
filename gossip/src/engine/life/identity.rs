//! Who this replica is: going on from a loaded store, and finding out that its id is in use elsewhere.
//!
//! An id may be continued only from a disk that holds everything the replica ever told anyone. Only the storage can know, so the caller decides; but disks lie and are copied, so a resumed replica is on *probation* until
//! every live peer has said what it has. Writes go on meanwhile, and nobody is told of them. Proof against the id is:
//!
//! - a peer has, or acknowledges, own events beyond those that anybody can have been told of;
//! - a peer shows that one dot of this replica names another event there.
//!
//! Then [`Event::IdentityConflict`] is reported and the replica falls silent: it mints, tells and applies nothing until
//! [`Replica::take_new_id`], which whoever drives it calls at once. What was minted on probation is minted anew under
//! the new id, and what the old one had really written comes from the peers as from any dead replica.
//!
//! Price: a peer that was away during the probation may still know better. Then what was told since bears dots that
//! name two events, each applied by some. That is told loudly by all who see it; where states differ at equal version
//! vectors, what only one side has is dropped, so both converge, and one of the two events is lost. Moving those too
//! would count twice what some have applied already. A window still open is moved.

use std::net::SocketAddr;

use cahoots_crdt::{Dot, ReplicaId};

use crate::Zone;
use crate::engine::repair::assembly::Assemblies;
use crate::engine::repair::by_datagrams::KeptAnswers;
use crate::engine::spread::peer::Peer;
use crate::engine::spread::peers::Peers;
use crate::engine::{Event, Now, Replica, ReplicaConfig, Standing};
use crate::store::{Renamed, Store};
use crate::wire::Message;

/// Gossip rounds after which a live peer that does not answer holds up the others no longer.
const PROBATION_ROUNDS: u64 = 3;

impl Replica {
    /// A replica that goes on from a store that was loaded ([`Store::loaded_as`]). With the store's own id it continues as
    /// that replica, which is allowed only if the store holds everything that was ever told to anyone under it,
    /// acknowledgements of others' events included. Otherwise `id` must never have been used: the data stays, and the old
    /// id is a dead replica's.
    #[must_use]
    pub fn resume(config: ReplicaConfig, mut store: Store, id: ReplicaId, now: Now) -> Self {
        let mut replica = Self::new(config, id, now);
        store.resume(
            id,
            replica.config.limits.clone(),
            crate::engine::spread::transmit::event_bytes_max(&replica.config, &replica.envelope),
        );
        replica.store = store;
        replica.log_sealed();
        replica
    }

    /// Whether own events are not told to anybody yet, because the peers have not been heard since the start.
    #[must_use]
    pub fn on_probation(&self) -> bool {
        self.store.is_doubted()
    }

    /// Whether it is waiting for [`Replica::take_new_id`].
    #[must_use]
    pub fn needs_new_id(&self) -> bool {
        self.conflicted
    }

    /// Ends the probation. For who knows that nobody can know better than this replica's disk: nobody ever heard of it.
    pub fn end_probation(&mut self) {
        if !self.conflicted {
            self.pass_probation();
        }
    }

    /// Goes on under a fresh id. Peers learn of it as of a new replica; the old one is dead. If that moves events, the
    /// records of them are void, and a disk has to begin anew ([`Records::lost`](crate::engine::Records::lost)).
    pub fn take_new_id(&mut self, now: Now, id: ReplicaId) -> Renamed {
        self.see_time(now);
        self.log_sealed();
        let renamed = self.store.rename(id);
        // Its ballots under the old id count no more, and it may vote anew.
        self.store.report_ballots(renamed.old);
        if renamed.moved > 0 {
            self.lose_records();
        }
        self.log.cut(renamed.old, renamed.kept);
        self.envelope = self.config.envelope(id);
        self.assemblies = Assemblies::new(self.config.assembly_bytes_max);
        self.reconciliation = None;
        self.asks.clear();
        self.fetches.clear();
        self.kept_answers = KeptAnswers::default();
        self.pulls.clear();
        self.reach.clear();
        self.conflicted = false;
        let hands_over = self.hand_over.take().is_some();
        self.heard.clear();
        self.examined_since = None;
        self.counters.identities_taken += 1;
        self.log_sealed();
        let known: Vec<(ReplicaId, SocketAddr, Zone, bool, Standing)> =
            self.peers.iter().map(|(id, peer)| (*id, peer.addr, peer.zone, peer.live, peer.standing)).collect();
        self.peers = Peers::default();
        self.targets.clear();
        (self.spread_upto, self.spread_check, self.timed) = (0, None, None);
        self.membership_changed();
        for (peer, addr, zone, live, standing) in known {
            // Nothing is known of how far anybody has the new id's events: they are sent as new ones are.
            self.peers.get_or_insert_with(peer, || Peer::new(addr, zone, 0)).standing = standing;
            self.peers.set_live(peer, live);
            self.send_digest(now, peer);
        }
        if hands_over {
            // What was confirmed is void: of what is here now, other events are own ones.
            self.begin_hand_over(now);
        }
        renamed
    }

    /// This replica's id is in use elsewhere, by what `peer` told.
    pub(in crate::engine) fn identity_conflict(&mut self, peer: ReplicaId) {
        if !self.conflicted {
            self.conflicted = true;
            // An open window is not sealed under an id that is not this replica's.
            self.store.doubt();
            self.emit(Event::IdentityConflict { peer });
        }
    }

    /// An event that is known already has come again: the two must be the same.
    pub(in crate::engine) fn compare(&mut self, sender: ReplicaId, event: Dot, body: &[u8]) {
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

    /// A peer has told what it has, and it was nothing of this replica's that is not certain.
    pub(in crate::engine) fn note_heard(&mut self, peer: ReplicaId) {
        if !self.store.is_doubted() || self.conflicted {
            return;
        }
        self.heard.insert(peer);
        if self.peers.iter().all(|(id, peer)| !peer.live || self.heard.contains(id)) {
            self.pass_probation();
        }
    }

    /// Asks peers that have not been heard yet, unless that has gone on for long enough.
    pub(in crate::engine) fn examine(&mut self, now: Now) {
        let patience = PROBATION_ROUNDS * self.config.gossip_interval_us;
        let since = *self.examined_since.get_or_insert(now.mono);
        if !self.heard.is_empty() && now.mono - since >= patience {
            return self.pass_probation();
        }
        let silent: Vec<ReplicaId> =
            self.peers.iter().filter(|(id, it)| it.live && !self.heard.contains(id)).map(|(id, _)| *id).collect();
        silent.into_iter().for_each(|peer| self.send_digest(now, peer));
    }

    /// From now on own events are told.
    fn pass_probation(&mut self) {
        self.heard.clear();
        self.examined_since = None;
        if self.store.is_doubted() {
            self.store.trust();
            self.emit(Event::ProbationEnded);
        }
    }
}
