//! How changes reach other replicas, in tests that draw histories: any earlier delta is sent to anybody, again and in any
//! order, whole or in pieces; a whole state, or what a peer lacks of it, is merged. What is never sent is lost.
//!
//! Knows nothing of what the changes are. Of each replica it keeps which of them, by their numbers, it has seen: two that
//! have seen the same hold equal states.

#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use cahoots_crdt::{Causal, Delta, DotStore, Lattice, Limits, Wire};

/// A set of changes, as bits.
pub type Seen = u64;

#[derive(Clone, Copy, Debug)]
pub enum Transfer {
    Delta { nth: usize, to: usize },
    Pieces { nth: usize, to: usize, bytes_max: usize, backwards: bool },
    State { from: usize, to: usize },
    Lacking { from: usize, to: usize },
}

pub struct Exchange<S> {
    pub states: Vec<Causal<S>>,
    pub seen: Vec<Seen>,
    pub deltas: Vec<Causal<S>>,
    /// The first state in which just these were seen, by its number among all such.
    by_seen: BTreeMap<Seen, usize>,
    firsts: Vec<Causal<S>>,
}

impl<S: DotStore + Wire + PartialEq + Debug> Exchange<S> {
    pub fn new(replicas: usize) -> Self {
        let states = (0..replicas).map(|_| Causal::new()).collect();
        Self { states, seen: vec![0; replicas], deltas: Vec::new(), by_seen: BTreeMap::new(), firsts: Vec::new() }
    }

    /// The number of a delta there is.
    pub fn nth(&self, nth: usize) -> Option<usize> {
        nth.checked_rem(self.deltas.len())
    }

    /// The next change is made, by a replica that holds it already.
    pub fn publish(&mut self, by: usize, delta: Causal<S>) {
        self.seen[by] |= 1 << self.deltas.len();
        self.deltas.push(delta);
    }

    /// Says whom anything has reached.
    pub fn carry(&mut self, transfer: Transfer) -> Option<usize> {
        match transfer {
            Transfer::Delta { nth, to } => {
                let nth = self.nth(nth)?;
                Some(self.merge(to, self.deltas[nth].clone(), 1 << nth))
            }
            Transfer::Pieces { nth, to, bytes_max, backwards } => {
                let nth = self.nth(nth)?;
                Some(self.merge_pieces(to, &self.deltas[nth].clone(), 1 << nth, bytes_max, backwards))
            }
            Transfer::State { from, to } => Some(self.merge(to, self.states[from].clone(), self.seen[from])),
            Transfer::Lacking { from, to } => {
                let lacking = self.states[from].since(self.states[to].context().version_vector());
                Some(self.merge(to, recoded(&lacking), self.seen[from]))
            }
        }
    }

    pub fn merge(&mut self, to: usize, value: Causal<S>, seen: Seen) -> usize {
        self.states[to].merge(value);
        self.seen[to] |= seen;
        to
    }

    pub fn merge_pieces(
        &mut self,
        to: usize,
        whole: &Causal<S>,
        seen: Seen,
        bytes_max: usize,
        backwards: bool,
    ) -> usize {
        let mut pieces = whole.clone().split(bytes_max).unwrap();
        let mut joined = Causal::<S>::empty_delta();
        for piece in &pieces {
            joined.merge(piece.clone());
        }
        assert_eq!(&joined, whole, "the join of the pieces");
        if backwards {
            pieces.reverse();
        }
        for piece in pieces {
            self.states[to].merge(recoded(&piece));
        }
        self.seen[to] |= seen;
        to
    }

    /// The transfers after which everybody has everything, by states.
    pub fn rounds(&self) -> impl Iterator<Item = Transfer> + use<S> {
        let replicas = self.states.len();
        (0..2 * replicas).map(move |nth| Transfer::State { from: nth % replicas, to: (nth + 1) % replicas })
    }

    /// Checks a replica against the first that had seen the same, and returns that one's state.
    pub fn check(&mut self, at: usize) -> &Causal<S> {
        let state = &self.states[at];
        let first = *self.by_seen.entry(self.seen[at]).or_insert_with(|| {
            self.firsts.push(state.clone());
            self.firsts.len() - 1
        });
        assert_eq!(&self.firsts[first], state, "two replicas that have seen the same events");
        &self.firsts[first]
    }

    /// States in which different sets of changes were seen, in the order of these.
    pub fn different(&self) -> impl DoubleEndedIterator<Item = &Causal<S>> + ExactSizeIterator {
        self.by_seen.values().map(|first| &self.firsts[*first])
    }
}

/// The value through its encoding.
pub fn recoded<S: Wire + PartialEq + Debug>(value: &Causal<S>) -> Causal<S> {
    let bytes = value.encode().unwrap();
    let size = value.size().unwrap();
    assert_eq!(size.total(), bytes.len());
    let decoded = Causal::<S>::decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(decoded.encode().unwrap(), bytes, "the encoding is a function of the value");
    decoded
}
