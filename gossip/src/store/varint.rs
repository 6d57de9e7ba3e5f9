//! Integers of as many bytes as they need: seven bits to a byte, the lowest first, as in postcard. What is read here is
//! what was written here and kept in memory, so there is nothing to check.

/// Appends `value`.
pub(super) fn put(value: u64, bytes: &mut Vec<u8>) {
    let mut rest = value;
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

/// Takes one from the front of `bytes`.
pub(super) fn take(bytes: &mut &[u8]) -> u64 {
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

/// How many bytes a length takes.
pub(super) fn len(len: usize) -> usize {
    (usize::BITS - (len | 1).leading_zeros()).div_ceil(7) as usize
}

/// Writes a length at the beginning of `bytes`; says how many it took.
pub(super) fn write_len(len: usize, bytes: &mut [u8]) -> usize {
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
pub(super) fn put_len(len: usize, bytes: &mut Vec<u8>) {
    put(len as u64, bytes);
}

/// Takes a length.
pub(super) fn take_len(bytes: &mut &[u8]) -> usize {
    usize::try_from(take(bytes)).expect("it was a length in this memory")
}

/// Appends a number that may be negative: those near to 0 are short.
pub(super) fn put_signed(value: i64, bytes: &mut Vec<u8>) {
    put((value << 1 ^ value >> 63).cast_unsigned(), bytes);
}

/// The same of 128 bits.
pub(super) fn put_wide(value: i128, bytes: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 127).cast_unsigned();
    while let Some(next) = Some(rest >> 7).filter(|next| *next > 0) {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest = next;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

/// Takes a number that may be negative.
pub(super) fn take_signed(bytes: &mut &[u8]) -> i64 {
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
    }
}
