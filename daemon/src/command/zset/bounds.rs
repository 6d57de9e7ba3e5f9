//! Bounds of ranges: ranks, scores and names, as clients write them.

use std::ops::{Bound, Range};

use crate::command::error::CommandError;
use crate::command::number;
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

/// As C reads a string: it ends at a zero byte, white space in front and nothing at all are allowed, and what is too large
/// is infinite.
fn score_bound(arg: &[u8]) -> Option<Bound<f64>> {
    let (exclusive, number) = match arg {
        [b'(', number @ ..] => (true, number),
        number => (false, number),
    };
    let number = number.split(|byte| *byte == 0).next().unwrap_or_default();
    let number = if number.is_empty() { 0.0 } else { number::read(after_space(number))?.value };
    Some(if exclusive { Bound::Excluded(number) } else { Bound::Included(number) })
}

/// What comes after what C has for white space: a vertical tab too.
fn after_space(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    &text[spaces..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Redis 7.0.15 reads them.
    #[test]
    fn bounds_begin_with_white_space_end_at_a_zero_byte_and_have_no_range() {
        use Bound::{Excluded, Included};
        let infinity = f64::INFINITY;
        let cases: [(&[u8], Option<Bound<f64>>); 24] = [
            (b"1", Some(Included(1.0))),
            (b"(0x1p3", Some(Excluded(8.0))),
            (b"", Some(Included(0.0))),
            (b"(", Some(Excluded(0.0))),
            (b"\0", Some(Included(0.0))),
            (b"1\x002", Some(Included(1.0))),
            (b" 1", Some(Included(1.0))),
            (b"( \t\n\x0b\x0c\r1", Some(Excluded(1.0))),
            (b" 0x1p3", Some(Included(8.0))),
            (b" -inf", Some(Included(-infinity))),
            (b"1e400", Some(Included(infinity))),
            (b"-0x1p1024", Some(Included(-infinity))),
            (b"1e-400", Some(Included(0.0))),
            (b"0x1p-1075", Some(Included(0.0))),
            (b" ", None),
            (b" \0", None),
            (b" (1", None),
            (b"((1", None),
            (b"1 ", None),
            (b"1 \0", None),
            (b"\xa01", None),
            (b"nan", None),
            (b"0x", None),
            (b"x", None),
        ];
        for (text, bound) in cases {
            assert_eq!(score_bound(text), bound, "{}", text.escape_ascii());
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
