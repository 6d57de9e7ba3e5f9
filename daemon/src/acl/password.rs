//! Passwords: only their SHA-256 is kept, and it is compared in constant time.

use std::fmt;
use std::hint::black_box;

use ring::digest::{SHA256, digest};

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// What is kept of a password.
#[derive(Clone, Copy)]
pub struct PasswordHash([u8; HASH_BYTES]);

impl PasswordHash {
    /// That of a password.
    #[must_use]
    pub fn of(password: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(digest(&SHA256, password).as_ref());
        Self(hash)
    }

    /// Reads one that is spelled out: 64 hexadecimal digits, lower-case.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        if digits.len() != 2 * HASH_BYTES {
            return None;
        }
        let mut hash = [0; HASH_BYTES];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(hash))
    }

    /// Whether both are of one password. Takes as long whichever bytes differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |differing, (a, b)| black_box(differing | (a ^ b)));
        differing == 0
    }
}

/// In hexadecimal digits.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for PasswordHash {}

/// Not even the hash belongs into a log.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_sha_256_and_is_read_as_it_is_written() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = PasswordHash::of(b"abc");
        assert_eq!(hash.to_string(), abc);
        let read = PasswordHash::parse(abc.as_bytes()).expect("64 digits");
        assert!(read.is(&hash) && !read.is(&PasswordHash::of(b"abd")));
        let upper = abc.to_ascii_uppercase();
        for bad in ["", &abc[1..], &format!("{abc}0"), &upper, &abc.replace('b', "g")] {
            assert!(PasswordHash::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn hashes_that_differ_in_one_bit_are_not_of_one_password() {
        let hash = PasswordHash::of(b"x");
        for bit in 0..8 * HASH_BYTES {
            let mut other = hash;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!hash.is(&other), "bit {bit}");
        }
    }
}
