//! Short histories, each with the sentence it proves. The shortest ones on which `crdts` 7.3 ends in different states are
//! in `crdts_diverges.rs`, with that crate beside ours.

use cahoots_crdt::{
    AwSet, BoundedCounter, BoundedError, Causal, CausalBarrier, Delta, DwFlag, EwFlag, GCounter, Hlc, HybridClock,
    Lattice, LwwRegister, MvRegister, OrMap, Overflow, PnCounter, ReplicaId, RwSet, StaleStamp, Vote, Wire,
};

const A: ReplicaId = ReplicaId::new(0xA);
const B: ReplicaId = ReplicaId::new(0xB);
const C: ReplicaId = ReplicaId::new(0xC);

type Counters = Causal<OrMap<u8, PnCounter>>;

const K: u8 = 7;
type Sets = Causal<OrMap<&'static str, AwSet<&'static str>>>;
type Nested = Causal<OrMap<&'static str, OrMap<&'static str, MvRegister<u32>>>>;

/// Merges the deltas in every order, and the orders' results with each other; all must be the same.
fn in_every_order<T: Lattice + Clone + PartialEq + std::fmt::Debug>(bottom: &T, deltas: &[T]) -> T {
    fn orders(rest: &[usize]) -> Vec<Vec<usize>> {
        if rest.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for first in rest {
            let others: Vec<usize> = rest.iter().copied().filter(|other| other != first).collect();
            all.extend(orders(&others).into_iter().map(|mut order| {
                order.insert(0, *first);
                order
            }));
        }
        all
    }
    let ends: Vec<T> = orders(&(0..deltas.len()).collect::<Vec<_>>())
        .into_iter()
        .map(|order| {
            let mut state = bottom.clone();
            order.into_iter().for_each(|nth| state.merge(deltas[nth].clone()));
            state
        })
        .collect();
    for end in &ends {
        assert_eq!(end, &ends[0]);
        let mut both = end.clone();
        both.merge(ends[0].clone());
        assert_eq!(both, ends[0]);
    }
    ends[0].clone()
}

#[test]
fn a_missing_key_reads_as_zero_and_a_read_creates_nothing() {
    let counters = Counters::new();
    assert_eq!(counters.value(&K), Ok(0));
    assert!(counters.get(&K).is_none() && counters.is_empty() && counters.context().is_empty());
}

#[test]
fn a_change_that_changes_nothing_is_no_event() {
    let mut sets = Sets::new();
    let first = sets.insert(A, "k", "x");
    let before = sets.clone();
    for nothing in [
        sets.remove_member(A, "k", &"absent"),
        sets.remove_member(A, "absent", &"x"),
        sets.remove(A, "absent"),
        sets.update(A, "other", |_, _| AwSet::default()),
    ] {
        assert!(nothing.is_bottom());
    }
    assert_eq!(sets, before);
    assert_eq!(sets.len(), 1);
    assert!(!first.is_bottom());
}

#[test]
fn concurrent_increments_add_up_and_may_go_negative() -> Result<(), Overflow> {
    let mut a: Causal<PnCounter> = Causal::new();
    let start = a.add(A, 42)?;
    let (mut b, mut c) = (a.clone(), a.clone());
    let deltas = [start, a.add(A, 1)?, b.add(B, 2)?, b.add(B, 3)?, c.add(C, -1)?, c.add(C, -100)?];
    assert_eq!(in_every_order(&Causal::new(), &deltas).value()?, 42 + 1 + 2 + 3 - 101);
    Ok(())
}

#[test]
fn a_total_outside_64_bits_is_an_error_and_never_a_wrap() -> Result<(), Overflow> {
    let mut counter: Causal<PnCounter> = Causal::new();
    let mut growing: Causal<GCounter> = Causal::new();
    for _ in 0..2 {
        let _sent = (counter.add(A, i64::MAX)?, growing.increment(A, u64::MAX)?);
    }
    assert_eq!((counter.value(), growing.value()), (Err(Overflow), Err(Overflow)));
    assert_eq!(counter.value_wide()?, 2 * i128::from(i64::MAX));
    let _sent = counter.add(B, -i64::MAX)?;
    assert_eq!(counter.value()?, i64::MAX);
    Ok(())
}

#[test]
fn three_replicas_with_a_thousand_increments_over_twenty_keys_have_exact_totals() -> Result<(), Overflow> {
    let mut replicas = [(A, Counters::new()), (B, Counters::new()), (C, Counters::new())];
    for (id, state) in &mut replicas {
        for n in 0..1_000_u16 {
            let _sent = state.add(*id, (n % 20) as u8, 1)?;
        }
    }
    let mut all = Counters::new();
    replicas.into_iter().for_each(|(_, state)| all.merge(state));
    assert!((0..20).all(|key| all.value(&key) == Ok(150)));
    Ok(())
}

#[test]
fn removing_a_counter_takes_away_exactly_the_observed_increments() -> Result<(), Overflow> {
    let mut a = Counters::new();
    let ten = a.add(A, K, 10)?;
    let mut b = a.clone();
    let mut c = a.clone();
    let deltas = [ten, a.remove(A, &K), b.add(B, K, 7)?, c.add(C, K, -2)?];
    assert_eq!(in_every_order(&Counters::new(), &deltas).value(&K)?, 5);
    Ok(())
}

/// The embedded-counter problem: the owner goes on counting without having seen the removal.
#[test]
fn a_removal_that_saw_part_of_a_running_count_leaves_the_rest() -> Result<(), Overflow> {
    let mut owner = Counters::new();
    let first = owner.add(B, K, 8)?;
    let mut remover = Counters::new();
    remover.merge(first.clone());
    let later = owner.add(B, K, 7)?;
    let removal = remover.remove(A, &K);
    let end = in_every_order(&Counters::new(), &[first, later, removal]);
    assert_eq!(end.value(&K)?, 7);

    // It goes on after the removal arrived, is removed again, and starts anew.
    let mut owner = end.clone();
    let more = owner.add(B, K, 1)?;
    let mut remover = end;
    remover.merge(more);
    assert_eq!(remover.value(&K)?, 8);
    owner.merge(remover.remove(A, &K));
    assert!(owner.get(&K).is_none());
    let _sent = owner.add(B, K, 3)?;
    assert_eq!(owner.value(&K)?, 3);
    Ok(())
}

#[test]
fn two_removals_that_saw_different_parts_of_a_count_take_away_the_greater() -> Result<(), Overflow> {
    let mut owner = Counters::new();
    let increments = [owner.add(C, K, 1)?, owner.add(C, K, 2)?, owner.add(C, K, 4)?];
    let (mut a, mut b) = (Counters::new(), Counters::new());
    a.merge(increments[0].clone());
    b.merge(increments[0].clone());
    b.merge(increments[1].clone());
    let [one, two, three] = increments;
    let deltas = [one, two, three, a.remove(A, &K), b.remove(B, &K)];
    assert_eq!(in_every_order(&Counters::new(), &deltas).value(&K)?, 4);
    Ok(())
}

#[test]
fn a_count_nested_two_maps_deep_survives_the_removal_of_the_outer_key_by_what_was_new() -> Result<(), Overflow> {
    type Deep = Causal<OrMap<u8, OrMap<u8, PnCounter>>>;
    let add = |state: &mut Deep, id, amount| {
        state.try_update(id, 1, |map, mutation| {
            map.try_update(mutation, 2, |counter, mutation| counter.add(mutation, amount))
        })
    };
    let mut a = Deep::new();
    let first = add(&mut a, A, 5)?;
    let mut b = a.clone();
    let later = add(&mut a, A, 3)?;
    let removal = b.remove(B, &1);
    let end = in_every_order(&Deep::new(), &[first, later, removal]);
    assert_eq!(end.get(&1).and_then(|map| map.get(&2)).map(PnCounter::value), Some(Ok(3)));
    Ok(())
}

#[test]
fn one_replica_that_counts_a_million_times_holds_one_cell() -> Result<(), Overflow> {
    let mut counter: Causal<PnCounter> = Causal::new();
    let mut peer = counter.clone();
    for _ in 0..1_000_000 {
        let delta = counter.add(A, 1)?;
        peer.merge(delta);
    }
    assert_eq!((counter.value()?, peer.value()?), (1_000_000, 1_000_000));
    assert!(counter.encode().unwrap().len() < 32);
    assert_eq!(counter, peer);
    Ok(())
}

/// A counter of its own has a shorter way to count than one in a map; nobody may be able to tell.
#[test]
fn a_counter_that_stands_alone_counts_as_one_that_is_nested() -> Result<(), Overflow> {
    let general = |counter: &mut Causal<PnCounter>, id, amount| {
        counter.try_mutate(id, |counter, mutation| counter.add(mutation, amount))
    };
    let growing = |counter: &mut Causal<GCounter>, id, amount: i64| {
        counter.try_mutate(id, |counter, mutation| counter.increment(mutation, amount.unsigned_abs()))
    };
    let mut counters = [Causal::<PnCounter>::new(), Causal::new()];
    let mut growings = [Causal::<GCounter>::new(), Causal::new()];
    let mut out_of_order = None;
    for n in 0..200_u8 {
        let (id, amount) = ([A, B, C][usize::from(n % 7 % 3)], i64::from(n % 5) - 2);
        let deltas = [counters[0].add(id, amount)?, general(&mut counters[1], id, amount)?];
        assert_eq!(deltas[0].encode(), deltas[1].encode());
        let deltas = [growings[0].increment(id, amount.unsigned_abs())?, growing(&mut growings[1], id, amount)?];
        assert_eq!(deltas[0].encode(), deltas[1].encode());
        match n {
            // An event of a fourth replica whose first is still missing: the context has a gap from here on.
            90 => {
                let mut other = Causal::<PnCounter>::new();
                let first = other.add(ReplicaId::new(4), 9)?;
                let second = other.add(ReplicaId::new(4), 9)?;
                counters.iter_mut().for_each(|counter| counter.merge(second.clone()));
                out_of_order = Some(first);
            }
            120 => counters.iter_mut().for_each(|counter| counter.merge(out_of_order.clone().unwrap())),
            150 => counters.iter_mut().for_each(|counter| drop(counter.clear(B))),
            _ => {}
        }
        assert_eq!((&counters[0], &growings[0]), (&counters[1], &growings[1]));
    }
    Ok(())
}

#[test]
fn counting_and_removing_one_key_for_ever_leaves_bounded_bookkeeping() -> Result<(), Overflow> {
    let (mut a, mut b) = (Counters::new(), Counters::new());
    for round in 0..1_000 {
        let delta = a.add(A, K, round + 1)?;
        b.merge(delta);
        a.merge(b.remove(B, &K));
        assert!(a.is_empty() && b.is_empty());
    }
    assert!(b.size().unwrap().total() < 100, "{:?}", b.size());

    // What is left goes when its owner has acknowledged.
    let acknowledged = a.context().clone();
    b.collect(A, &acknowledged);
    let mut plain = Counters::new();
    plain.merge(b.clone());
    assert!(b.size().unwrap().data == 0 && b.size().unwrap().total() < 50, "{:?}", b.size());
    Ok(())
}

#[test]
fn a_baseline_is_kept_while_its_owner_may_still_be_counting_on() -> Result<(), Overflow> {
    let mut owner = Counters::new();
    let first = owner.add(A, K, 8)?;
    let mut b = Counters::new();
    b.merge(first);
    let _removal = b.remove(B, &K);
    let late = owner.add(A, K, 1)?;
    // The owner has not seen the removal: its acknowledgement must not collect anything.
    let acknowledged = owner.context().clone();
    b.collect(A, &acknowledged);
    b.merge(late);
    b.collect(A, &acknowledged);
    assert_eq!(b.value(&K)?, 1);
    Ok(())
}

#[test]
fn an_add_wins_over_a_concurrent_removal_and_over_a_clear() {
    let mut a: Causal<AwSet<&str>> = Causal::new();
    let first = a.add(A, "x");
    let (mut b, mut c) = (a.clone(), a.clone());
    let deltas = [first, a.add(A, "x"), b.remove(B, "x"), c.clear(C), c.add(C, "y")];
    let end = in_every_order(&Causal::new(), &deltas);
    assert!(end.contains("x") && end.contains("y") && end.len() == 2);
}

#[test]
fn the_same_histories_end_without_the_member_in_a_remove_wins_set() {
    let mut a: Causal<RwSet<&str>> = Causal::new();
    let first = a.add(A, "x");
    let mut b = a.clone();
    let deltas = [first, a.add(A, "x"), b.remove(B, "x")];
    assert!(in_every_order(&Causal::new(), &deltas).is_empty());
}

#[test]
fn removing_the_key_of_a_remove_wins_set_makes_no_member_appear() {
    type Map = Causal<OrMap<u8, RwSet<u8>>>;
    let mut a = Map::new();
    let seven = a.insert(A, 1, 7);
    let mut b = a.clone();
    let mut c = a.clone();
    let removed = b.remove_member(B, 1, 7);
    let added = a.insert(A, 1, 7);
    c.merge(removed.clone());
    let eight = c.insert(C, 1, 8);
    let key_removed = c.remove(C, &1);
    let end = in_every_order(&Map::new(), &[seven, removed, added, eight, key_removed]);
    assert!(!end.contains(&1, &7) && end.is_empty());
}

#[test]
fn a_removed_then_added_member_stays_and_a_removed_value_never_returns() {
    let mut names: Causal<OrMap<u8, MvRegister<&str>>> = Causal::new();
    let old = names.set(A, 1, "old");
    let removed = names.remove(A, &1);
    let new = names.set(A, 1, "new");
    let end = in_every_order(&Causal::new(), &[old, removed, new]);
    assert_eq!(end.get(&1).and_then(MvRegister::get), Some(&"new"));
}

#[test]
fn equal_stamps_are_decided_alike_everywhere_and_a_stale_stamp_is_refused() {
    let mut a: Causal<LwwRegister<&str, u64>> = Causal::new();
    let mut b = a.clone();
    let deltas = [a.write(A, 5, "a").unwrap(), b.write(B, 5, "b").unwrap()];
    let mut end = in_every_order(&Causal::new(), &deltas);
    assert_eq!(end.get(), Some(&"b"));
    assert_eq!(end.siblings().len(), 2);
    let before = end.clone();
    assert_eq!(end.write(A, 5, "again"), Err(StaleStamp));
    assert_eq!(end, before);
    end.write(A, 6, "later").map(drop).unwrap();
    assert_eq!((end.get(), end.siblings().len()), (Some(&"later"), 1));
}

#[test]
fn a_clock_far_ahead_is_refused_and_leaves_no_trace() {
    let mut clock = HybridClock::new(1_000);
    let first = clock.tick(10_000).unwrap();
    let refused = clock.observe(Hlc::new(11_001, 0), 10_000).unwrap_err();
    assert_eq!((refused.ahead_millis, refused.max_millis), (1_001, 1_000));
    assert_eq!(clock.latest(), first);
    clock.observe(Hlc::new(11_000, u16::MAX), 10_000).unwrap();
    // The counter is full: it carries into the milliseconds, and that is over the bound.
    assert!(clock.tick(10_000).is_err());
    assert_eq!(clock.tick(10_001).unwrap(), Hlc::new(11_001, 0));
}

#[test]
fn a_clock_that_has_seen_the_highest_timestamp_refuses_instead_of_repeating_it() {
    let highest = Hlc::new(u64::MAX, u16::MAX);
    let mut clock = HybridClock::new(u64::MAX);
    clock.observe(highest, 0).unwrap();
    assert_eq!(clock.tick(0).unwrap_err().ahead_millis, highest.millis());
    assert_eq!(clock.latest(), highest);
}

/// One id in two places breaks the one rule there is. What they wrote under the same dots may be lost, and nothing more.
#[test]
fn two_copies_that_write_under_one_id_lose_changes_but_do_no_other_harm() -> Result<(), Overflow> {
    type Both = Causal<OrMap<u8, OrMap<u8, PnCounter>>>;
    let add = |map: &mut Both, id, key, amount| {
        map.try_update(id, key, |map, m| map.try_update(m, 1, |counter, m| counter.add(m, amount)))
    };
    let mut original = Both::new();
    let _sent = (add(&mut original, A, 1, 5)?, add(&mut original, B, 1, 6)?);
    let mut copy = original.clone();
    let mut deltas = Vec::new();
    for round in 0..20_u8 {
        deltas.extend([add(&mut original, A, 1, 1 + i64::from(round))?, add(&mut copy, A, round % 3, -2)?]);
        deltas.extend([copy.remove(A, &1), original.remove(A, &2)]);
        let (ours, theirs) = (deltas[deltas.len() / 2].clone(), deltas[deltas.len() / 3].clone());
        original.merge(ours);
        copy.merge(theirs);
    }
    let (mut left, mut right) = (original.clone(), copy.clone());
    left.merge(copy);
    right.merge(original);
    assert_eq!(left, right);
    for map in [left, right] {
        for (_, counters) in map.iter() {
            assert!(counters.iter().all(|(_, counter)| counter.value().is_ok()));
        }
    }
    Ok(())
}

/// A cell is never cut: with no budget at all every piece is one cell or one run of what is dead.
#[test]
fn a_budget_too_small_for_any_piece_still_gives_pieces_that_join_to_the_whole() {
    let mut map: Causal<OrMap<u32, AwSet<u32>>> = Causal::new();
    for n in 0..40 {
        let _sent = map.insert([A, B, C][n as usize % 3], n % 5, n);
        if n % 4 == 3 {
            let _sent = (map.remove_member(B, n % 5, &n), map.remove(C, &(n % 7)));
        }
    }
    for bytes_max in [0, 1, 5] {
        let mut pieces = map.clone().split(bytes_max).unwrap();
        assert!(pieces.len() > 4, "{}", pieces.len());
        pieces.reverse();
        let mut joined: Causal<OrMap<u32, AwSet<u32>>> = Causal::new();
        pieces.into_iter().for_each(|piece| joined.merge(piece));
        assert_eq!(joined, map);
    }
    assert_eq!(Causal::<AwSet<u8>>::new().split(0).unwrap().len(), 0);
}

#[test]
fn rights_handed_to_oneself_are_no_event_and_totals_beyond_64_bits_are_an_error() -> Result<(), BoundedError> {
    let mut stock: Causal<BoundedCounter> = Causal::new();
    for _ in 0..2 {
        let _sent = stock.increment(A, u64::MAX)?;
    }
    assert_eq!((stock.value(), stock.rights(A)?), (Err(Overflow), 2 * u128::from(u64::MAX)));
    assert!(stock.transfer(A, A, 7)?.is_bottom() && stock.decrement(A, 0)?.is_bottom());
    assert_eq!(stock.transfer(B, B, 1), Err(BoundedError::NoRights { asked: 1, held: 0 }));
    let _sent = (stock.transfer(A, B, u64::MAX)?, stock.decrement(A, u64::MAX)?);
    assert_eq!((stock.value()?, stock.rights(A)?, stock.rights(B)?), (u64::MAX, 0, u64::MAX.into()));
    Ok(())
}

#[test]
fn deleting_an_inner_field_and_setting_its_sibling_concurrently_gives_one_result_in_every_order() {
    let set = |state: &mut Nested, id, field, value| {
        state.update(id, "k", |map, mutation| map.update(mutation, field, |register, m| register.write(m, value)))
    };
    let mut a = Nested::new();
    let first = set(&mut a, A, "f", 1);
    let (mut b, mut c) = (a.clone(), a.clone());
    let deltas = [
        first,
        a.update(A, "k", |map, mutation| map.remove(mutation, "f")),
        set(&mut b, B, "g", 2),
        set(&mut c, C, "f", 3),
        c.remove(C, "k"),
    ];
    let end = in_every_order(&Nested::new(), &deltas);
    let map = end.get("k").unwrap();
    assert_eq!(map.len(), 1);
    assert_eq!(map.get("g").and_then(MvRegister::get), Some(&2));
}

#[test]
fn removing_a_set_while_it_is_added_to_leaves_the_unseen_member_in_every_order() {
    let mut a = Sets::new();
    let deltas = [a.insert(A, "k", "x"), a.insert(A, "k", "y")];
    let (mut b, mut c) = (a.clone(), Sets::new());
    c.merge(deltas[0].clone());
    let [x, y] = deltas;
    let deltas = [x, y, b.remove(B, "k"), a.insert(A, "k", "z"), c.remove_member(C, "k", &"x"), c.insert(C, "k", "w")];
    let end = in_every_order(&Sets::new(), &deltas);
    let mut members: Vec<_> = end.get("k").unwrap().iter().copied().collect();
    members.sort_unstable();
    assert_eq!(members, ["w", "z"]);
}

#[test]
fn states_that_crossed_removals_at_different_depths_agree_whatever_merges_into_what() {
    let set = |state: &mut Nested, id, field, value| {
        state.update(id, "k", |map, mutation| map.update(mutation, field, |register, m| register.write(m, value)))
    };
    let mut a = Nested::new();
    let _sent = set(&mut a, A, "f", 1);
    let (mut b, mut c) = (a.clone(), a.clone());
    let _sent = (a.remove(A, "k"), set(&mut a, A, "f", 2));
    let _sent = b.update(B, "k", |map, mutation| map.remove(mutation, "f"));
    let _sent = set(&mut c, C, "g", 3);
    let end = in_every_order(&Nested::new(), &[a, b, c]);
    let map = end.get("k").unwrap();
    assert_eq!((map.get("f").and_then(MvRegister::get), map.get("g").and_then(MvRegister::get)), (Some(&2), Some(&3)));
}

#[test]
fn flags_differ_exactly_where_enabling_meets_disabling() {
    let mut a: Causal<EwFlag> = Causal::new();
    let first = a.enable(A);
    let mut b = a.clone();
    assert!(a.enable(A).is_bottom());
    let again = [first, a.disable(A), a.enable(A), b.disable(B)];
    assert!(in_every_order(&Causal::new(), &again).is_enabled());

    let mut a: Causal<DwFlag> = Causal::new();
    let first = a.enable(A);
    let mut b = a.clone();
    let again = [first, a.disable(A), a.enable(A), b.disable(B)];
    assert!(!in_every_order(&Causal::new(), &again).is_enabled());
}

#[test]
fn a_second_ballot_replaces_the_first_and_only_members_count() {
    let mut vote: Causal<Vote> = Causal::new();
    let mut b = vote.clone();
    let deltas = [vote.cast(A, true), vote.cast(A, false), b.cast(B, true)];
    let end = in_every_order(&Causal::new(), &deltas);
    let tally = end.tally([A, B, C, C]);
    assert_eq!((tally.in_favor, tally.against, tally.silent), (1, 1, 1));
    assert!(tally.at_least_one() && !tally.majority());
    assert!(end.tally([B]).all());
    assert!(!end.tally([]).all());
}

#[test]
fn a_bounded_counter_refuses_what_it_has_no_rights_for() -> Result<(), BoundedError> {
    let mut a: Causal<BoundedCounter> = Causal::new();
    let _sent = (a.increment(A, 10)?, a.transfer(A, B, 4)?);
    let mut b = a.clone();
    let before = a.clone();
    assert_eq!(a.decrement(A, 7), Err(BoundedError::NoRights { asked: 7, held: 6 }));
    assert_eq!(a.transfer(A, C, 7), Err(BoundedError::NoRights { asked: 7, held: 6 }));
    assert_eq!(a, before);
    let spent = [a.decrement(A, 6)?, b.decrement(B, 4)?];
    let mut end = before;
    spent.into_iter().for_each(|delta| end.merge(delta));
    assert_eq!((end.value()?, end.rights(A)?, end.rights(B)?), (0, 0, 0));
    Ok(())
}

#[test]
fn a_removal_travels_in_the_difference_to_one_who_was_away() {
    let mut here: Causal<AwSet<u32>> = Causal::new();
    for n in 0..100 {
        let _sent = here.add(A, n);
    }
    let mut away = here.clone();
    let _sent = (here.remove(A, &50), here.add(A, 1_000));
    let lacking = here.since(away.context().version_vector());
    assert!(lacking.size().unwrap().total() < 60, "{:?}", lacking.size());
    away.merge(lacking);
    assert_eq!(away, here);
}

#[test]
fn pieces_stay_under_the_budget_and_merge_in_any_order() {
    let mut set: Causal<AwSet<u64>> = Causal::new();
    for n in 0..500_u64 {
        let _sent = set.add(if n % 2 == 0 { A } else { B }, n);
        if n % 3 == 0 {
            let _sent = set.remove(C, &(n / 2));
        }
    }
    let mut pieces = set.clone().split(200).unwrap();
    assert!(pieces.len() > 10);
    assert!(pieces.iter().all(|piece| piece.encode().unwrap().len() <= 200));
    pieces.reverse();
    let mut joined = Causal::<AwSet<u64>>::new();
    pieces.into_iter().for_each(|piece| joined.merge(piece));
    assert_eq!(joined, set);
}

#[test]
fn the_barrier_holds_an_effect_back_until_its_cause_arrives_and_is_bounded() {
    let [mut a, mut b] = [A, B].map(|id| CausalBarrier::new(id, 10));
    let mut c = CausalBarrier::new(C, 2);
    let first = a.send("1");
    assert_eq!(b.receive(first.clone()), Ok(vec!["1"]));
    let second = b.send("2");
    assert_eq!(second.after, [first.dot]);
    let third = b.send("3");
    let fourth = b.send("4");
    assert_eq!(c.receive(third.clone()), Ok(vec![]));
    assert_eq!(c.receive(second.clone()), Ok(vec![]));
    assert!(c.receive(fourth.clone()).is_err());
    assert_eq!(c.receive(second), Ok(vec![]));
    assert_eq!((c.held(), c.missing()), (2, vec![first.dot]));
    assert_eq!(c.receive(first.clone()), Ok(vec!["1", "2", "3"]));
    assert_eq!(c.receive(first), Ok(vec![]));
    assert_eq!(c.receive(fourth), Ok(vec!["4"]));
    assert!(c.missing().is_empty());
}

/// A hash table gives its members in no order, and their dots close up to runs only in the end.
#[test]
fn clearing_a_large_set_and_removing_a_large_key_take_time_linear_in_it() {
    let (mut set, mut map) = (Causal::<AwSet<u32>>::new(), Causal::<OrMap<u8, AwSet<u32>>>::new());
    for n in 0..300_000 {
        let _sent = (set.add(A, n), map.insert(A, 1, n));
    }
    let (mut set_away, mut map_away) = (set.clone(), map.clone());
    set_away.merge(set.clear(B));
    map_away.merge(map.remove(B, &1));
    assert!(set.is_empty() && set == set_away);
    assert!(map.is_empty() && map == map_away);
}

/// Pieces of a megabyte hold tens of thousands of members each.
#[test]
fn a_large_set_is_cut_to_large_pieces_as_quickly_as_to_small_ones() {
    let mut set: Causal<AwSet<u32>> = Causal::new();
    for n in 0..200_000 {
        let _sent = set.add(A, n);
    }
    let pieces = set.clone().split(1 << 20).unwrap();
    assert!(pieces.iter().all(|piece| piece.encode().unwrap().len() <= 1 << 20));
    let mut joined: Causal<AwSet<u32>> = Causal::new();
    pieces.into_iter().for_each(|piece| joined.merge(piece));
    assert_eq!(joined, set);
}

/// A counter that a hundred replicas counted in, or a register that as many wrote to, is larger than a small datagram.
#[test]
fn the_cells_of_one_leaf_are_cut_apart_when_they_are_too_many() -> Result<(), Overflow> {
    const BYTES_MAX: usize = 200;
    let id = |n: u64| ReplicaId::new(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut counter: Causal<PnCounter> = Causal::new();
    let mut name: Causal<OrMap<u8, MvRegister<u64>>> = Causal::new();
    let mut votes: Causal<Vote> = Causal::new();
    let mut start = counter.clone();
    start.merge(counter.add(B, 1)?);
    for n in 1..=100 {
        let mut counter_at_n = start.clone();
        counter.merge(counter_at_n.add(id(n), 5)?);
        name.merge(Causal::<OrMap<u8, MvRegister<u64>>>::new().set(id(n), 1, n));
        let _sent = votes.cast(id(n), n % 2 == 0);
    }
    // A removal that saw all of it, and increments that it did not see: cells with baselines.
    let mut counters = Causal::<OrMap<u8, PnCounter>>::new();
    for n in 1..=100 {
        let _sent = counters.add(id(n), 1, 5)?;
    }
    let mut late = counters.clone();
    let removal = counters.remove(A, &1);
    for n in 1..=100 {
        counters.merge(late.add(id(n), 1, 1)?);
    }
    assert_eq!(counters.value(&1)?, 100);

    fn check<S: Wire + PartialEq + std::fmt::Debug>(whole: &Causal<S>) {
        let pieces = whole.clone().split(BYTES_MAX).unwrap();
        assert!(pieces.len() > 4);
        let mut joined = Causal::<S>::new();
        for piece in pieces.into_iter().rev() {
            assert!(piece.encode().unwrap().len() <= BYTES_MAX);
            joined.merge(piece);
        }
        assert_eq!(&joined, whole);
    }
    check(&counter);
    check(&name);
    check(&votes);
    check(&counters);
    check(&removal);
    Ok(())
}
