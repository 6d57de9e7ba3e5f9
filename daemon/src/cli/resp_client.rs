//! A connection to a server for moving data: bytes as they are, many commands under way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use super::stream::Stream;
use crate::config::Local;

/// A server that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any value or collection in one reply.
const BYTES_MAX: usize = 1 << 30;
/// Bytes of a line, which is a size, a number or an error.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Replies within replies.
const DEPTH_MAX: usize = 16;

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

    pub(super) fn unexpected(&self) -> io::Error {
        match self {
            Self::Error(error) => io::Error::other(error.clone()),
            other => io::Error::new(io::ErrorKind::InvalidData, format!("an unexpected reply: {other:?}")),
        }
    }

    /// Reads one.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        Self::read_within(reader, DEPTH_MAX)
    }

    fn read_within(reader: &mut impl BufRead, depth: usize) -> io::Result<Self> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a malformed reply");
        let line = read_line(reader)?;
        let (kind, rest) = line.split_first().ok_or_else(malformed)?;
        let rest = String::from_utf8_lossy(rest).into_owned();
        let size = || rest.parse::<i64>().map_err(|_| malformed());
        Ok(match kind {
            b'+' => Self::Simple(rest),
            b'-' => Self::Error(rest),
            b':' => Self::Integer(size()?),
            b'$' => {
                let Ok(size) = usize::try_from(size()?) else { return Ok(Self::Bulk(None)) };
                if size > BYTES_MAX {
                    return Err(malformed());
                }
                let mut bytes = Vec::new();
                reader.by_ref().take(size as u64 + 2).read_to_end(&mut bytes)?;
                if bytes.len() != size + 2 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes.truncate(size);
                Self::Bulk(Some(bytes))
            }
            b'*' => {
                let depth = depth.checked_sub(1).ok_or_else(malformed)?;
                let items = usize::try_from(size()?).unwrap_or(0).min(BYTES_MAX);
                Self::Array((0..items).map(|_| Self::read_within(reader, depth)).collect::<io::Result<_>>()?)
            }
            _ => return Err(malformed()),
        })
    }
}

/// A line, without its end.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
    }
    line.pop_if(|last| *last == b'\r');
    Ok(line)
}

/// Appends a command.
pub(super) fn write_command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) struct RespClient {
    reader: BufReader<Stream>,
    /// Commands not sent yet.
    out: Vec<u8>,
}

impl RespClient {
    /// A connection to the local daemon.
    pub(super) fn connect(daemon: &Local) -> Result<Self, String> {
        let path = &daemon.socket;
        let mut client = Stream::connect_unix(path)
            .and_then(Self::over)
            .map_err(|error: io::Error| format!("no daemon answers at {path:?}: {error}"))?;
        if let Some((user, password)) = &daemon.credentials {
            match client.call(&[b"AUTH", user.as_bytes(), password.as_bytes()]) {
                Ok(Reply::Error(error)) => return Err(error),
                Ok(_) => {}
                Err(error) => return Err(format!("the daemon at {path:?} did not answer: {error}")),
            }
        }
        Ok(client)
    }

    /// A client on this connection.
    pub(super) fn over(stream: Stream) -> io::Result<Self> {
        stream.set_patience(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::with_capacity(64 << 10, stream), out: Vec::new() })
    }

    /// The connection with what has been read of it ahead.
    pub(super) fn into_reader(self) -> BufReader<Stream> {
        self.reader
    }

    /// Prepares a command; sent by [`RespClient::send`].
    pub(super) fn prepare(&mut self, words: &[&[u8]]) {
        write_command(words, &mut self.out);
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

    /// A page of keys from a cursor on, and the next cursor: `0` begins, and ends.
    pub(super) fn scan(&mut self, cursor: &[u8], options: &[&[u8]]) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
        let page = self.call(&[&[b"SCAN", cursor], options].concat())?.array()?;
        let [next, keys] = <[Reply; 2]>::try_from(page).map_err(|_| io::Error::other("an unexpected reply to SCAN"))?;
        Ok((next.bytes()?, keys.array()?.into_iter().map(Reply::bytes).collect::<io::Result<_>>()?))
    }

    pub(super) fn receive(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hostile_server_says_is_an_error_and_costs_nothing() {
        let deep = "*1\r\n".repeat(10_000);
        let long = format!("+{}", "x".repeat(1 << 20));
        for broken in ["", ":1", ":x\r\n", "$5\r\nab", "$99999999999\r\n", "*1\r\n", "?\r\n", &deep, &long] {
            assert!(Reply::read(&mut broken.as_bytes()).is_err(), "{:?}", &broken[..broken.len().min(20)]);
        }
        assert_eq!(Reply::read(&mut &b"*2\r\n$1\r\na\r\n$-1\r\n"[..]).unwrap().array().unwrap().len(), 2);
    }
}
