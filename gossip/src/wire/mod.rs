//! What travels: the envelope around every datagram, the engine's messages inside it, and the requests and answers of
//! reliable streams.

mod bulk;
mod envelope;
mod message;
mod probe;

pub use bulk::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};
pub(crate) use bulk::{Answer, Fingerprints, Request};
pub use envelope::{ClusterKey, Envelope, Kind, Refusal};
pub use message::{Carried, carried};
pub(crate) use message::{HEAD_BYTES, Message, Staying};
pub use probe::Probe;
