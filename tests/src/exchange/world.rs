//! All stores of one history, what is under way between them, and the checks.

use std::collections::BTreeMap;
use std::ops::Range;

use cahoots_crdt::{Dot, ReplicaId, VersionVector};
use cahoots_gossip::store::BUCKETS;

use super::Step;
use super::replica::Replica;
use crate::client::{Reply, Request, perform};
use crate::oracle::{Action, History, Knowledge, Shown};

const EPOCH: u64 = 1_800_000_000_000;
const FIRST_ID: u64 = 0xA0;

pub(super) enum Message {
    Transfer {
        to: usize,
        bytes: Vec<u8>,
    },
    Ack {
        to: usize,
        owner: ReplicaId,
        acked: VersionVector,
        seq: u64,
    },
    /// In short what the sender has: if the receiver has the same, each knows all about the other.
    Digest {
        to: usize,
        owner: ReplicaId,
        versions: u128,
    },
}

impl Message {
    fn to(&self) -> usize {
        match self {
            Self::Transfer { to, .. } | Self::Ack { to, .. } | Self::Digest { to, .. } => *to,
        }
    }
}

/// What one version vector stands for: the fingerprint, and everything shown.
pub(super) type State = (u128, Vec<Shown>);

/// The stores of one history.
pub struct World {
    pub(super) replicas: Vec<Replica>,
    pub(super) history: History,
    pub(super) under_way: Vec<Message>,
    pub(super) wall: u64,
    pub(super) skew: Vec<u64>,
    ids: u64,
    window_bytes_max: usize,
    pub(super) states: BTreeMap<Vec<(ReplicaId, u64)>, State>,
    /// Buckets that were joined, those of them of which the difference came, and those that had changed meanwhile;
    /// sketches that could not be decoded; baselines dropped.
    pub(super) joins: u64,
    pub(super) refined: u64,
    pub(super) stale: u64,
    pub(super) undecoded: u64,
    pub(super) collected: u64,
}

impl World {
    /// So many empty stores; a flush window is closed by itself beyond `window_bytes_max`.
    #[must_use]
    pub fn new(replicas: usize, window_bytes_max: usize) -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            history: History::new(),
            under_way: Vec::new(),
            wall: EPOCH,
            skew: vec![0; replicas],
            ids: 0,
            window_bytes_max,
            states: BTreeMap::new(),
            joins: 0,
            refined: 0,
            stale: 0,
            undecoded: 0,
            collected: 0,
        };
        for _ in 0..replicas {
            let id = world.fresh_id();
            world.replicas.push(Replica::new(id, window_bytes_max));
        }
        world
    }

    /// A, B, C ... in the order of birth, so that reports read well.
    fn fresh_id(&mut self) -> ReplicaId {
        self.ids += 1;
        ReplicaId::new(FIRST_ID + self.ids - 1)
    }

    /// How many events clients' operations have become.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.history.len()
    }

    /// What a client of this replica sees.
    #[must_use]
    pub fn shown(&self, replica: usize, key: &str) -> Shown {
        Shown::read(self.replicas[replica].store.at(self.wall + self.skew[replica]), key.as_bytes())
    }

    /// How many baselines a replica keeps.
    #[must_use]
    pub fn baselines(&self, replica: usize) -> usize {
        self.replicas[replica].store.baselines()
    }

    /// Takes a step and checks everything.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn take(&mut self, step: &Step) {
        if step.speaker().is_some_and(|from| self.replicas[from].silent) {
            return;
        }
        match step {
            Step::Write(at, group) => drop(self.write(*at, group)),
            Step::Clear(at) => self.clear(*at),
            Step::Seal(at) => self.replicas[*at].seal(),
            Step::Send(from, to, origin) => drop(self.send(*from, *to, *origin)),
            Step::SendAll(from, to) => self.send_all(*from, *to),
            Step::Resend(from, to, origin, number) => self.resend(*from, *to, *origin, *number),
            Step::Ask(from, to, buckets) => {
                let bytes = self.ask(*from, *to, buckets.start, buckets.end);
                self.under_way.push(Message::Transfer { to: *to, bytes });
            }
            Step::Sketch(from, to, buckets, symbols) => {
                self.ask_difference(*from, *to, buckets.clone(), *symbols);
            }
            Step::Transfer(from, to) => {
                let bytes = self.ask(*from, *to, 0, BUCKETS);
                self.deliver(&Message::Transfer { to: *to, bytes });
            }
            Step::Arrive(number, again) => return self.arrive(*number, *again),
            Step::Lose(number) if !self.under_way.is_empty() => {
                let number = number % self.under_way.len();
                drop(self.under_way.remove(number));
            }
            Step::Ack(from, to) => self.deliver(&self.ack(*from, *to)),
            Step::Digest(from, to) => {
                let digest = self.digest(*from, *to);
                self.deliver(&digest);
            }
            Step::SlowDigest(from, to) => {
                let digest = self.digest(*from, *to);
                self.under_way.push(digest);
            }
            Step::SlowAck(from, to) => self.under_way.push(self.ack(*from, *to)),
            Step::Cut(at, origin, keep) => self.cut(*at, *origin, *keep),
            Step::Crash(at) => self.crash(*at),
            Step::Tick(millis) => self.wall += millis,
            Step::Skew(at, millis) => self.skew[*at] = *millis,
            Step::Doubt(at) => {
                self.replicas[*at].silent = true;
                self.replicas[*at].store.doubt();
            }
            Step::Trust(at) => {
                self.replicas[*at].silent = false;
                self.replicas[*at].store.trust();
            }
            Step::Rename(at) => self.rename(*at),
            Step::Lose(_) => {}
        }
        step.touches().into_iter().flatten().for_each(|at| self.check(at));
    }

    pub(super) fn write(&mut self, at: usize, group: &[Request]) -> Vec<Reply> {
        let knew: Vec<Knowledge> = group.iter().map(|Request(key, _)| self.knowledge(at, key)).collect();
        let wall = self.wall + self.skew[at];
        let replica = &mut self.replicas[at];
        let before = replica.store.position();
        let bytes = group.iter().map(|Request(key, action)| key.len() + action.bytes()).sum();
        let answers: Vec<((Reply, Action), u64, u64)> = replica.store.write(wall, bytes, |writer| {
            let mut ask = |Request(key, action): &Request| {
                let now = writer.moment().now();
                (perform(writer, key, action), writer.clock().get(), now)
            };
            group.iter().map(&mut ask).collect()
        });
        let dot = Dot::new(replica.id(), replica.store.position());
        replica.collect_sealed();
        let published = answers.iter().any(|((reply, _), ..)| *reply == Reply::Done);
        assert!(published || dot.seq == before, "{group:?} did nothing and became {dot:?}");
        for ((Request(key, _), ((reply, action), stamp, now)), knew) in group.iter().zip(&answers).zip(knew) {
            if *reply == Reply::Done {
                self.history
                    .record(key, dot, action.clone(), *stamp, &knew, *now)
                    .unwrap_or_else(|why| panic!("{why}"));
            }
        }
        answers.into_iter().map(|((reply, _), ..)| reply).collect()
    }

    fn clear(&mut self, at: usize) {
        let keys: Vec<Vec<u8>> = self.history.keys().map(<[u8]>::to_vec).collect();
        let wall = self.wall + self.skew[at];
        let store = &self.replicas[at].store;
        let count_there = keys.iter().filter(|key| store.at(wall).view(key).is_some()).count();
        let there = keys.into_iter().filter(|key| store.memory_of(key).is_some());
        let there: Vec<(Vec<u8>, Knowledge)> = there.map(|key| (key.clone(), self.knowledge(at, &key))).collect();
        let replica = &mut self.replicas[at];
        let count = replica.store.write(wall, 0, |writer| writer.clear().expect("clocks are right"));
        assert_eq!(count, count_there, "FLUSHALL says how many keys there were");
        let (dot, stamp) = (Dot::new(replica.id(), replica.store.position()), replica.store.clock().get());
        replica.collect_sealed();
        for (key, knew) in there {
            let recorded = self.history.record(&key, dot, Action::Delete, stamp, &knew, 0);
            recorded.expect("a removal has no stamp to be wrong");
        }
    }

    fn rename(&mut self, at: usize) {
        let (id, position) = (self.fresh_id(), self.replicas[at].store.position());
        let renamed = self.replicas[at].rename(id);
        assert_eq!(renamed.kept + renamed.moved, position, "every own event is kept or moved");
        self.history.rename(renamed.old, renamed.kept, id);
        self.replicas[at].silent = false;
    }

    /// The id under which a replica lives now.
    pub(super) fn id(&self, at: usize) -> ReplicaId {
        self.replicas[at].id()
    }

    /// The id under which it began.
    pub(super) fn first_id(&self, at: usize) -> ReplicaId {
        ReplicaId::new(FIRST_ID + at as u64)
    }

    /// Hands all events of one origin from one log to another store, and checks everything.
    pub(super) fn give(&mut self, from: usize, to: usize, origin: ReplicaId) {
        while self.send_next(from, to, origin) {
            self.check(to);
        }
    }

    fn origin(&self, at: usize, number: usize) -> Option<ReplicaId> {
        let logs = &self.replicas[at].logs;
        logs.keys().nth(number % logs.len().max(1)).copied()
    }

    fn send(&mut self, from: usize, to: usize, origin: usize) -> bool {
        self.origin(from, origin).is_some_and(|origin| self.send_next(from, to, origin))
    }

    fn send_next(&mut self, from: usize, to: usize, origin: ReplicaId) -> bool {
        let next = self.replicas[to].store.version_vector().get(origin) + 1;
        let Some(body) = self.replicas[from].logs.get(&origin).and_then(|log| log.get(next)).cloned() else {
            return false;
        };
        origin != self.replicas[to].id() && self.replicas[to].offer(Dot::new(origin, next), &body)
    }

    fn send_all(&mut self, from: usize, to: usize) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            let origins: Vec<ReplicaId> = self.replicas[from].logs.keys().copied().collect();
            for origin in origins {
                moved |= self.send_next(from, to, origin);
            }
        }
    }

    fn resend(&mut self, from: usize, to: usize, origin: usize, number: usize) {
        let Some(origin) = self.origin(from, origin) else { return };
        let log = &self.replicas[from].logs[&origin];
        if log.bodies.is_empty() || origin == self.replicas[to].id() {
            return;
        }
        let at = number % log.bodies.len();
        let (dot, body) = (Dot::new(origin, log.floor + 1 + at as u64), log.bodies[at].clone());
        self.replicas[to].offer(dot, &body);
    }

    /// The answer of `from` to a question of `to`.
    fn ask(&mut self, from: usize, to: usize, first: usize, last: usize) -> Vec<u8> {
        let theirs = self.replicas[to].store.bucket_fingerprints(first, last);
        self.replicas[to].collect_sealed();
        let (bytes, _) = self.replicas[from].store.encode_transfer(first, &theirs, usize::MAX, usize::MAX);
        self.replicas[from].collect_sealed();
        bytes
    }

    fn ask_difference(&mut self, from: usize, to: usize, buckets: Range<usize>, symbols: usize) {
        let sketch = self.replicas[to].store.sketch(buckets, symbols, self.history.len());
        self.replicas[to].collect_sealed();
        let differences = self.replicas[from].store.encode_differences(&sketch, usize::MAX);
        self.replicas[from].collect_sealed();
        match differences {
            Some((bytes, _)) => self.under_way.push(Message::Transfer { to, bytes }),
            None => self.undecoded += 1,
        }
    }

    fn ack(&self, from: usize, to: usize) -> Message {
        let (owner, acked, seq) = self.replicas[from].ack();
        Message::Ack { to, owner, acked, seq }
    }

    fn digest(&mut self, from: usize, to: usize) -> Message {
        let replica = &mut self.replicas[from];
        let versions = replica.store.version_hash();
        replica.collect_sealed();
        Message::Digest { to, owner: replica.id(), versions }
    }

    fn arrive(&mut self, number: usize, again: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let number = number % self.under_way.len();
        let message = self.under_way.swap_remove(number);
        self.deliver(&message);
        self.check(message.to());
        if again {
            self.under_way.push(message);
        }
    }

    fn deliver(&mut self, message: &Message) {
        match message {
            Message::Transfer { to, bytes } => {
                let replica = &mut self.replicas[*to];
                let joined = replica.store.join_transfer(bytes);
                let joined = joined.expect("stores write what stores accept");
                replica.collect_sealed();
                replica.cut_overtaken_logs();
                self.joins += joined.joined as u64;
                self.refined += joined.refined as u64;
                self.stale += joined.stale.len() as u64;
            }
            Message::Digest { to, owner, versions } => {
                let replica = &mut self.replicas[*to];
                if replica.store.version_hash() == *versions {
                    self.collected += replica.store.collect_agreed_baselines(*owner) as u64;
                }
                replica.collect_sealed();
            }
            Message::Ack { to, owner, acked, seq } => {
                let store = &mut self.replicas[*to].store;
                self.collected += store.collect_baselines(*owner, acked, *seq).unwrap_or(0) as u64;
            }
        }
    }

    fn cut(&mut self, at: usize, origin: usize, keep: usize) {
        let Some(origin) = self.origin(at, origin) else { return };
        let log = self.replicas[at].logs.get_mut(&origin).expect("it was just found");
        let cut = log.bodies.len().saturating_sub(keep);
        drop(log.bodies.drain(..cut));
        log.floor += cut as u64;
    }

    fn crash(&mut self, at: usize) {
        let id = self.fresh_id();
        self.replicas[at] = Replica::new(id, self.window_bytes_max);
        // What is under way to a process that died reaches its successor; what it does not understand it ignores.
    }
}
