//! Chance from one number.

/// A small generator (`SplitMix64`; Steele, Lea, Flood 2014): equal seeds give equal runs on every machine and with
/// every version of every dependency, which is all a simulator asks of it.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A sequence of its own for one purpose, so that draws for one thing do not shift those for another.
    #[must_use]
    pub fn fork(&mut self, purpose: u64) -> Self {
        Self::new(self.draw() ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.draw() % bound }
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are plenty for a percentage")]
        let unit = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        unit * 100.0 < percent
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }
}
