//! Real processes under test: a daemon of ours, a Redis to compare with, and a client that sees bytes.

#![allow(dead_code, reason = "each suite uses its part")]

pub(crate) mod keyspace_of;
pub(crate) mod listener;
pub(crate) mod random_writes;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes so long unless it never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server with a Unix socket. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) socket: PathBuf,
    directory: Option<tempfile::TempDir>,
}

impl Process {
    /// `cahoots serve` on a socket and a port of its own, ready for clients.
    pub(crate) fn cahoots(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("c.sock");
        let mut daemon = Self::cahoots_at(&socket, args);
        daemon.directory = Some(directory);
        daemon
    }

    /// The same on a given socket.
    pub(crate) fn cahoots_at(socket: &Path, args: &[&str]) -> Self {
        let mut child = cahoots()
            .arg("serve")
            .arg("--socket")
            .arg(socket)
            .args(["--listen", "127.0.0.1:0", "--log-level", "warn"])
            // Clients of a test stay connected while it stops daemons.
            .env("CAHOOTS_LINGER_MS", "0")
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line on stdout");
        assert!(first.starts_with("socket: "), "{first:?}");
        Self { child, socket: socket.to_owned(), directory: None }
    }

    /// A Redis with the same interface; `None`, loudly, on a machine that has none.
    pub(crate) fn redis() -> Option<Self> {
        Self::redis_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn redis_with(args: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("r.sock");
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--dir"])
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(&socket)
            .args(args)
            .stdout(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var_os("CAHOOTS_REQUIRE_REDIS").is_none(), "redis-server does not start: {error}");
                eprintln!(
                    "\n*** SKIPPED: redis-server does not start ({error}); nothing was compared with Redis ***\n"
                );
                return None;
            }
        };
        let redis = Self { child, socket, directory: Some(directory) };
        // Redis says nothing a program could wait for when its socket is there.
        let begun = Instant::now();
        while UnixStream::connect(&redis.socket).is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server opens no socket");
            std::thread::yield_now();
        }
        Some(redis)
    }

    /// Where it keeps its files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.as_ref().expect("a directory of its own").path()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process is ours");
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the process is ours")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, with none of the caller's settings.
pub(crate) fn cahoots() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cahoots"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAHOOTS_") {
            command.env_remove(name);
        }
    }
    command
}

/// A client that sends and sees bytes.
pub(crate) struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Sends one command and reads its reply.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(&frame(args));
        self.receive()
    }

    /// A command written as words.
    pub(crate) fn words(&mut self, words: &str) -> Value {
        self.call(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn receive(&mut self) -> Value {
        Value::read(&mut self.reader)
    }

    /// Everything until the server closes, after telling it that nothing more will come.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        // A server that has closed already is no error here.
        let _ = self.stream().shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        // Closed with bytes of ours unread, the end is a reset; what was sent before it has been read by then.
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes in time: {error}");
        }
        rest
    }
}

/// A command as RESP has it.
pub(crate) fn frame<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut frame = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args.iter().map(AsRef::as_ref) {
        frame.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        frame.extend_from_slice(arg);
        frame.extend_from_slice(b"\r\n");
    }
    frame
}

/// A reply, byte for byte, but as a tree so that what has no order can be compared without.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// Its bytes.
    Leaf(Vec<u8>),
    /// Its first line, and what follows.
    Node(Vec<u8>, Vec<Value>),
}

impl Value {
    fn read(reader: &mut impl BufRead) -> Self {
        let mut head = Vec::new();
        reader.read_until(b'\n', &mut head).expect("a reply in time");
        assert!(head.ends_with(b"\r\n"), "the server closed in the middle of a reply: {:?}", head.escape_ascii());
        let size = || std::str::from_utf8(&head[1..head.len() - 2]).unwrap().parse::<i64>().expect("a size");
        match head[0] {
            b'$' | b'=' if size() >= 0 => {
                let mut body = vec![0; usize::try_from(size()).unwrap() + 2];
                reader.read_exact(&mut body).expect("the whole string");
                head.extend_from_slice(&body);
                Self::Leaf(head)
            }
            kind @ (b'*' | b'~' | b'%' | b'>') => {
                let count = size().max(0) * if kind == b'%' { 2 } else { 1 };
                let parts = (0..count).map(|_| Self::read(reader)).collect();
                Self::Node(head, parts)
            }
            _ => Self::Leaf(head),
        }
    }

    /// Without the order of its elements; of pairs if `pairs`.
    pub(crate) fn sorted(self, pairs: bool) -> Self {
        match self {
            Self::Node(head, parts) if pairs || head[0] == b'%' => {
                let mut pairs: Vec<_> = parts.chunks(2).map(<[Self]>::to_vec).collect();
                pairs.sort();
                Self::Node(head, pairs.concat())
            }
            Self::Node(head, mut parts) => {
                parts.sort();
                Self::Node(head, parts)
            }
            leaf @ Self::Leaf(_) => leaf,
        }
    }

    pub(crate) fn parts(&self) -> &[Self] {
        match self {
            Self::Leaf(_) => &[],
            Self::Node(_, parts) => parts,
        }
    }

    /// What stands behind `name` in a map that a RESP2 client sees as a list.
    pub(crate) fn pair(&self, name: &str) -> String {
        let pair = self.parts().chunks(2).find(|pair| pair[0].text() == name);
        pair.unwrap_or_else(|| panic!("no {name} in {self:?}"))[1]
            .lines()
            .trim_start_matches([':', '+'])
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// Its lines as they came, with spaces between them.
    pub(crate) fn lines(&self) -> String {
        match self {
            Self::Leaf(bytes) => String::from_utf8_lossy(bytes).trim_end().replace("\r\n", " "),
            Self::Node(head, parts) => {
                let head = String::from_utf8_lossy(head).trim_end().to_owned();
                parts.iter().fold(head, |lines, part| lines + " " + &part.lines())
            }
        }
    }

    /// The text of a string, simple string or error, without its frame.
    pub(crate) fn text(&self) -> String {
        let Self::Leaf(bytes) = self else { panic!("{self:?} is no text") };
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches("\r\n");
        match bytes[0] {
            b'$' | b'=' => text.split_once("\r\n").map_or("", |(_, body)| body).to_owned(),
            _ => text[1..].to_owned(),
        }
    }

    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Leaf(bytes) if bytes[0] == b':' => self.text().parse().expect("an integer"),
            other => panic!("{other:?} is no integer"),
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf(bytes) => write!(f, "{}", bytes.escape_ascii()),
            Self::Node(head, parts) => write!(f, "{}{parts:?}", head.escape_ascii()),
        }
    }
}
