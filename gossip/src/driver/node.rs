//! The handle a program holds: start, use, stop.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use cahoots_crdt::ReplicaId;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bulk::Bulk;
use super::changes::Changes;
use super::clock::Clock;
use super::config::{NodeConfig, StartError};
use super::counters::Counters;
use super::engine_lock::Shared;
use super::failure::NodeFailure;
use super::membership::member::{ForgetError, Member};
use super::membership::reach::{Reach, Timing};
use super::membership::seeds::Seeds;
use super::membership::{Command, Membership};
use super::pump::pump;
use super::socket::Endpoint;
use super::timer::Timer;
use crate::Zone;
use crate::engine::{Ask, Now, Publication, Readiness, ReadyReason, Replica};
use crate::store::{Store, Writer};
use crate::wire::ClusterKey;

/// How long a hand-over that is complete waits for those who were not asked for to say that they have everything, too.
const OTHERS_TIME: Duration = Duration::from_millis(300);

/// Between two looks at how far a hand-over is.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Between two questions to peers about their disks.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Time a shutdown takes for its farewell even when the hand-over has used up the bound.
const FAREWELL_TIME: Duration = Duration::from_millis(500);

/// A replica in a cluster: the engine, its sockets and its membership.
///
/// Clones are handles to the same node. When the last one is dropped the node stops at once, as if it had been killed:
/// use [`shutdown`](Self::shutdown) to hand over what only this node has.
///
/// ```
/// use cahoots_gossip::driver::{Node, NodeConfig};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// node.register("greeting").set("hello")?;
/// let drained = node.shutdown(std::time::Duration::from_secs(1)).await;
/// assert!(!drained.handed_over, "there was no peer to take it");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Node {
    handle: Arc<Running>,
}

/// What a [`Node::shutdown`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Whether everything that this node held, whoever wrote it, is held by as many live peers as were asked for that are
    /// complete themselves and stay; or there was nothing to hand over.
    pub handed_over: bool,
    /// How many live and complete peers that stay have all of it.
    pub complete_at: usize,
    /// There is no other member, or every other one has said that it stops, too. Then what nobody's disk keeps is lost.
    pub nobody_stays: bool,
}

/// What a node that stops waits for.
#[derive(Clone, Copy, Debug)]
pub struct HandOver {
    /// Peers that must have everything.
    pub replicas: usize,
    /// How long they are waited for.
    pub bound: Duration,
    /// All is on a disk that stays: so if no member does, there is nothing to wait for.
    pub on_disk: bool,
}

/// A node that may have ended.
pub(super) struct Handle(Weak<Running>);

impl Handle {
    pub(super) fn upgrade(&self) -> Option<Node> {
        Some(Node { handle: self.0.upgrade()? })
    }
}

/// The last handle's end is the node's.
struct Running {
    shared: Arc<Shared>,
    local: SocketAddr,
    bulk_local: SocketAddr,
    /// Gone once the node has stopped.
    bulk: Mutex<Option<Bulk>>,
    has_seeds: bool,
    commands: mpsc::Sender<Command>,
    /// There until the node is woken.
    asleep: Mutex<Option<Asleep>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    drained: tokio::sync::Mutex<Option<Drained>>,
}

/// What a node needs to be woken.
struct Asleep {
    config: NodeConfig,
    runtime: runtime::Handle,
    advertised: SocketAddr,
    bulk_advertised: SocketAddr,
    orders: mpsc::Receiver<Command>,
    asks: mpsc::Receiver<Ask>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(bulk) = self.take_bulk() {
            bulk.close();
        }
        for task in self.take_tasks() {
            task.abort();
        }
    }
}

impl Running {
    fn take_tasks(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_bulk(&self) -> Option<Bulk> {
        self.bulk.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Node {
    /// Binds the sockets and starts the node on the current tokio runtime. It looks for its cluster from then on and is
    /// usable at once, alone.
    ///
    /// # Errors
    /// See [`StartError`]; after one nothing is left running.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let node = Self::asleep(config).await?;
        node.wake(None);
        Ok(node)
    }

    /// Binds the sockets and no more: the node neither hears nor says anything before [`wake`](Self::wake). So a program
    /// that has data to load learns first whether it can start at all, and peers never meet a replica that knows less
    /// than its id has told. Nothing may be written meanwhile; it would be gone.
    ///
    /// # Errors
    /// See [`StartError`]; after one nothing is left running.
    #[allow(clippy::unused_async, reason = "a start that comes to wait for something must not change its signature")]
    pub async fn asleep(config: NodeConfig) -> Result<Self, StartError> {
        config.check()?;
        let runtime = runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let endpoint = Endpoint::bind(config.listen)?;
        let local = endpoint.local_addr();
        let advertised = config.advertised(local, endpoint.families())?;
        let bulk = Bulk::bind(&config)?;
        let bulk_local = bulk.local_addr();
        let bulk_advertised = config.bulk_advertised(bulk_local, bulk.families(), advertised)?;
        let timer = Timer::new().map_err(|source| StartError::Timer { source })?;
        let clock = Clock::start();
        let mut replica = config.replica.clone();
        replica.nonce_salt = random();
        replica.zone = Zone::of(config.zone.as_deref());
        let replica = match config.id {
            // Used before, most likely: on probation until the peers have said what they know of it.
            Some(id) => Replica::resume(replica.clone(), Store::new(id, replica.limits, 0), id, clock.now()),
            None => Replica::new(replica, random_id(), clock.now()),
        };
        let timing = Timing::new(config.failure_timeout, config.gossip_interval);
        let reach = Reach::new(timing, config.replica.datagram_bytes_max, random());
        let (shared, asks) = Shared::new(replica, endpoint, clock, timer, reach);
        let shared = Arc::new(shared);
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let has_seeds = !config.seeds.is_empty() || !config.remembered.is_empty();
        let (tasks, drained) = (Mutex::default(), tokio::sync::Mutex::new(None));
        let asleep = Mutex::new(Some(Asleep { config, runtime, advertised, bulk_advertised, orders, asks }));
        let bulk = Mutex::new(Some(bulk));
        Ok(Self {
            handle: Arc::new(Running { shared, local, bulk_local, bulk, has_seeds, commands, asleep, tasks, drained }),
        })
    }

    /// Starts a node that is [`asleep`](Self::asleep), from a loaded store if one is given: then the node goes on from it
    /// under this id. See [`Replica::resume`] for which id that may be. Does nothing when it is awake.
    pub fn wake(&self, loaded: Option<(Store, ReplicaId)>) {
        let asleep = self.handle.asleep.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Asleep { config, runtime, advertised, bulk_advertised, orders, asks }) = asleep else { return };
        let shared = self.shared();
        let loaded = loaded.map(|(store, id)| {
            let replica = self.read(|replica| replica.config().clone());
            Replica::resume(replica, store, id, shared.clock.now())
        });
        shared.begin(loaded, self.handle.has_seeds.then_some(config.join_timeout));
        // A node that was shut down in its sleep stays down.
        let bulk = self.handle.bulk.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(endpoint), Some(bulk)) = (shared.endpoint(), bulk.as_ref()) else { return };
        let (seeds, names) = Seeds::new(&config.seeds, &config.remembered);
        let seeds = Arc::new(seeds);
        let (local, name) = (self.handle.local, config.name.clone());
        let membership =
            Membership::new(Arc::clone(shared), Arc::clone(&seeds), &config, local, advertised, bulk_advertised);
        let tasks = [
            runtime.spawn(pump(Arc::clone(shared), endpoint)),
            runtime.spawn(membership.run(orders)),
            runtime.spawn(bulk.carry(shared, asks, &config)),
            runtime.spawn(bulk.answer(shared, &config)),
            runtime.spawn(async move { seeds.keep_fresh(names).await }),
        ];
        self.handle.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
        tracing::info!(name, %local, %advertised, bulk = %bulk_advertised, "node started");
    }

    /// Has the engine keep records of everything it applies from now on, for [`Replica::take_records`], and `call` called
    /// whenever there are some: under the engine's lock, so it may do no more than wake a task.
    pub fn on_records(&self, call: impl Fn() + Send + Sync + 'static) {
        self.shared().on_records(Box::new(call));
    }

    /// Has `call` called under the engine's lock whenever changes may have been recorded
    /// ([`Replica::record_changes`]) since it was called last: by peers, by time, and by writes that did not take them
    /// themselves. It takes them with [`Replica::poll_change`], and may write. A node of which this is asked has no
    /// [`Changes`] besides.
    pub fn on_changes(&self, call: impl Fn(&mut Replica, Now) + Send + Sync + 'static) {
        self.shared().on_changes(Box::new(call));
    }

    /// Has `call` called under the engine's lock for each message that another node has published
    /// ([`Replica::publish`]): at most once, and in the order of each node. It may do no more than pass it on.
    pub fn on_publication(&self, call: impl Fn(Publication) + Send + Sync + 'static) {
        self.shared().on_publication(Box::new(call));
    }

    /// The id of this node's replica. It changes if the node finds out that the id is, or was, used elsewhere: then it
    /// goes on under another one, and what it wrote that no peer had heard of yet goes with it. Also by
    /// [`Replica::take_new_id`].
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.shared().id()
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local
    }

    /// The bound address for streams.
    #[must_use]
    pub fn bulk_addr(&self) -> SocketAddr {
        self.handle.bulk_local
    }

    /// Runs `f` on the engine and sees to what follows: due timers, datagrams, changes.
    ///
    /// Call it from any thread, not from within `f`, and keep `f` short: everything this node does waits for it. What `f` wrote is on its
    /// way to the peers when this returns, or at the end of the flush window under load.
    ///
    /// # Panics
    /// When an earlier `f` panicked: the state it left half-written is not replicated.
    pub fn with<R>(&self, f: impl FnOnce(&mut Replica, Now) -> R) -> R {
        self.shared().drive(f)
    }

    /// Runs `f` on the engine for reading, beside others who read. Call it not from within `f`, and keep `f` short: who
    /// writes waits for it.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn read<R>(&self, f: impl FnOnce(&Replica) -> R) -> R {
        self.shared().read(f)
    }

    /// As [`read`](Self::read), with the time: for what has to know what has expired.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn read_now<R>(&self, f: impl FnOnce(&Replica, Now) -> R) -> R {
        self.shared().read(|replica| f(replica, self.shared().clock.now()))
    }

    /// Runs reads and groups of writes ([`Replica::write`]), nothing else, at less cost than by way of
    /// [`with`](Self::with): mostly the end of the flush window sees to what follows.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn run<R>(&self, f: impl FnOnce(&mut Replica, Now) -> R) -> R {
        self.shared().run(f)
    }

    /// Runs one group of writes, as [`run`](Self::run) does. `bytes` estimates the keys and values written, 0 if unknown.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn write<R>(&self, bytes: usize, f: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.run(|replica, now| replica.write(now, bytes, f))
    }

    /// Waits until `peers` live peers have applied everything written at this node so far, at most for `timeout`;
    /// returns how many have. Without a timeout it waits for as long as the node runs. Cancel safe.
    pub async fn wait_for(&self, peers: usize, timeout: Option<Duration>) -> usize {
        let position = self.read(Replica::position);
        self.wait(position, peers, timeout).await
    }

    /// Waits until `replicas` live peers have applied this replica's own events `1..=seq`, at most for `timeout`;
    /// returns how many have. Cancel safe.
    ///
    /// The open flush window is sealed at once, unless others are waiting already: then at its usual end, 200
    /// microseconds after the last one by default, or when those others have their answer. So many callers share windows
    /// and acknowledgements, and a single one waits for a round trip only.
    ///
    /// A peer that only *received* the events does not count. With [`Replica::position`] as `seq` this is the `WAIT`
    /// command of Redis. Without a timeout it waits for as long as the node runs.
    pub async fn wait(&self, seq: u64, replicas: usize, timeout: Option<Duration>) -> usize {
        let mut waiting = match self.shared().enter(seq, replicas) {
            Ok(waiting) => waiting,
            Err(have) => return have,
        };
        let Some(timeout) = timeout else { return waiting.answer().await };
        match tokio::time::timeout(timeout, waiting.answer()).await {
            Ok(have) => have,
            Err(_) => self.read(|replica| replica.acked_by(seq)),
        }
    }

    /// Waits until `replicas` live peers have this replica's own events `1..=seq` on disk, at most for `timeout`; returns how
    /// many have. Peers that keep everything in memory never do. Cancel safe.
    pub async fn wait_kept(&self, seq: u64, replicas: usize, timeout: Option<Duration>) -> usize {
        let wait = async {
            loop {
                let progress = self.shared().progress.notified();
                let enough = self.with(|replica, _| {
                    let enough = replica.kept_by(seq) >= replicas;
                    if !enough {
                        replica.ask_kept(seq);
                    }
                    enough
                });
                if enough {
                    return;
                }
                // Questions and answers may be lost.
                let _ = tokio::time::timeout(ASK_AGAIN, progress).await;
            }
        };
        match timeout {
            Some(timeout) => drop(tokio::time::timeout(timeout, wait).await),
            None => wait.await,
        }
        self.read(|replica| replica.kept_by(seq))
    }

    /// Waits until the peers have confirmed that no other process has used this replica's id, or `patience` is over;
    /// says whether they have. Matters after a [`wake`](Self::wake) under an old id only.
    pub async fn id_confirmed(&self, patience: Duration) -> bool {
        let confirmed = async {
            loop {
                let progress = self.shared().progress.notified();
                if !self.read(Replica::on_probation) {
                    return;
                }
                progress.await;
            }
        };
        tokio::time::timeout(patience, confirmed).await.is_ok()
    }

    /// Everybody known in the cluster: this node first, then peers, those that went down, those refused.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.shared().members.borrow().clone()
    }

    /// Waits until `condition` holds for the [`members`](Self::members), and returns them. Cancel safe.
    pub async fn members_when(&self, mut condition: impl FnMut(&[Member]) -> bool) -> Vec<Member> {
        let mut members = self.shared().members.subscribe();
        members.wait_for(|members| condition(members)).await.expect("the sender lives as long as this node").clone()
    }

    /// Subscribes to the keys that change from now on, here or at a peer.
    #[must_use]
    pub fn subscribe(&self) -> Changes {
        self.shared().subscribe()
    }

    /// What the driver has counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared().tally.snapshot()
    }

    /// Waits until this node has caught up with its cluster, or has given up waiting for it, and says which. Cancel safe.
    ///
    /// A node without seeds is ready when it starts. One with seeds is ready once it has what a ready peer had when that
    /// was first heard, or what all peers had if none is ready. If no peer answers, or catching up makes no progress
    /// for [`NodeConfig::join_timeout`], it is ready all the same. Reads and writes work before, on what is here; but
    /// of what others have written they may show nothing.
    pub async fn ready(&self) -> ReadyReason {
        let mut ready = self.shared().ready.subscribe();
        let ready = ready.wait_for(Option::is_some).await.expect("the sender lives as long as this node");
        ready.expect("it was just looked at")
    }

    /// Whether this node has caught up with its cluster, and how far it is if not.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.read(Replica::readiness)
    }

    /// Waits until this node ends by itself, and says why; for as long as it runs, if it does not. Cancel safe.
    ///
    /// After that nothing is sent any more: the program should end, or start another node under another id.
    pub async fn failed(&self) -> NodeFailure {
        let mut failure = self.shared().failure.subscribe();
        let failure = failure.wait_for(Option::is_some).await.expect("the sender lives as long as this node");
        failure.clone().expect("it was just looked at")
    }

    /// Changes the cluster's keys: seals and shows `key` from now on, accepts it and `others`, on both ports. A cluster changes
    /// its key member by member without a gap: first every member accepts the new one, then every member seals by it and
    /// still accepts the old one, then that is left out. Says whether it was done: a node that was started without a
    /// key goes on without one.
    pub fn set_keys(&self, key: &ClusterKey, others: &[ClusterKey]) -> bool {
        if !self.with(|replica, _| replica.set_keys(key, others)) {
            return false;
        }
        if let Some(bulk) = &*self.handle.bulk.lock().unwrap_or_else(PoisonError::into_inner) {
            bulk.set_keys(key, others);
        }
        true
    }

    /// Forgets the members that are down and go by this name or id (16 hex digits), here and at all live members; says how
    /// many those were. What they wrote stays; their ballots count no more. One that comes back is a member again.
    ///
    /// # Errors
    /// One that is alive goes by it, and none that is down; or this node has stopped.
    pub async fn forget(&self, who: &str) -> Result<usize, ForgetError> {
        let (done, forgotten) = oneshot::channel();
        let sent = self.handle.commands.send(Command::Forget(who.to_owned(), done)).await;
        sent.map_err(|_| ForgetError::Stopped)?;
        forgotten.await.unwrap_or(Err(ForgetError::Stopped))
    }

    /// Which first starts of a cluster this node goes back to: random numbers, one unless clusters were merged, and none
    /// before that is certain. For [`NodeConfig::founding`] of the next start.
    #[must_use]
    pub fn founding(&self) -> Vec<u64> {
        self.shared().founding.borrow().clone()
    }

    /// Waits until [`Node::founding`] is something else than `known`, and returns it. Cancel safe.
    pub async fn founding_when_not(&self, known: &[u64]) -> Vec<u64> {
        let mut founding = self.shared().founding.subscribe();
        founding.wait_for(|it| it != known).await.expect("the sender lives as long as this node").clone()
    }

    /// Announces whether this node serves clients. Without a word it announces so once it is [`ready`](Self::ready);
    /// with `false` not even then.
    pub async fn announce_ready(&self, ready: bool) {
        // No task is left to tell once the node has stopped.
        let _ = self.handle.commands.send(Command::Ready(ready)).await;
    }

    /// Stops the node: hands everything it holds to a live peer, tells the peers that it leaves, ends its tasks and frees its
    /// ports. Takes at most `bound` plus a second.
    ///
    /// What is written meanwhile is handed over as well, if it comes early enough; writes after the end stay local and
    /// reach no peer. A second call returns what the first one achieved.
    pub async fn shutdown(&self, bound: Duration) -> Drained {
        self.shutdown_after(HandOver { replicas: 1, bound, on_disk: false }).await
    }

    /// As [`shutdown`](Self::shutdown), with more to say.
    pub async fn shutdown_after(&self, wanted: HandOver) -> Drained {
        let mut done = self.handle.drained.lock().await;
        if let Some(drained) = *done {
            return drained;
        }
        // Should membership be too busy to tell it, that is no reason to stop later.
        let _ = self.handle.commands.try_send(Command::Ready(false));
        let drained = self.hand_over(wanted).await;
        let shared = self.shared();
        let (left, farewell) = oneshot::channel();
        let leave = async {
            if self.handle.commands.send(Command::Leave(left)).await.is_ok() {
                let _ = farewell.await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL_TIME, leave).await;
        shared.close();
        for task in self.handle.take_tasks() {
            task.abort();
            // Ended by the abort, or by itself; its part of the socket is dropped either way.
            let _ = task.await;
        }
        if let Some(bulk) = self.handle.take_bulk() {
            bulk.close();
            bulk.freed().await;
        }
        *done = Some(drained);
        drained
    }

    /// A handle that does not keep the node running.
    pub(super) fn downgrade(&self) -> Handle {
        Handle(Arc::downgrade(&self.handle))
    }

    /// Waits until so many live peers that are complete and stay have everything that is here, whoever wrote it. To be
    /// followed by [`shutdown_after`](Self::shutdown_after): from now on peers that stop do not rely on this node.
    pub async fn hand_over(&self, wanted: HandOver) -> Drained {
        let deadline = Instant::now() + wanted.bound;
        let shared = self.shared();
        shared.drive(Replica::begin_hand_over);
        let nobody_stays =
            |replica: &Replica| shared.members.borrow().iter().all(|it| it.is_self || replica.stops_too(it.id));
        let mut enough_at = None;
        let handed_over = async {
            loop {
                let progress = shared.progress.notified();
                let (enough, all) = shared.drive(|replica, now| {
                    replica.pursue_hand_over(now);
                    let enough = replica.is_handed_over(wanted.replicas) || (wanted.on_disk && nobody_stays(replica));
                    (enough, replica.is_handed_over_to_all())
                });
                // The others have it as well, mostly, and say so in a round trip: so what is told in the end is true.
                if enough && (all || enough_at.get_or_insert_with(Instant::now).elapsed() >= OTHERS_TIME) {
                    return;
                }
                // Accounts of peers wake no task, and may be lost.
                let _ = tokio::time::timeout(LOOK_AGAIN, progress).await;
            }
        };
        // Without a seed and without ever having met a peer there is none to wait for.
        if self.handle.has_seeds || self.members().len() > 1 {
            let _ = tokio::time::timeout_at(deadline, handed_over).await;
        }
        shared.drive(|replica, now| {
            replica.pursue_hand_over(now);
            Drained {
                handed_over: replica.is_handed_over(wanted.replicas),
                complete_at: replica.handed_over_to(),
                nobody_stays: nobody_stays(replica),
            }
        })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("local", &self.handle.local).finish_non_exhaustive()
    }
}

/// Orders to membership under way at once. Each caller waits for its turn.
const COMMANDS_MAX: usize = 8;

/// A replica id that no other process has: for [`Replica::take_new_id`].
#[must_use]
pub fn random_id() -> ReplicaId {
    // Zero stands for "no id" in some logs and formats.
    ReplicaId::new(std::iter::repeat_with(random).find(|id| *id != 0).expect("the iterator has no end"))
}

fn random() -> u64 {
    SysRng.try_next_u64().expect("no system that runs this is without randomness")
}
