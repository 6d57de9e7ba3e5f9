//! From a log back to a store.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use cahoots_gossip::Limits;
use cahoots_gossip::store::{Applied, Store};

use super::error::StorageError;
use super::frame::{Kind, Recorded, SEGMENT_HEADER_BYTES, read_frame, read_records};
use super::scan::{Progress, Scan, Stretch};

/// Makes a store of what was scanned: images first, then the records since the oldest of them.
pub(super) fn load(scan: &Scan, limits: Limits, progress: &Progress) -> Result<Store, StorageError> {
    let mut store = Store::to_load(limits);
    let Some(stretch) = &scan.stretch else { return Ok(store) };
    let pass = |replay: bool, store: &mut Store| {
        for at in 0..stretch.segments.len() {
            let segment = &stretch.segments[at];
            let path = &segment.path;
            let content = std::fs::read(path).map_err(StorageError::io("read", path))?;
            read_into(store, stretch, at, &content, replay, scan.repaired.is_some())
                .map_err(|(offset, what)| StorageError::damaged(path, offset as u64, what))?;
            progress.done.fetch_add(segment.bytes / 2, Relaxed);
        }
        Ok::<_, StorageError>(())
    };
    pass(false, &mut store)?;
    pass(true, &mut store)?;
    Ok(store)
}

fn read_into(
    store: &mut Store,
    stretch: &Stretch,
    segment: usize,
    content: &[u8],
    replay: bool,
    tolerant: bool,
) -> Result<(), (usize, String)> {
    let (from, salt) = (stretch.needed_from(), stretch.segments[segment].header.salt);
    let mut at = SEGMENT_HEADER_BYTES;
    while at < stretch.segments[segment].end {
        let (frame, length) =
            read_frame(&content[at..], salt).ok_or_else(|| (at, "it changed while it was read".to_owned()))?;
        match frame.kind {
            Kind::Image if !replay => {
                let bucket = frame.payload.first_chunk().map_or(usize::MAX, |it| u16::from_le_bytes(*it).into());
                let latest = stretch.images.get(bucket).copied().flatten();
                if latest.is_some_and(|it| (it.segment, it.offset) == (segment, at)) {
                    let image = frame.payload.get(2..).unwrap_or_default();
                    store.join_transfer(image).map_err(|error| (at, format!("the image of a bucket: {error}")))?;
                }
            }
            Kind::Records if replay && frame.position >= from => {
                for record in read_records(frame.payload) {
                    let record = record.map_err(|error| (at, error.to_owned()))?;
                    replay_record(store, record, tolerant).map_err(|error| (at, error))?;
                }
            }
            Kind::Image | Kind::Records => {}
        }
        at += length;
    }
    Ok(())
}

/// `tolerant` of events that refer to what a damaged log has lost: they are fetched with it.
fn replay_record(store: &mut Store, record: Recorded<'_>, tolerant: bool) -> Result<(), String> {
    match record {
        Recorded::Event(dot, body) => match store.apply(dot, body) {
            Ok(Applied::Now | Applied::Known) => Ok(()),
            Ok(_) if tolerant => Ok(()),
            Ok(other) => Err(format!("event {dot:?} cannot be applied: {other:?}")),
            Err(error) => Err(format!("event {dot:?}: {error}")),
        },
        Recorded::Transfer(bytes) => store.join_transfer(bytes).map(drop).map_err(|error| error.to_string()),
    }
}

/// Where the latest images are: position and bytes, by bucket.
pub(super) fn images_of(scan: &Scan) -> Vec<(u64, u64)> {
    let places = scan.stretch.iter().flat_map(|stretch| &stretch.images);
    places.map(|place| place.map_or((0, 0), |place| (place.position, place.bytes))).collect()
}

/// The chosen segments: path, first position, bytes.
pub(super) fn segments_of(scan: &Scan) -> impl Iterator<Item = (&Path, u64, u64)> {
    let segments = scan.stretch.iter().flat_map(|stretch| &stretch.segments);
    segments.map(|segment| (&*segment.path, segment.header.first, segment.bytes))
}
