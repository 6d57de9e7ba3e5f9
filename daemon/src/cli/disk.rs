//! The data directory in the life of `cahoots serve`: loaded before the node speaks to anybody, closed after it has
//! fallen silent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::state::Server;
use crate::storage::{self, AppendFsync, Opened, Options, StorageError, SystemFiles, Waker};
use cahoots_gossip::Limits;
use cahoots_gossip::driver::{Member, MemberState, Node};

/// The file with the members seen last, and how many it holds.
const MEMBERS: &str = "members";
const MEMBERS_MAX: usize = 64;
/// Behind each member, when the last ones have left in good order.
const LEFT: &str = " left";
/// The file with the first starts that the cluster goes back to.
const FOUNDING: &str = "founding";
/// Between two lines about how far loading is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// How long another member may seem to have this node's id: the shadow of an earlier process, which is found dead in half
/// of it.
const SHADOW_TIME: Duration = Duration::from_secs(9);
/// How long a node that goes on under an old id looks for others to ask before it serves, if it knows of any.
const LISTEN_TIME: Duration = Duration::from_millis(1500);
/// How long those may take to say what they know of it.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// The configured directory.
pub(super) struct Disk {
    options: Options,
    policy: AppendFsync,
    /// It was told of others, or has met some.
    knows_others: bool,
}

impl Disk {
    pub(super) fn new(config: &Config) -> Option<Self> {
        let options = Options {
            directory: config.data_dir.value.clone()?,
            cluster: config.cluster.value.clone(),
            limits: Limits::default(),
            new_id: config.new_id.value,
            repair: config.repair.value,
        };
        let knows_others = !config.seed.value.is_empty() || !remembered(&options.directory).is_empty();
        Some(Self { options, policy: config.appendfsync.value, knows_others })
    }

    /// Loads the directory into `node`, wakes it, and lets clients in.
    pub(super) async fn load(&self, node: &Node, server: &Arc<Server>) -> Result<(), StorageError> {
        let begun = Instant::now();
        let opened = self.open(server).await?;
        let report = opened.report.clone();
        // An id drawn at random is what a node that sleeps has.
        let fresh = node.id();
        let (store, ready) = blocking(move || opened.begin(fresh)).await?;
        let (id, resumed) = (ready.id(), report.resume == Some(ready.id()));
        let (keys, took_ms) = (store.len(), begun.elapsed().as_millis());
        info!(directory = %self.options.directory.display(), keys, log_bytes = report.log_bytes, took_ms, "data loaded");
        if report.dropped_bytes > 0 {
            warn!(bytes = report.dropped_bytes, "the end of the log was half-written and is dropped");
        }
        if let Some(what) = &report.repaired {
            warn!(what, "the log is damaged: what could be read is loaded, the rest has to come from other replicas");
        }
        if report.clock_back_ms > 0 {
            warn!(
                ms = report.clock_back_ms,
                "this machine's clock is behind what it was when the directory was last used; clocks of new writes go on from there"
            );
        }
        if let Some(why) = ready.waits_for_space() {
            warn!(
                why,
                "the data directory cannot be written to: what is there is served, nothing new is kept, and writing is tried again"
            );
        }
        let no_space = || ready.waits_for_space().map(|_| "the data directory cannot be written to");
        match report.new_id_because.or_else(no_space) {
            Some(why) => info!(%id, why, "going on under a new replica id"),
            None => info!(%id, resumed, "replica id"),
        }
        // Records are kept from the first moment. But who writes them comes after the data: a bucket must not be imaged
        // before it is there.
        let waker = Arc::new(OnceLock::new());
        let late = Arc::clone(&waker);
        node.on_records(move || late.get().into_iter().for_each(Waker::wake));
        node.wake(Some((store, id)));
        let storage = ready.start(node.clone(), self.policy)?;
        waker.get_or_init(|| storage.waker()).wake();
        server.durability.directory_read();
        if resumed {
            self.confirm_id(node).await;
        }
        server.durability.loaded(storage);
        Ok(())
    }

    /// Before clients come: has those who may have heard of the old id say what they know. If nobody can be asked, the
    /// first write takes a new one, so that nothing written ever has to be moved to another.
    async fn confirm_id(&self, node: &Node) {
        if !self.knows_others {
            return node.with(|replica, _| replica.end_probation());
        }
        listen(node).await;
        let met = node.members().iter().any(is_live_peer);
        if !(met && node.id_confirmed(ANSWER_TIME).await) {
            info!("nobody could be asked who else has used this replica's id: the first write will take a new one");
        }
    }

    async fn open(&self, server: &Arc<Server>) -> Result<Opened, StorageError> {
        let (options, shared) = (self.options.clone(), Arc::clone(server));
        let mut opening = std::pin::pin!(blocking(move || {
            storage::open(options, Arc::new(SystemFiles), &shared.durability.progress)
        }));
        loop {
            tokio::select! {
                opened = &mut opening => return opened,
                () = tokio::time::sleep(PROGRESS_INTERVAL) => {
                    info!(percent = server.durability.progress.percent(), "loading");
                }
            }
        }
    }
}

/// The members that were seen last, to be asked like seeds: a cluster that moved together is found again. Only a hint, so
/// what cannot be read is left out.
pub(super) fn remembered(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(MEMBERS)).unwrap_or_default();
    let addresses = text.lines().take(MEMBERS_MAX).filter_map(|line| line.split(' ').next());
    addresses.filter(|address| address.parse::<SocketAddr>().is_ok()).map(str::to_owned).collect()
}

/// Whether some of them may still be there: they have not all left in good order.
pub(super) fn awaits_others(directory: &Path) -> bool {
    let text = std::fs::read_to_string(directory.join(MEMBERS)).unwrap_or_default();
    text.lines().any(|line| !line.ends_with(LEFT))
}

/// Which first starts the replica goes back to, as far as a run before this one knew. Only a hint, too.
pub(super) fn founding(directory: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(directory.join(FOUNDING)).unwrap_or_default();
    text.lines().filter_map(|line| u64::from_str_radix(line, 16).ok()).collect()
}

/// Keeps what the next run should know of the cluster, as long as this is polled.
/// `awaits_others` is cleared once there is another member.
pub(super) async fn remember(node: &Node, directory: &Path, awaits_others: &AtomicBool) -> Infallible {
    let founding = async {
        let mut known = founding(directory);
        loop {
            known = node.founding_when_not(&known).await;
            if !known.is_empty() {
                replace(directory, FOUNDING, known.iter().map(|id| format!("{id:016x}")));
            }
        }
    };
    tokio::select! {
        never = founding => never,
        never = remember_members(node, directory, awaits_others) => never,
    }
}

/// Writes a list in the place of the one that is there.
fn replace(directory: &Path, name: &str, lines: impl Iterator<Item = String>) {
    let (new, path) = (directory.join(format!("{name}.new")), directory.join(name));
    let text: String = lines.map(|line| line + "\n").collect();
    if let Err(error) = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)) {
        debug!(%error, name, "cannot note what the next start should know of the cluster");
    }
}

async fn remember_members(node: &Node, directory: &Path, awaits_others: &AtomicBool) -> Infallible {
    let mut known: Vec<SocketAddr> = Vec::new();
    let others = |members: &[Member]| -> Vec<SocketAddr> {
        let live = members.iter().filter(|it| is_live_peer(it));
        live.map(|it| it.addr).take(MEMBERS_MAX).collect()
    };
    let is_alone = |members: &[Member]| members.iter().all(|member| member.is_self);
    loop {
        let all_known = |members: &[Member]| {
            let live = others(members);
            live.is_empty() || live == known
        };
        let members =
            node.members_when(|members| !all_known(members) || (is_alone(members) && !known.is_empty())).await;
        awaits_others.fetch_and(is_alone(&members), Relaxed);
        if is_alone(&members) {
            // Nobody failed: they are to be asked at the next start, and nobody waits for them.
            replace(directory, MEMBERS, known.drain(..).map(|address| format!("{address}{LEFT}")));
        } else {
            known = others(&members);
            replace(directory, MEMBERS, known.iter().map(SocketAddr::to_string));
        }
    }
}

/// Everything to disk, once the node is silent; then its id can be used again.
pub(super) async fn close(node: &Node, server: &Arc<Server>) -> Result<(), String> {
    if server.durability.storage().is_none() {
        return Ok(());
    }
    node.with(|replica, now| replica.flush(now));
    let server = Arc::clone(server);
    blocking(move || server.durability.storage().map_or(Ok(()), storage::Storage::close)).await
}

/// Runs `work` on a thread of its own: unlike a runtime's it does not keep the process from ending.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        // Whoever waited may have been told to stop.
        let _ = done.send(work());
    });
    match result.await {
        Ok(result) => result,
        Err(_) => panic!("a thread that worked for the data directory panicked; what it said is above"),
    }
}

/// Whether `member` has `node`'s id and is neither it nor the shadow it left at its own address.
fn is_twin(node: &Node, own: SocketAddr, member: &Member) -> bool {
    !member.is_self && member.id == node.id() && member.addr != own && matches!(member.state, MemberState::Refused(_))
}

fn is_live_peer(member: &Member) -> bool {
    !member.is_self && member.state == MemberState::Live
}

fn own(members: &[Member]) -> Option<(SocketAddr, u64)> {
    members.iter().find(|member| member.is_self).map(|member| (member.addr, member.incarnation))
}

/// Before a node goes on under an old id: gives membership the time to show who else lives under it.
async fn listen(node: &Node) {
    let met = node.members_when(|members| members.iter().any(is_live_peer));
    let _ = tokio::time::timeout(LISTEN_TIME, met).await;
    let shadow = node.members_when(|members| {
        own(members).is_none_or(|(own, _)| !members.iter().any(|member| is_twin(node, own, member)))
    });
    let _ = tokio::time::timeout(SHADOW_TIME, shadow).await;
}
