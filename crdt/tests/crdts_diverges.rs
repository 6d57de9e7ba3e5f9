//! The histories on which `crdts` 7.3.2 ends in different states, depending on which replica merges what first, and the
//! same histories here, where the order makes no difference.
//!
//! Each is the shortest of its kind: all shorter histories of three replicas with these operations were tried.

use std::collections::BTreeMap;
use std::fmt::Debug;

use cahoots_crdt::{AwSet, Causal, Lattice, MvRegister, OrMap, PnCounter, ReplicaId};
use crdts::{CmRDT, CvRDT, MVReg, Map, Orswot, PNCounter};

const K: u8 = 1;
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// What three replicas show after merging: A and B first, or B and C first.
struct Ends<R> {
    from_the_left: R,
    from_the_right: R,
}

/// Merges three states in both groupings.
fn ends<T: Clone, R>(replicas: &[T; 3], merge: impl Fn(&mut T, T), read: impl Fn(&T) -> R) -> Ends<R> {
    let [a, b, c] = replicas.clone();
    let (mut left, mut right, mut b_and_c) = (a.clone(), a, b.clone());
    merge(&mut left, b);
    merge(&mut left, c.clone());
    merge(&mut b_and_c, c);
    merge(&mut right, b_and_c);
    Ends { from_the_left: read(&left), from_the_right: read(&right) }
}

fn differ<T: CvRDT + Clone, R: PartialEq + Debug>(replicas: &[T; 3], read: impl Fn(&T) -> R) -> Ends<R> {
    let ends = ends(replicas, T::merge, read);
    assert_ne!(ends.from_the_left, ends.from_the_right, "crdts has learnt to agree on this one");
    ends
}

fn agree<T: Lattice + Clone, R: PartialEq + Debug>(replicas: &[T; 3], read: impl Fn(&T) -> R) -> R {
    let ends = ends(replicas, T::merge, read);
    assert_eq!(ends.from_the_left, ends.from_the_right);
    ends.from_the_left
}

fn id(by: usize) -> ReplicaId {
    ReplicaId::new(by as u64 + 1)
}

fn sorted<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values
}

type Fields = BTreeMap<&'static str, Vec<u8>>;

/// A sets f; B hears of it and sets g; C hears of both; B sets g again. Nobody removes anything.
#[test]
fn in_a_map_of_maps_of_registers_a_value_that_was_overwritten_comes_back() {
    type Theirs = Map<u8, Map<&'static str, MVReg<u8, usize>, usize>, usize>;
    let set = |all: &mut [Theirs; 3], by: usize, field, value| {
        let context = all[by].read_ctx().derive_add_ctx(by);
        let op = all[by].update(K, context, |map, context| {
            map.update(field, context, |register, context| register.write(value, context))
        });
        all[by].apply(op);
    };
    let mut all = [Theirs::new(), Theirs::new(), Theirs::new()];
    set(&mut all, A, "f", 0);
    all[B] = all[A].clone();
    set(&mut all, B, "g", 1);
    all[C] = all[B].clone();
    set(&mut all, B, "g", 2);
    let read = |map: &Theirs| -> Fields {
        let fields = map.get(&K).val.expect("nobody removed it");
        fields.iter().map(|entry| (*entry.val.0, sorted(entry.val.1.read().val))).collect()
    };
    let theirs = differ(&all, read);
    assert_eq!(theirs.from_the_left["g"], [1, 2]);

    type Ours = Causal<OrMap<u8, OrMap<&'static str, MvRegister<u8>>>>;
    let set = |all: &mut [Ours; 3], by: usize, field, value| {
        drop(all[by].update(id(by), K, |map, m| map.update(m, field, |register, m| register.write(m, value))));
    };
    let mut all = [Ours::new(), Ours::new(), Ours::new()];
    set(&mut all, A, "f", 0);
    all[B] = all[A].clone();
    set(&mut all, B, "g", 1);
    all[C] = all[B].clone();
    set(&mut all, B, "g", 2);
    let ours: Fields = agree(&all, |map| {
        map.get(&K).unwrap().iter().map(|(field, register)| (*field, sorted(register.iter().copied()))).collect()
    });
    assert_eq!(ours, BTreeMap::from([("f", vec![0]), ("g", vec![2])]));
}

/// A adds x; B hears of it; A adds y; B removes x; C hears of that; B removes the whole set.
#[test]
fn in_a_map_of_sets_a_member_that_was_removed_comes_back() {
    type Theirs = Map<u8, Orswot<char, usize>, usize>;
    let add = |all: &mut [Theirs; 3], by: usize, member| {
        let context = all[by].read_ctx().derive_add_ctx(by);
        let op = all[by].update(K, context, |set, context| set.add(member, context));
        all[by].apply(op);
    };
    let mut all = [Theirs::new(), Theirs::new(), Theirs::new()];
    add(&mut all, A, 'x');
    all[B] = all[A].clone();
    add(&mut all, A, 'y');
    let seen = all[B].get(&K).val.unwrap().contains(&'x').derive_rm_ctx();
    let context = all[B].read_ctx().derive_add_ctx(B);
    let removal = all[B].update(K, context, |set, _| set.rm('x', seen));
    all[B].apply(removal);
    all[C] = all[B].clone();
    let removal = all[B].rm(K, all[B].get(&K).derive_rm_ctx());
    all[B].apply(removal);
    let theirs = differ(&all, |map: &Theirs| map.get(&K).val.map(|set| sorted(set.read().val)));
    assert_eq!(theirs.from_the_right, Some(vec!['x', 'y']));

    type Ours = Causal<OrMap<u8, AwSet<char>>>;
    let mut all = [Ours::new(), Ours::new(), Ours::new()];
    drop(all[A].insert(id(A), K, 'x'));
    all[B] = all[A].clone();
    drop(all[A].insert(id(A), K, 'y'));
    drop(all[B].remove_member(id(B), K, &'x'));
    all[C] = all[B].clone();
    drop(all[B].remove(id(B), &K));
    let ours = agree(&all, |map: &Ours| map.get(&K).map(|set| sorted(set.iter().copied())));
    assert_eq!(ours, Some(vec!['y']));
}

/// A counts twice; B hears of it; A removes the counter; C hears of that; A counts once more.
#[test]
fn in_a_map_of_counters_a_count_that_was_removed_comes_back() {
    type Theirs = Map<u8, PNCounter<usize>, usize>;
    let increment = |all: &mut [Theirs; 3]| {
        let context = all[A].read_ctx().derive_add_ctx(A);
        let op = all[A].update(K, context, |counter, context| counter.inc(context.dot.actor));
        all[A].apply(op);
    };
    let mut all = [Theirs::new(), Theirs::new(), Theirs::new()];
    increment(&mut all);
    increment(&mut all);
    all[B] = all[A].clone();
    let removal = all[A].rm(K, all[A].get(&K).derive_rm_ctx());
    all[A].apply(removal);
    all[C] = all[A].clone();
    increment(&mut all);
    let theirs = differ(&all, |map: &Theirs| map.get(&K).val.map(|counter| counter.read().to_string()));
    assert_eq!(theirs.from_the_left.as_deref(), Some("2"));

    type Ours = Causal<OrMap<u8, PnCounter>>;
    let increment = |all: &mut [Ours; 3]| drop(all[A].add(id(A), K, 1).unwrap());
    let mut all = [Ours::new(), Ours::new(), Ours::new()];
    increment(&mut all);
    increment(&mut all);
    all[B] = all[A].clone();
    drop(all[A].remove(id(A), &K));
    all[C] = all[A].clone();
    increment(&mut all);
    assert_eq!(agree(&all, |map: &Ours| map.value(&K)), Ok(1));
}
