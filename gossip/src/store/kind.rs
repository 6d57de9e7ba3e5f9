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
    /// Attribute: until when a field of a hash lives.
    FieldDeadline = 10,
    /// Attribute: until when what one replica added to a field lives. Of each replica at most one, as of
    /// [`Until`](Self::Until).
    FieldUntil = 11,
}

/// What there is to know about a type.
#[derive(Clone, Copy, Debug)]
struct Kind {
    class: Class,
    /// What clients call it.
    word: &'static str,
    /// The sum of what follows.
    traits: u8,
}

/// Elements have names: members, fields, positions, ids.
const NAMED: u8 = 1;
/// Each replica has a cell of its own beside those of the others.
const BALLOTS: u8 = 1 << 1;
/// Elements may be added to, not assigned only.
const COUNTED: u8 = 1 << 2;
/// Elements have scores and are ordered by them: what is assigned and added is fractions.
const SCORED: u8 = 1 << 3;
/// Elements are ordered by their names.
const ORDERED: u8 = 1 << 4;
/// It says something about data, and is none.
const ATTRIBUTE: u8 = 1 << 5;

const fn kind(class: Class, word: &'static str, traits: u8) -> Kind {
    Kind { class, word, traits }
}

/// Bits that say the type of an element in memory.
pub(super) const CLASS_BITS: u32 = 5;

/// By code. A new type is a row here.
const KINDS: &[Kind] = &[
    kind(Class::Text, "string", COUNTED),
    kind(Class::Set, "set", NAMED),
    kind(Class::Hash, "hash", NAMED | COUNTED),
    kind(Class::Vote, "vote", BALLOTS),
    kind(Class::Presence, "presence", BALLOTS),
    kind(Class::Sorted, "zset", NAMED | COUNTED | SCORED),
    kind(Class::List, "list", NAMED | ORDERED),
    kind(Class::Stream, "stream", NAMED | ORDERED),
    kind(Class::Deadline, "deadline", ATTRIBUTE),
    kind(Class::Until, "until", ATTRIBUTE),
    kind(Class::FieldDeadline, "field deadline", NAMED | ATTRIBUTE),
    kind(Class::FieldUntil, "field until", NAMED | ATTRIBUTE),
];

const _: () = {
    assert!(KINDS.len() <= 1 << CLASS_BITS, "more types than an element in memory can tell apart");
    let mut code = 0;
    while code < KINDS.len() {
        assert!(KINDS[code].class as usize == code, "the rows are in the order of their codes");
        code += 1;
    }
};

/// The classes that have a trait, a bit for each: what is asked on the hot path.
const fn classes_with(wanted: u8) -> u32 {
    let (mut classes, mut code) = (0, 0);
    while code < KINDS.len() {
        if KINDS[code].traits & wanted != 0 {
            classes |= 1 << code;
        }
        code += 1;
    }
    classes
}

impl Class {
    const fn is_in(self, classes: u32) -> bool {
        classes >> self as u32 & 1 != 0
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
        self.is_in(const { classes_with(BALLOTS) })
    }

    /// Whether elements have names: members of a set, fields of a hash.
    pub(super) const fn has_names(self) -> bool {
        self.is_in(const { classes_with(NAMED) })
    }

    /// Whether there are increments beside assignments.
    pub(super) const fn is_counted(self) -> bool {
        self.is_in(const { classes_with(COUNTED) })
    }

    /// Whether elements have scores: assigned and added to in fractions, and ordered by them.
    pub(super) const fn is_scored(self) -> bool {
        self.is_in(const { classes_with(SCORED) })
    }

    /// Whether elements are kept in an order of numbers beside: of their scores, or of the deadlines that they say.
    pub(super) const fn is_ranked(self) -> bool {
        self.is_in(const { classes_with(SCORED) | classes_with(NAMED) & classes_with(ATTRIBUTE) })
    }

    /// Whether elements are ordered by their names.
    pub(super) const fn is_ordered(self) -> bool {
        self.is_in(const { classes_with(ORDERED) })
    }

    /// Whether it says something about data, and is none.
    pub(super) const fn is_attribute(self) -> bool {
        self.is_in(const { classes_with(ATTRIBUTE) })
    }
}
