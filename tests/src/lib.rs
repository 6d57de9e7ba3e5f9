//! The test bench of cahoots: a deterministic simulator, an oracle that shares no code with what it judges, and a
//! harness over real processes. The suites in `tests/tests` stand on these.

mod attempt;
pub mod client;
pub mod cluster;
pub mod commands;
pub mod disk_log;
pub mod exchange;
pub mod listener;
pub mod oracle;
pub mod sim;

pub use attempt::attempt;
