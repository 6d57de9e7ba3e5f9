//! The asking side: each request of the engine on a stream of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cahoots_crdt::ReplicaId;
use quinn::{Connection, VarInt};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::check;
use super::identity::SERVER_NAME;
use super::{HEAD_BYTES, Keys, NodeConfig, STRIDE_BYTES, Shared, Strides, long_stride};
use crate::driver::counters::Throttle;
use crate::engine::Ask;
use crate::wire::Answer;

/// What a unit of the memory for answers stands for.
const UNIT_BYTES: usize = 1 << 10;

/// Memory taken for an answer at first; then as much again as is filled.
const ROOM_BYTES_LEAST: usize = 256 << 10;

/// Memory taken at a time, at most, for a long answer.
const ROOM_BYTES_MOST: usize = 16 << 20;

/// The connection to a peer, made by the first request that needs it.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

pub(super) struct Carrier {
    shared: Arc<Shared>,
    endpoint: quinn::Endpoint,
    keys: watch::Receiver<Arc<Keys>>,
    /// How long a stream may stand still.
    patience: Duration,
    /// Of all answers under way together, in units.
    memory: Semaphore,
    bytes_max: usize,
    /// Of the one answer that is longer than that, whose memory is its own.
    long: Semaphore,
    connections: Mutex<BTreeMap<ReplicaId, Slot>>,
    complaint: Throttle,
}

/// Why a request has no answer.
#[derive(Debug, Error)]
enum Failure {
    #[error("it has not announced where")]
    NoAddress,
    #[error("it does not connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    #[error("the connection broke: {0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("the stream broke: {0}")]
    Write(#[from] quinn::WriteError),
    #[error("the stream ended early or broke: {0}")]
    Read(#[from] quinn::ReadExactError),
    #[error("the stream has been closed already")]
    Closed(#[from] quinn::ClosedStream),
    #[error("nothing came for too long")]
    Silence(#[from] tokio::time::error::Elapsed),
    #[error("there is no memory for {bytes} bytes of an answer")]
    NoMemory { bytes: usize },
    #[error("another long answer is under way")]
    OneIsLong,
}

impl Carrier {
    pub(super) fn new(
        shared: Arc<Shared>,
        endpoint: quinn::Endpoint,
        keys: watch::Receiver<Arc<Keys>>,
        config: &NodeConfig,
    ) -> Self {
        Self {
            shared,
            endpoint,
            keys,
            patience: config.bulk_patience,
            memory: Semaphore::new(units(config.bulk_bytes_max)),
            bytes_max: config.bulk_bytes_max,
            long: Semaphore::new(1),
            connections: Mutex::default(),
            complaint: Throttle::default(),
        }
    }

    async fn carry(&self, ask: Ask) {
        let tally = &self.shared.tally;
        tally.bulk_asked.add(1);
        let answer = match self.fetch(&ask).await {
            Ok(answer) => {
                tally.bulk_bytes_received.add(answer.len());
                Some(answer)
            }
            Err(Failure::OneIsLong) => {
                tally.bulk_long_deferred.add(1);
                // The peer has forgotten the answer by now. Asked at once, it would make it again in vain.
                let _free = self.long.acquire().await.expect("nobody closes it");
                Some(Answer::Busy { after_ms: 0 }.encode())
            }
            Err(failure) => {
                tally.bulk_failed.add(1);
                if let Some(suppressed) = self.complaint.pass() {
                    tracing::warn!(peer = %ask.peer, suppressed, "a peer could not be asked: {failure}");
                }
                None
            }
        };
        self.shared.drive(|replica, now| replica.handle_answer(now, ask.number, answer.as_deref()));
        if self.shared.ready.borrow().is_none() {
            // It serves no client yet, and fetching is all the work a processor can do: any other task with work on
            // that processor comes first. Where a cluster shares a machine, clients of the others wait half as long.
            std::thread::yield_now();
        }
    }

    async fn fetch(&self, ask: &Ask) -> Result<Vec<u8>, Failure> {
        let Ask { number, peer, body: request } = ask;
        let (number, peer) = (*number, *peer);
        let (mut send, mut receive) = timeout(self.patience, async {
            let connection = self.connection(peer).await?;
            Ok::<_, Failure>(connection.open_bi().await?)
        })
        .await??;
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.shared.id().get().to_be_bytes());
        head[8..].copy_from_slice(&peer.get().to_be_bytes());
        timeout(self.patience, async {
            send.write_all(&head).await?;
            send.write_all(request).await
        })
        .await??;
        send.finish()?;
        let mut length = [0; 4];
        timeout(self.patience, receive.read_exact(&mut length)).await??;
        let bytes = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let long = match bytes > self.bytes_max {
            true => Some(self.long.try_acquire().map_err(|_| Failure::OneIsLong)?),
            false => None,
        };
        // Memory is taken as it is filled: a length alone is no more than a claim.
        let mut rooms = Vec::new();
        let (mut answer, mut filled) = (Vec::new(), 0);
        let stride = if long.is_some() { long_stride(self.bytes_max) } else { STRIDE_BYTES };
        let mut strides = Strides::begin(self.patience, stride);
        let mut told = Strides::begin(self.patience, long_stride(self.bytes_max));
        while filled < bytes {
            if filled == answer.len() {
                let mut more = (bytes - filled).min(filled.max(ROOM_BYTES_LEAST));
                if long.is_some() {
                    more = more.min(ROOM_BYTES_MOST);
                } else {
                    let units = u32::try_from(units(more)).expect("a 32-bit length has fewer units");
                    let room = timeout(self.patience, self.memory.acquire_many(units)).await?;
                    rooms.push(room.expect("nobody closes it"));
                    strides.deadline = Instant::now() + self.patience;
                }
                answer.try_reserve(more).map_err(|_| Failure::NoMemory { bytes: filled + more })?;
                answer.resize(filled + more, 0);
            }
            let read = timeout_at(strides.deadline, receive.read(&mut answer[filled..])).await?;
            match read.map_err(quinn::ReadExactError::ReadError)? {
                Some(read) => filled += read,
                None => return Err(quinn::ReadExactError::FinishedEarly(filled).into()),
            }
            strides.note(filled);
            if told.note(filled) {
                self.shared.drive(|replica, now| replica.handle_progress(now, number, filled));
            }
        }
        Ok(answer)
    }

    /// The connection to a peer, made if there is none.
    async fn connection(&self, peer: ReplicaId) -> Result<Connection, Failure> {
        let slot = self.slot(peer);
        let mut slot = slot.lock().await;
        let keys = Arc::clone(&self.keys.borrow());
        if let Some(open) = slot.as_ref().filter(|it| is_open(it) && keys.identity.knows(it)) {
            return Ok(open.clone());
        }
        let connection = self.connect(peer).await?;
        self.shared.tally.bulk_connections_made.add(1);
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Makes a connection, and notes whether that went.
    async fn connect(&self, peer: ReplicaId) -> Result<Connection, Failure> {
        let addr = self.shared.bulk_address(peer).ok_or(Failure::NoAddress)?;
        // Before the request that waits for it gives up, so that it is noted.
        let patience = self.patience - self.patience / 8;
        let client = self.keys.borrow().client.clone();
        let connecting = async { Ok::<_, Failure>(self.endpoint.connect_with(client, addr, SERVER_NAME)?.await?) };
        let made = timeout(patience, connecting).await.map_err(Failure::from).and_then(|made| made);
        self.shared.note_streams(peer, addr, made.is_ok());
        made
    }

    /// Finds out whether a peer's streams can be had, by a connection that is used for nothing else.
    pub(super) async fn check(&self, peer: ReplicaId) {
        if let Ok(connection) = self.connect(peer).await {
            connection.close(VarInt::from_u32(0), b"checked");
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where the connection to a peer belongs. Those that are closed and in no use are forgotten.
    fn slot(&self, peer: ReplicaId) -> Slot {
        let mut slots = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|it| it.as_ref().is_some_and(is_open))
        });
        Arc::clone(slots.entry(peer).or_default())
    }
}

fn is_open(connection: &Connection) -> bool {
    connection.close_reason().is_none()
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

/// Runs until the task is aborted; what is under way then ends with it.
pub(super) async fn carry(carrier: Carrier, mut asks: mpsc::Receiver<Ask>) {
    let carrier = Arc::new(carrier);
    let mut under_way = JoinSet::new();
    under_way.spawn(check::check(Arc::clone(&carrier)));
    loop {
        tokio::select! {
            ask = asks.recv() => {
                let Some(ask) = ask else { return };
                let carrier = Arc::clone(&carrier);
                under_way.spawn(async move { carrier.carry(ask).await });
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}
