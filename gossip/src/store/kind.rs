//! The types of values, each told in one row of a table: what its elements are made of, and how clients see it.
//!
//! Most types hold data. *Attributes* lie under the same keys and travel, join and are removed as data does, but say
//! something about it: a key that holds nothing else does not exist for clients.

/// The type of a cell. A key whose cells are of several types of data shows the one of the highest clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// A string: a register, plus increments.
    Text = 0,
    /// An add-wins set.
    Set = 1,
    /// A map of fields, each a register plus increments.
    Hash = 2,
    /// Ballots: at most one value per replica, which only that replica replaces. Tallied over live members.
    Vote = 3,
    /// Ballots that say how many are present at their replica. Summed over live members.
    Presence = 4,
    /// A set whose members have scores: each a register plus increments.
    Sorted = 5,
    /// Elements by position: a register each, under a name that carries the order.
    List = 6,
    /// Entries by id: a register each, under a name that carries the order.
    Stream = 7,
    /// Attribute: until when the key lives.
    Deadline = 8,
    /// Attribute: until when what one replica wrote to the key lives. Of each replica at most one, which only that replica
    /// replaces.
    Until = 9,
}

/// What there is to know about a type.
#[derive(Clone, Copy, Debug)]
struct Kind {
    class: Class,
    /// What clients call it.
    word: &'static str,
    /// Elements have names: members, fields, positions, ids.
    named: bool,
    /// Each replica has a cell of its own beside those of the others.
    ballots: bool,
    /// Elements may be added to, not assigned only.
    counted: bool,
    /// Elements have scores and are ordered by them: what is assigned and added is fractions.
    scored: bool,
    attribute: bool,
}

impl Kind {
    const fn of(class: Class, word: &'static str) -> Self {
        Self { class, word, named: false, ballots: false, counted: false, scored: false, attribute: false }
    }

    const fn named(mut self) -> Self {
        self.named = true;
        self
    }

    const fn ballots(mut self) -> Self {
        self.ballots = true;
        self
    }

    const fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    const fn scored(mut self) -> Self {
        self.scored = true;
        self
    }

    const fn attribute(mut self) -> Self {
        self.attribute = true;
        self
    }
}

/// Bits that say the type of an element in memory.
pub(super) const CLASS_BITS: u32 = 5;

/// By code. A new type is a row here.
const KINDS: &[Kind] = &[
    Kind::of(Class::Text, "string").counted(),
    Kind::of(Class::Set, "set").named(),
    Kind::of(Class::Hash, "hash").named().counted(),
    Kind::of(Class::Vote, "vote").ballots(),
    Kind::of(Class::Presence, "presence").ballots(),
    Kind::of(Class::Sorted, "zset").named().counted().scored(),
    Kind::of(Class::List, "list").named(),
    Kind::of(Class::Stream, "stream").named(),
    Kind::of(Class::Deadline, "deadline").attribute(),
    Kind::of(Class::Until, "until").attribute(),
];

const _: () = {
    assert!(KINDS.len() <= 1 << CLASS_BITS, "more types than an element in memory can tell apart");
    let mut code = 0;
    while code < KINDS.len() {
        assert!(KINDS[code].class as usize == code, "the rows are in the order of their codes");
        code += 1;
    }
};

/// What is asked on the hot path: a bit for each class.
const NAMED: u32 = mask(Trait::Named);
const BALLOTS: u32 = mask(Trait::Ballots);
const COUNTED: u32 = mask(Trait::Counted);
const SCORED: u32 = mask(Trait::Scored);
const ATTRIBUTES: u32 = mask(Trait::Attribute);

#[derive(Clone, Copy)]
enum Trait {
    Named,
    Ballots,
    Counted,
    Scored,
    Attribute,
}

const fn mask(wanted: Trait) -> u32 {
    let (mut mask, mut code) = (0, 0);
    while code < KINDS.len() {
        let kind = &KINDS[code];
        let has = match wanted {
            Trait::Named => kind.named,
            Trait::Ballots => kind.ballots,
            Trait::Counted => kind.counted,
            Trait::Scored => kind.scored,
            Trait::Attribute => kind.attribute,
        };
        mask |= (has as u32) << code;
        code += 1;
    }
    mask
}

impl Class {
    const fn is_in(self, mask: u32) -> bool {
        mask >> self as u32 & 1 != 0
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        KINDS.get(usize::from(code)).map(|kind| kind.class)
    }

    const fn kind(self) -> &'static Kind {
        &KINDS[self as usize]
    }

    /// What clients call it: Redis's word where Redis has one.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.kind().word
    }

    /// Whether each replica has a cell of its own here, beside those of the others.
    #[must_use]
    pub const fn holds_ballots(self) -> bool {
        self.is_in(BALLOTS)
    }

    /// Whether elements have names: members of a set, fields of a hash.
    pub(super) const fn has_names(self) -> bool {
        self.is_in(NAMED)
    }

    /// Whether there are increments beside assignments.
    pub(super) const fn is_counted(self) -> bool {
        self.is_in(COUNTED)
    }

    /// Whether elements have scores: assigned and added to in fractions, and ordered by them.
    pub(super) const fn is_scored(self) -> bool {
        self.is_in(SCORED)
    }

    /// Whether it says something about data, and is none.
    pub(super) const fn is_attribute(self) -> bool {
        self.is_in(ATTRIBUTES)
    }
}
