//! What a disk has to be told: everything that was applied here, in the order in which it was.
//!
//! The engine knows no disk. While records are kept, each event (own and foreign) and each joined transfer is queued as
//! the bytes that travel; whoever drives the engine takes them, writes them, and gives a loaded store back at the next
//! start ([`Replica::resume`]). Events share their bytes with the log, so a record costs a reference.

use std::collections::VecDeque;
use std::sync::Arc;

use cahoots_crdt::Dot;

use crate::engine::Replica;

/// What a record costs beside its bytes.
const RECORD_BYTES: usize = 40;

/// One thing that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An event, own or foreign: its dot and its body as it travels. Read back by
    /// [`Store::apply`](crate::store::Store::apply).
    Event(Dot, Arc<[u8]>),
    /// A bucket transfer. Read back by [`Store::join_transfer`](crate::store::Store::join_transfer).
    Transfer(Box<[u8]>),
}

impl Record {
    /// About what it costs to keep.
    #[must_use]
    pub fn cost(&self) -> usize {
        RECORD_BYTES
            + match self {
                Self::Event(_, body) => body.len(),
                Self::Transfer(bytes) => bytes.len(),
            }
    }
}

/// What was applied since records were last taken.
#[derive(Debug, Default)]
pub struct Records {
    /// Oldest first.
    pub list: VecDeque<Record>,
    /// What is on disk no longer leads up to this list, and images of all buckets must be taken anew: more was applied than
    /// was taken in time, and some records are gone; or events were moved to a new id.
    pub lost: bool,
    bytes: usize,
    /// Of the longest of them.
    longest: usize,
}

impl Records {
    fn push(&mut self, record: Record, bytes_max: usize) {
        self.bytes += record.cost();
        self.longest = self.longest.max(record.cost());
        self.list.push_back(record);
        if self.bytes - self.longest > bytes_max {
            self.lose();
        }
    }

    fn lose(&mut self) {
        *self = Self { lost: true, ..Self::default() };
    }
}

impl Replica {
    /// Starts keeping records of everything applied, for [`Replica::take_records`].
    pub fn keep_records(&mut self) {
        self.records.get_or_insert_default();
    }

    /// Whether there is something for the disk.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.records.as_ref().is_some_and(|records| records.lost || !records.list.is_empty())
    }

    /// Whether so much waits for the disk that whoever writes here should let it catch up first: half the bound.
    #[must_use]
    pub fn records_press(&self) -> bool {
        self.records.as_ref().is_some_and(|records| records.bytes > self.config.records_bytes_max / 2)
    }

    /// Takes the records kept so far. An open window is not among them; see [`Replica::flush`].
    pub fn take_records(&mut self) -> Records {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// One bucket as a disk keeps it. Seals the window, which goes among the records before this.
    pub fn bucket_image(&mut self, bucket: usize) -> Vec<u8> {
        let image = self.store.bucket_image(bucket);
        self.log_sealed();
        image
    }

    /// What was recorded of the own id so far is not true any more.
    pub(in crate::engine) fn lose_records(&mut self) {
        if let Some(records) = &mut self.records {
            records.lose();
        }
    }

    /// Bytes that wait for the disk, beside the longest record.
    pub(in crate::engine) fn records_bytes(&self) -> usize {
        self.records.as_ref().map_or(0, |records| records.bytes - records.longest)
    }

    pub(in crate::engine) fn record(&mut self, record: impl FnOnce() -> Record) {
        if let Some(records) = &mut self.records {
            records.push(record(), self.config.records_bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_not_taken_in_time_are_dropped_and_the_loss_is_told() {
        let record = || Record::Transfer(vec![0; 100].into());
        let mut records = Records::default();
        for _ in 0..4 {
            records.push(record(), 3 * record().cost());
        }
        assert_eq!((records.list.len(), records.lost), (4, false), "three beside one");
        records.push(record(), 3 * record().cost());
        assert_eq!((records.list.len(), records.lost), (0, true));
        records.push(record(), 3 * record().cost());
        assert_eq!((records.list.len(), records.lost), (1, true), "what follows is kept for the images to come");
    }

    /// A bucket is as long as a client makes it. Else all images would be taken anew for it, its own one among them.
    #[test]
    fn one_record_beyond_all_bounds_is_kept_beside_the_others() {
        let record = |bytes| Record::Transfer(vec![0; bytes].into());
        let mut records = Records::default();
        for bytes in [10, 5_000, 10] {
            records.push(record(bytes), 200);
        }
        assert_eq!((records.list.len(), records.lost), (3, false));
        records.push(record(4_000), 200);
        assert!(records.lost);
    }
}
