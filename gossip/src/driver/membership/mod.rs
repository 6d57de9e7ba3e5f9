//! Membership and failure detection: chitchat, watched over.
//!
//! Chitchat finds out who is alive and spreads what everybody announces. Around it stand the things it leaves open:
//!
//! - Who counts as a peer is decided by the [`Roster`], from what chitchat says and from who answers probes (`reach`).
//! - Seeds and members that went down are asked again for ever, at a low rate, so that a partition heals even when
//!   everybody believes everybody else dead. Chitchat itself forgets the dead after a grace period.
//! - A panic inside chitchat, which a hostile message can bring about (it asserts on what peers send), ends only its
//!   own task; it is started again under a new incarnation.

pub(super) mod announcement;
pub(super) mod member;
mod namesakes;
pub(super) mod pace;
pub(super) mod reach;
pub(super) mod roster;
pub(super) mod seeds;
pub(super) mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, spawn_chitchat};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use tokio::sync::{mpsc, oneshot, watch};

use super::clock::wall_ms;
use super::config::NodeConfig;
use super::engine_lock::Shared;
use super::failure::NodeFailure;
use super::membership::announcement::Announcement;
use super::membership::roster::{Roster, Seen, Step};
use super::membership::seeds::Seeds;
use super::membership::transport::MembershipTransport;
use crate::Zone;
use crate::engine::ReadyReason;

/// Chitchat drops a dead incarnation from its digests after half of this, and forgets it after the whole.
///
/// A digest names every incarnation, at about 50 bytes: a member that crashes and restarts every five seconds would in
/// chitchat's default of a day outgrow a datagram, and with it stop membership for all. In half an hour it leaves 360.
/// The return of a member does not depend on it: the roster remembers addresses for 30 days.
const DEAD_GRACE: Duration = Duration::from_secs(3600);

/// Between two calls on a seed or a member that is down, while there are peers.
const CONTACT_INTERVAL: Duration = Duration::from_secs(5);

/// The same while there are none.
const CONTACT_INTERVAL_ALONE: Duration = Duration::from_secs(1);

/// Seeds called at once by a node that is alone.
const CONTACTS_MAX: usize = 8;

/// Peers told directly that this node leaves; they tell the others.
const FAREWELLS_MAX: usize = 16;

/// How long a peer may take to hear a farewell before it is repeated once.
const FAREWELL_WAIT: Duration = Duration::from_millis(150);

/// Before chitchat is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What the node asks of its membership.
pub(super) enum Command {
    /// Announce whether clients are served.
    Ready(bool),
    /// Tell the peers that this node leaves, then stop.
    Leave(oneshot::Sender<()>),
}

pub(super) struct Membership {
    shared: Arc<Shared>,
    seeds: Arc<Seeds>,
    name: String,
    cluster: String,
    advertised: SocketAddr,
    local: SocketAddr,
    gossip_interval: Duration,
    failure_timeout: Duration,
    incarnation: u64,
    announcement: Announcement,
    /// Whether the program wants clients to be served.
    willing: bool,
    /// Whether the replica is ready for that.
    ready: watch::Receiver<Option<ReadyReason>>,
    /// Under which id it runs.
    identity: watch::Receiver<ReplicaId>,
    roster: Roster,
    /// Picks whom to call.
    rng: StdRng,
}

impl Membership {
    pub(super) fn new(
        shared: Arc<Shared>,
        seeds: Arc<Seeds>,
        config: &NodeConfig,
        local: SocketAddr,
        advertised: SocketAddr,
        bulk: SocketAddr,
    ) -> Self {
        let (ready, identity) = (shared.ready.subscribe(), shared.id.subscribe());
        let id = *identity.borrow();
        let mut announcement = Announcement::new(id, &config.replica.limits, Some(bulk), config.zone.clone());
        announcement.ready = ready.borrow().is_some();
        let incarnation = wall_ms();
        // Found dead at the latest after twice the timeout, an old incarnation is not a duplicate before that.
        let grace = config.failure_timeout * 2;
        let roster = Roster::new((&config.name, incarnation, advertised), announcement.clone(), grace);
        shared.members.send_replace(roster.members());
        Self {
            shared,
            seeds,
            name: config.name.clone(),
            cluster: config.replica.cluster.clone(),
            advertised,
            local,
            gossip_interval: config.gossip_interval,
            failure_timeout: config.failure_timeout,
            incarnation,
            announcement,
            willing: true,
            ready,
            identity,
            roster,
            // Where the system has no randomness to give, any choice will do.
            rng: StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(incarnation)),
        }
    }

    /// Runs until the node leaves, or the task is aborted.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            self.renew();
            match spawn_chitchat(self.chitchat_config(), self.announcement.key_values(), &self.transport()).await {
                Ok(chitchat) => match self.serve(&chitchat, &mut commands).await {
                    Ended::Left(done) => {
                        let _ = chitchat.shutdown().await;
                        let _ = done.send(());
                        return;
                    }
                    Ended::Abandoned => return,
                    Ended::Conflict(failure) => {
                        let _ = chitchat.shutdown().await;
                        self.shared.fail(failure);
                        return;
                    }
                    Ended::Failed(error) => tracing::error!(%error, "membership stopped by itself; starting it again"),
                },
                Err(error) => tracing::error!(%error, "membership does not start; trying again"),
            }
            self.shared.tally.membership_restarts.add(1);
            tokio::time::sleep(RESTART_PAUSE).await;
            self.begin_incarnation();
        }
    }

    /// Peers take a new incarnation for a restart, and drop what the one before may have spread.
    fn begin_incarnation(&mut self) {
        self.incarnation = wall_ms().max(self.incarnation + 1);
        self.roster.announce(self.incarnation, self.announcement.clone());
        self.publish();
    }

    fn transport(&self) -> MembershipTransport {
        MembershipTransport { shared: Arc::clone(&self.shared) }
    }

    fn chitchat_config(&self) -> ChitchatConfig {
        ChitchatConfig {
            chitchat_id: self.own_id(),
            cluster_id: self.cluster.clone(),
            gossip_interval: self.gossip_interval,
            listen_addr: self.local,
            // Ours: see `seeds`.
            seed_nodes: Vec::new(),
            failure_detector_config: failure_detector(self.failure_timeout),
            // No key is ever deleted.
            marked_for_deletion_grace_period: DEAD_GRACE,
            catchup_callback: None,
            extra_liveness_predicate: None,
        }
    }

    fn own_id(&self) -> ChitchatId {
        ChitchatId::new(self.name.as_str(), self.incarnation, self.advertised)
    }

    async fn serve(&mut self, chitchat: &ChitchatHandle, commands: &mut mpsc::Receiver<Command>) -> Ended {
        let mut live = chitchat.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
        let mut ended = pin!(chitchat.termination_watcher());
        let mut seeds = self.seeds.watch();
        let mut contact_at = Instant::now();
        loop {
            let recheck_at = self.roster.recheck_at();
            let ask_at = self.shared.reach().next_at();
            tokio::select! {
                result = &mut ended => {
                    let error = result.err().map_or_else(|| "no reason given".to_owned(), |error| error.to_string());
                    return Ended::Failed(error);
                }
                Ok(()) = live.changed() => {
                    if let Some(failure) = self.review(&mut live) {
                        return Ended::Conflict(failure);
                    }
                }
                () = sleep_until(recheck_at) => {
                    if let Some(failure) = self.review(&mut live) {
                        return Ended::Conflict(failure);
                    }
                }
                () = self.shared.reach_changed.notified() => {
                    if let Some(failure) = self.review(&mut live) {
                        return Ended::Conflict(failure);
                    }
                }
                () = sleep_until(ask_at) => self.ask(),
                () = self.shared.streams_changed.notified() => self.publish(),
                Ok(()) = self.ready.changed() => self.announce(chitchat).await,
                Ok(()) = self.identity.changed() => {
                    self.announce(chitchat).await;
                    // Whoever goes by the old id is a peer now, or was there first.
                    if let Some(failure) = self.review(&mut live) {
                        return Ended::Conflict(failure);
                    }
                }
                () = sleep_until(Some(contact_at)) => {
                    self.shared.tend();
                    let alone = self.contact(chitchat);
                    contact_at = Instant::now() + if alone { CONTACT_INTERVAL_ALONE } else { CONTACT_INTERVAL };
                }
                // A name resolved: no need to wait.
                Ok(()) = seeds.changed() => contact_at = Instant::now(),
                command = commands.recv() => match command {
                    Some(Command::Ready(willing)) => {
                        self.willing = willing;
                        self.announce(chitchat).await;
                    }
                    Some(Command::Leave(done)) => {
                        self.say_farewell(chitchat).await;
                        return Ended::Left(done);
                    }
                    None => return Ended::Abandoned,
                },
            }
        }
    }

    /// Takes over whether the replica is ready, and its id.
    fn renew(&mut self) {
        self.announcement.ready = self.willing && self.ready.borrow_and_update().is_some();
        self.announcement.id = *self.identity.borrow();
        self.roster.announce(self.incarnation, self.announcement.clone());
    }

    /// Takes in who is alive now. Says if this node must not go on.
    fn review(&mut self, live: &mut watch::Receiver<BTreeMap<ChitchatId, NodeState>>) -> Option<NodeFailure> {
        let own = self.own_id();
        let seen: Vec<_> =
            live.borrow_and_update().iter().filter(|(id, _)| **id != own).map(|(id, state)| seen(id, state)).collect();
        let now = Instant::now();
        let steps = {
            let mut reach = self.shared.reach();
            let steps = self.roster.update(now, &seen, |id, addr| reach.look(id, addr));
            reach.aim(now, self.roster.to_probe());
            steps
        };
        let failure = steps.iter().find_map(|step| match step {
            Step::Conflict { name, id, addr } => {
                Some(NodeFailure::IdentityConflict { id: *id, name: name.clone(), addr: *addr })
            }
            _ => None,
        });
        self.shared.note_bulk_addresses(&self.roster.members());
        self.take(steps);
        // Last, so that whoever sees a member as a peer may rely on the engine to see it too.
        self.publish();
        failure
    }

    /// Shows the members to the program.
    fn publish(&self) {
        let mut members = self.roster.members();
        self.shared.fill_streams(&mut members);
        self.shared.members.send_replace(members);
    }

    fn take(&self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        self.shared.pace().stir(Instant::now());
        for step in &steps {
            match step {
                Step::Up { name, id, addr, .. } => tracing::info!(name, %id, %addr, "peer is up"),
                Step::Down { name, id } => tracing::warn!(name, %id, "peer is down"),
                Step::Gone { name, id, why } => tracing::info!(name, %id, why, "peer is gone"),
                Step::Unreachable { name, id, addr, path } => {
                    self.shared.tally.members_unreachable.add(1);
                    let own = self.advertised;
                    tracing::warn!(name, %id, %addr, %own, "a live member is unreachable: {path}");
                }
                Step::Shared { name, members } => {
                    self.shared.tally.names_shared.add(1);
                    let members: Vec<_> = members.iter().map(|(id, addr)| format!("{id} at {addr}")).collect();
                    tracing::warn!(
                        name,
                        ?members,
                        "several live members go by one name; all are peers and what they write counts, but a name \
                         should be one member's: stop what is not wanted, or start it with a --node of its own"
                    );
                }
                Step::Refuse { name, addr, refusal } => {
                    self.shared.tally.members_refused.add(1);
                    tracing::warn!(name, %addr, "refusing a live member as a peer: {refusal}");
                }
                // A conflict is told by whoever ends the node because of it.
                Step::Ready { .. } | Step::Conflict { .. } => {}
            }
        }
        self.shared.drive(|replica, now| {
            for step in steps {
                match step {
                    Step::Up { id, addr, zone, .. } => replica.peer_up(now, id, addr, Zone::of(zone.as_deref())),
                    Step::Down { id, .. } | Step::Unreachable { id, .. } => replica.peer_down(now, id),
                    Step::Gone { id, .. } => replica.peer_gone(id),
                    Step::Ready { id, ready } => replica.peer_ready(now, id, ready),
                    Step::Refuse { .. } | Step::Shared { .. } | Step::Conflict { .. } => {}
                }
            }
            // A peer that is back may have acknowledged long ago.
            self.shared.recount(replica);
        });
    }

    /// Asks members whether they are reached.
    fn ask(&self) {
        let (letters, changed) = self.shared.reach().poll(Instant::now());
        letters.iter().for_each(|letter| self.shared.send_probe(letter));
        if changed {
            self.shared.reach_changed.notify_one();
        }
    }

    /// Calls on seeds and members that are down; returns whether there are no peers.
    fn contact(&mut self, chitchat: &ChitchatHandle) -> bool {
        let peers: BTreeSet<_> = self.roster.up_addresses().collect();
        let alone = peers.is_empty();
        self.seeds.alone(alone);
        let stranger = |addr: &SocketAddr| !peers.contains(addr) && *addr != self.advertised && *addr != self.local;
        let mut calls: Vec<_> = self.seeds.addresses().into_iter().filter(stranger).collect();
        let down = self.roster.down_addresses().filter(stranger);
        if alone {
            calls.shuffle(&mut self.rng);
            calls.truncate(CONTACTS_MAX);
            calls.extend(down.choose(&mut self.rng));
        } else {
            calls.extend(down);
            calls = calls.choose(&mut self.rng).copied().into_iter().collect();
        }
        for addr in calls {
            // Fails only when chitchat has ended, which is noticed elsewhere.
            let _ = chitchat.gossip(addr);
        }
        alone
    }

    async fn announce(&mut self, chitchat: &ChitchatHandle) {
        self.renew();
        self.publish();
        self.shared.pace().stir(Instant::now());
        let pairs = self.announcement.key_values();
        chitchat
            .with_chitchat(|chitchat| {
                let state = chitchat.self_node_state();
                for (key, value) in &pairs {
                    state.set(key, value);
                }
            })
            .await;
    }

    /// Announces that this node leaves, and sees that the peers hear it.
    async fn say_farewell(&mut self, chitchat: &ChitchatHandle) {
        self.announcement.leaving = true;
        self.willing = false;
        let (sender, mut told) = mpsc::channel(FAREWELLS_MAX * 4);
        self.shared.report_farewells(Some(sender));
        self.announce(chitchat).await;
        let mut peers: BTreeSet<_> = self.roster.up_addresses().take(FAREWELLS_MAX).collect();
        if peers.is_empty() {
            // Seeds may know this node before it knows them.
            let seeds = self.seeds.addresses().into_iter().filter(|it| *it != self.advertised && *it != self.local);
            peers.extend(seeds.take(FAREWELLS_MAX));
        }
        // Twice, for a datagram may be lost.
        for _ in 0..2 {
            let mut waiting = peers.clone();
            for addr in &peers {
                let _ = chitchat.gossip(*addr);
            }
            let all_told = async {
                while !waiting.is_empty()
                    && let Some(addr) = told.recv().await
                {
                    waiting.remove(&addr);
                }
            };
            // Whoever does not answer in time is told by the others.
            let _ = tokio::time::timeout(FAREWELL_WAIT, all_told).await;
        }
        self.shared.report_farewells(None);
    }
}

enum Ended {
    /// As asked; the sender wants to know when chitchat has stopped.
    Left(oneshot::Sender<()>),
    /// The node was dropped.
    Abandoned,
    /// Another node has this one's id, and was there first.
    Conflict(NodeFailure),
    Failed(String),
}

fn seen(id: &ChitchatId, state: &NodeState) -> Seen {
    Seen {
        name: id.node_id.to_string(),
        incarnation: id.generation_id,
        addr: id.gossip_advertise_addr,
        announcement: Announcement::parse(|key| state.get(key)),
    }
}

/// A detector that finds a silent member dead after about `timeout`, and never after less than 5/6 of it.
///
/// Chitchat's phi is time since the last heartbeat over the mean interval of heartbeats, and the mean is smoothed with
/// five made-up intervals of a length we choose. Heartbeats advance with every message a member sends or receives and
/// arrive by way of all others, so in a busy cluster the real mean is tens of milliseconds, and with the default window
/// of a thousand samples a pause of a few hundred milliseconds is a death. With a window of *one* sample the made-up
/// intervals keep five sixths of the weight whatever the cluster does:
/// `timeout = threshold * (last + 5 * made_up) / 6`. Intervals above half the timeout do not count, so on a bad link it
/// grows to at most 1.5 times the timeout.
fn failure_detector(timeout: Duration) -> FailureDetectorConfig {
    const THRESHOLD: f64 = 8.0;
    FailureDetectorConfig {
        phi_threshold: THRESHOLD,
        sampling_window_size: 1,
        max_interval: timeout / 2,
        initial_interval: timeout.mul_f64(6.0 / (5.0 * THRESHOLD)),
        dead_node_grace_period: DEAD_GRACE,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
