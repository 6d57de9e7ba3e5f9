//! Lists: each element is at a place of its own, whatever is done to others.
//!
//! What a command answers is of this replica: so are indexes, and which element a pop takes.

mod edit;
mod pop;
mod read;
mod remove;
mod transfer;

use super::arguments::{Argument, KEY, double, integer, one_of, string, word};
use super::contract::{Command, Handler};
use super::error::CommandError;
use super::flags::{BLOCKING, Categories, DENYOOM, FAST, Flags, NOSCRIPT, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{COUNTED, KEYS_AND_LAST, KeySpec, ONE_KEY, SECOND_COUNTED, TWO_KEYS};
use super::options::is;
use cahoots_gossip::store::ListEnd;
use std::ops::Range;

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    over(ONE_KEY, name, arity, flags, handler)
}

/// One that takes other keys than its first argument.
const fn over(keys: &'static [KeySpec], name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("list", name, arity, flags, handler).also(Categories::LIST).at(keys)
}

const FAST_READ: Flags = READONLY.and(FAST);
const FAST_WRITE: Flags = WRITE.and(FAST);
const ADD: Flags = WRITE.and(DENYOOM);
const FAST_ADD: Flags = WRITE.and(DENYOOM).and(FAST);
const WAIT_TO_REMOVE: Flags = WRITE.and(NOSCRIPT).and(BLOCKING);
const WAIT_TO_MOVE: Flags = ADD.and(NOSCRIPT).and(BLOCKING);

const ELEMENT: Argument = string("element");
const ELEMENTS: &[Argument] = &[KEY, ELEMENT.multiple()];
const COUNT: Argument = integer("count").optional();
const NUMKEYS: Argument = integer("numkeys");
const SOME: Argument = integer("count").behind("COUNT").optional();
const BOUNDS: &[Argument] = &[KEY, integer("start"), integer("stop")];
const FROM: Argument = one_of("wherefrom", &[word("LEFT"), word("RIGHT")]);
const TO: Argument = one_of("whereto", &[word("LEFT"), word("RIGHT")]);
const WHERE: Argument = one_of("where", &[word("LEFT"), word("RIGHT")]);
const SOURCE: Argument = KEY.called("source");
const DESTINATION: Argument = KEY.called("destination");
const TIMEOUT: Argument = double("timeout");

const LOG: &str = "O(log(N)), N the elements";
const LOG_EACH: &str = "O(M*log(N)), N the elements, M those given";
const LOG_RETURNED: &str = "O(log(N)+M), N the elements, M those returned";
const LOG_REMOVED: &str = "O(M*log(N)), N the elements, M those removed";
const ALL: &str = "O(N), N the elements";

pub(super) const COMMANDS: &[Command] = &[
    command("lpush", -3, FAST_ADD, edit::lpush)
        .using(&[KeyUse::ADDS])
        .about("1.0.0", LOG_EACH, "Puts elements before the first of a list, and makes the list if there is none.")
        .changed(&[("2.4.0", "Accepts several elements.")])
        .takes(ELEMENTS),
    command("rpush", -3, FAST_ADD, edit::rpush)
        .using(&[KeyUse::ADDS])
        .about("1.0.0", LOG_EACH, "Puts elements behind the last of a list, and makes the list if there is none.")
        .changed(&[("2.4.0", "Accepts several elements.")])
        .takes(ELEMENTS),
    command("lpushx", -3, FAST_ADD, edit::lpushx)
        .using(&[KeyUse::ADDS])
        .about("2.2.0", LOG_EACH, "Puts elements before the first of a list, if there is one.")
        .changed(&[("4.0.0", "Accepts several elements.")])
        .takes(ELEMENTS),
    command("rpushx", -3, FAST_ADD, edit::rpushx)
        .using(&[KeyUse::ADDS])
        .about("2.2.0", LOG_EACH, "Puts elements behind the last of a list, if there is one.")
        .changed(&[("4.0.0", "Accepts several elements.")])
        .takes(ELEMENTS),
    command("lpop", -2, FAST_WRITE, pop::lpop)
        .using(&[KeyUse::TAKES])
        .about("1.0.0", LOG_REMOVED, "Removes the first elements of a list, and returns them.")
        .changed(&[("6.2.0", "Added count.")])
        .takes(&[KEY, COUNT]),
    command("rpop", -2, FAST_WRITE, pop::rpop)
        .using(&[KeyUse::TAKES])
        .about("1.0.0", LOG_REMOVED, "Removes the last elements of a list, and returns them.")
        .changed(&[("6.2.0", "Added count.")])
        .takes(&[KEY, COUNT]),
    command("llen", 2, FAST_READ, read::llen)
        .using(&[KeyUse::EXAMINES])
        .about("1.0.0", "O(1)", "Counts the elements of a list.")
        .takes(&[KEY]),
    command("lrange", 4, READONLY, read::lrange)
        .about("1.0.0", LOG_RETURNED, "Lists the elements within a range of indexes.")
        .takes(BOUNDS),
    command("lindex", 3, READONLY, read::lindex)
        .about("1.0.0", LOG, "Reads the element at an index.")
        .takes(&[KEY, integer("index")]),
    command("lset", 4, ADD, edit::lset)
        .using(&[KeyUse::UPDATES])
        .about("1.0.0", LOG, "Replaces the element at an index.")
        .takes(&[KEY, integer("index"), ELEMENT]),
    command("linsert", 5, ADD, edit::linsert)
        .using(&[KeyUse::ADDS])
        .about("2.2.0", ALL, "Puts an element before or behind the first one of a value.")
        .takes(&[KEY, one_of("where", &[word("BEFORE"), word("AFTER")]), string("pivot"), ELEMENT]),
    command("lrem", 4, WRITE, remove::lrem)
        .using(&[KeyUse::REMOVES])
        .about("1.0.0", "O(N+M*log(N)), N the elements, M those removed", "Removes elements of a value from a list.")
        .takes(&[KEY, integer("count"), ELEMENT]),
    command("ltrim", 4, WRITE, remove::ltrim)
        .using(&[KeyUse::REMOVES])
        .about("1.0.0", LOG_REMOVED, "Removes all elements but those within a range of indexes.")
        .takes(BOUNDS),
    over(TWO_KEYS, "lmove", 5, ADD, transfer::lmove)
        .using(&[KeyUse::TAKES, KeyUse::ADDS])
        .about("6.2.0", LOG, "Takes an element off an end of a list, and puts it at an end of another.")
        .takes(&[SOURCE, DESTINATION, FROM, TO]),
    over(TWO_KEYS, "rpoplpush", 3, ADD, transfer::rpoplpush)
        .using(&[KeyUse::TAKES, KeyUse::ADDS])
        .about("1.2.0", LOG, "Takes the last element off a list, and puts it before the first of another.")
        .takes(&[SOURCE, DESTINATION]),
    command("lpos", -3, READONLY, read::lpos)
        .about("6.0.6", ALL, "Tells at which indexes a value is in a list.")
        .takes(&[
            KEY,
            ELEMENT,
            integer("rank").behind("RANK").optional(),
            integer("num-matches").behind("COUNT").optional(),
            integer("len").behind("MAXLEN").optional(),
        ]),
    over(COUNTED, "lmpop", -4, WRITE, pop::lmpop)
        .using(&[KeyUse::TAKES])
        .about("7.0.0", LOG_REMOVED, "Removes elements from an end of the first of several lists that has any.")
        .takes(&[NUMKEYS, KEY.multiple(), WHERE, SOME]),
    over(KEYS_AND_LAST, "blpop", -3, WAIT_TO_REMOVE, pop::blpop)
        .using(&[KeyUse::TAKES])
        .about(
            "2.0.0",
            LOG,
            "Removes the first element of the first of several lists that has any, as soon as one has.",
        )
        .changed(&[("6.0.0", "Takes fractions of a second.")])
        .takes(&[KEY.multiple(), TIMEOUT]),
    over(KEYS_AND_LAST, "brpop", -3, WAIT_TO_REMOVE, pop::brpop)
        .using(&[KeyUse::TAKES])
        .about("2.0.0", LOG, "Removes the last element of the first of several lists that has any, as soon as one has.")
        .changed(&[("6.0.0", "Takes fractions of a second.")])
        .takes(&[KEY.multiple(), TIMEOUT]),
    over(TWO_KEYS, "blmove", 6, WAIT_TO_MOVE, transfer::blmove)
        .using(&[KeyUse::TAKES, KeyUse::ADDS])
        .about("6.2.0", LOG, "Moves an element from an end of a list to an end of another, as soon as there is one.")
        .takes(&[SOURCE, DESTINATION, FROM, TO, TIMEOUT]),
    over(TWO_KEYS, "brpoplpush", 4, WAIT_TO_MOVE, transfer::brpoplpush)
        .using(&[KeyUse::TAKES, KeyUse::ADDS])
        .about("2.2.0", LOG, "Moves the last element of a list before the first of another, as soon as there is one.")
        .changed(&[("6.0.0", "Takes fractions of a second.")])
        .takes(&[SOURCE, DESTINATION, TIMEOUT]),
    over(SECOND_COUNTED, "blmpop", -5, WRITE.and(BLOCKING), pop::blmpop)
        .using(&[KeyUse::TAKES])
        .about("7.0.0", LOG_REMOVED, "Removes elements from an end of the first list that has any, as soon as one has.")
        .takes(&[TIMEOUT, NUMKEYS, KEY.multiple(), WHERE, SOME]),
];

/// Bytes that an element's position adds to a write, mostly.
const POSITION_BYTES: usize = 19;

/// The elements from the index `start` to `stop`, both included and counted from the end if negative, of `len`.
fn ranks(start: i64, stop: i64, len: usize) -> Range<usize> {
    let from_end = |at: i64| if at < 0 { at.saturating_add_unsigned(len as u64).max(-1) } else { at };
    let start = usize::try_from(from_end(start)).unwrap_or(0);
    let end = usize::try_from(from_end(stop).saturating_add(1)).unwrap_or(0).min(len);
    start.min(end)..end
}

/// The element at an index, counted from the end if negative; one that is there or not.
fn rank(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(index).ok().filter(|rank| *rank < len)
}

fn end_arg(arg: &[u8]) -> Result<ListEnd, CommandError> {
    match arg {
        _ if is(arg, "left") => Ok(ListEnd::Left),
        _ if is(arg, "right") => Ok(ListEnd::Right),
        _ => Err(CommandError::Syntax),
    }
}

/// A number of at least `min`, or the refusal in these words.
fn count_arg(arg: &[u8], min: usize, refusal: &'static str) -> Result<usize, CommandError> {
    let count = crate::resp::integer(arg).and_then(|count| usize::try_from(count).ok());
    count.filter(|count| *count >= min).ok_or(CommandError::text(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_from_either_end() {
        for (start, stop, found) in [
            (0, -1, 0..3),
            (-2, -1, 1..3),
            (1, i64::MAX, 1..3),
            (0, 0, 0..1),
            (-100, 1, 0..2),
            (i64::MIN, i64::MAX, 0..3),
        ] {
            assert_eq!(ranks(start, stop, 3), found, "{start} {stop}");
        }
        for (start, stop) in [(2, 1), (3, 9), (-9, -4), (i64::MAX, i64::MAX), (0, i64::MIN), (5, -1)] {
            assert!(ranks(start, stop, 3).is_empty(), "{start} {stop}");
        }
        let at = |index| rank(index, 3);
        assert_eq!([0, 2, 3, -1, -3, -4].map(at), [Some(0), Some(2), None, Some(2), Some(0), None]);
        assert_eq!([i64::MAX, i64::MIN].map(at), [None, None]);
    }
}
