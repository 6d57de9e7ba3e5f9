//! The tables "A does x, B does y, concurrently" of the documentation, row by row.

use cahoots_crdt::{
    AwSet, BoundedCounter, BoundedError, Causal, DotStore, DwFlag, EwFlag, GCounter, GSet, Lattice, LwwRegister,
    MaxRegister, MinRegister, MvRegister, OrMap, Overflow, PnCounter, ReplicaId, RwSet, Vote,
};

const A: ReplicaId = ReplicaId::new(0xA);
const B: ReplicaId = ReplicaId::new(0xB);

/// From what both have seen, A and B each do something, hear of the other's change, and must then be equal.
fn both_read<S: DotStore + PartialEq + std::fmt::Debug>(
    seen: impl FnOnce(&mut Causal<S>),
    a_does: impl FnOnce(&mut Causal<S>) -> Causal<S>,
    b_does: impl FnOnce(&mut Causal<S>) -> Causal<S>,
) -> Causal<S> {
    let mut a = Causal::new();
    seen(&mut a);
    let mut b = a.clone();
    let (of_a, of_b) = (a_does(&mut a), b_does(&mut b));
    a.merge(of_b);
    b.merge(of_a);
    assert_eq!(a, b);
    a
}

fn nothing<S>(_: &mut Causal<S>) {}

fn sorted<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values
}

#[test]
fn growing_counters() -> Result<(), Overflow> {
    type Map = Causal<OrMap<u8, GCounter>>;
    let add = |n| move |c: &mut Causal<GCounter>| c.increment(if n == 2 { A } else { B }, n).unwrap();
    assert_eq!(both_read(nothing, add(2), add(3)).value()?, 5);
    let seen = |map: &mut Map| drop(map.increment(A, 1, 40));
    let end = both_read(seen, |map: &mut Map| map.increment(A, 1, 2).unwrap(), |map| map.remove(B, &1));
    assert_eq!(end.value(&1)?, 2);
    Ok(())
}

#[test]
fn counters() -> Result<(), Overflow> {
    type Map = Causal<OrMap<u8, PnCounter>>;
    let end =
        both_read(|c: &mut Causal<PnCounter>| drop(c.add(A, 10)), |c| c.add(A, 2).unwrap(), |c| c.add(B, -3).unwrap());
    assert_eq!(end.value()?, 10 - 1);
    let seen = |map: &mut Map| drop(map.add(B, 1, 10));
    let end = both_read(seen, |map: &mut Map| map.remove(A, &1), |map| map.add(B, 1, 1).unwrap());
    assert_eq!(end.value(&1)?, 1);
    Ok(())
}

#[test]
fn bounded_counters() -> Result<(), BoundedError> {
    type Counter = Causal<BoundedCounter>;
    let end = both_read(nothing, |c: &mut Counter| c.increment(A, 5).unwrap(), |c| c.increment(B, 2).unwrap());
    assert_eq!(end.value()?, 7);
    let end = both_read(
        |c: &mut Counter| drop((c.increment(A, 5), c.increment(B, 2))),
        |c| c.decrement(A, 3).unwrap(),
        |c| c.decrement(B, 2).unwrap(),
    );
    assert_eq!((end.value()?, end.rights(A)?, end.rights(B)?), (2, 2, 0));
    let mut five = Counter::new();
    let _sent = five.increment(A, 5)?;
    assert_eq!(five.decrement(A, 6), Err(BoundedError::NoRights { asked: 6, held: 5 }));
    Ok(())
}

#[test]
fn growing_sets() {
    type Map = Causal<OrMap<u8, GSet<char>>>;
    let end = both_read(nothing, |set: &mut Causal<GSet<char>>| set.add(A, 'x'), |set| set.add(B, 'y'));
    assert_eq!(sorted(end.iter().copied()), ['x', 'y']);
    let end =
        both_read(|map: &mut Map| drop(map.insert(A, 1, 'w')), |map| map.insert(A, 1, 'x'), |map| map.remove(B, &1));
    assert_eq!(sorted(end.get(&1).unwrap().iter().copied()), ['x']);
    // B had seen an add of it, so that of A is no event.
    let end =
        both_read(|map: &mut Map| drop(map.insert(A, 1, 'x')), |map| map.insert(A, 1, 'x'), |map| map.remove(B, &1));
    assert!(end.is_empty());
}

#[test]
fn add_wins_sets() {
    type Set = Causal<AwSet<char>>;
    let seen = |set: &mut Set| drop((set.add(A, 'x'), set.add(B, 'w')));
    assert!(both_read(seen, |set| set.add(A, 'x'), |set| set.remove(B, &'x')).contains(&'x'));
    assert!(both_read(nothing, |set: &mut Set| set.add(A, 'x'), |set| set.add(B, 'x')).contains(&'x'));
    assert!(!both_read(seen, |set| set.remove(A, &'x'), |set| set.remove(B, &'x')).contains(&'x'));
    let end = both_read(seen, |set| set.add(A, 'x'), |set| set.clear(B));
    assert_eq!(sorted(end.iter().copied()), ['x']);
}

#[test]
fn remove_wins_sets() {
    type Set = Causal<RwSet<char>>;
    type Map = Causal<OrMap<u8, RwSet<char>>>;
    let seen = |set: &mut Set| drop(set.add(A, 'x'));
    assert!(!both_read(seen, |set| set.add(A, 'x'), |set| set.remove(B, 'x')).contains(&'x'));
    assert!(both_read(nothing, |set: &mut Set| set.add(A, 'x'), |set| set.add(B, 'x')).contains(&'x'));
    let add = |map: &mut Map| map.insert(A, 1, 'x');
    assert!(both_read(|map| drop(add(map)), add, |map| map.remove(B, &1)).contains(&1, &'x'));
    // Unless a live remove beats it, which the removal of the key spares.
    let beaten = |map: &mut Map| {
        let removal = map.remove_member(B, 1, 'x');
        let mut both = map.insert(B, 1, 'y');
        both.merge(removal);
        both.merge(map.remove(B, &1));
        both
    };
    assert!(!both_read(|map| drop(add(map)), add, beaten).contains(&1, &'x'));
}

#[test]
fn last_writer_wins_registers() {
    type Register = Causal<LwwRegister<char, u64>>;
    let write = |by, stamp, value| move |register: &mut Register| register.write(by, stamp, value).unwrap();
    assert_eq!(both_read(nothing, write(A, 10, 'x'), write(B, 20, 'y')).get(), Some(&'y'));
    assert_eq!(both_read(nothing, write(A, 20, 'x'), write(B, 10, 'y')).get(), Some(&'x'));
    assert_eq!(both_read(nothing, write(A, 10, 'x'), write(B, 10, 'y')).get(), Some(&'y'));
    let seen = |register: &mut Register| drop(write(A, 1, 'w')(register));
    assert_eq!(both_read(seen, write(A, 10, 'x'), |register| register.clear(B)).get(), Some(&'x'));
}

#[test]
fn multi_value_registers() {
    type Register = Causal<MvRegister<u8>>;
    let write = |by, value| move |register: &mut Register| register.write(by, value);
    let mut end = both_read(nothing, write(A, 1), write(B, 2));
    assert_eq!(sorted(end.iter().copied()), [1, 2]);
    let _sent = end.write(A, 3);
    assert_eq!(sorted(end.iter().copied()), [3]);
    let seen = |register: &mut Register| drop(register.write(A, 9));
    assert_eq!(sorted(both_read(seen, write(A, 1), |register| register.clear(B)).iter().copied()), [1]);
}

#[test]
fn extremum_registers() {
    type Max = Causal<MaxRegister<u8>>;
    type Min = Causal<MinRegister<u8>>;
    assert_eq!(both_read(nothing, |max: &mut Max| max.write(A, 3), |max| max.write(B, 5)).get(), Some(&5));
    let seen = |max: &mut Max| drop(max.write(A, 2));
    assert_eq!(both_read(seen, |max| max.write(A, 3), |max| max.clear(B)).get(), Some(&3));
    assert_eq!(both_read(nothing, |min: &mut Min| min.write(A, 3), |min| min.write(B, 5)).get(), Some(&3));
    let seen = |min: &mut Min| drop(min.write(A, 6));
    assert_eq!(both_read(seen, |min| min.write(A, 5), |min| min.clear(B)).get(), Some(&5));
}

#[test]
fn flags() {
    type Ew = Causal<EwFlag>;
    type Dw = Causal<DwFlag>;
    let on = |flag: &mut Ew| drop(flag.enable(A));
    let off = |flag: &mut Ew| drop((flag.enable(A), flag.disable(A)));
    assert!(both_read(off, |flag| flag.enable(A), |flag| flag.disable(B)).is_enabled());
    assert!(
        both_read(
            |flag| on(flag),
            |flag| [flag.disable(A), flag.enable(A)].into_iter().fold(Ew::empty_delta(), joined),
            |flag| flag.disable(B)
        )
        .is_enabled()
    );
    assert!(!both_read(on, |flag| flag.enable(A), |flag| flag.disable(B)).is_enabled());

    let on = |flag: &mut Dw| drop(flag.enable(B));
    let off = |flag: &mut Dw| drop(flag.disable(B));
    assert!(!both_read(nothing, |flag: &mut Dw| flag.enable(A), |flag| flag.disable(B)).is_enabled());
    assert!(both_read(off, |flag| flag.enable(A), |flag| flag.disable(B)).is_enabled());
    assert!(!both_read(on, |flag| flag.enable(A), |flag| flag.disable(B)).is_enabled());
}

fn joined<T: Lattice>(mut all: T, next: T) -> T {
    all.merge(next);
    all
}

#[test]
fn votes() {
    type Ballots = Causal<Vote>;
    let end = both_read(nothing, |vote: &mut Ballots| vote.cast(A, true), |vote| vote.cast(B, false));
    let tally = end.tally([A, B]);
    assert_eq!((tally.in_favor, tally.against, tally.silent), (1, 1, 0));
    let mut twice = Ballots::new();
    let _sent = (twice.cast(A, true), twice.cast(A, false));
    assert_eq!(twice.tally([A]).against, 1);
    let seen = |vote: &mut Ballots| drop(vote.cast(A, false));
    let end = both_read(seen, |vote| vote.cast(A, true), |vote| vote.clear(B));
    assert_eq!(end.tally([A]).in_favor, 1);
}

#[test]
fn maps() {
    type Map = Causal<OrMap<u8, AwSet<char>>>;
    let seen = |map: &mut Map| drop(map.insert(A, 1, 'o'));
    let members = |map: &Map| map.get(&1).map(|set| sorted(set.iter().copied()));
    assert_eq!(members(&both_read(seen, |map| map.insert(A, 1, 'x'), |map| map.remove(B, &1))), Some(vec!['x']));
    let end = both_read(seen, |map| map.insert(A, 1, 'x'), |map| map.insert(B, 1, 'y'));
    assert_eq!(members(&end), Some(vec!['o', 'x', 'y']));
    assert_eq!(members(&both_read(seen, |map| map.remove(A, &1), |map| map.remove(B, &1))), None);
}
