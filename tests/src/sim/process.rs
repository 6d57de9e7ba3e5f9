//! One simulated process: the real engine, its clocks, and a client that believes every change notification.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use cahoots_crdt::{ReplicaId, VersionVector};
use cahoots_gossip::engine::{Event, Now, Replica, Stance, Standing, Tally};
use cahoots_gossip::store::Change;

use super::joining::Joined;
use crate::oracle::Shown;

/// Milliseconds since 1970 at which every run begins.
pub const EPOCH: u64 = 1_800_000_000_000;

/// What a process that does not run, or not fast enough, leaves in its socket; more is dropped, as a kernel would.
pub(super) const SOCKET_BACKLOG: usize = 400;

/// Clocks of one process: both begin somewhere else and the wall clock may be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    /// Microseconds by which the monotonic clock is ahead of the world's.
    pub mono_ahead: u64,
    /// Milliseconds by which the wall clock is wrong.
    pub wall_error: i64,
}

impl Clocks {
    /// What both clocks read at this instant of the world.
    #[must_use]
    pub fn read(self, world: u64) -> Now {
        let wall = (EPOCH + world / 1_000).checked_add_signed(self.wall_error).expect("errors are small");
        Now { mono: world + self.mono_ahead, wall }
    }
}

/// A datagram in the socket of a process that is stopped.
pub(super) struct Waiting {
    pub(super) source: SocketAddr,
    pub(super) datagram: Vec<u8>,
    pub(super) damaged: bool,
}

/// A running or stopped process.
pub struct Process {
    /// The engine itself.
    pub engine: Replica,
    /// Its clocks.
    pub clocks: Clocks,
    /// Stopped by SIGSTOP: time goes on, nothing is processed.
    pub stopped: bool,
    /// What is on the disk of its host leads up to the records of its engine.
    pub(super) on_disk: bool,
    pub(super) socket: VecDeque<Waiting>,
    /// What a client knows that read everything once and since then re-reads what it is told has changed.
    pub(super) mirror: Option<BTreeMap<Vec<u8>, Shown>>,
    /// What that client makes of the votes among these: counted when it was told to look.
    pub(super) tallies: BTreeMap<Vec<u8>, Tally>,
    /// What the failure detector last told this process of each peer: that it lives at this address, or that it is dead.
    pub(super) believed: BTreeMap<ReplicaId, Option<SocketAddr>>,
    /// Everything the engine reported.
    pub events: Vec<Event>,
    pub(super) timer: (u64, u32),
    /// There if it joined others.
    pub(super) joined: Option<Joined>,
    /// How it stood, as others are told.
    pub(super) stood: Stance,
    /// Hosts from which it has heard: its seeds are all that run.
    pub(super) heard: BTreeSet<usize>,
    /// What those had that it was told are complete, or that others knew which it has met.
    pub(super) knows: BTreeMap<ReplicaId, VersionVector>,
    /// When it started.
    pub(super) born: u64,
    /// Microseconds that it spends on each datagram; 0 = none worth counting.
    pub slow_us: u64,
    /// Until then it is busy with a datagram.
    pub(super) busy_until: u64,
}

impl Process {
    pub(super) fn start(mut engine: Replica, clocks: Clocks, world: u64, watched: bool) -> Self {
        if watched {
            engine.record_changes(true);
        }
        Self {
            clocks,
            stopped: false,
            on_disk: false,
            socket: VecDeque::new(),
            mirror: watched.then(|| read_all(&engine, clocks.read(world).wall)),
            tallies: count_all(&engine),
            believed: BTreeMap::new(),
            events: Vec::new(),
            timer: (0, 0),
            joined: None,
            stood: Stance { standing: Standing::Joining, ..Stance::default() },
            heard: BTreeSet::new(),
            knows: BTreeMap::new(),
            born: world,
            slow_us: 0,
            busy_until: 0,
            engine,
        }
    }

    /// The instant of the world at which the engine wants to be called.
    pub(super) fn due(&self) -> Option<u64> {
        if self.stopped {
            return None;
        }
        let timer = self.engine.poll_timeout().saturating_sub(self.clocks.mono_ahead);
        Some(if self.socket.is_empty() { timer } else { timer.min(self.busy_until) })
    }

    pub(super) fn enqueue(&mut self, waiting: Waiting, backlog: usize) -> bool {
        let room = self.socket.len() < backlog;
        if room {
            self.socket.push_back(waiting);
        }
        room
    }

    /// Lets the watching client hear of changes and look again, at this wall time.
    pub(super) fn hear_changes(&mut self, wall: u64) -> u64 {
        let mut heard = 0;
        while let Some(change) = self.engine.poll_change() {
            heard += 1;
            let Some(mirror) = &mut self.mirror else { continue };
            match change {
                Change::Key { key, .. } => {
                    let shown = Shown::read(self.engine.store().at(wall), &key);
                    if matches!(shown, Shown::Ballots(_)) {
                        self.tallies.insert(key.to_vec(), self.engine.tally(Now::default(), &key));
                    } else {
                        self.tallies.remove(&key[..]);
                    }
                    if shown == Shown::Nothing {
                        mirror.remove(&key[..]);
                    } else {
                        mirror.insert(key.to_vec(), shown);
                    }
                }
                Change::Lost => {
                    *mirror = read_all(&self.engine, wall);
                    self.tallies = count_all(&self.engine);
                }
            }
        }
        heard
    }
}

/// What every vote amounts to.
#[must_use]
pub(super) fn count_all(engine: &Replica) -> BTreeMap<Vec<u8>, Tally> {
    let keys = read_all(engine, 0).into_iter().filter(|(_, shown)| matches!(shown, Shown::Ballots(_)));
    keys.map(|(key, _)| (engine.tally(Now::default(), &key), key)).map(|(tally, key)| (key, tally)).collect()
}

/// Everything a replica shows at this wall time, found by scanning.
#[must_use]
pub fn read_all(engine: &Replica, wall: u64) -> BTreeMap<Vec<u8>, Shown> {
    let moment = engine.store().at(wall);
    let mut keys = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = moment.scan(cursor, 100, |key, _| keys.push(key.to_vec()));
        if cursor == 0 {
            break;
        }
    }
    keys.into_iter().map(|key| (Shown::read(moment, &key), key)).map(|(shown, key)| (key, shown)).collect()
}
