//! Intsets, ziplists and listpacks: many elements in one string.

use std::borrow::Cow;

use super::RdbError::{self, Malformed};
use super::budget::Budget;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    Text(&'a [u8]),
    Number(i64),
}

impl<'a> Element<'a> {
    /// As a string.
    pub(super) fn text(self) -> Cow<'a, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec()),
        }
    }

    /// As a number, if it is one.
    pub(super) fn number(self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => crate::resp::integer(text),
        }
    }
}

/// What is left of such a string.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RdbError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, RdbError> {
        Ok(self.take(1)?[0])
    }

    /// An integer of so many bytes, the lowest first.
    fn integer(&mut self, bytes: usize) -> Result<i64, RdbError> {
        let (mut all, taken) = ([0; 8], self.take(bytes)?);
        all[8 - bytes..].copy_from_slice(taken);
        Ok(i64::from_le_bytes(all) >> (64 - 8 * bytes))
    }

    fn size(&mut self, bytes: usize) -> Result<usize, RdbError> {
        let mut all = [0; 8];
        all[..bytes].copy_from_slice(self.take(bytes)?);
        usize::try_from(u64::from_le_bytes(all)).map_err(|_| Malformed)
    }
}

/// The members of an intset, in ascending order.
pub(super) fn intset(bytes: &[u8], budget: &mut Budget) -> Result<Vec<i64>, RdbError> {
    let mut rest = Bytes(bytes);
    let (width, count) = (rest.size(4)?, rest.size(4)?);
    if !matches!(width, 2 | 4 | 8) || count == 0 || Some(rest.0.len()) != count.checked_mul(width) {
        return Err(Malformed);
    }
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        budget.take(0)?;
        let member = rest.integer(width)?;
        if members.last().is_some_and(|last| *last >= member) {
            return Err(Malformed);
        }
        members.push(member);
    }
    Ok(members)
}

/// What ends a ziplist and a listpack.
const END: u8 = 0xFF;
/// The number of elements where there are too many to say it.
const UNKNOWN: usize = 0xFFFF;

/// Reads elements up to the end, and checks that there are as many as was said.
fn elements<'a>(
    mut rest: Bytes<'a>,
    count: usize,
    budget: &mut Budget,
    mut one: impl FnMut(&mut Bytes<'a>, u8) -> Result<Element<'a>, RdbError>,
) -> Result<Vec<Element<'a>>, RdbError> {
    let mut found = Vec::new();
    loop {
        let first = rest.byte()?;
        if first == END {
            break;
        }
        let element = one(&mut rest, first)?;
        budget.take(if let Element::Text(text) = element { text.len() } else { 0 })?;
        found.push(element);
    }
    let is_right = count == found.len() || count == UNKNOWN && found.len() >= UNKNOWN;
    if is_right && rest.0.is_empty() { Ok(found) } else { Err(Malformed) }
}

/// The elements of a listpack.
pub(super) fn listpack<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Vec<Element<'a>>, RdbError> {
    let mut rest = Bytes(bytes);
    if rest.size(4)? != bytes.len() {
        return Err(Malformed);
    }
    let count = rest.size(2)?;
    elements(rest, count, budget, |rest, first| {
        let before = rest.0.len();
        let low = i64::from(first);
        let element = match first {
            0..=0x7F => Element::Number(low),
            0x80..=0xBF => Element::Text(rest.take(usize::from(first & 0x3F))?),
            0xC0..=0xDF => {
                let number = (low & 0x1F) << 8 | i64::from(rest.byte()?);
                Element::Number(number << 51 >> 51)
            }
            0xE0..=0xEF => {
                let len = usize::from(first & 0x0F) << 8 | usize::from(rest.byte()?);
                Element::Text(rest.take(len)?)
            }
            0xF0 => {
                let len = rest.size(4)?;
                Element::Text(rest.take(len)?)
            }
            0xF1 => Element::Number(rest.integer(2)?),
            0xF2 => Element::Number(rest.integer(3)?),
            0xF3 => Element::Number(rest.integer(4)?),
            0xF4 => Element::Number(rest.integer(8)?),
            _ => return Err(Malformed),
        };
        // Behind it its length, for those who read from the end: seven bits a byte, the lowest last.
        let len = 1 + before - rest.0.len();
        let bytes = backwards_bytes(len);
        let said = rest.take(bytes)?.iter().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
        if said == len { Ok(element) } else { Err(Malformed) }
    })
}

/// Bytes of the length behind an element of a listpack.
pub(super) fn backwards_bytes(len: usize) -> usize {
    match len {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The elements of a ziplist.
pub(super) fn ziplist<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Vec<Element<'a>>, RdbError> {
    let mut rest = Bytes(bytes);
    let (all, tail, count) = (rest.size(4)?, rest.size(4)?, rest.size(2)?);
    if all != bytes.len() {
        return Err(Malformed);
    }
    // Where each begins is told twice: by the length of the one before, and of the last at the front.
    let mut last = rest.0.len();
    let found = elements(rest, count, budget, |rest, first| {
        let start = rest.0.len() + 1;
        let before = if first == 0xFE { rest.size(4)? } else { first.into() };
        if before != last - start {
            return Err(Malformed);
        }
        last = start;
        zipped(rest)
    })?;
    if bytes.len() - last == tail { Ok(found) } else { Err(Malformed) }
}

fn zipped<'a>(rest: &mut Bytes<'a>) -> Result<Element<'a>, RdbError> {
    let code = rest.byte()?;
    Ok(match code {
        0..=0x3F => Element::Text(rest.take(code.into())?),
        0x40..=0x7F => {
            let len = usize::from(code & 0x3F) << 8 | usize::from(rest.byte()?);
            Element::Text(rest.take(len)?)
        }
        0x80 => {
            let len = rest.take(4)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            Element::Text(rest.take(len)?)
        }
        0xC0 => Element::Number(rest.integer(2)?),
        0xD0 => Element::Number(rest.integer(4)?),
        0xE0 => Element::Number(rest.integer(8)?),
        0xF0 => Element::Number(rest.integer(3)?),
        0xFE => Element::Number(rest.integer(1)?),
        0xF1..=0xFD => Element::Number(i64::from(code & 0x0F) - 1),
        _ => return Err(Malformed),
    })
}
