//! A client that shares no code with the daemon: RESP3 over a Unix socket, blocking, with a bound on patience.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Null,
    /// A simple or a bulk string, or a double as it was spelled.
    Text(Vec<u8>),
    /// A number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// An array or a set.
    Array(Vec<Value>),
    /// A map by the names of its entries.
    Map(BTreeMap<String, Value>),
    /// A refusal, with its words.
    Error(String),
}

impl Value {
    /// A string, for expectations.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// An entry of a map.
    ///
    /// # Panics
    /// If this is no map, or has no such entry.
    #[must_use]
    pub fn at(&self, name: &str) -> &Self {
        let Self::Map(entries) = self else { panic!("{self:?} is no map") };
        entries.get(name).unwrap_or_else(|| panic!("no {name:?} in {entries:?}"))
    }

    /// The number this is.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn integer(&self) -> i64 {
        let Self::Integer(number) = self else { panic!("{self:?} is no number") };
        *number
    }

    /// The elements of this array.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn array(&self) -> &[Self] {
        let Self::Array(elements) = self else { panic!("{self:?} is no array") };
        elements
    }
}

/// A connection to a daemon.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// Nobody listens, or nobody answers.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream: BufReader::new(stream) };
        client.try_call(&[b"HELLO", b"3"])?;
        Ok(client)
    }

    /// Sends a command written as words and reads the reply.
    ///
    /// # Panics
    /// If there is no reply, or it is an error: one that nobody looks at must not go unnoticed.
    pub fn words(&mut self, words: &str) -> Value {
        let reply = self.call(&words.split_whitespace().map(str::as_bytes).collect::<Vec<_>>());
        assert!(!matches!(reply, Value::Error(_)), "{words:?} is refused: {reply:?}");
        reply
    }

    /// Sends a command and reads the reply.
    ///
    /// # Panics
    /// If there is no reply.
    pub fn call(&mut self, words: &[&[u8]]) -> Value {
        self.try_call(words).unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(words[0])))
    }

    /// The same, for daemons that may be gone.
    ///
    /// # Errors
    /// The connection is closed, or patience has ended.
    pub fn try_call(&mut self, words: &[&[u8]]) -> io::Result<Value> {
        self.send(words)?;
        self.receive()
    }

    /// Sends a command and does not wait for its reply.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, words: &[&[u8]]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)
    }

    /// Reads the next reply.
    ///
    /// # Errors
    /// The connection is closed, patience has ended, or what came is no reply.
    pub fn receive(&mut self) -> io::Result<Value> {
        read(&mut self.stream)
    }
}

fn read(stream: &mut impl BufRead) -> io::Result<Value> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {what:?}"));
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").ok_or_else(|| malformed(&line))?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(line))?;
    let number = || rest.parse::<i64>().map_err(|_| malformed(line));
    let count = || rest.parse::<usize>().map_err(|_| malformed(line));
    Ok(match kind {
        "_" => Value::Null,
        "$" | "*" if rest == "-1" => Value::Null,
        "+" | "," => Value::text(rest),
        "-" => Value::Error(rest.to_owned()),
        ":" => Value::Integer(number()?),
        "#" => Value::Boolean(rest == "t"),
        "$" | "=" => {
            let mut bytes = vec![0; count()? + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            if kind == "=" {
                bytes.drain(..4.min(bytes.len())); // the format of a verbatim string: "txt:"
            }
            Value::Text(bytes)
        }
        "*" | "~" => Value::Array((0..count()?).map(|_| read(stream)).collect::<io::Result<_>>()?),
        "%" => {
            let mut entries = BTreeMap::new();
            for _ in 0..count()? {
                let Value::Text(name) = read(stream)? else { return Err(malformed(line)) };
                entries.insert(String::from_utf8_lossy(&name).into_owned(), read(stream)?);
            }
            Value::Map(entries)
        }
        _ => return Err(malformed(line)),
    })
}
