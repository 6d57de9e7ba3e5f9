//! All histories up to a bounded size, and for each of them all orders and groupings of merging its deltas.
//!
//! Nothing is sampled. A history is a sequence of events; each has an author, an operation, and any subset of the
//! earlier events as what its author had seen (at least what that author had seen before). Authors are numbered in the
//! order of their first event, which leaves out only renamings.

mod exchange;
mod history;

use std::rc::Rc;

use cahoots_crdt::{Causal, Lattice, ReplicaId};
use history::subjects::*;
use history::{Subject, Value, View};

struct Enumeration<S: Subject> {
    alphabet: Vec<S::Op>,
    authors: usize,
    length: usize,
    histories: usize,
    orders: Vec<Vec<usize>>,
}

struct Event<S: Subject> {
    author: usize,
    op: S::Op,
    seen: u64,
    delta: Causal<S::Store>,
}

impl<S: Subject> Enumeration<S> {
    fn run(alphabet: Vec<S::Op>, authors: usize, length: usize) -> usize {
        let orders = permutations(length);
        let mut all = Self { alphabet, authors, length, histories: 0, orders };
        all.extend(&mut Vec::new());
        all.histories
    }

    fn extend(&mut self, events: &mut Vec<Event<S>>) {
        if events.len() == self.length {
            self.histories += 1;
            self.check(events);
            return;
        }
        let known = events.iter().map(|event| event.author + 1).max().unwrap_or(0);
        for author in 0..=known.min(self.authors - 1) {
            let own = |(id, event): (usize, &Event<S>)| if event.author == author { event.seen | 1 << id } else { 0 };
            let at_least = events.iter().enumerate().map(own).fold(0, |all, seen| all | seen);
            for seen in 0..1_u64 << events.len() {
                if seen & at_least != at_least {
                    continue;
                }
                for op in self.alphabet.clone() {
                    let mut state = Causal::<S::Store>::new();
                    for (id, event) in events.iter().enumerate() {
                        if seen >> id & 1 == 1 {
                            state.merge(event.delta.clone());
                        }
                    }
                    let id = ReplicaId::new(author as u64 + 1);
                    let delta = state.mutate(id, |store, mutation| S::apply(store, mutation, &op));
                    if !delta.is_bottom() {
                        events.push(Event { author, op, seen, delta });
                        self.extend(events);
                        events.pop();
                    }
                }
            }
        }
    }

    fn check(&self, events: &[Event<S>]) {
        let view = View {
            ops: events.iter().enumerate().map(|(id, event)| (id, event.author, event.op.clone())).collect(),
            resets: Vec::new(),
            seen: Rc::new(events.iter().map(|event| event.seen).collect()),
        };
        let expected: Value = S::oracle(&view);
        let history = || events.iter().map(|e| (e.author, e.op.clone(), e.seen)).collect::<Vec<_>>();
        let mut first: Option<Causal<S::Store>> = None;
        for order in &self.orders {
            let deltas = || order.iter().map(|id| events[*id].delta.clone());
            // One by one into a state.
            let mut state = Causal::<S::Store>::new();
            deltas().for_each(|delta| state.merge(delta));
            // Joined to one delta first.
            let mut joined = Causal::<S::Store>::empty_delta();
            deltas().for_each(|delta| joined.merge(delta));
            let mut by_joined = Causal::<S::Store>::new();
            by_joined.merge(joined);
            // In two halves, each a state of its own.
            let (mut left, mut right) = (Causal::<S::Store>::new(), Causal::<S::Store>::new());
            deltas().take(self.length / 2).for_each(|delta| left.merge(delta));
            deltas().skip(self.length / 2).for_each(|delta| right.merge(delta));
            left.merge(right);

            assert_eq!(S::read(&state), expected, "{:?} merged in the order {order:?}", history());
            let first = first.get_or_insert_with(|| state.clone());
            for other in [&state, &by_joined, &left] {
                assert_eq!(first, other, "{:?} merged in the order {order:?}", history());
            }
        }
    }
}

fn permutations(length: usize) -> Vec<Vec<usize>> {
    if length == 0 {
        return vec![Vec::new()];
    }
    let insert = |shorter: Vec<usize>| {
        (0..length).map(move |at| {
            let mut longer = shorter.clone();
            longer.insert(at, length - 1);
            longer
        })
    };
    permutations(length - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn every_order_of_every_short_history_of_a_set_gives_the_value_of_the_oracle() {
    let alphabet = vec![SetOp::Add(0), SetOp::Remove(0), SetOp::Add(1)];
    let histories = Enumeration::<AwSets>::run(alphabet, 3, 4);
    assert_eq!(histories, 6_549);
}

#[test]
fn every_order_of_every_short_history_of_a_remove_wins_set_gives_the_value_of_the_oracle() {
    let histories = Enumeration::<RwSets>::run(vec![SetOp::Add(0), SetOp::Remove(0)], 3, 4);
    assert_eq!(histories, 3_552);
}

#[test]
fn every_order_of_every_short_history_of_a_map_of_maps_gives_the_value_of_the_oracle() {
    let update = |inner| MapOp::Update(0, inner);
    let alphabet =
        vec![update(MapOp::Update(0, 1)), update(MapOp::Update(1, 2)), update(MapOp::Remove(0)), MapOp::Remove(0)];
    let histories = Enumeration::<Maps<Maps<MvRegisters>>>::run(alphabet, 3, 4);
    assert_eq!(histories, 12_713);
}

#[test]
fn every_order_of_every_short_history_of_a_map_of_sets_gives_the_value_of_the_oracle() {
    let update = |op| MapOp::Update(0, op);
    let alphabet = vec![update(SetOp::Add(0)), update(SetOp::Remove(0)), MapOp::Remove(0)];
    let histories = Enumeration::<Maps<AwSets>>::run(alphabet, 3, 4);
    assert_eq!(histories, 2_196);
}

#[test]
fn every_order_of_every_short_history_of_a_register_gives_the_value_of_the_oracle() {
    let alphabet = vec![MapOp::Update(0, 1), MapOp::Remove(0)];
    let histories = Enumeration::<Maps<MvRegisters>>::run(alphabet, 3, 5);
    assert_eq!(histories, 25_779);
}

#[test]
fn every_order_of_every_short_history_of_a_counter_gives_the_value_of_the_oracle() {
    let alphabet = vec![MapOp::Update(0, 1), MapOp::Remove(0)];
    let histories = Enumeration::<Maps<PnCounters>>::run(alphabet, 3, 5);
    assert_eq!(histories, 25_668);
}
