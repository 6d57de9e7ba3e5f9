//! From values to bytes, in the version of the protocol the client asked for.
//!
//! RESP3 has types RESP2 lacks; what a RESP2 client gets instead is decided here and nowhere else: a map is an array
//! twice as long, a set and a push message an array, a double, a big number and a verbatim string a bulk string, a boolean
//! an integer, null a bulk string of length -1.
//!
//! Replies go to whatever buffer they are given: a connection's output, or one that a script reads.

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

    /// The version of the protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
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

    /// Replies that were written elsewhere, in the same version of the protocol.
    pub fn written(&mut self, replies: &[u8]) {
        self.out.extend_from_slice(replies);
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

    /// A simple string of a client's own bytes: line breaks in them become spaces.
    pub fn status(&mut self, words: &[u8]) {
        self.out.push(b'+');
        self.one_line(|out| out.extend_from_slice(words));
    }

    /// An error. Line breaks in it, which can only come from a client's own words, become spaces.
    pub fn error(&mut self, error: impl fmt::Display) {
        self.out.push(b'-');
        // Formatting into memory fails only if a Display says so by itself; ours do not.
        self.one_line(|out| _ = write!(Bytes(out), "{error}"));
    }

    /// As [`error`](Self::error), of a client's own bytes.
    pub fn error_bytes(&mut self, words: &[u8]) {
        self.out.push(b'-');
        self.one_line(|out| out.extend_from_slice(words));
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

    /// A floating-point number, in the 17 significant digits of Redis 7.0.
    pub fn double(&mut self, value: f64) {
        self.spelled_double(&digits_of(value));
    }

    /// A floating-point number in these digits.
    pub fn spelled_double(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b',');
                self.line(digits.as_bytes());
            }
        }
    }

    /// An integer that may not fit 64 bits.
    pub fn big_number(&mut self, value: i128) {
        let mut digits = itoa::Buffer::new();
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.format(value).as_bytes()),
            Protocol::Resp3 => self.header(b'(', value),
        }
    }

    /// An integer in these digits, however many; line breaks in them become spaces.
    pub fn spelled_big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'$', digits.len()),
            Protocol::Resp3 => self.out.push(b'('),
        }
        self.one_line(|out| out.extend_from_slice(digits));
    }

    /// Text for people.
    pub fn verbatim(&mut self, text: &str) {
        self.verbatim_of(*b"txt", text.as_bytes());
    }

    /// Text in a format that has a name.
    pub fn verbatim_of(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(&format);
                self.out.push(b':');
                self.line(text);
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

    /// The head of what there is of each of `len` keys: so many times a [`key`](Self::key), and a reply, follow.
    pub fn keyed(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// A key of those that [`keyed`](Self::keyed) announced: one reply follows. Without maps each is a pair for itself.
    pub fn key(&mut self, key: &[u8]) {
        if self.protocol == Protocol::Resp2 {
            self.array(2);
        }
        self.bulk(key);
    }

    /// The head of what is said of the reply behind it: `len` pairs of replies follow, and then that reply. In RESP3 alone.
    pub fn attributes(&mut self, len: usize) {
        self.header(b'|', len);
    }

    /// The head of a message that answers no command: `len` replies follow, the first of which says of what kind it is.
    ///
    /// A RESP2 client takes it for an array, which is right only where it has asked for such messages.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'>', len),
        }
    }

    /// An array of what `fill` writes, however many there turn out to be.
    ///
    /// The count is put in front afterwards, which moves the bytes once; where it is known, [`array`](Self::array) costs
    /// nothing.
    pub fn array_of<R>(&mut self, fill: impl FnOnce(&mut Items<'_, 'a>) -> R) -> R {
        self.counted(Self::array, fill)
    }

    /// As [`array_of`](Self::array_of), a set.
    pub fn set_of<R>(&mut self, fill: impl FnOnce(&mut Items<'_, 'a>) -> R) -> R {
        self.counted(Self::set, fill)
    }

    /// As [`array_of`](Self::array_of), a [`push`](Self::push) message.
    pub fn push_of<R>(&mut self, fill: impl FnOnce(&mut Items<'_, 'a>) -> R) -> R {
        self.counted(Self::push, fill)
    }

    /// As [`array_of`](Self::array_of), a map: each field is a name and one reply.
    pub fn map_of<R>(&mut self, fill: impl FnOnce(&mut Fields<'_, 'a>) -> R) -> R {
        self.counted(Self::map, |items| fill(&mut Fields(Items { reply: &mut *items.reply, len: &mut *items.len })))
    }

    fn counted<R>(&mut self, head: fn(&mut Self, usize), fill: impl FnOnce(&mut Items<'_, 'a>) -> R) -> R {
        let (start, mut len) = (self.out.len(), 0);
        let result = fill(&mut Items { reply: self, len: &mut len });
        self.in_front(start, |reply| head(reply, len));
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

    /// The rest of a line that no line break may end early.
    fn one_line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        write(self.out);
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The replies in an array, a set or a message, counted as they come.
pub struct Items<'r, 'a> {
    reply: &'r mut Reply<'a>,
    len: &'r mut usize,
}

impl<'a> Items<'_, 'a> {
    /// Where one more goes: exactly one reply is to be written.
    pub fn one(&mut self) -> &mut Reply<'a> {
        *self.len += 1;
        self.reply
    }

    /// A field with its value: a pair for itself where there are maps, otherwise one behind the other.
    pub fn paired(&mut self, field: &[u8], value: &[u8]) {
        if self.reply.protocol == Protocol::Resp3 {
            let pair = self.one();
            pair.array(2);
            pair.bulk(field);
            pair.bulk(value);
        } else {
            self.one().bulk(field);
            self.one().bulk(value);
        }
    }

    /// A member with its score: a pair for itself where there are doubles, otherwise one behind the other.
    pub fn scored(&mut self, member: &[u8], score: f64) {
        if self.reply.protocol == Protocol::Resp3 {
            let pair = self.one();
            pair.array(2);
            pair.bulk(member);
            pair.double(score);
        } else {
            self.one().bulk(member);
            self.one().double(score);
        }
    }
}

/// The fields of a map, counted as they come.
pub struct Fields<'r, 'a>(Items<'r, 'a>);

impl<'a> Fields<'_, 'a> {
    /// Where the value of one more field goes: exactly one reply is to be written.
    pub fn field(&mut self, name: &str) -> &mut Reply<'a> {
        let reply = self.0.one();
        reply.bulk(name.as_bytes());
        reply
    }

    /// A field that holds text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.field(name).bulk(value.as_bytes());
    }

    /// A field that holds a number of things.
    pub fn count(&mut self, name: &str, value: u64) {
        self.field(name).header(b':', value.cast_signed());
    }
}

/// What C prints for `%.17g`: as many digits as tell a double from its neighbours, trailing zeros left out.
#[must_use]
pub fn digits_of(value: f64) -> String {
    /// Digits behind the first.
    const DECIMALS: i32 = 16;
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("that is the format asked for");
    let exponent: i32 = exponent.parse().expect("that is the format asked for");
    let trimmed = |digits: &str| digits.trim_end_matches('0').trim_end_matches('.').to_owned();
    let decimals = DECIMALS - exponent;
    if exponent < -4 || decimals < 0 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs());
    }
    let fixed = format!("{value:.*}", usize::try_from(decimals).expect("just compared"));
    if fixed.contains('.') { trimmed(&fixed) } else { fixed }
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
            String::from_utf8_lossy(&out).into_owned()
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
            (|r| r.double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
            (|r| r.big_number(1 << 64), "$20\r\n18446744073709551616\r\n", "(18446744073709551616\r\n"),
            (|r| r.push(2), "*2\r\n", ">2\r\n"),
            (|r| r.status(b"a\r\nb"), "+a  b\r\n", "+a  b\r\n"),
            (|r| r.error_bytes(b"E \xFF\n"), "-E \u{FFFD} \r\n", "-E \u{FFFD} \r\n"),
            (|r| r.spelled_big_number(b"12\n"), "$3\r\n12 \r\n", "(12 \r\n"),
            (|r| r.verbatim_of(*b"mkd", b"hi"), "$2\r\nhi\r\n", "=6\r\nmkd:hi\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(both(write), ((*resp2).to_owned(), (*resp3).to_owned()));
        }
    }

    #[test]
    fn what_there_is_of_keys_is_a_map_or_pairs() {
        let written = both(|reply| {
            reply.keyed(1);
            reply.key(b"k");
            reply.integer(1);
        });
        assert_eq!(written, ("*1\r\n*2\r\n$1\r\nk\r\n:1\r\n".into(), "%1\r\n$1\r\nk\r\n:1\r\n".into()));
    }

    #[test]
    fn an_array_of_unknown_length_gets_its_count_in_front() {
        let (reply, _) = both(|r| {
            r.ok();
            r.array_of(|items| (0..11).for_each(|_| items.one().bulk(b"x")));
        });
        assert_eq!(reply, format!("+OK\r\n*11\r\n{}", "$1\r\nx\r\n".repeat(11)));
    }

    #[test]
    fn collections_inside_each_other_are_each_counted_on_their_own() {
        let replies = both(|r| {
            r.map_of(|fields| {
                fields.text("a", "x");
                fields.count("b", 2);
                fields.field("c").set_of(|items| {
                    items.one().null();
                    items.one().push_of(|items| items.one().ok());
                });
            });
        });
        let resp2 = "*6\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\nb\r\n:2\r\n$1\r\nc\r\n*2\r\n$-1\r\n*1\r\n+OK\r\n";
        let resp3 = "%3\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\nb\r\n:2\r\n$1\r\nc\r\n~2\r\n_\r\n>1\r\n+OK\r\n";
        assert_eq!(replies, (resp2.to_owned(), resp3.to_owned()));
    }

    #[test]
    fn doubles_are_spelled_as_c_spells_them_with_17_digits() {
        for (value, spelled) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (3.25e15, "3250000000000000"),
            (12_345_678_901_234_567.0, "12345678901234568"),
            (1e17, "1e+17"),
            (1.1e-5, "1.1e-05"),
            (0.0001, "0.0001"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(digits_of(value), spelled);
        }
    }
}
