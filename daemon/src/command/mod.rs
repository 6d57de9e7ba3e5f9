//! Commands: what a frame's arguments mean to the key space.
//!
//! - The table of commands is the one source of what exists: dispatch, arity and `COMMAND` are read from it.
//! - One command is one event group: its writes reach the peers together or not at all.
//! - A command that is refused has changed nothing; so arguments are all checked before the first write.
//! - No command blocks. What has to wait is handed to the connection as a [`Pause`].
//!
//! Nothing here knows sockets: [`Exec::run`] takes bytes and appends bytes.
//!
//! # What differs from Redis
//!
//! A test compares replies with a running Redis byte for byte. On purpose different are:
//!
//! - There is one database. Keys do not expire yet: `EX`, `PX`, `EXAT` and `PXAT` are refused, not ignored.
//! - Names and values are bounded by what the cluster agreed on; a command that writes more is refused as a whole.
//! - Until the replica has caught up with its cluster, commands on data are refused as Redis refuses them while it loads;
//!   `PING` is answered all the same.
//! - `WAIT` counts replicas that have *applied* this connection's writes, not ones that have received them.
//! - `FLUSHALL` and `DEL` remove what this replica has observed; what another replica writes meanwhile stays.
//! - A cursor of `SCAN` and its kin is a position in the order of hashes; elements that stay are visited exactly once.
//! - An inline command longer than its bound is refused however it arrives, and a line or value that does not end in
//!   CRLF is a protocol error (Redis looks at neither, or it depends on how the bytes were cut).
//! - Cursors with a sign and the pattern `**` for an empty key follow the documentation of Redis, not its code.
//! - `CLIENT SETINFO` exists, as in Redis 7.2: clients send it to every server. `COMMAND` leaves tips and key
//!   specifications empty.

mod cahoots;
mod connection;
mod error;
mod exec;
mod generic;
mod glob;
mod hash;
mod presence;
mod scan;
mod server;
mod set;
mod string;
mod table;
mod vote;

pub use cahoots::{write_members, write_status};
pub use error::CommandError;
pub use exec::{Exec, Flow, Pause, Stop};
pub use table::{COMMANDS, COUNT, Command};
