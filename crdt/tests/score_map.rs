//! Score maps: reading by score and by rank against a sorted vector, and what is refused.

use std::collections::BTreeMap;

use cahoots_crdt::{Causal, Hlc, Lattice, Limits, ReplicaId, ScoreError, ScoreMap, StaleStamp};
use proptest::prelude::*;

const A: ReplicaId = ReplicaId::new(1);
const B: ReplicaId = ReplicaId::new(2);

fn at(millis: u64) -> Hlc {
    Hlc::new(millis, 0)
}

proptest! {
    /// Long enough for several levels of the index.
    #[test]
    fn ranks_and_ranges_are_those_of_a_sorted_vector(
        changes in prop::collection::vec((0..300_u16, 0..8_u8, -50..50_i8), 1..900),
        bounds in (-60..60_i8, -60..60_i8),
    ) {
        let (mut map, mut model) = (Causal::<ScoreMap<u16>>::new(), BTreeMap::<u16, f64>::new());
        let mut elsewhere = map.clone();
        let mut gathered = Causal::<ScoreMap<u16>>::empty_delta();
        for (nth, (member, kind, amount)) in changes.into_iter().enumerate() {
            let amount = f64::from(amount) / 4.0;
            let delta = match kind {
                0 => {
                    model.remove(&member);
                    map.remove(A, &member)
                }
                1..4 => {
                    *model.entry(member).or_default() += amount;
                    map.add(A, member, amount).unwrap()
                }
                _ => {
                    model.insert(member, amount);
                    map.set(A, at(nth as u64), member, amount).unwrap()
                }
            };
            // Some at once, the others together.
            if kind % 2 == 0 { elsewhere.merge(delta) } else { gathered.merge(delta) }
        }
        elsewhere.merge(gathered);
        prop_assert_eq!(&elsewhere, &map);
        let mut sorted: Vec<(u16, f64)> = model.into_iter().collect();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let decoded = Causal::<ScoreMap<u16>>::decode(&map.encode().unwrap(), &Limits::default()).unwrap();
        for map in [&map, &elsewhere, &decoded] {
            prop_assert!(map.iter().map(|(member, score)| (*member, score)).eq(sorted.iter().copied()));
            for (rank, (member, score)) in sorted.iter().enumerate() {
                prop_assert_eq!((map.rank(member), map.nth(rank)), (Some(rank), Some((member, *score))));
            }
            prop_assert_eq!((map.nth(sorted.len()), map.rank(&300)), (None, None));
            let (low, high) = (f64::from(bounds.0) / 4.0, f64::from(bounds.1) / 4.0);
            let within = |is_in: &dyn Fn(f64) -> bool| {
                sorted.iter().filter(|(_, score)| is_in(*score)).map(|(member, _)| *member).collect::<Vec<_>>()
            };
            let members = |range: &mut dyn Iterator<Item = (&u16, f64)>| range.map(|(member, _)| *member).collect::<Vec<_>>();
            prop_assert_eq!(members(&mut map.range_by_score(low..high)), within(&|score| low <= score && score < high));
            prop_assert_eq!(members(&mut map.range_by_score(low..=high)), within(&|score| low <= score && score <= high));
            prop_assert_eq!(members(&mut map.range_by_score(..low)), within(&|score| score < low));
            let above = (std::ops::Bound::Excluded(low), std::ops::Bound::Unbounded);
            prop_assert_eq!(members(&mut map.range_by_score(above)), within(&|score| score > low));
            prop_assert_eq!(map.range_by_score(f64::NAN..).len() + map.range_by_score(..f64::NAN).len(), 0);
            let top: Vec<_> = map.iter().rev().take(10).map(|(member, _)| *member).collect();
            prop_assert!(top.iter().eq(sorted.iter().rev().take(10).map(|(member, _)| member)));
            let middle = map.range_by_rank(3..9).map(|(member, _)| *member);
            prop_assert!(middle.eq(sorted.iter().skip(3).take(6).map(|(member, _)| *member)));
        }
    }
}

#[test]
fn what_is_no_number_or_too_large_is_refused_and_nothing_is_touched() {
    let mut map = Causal::<ScoreMap<char>>::new();
    let _sent = map.set(A, at(5), 'x', 1.0).unwrap();
    let _sent = map.add(A, 'y', 2_f64.powi(61)).unwrap();
    let before = map.clone();
    assert_eq!(map.set(A, at(6), 'x', f64::NAN), Err(ScoreError::NotANumber));
    assert_eq!(map.set(A, at(6), 'z', f64::NAN), Err(ScoreError::NotANumber));
    assert_eq!(map.set(A, at(5), 'x', 2.0), Err(StaleStamp.into()));
    assert_eq!(map.add(A, 'x', f64::NAN), Err(ScoreError::NotANumber));
    assert_eq!(map.add(A, 'z', f64::NAN), Err(ScoreError::NotANumber));
    for amount in [f64::INFINITY, f64::NEG_INFINITY, 2_f64.powi(62), -2_f64.powi(62), 1e300] {
        assert_eq!(map.add(B, 'z', amount), Err(ScoreError::TooLarge));
    }
    assert_eq!(map.add(A, 'y', 2_f64.powi(61)), Err(ScoreError::TooLarge));
    assert_eq!(map, before);
    assert_eq!(map.score(&'z'), None);
    // Elsewhere there is room for it, and the sum may be larger than any part.
    let _sent = map.add(B, 'y', 2_f64.powi(61)).unwrap();
    let _sent = map.add(ReplicaId::new(3), 'y', 2_f64.powi(61)).unwrap();
    assert_eq!(map.score(&'y'), Some(3.0 * 2_f64.powi(61)));
    assert_eq!(map.add(A, 'x', -1.0).map(|_| map.score(&'x')), Ok(Some(0.0)));
}

#[test]
fn an_increment_is_not_lost_beside_a_large_one_that_was_removed() {
    let mut left = Causal::<ScoreMap<char>>::new();
    let _sent = left.add(A, 'x', 1e16).unwrap();
    let mut right = left.clone();
    let added = left.add(A, 'x', 1.0).unwrap();
    let removed = right.remove(B, &'x');
    left.merge(removed);
    right.merge(added);
    assert_eq!((left.score(&'x'), right.score(&'x')), (Some(1.0), Some(1.0)));
}

#[test]
fn increments_are_rounded_once_to_the_nearest_unit_and_the_sum_once_when_read() {
    let unit = 2_f64.powi(-64);
    for (amounts, sum) in [
        (vec![unit, unit], 2.0 * unit),
        (vec![unit * 0.5], 0.0),
        (vec![unit * 0.75], unit),
        (vec![unit * 1.5], 2.0 * unit),
        (vec![unit * 2.5, unit * -2.5], 0.0),
        (vec![unit * -0.75], -unit),
        (vec![0.1; 10], 10.0 * 0.1),
        (vec![2_f64.powi(53), 1.0, unit], 2_f64.powi(53) + 2.0),
        (vec![2_f64.powi(53), 1.0], 2_f64.powi(53)),
    ] {
        let mut map = Causal::<ScoreMap<()>>::new();
        for (nth, amount) in amounts.iter().enumerate() {
            let _sent = map.add(ReplicaId::new(nth as u64), (), *amount).unwrap();
        }
        assert_eq!(map.score(&()), Some(sum), "{amounts:?}");
    }
    // Beyond 64 bits before the point, a fraction still decides a tie.
    for (last, sum) in [(0.0, 2_f64.powi(66)), (unit, 2_f64.powi(66) + 2_f64.powi(14))] {
        let mut map = Causal::<ScoreMap<()>>::new();
        for nth in 0..32 {
            let _sent = map.add(ReplicaId::new(nth), (), 2_f64.powi(61)).unwrap();
        }
        let _sent = map.add(ReplicaId::new(40), (), 2_f64.powi(13)).unwrap();
        let _sent = map.add(ReplicaId::new(41), (), last).unwrap();
        assert_eq!(map.score(&()), Some(sum));
    }
}

#[test]
fn whole_numbers_are_short() {
    let mut map = Causal::<ScoreMap<u8>>::new();
    let empty = map.add(A, 1, 0.0).unwrap().encode().unwrap().len();
    assert_eq!(map.add(A, 1, 100.0).unwrap().encode().unwrap().len(), empty + 1);
    let assigned = |score| Causal::<ScoreMap<u8>>::new().set(A, at(1), 1, score).unwrap().encode().unwrap().len();
    assert_eq!(assigned(1_000.0) - assigned(0.0), 3);
    assert!(assigned(0.1) - assigned(0.0) <= 9);
}

#[test]
fn a_delta_shows_scores_and_has_no_ranks() {
    let mut map = Causal::<ScoreMap<u8>>::new();
    let delta = map.set(A, at(1), 7, 1.0).unwrap();
    assert_eq!((delta.len(), delta.score(&7), delta.rank(&7), delta.iter().len()), (1, Some(1.0), None, 0));
    assert!(delta.contains(&7) && !map.remove(A, &7).contains(&7) && map.is_empty());
}
