//! Asking the local daemon: one command over its socket, the reply as a value.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::config::Local;

/// A daemon that takes longer to answer is not well, and that is the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a reply, and of one of its lines. Replies about the cluster are far smaller.
const REPLY_BYTES_MAX: u64 = 64 << 20;
/// Values within values.
const DEPTH_MAX: usize = 16;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum QueryError {
    #[error("no daemon answers at {path:?} (is `cahoots serve` running? --socket or CAHOOTS_SOCKET says where)")]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("the daemon at {path:?} did not answer")]
    Silent { path: PathBuf, source: io::Error },
    #[error("the daemon at {path:?} answered: {message}")]
    Refused { path: PathBuf, message: String },
}

/// Sends one command to the daemon.
pub(super) fn query(daemon: &Local, command: &[&str]) -> Result<Value, QueryError> {
    LocalClient::connect_patiently(daemon, PATIENCE)?.call(command)
}

/// A connection to the local daemon.
pub(super) struct LocalClient {
    path: PathBuf,
    reader: BufReader<io::Take<UnixStream>>,
}

impl LocalClient {
    /// Connects to a daemon that asks nobody who it is.
    pub(super) fn connect(socket: &Path) -> Result<Self, QueryError> {
        Self::connect_patiently(&Local { socket: socket.to_owned(), credentials: None }, PATIENCE)
    }

    /// Connects, and waits for an answer for so long.
    pub(super) fn connect_patiently(daemon: &Local, patience: Duration) -> Result<Self, QueryError> {
        let path = &daemon.socket;
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| QueryError::Unreachable { path: path.to_owned(), source })?;
        let mut client = Self { path: path.to_owned(), reader: BufReader::new(stream.take(REPLY_BYTES_MAX)) };
        match &daemon.credentials {
            None => client.call(&["HELLO", "3"])?,
            Some((user, password)) => client.call(&["HELLO", "3", "AUTH", user, password])?,
        };
        Ok(client)
    }

    /// Sends one command and reads its reply.
    pub(super) fn call(&mut self, command: &[&str]) -> Result<Value, QueryError> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        let reply = self.reader.get_mut().get_mut().write_all(&request).and_then(|()| {
            self.reader.get_mut().set_limit(REPLY_BYTES_MAX);
            read_value(&mut self.reader, 0)
        });
        match reply {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => Err(QueryError::Refused { path: self.path.clone(), message }),
            Err(source) => Err(QueryError::Silent { path: self.path.clone(), source }),
        }
    }
}

/// One RESP3 value; an error reply is the inner `Err`.
fn read_value(reader: &mut impl BufRead, depth: usize) -> io::Result<Result<Value, String>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed reply");
    if depth > DEPTH_MAX {
        return Err(malformed());
    }
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let Some((&kind, rest)) = line.strip_suffix(b"\r\n").and_then(<[u8]>::split_first) else {
        return Err(malformed());
    };
    let rest = std::str::from_utf8(rest).map_err(|_| malformed())?;
    let size = || rest.parse::<u64>().ok().filter(|&size| size <= REPLY_BYTES_MAX).ok_or_else(malformed);
    let inner = |reader: &mut _| read_value(reader, depth + 1)?.map_err(|_| malformed());
    Ok(Ok(match kind {
        b'-' => return Ok(Err(rest.to_owned())),
        b'+' => Value::String(rest.to_owned()),
        b':' => Value::Number(Number::from(rest.parse::<i64>().map_err(|_| malformed())?)),
        b'#' => Value::Bool(rest == "t"),
        b'_' => Value::Null,
        b'$' => {
            let (size, mut bytes) = (size()?, Vec::new());
            let read = reader.by_ref().take(size + 2).read_to_end(&mut bytes)?;
            let text = bytes.strip_suffix(b"\r\n").filter(|_| read as u64 == size + 2).ok_or_else(malformed)?;
            Value::String(String::from_utf8_lossy(text).into_owned())
        }
        b'*' | b'~' => (0..size()?).map(|_| inner(reader)).collect::<io::Result<Vec<_>>>()?.into(),
        b'%' => {
            let mut map = Map::new();
            for _ in 0..size()? {
                let Value::String(name) = inner(reader)? else { return Err(malformed()) };
                map.insert(name, inner(reader)?);
            }
            Value::Object(map)
        }
        _ => return Err(malformed()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_becomes_a_value() {
        let read = |mut bytes: &[u8]| read_value(&mut bytes, 0);
        let nested = b"%3\r\n$1\r\na\r\n*2\r\n:-1\r\n#t\r\n+b\r\n_\r\n$1\r\nc\r\n%0\r\n";
        assert_eq!(read(nested).unwrap().unwrap(), json!({"a": [-1, true], "b": null, "c": {}}));
        assert_eq!(read(b"-ERR no\r\n").unwrap().unwrap_err(), "ERR no");
        let deep = "*1\r\n".repeat(100);
        for broken in ["", ":1", "$5\r\nab\r\n", "*1\r\n", "?\r\n", "*99999999999\r\n", "%1\r\n:1\r\n:1\r\n", &deep] {
            assert!(read(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }
}
