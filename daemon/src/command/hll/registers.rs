//! The registers of a HyperLogLog, and their two forms in Redis's strings: six bits each, or runs of equal ones.
//!
//! A string begins with `HYLL`, the form, three zeros, and eight bytes in which Redis keeps what it counted last; the
//! highest bit of the last one says that it has not, and is always set here.

/// How many there are.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of a hash that tell how rare it is, and the greatest register.
pub(super) const RARE_BITS: u32 = 64 - INDEX_BITS;
const REGISTER_BITS: usize = 6;
const HEAD_BYTES: usize = 16;
const DENSE_BYTES: usize = REGISTERS * REGISTER_BITS / 8;
/// Runs that take more bytes are written in the other form.
const SPARSE_BYTES_MAX: usize = 3_000;
/// The greatest register that a run can have.
const SPARSE_MAX: u8 = 32;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// The seed of the hash, as Redis has it.
const SEED: u64 = 0xADC8_3B19;

/// Why a string is no HyperLogLog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is something else.
    Foreign,
    /// It begins as one and is none.
    Corrupted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    values: Vec<u8>,
    /// It was in the form of six bits once, and stays so.
    is_dense: bool,
}

impl Default for Registers {
    fn default() -> Self {
        Self { values: vec![0; REGISTERS], is_dense: false }
    }
}

impl Registers {
    pub(super) fn read(text: &[u8]) -> Result<Self, Invalid> {
        let (head, body) = text.split_at_checked(HEAD_BYTES).ok_or(Invalid::Foreign)?;
        match (&head[..4], head[4]) {
            (b"HYLL", DENSE) if body.len() == DENSE_BYTES => Ok(Self { values: unpacked(body), is_dense: true }),
            (b"HYLL", SPARSE) => {
                let values = runs(body).ok_or(Invalid::Corrupted)?;
                Ok(Self { values, is_dense: false })
            }
            _ => Err(Invalid::Foreign),
        }
    }

    /// Adds an element; says whether that changed anything.
    pub(super) fn add(&mut self, element: &[u8]) -> bool {
        let hash = murmur(element, SEED);
        let index = usize::try_from(hash & (REGISTERS as u64 - 1)).expect("few bits");
        // One bit behind the last, so that there is always one.
        let rare = hash >> INDEX_BITS | 1 << RARE_BITS;
        let value = u8::try_from(rare.trailing_zeros() + 1).expect("at most 51");
        let is_more = value > self.values[index];
        if is_more {
            self.values[index] = value;
        }
        is_more
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.is_dense |= other.is_dense;
        self.values.iter_mut().zip(&other.values).for_each(|(value, other)| *value = *other.max(value));
    }

    /// How many registers have each value.
    pub(super) fn histogram(&self) -> [u32; 64] {
        let mut histogram = [0; 64];
        self.values.iter().for_each(|value| histogram[usize::from(value & 63)] += 1);
        histogram
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let sparse = if self.is_dense { None } else { self.written_runs() };
        let form = if sparse.is_some() { SPARSE } else { DENSE };
        let mut text = b"HYLL".to_vec();
        text.push(form);
        text.resize(HEAD_BYTES - 1, 0);
        text.push(0x80);
        text.extend(sparse.unwrap_or_else(|| self.packed()));
        text
    }

    fn packed(&self) -> Vec<u8> {
        let mut bytes = vec![0; DENSE_BYTES];
        for (at, value) in self.values.iter().enumerate() {
            let (byte, bit) = (at * REGISTER_BITS / 8, at * REGISTER_BITS % 8);
            let [low, high] = (u16::from(*value) << bit).to_le_bytes();
            bytes[byte] |= low;
            if high > 0 {
                bytes[byte + 1] |= high;
            }
        }
        bytes
    }

    /// `None` if runs cannot say it, or not in so few bytes.
    fn written_runs(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for run in self.values.chunk_by(|a, b| a == b) {
            let value = run[0];
            if value > SPARSE_MAX {
                return None;
            }
            match u16::try_from(run.len() - 1).expect("not so many") {
                less @ ..64 if value == 0 => bytes.push(less.to_le_bytes()[0]),
                less if value == 0 => bytes.extend_from_slice(&(0x4000 | less).to_be_bytes()),
                _ => bytes.extend(run.chunks(4).map(|run| {
                    let less = u8::try_from(run.len() - 1).expect("at most four in a run");
                    0x80 | (value - 1) << 2 | less
                })),
            };
        }
        (bytes.len() <= SPARSE_BYTES_MAX).then_some(bytes)
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let value = |at: usize| {
        let (byte, bit) = (at * REGISTER_BITS / 8, at * REGISTER_BITS % 8);
        let pair = u16::from_le_bytes([bytes[byte], bytes.get(byte + 1).copied().unwrap_or(0)]);
        (pair >> bit).to_le_bytes()[0] & 63
    };
    (0..REGISTERS).map(value).collect()
}

/// The registers that runs say; `None` if they do not say all of them.
fn runs(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut values = Vec::with_capacity(REGISTERS);
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        let (value, less) = match first {
            0..=0x3F => (0, usize::from(first)),
            0x40..=0x7F => {
                let (&low, rest) = bytes.split_first()?;
                bytes = rest;
                (0, usize::from(first & 0x3F) << 8 | usize::from(low))
            }
            _ => ((first >> 2 & 0x1F) + 1, usize::from(first & 3)),
        };
        if values.len() + less >= REGISTERS {
            return None;
        }
        values.resize(values.len() + less + 1, value);
    }
    (values.len() == REGISTERS).then_some(values)
}

/// MurmurHash64A, by Appleby, of eight bytes at a time, the lowest first.
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xC6A4_A793_5BD1_E995;
    const SHIFT: u32 = 47;
    let mix = |word: u64| {
        let word = word.wrapping_mul(FACTOR);
        (word ^ word >> SHIFT).wrapping_mul(FACTOR)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    for word in words {
        hash = (hash ^ mix(u64::from_le_bytes(*word))).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl Iterator<Item = u32>) -> Registers {
        let mut registers = Registers::default();
        numbers.for_each(|number| _ = registers.add(&number.to_le_bytes()));
        registers
    }

    proptest! {
        #[test]
        fn registers_are_read_as_they_were_written(count in 0..5_000_u32, from: u32, dense: bool) {
            let mut registers = of((0..count).map(|number| number.wrapping_add(from)));
            registers.is_dense = dense;
            let text = registers.write();
            let read = Registers::read(&text).expect("it was written");
            prop_assert_eq!(&read.values, &registers.values);
            prop_assert_eq!(read.write(), text);
        }

        #[test]
        fn what_is_merged_is_what_all_elements_make(split in 0..3_000_u32, count in 0..3_000_u32) {
            let mut merged = of(0..split);
            merged.merge(&of(split / 2..split / 2 + count));
            prop_assert_eq!(merged.values, of(0..split.max(split / 2 + count)).values);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..60), form in 0..3_u8) {
            let text = [&b"HYLL"[..], &[form], &[0; 11], &body].concat();
            if let Ok(registers) = Registers::read(&text) {
                prop_assert_eq!(registers.values.len(), REGISTERS);
            }
        }
    }

    #[test]
    fn few_elements_take_few_bytes_and_many_take_twelve_thousand() {
        assert_eq!(Registers::default().write().len(), HEAD_BYTES + 2);
        assert!(of(0..100).write().len() < 500);
        assert_eq!(of(0..100_000).write().len(), HEAD_BYTES + DENSE_BYTES);
    }
}
