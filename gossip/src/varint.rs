//! Integers of as many bytes as they need: seven bits to a byte, the lowest first, as in postcard. What is taken is what
//! was put here and kept in memory, so there is nothing to check; what is read may come from anywhere.

/// Bytes of a number at most.
pub(crate) const BYTES_MAX: usize = 10;

/// Appends `value`.
pub(crate) fn put(value: u64, bytes: &mut Vec<u8>) {
    let mut rest = value;
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

/// Takes one from the front of `bytes`.
pub(crate) fn take(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// Takes one from the front of bytes that may hold anything: `None` if there is none.
#[inline]
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    match **bytes {
        [byte @ ..0x80, ref rest @ ..] => {
            *bytes = rest;
            Some(byte.into())
        }
        _ => u64::try_from(read_long(bytes, u64::BITS)?).ok(),
    }
}

/// Reads a signed number of 128 bits.
#[inline]
pub(crate) fn read_wide(bytes: &mut &[u8]) -> Option<i128> {
    let value = read_long(bytes, u128::BITS)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Reads a number of so many bits at most.
fn read_long(bytes: &mut &[u8], bits: u32) -> Option<u128> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        let part = u128::from(byte & 0x7F);
        if shift >= bits || part >> (bits - shift).min(7) > 0 {
            return None;
        }
        value |= part << shift;
        *bytes = rest;
        if *byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

/// How many bytes a length takes.
pub(crate) fn len(len: usize) -> usize {
    (usize::BITS - (len | 1).leading_zeros()).div_ceil(7) as usize
}

/// Writes a length at the beginning of `bytes`; says how many it took.
pub(crate) fn write_len(len: usize, bytes: &mut [u8]) -> usize {
    let (mut rest, mut at) = (len, 0);
    while rest >= 0x80 {
        bytes[at] = rest.to_le_bytes()[0] | 0x80;
        rest >>= 7;
        at += 1;
    }
    bytes[at] = rest.to_le_bytes()[0];
    at + 1
}

/// Appends a length.
pub(crate) fn put_len(len: usize, bytes: &mut Vec<u8>) {
    put(len as u64, bytes);
}

/// Takes a length.
pub(crate) fn take_len(bytes: &mut &[u8]) -> usize {
    usize::try_from(take(bytes)).expect("it was a length in this memory")
}

/// Appends a number that may be negative: those near to 0 are short.
pub(crate) fn put_signed(value: i64, bytes: &mut Vec<u8>) {
    put((value << 1 ^ value >> 63).cast_unsigned(), bytes);
}

/// Appends a signed number of 128 bits.
pub(crate) fn put_wide(value: i128, bytes: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 127).cast_unsigned();
    while let Some(next) = Some(rest >> 7).filter(|next| *next > 0) {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest = next;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

/// Appends a signed number of 128 bits most of which are often zeros at the end: how many, and the others.
pub(crate) fn put_fraction(value: i128, bytes: &mut Vec<u8>) {
    let zeros = if value == 0 { 0 } else { value.trailing_zeros() };
    bytes.push(zeros.to_le_bytes()[0]);
    put_wide(value >> zeros, bytes);
}

/// Takes one that [`put_fraction`] has put.
pub(crate) fn take_fraction(bytes: &mut &[u8]) -> i128 {
    read_fraction(bytes).expect("it was put")
}

/// Reads one that [`put_fraction`] may have put.
pub(crate) fn read_fraction(bytes: &mut &[u8]) -> Option<i128> {
    let (zeros, rest) = bytes.split_first()?;
    *bytes = rest;
    let digits = read_wide(bytes)?;
    let value = digits.checked_shl((*zeros).into())?;
    (value >> zeros == digits).then_some(value)
}

/// Takes a number that may be negative.
pub(crate) fn take_signed(bytes: &mut &[u8]) -> i64 {
    let value = take(bytes);
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(value: u64, shift in 0..64_u32, signed: i64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put(value, &mut bytes);
            let mut written = [0; 10];
            let used = write_len(usize::try_from(value).unwrap(), &mut written);
            prop_assert_eq!(&written[..used], &bytes);
            prop_assert_eq!(used, len(usize::try_from(value).unwrap()));
            put_signed(signed >> shift, &mut bytes);
            let mut rest = &bytes[..];
            prop_assert_eq!(take(&mut rest), value);
            prop_assert_eq!(take_signed(&mut rest), signed >> shift);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_fraction_that_is_put_is_taken(value: i128, shift in 0..128_u32, up: bool) {
            let value = if up { value << shift } else { value >> shift };
            let mut bytes = Vec::new();
            put_fraction(value, &mut bytes);
            prop_assert_eq!(read_fraction(&mut &bytes[..]), Some(value));
            prop_assert!((0..bytes.len()).all(|len| read_fraction(&mut &bytes[..len]).is_none()));
            prop_assert_eq!(take_fraction(&mut &bytes[..]), value);
        }

        #[test]
        fn any_bytes_are_read_as_postcard_reads_them(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xFF_u8], 0..22)) {
            let mut rest = &bytes[..];
            let number = read(&mut rest).map(|value| (value, rest));
            prop_assert_eq!(number, postcard::take_from_bytes::<u64>(&bytes).ok());
            let mut rest = &bytes[..];
            let wide = read_wide(&mut rest).map(|value| (value, rest));
            prop_assert_eq!(wide, postcard::take_from_bytes::<i128>(&bytes).ok());
        }
    }
}
