//! One client's connection: bytes in, commands executed, bytes out.
//!
//! - One read, one lock of the replica, one write: all complete frames of a read are executed together and answered
//!   together.
//! - A connection with nothing in flight owns no buffer: it reads into one that all share and borrows one for its
//!   replies until they are sent; only half a frame is its own. Ten thousand idle clients cost little more than their
//!   sockets.
//! - Nothing is read while replies wait to be sent, so a client that never reads costs one read's worth of replies, and
//!   is cut in the end.
//!
//! The bounds are those of [`Limits`](crate::state::Limits).

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::debug;

use super::socket::Socket;
use crate::command::{Batch, Resume, Stop, Wait};
use crate::resp::Parser;
use crate::session::{Dismissal, Session};
use crate::state::Server;
use crate::storage::Storage;
use cahoots_gossip::driver::Node;
use cahoots_gossip::{Dot, VersionVector};

/// Bytes of one read. Large enough that a deep pipeline is executed in few turns, small enough that one client holds
/// the replica for well under a millisecond.
const READ_BYTES: usize = 64 << 10;
/// Turns of different clients that follow each other as closely as this are those of a busy daemon.
const BUSY: Duration = Duration::from_micros(100);
/// A reply buffer that outgrew this is freed once it is sent.
const KEPT_BYTES: usize = 64 << 10;
/// Spare reply buffers: more than the connections that are ready at one moment, as a rule.
const KEPT_BUFFERS: usize = 64;

/// Buffers all connections share.
pub(super) struct Scratch {
    /// For one read: used by one connection at a time, never across an `await`.
    read: Box<[u8]>,
    /// For replies: a connection has one from executing until all is sent.
    spare: Vec<Vec<u8>>,
    /// The client that had the last turn, and when.
    last_turn: (u64, Instant),
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { read: vec![0; READ_BYTES].into_boxed_slice(), spare: Vec::new(), last_turn: (0, Instant::now()) }
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BYTES && self.spare.len() < KEPT_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub(super) enum End {
    #[error("closed")]
    Closed,
    #[error("cut: {0}")]
    Dismissed(Dismissal),
    #[error("cut: its first words were those of another protocol")]
    ForeignProtocol,
    #[error("cut: the disk failed while it was to keep what this client wrote")]
    NotKept,
    #[error("cut: more than {0} bytes not executed yet")]
    QueryTooLong(usize),
    #[error("cut: clients together sent more than {0} bytes not executed yet")]
    QueriesTooLong(usize),
    #[error("cut: more than {0} bytes of replies")]
    OutputTooLong(usize),
    #[error("cut: took nothing of its replies for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What follows a turn.
enum Turn {
    /// Another one, once the output is sent.
    Again,
    Wait(Wait),
    Close,
}

pub(super) struct Connection {
    socket: Socket,
    node: Node,
    server: Arc<Server>,
    scratch: Arc<Mutex<Scratch>>,
    session: Session,
    parser: Parser,
    /// Bytes not executed yet, from `input_at` on.
    input: Vec<u8>,
    input_at: usize,
    /// Whether complete frames may be among them.
    input_ready: bool,
    /// What of `input` is counted in [`Stats::query_bytes`](crate::state::Stats).
    input_counted: usize,
    /// Replies not sent yet, from `output_at` on.
    output: Vec<u8>,
    output_at: usize,
    /// What was written up to here is on disk.
    kept: Option<Dot>,
    /// Much waits to be written to disk.
    pressed: bool,
}

impl Connection {
    pub(super) fn new(
        socket: Socket,
        session: Session,
        node: Node,
        server: Arc<Server>,
        scratch: Arc<Mutex<Scratch>>,
    ) -> Self {
        server.stats.clients.fetch_add(1, Relaxed);
        let parser = Parser::new(server.limits.frame);
        Self {
            socket,
            node,
            server,
            scratch,
            session,
            parser,
            input: Vec::new(),
            input_at: 0,
            input_ready: false,
            input_counted: 0,
            output: Vec::new(),
            output_at: 0,
            kept: None,
            pressed: false,
        }
    }

    /// Serves the client until it goes, or must.
    pub(super) async fn serve(mut self) {
        let Err(end) = self.turns().await;
        match end {
            End::Closed | End::Io(_) => {}
            _ => {
                self.server.stats.cut.fetch_add(1, Relaxed);
            }
        }
        debug!(client = self.session.id, %end, "client gone");
    }

    async fn turns(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            let mut turn = poll_fn(|context| self.poll_turn(context)).await?;
            if self.others_turn() {
                // They execute before anybody's replies are sent: a client of several connections, and the kernel, are
                // woken once for all.
                tokio::task::yield_now().await;
            }
            // Of a command that waits, what it says is sent before each wait.
            loop {
                self.keep_up().await?;
                self.flush().await?;
                match turn {
                    Turn::Wait(wait) => turn = self.wait(wait).await?,
                    // Nothing was waited for, so the others have their turn now.
                    Turn::Again if self.input_ready => break tokio::task::yield_now().await,
                    Turn::Again => break,
                    Turn::Close => {
                        self.socket.shutdown()?;
                        return Err(End::Closed);
                    }
                }
            }
        }
    }

    /// Reads unless there is something to execute already, and executes. The replies are to be flushed next. What the
    /// client is sent unasked is a turn, too.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Result<Turn, End>> {
        let shared = Arc::clone(&self.scratch);
        let scratch = &mut *lock(&shared);
        let inbox = &self.session.client.inbox;
        if inbox.has_some()
            && let Poll::Ready(Err(why)) = inbox.poll_some(context)
        {
            return Poll::Ready(Err(End::Dismissed(why)));
        }
        let stop = if self.input_ready {
            self.output = scratch.spare.pop().unwrap_or_default();
            let mut input = std::mem::take(&mut self.input);
            let (done, stop) = self.execute(&mut input[self.input_at..]);
            self.input = input;
            self.consume(done);
            stop
        } else {
            let read = match self.poll_read(context, &mut scratch.read) {
                // Only who has nothing else to do waits for what it is sent unasked.
                Poll::Pending => {
                    ready!(self.session.client.inbox.poll_some(context)).map_err(End::Dismissed)?;
                    self.session.client.inbox.take(&mut self.output);
                    return Poll::Ready(Ok(Turn::Again));
                }
                Poll::Ready(read) => read?,
            };
            let read = &mut scratch.read[..read];
            if self.input.is_empty() {
                self.output = scratch.spare.pop().unwrap_or_default();
                let (done, stop) = self.execute(read);
                self.keep(&read[done..])?;
                stop
            } else {
                self.keep(read)?;
                // Judged in the next turn, without reading.
                self.input_ready = true;
                return Poll::Ready(Ok(Turn::Again));
            }
        };
        self.input_ready = !matches!(stop, Stop::Drained) && !self.input.is_empty();
        Poll::Ready(self.after(stop))
    }

    fn after(&self, stop: Stop) -> Result<Turn, End> {
        let limit = self.server.limits.output_bytes_max;
        if self.output.len() > limit {
            return Err(End::OutputTooLong(limit));
        }
        match stop {
            Stop::Drained | Stop::Enough => Ok(Turn::Again),
            Stop::Wait(wait) => Ok(Turn::Wait(wait)),
            Stop::Close => Ok(Turn::Close),
            Stop::Cut => Err(End::ForeignProtocol),
        }
    }

    /// Whether another client had a turn just before, so that it is likely that more wait for theirs.
    fn others_turn(&self) -> bool {
        let mut scratch = lock(&self.scratch);
        let now = Instant::now();
        let (client, at) = std::mem::replace(&mut scratch.last_turn, (self.session.id, now));
        client != self.session.id && now.duration_since(at) < BUSY
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, End>> {
        let read = ready!(self.socket.poll_read(context, buffer))?;
        if read == 0 {
            return Poll::Ready(Err(End::Closed));
        }
        self.server.stats.bytes_in.fetch_add(read as u64, Relaxed);
        Poll::Ready(Ok(read))
    }

    fn execute(&mut self, input: &mut [u8]) -> (usize, Stop) {
        let Self { node, session, server, parser, output, .. } = self;
        let (done, pressed) = locked(node, session, server, output, |batch| batch.run(parser, input));
        self.pressed = pressed;
        done
    }

    /// Waits for the disk: for what was written, if replies are to; and for some room, if much waits to be written.
    async fn keep_up(&mut self) -> Result<(), End> {
        if std::mem::take(&mut self.pressed)
            && let Some(storage) = self.server.durability.storage()
        {
            storage.taken().await;
        }
        let Some(storage) = self.server.durability.storage_waited_for() else { return Ok(()) };
        let Some(written) = self.session.written.filter(|written| Some(*written) != self.kept) else { return Ok(()) };
        let mut durable = storage.durable();
        let covers = |versions: &VersionVector| versions.get(written.replica) >= written.seq;
        // Under an id that was given up meanwhile nothing more will be kept.
        let given_up = || self.node.id() != written.replica;
        let kept = durable.wait_for(|it| covers(&it.versions) || it.failing || given_up()).await;
        // What was written is here and at peers, and nobody can say whether a restart would find it.
        if !kept.is_ok_and(|durable| covers(&durable.versions)) {
            return Err(End::NotKept);
        }
        self.kept = Some(written);
        Ok(())
    }

    /// Sends all replies, however slowly the client takes them.
    async fn flush(&mut self) -> Result<(), End> {
        let stall = self.server.limits.output_stall;
        while self.output_at < self.output.len() {
            let rest = &self.output[self.output_at..];
            let written = match self.socket.try_write(rest)? {
                Some(written) => written,
                None => {
                    let write = self.write_and_read();
                    tokio::time::timeout(stall, write).await.map_err(|_| End::Stalled(stall))??
                }
            };
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            self.output_at += written;
            self.server.stats.bytes_out.fetch_add(written as u64, Relaxed);
        }
        self.output_at = 0;
        let buffer = std::mem::take(&mut self.output);
        if buffer.capacity() > 0 {
            self.session.client.inbox.sent();
            lock(&self.scratch).give_back(buffer);
        }
        Ok(())
    }

    /// Waits until the client takes some of the replies. What it sends meanwhile is kept, for it may be one that sends all
    /// it has before it reads.
    async fn write_and_read(&mut self) -> Result<usize, End> {
        self.socket.await_room(true)?;
        let output = std::mem::take(&mut self.output);
        let mut reads = true;
        let written = poll_fn(|context| {
            loop {
                if let Poll::Ready(written) = self.socket.poll_write(context, &output[self.output_at..]) {
                    return Poll::Ready(Ok::<_, End>(written?));
                }
                if let Poll::Ready(why) = self.session.client.inbox.poll_dismissed(context) {
                    return Poll::Ready(Err(End::Dismissed(why)));
                }
                let room = self.input.len() - self.input_at + READ_BYTES <= self.server.limits.query_bytes_max;
                if !(reads && room) {
                    return Poll::Pending;
                }
                match ready!(self.poll_keep(context)) {
                    Ok(()) => self.input_ready = true,
                    // It may still read. That nothing more comes is found again after the replies.
                    Err(End::Closed) => reads = false,
                    Err(end) => return Poll::Ready(Err(end)),
                }
            }
        });
        let written = written.await;
        self.output = output;
        self.socket.await_room(false)?;
        written
    }

    /// Waits with a command, and has it go on. Everything it has answered so far has been sent.
    async fn wait(&mut self, wait: Wait) -> Result<Turn, End> {
        let for_others = wait.is_for_others();
        let mut wait = pin!(wait.begin(self.node.clone(), Arc::clone(&self.server)));
        let resume: Resume = if for_others {
            let _blocked = Blocked::new(&self.server);
            let client = Arc::clone(&self.session.client);
            client.set_waits(true);
            let limit = self.server.limits.query_bytes_max;
            loop {
                // What the client sends meanwhile waits; it is read so that its going away is noticed.
                let room = self.input.len() - self.input_at + READ_BYTES <= limit;
                tokio::select! {
                    biased;
                    resume = &mut wait => break resume,
                    pushed = poll_fn(|context| client.inbox.poll_some(context)) => {
                        pushed.map_err(End::Dismissed)?;
                        self.session.client.inbox.take(&mut self.output);
                        self.flush().await?;
                    }
                    read = poll_fn(|context| self.poll_keep(context)), if room => read?,
                }
            }
        } else {
            wait.await
        };
        self.session.client.set_waits(false);
        let Self { node, session, server, output, .. } = self;
        let (stop, pressed) = locked(node, session, server, output, |batch| batch.resume(resume));
        self.pressed = pressed;
        self.input_ready = !self.input.is_empty();
        self.after(stop)
    }

    fn poll_keep(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        let shared = Arc::clone(&self.scratch);
        let scratch = &mut *lock(&shared);
        let read = ready!(self.poll_read(context, &mut scratch.read))?;
        Poll::Ready(self.keep(&scratch.read[..read]))
    }

    /// Keeps bytes that cannot be executed yet.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            self.parser.shrink();
            return Ok(());
        }
        self.input.extend_from_slice(bytes);
        self.count_input();
        let limits = &self.server.limits;
        if self.input.len() - self.input_at > limits.query_bytes_max {
            return Err(End::QueryTooLong(limits.query_bytes_max));
        }
        if self.server.stats.query_bytes.load(Relaxed) > limits.query_bytes_total_max {
            return Err(End::QueriesTooLong(limits.query_bytes_total_max));
        }
        Ok(())
    }

    /// Forgets the first `done` bytes that were kept.
    fn consume(&mut self, done: usize) {
        self.input_at += done;
        if self.input_at == self.input.len() {
            (self.input, self.input_at) = (Vec::new(), 0);
            self.parser.shrink();
        } else if self.input_at > self.input.len() / 2 {
            // At most as many bytes are moved as were executed since the last time.
            self.input.drain(..self.input_at);
            self.input_at = 0;
        }
        self.count_input();
    }

    fn count_input(&mut self) {
        let counter = &self.server.stats.query_bytes;
        let (now, before) = (self.input.capacity(), self.input_counted);
        if now >= before {
            counter.fetch_add(now - before, Relaxed);
        } else {
            counter.fetch_sub(before - now, Relaxed);
        }
        self.input_counted = now;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.stats.clients.fetch_sub(1, Relaxed);
        self.server.stats.query_bytes.fetch_sub(self.input_counted, Relaxed);
        self.session.let_go(&self.server);
        self.server.clients.leave(&self.session.client);
    }
}

/// Has commands of one client executed under the replica's lock; says also whether the client is to wait for the disk, because
/// it wrote and much waits there. One that only reads is in no way of it.
fn locked<R>(
    node: &Node,
    session: &mut Session,
    server: &Server,
    output: &mut Vec<u8>,
    run: impl FnOnce(Batch<'_>) -> R,
) -> (R, bool) {
    let (result, presses) = node.run(|replica, now| {
        let result = run(Batch::new(replica, now, session, server, output));
        let presses = server.durability.storage().is_some_and(Storage::presses);
        (result, presses || replica.records_press())
    });
    (result, std::mem::take(&mut session.wrote) && presses)
}

/// A client that waits for others, as long as it lives.
struct Blocked(Arc<Server>);

impl Blocked {
    fn new(server: &Arc<Server>) -> Self {
        server.stats.blocked.fetch_add(1, Relaxed);
        Self(Arc::clone(server))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.stats.blocked.fetch_sub(1, Relaxed);
    }
}

/// The scratch is valid whatever happened to its last user.
fn lock(scratch: &Mutex<Scratch>) -> MutexGuard<'_, Scratch> {
    scratch.lock().unwrap_or_else(PoisonError::into_inner)
}
