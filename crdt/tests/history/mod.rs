//! Legal distributed histories, and an oracle that knows nothing of dots.
//!
//! A history is a list of steps: somebody changes something, or something travels as `exchange` has it, also joined with
//! another delta, or encoded. Every step is legal wherever it stands, so proptest can drop any of them and shrinks to a
//! short readable list.
//!
//! The oracle keeps the events and, for each, which events its author had seen. It computes values from that
//! relation alone. It is asked whenever a replica has seen a causally closed set of events; besides, any two replicas
//! that have seen the same set, closed or not, must hold equal states.
//!
//! Steps hold operations of whatever type: so proptest's code to draw, run and shrink histories is compiled once, not once
//! for each subject, which took longer than everything else here.

#![allow(dead_code, unreachable_pub)]

pub mod record;
pub mod subjects;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::rc::Rc;

use cahoots_crdt::{Causal, CausalContext, DotStore, Lattice, Mutation, ReplicaId, Wire};
use proptest::prelude::*;

use crate::exchange::{Exchange, Seen, Transfer, recoded};

/// What a reader sees, in one shape for all types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nothing,
    Number(i128),
    Members(BTreeSet<u8>),
    Values(Vec<u8>),
    /// The bits of floating-point numbers.
    Scores(BTreeMap<u8, u64>),
    On,
    Ballots(BTreeMap<usize, bool>),
    Map(BTreeMap<u8, Value>),
}

pub const EVENTS_MAX: usize = 60;
pub const REPLICAS: usize = 3;

/// The operations visible at one place of the data, and the removals of all that stands there.
pub struct View<O> {
    pub ops: Vec<(usize, usize, O)>,
    pub resets: Vec<usize>,
    pub seen: Rc<Vec<Seen>>,
}

impl<O: Clone> View<O> {
    /// Whether the author of `later` had seen `earlier`.
    pub fn saw(&self, later: usize, earlier: usize) -> bool {
        self.seen[later] >> earlier & 1 == 1
    }

    pub fn is_reset(&self, event: usize) -> bool {
        self.resets.iter().any(|reset| self.saw(*reset, event))
    }

    /// The operations for which `pick` holds, seen by no later one of them and by no removal.
    pub fn latest(&self, pick: impl Fn(&O) -> bool) -> Vec<(usize, usize, O)> {
        self.unsuperseded(pick).into_iter().filter(|(id, ..)| !self.is_reset(*id)).collect()
    }

    pub fn unsuperseded(&self, pick: impl Fn(&O) -> bool) -> Vec<(usize, usize, O)> {
        let picked: Vec<_> = self.ops.iter().filter(|(.., op)| pick(op)).cloned().collect();
        let is_latest = |id: usize| !picked.iter().any(|(other, ..)| self.saw(*other, id));
        picked.iter().filter(|(id, ..)| is_latest(*id)).cloned().collect()
    }
}

/// A type under test: how to drive it and what it should show.
pub trait Subject {
    type Store: DotStore + Wire + PartialEq + Debug;
    type Op: Clone + Debug + 'static;
    /// Whether equal values may differ in what awaits collection, and so in their encodings.
    const LEAVES_BASELINES: bool = false;

    fn op() -> BoxedStrategy<Self::Op>;
    fn apply(store: &mut Self::Store, mutation: &mut Mutation<'_>, op: &Self::Op) -> Self::Store;
    fn read(store: &Self::Store) -> Value;
    fn clear(state: &mut Causal<Self::Store>, replica: ReplicaId) -> Option<Causal<Self::Store>>;

    fn oracle(view: &View<Self::Op>) -> Value;
    /// Whether `op` by `author`, who sees `view`, changes anything.
    fn is_event(view: &View<Self::Op>, author: usize, op: &Self::Op) -> bool;
}

/// An operation of a subject.
pub trait AnyOp: Any + Debug {}

impl<O: Any + Debug> AnyOp for O {}

#[derive(Clone, Debug)]
pub enum Step {
    Change(usize, Rc<dyn AnyOp>),
    Clear(usize),
    Carry(Transfer),
    Encoded {
        nth: usize,
        to: usize,
    },
    Joined {
        nth: usize,
        other: usize,
        to: usize,
    },
    StateInPieces {
        from: usize,
        to: usize,
        bytes_max: usize,
    },
    /// Somebody hears how far `owner` had come at some time, and drops the bookkeeping that this allows.
    Collect {
        at: usize,
        owner: usize,
        nth: usize,
    },
}

pub fn steps<S: Subject>() -> BoxedStrategy<Vec<Step>> {
    steps_of(S::op().prop_map(|op| -> Rc<dyn AnyOp> { Rc::new(op) }).boxed())
}

fn steps_of(op: BoxedStrategy<Rc<dyn AnyOp>>) -> BoxedStrategy<Vec<Step>> {
    let replica = || 0..REPLICAS;
    let nth = || 0..EVENTS_MAX;
    let step = prop_oneof![
        8 => (replica(), op).prop_map(|(by, op)| Step::Change(by, op)),
        1 => replica().prop_map(Step::Clear),
        6 => (nth(), replica()).prop_map(|(nth, to)| Step::Carry(Transfer::Delta { nth, to })),
        1 => (nth(), replica()).prop_map(|(nth, to)| Step::Encoded { nth, to }),
        1 => (nth(), nth(), replica()).prop_map(|(nth, other, to)| Step::Joined { nth, other, to }),
        1 => (nth(), replica(), 20..90_usize, any::<bool>())
            .prop_map(|(nth, to, bytes_max, backwards)| Step::Carry(Transfer::Pieces { nth, to, bytes_max, backwards })),
        2 => (replica(), replica()).prop_map(|(from, to)| Step::Carry(Transfer::State { from, to })),
        1 => (replica(), replica()).prop_map(|(from, to)| Step::Carry(Transfer::Lacking { from, to })),
        1 => (replica(), replica(), 20..90_usize)
            .prop_map(|(from, to, bytes_max)| Step::StateInPieces { from, to, bytes_max }),
        2 => (replica(), replica(), 0..1_000_usize).prop_map(|(at, owner, nth)| Step::Collect { at, owner, nth }),
    ];
    prop::collection::vec(step, 1..45).boxed()
}

struct Event<O> {
    author: usize,
    /// `None` is a removal of everything.
    op: Option<O>,
    seen: Seen,
}

pub struct World<S: Subject> {
    exchange: Exchange<S::Store>,
    events: Vec<Event<S::Op>>,
    /// What each replica had seen, each time that changed.
    reports: Vec<Vec<CausalContext>>,
    pub oracle_asked: usize,
}

impl<S: Subject> World<S> {
    pub fn new() -> Self {
        Self {
            exchange: Exchange::new(REPLICAS),
            events: Vec::new(),
            reports: vec![vec![CausalContext::new()]; REPLICAS],
            oracle_asked: 0,
        }
    }

    pub fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
        self.settle();
        self.check_laws();
    }

    fn step(&mut self, step: &Step) {
        let reached = match step {
            Step::Change(by, op) => {
                let op: &dyn Any = &**op;
                return self
                    .change(*by, Some(op.downcast_ref().expect("histories of one subject have its operations")));
            }
            Step::Clear(by) => return self.change(*by, None),
            Step::Carry(transfer) => self.exchange.carry(*transfer),
            Step::Encoded { nth, to } => self.exchange.nth(*nth).map(|nth| {
                let delta = recoded(&self.exchange.deltas[nth]);
                self.exchange.merge(*to, delta, 1 << nth)
            }),
            Step::Joined { nth, other, to } => {
                self.exchange.nth(*nth).zip(self.exchange.nth(*other)).map(|(nth, other)| {
                    let mut joined = self.exchange.deltas[nth].clone();
                    joined.merge(self.exchange.deltas[other].clone());
                    self.exchange.merge(*to, joined, 1 << nth | 1 << other)
                })
            }
            Step::StateInPieces { from, to, bytes_max } => {
                let (state, seen) = (self.exchange.states[*from].clone(), self.exchange.seen[*from]);
                Some(self.exchange.merge_pieces(*to, &state, seen, *bytes_max, false))
            }
            Step::Collect { at, owner, nth } => {
                let reports = &self.reports[*owner];
                let owner = ReplicaId::new(*owner as u64 + 1);
                self.exchange.states[*at].collect(owner, &reports[nth % reports.len()]);
                Some(*at)
            }
        };
        if let Some(at) = reached {
            self.check(at);
        }
    }

    fn change(&mut self, by: usize, op: Option<&S::Op>) {
        if self.events.len() == EVENTS_MAX {
            return;
        }
        let id = ReplicaId::new(by as u64 + 1);
        let seen_before = self.exchange.seen[by];
        let state = &mut self.exchange.states[by];
        let delta = match op {
            Some(op) => state.mutate(id, |store, mutation| S::apply(store, mutation, op)),
            None => match S::clear(state, id) {
                Some(delta) => delta,
                None => return,
            },
        };
        let is_event = !delta.is_bottom();
        if self.is_closed(seen_before) {
            let view = self.view(seen_before);
            let expected = match op {
                Some(op) => S::is_event(&view, by, op),
                None => S::oracle(&view) != Value::Nothing,
            };
            assert_eq!(is_event, expected, "whether {op:?} by {by} is an event");
        }
        if is_event {
            self.events.push(Event { author: by, op: op.cloned(), seen: seen_before });
            self.exchange.publish(by, delta);
        }
        self.check(by);
    }

    /// Everybody gets everything, by states, so that the last word is always the oracle's.
    fn settle(&mut self) {
        for transfer in self.exchange.rounds() {
            self.step(&Step::Carry(transfer));
        }
        assert!(self.exchange.seen.iter().all(|seen| *seen == self.exchange.seen[0]));
    }

    fn is_closed(&self, seen: Seen) -> bool {
        (0..self.events.len()).filter(|id| seen >> id & 1 == 1).all(|id| self.events[id].seen & !seen == 0)
    }

    fn view(&self, seen: Seen) -> View<S::Op> {
        let visible = || self.events.iter().enumerate().filter(|(id, _)| seen >> id & 1 == 1);
        View {
            ops: visible().filter_map(|(id, event)| Some((id, event.author, event.op.clone()?))).collect(),
            resets: visible().filter(|(_, event)| event.op.is_none()).map(|(id, _)| id).collect(),
            seen: Rc::new(self.events.iter().map(|event| event.seen).collect()),
        }
    }

    fn check(&mut self, at: usize) {
        let (state, seen) = (&self.exchange.states[at], self.exchange.seen[at]);
        if self.reports[at].last() != Some(state.context()) {
            self.reports[at].push(state.context().clone());
        }
        if self.is_closed(seen) {
            assert_eq!(S::read(state), S::oracle(&self.view(seen)), "replica {at} against the oracle");
            self.oracle_asked += 1;
        }
        let same = self.exchange.check(at);
        let (read, encoded) = (S::read(same), same.encode());
        let state = &self.exchange.states[at];
        assert_eq!(read, S::read(state));
        assert!(S::LEAVES_BASELINES || encoded == state.encode(), "equal values, equal encodings");
    }

    /// The laws of a join semilattice, on deltas and on states that this history led to.
    fn check_laws(&self) {
        let mut values: Vec<&Causal<S::Store>> = self.exchange.different().rev().step_by(3).take(3).collect();
        values.extend(self.exchange.deltas.iter().rev().take(3));
        let join = |a: &Causal<S::Store>, b: &Causal<S::Store>| {
            let mut joined = a.clone();
            joined.merge(b.clone());
            joined
        };
        for a in &values {
            assert_eq!(&join(a, a), *a, "idempotent");
            assert_eq!(&join(a, &Causal::new()), *a, "the bottom is neutral");
            assert_eq!(&join(&Causal::new(), a), *a, "the bottom is neutral");
            assert_eq!(&recoded(a), *a, "encoding round trip");
            for b in &values {
                assert_eq!(join(a, b), join(b, a), "commutative");
                for c in &values {
                    assert_eq!(join(&join(a, b), c), join(a, &join(b, c)), "associative");
                }
            }
        }
    }
}
