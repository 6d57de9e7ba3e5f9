//! Commands: what a frame's arguments mean to the key space.
//!
//! - The [table](table) is the one source of what exists: dispatch, arity and `COMMAND` are read from it.
//! - One command is one event group: its writes reach the peers together or not at all.
//! - A command that is refused has changed nothing; so arguments are all checked before the first write.
//! - No command blocks. What has to wait is handed to the connection as a [`Pause`].
//!
//! Nothing here knows sockets: [`Exec::run`] takes bytes and appends bytes.

mod client;
mod cluster;
mod command_info;
mod config;
mod connection;
mod error;
mod exec;
mod glob;
mod hash;
mod info;
mod keyspace;
mod scan;
mod server_time;
mod set;
mod string;
mod table;
mod wait;

pub use cluster::{write_members, write_status};
pub use error::CommandError;
pub use exec::{Exec, Flow, Pause, Stop};
pub use table::{COMMANDS, COUNT, Command};
