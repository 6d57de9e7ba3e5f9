//! Spreading in clusters of up to a thousand replicas: the real engine in virtual time, on networks that only delay and
//! lose. (Everything else that networks do, and what must hold then, is the simulator's business in `tests/`.)

mod cluster;
mod epidemic;
mod measure;
mod network;

pub use cluster::Cluster;
pub use epidemic::epidemic;
pub use measure::{Outcome, Spread, measure, percentile};
pub use network::{Network, Place, REGIONS};
