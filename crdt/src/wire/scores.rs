//! How score maps lay themselves out.
//!
//! ```text
//! score map   the table of members
//! score       cells of (clock, number); tallies as in a counter, each total as an amount
//! number      the bits of the f64, the first byte as the lowest: whole numbers are short
//! amount      how many bytes of zeros the total of 2⁻⁶⁴ ends in, then the rest
//! ```

use core::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stores::{decode_tallies, encode_tallies};
use super::{DecodeError, EncodeError, Reader, Wire, Writer};
use crate::score::{Number, Score};
use crate::{Hlc, ScoreMap};

impl<M: Eq + Hash + Ord + Clone + Serialize + DeserializeOwned> Wire for ScoreMap<M> {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.members.encode_to(writer)
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Wire::decode_from(reader).map(Self::of)
    }
}

impl Wire for Score {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.cells(&self.assigned, |writer, (stamp, number)| {
            writer.integer(stamp.bits());
            writer.integer(number.get().to_bits().swap_bytes());
            Ok(())
        })?;
        encode_tallies(&self.added, writer, encode_amount);
        Ok(())
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let assigned = reader.cells(|reader| {
            let stamp = Hlc::from_bits(reader.integer()?);
            let number = Number::new(f64::from_bits(reader.integer()?.swap_bytes()));
            Ok((stamp, number.ok_or(DecodeError::Malformed("a score that is no number"))?))
        })?;
        Ok(Self { assigned, added: decode_tallies(reader, decode_amount)? })
    }
}

fn encode_amount(writer: &mut Writer, amount: i128) {
    let zeros = if amount == 0 { 0 } else { amount.trailing_zeros() / 8 };
    writer.integer(zeros);
    writer.signed(amount >> (8 * zeros));
}

fn decode_amount(reader: &mut Reader<'_>) -> Result<i128, DecodeError> {
    let zeros = reader.integer()?;
    let rest = reader.signed()?;
    let scale = u32::try_from(zeros).ok().and_then(|zeros| 256_i128.checked_pow(zeros));
    scale.and_then(|scale| rest.checked_mul(scale)).ok_or(DecodeError::Malformed("an amount out of range"))
}
