//! Sorted sets at several replicas: scores that are one function of the cells, and the order kept beside them.

use std::collections::BTreeMap;
use std::ops::Bound;

use cahoots_gossip::store::{Applied, BUCKETS, Class, EventError, ScoreRule, Store, WriteError, score_of};
use cahoots_gossip::{Dot, Limits, ReplicaId};
use proptest::prelude::*;

const WALL: u64 = 1_700_000_000_000;
/// More than are kept without an order.
const MANY: u32 = 100;

fn stores<const N: usize>() -> [Store; N] {
    std::array::from_fn(|at| Store::new(ReplicaId::new(at as u64 + 1), Limits::default(), 400))
}

/// Seals what one replica has written, and hands it to the others.
fn send(from: &mut Store, others: &mut [&mut Store]) {
    from.seal();
    let id = from.id();
    while let Some(sealed) = from.poll_sealed() {
        for to in &mut *others {
            assert_eq!(to.apply(Dot::new(id, sealed.seq), &sealed.body), Ok(Applied::Now));
        }
    }
}

fn exchange(a: &mut Store, b: &mut Store) {
    send(a, &mut [b]);
    send(b, &mut [a]);
    assert!(a.fingerprints_are_exact() && b.fingerprints_are_exact());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

fn transfer(from: &mut Store, to: &mut Store) {
    let theirs = to.bucket_fingerprints(0, BUCKETS);
    let (bytes, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
    to.join_transfer(&bytes).expect("it is sound");
}

fn assign(store: &mut Store, at: u64, member: &str, score: f64, rule: ScoreRule) {
    store.write(WALL + at, 0, |w| w.assign_score(b"z", member.as_bytes(), score, rule)).expect("admitted");
}

fn add(store: &mut Store, member: &str, increment: f64) -> f64 {
    store.write(WALL, 0, |w| w.add_score(b"z", member.as_bytes(), increment)).expect("admitted")
}

fn score(store: &Store, member: &str) -> Option<f64> {
    store.at(WALL).view(b"z")?.score(member.as_bytes())
}

fn name(number: u32) -> String {
    format!("member:{number:011}")
}

/// The members in the order that reads give.
fn listed(store: &Store, at: u64) -> Vec<(Vec<u8>, f64)> {
    let Some(view) = store.at(at).view(b"z") else { return Vec::new() };
    let sorted = view.sorted();
    sorted.range(0..sorted.len()).map(|(member, score)| (member.to_vec(), score)).collect()
}

/// The members in the order of their scores, computed from each of them alone.
fn expected(store: &Store, at: u64) -> Vec<(Vec<u8>, f64)> {
    let Some(view) = store.at(at).view(b"z") else { return Vec::new() };
    let mut members: Vec<_> = view.iter().map(|(name, value)| (name.to_vec(), score_of(&value))).collect();
    members.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    members
}

#[test]
fn concurrent_scores_are_what_some_order_of_the_commands_gives() {
    use ScoreRule::{Greater, Less, Newest};
    type Case = (&'static [(f64, ScoreRule)], &'static [(f64, ScoreRule)], &'static [f64]);
    // What A writes, and B later; and what either order of the two would leave.
    let cases: &[Case] = &[
        (&[(3.0, Greater)], &[(15.0, Newest)], &[15.0]),
        (&[(15.0, Newest)], &[(3.0, Greater)], &[15.0]),
        (&[(5.0, Greater)], &[(15.0, Greater)], &[15.0]),
        (&[(15.0, Greater)], &[(5.0, Greater)], &[15.0]),
        (&[(15.0, Less)], &[(5.0, Less)], &[5.0]),
        (&[(5.0, Less)], &[(15.0, Less)], &[5.0]),
        (&[(1.0, Newest), (9.0, Greater)], &[(4.0, Newest)], &[4.0, 9.0]),
        (&[(1.0, Newest)], &[(2.0, Newest)], &[1.0, 2.0]),
    ];
    for (by_a, by_b, allowed) in cases {
        let [mut a, mut b] = stores();
        for (at, (score, rule)) in (0..).zip(*by_a) {
            assign(&mut a, at, "m", *score, *rule);
        }
        for (at, (score, rule)) in (10..).zip(*by_b) {
            assign(&mut b, at, "m", *score, *rule);
        }
        exchange(&mut a, &mut b);
        let shown = score(&a, "m").expect("it is there");
        assert!(allowed.contains(&shown), "{by_a:?} and {by_b:?} show {shown}");
        assert_eq!(score(&b, "m"), Some(shown));
    }
}

#[test]
fn a_removal_takes_from_a_score_what_it_observed_and_an_assignment_too() {
    for many in [false, true] {
        let [mut a, mut b] = stores();
        (0..if many { MANY } else { 0 })
            .for_each(|number| assign(&mut a, 0, &name(number), number.into(), ScoreRule::Newest));
        assign(&mut a, 0, "m", 10.0, ScoreRule::Newest);
        exchange(&mut a, &mut b);
        assert_eq!(add(&mut b, "m", 2.5), 12.5);
        exchange(&mut a, &mut b);
        a.write(WALL, 0, |w| w.remove(b"z", Class::Sorted, b"m")).unwrap();
        assert_eq!(add(&mut b, "m", 4.0), 16.5);
        exchange(&mut a, &mut b);
        assert_eq!((score(&a, "m"), score(&b, "m")), (Some(4.0), Some(4.0)), "what A had not observed");
        assign(&mut a, 1, "m", 100.0, ScoreRule::Newest);
        add(&mut b, "m", -0.5);
        exchange(&mut a, &mut b);
        assert_eq!((score(&a, "m"), score(&b, "m")), (Some(99.5), Some(99.5)));
        assert_eq!((listed(&a, WALL), listed(&b, WALL)), (expected(&a, WALL), expected(&a, WALL)));
    }
}

/// One double as a running total would lose the 1 for good.
#[test]
fn an_increment_is_not_lost_beside_a_large_one_that_a_removal_observed() {
    let [mut a, mut b] = stores();
    add(&mut a, "m", 1e16);
    exchange(&mut a, &mut b);
    add(&mut a, "m", 1.0);
    b.write(WALL, 0, |w| w.remove(b"z", Class::Sorted, b"m")).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!((score(&a, "m"), score(&b, "m")), (Some(1.0), Some(1.0)));
}

#[test]
fn a_member_asserted_anew_survives_a_concurrent_removal() {
    let [mut a, mut b] = stores();
    assign(&mut a, 0, "m", 1.0, ScoreRule::Newest);
    exchange(&mut a, &mut b);
    assign(&mut a, 1, "m", 1.0, ScoreRule::Newest);
    b.write(WALL + 2, 0, |w| w.remove(b"z", Class::Sorted, b"m")).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!((score(&a, "m"), score(&b, "m")), (Some(1.0), Some(1.0)));
}

#[test]
fn infinities_are_assigned_and_what_is_no_number_is_refused() {
    let [mut a, mut b] = stores();
    assert_eq!(add(&mut a, "m", f64::INFINITY), f64::INFINITY);
    assert_eq!(add(&mut a, "m", -5.0), f64::INFINITY);
    let sum = a.write(WALL, 0, |w| w.add_score(b"z", b"m", f64::NEG_INFINITY));
    assert_eq!(sum, Err(WriteError::ScoreNotANumber));
    let score = a.write(WALL, 0, |w| w.assign_score(b"z", b"m", f64::NAN, ScoreRule::Newest));
    assert_eq!(score, Err(WriteError::ScoreNotANumber));
    let large = 2.0_f64.powi(61);
    assert_eq!(add(&mut a, "n", large), large);
    for refused in [large, 2.0_f64.powi(62), 1e300] {
        let sum = a.write(WALL, 0, |w| w.add_score(b"z", b"n", refused));
        assert_eq!(sum, Err(WriteError::ScoreOverflow));
    }
    assert_eq!(add(&mut a, "n", -large), 0.0);
    exchange(&mut a, &mut b);
    assert_eq!(listed(&b, WALL), [(b"n".to_vec(), 0.0), (b"m".to_vec(), f64::INFINITY)]);
}

#[test]
fn a_register_that_is_no_score_is_refused_and_leaves_no_trace() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| w.insert(b"z", Class::Sorted, b"m", b"text")).unwrap();
    let theirs = b.bucket_fingerprints(0, BUCKETS);
    let (bytes, _) = a.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
    let sealed = a.poll_sealed().unwrap();
    let refused = b.apply(Dot::new(a.id(), 1), &sealed.body);
    assert_eq!(refused, Err(EventError::Illegal("a score that is no number")));
    assert!(b.join_transfer(&bytes).is_err() && b.is_empty());
}

#[test]
fn members_are_found_by_rank_score_and_name_whether_few_or_many() {
    for count in [5, MANY, 3_000] {
        let [mut store] = stores();
        // Two of each score.
        (0..count).for_each(|number| assign(&mut store, 0, &name(number), (number / 2).into(), ScoreRule::Newest));
        let members = expected(&store, WALL);
        let view = store.at(WALL).view(b"z").unwrap();
        let sorted = view.sorted();
        let len = members.len();
        assert_eq!((sorted.len(), view.len()), (len, len));
        for (rank, (member, score)) in members.iter().enumerate() {
            assert_eq!(sorted.rank_of(member), Some(rank));
            assert_eq!(sorted.range(rank..rank + 1).next(), Some((&member[..], *score)));
        }
        let from = |score| members.iter().filter(|it| it.1 < score).count();
        assert_eq!(sorted.by_score(Bound::Included(1.0), Bound::Excluded(2.0)), 2..4);
        assert_eq!(sorted.by_score(Bound::Excluded(1.0), Bound::Unbounded), from(2.0)..len);
        assert_eq!(sorted.by_score(Bound::Unbounded, Bound::Included(f64::INFINITY)), 0..len);
        assert!(sorted.by_score(Bound::Included(9e9), Bound::Included(-1.0)).is_empty());
        assert_eq!(sorted.rank_of(b"none"), None);

        let [mut store] = stores();
        (0..count).for_each(|number| assign(&mut store, 0, &name(number), 1.0, ScoreRule::Newest));
        let view = store.at(WALL).view(b"z").unwrap();
        let sorted = view.sorted();
        let bound = |number: u32| Bound::Included(name(number).into_bytes());
        let (from, to) = (bound(1), bound(3));
        assert_eq!(sorted.by_name(from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice)), 1..4);
        let (Bound::Included(from), Bound::Included(to)) = (from, to) else { unreachable!() };
        assert_eq!(sorted.by_name(Bound::Excluded(&from), Bound::Excluded(&to)), 2..3);
        assert_eq!(sorted.by_name(Bound::Unbounded, Bound::Unbounded), 0..sorted.len());
    }
}

/// While a deadline has passed and nothing was removed yet, the order knows more than there is to see.
#[test]
fn members_that_have_expired_are_in_no_range() {
    let [mut a, mut b] = stores();
    (0..MANY).for_each(|number| assign(&mut a, 0, &name(number), number.into(), ScoreRule::Newest));
    a.write(WALL, 0, |w| w.expire(b"z", Some(WALL + 10))).unwrap();
    // It has not seen the deadline.
    assign(&mut b, 20, "late", 50.0, ScoreRule::Newest);
    b.write(WALL + 20, 0, |w| w.add_score(b"z", name(7).as_bytes(), 0.5)).unwrap();
    exchange(&mut a, &mut b);
    for store in [&mut a, &mut b] {
        let visible = [(name(7).into_bytes(), 0.5), (b"late".to_vec(), 50.0)];
        assert_eq!(listed(store, WALL + 20), visible);
        assert_eq!(listed(store, WALL + 20), expected(store, WALL + 20));
        store.write(WALL + 21, 0, |w| w.remove_expired(b"z")).unwrap();
        assert_eq!(listed(store, WALL + 21), visible);
        assert!(store.fingerprints_are_exact());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Assign(usize, u32, i8, ScoreRule),
    Add(usize, u32, i8),
    Remove(usize, u32),
    Delete(usize),
    Send(usize),
    Transfer(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (at, member) = (|| 0..3_usize, || 0..60_u32);
    let rule = prop::sample::select(vec![ScoreRule::Newest, ScoreRule::Newest, ScoreRule::Greater, ScoreRule::Less]);
    prop_oneof![
        20 => (at(), member(), -9..9_i8, rule).prop_map(|(at, member, score, rule)| Step::Assign(at, member, score, rule)),
        20 => (at(), member(), -9..9_i8).prop_map(|(at, member, score)| Step::Add(at, member, score)),
        10 => (at(), member()).prop_map(|(at, member)| Step::Remove(at, member)),
        1 => at().prop_map(Step::Delete),
        10 => at().prop_map(Step::Send),
        5 => (at(), at()).prop_map(|(from, to)| Step::Transfer(from, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The order is what the cells say after every step, however they came; and in the end all show one thing.
    #[test]
    fn orders_follow_writes_events_and_joins(steps in prop::collection::vec(step(), 1..150), renamed in any::<bool>()) {
        let mut stores: [Store; 3] = stores();
        let mut wall = WALL;
        for store in &mut stores {
            for number in 0..40 {
                assign(store, 0, &name(number), number.into(), ScoreRule::Newest);
            }
        }
        for step in steps {
            wall += 1;
            let touched = match step {
                Step::Assign(at, member, score, rule) => {
                    let member = name(member);
                    stores[at].write(wall, 0, |w| w.assign_score(b"z", member.as_bytes(), score.into(), rule)).unwrap();
                    at
                }
                Step::Add(at, member, score) => {
                    let (member, increment) = (name(member), f64::from(score) / 10.0);
                    stores[at].write(wall, 0, |w| w.add_score(b"z", member.as_bytes(), increment)).unwrap();
                    at
                }
                Step::Remove(at, member) => {
                    let member = name(member);
                    stores[at].write(wall, 0, |w| w.remove(b"z", Class::Sorted, member.as_bytes())).unwrap();
                    at
                }
                Step::Delete(at) => {
                    stores[at].write(wall, 0, |w| w.delete(b"z")).unwrap();
                    at
                }
                Step::Send(at) => {
                    stores[at].seal();
                    let id = stores[at].id();
                    while let Some(sealed) = stores[at].poll_sealed() {
                        for to in (0..3).filter(|to| *to != at) {
                            // What waits for others comes by a transfer.
                            stores[to].apply(Dot::new(id, sealed.seq), &sealed.body).unwrap();
                        }
                    }
                    at
                }
                Step::Transfer(from, to) => {
                    if let Ok([from, to]) = stores.get_disjoint_mut([from, to]) {
                        transfer(from, to);
                    }
                    to
                }
            };
            for store in &mut stores {
                prop_assert!(store.fingerprints_are_exact());
            }
            prop_assert_eq!(listed(&stores[touched], wall), expected(&stores[touched], wall));
        }
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                let [from, to] = stores.get_disjoint_mut([from, to]).unwrap();
                transfer(from, to);
            }
        }
        let shown: Vec<BTreeMap<Vec<u8>, u64>> = stores
            .iter()
            .map(|store| listed(store, wall).into_iter().map(|(member, score)| (member, score.to_bits())).collect())
            .collect();
        prop_assert_eq!(&shown[0], &shown[1]);
        prop_assert_eq!(&shown[0], &shown[2]);
        if renamed {
            let [store, ..] = &mut stores;
            store.doubt();
            for number in 0..60 {
                store.write(wall, 0, |w| w.add_score(b"z", name(number).as_bytes(), 0.25)).unwrap();
            }
            let before = listed(store, wall);
            store.rename(ReplicaId::new(77));
            prop_assert!(store.fingerprints_are_exact());
            prop_assert_eq!(listed(store, wall), before);
        }
    }
}

/// Bytes that a member of 18 bytes takes, its place in the order and its share of everything included.
#[test]
fn a_member_takes_little_more_than_what_it_consists_of() {
    let [mut store] = stores();
    for number in 0..50_000_u32 {
        let scattered = number.wrapping_mul(0x9E37_79B1) >> 8;
        store
            .write(WALL, 0, |w| w.assign_score(b"z", name(number).as_bytes(), scattered.into(), ScoreRule::Newest))
            .unwrap();
    }
    let memory = store.memory_of(b"z").unwrap();
    let each = (memory.value + memory.metadata) / 50_000;
    assert!((90..120).contains(&each), "{each} bytes a member");
}
