//! How a replica begins: it asks for the stream of changes, from where it stands or with all data in front.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use super::super::resp_client::{Reply, RespClient, read_line};
use super::super::stream::Stream;

/// A primary that sends nothing for so long is gone: it sends a PING every ten seconds, and a line while it makes a snapshot.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes of the mark that ends a snapshot whose length is not told.
const MARK_BYTES: usize = 40;
/// Empty lines that a primary sends while it makes a snapshot, one a second.
const EMPTY_LINES_MAX: usize = 1_000_000;

/// Where the source's stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The history.
    pub(super) id: String,
    /// Bytes of it that are done.
    pub(super) offset: u64,
    /// The database that the next command is for.
    pub(super) database: u64,
}

/// What the source has answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// All data comes first, then the stream from this offset on.
    Full { id: String, offset: u64 },
    /// The stream goes on; its history may have another name now.
    Onward { id: Option<String> },
}

/// Why the source does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It cannot now, and may soon.
    #[error("the source is not ready: {0}")]
    Later(String),
    /// It will not.
    #[error("the source cannot be followed: {0} (the user needs the commands psync, replconf and info)")]
    Refused(String),
}

/// Errors that are over sooner or later.
const PASSING: [&str; 4] = ["LOADING", "NOMASTERLINK", "BUSY", "MASTERDOWN"];

fn refusal(message: String) -> HandshakeError {
    if PASSING.iter().any(|code| message.starts_with(code)) {
        HandshakeError::Later(message)
    } else {
        HandshakeError::Refused(message)
    }
}

/// Asks for the stream.
pub(super) fn begin(
    mut client: RespClient,
    place: Option<&Place>,
) -> Result<(BufReader<Stream>, Begun), HandshakeError> {
    if let Reply::Error(message) = client.call(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"])? {
        return Err(refusal(message));
    }
    let (id, next) = place
        .map_or_else(|| ("?".to_owned(), "-1".to_owned()), |place| (place.id.clone(), (place.offset + 1).to_string()));
    client.prepare(&[b"PSYNC", id.as_bytes(), next.as_bytes()]);
    client.send()?;
    let mut reader = client.into_reader();
    reader.get_ref().set_patience(Some(SILENCE_MAX))?;
    let line = line_of(&mut reader)?;
    let mut words = line.split(' ');
    let begun = match words.next() {
        Some("+FULLRESYNC") => {
            let id = words.next().filter(|id| !id.is_empty()).map(str::to_owned);
            let offset = words.next().and_then(|offset| offset.parse().ok());
            id.zip(offset).map(|(id, offset)| Begun::Full { id, offset })
        }
        Some("+CONTINUE") => Some(Begun::Onward { id: words.next().map(str::to_owned) }),
        _ => None,
    };
    match (begun, line.strip_prefix('-')) {
        (Some(begun), _) => Ok((reader, begun)),
        (None, Some(message)) => Err(refusal(message.to_owned())),
        (None, None) => Err(HandshakeError::Refused(format!("an unexpected reply to PSYNC: {line:?}"))),
    }
}

/// The next line that is not empty.
fn line_of(reader: &mut impl BufRead) -> io::Result<String> {
    for _ in 0..EMPTY_LINES_MAX {
        let line = read_line(reader)?;
        if !line.is_empty() {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
    }
    Err(malformed("nothing but empty lines"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the source sends {what}"))
}

/// How it is told where a snapshot ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes.
    Bytes(u64),
    /// This follows.
    Mark([u8; MARK_BYTES]),
}

impl Extent {
    /// Reads the line in front of a snapshot.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let line = line_of(reader)?;
        let told = line.strip_prefix('$').ok_or_else(|| malformed(&format!("{line:?} instead of a snapshot")))?;
        let extent = match told.strip_prefix("EOF:") {
            Some(mark) => mark.as_bytes().try_into().ok().map(Self::Mark),
            None => told.parse().ok().map(Self::Bytes),
        };
        extent.ok_or_else(|| malformed("no length of its snapshot"))
    }

    /// The snapshot and no more, if it is told how long it is.
    pub(super) fn bound<R: Read>(&self, reader: R) -> io::Take<R> {
        reader.take(if let Self::Bytes(bytes) = self { *bytes } else { u64::MAX })
    }

    /// Checks that the snapshot has ended where it was to end; what follows is the stream.
    pub(super) fn behind<R: Read>(&self, snapshot: io::Take<R>) -> io::Result<R> {
        let left = snapshot.limit();
        let mut reader = snapshot.into_inner();
        match self {
            Self::Bytes(_) if left == 0 => Ok(reader),
            Self::Bytes(_) => Err(malformed("a snapshot that ends too early")),
            Self::Mark(mark) => {
                let mut found = [0; MARK_BYTES];
                reader.read_exact(&mut found)?;
                if found == *mark { Ok(reader) } else { Err(malformed("a snapshot without its mark")) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_snapshot_ends_is_told_in_both_forms_and_checked() {
        let mark = "m".repeat(MARK_BYTES);
        for (head, rest, is_right) in [
            ("\n\n$3\r\n".to_owned(), "abc".to_owned(), true),
            ("$4\r\n".to_owned(), "abcd".to_owned(), false),
            (format!("$EOF:{mark}\r\n"), format!("abc{mark}"), true),
            (format!("\n$EOF:{mark}\r\n"), format!("abc{}", mark.to_uppercase()), false),
        ] {
            let bytes = head + &rest;
            let mut reader = bytes.as_bytes();
            let extent = Extent::read(&mut reader).unwrap();
            let mut snapshot = extent.bound(reader);
            snapshot.read_exact(&mut [0; 3]).unwrap();
            assert_eq!(extent.behind(snapshot).is_ok(), is_right, "{bytes}");
        }
        for hostile in ["", "$\r\n", "$-1\r\n", "+3\r\n", "$EOF:short\r\n", "$99999999999999999999999\r\n"] {
            assert!(Extent::read(&mut hostile.as_bytes()).is_err(), "{hostile}");
        }
    }
}
