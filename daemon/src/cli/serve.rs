//! `cahoots serve`: a node from its start to its farewell.

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::reload::Reloader;
use super::{CliResult, EXIT_ID_IN_USE, EXIT_NOT_HANDED_OVER, EXIT_NOT_KEPT, EXIT_STORAGE, disk, log, print, reload};
use crate::acl::{self, Acl, AclFileError};
use crate::config::{ChannelsDefault, Config, Flags};
use crate::pubsub::{PubSub, Topic};
use crate::script::Scripts;
use crate::server::{LINGER_LOOK, Linger, Listeners};
use crate::session::{Clients, Monitors};
use crate::state::{
    CommandStats, Debugging, Durability, Latency, Parameters, Pause, Server, Slowlog, Stats, clients_with_files,
};
use crate::storage::StorageError;
use crate::watch::{KeyspaceEvents, Tracking};
use cahoots_gossip::driver::{HandOver, Node, NodeConfig, NodeFailure};
use cahoots_gossip::wire::ClusterKey;

pub(super) fn serve(flags: Flags, matches: &ArgMatches) -> CliResult {
    let started = Instant::now();
    let config = Config::resolve(flags.clone(), matches)?;
    let level = log::start(config.log_format.value, config.log_level.value);
    let keys = reload::keys(config.key_file.value.as_deref())?;
    let reloader = Reloader { flags, matches, config: config.clone(), keys, level };
    // One thread: connections, gossip and the replica share its cache, and commands run one after the other anyway.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(config, reloader, started))
}

async fn run(config: Config, mut reloader: Reloader<'_>, started: Instant) -> CliResult {
    // Before anything exists that a signal would have to undo.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => SIGTERM,
            _ = interrupt.recv() => "SIGINT",
        }
    };
    // First the socket: that it is taken is the commonest reason not to start, and nobody in the cluster need hear of it.
    let mode = config.socket_mode.value.bits();
    let listeners = Listeners::bind(config.socket.value.clone(), mode, config.tcp.value)?;
    let node = Node::asleep(node_config(&config, reloader.keys.as_deref())).await?;
    let disk = disk::Disk::new(&config);
    let acl = access(&config)?;
    let farewell = Mutex::new(reload::farewell(&config));
    let memory = config.memory_bound();
    node.run(|replica, now| replica.bound_memory(now, memory));
    let keyspace = KeyspaceEvents::default();
    keyspace.choose(config.notify_keyspace_events.value);
    let (redis, flags_file) = (config.redis, reloader.flags.config.clone());
    let server = Arc::new(Server {
        node: config.node.value,
        cluster: config.cluster.value,
        socket: config.socket.value,
        tcp: listeners.tcp_address(),
        listen: node.local_addr(),
        serve_while_joining: config.serve_while_joining.value,
        limits: config.limits,
        started,
        stats: Stats::default(),
        durability: disk.as_ref().map_or_else(Durability::default, |_| Durability::of_a_directory()),
        leave: Notify::new(),
        shutdown: Notify::new(),
        hurries: AtomicBool::new(false),
        leaves: AtomicUsize::new(0),
        farewell,
        clients_max: AtomicUsize::new(clients_with_files(config.limits.clients_max)),
        watch: Arc::default(),
        groups: crate::state::Groups::default(),
        keyspace,
        memory: Mutex::new(memory),
        tracking: Tracking::default(),
        clients: Clients::default(),
        monitors: Monitors::default(),
        slowlog: Slowlog::default(),
        pause: Pause::default(),
        latency: Latency::default(),
        command_stats: CommandStats::of(crate::command::NUMBERS),
        debugging: Debugging { allowed: config.enable_debug_command.value, ..Debugging::default() },
        parameters: Parameters::of(flags_file),
        acl,
        push_budget: Arc::default(),
        pubsub: PubSub::default(),
        scripts: Scripts::default(),
        awaits_others: AtomicBool::new(config.data_dir.value.as_deref().is_some_and(disk::awaits_others)),
        stopping: AtomicBool::new(false),
    });
    node.run(|replica, now| crate::command::configure(replica, now, &server, &redis.value))
        .map_err(|why| format!("[redis] ({}): {why}", redis.source))?;
    if server.keyspace.is_on() {
        node.run(|replica, _| replica.record_changes(true));
        server.watch.activate(true);
    }
    let watching = Arc::clone(&server);
    let listening = Arc::clone(&server);
    node.on_publication(move |it| {
        if let Some(topic) = Topic::of_kind(it.kind) {
            listening.pubsub.publish(topic, &it.channel, &it.message);
        }
    });
    node.on_changes(move |replica, now| crate::command::serve_blocked(replica, now, &watching));

    // Clients are let in at once, and told that data is being loaded for as long as it is.
    let (mut end, mut may_repeat) = (End::Stopped(""), false);
    let until = async {
        let live = async {
            match &disk {
                Some(disk) => disk.load(&node, &server).await?,
                None => node.wake(None),
            }
            announce(&server);
            let remember = async {
                match &config.data_dir.value {
                    Some(directory) => disk::remember(&node, directory, &server.awaits_others).await,
                    None => std::future::pending().await,
                }
            };
            Ok::<_, StorageError>(tokio::select! {
                () = server.leave.notified() => End::Stopped("CAHOOTS LEAVE"),
                never = remember => match never {},
            })
        };
        let mut reloads = pin!(reloader.reload_when_told(&mut hangup, &node, &server));
        end = tokio::select! {
            never = &mut reloads => match never {},
            reason = stop() => End::Stopped(reason),
            () = server.shutdown.notified() => End::Stopped("SHUTDOWN"),
            failure = node.failed() => End::Failed(failure),
            ended = live => ended.unwrap_or_else(End::NoStorage),
        };
        // Who types ^C, or sends the order by a command, waits for the end. A process that is loading serves nobody.
        let linger_bound = server.farewell().linger;
        if matches!(end, End::Stopped(SIGTERM)) && !linger_bound.is_zero() && !server.durability.is_loading() {
            tokio::select! {
                never = &mut reloads => match never {},
                () = linger(&node, &server, linger_bound) => may_repeat = true,
                reason = stop() => info!(reason, "serving no longer"),
                () = server.leave.notified() => info!(reason = "CAHOOTS LEAVE", "serving no longer"),
                failure = node.failed() => end = End::Failed(failure),
            }
        }
    };
    listeners.serve(&node, &server, until).await;

    let reason = match end {
        End::Stopped(reason) => reason,
        End::NoStorage(error) => {
            log_error(&error);
            let copied = matches!(error, StorageError::Copied { .. });
            return Ok(ExitCode::from(if copied { EXIT_ID_IN_USE } else { EXIT_STORAGE }));
        }
        // What was written here is under an id that is not ours alone: it is not handed over as if it were.
        End::Failed(failure) => return Ok(explain(&failure)),
    };
    info!(reason, "stopping");
    let wanted = server.hand_over();
    let drained = tokio::select! {
        drained = node.shutdown_after(wanted) => Some(drained),
        // Asked twice: whoever asks knows what it may cost.
        reason = async {
            // Who sends a second SIGTERM to end the lingering may do so a moment after that has ended by itself.
            match stop().await {
                SIGTERM if may_repeat => stop().await,
                reason => reason,
            }
        } => {
            warn!(reason, "stopped before all writes were handed over");
            // Still nothing may be told any more before the disk is closed.
            node.shutdown_after(HandOver { replicas: 0, bound: Duration::ZERO, on_disk: false }).await;
            None
        }
    };
    let kept = disk::close(&node, &server).await;
    if let Err(error) = kept {
        error!(error, "stopped; not everything is on disk");
        return Ok(ExitCode::from(EXIT_NOT_KEPT));
    }
    match drained {
        Some(drained) if drained.handed_over || (wanted.on_disk && drained.nobody_stays) => {
            info!(complete_at = drained.complete_at, kept = disk.is_some(), "stopped");
            Ok(ExitCode::SUCCESS)
        }
        Some(drained) => {
            warn!(
                complete_at = drained.complete_at,
                wanted = wanted.replicas,
                "stopped; not handed over to as many live nodes as wanted"
            );
            Ok(ExitCode::from(EXIT_NOT_HANDED_OVER))
        }
        None => Ok(ExitCode::from(EXIT_NOT_HANDED_OVER)),
    }
}

/// Who may do what, as configured.
fn access(config: &Config) -> Result<Acl, AclFileError> {
    let file = config.aclfile.value.clone();
    let all_channels = config.acl_pubsub_default.value == ChannelsDefault::AllChannels;
    let users = file.as_deref().map(|file| acl::read(file, all_channels)).transpose()?;
    let acl = Acl::new(file);
    acl.all_channels.store(all_channels, Relaxed);
    acl.log.len_max.store(config.acllog_max_len.value, Relaxed);
    // Nobody has come yet for whom something would follow.
    users.into_iter().for_each(|users| drop(acl.replace(users)));
    if let Some(password) = config.requirepass.value.0 {
        acl.require(Some(password));
    }
    Ok(acl)
}

/// The order to stop after which clients are still served for a while.
const SIGTERM: &str = "SIGTERM";

/// Goes on serving clients, while everybody is told that no new work should come here, until they have gone or have had
/// `bound`.
async fn linger(node: &Node, server: &Server, bound: Duration) {
    server.stopping.store(true, Relaxed);
    let clients = server.stats.clients.load(Relaxed);
    info!(
        reason = SIGTERM,
        clients,
        linger_ms = bound.as_millis(),
        "stopping; clients are served until they have gone"
    );
    node.announce_ready(false).await;
    let mut linger = Linger::begin(Instant::now(), bound, &server.stats);
    let why = loop {
        tokio::time::sleep(LINGER_LOOK).await;
        // Who has asked this node to leave, and waits for the answer, ends the lingering with it.
        if server.leaves.load(Relaxed) == 0
            && let Some(why) = linger.over(Instant::now(), &server.stats)
        {
            break why;
        }
    };
    info!(%why, clients = server.stats.clients.load(Relaxed), "serving no longer");
}

/// Why a node stops.
enum End {
    Stopped(&'static str),
    NoStorage(StorageError),
    /// The node has ended by itself.
    Failed(NodeFailure),
}

/// Says what is wrong with the directory, to the log and to the person who typed `serve`.
fn log_error(error: &StorageError) {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    error!("{error}{cause}");
    eprintln!("cahoots: {error}{cause}");
}

/// Says what a node cannot go on with, and the way out.
fn explain(failure: &NodeFailure) -> ExitCode {
    match failure {
        NodeFailure::IdentityConflict { .. } => {
            let advice = "This node has ended so that the two do not overwrite each other's changes. Start it with --new-id to \
                          make it a replica of its own";
            error!("{failure}. {advice}");
            eprintln!("cahoots: {failure}. {advice}");
            ExitCode::from(EXIT_ID_IN_USE)
        }
        other => {
            error!("{other}");
            eprintln!("cahoots: {other}");
            ExitCode::FAILURE
        }
    }
}

fn node_config(config: &Config, keys: Option<&[ClusterKey]>) -> NodeConfig {
    let mut node = NodeConfig::new(config.node.value.clone(), config.listen.value);
    node.advertise = config.advertise.value;
    node.bulk_listen = config.bulk_listen.value;
    node.bulk_advertise = config.bulk_advertise.value;
    node.seeds.clone_from(&config.seed.value);
    node.join_timeout = config.join_timeout.value.time();
    if let Some(directory) = &config.data_dir.value {
        node.remembered = disk::remembered(directory);
        node.founding = disk::founding(directory);
    }
    node.insecure = config.insecure.value;
    node.replica.cluster.clone_from(&config.cluster.value);
    if let Some([first, others @ ..]) = keys {
        (node.replica.key, node.replica.other_keys) = (Some(first.clone()), others.to_vec());
    }
    node
}

/// Says where clients connect, for the person who typed `serve` and for scripts that wait for the first line.
fn announce(server: &Server) {
    let socket = server.socket.display();
    info!(node = server.node, cluster = server.cluster, %socket, listen = %server.listen, "listening");
    let tcp = server.tcp.map_or_else(String::new, |address| format!("tcp: {address}\n"));
    print(&format!("socket: {socket}\n{tcp}try: redis-cli -s {} PING\n", shell_word(&server.socket)));
}

/// The path as one word of a shell.
fn shell_word(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    if !path.is_empty() && path.bytes().all(plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_with_one_id_end_the_younger_with_a_code_of_its_own() {
        let id = cahoots_gossip::ReplicaId::new(7);
        let conflict = NodeFailure::IdentityConflict { id, name: "a".into(), addr: ([127, 0, 0, 1], 7101).into() };
        assert_eq!(explain(&conflict), ExitCode::from(5));
        let text = conflict.to_string();
        assert!(text.contains("0000000000000007") && text.contains("\"a\" at 127.0.0.1:7101"), "{text}");
    }

    #[test]
    fn a_path_is_quoted_if_the_shell_needs_it() {
        for (path, word) in [("/run/a.sock", "/run/a.sock"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'"), ("", "''")] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
