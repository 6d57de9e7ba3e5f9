//! What all connections share: bounds, counters, whether data is there, and whether it is kept.

mod durability;
mod limits;
mod readiness;
mod stats;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

pub use durability::Durability;
pub use limits::Limits;
pub use readiness::NotReady;
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
}
