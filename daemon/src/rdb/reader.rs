//! Lengths, numbers and strings of a payload.

use std::borrow::Cow;

use super::RdbError::{self, Malformed};
use super::budget::Budget;
use super::lzf;

/// What is left of a payload.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) budget: Budget,
}

/// What stands where a length does.
pub(super) enum Length {
    Of(u64),
    /// The string is written in another way.
    Encoded(u8),
}

impl Length {
    /// Reads what stands there, by `fill`, which has the next bytes; `None` if it makes no sense.
    pub(super) fn read<E>(mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Option<Self>, E> {
        let (mut one, mut four, mut eight) = ([0; 1], [0; 4], [0; 8]);
        fill(&mut one)?;
        let [first] = one;
        let low = first & 0x3F;
        Ok(Some(match first >> 6 {
            0 => Self::Of(low.into()),
            1 => {
                fill(&mut one)?;
                Self::Of(u64::from(low) << 8 | u64::from(one[0]))
            }
            2 if first == 0x80 => {
                fill(&mut four)?;
                Self::Of(u32::from_be_bytes(four).into())
            }
            2 if first == 0x81 => {
                fill(&mut eight)?;
                Self::Of(u64::from_be_bytes(eight))
            }
            3 => Self::Encoded(low),
            _ => return Ok(None),
        }))
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], budget: Budget) -> Self {
        Self { bytes, budget }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], RdbError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn length_or_encoding(&mut self) -> Result<Length, RdbError> {
        let fill = |bytes: &mut [u8]| {
            bytes.copy_from_slice(self.take(bytes.len())?);
            Ok(())
        };
        Length::read(fill)?.ok_or(Malformed)
    }

    pub(super) fn number(&mut self) -> Result<u64, RdbError> {
        match self.length_or_encoding()? {
            Length::Of(number) => Ok(number),
            Length::Encoded(_) => Err(Malformed),
        }
    }

    /// How many things follow, each of them a byte at least, and one thing at least.
    pub(super) fn count(&mut self) -> Result<usize, RdbError> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if (1..=self.bytes.len()).contains(&count) { Ok(count) } else { Err(Malformed) }
    }

    fn size(&mut self) -> Result<usize, RdbError> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// A string, counted as one that is made.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        let number = |number: i64| Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec());
        let string = match self.length_or_encoding()? {
            Length::Of(len) => Cow::Borrowed(self.take(usize::try_from(len).map_err(|_| Malformed)?)?),
            Length::Encoded(0) => number(i8::from_le_bytes(self.array()?).into()),
            Length::Encoded(1) => number(i16::from_le_bytes(self.array()?).into()),
            Length::Encoded(2) => number(i32::from_le_bytes(self.array()?).into()),
            Length::Encoded(3) => {
                let (packed, len) = (self.size()?, self.size()?);
                let packed = self.take(packed)?;
                self.budget.take(len)?;
                return lzf::decompress(packed, len).map(Cow::Owned).ok_or(Malformed);
            }
            Length::Encoded(_) => return Err(Malformed),
        };
        self.budget.take(string.len())?;
        Ok(string)
    }
}
