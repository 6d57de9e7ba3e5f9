//! The test bench of cahoots: a deterministic simulator, an oracle that shares no code with what it judges, and a
//! harness over real processes. The suites in `tests/tests` stand on these.

pub mod oracle;
pub mod sim;
