//! A run written down before it begins: every step a client, the network or fate will take.
//!
//! Drawn in swarm fashion (Groce et al. 2012): each run leaves out some kinds of faults and operations altogether, so
//! that over many seeds rare combinations get runs of their own instead of drowning in an average.

use cahoots_gossip::Zone;
use cahoots_gossip::engine::{MemoryBound, ReplicaConfig};
use cahoots_gossip::wire::ClusterKey;

use super::faults::{Faults, draw_links};
use super::memory::draw_bounds;
use super::workload::Workload;
use super::{Link, Random};
use crate::client::Request;

/// One thing that happens. A step that does not apply (nothing runs there) is skipped.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client of this host runs one group of operations.
    Write(usize, Vec<Request>),
    /// FLUSHALL at this host.
    Clear(usize),
    /// Ballots of replicas that are gone are discarded by this host, if it is its turn.
    Tend(usize),
    /// The flush window of this host is closed at once.
    Flush(usize),
    /// So many microseconds pass.
    Wait(u64),
    /// A process with empty memory starts.
    Start(usize),
    /// kill -9.
    Crash(usize),
    /// The state is written to disk.
    Sync(usize),
    /// The state is written to disk, and the process ends at once.
    Park(usize),
    /// A process starts from what is on its disk: under its old id if nothing was told since.
    Resume(usize),
    /// A process ends and starts again under its old id from a disk that may be behind.
    Lie(usize),
    /// The disk of the first host is copied to the second, and a process starts there from it.
    Copy(usize, usize),
    /// SIGSTOP.
    Stop(usize),
    /// SIGCONT.
    Continue(usize),
    /// From now on a process spends so many microseconds on each datagram.
    Slow(usize, u64),
    /// SIGTERM: hands over what only it has, then ends.
    Leave(usize),
    /// SIGTERM to several at once.
    LeaveTogether(Vec<usize>),
    /// Nothing from the first host reaches the second.
    Cut(usize, usize),
    /// The opposite.
    Restore(usize, usize),
    /// These hosts hear and are heard by each other only.
    Split(Vec<usize>),
    /// No link is cut any more.
    Join,
    /// The first host takes the second for dead, wrongly.
    Suspect(usize, usize),
    /// A wall clock jumps until it is so many milliseconds off.
    Skew(usize, i64),
    /// The memory of a host is bounded, or bounded otherwise than before.
    Bound(usize, MemoryBound),
    /// Everything is compared with the oracle.
    Check,
}

/// How members hear of each other in a run.
#[derive(Clone, Copy, Debug)]
pub struct Detection {
    /// Heartbeats count through third parties.
    pub hearsay: bool,
    /// Shortest and longest delay in microseconds.
    pub delay: (u64, u64),
    /// Of 100 dead peers found, how many are forgotten.
    pub forgets: f64,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what is left open here: what the network does to each datagram, ids, delays of detection.
    pub seed: u64,
    /// How many hosts there are.
    pub hosts: usize,
    /// The engine's configuration.
    pub config: ReplicaConfig,
    /// Every link, while faults last.
    pub link: Link,
    /// Those directions (from, to) that behave in another way.
    pub other_links: Vec<(usize, usize, Link)>,
    /// No stream ever connects.
    pub streams_blocked: bool,
    /// Datagrams that fit a socket.
    pub backlog: usize,
    /// The zone of each host.
    pub zones: Vec<Zone>,
    /// The failure detector.
    pub detection: Detection,
    /// Faults and work.
    pub steps: Vec<Step>,
    /// Hosts that stay dead if they are dead when the faults end.
    pub lost_for_ever: Vec<usize>,
}

impl Plan {
    /// The run that belongs to `seed`.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let hosts = if random.percent(4.0) { 12 } else { *random.pick(&[2, 2, 3, 3, 3, 4, 5, 7]) };
        let mut config = draw_config(&mut random.fork(1));
        if hosts > 5 {
            // With room for a few events only, what several origins wrote against each other comes an event at a time.
            config.held_bytes_max = config.held_bytes_max.max(20_000);
        }
        let (link, other_links) = draw_links(&mut random.fork(2), hosts);
        let backlog = *random.pick(&[8, 400, 400]);
        let detection = Detection {
            hearsay: random.percent(60.0),
            delay: *random.pick(&[(1_000, 50_000), (100_000, 1_500_000), (500_000, 5_000_000)]),
            forgets: if random.percent(30.0) { 40.0 } else { 0.0 },
        };
        let faults = Faults::draw(&mut random.fork(3));
        let length = *random.pick(&[40, 120, 120, 300, 300, 600]);
        let mut draw = Draw {
            workload: draw_workload(&mut random.fork(4)),
            faults,
            hosts,
            patience: *random.pick(&[300, 3_000, 3_000, 40_000]),
            random: random.fork(5),
            steps: Vec::new(),
        };
        draw.opening();
        for number in 0..length {
            draw.step();
            if number % 10 == 9 {
                draw.steps.push(Step::Check);
            }
        }
        // Of a sequence of their own, so that a seed means the same run without them.
        draw_bounds(&mut Random::new(seed.rotate_left(32)), hosts, &mut draw.steps);
        let lost_for_ever = (0..hosts).skip(1).filter(|_| random.percent(30.0)).collect();
        let count = *random.pick(&[1, 1, 2, 3]);
        let zones =
            (0..hosts).map(|_| *random.pick(&["", "east", "west", "south"][..=count])).map(Zone::named).collect();
        let streams_blocked = random.percent(15.0);
        if streams_blocked {
            // A bucket that finds no room there has to wait for streams.
            config.assembly_bytes_max = 128 << 20;
        }
        Self {
            seed,
            hosts,
            config,
            zones,
            link,
            other_links,
            streams_blocked,
            backlog,
            detection,
            steps: draw.steps,
            lost_for_ever,
        }
    }
}

/// In some runs keys and fields end, within a run or long after it.
fn draw_workload(random: &mut Random) -> Workload {
    const SPANS_MS: [&[u64]; 3] =
        [&[0, 1, 5, 20], &[1, 20, 300, 3_000], &[0, 3, 50, 1_000, 20_000, 7_200_000, 7_200_000]];
    match random.percent(40.0) {
        true => {
            let (count, spans) = (*random.pick(&[1, 4, 12]), *random.pick(&SPANS_MS));
            Workload::draw_volatile(random, count, spans)
        }
        false => Workload::draw(random),
    }
}

/// Small bounds as often as the usual ones: a laggard below the log's floor, a full buffer, a window of one datagram.
fn draw_config(random: &mut Random) -> ReplicaConfig {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = *random.pick(&[0, 2_000, 20_000, 64 << 20, 64 << 20]);
    config.records_bytes_max = config.log_bytes_max.max(2_000);
    config.datagram_bytes_max = *random.pick(&[1_200, 1_200, 1_400]);
    config.flush_gap_us = *random.pick(&[0, 200, 200, 5_000]);
    config.gossip_interval_us = *random.pick(&[50_000, 1_000_000, 1_000_000]);
    config.flight_bytes_max = *random.pick(&[4_000, 256 << 10]);
    config.held_bytes_max = *random.pick(&[4_000, 64 << 20, 64 << 20]);
    config.assembly_bytes_max = *random.pick(&[10_000, 128 << 20, 128 << 20]);
    config.transfer_bytes = *random.pick(&[1, 5_000, 128 << 10]);
    config.refine_bytes_min = *random.pick(&[0, 0, 100, 2 << 10]);
    config.serve_bytes_per_second = *random.pick(&[None, None, Some(200_000)]);
    config.serve_bytes_per_second_each = *random.pick(&[None, None, Some(100_000)]);
    config.patience_us = *random.pick(&[1_000_000, 30_000_000]);
    if random.percent(30.0) {
        config.key = Some(ClusterKey::new([7; 32]));
    }
    // Vectors that do not fit a message; trees in clusters of three, some that begin and end as members come and go.
    config.version_entries_max = *random.pick(&[3, 55]);
    config.relay_above = *random.pick(&[16, 16, 0, 2, 3]);
    config.relay_fanout = *random.pick(&[1, 2, 2, 16]);
    config.relay_zones_fanout = *random.pick(&[1, 2, 32]);
    config.relay_bytes_max = *random.pick(&[500, 256 << 10, 256 << 10]);
    if random.percent(15.0) {
        config.send_bytes_per_second = Some(*random.pick(&[200_000, 2_000_000]));
        config.send_bytes_per_second_peer = *random.pick(&[None, Some(100_000)]);
        config.transfer_bytes = config.transfer_bytes.max(5_000); // one at a time, buckets alone take longer than it may
    }
    config
}

struct Draw {
    workload: Workload,
    faults: Faults,
    hosts: usize,
    /// Typical microseconds between two steps.
    patience: u64,
    random: Random,
    steps: Vec<Step>,
}

impl Draw {
    /// Most runs begin with everybody there; in some the last host comes late.
    fn opening(&mut self) {
        let late = self.random.percent(25.0);
        self.steps.extend((0..self.hosts - usize::from(late)).map(Step::Start));
        if self.random.percent(80.0) {
            self.steps.push(Step::Wait(5_000_000));
        }
    }

    fn host(&mut self) -> usize {
        self.random.index(self.hosts)
    }

    fn step(&mut self) {
        let (host, other) = (self.host(), self.host());
        self.steps.extend(self.faults.strike(&mut self.random, self.hosts, host, other));
        // Now and then somebody who is dead, stopped or cut off comes back; on the living this does nothing.
        match self.random.below(60) {
            0 if self.random.percent(self.faults.resumes) => self.steps.push(Step::Resume(host)),
            0 => self.steps.push(Step::Start(host)),
            1 => self.steps.push(Step::Continue(host)),
            2 => self.steps.push(Step::Restore(host, other)),
            3 if self.random.percent(40.0) => self.steps.push(Step::Join),
            4 => self.steps.push(Step::Flush(host)),
            7 => self.steps.push(Step::Tend(host)),
            6 => self.steps.push(Step::Slow(host, 0)),
            5 if self.random.percent(self.workload.clears) => self.steps.push(Step::Clear(host)),
            _ => {}
        }
        for _ in 0..*self.random.pick(&[1, 1, 1, 2, 5]) {
            let group = self.workload.group(&mut self.random);
            let at = if self.random.percent(80.0) { self.host() } else { host };
            self.steps.push(Step::Write(at, group));
        }
        if self.random.percent(60.0) {
            let patience = self.patience;
            let wait = match self.random.below(40) {
                0 => self.random.between(100_000, 3_000_000),
                1..5 => self.random.between(patience, patience * 20),
                _ => self.random.between(1, patience),
            };
            self.steps.push(Step::Wait(wait));
        }
    }
}
