//! What is queued or kept for a while, each with its bound in bytes.

use crate::engine::repair::reconcile::ASKS_MAX;
use crate::engine::spread::cast::HEARD_BYTES_MAX;
use crate::engine::{EVENTS_MAX, Event, Replica};
use crate::wire::REQUEST_BYTES_MAX;

/// Something that grows and shrinks, and how far it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// What it is.
    pub name: &'static str,
    /// Its bytes now.
    pub bytes: usize,
    /// What they never exceed.
    pub bytes_max: usize,
}

impl Replica {
    /// Everything that is queued or kept for a while. What is kept per peer comes once for each.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue> {
        let config = &self.config;
        let mut queues = vec![
            Queue { name: "log", bytes: self.log.bytes(), bytes_max: config.log_bytes_max },
            Queue { name: "waiting events", bytes: self.held.bytes(), bytes_max: config.held_bytes_max },
            Queue { name: "records for the disk", bytes: self.records_bytes(), bytes_max: config.records_bytes_max },
            Queue { name: "blobs", bytes: self.assemblies.bytes(), bytes_max: config.assembly_bytes_max },
            Queue {
                name: "events for the driver",
                bytes: self.events.len() * size_of::<Event>(),
                bytes_max: EVENTS_MAX * size_of::<Event>(),
            },
        ];
        for (name, bytes) in [("answers kept", self.kept_answers.bytes()), ("answers fetched", self.fetches.bytes())] {
            queues.push(Queue { name, bytes, bytes_max: config.assembly_bytes_max });
        }
        queues.push(Queue {
            name: "publications",
            bytes: self.casts.bytes(),
            bytes_max: config.assembly_bytes_max + HEARD_BYTES_MAX,
        });
        queues.push(Queue {
            name: "requests",
            bytes: self.asks.iter().map(|ask| ask.body.len()).sum(),
            bytes_max: ASKS_MAX * REQUEST_BYTES_MAX,
        });
        queues.extend(self.store.queues().map(|(name, bytes, bytes_max)| Queue { name, bytes, bytes_max }));
        queues.extend(self.peers.values().flat_map(|peer| peer.queues(config)));
        queues
    }
}
