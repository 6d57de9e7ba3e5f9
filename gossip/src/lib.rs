//! The replication engine of cahoots: a causal key space, the protocol that keeps its replicas equal, and the
//! driver that runs both over UDP.
//!
//! - [`store`]: the key space. One causal CRDT over all keys; reads, grouped writes, events, bucket transfers.
//! - [`engine`]: [`engine::Replica`], the protocol as a state machine. Datagrams, time and membership go in;
//!   datagrams, deadlines and events come out. It owns no socket, clock, thread or source of randomness.
//! - [`wire`]: the envelope around every datagram and the messages inside.
//! - `driver` (feature `driver`, on by default): sockets, timers and membership for a tokio program.
//!
//! Crates depend downwards only: this one knows `cahoots-crdt`, and nothing of the daemon above it.
#![forbid(unsafe_code)]

#[cfg(feature = "driver")]
pub mod driver;
pub mod engine;
#[doc(hidden)]
pub mod fuzz;
pub mod store;
pub mod wire;

mod bytes;
mod clock;
mod limits;
mod varint;
mod zone;

pub use clock::Hlc;
pub use limits::Limits;
pub use zone::Zone;

pub use cahoots_crdt::{Dot, ReplicaId, VersionVector};
