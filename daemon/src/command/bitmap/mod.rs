//! Bitmaps: strings, seen bit by bit, the highest bit of each byte first.
//!
//! Between replicas a bitmap is the string that it is: who changes a bit assigns the whole. So a write costs what the string
//! is long, here and on the wire, and of two concurrent ones the later stays.

mod bit;
mod field;
mod operation;

use super::arguments::{Argument, KEY, block, integer, one_of, string, word};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{Categories, DENYOOM, FAST, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{ALL_BUT_ONE, ONE_KEY};
use super::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("bitmap", name, arity, flags, handler).also(Categories::BITMAP).at(ONE_KEY)
}

const UNIT: Argument = one_of("unit", &[word("BYTE"), word("BIT")]).optional();
const PLACE: &[Argument] = &[string("encoding"), integer("offset")];
const GET: Argument = block("get", PLACE).behind("GET");
const WRITE_KIND: &[Argument] = &[
    block("set", &[string("encoding"), integer("offset"), integer("value")]).behind("SET"),
    block("increment", &[string("encoding"), integer("offset"), integer("increment")]).behind("INCRBY"),
];
const OVERFLOW: Argument = one_of("overflow", &[word("WRAP"), word("SAT"), word("FAIL")]).behind("OVERFLOW").optional();
const CHANGE: Argument = block("write", &[OVERFLOW, one_of("write-operation", WRITE_KIND)]);

pub(super) const COMMANDS: &[Command] = &[
    command("getbit", 3, READONLY.and(FAST), bit::getbit)
        .about("2.2.0", "O(1)", "Reads a bit of a string.")
        .takes(&[KEY, integer("offset")]),
    command("setbit", 4, WRITE.and(DENYOOM), bit::setbit)
        .about("2.2.0", "O(N), N the bytes of the string", "Sets or clears a bit of a string.")
        .takes(&[KEY, integer("offset"), integer("value")]),
    command("bitcount", -2, READONLY, bit::bitcount)
        .about("2.6.0", "O(N), N the bytes counted", "Counts the bits that are set in a string.")
        .changed(&[("7.0.0", "Added BYTE and BIT.")])
        .takes(&[KEY, block("range", &[integer("start"), integer("end"), UNIT]).optional()]),
    command("bitpos", -3, READONLY, bit::bitpos)
        .about("2.8.7", "O(N), N the bytes looked at", "Finds the first bit that is set, or clear, in a string.")
        .changed(&[("7.0.0", "Added BYTE and BIT.")])
        .takes(&[
            KEY,
            integer("bit"),
            block("range", &[integer("start"), block("end-unit", &[integer("end"), UNIT]).optional()]).optional(),
        ]),
    command("bitop", -4, WRITE.and(DENYOOM), operation::bitop)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("2.6.0", "O(N), N the bytes of all strings", "Stores what strings amount to bit by bit.")
        .at(ALL_BUT_ONE)
        .takes(&[
            one_of("operation", &[word("AND"), word("OR"), word("XOR"), word("NOT")]),
            KEY.called("destkey"),
            KEY.multiple(),
        ]),
    command("bitfield", -2, WRITE.and(DENYOOM), field::bitfield)
        .using_by(|args| if field::only_reads(args) { &[KeyUse::READS] } else { &[KeyUse::CHANGES] })
        .about(
            "3.2.0",
            "O(N), N the bytes of the string; without writes O(1) a field",
            "Reads and writes integers of any width in a string.",
        )
        .takes(&[KEY, one_of("operation", &[GET, CHANGE]).optional().multiple()]),
    command("bitfield_ro", -2, READONLY.and(FAST), field::bitfield_ro)
        .about("6.0.0", "O(1) a field", "Reads integers of any width in a string.")
        .takes(&[KEY, GET.optional().multiple()]),
];

/// Redis's strings have no more bytes.
const STRING_BYTES_MAX: u64 = 512 << 20;

/// Which bit an argument says, of fields of so many bits each where `#` stands in front.
fn offset_arg(arg: &[u8], field_bits: Option<u64>) -> Result<u64, CommandError> {
    let (digits, unit) = match (field_bits, arg) {
        (Some(bits), [b'#', rest @ ..]) => (rest, bits),
        _ => (arg, 1),
    };
    let offset = crate::resp::integer(digits).and_then(|offset| u64::try_from(offset).ok());
    let offset = offset.and_then(|offset| offset.checked_mul(unit)).filter(|offset| offset / 8 < STRING_BYTES_MAX);
    offset.ok_or(CommandError::text("ERR bit offset is not an integer or out of range"))
}

/// The string at a key, to be changed.
fn copied(ctx: &Context<'_>, key: &[u8]) -> Result<Vec<u8>, CommandError> {
    Ok(ctx.current(key, Class::Text)?.and_then(|view| view.text().map(Vec::from)).unwrap_or_default())
}

/// Makes the string at `key` as long as to hold bit `last`, if it is shorter, and what `change` makes of it. If that is what
/// it was, nothing is written.
fn change<R>(
    ctx: &mut Context<'_>,
    key: &[u8],
    last: u64,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Result<R, CommandError> {
    let before = copied(ctx, key)?;
    let len = usize::try_from(last / 8 + 1).unwrap_or(usize::MAX).max(before.len());
    // Before there is so much of it.
    ctx.write(0, |writer| writer.admit(key, b"", len))?;
    let mut after = before.clone();
    after.resize(len, 0);
    let result = change(&mut after);
    if after != before {
        ctx.write(key.len() + len, |writer| writer.set_keeping(key, &after))?;
    }
    Ok(result)
}

fn bit_of(text: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|byte| text.get(byte));
    byte.is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

fn set_bit(text: &mut [u8], at: u64, on: bool) {
    let Some(byte) = usize::try_from(at / 8).ok().and_then(|byte| text.get_mut(byte)) else { return };
    let mask = 1 << (7 - at % 8);
    *byte = if on { *byte | mask } else { *byte & !mask };
}
