//! Hosts, processes and a network under one virtual clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;

use cahoots_crdt::ReplicaId;
use cahoots_gossip::Zone;
use cahoots_gossip::engine::{ReplicaConfig, Status};

use super::detector::{Appointment, Detector};
use super::network::Network;
use super::process::Process;
use super::tally::Tally;
use super::{Clocks, Link, Random, Weather};
use crate::oracle::History;

/// More timeouts than this at one instant are a timer that spins.
const TIMEOUTS_AT_ONCE: u32 = 1_000;

pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) process: Option<Process>,
    pub(super) clocks: Clocks,
    pub(super) zone: Zone,
}

/// A cluster in a box. Every method that takes time says so.
pub struct World {
    /// Microseconds since the run began.
    pub now: u64,
    pub(super) hosts: Vec<Host>,
    pub(super) network: Network,
    pub(super) agenda: BinaryHeap<Reverse<(u64, u64, Appointment)>>,
    pub(super) detector: Detector,
    pub(super) random: Random,
    pub(super) history: History,
    pub(super) tally: Tally,
    pub(super) seen: super::check::Registry,
    pub(super) watched: bool,
    /// Incarnations that left in good order: nobody waits for them.
    pub(super) departed: BTreeSet<ReplicaId>,
    pub(super) config: ReplicaConfig,
    ids: BTreeMap<ReplicaId, usize>,
    appointments: u64,
    wall_latest: u64,
}

impl World {
    /// `hosts` hosts on a perfect network; no process runs yet.
    #[must_use]
    pub fn new(seed: u64, hosts: usize, config: ReplicaConfig) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(hosts, Link::default(), random.fork(1));
        let detector = Detector::new(random.fork(2));
        let hosts = (0..hosts)
            .map(|number| {
                let last = u8::try_from(number + 1).expect("few hosts");
                Host {
                    address: SocketAddr::from(([10, 0, 0, last], 7400)),
                    process: None,
                    clocks: Clocks::default(),
                    zone: Zone::default(),
                }
            })
            .collect();
        Self {
            now: 0,
            hosts,
            network,
            agenda: BinaryHeap::new(),
            detector,
            random,
            history: History::new(),
            tally: Tally::default(),
            seen: super::check::Registry::default(),
            watched: true,
            departed: BTreeSet::new(),
            config,
            ids: BTreeMap::new(),
            appointments: 0,
            wall_latest: 0,
        }
    }

    /// How many hosts there are, whether anything runs on them or not.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// What the run did so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What the network did so far.
    #[must_use]
    pub fn weather(&self) -> Weather {
        self.network.weather
    }

    /// A replica's account of itself.
    pub fn status(&mut self, host: usize) -> Status {
        self.process_mut(host).engine.status()
    }

    /// Everything clients did so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The hosts on which a process runs or is stopped.
    #[must_use]
    pub fn alive(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&host| self.hosts[host].process.is_some()).collect()
    }

    /// The process on a host.
    ///
    /// # Panics
    /// If none is there.
    #[must_use]
    pub fn process(&self, host: usize) -> &Process {
        self.hosts[host].process.as_ref().expect("a process runs there")
    }

    pub(super) fn process_mut(&mut self, host: usize) -> &mut Process {
        self.hosts[host].process.as_mut().expect("a process runs there")
    }

    /// The host on which this incarnation runs or ran.
    #[must_use]
    pub fn host_of(&self, id: ReplicaId) -> usize {
        self.ids[&id]
    }

    pub(super) fn incarnations(&self) -> impl Iterator<Item = (ReplicaId, usize)> + '_ {
        self.ids.iter().map(|(&id, &host)| (id, host))
    }

    /// Sets one direction of one link.
    pub fn set_link(&mut self, from: usize, to: usize, link: Link) {
        *self.network.link(from, to) = link;
        self.stir();
    }

    /// Cuts or restores one direction of one link.
    pub fn cut(&mut self, from: usize, to: usize, cut: bool) {
        self.network.link(from, to).cut = cut;
        self.stir();
    }

    /// Cuts every link between the hosts in `side` and the others, both ways.
    pub fn split(&mut self, side: &[usize]) {
        for from in 0..self.hosts.len() {
            for to in 0..self.hosts.len() {
                self.network.link(from, to).cut = side.contains(&from) != side.contains(&to);
            }
        }
        self.stir();
    }

    /// Makes every link perfect.
    pub fn mend(&mut self) {
        for from in 0..self.hosts.len() {
            for to in 0..self.hosts.len() {
                *self.network.link(from, to) = Link::default();
            }
        }
        self.stir();
    }

    /// The clocks a host's processes read from now on.
    pub fn set_clocks(&mut self, host: usize, clocks: Clocks) {
        self.hosts[host].clocks = clocks;
        if let Some(process) = &mut self.hosts[host].process {
            process.clocks.wall_error = clocks.wall_error; // a monotonic clock does not step
        }
    }

    /// The zone that processes started on a host from now on say they stand in.
    pub fn set_zone(&mut self, host: usize, zone: Zone) {
        self.hosts[host].zone = zone;
    }

    /// Starts a process with empty memory, hence under a new id.
    ///
    /// # Panics
    /// If one runs there already.
    pub fn start(&mut self, host: usize) -> ReplicaId {
        let id = ReplicaId::new(self.random.draw() | 1);
        self.start_as(host, id, self.config.clone());
        id
    }

    /// Starts a process under this id and with this configuration.
    ///
    /// # Panics
    /// If one runs there already.
    pub fn start_as(&mut self, host: usize, id: ReplicaId, mut config: ReplicaConfig) {
        let Host { process, clocks, zone, .. } = &mut self.hosts[host];
        config.zone = *zone;
        assert!(process.is_none(), "host {host} is taken");
        *process = Some(Process::start(config, id, *clocks, self.now, self.watched));
        self.ids.insert(id, host);
        self.stir();
    }

    /// Kills the process: its memory and what waits in its socket are gone.
    pub fn crash(&mut self, host: usize) {
        if let Some(mut process) = self.hosts[host].process.take() {
            self.seen.bury(&process.engine);
            self.tally.bury(&mut process.engine);
            self.tally.crashes += 1;
            self.stir();
        }
    }

    /// SIGSTOP and SIGCONT.
    pub fn stop(&mut self, host: usize, stopped: bool) {
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.stopped == stopped {
            return;
        }
        process.stopped = stopped;
        self.tally.stops += u64::from(stopped);
        self.stir();
        if stopped {
            return;
        }
        while let Some(waiting) = self.process_mut(host).socket.pop_front() {
            self.receive(host, &waiting);
        }
    }

    /// Lets time pass: everything due until then happens in its order.
    pub fn advance(&mut self, micros: u64) {
        let until = self.now + micros;
        while let Some((at, what)) = self.next_due().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            match what {
                Due::Datagram => self.land(),
                Due::Timer(host) => self.fire(host),
                Due::Appointment => {
                    let Reverse((_, _, appointment)) = self.agenda.pop().expect("one is due");
                    self.keep(appointment);
                }
            }
        }
        self.now = until;
    }

    fn next_due(&self) -> Option<(u64, Due)> {
        let datagram = self.network.next_at().map(|at| (at, Due::Datagram));
        let appointment = self.agenda.peek().map(|Reverse((at, _, _))| (*at, Due::Appointment));
        let timer = self
            .alive()
            .into_iter()
            .filter_map(|host| self.process(host).due().map(|at| (at.max(self.now), Due::Timer(host))))
            .min_by_key(|(at, _)| *at);
        [datagram, appointment, timer].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn fire(&mut self, host: usize) {
        let (world, now) = (self.now, self.read_clocks(host));
        let process = self.process_mut(host);
        process.timer = if process.timer.0 == world { (world, process.timer.1 + 1) } else { (world, 1) };
        assert!(process.timer.1 <= TIMEOUTS_AT_ONCE, "the timer of host {host} spins at {world}");
        process.engine.handle_timeout(now);
        self.pump(host);
    }

    /// Both clocks of a host, remembering the highest any of them ever read.
    pub(super) fn read_clocks(&mut self, host: usize) -> cahoots_gossip::engine::Now {
        let now = self.process(host).clocks.read(self.now);
        self.wall_latest = self.wall_latest.max(now.wall);
        now
    }

    /// The highest any wall clock has read.
    pub(super) fn wall_latest(&mut self) -> u64 {
        for host in self.alive() {
            self.read_clocks(host);
        }
        self.wall_latest
    }

    pub(super) fn appoint(&mut self, at: u64, appointment: Appointment) {
        self.appointments += 1;
        self.agenda.push(Reverse((at, self.appointments, appointment)));
    }

    pub(super) fn reachable(&self, from: usize, to: usize) -> bool {
        let running = |host: usize| self.hosts[host].process.as_ref().is_some_and(|process| !process.stopped);
        if !running(from) || !running(to) {
            return false;
        }
        let mut reached = vec![from];
        let mut next = 0;
        while next < reached.len() {
            let at = reached[next];
            next += 1;
            for host in 0..self.hosts.len() {
                let direct = !self.network.is_cut(at, host) && (self.detector.hearsay || host == to);
                if direct && running(host) && !reached.contains(&host) {
                    reached.push(host);
                }
            }
        }
        reached.contains(&to)
    }
}

enum Due {
    Datagram,
    Timer(usize),
    Appointment,
}
