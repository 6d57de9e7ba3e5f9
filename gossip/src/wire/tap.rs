//! Looking into datagrams from outside, for tests that stand between replicas.

use cahoots_crdt::{Dot, ReplicaId};

use super::{Envelope, Kind, Message};

/// The whole events in a datagram of a cluster without a key: the dot and a hash of the body of each.
#[must_use]
pub fn events_in(cluster: &str, datagram: &[u8]) -> Vec<(Dot, u64)> {
    let envelope = Envelope::new(cluster, None, ReplicaId::new(0), 0);
    let Ok((Kind::Engine, payload)) = envelope.unwrap(datagram) else { return Vec::new() };
    let messages = Message::decode_all(&payload).map(|(_, messages)| messages).unwrap_or_default();
    let event = |message: &Message<'_>| match message {
        Message::Event { origin, seq, body } => Some((Dot::new(*origin, *seq), xxhash_rust::xxh3::xxh3_64(body.0))),
        _ => None,
    };
    messages.iter().filter_map(event).collect()
}
