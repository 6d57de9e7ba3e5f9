//! All commands, found by name.
//!
//! Each family lists its commands beside their code; here the lists become one table when the program is compiled.
//! Names, arities, flags, positions of keys and groups are those of Redis 7, because clients route and check by them; a
//! test compares them with a running Redis.

use super::contract::Command;
use super::error::CommandError;
use super::{
    acl, bitmap, cahoots, connection, generic, geo, hash, hll, list, presence, pubsub, script, server, set, stream,
    string, transaction, vote, zset,
};
use crate::resp::Args;

/// Commands that belong together, in a page of documentation of their own.
#[derive(Debug)]
pub struct Family {
    /// What it is called.
    pub name: &'static str,
    /// Its commands, subcommands inside.
    pub commands: &'static [Command],
}

const fn family(name: &'static str, commands: &'static [Command]) -> Family {
    Family { name, commands }
}

/// Every family. A new one is a line here.
pub const FAMILIES: &[Family] = &[
    family("connection", connection::COMMANDS),
    family("server", server::COMMANDS),
    family("acl", acl::COMMANDS),
    family("generic", generic::COMMANDS),
    family("string", string::COMMANDS),
    family("set", set::COMMANDS),
    family("hash", hash::COMMANDS),
    family("list", list::COMMANDS),
    family("zset", zset::COMMANDS),
    family("stream", stream::COMMANDS),
    family("bitmap", bitmap::COMMANDS),
    family("geo", geo::COMMANDS),
    family("hyperloglog", hll::COMMANDS),
    family("transactions", transaction::COMMANDS),
    family("scripting", script::COMMANDS),
    family("pubsub", pubsub::COMMANDS),
    family("vote", vote::COMMANDS),
    family("presence", presence::COMMANDS),
    family("cahoots", cahoots::COMMANDS),
];

/// Every command, subcommands inside their containers.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.commands)
}

/// How many commands there are, subcommands not counted.
pub const COUNT: usize = {
    let (mut count, mut at) = (0, 0);
    while at < FAMILIES.len() {
        count += FAMILIES[at].commands.len();
        at += 1;
    }
    count
};

/// How many commands there are, subcommands counted: each has a number below that.
pub const NUMBERS: usize = {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let commands = FAMILIES[family].commands;
        let mut at = 0;
        while at < commands.len() {
            count += 1 + commands[at].subcommands.len();
            at += 1;
        }
        family += 1;
    }
    count
};

/// The longest name there can be: names are compared as three words, the length among them. A longer one does not
/// compile.
const NAME_BYTES_MAX: usize = 23;
/// Slots of the table: at least four times the number of commands, so most are found at the first look, and a multiplier by
/// which all are found soon is found soon, too.
const SLOTS: usize = (4 * COUNT).next_power_of_two();
/// Looks that the unluckiest command takes at most.
const LOOKS_MAX: usize = 4;

/// A name in lower case as numbers, its length in the highest byte.
type Folded = [u64; 3];

/// A place in the table. A search that meets an empty one ends there.
#[derive(Clone, Copy)]
struct Slot {
    name: Folded,
    command: Option<&'static Command>,
    /// The number of the command; those of its subcommands follow.
    number: u32,
}

static TABLE: [Slot; SLOTS] = table_by(MULTIPLIER).expect("the multiplier was chosen so");

/// The first multiplier by which every command is found soon enough.
const MULTIPLIER: u64 = {
    let mut multiplier: u64 = 0x9E37_79B9_7F4A_7C15;
    while table_by(multiplier).is_none() {
        multiplier = multiplier.wrapping_add(2);
    }
    multiplier
};

/// The table whose slots are chosen by this multiplier, unless some command is found late in it.
const fn table_by(multiplier: u64) -> Option<[Slot; SLOTS]> {
    let mut table = [Slot { name: [0; 3], command: None, number: 0 }; SLOTS];
    let (mut family, mut number) = (0, 0);
    while family < FAMILIES.len() {
        let commands = FAMILIES[family].commands;
        let mut at = 0;
        while at < commands.len() {
            let name = commands[at].name.as_bytes();
            assert!(name.len() <= NAME_BYTES_MAX, "a command's name is longer than names can be");
            let folded = fold(name);
            let (mut slot, mut looks) = (slot_of(folded, multiplier), 1);
            while table[slot].command.is_some() {
                assert!(!same(table[slot].name, folded), "two commands have one name");
                slot = (slot + 1) % SLOTS;
                looks += 1;
            }
            if looks > LOOKS_MAX {
                return None;
            }
            table[slot] = Slot { name: folded, command: Some(&commands[at]), number };
            #[expect(clippy::cast_possible_truncation, reason = "there are few commands")]
            let all = 1 + commands[at].subcommands.len() as u32;
            number += all;
            at += 1;
        }
        family += 1;
    }
    Some(table)
}

/// The command of that name, in any case.
pub(super) fn by_name(name: &[u8]) -> Option<&'static Command> {
    slot(name).map(|(command, _)| command)
}

/// The same with its number.
fn slot(name: &[u8]) -> Option<(&'static Command, usize)> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let folded = fold(name);
    let mut at = slot_of(folded, MULTIPLIER);
    loop {
        let slot = &TABLE[at];
        if slot.name == folded || slot.command.is_none() {
            return slot.command.map(|command| (command, slot.number as usize));
        }
        at = (at + 1) % SLOTS;
    }
}

/// The number of a command, or of a subcommand.
pub(super) fn number(command: &Command) -> Option<usize> {
    let (container, subcommand) = command.name.split_once('|').map_or((command.name, None), |(it, of)| (it, Some(of)));
    let (container, number) = slot(container.as_bytes())?;
    let Some(name) = subcommand else { return Some(number) };
    Some(number + 1 + subcommand_at(container, name.as_bytes())?)
}

/// A name of at most [`NAME_BYTES_MAX`] bytes as numbers, whatever its case.
const fn fold(name: &[u8]) -> Folded {
    // The length tells `get` from `get\0`.
    let length = (name.len() as u64) << 56;
    let (low, rest) = name.split_at(if name.len() < 8 { name.len() } else { 8 });
    if rest.is_empty() {
        return [word(low), 0, length];
    }
    let (middle, high) = rest.split_at(if rest.len() < 8 { rest.len() } else { 8 });
    [word(low), word(middle), word(high) | length]
}

/// At most eight bytes as a number. Shifted together byte by byte: reading at once what was just written byte by byte would
/// have to wait for it.
const fn word(part: &[u8]) -> u64 {
    let mut word = 0;
    let mut at = part.len();
    while at > 0 {
        at -= 1;
        word = word << 8 | part[at].to_ascii_lowercase() as u64;
    }
    word
}

/// Multiplicative hashing: the high bits of a product depend on all bits of the name.
const fn slot_of(folded: Folded, multiplier: u64) -> usize {
    let mixed = folded[0] ^ folded[1].rotate_left(29) ^ folded[2].rotate_left(47);
    #[expect(clippy::cast_possible_truncation, reason = "as many bits as number the slots")]
    let slot = (mixed.wrapping_mul(multiplier) >> (64 - SLOTS.trailing_zeros())) as usize;
    slot
}

const fn same(a: Folded, b: Folded) -> bool {
    a[0] == b[0] && a[1] == b[1] && a[2] == b[2]
}

/// The command or subcommand that `args` names, if it takes so many arguments.
#[inline]
pub(crate) fn find(args: Args<'_>) -> Result<&'static Command, CommandError> {
    find_numbered(args).map(|(command, _)| command)
}

/// The same with its number.
#[inline]
pub(super) fn find_numbered(args: Args<'_>) -> Result<(&'static Command, usize), CommandError> {
    let (command, number) = slot(&args[0]).ok_or_else(|| unknown(args))?;
    check_arity(command, args)?;
    match args.get(1) {
        Some(name) if !command.subcommands.is_empty() => {
            let at = subcommand_at(command, name).ok_or_else(|| unknown_subcommand(command, name))?;
            let subcommand = &command.subcommands[at];
            check_arity(subcommand, args)?;
            Ok((subcommand, number + 1 + at))
        }
        _ => Ok((command, number)),
    }
}

/// The number of the command that `args` would name, took it so many arguments.
#[cold]
pub(super) fn number_meant(args: Args<'_>) -> Option<usize> {
    let (command, number) = slot(&args[0])?;
    let at = args.get(1).filter(|_| !command.subcommands.is_empty()).map(|name| subcommand_at(command, name));
    at.map_or(Some(number), |at| at.map(|at| number + 1 + at))
}

/// Finds `name`, or `container|name`, in any case.
pub(crate) fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    match memchr::memchr(b'|', name) {
        None => by_name(name),
        Some(bar) => {
            let container = by_name(&name[..bar])?;
            subcommand_at(container, &name[bar + 1..]).map(|at| &container.subcommands[at])
        }
    }
}

/// Whether this first word is what a browser would send when tricked into posting to a local port: such a connection
/// is cut before anything further on it is taken for a command.
pub(super) fn is_foreign_protocol(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

fn check_arity(command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
    let (arity, given) = (usize::from(command.arity.unsigned_abs()), args.len());
    if given == arity || (command.arity < 0 && given > arity) {
        Ok(())
    } else {
        Err(CommandError::Arity(command.name.into()))
    }
}

fn subcommand_at(container: &Command, name: &[u8]) -> Option<usize> {
    let prefix = container.name.len() + 1;
    container.subcommands.iter().position(|command| command.name.as_bytes()[prefix..].eq_ignore_ascii_case(name))
}

/// Bytes of a client's own words quoted back to it.
const QUOTED_BYTES_MAX: usize = 128;

#[cold]
fn unknown(args: Args<'_>) -> CommandError {
    let mut quoted = String::new();
    for arg in args.from(1).iter() {
        if quoted.len() >= QUOTED_BYTES_MAX {
            break;
        }
        quoted = format!("{quoted}'{}' ", excerpt(arg, QUOTED_BYTES_MAX - quoted.len()));
    }
    let name = excerpt(&args[0], QUOTED_BYTES_MAX);
    CommandError::Other(format!("ERR unknown command '{name}', with args beginning with: {quoted}").into())
}

#[cold]
fn unknown_subcommand(container: &Command, name: &[u8]) -> CommandError {
    let name = excerpt(name, QUOTED_BYTES_MAX);
    let container = container.name.to_ascii_uppercase();
    CommandError::Other(format!("ERR unknown subcommand '{name}'. Try {container} HELP.").into())
}

/// The beginning of a client's words. Redis quotes up to the first NUL, as C does.
fn excerpt(words: &[u8], bytes_max: usize) -> std::borrow::Cow<'_, str> {
    let end = memchr::memchr(0, words).unwrap_or(words.len()).min(bytes_max);
    String::from_utf8_lossy(&words[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::arguments::{Argument, Kind};

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for command in commands() {
            let found = by_name(command.name.to_ascii_uppercase().as_bytes()).expect(command.name);
            assert_eq!(found.name, command.name);
            assert!(by_name(format!("{}\0", command.name).as_bytes()).is_none(), "{}", command.name);
            for subcommand in command.subcommands {
                assert_eq!(by_full_name(subcommand.name.as_bytes()).expect(subcommand.name).name, subcommand.name);
            }
        }
        for name in ["", "g", "gett", "get ", "georadiusbymembers", "a-name-longer-than-any-command-has"] {
            assert!(by_name(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn every_command_has_a_number_of_its_own() {
        let all = commands().flat_map(|command| std::iter::once(command).chain(command.subcommands));
        assert!(all.map(number).eq((0..NUMBERS).map(Some)));
    }

    #[test]
    fn names_of_up_to_23_bytes_differ_in_whichever_byte_they_differ() {
        for length in 1..=NAME_BYTES_MAX {
            let name = vec![b'a'; length];
            for at in 0..length {
                let mut other = name.clone();
                other[at] = b'b';
                assert_ne!(fold(&name), fold(&other), "byte {at} of {length}");
            }
            assert_eq!(fold(&name), fold(&name.to_ascii_uppercase()));
        }
        assert_ne!(fold(b"georadiusbymember"), fold(b"georadiusbymembes"));
    }

    /// Whether there may be more or less of it.
    fn is_open(argument: &Argument) -> bool {
        let parts = if let Kind::Block(parts) = argument.kind { parts } else { &[] };
        argument.optional || argument.multiple || parts.iter().any(is_open)
    }

    #[test]
    fn a_command_is_told_whole() {
        for command in commands().flat_map(|command| std::iter::once(command).chain(command.subcommands)) {
            let &Command { name, since, complexity, summary, group, .. } = command;
            assert!(![since, complexity, summary, group].iter().any(|it| it.is_empty()), "{name} lacks something");
            assert!(command.handler.is_some() || !command.subcommands.is_empty(), "{name} does nothing");
            let least = usize::from(command.arity.unsigned_abs());
            let words = 1 + usize::from(name.contains('|'));
            if command.subcommands.is_empty() {
                let needed = command.arguments.iter().filter(|argument| !argument.optional).count();
                assert!(words + needed <= least, "{name} takes at least {least}, and lists {needed} arguments");
                let open = command.arguments.iter().any(is_open);
                // Redis takes arguments of QUIT, and documents none.
                let open = open || name == "quit";
                assert_eq!(command.arity < 0, open, "{name}: its arity and its arguments say different things");
            }
        }
    }
}
