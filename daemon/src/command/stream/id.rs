//! Ids as clients write them: `ms-seq`, `ms`, `ms-*`; `-` and `+` for the lowest and the highest; `(` in front of one that
//! is not meant itself.

use crate::command::error::CommandError;
use cahoots_gossip::store::{NewId, StreamId};

/// Bytes of an id at most, as in Redis.
const ID_BYTES_MAX: usize = 127;

const INVALID: CommandError = CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// Digits that make 64 bits; unlike where counts are written, zeros may lead.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The milliseconds, and what follows.
fn parts(arg: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    if arg.len() > ID_BYTES_MAX {
        return None;
    }
    match arg.iter().position(|byte| *byte == b'-') {
        Some(at) => Some((number(&arg[..at])?, Some(&arg[at + 1..]))),
        None => Some((number(arg)?, None)),
    }
}

/// An id; of one without a second number that is `seq`.
pub(super) fn strict(arg: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    let parse = || {
        let (ms, rest) = parts(arg)?;
        Some(StreamId::new(ms, rest.map_or(Some(seq), number)?))
    };
    parse().ok_or(INVALID)
}

/// What an entry is to be called.
pub(super) fn new(arg: &[u8]) -> Result<NewId, CommandError> {
    match parts(arg) {
        _ if arg == b"*" => Ok(NewId::Next),
        Some((ms, Some(b"*"))) => Ok(NewId::Within(ms)),
        _ => strict(arg, 0).map(NewId::Exactly),
    }
}

fn bound(arg: &[u8], seq: u64) -> Result<(StreamId, bool), CommandError> {
    match arg {
        b"-" => Ok((StreamId::MIN, false)),
        b"+" => Ok((StreamId::MAX, false)),
        [b'(', id @ ..] if !id.is_empty() => Ok((strict(id, seq)?, true)),
        id => Ok((strict(id, seq)?, false)),
    }
}

/// An id, or one of the words for the lowest and the highest.
pub(super) fn any(arg: &[u8]) -> Result<StreamId, CommandError> {
    match arg {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        arg => strict(arg, 0),
    }
}

/// The first id of a range, and the last.
pub(super) fn interval(start: &[u8], end: &[u8]) -> Result<(StreamId, StreamId), CommandError> {
    let start = match bound(start, 0)? {
        (id, true) => id.above().ok_or(CommandError::text("ERR invalid start ID for the interval"))?,
        (id, false) => id,
    };
    let end = match bound(end, u64::MAX)? {
        (id, true) => id.below().ok_or(CommandError::text("ERR invalid end ID for the interval"))?,
        (id, false) => id,
    };
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_documents_them() {
        assert_eq!(strict(b"5-7", 0).unwrap(), StreamId::new(5, 7));
        assert_eq!(strict(b"5", 9).unwrap(), StreamId::new(5, 9));
        assert_eq!(strict(b"005-007", 0).unwrap(), StreamId::new(5, 7));
        assert_eq!(strict(b"18446744073709551615-18446744073709551615", 0).unwrap(), StreamId::MAX);
        let long = [b"0".repeat(ID_BYTES_MAX), b"0".to_vec()].concat();
        assert!(strict(&long[1..], 0).is_ok());
        let refused: [&[u8]; 13] = [
            b"",
            b"-",
            b"+",
            b"*",
            b"5-",
            b"-5",
            b"5-*",
            b"5-6-7",
            b"x",
            b"5-x",
            b" 5",
            b"18446744073709551616",
            &long,
        ];
        for arg in refused {
            assert!(strict(arg, 0).is_err(), "{}", String::from_utf8_lossy(arg));
        }
        assert_eq!(new(b"*").unwrap(), NewId::Next);
        assert_eq!(new(b"5-*").unwrap(), NewId::Within(5));
        assert_eq!(new(b"5").unwrap(), NewId::Exactly(StreamId::new(5, 0)));
        assert!(new(b"*-*").is_err() && new(b"5-**").is_err());
    }

    #[test]
    fn ranges_leave_out_what_they_exclude() {
        let range = |start: &str, end: &str| interval(start.as_bytes(), end.as_bytes());
        assert_eq!(range("-", "+").unwrap(), (StreamId::MIN, StreamId::MAX));
        assert_eq!(range("5", "5").unwrap(), (StreamId::new(5, 0), StreamId::new(5, u64::MAX)));
        assert_eq!(range("(5", "(5").unwrap(), (StreamId::new(5, 1), StreamId::new(5, u64::MAX - 1)));
        let last = "18446744073709551615-18446744073709551615";
        assert!(range(&format!("({last}"), "+").is_err() && range("-", "(0-0").is_err());
        assert!(range("(-", "+").is_err() && range("-", "(").is_err());
    }
}
