//! Where among its arguments a command's keys are, in the terms of Redis's and Valkey's key specifications.

/// Some of a command's keys: where they begin, and which there are from there on. A command may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where they begin.
    pub begin: Begin,
    /// Which there are.
    pub find: Find,
}

/// Where keys begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument; the name is 0.
    At(u8),
    /// Behind this word (upper case), looked for from argument `from` on: `STREAMS` of XREAD.
    Behind {
        /// The word.
        word: &'static str,
        /// The first argument that may be it.
        from: u8,
    },
}

/// Which arguments are keys, counted from where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Each `step`-th one.
    Range {
        /// The last: counted from the begin, or if negative from the end of the arguments.
        last: i8,
        /// From one to the next.
        step: u8,
        /// If the last is counted from the end, only the first of so many equal parts are keys; 0 and 1: all.
        parts: u8,
    },
    /// As many as an argument says: `numkeys`.
    Counted {
        /// Where that number stands.
        count: u8,
        /// Where the first key is.
        first: u8,
        /// From one key to the next.
        step: u8,
    },
}

const fn range(begin: u8, last: i8, step: u8) -> KeySpec {
    KeySpec { begin: Begin::At(begin), find: Find::Range { last, step, parts: 0 } }
}

/// As many keys as argument `begin` says, behind that.
const fn counted(begin: u8) -> KeySpec {
    KeySpec { begin: Begin::At(begin), find: Find::Counted { count: 0, first: 1, step: 1 } }
}

/// The key behind a word, which is looked for from argument `from` on.
const fn behind(word: &'static str, from: u8) -> KeySpec {
    KeySpec { begin: Begin::Behind { word, from }, find: Find::Range { last: 0, step: 1, parts: 0 } }
}

/// One key, the first argument.
pub(super) const ONE_KEY: &[KeySpec] = &[range(1, 0, 1)];
/// One key, behind a subcommand.
pub(super) const SECOND: &[KeySpec] = &[range(2, 0, 1)];
/// Two keys, the first arguments.
pub(super) const TWO_KEYS: &[KeySpec] = &[range(1, 1, 1)];
/// As many keys as the first argument says.
pub(super) const COUNTED: &[KeySpec] = &[counted(1)];
/// As many keys as the second argument says.
pub(super) const SECOND_COUNTED: &[KeySpec] = &[counted(2)];
/// Every argument but the last is a key.
pub(super) const KEYS_AND_LAST: &[KeySpec] = &[range(1, -2, 1)];
/// One key, and as many as the argument behind it says.
pub(super) const KEY_AND_COUNTED: &[KeySpec] = &[range(1, 0, 1), counted(2)];
/// Keys behind a word, and as many of something else behind them.
pub(super) const BEHIND_STREAMS: &[KeySpec] =
    &[KeySpec { begin: Begin::Behind { word: "STREAMS", from: 1 }, find: Find::Range { last: -1, step: 1, parts: 2 } }];
/// As [`BEHIND_STREAMS`], behind a group and a consumer.
pub(super) const BEHIND_STREAMS_OF_GROUP: &[KeySpec] =
    &[KeySpec { begin: Begin::Behind { word: "STREAMS", from: 4 }, find: Find::Range { last: -1, step: 1, parts: 2 } }];
/// One key, the first argument, and one behind `STORE`.
pub(super) const KEY_AND_STORE: &[KeySpec] = &[range(1, 0, 1), behind("STORE", 2)];
/// One key, the first argument, and one behind `STORE` or `STOREDIST`.
pub(super) const KEY_AND_STORES: &[KeySpec] = &[range(1, 0, 1), behind("STORE", 5), behind("STOREDIST", 5)];
/// As [`KEY_AND_STORES`], of a command that takes one argument more.
pub(super) const KEY_AND_LATER_STORES: &[KeySpec] = &[range(1, 0, 1), behind("STORE", 6), behind("STOREDIST", 6)];
/// Every argument but the first is a key.
pub(super) const ALL_BUT_ONE: &[KeySpec] = &[range(2, -1, 1)];
/// Every argument is a key.
pub(super) const ALL_KEYS: &[KeySpec] = &[range(1, -1, 1)];
/// Keys with a value behind each.
pub(super) const PAIRS: &[KeySpec] = &[range(1, -1, 2)];

impl KeySpec {
    /// First, last and step as `COMMAND INFO` has had them before there were specifications, if they can say it.
    #[must_use]
    pub const fn positions(&self) -> Option<(i64, i64, i64)> {
        match (self.begin, self.find) {
            (Begin::At(first), Find::Range { last, step, parts: 0 | 1 }) => {
                let (first, last) = (first as i64, last as i64);
                Some((first, if last < 0 { last } else { first + last }, step as i64))
            }
            _ => None,
        }
    }

    /// The first of these keys and those behind it, if there may be several in a row.
    pub(super) fn split_first(self) -> Option<[Self; 2]> {
        match (self.begin, self.find) {
            (Begin::At(at), Find::Range { last, step: 1, parts: 0 }) if last != 0 => {
                Some([range(at, 0, 1), range(at + 1, if last > 0 { last - 1 } else { last }, 1)])
            }
            _ => None,
        }
    }

    /// Hands the position of each of these keys to `key`, which says whether it wants more. `count` is the number of
    /// arguments, the name included.
    pub fn visit<'a>(&self, count: usize, arg: impl Fn(usize) -> Option<&'a [u8]>, mut key: impl FnMut(usize) -> bool) {
        let begin = match self.begin {
            Begin::At(begin) => usize::from(begin),
            Begin::Behind { word, from } => {
                let is_word = |at: &usize| arg(*at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
                let Some(at) = (usize::from(from)..count).find(is_word) else { return };
                at + 1
            }
        };
        let (first, end, step) = match self.find {
            Find::Range { last, step, parts } => {
                let end = match usize::from(last.unsigned_abs()) {
                    from_end if last < 0 => {
                        let end = (count + 1).saturating_sub(from_end);
                        begin + end.saturating_sub(begin) / usize::from(parts.max(1))
                    }
                    last => (begin + last + 1).min(count),
                };
                (begin, end, step)
            }
            Find::Counted { count: at, first, step } => {
                let wanted = arg(begin + usize::from(at)).and_then(crate::resp::unsigned);
                let wanted = usize::try_from(wanted.unwrap_or(0)).unwrap_or(usize::MAX);
                let first = begin + usize::from(first);
                (first, first.saturating_add(wanted.saturating_mul(usize::from(step))).min(count), step)
            }
        };
        let mut at = first;
        while at < end && key(at) {
            at += usize::from(step.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(specs: &[KeySpec], command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split(' ').collect();
        let mut keys = Vec::new();
        for spec in specs {
            let arg = |at: usize| words.get(at).map(|word| word.as_bytes());
            spec.visit(words.len(), arg, |at| {
                keys.push(words[at].to_owned());
                true
            });
        }
        keys
    }

    #[test]
    fn keys_are_found_where_ranges_words_and_counts_say() {
        let numkeys = [KeySpec { begin: Begin::At(1), find: Find::Counted { count: 0, first: 1, step: 1 } }];
        let store = [range(1, 0, 1), KeySpec { begin: Begin::At(2), ..numkeys[0] }];
        let cases: &[(&[KeySpec], &str, &[&str])] = &[
            (ONE_KEY, "get a", &["a"]),
            (ONE_KEY, "get", &[]),
            (SECOND, "memory usage a", &["a"]),
            (ALL_KEYS, "del a b c", &["a", "b", "c"]),
            (PAIRS, "mset a 1 b 2", &["a", "b"]),
            (PAIRS, "mset a 1 b", &["a", "b"]),
            (BEHIND_STREAMS, "xread count 2 streams a b 0 0", &["a", "b"]),
            (BEHIND_STREAMS, "xread count 2", &[]),
            (&numkeys, "zunion 2 a b weights 1 2", &["a", "b"]),
            (&numkeys, "zunion 99999999999999999999 a", &[]),
            (&numkeys, "zunion 18446744073709551615 a", &["a"]),
            (&store, "zunionstore to 1 a weights 1", &["to", "a"]),
        ];
        for (specs, command, expected) in cases {
            assert_eq!(keys(specs, command), *expected, "{command}");
        }
    }

    #[test]
    fn a_visit_ends_when_no_more_keys_are_wanted() {
        let mut seen = 0;
        ALL_KEYS[0].visit(
            1_000,
            |_| None,
            |_| {
                seen += 1;
                seen < 3
            },
        );
        assert_eq!(seen, 3);
    }

    #[test]
    fn positions_are_those_of_redis() {
        assert_eq!(ONE_KEY[0].positions(), Some((1, 1, 1)));
        assert_eq!(SECOND[0].positions(), Some((2, 2, 1)));
        assert_eq!(ALL_KEYS[0].positions(), Some((1, -1, 1)));
        assert_eq!(PAIRS[0].positions(), Some((1, -1, 2)));
        let counted = KeySpec { begin: Begin::At(1), find: Find::Counted { count: 0, first: 1, step: 1 } };
        assert_eq!(counted.positions(), None);
    }
}
