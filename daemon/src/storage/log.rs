//! The log as it is written: records and bucket images in one row of frames, old segments dropped at its foot.
//!
//! A record is what was applied; an image is one bucket as it is now. Images are written in turns, always of the bucket
//! whose last image is oldest, about as many bytes of them as of records. So everything before the oldest image that
//! counts is superseded, and the log holds about twice the data whatever is overwritten, with no index to keep and
//! nothing ever rewritten in place. See `docs/storage-format.md`.
//!
//! Order is what crashes leave alone: an image never counts without all records before it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cahoots_gossip::engine::Record;
use cahoots_gossip::store::BUCKETS;

use super::error::StorageError;
use super::files::{Files, Output};
use super::frame::{Kind, SEGMENT_HEADER_BYTES, SegmentHeader, write_frame, write_record};
use super::scan::segment_name;

/// So many segments that are not full are tidied up: every start begins one.
const SEGMENTS_MAX: u64 = 100;
/// When the log takes so many tenths of the data, images come before everything else.
const PRESSED_TENTHS: u64 = 25;
/// So many first images say something of how much data there is, even if one of them is much of it.
const FIRST_IMAGES_LEAST: u64 = 8;
/// The most bytes of first images for a byte of records.
const FIRST_IMAGES_RATE_MAX: u64 = 8;
/// So much that is not on disk is synced before its time: a disk that is kept busy is not late all at once.
const SYNC_BYTES_MOST: u64 = 64 << 20;
/// A frame of records is closed beyond this, so that a torn one takes little with it.
const FRAME_BYTES: usize = 1 << 20;

/// Sizes that matter to space and not to correctness.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A segment that has grown to this is closed. Space comes back in such pieces, and a sixteenth of a gigabyte is
    /// little beside data for which it matters.
    pub segment_bytes: u64,
    /// Below this the log is not worth shortening: it is read in a fraction of a second.
    pub log_bytes_min: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, log_bytes_min: 48 << 20 }
    }
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    first: u64,
    bytes: u64,
}

/// The images of one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Image {
    /// Position and size of the last one.
    position: u64,
    bytes: u64,
    /// Position of the last one that is on disk.
    synced: u64,
}

/// What to sync, by whoever has time to wait for it.
#[derive(Debug)]
pub struct Sync {
    outputs: Vec<Arc<dyn Output>>,
    /// The log is on disk up to here once this has run.
    pub position: u64,
}

impl Sync {
    /// Waits until it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn run(&self) -> io::Result<()> {
        self.outputs.iter().try_for_each(|output| output.sync())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Log {
    directory: PathBuf,
    files: Arc<dyn Files>,
    segments: VecDeque<Segment>,
    output: Option<Arc<dyn Output>>,
    number: u64,
    salt: u64,
    /// Of the last frame written.
    position: u64,
    synced: u64,
    images: Vec<Image>,
    /// Nothing before this counts, and nothing after it without images of all buckets.
    gap: Option<u64>,
    /// Files written to since they were last synced, the current one last.
    unsynced: Vec<Arc<dyn Output>>,
    unsynced_bytes: u64,
    buffer: Vec<u8>,
    sizes: Sizes,
}

/// What a log goes on from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Path, first position, bytes.
    pub segments: Vec<(PathBuf, u64, u64)>,
    /// Position and bytes of each bucket's last image, 0 for none.
    pub images: Vec<(u64, u64)>,
    /// The last position.
    pub position: u64,
    /// The number of the next segment.
    pub next_number: u64,
    /// What is there does not lead up to the store that was loaded.
    pub gap: bool,
    /// When segments are closed and dropped.
    pub sizes: Sizes,
}

impl Log {
    /// Goes on from what was loaded, in a new segment.
    ///
    /// # Errors
    /// See [`StorageError`]; what was written in part is behind the end.
    pub fn open(directory: &Path, files: Arc<dyn Files>, start: Start) -> Result<Self, StorageError> {
        let gap = start.gap;
        let mut log = Self::unopened(directory, files, start);
        if gap {
            log.begin_gap()?;
        } else {
            log.begin_segment(false)?;
        }
        Ok(log)
    }

    /// What was loaded, as a log that cannot be written to yet: before anything is, [`Log::begin_gap`] must have worked.
    pub(super) fn unopened(directory: &Path, files: Arc<dyn Files>, start: Start) -> Self {
        let segments = start.segments.into_iter().map(|(path, first, bytes)| Segment { path, first, bytes });
        let mut images = vec![Image::default(); BUCKETS];
        for (image, (position, bytes)) in images.iter_mut().zip(start.images) {
            *image = Image { position, bytes, synced: position };
        }
        Self {
            directory: directory.to_owned(),
            files,
            segments: segments.collect(),
            output: None,
            number: start.next_number.max(1) - 1,
            salt: 0,
            position: start.position,
            synced: start.position,
            images,
            gap: None,
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            buffer: Vec::new(),
            sizes: start.sizes,
        }
    }

    /// The last position written.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The last position known to be on disk.
    pub fn synced_position(&self) -> u64 {
        self.synced
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes of the last image of each bucket: about what the data takes.
    pub fn live_bytes(&self) -> u64 {
        self.images.iter().map(|image| image.bytes).sum()
    }

    /// Whether images of all buckets are needed before what is written counts.
    pub fn is_rebuilding(&self) -> bool {
        self.gap.is_some()
    }

    /// How many bytes of images are worth writing per byte of records; `None` for as many as can be.
    pub fn images_wanted(&self) -> Option<u64> {
        if self.segments.len() as u64 > SEGMENTS_MAX + self.bytes() / self.sizes.segment_bytes {
            return None; // many starts and little data
        }
        if self.gap.is_some() || self.is_beyond(PRESSED_TENTHS) {
            None
        } else if self.imaged() < BUCKETS as u64 {
            Some(self.first_images_wanted())
        } else if self.is_beyond(21) {
            Some(2)
        } else {
            Some(u64::from(self.is_beyond(17)))
        }
    }

    /// The same before every bucket has an image. Until then nothing can be dropped, so the log grows by all of them and
    /// by the records of that time: they begin when there is just room for both at two bytes for one.
    fn first_images_wanted(&self) -> u64 {
        let imaged = self.imaged();
        if imaged < FIRST_IMAGES_LEAST {
            return u64::from(self.bytes() > self.sizes.log_bytes_min / 3);
        }
        let left = self.data_bytes() * (BUCKETS as u64 - imaged) / BUCKETS as u64;
        let room = self.tenths(PRESSED_TENTHS).saturating_sub(self.unsynced_bytes_max() + self.bytes());
        if room > left + left / 2 {
            return 0;
        }
        let records = room.saturating_sub(left).max(1);
        left.div_ceil(records).clamp(1, FIRST_IMAGES_RATE_MAX)
    }

    /// Whether nothing should be written before something is dropped, or the log takes three times the data: images
    /// replace what is before them only once they are on disk, and a slow one takes its time.
    pub fn is_long(&self) -> bool {
        self.gap.is_none() && self.is_beyond(27)
    }

    /// Whether the log takes more than so many tenths of the data. Images begin at 17, and of a small log at its least size.
    fn is_beyond(&self, tenths: u64) -> bool {
        self.bytes() > self.tenths(tenths)
    }

    /// What the log takes when it is so many tenths of the data, or of what is little enough.
    fn tenths(&self, tenths: u64) -> u64 {
        (self.sizes.log_bytes_min * tenths / 17).max(self.data_bytes() * tenths / 10)
    }

    /// About what images of all buckets take. While a log is young, those that have one stand for the others, except the
    /// largest: one key may be most of the data, and there is no second of it. And nothing is there that is not in the log.
    fn data_bytes(&self) -> u64 {
        let all = BUCKETS as u64;
        let (mut live, mut largest, mut imaged) = (0, 0, 0);
        for image in self.images.iter().filter(|image| image.position > 0) {
            (live, largest, imaged) = (live + image.bytes, image.bytes.max(largest), imaged + 1);
        }
        if imaged == all {
            return live;
        }
        let usual = (live - largest) / imaged.saturating_sub(1).max(1);
        (live + usual * (all - imaged)).min(self.bytes())
    }

    /// How many buckets have an image.
    fn imaged(&self) -> u64 {
        self.images.iter().filter(|image| image.position > 0).count() as u64
    }

    /// How many bytes may be written before they are synced. What images replace comes back only then, so it is a part of
    /// the data.
    pub fn unsynced_bytes_max(&self) -> u64 {
        (self.data_bytes() / 8).max(self.sizes.log_bytes_min / 6).min(SYNC_BYTES_MOST)
    }

    /// Bytes written since [`Log::to_sync`] was asked last.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// Appends records; returns how many bytes that took.
    ///
    /// # Errors
    /// See [`StorageError`]; what was written in part is behind the end.
    pub fn append_records(&mut self, records: &VecDeque<Record>) -> Result<u64, StorageError> {
        let (mut bytes, mut records) = (0, records.iter().peekable());
        while records.peek().is_some() {
            bytes += self.append(Kind::Records, |out| {
                let end = out.len() + FRAME_BYTES;
                while out.len() < end
                    && let Some(record) = records.next()
                {
                    write_record(out, record);
                }
            })?;
        }
        Ok(bytes)
    }

    /// The bucket whose image is the oldest that counts.
    pub fn next_image(&self) -> usize {
        let oldest = self.images.iter().enumerate().min_by_key(|(_, image)| image.position);
        oldest.map_or(0, |(bucket, _)| bucket)
    }

    /// Whether some bucket has no image since the gap.
    pub fn next_image_is_due(&self) -> bool {
        self.images.iter().any(|image| image.position == 0)
    }

    /// Appends an image of `bucket`; returns how many bytes that took.
    ///
    /// # Errors
    /// See [`StorageError`]; what was written in part is behind the end.
    pub fn append_image(&mut self, bucket: usize, image: &[u8]) -> Result<u64, StorageError> {
        let number = u16::try_from(bucket).expect("buckets fit 16 bits");
        let bytes = self.append(Kind::Image, |out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(image);
        })?;
        let image = &mut self.images[bucket];
        (image.position, image.bytes) = (self.position, bytes);
        Ok(bytes)
    }

    fn append(&mut self, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) -> Result<u64, StorageError> {
        if self.segments.back().is_none_or(|segment| segment.bytes >= self.sizes.segment_bytes) {
            self.begin_segment(false)?;
        }
        let (salt, position) = (self.salt, self.position + 1);
        self.buffer.clear();
        let written = write_frame(&mut self.buffer, salt, kind, position, self.synced, payload);
        let bytes = self.buffer.len() as u64;
        let segment = self.segments.back_mut().expect("just made if there was none");
        if !written {
            self.buffer = Vec::new();
            let long = io::Error::new(io::ErrorKind::FileTooLarge, "a bucket has grown beyond 4 GiB");
            return Err(StorageError::io("write", &segment.path)(long));
        }
        let output = self.output.as_ref().expect("a segment is open while a log is");
        segment.bytes += bytes;
        output.append(&self.buffer).map_err(StorageError::io("write", &segment.path))?;
        if self.unsynced.last().is_none_or(|last| !Arc::ptr_eq(last, output)) {
            self.unsynced.push(Arc::clone(output));
        }
        self.position = position;
        self.unsynced_bytes += bytes;
        if self.buffer.capacity() > 4 * FRAME_BYTES {
            self.buffer = Vec::new();
        }
        Ok(bytes)
    }

    fn begin_segment(&mut self, gap: bool) -> Result<(), StorageError> {
        self.number += 1;
        let path = self.directory.join(segment_name(self.number));
        let salt = salt();
        let header = SegmentHeader { number: self.number, first: self.position + 1, salt, gap }.encode();
        let output = self.files.create(&path).map_err(StorageError::io("create", &path))?;
        // Whoever finds a segment can rely on its header: it and the name are on disk before the first frame.
        let written = output.append(&header).and_then(|()| output.sync());
        if let Err(error) = written.and_then(|()| self.files.sync_directory(&self.directory)) {
            // Half a header does no harm, but a full disk has no use for it.
            let _ = self.files.remove(&path);
            return Err(StorageError::io("write", &path)(error));
        }
        self.salt = salt;
        self.output = Some(output);
        self.segments.push_back(Segment { path, first: self.position + 1, bytes: SEGMENT_HEADER_BYTES as u64 });
        Ok(())
    }

    /// Something that was applied could not be written: begins anew, behind a gap. What was written before stays until
    /// everything is written again; what was written in vain since an earlier gap goes at once.
    ///
    /// # Errors
    /// See [`StorageError`]; what was written in part is behind the end.
    pub fn begin_gap(&mut self) -> Result<(), StorageError> {
        if let Some(gap) = self.gap {
            while let Some(segment) = self.segments.pop_back_if(|segment| segment.first > gap) {
                self.files.remove(&segment.path).map_err(StorageError::io("remove", &segment.path))?;
            }
        }
        self.unsynced.clear();
        self.output = None;
        self.images.fill(Image::default());
        self.gap = Some(self.position);
        self.begin_segment(true)
    }

    /// What there is to sync now; nothing if everything is on disk.
    pub fn to_sync(&mut self) -> Option<Sync> {
        if self.synced == self.position {
            return None;
        }
        self.unsynced_bytes = 0;
        Some(Sync { outputs: std::mem::take(&mut self.unsynced), position: self.position })
    }

    /// A [`Sync`] has run: drops what nothing needs any more.
    ///
    /// # Errors
    /// See [`StorageError`]; what was written in part is behind the end.
    pub fn synced(&mut self, position: u64) -> Result<(), StorageError> {
        self.synced = position.max(self.synced);
        for image in &mut self.images {
            if image.position <= position {
                image.synced = image.position;
            }
        }
        let needed = self.images.iter().map(|image| image.synced).min().unwrap_or(0);
        if self.gap.is_some_and(|gap| needed > gap) {
            self.gap = None;
        }
        if self.gap.is_some() {
            return Ok(());
        }
        while self.segments.get(1).is_some_and(|next| next.first <= needed)
            && let Some(segment) = self.segments.pop_front()
        {
            self.files.remove(&segment.path).map_err(StorageError::io("remove", &segment.path))?;
        }
        Ok(())
    }

    /// Gives all that is written so far second names in `to`, which is made: a copy as of this moment.
    ///
    /// # Errors
    /// See [`StorageError`]; what was written in part is behind the end.
    pub fn link_into(&mut self, to: &Path) -> Result<(), StorageError> {
        self.files.create_directory(to).map_err(StorageError::io("make the directory", to))?;
        self.begin_segment(false)?;
        let current = self.number;
        for segment in &self.segments {
            let Some(name) = segment.path.file_name().filter(|name| **name != *segment_name(current)) else { continue };
            self.files.link(&segment.path, &to.join(name)).map_err(StorageError::io("link to", &segment.path))?;
        }
        self.files.sync_directory(to).map_err(StorageError::io("sync", to))
    }
}

/// A number no other segment has, so that no frame of another passes for one of this.
fn salt() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness, which no system that runs this is, frames would only be told apart by their positions.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_le_bytes(bytes)
}
