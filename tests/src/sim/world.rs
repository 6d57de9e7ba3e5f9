//! Hosts, processes and a network under one virtual clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;

use cahoots_crdt::ReplicaId;
use cahoots_gossip::Zone;
use cahoots_gossip::engine::{Replica, ReplicaConfig, Status};

use super::detector::{Appointment, Detector};
use super::network::Network;
use super::process::Process;
use super::stream::Streams;
use super::tally::Tally;
use super::{Clocks, Link, Random, Weather};
use crate::listener::Listener;
use crate::oracle::History;

/// More timeouts than this at one instant are a timer that spins.
const TIMEOUTS_AT_ONCE: u32 = 1_000;

pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) process: Option<Process>,
    pub(super) clocks: Clocks,
    pub(super) disk: Option<super::disk::Disk>,
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
    pub(super) streams: Streams,
    pub(super) seen: super::check::Registry,
    pub(super) watched: bool,
    /// Processes that start after the first join the others.
    pub joins: bool,
    /// Hosts whose processes are given nobody to join, also after a restart.
    pub founders: BTreeSet<usize>,
    /// Incarnations that left in good order: nobody waits for them.
    pub(super) departed: BTreeSet<ReplicaId>,
    /// Incarnations that were complete at some time.
    pub(super) complete: BTreeSet<ReplicaId>,
    pub(super) config: ReplicaConfig,
    /// Some disk has lied or was copied: dots may name two events, and the oracle is not asked any more.
    pub doubtful: bool,
    /// A firewall lets no stream through, for ever.
    pub streams_blocked: bool,
    /// Datagrams that fit a socket.
    pub backlog: usize,
    pub(super) listener: Listener,
    ids: BTreeMap<ReplicaId, usize>,
    appointments: u64,
    /// The highest that any wall clock has read, less the time it was in the world.
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
                    disk: None,
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
            streams: Streams::default(),
            seen: super::check::Registry::default(),
            watched: true,
            joins: false,
            founders: BTreeSet::new(),
            departed: BTreeSet::new(),
            complete: BTreeSet::new(),
            doubtful: false,
            streams_blocked: false,
            backlog: super::process::SOCKET_BACKLOG,
            listener: Listener::new(&config.cluster, config.key.as_ref()),
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
        self.tally.clock_steps += u64::from(self.hosts[host].clocks.wall_error != clocks.wall_error);
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
        let id = self.fresh_id();
        let config = self.start_config();
        self.start_as(host, id, config);
        id
    }

    pub(super) fn fresh_id(&mut self) -> ReplicaId {
        ReplicaId::new(self.random.draw() | 1)
    }

    /// The configuration of a process that starts now: each has a nonce salt of its own.
    pub(super) fn start_config(&mut self) -> ReplicaConfig {
        let mut config = self.config.clone();
        config.nonce_salt = self.random.draw();
        config
    }

    /// Starts a process under this id and with this configuration.
    ///
    /// # Panics
    /// If one runs there already.
    pub fn start_as(&mut self, host: usize, id: ReplicaId, mut config: ReplicaConfig) {
        config.zone = self.hosts[host].zone;
        let engine = Replica::new(config, id, self.hosts[host].clocks.read(self.now));
        self.inhabit(host, engine);
    }

    /// Makes a process of an engine.
    pub(super) fn inhabit(&mut self, host: usize, mut engine: Replica) {
        engine.keep_records();
        engine.note_removed();
        let id = engine.id();
        let Host { process, clocks, .. } = &mut self.hosts[host];
        assert!(process.is_none(), "host {host} is taken");
        *process = Some(Process::start(engine, *clocks, self.now, self.watched));
        self.begin_joining(host);
        self.note_standing(host);
        self.settle(id, host);
    }

    /// From now on this id is found at this host, unless it is a copy and the original is still there.
    pub(super) fn settle(&mut self, id: ReplicaId, host: usize) {
        if !self.ids.get(&id).is_some_and(|&at| self.runs_as(at, id)) {
            self.ids.insert(id, host);
        }
        self.stir();
    }

    pub(super) fn found_at(&mut self, id: ReplicaId, host: usize) {
        self.ids.insert(id, host);
    }

    fn runs_as(&self, host: usize, id: ReplicaId) -> bool {
        self.hosts[host].process.as_ref().is_some_and(|process| process.engine.id() == id)
    }

    /// Kills the process: its memory and what waits in its socket are gone.
    pub fn crash(&mut self, host: usize) {
        self.judge_disk(host);
        if let Some(mut process) = self.hosts[host].process.take() {
            self.seen.bury(&process.engine);
            self.tally.bury(&mut process.engine);
            self.tally.crashes += 1;
            let id = process.engine.id();
            if let Some(copy) = (0..self.hosts.len()).find(|&at| self.runs_as(at, id)) {
                self.ids.insert(id, copy); // which nobody had heard of for as long as the original was there
            }
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
        self.slow_down(host, self.process(host).slow_us);
    }

    /// From now on the process spends so many microseconds on each datagram.
    pub fn slow_down(&mut self, host: usize, micros: u64) {
        let Some(process) = &mut self.hosts[host].process else { return };
        process.slow_us = micros;
        while micros == 0 && !self.process(host).stopped {
            let Some(waiting) = self.process_mut(host).socket.pop_front() else { break };
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
        if process.busy_until <= world
            && let Some(waiting) = process.socket.pop_front()
        {
            process.busy_until = world + process.slow_us;
            return self.receive(host, &waiting);
        }
        process.timer = if process.timer.0 == world { (world, process.timer.1 + 1) } else { (world, 1) };
        assert!(process.timer.1 <= TIMEOUTS_AT_ONCE, "the timer of host {host} spins at {world}");
        self.expiring(host, now, |engine| engine.handle_timeout(now));
        self.pump(host);
    }

    /// Both clocks of a host, remembering the highest any of them ever read.
    pub(super) fn read_clocks(&mut self, host: usize) -> cahoots_gossip::engine::Now {
        let now = self.process(host).clocks.read(self.now);
        self.wall_latest = self.wall_latest.max(now.wall.saturating_sub(self.now / 1_000));
        now
    }

    /// What the highest that any wall clock has read would read by now, had it gone on: hybrid clocks do.
    pub(super) fn wall_latest(&mut self) -> u64 {
        for host in self.alive() {
            self.read_clocks(host);
        }
        self.wall_latest + self.now / 1_000
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
