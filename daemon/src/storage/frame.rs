//! The bytes of a log segment: a header, then frames one after the other.
//!
//! Every frame carries its position (1, 2, 3 … over all segments), how far the log was known to be on disk when it was
//! written, and a checksum seeded with the segment's salt, so that nothing old or from elsewhere passes for it. All
//! numbers are little-endian. The layout is documented in `docs/storage-format.md`.

use cahoots_gossip::engine::Record;
use cahoots_gossip::{Dot, ReplicaId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version of the format.
pub const FORMAT: u32 = 5;

pub(super) const SEGMENT_HEADER_BYTES: usize = 48;
pub(super) const FRAME_HEADER_BYTES: usize = 32;
const SEGMENT_MAGIC: [u8; 8] = *b"CAHOOTSL";
const FRAME_MAGIC: [u8; 2] = [0xCA, 0x07];
/// Flag of a segment: what was applied between the one before and this one is in neither.
const FLAG_GAP: u32 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    /// The position of its first frame.
    pub(super) first: u64,
    /// Seeds the checksums of its frames.
    pub(super) salt: u64,
    /// Whether it does not go on from the segment before it.
    pub(super) gap: bool,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.gap).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = xxh3_64_with_seed(&bytes[..40], 0);
        bytes[40..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `Err` is the version of a format that cannot be read; `Ok(None)` is no segment, or half a header.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, u32> {
        let Some(header) = bytes.get(..SEGMENT_HEADER_BYTES).filter(|it| it[..8] == SEGMENT_MAGIC) else {
            return Ok(None);
        };
        let format = u32_at(header, 8);
        if format != FORMAT {
            return Err(format);
        }
        let sound = xxh3_64_with_seed(&header[..40], 0) == u64_at(header, 40);
        Ok(sound.then(|| Self {
            number: u64_at(header, 16),
            first: u64_at(header, 24),
            salt: u64_at(header, 32),
            gap: u32_at(header, 12) & FLAG_GAP != 0,
        }))
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Events and transfers, in the order in which they were applied.
    Records = 1,
    /// One bucket: its number in 16 bits, then a transfer.
    Image = 2,
}

/// A frame as read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) position: u64,
    /// The log was on disk up to here when the frame was written.
    pub(super) synced: u64,
    pub(super) payload: &'a [u8],
}

/// Appends a frame to `out`, its payload written by `payload`; says whether that can be: its length is told in 32 bits.
#[must_use]
pub(super) fn write_frame(
    out: &mut Vec<u8>,
    salt: u64,
    kind: Kind,
    position: u64,
    synced: u64,
    payload: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let start = out.len();
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&[kind as u8, 0]);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    payload(out);
    let Ok(length) = u32::try_from(out.len() - start - FRAME_HEADER_BYTES) else {
        out.truncate(start);
        return false;
    };
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&out[start..], salt);
    out[start + 24..start + 32].copy_from_slice(&checksum.to_le_bytes());
    true
}

fn checksum(frame: &[u8], salt: u64) -> u64 {
    let header = xxh3_64_with_seed(&frame[..24], salt);
    xxh3_64_with_seed(&frame[FRAME_HEADER_BYTES..], header)
}

/// The frame at the front of `bytes`, with its length; `None` if there is none, or not a whole and sound one.
pub(super) fn read_frame(bytes: &[u8], salt: u64) -> Option<(Frame<'_>, usize)> {
    let header = bytes.get(..FRAME_HEADER_BYTES).filter(|header| header[..2] == FRAME_MAGIC)?;
    let kind = match header[2] {
        1 => Kind::Records,
        2 => Kind::Image,
        _ => return None,
    };
    let length = FRAME_HEADER_BYTES + usize::try_from(u32_at(header, 4)).ok()?;
    let frame = bytes.get(..length)?;
    if checksum(frame, salt) != u64_at(header, 24) {
        return None;
    }
    let (position, synced) = (u64_at(header, 8), u64_at(header, 16));
    Some((Frame { kind, position, synced, payload: &frame[FRAME_HEADER_BYTES..] }, length))
}

/// The sound frames anywhere in `bytes`, whatever lies between them: what is left behind a damaged place.
pub(super) fn find_frames(bytes: &[u8], salt: u64) -> impl Iterator<Item = Frame<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let magic = memchr::memmem::find(bytes.get(at..)?, &FRAME_MAGIC)?;
            at += magic;
            match read_frame(&bytes[at..], salt) {
                Some((frame, length)) => {
                    at += length;
                    return Some(frame);
                }
                None => at += FRAME_MAGIC.len(),
            }
        }
    })
}

const RECORD_EVENT: u8 = 1;
const RECORD_TRANSFER: u8 = 2;

pub(super) fn write_record(out: &mut Vec<u8>, record: &Record) {
    let bytes: &[u8] = match record {
        Record::Event(dot, body) => {
            out.push(RECORD_EVENT);
            out.extend_from_slice(&dot.replica.get().to_le_bytes());
            out.extend_from_slice(&dot.seq.to_le_bytes());
            body
        }
        Record::Transfer(bytes) => {
            out.push(RECORD_TRANSFER);
            bytes
        }
    };
    let length = u32::try_from(bytes.len()).expect("events are limited, and answers of peers are no longer");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A record as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded<'a> {
    Event(Dot, &'a [u8]),
    Transfer(&'a [u8]),
}

/// The records in a payload; an error ends them: it is none that this version wrote.
pub(super) fn read_records(payload: &[u8]) -> impl Iterator<Item = Result<Recorded<'_>, &'static str>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = read_record(&mut rest);
        if record.is_none() {
            rest = &[];
        }
        Some(record.ok_or("a record that is none"))
    })
}

fn read_record<'a>(rest: &mut &'a [u8]) -> Option<Recorded<'a>> {
    let (tag, mut left) = rest.split_first()?;
    let mut number = |bytes: usize| {
        let (number, tail) = left.split_at_checked(bytes)?;
        left = tail;
        Some(number)
    };
    let dot = match *tag {
        RECORD_EVENT => Some(Dot::new(ReplicaId::new(u64_at(number(8)?, 0)), u64_at(number(8)?, 0))),
        RECORD_TRANSFER => None,
        _ => return None,
    };
    let length = usize::try_from(u32_at(number(4)?, 0)).ok()?;
    let bytes = number(length)?;
    *rest = left;
    Some(dot.map_or(Recorded::Transfer(bytes), |dot| Recorded::Event(dot, bytes)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(position: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(write_frame(&mut bytes, 7, Kind::Records, position, 3, |out| out.extend_from_slice(payload)));
        bytes
    }

    #[test]
    fn a_frame_is_read_as_it_was_written_and_no_flipped_bit_passes() {
        let bytes = frame(9, b"payload");
        let (read, length) = read_frame(&bytes, 7).unwrap();
        assert_eq!((read.position, read.synced, read.payload, length), (9, 3, &b"payload"[..], bytes.len()));
        assert!(read_frame(&bytes, 8).is_none(), "of another segment");
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let whole = read_frame(&broken, 7);
            assert!(whole.is_none(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(read_frame(&bytes[..cut], 7).is_none());
        }
    }

    #[test]
    fn sound_frames_are_found_behind_a_damaged_place() {
        let mut bytes = frame(1, b"one");
        bytes.truncate(20);
        bytes.extend(frame(2, &FRAME_MAGIC));
        bytes.extend(frame(3, b"three"));
        let found: Vec<u64> = find_frames(&bytes, 7).map(|frame| frame.position).collect();
        assert_eq!(found, [2, 3]);
    }

    #[test]
    fn a_segment_header_is_read_as_it_was_written() {
        let header = SegmentHeader { number: 5, first: 77, salt: 9, gap: true };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(Some(header)));
        assert_eq!(SegmentHeader::decode(&bytes[..40]), Ok(None));
        bytes[20] ^= 1;
        assert_eq!(SegmentHeader::decode(&bytes), Ok(None));
        bytes[8] = 9;
        assert_eq!(SegmentHeader::decode(&bytes), Err(9));
    }

    #[test]
    fn records_are_read_as_they_were_written_and_half_a_record_is_an_error() {
        let records = [
            Record::Event(Dot::new(ReplicaId::new(3), 8), b"body"[..].into()),
            Record::Transfer(b"transfer"[..].into()),
            Record::Event(Dot::new(ReplicaId::new(4), 9), b""[..].into()),
        ];
        let mut payload = Vec::new();
        records.iter().for_each(|record| write_record(&mut payload, record));
        let read: Vec<_> = read_records(&payload).map(Result::unwrap).collect();
        let expected = [
            Recorded::Event(Dot::new(ReplicaId::new(3), 8), b"body"),
            Recorded::Transfer(b"transfer"),
            Recorded::Event(Dot::new(ReplicaId::new(4), 9), b""),
        ];
        assert_eq!(read, expected);
        assert!(read_records(&payload[..payload.len() - 1]).any(|record| record.is_err()));
        assert!(read_records(&[9]).any(|record| record.is_err()));
    }
}
