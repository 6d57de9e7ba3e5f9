//! A deterministic simulator around the real engine.
//!
//! Real: [`cahoots_gossip::engine::Replica`], every byte it sends, every timer it asks for. Simulated: time, the
//! network (datagrams and reliable streams), the failure detector, processes that are killed or stopped, and clients. One `u64` decides everything, so
//! a failing run is repeated by its seed.
//!
//! A [`World`] is driven in one of two ways: by a [`Plan`] drawn from a seed (faults first, then healing and a bounded
//! time to agree), or by a script that says which link delivers when.

mod check;
mod detector;
mod disk;
mod drive;
mod expiry;
mod faults;
mod joining;
mod memory;
mod network;
mod plan;
mod process;
mod random;
mod script;
mod seeds;
mod shrink;
mod stream;
mod tally;
mod traffic;
mod workload;
mod world;
mod writing;

pub use detector::Detector;
pub use disk::Start;
pub use drive::{Report, run};
pub use network::{Link, Weather};
pub use plan::{Detection, Plan, Step};
pub use process::{Clocks, EPOCH, Process, read_all};
pub use random::Random;
pub use script::Script;
pub use seeds::first_seed;
pub use shrink::{attempt, shrink};
pub use tally::Tally;
pub use workload::Workload;
pub use world::World;
