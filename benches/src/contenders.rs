//! One way to drive all three libraries: each through the interface its documentation shows.
//!
//! A replica id is a random 64-bit integer in `cahoots-crdt` and `crdts`; `dson` has ids of 24 bits, which it encodes
//! in three bytes. A "set" of `dson` is its observed-remove map with a boolean register under each member, since it
//! has no set.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cahoots_crdt::{AwSet, Causal, Lattice, MvRegister, OrMap, PnCounter, ReplicaId};
use crdts::{CmRDT, CvRDT, Orswot};
use dson::crdts::NoExtensionTypes;
use dson::crdts::mvreg::MvRegValue;
use dson::sentinel::DummySentinel;
use dson::{CausalDotStore, Identifier};

/// A member: 16 bytes without a pattern.
pub type Member = [u8; 16];

/// The `n`-th member.
#[must_use]
pub fn member(n: u64) -> Member {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(n).to_le_bytes());
    bytes[8..].copy_from_slice(&mix(!n).to_le_bytes());
    bytes
}

/// The 64-bit id of the `n`-th replica.
#[must_use]
pub fn id(n: usize) -> u64 {
    mix(n as u64 + 1)
}

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A library's observed-remove set.
pub trait Set: Clone {
    /// What one replica sends another after a change.
    type Change: Clone;
    /// The library's name.
    const NAME: &'static str;

    /// The empty set.
    fn empty() -> Self;
    /// Adds a member and returns what to send.
    fn add(&mut self, replica: usize, member: Member) -> Self::Change;
    /// Removes a member and returns what to send.
    fn remove(&mut self, replica: usize, member: &Member) -> Self::Change;
    /// Whether the member is in.
    fn contains(&self, member: &Member) -> bool;
    /// Merges the change alone where the library can; where it cannot, the `whole` state that holds it.
    fn merge_change(&mut self, change: Self::Change, whole: Self);
    /// Adds many members, in the fastest way there is.
    fn extend(&mut self, members: impl Iterator<Item = (usize, Member)>) {
        for (replica, member) in members {
            black_box(self.add(replica, member));
        }
    }
    /// Merges another whole set.
    fn merge_state(&mut self, other: Self);
    /// How many members there are.
    fn count(&self) -> usize;
    /// The encoded whole set; `None` where the library's own serialisation is refused by a compact format.
    fn encoded(&self) -> Option<Vec<u8>>;
    /// The encoded change.
    fn encoded_change(change: &Self::Change) -> Option<Vec<u8>>;
}

impl Set for Causal<AwSet<Member>> {
    type Change = Self;
    const NAME: &'static str = "cahoots";

    fn empty() -> Self {
        Self::new()
    }

    fn add(&mut self, replica: usize, member: Member) -> Self {
        Self::add(self, ReplicaId::new(id(replica)), member)
    }

    fn remove(&mut self, replica: usize, member: &Member) -> Self {
        Self::remove(self, ReplicaId::new(id(replica)), member)
    }

    fn contains(&self, member: &Member) -> bool {
        self.store().contains(member)
    }

    fn merge_change(&mut self, change: Self, _: Self) {
        self.merge(change);
    }

    fn merge_state(&mut self, other: Self) {
        self.merge(other);
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn encoded(&self) -> Option<Vec<u8>> {
        self.encode().ok()
    }

    fn encoded_change(change: &Self) -> Option<Vec<u8>> {
        change.encode().ok()
    }
}

impl Set for Orswot<Member, u64> {
    /// An operation, for encoding and for `apply`.
    type Change = crdts::orswot::Op<Member, u64>;
    const NAME: &'static str = "crdts";

    fn empty() -> Self {
        Self::new()
    }

    fn add(&mut self, replica: usize, member: Member) -> Self::Change {
        let context = self.read_ctx().derive_add_ctx(id(replica));
        let op = Orswot::add(self, member, context);
        self.apply(op.clone());
        op
    }

    fn remove(&mut self, _replica: usize, member: &Member) -> Self::Change {
        let context = Orswot::contains(self, member).derive_rm_ctx();
        let op = self.rm(*member, context);
        self.apply(op.clone());
        op
    }

    fn contains(&self, member: &Member) -> bool {
        Orswot::contains(self, member).val
    }

    /// This crate has no deltas. (It has operations, which must arrive exactly once and in order; `apply` is timed in a
    /// row of its own.)
    fn merge_change(&mut self, _: Self::Change, whole: Self) {
        self.merge(whole);
    }

    fn merge_state(&mut self, other: Self) {
        self.merge(other);
    }

    fn count(&self) -> usize {
        self.iter().count()
    }

    fn encoded(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(self).ok()
    }

    fn encoded_change(change: &Self::Change) -> Option<Vec<u8>> {
        postcard::to_allocvec(change).ok()
    }
}

/// A set as `dson` would have it.
pub type DsonSet = CausalDotStore<dson::OrMap<Member, NoExtensionTypes>>;

/// The `n`-th replica of `dson`.
#[must_use]
pub fn identifier(n: usize) -> Identifier {
    // At most 256 nodes.
    Identifier::new(u8::try_from(n).expect("fewer than 256 replicas"), 0)
}

impl Set for DsonSet {
    type Change = Self;
    const NAME: &'static str = "dson";

    fn empty() -> Self {
        Self::default()
    }

    fn add(&mut self, replica: usize, member: Member) -> Self {
        let delta = dson::api::map::apply_to_register(
            |register, context, id| register.write(MvRegValue::Bool(true), context, id),
            member,
        )(&self.store, &self.context, identifier(replica));
        self.join_or_replace_with(delta.store.clone(), &delta.context);
        delta
    }

    fn remove(&mut self, replica: usize, member: &Member) -> Self {
        let delta = dson::api::map::remove(member)(&self.store, &self.context, identifier(replica));
        self.join_or_replace_with(delta.store.clone(), &delta.context);
        delta
    }

    fn contains(&self, member: &Member) -> bool {
        self.store.get(member).is_some()
    }

    /// Gathers blocks and joins them two by two: adding one by one would cost O(n) each.
    fn extend(&mut self, members: impl Iterator<Item = (usize, Member)>) {
        const BLOCK: usize = 300;
        let empty = Self::default();
        let mut seen = self.context.clone();
        // Of growing ranks; two of the same rank become one of the next.
        let mut blocks: Vec<(usize, Self)> = Vec::new();
        let mut members = members.peekable();
        while members.peek().is_some() {
            let (mut rank, mut block) = (0, Self::default());
            for (replica, member) in members.by_ref().take(BLOCK) {
                let delta = dson::api::map::apply_to_register(
                    |register, context, id| register.write(MvRegValue::Bool(true), context, id),
                    member,
                )(&empty.store, &seen, identifier(replica));
                seen.union(&delta.context);
                block.join_or_replace_with(delta.store, &delta.context);
            }
            while let Some((_, earlier)) = blocks.pop_if(|(other, _)| *other == rank) {
                block.join_or_replace_with(earlier.store, &earlier.context);
                rank += 1;
            }
            blocks.push((rank, block));
        }
        for (_, block) in blocks.into_iter().rev() {
            self.join_or_replace_with(block.store, &block.context);
        }
    }

    fn merge_change(&mut self, change: Self, _: Self) {
        let Ok(()) = self.consume(change, &mut DummySentinel);
    }

    fn merge_state(&mut self, other: Self) {
        let Ok(()) = self.consume(other, &mut DummySentinel);
    }

    fn count(&self) -> usize {
        self.store.len()
    }

    fn encoded(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(&(&self.store, &self.context)).ok()
    }

    fn encoded_change(change: &Self) -> Option<Vec<u8>> {
        change.encoded()
    }
}

/// A set of `size` members, built by `replicas` replicas in turn.
#[must_use]
pub fn set<S: Set>(size: u64, replicas: usize) -> S {
    let mut set = S::empty();
    set.extend((0..size).map(|n| (usize::try_from(n).expect("small") % replicas, member(n))));
    set
}

/// A set of one size and somebody who sends it changes of one element.
pub struct Receiver<S> {
    state: S,
    /// A small set where that will do: a second large one would only drive the first out of the caches.
    sender: S,
    size: u64,
    next: u64,
}

impl<S: Set> Receiver<S> {
    /// A set of `size` members, made by three replicas.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let state: S = set(size, 3);
        let sender = if Self::sends_whole() { state.clone() } else { S::empty() };
        Self { state, sender, size, next: 1 << 40 }
    }

    /// Merges `count` changes that add a member each, and says how long that took. Takes the members out again, so
    /// that the set keeps its size.
    pub fn merge(&mut self, count: usize) -> Duration {
        let members: Vec<Member> = (self.next..).take(count).map(member).collect();
        self.next += count as u64;
        let changes: Vec<_> = members
            .iter()
            .map(|member| {
                let change = self.sender.add(3, *member);
                (change, self.whole())
            })
            .collect();
        let start = Instant::now();
        for (change, whole) in changes {
            self.state.merge_change(change, whole);
        }
        let took = start.elapsed();
        for member in &members {
            let removal = self.sender.remove(3, member);
            self.state.merge_change(removal, self.whole());
        }
        took
    }

    /// How many changes to merge at once: so few that the set hardly grows, so many that the clock does not count.
    #[must_use]
    pub fn batch(&self) -> usize {
        // What costs O(n) needs no repetition to be measured.
        if S::NAME == "cahoots" { usize::try_from(self.size / 20).map_or(500, |batch| batch.min(500)) } else { 1 }
    }

    fn whole(&self) -> S {
        if Self::sends_whole() { self.sender.clone() } else { S::empty() }
    }

    fn sends_whole() -> bool {
        S::NAME == "crdts"
    }
}

/// Two sets of `size` members that share all but `different` of them.
#[must_use]
pub fn pair<S: Set>(size: u64, different: u64) -> (S, S) {
    let mut left: S = set(size - different, 3);
    let mut right = left.clone();
    left.extend((size..size + different).map(|n| (3, member(n))));
    right.extend((2 * size..2 * size + different).map(|n| (4, member(n))));
    (left, right)
}

/// A counter, a register map: the other local operations.
pub mod local {
    use super::{Causal, CausalDotStore, CmRDT, MvRegValue, MvRegister, OrMap, PnCounter, ReplicaId, id, identifier};

    /// Ours.
    pub type Counter = Causal<PnCounter>;
    /// Ours.
    pub type Map = Causal<OrMap<u64, MvRegister<u64>>>;
    /// Of `crdts`.
    pub type CrdtsCounter = crdts::PNCounter<u64>;
    /// Of `crdts`.
    pub type CrdtsMap = crdts::Map<u64, crdts::MVReg<u64, u64>, u64>;
    /// Of `dson`.
    pub type DsonMap = CausalDotStore<dson::OrMap<u64, dson::crdts::NoExtensionTypes>>;

    /// Increments by one and returns what to send.
    #[inline]
    pub fn increment(counter: &mut Counter, replica: usize) -> Counter {
        counter.add(ReplicaId::new(id(replica)), 1).expect("small totals")
    }

    /// Increments by one and returns what to send.
    #[inline]
    pub fn increment_crdts(counter: &mut CrdtsCounter, replica: usize) -> crdts::pncounter::Op<u64> {
        let op = counter.inc(id(replica));
        counter.apply(op.clone());
        op
    }

    /// Writes a register of the map and returns what to send.
    pub fn update(map: &mut Map, replica: usize, key: u64, value: u64) -> Map {
        map.set(ReplicaId::new(id(replica)), key, value)
    }

    /// Writes a register of the map and returns what to send.
    pub fn update_crdts(
        map: &mut CrdtsMap,
        replica: usize,
        key: u64,
        value: u64,
    ) -> crdts::map::Op<u64, crdts::MVReg<u64, u64>, u64> {
        let context = map.read_ctx().derive_add_ctx(id(replica));
        let op = map.update(key, context, |register, context| register.write(value, context));
        map.apply(op.clone());
        op
    }

    /// Writes a register of the map and returns what to send.
    pub fn update_dson(map: &mut DsonMap, replica: usize, key: u64, value: u64) -> DsonMap {
        let delta = dson::api::map::apply_to_register(
            |register, context, id| register.write(MvRegValue::U64(value), context, id),
            key,
        )(&map.store, &map.context, identifier(replica));
        map.join_or_replace_with(delta.store.clone(), &delta.context);
        delta
    }
}
