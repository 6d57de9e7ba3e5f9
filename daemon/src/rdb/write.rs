//! Writing a payload.

use super::crc64::crc64;
use super::packed::backwards_bytes;
use super::{VERSION, VERSION_MAX, group, kind, stream};
use cahoots_gossip::store::{Field, Value};

/// The payload of a value: Redis 7.0 reads it, unless it is a hash whose fields end. O(n).
#[must_use]
pub fn dump(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.bytes());
    let mut version = VERSION;
    match value {
        Value::Text(text) => {
            out.push(kind::STRING);
            write_string(text, &mut out);
        }
        Value::Set(elements) | Value::List(elements) => {
            out.push(if matches!(value, Value::Set(_)) { kind::SET } else { kind::LIST });
            write_length(elements.len() as u64, &mut out);
            elements.iter().for_each(|element| write_string(element, &mut out));
        }
        Value::Hash(fields) => match fields.iter().filter_map(|field| field.deadline).min() {
            None => {
                out.push(kind::HASH);
                write_fields(fields, |_, _| {}, &mut out);
            }
            Some(first) => {
                version = VERSION_MAX;
                out.push(kind::HASH_WITH_ENDS);
                out.extend_from_slice(&first.to_le_bytes());
                let end = |field: &Field, out: &mut Vec<u8>| {
                    write_length(field.deadline.map_or(0, |deadline| (deadline - first).saturating_add(1)), out);
                };
                write_fields(fields, end, &mut out);
            }
        },
        Value::Sorted(members) => {
            out.push(kind::ZSET);
            write_length(members.len() as u64, &mut out);
            for (member, score) in members {
                write_string(member, &mut out);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        Value::Stream(entries, mark, groups) => {
            out.push(kind::STREAM_2);
            stream::write(entries, mark, &mut out);
            group::write(groups, &mut out);
        }
    }
    seal(out, version)
}

/// A type and a value of it, with the version and the sum behind them.
#[must_use]
pub fn sealed(body: &[u8]) -> Vec<u8> {
    seal(body.to_vec(), VERSION)
}

/// Writes the version and the sum behind a type and a value of it.
pub(super) fn seal(mut body: Vec<u8>, version: u16) -> Vec<u8> {
    body.extend_from_slice(&version.to_le_bytes());
    let sum = crc64(&body);
    body.extend_from_slice(&sum.to_le_bytes());
    body
}

fn write_fields(fields: &[Field], in_front: impl Fn(&Field, &mut Vec<u8>), out: &mut Vec<u8>) {
    write_length(fields.len() as u64, out);
    for field in fields {
        in_front(field, out);
        write_string(&field.name, out);
        write_string(&field.value, out);
    }
}

/// A length, in as few bytes as it takes.
pub(super) fn write_length(length: u64, out: &mut Vec<u8>) {
    let [.., high, low] = length.to_be_bytes();
    match length {
        ..0x40 => out.push(low),
        0x40..0x4000 => out.extend_from_slice(&[0x40 | high, low]),
        0x4000..=0xFFFF_FFFF => {
            out.push(0x80);
            out.extend_from_slice(&length.to_be_bytes()[4..]);
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// A string; an integer of up to 32 bits as that.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let Some(number) = crate::resp::integer(text).and_then(|number| i32::try_from(number).ok()) else {
        write_length(text.len() as u64, out);
        return out.extend_from_slice(text);
    };
    if let Ok(number) = i8::try_from(number) {
        out.push(0xC0);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xC1);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        out.push(0xC2);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// A listpack that is being written.
#[derive(Default)]
pub(super) struct Listpack {
    elements: Vec<u8>,
    count: usize,
}

impl Listpack {
    pub(super) fn number(&mut self, number: i64) {
        let start = self.elements.len();
        let bytes = number.to_le_bytes();
        match number {
            0..=0x7F => self.elements.push(bytes[0]),
            -0x1000..=0xFFF => self.elements.extend_from_slice(&[0xC0 | bytes[1] & 0x1F, bytes[0]]),
            _ => {
                let (code, width) = match number {
                    -0x8000..=0x7FFF => (0xF1, 2),
                    -0x80_0000..=0x7F_FFFF => (0xF2, 3),
                    -0x8000_0000..=0x7FFF_FFFF => (0xF3, 4),
                    _ => (0xF4, 8),
                };
                self.elements.push(code);
                self.elements.extend_from_slice(&bytes[..width]);
            }
        }
        self.close(start);
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        if let Some(number) = crate::resp::integer(text) {
            return self.number(number);
        }
        let start = self.elements.len();
        let length = u32::try_from(text.len()).expect("values are below 4 GiB");
        let [low, high, ..] = length.to_le_bytes();
        match length {
            ..0x40 => self.elements.push(0x80 | low),
            0x40..0x1000 => self.elements.extend_from_slice(&[0xE0 | high, low]),
            _ => {
                self.elements.push(0xF0);
                self.elements.extend_from_slice(&length.to_le_bytes());
            }
        }
        self.elements.extend_from_slice(text);
        self.close(start);
    }

    /// Writes the length of an element behind it: seven bits a byte, the lowest last, all but the first marked.
    fn close(&mut self, start: usize) {
        let length = self.elements.len() - start;
        for at in (0..backwards_bytes(length)).rev() {
            let part = u8::try_from(length >> (7 * at) & 0x7F).expect("seven bits");
            let is_first = at + 1 == backwards_bytes(length);
            self.elements.push(if is_first { part } else { part | 0x80 });
        }
        self.count += 1;
    }

    pub(super) fn end(self) -> Vec<u8> {
        /// The head and the end.
        const REST_BYTES: usize = 7;
        let length = u32::try_from(self.elements.len() + REST_BYTES).expect("values are below 4 GiB");
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        [&length.to_le_bytes()[..], &count.to_le_bytes(), &self.elements, &[0xFF]].concat()
    }
}
