//! The replication protocol as a state machine.
//!
//! [`Replica`] holds the store and all that is known of the peers. The driver passes in writes, datagrams, the
//! passing of time and news of membership, then sends what [`Replica::poll_transmit`] gives, until there is nothing
//! more, carries what [`Replica::poll_ask`] gives on reliable streams, and sleeps until [`Replica::poll_timeout`].
//!
//! How a change travels, from the common case to the rarest:
//! 1. A flush window is sealed into an event and sent, once, to every live peer (`transmit`); in a large cluster
//!    to a few, who pass it on (`relay`).
//! 2. A peer that sees a gap asks for what is missing at once (`pull`); it acknowledges what it has applied. When
//!    an acknowledgement is overdue it is asked how far it is, so that a lost tail shows.
//! 3. Digests are exchanged with random peers, dead ones included now and then (`anti_entropy`), and where they
//!    differ, version vectors (`versions`). Who lacks something asks for it.
//! 4. What a log no longer reaches is fetched bucket by bucket (`reconcile`), from several peers at once; who is asked
//!    answers at once and keeps nothing (`serve`).
//!
//! Whatever is missing, the one who lacks it asks for it: the sender keeps no queue per peer, only a position in its
//! log, and a slow or dead peer costs it nothing.

mod config;
mod life;
mod repair;
mod spread;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use cahoots_crdt::{Dot, ReplicaId, VersionVector};

use crate::Zone;
use crate::mix;
use crate::store::{Change, Store, Writer};
use crate::wire::{ClusterKey, Envelope, Message};
use life::ballots::Departed;
use life::clock::WallClock;
use life::expiry::Expiry;
use life::hand_over::HandOver;
use life::joining::Joining;
use repair::assembly::Assemblies;
use repair::by_datagrams::{Fetches, KeptAnswers};
use repair::delivery::Held;
use repair::pull::Pull;
use repair::reconcile::Reconciliation;
use repair::serve::Allowance;
use repair::versions::Recent;
use spread::cast::Casts;
use spread::log::Log;
use spread::pace::Pace;
use spread::peer::Peer;
use spread::peers::Peers;
use spread::relay::{Place, SpreadCheck};

pub use config::{Now, ReplicaConfig};
pub use life::ballots::{Discarded, Tally};
pub use life::joining::{Progress, Readiness, ReadyReason, Stance, Standing};
pub use life::record::{Record, Records};
pub use repair::receive::Received;
pub use repair::reconcile::Ask;
pub use repair::serve::{Reading, Served};
pub(crate) use spread::cast::PartHead;
pub use spread::cast::{Publication, PublicationTooLong};
pub use spread::queues::Queue;
pub use spread::transmit::{RUN_MAX, Transmit};
pub use status::{Counters, Event, PeerStatus, Status};

/// Events queued for the driver; beyond this the oldest are dropped.
const EVENTS_MAX: usize = 1024;
/// Least time between two flush windows while no peer and no disk waits for them, in microseconds.
const ALONE_GAP_US: u64 = 10_000;

/// One replica: its copy of the key space, and the protocol that keeps it equal to the others'.
#[derive(Debug)]
pub struct Replica {
    config: ReplicaConfig,
    envelope: Envelope,
    store: Store,
    log: Log,
    departed: Departed,
    expiry: Expiry,
    /// There until it is complete.
    joining: Option<Joining>,
    /// By whose data it became complete, if it had met nobody else who was.
    joined: Option<ReplicaId>,
    /// There once it serves.
    ready: Option<ReadyReason>,
    /// There while it is about to stop.
    hand_over: Option<HandOver>,
    peers: Peers,
    /// The own places in the trees of live origins, as far as they were needed since membership changed.
    places: BTreeMap<ReplicaId, Place>,
    /// To whom own events are sent, unless membership has changed since.
    targets: Vec<ReplicaId>,
    aim_stale: bool,
    /// Own events up to here were given to those.
    spread_upto: u64,
    spread_check: Option<SpreadCheck>,
    /// The event, and when it left, from which those who get it by way of others measure round trips.
    timed: Option<(u64, u64)>,
    /// The body of an event that fits a datagram.
    single_bytes_max: usize,
    /// The origins whose events came last.
    recent: Recent,
    held: Held,
    /// Where looking for the first gap of an origin may begin. Cleared whenever something held is given up.
    reach: BTreeMap<ReplicaId, u64>,
    pulls: BTreeMap<ReplicaId, Pull>,
    assemblies: Assemblies,
    reconciliation: Option<Reconciliation>,
    /// Whether buckets came in this pass, or in the one before it.
    fetching: bool,
    /// Requests for the driver to carry. As bounded as what may be under way.
    asks: VecDeque<Ask>,
    /// The last request's number.
    asks_made: u64,
    /// Requests under way by datagrams, and answers kept for such requests of others.
    fetches: Fetches,
    kept_answers: KeptAnswers,
    /// Of what is given out to all peers together.
    allowance: Allowance,

    /// Messages to whoever listens.
    casts: Casts,
    /// How fast datagrams leave, and when those that wait for that may.
    pace: Pace,
    paced_until: Option<u64>,
    /// The peer last sent to.
    served: ReplicaId,

    /// When the open window is to be sealed.
    flush_due: Option<u64>,
    flushed_at: Option<u64>,
    /// The own seq at that time.
    flushed: u64,
    /// Between the last two flushes several windows were sealed, mostly because they were full.
    busy: bool,
    round_due: u64,
    rounds: u64,
    random: u64,

    wall_clock: WallClock,
    /// There while a disk wants them.
    records: Option<Records>,
    /// What is on disk, if there is one.
    kept: Option<VersionVector>,
    /// Another process uses this id: nothing is done before another is taken.
    conflicted: bool,
    /// While the id is on probation: peers that have said what they have, and since when they are asked.
    heard: BTreeSet<ReplicaId>,
    examined_since: Option<u64>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Replica {
    /// An empty replica that mints its events as `id`, which must never have been used before.
    #[must_use]
    pub fn new(config: ReplicaConfig, id: ReplicaId, now: Now) -> Self {
        let envelope = config.envelope(id);
        let window_bytes_max = spread::transmit::event_bytes_max(&config, &envelope);
        Self {
            store: Store::new(id, config.limits.clone(), window_bytes_max),
            log: Log::new(config.log_bytes_max),
            departed: Departed::default(),
            expiry: Expiry::default(),
            joining: None,
            joined: None,
            ready: Some(ReadyReason::First),
            hand_over: None,
            peers: Peers::default(),
            places: BTreeMap::new(),
            targets: Vec::new(),
            aim_stale: false,
            spread_upto: 0,
            spread_check: None,
            timed: None,
            single_bytes_max: window_bytes_max,
            recent: Recent::new(config.version_entries_max),
            held: Held::new(config.held_bytes_max),
            reach: BTreeMap::new(),
            pulls: BTreeMap::new(),
            assemblies: Assemblies::new(config.assembly_bytes_max),
            reconciliation: None,
            fetching: false,
            asks: VecDeque::new(),
            // A peer may keep answers to what was asked under this id before a restart.
            asks_made: config.nonce_salt >> 32,
            fetches: Fetches::default(),
            kept_answers: KeptAnswers::default(),
            allowance: Allowance::default(),
            casts: Casts::default(),
            pace: Pace::default(),
            paced_until: None,
            served: id,
            flush_due: None,
            flushed_at: None,
            flushed: 0,
            busy: false,
            round_due: now.mono + config.gossip_interval_us,
            rounds: 0,
            random: id.get(),
            wall_clock: WallClock::default(),
            records: None,
            kept: None,
            conflicted: false,
            heard: BTreeSet::new(),
            examined_since: None,
            events: VecDeque::new(),
            counters: Counters::default(),
            envelope,
            config,
        }
    }

    /// The id under which this replica mints its events.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.store.id()
    }

    /// The copy of the key space, to read from.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it was told at its start.
    #[must_use]
    pub fn config(&self) -> &ReplicaConfig {
        &self.config
    }

    /// Runs one group of writes: whatever `operations` does reaches the peers as one event. `bytes` estimates the
    /// keys and values written, 0 if unknown.
    pub fn write<R>(&mut self, now: Now, bytes: usize, operations: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.watch_clock(now);
        let result = self.store.write(now.wall, bytes, operations);
        self.wrote(now);
        result
    }

    /// Opens a group: all that is written until [`Replica::end_group`] reaches the peers as one event, however many calls
    /// write it. Nothing else may be asked of the replica meanwhile but reads and writes.
    ///
    /// # Panics
    /// If a group is open.
    pub fn begin_group(&mut self, now: Now, bytes: usize) {
        self.watch_clock(now);
        self.store.begin_group(now.wall, bytes);
    }

    /// Closes the group that is open.
    ///
    /// # Panics
    /// If none is.
    pub fn end_group(&mut self, now: Now) {
        self.store.end_group();
        self.wrote(now);
    }

    fn wrote(&mut self, now: Now) {
        self.see_time(now);
        if self.store.has_open_window() && self.flush_due.is_none() {
            let earliest = self.flushed_at.map_or(0, |at| at + self.flush_gap_us());
            self.flush_due = Some(now.mono.max(earliest));
        }
    }

    /// Least time from the last flush to the next.
    fn flush_gap_us(&self) -> u64 {
        match self.is_awaited() {
            true if self.busy => self.config.busy_flush_gap_us.max(self.config.flush_gap_us),
            true => self.config.flush_gap_us,
            false => ALONE_GAP_US,
        }
    }

    /// Whether a peer or a disk waits for what is written here.
    fn is_awaited(&self) -> bool {
        self.peers.live() > 0 || self.records.is_some()
    }

    /// The seq of the event that carries all own writes so far, an open one included; 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.store.position()
    }

    /// When the open window is to be sealed; `None` if none is open.
    #[must_use]
    pub fn flush_due(&self) -> Option<u64> {
        self.flush_due
    }

    /// Seals the open window now, unless a group is open.
    pub fn flush(&mut self, now: Now) {
        if self.conflicted || self.store.has_open_group() {
            return;
        }
        if self.store.has_open_window() {
            self.store.seal();
            self.flushed_at = Some(now.mono);
            let seq = self.store.sealed_seq();
            self.busy = seq > self.flushed + 1;
            self.flushed = seq;
        }
        self.flush_due = None;
        self.log_sealed();
    }

    /// How many live peers have applied own events up to `seq`.
    #[must_use]
    pub fn acked_by(&self, seq: u64) -> usize {
        self.peers.values().filter(|peer| peer.live && peer.acked >= seq).count()
    }

    /// Asks every live peer that has not acknowledged all own events to do so at once.
    pub fn hurry_acks(&mut self, now: Now) {
        self.flush(now);
        let seq = self.store.sealed_seq();
        let lacking = self.peers.iter().filter(|(_, peer)| peer.live && peer.acked < seq);
        let lacking: Vec<ReplicaId> = lacking.map(|(id, _)| *id).collect();
        for id in lacking {
            let peer = self.peers.get_mut(&id).expect("it was just seen");
            if !peer.pushed {
                peer.expect(now.mono, now.mono, seq, 0);
            }
            peer.tail_due = Some(now.mono); // asked after the events have left
            peer.hurried = true;
        }
    }

    /// Membership announces a live peer, or that one has moved. One that comes up counts as complete until
    /// [`Replica::peer_stance`] says otherwise.
    pub fn peer_up(&mut self, now: Now, id: ReplicaId, addr: SocketAddr, zone: Zone) {
        if id == self.id() {
            return;
        }
        let sealed = self.store.sealed_seq();
        let was_live = self.is_live(id);
        let mut changed = !self.peers.contains_key(&id);
        let peer = self.peers.get_or_insert_with(id, || Peer::new(addr, zone, sealed));
        changed |= std::mem::replace(&mut peer.zone, zone) != zone;
        peer.addr = addr;
        if !peer.live {
            peer.drop_queues(sealed);
            peer.standing = Standing::default();
            // Its clock, or this one, may have stepped while it was away.
            peer.clock_offset_ms = None;
        }
        if !was_live {
            self.departed.note_met(id);
            self.store.report_ballots(id);
        }
        changed |= self.peers.set_live(id, true);
        if changed {
            self.membership_changed();
        }
        self.flush_due = self.flush_due.map(|due| due.min(now.mono + self.config.flush_gap_us));
        if self.expect_account(now, id) {
            return;
        }
        // Of a large cluster, a few greet; the others hear of each other in the rounds.
        let few = self.config.relay_above;
        if !self.relays() || self.random_below(self.peers.live()) < few {
            self.send_digest(now, id);
        }
    }

    /// Membership holds a peer to be dead. It stays known, and is tried now and then.
    pub fn peer_down(&mut self, now: Now, id: ReplicaId) {
        let sealed = self.store.sealed_seq();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.drop_queues(sealed);
        }
        if self.peers.set_live(id, false) {
            self.store.report_ballots(id);
            self.membership_changed();
        }
        self.drop_exchanges(id);
        self.expect_no_account(id);
        self.consider_joining(now);
    }

    /// A peer has left for good, or its id was replaced: it is forgotten. Its data stays; its ballots count no more and
    /// will be discarded.
    pub fn peer_gone(&mut self, id: ReplicaId) {
        if let Some(peer) = self.peers.remove(&id) {
            self.departed.note_gone(id);
            if peer.live {
                self.store.report_ballots(id);
            }
            self.membership_changed();
        }
        self.expect_no_account(id);
        self.drop_exchanges(id);
        self.casts.forget(id);
    }

    /// Gives up everything large that is on its way from a peer: what it was to send, others are asked for.
    fn drop_exchanges(&mut self, id: ReplicaId) {
        self.assemblies.forget(id);
        self.kept_answers.forget(id);
        self.reach.clear();
        self.drop_source(id);
    }

    /// The datagram around a message of the membership protocol.
    #[must_use]
    pub fn seal_membership(&mut self, payload: &[u8]) -> Vec<u8> {
        self.envelope.wrap(crate::wire::Kind::Membership, payload)
    }

    /// The datagram around a probe, brought to `bytes` if it is shorter.
    #[must_use]
    pub fn seal_probe(&mut self, probe: &crate::wire::Probe, bytes: usize) -> Vec<u8> {
        let length = bytes.saturating_sub(self.envelope.overhead_bytes());
        self.envelope.wrap(crate::wire::Kind::Probe, &probe.encode(length))
    }

    /// Seals datagrams by `key` from now on, and opens those that are sealed by it or one of `others`. Does nothing, and says
    /// so, to a replica that was started without a key: its peers would take it for a stranger.
    pub fn set_keys(&mut self, key: &ClusterKey, others: &[ClusterKey]) -> bool {
        if self.config.key.is_none() {
            return false;
        }
        (self.config.key, self.config.other_keys) = (Some(key.clone()), others.to_vec());
        self.envelope.set_keys(key, others);
        true
    }

    /// Lets time pass: does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.conflicted {
            self.round_due = now.mono + self.config.gossip_interval_us;
            return;
        }
        self.expire(now);
        self.check_spread(now);
        self.probe_tails(now);
        self.retry_casts(now);
        self.retry_pulls(now);
        self.retry_assemblies(now);
        self.retry_fetches(now);
        self.retry_reconciliation(now);
        self.consider_joining(now);
        if now.mono >= self.round_due {
            self.gossip_round(now);
        }
    }

    /// When [`Replica::handle_timeout`] or [`Replica::poll_transmit`] has something to do, in microseconds of the
    /// monotonic clock. May be in the past.
    #[must_use]
    pub fn poll_timeout(&self) -> u64 {
        if self.conflicted {
            return self.round_due;
        }
        let pulls = self.pulls.values().map(|pull| pull.due);
        let others = [
            self.peers.due(),
            self.flush_due,
            self.paced_until,
            self.spread_check.as_ref().map(|it| it.due),
            self.assemblies.due(),
            self.fetches.due(),
            self.reconciliation.as_ref().map(|it| it.due),
            self.joining.as_ref().map(Joining::due),
            self.expiry_due(),
        ];
        pulls.chain(others.into_iter().flatten()).fold(self.round_due, u64::min)
    }

    /// The next thing the driver may want to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Starts or ends the recording of changed keys for [`Replica::poll_change`].
    pub fn record_changes(&mut self, on: bool) {
        self.store.record_changes(on);
    }

    /// Whether changed keys are recorded.
    #[must_use]
    pub fn records_changes(&self) -> bool {
        self.store.records_changes()
    }

    /// The next changed key, by own writes and those of others.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.store.poll_change()
    }

    /// This replica's account of itself. Seals the window.
    pub fn status(&mut self) -> Status {
        let fingerprint = self.store.fingerprint();
        self.log_sealed();
        let seq = self.store.sealed_seq();
        let peers = self.peers.iter().map(|(id, peer)| PeerStatus {
            id: *id,
            addr: peer.addr,
            live: peer.live,
            acked: peer.acked,
            lag_events: seq.saturating_sub(peer.acked),
            agrees: peer.agrees,
            rtt_us: peer.rtt_us(),
            streams_fail: peer.streams.has_failed(),
        });
        Status {
            id: self.id(),
            seq,
            version_vector: self.store.version_vector().clone(),
            buckets_ahead: self.store.buckets_ahead(),
            fingerprint,
            keys: self.store.len(),
            clashes: self.store.clashes(),
            baselines: self.store.baselines(),
            log_bytes: self.log.bytes(),
            held_bytes: self.held.bytes(),
            tracked: self.peers.len()
                + self.places.len()
                + self.log.origins()
                + self.held.origins().len()
                + self.reach.len()
                + self.pulls.len(),
            catching_up: self.reconciliation.is_some(),
            readiness: self.readiness(),
            standing: self.standing(),
            progress: self.progress(),
            owed_by: self.owed_by(),
            clock_ahead_ms: self.wall_clock.ahead_ms,
            peers: peers.collect(),
            counters: self.counters.clone(),
        }
    }

    /// Checks, at the cost of a pass over everything, that fingerprints were kept exactly.
    #[must_use]
    pub fn fingerprints_are_exact(&mut self) -> bool {
        let exact = self.store.fingerprints_are_exact();
        self.log_sealed();
        exact
    }

    /// Moves events that the store has sealed into the log, from where they are sent.
    fn log_sealed(&mut self) {
        let me = self.id();
        while let Some(sealed) = self.store.poll_sealed() {
            self.counters.events_minted += 1;
            let (event, body) = (Dot::new(me, sealed.seq), Arc::<[u8]>::from(sealed.body));
            self.record(|| Record::Event(event, Arc::clone(&body)));
            self.log.append(event, body);
            self.recent.note(me);
        }
        if !self.store.has_open_window() {
            self.flush_due = None;
        }
    }

    fn tell(&mut self, peer: ReplicaId, message: &Message<'_>) {
        if self.peers.get_mut(&peer).is_some_and(|peer| !peer.tell(message)) {
            self.counters.messages_dropped += 1;
        }
    }

    fn emit(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn rto_us(&self, peer: ReplicaId) -> u64 {
        self.peers.get(&peer).map_or(spread::peer::RTO_UNKNOWN_US, Peer::rto_us)
    }

    /// A number below `bound`, of a sequence that begins with the id. Only chooses whom to talk to.
    fn random_below(&mut self, bound: usize) -> usize {
        usize::try_from(mix::next(&mut self.random) % bound as u64).expect("below a usize")
    }
}
