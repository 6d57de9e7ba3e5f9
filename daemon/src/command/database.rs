//! Numbered databases: a command works on the keys of the database that its client has chosen.
//!
//! In the store the keys of all databases are one space (`cahoots_gossip::store::database`). The names of a command's keys
//! are put in front of their database before its handler runs, where the command's key specifications say that they are, and
//! taken off again where a reply names a key. So no family of commands knows of databases, but for the few that walk over
//! keys, or make up their names.

use super::contract::Command;
use crate::resp::{Args, KeptArgs};
use cahoots_gossip::store::database::{MARK, SYSTEM, stored};

/// The most databases that clients can have: their number is a byte, and one is taken.
pub const DATABASES_MOST: usize = SYSTEM as usize;

/// The arguments of a command with its keys as they are called in the store; `None` if they are called so already.
#[inline]
pub(super) fn in_store(database: u8, command: &Command, args: Args<'_>) -> Option<KeptArgs> {
    let is_marked = |arg: &[u8]| arg.first() == Some(&MARK);
    if database == 0 && !args.iter().skip(1).any(is_marked) {
        return None;
    }
    translate(database, command, args)
}

#[cold]
fn translate(database: u8, command: &Command, args: Args<'_>) -> Option<KeptArgs> {
    // What these call keys are channels; and what a script does with its keys comes here again.
    if matches!(command.group, "pubsub" | "scripting") {
        return None;
    }
    let mut is_key = vec![false; args.len()];
    command.each_key(args, |at| is_key[at] = true);
    let named = |(arg, is_key): (_, &bool)| if *is_key { stored(database, arg) } else { arg.into() };
    is_key.contains(&true).then(|| KeptArgs::of(args.iter().zip(&is_key).map(named)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;

    #[test]
    fn keys_and_nothing_else_are_called_otherwise_in_another_database() {
        let translated = |database: u8, words: &[&str]| {
            let kept = KeptArgs::of(words.iter());
            let command = table::find(kept.args()).expect("a command");
            let words = in_store(database, command, kept.args());
            words.map(|it| it.args().iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect::<Vec<_>>())
        };
        assert_eq!(translated(0, &["GET", "a"]), None);
        assert_eq!(translated(3, &["PING", "a"]), None);
        assert_eq!(translated(0, &["PING", "\0a"]), None);
        let cases: [(u8, &[&str], &[&str]); 4] = [
            (3, &["MSET", "a", "b", "c", "d"], &["MSET", "\0\x03a", "b", "\0\x03c", "d"]),
            (0, &["SET", "\0a", "\0b"], &["SET", "\0\0\0a", "\0b"]),
            (1, &["XREAD", "STREAMS", "a", "0"], &["XREAD", "STREAMS", "\0\x01a", "0"]),
            (1, &["ZUNION", "1", "a", "WITHSCORES"], &["ZUNION", "1", "\0\x01a", "WITHSCORES"]),
        ];
        for (database, words, expected) in cases {
            assert_eq!(translated(database, words).expect("it has keys"), expected, "{words:?}");
        }
    }
}
