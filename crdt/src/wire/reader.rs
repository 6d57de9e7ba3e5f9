//! Takes an encoding apart without trusting a byte of it.

use alloc::vec::Vec;

use serde::de::DeserializeOwned;

use super::{DecodeError, Limits, VERSION};
use crate::{CausalContext, Dot, DotFun, Observed, ReplicaId, Run};

/// Reads the parts of an encoding, within limits.
#[derive(Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    limits: Limits,
    entries_left: usize,
    depth: usize,
    ids: Vec<ReplicaId>,
    context: CausalContext,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        if input.len() > limits.bytes_max {
            return Err(DecodeError::TooLong { bytes: input.len(), max: limits.bytes_max });
        }
        let mut reader = Self {
            input,
            limits: *limits,
            entries_left: limits.entries_max,
            depth: 0,
            ids: Vec::new(),
            context: CausalContext::new(),
        };
        match reader.byte()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let ids = reader.integer()?;
        if ids > limits.replicas_max as u64 {
            return Err(DecodeError::TooManyReplicas(limits.replicas_max));
        }
        for _ in 0..ids {
            let (id, rest) = reader.input.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
            reader.ids.push(ReplicaId::new(u64::from_be_bytes(*id)));
            reader.input = rest;
        }
        Ok(reader)
    }

    /// An unsigned integer of at most 64 bits.
    ///
    /// # Errors
    /// When the input ends, or the integer is wider.
    pub fn integer(&mut self) -> Result<u64, DecodeError> {
        u64::try_from(self.wide()?).map_err(|_| DecodeError::Malformed("an integer wider than 64 bits"))
    }

    /// An unsigned integer of at most 128 bits.
    ///
    /// # Errors
    /// When the input ends, or the integer is wider.
    pub fn wide(&mut self) -> Result<u128, DecodeError> {
        let mut value = 0_u128;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let low = u128::from(byte & 0x7f);
            if shift > 126 || (shift == 126 && low > 3) {
                return Err(DecodeError::Malformed("an integer wider than 128 bits"));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    /// A signed integer of 128 bits.
    ///
    /// # Errors
    /// When the input ends, or the integer is wider.
    pub fn signed(&mut self) -> Result<i128, DecodeError> {
        let zigzag = self.wide()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// How many entries follow; they are counted against [`Limits::entries_max`].
    ///
    /// # Errors
    /// When the input ends, or there are too many.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.integer()?).unwrap_or(usize::MAX);
        self.charge(count)?;
        Ok(count)
    }

    /// Counts entries that are not written out against [`Limits::entries_max`].
    pub(super) fn charge(&mut self, count: usize) -> Result<(), DecodeError> {
        self.entries_left =
            self.entries_left.checked_sub(count).ok_or(DecodeError::TooManyEntries(self.limits.entries_max))?;
        Ok(())
    }

    /// A yes or no.
    ///
    /// # Errors
    /// When the input ends, or the byte is neither.
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Malformed("a flag that is neither 0 nor 1")),
        }
    }

    /// A member, key or value of the user.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn payload<T: DeserializeOwned>(&mut self) -> Result<T, DecodeError> {
        let (value, rest) = postcard::take_from_bytes(self.input).map_err(DecodeError::Payload)?;
        self.input = rest;
        Ok(value)
    }

    /// A replica.
    ///
    /// # Errors
    /// When the input ends, or the table has no such index.
    pub fn replica(&mut self) -> Result<ReplicaId, DecodeError> {
        let index = usize::try_from(self.integer()?).unwrap_or(usize::MAX);
        self.ids.get(index).copied().ok_or(DecodeError::Malformed("an index outside the replica table"))
    }

    /// A sequence number, 1 to [`Dot::SEQ_MAX`].
    ///
    /// # Errors
    /// When the input ends, or it is outside.
    pub fn seq(&mut self) -> Result<u64, DecodeError> {
        match self.integer()? {
            seq @ 1..=Dot::SEQ_MAX => Ok(seq),
            _ => Err(DecodeError::Malformed("a sequence number out of range")),
        }
    }

    /// A dot that need not be live.
    ///
    /// # Errors
    /// When the input ends, or it is no dot.
    pub fn dot(&mut self) -> Result<Dot, DecodeError> {
        Ok(Dot::new(self.replica()?, self.seq()?))
    }

    /// Checks that a live dot is covered by the context.
    ///
    /// # Errors
    /// When it is not.
    pub fn live(&self, dot: Dot) -> Result<Dot, DecodeError> {
        if self.context.covers(dot) { Ok(dot) } else { Err(DecodeError::Uncovered) }
    }

    /// The cells of a dot function, each value read by `value`.
    ///
    /// # Errors
    /// Those of `value`, and when a cell is not covered, repeated or out of order: inserting a million cells from the
    /// last to the first would take minutes.
    pub fn cells<V>(
        &mut self,
        mut value: impl FnMut(&mut Self) -> Result<V, DecodeError>,
    ) -> Result<DotFun<V>, DecodeError> {
        self.dotted(|reader, _| value(reader))
    }

    /// Reads cells as [`Reader::cells`] does, for values whose reading depends on their dot.
    pub(super) fn dotted<V>(
        &mut self,
        mut value: impl FnMut(&mut Self, Dot) -> Result<V, DecodeError>,
    ) -> Result<DotFun<V>, DecodeError> {
        let mut cells = DotFun::new();
        let mut latest = None;
        for _ in 0..self.count()? {
            let dot = self.dot()?;
            let dot = self.live(dot)?;
            if latest.replace(dot).is_some_and(|before| before >= dot) {
                return Err(DecodeError::Malformed("dots repeated or out of order"));
            }
            cells.insert(dot, value(self, dot)?);
        }
        Ok(cells)
    }

    /// Runs `read` one level deeper.
    ///
    /// # Errors
    /// When that is too deep, and those of `read`.
    pub fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        if self.depth == self.limits.depth_max {
            return Err(DecodeError::TooDeep(self.limits.depth_max));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    pub(super) fn context(&mut self) -> Result<CausalContext, DecodeError> {
        let mut runs = Vec::new();
        for _ in 0..self.count()? {
            runs.push(Run { replica: self.replica()?, first: 1, last: self.seq()? });
        }
        for _ in 0..self.count()? {
            let (replica, first) = (self.replica()?, self.seq()?);
            let last = first.saturating_add(self.integer()?);
            if last > Dot::SEQ_MAX {
                return Err(DecodeError::Malformed("a sequence number out of range"));
            }
            runs.push(Run { replica, first, last });
        }
        self.context = runs.into_iter().collect();
        Ok(self.context.clone())
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.input.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.input.len())) }
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.input.split_first().ok_or(DecodeError::Truncated)?;
        self.input = rest;
        Ok(*byte)
    }
}
