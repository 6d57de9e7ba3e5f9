//! A source followed as its replicas follow it: a copy of everything, then its stream of changes, until somebody says stop.
//!
//! - A connection that is lost is made again, and the stream goes on where it was; if the source no longer has that part,
//!   everything is copied anew, and what the source has no longer is removed here.
//! - What the source is told that we have is what the daemon has answered, so that the source's own figures of us are right.
//! - Deadlines are held off meanwhile (`hold.rs`).

use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::super::resp_client::{RespClient, write_command};
use super::super::stream::Stream;
use super::address::{Address, ConnectError};
use super::changes::{Asked, Changes};
use super::handshake::{self, Begun, Extent, HandshakeError, Place};
use super::mirror::Seen;
use super::progress::{Bytes, Progress};
use super::rate::Rate;
use super::snapshot::{Snapshot, SnapshotError};
use super::stop::Stop;
use super::target::{Kind, Target, TargetError};
use super::{hold, keyspace};
use crate::config::Local;
use crate::rdb::FileError;
use crate::resp::{FrameLimits, Parser};

/// Between two attempts to connect again, and two words to the source.
const RETRY: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_secs(1);
/// What is read of the stream at a time.
const READ_BYTES: usize = 64 << 10;
/// What a command in the stream may be: as much as Redis takes.
const FRAME: FrameLimits = FrameLimits { inline_bytes_max: 64 << 10, bulk_bytes_max: 512 << 20, args_max: 16 << 20 };
/// Bytes of one command.
const COMMAND_BYTES_MAX: usize = 1 << 30;

/// Why a connection is over.
enum End {
    /// The source may be there again.
    Lost(String),
    /// It makes no sense to go on.
    Fatal(TargetError),
}

impl From<TargetError> for End {
    fn from(error: TargetError) -> Self {
        Self::Fatal(error)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// What the threads share.
struct Shared {
    progress: Arc<Progress>,
    stop: Arc<Stop>,
    applied: Arc<AtomicU64>,
    /// Bytes of the stream that were read; commands in it that write.
    read: AtomicU64,
    writes: AtomicU64,
    /// Whether the copy is done, and the stream read.
    is_following: AtomicBool,
    /// How long the source's stream is, as far as is known.
    source_offset: AtomicU64,
}

impl Shared {
    fn lag(&self) -> u64 {
        self.source_offset.load(Relaxed).saturating_sub(self.applied.load(Acquire))
    }
}

/// What to follow, and how.
pub(super) struct Follow<'f> {
    pub(super) source: &'f Address,
    pub(super) daemon: &'f Local,
    pub(super) progress: Arc<Progress>,
    pub(super) rate: Option<u32>,
    pub(super) until_idle: Option<Duration>,
    /// Whether the daemon may hold something else at first, which is removed.
    pub(super) mirror: bool,
}

/// Where following has ended.
pub(super) struct Followed {
    pub(super) place: Place,
    /// How much more the source has; `None` if it does not say.
    pub(super) lag: Option<u64>,
    pub(super) released: u64,
}

impl Follow<'_> {
    /// Follows until it is told to stop.
    pub(super) fn run(self) -> Result<Followed, TargetError> {
        let daemon = Address::local(self.daemon);
        if !self.mirror && !keyspace::databases(&mut daemon.connect()?)?.is_empty() {
            return Err("the daemon holds keys: following makes it what the source is, and removes all others. \
                        --mirror says that this is wanted"
                .into());
        }
        let target = Target::over(daemon.connect()?, Arc::clone(&self.progress), Kind::Daemon)?;
        let shared = Arc::new(Shared {
            progress: Arc::clone(&self.progress),
            stop: Arc::default(),
            applied: target.applied(),
            read: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            is_following: AtomicBool::new(false),
            source_offset: AtomicU64::new(0),
        });
        shared.stop.at_signals()?;
        let told = Told { shared: Arc::clone(&shared), source: self.source.clone() };
        std::thread::spawn(move || told.tell());
        let mut follower = Follower { follow: &self, daemon, target, shared: Arc::clone(&shared), changes: None };
        let ended = follower.run();
        // What was held is put back whatever has happened, as far as the daemon is there.
        let released = follower.daemon.connect().map_err(TargetError::from).and_then(|mut it| hold::release(&mut it));
        ended?;
        let lag = self.source.connect().ok().and_then(|mut client| keyspace::stream_offset(&mut client).ok());
        let place = match follower.changes {
            Some(changes) => changes.place().clone(),
            None => return Err("stopped before the first copy was whole".into()),
        };
        Ok(Followed { lag: lag.map(|offset| offset.saturating_sub(place.offset)), place, released: released? })
    }
}

struct Follower<'f> {
    follow: &'f Follow<'f>,
    daemon: Address,
    target: Target,
    shared: Arc<Shared>,
    /// The stream as it is applied; `None` before everything is copied.
    changes: Option<Changes>,
}

impl Follower<'_> {
    fn run(&mut self) -> Result<(), TargetError> {
        let mut is_first = true;
        while !self.shared.stop.is_set() {
            let end = self.connect(is_first).and_then(|client| {
                is_first = false;
                self.session(client)
            });
            self.shared.stop.reads(None);
            match end {
                Err(End::Fatal(error)) => return Err(error),
                Ok(()) => {}
                Err(End::Lost(_)) if self.shared.stop.is_set() => {}
                Err(End::Lost(why)) => {
                    // Reading was ended because nothing can be written.
                    self.target.check()?;
                    self.shared.progress.say(&format!("the connection to the source is lost: {why}; trying again"));
                    self.shared.stop.wait(RETRY);
                }
            }
        }
        self.target.settle()
    }

    /// A source that cannot be reached at first is more likely a mistake than a failure.
    fn connect(&self, is_first: bool) -> Result<RespClient, End> {
        self.follow.source.connect().map_err(|error| match error {
            ConnectError::Unreachable { .. } if !is_first => End::Lost(error.to_string()),
            error => End::Fatal(error.into()),
        })
    }

    fn session(&mut self, client: RespClient) -> Result<(), End> {
        let place = self.changes.as_ref().map(Changes::place);
        let (reader, begun) = handshake::begin(client, place).map_err(|error| match error {
            HandshakeError::Refused(_) => End::Fatal(error.into()),
            other => End::Lost(other.to_string()),
        })?;
        self.shared.stop.reads(Some(reader.get_ref().try_clone()?));
        let beat = Beat {
            shared: Arc::clone(&self.shared),
            out: reader.get_ref().try_clone()?,
            has_failed: self.target.has_failed(),
            until_idle: self.follow.until_idle,
        };
        let (asked, asks) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || beat.run(&asks));
            let end = self.begin(reader, begun, &asked);
            self.shared.is_following.store(false, Release);
            drop(asked);
            end
        })
    }

    fn begin(&mut self, reader: BufReader<Stream>, begun: Begun, asked: &Sender<()>) -> Result<(), End> {
        let reader = match begun {
            Begun::Full { id, offset } => self.copy(reader, id, offset)?,
            Begun::Onward { id } => {
                let changes = self
                    .changes
                    .as_mut()
                    .ok_or_else(|| End::Fatal("the source goes on with a stream that was never begun".into()))?;
                changes.rewind(id);
                reader
            }
        };
        self.shared.is_following.store(true, Release);
        // Those who wait for us at the source need not wait for the next beat.
        let _ = asked.send(());
        self.stream(reader, asked)
    }

    /// Everything that the source holds; what it does not hold is removed.
    fn copy(&mut self, reader: BufReader<Stream>, id: String, offset: u64) -> Result<BufReader<Stream>, End> {
        let progress = Arc::clone(&self.shared.progress);
        if self.changes.take().is_some() {
            progress.say("the source no longer has what was missed: everything is copied anew");
        }
        progress.keys.store(0, Relaxed);
        let mut reader = reader;
        let extent = Extent::read(&mut reader)?;
        let mut seen = Seen::default();
        let snapshot = Snapshot {
            target: &mut self.target,
            progress: &progress,
            pattern: None,
            rate: Rate::new(self.follow.rate),
            seen: Some(&mut seen),
        };
        let (snapshot, database) = snapshot.load(extent.bound(reader)).map_err(|error| match error {
            SnapshotError::Source(FileError::Io { source, .. }) => End::from(source),
            SnapshotError::Source(error) => End::Fatal(error.into()),
            SnapshotError::Target(error) => End::Fatal(error),
        })?;
        let reader = extent.behind(snapshot)?;
        self.target.settle()?;
        let mut client = self.daemon.connect().map_err(TargetError::from)?;
        let removed = seen.remove_others(&mut client)?;
        let keys = progress.keys.load(Relaxed);
        progress.say(&format!("{keys} keys are copied, {removed} others removed; following"));
        self.changes = Some(Changes::after(Place { id, offset, database: database.unwrap_or(0) }));
        self.target.pass_nothing(offset)?;
        self.target.settle()?;
        Ok(reader)
    }

    fn stream(&mut self, mut reader: BufReader<Stream>, asked: &Sender<()>) -> Result<(), End> {
        let changes = self.changes.as_mut().expect("the stream has a beginning");
        let (mut parser, mut buffer, mut at) = (Parser::new(FRAME), Vec::new(), 0);
        loop {
            let parsed = parser.parse(&mut buffer[at..]);
            let parsed = parsed.map_err(|error| End::Fatal(format!("the source sends no command: {error}").into()))?;
            let Some(length) = parsed else {
                buffer.drain(..std::mem::take(&mut at));
                if buffer.len() > COMMAND_BYTES_MAX {
                    return Err(End::Fatal("the source sends a command of more than a gigabyte".into()));
                }
                // Nothing is held back while we wait for more.
                if reader.buffer().is_empty() {
                    self.target.flush()?;
                }
                let more = match reader.fill_buf() {
                    // A process that was stopped and goes on has lost nothing.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    more => more?,
                };
                if more.is_empty() {
                    return Err(End::Lost("the source closed it".to_owned()));
                }
                let count = more.len().min(READ_BYTES);
                buffer.extend_from_slice(&more[..count]);
                reader.consume(count);
                continue;
            };
            let frame = &buffer[at..at + length];
            at += length;
            match changes.apply(frame, parser.args(frame), &mut self.target, &self.shared.progress)? {
                Asked::Nothing => {}
                Asked::Acknowledge => {
                    self.target.settle()?;
                    let _ = asked.send(());
                }
                Asked::Everything => {
                    self.changes = None;
                    return Ok(());
                }
            }
            self.shared.read.store(changes.place().offset, Release);
            self.shared.writes.store(changes.writes(), Release);
        }
    }
}

/// What is said to the source each second, and when it asks.
struct Beat {
    shared: Arc<Shared>,
    out: Stream,
    /// Whether the target is lost, so that reading on makes no sense.
    has_failed: Arc<AtomicBool>,
    until_idle: Option<Duration>,
}

impl Beat {
    fn run(mut self, asks: &Receiver<()>) {
        let (mut writes, mut since) = (0, Instant::now());
        loop {
            let is_asked = match asks.recv_timeout(BEAT) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Shared { applied, read, is_following, stop, .. } = &*self.shared;
            let mut words = Vec::new();
            if is_following.load(Acquire) {
                let applied = applied.load(Acquire).to_string();
                write_command(&[b"REPLCONF", b"ACK", applied.as_bytes()], &mut words);
            } else {
                // An empty line keeps the source from taking us for dead while the copy is written.
                words.push(b'\n');
            }
            if self.has_failed.load(Acquire) {
                self.out.shut();
            }
            // If it cannot be said, the connection is over, and who reads it sees that.
            let _ = self.out.write_all(&words);
            let now = self.shared.writes.load(Acquire);
            if is_asked || now != writes || !is_following.load(Acquire) || applied.load(Acquire) < read.load(Acquire) {
                (writes, since) = (now, Instant::now());
            }
            if self.until_idle.is_some_and(|idle| since.elapsed() >= idle) {
                stop.set();
            }
        }
    }
}

/// Tells people how far it is, and asks the source how far there is to go.
struct Told {
    shared: Arc<Shared>,
    source: Address,
}

impl Told {
    /// For as long as the process lives.
    fn tell(self) {
        let mut client = None;
        loop {
            self.shared.stop.wait(BEAT);
            if self.shared.stop.is_set() {
                return;
            }
            if client.is_none() {
                client = self.source.connect().ok();
            }
            let offset = client.as_mut().and_then(|client| keyspace::stream_offset(client).ok());
            match offset {
                Some(offset) => self.shared.source_offset.store(offset, Relaxed),
                None => client = None,
            }
            if self.shared.is_following.load(Acquire) {
                let lag = offset.map_or_else(|| "unknown".to_owned(), |_| Bytes(self.shared.lag()).to_string());
                self.shared.progress.show(Some(&lag));
            }
        }
    }
}
