//! What the parts of a node share: the engine behind its lock, and the ways out of it.
//!
//! A task that has given the engine something to do calls [`Shared::drive`]: it runs due timers, collects what is to be
//! sent, and arms the timer for the next deadline, all under the lock; then, with the lock released, it sends. So a
//! write made on an idle node is on its way before the call that made it returns, with no task woken in between.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;
use tokio::sync::{Notify, broadcast, mpsc, watch};

use super::bulk::ASKS_MAX;
use super::changes::{CHANGES_MAX, Changes};
use super::clock::Clock;
use super::counters::Tally;
use super::failure::NodeFailure;
use super::membership::member::{Member, MemberState, Streams};
use super::membership::pace::Pace;
use super::membership::reach::{Letter, Reach};
use super::membership::transport::Inbound;
use super::node::random_id;
use super::presence::Guards;
use super::pump::{BURST_MAX, UNSENT_MAX};
use super::socket::{Endpoint, Sent, UDP_PAYLOAD_BYTES_MAX};
use super::sums::Sums;
use super::timer::Timer;
use super::waiters::{Waiters, Waiting};
use crate::engine::{
    Ask, Event, Now, Publication, RUN_MAX, Readiness, ReadyReason, Replica, Stance, Standing, Transmit,
};
use crate::store::{Change, WriteError, hash_of};
use crate::wire::Probe;

/// Why the engine's lock is not had any more.
const BROKEN: &str = "a call into the engine panicked half way, and its state cannot be trusted any more";

/// Between two looks at due timers while the socket is full, in microseconds.
const BLOCKED_PAUSE_US: u64 = 1_000;

/// The engine and what must change in step with it.
pub(super) struct Core {
    pub(super) replica: Replica,
    /// Nothing of them waits when another task reads or writes the store.
    sums: Sums,
    /// What the timer is set to, in the engine's microseconds.
    armed: Option<u64>,
    /// The replica's id, and how it stands, as everybody has been told.
    told_id: ReplicaId,
    told_stance: Stance,
    /// There while a subscriber listens.
    changes: Option<broadcast::Sender<Change>>,
    /// A task waits for events the peers have not been asked about.
    hurry: bool,
    /// Peers have been asked to acknowledge own events up to here.
    hurried: u64,
    /// What the presence ballots of this replica are to say.
    pub(super) guards: Guards,
}

impl Core {
    fn write_sums(&mut self) {
        self.sums.write_to(&mut self.replica);
    }

    /// Whether what was just read and written leaves nothing to do now: no subscriber listens, and the timer is set to
    /// the end of the open window or before, if there is one; what was sealed since makes no run of datagrams yet.
    fn may_rest(&self, now: Now) -> bool {
        let is_armed = |ends| self.armed.is_some_and(|armed| armed > now.mono && armed <= ends);
        let (sealed, window_ends) = (self.replica.store().sealed_len(), self.replica.flush_due());
        self.changes.is_none()
            && !self.hurry
            && !self.replica.has_published()
            && self.told_id == self.replica.id()
            && window_ends.map_or(sealed == 0, |ends| sealed < RUN_MAX && is_armed(ends))
    }
}

/// Everything the tasks and handles of one node have in common.
pub(super) struct Shared {
    core: RwLock<Core>,
    /// Gone once the node has stopped.
    endpoint: RwLock<Option<Arc<Endpoint>>>,
    unsent: Mutex<VecDeque<Transmit>>,
    /// The socket was full; the pump waits for it.
    blocked: AtomicBool,
    pub(super) clock: Clock,
    pub(super) timer: Timer,
    /// Wakes the pump.
    pub(super) wake: Notify,
    /// Wakes a shutdown that waits for the hand-over.
    pub(super) progress: Notify,
    pub(super) waiters: Waiters,
    pub(super) tally: Tally,
    /// Where the engine's requests go, for streams to carry.
    asks: mpsc::Sender<Ask>,
    /// Where membership messages go while chitchat runs.
    pub(super) membership: Mutex<Option<mpsc::Sender<Inbound>>>,
    /// Hears to whom membership has answered, while this node says farewell.
    farewells: Mutex<Option<mpsc::Sender<SocketAddr>>>,
    pub(super) members: watch::Sender<Vec<Member>>,
    /// Whether their streams could be had there last, and since when.
    streams: Mutex<BTreeMap<ReplicaId, (SocketAddr, Streams)>>,
    /// Wakes membership: the streams of a peer can be had now, or no more.
    pub(super) streams_changed: Notify,
    /// Where members can be asked over streams: known before the engine knows of them, and can ask.
    bulk_addresses: Mutex<BTreeMap<ReplicaId, SocketAddr>>,
    /// There once the replica serves.
    pub(super) ready: watch::Sender<Option<ReadyReason>>,
    /// How it stands.
    pub(super) stance: watch::Sender<Stance>,
    /// There once the node has ended by itself.
    pub(super) failure: watch::Sender<Option<NodeFailure>>,
    /// The id that membership is to announce.
    pub(super) id: watch::Sender<ReplicaId>,
    /// Which first starts this node goes back to, as membership knows.
    pub(super) founding: watch::Sender<Vec<u64>>,
    /// How often membership calls on others.
    pace: Mutex<Pace>,
    /// Who answers where it announced to be.
    reach: Mutex<Reach>,
    /// Wakes membership: a peer answers now, or no more.
    pub(super) reach_changed: Notify,
    /// Called under the engine's lock when there are records for a disk.
    on_records: OnceLock<OnRecords>,
    /// Called under the engine's lock when keys may have changed by other hands than those of [`Shared::run`].
    on_changes: OnceLock<OnChanges>,
    /// Called under the engine's lock for each message that another node has published.
    on_publication: OnceLock<OnPublication>,
}

/// See [`Node::on_records`](super::Node::on_records).
pub(super) type OnRecords = Box<dyn Fn() + Send + Sync>;

/// See [`Node::on_changes`](super::Node::on_changes).
pub(super) type OnChanges = Box<dyn Fn(&mut Replica, Now) + Send + Sync>;

/// See [`Node::on_publication`](super::Node::on_publication).
pub(super) type OnPublication = Box<dyn Fn(Publication) + Send + Sync>;

/// What is left to do once the lock is released.
#[derive(Default)]
struct Turn {
    transmits: VecDeque<Transmit>,
    events: Vec<Event>,
    asks: Vec<Ask>,
    more: bool,
}

impl Shared {
    /// With what receives the engine's requests.
    pub(super) fn new(
        replica: Replica,
        endpoint: Endpoint,
        clock: Clock,
        timer: Timer,
        reach: Reach,
    ) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        let id = watch::Sender::new(replica.id());
        let (told_id, guards) = (replica.id(), Guards::new());
        let told_stance = Stance { standing: Standing::Joining, ..Stance::default() };
        let sums = Sums::default();
        let core = Core {
            replica,
            sums,
            armed: None,
            told_id,
            told_stance: told_stance.clone(),
            changes: None,
            hurry: false,
            hurried: 0,
            guards,
        };
        let shared = Self {
            core: RwLock::new(core),
            endpoint: RwLock::new(Some(Arc::new(endpoint))),
            unsent: Mutex::default(),
            blocked: AtomicBool::new(false),
            clock,
            timer,
            wake: Notify::new(),
            progress: Notify::new(),
            waiters: Waiters::default(),
            tally: Tally::default(),
            asks,
            membership: Mutex::new(None),
            farewells: Mutex::new(None),
            members: watch::Sender::default(),
            streams: Mutex::default(),
            streams_changed: Notify::new(),
            bulk_addresses: Mutex::default(),
            ready: watch::Sender::new(None),
            stance: watch::Sender::new(told_stance),
            failure: watch::Sender::new(None),
            id,
            founding: watch::Sender::default(),
            pace: Mutex::new(Pace::new(Instant::now())),
            reach: Mutex::new(reach),
            reach_changed: Notify::new(),
            on_records: OnceLock::new(),
            on_changes: OnceLock::new(),
            on_publication: OnceLock::new(),
        };
        (shared, receiver)
    }

    /// The engine, for something that gives it nothing to do.
    pub(super) fn core(&self) -> RwLockWriteGuard<'_, Core> {
        let mut core = self.lock();
        core.write_sums();
        core.sums.forget();
        core
    }

    /// The engine, for reading: beside other readers.
    pub(super) fn read<R>(&self, f: impl FnOnce(&Replica) -> R) -> R {
        let mut core = self.core.read().expect(BROKEN);
        if core.sums.any_waits() {
            drop(core);
            let mut writing = self.lock();
            writing.write_sums();
            core = RwLockWriteGuard::downgrade(writing);
        }
        f(&core.replica)
    }

    /// The engine as it is, with additions that wait.
    fn lock(&self) -> RwLockWriteGuard<'_, Core> {
        self.core.write().expect(BROKEN)
    }

    /// Adds `delta` to the counter at `key`, as a group of its own does.
    pub(super) fn add(&self, key: &[u8], delta: i64) -> Result<i64, WriteError> {
        let hash = hash_of(key);
        let mut core = self.lock();
        let now = self.clock.now();
        if let Some(sum) = core.sums.add(hash, key, delta, now) {
            return Ok(sum);
        }
        core.write_sums();
        let sum = core.replica.write(now, key.len(), |writer| writer.add(key, delta));
        if !core.may_rest(now) {
            core.sums.forget();
            self.see_to(core, now);
        } else if let (Ok(sum), Some(ends), false) =
            (&sum, core.replica.flush_due(), core.replica.store().may_expire(key))
        {
            core.sums.learn(hash, key, *sum, now, ends);
        }
        sum
    }

    /// Gives the engine something to do, and sees to what follows from it.
    pub(super) fn drive<R>(&self, f: impl FnOnce(&mut Replica, Now) -> R) -> R {
        self.drive_core(|core, now| f(&mut core.replica, now))
    }

    /// Gives the engine something to do, and changes what goes in step with it.
    pub(super) fn drive_core<R>(&self, f: impl FnOnce(&mut Core, Now) -> R) -> R {
        let mut core = self.core();
        // Read under the lock, so that the engine's time never runs backwards.
        let now = self.clock.now();
        let result = f(&mut core, now);
        self.see_to(core, now);
        result
    }

    /// Runs reads and groups of writes. What goes into a flush window which is open already leaves nothing to do
    /// before that window ends, for which the timer is set: it costs no look at timers and sockets.
    pub(super) fn run<R>(&self, f: impl FnOnce(&mut Replica, Now) -> R) -> R {
        let mut core = self.core();
        let now = self.clock.now();
        core.replica.see_time(now);
        let result = f(&mut core.replica, now);
        if !core.may_rest(now) {
            self.see_to(core, now);
        }
        result
    }

    /// Waits for replicas, unless enough of them have the events already: then how many do.
    pub(super) fn enter(&self, seq: u64, replicas: usize) -> Result<Waiting<'_>, usize> {
        let mut core = self.core();
        let now = self.clock.now();
        let have = core.replica.acked_by(seq);
        if have >= replicas || self.is_closed() {
            return Err(have);
        }
        let waiting = self.waiters.enter(seq, replicas);
        core.hurry |= seq > core.hurried;
        self.see_to(core, now);
        Ok(waiting)
    }

    /// Sees to what follows from what the engine was given, and gives it back.
    fn see_to(&self, mut core: RwLockWriteGuard<'_, Core>, now: Now) {
        let turn = self.turn(&mut core, now);
        drop(core);
        self.finish(turn);
    }

    /// The locked half of a step.
    fn turn(&self, core: &mut Core, now: Now) -> Turn {
        let mut turn = Turn::default();
        self.note_id(core, now);
        // What is written leaves first, so that a question about it, which may be due at the same time, comes after.
        self.collect(&mut core.replica, now, &mut turn);
        self.listen(core, now, &mut turn);
        let replica = &mut core.replica;
        // Peers collect acknowledgements for a while unless asked. As databases commit in groups: a task that comes
        // while others are still waiting for an answer shares the next flush window instead of forcing one of its own.
        if core.hurry && !(replica.store().has_open_window() && self.waiters.any_upto(core.hurried)) {
            core.hurry = false;
            replica.hurry_acks(now);
            core.hurried = replica.position();
        }
        if replica.poll_timeout() <= now.mono {
            self.collect(replica, now, &mut turn);
            replica.handle_timeout(now);
            self.collect(replica, now, &mut turn);
            self.listen(core, now, &mut turn);
        }
        let replica = &mut core.replica;
        while let Some(publication) = replica.poll_publication() {
            if let Some(on_publication) = self.on_publication.get() {
                on_publication(publication);
            }
        }
        if let Some(on_changes) = self.on_changes.get().filter(|_| replica.records_changes()) {
            on_changes(replica, now);
        }
        if let Some(listeners) = &core.changes {
            while let Some(change) = replica.poll_change() {
                if listeners.send(change).is_err() {
                    replica.record_changes(false);
                    core.changes = None;
                    break;
                }
            }
        }
        if let Some(on_records) = self.on_records.get().filter(|_| core.replica.has_records()) {
            on_records();
        }
        self.arm(core, now);
        turn
    }

    /// Sees to what follows if the replica has another id than before.
    fn note_id(&self, core: &mut Core, now: Now) {
        let (old, id) = (core.told_id, core.replica.id());
        if old == id {
            return;
        }
        core.told_id = id;
        tracing::warn!(%old, %id, "this replica goes on under a new id");
        // Positions are of the old id: a task that waits for them is told that no peer is known to have them.
        self.waiters.dismiss(|_| 0);
        (core.hurry, core.hurried) = (false, 0);
        core.settle_guards(now);
        self.id.send_replace(id);
        self.progress.notify_waiters();
    }

    /// The id of this node's replica.
    pub(super) fn id(&self) -> ReplicaId {
        *self.id.borrow()
    }

    /// Has records kept from now on, and `call` called whenever there are some.
    pub(super) fn on_records(&self, call: OnRecords) {
        self.core().replica.keep_records();
        // The first one stays: there is one disk.
        let _ = self.on_records.set(call);
    }

    /// Has `call` called whenever changes were recorded.
    pub(super) fn on_changes(&self, call: OnChanges) {
        // The first one stays: it takes them all.
        let _ = self.on_changes.set(call);
    }

    /// Has `call` called for each message of other nodes.
    pub(super) fn on_publication(&self, call: OnPublication) {
        // The first one stays: it takes them all.
        let _ = self.on_publication.set(call);
    }

    /// The node begins to live: with `loaded`, if that is given, in the place of the replica that stood for it while a disk
    /// was being read; and as one that joins, if there is a peer to join.
    pub(super) fn begin(&self, loaded: Option<Replica>, join_timeout: Option<Duration>) {
        let mut core = self.core();
        if let Some(mut replica) = loaded {
            if self.on_records.get().is_some() {
                replica.keep_records();
            }
            replica.record_changes(core.replica.records_changes());
            replica.bound_memory(self.clock.now(), core.replica.memory_bound());
            core.told_id = replica.id();
            self.id.send_replace(core.told_id);
            core.replica = replica;
        }
        match join_timeout {
            Some(timeout) => {
                core.replica.join(self.clock.now(), u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX));
                // Membership says when there is none to wait for any more.
                core.replica.await_seeds(self.clock.now(), true);
            }
            None => core.replica.found(self.clock.now()),
        }
        if let Readiness::Ready(reason) = core.replica.readiness() {
            self.ready.send_replace(Some(reason));
        }
        self.note_stance(&mut core);
    }

    /// Tells membership if the replica stands otherwise than before.
    fn note_stance(&self, core: &mut Core) {
        let stance = core.replica.stance();
        if core.told_stance != stance {
            core.told_stance.clone_from(&stance);
            self.stance.send_replace(stance);
        }
    }

    /// Takes what the engine has to tell.
    fn listen(&self, core: &mut Core, now: Now, turn: &mut Turn) {
        turn.asks.extend(std::iter::from_fn(|| core.replica.poll_ask()));
        let known = turn.events.len();
        while let Some(event) = core.replica.poll_event() {
            if let Event::Ready { reason } = event {
                self.ready.send_replace(Some(reason));
            }
            turn.events.push(event);
        }
        self.note_stance(core);
        if core.replica.needs_new_id() {
            self.take_new_id(core, now);
        }
        if turn.events[known..].iter().any(|event| matches!(event, Event::Acked { .. })) {
            self.recount(&core.replica);
        }
        if turn.events[known..].iter().any(|event| matches!(event, Event::Kept { .. } | Event::ProbationEnded)) {
            self.progress.notify_waiters();
        }
    }

    /// A peer knows events of this replica's id that were never minted here: the storage has lost some, or is a copy. The
    /// replica goes on under another id at once; of two live processes with one id the younger ends besides, which is
    /// membership's to find out.
    fn take_new_id(&self, core: &mut Core, now: Now) {
        let renamed = core.replica.take_new_id(now, random_id());
        tracing::error!(
            old = %renamed.old, moved = renamed.moved,
            "the id of this replica is, or was, used elsewhere: a copied or restored volume, or a disk that lost writes"
        );
        self.note_id(core, now);
    }

    /// The node cannot go on: it stops at once, and says why when it is asked.
    pub(super) fn fail(&self, failure: NodeFailure) {
        tracing::error!("this node stops: {failure}");
        self.close();
        self.failure.send_replace(Some(failure));
    }

    /// Takes what the engine has to send, unless the socket is full anyway: the engine keeps state, not datagrams.
    fn collect(&self, replica: &mut Replica, now: Now, turn: &mut Turn) {
        if self.blocked() {
            return;
        }
        while turn.transmits.len() < BURST_MAX
            && let Some(transmit) = replica.poll_transmit(now)
        {
            turn.transmits.push_back(transmit);
        }
        turn.more = turn.transmits.len() == BURST_MAX;
    }

    /// Sets the timer when the next deadline is before what it is set to. One that has moved back is found out when the
    /// timer fires: a wake-up more, but no system call for every acknowledgement that moves a deadline.
    fn arm(&self, core: &mut Core, now: Now) {
        let mut deadline = core.replica.poll_timeout();
        if self.blocked() {
            // What is due may be due to sending, which has to wait for the socket: no use in looking at once.
            deadline = deadline.max(now.mono + BLOCKED_PAUSE_US);
        }
        if core.armed.is_none_or(|armed| deadline < armed || armed <= now.mono) {
            self.timer.arm(Duration::from_micros(deadline.saturating_sub(now.mono)));
            core.armed = Some(deadline);
        }
    }

    /// The unlocked half of a step.
    fn finish(&self, mut turn: Turn) {
        if !turn.transmits.is_empty() {
            self.send(&mut turn.transmits);
        }
        for event in turn.events {
            super::pump::report(&event);
        }
        for ask in turn.asks {
            if let Err(refused) = self.asks.try_send(ask) {
                // The node stops, or the engine has far more under way than it ever has: as if the stream had broken.
                let number = refused.into_inner().number;
                self.drive(|replica, now| replica.handle_answer(now, number, None));
            }
        }
        if turn.more {
            self.wake.notify_one();
        }
    }

    /// Looks whether those who wait for replicas have enough of them now.
    pub(super) fn recount(&self, replica: &Replica) {
        self.waiters.settle(|seq| replica.acked_by(seq));
        self.progress.notify_waiters();
    }

    fn send(&self, queue: &mut VecDeque<Transmit>) {
        let Some(endpoint) = self.endpoint() else { return };
        if endpoint.send(queue, &self.tally) {
            return;
        }
        self.tally.send_blocked.add(1);
        let mut unsent = self.unsent();
        let room = UNSENT_MAX.saturating_sub(unsent.len());
        unsent.extend(queue.drain(..room.min(queue.len())));
        self.tally.datagrams_dropped.add(queue.iter().map(|run| run.datagrams().len()).sum());
        queue.clear();
        drop(unsent);
        self.blocked.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the pump must wait for the socket to take more.
    pub(super) fn blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// Sends what had to wait. Called by the pump when the socket is writable.
    pub(super) fn unblock(&self, endpoint: &Endpoint) {
        if endpoint.send(&mut self.unsent(), &self.tally) {
            self.blocked.store(false, Ordering::Release);
        }
    }

    /// The timer has fired: it is set to nothing now.
    pub(super) fn disarmed(&self) {
        self.core().armed = None;
    }

    /// Seals and sends one membership message, now or not at all.
    pub(super) fn send_membership(&self, to: SocketAddr, payload: &[u8]) {
        let Some(endpoint) = self.endpoint() else { return };
        let datagram = self.core().replica.seal_membership(payload);
        if datagram.len() > UDP_PAYLOAD_BYTES_MAX {
            self.tally.membership_oversize.add(1);
            return;
        }
        match endpoint.send_one(to, &datagram, &self.tally) {
            Sent::Taken => self.tally.membership_sent.add(1),
            Sent::Full => self.tally.membership_dropped.add(1),
            Sent::Refused => {}
        }
    }

    /// Whether membership may call on `to` now.
    pub(super) fn may_call(&self, to: SocketAddr) -> bool {
        let live = self.members.borrow().iter().any(|it| it.addr == to && it.state == MemberState::Live);
        self.pace().may_call(Instant::now(), to, live)
    }

    /// How often membership calls, to be told of changes and answers.
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who answers where it announced to be.
    pub(super) fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a probe, now or not at all: it is repeated.
    pub(super) fn send_probe(&self, letter: &Letter) {
        let Some(endpoint) = self.endpoint() else { return };
        let Letter { to, receiver, ask, echo, bytes } = *letter;
        let datagram = {
            let replica = &mut self.core().replica;
            replica.seal_probe(&Probe { sender: replica.id(), receiver, ask, echo }, bytes)
        };
        if endpoint.send_one(to, &datagram, &self.tally) == Sent::Taken {
            self.tally.probes_sent.add(1);
        }
    }

    /// Takes in a probe that came in a datagram of `bytes`, and answers it.
    pub(super) fn take_probe(&self, probe: Probe, bytes: usize) {
        let (answer, changed) = self.reach().handle(Instant::now(), probe.sender, (probe.ask, probe.echo), bytes);
        if let Some(answer) = answer {
            self.send_probe(&answer);
        }
        if changed {
            self.reach_changed.notify_one();
        }
    }

    /// Takes note of where members can be asked over streams. To be called before the engine hears of them.
    pub(super) fn note_bulk_addresses(&self, members: &[Member]) {
        // The first of an id is the one that is up.
        let peers = members.iter().rev().filter(|member| !member.is_self);
        let addresses = peers.filter_map(|peer| Some((peer.id, peer.bulk?))).collect();
        *self.bulk_addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Takes note of whether the streams of a peer could be had at an address.
    pub(super) fn note_streams(&self, peer: ReplicaId, addr: SocketAddr, reachable: bool) {
        // So that who catches up from it goes by datagrams at once.
        self.drive(|replica, now| replica.note_streams(now, peer, reachable));
        let since = Instant::now();
        let new = if reachable { Streams::Reachable { since } } else { Streams::Unreachable { since } };
        let mut all = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&peer).filter(|(at, _)| *at == addr).map(|(_, streams)| *streams);
        match (known, reachable) {
            (Some(Streams::Reachable { .. }), true) | (Some(Streams::Unreachable { .. }), false) => return,
            (Some(Streams::Unreachable { .. }), true) => {
                tracing::info!(%peer, %addr, "the streams of a peer can be had again");
            }
            (_, true) => {}
            (_, false) => {
                self.tally.bulk_unreachable.add(1);
                tracing::warn!(
                    %peer, %addr,
                    "the streams of a live peer cannot be had, so nobody can catch up from it by streams: is the address \
                     right that it announced for them (--bulk-advertise), and does a firewall let that UDP port through \
                     (--bulk-listen fixes it)?"
                );
            }
        }
        all.insert(peer, (addr, new));
        drop(all);
        self.streams_changed.notify_one();
    }

    /// Adds to members whether their streams can be had; what is known of others is forgotten.
    pub(super) fn fill_streams(&self, members: &mut [Member]) {
        let mut all = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|id, _| members.iter().any(|member| member.id == *id));
        for member in members.iter_mut().filter(|member| !member.is_self) {
            let known = all.get(&member.id).filter(|(addr, _)| member.bulk == Some(*addr));
            member.streams = known.map_or(Streams::Untried, |(_, streams)| *streams);
        }
    }

    /// Where a peer can be asked over streams.
    pub(super) fn bulk_address(&self, peer: ReplicaId) -> Option<SocketAddr> {
        self.bulk_addresses.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).copied()
    }

    /// Starts or stops reporting to whom membership answers.
    pub(super) fn report_farewells(&self, to: Option<mpsc::Sender<SocketAddr>>) {
        *self.farewells.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// An answer of membership has gone to `to`, with everything this node announces that was new there.
    pub(super) fn told(&self, to: SocketAddr) {
        if let Some(farewells) = &*self.farewells.lock().unwrap_or_else(PoisonError::into_inner) {
            // A full channel means that enough is known.
            let _ = farewells.try_send(to);
        }
    }

    /// A new listener to changes; the first one makes the engine report them.
    pub(super) fn subscribe(&self) -> Changes {
        let mut core = self.core();
        if core.changes.is_none() {
            core.replica.record_changes(true);
        }
        let sender = core.changes.get_or_insert_with(|| broadcast::Sender::new(CHANGES_MAX));
        Changes::new(sender.subscribe())
    }

    pub(super) fn endpoint(&self) -> Option<Arc<Endpoint>> {
        self.endpoint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing is sent from here on, and no task waits any more. The port is free once the tasks have ended.
    pub(super) fn close(&self) {
        self.endpoint.write().unwrap_or_else(PoisonError::into_inner).take();
        // A program that panics inside the engine may still drop its node.
        let mut core = self.core.write().unwrap_or_else(PoisonError::into_inner);
        core.changes = None;
        let replica = &core.replica;
        self.waiters.dismiss(|seq| replica.acked_by(seq));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.endpoint.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn unsent(&self) -> MutexGuard<'_, VecDeque<Transmit>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ReplicaConfig;

    fn shared() -> Shared {
        let clock = Clock::start();
        let replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), clock.now());
        let endpoint = Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let timing = super::super::membership::reach::Timing::new(Duration::from_secs(4), Duration::from_millis(250));
        Shared::new(replica, endpoint, clock, Timer::new().unwrap(), Reach::new(timing, 1200, 1)).0
    }

    fn transmits(to: SocketAddr, count: usize) -> VecDeque<Transmit> {
        (0..count).map(|_| Transmit { to, bytes: vec![0; 10], datagram_bytes: 10 }).collect()
    }

    /// Before tokio has polled a new socket once, it counts as full: a full socket without having to fill one.
    #[tokio::test]
    async fn a_full_socket_holds_back_the_engine_and_what_waits_is_bounded() {
        let shared = shared();
        let sink = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = sink.local_addr().unwrap();
        shared.send(&mut transmits(to, UNSENT_MAX - 1));
        assert!(shared.blocked());
        shared.send(&mut transmits(to, 3));
        assert_eq!(shared.unsent().len(), UNSENT_MAX);
        assert_eq!((shared.tally.datagrams_dropped.get(), shared.tally.send_blocked.get()), (2, 2));

        shared.drive(|replica, now| {
            replica.peer_up(now, ReplicaId::new(2), to, crate::Zone::default());
            replica.write(now, 1, |writer| writer.set(b"key", b"value")).unwrap();
        });
        assert_eq!(shared.unsent().len(), UNSENT_MAX, "nothing is taken from the engine while the socket is full");

        let endpoint = shared.endpoint().unwrap();
        while shared.blocked() {
            endpoint.writable().await;
            shared.unblock(&endpoint);
        }
        assert_eq!(shared.tally.datagrams_sent.get(), UNSENT_MAX as u64);
        shared.drive(|_, _| ());
        assert!(shared.tally.datagrams_sent.get() > UNSENT_MAX as u64, "then the engine is asked again");
    }

    /// What has waited is written when its window ends; a key that ends before that is another one by then.
    #[tokio::test]
    async fn additions_to_a_key_that_may_end_do_not_wait() {
        let shared = shared();
        let add = |key: &str| {
            for sum in 1..=4 {
                assert_eq!(shared.add(key.as_bytes(), 1), Ok(sum));
            }
            shared.lock().sums.any_waits()
        };
        // The timer has to be set to the end of a window before anything may rest.
        shared.drive(|replica, now| replica.write(now, 0, |writer| writer.set(b"other", b"")).unwrap());
        assert!(add("lasting"), "of a key without a deadline they do");
        shared.drive(|replica, now| {
            let written = replica.write(now, 0, |writer| writer.set_until(b"ending", b"0", Some(now.wall + 60_000)));
            written.unwrap();
        });
        assert!(!add("ending"));
    }

    #[tokio::test]
    async fn a_closed_node_sends_nothing_and_keeps_no_port() {
        let shared = shared();
        let address = shared.endpoint().unwrap().local_addr();
        shared.close();
        assert!(shared.is_closed());
        shared.send_membership(address, b"x");
        shared.send(&mut transmits(address, 1));
        assert_eq!(shared.tally.snapshot(), super::super::counters::Counters::default());
        std::net::UdpSocket::bind(address).unwrap();
    }
}
