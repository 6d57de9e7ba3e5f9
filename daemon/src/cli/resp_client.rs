//! A connection to the local daemon for moving data: bytes as they are, many commands under way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::config::Local;

/// A daemon that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any value or collection in one reply.
const BYTES_MAX: usize = 1 << 30;

/// A reply of RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Vec<Reply>),
}

impl Reply {
    pub(super) fn bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Bulk(Some(bytes)) => Ok(bytes),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn array(self) -> io::Result<Vec<Self>> {
        match self {
            Self::Array(items) => Ok(items),
            other => Err(other.unexpected()),
        }
    }

    fn unexpected(&self) -> io::Error {
        match self {
            Self::Error(error) => io::Error::other(error.clone()),
            other => io::Error::new(io::ErrorKind::InvalidData, format!("an unexpected reply: {other:?}")),
        }
    }
}

pub(super) struct RespClient {
    reader: BufReader<UnixStream>,
    /// Commands not sent yet.
    out: Vec<u8>,
}

impl RespClient {
    pub(super) fn connect(daemon: &Local) -> Result<Self, String> {
        let path = &daemon.socket;
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error: io::Error| format!("no daemon answers at {path:?}: {error}"))?;
        let mut client = Self { reader: BufReader::with_capacity(64 << 10, stream), out: Vec::new() };
        if let Some((user, password)) = &daemon.credentials {
            match client.call(&[b"AUTH", user.as_bytes(), password.as_bytes()]) {
                Ok(Reply::Error(error)) => return Err(error),
                Ok(_) => {}
                Err(error) => return Err(format!("the daemon at {path:?} did not answer: {error}")),
            }
        }
        Ok(client)
    }

    /// Prepares a command; sent by [`RespClient::send`].
    pub(super) fn prepare(&mut self, words: &[&[u8]]) {
        self.out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    pub(super) fn send(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        self.reader.get_mut().write_all(&out)
    }

    pub(super) fn call(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        self.prepare(words);
        self.send()?;
        self.receive()
    }

    pub(super) fn receive(&mut self) -> io::Result<Reply> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a malformed reply");
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let (kind, rest) = line.strip_suffix(b"\r\n").and_then(<[u8]>::split_first).ok_or_else(malformed)?;
        let rest = String::from_utf8_lossy(rest).into_owned();
        let size = || rest.parse::<i64>().map_err(|_| malformed());
        Ok(match kind {
            b'+' => Reply::Simple(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Integer(size()?),
            b'$' => {
                let Ok(size) = usize::try_from(size()?) else { return Ok(Reply::Bulk(None)) };
                if size > BYTES_MAX {
                    return Err(malformed());
                }
                let mut bytes = vec![0; size + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(size);
                Reply::Bulk(Some(bytes))
            }
            b'*' => {
                let items = usize::try_from(size()?).unwrap_or(0).min(BYTES_MAX);
                Reply::Array((0..items).map(|_| self.receive()).collect::<io::Result<_>>()?)
            }
            _ => return Err(malformed()),
        })
    }
}
