//! A failure detector as members experience it: late, sometimes wrong, in the end right.

use cahoots_crdt::ReplicaId;

use super::stream::Leg;
use super::{Random, World};

/// Something the world does at an instant agreed on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Appointment {
    /// The process on host `viewer` makes up its mind about `subject`.
    Review { viewer: usize, subject: ReplicaId },
    /// The process on host `viewer` hears whether `subject` is ready.
    Readiness { viewer: usize, subject: ReplicaId },
    /// Membership looks whether the id of the process on this host is used twice.
    Count(usize),
    /// A stream goes on.
    Stream { id: u64, leg: Leg },
}

/// How members hear of each other.
#[derive(Debug)]
pub struct Detector {
    /// A heartbeat also counts when it came through third parties; otherwise only direct links count.
    pub hearsay: bool,
    /// Shortest and longest time in microseconds until a change is noticed.
    pub delay: (u64, u64),
    /// Of 100 reviews that find a peer dead for good, how many make it forgotten rather than dead.
    pub forgets: f64,
    random: Random,
}

impl Detector {
    pub(super) fn new(random: Random) -> Self {
        Self { hearsay: true, delay: (100_000, 1_500_000), forgets: 0.0, random }
    }
}

impl World {
    pub(super) fn detector_delay(&mut self) -> u64 {
        self.detector.random.between(self.detector.delay.0, self.detector.delay.1)
    }

    /// How members hear of each other from now on.
    pub fn detector(&mut self) -> &mut Detector {
        &mut self.detector
    }

    /// Something changed: everybody will look again at everybody, each in its own time.
    pub(super) fn stir(&mut self) {
        let ids: Vec<ReplicaId> = self.incarnations().map(|(id, _)| id).collect();
        for host in self.alive() {
            let own = self.process(host).engine.id();
            for &subject in ids.iter().filter(|subject| **subject != own) {
                let delay = self.detector_delay();
                self.appoint(self.now + delay, Appointment::Review { viewer: host, subject });
            }
            if self.doubtful {
                let delay = self.detector_delay();
                self.appoint(self.now + delay, Appointment::Count(host));
            }
        }
    }

    pub(super) fn keep(&mut self, appointment: Appointment) {
        let (host, subject) = match appointment {
            Appointment::Review { viewer, subject } => (viewer, subject),
            Appointment::Readiness { viewer, subject } => return self.hear_readiness(viewer, subject),
            Appointment::Count(host) => return self.settle_duplicate(host),
            Appointment::Stream { id, leg } => return self.continue_stream(id, leg),
        };
        let at = self.home_of(subject, host);
        let Some(process) = self.hosts[host].process.as_ref().filter(|process| process.engine.id() != subject) else {
            return;
        };
        if process.stopped {
            let later = self.now + self.detector.delay.1;
            self.appoint(later, appointment);
            return;
        }
        let exists = self.hosts[at].process.as_ref().is_some_and(|process| process.engine.id() == subject);
        let up = exists && self.reachable(at, host);
        self.tell(host, subject, at, up, exists);
        self.look_at_seeds(host);
    }

    /// Where `viewer` finds this incarnation: of several processes that claim to be it, the eldest within reach.
    pub(super) fn home_of(&self, id: ReplicaId, viewer: usize) -> usize {
        let claims = self.alive().into_iter().filter(|&at| self.process(at).engine.id() == id);
        let within = claims.filter(|&at| self.reachable(at, viewer));
        within.min_by_key(|&at| self.process(at).born).unwrap_or_else(|| self.host_of(id))
    }

    /// Tells one process what to believe of one peer.
    fn tell(&mut self, host: usize, subject: ReplicaId, at: usize, up: bool, exists: bool) {
        let super::world::Host { address, zone, .. } = self.hosts[at];
        let now = self.read_clocks(host);
        let forgotten =
            !exists && (self.departed.contains(&subject) || self.detector.random.percent(self.detector.forgets));
        let process = self.process_mut(host);
        match (up, process.believed.get(&subject).copied()) {
            (true, Some(Some(known))) if known == address => return,
            (false, None) => return,
            (true, _) => {
                process.engine.peer_up(now, subject, address, zone);
                process.believed.insert(subject, Some(address));
                self.announce_readiness(host, subject);
            }
            (false, Some(_)) if forgotten => {
                process.engine.peer_gone(subject);
                process.believed.remove(&subject);
                self.tally.forgotten += 1;
            }
            (false, Some(None)) => return,
            (false, Some(Some(_))) => {
                process.engine.peer_down(now, subject);
                process.believed.insert(subject, None);
                self.tally.suspicions += 1;
            }
        }
        self.pump(host);
    }

    /// A wrong suspicion: `viewer` takes the process on `subject` for dead until it looks again.
    pub fn suspect(&mut self, viewer: usize, subject: usize) {
        let (Some(seeing), Some(seen)) = (&self.hosts[viewer].process, &self.hosts[subject].process) else { return };
        let (own, id) = (seeing.engine.id(), seen.engine.id());
        if own == id || seeing.stopped {
            return;
        }
        self.tell(viewer, id, subject, false, true);
        let delay = self.detector_delay();
        self.appoint(self.now + delay, Appointment::Review { viewer, subject: id });
    }

    /// Everybody knows at once who is there. For scripts, where detection is not what is tested.
    pub fn introduce(&mut self) {
        let pairs: Vec<(usize, ReplicaId)> = self
            .alive()
            .into_iter()
            .flat_map(|host| self.incarnations().map(move |(id, _)| (host, id)).collect::<Vec<_>>())
            .filter(|(host, id)| self.process(*host).engine.id() != *id)
            .collect();
        for (host, id) in pairs {
            let at = self.home_of(id, host);
            let exists = self.hosts[at].process.as_ref().is_some_and(|process| process.engine.id() == id);
            let up = exists && self.reachable(at, host);
            self.tell(host, id, at, up, exists);
        }
    }
}
