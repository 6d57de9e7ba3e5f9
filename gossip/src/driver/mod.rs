//! The driver: two UDP ports, one clock and one membership protocol around an [`engine::Replica`](crate::engine::Replica).
//!
//! The engine is a state machine; everything it refuses to know lives here. A [`Node`] binds one UDP socket for
//! datagrams and one for streams, and keeps five things going:
//!
//! - the *pump* reads datagrams, runs timers, and sends what the engine wants sent;
//! - *membership* runs `chitchat` through the same socket and inside the same envelope, and tells the engine which
//!   peers live where;
//! - *bulk* carries over QUIC what is too much for datagrams: what a replica that catches up asks of its peers;
//! - the *resolver* keeps the addresses of seeds fresh;
//! - callers reach the engine through typed handles ([`Node::counter`] and its kin) or [`Node::with`], from any thread, and
//!   their writes leave at once.
//!
//! The engine stands behind one lock, held for short synchronous work only: never across a system call that could
//! wait, never across an `await`. Datagrams are collected under the lock and sent after it is released.
//!
//! # What is bounded, and what happens at the bound
//!
//! | what | bound | past it |
//! | --- | --- | --- |
//! | runs of datagrams waiting for the socket to become writable | [`UNSENT_MAX`] | not taken from the engine, which keeps the state and sends again |
//! | membership messages waiting for chitchat | [`MEMBERSHIP_INBOX_MAX`] | the new one is dropped and counted; chitchat repeats itself |
//! | changes a subscriber has not read | [`CHANGES_MAX`] | the oldest are dropped, the subscriber reads [`Change::Lost`](crate::store::Change::Lost) |
//! | answers to own requests under way | [`NodeConfig::bulk_bytes_max`] | the stream is not read on until there is room |
//! | answers longer than that, each way | one, of 4 GiB, in memory as far as it has come | put off; beyond 4 GiB refused, counted and logged |
//! | connections, streams, requests and answers of others | constants in `bulk` | refused, or not read on |
//! | counters whose sums are known outside the engine | 64, each with its key | a new one takes the place of another |
//! | members that went down and may come back | [`DOWN_MAX`], of a name that another live member has four | the one longest away is forgotten; it comes back through its own seeds |
//!
//! # Without Linux
//!
//! Deadlines below a millisecond need `timerfd`; elsewhere tokio's timer rounds them up to a millisecond. Nothing
//! else differs.

mod bulk;
mod changes;
mod clock;
mod config;
mod counters;
mod engine_lock;
mod failure;
mod handles;
mod membership;
mod node;
mod presence;
mod pump;
mod segments;
mod socket;
mod sums;
mod timer;
mod waiters;

pub use changes::{CHANGES_MAX, Changes};
pub use config::{NodeConfig, StartError};
pub use counters::Counters;
pub use failure::NodeFailure;
pub use handles::{
    Access, AccessError, Counter, Entry, Group, Key, List, Map, Presence, PresenceGuard, Register, Set, Stream, Vote,
};
pub use membership::member::{BrokenPath, ForgetError, Member, MemberState, PeerRefusal, Streams};
pub use membership::roster::DOWN_MAX;
pub use membership::transport::MEMBERSHIP_INBOX_MAX;
pub use node::{Drained, HandOver, Node, random_id};
pub use pump::UNSENT_MAX;
