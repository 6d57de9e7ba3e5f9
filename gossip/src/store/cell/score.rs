//! Scores of the members of sorted sets: what the cells at a member amount to.
//!
//! An assignment is a register: a mark that says how it takes its place among others, and a double. Increments are counts
//! in a unit of 2⁻⁶⁴, each rounded to it once, by its writer. Sums of integers and what resets take from them do not depend
//! on an order; sums of doubles do, and lose an increment for good where a reset observed a large one
//! (`docs/design.md`, 4b).
//!
//! The score is the assignments folded in the order of their stamps, each as its command says (a plain one becomes the
//! score, one with a mark becomes it if it is greater or less, the first becomes it in any case), plus the sum of the
//! increments, converted once. So it is one function of the live cells, equal on all replicas to the bit.

use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use super::baseline::Baselines;
use super::{Element, Path, Stamp};
use crate::Hlc;

/// Bytes of an assignment, which a score adds to a write: the mark, and the bits of a double.
pub const SCORE_BYTES: usize = 1 + size_of::<f64>();
/// Bits of an increment behind the point.
const FRACTION_BITS: u32 = 64;
/// What one replica has added to one score stays below this magnitude.
const SLOT_MAX: i128 = 1 << (62 + FRACTION_BITS);

const NEGATIVE_ZERO: u64 = 1 << 63;

/// How an assignment of a score takes its place among concurrent ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ScoreRule {
    /// The newest is the score.
    #[default]
    Newest = 0,
    /// It is the score if it is greater.
    Greater = 1,
    /// It is the score if it is less.
    Less = 2,
}

/// An assignment as a register holds it. There is one zero: the sign of another one says nothing.
pub(in crate::store) fn write(rule: ScoreRule, score: f64) -> [u8; SCORE_BYTES] {
    let mut value = [rule as u8; SCORE_BYTES];
    value[1..].copy_from_slice(&(score + 0.0).to_bits().to_be_bytes());
    value
}

/// `None` of what no replica writes.
fn read(value: &[u8]) -> Option<(ScoreRule, f64)> {
    let (mark, bits) = value.split_first()?;
    let rule = [ScoreRule::Newest, ScoreRule::Greater, ScoreRule::Less].into_iter().find(|it| *it as u8 == *mark)?;
    let score = f64::from_bits(u64::from_be_bytes(bits.try_into().ok()?));
    (!score.is_nan() && score.to_bits() != NEGATIVE_ZERO).then_some((rule, score))
}

/// The score that a view has as a value.
#[must_use]
pub fn score_of(value: &[u8]) -> f64 {
    value.last_chunk().map_or(0.0, |bits| f64::from_bits(u64::from_be_bytes(*bits)))
}

/// Whether the register of a member may hold `value`.
pub(in crate::store) fn is_sound(value: &[u8]) -> bool {
    read(value).is_some()
}

/// What the live cells of an element amount to; 0 without any.
pub(in crate::store) fn of(path: &Path<'_>, element: &Element<'_>, baselines: &Baselines) -> f64 {
    let assigned = assigned(element);
    if element.counts.is_empty() {
        return assigned;
    }
    // Wrapping: only forged totals come near the ends of 128 bits, and they must not stop a reader.
    let slots = element.counts.iter().map(|(dot, count)| baselines.contribution(path, dot, count));
    assigned + from_units(slots.fold(0, i128::wrapping_add))
}

/// The assignments, folded.
fn assigned(element: &Element<'_>) -> f64 {
    if let (1, Some((_, register))) = (element.value.len(), element.value.iter().next()) {
        return read(register.value).map_or(0.0, |(_, score)| score);
    }
    let registers = element.value.iter().filter_map(|(dot, it)| Some(((it.clock, dot.replica), read(it.value)?)));
    let mut all: SmallVec<[(Stamp, (ScoreRule, f64)); 2]> = registers.collect();
    all.sort_unstable_by_key(|(stamp, _): &((Hlc, ReplicaId), _)| *stamp);
    let folded = all.into_iter().fold(None, |before, (_, (rule, score))| match (rule, before) {
        (ScoreRule::Greater, Some(before)) if score <= before => Some(before),
        (ScoreRule::Less, Some(before)) if score >= before => Some(before),
        _ => Some(score),
    });
    folded.unwrap_or(0.0)
}

/// An increment in units, rounded to the nearest; `None` if it is no increment that one replica may add.
pub(in crate::store) fn to_units(increment: f64) -> Option<i128> {
    let units = increment * unit().recip();
    // Comparing tells infinities and what is no number too.
    let fits = units.abs() < SLOT_MAX as f64;
    #[expect(clippy::cast_possible_truncation, reason = "just compared, and rounded")]
    fits.then(|| units.round_ties_even() as i128)
}

/// Whether a replica may have added so much to one score.
pub(in crate::store) fn is_slot(units: i128) -> bool {
    units.unsigned_abs() < SLOT_MAX.unsigned_abs()
}

/// The one rounding of a sum.
fn from_units(units: i128) -> f64 {
    units as f64 * unit()
}

/// 2⁻⁶⁴: multiplying by it is exact.
fn unit() -> f64 {
    2.0_f64.powi(-FRACTION_BITS.cast_signed())
}

/// A number that is ordered as scores are.
pub(in crate::store) fn rank_of(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The score that is ordered so.
pub(in crate::store) fn of_rank(rank: u64) -> f64 {
    f64::from_bits(if rank >> 63 == 1 { rank & !(1 << 63) } else { !rank })
}

/// The score of a register that is sound, as it is ordered: its last bytes.
pub(in crate::store) fn rank_of_bits(bits: [u8; 8]) -> u64 {
    rank_of(f64::from_bits(u64::from_be_bytes(bits)))
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::Dot;
    use proptest::prelude::*;

    use super::*;
    use crate::store::cell::{Count, Register};
    use crate::store::kind::Class;

    fn score() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-9..9_i8).prop_map(f64::from),
            any::<f64>().prop_filter("a number", |score| !score.is_nan()),
            Just(-0.0),
            Just(f64::INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn scores_are_written_read_and_ordered(a in score(), b in score(), value in prop::collection::vec(any::<u8>(), 0..12)) {
            for rule in [ScoreRule::Newest, ScoreRule::Greater, ScoreRule::Less] {
                let (read_rule, read_score) = read(&write(rule, a)).unwrap();
                prop_assert_eq!((read_rule, read_score.to_bits()), (rule, (a + 0.0).to_bits()));
            }
            prop_assert_eq!(Some(rank_of(a).cmp(&rank_of(b))), a.partial_cmp(&b));
            prop_assert_eq!(of_rank(rank_of(a)), a);
            if let Some((rule, score)) = read(&value) {
                prop_assert_eq!(&write(rule, score)[..], &value[..]);
            }
        }

        #[test]
        fn increments_are_rounded_once_and_then_exact(a in -1e15..1e15_f64, shift in 0..40_i32) {
            let increment = a * 2.0_f64.powi(-shift);
            let units = to_units(increment).unwrap();
            prop_assert!(is_slot(units));
            prop_assert!((from_units(units) - increment).abs() <= unit() / 2.0);
            if increment.abs() > 2.0_f64.powi(-11) {
                prop_assert_eq!(from_units(units), increment, "all its digits are above the unit");
            }
        }
    }

    #[test]
    fn an_increment_that_is_no_slot_is_told() {
        for refused in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 2.0_f64.powi(62), -1e300] {
            assert_eq!(to_units(refused), None, "{refused}");
        }
        let most = to_units(2.0_f64.powi(62) - 512.0).unwrap();
        assert!(is_slot(most) && !is_slot(most + to_units(512.0).unwrap()) && !is_slot(i128::MIN));
    }

    /// Counterexample of the model: with the highest of the marked scores shown where the winner is marked, A: GT 3 beside
    /// B: 15 shows 3 if A's clock is the higher one, and no order of the two gives that.
    #[test]
    fn assignments_are_folded_in_the_order_of_their_stamps() {
        use ScoreRule::{Greater, Less, Newest};
        let folded = |written: &[(u64, ScoreRule, f64)]| {
            let values: Vec<_> = written.iter().map(|(clock, rule, score)| (*clock, write(*rule, *score))).collect();
            let mut element = Element::default();
            for (seq, (clock, value)) in (1..).zip(&values) {
                element.value.insert(Dot::new(ReplicaId::new(seq), 1), Register { clock: Hlc::new(*clock), value });
            }
            of(&Path::new(b"z", Class::Sorted, b"m"), &element, &Baselines::default())
        };
        assert_eq!(folded(&[(2, Greater, 3.0), (1, Newest, 15.0)]), 15.0);
        assert_eq!(folded(&[(1, Greater, 3.0), (2, Newest, 1.0)]), 1.0);
        assert_eq!(folded(&[(1, Greater, 5.0), (2, Greater, 15.0), (3, Greater, 9.0)]), 15.0);
        assert_eq!(folded(&[(3, Less, 5.0), (2, Less, 15.0)]), 5.0);
        assert_eq!(folded(&[(1, Newest, 5.0), (1, Newest, 6.0)]), 6.0, "at one instant the greater id is later");
    }

    #[test]
    fn what_was_added_counts_beside_what_was_assigned() {
        let value = write(ScoreRule::Newest, 0.5);
        let mut element = Element::default();
        let path = Path::new(b"z", Class::Sorted, b"m");
        for (replica, added) in [(1, 0.1), (2, -3.0)] {
            let count = Count { clock: Hlc::new(1), birth: 1, total: to_units(added).unwrap() };
            element.counts.insert(Dot::new(ReplicaId::new(replica), 1), count);
        }
        assert_eq!(of(&path, &element, &Baselines::default()), 0.1 - 3.0, "of a member without an assignment 0");
        element.value.insert(Dot::new(ReplicaId::new(3), 1), Register { clock: Hlc::new(2), value: &value });
        assert_eq!(of(&path, &element, &Baselines::default()), 0.5 + (0.1 - 3.0));
    }
}
