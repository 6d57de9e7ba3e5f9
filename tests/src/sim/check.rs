//! The checker: looks at every replica through its public face and compares with the oracle.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use cahoots_crdt::{Dot, ReplicaId};
use cahoots_gossip::engine::{Queue, Replica};

use super::process::read_all;
use super::{EPOCH, Tally, World};
use crate::oracle::{Ends, Knowledge, Shown};

/// Moments after all clocks of any run, the second after every deadline, too.
const LATER: [u64; 2] = [EPOCH + 3_600_000, EPOCH + 10_000_000_000];

/// A version vector as plain data.
pub(super) type Vector = Vec<(ReplicaId, u64)>;

/// Everything that, once seen, must hold for the rest of the run.
#[derive(Default)]
pub(super) struct Registry {
    /// Version vector -> (fingerprint, hash of everything shown).
    states: BTreeMap<Vector, (u128, u64)>,
    /// The last version vector seen of each incarnation, also of those that are gone.
    last: BTreeMap<ReplicaId, BTreeMap<ReplicaId, u64>>,
}

impl Registry {
    /// Remembers how far a process had got that is about to die.
    pub(super) fn bury(&mut self, engine: &Replica) {
        self.last.insert(engine.id(), vector(engine).into_iter().collect());
    }

    pub(super) fn states(&self) -> usize {
        self.states.len()
    }
}

fn vector(engine: &Replica) -> Vector {
    engine.store().version_vector().iter().collect()
}

impl World {
    pub(super) fn knowledge(&self, host: usize, key: &[u8]) -> Knowledge {
        let engine = &self.process(host).engine;
        self.history.applied(key, Some(engine.id()), |dot| engine.store().covers(key, dot))
    }

    /// Compares what one replica shows of one key with what the history says.
    pub(super) fn judge(&mut self, host: usize, key: &[u8]) {
        if self.doubtful {
            return;
        }
        let applied = self.knowledge(host, key);
        let wall = self.wall(host);
        let verdict = self.history.judge_order(key, &applied);
        let verdict = verdict.and_then(|()| {
            self.moments_of_interest(host, wall).into_iter().try_for_each(|wall| {
                let moment = self.hosts[host].process.as_ref().expect("it runs").engine.store().at(wall);
                let (shown, ends, now) = (Shown::read(moment, key), Ends::read(moment, key), moment.now());
                self.tally.judged += 1;
                self.history.judge(key, &applied, now, &shown)?;
                self.history.judge_ends(key, &applied, now, &ends)
            })
        });
        if let Err(complaint) = verdict {
            panic!("host {host} ({}) at {} us: {complaint}", self.process(host).engine.id(), self.now);
        }
    }

    /// Every key of every replica against the history, and everything else that must hold at all times.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn check(&mut self) {
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        for host in self.alive() {
            keys.iter().for_each(|key| self.judge(host, key));
            if !self.process(host).stopped {
                self.count_keys(host);
                self.check_listing(host);
            }
            self.check_queues(host);
            if self.doubtful {
                continue;
            }
            self.check_progress(host);
            self.check_state_follows_vector(host);
            self.check_acks(host);
        }
        self.tally.checks += 1;
    }

    /// SCAN finds what exists, and a client that listens to changes knows it too.
    pub(super) fn check_listing(&self, host: usize) {
        let process = self.process(host);
        let all = read_all(&process.engine, self.wall(host));
        assert_eq!(all.len(), process.engine.store().len(), "host {host} counts its keys");
        let known = |key: &Vec<u8>| self.doubtful || self.history.knows(key);
        assert!(all.keys().all(known), "host {host} has a key nobody wrote");
        if let Some(mirror) = &process.mirror {
            for (key, shown) in &all {
                let told = mirror.get(key).unwrap_or(&Shown::Nothing);
                assert_eq!(told, shown, "host {host} did not tell its watcher of {}", String::from_utf8_lossy(key));
            }
            assert!(
                mirror.keys().all(|key| all.contains_key(key)),
                "host {host} did not tell its watcher of a removal"
            );
            let counted = super::process::count_all(&process.engine);
            assert_eq!(process.tallies, counted, "host {host} did not tell its watcher who is there to vote");
        }
    }

    /// Whatever is queued or kept for a while has its bound in bytes.
    fn check_queues(&self, host: usize) {
        for Queue { name, bytes, bytes_max } in self.process(host).engine.queues() {
            assert!(bytes <= bytes_max, "host {host} has {bytes} bytes in its {name}, bound {bytes_max}");
        }
    }

    /// What a replica has applied never shrinks, and it has applied nothing that was not written.
    fn check_progress(&mut self, host: usize) {
        let engine = &self.process(host).engine;
        let (id, now) = (engine.id(), vector(engine));
        let last = self.seen.last.entry(id).or_default();
        for (replica, seq) in last.iter() {
            let seen = now.iter().find(|(it, _)| it == replica).map_or(0, |(_, seq)| *seq);
            assert!(seen >= *seq, "host {host} had applied {replica}:{seq}, now {seen}");
        }
        *last = now.iter().copied().collect();
        for (replica, seq) in now {
            let minted = match self.running(replica) {
                Some(writer) => self.process(writer).engine.position(),
                None => self.seen.last.get(&replica).and_then(|last| last.get(&replica)).copied().unwrap_or(0),
            };
            assert!(seq <= minted, "host {host} has applied {replica}:{seq}, which had minted {minted}");
        }
    }

    pub(super) fn running(&self, id: ReplicaId) -> Option<usize> {
        self.alive().into_iter().find(|&host| self.process(host).engine.id() == id)
    }

    /// Replicas with equal version vectors hold equal states: also at different times of one run.
    fn check_state_follows_vector(&mut self, host: usize) {
        let process = self.process_mut(host);
        let store = process.engine.store();
        if store.has_open_window() || store.buckets_ahead() > 0 {
            return;
        }
        let mut hasher = DefaultHasher::new();
        // What is shown depends on the time, too.
        LATER.iter().for_each(|wall| read_all(&process.engine, *wall).hash(&mut hasher));
        let state = (process.engine.status().fingerprint.get(), hasher.finish());
        let vector = vector(&process.engine);
        let first = *self.seen.states.entry(vector.clone()).or_insert(state);
        assert_eq!(state, first, "host {host} has applied {vector:?} and is in another state than the first that had");
    }

    /// An acknowledgement is a promise: so many peers really have applied it.
    fn check_acks(&self, host: usize) {
        let engine = &self.process(host).engine;
        let position = engine.position();
        let (claimed, holders) = (engine.acked_by(position), self.holders(host));
        assert!(
            position == 0 || claimed <= holders,
            "host {host} counts {claimed} acks of its event {position}, {holders} peers have it"
        );
    }

    /// How many others have applied everything a process wrote, those included whose death nobody has noticed yet.
    pub(super) fn holders(&self, host: usize) -> usize {
        let engine = &self.process(host).engine;
        let (id, position) = (engine.id(), engine.position());
        let has = |&(peer, _): &(ReplicaId, usize)| {
            let now = self.running(peer).map(|at| self.process(at).engine.store().version_vector().get(id));
            let then = || self.seen.last.get(&peer).and_then(|had| had.get(&id)).copied().unwrap_or(0);
            peer != id && now.unwrap_or_else(then) >= position
        };
        self.incarnations().filter(has).count()
    }

    /// Whether all processes have applied the same, and nothing is under way inside them.
    ///
    /// A bucket may stay ahead of the others for good: what a holder that died in the middle of a transfer had of
    /// the rest is lost. But then it is ahead everywhere.
    #[must_use]
    pub fn agree(&mut self) -> bool {
        let mut states = self.alive().into_iter().map(|host| {
            let engine = &mut self.process_mut(host).engine;
            if engine.store().has_open_window() {
                return None;
            }
            let (vector, ahead) = (vector(engine), engine.store().buckets_ahead());
            Some((vector, ahead, engine.status().fingerprint.get()))
        });
        let first = states.next().flatten();
        first.is_some() && states.all(|other| other == first)
    }

    /// An event that a process has applied and no other one, those included whose death nobody has noticed yet. Of its own
    /// events those up to one count.
    pub(super) fn held_here_only(&self, host: usize, upto: u64) -> Option<(Vec<u8>, Dot)> {
        let store = self.process(host).engine.store();
        let own = self.process(host).engine.id();
        let elsewhere = |key: &[u8], dot: Dot| {
            // One that has handed over itself has nothing for anybody any more.
            let others = self.incarnations().filter(|(id, _)| *id != own && !self.departed.contains(id));
            others.map(|(id, _)| id).any(|id| match self.running(id) {
                Some(at) => id == dot.replica || self.process(at).engine.store().covers(key, dot),
                None => {
                    self.seen.last.get(&id).and_then(|had| had.get(&dot.replica)).is_some_and(|seq| *seq >= dot.seq)
                }
            })
        };
        let counts = |key: &[u8], dot: Dot| store.covers(key, dot) && (dot.replica != own || dot.seq <= upto);
        let mut only = self.history.events().filter(|(key, dot)| counts(key, *dot) && !elsewhere(key, *dot));
        only.next().map(|(key, dot)| (key.to_vec(), dot))
    }

    /// Every event, with each key it touches, that some process has applied there.
    pub(super) fn held_by_somebody(&self) -> Vec<(Vec<u8>, Dot)> {
        let alive = self.alive();
        let has = |key: &[u8], dot: Dot| {
            let mut engines = alive.iter().map(|&host| &self.process(host).engine);
            engines.any(|engine| engine.id() == dot.replica || engine.store().covers(key, dot))
        };
        let events = self.history.events();
        events.filter(|(key, dot)| has(key, *dot)).map(|(key, dot)| (key.to_vec(), dot)).collect()
    }

    /// The tally with the counters of those that still run.
    pub(super) fn final_tally(&mut self) -> Tally {
        let mut tally = self.tally.clone();
        (tally.heard, tally.forks) = (self.listener.events(), self.listener.forks.len() as u64);
        self.alive().into_iter().for_each(|host| tally.bury(&mut self.process_mut(host).engine));
        tally
    }
}
