//! Reading a log: what is whole, what is missing, and from where a store can be had.
//!
//! A log is a row of segments. Where one does not go on from the one before it, because writing had failed for a while,
//! it says so (a *gap*), and what follows is a *stretch* of its own. A stretch is of use if it reaches back to the
//! very beginning, or holds an image of every bucket; the last such one counts.
//!
//! A stretch ends at the first frame that is not whole. That is a half-written tail, and drops nothing anybody was
//! promised, unless something shows that the frame had once been on disk: a later frame, or a clean stop. Then it is
//! damage, and an error.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cahoots_gossip::store::BUCKETS;

use super::error::StorageError;
use super::frame::{FORMAT, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, find_frames, read_frame};

/// How far reading has come, for whoever waits for it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes to be read.
    pub total: AtomicU64,
    /// Bytes that have been.
    pub done: AtomicU64,
}

impl Progress {
    /// Percent that has been read.
    #[must_use]
    pub fn percent(&self) -> u64 {
        (self.done.load(Relaxed) * 100).checked_div(self.total.load(Relaxed)).unwrap_or(0).min(100)
    }
}

/// The name of segment `number`.
pub(super) fn segment_name(number: u64) -> String {
    format!("log-{number:010}")
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Index among the stretch's segments.
    pub(super) segment: usize,
    pub(super) offset: usize,
    pub(super) bytes: u64,
    pub(super) position: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    /// Where its frames end.
    pub(super) end: usize,
    /// How long the file is.
    pub(super) bytes: u64,
}

/// A stretch of a log.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) segments: Vec<Segment>,
    /// The last position, 0 for none at all.
    pub(super) last: u64,
    /// The latest image of each bucket.
    pub(super) images: Vec<Option<Place>>,
    /// Up to here it was on disk, by what later frames say.
    synced: u64,
    /// Segments that follow on something that is not there.
    cut_off: Vec<PathBuf>,
    /// Bytes that belong to no frame.
    pub(super) dropped: u64,
    /// The first thing missing: file, offset, position.
    hole: Option<(PathBuf, u64, u64)>,
}

impl Stretch {
    fn new() -> Self {
        Self {
            segments: Vec::new(),
            last: 0,
            images: vec![None; BUCKETS],
            synced: 0,
            cut_off: Vec::new(),
            dropped: 0,
            hole: None,
        }
    }

    pub(super) fn has_every_image(&self) -> bool {
        self.images.iter().all(Option::is_some)
    }

    fn reaches_the_beginning(&self) -> bool {
        self.segments.first().is_some_and(|first| first.header.first == 1 && !first.header.gap)
    }

    /// From where on records are needed.
    pub(super) fn needed_from(&self) -> u64 {
        let oldest = self.images.iter().map(|place| place.map_or(0, |place| place.position)).min();
        oldest.unwrap_or(0)
    }
}

/// What a directory holds.
#[derive(Debug)]
pub(super) struct Scan {
    /// What to load; nothing in an empty directory.
    pub(super) stretch: Option<Stretch>,
    /// Files that are of no use any more.
    pub(super) discard: Vec<PathBuf>,
    /// The number of the next segment.
    pub(super) next_number: u64,
    /// The highest position seen anywhere.
    pub(super) last_position: u64,
    /// Things were missing that must not be; only if that was permitted.
    pub(super) repaired: Option<String>,
}

/// Reads all segments of `directory`. `stopped` is the position at which a clean stop left it. With `repair`, damage ends
/// a stretch instead of being an error.
pub(super) fn scan(
    directory: &Path,
    stopped: Option<u64>,
    repair: bool,
    progress: &Progress,
) -> Result<Scan, StorageError> {
    let files = list(directory)?;
    let bytes: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
    progress.total.store(bytes * 2, Relaxed);
    let mut scan = Scan { stretch: None, discard: Vec::new(), next_number: 1, last_position: 0, repaired: None };
    let mut stretches: Vec<Stretch> = Vec::new();
    for (number, path, bytes) in files {
        scan.next_number = number + 1;
        let content = std::fs::read(&path).map_err(StorageError::io("read", &path))?;
        progress.done.fetch_add(bytes, Relaxed);
        match SegmentHeader::decode(&content) {
            Err(found) => return Err(StorageError::Version { path, found, supported: FORMAT }),
            Ok(Some(header)) if header.number == number => {
                if header.gap || stretches.is_empty() {
                    stretches.push(Stretch::new());
                }
                let stretch = stretches.last_mut().expect("just made");
                read_segment(stretch, path, header, &content);
                scan.last_position = scan.last_position.max(stretch.last);
            }
            // A segment whose making was interrupted: a frame follows only on a header that is on disk.
            Ok(None) if content.len() <= SEGMENT_HEADER_BYTES => scan.discard.push(path),
            Ok(_) => {
                let error = StorageError::damaged(&path, 0, "no segment header");
                if !repair {
                    return Err(error);
                }
                scan.repaired.get_or_insert_with(|| error.to_string());
                scan.discard.push(path);
            }
        }
    }
    choose(scan, stretches, stopped, repair)
}

fn choose(
    mut scan: Scan,
    mut stretches: Vec<Stretch>,
    stopped: Option<u64>,
    repair: bool,
) -> Result<Scan, StorageError> {
    let of_use = |stretch: &Stretch| stretch.has_every_image() || stretch.reaches_the_beginning();
    let mut chosen = stretches.iter().rposition(of_use);
    // One after the chosen may be of no use because it never became whole, but not because it was damaged.
    let damaged = stretches.last().and_then(|last| damage(last, stopped));
    let damaged = damaged.or_else(|| damage(&stretches[chosen?], None));
    let useless = || {
        let first = stretches.first().filter(|_| chosen.is_none())?.segments.first()?;
        let what = format!("it begins at position {}, and what came before is not there", first.header.first);
        Some(StorageError::damaged(&first.path, 0, what))
    };
    if let Some(error) = damaged.or_else(useless) {
        if !repair {
            return Err(error);
        }
        scan.repaired.get_or_insert_with(|| error.to_string());
        chosen = chosen.or(stretches.len().checked_sub(1));
    }
    // What comes after the chosen stretch never became whole; what comes before it is superseded.
    for (at, stretch) in stretches.iter_mut().enumerate() {
        scan.discard.append(&mut stretch.cut_off);
        if chosen.is_some_and(|chosen| at > chosen) {
            scan.discard.extend(stretch.segments.iter().map(|segment| segment.path.clone()));
        }
    }
    scan.discard.sort();
    if let Some(chosen) = chosen {
        let superseded = stretches[..chosen].iter().flat_map(|it| &it.segments).map(|it| it.path.clone());
        scan.discard.extend(superseded);
        scan.stretch = Some(stretches.swap_remove(chosen));
    }
    Ok(scan)
}

/// Whether what a stretch lacks had once been on disk.
fn damage(stretch: &Stretch, stopped: Option<u64>) -> Option<StorageError> {
    let (path, offset, position) = stretch.hole.as_ref()?;
    let proof = if stretch.synced >= *position {
        "later frames show that it had been on disk"
    } else if stopped.is_some_and(|stopped| stopped >= *position) {
        "the log had been closed with it"
    } else {
        return None;
    };
    Some(StorageError::damaged(path, *offset, format!("no whole frame where number {position} was: {proof}")))
}

fn read_segment(stretch: &mut Stretch, path: PathBuf, header: SegmentHeader, content: &[u8]) {
    let expected = if stretch.segments.is_empty() { header.first } else { stretch.last + 1 };
    if header.first == expected {
        // Whatever ended the segment before this was noticed then, and what is here goes on from it.
        stretch.hole = None;
    } else {
        let missing = (path.clone(), 0, expected);
        stretch.hole.get_or_insert(missing);
    }
    if stretch.hole.is_some() {
        stretch.dropped += content.len() as u64;
        let synced = find_frames(content, header.salt).map(|frame| frame.synced).max().unwrap_or(0);
        stretch.synced = stretch.synced.max(synced);
        stretch.cut_off.push(path);
        return;
    }
    stretch.last = header.first - 1;
    let (segment, mut at) = (stretch.segments.len(), SEGMENT_HEADER_BYTES);
    while let Some((frame, length)) = read_frame(&content[at..], header.salt) {
        if frame.position != stretch.last + 1 {
            break;
        }
        stretch.last = frame.position;
        stretch.synced = stretch.synced.max(frame.synced);
        let bucket = frame.payload.first_chunk().map(|bucket| usize::from(u16::from_le_bytes(*bucket)));
        if let (Kind::Image, Some(image)) = (frame.kind, bucket.and_then(|at| stretch.images.get_mut(at))) {
            *image = Some(Place { segment, offset: at, bytes: length as u64, position: frame.position });
        }
        at += length;
    }
    if at < content.len() {
        let synced = find_frames(&content[at..], header.salt).map(|frame| frame.synced).max().unwrap_or(0);
        stretch.synced = stretch.synced.max(synced);
        stretch.dropped += (content.len() - at) as u64;
    }
    // If nothing goes on from here, this is where the stretch ends.
    stretch.hole = Some((path.clone(), at as u64, stretch.last + 1));
    stretch.segments.push(Segment { path, header, end: at, bytes: content.len() as u64 });
}

/// The segments of `directory`: number, path, length. In order.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf, u64)>, StorageError> {
    let mut segments = Vec::new();
    let entries = std::fs::read_dir(directory).map_err(StorageError::io("read", directory))?;
    for entry in entries {
        let entry = entry.map_err(StorageError::io("read", directory))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("log-")).and_then(|it| it.parse::<u64>().ok());
        let Some(number) = number.filter(|number| name.to_str() == Some(&segment_name(*number))) else { continue };
        let bytes = entry.metadata().map_err(StorageError::io("look at", &entry.path()))?.len();
        segments.push((number, entry.path(), bytes));
    }
    segments.sort();
    Ok(segments)
}
