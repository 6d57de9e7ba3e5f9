//! `cahoots serve`: a node from its start to its farewell.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::{CliResult, EXIT_IDENTITY_CONFLICT, EXIT_NOT_HANDED_OVER, log, print};
use crate::config::{Config, Flags, read_key};
use crate::server::{Listeners, Server, Stats};
use cahoots_gossip::driver::{Node, NodeConfig, NodeFailure};
use cahoots_gossip::wire::ClusterKey;

/// Longest time a stopping node takes to hand its writes to a peer. Well within the ten seconds that service managers
/// and container runtimes wait before they kill.
const HAND_OVER_TIME: Duration = Duration::from_secs(5);
/// File descriptors beside those of clients: sockets, timers, the log, some room.
const OTHER_FILES: u64 = 32;

pub(super) fn serve(flags: Flags, matches: &ArgMatches) -> CliResult {
    let started = Instant::now();
    let mut config = Config::resolve(flags, matches)?;
    log::start(config.log_format.value, config.log_level.value);
    config.limits.clients_max = clients_with_files(config.limits.clients_max);
    // One thread: connections, gossip and the replica share its cache, and commands run one after the other anyway.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(config, started))
}

async fn run(config: Config, started: Instant) -> CliResult {
    // Before anything exists that a signal would have to undo.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    // First the socket: that it is taken is the commonest reason not to start, and nobody in the cluster need hear of it.
    let mode = config.socket_mode.value.bits();
    let listeners = Listeners::bind(config.socket.value.clone(), mode, config.tcp.value)?;
    let node = Node::start(node_config(&config)?).await?;
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
    });
    announce(&server);

    let mut stopped = Stopped::Asked("");
    let stopping = async {
        stopped = tokio::select! {
            reason = stop() => Stopped::Asked(reason),
            failure = node.failed() => Stopped::Failed(failure),
        }
    };
    listeners.serve(&node, &server, stopping).await;

    match stopped {
        Stopped::Asked(reason) => info!(reason, "stopping"),
        Stopped::Failed(failure) => return Ok(explain(&failure)),
    }
    let drained = tokio::select! {
        drained = node.shutdown(HAND_OVER_TIME) => drained,
        // Asked twice: whoever asks knows what it may cost.
        reason = stop() => {
            warn!(reason, "stopped before all writes were handed over");
            return Ok(ExitCode::from(EXIT_NOT_HANDED_OVER));
        }
    };
    if drained.handed_over {
        info!(complete_at = drained.complete_at, "stopped");
        Ok(ExitCode::SUCCESS)
    } else {
        warn!("stopped; some writes of this node are on no other live node");
        Ok(ExitCode::from(EXIT_NOT_HANDED_OVER))
    }
}

/// Why clients are no longer served.
enum Stopped {
    /// By this signal.
    Asked(&'static str),
    /// The node has ended by itself.
    Failed(NodeFailure),
}

/// Says what a node cannot go on with, and the way out.
fn explain(failure: &NodeFailure) -> ExitCode {
    match failure {
        NodeFailure::IdentityConflict { .. } => {
            error!(
                "{failure}. This node has ended so that the two do not overwrite each other's changes; what was written \
                 here since it started may be on no other node. Start it without the copied data (it will fetch \
                 everything from its peers), or stop the other one first"
            );
            ExitCode::from(EXIT_IDENTITY_CONFLICT)
        }
        other => {
            error!("{other}");
            ExitCode::FAILURE
        }
    }
}

fn node_config(config: &Config) -> Result<NodeConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut node = NodeConfig::new(config.node.value.clone(), config.listen.value);
    node.advertise = config.advertise.value;
    node.bulk_listen = config.bulk_listen.value;
    node.bulk_advertise = config.bulk_advertise.value;
    node.seeds.clone_from(&config.seed.value);
    node.join_timeout = config.join_timeout.value.time();
    node.insecure = config.insecure.value;
    node.replica.cluster.clone_from(&config.cluster.value);
    node.replica.key = config.key_file.value.as_deref().map(read_key).transpose()?.map(ClusterKey::new);
    Ok(node)
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

/// How many clients there are files for, after asking for as many as allowed; at most `wanted`.
fn clients_with_files(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_add(OTHER_FILES);
    let Some(current) = limit.current.filter(|&current| current < needed) else { return wanted };
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed)).max(current);
    let granted = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    };
    let clients = usize::try_from(granted.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).clamp(1, wanted);
    if clients < wanted {
        warn!(
            clients,
            wanted,
            files = granted,
            "fewer clients than configured: the limit on open files allows no more"
        );
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_with_one_id_end_the_younger_with_a_code_of_its_own() {
        let id = cahoots_gossip::ReplicaId::new(7);
        let conflict = NodeFailure::IdentityConflict { id, name: "a".into(), addr: ([127, 0, 0, 1], 7101).into() };
        assert_eq!(explain(&conflict), ExitCode::from(4));
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
