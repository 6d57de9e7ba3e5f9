//! Clients of simulated replicas: what they are told goes into the history.

use std::collections::BTreeMap;

use cahoots_crdt::Dot;
use cahoots_gossip::store::Writer;

use super::World;
use super::process::EPOCH;
use crate::client::{Reply, Request, perform};
use crate::oracle::{Action, Knowledge, Shown};

impl World {
    /// Runs one group of operations at a replica, as one command or one MULTI does, and records what succeeded.
    ///
    /// # Panics
    /// If a reply contradicts what the replica shows before and after, or the replica cannot read its own writes.
    pub fn write(&mut self, host: usize, group: &[Request]) -> Vec<Reply> {
        let now = self.read_clocks(host);
        let knew = |Request(key, _): &Request| {
            if self.doubtful { Knowledge::default() } else { self.knowledge(host, key) }
        };
        let knew: Vec<Knowledge> = group.iter().map(knew).collect();
        let process = self.process_mut(host);
        let (id, before) = (process.engine.id(), process.engine.position());
        let bytes = group.iter().map(|Request(key, action)| key.len() + action.bytes()).sum();
        let answers: Vec<((Reply, Action), u64, u64)> = process.engine.write(now, bytes, |writer| {
            let mut ask = |Request(key, action): &Request| {
                let now = writer.moment().now();
                (perform(writer, key, action), writer.clock().get(), now)
            };
            group.iter().map(&mut ask).collect()
        });
        let dot = Dot::new(id, process.engine.position());
        let published = answers.iter().any(|((reply, _), ..)| *reply == Reply::Done);
        assert!(dot.seq <= before + 1, "one group became more than one event: {before} -> {}", dot.seq);
        assert!(published || dot.seq == before, "{group:?} did nothing and yet became event {dot:?}");
        for ((Request(key, _), ((reply, action), stamp, now)), knew) in group.iter().zip(&answers).zip(knew) {
            if *reply == Reply::Done && !self.doubtful {
                self.stamp_is_plausible(host, action, *stamp);
                if let Err(complaint) = self.history.record(key, dot, action.clone(), *stamp, &knew, *now) {
                    panic!("at {id}: {complaint}");
                }
            }
        }
        self.tally.groups += 1;
        self.tally.clock_refusals += u64::from(self.process(host).engine.clock_ahead_ms() > 0);
        group.iter().for_each(|Request(key, _)| self.judge(host, key));
        self.pump(host);
        answers.into_iter().map(|((reply, _), ..)| reply).collect()
    }

    /// Hands out write access for what is expected to be refused: nothing of it is recorded.
    pub fn try_write<R>(&mut self, host: usize, write: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        let now = self.read_clocks(host);
        let result = self.process_mut(host).engine.write(now, 0, write);
        self.pump(host);
        result
    }

    /// FLUSHALL at one replica.
    ///
    /// # Panics
    /// If the replica does not count its own keys right.
    pub fn clear(&mut self, host: usize) {
        let now = self.read_clocks(host);
        let refused = self.process_mut(host).engine.write(now, 0, |writer| writer.admit(b"", b"", 0));
        if refused.is_err() || self.doubtful {
            self.tally.clock_refusals += u64::from(refused.is_err());
            return;
        }
        let store = self.process(host).engine.store();
        let there = |key: &&[u8]| store.memory_of(key).is_some();
        let keys: Vec<Vec<u8>> = self.history.keys().filter(there).map(<[u8]>::to_vec).collect();
        let visible = keys.iter().filter(|key| self.moment(host).view(key).is_some()).count();
        let knew: Vec<Knowledge> = keys.iter().map(|key| self.knowledge(host, key)).collect();
        let process = self.process_mut(host);
        let cleared = process.engine.write(now, 0, |writer| writer.clear().expect("clocks are right"));
        assert_eq!(cleared, visible, "FLUSHALL says how many keys there were");
        let (dot, stamp) =
            (Dot::new(process.engine.id(), process.engine.position()), process.engine.store().clock().get());
        for (key, knew) in keys.iter().zip(knew) {
            self.history.record(key, dot, Action::Delete, stamp, &knew, 0).expect("a removal has no stamp to be wrong");
        }
        keys.iter().for_each(|key| self.judge(host, key));
        self.tally.groups += 1;
        self.pump(host);
    }

    /// What a driver does now and then: discards the ballots of those that are gone, if it is this replica's turn.
    ///
    /// # Panics
    /// If the replica still shows one of them.
    pub fn tend(&mut self, host: usize) {
        let now = self.read_clocks(host);
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        let doubtful = self.doubtful;
        let knew = |world: &Self, key: &[u8]| if doubtful { Knowledge::default() } else { world.knowledge(host, key) };
        let mut knew: BTreeMap<Vec<u8>, Knowledge> =
            keys.into_iter().map(|key| (key.clone(), knew(self, &key))).collect();
        let engine = &mut self.process_mut(host).engine;
        let discarded = engine.discard_departed(now);
        let (dot, stamp) = (Dot::new(engine.id(), engine.position()), engine.store().clock().get());
        self.tally.discards += discarded.len() as u64;
        for it in discarded.iter().filter(|_| !doubtful) {
            let knew = knew.get_mut(&it.key[..]).expect("somebody cast it").clone();
            let recorded = self.history.record(&it.key, dot, Action::Discard(it.owner), stamp, &knew, 0);
            recorded.expect("a removal has no stamp to be wrong");
        }
        discarded.iter().for_each(|it| self.judge(host, &it.key));
        self.pump(host);
    }

    /// Closes the flush window of one replica.
    pub fn flush(&mut self, host: usize) {
        let now = self.read_clocks(host);
        self.process_mut(host).engine.flush(now);
        self.pump(host);
    }

    /// Has one replica ask for acknowledgements at once, as WAIT does.
    pub fn hurry(&mut self, host: usize) {
        let now = self.read_clocks(host);
        self.process_mut(host).engine.hurry_acks(now);
        self.pump(host);
    }

    /// What a client of this replica sees of a key.
    #[must_use]
    pub fn shown(&self, host: usize, key: &str) -> Shown {
        Shown::read(self.moment(host), key.as_bytes())
    }

    /// A stamp is a hybrid logical clock: not behind its writer's wall clock, and ahead of no clock in the world, nor of what that would
    /// read by now that was ahead of all.
    fn stamp_is_plausible(&mut self, host: usize, action: &Action, stamp: u64) {
        if action.leaves().is_none() {
            return;
        }
        let (own, latest) = (self.read_clocks(host).wall, self.wall_latest());
        let wall = stamp >> 16;
        // Whoever knows by how much it is behind the others does not notice at once that its clock was put forward by less than this.
        const UNNOTICED_MS: u64 = 1_000;
        assert!(
            (own..=latest + 1 + UNNOTICED_MS).contains(&wall),
            "stamped {}, own clock {}, latest {}",
            wall - EPOCH,
            own - EPOCH,
            latest - EPOCH
        );
    }
}
