//! Streams for what is too much for datagrams: a second UDP port that speaks QUIC.
//!
//! The engine's requests are carried one to a stream: the asker opens it, writes who asks whom and the request, and
//! ends its half; the other side answers and forgets. One connection to a peer is kept while it is used.
//!
//! ```text
//! request  asker 8 | receiver 8 | request                     to the end of the stream
//! answer   length 4 | answer                                  to the end of the stream; or the stream is reset
//! ```
//!
//! Replica ids are big-endian, the length little-endian. The receiver is named because an address outlives a replica.
//! Who may connect is decided by a key that all members derive from the cluster's ([`identity`]).
//!
//! Everything a stranger or a hostile member can make this side hold is bounded by the constants here: connections,
//! streams of each, bytes of requests, bytes in QUIC's own buffers, answers under way, and time without progress.
//!
//! An answer is as long as the longest bucket, which may be one collection of a client's. One beyond
//! [`NodeConfig::bulk_bytes_max`] is *long*: each side of a node has one of them at a time, and it must move faster.

mod check;
mod client;
mod identity;
mod nowhere;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::{AsyncUdpSocket, EndpointConfig, IdleTimeout, Runtime, TokioRuntime, TransportConfig, VarInt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::config::{NodeConfig, StartError};
use super::engine_lock::Shared;
use super::socket::{self, Families};
use crate::engine::Ask;
use crate::wire::ClusterKey;
use identity::Identity;
use nowhere::Nowhere;

/// Requests on their way from the engine to their streams. It has a handful under way at most.
pub(super) const ASKS_MAX: usize = 64;
/// Connections that others may have open here. Members of a large cluster catch up in turns.
const CONNECTIONS_MAX: usize = 256;
/// Beyond so many, an asker must first prove that it receives at its address.
const CONNECTIONS_UNPROVEN_MAX: usize = 32;
/// Streams of one connection: what one asker has under way, twice.
const STREAMS_MAX: u32 = 4;
/// Answers being given out. The next request is read and waits.
const ANSWERS_MAX: usize = 32;
/// QUIC's buffers: what one connection may have sent and not delivered, and received and not read. 100 ms at 40 MB/s.
const WINDOW_BYTES: u32 = 4 << 20;
/// QUIC's buffers for one stream.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// A stream that moves by less than this within the patience stands still: a peer that sends or takes a byte at a time
/// would keep for hours what others wait for. At five seconds 800 bytes a second, which any link carries.
const STRIDE_BYTES: usize = 4 << 10;
/// Least progress of a long answer within the patience, as a part of the bound beyond which answers are long: it has
/// one place to itself, for which others wait. At five seconds and 256 MiB 840 kB a second; one of 4 GiB has its place
/// for an hour and a half at most.
const LONG_STRIDE_PART: usize = 64;
/// Bytes of who asks whom.
const HEAD_BYTES: usize = 16;
/// How long the end of the last connection may take before the port is taken from it, and that of the socket then.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why a stream was reset.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Reset {
    /// The request was for another replica.
    OtherReplica = 1,
    /// The engine refuses it.
    Refused = 2,
    /// It did not come, or was longer than any is.
    Malformed = 3,
    /// A bucket that was asked for is longer than an answer can be.
    TooLong = 4,
}

/// How long a stream still may take for its next stride.
struct Strides {
    patience: Duration,
    /// Bytes of one.
    stride: usize,
    /// Bytes by which it had moved when the present stride began.
    moved: usize,
    deadline: Instant,
}

impl Strides {
    fn begin(patience: Duration, stride: usize) -> Self {
        Self { patience, stride, moved: 0, deadline: Instant::now() + patience }
    }

    /// It has moved by so many bytes in all; says whether that makes another stride.
    fn note(&mut self, moved: usize) -> bool {
        let is_stride = moved - self.moved >= self.stride;
        if is_stride {
            (self.moved, self.deadline) = (moved, Instant::now() + self.patience);
        }
        is_stride
    }
}

/// By how much an answer must move within the patience, where those beyond `bytes_max` are long.
fn long_stride(bytes_max: usize) -> usize {
    (bytes_max / LONG_STRIDE_PART).max(STRIDE_BYTES)
}

/// What connections prove, and what they are asked to.
pub(super) struct Keys {
    identity: Identity,
    /// For connections from here.
    client: quinn::ClientConfig,
}

/// The QUIC endpoint of a node.
pub(super) struct Bulk {
    endpoint: quinn::Endpoint,
    /// What connections prove, and what they are asked to.
    keys: watch::Sender<Arc<Keys>>,
    cluster: String,
    transport: Arc<TransportConfig>,
    /// Shows when the port is free again.
    socket: Weak<dyn AsyncUdpSocket>,
    local: SocketAddr,
    families: Families,
}

impl Bulk {
    /// Binds the port. To be called within a tokio runtime.
    pub(super) fn bind(config: &NodeConfig) -> Result<Self, StartError> {
        let listen = config.bulk_address();
        let bind = || -> std::io::Result<Self> {
            let runtime = Arc::new(TokioRuntime);
            let socket = socket::bind(listen)?;
            let families = socket::speaks(&socket, listen);
            let socket = runtime.wrap_udp_socket(socket)?;
            let (cluster, replica) = (config.replica.cluster.clone(), &config.replica);
            let identity = Identity::of(&cluster, replica.key.as_ref(), &replica.other_keys);
            let transport = Arc::new(transport(config.bulk_patience));
            let server = identity.server_config(Arc::clone(&transport));
            let weak = Arc::downgrade(&socket);
            let endpoint =
                quinn::Endpoint::new_with_abstract_socket(EndpointConfig::default(), Some(server), socket, runtime)?;
            let client = identity.client_config(Arc::clone(&transport));
            let keys = watch::Sender::new(Arc::new(Keys { identity, client }));
            let local = endpoint.local_addr()?;
            Ok(Self { endpoint, keys, cluster, transport, socket: weak, local, families })
        };
        bind().map_err(|source| StartError::bind(listen, source))
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Proves `key` from now on, and accepts it and `others`. Connections that are open stay, unless their other end has
    /// shown another one.
    pub(super) fn set_keys(&self, key: &ClusterKey, others: &[ClusterKey]) {
        let identity = Identity::of(&self.cluster, Some(key), others);
        self.endpoint.set_server_config(Some(identity.server_config(Arc::clone(&self.transport))));
        let client = identity.client_config(Arc::clone(&self.transport));
        self.keys.send_replace(Arc::new(Keys { identity, client }));
    }

    pub(super) fn families(&self) -> Families {
        self.families
    }

    /// Carries the requests of the engine until the node stops.
    pub(super) fn carry(
        &self,
        shared: &Arc<Shared>,
        asks: mpsc::Receiver<Ask>,
        config: &NodeConfig,
    ) -> impl Future<Output = ()> + Send + use<> {
        client::carry(
            client::Carrier::new(Arc::clone(shared), self.endpoint.clone(), self.keys.subscribe(), config),
            asks,
        )
    }

    /// Answers the requests of peers until the node stops.
    pub(super) fn answer(&self, shared: &Arc<Shared>, config: &NodeConfig) -> impl Future<Output = ()> + Send + use<> {
        server::accept(server::Answerer::new(Arc::clone(shared), self.keys.subscribe(), config), self.endpoint.clone())
    }

    /// Tells every peer that this end is closed. What is under way is broken off.
    pub(super) fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"stopped");
    }

    /// Waits, within a bound, until the peers have been told and the port is free. No other task may hold the endpoint.
    pub(super) async fn freed(self) {
        let Self { endpoint, socket, .. } = self;
        if tokio::time::timeout(CLOSE_TIME, endpoint.wait_idle()).await.is_err() {
            // It keeps the socket before, too, until something comes by the new one.
            (0..2).for_each(|_| endpoint.rebind_abstract(Arc::new(Nowhere)).expect("it has an address"));
        }
        drop(endpoint);
        let freed = async {
            while socket.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await; // quinn's own tasks end in their own time
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIME, freed).await;
    }
}

fn transport(patience: Duration) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(WINDOW_BYTES.into())
        .max_idle_timeout(IdleTimeout::try_from(patience * 2).ok());
    transport
}
