//! What events and transfers hold, cell by cell, for checkers that listen and apply nothing: a dot may come to a
//! replica in an event or in a transfer, and must name the same in both.

use cahoots_crdt::Dot;
use xxhash_rust::xxh3::xxh3_64;

use crate::mix::fold;
use crate::store::cell::Path;
use crate::store::event::{Body, Change, EventError};
use crate::store::kind::Class;
use crate::store::transfer::content::{Content, KeyState};
use crate::store::transfer::{self, TransferError};
use crate::{Hlc, Limits};

/// A cell as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarriedCell {
    /// The event that wrote it.
    pub dot: Dot,
    /// Hash of key, type and name, and of whether it is counted. An event writes at most one cell at each.
    pub place: u64,
    /// Hash of what it holds, its clock included.
    pub content: u64,
}

fn register(dot: Dot, path: &Path<'_>, clock: Hlc, value: &[u8]) -> CarriedCell {
    CarriedCell { dot, place: path.hash, content: fold(clock.get(), xxh3_64(value)) }
}

fn count(dot: Dot, path: &Path<'_>, clock: Hlc, birth: u64, total: i128) -> CarriedCell {
    let content = fold(fold(clock.get(), birth), xxh3_64(&total.to_le_bytes()));
    CarriedCell { dot, place: !path.hash, content }
}

/// The cells that an event writes.
///
/// # Errors
/// It is no event that a replica would apply.
pub fn cells_of_event(event: Dot, body: &[u8], limits: &Limits) -> Result<Vec<CarriedCell>, EventError> {
    let body = Body::decode(body, event, limits)?;
    let path = |key, class, name| Class::from_code(class).map(|class| Path::new(key, class, name));
    let mut cells = Vec::new();
    for key in &body.keys {
        for change in key.changes() {
            cells.extend(match change {
                Change::Assign { class, name, clock_after, value, .. } => {
                    path(key.key, class, name.0).map(|path| register(event, &path, body.clock_of(clock_after), value.0))
                }
                Change::Count { class, name, clock_after, birth, total } => path(key.key, class, name.0)
                    .map(|path| count(event, &path, body.clock_of(clock_after), birth, total)),
                _ => None,
            });
        }
    }
    Ok(cells)
}

/// The cells in a transfer, whole buckets and differences alike.
///
/// # Errors
/// It is no transfer that a replica would join.
pub fn cells_of_transfer(bytes: &[u8], limits: &Limits) -> Result<Vec<CarriedCell>, TransferError> {
    let mut cells = Vec::new();
    transfer::each_content(bytes, limits, |content: &Content<'_>| {
        content.keys.iter().for_each(|key| cells_of_key(key, &mut cells));
    })?;
    Ok(cells)
}

fn cells_of_key(key: &KeyState<'_>, cells: &mut Vec<CarriedCell>) {
    for element in key.elements.as_read() {
        let Some(class) = Class::from_code(element.class) else { continue };
        let path = Path::new(key.key.0, class, element.name.0);
        cells.extend(element.registers.iter().map(|(dot, clock, value)| register(*dot, &path, *clock, value.0)));
        cells
            .extend(element.counts.iter().map(|(dot, clock, birth, total)| count(*dot, &path, *clock, *birth, *total)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReplicaId;
    use crate::store::{BUCKETS, Store};

    #[test]
    fn a_cell_is_the_same_in_the_event_that_wrote_it_and_in_a_transfer() {
        let (id, limits) = (ReplicaId::new(1), Limits::default());
        let mut store = Store::new(id, limits.clone(), 1000);
        let mut of_events = Vec::new();
        for round in 0..3 {
            store.write(1_000, 0, |writer| {
                writer.set(b"text", format!("{round}").as_bytes()).unwrap();
                writer.add(b"count", 2).unwrap();
                writer.insert(b"set", Class::Set, format!("m{round}").as_bytes(), b"").unwrap();
            });
            store.seal();
            while let Some(sealed) = store.poll_sealed() {
                of_events.extend(cells_of_event(Dot::new(id, sealed.seq), &sealed.body, &limits).unwrap());
            }
        }
        assert_eq!(of_events.len(), 9);
        let (transfer, _) = store.encode_transfer(0, &[0; BUCKETS], usize::MAX, usize::MAX);
        let of_transfer = cells_of_transfer(&transfer, &limits).unwrap();
        assert_eq!(of_transfer.len(), 5, "what is still there");
        assert!(of_transfer.iter().all(|cell| of_events.contains(cell)), "{of_transfer:?} of {of_events:?}");
        assert!(cells_of_transfer(b"?", &limits).is_err());
        assert!(cells_of_event(Dot::new(id, 1), b"?", &limits).is_err());
    }
}
