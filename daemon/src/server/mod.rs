//! Serving clients: sockets and connections.

mod connection;
mod listener;
mod socket;
mod socket_file;

pub use listener::{ListenError, Listeners};
pub use socket_file::{SocketError, SocketFile, default_socket};
