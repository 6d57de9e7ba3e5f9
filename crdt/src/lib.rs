//! Delta-state CRDTs: values that several replicas change at the same time, without coordination, and that end up equal.
//!
//! Every type is exact under loss, duplication and reordering of messages, alone and nested in maps to any depth. The
//! crate is `no_std` with `alloc`, contains no `unsafe`, reads no clock and draws no randomness.
//!
//! # A short course
//!
//! ## Two replicas, one value
//!
//! A replica changes its copy, and the mutator returns a *delta*: a small value of the same type. Send it to the
//! others any way you like. A copy that has merged it knows the change; merging it again does nothing.
//!
//! ```
//! use cahoots_crdt::{AwSet, Causal, Lattice, ReplicaId};
//!
//! let (ada, bob) = (ReplicaId::new(0xADA), ReplicaId::new(0xB0B));
//! let mut left: Causal<AwSet<&str>> = Causal::new();
//! let mut right: Causal<AwSet<&str>> = Causal::new();
//!
//! let tea = left.add(ada, "tea");
//! let rum = right.add(bob, "rum");
//! left.merge(rum);
//! right.merge(tea);
//! assert_eq!(left, right);
//! ```
//!
//! A [`ReplicaId`] stands for one incarnation of one replica. Draw it at random; never use it again after losing state,
//! nor for two copies at once: they would give different changes the same name, and either may be lost, or both. That
//! is also why you change your own copy only, and never a delta or the copy that another replica sent.
//!
//! ## Dots
//!
//! Each event gets a name that no other event will ever have: a [`Dot`], the id of the replica and a number that counts
//! its events. What is stored is tagged with the dot of the event that wrote it.
//!
//! ## Contexts
//!
//! Beside its data a replicated value keeps the set of all dots it has seen, its [`CausalContext`]. That set is what
//! makes merging possible without tombstones. When another replica shows a cell that is missing here, there are two
//! explanations, and the context tells them apart:
//!
//! | the cell's dot | means | so |
//! | --- | --- | --- |
//! | not in my context | I have not heard of it yet | take it |
//! | in my context | I had it, and it was removed | leave it out |
//!
//! Usually a replica has seen an unbroken run of each other's events, so the set is one integer for each replica, a
//! [`VersionVector`]. What came out of order is kept beside it as runs.
//!
//! ```
//! use cahoots_crdt::{AwSet, Causal, Dot, Observed, ReplicaId};
//!
//! let ada = ReplicaId::new(1);
//! let mut set: Causal<AwSet<&str>> = Causal::new();
//! let _tea = set.add(ada, "tea"); // dot 1
//! let _gone = set.remove(ada, "tea"); // dot 2: a removal is an event, too
//! assert!(set.is_empty() && set.context().covers(Dot::new(ada, 1)));
//! assert_eq!(set.context().version_vector().get(ada), 2);
//! ```
//!
//! ## Deltas
//!
//! A delta has a context as well: the dots it minted and those it replaced. Merging is the same operation for deltas
//! and states, `(s, c) ⊔ (s', c') = ((s ∩ s') ∪ (s \\ c') ∪ (s' \\ c), c ∪ c')`, but a delta also says which keys it is
//! about, so merging one costs O(its own size). Joining deltas gives a delta ([`Causal::empty_delta`]); so you may send
//! each one at once, or gather them. Two replicas with equal contexts hold equal values, so comparing contexts tells
//! whether anything is missing.
//!
//! Three helpers for sending: [`Delta::split`] cuts to datagrams, [`Delta::since`] computes what a peer with a given
//! version vector lacks, removals included, and [`Delta::size`] tells data from bookkeeping.
//!
//! ```
//! use cahoots_crdt::{AwSet, Causal, Delta, Lattice, ReplicaId};
//!
//! let ada = ReplicaId::new(1);
//! let mut here: Causal<AwSet<u32>> = Causal::new();
//! for n in 0..1_000 {
//!     let _sent = here.add(ada, n);
//! }
//! let mut away = here.clone();
//! let _lost = (here.remove(ada, &7), here.add(ada, 5_000));
//!
//! let lacking = here.since(away.context().version_vector());
//! assert!(lacking.encode()?.len() < 64);
//! away.merge(lacking);
//! assert_eq!(here, away);
//! # Ok::<(), cahoots_crdt::EncodeError>(())
//! ```
//!
//! ## Observed-remove
//!
//! A removal removes what its author had seen, and nothing else. This one rule, applied cell by cell, decides every
//! conflict between writing and removing, in sets, in maps, in maps of maps, for counters too:
//!
//! ```
//! use cahoots_crdt::{Causal, Lattice, OrMap, PnCounter, ReplicaId};
//!
//! let (ada, bob) = (ReplicaId::new(1), ReplicaId::new(2));
//! let mut left: Causal<OrMap<&str, PnCounter>> = Causal::new();
//! let mut right = left.clone();
//! right.merge(left.add(ada, "likes", 10)?);
//!
//! let removed = left.remove(ada, "likes"); // sees 10
//! let liked = right.add(bob, "likes", 1)?; // concurrently
//! left.merge(liked);
//! right.merge(removed);
//! assert_eq!(left.value("likes")?, 1);
//! assert_eq!(left, right);
//! # Ok::<(), cahoots_crdt::Overflow>(())
//! ```
//!
//! ## Which type when
//!
//! | you have | take | when two write at once |
//! | --- | --- | --- |
//! | a total that only grows | [`GCounter`] | both count |
//! | a total | [`PnCounter`] | both count |
//! | a stock that must not go negative | [`BoundedCounter`] | each spends only its own rights |
//! | a set | [`AwSet`] | adding wins |
//! | a set of what is forbidden or revoked | [`RwSet`] | removing wins |
//! | a set nothing leaves | [`GSet`] | all are in |
//! | one value, the last counts | [`LwwRegister`] | the higher clock wins, see [`Hlc`] |
//! | one value, nothing may be lost | [`MvRegister`] | all stay until a later write decides |
//! | a record high or low | [`MaxRegister`], [`MinRegister`] | the better wins |
//! | a switch | [`EwFlag`], [`DwFlag`] | on wins, off wins |
//! | an agreement | [`Vote`] | one ballot for each replica |
//! | things in an order that people choose | [`List`] | all are in, in one order everywhere |
//! | scores, read by rank | [`ScoreMap`] | increments add up, the last assignment counts |
//! | a log, read from where one left off | [`AppendLog`] | all are in, by time |
//! | a record, a document, many of the above | [`OrMap`] | merged key by key |
//!
//! ## Order
//!
//! Elements of a list keep their place in a [`Position`], a name whose bytes sort as the list does. What is put between
//! two others gets a name between theirs, and nothing has to stay behind when an element goes. Order comes from clocks,
//! so whatever has one takes a stamp, above all stamps seen; a [`HybridClock`] gives them.
//!
//! ```
//! use cahoots_crdt::{AppendLog, Causal, HybridClock, List, ReplicaId, VersionVector};
//!
//! let (ada, wall_millis) = (ReplicaId::new(1), 1_763_000_000_000); // your clock; this crate reads none
//! let mut clock = HybridClock::new(60_000);
//! let mut tasks: Causal<List<&str>> = Causal::new();
//! let _sent = tasks.push_back_all(ada, clock.tick(wall_millis)?, ["sow", "water"])?;
//! let _sent = tasks.insert(ada, clock.tick(wall_millis)?, 1, "wait")?;
//! assert!(tasks.iter().eq(&["sow", "wait", "water"]));
//!
//! // A log hands out what is new to a cursor, exactly once, at whatever replica the reader asks.
//! let mut done: Causal<AppendLog<&str>> = Causal::new();
//! let _sent = done.append(ada, clock.tick(wall_millis)?, "sow")?;
//! let (entries, cursor) = done.read_after(&VersionVector::new(), 100);
//! assert_eq!(entries.len(), 1);
//! assert!(done.read_after(&cursor, 100).0.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Nesting
//!
//! Each type is a [`DotStore`]. [`Causal`] gives one a context of its own, to stand alone; [`OrMap`] nests any of them,
//! maps too, under one shared context. Inside [`OrMap::update`] a [`Mutation`] stands for the replica and the context:
//!
//! ```
//! use cahoots_crdt::{AwSet, Causal, OrMap, ReplicaId};
//!
//! let ada = ReplicaId::new(1);
//! let mut library: Causal<OrMap<&str, OrMap<&str, AwSet<&str>>>> = Causal::new();
//! let _delta = library.update(ada, "poetry", |shelf, mutation| {
//!     shelf.update(mutation, "Sappho", |books, mutation| books.add(mutation, "Fragments"))
//! });
//! let books = library.get("poetry").and_then(|shelf| shelf.get("Sappho")).unwrap();
//! assert!(books.contains("Fragments"));
//! ```
//!
//! Each mutator inside the closure returns its part of the delta, and the closure has to return all of it; the compiler
//! warns of a part that is dropped. Several changes in one closure are put together by [`Mutation::and`].
//!
//! ## Order of delivery
//!
//! Merging in any order ends in the right state. On the way, a replica that gets effects before their causes may show
//! for a moment what the whole history would not; if that matters, ship deltas through a [`CausalBarrier`].
//!
//! ## Bytes
//!
//! [`Causal::encode`] and [`Causal::decode`], or serde, which carries the same bytes. See [`wire`] for the layout, its
//! limits and its promise: no bytes from outside make this crate panic.
//!
//! Bytes that decode can still lie. A peer that may send you deltas may remove anything, so authenticate your peers.
//! One lie shows by itself: no replica can have seen events of yours that you have not published. One that claims so
//! has an older life of yours, or uses your id; take a new one before your next change:
//!
//! ```
//! use cahoots_crdt::{AwSet, Causal, Lattice, ReplicaId};
//!
//! let ada = ReplicaId::new(1);
//! let mut set: Causal<AwSet<&str>> = Causal::new();
//! let delta = set.add(ada, "x");
//!
//! let restored: Causal<AwSet<&str>> = Causal::new(); // from a backup that is older than that
//! let is_known_better = delta.context().last(ada) > restored.context().last(ada);
//! assert!(is_known_better);
//! ```
//!
//! # What it costs
//!
//! Merging a delta O(its size), times O(log n) where there is an order; merging states O(n + m); access by key O(1), by
//! index or rank O(log n); memory of a set 25 bytes beside each
//! member, in a table that is between 44 and 88 % full.
//! `cargo run --release -p cahoots-benches --bin crdt-table` prints times, memory and encoded sizes next to those of two
//! other libraries; `docs/performance-crdt.md` holds a run of it.
//!
//! # Where it is from
//!
//! Almeida, Shoker, Baquero, *Delta State Replicated Data Types* (J. Parallel Distrib. Comput. 2018), is the base;
//! Almeida, *Approaches to Conflict-free Replicated Data Types* (ACM Comput. Surv. 2024), is the best map of the field.
//! Each type names its own source.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod append_log;
mod append_log_store;
mod aw_set;
mod barrier;
mod bounded_counter;
mod causal;
mod causal_context;
mod counter;
mod dot;
mod dot_fun;
mod dot_map;
mod dot_store;
#[doc(hidden)]
pub mod exercise;
mod extremum_register;
mod flag;
mod g_set;
mod hlc;
mod lattice;
mod list;
mod list_causal;
mod list_edit;
mod lww_register;
mod mutation;
mod mv_register;
mod observed;
mod or_map;
mod or_map_typed;
mod position;
mod ranked;
mod replica_id;
mod rw_set;
mod score;
mod score_map;
mod table;
mod tallies;
mod tree;
mod version_vector;
mod vote;
pub mod wire;

/// What the README shows, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// A delta dropped without a word does not compile where warnings are errors, nested or not, fallible or not.
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use cahoots_crdt::{AwSet, Causal, ReplicaId};
/// Causal::<AwSet<u8>>::new().add(ReplicaId::new(1), 7);
/// ```
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use cahoots_crdt::{Causal, Overflow, PnCounter, ReplicaId};
/// # fn main() -> Result<(), Overflow> {
/// Causal::<PnCounter>::new().add(ReplicaId::new(1), 7)?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use cahoots_crdt::{Causal, OrMap, Overflow, PnCounter, ReplicaId};
/// let mut map: Causal<OrMap<u8, OrMap<u8, PnCounter>>> = Causal::new();
/// let _delta = map.try_update(ReplicaId::new(1), 1, |map, m| {
///     map.try_update(m, 1, |counter, m| counter.add(m, 1))?;
///     map.try_update(m, 2, |counter, m| counter.add(m, 1))
/// });
/// ```
#[cfg(doctest)]
struct Dropped;

pub use append_log::{AppendLog, EntryId};
pub use aw_set::AwSet;
pub use barrier::{BarrierError, CausalBarrier, Parcel};
pub use bounded_counter::{BoundedCounter, BoundedError};
pub use causal::Causal;
pub use causal_context::{CausalContext, Run};
pub use counter::{GCounter, Overflow, PnCounter};
pub use dot::Dot;
pub use dot_fun::DotFun;
pub use dot_store::{DotSet, DotStore, Reset};
pub use extremum_register::{MaxRegister, MinRegister};
pub use flag::{DwFlag, EwFlag};
pub use g_set::GSet;
pub use hlc::{ClockAhead, Hlc, HybridClock};
pub use lattice::{Delta, Lattice, Size};
pub use list::{List, ListError};
pub use lww_register::{LwwRegister, StaleStamp};
pub use mutation::Mutation;
pub use mv_register::MvRegister;
pub use observed::Observed;
pub use or_map::OrMap;
pub use position::{Position, Side};
pub use replica_id::ReplicaId;
pub use rw_set::RwSet;
pub use score_map::{ScoreError, ScoreMap};
pub use table::DotMap;
pub use version_vector::VersionVector;
pub use vote::{Tally, Vote};
pub use wire::{DecodeError, EncodeError, Limits, Wire};
