//! RESP, the protocol Redis clients speak: frames in ([`Parser`]), replies out ([`Reply`]).
//!
//! Nothing here knows a command, a connection or the key space: bytes become arguments, values become bytes.

mod inline;
mod integer;
mod parse;
mod reply;

pub use inline::split_words;
pub use integer::{integer, unsigned};
pub use parse::{Args, FrameLimits, KeptArgs, Parser, ProtocolError};
pub use reply::{Fields, Items, Protocol, Reply, digits_of};
