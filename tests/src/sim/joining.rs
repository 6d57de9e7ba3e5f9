//! Processes that join: not ready until they have what their peers had, and never waiting for ever.
//!
//! What a joiner must have is worked out apart from the engine: whatever the peer that it says it has caught up with had
//! when the joiner started. What it hears, a peer said later than that: nobody can have told it anything before, unless it
//! goes on under an old id.

use std::collections::BTreeMap;

use cahoots_crdt::{ReplicaId, VersionVector};
use cahoots_gossip::engine::{Event, Readiness, ReadyReason, Replica, Standing};

use super::World;
use super::detector::Appointment;

/// Virtual microseconds without progress after which a joiner is ready all the same.
const TIMEOUT_MICROS: u64 = 3_000_000;

/// What was there when a process began to join.
#[derive(Debug)]
pub(super) struct Joined {
    /// What each of the others had.
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
        if !self.joins {
            return;
        }
        let founds = self.incarnations().next().is_none() || self.founders.contains(&host);
        let resumed = self.process(host).engine.on_probation();
        let others = self.alive().into_iter().filter(|other| *other != host).map(|other| &self.process(other).engine);
        // Whoever goes on under an old id may hear what was said to it before.
        let others = others.filter(|_| !resumed);
        let goals = others.map(|engine| (engine.id(), account(engine))).collect();
        let now = self.read_clocks(host);
        let process = self.process_mut(host);
        if founds {
            process.engine.found(now);
        } else {
            process.engine.join(now, TIMEOUT_MICROS);
            process.engine.await_seeds(now, true);
        }
        process.joined = Some(Joined { goals });
        self.tally.joins += 1;
    }

    /// Membership tells `viewer` how a peer stands.
    pub(super) fn announce_readiness(&mut self, viewer: usize, subject: ReplicaId) {
        let home = self.home_of(subject, viewer);
        let Some(process) = self.hosts[home].process.as_ref().filter(|it| it.engine.id() == subject) else { return };
        let stance = process.engine.stance();
        let mut knows = process.knows.clone();
        if stance.standing == Standing::Complete {
            knows.entry(subject).or_insert_with(|| account(&process.engine));
        }
        let now = self.read_clocks(viewer);
        let viewer = self.process_mut(viewer);
        for (id, had) in knows {
            viewer.knows.entry(id).or_insert(had);
        }
        viewer.engine.peer_stance(now, subject, stance);
    }

    /// Membership looks whether all seeds of a process that joins are peers by now: every host on which something runs, or is
    /// stopped.
    pub(super) fn look_at_seeds(&mut self, host: usize) {
        let process = self.process(host);
        if !process.engine.awaits_seeds() {
            return;
        }
        let is_peer = |other: usize| process.engine.is_live(self.process(other).engine.id());
        let silent = self.alive().into_iter().any(|other| other != host && !is_peer(other));
        let now = self.read_clocks(host);
        self.process_mut(host).engine.await_seeds(now, silent);
        self.pump(host);
    }

    /// The same, some time after that has changed.
    pub(super) fn hear_readiness(&mut self, viewer: usize, subject: ReplicaId) {
        match &self.hosts[viewer].process {
            None => {}
            Some(process) if process.stopped => {
                let later = self.now + self.detector_delay();
                self.appoint(later, Appointment::Readiness { viewer, subject });
            }
            // Of one that is down for it, a member tells its replica when it is up again.
            Some(process) if process.engine.is_live(subject) => {
                self.announce_readiness(viewer, subject);
                self.pump(viewer);
            }
            Some(_) => {}
        }
    }

    /// A process says that it serves, or that it is complete, and must be right. Nobody is complete by meeting somebody who
    /// is not.
    pub(super) fn check_ready(&mut self, host: usize, reason: ReadyReason) {
        let process = self.hosts[host].process.as_ref().expect("it has just said so");
        let joined = process.joined.as_ref().expect("only who joins becomes ready");
        let (id, here) = (process.engine.id(), process.engine.store().version_vector());
        if let ReadyReason::CaughtUp { peer } = reason
            && !self.doubtful
        {
            assert!(self.complete.contains(&peer), "host {host} has caught up with {peer}, which was never complete");
            let goal = joined.goals.get(&peer).into_iter().flat_map(VersionVector::iter);
            let lacking = goal.into_iter().find(|(origin, seq)| *origin != id && here.get(*origin) < *seq);
            assert!(lacking.is_none(), "host {host} is ready and lacks {lacking:?} of what {peer} had: {here:?}");
        }
        if reason == ReadyReason::Together && !self.doubtful {
            // Whoever is alive and complete, it has met; and of whoever was, it knows if one of those did that it has met.
            let there =
                joined.goals.iter().filter(|(id, _)| self.complete.contains(id) && self.running(**id).is_some());
            for (peer, had) in there.chain(&process.knows).filter(|(peer, _)| **peer != id) {
                let lacking = had.iter().find(|(origin, seq)| *origin != id && here.get(*origin) < *seq);
                assert!(
                    lacking.is_none(),
                    "host {host} is complete and lacks {lacking:?} of what {peer} had: {here:?}"
                );
            }
        }
        let name = match reason {
            ReadyReason::CaughtUp { .. } => "ready_caught_up",
            ReadyReason::Together => "ready_together",
            ReadyReason::Alone => "ready_alone",
            ReadyReason::Unfinished { .. } => "ready_unfinished",
            other => panic!("host {host} joins and is ready as {other:?}"),
        };
        *self.tally.counters.entry(name).or_default() += 1;
    }

    /// Membership has everybody hear, in time, if a process stands otherwise than before.
    pub(super) fn note_standing(&mut self, host: usize) {
        let process = self.hosts[host].process.as_mut().expect("it runs");
        let (id, stance) = (process.engine.id(), process.engine.stance());
        if process.stood == stance {
            return;
        }
        process.stood.clone_from(&stance);
        if stance.standing == Standing::Complete {
            self.complete.insert(id);
        }
        for viewer in self.alive().into_iter().filter(|viewer| *viewer != host) {
            let delay = self.detector_delay();
            self.appoint(self.now + delay, Appointment::Readiness { viewer, subject: id });
        }
    }

    /// Everybody serves, and is complete unless somebody went away for good with data that nobody else has.
    pub(super) fn check_all_ready(&mut self) {
        self.advance(TIMEOUT_MICROS);
        let mut alone = self.alive();
        let mut incomplete = Vec::new();
        for host in self.alive() {
            let engine = &self.process(host).engine;
            let (readiness, standing, owed) = (engine.readiness(), engine.standing(), engine.owed_by());
            assert!(
                matches!(readiness, Readiness::Ready(_)),
                "host {host} does not serve after healing: {readiness:?}"
            );
            match standing {
                Standing::Alone => continue,
                Standing::Complete => {}
                _ => {
                    // Besides whoever is gone it may be owed something by others that are incomplete, too.
                    let are_back = !self.doubtful && owed.iter().all(|id| self.running(*id).is_some());
                    incomplete.push((host, owed.is_empty() || are_back));
                }
            }
            alone.retain(|it| *it != host);
        }
        // One that is incomplete makes nobody complete.
        let met = !incomplete.is_empty() || self.alive().len() == 1;
        assert!(alone.is_empty() || met, "hosts {alone:?} are not alone:\n{}", self.describe());
        // One of them is owed something; the others may have met nobody better.
        let unfounded = !incomplete.is_empty() && incomplete.iter().all(|(_, unfounded)| *unfounded);
        assert!(!unfounded, "nothing is lacking and yet incomplete: {incomplete:?}\n{}", self.describe());
        self.tally.counters.entry("ended_incomplete").and_modify(|it| *it += incomplete.len() as u64).or_default();
    }
}

/// The reason, if this event is that of being ready.
pub(super) fn readiness(event: &Event) -> Option<ReadyReason> {
    if let Event::Ready { reason } = event { Some(*reason) } else { None }
}
