//! Bounds of ranges: ranks, scores and names, as clients write them.

use std::ops::{Bound, Range};

use crate::command::error::CommandError;
use crate::command::options::int_arg;
use cahoots_gossip::store::Sorted;

/// The ends of a range.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds<'a> {
    /// The first and the last rank, counted from the end if negative.
    Ranks(i64, i64),
    Scores(Bound<f64>, Bound<f64>),
    Names(Name<'a>, Name<'a>),
}

/// An end of a range of names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    Least,
    Greatest,
    From(Bound<&'a [u8]>),
}

/// What a range is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

impl<'a> Bounds<'a> {
    pub(super) fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        match by {
            By::Rank => Ok(Self::Ranks(int_arg(min)?, int_arg(max)?)),
            By::Score => {
                let (Some(min), Some(max)) = (score_bound(min), score_bound(max)) else {
                    return Err(CommandError::text("ERR min or max is not a float"));
                };
                Ok(Self::Scores(min, max))
            }
            By::Name => {
                let (Some(min), Some(max)) = (name_bound(min), name_bound(max)) else {
                    return Err(CommandError::text("ERR min or max not valid string range item"));
                };
                Ok(Self::Names(min, max))
            }
        }
    }

    /// The ranks that are within. Ranks are counted from the highest score if `reverse`.
    pub(super) fn of(self, sorted: &Sorted<'_>, reverse: bool) -> Range<usize> {
        match self {
            Self::Ranks(start, stop) => {
                let len = sorted.len();
                let from_end = |at: i64| if at < 0 { at.saturating_add_unsigned(len as u64).max(-1) } else { at };
                let start = usize::try_from(from_end(start)).unwrap_or(0);
                let end = usize::try_from(from_end(stop).saturating_add(1)).unwrap_or(0).min(len);
                let (start, end) = (start.min(end), end);
                if reverse { len - end..len - start } else { start..end }
            }
            Self::Scores(min, max) => sorted.by_score(min, max),
            Self::Names(Name::Greatest, _) | Self::Names(_, Name::Least) => 0..0,
            Self::Names(min, max) => sorted.by_name(min.bound(), max.bound()),
        }
    }
}

impl<'a> Name<'a> {
    fn bound(self) -> Bound<&'a [u8]> {
        match self {
            Self::Least | Self::Greatest => Bound::Unbounded,
            Self::From(bound) => bound,
        }
    }
}

fn name_bound(arg: &[u8]) -> Option<Name<'_>> {
    match arg {
        b"-" => Some(Name::Least),
        b"+" => Some(Name::Greatest),
        [b'(', name @ ..] => Some(Name::From(Bound::Excluded(name))),
        [b'[', name @ ..] => Some(Name::From(Bound::Included(name))),
        _ => None,
    }
}

/// As C reads it: white space in front and nothing at all are allowed, and what is too large is infinite.
fn score_bound(arg: &[u8]) -> Option<Bound<f64>> {
    let (exclusive, number) = match arg {
        [b'(', number @ ..] => (true, number),
        number => (false, number),
    };
    let number = if number.is_empty() { 0.0 } else { parse(number.trim_ascii_start())? };
    Some(if exclusive { Bound::Excluded(number) } else { Bound::Included(number) })
}

/// The score that an argument spells: a number, or infinity; not what is too large or too small to tell from it.
pub(super) fn score(arg: &[u8]) -> Option<f64> {
    let score = parse(arg)?;
    let is_spelled = |class: fn(u8) -> bool| {
        let mantissa = arg.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
        mantissa.iter().any(|byte| class(*byte))
    };
    let overflows = score.is_infinite() && is_spelled(|byte| byte.is_ascii_digit());
    let underflows = score == 0.0 && is_spelled(|byte| matches!(byte, b'1'..=b'9'));
    (!overflows && !underflows).then_some(score)
}

/// A score, or the refusal of what is none.
pub(super) fn score_arg(arg: &[u8]) -> Result<f64, CommandError> {
    score(arg).ok_or(CommandError::text("ERR value is not a valid float"))
}

fn parse(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_numbers_and_infinities() {
        for (text, number) in [
            ("1", 1.0),
            ("-1.5e3", -1500.0),
            ("+.5", 0.5),
            ("3.", 3.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0e5", 0.0),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(score(text.as_bytes()), Some(number), "{text}");
        }
        for text in ["", " 1", "1 ", "nan", "1e400", "-1e400", "1e-400", "x", "1x", "1\0", "--1"] {
            assert_eq!(score(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn ranks_are_counted_from_either_end() {
        let store = cahoots_gossip::store::Store::new(
            cahoots_gossip::ReplicaId::new(1),
            cahoots_gossip::Limits::default(),
            1000,
        );
        let mut store = store;
        for (member, score) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
            let written = store.write(1, 0, |w| w.assign_score(b"z", member.as_bytes(), score, Default::default()));
            assert_eq!(written, Ok(true));
        }
        let view = store.at(1).view(b"z").expect("it is there");
        let of = |start, stop, reverse| Bounds::Ranks(start, stop).of(&view.sorted(), reverse);
        assert_eq!(of(0, -1, false), 0..3);
        assert_eq!(of(0, 0, true), 2..3);
        assert_eq!(of(-2, -1, true), 0..2);
        assert_eq!(of(1, i64::MAX, false), 1..3);
        for (start, stop) in [(2, 1), (3, 9), (-9, -4), (i64::MAX, i64::MAX), (0, i64::MIN)] {
            assert!(of(start, stop, false).is_empty() && of(start, stop, true).is_empty(), "{start} {stop}");
        }
    }
}
