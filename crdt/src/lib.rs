//! Delta-state CRDTs.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

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
mod lww_register;
mod mutation;
mod mv_register;
mod observed;
mod or_map;
mod or_map_typed;
mod replica_id;
mod rw_set;
mod table;
mod tallies;
mod version_vector;
mod vote;
pub mod wire;

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
pub use lww_register::{LwwRegister, StaleStamp};
pub use mutation::Mutation;
pub use mv_register::MvRegister;
pub use observed::Observed;
pub use or_map::OrMap;
pub use replica_id::ReplicaId;
pub use rw_set::RwSet;
pub use table::DotMap;
pub use version_vector::VersionVector;
pub use vote::{Tally, Vote};
pub use wire::{DecodeError, EncodeError, Limits, Wire};
