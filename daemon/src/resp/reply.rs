//! From values to bytes, in the version of the protocol the client asked for.
//!
//! RESP3 has types RESP2 lacks; what a RESP2 client gets instead is decided here and nowhere else: a map is an array
//! twice as long, a set an array, a double and a verbatim string a bulk string, a boolean an integer, null a bulk
//! string of length -1.

use std::fmt::{self, Write};

/// The version of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every client speaks unless it says `HELLO 3`.
    #[default]
    Resp2,
    /// The newer one, with maps, sets and a null of its own.
    Resp3,
}

impl Protocol {
    /// 2 or 3.
    #[must_use]
    pub fn version(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Appends replies to a connection's output.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// Replies go to the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// From now on in this version of the protocol.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Bytes in the output, what is not yet sent of earlier replies included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back what was written since [`len`](Self::len) was `len`.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string: a word of ours, never a client's bytes.
    pub fn simple(&mut self, word: &str) {
        debug_assert!(!word.contains(['\r', '\n']), "a simple string is one line");
        self.out.push(b'+');
        self.line(word.as_bytes());
    }

    /// An error. Line breaks in it, which can only come from a client's own words, become spaces.
    pub fn error(&mut self, error: impl fmt::Display) {
        self.out.push(b'-');
        let start = self.out.len();
        // Formatting into memory fails only if a Display says so by itself; ours do not.
        let _ = write!(Bytes(self.out), "{error}");
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A number of things.
    pub fn count(&mut self, count: usize) {
        self.header(b':', count);
    }

    /// A string of bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.line(bytes);
    }

    /// A string of bytes, or null.
    pub fn maybe_bulk(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// An integer spelled out as a bulk string.
    pub fn bulk_integer(&mut self, value: u64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Text for people.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.line(text.as_bytes());
            }
        }
    }

    /// Nothing there.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Nothing there, where an array would be.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Yes or no.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// The head of an array: `len` replies follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// The head of a set: `len` replies follow.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'~', len),
        }
    }

    /// The head of a map: `len` pairs of replies follow.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len * 2),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// An array of the bulk strings that `each` hands over, however many.
    pub fn array_of<R>(&mut self, each: impl FnOnce(&mut dyn FnMut(&[u8])) -> R) -> R {
        let (start, mut len) = (self.out.len(), 0);
        let result = each(&mut |bytes| {
            len += 1;
            self.bulk(bytes);
        });
        self.in_front(start, |reply| reply.array(len));
        result
    }

    /// Writes what belongs in front of everything written since [`len`](Self::len) was `start`: a count or a cursor
    /// that is known only afterwards. The bytes since then are moved once.
    pub fn in_front(&mut self, start: usize, write: impl FnOnce(&mut Self)) {
        let end = self.out.len();
        write(self);
        let written = self.out.len() - end;
        self.out[start..].rotate_right(written);
    }

    fn header(&mut self, kind: u8, value: impl itoa::Integer) {
        self.out.push(kind);
        self.line(itoa::Buffer::new().format(value).as_bytes());
    }

    fn line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Lets `write!` append to bytes.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Reply<'_>)) -> (String, String) {
        let mut replies = [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, protocol));
            String::from_utf8(out).unwrap()
        });
        (std::mem::take(&mut replies[0]), std::mem::take(&mut replies[1]))
    }

    #[test]
    fn each_type_is_written_as_its_protocol_has_it() {
        type Case = (fn(&mut Reply<'_>), &'static str, &'static str);
        let cases: &[Case] = &[
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|r| r.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
            (|r| r.verbatim("hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|r| r.array(0), "*0\r\n", "*0\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.map(3), "*6\r\n", "%3\r\n"),
            (|r| r.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(both(write), ((*resp2).to_owned(), (*resp3).to_owned()));
        }
    }

    #[test]
    fn an_array_of_unknown_length_gets_its_count_in_front() {
        let (reply, _) = both(|r| {
            r.ok();
            r.array_of(|push| (0..11).for_each(|_| push(b"x")));
        });
        assert_eq!(reply, format!("+OK\r\n*11\r\n{}", "$1\r\nx\r\n".repeat(11)));
    }
}
