//! Carrying out a plan: faults first, then healing, and a bounded time in which all must agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cahoots_crdt::{Dot, ReplicaId};
use cahoots_gossip::store::BUCKETS;

use super::plan::{Plan, Step};
use super::{Clocks, Process, Start, Tally, World};

/// The longest that any timer of the engine, set while faults lasted, still has to run: a request for buckets, tried
/// for the fourth time.
const LONGEST_TIMER_MICROS: u64 = 8_000_000;
/// Gossip rounds in which everybody surely has compared notes with somebody who knows more: of five replicas, each
/// choosing one of four at random, one is left out for twelve rounds once in a million runs.
const GOSSIP_ROUNDS: u64 = 12;
/// So often something may be sent to one peer where it is paced: an event unasked, when it is asked for, and once more if it
/// came too early and there was no room to wait in; a bucket in as many passes.
const TIMES_SENT: u64 = 3;
/// Virtual microseconds longer where no stream connects: until that is found out of the peers asked, one after the other,
/// and again after a while.
const WITHOUT_STREAMS_MICROS: u64 = 30_000_000;
/// Least time between two passes over the buckets of one peer.
const PASS_PAUSE_MICROS: u64 = 1_000_000;
/// Virtual microseconds that replicas, once agreed, are watched for staying so.
const REST_MICROS: u64 = 5_000_000;
/// Gossip rounds after that, for each host, within which everybody has heard the account of everybody, one of whom each
/// chooses in a round, and cleared up.
const CLEARING_ROUNDS: u64 = 20;
/// The same in virtual microseconds at least.
const CLEARING_MICROS_MIN: u64 = 60_000_000;
/// Virtual microseconds a process that leaves has for handing over.
const LEAVE_MICROS_MAX: u64 = 2_000_000;

/// What a run amounted to.
#[derive(Clone, Default, Debug)]
pub struct Report {
    /// What decided the run.
    pub seed: u64,
    /// Faults, repairs and checks.
    pub tally: Tally,
    /// What the network did.
    pub weather: super::Weather,
    /// Operations recorded.
    pub operations: u64,
    /// Different version vectors whose states were compared.
    pub states: usize,
    /// Whether a disk lied or was copied, so that the oracle had no say from then on.
    pub doubtful: bool,
    /// Virtual microseconds from healing to agreement.
    pub healed_in: u64,
}

/// Runs a plan.
///
/// # Panics
/// On the first thing that does not hold.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    let mut world = World::new(plan.seed, plan.hosts, plan.config.clone());
    for from in 0..plan.hosts {
        for to in 0..plan.hosts {
            world.set_link(from, to, plan.link);
        }
    }
    world.backlog = plan.backlog;
    world.streams_blocked = plan.streams_blocked;
    world.joins = true;
    for (from, to, link) in &plan.other_links {
        world.set_link(*from, *to, *link);
    }
    plan.zones.iter().enumerate().for_each(|(host, zone)| world.set_zone(host, *zone));
    let detector = world.detector();
    detector.hearsay = plan.detection.hearsay;
    detector.delay = plan.detection.delay;
    detector.forgets = plan.detection.forgets;
    for step in &plan.steps {
        world.take(step);
    }
    world.check();
    let healed_in = world.heal(&plan.lost_for_ever);
    Report {
        seed: plan.seed,
        operations: world.history.len(),
        states: world.seen.states(),
        doubtful: world.doubtful,
        weather: world.network.weather,
        healed_in,
        tally: world.final_tally(),
    }
}

impl World {
    /// Takes one step of a plan.
    pub fn take(&mut self, step: &Step) {
        let runs = |world: &Self, host: usize| world.hosts[host].process.is_some();
        let works = |world: &Self, host: usize| world.hosts[host].process.as_ref().is_some_and(|it| !it.stopped);
        match step {
            Step::Write(host, group) if works(self, *host) => self.write_within_bound(*host, group),
            Step::Clear(host) if works(self, *host) => self.clear(*host),
            Step::Tend(host) if works(self, *host) => self.tend(*host),
            Step::Flush(host) if works(self, *host) => self.flush(*host),
            Step::Wait(micros) => self.advance(*micros),
            Step::Start(host) if !runs(self, *host) => _ = self.start(*host),
            Step::Crash(host) => self.crash(*host),
            Step::Sync(host) if works(self, *host) => self.sync(*host),
            Step::Park(host) if works(self, *host) => {
                self.sync(*host);
                // What a datagram sent just now tells is on the disk too.
                self.crash(*host);
            }
            Step::Resume(host) if !runs(self, *host) => _ = self.resume(*host, Start::Honest),
            Step::Lie(host) if self.hosts[*host].disk.is_some() => {
                self.crash(*host);
                self.resume(*host, Start::Lying);
            }
            Step::Copy(from, to) if self.hosts[*from].disk.is_some() => {
                self.crash(*to);
                self.copy_disk(*from, *to);
                self.resume(*to, Start::Honest);
            }
            Step::Slow(host, micros) => self.slow_down(*host, *micros),
            Step::Stop(host) => self.stop(*host, true),
            Step::Continue(host) => self.stop(*host, false),
            Step::Leave(host) if works(self, *host) && self.alive().len() > 1 => self.leave(*host),
            Step::LeaveTogether(hosts) => {
                let leave: Vec<usize> = hosts.iter().copied().filter(|host| works(self, *host)).collect();
                if leave.len() > 1 {
                    self.leave_together(leave);
                }
            }
            Step::Cut(from, to) => self.cut(*from, *to, true),
            Step::Restore(from, to) => self.cut(*from, *to, false),
            Step::Split(side) => self.split(side),
            Step::Join => self.split(&[]),
            Step::Suspect(viewer, subject) => self.suspect(*viewer, *subject),
            Step::Skew(host, wall_error) => {
                self.set_clocks(*host, Clocks { wall_error: *wall_error, ..Clocks::default() });
            }
            Step::Bound(host, bound) => self.bound(*host, *bound),
            Step::Check => self.check(),
            _ => {}
        }
    }

    /// SIGTERM: the process hands over what only it has, within a bound, and ends.
    fn leave(&mut self, host: usize) {
        self.tally.leaves += 1;
        self.flush(host);
        self.hand_over(host, LEAVE_MICROS_MAX);
        self.crash(host);
    }

    /// SIGTERM to several: each ends as soon as it has handed over, or at the bound.
    fn leave_together(&mut self, mut leave: Vec<usize>) {
        self.tally.leaves += leave.len() as u64;
        let deadline = self.now + LEAVE_MICROS_MAX;
        let mut begun = BTreeMap::new();
        for host in &leave {
            self.flush(*host);
            let now = self.read_clocks(*host);
            let engine = &mut self.process_mut(*host).engine;
            begun.insert(engine.id(), engine.position());
            engine.begin_hand_over(now);
            self.pump(*host);
        }
        while !leave.is_empty() {
            self.advance(10_000);
            // One that met its own id elsewhere may have ended.
            leave.retain(|host| self.alive().contains(host));
            for host in leave.clone() {
                let now = self.read_clocks(host);
                self.process_mut(host).engine.pursue_hand_over(now);
                self.pump(host);
                let handed_over = self.check_handed_over(host, |id| begun.get(&id).copied());
                if handed_over || self.now >= deadline {
                    *self.tally.counters.entry("left_together").or_default() += u64::from(handed_over);
                    self.crash(host);
                    leave.retain(|it| *it != host);
                }
            }
        }
    }

    /// Whether a process has handed over, as its exit code would say. `begun` is how many events there were of its id when it
    /// began, if it had that id: it may have had to take another since. What it does by itself later, such as removing what
    /// has expired, it does not hand over.
    ///
    /// # Panics
    /// If it says so and nobody else holds some event that it does.
    fn check_handed_over(&mut self, host: usize, begun: impl Fn(ReplicaId) -> Option<u64>) -> bool {
        let engine = &self.process(host).engine;
        let id = engine.id();
        let upto = begun(id).filter(|_| engine.is_handed_over(1));
        if let Some(upto) = upto {
            let only = if self.doubtful { None } else { self.held_here_only(host, upto) };
            assert!(only.is_none(), "host {host} says it has handed over, and {only:?} is nowhere else");
            self.departed.insert(id);
        }
        upto.is_some()
    }

    /// A process hands over what it holds, within a bound; says whether it did, as its exit code would.
    ///
    /// # Panics
    /// If it says so and nobody else holds some event that it does.
    pub fn hand_over(&mut self, host: usize, micros_max: u64) -> bool {
        let deadline = self.now + micros_max;
        let now = self.read_clocks(host);
        let engine = &mut self.process_mut(host).engine;
        let (id, upto) = (engine.id(), engine.position());
        engine.begin_hand_over(now);
        self.pump(host);
        while !self.process(host).engine.is_handed_over(1) && self.now < deadline {
            self.advance(10_000);
            let now = self.read_clocks(host);
            self.process_mut(host).engine.pursue_hand_over(now);
            self.pump(host);
        }
        self.check_handed_over(host, |it| (it == id).then_some(upto))
    }

    /// Ends all faults and waits until everybody agrees; says how long that took.
    ///
    /// # Panics
    /// If they do not agree in time, or something that somebody had was lost.
    pub fn heal(&mut self, lost_for_ever: &[usize]) -> u64 {
        self.mend();
        for host in 0..self.hosts() {
            self.stop(host, false);
            self.slow_down(host, 0);
            self.set_clocks(host, Clocks::default());
            if self.hosts[host].process.is_none() && !lost_for_ever.contains(&host) {
                self.start(host);
            }
        }
        let held = if self.doubtful { Vec::new() } else { self.held_by_somebody() };
        let (begun, bound) = (self.now, self.agreement_bound());
        while !self.agree() {
            assert!(self.now - begun < bound, "no agreement {bound} us after healing:\n{}", self.describe());
            self.advance(50_000);
        }
        let took = self.now - begun;
        self.check();
        self.await_quiet(bound);
        self.check_leftovers();
        self.check_evictions();
        self.advance(self.detector.delay.1); // everybody has been announced to everybody
        for host in self.alive() {
            self.hurry(host);
        }
        self.advance(REST_MICROS);
        assert!(self.agree(), "agreement did not last:\n{}", self.describe());
        self.check();
        for host in self.alive() {
            assert!(
                self.process_mut(host).engine.fingerprints_are_exact(),
                "the fingerprint of host {host} has drifted"
            );
        }
        for host in self.alive() {
            let engine = &self.process(host).engine;
            let lost = held.iter().find(|(key, dot)| dot.replica != engine.id() && !engine.store().covers(key, *dot));
            let (peers, acked) = (self.alive().len() - 1, engine.acked_by(engine.position()));
            assert!(lost.is_none(), "host {host} never got {lost:?}, which somebody had when the faults ended");
            assert!(
                self.doubtful || acked == peers,
                "host {host} counts {acked} acks of {peers}:\n{}",
                self.describe()
            );
        }
        self.check_nothing_waits_for_ever();
        if !self.doubtful {
            self.check_clearing_up();
        }
        self.check_all_ready();
        took
    }

    /// Waits until nothing is left that expires in this run, or is over the bound of a replica, and all agree again.
    fn await_quiet(&mut self, agreement_bound: u64) {
        let (begun, bound) = (self.now, self.quiet_bound() + agreement_bound);
        while !self.is_quiet() || !self.is_within_bounds() || !self.agree() {
            assert!(self.now - begun < bound, "not quiet {bound} us after agreement:\n{}", self.describe());
            self.advance(100_000);
        }
    }

    /// Virtual microseconds after healing within which replicas must agree: everybody is announced to everybody; the
    /// longest timer runs out; notes are compared; and what is paced is sent. Where one
    /// dot names two events, differences show only once all else is equal, and two passes over the buckets, a pause
    /// apart, put them right.
    fn agreement_bound(&mut self) -> u64 {
        let config = &self.config;
        let interval = config.gossip_interval_us;
        let rounds = GOSSIP_ROUNDS * if self.doubtful { 3 } else { 1 };
        let without_streams = if self.streams_blocked { WITHOUT_STREAMS_MICROS } else { 0 };
        let noticed = self.detector.delay.1 + LONGEST_TIMER_MICROS;
        noticed + without_streams + rounds * interval.max(PASS_PAUSE_MICROS) + self.pacing_bound()
    }

    /// Virtual microseconds that takes at most what is paced: everything that any log holds sent from one replica to all
    /// others, and everything that any store holds fetched by all others from one, each byte as often as it may be.
    fn pacing_bound(&mut self) -> u64 {
        let config = &self.config;
        let (sent, sent_each) = (config.send_bytes_per_second, config.send_bytes_per_second_peer);
        let (served, served_each) = (config.serve_bytes_per_second, config.serve_bytes_per_second_each);
        let hosts = self.alive();
        let logs = hosts.iter().map(|host| self.process(*host).engine.queues());
        let log = logs.map(|it| it.iter().find(|it| it.name == "log").map_or(0, |it| it.bytes)).max().unwrap_or(0);
        let stores: Vec<usize> = hosts
            .iter()
            .filter(|_| served.or(served_each).is_some())
            .map(|host| (0..BUCKETS).map(|bucket| self.process_mut(*host).engine.bucket_image(bucket).len()).sum())
            .collect();
        let store = stores.into_iter().max().unwrap_or(0);
        let others = (hosts.len() as u64).saturating_sub(1);
        let micros = |bytes: usize, to: u64, rate: Option<u64>| {
            rate.map_or(0, |rate| TIMES_SENT * to * bytes as u64 * 1_000_000 / rate)
        };
        let sending = micros(log, others, sent).max(micros(log, 1, sent_each));
        sending + micros(store, others, served).max(micros(store, 1, served_each))
    }

    /// What waits for events that died with their writers is given up after the patience configured.
    fn check_nothing_waits_for_ever(&mut self) {
        let held =
            |world: &mut Self| world.alive().into_iter().map(|host| world.status(host).held_bytes).sum::<usize>();
        if held(self) > 0 {
            let patience = self.process(self.alive()[0]).engine.config().patience_us;
            self.advance(patience + REST_MICROS);
            assert_eq!(held(self), 0, "bytes held for ever:\n{}", self.describe());
        }
    }

    /// Baselines that nothing needs go, once their owners have been heard of.
    fn check_clearing_up(&mut self) {
        let surplus = |world: &mut Self| {
            world.alive().into_iter().find_map(|host| {
                let (id, kept) = (world.process(host).engine.id(), world.status(host).baselines);
                let store = world.process(host).engine.store();
                let has = |key: &[u8], dot: Dot| dot.replica == id || store.covers(key, dot);
                let needed = world.history.baselines_needed(|owner| world.running(owner).is_some(), has);
                (kept > needed).then(|| format!("host {host} keeps {kept} baselines and needs {needed}"))
            })
        };
        let rounds = CLEARING_ROUNDS * self.hosts() as u64;
        let (begun, bound) = (self.now, (rounds * self.config.gossip_interval_us).max(CLEARING_MICROS_MIN));
        while let Some(surplus) = surplus(self) {
            assert!(self.now - begun < bound, "{surplus}:\n{}", self.describe());
            self.advance(REST_MICROS);
        }
    }

    /// Where everybody stands, for a reader of a failure.
    #[must_use]
    pub fn describe(&mut self) -> String {
        let mut text = String::new();
        for host in self.alive() {
            let Process { engine, believed, .. } = self.process_mut(host);
            let open = engine.store().has_open_window();
            let status = engine.status();
            let peers = status.peers.iter().map(|it| (it.id, it.live, it.acked, it.agrees));
            let counters = status.counters.entries().into_iter().filter(|(_, count)| *count > 0);
            let _ = writeln!(
                text,
                "host {host} {} at {}, {} and owed by {:?}, open: {open}, has {:?} and {} buckets ahead, fingerprint {:?}, {} bytes held, \
                 catching up: {}, believes {believed:?}\n  peers (live, acked, agrees): {:?}\n  {:?}",
                status.id,
                status.seq,
                status.standing.name(),
                status.owed_by,
                status.version_vector,
                status.buckets_ahead,
                status.fingerprint,
                status.held_bytes,
                status.catching_up,
                peers.collect::<Vec<_>>(),
                counters.collect::<Vec<_>>(),
            );
        }
        text
    }
}
