//! Each type, and the map of any of them, with its oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::rc::Rc;

use cahoots_crdt::{
    AppendLog, AwSet, BoundedCounter, Causal, DwFlag, EwFlag, GCounter, GSet, Hlc, List, LwwRegister, MaxRegister,
    MinRegister, Mutation, MvRegister, OrMap, PnCounter, ReplicaId, Reset, RwSet, ScoreMap, Vote,
};
use proptest::prelude::*;

use super::{Subject, Value, View};

fn cleared<T: Reset>(state: &mut Causal<T>, replica: ReplicaId) -> Option<Causal<T>> {
    Some(state.clear(replica))
}

fn members(found: impl IntoIterator<Item = u8>) -> Value {
    let found: BTreeSet<u8> = found.into_iter().collect();
    if found.is_empty() { Value::Nothing } else { Value::Members(found) }
}

#[derive(Clone, Debug)]
pub enum SetOp {
    Add(u8),
    Remove(u8),
}

impl SetOp {
    fn member(&self) -> u8 {
        let (Self::Add(member) | Self::Remove(member)) = self;
        *member
    }

    fn strategy() -> BoxedStrategy<Self> {
        prop_oneof![3 => (0..3_u8).prop_map(Self::Add), 2 => (0..3_u8).prop_map(Self::Remove)].boxed()
    }
}

/// Each member's operations that no later operation on it has seen.
fn last_words(view: &View<SetOp>, member: u8) -> Vec<(usize, usize, SetOp)> {
    view.unsuperseded(|op| op.member() == member)
}

pub struct AwSets;

impl Subject for AwSets {
    type Store = AwSet<u8>;
    type Op = SetOp;

    fn op() -> BoxedStrategy<SetOp> {
        SetOp::strategy()
    }

    fn apply(store: &mut AwSet<u8>, mutation: &mut Mutation<'_>, op: &SetOp) -> AwSet<u8> {
        match op {
            SetOp::Add(member) => store.add(mutation, *member),
            SetOp::Remove(member) => store.remove(mutation, member),
        }
    }

    fn read(store: &AwSet<u8>) -> Value {
        assert_eq!(store.len(), store.iter().count());
        members(store.iter().copied())
    }

    fn clear(state: &mut Causal<AwSet<u8>>, replica: ReplicaId) -> Option<Causal<AwSet<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<SetOp>) -> Value {
        members((0..3).filter(|member| {
            last_words(view, *member).iter().any(|(id, _, op)| matches!(op, SetOp::Add(_)) && !view.is_reset(*id))
        }))
    }

    fn is_event(view: &View<SetOp>, _: usize, op: &SetOp) -> bool {
        match op {
            SetOp::Add(_) => true,
            SetOp::Remove(member) => matches!(Self::oracle(view), Value::Members(m) if m.contains(member)),
        }
    }
}

pub struct RwSets;

impl Subject for RwSets {
    type Store = RwSet<u8>;
    type Op = SetOp;

    fn op() -> BoxedStrategy<SetOp> {
        SetOp::strategy()
    }

    fn apply(store: &mut RwSet<u8>, mutation: &mut Mutation<'_>, op: &SetOp) -> RwSet<u8> {
        match op {
            SetOp::Add(member) => store.add(mutation, *member),
            SetOp::Remove(member) => store.remove(mutation, *member),
        }
    }

    fn read(store: &RwSet<u8>) -> Value {
        members(store.iter().copied())
    }

    fn clear(state: &mut Causal<RwSet<u8>>, replica: ReplicaId) -> Option<Causal<RwSet<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<SetOp>) -> Value {
        members((0..3).filter(|member| {
            // Removing the key takes the adds away and spares the removes.
            let is_remove = |op: &SetOp| matches!(op, SetOp::Remove(_));
            let mut last = last_words(view, *member);
            last.retain(|(id, _, op)| is_remove(op) || !view.is_reset(*id));
            !last.is_empty() && !last.iter().any(|(.., op)| is_remove(op))
        }))
    }

    fn is_event(_: &View<SetOp>, _: usize, _: &SetOp) -> bool {
        true
    }
}

pub struct GSets;

impl Subject for GSets {
    type Store = GSet<u8>;
    type Op = u8;

    fn op() -> BoxedStrategy<u8> {
        (0..4_u8).boxed()
    }

    fn apply(store: &mut GSet<u8>, mutation: &mut Mutation<'_>, op: &u8) -> GSet<u8> {
        store.add(mutation, *op)
    }

    fn read(store: &GSet<u8>) -> Value {
        members(store.iter().copied())
    }

    fn clear(state: &mut Causal<GSet<u8>>, replica: ReplicaId) -> Option<Causal<GSet<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<u8>) -> Value {
        members(view.ops.iter().filter(|(id, ..)| !view.is_reset(*id)).map(|(.., member)| *member))
    }

    fn is_event(view: &View<u8>, _: usize, op: &u8) -> bool {
        !matches!(Self::oracle(view), Value::Members(m) if m.contains(op))
    }
}

pub struct MvRegisters;

impl Subject for MvRegisters {
    type Store = MvRegister<u8>;
    type Op = u8;

    fn op() -> BoxedStrategy<u8> {
        any::<u8>().boxed()
    }

    fn apply(store: &mut MvRegister<u8>, mutation: &mut Mutation<'_>, op: &u8) -> MvRegister<u8> {
        store.write(mutation, *op)
    }

    fn read(store: &MvRegister<u8>) -> Value {
        values(store.iter().copied().collect())
    }

    fn clear(state: &mut Causal<MvRegister<u8>>, replica: ReplicaId) -> Option<Causal<MvRegister<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<u8>) -> Value {
        values(view.latest(|_| true).into_iter().map(|(.., value)| value).collect())
    }

    fn is_event(_: &View<u8>, _: usize, _: &u8) -> bool {
        true
    }
}

fn values(mut found: Vec<u8>) -> Value {
    found.sort_unstable();
    if found.is_empty() { Value::Nothing } else { Value::Values(found) }
}

pub struct LwwRegisters;

impl LwwRegisters {
    fn winner(view: &View<(u8, u8)>) -> Option<(u8, u8)> {
        let candidates = view.latest(|_| true);
        candidates.into_iter().max_by_key(|(_, author, (stamp, _))| (*stamp, *author)).map(|(.., write)| write)
    }
}

impl Subject for LwwRegisters {
    type Store = LwwRegister<u8, u8>;
    type Op = (u8, u8);

    fn op() -> BoxedStrategy<(u8, u8)> {
        (0..8_u8, any::<u8>()).boxed()
    }

    fn apply(store: &mut Self::Store, mutation: &mut Mutation<'_>, op: &(u8, u8)) -> Self::Store {
        store.write(mutation, op.0, op.1).unwrap_or_default()
    }

    fn read(store: &Self::Store) -> Value {
        values(store.get().copied().into_iter().collect())
    }

    fn clear(state: &mut Causal<Self::Store>, replica: ReplicaId) -> Option<Causal<Self::Store>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<(u8, u8)>) -> Value {
        values(Self::winner(view).map(|(_, value)| value).into_iter().collect())
    }

    fn is_event(view: &View<(u8, u8)>, _: usize, op: &(u8, u8)) -> bool {
        Self::winner(view).is_none_or(|(stamp, _)| op.0 > stamp)
    }
}

macro_rules! extremum {
    ($subject:ident, $register:ident, $best:ident, $better:tt) => {
        pub struct $subject;

        impl Subject for $subject {
            type Store = $register<u8>;
            type Op = u8;

            fn op() -> BoxedStrategy<u8> {
                (0..20_u8).boxed()
            }

            fn apply(store: &mut Self::Store, mutation: &mut Mutation<'_>, op: &u8) -> Self::Store {
                store.write(mutation, *op)
            }

            fn read(store: &Self::Store) -> Value {
                values(store.get().copied().into_iter().collect())
            }

            fn clear(state: &mut Causal<Self::Store>, replica: ReplicaId) -> Option<Causal<Self::Store>> {
                cleared(state, replica)
            }

            fn oracle(view: &View<u8>) -> Value {
                values(view.latest(|_| true).into_iter().map(|(.., value)| value).$best().into_iter().collect())
            }

            fn is_event(view: &View<u8>, _: usize, op: &u8) -> bool {
                match Self::oracle(view) {
                    Value::Values(best) => *op $better best[0],
                    _ => true,
                }
            }
        }
    };
}

extremum!(MaxRegisters, MaxRegister, max, >);
extremum!(MinRegisters, MinRegister, min, <);

macro_rules! flag {
    ($subject:ident, $flag:ident, $oracle:expr, $is_event:expr) => {
        pub struct $subject;

        impl Subject for $subject {
            type Store = $flag;
            type Op = bool;

            fn op() -> BoxedStrategy<bool> {
                any::<bool>().boxed()
            }

            fn apply(store: &mut $flag, mutation: &mut Mutation<'_>, op: &bool) -> $flag {
                if *op { store.enable(mutation) } else { store.disable(mutation) }
            }

            fn read(store: &$flag) -> Value {
                if store.is_enabled() { Value::On } else { Value::Nothing }
            }

            fn clear(state: &mut Causal<$flag>, replica: ReplicaId) -> Option<Causal<$flag>> {
                cleared(state, replica)
            }

            fn oracle(view: &View<bool>) -> Value {
                let is_on: fn(&View<bool>) -> bool = $oracle;
                if is_on(view) { Value::On } else { Value::Nothing }
            }

            fn is_event(view: &View<bool>, _: usize, op: &bool) -> bool {
                let is_event: fn(&View<bool>, bool) -> bool = $is_event;
                is_event(view, *op)
            }
        }
    };
}

flag!(EwFlags, EwFlag, |view| view.latest(|_| true).iter().any(|(.., on)| *on), |view, op| op
    != (EwFlags::oracle(view) == Value::On));

fn marks(view: &View<bool>) -> Vec<bool> {
    let mut marks = view.unsuperseded(|_| true);
    marks.retain(|(id, _, on)| !on || !view.is_reset(*id));
    marks.into_iter().map(|(.., on)| on).collect()
}

flag!(
    DwFlags,
    DwFlag,
    |view| {
        let marks = marks(view);
        !marks.is_empty() && marks.iter().all(|on| *on)
    },
    |view, op| if op { DwFlags::oracle(view) != Value::On } else { !marks(view).contains(&false) }
);

/// What is left of increments: those that no removal has seen, where whoever has seen an increment has seen every
/// earlier one that its author made here.
fn surviving(view: &View<i64>) -> Vec<i64> {
    let gone = |id: usize, author: usize| {
        view.ops.iter().any(|(later, other, _)| *other == author && *later >= id && view.is_reset(*later))
    };
    view.ops.iter().filter(|(id, author, _)| !gone(*id, *author)).map(|(.., amount)| *amount).collect()
}

fn total(amounts: &[i64]) -> Value {
    if amounts.is_empty() { Value::Nothing } else { Value::Number(amounts.iter().map(|a| i128::from(*a)).sum()) }
}

macro_rules! counter {
    ($subject:ident, $counter:ident, $amounts:expr, $apply:expr) => {
        pub struct $subject;

        impl Subject for $subject {
            type Store = $counter;
            type Op = i64;
            const LEAVES_BASELINES: bool = true;

            fn op() -> BoxedStrategy<i64> {
                $amounts.boxed()
            }

            fn apply(store: &mut $counter, mutation: &mut Mutation<'_>, op: &i64) -> $counter {
                let apply: fn(&mut $counter, &mut Mutation<'_>, i64) -> $counter = $apply;
                apply(store, mutation, *op)
            }

            fn read(store: &$counter) -> Value {
                use cahoots_crdt::DotStore;
                if store.is_live() {
                    Value::Number(store.value_wide().unwrap().try_into().unwrap())
                } else {
                    Value::Nothing
                }
            }

            fn clear(state: &mut Causal<$counter>, replica: ReplicaId) -> Option<Causal<$counter>> {
                cleared(state, replica)
            }

            fn oracle(view: &View<i64>) -> Value {
                total(&surviving(view))
            }

            fn is_event(_: &View<i64>, _: usize, op: &i64) -> bool {
                *op != 0
            }
        }
    };
}

counter!(PnCounters, PnCounter, -4..8_i64, |store, mutation, amount| store.add(mutation, amount).unwrap());
counter!(GCounters, GCounter, 0..8_i64, |store, mutation, amount| store
    .increment(mutation, amount.unsigned_abs())
    .unwrap());

/// What of a list does not depend on which order was agreed on; for that see `crdt/tests/list.rs`.
#[derive(Clone, Debug)]
pub enum ListOp {
    Insert(usize, Vec<u8>),
    /// Of all elements with this value.
    Remove(u8),
}

pub struct Lists;

thread_local! {
    /// The time, which all replicas share here.
    static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

pub fn now() -> Hlc {
    NOW.set(NOW.get() + 1);
    Hlc::new(NOW.get(), 0)
}

impl Subject for Lists {
    type Store = List<u8>;
    type Op = ListOp;

    fn op() -> BoxedStrategy<ListOp> {
        prop_oneof![
            3 => (0..20_usize, prop::collection::vec(0..3_u8, 1..3)).prop_map(|(at, all)| ListOp::Insert(at, all)),
            2 => (0..3_u8).prop_map(ListOp::Remove),
        ]
        .boxed()
    }

    fn apply(store: &mut List<u8>, mutation: &mut Mutation<'_>, op: &ListOp) -> List<u8> {
        match op {
            ListOp::Insert(at, all) => {
                let at = at % (store.len() + 1);
                store.insert_all(mutation, now(), at, all.iter().copied()).unwrap()
            }
            ListOp::Remove(value) => {
                use cahoots_crdt::DotStore;
                let mut delta = List::nothing();
                let found = |store: &List<u8>| store.iter().position(|element| element == value);
                while let Some(index) = found(store) {
                    delta = mutation.and(delta, |mutation| store.remove(mutation, index).unwrap());
                }
                delta
            }
        }
    }

    fn read(store: &List<u8>) -> Value {
        assert_eq!(store.len(), store.iter().count());
        values(store.iter().copied().collect())
    }

    fn clear(state: &mut Causal<List<u8>>, replica: ReplicaId) -> Option<Causal<List<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<ListOp>) -> Value {
        let is_removed = |id: usize, value: u8| {
            let removes = |op: &ListOp| matches!(op, ListOp::Remove(removed) if *removed == value);
            view.is_reset(id) || view.ops.iter().any(|(later, _, op)| removes(op) && view.saw(*later, id))
        };
        let mut left = Vec::new();
        for (id, _, op) in &view.ops {
            if let ListOp::Insert(_, all) = op {
                left.extend(all.iter().filter(|value| !is_removed(*id, **value)));
            }
        }
        values(left)
    }

    fn is_event(view: &View<ListOp>, _: usize, op: &ListOp) -> bool {
        match op {
            ListOp::Insert(..) => true,
            ListOp::Remove(value) => matches!(Self::oracle(view), Value::Values(left) if left.contains(value)),
        }
    }
}

/// Logs, as far as they are like lists.
pub struct Logs;

impl Subject for Logs {
    type Store = AppendLog<u8>;
    type Op = ListOp;

    fn op() -> BoxedStrategy<ListOp> {
        Lists::op()
    }

    fn apply(store: &mut AppendLog<u8>, mutation: &mut Mutation<'_>, op: &ListOp) -> AppendLog<u8> {
        use cahoots_crdt::DotStore;
        match op {
            ListOp::Insert(_, all) => store.append_all(mutation, now(), all.iter().copied()).unwrap(),
            ListOp::Remove(value) => {
                let mut delta = AppendLog::nothing();
                let found = |store: &AppendLog<u8>| store.iter().find(|(_, entry)| *entry == value).map(|(id, _)| id);
                while let Some(id) = found(store) {
                    delta = mutation.and(delta, |mutation| store.remove(mutation, id));
                }
                delta
            }
        }
    }

    fn read(store: &AppendLog<u8>) -> Value {
        assert!(store.iter().map(|(id, _)| id).is_sorted_by(|a, b| a < b));
        values(store.iter().map(|(_, value)| *value).collect())
    }

    fn clear(state: &mut Causal<AppendLog<u8>>, replica: ReplicaId) -> Option<Causal<AppendLog<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<ListOp>) -> Value {
        Lists::oracle(view)
    }

    fn is_event(view: &View<ListOp>, author: usize, op: &ListOp) -> bool {
        Lists::is_event(view, author, op)
    }
}

#[derive(Clone, Debug)]
pub enum ScoreOp {
    Set(u8, u8, f64),
    Add(u8, f64),
    Remove(u8),
}

impl ScoreOp {
    fn is_set(&self, member: u8) -> bool {
        matches!(self, Self::Set(set, ..) if *set == member)
    }
}

pub struct ScoreMaps;

impl ScoreMaps {
    /// The assignments of `member` that nothing later has seen, the winner last.
    fn assigned(view: &View<ScoreOp>, member: u8) -> Vec<(u8, usize, f64)> {
        let removed = |id| {
            view.ops
                .iter()
                .any(|(later, _, op)| matches!(op, ScoreOp::Remove(m) if *m == member) && view.saw(*later, id))
        };
        let mut sets: Vec<_> = view
            .latest(|op| op.is_set(member))
            .into_iter()
            .filter(|(id, ..)| !removed(*id))
            .filter_map(|(_, author, op)| match op {
                ScoreOp::Set(_, stamp, score) => Some((stamp, author, score)),
                _ => None,
            })
            .collect();
        sets.sort_by_key(|(stamp, author, _)| (*stamp, *author));
        sets
    }

    /// The increments that no assignment and no removal has seen; in units of 2^-64, and whether there are any.
    fn added(view: &View<ScoreOp>, member: u8) -> Option<i128> {
        let mut adds = View { ops: Vec::new(), resets: view.resets.clone(), seen: Rc::clone(&view.seen) };
        for (id, author, op) in &view.ops {
            match op {
                ScoreOp::Add(m, amount) if *m == member => adds.ops.push((*id, *author, *amount)),
                ScoreOp::Set(m, ..) | ScoreOp::Remove(m) if *m == member => adds.resets.push(*id),
                _ => {}
            }
        }
        let gone = |id: usize, author: usize| {
            adds.ops.iter().any(|(later, other, _)| *other == author && *later >= id && adds.is_reset(*later))
        };
        let left: Vec<i128> =
            adds.ops.iter().filter(|(id, author, _)| !gone(*id, *author)).map(|(.., amount)| units(*amount)).collect();
        if left.is_empty() { None } else { Some(left.iter().sum()) }
    }

    fn score(view: &View<ScoreOp>, member: u8) -> Option<f64> {
        let (assigned, added) = (Self::assigned(view, member), Self::added(view, member));
        if assigned.is_empty() && added.is_none() {
            return None;
        }
        Some(assigned.last().map_or(0.0, |(.., score)| *score) + added.unwrap_or(0) as f64 / 2_f64.powi(64))
    }
}

/// From the bits of the number, for numbers that need no rounding.
fn units(amount: f64) -> i128 {
    let (bits, mut exponent) = (amount.abs().to_bits(), 0_i32);
    let mut mantissa = i128::from(bits & ((1 << 52) - 1));
    if bits >> 52 > 0 {
        mantissa |= 1 << 52;
        exponent = i32::try_from(bits >> 52).unwrap() - 1_075 + 64;
    }
    let units = if exponent >= 0 { mantissa << exponent } else { mantissa >> -exponent };
    if amount < 0.0 { -units } else { units }
}

impl Subject for ScoreMaps {
    type Store = ScoreMap<u8>;
    type Op = ScoreOp;
    const LEAVES_BASELINES: bool = true;

    fn op() -> BoxedStrategy<ScoreOp> {
        let amount = prop::sample::select(vec![1e16, 1.0, 0.1, -0.3, 2_f64.powi(-64), -2.5, 0.0, -1e16]);
        let score = prop::sample::select(vec![0.0, 1.0, -7.25, f64::INFINITY, 1e300]);
        prop_oneof![
            2 => (0..2_u8, 0..8_u8, score).prop_map(|(member, stamp, score)| ScoreOp::Set(member, stamp, score)),
            4 => (0..2_u8, amount).prop_map(|(member, amount)| ScoreOp::Add(member, amount)),
            1 => (0..2_u8).prop_map(ScoreOp::Remove),
        ]
        .boxed()
    }

    fn apply(store: &mut ScoreMap<u8>, mutation: &mut Mutation<'_>, op: &ScoreOp) -> ScoreMap<u8> {
        use cahoots_crdt::DotStore;
        match op {
            ScoreOp::Set(member, stamp, score) => store
                .set(mutation, Hlc::new((*stamp).into(), 0), *member, *score)
                .unwrap_or_else(|_| DotStore::nothing()),
            ScoreOp::Add(member, amount) => store.add(mutation, *member, *amount).unwrap(),
            ScoreOp::Remove(member) => store.remove(mutation, member),
        }
    }

    fn read(store: &ScoreMap<u8>) -> Value {
        let shown: Vec<(u8, f64)> = store.iter().map(|(member, score)| (*member, score)).collect();
        assert!(shown.is_sorted_by(|a, b| (a.1, a.0) < (b.1, b.0)) && shown.len() == store.len());
        for (rank, (member, score)) in shown.iter().enumerate() {
            assert_eq!((store.rank(member), store.score(member)), (Some(rank), Some(*score)));
            assert_eq!(store.nth(rank), Some((member, *score)));
        }
        scores(shown)
    }

    fn clear(state: &mut Causal<ScoreMap<u8>>, replica: ReplicaId) -> Option<Causal<ScoreMap<u8>>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<ScoreOp>) -> Value {
        scores((0..2).filter_map(|member| Some((member, Self::score(view, member)?))))
    }

    fn is_event(view: &View<ScoreOp>, _: usize, op: &ScoreOp) -> bool {
        match op {
            ScoreOp::Set(member, stamp, _) => Self::assigned(view, *member).last().is_none_or(|seen| seen.0 < *stamp),
            ScoreOp::Add(..) => true,
            ScoreOp::Remove(member) => Self::score(view, *member).is_some(),
        }
    }
}

/// To the bit.
fn scores(shown: impl IntoIterator<Item = (u8, f64)>) -> Value {
    let shown: BTreeMap<u8, u64> = shown.into_iter().map(|(member, score)| (member, score.to_bits())).collect();
    if shown.is_empty() { Value::Nothing } else { Value::Scores(shown) }
}

pub struct Votes;

impl Votes {
    fn ballots(view: &View<Option<bool>>) -> BTreeMap<usize, bool> {
        let mut ballots = BTreeMap::new();
        for (id, author, ballot) in &view.ops {
            ballots.insert(*author, (*id, *ballot));
        }
        let counts = |(author, (id, ballot)): (usize, (usize, Option<bool>))| {
            if view.is_reset(id) { None } else { Some((author, ballot?)) }
        };
        ballots.into_iter().filter_map(counts).collect()
    }
}

impl Subject for Votes {
    type Store = Vote;
    type Op = Option<bool>;

    fn op() -> BoxedStrategy<Option<bool>> {
        any::<Option<bool>>().boxed()
    }

    fn apply(store: &mut Vote, mutation: &mut Mutation<'_>, op: &Option<bool>) -> Vote {
        match op {
            Some(yes) => store.cast(mutation, *yes),
            None => store.withdraw(mutation),
        }
    }

    fn read(store: &Vote) -> Value {
        let ballot = |n: usize| store.ballot(ReplicaId::new(n as u64 + 1)).map(|yes| (n, yes));
        let ballots: BTreeMap<_, _> = (0..super::REPLICAS).filter_map(ballot).collect();
        if ballots.is_empty() { Value::Nothing } else { Value::Ballots(ballots) }
    }

    fn clear(state: &mut Causal<Vote>, replica: ReplicaId) -> Option<Causal<Vote>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<Option<bool>>) -> Value {
        let ballots = Self::ballots(view);
        if ballots.is_empty() { Value::Nothing } else { Value::Ballots(ballots) }
    }

    fn is_event(view: &View<Option<bool>>, author: usize, op: &Option<bool>) -> bool {
        Self::ballots(view).get(&author).copied() != *op
    }
}

#[derive(Clone, Debug)]
pub enum EscrowOp {
    Increment(u64),
    Decrement(u64),
    Transfer(usize, u64),
}

pub struct BoundedCounters;

impl BoundedCounters {
    fn rights(view: &View<EscrowOp>, of: usize) -> u64 {
        let mut rights = 0_i64;
        for (_, author, op) in &view.ops {
            match op {
                EscrowOp::Increment(amount) if *author == of => rights += amount.cast_signed(),
                EscrowOp::Decrement(amount) if *author == of => rights -= amount.cast_signed(),
                EscrowOp::Transfer(to, amount) if *author == of && *to != of => rights -= amount.cast_signed(),
                EscrowOp::Transfer(to, amount) if *author != of && *to == of => rights += amount.cast_signed(),
                _ => {}
            }
        }
        u64::try_from(rights).expect("nobody spends rights it has not got")
    }
}

impl Subject for BoundedCounters {
    type Store = BoundedCounter;
    type Op = EscrowOp;

    fn op() -> BoxedStrategy<EscrowOp> {
        prop_oneof![
            (0..6_u64).prop_map(EscrowOp::Increment),
            (0..6_u64).prop_map(EscrowOp::Decrement),
            (0..super::REPLICAS, 0..6_u64).prop_map(|(to, amount)| EscrowOp::Transfer(to, amount)),
        ]
        .boxed()
    }

    fn apply(store: &mut BoundedCounter, mutation: &mut Mutation<'_>, op: &EscrowOp) -> BoundedCounter {
        match op {
            EscrowOp::Increment(amount) => store.increment(mutation, *amount),
            EscrowOp::Decrement(amount) => store.decrement(mutation, *amount),
            EscrowOp::Transfer(to, amount) => store.transfer(mutation, ReplicaId::new(*to as u64 + 1), *amount),
        }
        .unwrap_or_default()
    }

    fn read(store: &BoundedCounter) -> Value {
        use cahoots_crdt::DotStore;
        if store.is_live() { Value::Number(store.value().unwrap().into()) } else { Value::Nothing }
    }

    fn clear(_: &mut Causal<BoundedCounter>, _: ReplicaId) -> Option<Causal<BoundedCounter>> {
        None
    }

    fn oracle(view: &View<EscrowOp>) -> Value {
        let amounts: Vec<i64> = view
            .ops
            .iter()
            .map(|(.., op)| match op {
                EscrowOp::Increment(amount) => amount.cast_signed(),
                EscrowOp::Decrement(amount) => -amount.cast_signed(),
                EscrowOp::Transfer(..) => 0,
            })
            .collect();
        let value = total(&amounts);
        assert!(!matches!(value, Value::Number(n) if n < 0), "below the bound");
        value
    }

    fn is_event(view: &View<EscrowOp>, author: usize, op: &EscrowOp) -> bool {
        match op {
            EscrowOp::Increment(amount) => *amount > 0,
            EscrowOp::Decrement(amount) => *amount > 0 && Self::rights(view, author) >= *amount,
            EscrowOp::Transfer(to, amount) => *amount > 0 && *to != author && Self::rights(view, author) >= *amount,
        }
    }
}

#[derive(Clone, Debug)]
pub enum MapOp<O> {
    Update(u8, O),
    Remove(u8),
}

/// Compiled once, whatever is in the map.
fn map(found: &mut dyn Iterator<Item = (u8, Value)>) -> Value {
    let map: BTreeMap<_, _> = found.collect();
    if map.is_empty() { Value::Nothing } else { Value::Map(map) }
}

/// The map of another subject.
pub struct Maps<S>(PhantomData<S>);

fn under<O: Clone>(view: &View<MapOp<O>>, key: u8) -> View<O> {
    let mut nested = View { ops: Vec::new(), resets: view.resets.clone(), seen: Rc::clone(&view.seen) };
    for (id, author, op) in &view.ops {
        match op {
            MapOp::Update(at, op) if *at == key => nested.ops.push((*id, *author, op.clone())),
            MapOp::Remove(at) if *at == key => nested.resets.push(*id),
            _ => {}
        }
    }
    nested
}

impl<S: Subject> Subject for Maps<S>
where
    S::Store: Reset,
{
    type Store = OrMap<u8, S::Store>;
    type Op = MapOp<S::Op>;
    const LEAVES_BASELINES: bool = S::LEAVES_BASELINES;

    fn op() -> BoxedStrategy<MapOp<S::Op>> {
        prop_oneof![
            4 => (0..2_u8, S::op()).prop_map(|(key, op)| MapOp::Update(key, op)),
            1 => (0..2_u8).prop_map(MapOp::Remove),
        ]
        .boxed()
    }

    fn apply(store: &mut Self::Store, mutation: &mut Mutation<'_>, op: &MapOp<S::Op>) -> Self::Store {
        match op {
            MapOp::Update(key, op) => store.update(mutation, *key, |value, mutation| S::apply(value, mutation, op)),
            MapOp::Remove(key) => store.remove(mutation, key),
        }
    }

    fn read(store: &Self::Store) -> Value {
        assert_eq!(store.len(), store.iter().count());
        map(&mut store.iter().map(|(key, value)| (*key, S::read(value))))
    }

    fn clear(state: &mut Causal<Self::Store>, replica: ReplicaId) -> Option<Causal<Self::Store>> {
        cleared(state, replica)
    }

    fn oracle(view: &View<MapOp<S::Op>>) -> Value {
        let found = (0..2).map(|key| (key, S::oracle(&under(view, key))));
        map(&mut found.filter(|(_, value)| *value != Value::Nothing))
    }

    fn is_event(view: &View<MapOp<S::Op>>, author: usize, op: &MapOp<S::Op>) -> bool {
        match op {
            MapOp::Update(key, op) => S::is_event(&under(view, *key), author, op),
            MapOp::Remove(key) => S::oracle(&under(view, *key)) != Value::Nothing,
        }
    }
}

/// A map that cannot remove, because what is in it cannot: of bounded counters, of maps of them.
pub struct EscrowMaps<S>(PhantomData<S>);

impl<S: Subject> Subject for EscrowMaps<S> {
    type Store = OrMap<u8, S::Store>;
    type Op = (u8, S::Op);

    fn op() -> BoxedStrategy<(u8, S::Op)> {
        (0..2_u8, S::op()).boxed()
    }

    fn apply(store: &mut Self::Store, mutation: &mut Mutation<'_>, op: &(u8, S::Op)) -> Self::Store {
        store.update(mutation, op.0, |value, mutation| S::apply(value, mutation, &op.1))
    }

    fn read(store: &Self::Store) -> Value {
        assert_eq!(store.len(), store.iter().count());
        map(&mut store.iter().map(|(key, value)| (*key, S::read(value))))
    }

    fn clear(_: &mut Causal<Self::Store>, _: ReplicaId) -> Option<Causal<Self::Store>> {
        None
    }

    fn oracle(view: &View<(u8, S::Op)>) -> Value {
        let found = (0..2).map(|key| (key, S::oracle(&at_key(view, key))));
        map(&mut found.filter(|(_, value)| *value != Value::Nothing))
    }

    fn is_event(view: &View<(u8, S::Op)>, author: usize, op: &(u8, S::Op)) -> bool {
        S::is_event(&at_key(view, op.0), author, &op.1)
    }
}

fn at_key<O: Clone>(view: &View<(u8, O)>, key: u8) -> View<O> {
    let ops = view.ops.iter().filter(|(.., (at, _))| *at == key).map(|(id, by, (_, op))| (*id, *by, op.clone()));
    View { ops: ops.collect(), resets: Vec::new(), seen: Rc::clone(&view.seen) }
}
