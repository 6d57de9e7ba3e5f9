//! Runs of bytes inside what travels.

use serde::{Deserialize, Serialize};

/// A name, a value or an encoded part, borrowed from the bytes it came in and written as one run of them.
#[derive(Clone, Copy, Debug, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bytes<'a>(#[serde(borrow)] pub(crate) &'a [u8]);

impl PartialEq for Bytes<'_> {
    fn eq(&self, other: &Self) -> bool {
        same(self.0, other.0)
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Writes `value` behind what is in `bytes`, runs of bytes in one piece (postcard's own way to extend goes byte by
/// byte, which is half the time of reading a bucket).
pub(crate) fn append(value: &impl Serialize, bytes: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Appending(bytes)).expect("plain data");
}

struct Appending<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appending<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Whether two runs are equal. For names, which are short and were often written a moment ago: eight bytes at a time and
/// inlined, this takes a tenth of the time of the C library's comparison, whose wide masked loads wait for such writes
/// (docs/performance.md).
#[inline]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    let words = a_words.iter().zip(b_words).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b));
    words && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}
