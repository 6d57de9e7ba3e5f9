//! Where clients come in: the Unix socket, and a TCP address if one is wanted.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::SendFlags;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::connection::{Connection, Scratch};
use super::socket::Socket;
use super::socket_file::{SocketError, SocketFile};
use crate::command::keep_pauses;
use crate::session::{Client, Session};
use crate::state::Server;
use cahoots_gossip::driver::Node;

/// How long accepting rests when the process has no file descriptor left: it cannot succeed before one is closed.
const EXHAUSTED_REST: Duration = Duration::from_millis(50);

/// Why there is no socket to listen on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The Unix socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The TCP address.
    #[error("cannot listen on TCP address {address}")]
    Tcp {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The sockets clients connect to. Dropping them closes them and removes the Unix socket's file if it is still ours.
#[derive(Debug)]
pub struct Listeners {
    unix: UnixListener,
    file: SocketFile,
    tcp: Option<TcpListener>,
}

impl Listeners {
    /// Listens at `socket` with permissions `mode`, and at `tcp`. To be called within a tokio runtime.
    ///
    /// # Errors
    /// One of the two cannot be had; then neither is.
    pub fn bind(socket: PathBuf, mode: u32, tcp: Option<SocketAddr>) -> Result<Self, ListenError> {
        let (unix, file) = SocketFile::bind(socket, mode)?;
        let tcp = tcp
            .map(|address| {
                let listener = std::net::TcpListener::bind(address)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .and_then(TcpListener::from_std);
                listener.map_err(|source| ListenError::Tcp { address, source })
            })
            .transpose()?;
        Ok(Self { unix, file, tcp })
    }

    /// The address TCP clients connect to.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves clients until `stop` is done: then no more are let in and those inside are let go. What they were
    /// answered is done; what they were not may or may not be, as after any lost connection.
    pub async fn serve(self, node: &Node, server: &Arc<Server>, stop: impl Future<Output = ()>) {
        let scratch = Arc::new(Mutex::new(Scratch::new()));
        let mut doorman = Doorman { node, server, scratch, connections: JoinSet::new() };
        let mut stop = std::pin::pin!(stop);
        let mut pauses = std::pin::pin!(keep_pauses(node, server));
        let local = format!("{}:0", self.file.path().display());
        loop {
            let came = tokio::select! {
                biased;
                () = &mut stop => break,
                never = &mut pauses => match never {},
                Some(ended) = doorman.connections.join_next() => {
                    // A panic is a bug of ours that may have left the replica half-changed: nothing may go on.
                    match ended.map_err(tokio::task::JoinError::try_into_panic) {
                        Err(Ok(panic)) => std::panic::resume_unwind(panic),
                        Ok(()) | Err(Err(_)) => continue,
                    }
                }
                accepted = self.unix.accept() => accepted
                    .and_then(|(stream, _)| stream.into_std())
                    .map(|stream| doorman.admit(stream.into(), &local, &local)),
                accepted = accept(self.tcp.as_ref()) => accepted
                    .map(|(stream, from, to)| doorman.admit(stream.into(), &from.to_string(), &to.to_string())),
            };
            if let Err(error) = came {
                warn!(%error, "cannot accept a client");
                tokio::time::sleep(EXHAUSTED_REST).await;
            }
        }
        drop(self);
        doorman.connections.shutdown().await;
    }
}

/// Waits for a TCP client; for ever if there is no listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    match listener {
        Some(listener) => {
            let (stream, from) = listener.accept().await?;
            // Replies are whole when they are written; holding them back serves nobody.
            stream.set_nodelay(true)?;
            let to = stream.local_addr()?;
            Ok((stream.into_std()?, from, to))
        }
        None => std::future::pending().await,
    }
}

/// Lets clients in while there is room.
struct Doorman<'a> {
    node: &'a Node,
    server: &'a Arc<Server>,
    scratch: Arc<Mutex<Scratch>>,
    connections: JoinSet<()>,
}

impl Doorman<'_> {
    fn admit(&mut self, socket: OwnedFd, from: &str, to: &str) {
        let stats = &self.server.stats;
        let id = stats.connections.fetch_add(1, Relaxed) + 1;
        if stats.clients.load(Relaxed) >= self.server.clients_max.load(Relaxed) {
            stats.rejected.fetch_add(1, Relaxed);
            // One attempt: a fresh socket takes a line, and nobody waits for this client.
            let _ = rustix::net::send(&socket, b"-ERR max number of clients reached\r\n", SendFlags::NOSIGNAL);
            return;
        }
        let socket = match Socket::new(socket) {
            Ok(socket) => socket,
            Err(error) => return warn!(%error, "cannot serve a client"),
        };
        let client = Arc::new(Client::new(id, from, to, Arc::clone(&self.server.push_budget)));
        self.server.clients.enter(&client);
        let mut session = Session::of(client);
        session.login = self.server.acl.newcomer();
        debug!(client = id, from, "client came");
        let (node, server) = (self.node.clone(), Arc::clone(self.server));
        self.connections.spawn(Connection::new(socket, session, node, server, Arc::clone(&self.scratch)).serve());
    }
}
