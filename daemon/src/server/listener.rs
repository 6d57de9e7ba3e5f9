//! Where clients come in: the Unix socket, and a TCP address if one is wanted.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::Server;
use super::connection::{Connection, Scratch};
use super::socket_file::{SocketError, SocketFile};
use crate::session::Session;
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
        let local = format!("{}:0", self.file.path().display());
        loop {
            let came = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = doorman.connections.join_next() => {
                    // A panic is a bug of ours that may have left the replica half-changed: nothing may go on.
                    match ended.map_err(tokio::task::JoinError::try_into_panic) {
                        Err(Ok(panic)) => std::panic::resume_unwind(panic),
                        Ok(()) | Err(Err(_)) => continue,
                    }
                }
                accepted = self.unix.accept() => accepted.map(|(stream, _)| doorman.admit(stream, &local, &local)),
                accepted = accept(self.tcp.as_ref()) => accepted.map(|(stream, from, to)| {
                    // Replies are whole when they are written; holding them back serves nobody.
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%error, "cannot switch Nagle's algorithm off");
                    }
                    doorman.admit(stream, &from.to_string(), &to.to_string());
                }),
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
async fn accept(listener: Option<&TcpListener>) -> io::Result<(tokio::net::TcpStream, SocketAddr, SocketAddr)> {
    match listener {
        Some(listener) => {
            let (stream, from) = listener.accept().await?;
            let to = stream.local_addr()?;
            Ok((stream, from, to))
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
    fn admit<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&mut self, mut stream: S, from: &str, to: &str) {
        let stats = &self.server.stats;
        let id = stats.connections.fetch_add(1, Relaxed) + 1;
        if stats.clients.load(Relaxed) >= self.server.limits.clients_max {
            stats.rejected.fetch_add(1, Relaxed);
            // One attempt: a fresh socket takes a line, and nobody waits for this client.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let refusal = b"-ERR max number of clients reached\r\n";
            let _ = std::pin::Pin::new(&mut stream).poll_write(&mut context, refusal);
            return;
        }
        let session = Session::new(id, from, to);
        debug!(client = id, from, "client came");
        let (node, server) = (self.node.clone(), Arc::clone(self.server));
        self.connections.spawn(Connection::new(stream, session, node, server, Arc::clone(&self.scratch)).serve());
    }
}
