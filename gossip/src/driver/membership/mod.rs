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
pub(super) mod founding;
pub(super) mod member;
mod namesakes;
pub(super) mod pace;
pub(super) mod reach;
pub(super) mod roster;
pub(super) mod seeds;
pub(super) mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, spawn_chitchat};
use rand::rngs::{StdRng, SysRng};
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, oneshot, watch};

use super::clock::wall_ms;
use super::config::NodeConfig;
use super::engine_lock::Shared;
use super::failure::NodeFailure;
use super::membership::announcement::{Announcement, FORGOTTEN_MAX, Forgotten};
use super::membership::founding::{Founded, described};
use super::membership::member::ForgetError;
use super::membership::roster::{BY_ORDER, Roster, Seen, Step};
use super::membership::seeds::Seeds;
use super::membership::transport::MembershipTransport;
use crate::Zone;
use crate::engine::{ReadyReason, ReplicaConfig, Stance};

/// Chitchat drops a dead incarnation from its digests after half of this, and forgets it after the whole.
///
/// A digest names every incarnation, at about 50 bytes: a member that crashes and restarts every five seconds would in
/// chitchat's default of a day outgrow a datagram, and with it stop membership for all. In half an hour it leaves 360.
/// The return of a member does not depend on it: the roster remembers addresses for 30 days.
const DEAD_GRACE: Duration = Duration::from_secs(3600);

/// Between two calls on a seed or a member that is down, while there are more than [`FEW_PEERS`].
const CONTACT_INTERVAL: Duration = Duration::from_secs(5);

/// A seed that answered so long ago is one of the members that are known since, by whatever address.
const SEED_SETTLES: Duration = Duration::from_secs(1);
/// Between two such calls while there are few peers, or seeds are waited for. Who comes back without a seed, and empty, takes
/// itself for the first of its cluster if nobody calls in time.
const CONTACT_INTERVAL_FEW: Duration = Duration::from_secs(1);
const FEW_PEERS: usize = 16;

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
    /// Forget the members that are down and go by this name or id; says how many those were.
    Forget(String, oneshot::Sender<Result<usize, ForgetError>>),
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
    /// Whether it has what its cluster has.
    stance: watch::Receiver<Stance>,
    /// Under which id it runs.
    identity: watch::Receiver<ReplicaId>,
    roster: Roster,
    /// Which first start this node goes back to.
    founded: Founded,
    /// Any process that knows an address may join this cluster: no key keeps strangers out, nor does its name.
    open: bool,
    /// Members were known from an earlier run: this node is not the first, whatever its seeds are.
    knows_others: bool,
    /// It was said that the node serves without having heard all seeds.
    seeds_missed: bool,
    /// What is announced has changed.
    unannounced: bool,
    /// Orders to forget members, so far.
    orders: u64,
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
        let (ready, stance) = (shared.ready.subscribe(), shared.stance.subscribe());
        let identity = shared.id.subscribe();
        let id = *identity.borrow();
        let mut announcement = Announcement::new(id, &config.replica.limits, Some(bulk), config.zone.clone());
        announcement.stance = stance.borrow().clone();
        announcement.ready = ready.borrow().is_some() && announcement.stance.standing.is_whole();
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
            stance,
            identity,
            roster,
            founded: Founded::new(&config.founding),
            open: config.replica.key.is_none() && config.replica.cluster == ReplicaConfig::default().cluster,
            knows_others: !config.remembered.is_empty(),
            seeds_missed: false,
            unannounced: false,
            orders: 0,
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
        // Of a new incarnation they would count as new orders.
        self.announcement.forgotten.clear();
        self.roster.announce(self.incarnation, self.announcement.clone());
        self.publish();
    }

    fn transport(&self) -> MembershipTransport {
        MembershipTransport { shared: Arc::clone(&self.shared), seeds: Arc::clone(&self.seeds) }
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
        let mut settled = self.seeds.settled();
        settled.mark_changed();
        if self.ready.borrow().is_some() {
            self.found(&live);
            self.unannounced = true;
        }
        let mut contact_at = Instant::now();
        let mut call_back_at = None;
        loop {
            if std::mem::take(&mut self.unannounced) {
                self.announce(chitchat).await;
            }
            if call_back_at.is_none() && self.roster.has_left() {
                call_back_at = Some(Instant::now() + self.gossip_interval);
            }
            let recheck_at = [self.roster.recheck_at(), self.founded.settles_at()].into_iter().flatten().min();
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
                Ok(()) = self.ready.changed() => {
                    self.found(&live);
                    self.announce(chitchat).await;
                }
                Ok(()) = self.stance.changed() => self.announce(chitchat).await,
                Ok(()) = settled.changed() => self.look_for_others(),
                () = self.shared.reach_changed.notified() => {
                    if let Some(failure) = self.review(&mut live) {
                        return Ended::Conflict(failure);
                    }
                }
                () = sleep_until(ask_at) => self.ask(),
                () = self.shared.streams_changed.notified() => self.publish(),
                Ok(()) = self.identity.changed() => {
                    self.announce(chitchat).await;
                    // A process that goes by the old id is a peer now, or was there first.
                    if let Some(failure) = self.review(&mut live) {
                        return Ended::Conflict(failure);
                    }
                }
                () = sleep_until(Some(contact_at)) => {
                    self.shared.tend();
                    contact_at = Instant::now() + self.contact(chitchat);
                }
                () = sleep_until(call_back_at) => call_back_at = self.call_back(chitchat),
                // A name resolved: no need to wait.
                Ok(()) = seeds.changed() => contact_at = Instant::now(),
                command = commands.recv() => match command {
                    Some(Command::Ready(willing)) => {
                        self.willing = willing;
                        self.announce(chitchat).await;
                    }
                    Some(Command::Forget(who, done)) => {
                        // The task that asked may have gone.
                        let _ = done.send(self.forget(&who));
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
        let serves = self.willing && self.ready.borrow_and_update().is_some();
        self.announcement.stance = self.stance.borrow_and_update().clone();
        self.announcement.ready = serves && self.announcement.stance.standing.is_whole();
        self.announcement.id = *self.identity.borrow();
        self.announcement.founding = self.founded.announced().cloned();
        self.shared.founding.send_if_modified(|known| {
            let settled = self.founded.settled();
            let new = *known != settled;
            *known = settled;
            new
        });
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
        self.compare_foundings(&seen);
        let back = self.announcement.forgotten.iter().any(|it| self.roster.is_up(it.id));
        if back {
            self.announcement.forgotten.retain(|it| !self.roster.is_up(it.id));
            self.unannounced = true;
        }
        let failure = steps.iter().find_map(|step| match step {
            Step::Conflict { name, id, addr } => {
                Some(NodeFailure::IdentityConflict { id: *id, name: name.clone(), addr: *addr })
            }
            _ => None,
        });
        self.shared.note_bulk_addresses(&self.roster.members());
        self.take(steps);
        self.look_at_seeds();
        // Last, so that a task that sees a member as a peer may rely on the engine to see it too.
        self.publish();
        failure
    }

    /// The replica is ready: from now on it goes back to the first start that its peers do, or to its own.
    fn found(&mut self, live: &watch::Receiver<BTreeMap<ChitchatId, NodeState>>) {
        let reason = *self.ready.borrow();
        let live = live.borrow();
        let known: BTreeMap<ReplicaId, Announcement> = live
            .values()
            .filter_map(|state| Announcement::parse(|key| state.get(key)).ok())
            .filter(|it| self.roster.is_up(it.id))
            .map(|it| (it.id, it))
            .collect();
        let closest = match reason {
            Some(ReadyReason::CaughtUp { peer }) => known.get(&peer).and_then(|it| it.founding.as_ref()),
            _ => None,
        };
        let others = known.values().filter_map(|it| it.founding.as_ref());
        self.founded.ready(Instant::now(), closest, others, || self.rng.random());
    }

    /// Looks whether members go back to another first start than this node.
    fn compare_foundings(&mut self, seen: &[Seen]) {
        self.founded.pass(Instant::now());
        for seen in seen {
            let Ok(announcement) = &seen.announcement else { continue };
            let Some(theirs) = announcement.founding.as_ref().filter(|_| self.roster.is_up(announcement.id)) else {
                continue;
            };
            let ours = described(self.founded.settled());
            let Some(strange) = self.founded.meet(theirs) else { continue };
            let (name, addr, theirs) = (&seen.name, seen.addr, described(strange));
            if self.open {
                tracing::warn!(
                    name, %addr, ours, theirs,
                    "this member belongs to a cluster that was started apart from this one, and what both hold is merged from \
                     now on, for good. If that was not meant, stop it: its address may have been another's before. Give each \
                     cluster a key (--key-file) or a name of its own (--cluster), then it cannot happen"
                );
            } else {
                tracing::info!(name, %addr, ours, theirs, "this member belongs to a cluster that was started apart from this one");
            }
        }
        self.unannounced |= self.announcement.founding.as_ref() != self.founded.announced();
    }

    /// All seeds are known, and have been for a moment. If they are no others than this node, there is no member to
    /// wait for.
    fn look_for_others(&self) {
        let addresses = self.seeds.addresses();
        if *self.seeds.settled().borrow() && !self.knows_others && addresses.iter().all(|it| self.is_own(*it)) {
            self.shared.drive(|replica, now| {
                if !replica.is_ready() {
                    tracing::info!(?addresses, "all seeds are this node itself: there is nobody to join");
                    replica.nobody_to_join(now);
                }
            });
        }
    }

    /// Tells a replica that joins whether a seed has not answered yet.
    fn look_at_seeds(&mut self) {
        if !self.announcement.stance.awaits_seeds {
            return;
        }
        let peers: BTreeSet<_> = self.roster.up_addresses().collect();
        let settled = self.roster.is_settled().then(|| Instant::now().checked_sub(SEED_SETTLES)).flatten();
        let (silent, unknown) = self.seeds.silent(&peers, settled);
        let silent: Vec<SocketAddr> = silent.into_iter().filter(|it| !self.is_own(*it)).collect();
        let awaits_seeds = self.shared.drive(|replica, now| {
            replica.await_seeds(now, unknown || !silent.is_empty());
            replica.awaits_seeds()
        });
        if awaits_seeds && !self.seeds_missed && self.ready.borrow().is_some() {
            self.seeds_missed = true;
            let (heard, silent): (Vec<_>, Vec<_>) = silent.into_iter().partition(|it| self.seeds.is_heard(*it));
            tracing::warn!(
                ?silent,
                ?heard,
                "serving although there is no peer at these seeds: what they hold may be missing here. If a silent one is no \
                 more, take it from the list of seeds, and see `cahoots accept`. One that was heard is alive: a firewall may let \
                 datagrams through in one direction only"
            );
        }
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        address == self.advertised || address == self.local || self.is_own_interface(address)
    }

    /// Whether an address is that of this node at one of the machine's interfaces. (The way to an own address begins at
    /// that address.)
    fn is_own_interface(&self, address: SocketAddr) -> bool {
        let begins_at = || {
            let any: IpAddr =
                if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).ok()?;
            socket.connect(address).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        self.local.ip().is_unspecified()
            && address.port() == self.local.port()
            && begins_at().is_some_and(|ip| ip == address.ip())
    }

    /// Forgets members that are down, here and by way of the announcement at all.
    fn forget(&mut self, who: &str) -> Result<usize, ForgetError> {
        let mut steps = Vec::new();
        let forgotten = self.roster.forget_by_order(who, &mut steps)?;
        for id in &forgotten {
            self.orders += 1;
            self.announcement.forgotten.push(Forgotten { number: self.orders, id: *id });
        }
        let beyond = self.announcement.forgotten.len().saturating_sub(FORGOTTEN_MAX);
        self.announcement.forgotten.drain(..beyond);
        self.shared.note_bulk_addresses(&self.roster.members());
        self.take(steps);
        self.publish();
        self.unannounced = !forgotten.is_empty();
        Ok(forgotten.len())
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
                // A conflict is told by the task that ends the node because of it.
                Step::Standing { .. } | Step::Conflict { .. } => {}
            }
        }
        self.shared.drive(|replica, now| {
            for step in steps {
                match step {
                    Step::Up { id, addr, zone, .. } => replica.peer_up(now, id, addr, Zone::of(zone.as_deref())),
                    Step::Down { id, .. } | Step::Unreachable { id, .. } => replica.peer_down(now, id),
                    Step::Gone { id, why, .. } => {
                        replica.peer_gone(id);
                        if why == BY_ORDER {
                            // What it had and no other member has is not to be expected any more.
                            replica.accept(now, Some(id));
                        }
                    }
                    Step::Standing { id, stance } => replica.peer_stance(now, id, stance),
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

    /// Calls on where members were that left a moment ago; says when to do so again, if any are left.
    fn call_back(&mut self, chitchat: &ChitchatHandle) -> Option<Instant> {
        let now = Instant::now();
        let left = self.roster.left_addresses(now);
        let peers: BTreeSet<_> = self.roster.up_addresses().collect();
        for addr in left.iter().filter(|addr| !peers.contains(addr)) {
            // Fails only when chitchat has ended, which is noticed elsewhere.
            let _ = chitchat.gossip(*addr);
        }
        (!left.is_empty()).then_some(now + self.gossip_interval)
    }

    /// Calls on seeds and members that are down: on several while there are no peers, or one that joins waits for seeds.
    /// Returns when to do so again.
    fn contact(&mut self, chitchat: &ChitchatHandle) -> Duration {
        let peers: BTreeSet<_> = self.roster.up_addresses().collect();
        let alone = peers.is_empty();
        self.look_at_seeds();
        let eager = alone || self.announcement.stance.awaits_seeds;
        self.seeds.alone(eager);
        let stranger = |addr: &SocketAddr| !peers.contains(addr) && *addr != self.advertised && *addr != self.local;
        let mut calls: Vec<_> = self.seeds.addresses().into_iter().filter(stranger).collect();
        let down = self.roster.down_addresses().filter(stranger);
        if eager {
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
        if eager || peers.len() <= FEW_PEERS { CONTACT_INTERVAL_FEW } else { CONTACT_INTERVAL }
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
            // A member that does not answer in time is told by the others.
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
