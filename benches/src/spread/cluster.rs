//! Many engines under one virtual clock: what is due next is at the top of a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};
use cahoots_gossip::{ReplicaId, Zone};
use cahoots_tests::sim::{EPOCH, Random};

use super::{Network, Place};

/// A cluster whose members know each other, on a network.
pub struct Cluster {
    /// Microseconds since the beginning.
    pub now: u64,
    replicas: Vec<Replica>,
    places: Vec<Place>,
    network: Network,
    /// Of 100 datagrams, how many vanish.
    pub loss: f64,
    agenda: BinaryHeap<Reverse<(u64, u64, Due)>>,
    ties: u64,
    /// When each host is woken next.
    armed: Vec<u64>,
    random: Random,
    /// Datagrams sent so far, and their bytes.
    pub sent: (u64, u64),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Datagram { from: usize, to: usize, bytes: Vec<u8> },
    Timer(usize),
}

fn address(host: usize) -> SocketAddr {
    let bytes = u32::try_from(host).expect("a few thousand").to_be_bytes();
    SocketAddr::from(([10, bytes[1], bytes[2], bytes[3]], 7400))
}

fn host_at(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { unreachable!("all are of one kind") };
    (u32::from_be_bytes(address.ip().octets()) & 0xFF_FFFF) as usize
}

impl Cluster {
    /// So many replicas, in zones that are their regions or in none.
    #[must_use]
    pub fn new(seed: u64, hosts: usize, network: Network, zones: bool, config: &ReplicaConfig) -> Self {
        let mut random = Random::new(seed);
        let places: Vec<Place> = (0..hosts).map(|host| network.place(host)).collect();
        let zone = |host: usize| if zones { Zone::named(&places[host].region.to_string()) } else { Zone::default() };
        let ids: Vec<ReplicaId> = (0..hosts).map(|_| ReplicaId::new(random.draw())).collect();
        let now = Now { mono: 0, wall: EPOCH };
        let replicas = (0..hosts).map(|host| {
            let mut config = config.clone();
            config.zone = zone(host);
            // Processes do not start in the same instant, so their rounds are not in step.
            let started = Now { mono: now.mono + random.below(config.gossip_interval_us), wall: EPOCH };
            let mut replica = Replica::new(config, ids[host], started);
            for peer in (0..hosts).filter(|peer| *peer != host) {
                replica.peer_up(now, ids[peer], address(peer), zone(peer));
            }
            replica
        });
        let replicas = replicas.collect();
        let mut cluster = Self {
            now: 0,
            replicas,
            places,
            network,
            loss: 0.0,
            agenda: BinaryHeap::new(),
            ties: 0,
            armed: vec![u64::MAX; hosts],
            random: Random::new(seed ^ 1),
            sent: (0, 0),
        };
        (0..hosts).for_each(|host| cluster.pump(host));
        cluster
    }

    /// The engine of a host.
    #[must_use]
    pub fn replica(&self, host: usize) -> &Replica {
        &self.replicas[host]
    }

    /// A counter of the engines, summed.
    pub fn counted(&mut self, name: &str) -> u64 {
        let of = |replica: &mut Replica| {
            let entries = replica.status().counters.entries();
            entries.into_iter().find(|(it, _)| *it == name).expect("a counter of this name").1
        };
        self.replicas.iter_mut().map(of).sum()
    }

    /// Sets a key at a host; says which event of that host carries it.
    pub fn set(&mut self, host: usize, key: &[u8], value: &[u8]) -> u64 {
        let now = self.clocks();
        self.replicas[host].write(now, 0, |writer| writer.set(key, value)).expect("admitted");
        let seq = self.replicas[host].position();
        self.pump(host);
        seq
    }

    /// Lets time pass; `seen` is told of every host that something happened to, and when.
    pub fn advance(&mut self, micros: u64, mut seen: impl FnMut(usize, u64, &Replica)) {
        let until = self.now + micros;
        while self.agenda.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Reverse((at, _, due)) = self.agenda.pop().expect("it was just seen");
            self.now = self.now.max(at);
            let now = self.clocks();
            let host = match due {
                Due::Timer(host) => {
                    self.armed[host] = u64::MAX;
                    if self.replicas[host].poll_timeout() <= now.mono {
                        self.replicas[host].handle_timeout(now);
                    }
                    host
                }
                Due::Datagram { from, to, bytes } => {
                    self.replicas[to].handle_datagram(now, address(from), &bytes).expect("nothing is damaged");
                    to
                }
            };
            while self.replicas[host].poll_event().is_some() {}
            seen(host, self.now, &self.replicas[host]);
            self.pump(host);
        }
        self.now = until;
    }

    fn clocks(&self) -> Now {
        Now { mono: self.now, wall: EPOCH + self.now / 1_000 }
    }

    fn pump(&mut self, host: usize) {
        let now = self.clocks();
        while let Some(transmit) = self.replicas[host].poll_transmit(now) {
            let to = host_at(transmit.to);
            for datagram in transmit.datagrams() {
                self.sent.0 += 1;
                self.sent.1 += datagram.len() as u64;
                if self.random.percent(self.loss) {
                    continue;
                }
                let delay = self.network.delay(&self.places[host], &self.places[to], &mut self.random);
                self.appoint(self.now + delay, Due::Datagram { from: host, to, bytes: datagram.to_vec() });
            }
        }
        let due = self.replicas[host].poll_timeout().max(self.now + 1);
        if due < self.armed[host] {
            self.armed[host] = due;
            self.appoint(due, Due::Timer(host));
        }
    }

    fn appoint(&mut self, at: u64, due: Due) {
        self.ties += 1;
        self.agenda.push(Reverse((at, self.ties, due)));
    }
}
