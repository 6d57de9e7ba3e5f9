//! Processes that join: not ready until they have what their peers had, and never waiting for ever.
//!
//! What a joiner must have is worked out apart from the engine: whatever the peer that it says it has caught up with had
//! when the joiner first heard that this peer is there. The peer gives its account later than that, so it says no less.

use std::collections::BTreeMap;

use cahoots_crdt::{ReplicaId, VersionVector};
use cahoots_gossip::engine::{Event, Readiness, ReadyReason, Replica};

use super::World;
use super::detector::Appointment;

/// Virtual microseconds without progress after which a joiner is ready all the same.
const TIMEOUT_MICROS: u64 = 3_000_000;

/// What a process that joins has heard of.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// What each peer had when the process was told of it.
    goals: BTreeMap<ReplicaId, VersionVector>,
}

/// What an engine surely tells of: of its own events not those that may still get another id.
fn account(engine: &Replica) -> VersionVector {
    let told = |id: ReplicaId| id != engine.id() || !engine.on_probation();
    engine.store().version_vector().iter().filter(|(id, _)| told(*id)).collect()
}

impl World {
    /// Has a process that has just been made join those that run.
    pub(super) fn begin_joining(&mut self, host: usize) {
        if !self.joins || self.alive().len() < 2 {
            return;
        }
        let now = self.read_clocks(host);
        let process = self.process_mut(host);
        process.engine.join(now, TIMEOUT_MICROS);
        process.joined = Some(Joined::default());
        self.tally.joins += 1;
    }

    /// `viewer` is told that the process on `subject` is up.
    pub(super) fn note_goal(&mut self, viewer: usize, subject: usize) {
        let Some(process) = &self.hosts[subject].process else { return };
        let (id, goal) = (process.engine.id(), account(&process.engine));
        if let Some(joined) = &mut self.process_mut(viewer).joined {
            joined.goals.entry(id).or_insert(goal);
        }
        self.announce_readiness(viewer, id);
    }

    /// Membership tells `viewer` whether a peer is ready.
    fn announce_readiness(&mut self, viewer: usize, subject: ReplicaId) {
        let home = self.home_of(subject, viewer);
        let Some(process) = self.hosts[home].process.as_ref().filter(|it| it.engine.id() == subject) else { return };
        let ready = process.engine.is_ready();
        let now = self.read_clocks(viewer);
        self.process_mut(viewer).engine.peer_ready(now, subject, ready);
    }

    /// The same, some time after that has changed.
    pub(super) fn hear_readiness(&mut self, viewer: usize, subject: ReplicaId) {
        match &self.hosts[viewer].process {
            None => {}
            Some(process) if process.stopped => {
                let later = self.now + self.detector_delay();
                self.appoint(later, Appointment::Readiness { viewer, subject });
            }
            Some(_) => {
                self.announce_readiness(viewer, subject);
                self.pump(viewer);
            }
        }
    }

    /// A process says that it is ready, and must be right.
    pub(super) fn check_ready(&mut self, host: usize, reason: ReadyReason) {
        let process = self.hosts[host].process.as_mut().expect("it has just said so");
        let joined = process.joined.take().expect("only who joins becomes ready");
        let (id, here) = (process.engine.id(), process.engine.store().version_vector());
        if let ReadyReason::CaughtUp { peer } = reason
            && !self.doubtful
        {
            let goal = joined.goals.get(&peer).expect("it was told of the peer");
            let lacking = goal.iter().find(|(origin, seq)| *origin != id && here.get(*origin) < *seq);
            assert!(lacking.is_none(), "host {host} is ready and lacks {lacking:?} of what {peer} had: {here:?}");
        }
        let name = match reason {
            ReadyReason::CaughtUp { .. } => "ready_caught_up",
            ReadyReason::Together => "ready_together",
            ReadyReason::Alone => "ready_alone",
            ReadyReason::Unfinished { .. } => "ready_unfinished",
            other => panic!("host {host} joins and is ready as {other:?}"),
        };
        *self.tally.counters.entry(name).or_default() += 1;
        for viewer in self.alive().into_iter().filter(|viewer| *viewer != host) {
            let delay = self.detector_delay();
            self.appoint(self.now + delay, Appointment::Readiness { viewer, subject: id });
        }
    }

    /// Everybody is ready, or has good reason to wait still.
    pub(super) fn check_all_ready(&mut self) {
        self.advance(TIMEOUT_MICROS);
        for host in self.alive() {
            let readiness = self.process(host).engine.readiness();
            assert!(matches!(readiness, Readiness::Ready(_)), "host {host} is not ready after healing: {readiness:?}");
        }
    }
}

/// The reason, if this event is that of being ready.
pub(super) fn readiness(event: &Event) -> Option<ReadyReason> {
    if let Event::Ready { reason } = event { Some(*reason) } else { None }
}
