//! What all connections share: bounds, counters, whether data is there, and whether it is kept.

mod command_stats;
mod debugging;
mod durability;
mod files;
mod groups;
mod latency;
mod limits;
mod parameters;
mod pause;
mod readiness;
mod slowlog;
mod stats;
mod tick;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use command_stats::{CommandStat, CommandStats};
pub use debugging::Debugging;
pub use durability::Durability;
pub use files::clients_with_files;
pub use groups::{GroupMemory, Groups};
pub use latency::{Latency, Sample, Series};
pub use limits::Limits;
pub use parameters::Parameters;
pub use pause::{Holds, Pause};
pub use readiness::NotReady;
pub use slowlog::{SlowCommand, Slowlog};
pub use stats::{Counts, Stats};
pub use tick::Tick;

use cahoots_gossip::driver::HandOver;
use cahoots_gossip::engine::{MemoryBound, Replica};

use crate::acl::Acl;
use crate::pubsub::PubSub;
use crate::script::Scripts;
use crate::session::{Clients, Monitors, PushBudget};
use crate::watch::{KeyspaceEvents, Tracking, Watch};

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
    /// Clients that have asked for that and are about to be told how it went.
    pub leaves: AtomicUsize,
    /// Told when a client asks this daemon to stop.
    pub shutdown: tokio::sync::Notify,
    /// Whether it stops without waiting for other replicas.
    pub hurries: AtomicBool,
    /// How it stops.
    pub farewell: Mutex<Farewell>,
    /// How many clients may be connected.
    pub clients_max: AtomicUsize,
    /// Who cares about which key.
    pub watch: Arc<Watch>,
    /// What is remembered of the consumer groups of streams.
    pub groups: Groups,
    /// Which events of keys are published.
    pub keyspace: KeyspaceEvents,
    /// How much memory the data may take, as the replica knows it.
    pub memory: Mutex<MemoryBound>,
    /// Who caches which keys.
    pub tracking: Tracking,
    /// The clients that are connected.
    pub clients: Clients,
    /// Those of them that are shown every command.
    pub monitors: Monitors,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// What took long, if that is asked for.
    pub latency: Latency,
    /// What is counted of each command.
    pub command_stats: CommandStats,
    /// What DEBUG may change.
    pub debugging: Debugging,
    /// What clients have set.
    pub parameters: Parameters,
    /// Whether clients are held.
    pub pause: Pause,
    /// Who of them may do what.
    pub acl: Acl,
    /// What may wait to be sent to them unasked.
    pub push_budget: Arc<PushBudget>,
    /// Who listens to which channel.
    pub pubsub: PubSub,
    /// Scripts that are kept, and what runs them.
    pub scripts: Scripts,
    /// The data directory knows of others that this run has not met: they may hold, or lack, what nobody compares.
    pub awaits_others: AtomicBool,
    /// Set once the daemon was told to stop, while it still serves: nobody should begin to rely on it.
    pub stopping: AtomicBool,
}

/// How a daemon stops. May change while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Farewell {
    /// How long clients are served after the order.
    pub linger: Duration,
    /// How many replicas must have everything.
    pub replicas: usize,
    /// How long it waits for them.
    pub drain: Duration,
}

impl Server {
    /// How much memory the data may take.
    #[must_use]
    pub fn memory_bound(&self) -> MemoryBound {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stops, as of now.
    #[must_use]
    pub fn farewell(&self) -> Farewell {
        *self.farewell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the replica remove keys that expire, or leave them where they are, hidden: in a pause of clients nothing changes by
    /// itself.
    pub fn sees_to_expiry(&self, replica: &mut Replica) {
        replica.hold_expiry(self.pause.is_on() || self.debugging.keeps_expired.load(Ordering::Relaxed));
    }

    /// What it waits for when it stops. Of a planned stop of all, each one's disk keeps what there is to keep.
    #[must_use]
    pub fn hand_over(&self) -> HandOver {
        if self.hurries.load(Ordering::Relaxed) {
            return HandOver { replicas: 0, bound: Duration::ZERO, on_disk: true };
        }
        let Farewell { replicas, drain, .. } = self.farewell();
        let on_disk = self.durability.storage().is_some() && !self.awaits_others.load(Ordering::Relaxed);
        HandOver { replicas, bound: drain, on_disk }
    }
}
