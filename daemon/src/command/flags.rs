//! What commands do, as clients and access rules ask about it: bits, printed in Redis's words and order.

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

/// The words of the flags, bit by bit, in the order in which Redis prints them.
const FLAG_WORDS: [&str; 18] = [
    "write",
    "readonly",
    "denyoom",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_slowlog",
    "fast",
    "no_auth",
    "no_mandatory_keys",
    "no_async_loading",
    "no_multi",
    "movablekeys",
    "allow_busy",
];

/// Does nothing that has a flag.
pub(super) const NONE: Flags = Flags(0);
/// May change data.
pub(super) const WRITE: Flags = Flags(1);
/// Reads data and changes none.
pub(super) const READONLY: Flags = Flags(1 << 1);
/// May need more memory than before.
pub(super) const DENYOOM: Flags = Flags(1 << 2);
/// Is for operators.
pub(super) const ADMIN: Flags = Flags(1 << 3);
/// Is about channels.
pub(super) const PUBSUB: Flags = Flags(1 << 4);
/// Is refused in scripts.
pub(super) const NOSCRIPT: Flags = Flags(1 << 5);
/// May keep its client waiting for others.
pub(super) const BLOCKING: Flags = Flags(1 << 6);
/// Is answered while data is being loaded.
pub(super) const LOADING: Flags = Flags(1 << 7);
/// Is answered by a replica that has lost its primary: of no meaning here, and told to clients as Redis tells it.
pub(super) const STALE: Flags = Flags(1 << 8);
/// Is shown to those who watch before it is carried out, by itself.
pub(super) const SKIP_MONITOR: Flags = Flags(1 << 9);
/// Its time is that of the commands it carries out.
pub(super) const SKIP_SLOWLOG: Flags = Flags(1 << 10);
/// Takes constant time, or nearly.
pub(super) const FAST: Flags = Flags(1 << 11);
/// Is answered before a client has said who it is.
pub(super) const NO_AUTH: Flags = Flags(1 << 12);
/// May have no keys, though it says where they are.
pub(super) const NO_MANDATORY_KEYS: Flags = Flags(1 << 13);
/// Is refused while data is loaded in the background.
pub(super) const NO_ASYNC_LOADING: Flags = Flags(1 << 14);
/// Is refused in transactions.
pub(super) const NO_MULTI: Flags = Flags(1 << 15);
/// Has keys that its first, last and step do not tell.
pub(super) const MOVABLEKEYS: Flags = Flags(1 << 16);
/// Is answered while a script runs.
pub(super) const ALLOW_BUSY: Flags = Flags(1 << 17);
/// Is held where writes are, though it is none by itself: a flag that Redis does not print either.
pub(super) const MAY_REPLICATE: Flags = Flags(1 << 18);

impl Flags {
    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Redis's words for them.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        words(self.0, &FLAG_WORDS)
    }
}

/// Groups of commands that access rules name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories(u32);

/// The words of the categories, bit by bit, in the order in which Redis prints them.
const CATEGORY_WORDS: [&str; 21] = [
    "@keyspace",
    "@read",
    "@write",
    "@set",
    "@sortedset",
    "@list",
    "@hash",
    "@string",
    "@bitmap",
    "@hyperloglog",
    "@geo",
    "@stream",
    "@pubsub",
    "@admin",
    "@fast",
    "@slow",
    "@blocking",
    "@dangerous",
    "@connection",
    "@transaction",
    "@scripting",
];

impl Categories {
    /// None but those that follow from flags.
    pub const NONE: Self = Self(0);
    /// Keys as such, whatever they hold.
    pub const KEYSPACE: Self = Self::word("@keyspace");
    /// Sets.
    pub const SET: Self = Self::word("@set");
    /// Sorted sets.
    pub const SORTEDSET: Self = Self::word("@sortedset");
    /// Streams.
    pub const STREAM: Self = Self::word("@stream");
    /// Lists.
    pub const LIST: Self = Self::word("@list");
    /// Hashes.
    pub const HASH: Self = Self::word("@hash");
    /// Strings.
    pub const STRING: Self = Self::word("@string");
    /// Strings seen bit by bit.
    pub const BITMAP: Self = Self::word("@bitmap");
    /// Places on Earth.
    pub const GEO: Self = Self::word("@geo");
    /// HyperLogLogs.
    pub const HYPERLOGLOG: Self = Self::word("@hyperloglog");
    /// Operators' commands.
    pub const ADMIN: Self = Self::word("@admin");
    /// What may hurt when used without thought.
    pub const DANGEROUS: Self = Self::word("@dangerous");
    /// Transactions.
    pub const TRANSACTION: Self = Self::word("@transaction");
    /// Scripts.
    pub const SCRIPTING: Self = Self::word("@scripting");
    /// The connection itself.
    pub const CONNECTION: Self = Self::word("@connection");

    /// The category of that name: looked up when the program is compiled.
    const fn word(word: &str) -> Self {
        let mut at = 0;
        while at < CATEGORY_WORDS.len() {
            if same(CATEGORY_WORDS[at].as_bytes(), word.as_bytes()) {
                return Self(1 << at);
            }
            at += 1;
        }
        panic!("no such category")
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether one of `others` is among these.
    #[must_use]
    pub(crate) const fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The category of that name, in any case, without its `@`.
    #[must_use]
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let at = CATEGORY_WORDS.iter().position(|word| word.as_bytes()[1..].eq_ignore_ascii_case(name))?;
        Some(Self(1 << at))
    }

    /// All of them, in Redis's order.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        CATEGORY_WORDS.iter().map(|word| &word[1..])
    }

    /// These and those that follow from `flags`, as in Redis.
    #[must_use]
    pub const fn with_those_of(self, flags: Flags) -> Self {
        let mut all = self.and(Self::word(if flags.has(FAST) { "@fast" } else { "@slow" }));
        if flags.has(WRITE) {
            all = all.and(Self::word("@write"));
        }
        // What a script does is not known before.
        if flags.has(READONLY) && all.0 & Self::SCRIPTING.0 == 0 {
            all = all.and(Self::word("@read"));
        }
        if flags.has(ADMIN) {
            all = all.and(Self::ADMIN).and(Self::DANGEROUS);
        }
        if flags.has(PUBSUB) {
            all = all.and(Self::word("@pubsub"));
        }
        if flags.has(BLOCKING) {
            all = all.and(Self::word("@blocking"));
        }
        all
    }

    /// Redis's words for them.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        words(self.0, &CATEGORY_WORDS)
    }
}

fn words(bits: u32, words: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    words.iter().enumerate().filter(move |(at, _)| bits & 1 << at != 0).map(|(_, word)| *word)
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_its_own_word() {
        let all = [
            (WRITE, "write"),
            (READONLY, "readonly"),
            (DENYOOM, "denyoom"),
            (ADMIN, "admin"),
            (PUBSUB, "pubsub"),
            (NOSCRIPT, "noscript"),
            (BLOCKING, "blocking"),
            (LOADING, "loading"),
            (STALE, "stale"),
            (SKIP_MONITOR, "skip_monitor"),
            (SKIP_SLOWLOG, "skip_slowlog"),
            (FAST, "fast"),
            (NO_AUTH, "no_auth"),
            (NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (NO_ASYNC_LOADING, "no_async_loading"),
            (NO_MULTI, "no_multi"),
            (MOVABLEKEYS, "movablekeys"),
            (ALLOW_BUSY, "allow_busy"),
        ];
        for (flag, word) in all {
            assert_eq!(flag.words().collect::<Vec<_>>(), [word]);
        }
        assert_eq!(all.len(), FLAG_WORDS.len());
        assert_eq!(NONE.words().count(), 0);
    }

    #[test]
    fn categories_follow_from_flags_and_stand_in_redis_order() {
        let all = Categories::CONNECTION.with_those_of(ADMIN.and(WRITE).and(BLOCKING));
        let expected = ["@write", "@admin", "@slow", "@blocking", "@dangerous", "@connection"];
        assert_eq!(all.words().collect::<Vec<_>>(), expected);
        assert_eq!(Categories::NONE.with_those_of(READONLY.and(FAST)).words().collect::<Vec<_>>(), ["@read", "@fast"]);
    }
}
