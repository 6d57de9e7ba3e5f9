//! Numbers as clients spell them: all that C's `strtod` reads to its end, but "not a number".
//!
//! Decimal and hexadecimal, and infinities by name; letters in either case. Each is rounded once, to the nearest double, of
//! two to the even one. Refuses white space: C skips it in front, and who allows it has to skip it too.

use super::error::CommandError;

/// What a text spells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    /// It is infinite or zero because it was too large or too small to be anything else.
    pub(super) is_out_of_range: bool,
}

/// The number that is the whole of `text`.
pub(super) fn read(text: &[u8]) -> Option<Number> {
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let number = match unsigned {
        [b'0', b'x' | b'X', rest @ ..] => hexadecimal(rest)?,
        [b'+' | b'-', ..] => return None,
        rest => decimal(rest)?,
    };
    Some(Number { value: if is_negative { -number.value } else { number.value }, ..number })
}

/// The number that an argument spells, or infinity; not what is too large or too small to tell from it.
pub(super) fn in_range(arg: &[u8]) -> Option<f64> {
    read(arg).filter(|number| !number.is_out_of_range).map(|number| number.value)
}

/// As [`in_range`], or the refusal of what is none.
pub(super) fn float_arg(arg: &[u8]) -> Result<f64, CommandError> {
    in_range(arg).ok_or(CommandError::text("ERR value is not a valid float"))
}

/// Rust's own reading differs from C's in hexadecimal numbers and in "not a number" only.
fn decimal(text: &[u8]) -> Option<Number> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_nan() {
        return None;
    }
    let mantissa = || text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let overflows = value.is_infinite() && mantissa().any(u8::is_ascii_digit);
    let underflows = value == 0.0 && mantissa().any(|byte| matches!(byte, b'1'..=b'9'));
    Some(Number { value, is_out_of_range: overflows || underflows })
}

/// What follows `0x`: digits, with a point or without, and perhaps an exponent of two.
fn hexadecimal(text: &[u8]) -> Option<Number> {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    // The first digits that count, as an integer. All further ones only tell whether there is more: the last bit, which is
    // far below those that a double keeps, stands for them.
    let (mut bits, mut exponent) = (0_u64, exponent);
    let (mut has_digits, mut is_behind_point) = (false, false);
    for byte in mantissa {
        if *byte == b'.' && !is_behind_point {
            is_behind_point = true;
            continue;
        }
        let digit = char::from(*byte).to_digit(16)?;
        has_digits = true;
        let has_room = bits >> 60 == 0;
        if has_room {
            bits = bits << 4 | u64::from(digit);
        } else {
            bits |= u64::from(digit != 0);
        }
        exponent += match (has_room, is_behind_point) {
            (true, true) => -4,
            (false, false) => 4,
            _ => 0,
        };
    }
    if !has_digits {
        return None;
    }
    let value = rounded(bits, exponent);
    Some(Number { value, is_out_of_range: value.is_infinite() || value == 0.0 && bits != 0 })
}

/// So large that no number of digits makes up for it, so small that adding to it never overflows.
const EXPONENT_MAX: i64 = 1 << 48;

/// A whole number of any size, as it stands behind the letter for a power.
pub(super) fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX);
    Some(sign * digits.iter().fold(0, add))
}

/// The double nearest to `bits` times two to the `exponent`.
fn rounded(bits: u64, exponent: i64) -> f64 {
    const FRACTION_BITS: i64 = 52;
    const LEAST: i64 = -1074;
    const GREATEST: i64 = 1023;
    if bits == 0 {
        return 0.0;
    }
    let top = exponent + i64::from(bits.ilog2());
    if top > GREATEST {
        return f64::INFINITY;
    }
    // The value of the last bit that is kept.
    let last = (top - FRACTION_BITS).max(LEAST);
    let units = match last - exponent {
        ..=0 => bits << (exponent - last),
        // Not half of it is left.
        65.. => 0,
        dropped => {
            let bits = u128::from(bits);
            let (kept, rest, half) = (bits >> dropped, bits & ((1 << dropped) - 1), 1 << (dropped - 1));
            let up = rest > half || rest == half && kept & 1 == 1;
            u64::try_from(kept).unwrap_or(u64::MAX) + u64::from(up)
        }
    };
    // The first of the kept bits is the lowest of the exponent, and so is what rounding up carries into it.
    f64::from_bits((u64::try_from(last - LEAST).unwrap_or_default() << FRACTION_BITS) + units)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ZADD of Redis 7.0.15 takes, and the score that it has then.
    const SPELLED: &[(&str, f64)] = &[
        ("1", 1.0),
        ("-1.5e3", -1500.0),
        ("+.5", 0.5),
        ("3.", 3.0),
        ("1e5", 100000.0),
        ("1E5", 100000.0),
        ("1e+5", 100000.0),
        ("1e-5", 1e-05),
        ("0e5", 0.0),
        ("5e-324", 5e-324),
        ("3e-324", 5e-324),
        ("1e-308", 1e-308),
        ("2.2250738585072014e-308", 2.2250738585072014e-308),
        ("2.2250738585072011e-308", 2.225073858507201e-308),
        ("1.7976931348623157e308", 1.7976931348623157e+308),
        ("0x10", 16.0),
        ("0X10", 16.0),
        ("0x1p3", 8.0),
        ("0x1P3", 8.0),
        ("0x1p+3", 8.0),
        ("0x1p-3", 0.125),
        ("0x.8", 0.5),
        ("0x1.8p1", 3.0),
        ("-0x1.8p1", -3.0),
        ("+0xA", 10.0),
        ("0x1.p1", 2.0),
        ("0x1p1023", 8.98846567431158e+307),
        ("0x1p-1074", 5e-324),
        ("0x1.8p-1075", 5e-324),
        ("0x0p0", 0.0),
        ("0x0p-9999", 0.0),
        ("0x1.fffffffffffff8p0", 2.0),
        ("0x1.fffffffffffff7p0", 1.9999999999999998),
        ("0x1.fffffffffffff7p1023", 1.7976931348623157e+308),
        ("0x1.0000000000000801p0", 1.0000000000000002),
        ("0x1.00000000000008p0", 1.0),
        ("0x1.00000000000018p0", 1.0000000000000004),
        ("0x10000000000000000000000", 3.094850098213451e+26),
        ("0x0.00000000000000000000000000001", 1.2037062152420224e-35),
        ("0x0p99999999999999999999", 0.0),
        ("inf", f64::INFINITY),
        ("INF", f64::INFINITY),
        ("Inf", f64::INFINITY),
        ("+inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("infinity", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
        ("INFINITY", f64::INFINITY),
        ("010", 10.0),
        ("0x1e5", 485.0),
        ("-0", -0.0),
        ("-0x0", -0.0),
        ("9007199254740993", 9007199254740992.0),
        ("1111111111111111111111111111111111111111", 1.1111111111111112e+39),
        ("2.2250738585072009e-308", 2.225073858507201e-308),
        ("-5e-324", -5e-324),
        ("0x1.0p-1022", 2.2250738585072014e-308),
        ("0x0.fffffffffffff8p-1022", 2.2250738585072014e-308),
        ("0x0.fffffffffffffp-1022", 2.225073858507201e-308),
        ("0x1.8p-1074", 1e-323),
    ];

    /// What ZADD of Redis 7.0.15 refuses.
    const REFUSED: &[&str] = &[
        ".",
        "",
        " ",
        "+",
        "-",
        "e5",
        "1e",
        "1e+",
        "2e-324",
        "1e400",
        "-1e400",
        "1e-400",
        "-1e-400",
        "1.7976931348623159e308",
        "0x",
        "0x.",
        "0xg",
        "0x1p",
        "0x1p+",
        "0xp1",
        "0x1p1024",
        "0x1p-1075",
        "0x1p-1076",
        "0x1.fffffffffffff8p1023",
        "0x1p99999999999999999999",
        "0x1p-99999999999999999999",
        "infin",
        "infinit",
        "in",
        "infx",
        "nan",
        "NaN",
        "-nan",
        "nan(1)",
        "nan()",
        " 1",
        "\t1",
        "\n1",
        "\x0b1",
        "\x0c1",
        "\r1",
        "1 ",
        " inf",
        "inf ",
        " 0x1p3",
        "1\0",
        "\x001",
        "1\x002",
        "1x",
        "x",
        "--1",
        "+-1",
        "1_000",
        "1,5",
        "1.5.5",
        "0b1",
        "0o7",
        "0.1e1e1",
        "1d5",
        "1f",
        "0x1p3 ",
        "0x1.8.1",
        "1p3",
        "0x-1",
        "- 1",
        "-2e-324",
        "0x0.8p-1074",
    ];

    #[test]
    fn numbers_are_what_redis_takes_for_them() {
        for (text, value) in SPELLED {
            let number = read(text.as_bytes()).unwrap_or_else(|| panic!("{text:?} is refused"));
            assert_eq!((number.value.to_bits(), number.is_out_of_range), (value.to_bits(), false), "{text:?}");
        }
        for text in REFUSED {
            assert!(read(text.as_bytes()).is_none_or(|number| number.is_out_of_range), "{text:?}");
        }
        assert_eq!(read(b"\xff"), None);
    }

    #[test]
    fn what_is_out_of_range_is_infinite_or_zero() {
        for text in ["1e400", "0x1p1024", "0x1.fffffffffffff8p1023", "0x1p99999999999999999999"] {
            let number = Number { value: f64::INFINITY, is_out_of_range: true };
            assert_eq!(read(text.as_bytes()), Some(number), "{text}");
            let number = Number { value: f64::NEG_INFINITY, is_out_of_range: true };
            assert_eq!(read(format!("-{text}").as_bytes()), Some(number), "-{text}");
        }
        for text in ["1e-400", "2e-324", "0x1p-1075", "0x0.8p-1074", "0x1p-99999999999999999999"] {
            assert_eq!(read(text.as_bytes()), Some(Number { value: 0.0, is_out_of_range: true }), "{text}");
        }
    }

    #[test]
    fn long_numbers_are_read_to_their_ends() {
        let value = |text: String| read(text.as_bytes()).map(|number| (number.value, number.is_out_of_range));
        assert_eq!(value(format!("0x{}1", "0".repeat(500))), Some((1.0, false)));
        assert_eq!(value(format!("0x.{}1p2004", "0".repeat(500))), Some((1.0, false)));
        assert_eq!(value(format!("0x1{}p-2000", "0".repeat(500))), Some((1.0, false)));
        assert_eq!(value(format!("0x{}", "f".repeat(302))), Some((f64::INFINITY, true)));
        assert_eq!(value(format!("0.{}1e321", "0".repeat(320))), Some((1.0, false)));
        assert_eq!(value("1".repeat(400)), Some((f64::INFINITY, true)));
        // Half of the last place, and a little more.
        assert_eq!(value(format!("0x1.00000000000008{}p0", "0".repeat(90))), Some((1.0, false)));
        assert_eq!(value(format!("0x1.00000000000008{}1p0", "0".repeat(90))), Some((1.0 + f64::EPSILON, false)));
    }
}
