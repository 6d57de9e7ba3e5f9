//! Readers of streams that go from replica to replica with a cursor, and what they have been given.

use std::collections::{BTreeMap, BTreeSet};

use cahoots_gossip::store::{Class, Moment, StreamCursor, StreamId};

use super::Complaint;
use super::action::{Name, brief};

/// Readers of each stream. They differ in how much they take at a time.
const READERS: usize = 3;

/// All readers of one run.
#[derive(Default)]
pub struct Readers {
    streams: BTreeMap<Name, [Reader; READERS]>,
    turns: usize,
}

#[derive(Default)]
struct Reader {
    cursor: StreamCursor,
    seen: BTreeSet<(StreamId, Name)>,
}

impl Readers {
    /// Has one of the readers of `key` go on at a replica.
    ///
    /// # Errors
    /// It was given an entry again.
    pub fn read(&mut self, moment: Moment<'_>, key: &[u8]) -> Result<(), Complaint> {
        self.turns += 1;
        let number = self.turns % READERS;
        let reader = &mut self.streams.entry(key.to_vec()).or_default()[number];
        reader.read(moment, key, [1, 2, usize::MAX][number]).map(drop)
    }

    /// Has all readers of `key` read what is left at a replica.
    ///
    /// # Errors
    /// One was given an entry again, or not given one that is there.
    pub fn finish(&mut self, moment: Moment<'_>, key: &[u8]) -> Result<(), Complaint> {
        let Some(readers) = self.streams.get_mut(key) else { return Ok(()) };
        for reader in readers {
            while reader.read(moment, key, 2)? > 0 {}
            let Some(view) = moment.view(key).filter(|view| view.class() == Class::Stream) else { continue };
            for (id, mut fields) in view.stream().range(StreamId::MIN, StreamId::MAX) {
                let value = fields.next().map_or(&b""[..], |(_, value)| value);
                if !reader.seen.contains(&(id, value.to_vec())) {
                    let text = format!("a reader of {} was never given entry {id}, {}", brief(key), brief(value));
                    return Err(Complaint::new(text));
                }
            }
        }
        Ok(())
    }
}

impl Reader {
    fn read(&mut self, moment: Moment<'_>, key: &[u8], count: usize) -> Result<usize, Complaint> {
        let Some(view) = moment.view(key).filter(|view| view.class() == Class::Stream) else { return Ok(0) };
        let (read, next) = view.stream().read_after(&self.cursor, count);
        self.cursor = StreamCursor::decode(&next.encode())
            .map_err(|_| Complaint::new(format!("a cursor of {} cannot be read", brief(key))))?;
        let given = read.len();
        for (id, mut fields) in read {
            let value = fields.next().map_or(&b""[..], |(_, value)| value);
            if !self.seen.insert((id, value.to_vec())) {
                return Err(Complaint::new(format!("a reader of {} was given entry {id} twice", brief(key))));
            }
        }
        Ok(given)
    }
}
