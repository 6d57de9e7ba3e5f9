//! What must hold between stores after every step, and in the end.

use cahoots_crdt::Dot;
use cahoots_gossip::store::Class;

use super::{Step, World};
use crate::client::Request;
use crate::oracle::{Action, Ends, Knowledge, Shown};

/// No deadline of a history is later than so many milliseconds after its end, skewed clocks counted.
const DEADLINES_MS_MAX: u64 = 10_000;

impl World {
    pub(super) fn knowledge(&self, at: usize, key: &[u8]) -> Knowledge {
        let store = &self.replicas[at].store;
        self.history.applied(key, Some(store.id()), |dot| store.covers(key, dot))
    }

    pub(super) fn check(&mut self, at: usize) {
        let wall = self.wall + self.skew[at];
        self.replicas[at].hear_changes(wall);
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        let mut all = Vec::with_capacity(keys.len());
        for key in &keys {
            let applied = self.knowledge(at, key);
            let replica = &self.replicas[at];
            let shown = Shown::read(replica.store.at(wall), key);
            let verdict = self.history.judge_order(key, &applied);
            let verdict =
                verdict.and_then(|()| self.history.judge(key, &applied, replica.store.at(wall).now(), &shown));
            let ends = Ends::read(replica.store.at(wall), key);
            let verdict =
                verdict.and_then(|()| self.history.judge_ends(key, &applied, replica.store.at(wall).now(), &ends));
            verdict.unwrap_or_else(|why| panic!("at {}: {why}", replica.id()));
            if shown.class() == Some(Class::Stream) {
                self.readers
                    .read(replica.store.at(wall), key)
                    .unwrap_or_else(|why| panic!("at {}: {why}", replica.id()));
            }
            let told = replica.mirror.get(key).unwrap_or(&Shown::Nothing);
            assert_eq!(told, &shown, "{} did not tell its watcher of {}", replica.id(), String::from_utf8_lossy(key));
            all.push(shown);
        }
        let there = all.iter().filter(|shown| **shown != Shown::Nothing).count();
        assert_eq!(self.replicas[at].store.len(), there, "keys are counted right");
        self.check_state(at, all);
    }

    /// Equal version vectors mean equal states, and fingerprints kept are those computed from scratch.
    fn check_state(&mut self, at: usize, mut all: Vec<Shown>) {
        let store = &mut self.replicas[at].store;
        if store.has_open_window() {
            return;
        }
        assert!(store.fingerprints_are_exact(), "the fingerprint of {} has drifted", store.id());
        if store.buckets_ahead() > 0 {
            return;
        }
        while all.last() == Some(&Shown::Nothing) {
            all.pop(); // keys written later elsewhere
        }
        let vector: Vec<_> = store.version_vector().iter().collect();
        let print = store.fingerprint().get();
        let (first_print, first) = self.states.entry(vector.clone()).or_insert_with(|| (print, all.clone()));
        assert_eq!(print, *first_print, "{} has another fingerprint than the first at {vector:?}", store.id());
        if self.history.has_deadlines() {
            return; // what is shown depends on the time
        }
        let shown: Vec<&Shown> = all.iter().filter(|shown| **shown != Shown::Nothing).collect();
        let first_shown: Vec<&Shown> = first.iter().filter(|shown| **shown != Shown::Nothing).collect();
        assert_eq!(shown, first_shown, "{} shows something else than the first at {vector:?}", store.id());
    }

    /// Lets all stores exchange everything they have, logs first, and insists that they end equal.
    ///
    /// # Panics
    /// If they do not, if something that a living store had is missing, or a baseline stays that nothing needs.
    pub fn heal(&mut self) {
        self.under_way.clear();
        (0..self.replicas.len()).for_each(|at| self.take(&Step::Trust(at)));
        (0..self.replicas.len()).for_each(|at| self.replicas[at].seal());
        let held: Vec<(Vec<u8>, Dot)> = self.held_by_somebody();
        for _ in 0..3 {
            for from in 0..self.replicas.len() {
                for to in (0..self.replicas.len()).filter(|to| *to != from) {
                    self.take(&Step::SendAll(from, to));
                    if !self.equal(from, to) {
                        self.take(&Step::Transfer(from, to));
                    }
                }
            }
        }
        for from in 0..self.replicas.len() {
            for (key, dot) in &held {
                let has = dot.replica == self.replicas[from].id() || self.replicas[from].store.covers(key, *dot);
                assert!(has, "{dot:?} was lost on its way to {}", self.replicas[from].id());
            }
            (0..self.replicas.len())
                .for_each(|to| assert!(self.equal(from, to), "replicas {from} and {to} differ for good"));
        }
        for from in 0..self.replicas.len() {
            (0..self.replicas.len()).for_each(|to| self.take(&Step::Digest(from, to))); // also to itself
        }
        self.check_baselines();
        self.check_readers();
        if self.history.has_deadlines() {
            self.check_leftovers();
        }
    }

    /// Wherever its readers are, each has been given every entry, and none twice.
    fn check_readers(&mut self) {
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        for key in keys.iter().filter(|key| self.history.is_read_whole(key)) {
            let moment = self.replicas[0].store.at(self.wall + self.skew[0]);
            self.readers.finish(moment, key).unwrap_or_else(|why| panic!("{why}"));
        }
    }

    /// Once all deadlines have passed and what has expired was removed, nothing is left of keys that show nothing.
    fn check_leftovers(&mut self) {
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        self.take(&Step::Tick(DEADLINES_MS_MAX));
        for _ in 0..2 {
            for at in 0..self.replicas.len() {
                let removals = keys.iter().map(|key| Request(key.clone(), Action::RemoveExpired)).collect();
                self.take(&Step::Write(at, removals));
                (0..self.replicas.len()).filter(|to| *to != at).for_each(|to| {
                    self.take(&Step::SendAll(at, to));
                    self.take(&Step::Transfer(at, to));
                });
            }
        }
        for at in 0..self.replicas.len() {
            let (wall, store) = (self.wall + self.skew[at], &self.replicas[at].store);
            for key in &keys {
                let is_left = store.at(wall).view(key).is_none() && store.memory_of(key).is_some();
                assert!(!is_left, "{} keeps something of {}", store.id(), String::from_utf8_lossy(key));
            }
        }
    }

    fn held_by_somebody(&self) -> Vec<(Vec<u8>, Dot)> {
        let has =
            |key: &[u8], dot: Dot| self.replicas.iter().any(|it| it.id() == dot.replica || it.store.covers(key, dot));
        let events = self.history.events().filter(|(key, dot)| has(key, *dot));
        events.map(|(key, dot)| (key.to_vec(), dot)).collect()
    }

    /// Whether two replicas have applied the same and are in the same state. Seals both.
    pub fn equal(&mut self, a: usize, b: usize) -> bool {
        let mut state = |at: usize| {
            let store = &mut self.replicas[at].store;
            (store.version_hash(), store.fingerprint())
        };
        state(a) == state(b)
    }

    /// Once everybody has told everybody what it has, only what is needed is kept.
    fn check_baselines(&self) {
        for replica in &self.replicas {
            let alive = |id| self.replicas.iter().any(|it| it.id() == id);
            let has = |key: &[u8], dot: Dot| dot.replica == replica.id() || replica.store.covers(key, dot);
            let (kept, needed) = (replica.store.baselines(), self.history.baselines_needed(alive, has));
            assert!(kept <= needed, "{} keeps {kept} baselines and needs {needed}", replica.id());
        }
    }
}
