//! Flat types against `crdts` 7.3, on histories where that crate is sound: changes and merges of whole states.

use cahoots_crdt::{AwSet, Causal, GCounter, GSet, Lattice, LwwRegister, MvRegister, PnCounter, ReplicaId};
use crdts::{CmRDT, CvRDT, MVReg, Orswot};
use proptest::prelude::*;

const REPLICAS: usize = 3;

#[derive(Clone, Debug)]
enum Step<O> {
    Change(usize, O),
    Merge { from: usize, to: usize },
}

fn steps<O: Clone + std::fmt::Debug + 'static>(op: impl Strategy<Value = O> + 'static) -> BoxedStrategy<Vec<Step<O>>> {
    let step = prop_oneof![
        2 => (0..REPLICAS, op).prop_map(|(by, op)| Step::Change(by, op)),
        1 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Step::Merge { from, to }),
    ];
    prop::collection::vec(step, 1..60).boxed()
}

/// Runs the steps on both and compares what they show after each.
fn agree<S, T, O: std::fmt::Debug, R: PartialEq + std::fmt::Debug>(
    steps: &[Step<O>],
    change: impl Fn(&mut Causal<S>, &mut T, usize, &O),
    read: impl Fn(&Causal<S>) -> R,
    read_theirs: impl Fn(&T) -> R,
) where
    S: cahoots_crdt::DotStore,
    T: CvRDT + Default + Clone,
{
    let mut ours: Vec<Causal<S>> = vec![Causal::new(); REPLICAS];
    let mut theirs: Vec<T> = vec![T::default(); REPLICAS];
    for step in steps {
        let at = match step {
            Step::Change(by, op) => {
                change(&mut ours[*by], &mut theirs[*by], *by, op);
                *by
            }
            Step::Merge { from, to } => {
                let (our, their) = (ours[*from].clone(), theirs[*from].clone());
                ours[*to].merge(our);
                theirs[*to].merge(their);
                *to
            }
        };
        assert_eq!(read(&ours[at]), read_theirs(&theirs[at]), "at {at} after {step:?}");
    }
}

fn id(by: usize) -> ReplicaId {
    ReplicaId::new(by as u64 + 1)
}

fn sorted<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values
}

proptest! {
    #[test]
    fn add_wins_sets_agree(steps in steps((any::<bool>(), 0..4_u8))) {
        agree::<AwSet<u8>, Orswot<u8, usize>, _, _>(
            &steps,
            |ours, theirs, by, (add, member)| if *add {
                let _sent = ours.add(id(by), *member);
                let context = theirs.read_ctx().derive_add_ctx(by);
                theirs.apply(theirs.add(*member, context));
            } else {
                let _sent = ours.remove(id(by), member);
                let context = theirs.contains(member).derive_rm_ctx();
                theirs.apply(theirs.rm(*member, context));
            },
            |ours| sorted(ours.iter().copied()),
            |theirs| sorted(theirs.read().val),
        );
    }

    #[test]
    fn multi_value_registers_agree(steps in steps(any::<u8>())) {
        agree::<MvRegister<u8>, MVReg<u8, usize>, _, _>(
            &steps,
            |ours, theirs, by, value| {
                let _sent = ours.write(id(by), *value);
                let context = theirs.read().derive_add_ctx(by);
                theirs.apply(theirs.write(*value, context));
            },
            |ours| sorted(ours.iter().copied()),
            |theirs| sorted(theirs.read().val),
        );
    }

    #[test]
    fn growing_counters_agree(steps in steps(1..100_u64)) {
        agree::<GCounter, crdts::GCounter<usize>, _, _>(
            &steps,
            |ours, theirs, by, amount| {
                let _sent = ours.increment(id(by), *amount).unwrap();
                theirs.apply(theirs.inc_many(by, *amount));
            },
            |ours| ours.value().unwrap().to_string(),
            |theirs| theirs.read().to_string(),
        );
    }

    #[test]
    fn counters_agree(steps in steps((any::<bool>(), 1..100_u64))) {
        agree::<PnCounter, crdts::PNCounter<usize>, _, _>(
            &steps,
            |ours, theirs, by, (up, amount)| {
                let signed = if *up { amount.cast_signed() } else { -amount.cast_signed() };
                let _sent = ours.add(id(by), signed).unwrap();
                theirs.apply(if *up { theirs.inc_many(by, *amount) } else { theirs.dec_many(by, *amount) });
            },
            |ours| ours.value().unwrap().to_string(),
            |theirs| theirs.read().to_string(),
        );
    }

    #[test]
    fn growing_sets_agree(steps in steps(0..20_u8)) {
        agree::<GSet<u8>, crdts::GSet<u8>, _, _>(
            &steps,
            |ours, theirs, by, member| {
                let _sent = ours.add(id(by), *member);
                theirs.insert(*member);
            },
            |ours| sorted(ours.iter().copied()),
            |theirs| sorted(theirs.read()),
        );
    }

    #[test]
    fn last_writer_wins_registers_agree(steps in steps((1..50_u64, any::<u8>()))) {
        agree::<LwwRegister<u8, (u64, usize)>, crdts::LWWReg<u8, (u64, usize)>, _, _>(
            &steps,
            |ours, theirs, by, (stamp, value)| {
                // That crate asks for stamps that are unique; both ignore a write that comes too late.
                let stamp = (*stamp, by);
                let is_new = ours.write(id(by), stamp, *value).is_ok();
                assert_eq!(is_new, theirs.marker < stamp);
                theirs.update(*value, stamp);
            },
            |ours| ours.get().copied().unwrap_or_default(),
            |theirs| theirs.val,
        );
    }
}
