//! Serving clients: sockets and connections.

mod connection;
mod linger;
mod listener;
mod socket;
mod socket_file;

pub use linger::{LOOK as LINGER_LOOK, Linger};
pub use listener::{ListenError, Listeners};
pub use socket_file::{SocketError, SocketFile, default_socket};
