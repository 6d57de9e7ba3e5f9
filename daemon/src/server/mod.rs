//! Serving clients: sockets, connections, and what all of them share.

mod connection;
mod durability;
mod limits;
mod linger;
mod listener;
mod readiness;
mod socket;
mod socket_file;
mod stats;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

pub use durability::Durability;
pub use limits::Limits;
pub use linger::{LOOK as LINGER_LOOK, Linger};
pub use listener::{ListenError, Listeners};
pub use readiness::NotReady;
pub use socket_file::{SocketError, SocketFile, default_socket};
pub use stats::{Stats, Tally};

/// What all connections share, and `INFO` tells.
#[derive(Debug)]
pub struct Server {
    /// The node's name.
    pub node: String,
    /// The cluster's name.
    pub cluster: String,
    /// Where clients connect.
    pub socket: PathBuf,
    /// Where clients connect over TCP, if they may.
    pub tcp: Option<SocketAddr>,
    /// Where peers send their datagrams.
    pub listen: SocketAddr,
    /// Whether commands on data are answered before the node has caught up with its cluster.
    pub serve_while_joining: bool,
    /// What a connection may cost.
    pub limits: Limits,
    /// When the daemon started.
    pub started: Instant,
    /// What happened since.
    pub stats: Stats,
    /// Whether and how data is kept.
    pub durability: Durability,
    /// Told when a client asks this node to leave.
    pub leave: tokio::sync::Notify,
    /// How many replicas must have everything before it does, and how long it waits for them.
    pub drain: (usize, std::time::Duration),
    /// Set once the daemon was told to stop, while it still serves: nobody should begin to rely on it.
    pub stopping: std::sync::atomic::AtomicBool,
}
