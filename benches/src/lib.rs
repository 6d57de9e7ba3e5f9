//! What several benchmarks share: the same work done by cahoots and its rivals, their servers, and how times are told.

pub mod contenders;
pub mod live_bytes;
pub mod load;
pub mod redis;
pub mod sequences;
pub mod spread;
pub mod times;
