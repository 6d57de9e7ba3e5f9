//! Channels: who of the clients of this daemon listens to what, and what they are sent.
//!
//! A message goes to those who listen now, once, and is then forgotten. Messages are published under the replica's lock,
//! by clients and by what arrives from other daemons, so all listeners of this daemon see them in one order.
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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];
}
