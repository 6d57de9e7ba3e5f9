//! Channels: who of the clients of this daemon listens to what, and what they are sent.
//!
//! A message goes to those who listen now, once, and is then forgotten. Messages are published under the replica's lock,
//! by clients and by what arrives from other daemons ([`cahoots_gossip::engine::Replica::publish`]), so all listeners of
//! this daemon see them in one order. What other daemons publish comes at most once, and in the order of each.
//!
//! Bounds: what one client listens to ([`CLIENT_BYTES_MAX`]), what all do ([`TOTAL_BYTES_MAX`]), and what waits to be sent
//! (`session/inbox.rs`).

mod subscriptions;
mod table;

pub use subscriptions::{CLIENT_BYTES_MAX, Subscriptions};
pub use table::{PubSub, TOTAL_BYTES_MAX};

/// What can be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// One channel.
    Channel,
    /// All channels whose names match.
    Pattern,
    /// One channel of those that a Redis cluster keeps to one shard; there are no shards here, and they are names apart.
    Shard,
}

impl Topic {
    /// By which number messages for it travel.
    #[must_use]
    pub fn kind(self) -> u8 {
        self as u8
    }

    /// What can be published to, by the number by which it travels.
    #[must_use]
    pub fn of_kind(kind: u8) -> Option<Self> {
        [Self::Channel, Self::Shard].into_iter().find(|topic| topic.kind() == kind)
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];
}
