//! Who cares about which key: clients that are blocked until something is there, transactions that watch keys, clients
//! that cache what they read, and those who listen to keyspace events.
//!
//! While nobody does, the store records no changes, and nothing here costs anything. Otherwise changes are taken under the
//! replica's lock: after each command that writes, and whenever peers or time may have changed something
//! ([`Node::on_changes`](cahoots_gossip::driver::Node::on_changes)). So a client that is blocked has what it waits for
//! before anybody else's next command, as in Redis.

mod blocked;
mod keyspace;
mod registry;
mod tracking;

pub use blocked::{Blocked, Look, Serve, Served, Takes, Ticket};
pub use keyspace::{EventClass, EventLetters, KeyspaceEvents};
pub use registry::{Dirty, Watch};
pub use tracking::{NOTED_BYTES_MAX, Own, Tracker, Tracking};
