//! The same work done by `cahoots-crdt` and its peers, for the criterion suite and the ratio table.

pub mod contenders;
