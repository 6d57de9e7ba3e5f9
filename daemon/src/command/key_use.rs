//! What a command does to its keys, and which of its arguments are channels: what access rules ask about.

/// What a command does to a key, in the words of Redis's key specifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse(u8);

/// The words, bit by bit, in the order in which Redis prints them.
const WORDS: [&str; 8] = ["RO", "RW", "OW", "RM", "access", "update", "insert", "delete"];

const RO: u8 = 1;
const RW: u8 = 1 << 1;
const OW: u8 = 1 << 2;
const RM: u8 = 1 << 3;
const ACCESS: u8 = 1 << 4;
const UPDATE: u8 = 1 << 5;
const INSERT: u8 = 1 << 6;
const DELETE: u8 = 1 << 7;

impl KeyUse {
    /// What is stored there is told.
    pub(super) const READS: Self = Self(RO | ACCESS);
    /// Whether it is there, its type, its length: nothing of what is stored there.
    pub(super) const EXAMINES: Self = Self(RO);
    /// What was there is told, and changed.
    pub(super) const CHANGES: Self = Self(RW | ACCESS | UPDATE);
    /// What was there is told, and changed without any being lost.
    pub(super) const EXTENDS: Self = Self(RW | ACCESS | INSERT);
    /// What is taken away is told.
    pub(super) const TAKES: Self = Self(RW | ACCESS | DELETE);
    /// What was there is changed, and not told.
    pub(super) const UPDATES: Self = Self(RW | UPDATE);
    /// Something is put beside what was there.
    pub(super) const ADDS: Self = Self(RW | INSERT);
    /// Some of what was there is removed, and not told.
    pub(super) const REMOVES: Self = Self(RW | DELETE);
    /// Whatever was there gives way.
    pub(super) const REPLACES: Self = Self(OW | UPDATE);
    /// It is made where nothing was.
    pub(super) const CREATES: Self = Self(OW | INSERT);
    /// The key is gone.
    pub(super) const DELETES: Self = Self(RM | DELETE);
    /// What is there is read and written elsewhere in the same key, and not told.
    pub(super) const COUNTS: Self = Self(RW | ACCESS);

    /// Whether it takes the right to read.
    #[must_use]
    pub const fn reads(self) -> bool {
        self.0 & ACCESS != 0
    }

    /// Whether it takes the right to write.
    #[must_use]
    pub const fn writes(self) -> bool {
        self.0 & (UPDATE | INSERT | DELETE) != 0
    }

    /// Redis's words for it.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        WORDS.iter().enumerate().filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, word)| *word)
    }
}

/// Which arguments of a command are channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None that access rules ask about.
    None,
    /// The first one.
    First,
    /// All.
    All,
    /// All are patterns of channels.
    Patterns,
}
