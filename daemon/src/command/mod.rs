//! Commands: what a frame's arguments mean to the key space.
//!
//! - Each family (a folder) lists its commands beside their code ([`Command`]): the one source of what exists. Dispatch,
//!   arity, `COMMAND` and the pages under `docs/commands` are read from these lists.
//! - A command works on a [`Context`], which is its only way to the store, and writes one [`Reply`](crate::resp::Reply).
//! - One command is one event group: its writes reach the peers together or not at all.
//! - A command that is refused has changed nothing; so arguments are all checked before the first write.
//! - No command blocks. One that has to wait returns a [`Wait`], and goes on when that is over.
//! - No family knows another. What several need lies beside them: options, walks, what collections do alike.
//!
//! Nothing here knows sockets: [`Batch::run`] takes bytes and appends bytes.
//!
//! # What differs from Redis
//!
//! A test compares replies with a running Redis byte for byte. On purpose different are:
//!
//! - There is one database.
//! - Deadlines are of the hybrid clock, which is never behind the wall clock, and ahead of it if that of another replica is.
//! - Names and values are bounded by what the cluster agreed on; a command that writes more is refused as a whole.
//! - Until the replica has caught up with its cluster, commands on data are refused as Redis refuses them while it loads;
//!   `PING` is answered all the same.
//! - `WAIT` counts replicas that have *applied* this connection's writes, not ones that have received them.
//! - `FLUSHALL` and `DEL` remove what this replica has observed; what another replica writes meanwhile stays.
//! - A cursor of `SCAN` and its kin is a position in the order of hashes; elements that stay are visited exactly once.
//! - An inline command longer than its bound is refused however it arrives, and a line or value that does not end in
//!   CRLF is a protocol error (Redis looks at neither, or it depends on how the bytes were cut).
//! - Cursors with a sign and the pattern `**` for an empty key follow the documentation of Redis, not its code.
//! - `CLIENT SETINFO` exists, as in Redis 7.2: clients send it to every server.

mod access;
mod arguments;
mod blocking;
mod collection;
mod context;
mod contract;
mod database;
mod deadline;
mod encoding;
mod error;
mod events;
mod flags;
mod glob;
mod help;
mod key_use;
mod keys;
mod libraries;
mod long_double;
mod number;
mod options;
mod pause;
mod random;
mod run;
mod scan;
mod table;
mod tips;
mod wait;

mod acl;
mod bitmap;
mod cahoots;
mod connection;
mod generic;
mod geo;
mod hash;
mod hll;
mod list;
mod presence;
mod pubsub;
mod script;
mod server;
mod set;
mod stream;
mod string;
mod transaction;
mod vote;
mod zset;

pub use arguments::{Argument, Kind};
pub use blocking::serve as serve_blocked;
pub use context::Context;
pub use contract::{Command, Flow, Handler, Outcome};
pub use database::DATABASES_MOST;
pub use error::CommandError;
pub use flags::{Categories, Flags};
pub(crate) use glob::matches as glob_matches;
pub use key_use::{Channels, KeyUse};
pub use keys::{Begin, Find, KeySpec};
pub use pause::keep_pauses;
pub use run::{Batch, Stop};
pub use server::configure;
pub use table::{COUNT, FAMILIES, Family, NUMBERS, commands};
pub(crate) use table::{by_full_name as command_by_name, find as find_command};
pub use transaction::{Transaction, Watched};
pub use wait::{Resume, Wait};
