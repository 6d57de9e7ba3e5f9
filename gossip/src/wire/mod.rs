//! What travels: the envelope around every datagram, and the engine's messages inside it.

mod envelope;
mod message;
#[doc(hidden)]
pub mod tap;

pub use envelope::{ClusterKey, Envelope, Kind, Refusal};
pub(crate) use message::{Blob, Message};
