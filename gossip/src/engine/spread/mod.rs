//! How changes travel while nothing goes wrong: what is sent to which peer, when, and how much waits for it.

pub(super) mod cast;
pub(in crate::engine) mod log;
pub(super) mod pace;
pub(super) mod peer;
pub(super) mod peers;
pub(super) mod queues;
pub(super) mod relay;
pub(super) mod transmit;
