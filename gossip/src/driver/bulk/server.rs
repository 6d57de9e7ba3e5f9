//! The answering side.

use std::sync::Arc;
use std::time::Duration;

use cahoots_crdt::ReplicaId;
use quinn::{Endpoint, Incoming, RecvStream, SendStream, VarInt};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{timeout, timeout_at};

use super::{
    ANSWERS_MAX, CONNECTIONS_MAX, CONNECTIONS_UNPROVEN_MAX, HEAD_BYTES, Keys, NodeConfig, Reset, STRIDE_BYTES, Shared,
    Strides, long_stride,
};
use crate::driver::counters::Throttle;
use crate::engine::Served;
use crate::wire::{REQUEST_BYTES_MAX, Refusal};

pub(super) struct Answerer {
    shared: Arc<Shared>,
    keys: watch::Receiver<Arc<Keys>>,
    /// How long a handshake may take and a stream may stand still.
    patience: Duration,
    answers: Semaphore,
    /// Of the one answer that is longer than `bytes_max`.
    long: Semaphore,
    bytes_max: usize,
    complaint: Throttle,
}

/// What is given out: its length, and its place if it is a long one.
struct Answer<'a> {
    length: u32,
    bytes: Vec<u8>,
    long: Option<SemaphorePermit<'a>>,
}

impl Answerer {
    pub(super) fn new(shared: Arc<Shared>, keys: watch::Receiver<Arc<Keys>>, config: &NodeConfig) -> Self {
        Self {
            shared,
            keys,
            patience: config.bulk_patience,
            answers: Semaphore::new(ANSWERS_MAX),
            long: Semaphore::new(1),
            bytes_max: config.bulk_bytes_max,
            complaint: Throttle::default(),
        }
    }

    /// Answers on one connection for as long as it lasts.
    async fn converse(self: Arc<Self>, incoming: Incoming) {
        let tally = &self.shared.tally;
        let connection = match timeout(self.patience, incoming).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                // Another cluster's member, a stranger, or a member that went away again.
                tally.bulk_connections_refused.add(1);
                tracing::debug!(%error, "a connection was not made");
                return;
            }
            Err(_) => return tally.bulk_connections_refused.add(1),
        };
        tally.bulk_connections_accepted.add(1);
        let (mut streams, mut keys) = (JoinSet::new(), self.keys.clone());
        loop {
            tokio::select! {
                // Its own key may have been taken out while it shook hands.
                Ok(()) = keys.changed() => {
                    if !keys.borrow_and_update().identity.knows(&connection) {
                        return connection.close(VarInt::from_u32(0), b"key removed");
                    }
                }
                stream = connection.accept_bi() => {
                    let Ok((send, receive)) = stream else { return };
                    let answerer = Arc::clone(&self);
                    streams.spawn(async move { answerer.answer(send, receive).await });
                }
                Some(_) = streams.join_next() => {}
            }
        }
    }

    async fn answer(&self, mut send: SendStream, mut receive: RecvStream) {
        let tally = &self.shared.tally;
        let request = timeout(self.patience, receive.read_to_end(HEAD_BYTES + REQUEST_BYTES_MAX)).await;
        let _turn = self.answers.acquire().await.expect("nobody closes it");
        let answer = match request {
            Ok(Ok(request)) => self.make_answer(&request).await,
            _ => Err(Reset::Malformed),
        };
        match answer {
            Ok(Answer { length, bytes, long }) => {
                tally.bulk_long_answers.add(usize::from(long.is_some()));
                let stride = if long.is_some() { long_stride(self.bytes_max) } else { STRIDE_BYTES };
                // An asker that goes away or reads too slowly asks again, here or elsewhere.
                if self.write(&mut send, &length.to_le_bytes(), stride).await
                    && self.write(&mut send, &bytes, stride).await
                    && send.finish().is_ok()
                {
                    tally.bulk_answered.add(1);
                    tally.bulk_bytes_sent.add(bytes.len());
                } else {
                    tally.bulk_broken.add(1);
                }
            }
            Err(reset) => {
                tally.bulk_refused.add(1);
                // It may have been reset from the other side meanwhile.
                let _ = send.reset((reset as u32).into());
            }
        }
    }

    async fn make_answer(&self, request: &[u8]) -> Result<Answer<'_>, Reset> {
        let (head, body) = request.split_first_chunk::<HEAD_BYTES>().ok_or(Reset::Malformed)?;
        let (asker, receiver) = head.split_at(HEAD_BYTES / 2);
        let id = |bytes: &[u8]| ReplicaId::new(u64::from_be_bytes(bytes.try_into().expect("half of the head")));
        if id(receiver) != self.shared.id() {
            return Err(Reset::OtherReplica);
        }
        let served = self.shared.drive(|replica, now| {
            // Under the engine's lock no other request looks meanwhile: one without need of a place takes it from none.
            let Ok(long) = self.long.try_acquire() else {
                let bytes = replica.serve_short(now, id(asker), body, self.bytes_max)?;
                return Ok((Served::Whole(bytes), None));
            };
            let served = replica.serve_long(now, id(asker), body, self.bytes_max)?;
            let is_long = !matches!(&served, Served::Whole(bytes) if bytes.len() <= self.bytes_max);
            Ok((served, is_long.then_some(long)))
        });
        let (served, long) = served.map_err(|refusal| self.refuse(refusal))?;
        let bytes = match served {
            Served::Whole(_) => served.bytes(),
            // It takes seconds, of a thread that nothing else waits for.
            Served::Apart(_) => spawn_blocking(|| served.bytes()).await.map_err(|_| Reset::Refused)?,
        };
        let bytes = bytes.map_err(|refusal| self.refuse(refusal))?;
        let length = u32::try_from(bytes.len()).map_err(|_| self.refuse(Refusal::TooLong))?;
        Ok(Answer { length, bytes, long })
    }

    fn refuse(&self, refusal: Refusal) -> Reset {
        if refusal != Refusal::TooLong {
            return Reset::Refused;
        }
        if let Some(suppressed) = self.complaint.pass() {
            tracing::error!(suppressed, "a bucket has grown too long for any peer to fetch it: {refusal}");
        }
        Reset::TooLong
    }

    /// Whether all of it was taken.
    async fn write(&self, send: &mut SendStream, bytes: &[u8], stride: usize) -> bool {
        let mut strides = Strides::begin(self.patience, stride);
        let mut written = 0;
        while written < bytes.len() {
            match timeout_at(strides.deadline, send.write(&bytes[written..])).await {
                Ok(Ok(more)) => written += more,
                _ => return false,
            }
            strides.note(written);
        }
        true
    }
}

/// Runs until the task is aborted or the endpoint closed.
pub(super) async fn accept(answerer: Answerer, endpoint: Endpoint) {
    let answerer = Arc::new(answerer);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if connections.len() >= CONNECTIONS_MAX {
                    answerer.shared.tally.bulk_connections_refused.add(1);
                    incoming.refuse();
                } else if connections.len() >= CONNECTIONS_UNPROVEN_MAX && !incoming.remote_address_validated() {
                    // It fails only for those that have been asked already.
                    let _ = incoming.retry();
                } else {
                    connections.spawn(Arc::clone(&answerer).converse(incoming));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
