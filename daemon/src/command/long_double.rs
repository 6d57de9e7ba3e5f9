//! The numbers that INCRBYFLOAT and HINCRBYFLOAT count with: x87's 80-bit floating point, which C calls `long double`.
//!
//! Redis adds in it and prints 17 digits behind the point, so both have to be exact to the last bit here, too: a value is
//! read from decimal or hexadecimal text with one rounding, added with one, and printed with one. Each rounding is to the
//! nearest, of two to the even one. Whole numbers of any length lie in between, so nothing is estimated.

use std::fmt;

use super::number::exponent;

/// Bits of a mantissa.
const BITS: i64 = 64;
/// The exponent of the last bit of the smallest numbers.
const LEAST: i64 = -16_445;
/// The exponent of the first bit of the greatest ones.
const GREATEST: i64 = 16_383;
/// Digits behind the point that are printed.
const DECIMALS: u32 = 17;
/// Redis reads no longer text.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// A number; infinities, too. There is one zero, which has no sign: Redis prints both alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LongDouble {
    Infinite {
        is_negative: bool,
    },
    /// `mantissa` times two to the `exponent`; its highest bit is set, unless `exponent` is [`LEAST`].
    Finite {
        is_negative: bool,
        mantissa: u64,
        exponent: i64,
    },
}

impl LongDouble {
    /// The number that is the whole of `text`, as C's `strtold` reads it; none that is too large or too small.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (is_negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite { is_negative });
        }
        let (digits, radix) = match unsigned {
            [b'0', b'x' | b'X', rest @ ..] => (rest, 16),
            rest => (rest, 10),
        };
        let parts = Spelled::read(digits, radix)?;
        let is_zero = parts.digits.is_zero();
        let read = parts.value(is_negative);
        let is_out_of_range = match read {
            Self::Infinite { .. } => true,
            Self::Finite { mantissa, .. } => mantissa == 0 && !is_zero,
        };
        (!is_out_of_range).then_some(read)
    }

    /// A double is one, exactly.
    pub(super) fn of(value: f64) -> Self {
        const FRACTION_BITS: i64 = 52;
        let (is_negative, bits) = (value.is_sign_negative(), value.abs().to_bits());
        let (power, fraction) = (i64::try_from(bits >> FRACTION_BITS).unwrap_or(0), bits & ((1 << FRACTION_BITS) - 1));
        match power {
            0x7FF => Self::Infinite { is_negative },
            0 => rounded(&Big::of(fraction.into()), -1074, false, is_negative),
            _ => rounded(&Big::of(u128::from(fraction | 1 << FRACTION_BITS)), power - 1075, false, is_negative),
        }
    }

    /// Whether it is neither infinite nor, as a sum of two infinities, no number at all.
    pub(super) fn is_finite(self) -> bool {
        matches!(self, Self::Finite { .. })
    }

    /// The sum, if it is finite.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (Self::Finite { exponent: a, .. }, Self::Finite { exponent: b, .. }) = (self, other) else { return None };
        let (high, low) = if a >= b { (self, other) } else { (other, self) };
        let (Self::Finite { exponent, .. }, Self::Finite { exponent: low_exponent, .. }) = (high, low) else {
            return None;
        };
        // The bits of the lower one that are far below those of the higher one only tell which side of it the sum is on.
        const ROOM: i64 = 60;
        let up = (exponent - low_exponent).min(ROOM);
        let base = exponent - up;
        let sum = (high.signed() << up) + shifted_sticky(low.signed(), base - low_exponent);
        let rounded = rounded(&Big::of(sum.unsigned_abs()), base, false, sum < 0);
        rounded.is_finite().then_some(rounded)
    }

    fn signed(self) -> i128 {
        match self {
            Self::Finite { is_negative: true, mantissa, .. } => -i128::from(mantissa),
            Self::Finite { mantissa, .. } => i128::from(mantissa),
            Self::Infinite { .. } => 0,
        }
    }
}

/// A number shifted to the right, the bits that are lost told by the last one.
fn shifted_sticky(number: i128, by: i64) -> i128 {
    let magnitude = number.unsigned_abs();
    let kept = match by {
        0 => magnitude,
        1..=127 => magnitude >> by | u128::from(magnitude & ((1 << by) - 1) != 0),
        _ => u128::from(magnitude != 0),
    };
    let kept = i128::try_from(kept).expect("no longer than a mantissa");
    if number < 0 { -kept } else { kept }
}

/// The nearest number to `whole` times two to the `exponent`; `more` says that a little is to be added.
fn rounded(whole: &Big, exponent: i64, more: bool, is_negative: bool) -> LongDouble {
    let bits = whole.bits();
    if bits == 0 {
        return LongDouble::Finite { is_negative: false, mantissa: 0, exponent: LEAST };
    }
    let mut last = (exponent + bits - BITS).max(LEAST);
    let dropped = last - exponent;
    let (mut mantissa, half, rest) = match dropped {
        ..=0 => (whole.shifted_left(-dropped).low(), false, false),
        _ => (whole.low_from(dropped), whole.bit(dropped - 1), whole.has_bits_below(dropped - 1)),
    };
    if half && (rest || more || mantissa & 1 == 1) {
        match mantissa.checked_add(1) {
            Some(up) => mantissa = up,
            None => (mantissa, last) = (1 << (BITS - 1), last + 1),
        }
    }
    if last + BITS - 1 > GREATEST {
        return LongDouble::Infinite { is_negative };
    }
    LongDouble::Finite { is_negative: is_negative && mantissa > 0, mantissa, exponent: last }
}

/// As Redis prints it for people: 17 digits behind the point, without zeros at the end.
impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_negative, mantissa, exponent) = match *self {
            Self::Infinite { is_negative } => return f.write_str(if is_negative { "-inf" } else { "inf" }),
            Self::Finite { is_negative, mantissa, exponent } => (is_negative, mantissa, exponent),
        };
        let text = if exponent >= 0 {
            Big::of(mantissa.into()).shifted_left(exponent).to_string()
        } else {
            let scaled = u128::from(mantissa) * 10_u128.pow(DECIMALS);
            let dropped = -exponent;
            let (kept, rest, half) = match dropped {
                1..=127 => (scaled >> dropped, scaled & ((1 << dropped) - 1), 1 << (dropped - 1)),
                _ => (0, 0, 1),
            };
            let units = kept + u128::from(rest > half || rest == half && kept & 1 == 1);
            let digits = format!("{units:0>width$}", width = DECIMALS as usize + 1);
            let (whole, decimals) = digits.split_at(digits.len() - DECIMALS as usize);
            format!("{whole}.{decimals}").trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let sign = if is_negative && text != "0" { "-" } else { "" };
        write!(f, "{sign}{text}")
    }
}

/// A number as it was spelled.
struct Spelled {
    /// All digits, those behind the point included.
    digits: Big,
    /// What they are to be multiplied with: a power of this.
    base: u32,
    power: i64,
}

impl Spelled {
    fn read(text: &[u8], radix: u32) -> Option<Self> {
        let mark = if radix == 16 { b'p' } else { b'e' };
        let at = text.iter().position(|byte| byte.eq_ignore_ascii_case(&mark)).unwrap_or(text.len());
        let (mantissa, rest) = text.split_at(at);
        let given = if rest.is_empty() { 0 } else { exponent(&rest[1..])? };
        let (mut digits, mut behind, mut point, mut any) = (Big::of(0), 0, false, false);
        for byte in mantissa {
            if *byte == b'.' && !point {
                point = true;
                continue;
            }
            digits.multiply_and_add(radix, char::from(*byte).to_digit(radix)?);
            behind += i64::from(point);
            any = true;
        }
        let (base, power) = if radix == 16 { (2, given - 4 * behind) } else { (10, given - behind) };
        any.then_some(Self { digits, base, power })
    }

    fn value(self, is_negative: bool) -> LongDouble {
        let Self { digits, base, power } = self;
        // Digits are few enough that beyond this none of them saves it from being infinite, or nothing.
        const POWER_MAX: i64 = 60_000;
        let power = power.clamp(-POWER_MAX, POWER_MAX);
        if base == 2 {
            return rounded(&digits, power, false, is_negative);
        }
        if digits.is_zero() {
            return rounded(&digits, 0, false, is_negative);
        }
        if digits.bits() + power * 10 / 3 > 2 * GREATEST + 64 {
            return LongDouble::Infinite { is_negative };
        }
        if digits.bits() + power * 3 < 2 * LEAST {
            return rounded(&Big::of(0), 0, false, is_negative);
        }
        let mut whole = digits;
        if power >= 0 {
            (0..power).for_each(|_| whole.multiply_and_add(10, 0));
            return rounded(&whole, 0, false, is_negative);
        }
        // As many bits more as the division takes away, and those that are to be rounded.
        let up = -power * 10 / 3 + BITS + 8;
        whole = whole.shifted_left(up);
        let (mut left, mut more) = (-power, false);
        while left > 0 {
            let step = left.min(9);
            more |= whole.divide(10_u32.pow(u32::try_from(step).expect("at most nine"))) != 0;
            left -= step;
        }
        rounded(&whole, -up, more, is_negative)
    }
}

/// A whole number of any length: its digits to the base of 2³², the lowest first.
struct Big(Vec<u32>);

const DIGIT_BITS: i64 = 32;

impl Big {
    fn of(number: u128) -> Self {
        let digits = (0..4).map(|at| low_digit(number >> (32 * at))).collect();
        Self(digits).trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bits it has, from the first that is set.
    fn bits(&self) -> i64 {
        let Some(top) = self.0.last() else { return 0 };
        (len(&self.0) - 1) * DIGIT_BITS + i64::from(top.ilog2()) + 1
    }

    fn bit(&self, at: i64) -> bool {
        let (digit, bit) = (at / DIGIT_BITS, at % DIGIT_BITS);
        usize::try_from(digit).is_ok_and(|digit| self.0.get(digit).is_some_and(|digit| digit >> bit & 1 == 1))
    }

    /// Whether any bit below that one is set.
    fn has_bits_below(&self, at: i64) -> bool {
        let lowest = self.0.iter().position(|digit| *digit != 0);
        let lowest = lowest.map(|digit| {
            i64::try_from(digit).unwrap_or(i64::MAX) * DIGIT_BITS + i64::from(self.0[digit].trailing_zeros())
        });
        lowest.is_some_and(|lowest| lowest < at)
    }

    /// The 64 bits from that one on.
    fn low_from(&self, at: i64) -> u64 {
        (0..BITS).filter(|bit| self.bit(at + bit)).fold(0, |sum, bit| sum | 1 << bit)
    }

    fn low(&self) -> u64 {
        self.low_from(0)
    }

    fn shifted_left(&self, by: i64) -> Self {
        let (digits, bits) = (usize::try_from(by / DIGIT_BITS).unwrap_or(0), by % DIGIT_BITS);
        let mut shifted = vec![0; digits];
        let mut carry = 0_u64;
        for digit in &self.0 {
            let wide = u64::from(*digit) << bits | carry;
            shifted.push(low_digit(wide.into()));
            carry = wide >> DIGIT_BITS;
        }
        shifted.push(low_digit(carry.into()));
        Self(shifted).trimmed()
    }

    fn multiply_and_add(&mut self, by: u32, add: u32) {
        let mut carry = u64::from(add);
        for digit in &mut self.0 {
            let wide = u64::from(*digit) * u64::from(by) + carry;
            *digit = low_digit(wide.into());
            carry = wide >> DIGIT_BITS;
        }
        if carry > 0 {
            self.0.push(low_digit(carry.into()));
        }
    }

    /// Divides by a number; the rest.
    fn divide(&mut self, by: u32) -> u32 {
        let mut rest = 0;
        for digit in self.0.iter_mut().rev() {
            let wide = u64::from(rest) << DIGIT_BITS | u64::from(*digit);
            *digit = low_digit((wide / u64::from(by)).into());
            rest = low_digit((wide % u64::from(by)).into());
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        rest
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn low_digit(wide: u128) -> u32 {
    wide as u32
}

fn len(digits: &[u32]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

/// In decimal digits.
impl fmt::Display for Big {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = Self(self.0.clone());
        let mut nines = Vec::new();
        while !left.is_zero() {
            nines.push(left.divide(1_000_000_000));
        }
        let mut nines = nines.into_iter().rev();
        write!(f, "{}", nines.next().unwrap_or(0))?;
        nines.try_for_each(|nine| write!(f, "{nine:09}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (LongDouble::read(a.as_bytes())?, LongDouble::read(b.as_bytes())?);
        a.plus(b).map(|sum| sum.to_string())
    }

    /// What INCRBYFLOAT of Redis 7.0.15 on x86-64 answers.
    #[test]
    fn sums_are_those_that_redis_prints() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("3.0e3", "200", "3200"),
            ("1", "-1", "0"),
            ("-1", "0.5", "-0.5"),
            ("1e17", "0.1", "100000000000000000.1015625"),
            ("5", "1e-17", "5.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("0x10", "0x.8p1", "17"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn a_double_is_printed_with_all_its_digits_up_to_the_17th_behind_the_point() {
        for (value, printed) in [
            (13.361_389_338_970_184, "13.36138933897018433"),
            (-0.1, "-0.10000000000000001"),
            (3.0, "3"),
            (5e-324, "0"),
            (1e22, "10000000000000000000000"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(LongDouble::of(value).to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_number_or_out_of_range_is_refused() {
        for text in ["", ".", "-", "1 ", " 1", "nan", "0x", "1e", "1e+", "--1", "1e5000", "1e-5000", "1_0", "é"] {
            assert_eq!(LongDouble::read(text.as_bytes()), None, "{text:?}");
        }
        assert!(LongDouble::read(b"1e4932").is_some() && LongDouble::read(b"1e-4940").is_some());
        assert_eq!(sum("1e4932", "1e4932"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert!(LongDouble::read(&[b'1'; TEXT_BYTES_MAX + 1]).is_none());
        assert!(LongDouble::read(&[b'1'; 4_900]).is_some());
    }
}
