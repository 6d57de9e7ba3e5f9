//! What several benchmarks share: the same work done by cahoots and its rivals, their servers, and how times are told.

pub mod contenders;
pub mod load;
pub mod redis;
pub mod spread;
pub mod times;
