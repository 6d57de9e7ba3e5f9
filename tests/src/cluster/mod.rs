//! Clusters of real processes: `cahoots serve`, Unix sockets, UDP on the loopback, signals.
//!
//! Every process is a child of the test, is ended by its pid, and is killed when its handle is dropped. Ports are
//! chosen by the system. A [`Relay`] stands between the daemons where a network is to lose, delay or cut.

mod binary;
mod bridge;
mod client;
mod daemon;
mod group;
mod ledger;
mod patience;
mod relay;
mod small_disk;
mod wrong_clock;

pub use binary::{binary, command};
pub use bridge::Bridge;
pub use client::{Client, Value};
pub use daemon::{Daemon, Setup};
pub use group::Group;
pub use ledger::Ledger;
pub use patience::{PATIENCE, until, until_still, until_within};
pub use relay::{Faults, Relay};
pub use small_disk::SmallDisk;
pub use wrong_clock::WrongClock;
