//! A few engines on a perfect network in virtual time, with membership told by hand.
#![allow(dead_code, reason = "every suite uses a part of this")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cahoots_gossip::engine::{Event, Now, Replica, ReplicaConfig};
use cahoots_gossip::store::{Change, WriteError, Writer};
use cahoots_gossip::{ReplicaId, Zone};

const WALL: u64 = 1_700_000_000_000;

pub(crate) struct Circle {
    pub(crate) now: Now,
    /// Those that run.
    pub(crate) replicas: Vec<Option<Replica>>,
    /// Whose datagrams do not pass, neither way.
    pub(crate) silent: BTreeSet<usize>,
    /// Of so many datagrams one is lost; 0: none.
    pub(crate) loses_one_of: u64,
    pub(crate) sent: u64,
}

pub(crate) fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1000 + u16::try_from(index).expect("few")))
}

/// Ids grow with the number of the replica.
pub(crate) fn id(index: usize) -> ReplicaId {
    ReplicaId::new(index as u64 + 1)
}

impl Circle {
    /// So many replicas that do not know each other.
    pub(crate) fn strangers(count: usize) -> Self {
        let now = Now { mono: 0, wall: WALL };
        let mut circle = Self { now, replicas: Vec::new(), silent: BTreeSet::new(), loses_one_of: 0, sent: 0 };
        for _ in 0..count {
            circle.start();
        }
        circle
    }

    /// So many replicas that all know each other.
    pub(crate) fn new(count: usize) -> Self {
        let mut circle = Self::strangers(count);
        for a in 0..count {
            (0..count).filter(|b| *b != a).for_each(|b| circle.up(a, b));
        }
        circle.run(10_000);
        circle
    }

    /// One more, which nobody knows.
    pub(crate) fn start(&mut self) -> usize {
        self.start_with(ReplicaConfig::default())
    }

    pub(crate) fn start_with(&mut self, config: ReplicaConfig) -> usize {
        let mut replica = Replica::new(config, id(self.replicas.len()), self.now);
        replica.record_changes(true);
        self.replicas.push(Some(replica));
        self.replicas.len() - 1
    }

    /// One is no more.
    pub(crate) fn kill(&mut self, at: usize) {
        self.replicas[at] = None;
    }

    pub(crate) fn at(&mut self, at: usize) -> &mut Replica {
        self.replicas[at].as_mut().expect("it runs")
    }

    pub(crate) fn up(&mut self, at: usize, peer: usize) {
        let now = self.now;
        self.at(at).peer_up(now, id(peer), addr(peer), Zone::default());
    }

    pub(crate) fn down(&mut self, at: usize, peer: usize) {
        let now = self.now;
        self.at(at).peer_down(now, id(peer));
    }

    pub(crate) fn gone(&mut self, at: usize, peer: usize) {
        self.at(at).peer_gone(id(peer));
    }

    pub(crate) fn write(&mut self, at: usize, write: impl FnOnce(&mut Writer<'_>) -> Result<(), WriteError>) {
        let now = self.now;
        self.at(at).write(now, 0, write).expect("admitted");
    }

    /// The keys one was told have changed since it was last asked.
    pub(crate) fn changed(&mut self, at: usize) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        while let Some(change) = self.at(at).poll_change() {
            let Change::Key { key, .. } = change else { panic!("few keys change here") };
            keys.insert(String::from_utf8_lossy(&key).into_owned());
        }
        keys
    }

    /// What one has reported since it was last asked.
    pub(crate) fn events(&mut self, at: usize) -> Vec<Event> {
        let replica = self.at(at);
        std::iter::from_fn(|| replica.poll_event()).collect()
    }

    /// Delivers what is to be sent and asked now, and nothing that follows from it. Says whether there was anything.
    pub(crate) fn exchange(&mut self) -> bool {
        let mut asked = Vec::new();
        for (from, replica) in self.replicas.iter_mut().enumerate() {
            asked.extend(replica.iter_mut().flat_map(|it| std::iter::from_fn(|| it.poll_ask())).map(|ask| (from, ask)));
        }
        let mut sent = Vec::new();
        for (from, replica) in self.replicas.iter_mut().enumerate() {
            let Some(replica) = replica else { continue };
            while let Some(transmit) = replica.poll_transmit(self.now) {
                sent.push((from, transmit));
            }
        }
        let any = !sent.is_empty() || !asked.is_empty();
        for (from, ask) in asked {
            let (now, to) = (self.now, usize::try_from(ask.peer.get() - 1).expect("few"));
            let answer = self.replicas[to].as_mut().and_then(|it| it.serve(now, id(from), &ask.body).ok());
            self.at(from).handle_answer(now, ask.number, answer.as_deref());
        }
        for (from, transmit) in sent {
            let to = usize::from(transmit.to.port() - 1000);
            if self.silent.contains(&from) || self.silent.contains(&to) {
                continue;
            }
            if let Some(replica) = &mut self.replicas[to] {
                for datagram in transmit.datagrams() {
                    self.sent += 1;
                    if self.loses_one_of > 0 && self.sent.is_multiple_of(self.loses_one_of) {
                        continue;
                    }
                    // One that does not know the sender yet refuses.
                    let _ = replica.handle_datagram(self.now, addr(from), datagram);
                }
            }
        }
        any
    }

    fn settle(&mut self) {
        while self.exchange() {}
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, micros: u64) {
        let end = self.now.mono + micros;
        self.settle();
        while self.now.mono < end {
            let due = self.replicas.iter().flatten().map(Replica::poll_timeout).min().expect("some run");
            self.now.mono = due.clamp(self.now.mono + 1, end);
            self.now.wall = WALL + self.now.mono / 1000;
            for replica in self.replicas.iter_mut().flatten() {
                replica.handle_timeout(self.now);
            }
            self.settle();
        }
    }
}
