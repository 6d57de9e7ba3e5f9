//! Replicated state for programs: a key space that several nodes write at once, without coordination, and that ends up equal.
//!
//! Four parts, each of which can be used by itself:
//!
//! - [`store`]: the key space. One causal CRDT over all keys; reads, grouped writes, events, bucket transfers.
//! - [`engine`]: [`engine::Replica`], the protocol as a state machine. Datagrams, time and membership go in;
//!   datagrams, deadlines and events come out. It owns no socket, clock, thread or source of randomness.
//! - [`wire`]: the envelope around every datagram and the messages inside.
//! - `driver` (feature `driver`, on by default): sockets, timers and membership for a tokio program. Programs that embed
//!   cahoots need nothing else; see `driver::Node`.
//!
//! Crates depend downwards only: this one knows `cahoots-crdt`, and nothing of the daemon above it.
//!
//! # A short course
//!
//! ## A write is part of an event
//!
//! What a replica writes until its *flush window* is sealed becomes one *event*: a name (a [`Dot`]: which replica, and which
//! number among its events) and a body. Replicas that have applied the same events have the same state, in whatever order
//! they came.
//!
//! ```
//! use cahoots_gossip::store::{Applied, Class, Store};
//! use cahoots_gossip::{Dot, Limits, ReplicaId};
//!
//! const DATAGRAM_BYTES: usize = 1_100;
//! let (ada, bob) = (ReplicaId::new(0xADA), ReplicaId::new(0xB0B));
//! let mut left = Store::new(ada, Limits::default(), DATAGRAM_BYTES);
//! let mut right = Store::new(bob, Limits::default(), DATAGRAM_BYTES);
//!
//! // The wall clock in milliseconds comes in as an argument, as everything does that is not the same everywhere.
//! let wall_ms = 1_700_000_000_000;
//! left.write(wall_ms, 0, |writer| {
//!     writer.add(b"visits", 2)?;
//!     writer.insert(b"cart", Class::Set, b"milk", b"")
//! })?;
//! left.seal();
//! let event = left.poll_sealed().expect("something was written");
//!
//! assert_eq!(right.apply(Dot::new(ada, event.seq), &event.body)?, Applied::Now);
//! assert_eq!(right.apply(Dot::new(ada, event.seq), &event.body)?, Applied::Known);
//! assert_eq!(right.at(0).view(b"visits").expect("it is there").text().as_deref(), Some(&b"2"[..]));
//! assert_eq!(right.fingerprint(), left.fingerprint());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## An event waits for what it refers to
//!
//! A removal says what it has seen, and takes away just that. It is applied only where all of that is applied, so nothing
//! has to be remembered of what is gone, and nothing comes back.
//!
//! ```
//! # use cahoots_gossip::store::{Applied, Store};
//! # use cahoots_gossip::{Dot, Limits, ReplicaId};
//! # let (ada, bob) = (ReplicaId::new(0xADA), ReplicaId::new(0xB0B));
//! # let [mut left, mut right] = [ada, bob].map(|id| Store::new(id, Limits::default(), 1_100));
//! let mut sealed = |left: &mut Store| {
//!     left.seal();
//!     left.poll_sealed().expect("something was written")
//! };
//! left.write(1, 0, |writer| writer.set(b"name", b"ann"))?;
//! let set = sealed(&mut left);
//! left.write(2, 0, |writer| writer.delete(b"name"))?;
//! let deleted = sealed(&mut left);
//!
//! assert!(matches!(right.apply(Dot::new(ada, deleted.seq), &deleted.body)?, Applied::Waits(_)));
//! right.apply(Dot::new(ada, set.seq), &set.body)?;
//! assert_eq!(right.apply(Dot::new(ada, deleted.seq), &deleted.body)?, Applied::Now);
//! assert!(right.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## The engine decides what to send, and the driver sends it
//!
//! [`engine::Replica`] holds such a store, and knows the peers. It fills datagrams, asks for what it lacks, and says when it
//! wants to be called again; it never waits. So a test drives a cluster in virtual time, and a program uses the driver.
//!
//! ```
//! use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};
//! use cahoots_gossip::{ReplicaId, Zone};
//!
//! let now = Now { mono: 0, wall: 1_700_000_000_000 };
//! let address = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
//! let (ada, bob) = (ReplicaId::new(0xADA), ReplicaId::new(0xB0B));
//! let mut left = Replica::new(ReplicaConfig::default(), ada, now);
//! let mut right = Replica::new(ReplicaConfig::default(), bob, now);
//! left.peer_up(now, bob, address(2), Zone::default());
//! right.peer_up(now, ada, address(1), Zone::default());
//!
//! left.write(now, 0, |writer| writer.add(b"visits", 1))?;
//! left.flush(now);
//! while let Some(transmit) = left.poll_transmit(now) {
//!     for datagram in transmit.datagrams() {
//!         right.handle_datagram(now, address(1), datagram)?;
//!     }
//! }
//! assert_eq!(right.store().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod mix;
mod varint;
mod zone;

pub use clock::Hlc;
pub use limits::Limits;
pub use zone::Zone;

pub use cahoots_crdt::{Dot, ReplicaId, VersionVector};
