//! From bytes to the arguments of one command, in place.
//!
//! - Arguments are ranges of the read buffer; parsing allocates nothing once the list of ranges has grown.
//! - How a stream is cut into reads changes nothing: the frames, and the error that ends them, are those of the whole.
//! - Half a frame is not scanned again: the parser remembers how far it came, so a value that arrives in `n` reads
//!   costs `n` steps.
//! - A declared size costs nothing: memory follows the bytes that arrived.
//! - Frames may be read ahead of their turn, for those who want to know what comes; they are not read again.
//! - After an error the stream has no frames any more and the connection must be closed.
//!
//! Stricter than Redis in one point: a line or value that does not end in CRLF is an error here, where Redis skips
//! two bytes unseen. A client out of step is better told at once.

use std::ops::{Index, Range};

use thiserror::Error;

use super::inline;

/// What the parser accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Longest line: an inline command, or the line with a count or a length.
    pub inline_bytes_max: usize,
    /// Longest argument.
    pub bulk_bytes_max: usize,
    /// Most arguments of one command, its name included.
    pub args_max: usize,
}

/// Why a stream of bytes is no RESP. The text is what Redis says after `ERR Protocol error: `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// An inline command longer than [`FrameLimits::inline_bytes_max`].
    #[error("too big inline request")]
    InlineTooLong,
    /// An inline command with a quote that is not closed, or not followed by a space.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line after `*` is longer than [`FrameLimits::inline_bytes_max`].
    #[error("too big mbulk count string")]
    CountTooLong,
    /// The number of arguments is no integer or above [`FrameLimits::args_max`].
    #[error("invalid multibulk length")]
    InvalidCount,
    /// An argument does not begin with `$`.
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// The line after `$` is longer than [`FrameLimits::inline_bytes_max`].
    #[error("too big bulk count string")]
    LengthTooLong,
    /// The length of an argument is no integer, negative, above [`FrameLimits::bulk_bytes_max`], or not its length.
    #[error("invalid bulk length")]
    InvalidLength,
}

/// A range of the frame: 32 bits, because a frame is shorter than the query buffer's limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "Parser::parse refuses buffers past u32::MAX")]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Arguments that are kept for later: those of a command in a transaction.
#[derive(Clone, Debug)]
pub struct KeptArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl KeptArgs {
    /// Copies of these.
    #[must_use]
    pub fn of<A: AsRef<[u8]>>(args: impl Iterator<Item = A>) -> Self {
        let mut kept = Self { bytes: Vec::new(), spans: Vec::with_capacity(args.size_hint().0) };
        for arg in args {
            let start = kept.bytes.len();
            kept.bytes.extend_from_slice(arg.as_ref());
            kept.spans.push(Span::new(start, kept.bytes.len()));
        }
        kept
    }

    /// To be worked with.
    #[must_use]
    pub fn args(&self) -> Args<'_> {
        Args { frame: &self.bytes, spans: &self.spans }
    }
}

/// The arguments of one command, its name first.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    frame: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// How many there are, the name included.
    #[must_use]
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `at`, if there is one.
    #[must_use]
    pub fn get(self, at: usize) -> Option<&'a [u8]> {
        self.spans.get(at).map(|span| &self.frame[span.range()])
    }

    /// Argument `at`. Like indexing, but the slice lives as long as the frame.
    ///
    /// # Panics
    /// If there is none; a command's arity says which exist.
    #[must_use]
    pub fn at(self, at: usize) -> &'a [u8] {
        &self.frame[self.spans[at].range()]
    }

    /// The arguments from `at` on, as a list of their own.
    #[must_use]
    pub fn from(self, at: usize) -> Self {
        Self { frame: self.frame, spans: self.spans.get(at..).unwrap_or_default() }
    }

    /// The first `count` of them, or all.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        Self { frame: self.frame, spans: self.spans.get(..count).unwrap_or(self.spans) }
    }

    /// A copy that needs no frame.
    #[must_use]
    pub fn kept(self) -> KeptArgs {
        KeptArgs::of(self.iter())
    }

    /// The arguments in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        self.spans.iter().map(move |span| &self.frame[span.range()])
    }

    /// The arguments in pairs; a last one alone is left out.
    pub fn pairs(self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone {
        self.spans.chunks_exact(2).map(move |pair| (&self.frame[pair[0].range()], &self.frame[pair[1].range()]))
    }

    /// Bytes of all arguments together.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.spans.iter().map(|span| span.range().len()).sum()
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, at: usize) -> &[u8] {
        self.at(at)
    }
}

/// Reads the frame at the front of a buffer. Positions are counted from the start of the frame.
#[derive(Debug)]
pub struct Parser {
    limits: FrameLimits,
    /// The arguments of this frame that are complete, and behind them those of the frames that were read ahead.
    spans: Vec<Span>,
    /// Those of the frame that was completed last.
    current: Range<usize>,
    /// Frames that were read ahead, each with its length and how many arguments it has; and which of them comes next.
    ahead: Vec<(usize, usize)>,
    next: usize,
    /// How many are still to come; `None` before the frame's first line is complete.
    missing: Option<usize>,
    /// Where the next line or value begins.
    at: usize,
    /// Up to where the line at `at` has been searched for its end.
    scanned: usize,
    /// Length of the value at `at`, once its line is read.
    value: Option<usize>,
}

impl Parser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        let (spans, ahead) = (Vec::new(), Vec::new());
        Self { limits, spans, current: 0..0, ahead, next: 0, missing: None, at: 0, scanned: 0, value: None }
    }

    /// Reads the frame at the front of `buffer`: its length once it is complete, `None` while it is not.
    ///
    /// Call it again with the same bytes and more behind them, or, after a frame, with what follows that frame.
    /// A frame can be empty (an empty line, `*0`): then [`args`](Self::args) is, and nothing is to be answered.
    ///
    /// # Errors
    /// The bytes are no RESP. The stream is of no use any more.
    pub fn parse(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ProtocolError> {
        debug_assert!(u32::try_from(buffer.len()).is_ok(), "the query buffer's limit lies below 4 GiB");
        if let Some((length, args)) = self.ahead.get(self.next) {
            self.next += 1;
            self.current = self.current.end..self.current.end + args;
            return Ok(Some(*length));
        }
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => {
                self.forget_ahead();
                match buffer.first() {
                    None => return Ok(None),
                    Some(b'*') => {}
                    Some(_) => return self.parse_inline(buffer),
                }
                let line = self.line(buffer, ProtocolError::CountTooLong, ProtocolError::InvalidCount)?;
                let Some((count, next)) = line else { return Ok(None) };
                // Zero and less is an empty frame, as for Redis.
                let count = usize::try_from(count).unwrap_or(0);
                if count > self.limits.args_max {
                    return Err(ProtocolError::InvalidCount);
                }
                (self.at, self.scanned) = (next, next);
                count
            }
        };
        while missing > 0 {
            if self.value.is_none()
                && let Some((span, next)) = self.short_value(buffer, self.at)
            {
                self.spans.push(span);
                self.at = next;
                missing -= 1;
                continue;
            }
            self.missing = Some(missing);
            let length = match self.value {
                Some(length) => length,
                None => {
                    match buffer.get(self.at) {
                        None => return Ok(None),
                        Some(b'$') => {}
                        Some(&other) => return Err(ProtocolError::ExpectedBulk(other)),
                    }
                    let Some((length, next)) =
                        self.line(buffer, ProtocolError::LengthTooLong, ProtocolError::InvalidLength)?
                    else {
                        return Ok(None);
                    };
                    let length = usize::try_from(length)
                        .ok()
                        .filter(|&length| length <= self.limits.bulk_bytes_max)
                        .ok_or(ProtocolError::InvalidLength)?;
                    (self.at, self.scanned) = (next, next);
                    length
                }
            };
            let end = self.at + length;
            match buffer.get(end..) {
                Some([b'\r', b'\n', ..]) => {}
                None | Some([] | [b'\r']) => {
                    self.value = Some(length);
                    return Ok(None);
                }
                Some(_) => return Err(ProtocolError::InvalidLength),
            }
            self.spans.push(Span::new(self.at, end));
            (self.at, self.scanned, self.value) = (end + 2, end + 2, None);
            missing -= 1;
        }
        Ok(Some(self.finish(self.at)))
    }

    /// The arguments of the frame [`parse`](Self::parse) completed last, in the bytes it was given.
    #[must_use]
    pub fn args<'a>(&'a self, frame: &'a [u8]) -> Args<'a> {
        Args { frame, spans: &self.spans[self.current.clone()] }
    }

    /// Whether frames were read ahead that [`parse`](Self::parse) has not come to.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.next < self.ahead.len()
    }

    /// Reads the frame at the front of `buffer`, which begins behind all that was read and read ahead, if all of it is there
    /// and its arguments are few and short, as nearly always; anything else is for `parse` to judge. Its length. `parse`
    /// will come to it in its turn. Ends what is known of the frame completed last.
    pub fn read_ahead(&mut self, buffer: &[u8]) -> Option<usize> {
        if self.missing.is_some() {
            return None;
        }
        if !self.is_ahead() {
            self.forget_ahead();
        }
        let (count, mut at) = short_count(buffer).filter(|(count, _)| *count <= self.limits.args_max)?;
        let known = self.spans.len();
        for _ in 0..count {
            let Some((span, next)) = self.short_value(buffer, at) else {
                self.spans.truncate(known);
                return None;
            };
            self.spans.push(span);
            at = next;
        }
        self.ahead.push((at, count));
        self.scanned = 0; // of its first line, if that was incomplete before
        Some(at)
    }

    /// How many arguments the frame has that was read ahead last.
    #[must_use]
    pub fn args_ahead(&self) -> usize {
        self.ahead.last().map_or(0, |(_, args)| *args)
    }

    /// Where in that frame its argument `at` is, if it has one.
    #[must_use]
    pub fn arg_ahead(&self, at: usize) -> Option<Range<usize>> {
        let args = self.spans.len() - self.args_ahead();
        self.spans.get(args + at).map(|span| span.range())
    }

    /// Frees the list of ranges if one huge command made it large; to be called when the connection is idle.
    pub fn shrink(&mut self) {
        if self.missing.is_none() && !self.is_ahead() && self.spans.capacity() > 256 {
            *self = Self::new(self.limits);
        }
    }

    fn forget_ahead(&mut self) {
        self.ahead.clear();
        self.spans.clear();
        (self.next, self.current) = (0, 0..0);
    }

    fn finish(&mut self, length: usize) -> usize {
        (self.missing, self.at, self.scanned, self.value) = (None, 0, 0, None);
        self.current = 0..self.spans.len();
        length
    }

    /// The argument at `at` if it is short and all there, and where the next one begins.
    #[inline]
    fn short_value(&self, buffer: &[u8], at: usize) -> Option<(Span, usize)> {
        let (length, start) = short_length(buffer, at)?;
        let end = start + length;
        let is_whole = length <= self.limits.bulk_bytes_max && buffer.get(end..end + 2)? == b"\r\n";
        is_whole.then(|| (Span::new(start, end), end + 2))
    }

    /// The integer on the line at `self.at`, after its first byte, and where the next line begins.
    fn line(
        &mut self,
        buffer: &[u8],
        too_long: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<(i64, usize)>, ProtocolError> {
        let line = &buffer[self.at + 1..];
        // Nearly every line is a number of a few digits.
        let mut value = 0i64;
        for (at, &byte) in line.iter().take(9).enumerate() {
            match byte {
                b'0'..=b'9' if at == 0 || value > 0 => value = value * 10 + i64::from(byte - b'0'),
                b'\r' if at > 0 => match line.get(at + 1) {
                    Some(b'\n') => return Ok(Some((value, self.at + at + 3))),
                    Some(_) => return Err(invalid),
                    None => return Ok(None),
                },
                _ => break,
            }
        }
        // Anything else is judged when its line is complete, as Redis does.
        let from = self.scanned.max(self.at + 1);
        let longest = self.at + self.limits.inline_bytes_max;
        let Some(end) = memchr::memchr(b'\r', &buffer[from..]).map(|offset| from + offset) else {
            self.scanned = buffer.len();
            return if buffer.len() > longest { Err(too_long) } else { Ok(None) };
        };
        if end >= longest {
            return Err(too_long);
        }
        self.scanned = end;
        match buffer.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                let value = super::integer(&buffer[self.at + 1..end]).ok_or(invalid)?;
                Ok(Some((value, end + 2)))
            }
            Some(_) => Err(invalid),
        }
    }

    fn parse_inline(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = memchr::memchr(b'\n', &buffer[self.scanned..]).map(|offset| self.scanned + offset) else {
            self.scanned = buffer.len();
            return if buffer.len() > self.limits.inline_bytes_max {
                Err(ProtocolError::InlineTooLong)
            } else {
                Ok(None)
            };
        };
        if end >= self.limits.inline_bytes_max {
            return Err(ProtocolError::InlineTooLong);
        }
        inline::split(buffer, 0, end, &mut self.spans).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(Some(self.finish(end + 1)))
    }
}

/// The number on a line `*N` of one or two digits, and where the next line begins; `None` for everything else.
fn short_count(buffer: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    match buffer {
        [b'*', a @ b'1'..=b'9', b'\r', b'\n', ..] => Some((digit(*a), 4)),
        [b'*', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a) * 10 + digit(*b), 5)),
        _ => None,
    }
}

/// The length on a line `$N` of up to three digits at `at`, and where the value begins; `None` for everything else.
#[inline]
fn short_length(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    match buffer.get(at..)? {
        [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a), at + 4)),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a) * 10 + digit(*b), at + 5)),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((digit(*a) * 100 + digit(*b) * 10 + digit(*c), at + 6))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
