//! Bodies of the fuzz targets `resp`, `rdb`, `rdb-file` and `acl`: what must hold whatever bytes a client sends, hands to
//! RESTORE, and gives as rules of a user, and whatever a source sends as a snapshot. Each corpus replays through its body in
//! the tests.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use crate::acl::{self, Acl};
use crate::command::{Batch, Stop};
use crate::rdb;
use crate::resp::Parser;
use crate::script::Scripts;
use crate::session::Session;
use crate::state::{Limits, Server, Stats};
use cahoots_gossip::ReplicaId;
use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};

/// What one client did to a fresh replica.
struct Outcome {
    replies: Vec<u8>,
    fingerprint: u128,
}

/// The first byte says how the rest is cut into reads. Whatever the rest is, nothing panics, and neither the replies nor
/// what is stored depends on the cutting.
pub fn resp(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let lower = stream.to_ascii_lowercase();
    let has = |word: &str| memchr::memmem::find(&lower, word.as_bytes()).is_some();
    // One removes what it draws; others may tell addresses, and are ended by the clock; one draws passwords; the last
    // holds what comes for a time.
    if ["spop", "eval", "fcall", "acl", "pause"].into_iter().any(has) {
        return;
    }
    let whole = run(stream, stream.len().max(1));
    let pieces = run(stream, usize::from(cut).max(1));
    assert_eq!(whole.fingerprint, pieces.fingerprint, "how a stream is cut into reads changes nothing stored");
    // Some tell the time, how long something took, or the memory in use; others draw.
    if !["info", "time", "memory", "monitor", "slowlog", "latency", "rand"].into_iter().any(has) {
        assert_eq!(whole.replies, pieces.replies, "nor any reply");
    }
}

/// A serialized value without its version and sum. What is read of it, if anything, is written, and then read as the same.
pub fn rdb(body: &[u8]) {
    /// What is made of it at most.
    const BYTES_MAX: usize = 1 << 20;
    let Ok(value) = rdb::restore(&rdb::sealed(body), BYTES_MAX) else { return };
    assert_eq!(rdb::restore(&rdb::dump(&value), usize::MAX).as_ref(), Ok(&value), "a value is read as it was written");
}

/// An RDB file without its head. It is read the same however it comes, in no more memory than there are bytes; its values are
/// what RESTORE takes or refuses.
pub fn rdb_file(body: &[u8]) {
    /// What is kept of a value, and made of it, at most.
    const KEPT_MAX: usize = 1 << 12;
    const BYTES_MAX: usize = 1 << 20;
    let file = [b"REDIS0011", body].concat();
    let read = |reader: &mut dyn Read| {
        let mut entries = Vec::new();
        let mut file = rdb::RdbFile::begin(reader, KEPT_MAX).map_err(|error| error.to_string())?;
        while let Some(entry) = file.next_entry().map_err(|error| error.to_string())? {
            entries.push(entry);
        }
        Ok::<_, String>((entries, file.at()))
    };
    let whole = read(&mut &file[..]);
    assert_eq!(whole, read(&mut InBytes(&file)), "how it comes changes nothing");
    for entry in whole.map_or_else(|_| Vec::new(), |(entries, _)| entries) {
        if let rdb::Entry::Key(rdb::FileKey { content: rdb::Content::Payload(payload), .. }) = entry {
            assert!(payload.len() <= KEPT_MAX + 10, "no more is kept than was asked for");
            assert_ne!(rdb::restore(&payload, BYTES_MAX), Err(rdb::RdbError::Checksum), "it is sealed");
        }
    }
}

/// A source from which every byte comes by itself.
struct InBytes<'b>(&'b [u8]);

impl Read for InBytes<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(1);
        self.0.read(&mut bytes[..count])
    }
}

/// The name of a user and its rules, separated by the byte 255. What is accepted is told, and read back as the same user.
pub fn acl(data: &[u8]) {
    let mut words = data.split(|byte| *byte == u8::MAX);
    let (acl, name) = (Acl::default(), words.next().unwrap_or_default());
    if acl.set(name, words).is_err() {
        return;
    }
    let lines: Vec<Vec<u8>> = acl.all().iter().map(|user| user.line()).collect();
    let users = acl::parse(&lines.join(&b'\n'), "users", false).expect("what is told makes sense");
    assert!(users.values().map(|user| user.line()).eq(lines), "a user is read as it was told");
}

/// Executes `stream` in reads of `piece` bytes.
fn run(stream: &[u8], piece: usize) -> Outcome {
    let server = server();
    let now = Now { mono: 0, wall: 1_700_000_000_000 };
    let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), now);
    let mut session = Session::new(1, "fuzz", "fuzz");
    let mut parser = Parser::new(server.limits.frame);
    let (mut input, mut replies) = (Vec::new(), Vec::new());
    'stream: for piece in stream.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            let (done, stop) =
                Batch::new(&mut replica, now, &mut session, &server, &mut replies).run(&mut parser, &mut input);
            input.drain(..done);
            match stop {
                Stop::Drained => break,
                // Answered by the connection; there is none.
                Stop::Wait(_) => {}
                // Replies are never sent here, so nothing would go on from where output pauses.
                Stop::Enough if replies.len() < server.limits.output_pause_bytes => {}
                Stop::Enough | Stop::Close | Stop::Cut => break 'stream,
            }
        }
    }
    replica.flush(now);
    Outcome { replies, fingerprint: replica.status().fingerprint.get() }
}

/// A daemon's shared state without a daemon: what commands need that run on a replica alone, here, in tests and benchmarks.
#[must_use]
pub fn server() -> Server {
    Server {
        node: "fuzz".to_owned(),
        cluster: "fuzz".to_owned(),
        socket: "fuzz.sock".into(),
        tcp: None,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        serve_while_joining: false,
        limits: Limits::default(),
        started: Instant::now(),
        stats: Stats::default(),
        durability: crate::state::Durability::default(),
        leave: tokio::sync::Notify::new(),
        shutdown: tokio::sync::Notify::new(),
        hurries: std::sync::atomic::AtomicBool::new(false),
        leaves: std::sync::atomic::AtomicUsize::new(0),
        farewell: std::sync::Mutex::default(),
        clients_max: std::sync::atomic::AtomicUsize::new(1),
        watch: std::sync::Arc::default(),
        groups: crate::state::Groups::default(),
        keyspace: crate::watch::KeyspaceEvents::default(),
        memory: std::sync::Mutex::default(),
        tracking: crate::watch::Tracking::default(),
        clients: crate::session::Clients::default(),
        monitors: crate::session::Monitors::default(),
        slowlog: crate::state::Slowlog::default(),
        latency: crate::state::Latency::default(),
        command_stats: crate::state::CommandStats::of(crate::command::NUMBERS),
        debugging: crate::state::Debugging::default(),
        parameters: crate::state::Parameters::default(),
        pause: crate::state::Pause::default(),
        acl: Acl::default(),
        push_budget: std::sync::Arc::default(),
        pubsub: crate::pubsub::PubSub::default(),
        scripts: Scripts::default(),
        awaits_others: std::sync::atomic::AtomicBool::new(false),
        stopping: std::sync::atomic::AtomicBool::new(false),
    }
}
