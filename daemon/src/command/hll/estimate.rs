//! How many different elements registers stand for: Ertl, *New cardinality estimation algorithms for HyperLogLog sketches*
//! (2017), section 4, as Redis does.

use super::registers::{RARE_BITS, REGISTERS, Registers};

/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

pub(super) fn count(registers: &Registers) -> u64 {
    let (histogram, all) = (registers.histogram(), REGISTERS as f64);
    let with = |value: u32| f64::from(histogram[value as usize]);
    let mut sum = all * tau((all - with(RARE_BITS + 1)) / all);
    for value in (1..=RARE_BITS).rev() {
        sum = (sum + with(value)) * 0.5;
    }
    sum += all * sigma(with(0) / all);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number, not negative")]
    let count = (ALPHA * all * all / sum).round() as u64;
    count
}

/// The share of registers that nothing has reached.
fn sigma(mut share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, share);
    loop {
        share *= share;
        let before = sum;
        sum += share * factor;
        factor += factor;
        if before == sum {
            return sum;
        }
    }
}

/// The share of registers that could still grow.
fn tau(mut share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - share);
    loop {
        share = share.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - share).powi(2) * factor;
        if before == sum {
            return sum / 3.0;
        }
    }
}
