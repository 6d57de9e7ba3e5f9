//! `bit`: operations on numbers as 32 bits, after Lua BitOp (<https://bitop.luajit.org/semantics.html>).

use mlua::{Lua, Table};

use super::library::{Answer, ArgumentError, Arguments, function, one, text};

/// A number as 32 bits, modulo 2^32 and rounded: adding this leaves an integer in the lowest bits of a double.
const INTEGRAL: f64 = 6_755_399_441_055_744.0;

fn arg(lua: &Lua, args: &Arguments, at: usize, name: &str) -> Result<u32, ArgumentError> {
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
    args.number(lua, at, name).map(|number| (number + INTEGRAL).to_bits() as u32)
}

/// Results are signed.
fn signed(lua: &Lua, value: u32) -> Answer {
    one(lua, f64::from(value.cast_signed()))
}

fn fold(lua: &Lua, args: &Arguments, name: &str, with: fn(u32, u32) -> u32) -> Answer {
    let first = arg(lua, args, 0, name)?;
    let all = (1..args.len()).try_fold(first, |all, at| Ok::<_, String>(with(all, arg(lua, args, at, name)?)));
    signed(lua, all?)
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    type Unary = fn(u32) -> u32;
    type Binary = fn(u32, u32) -> u32;
    let table = lua.create_table()?;
    let unary: [(&'static str, Unary); 3] = [("tobit", |x| x), ("bnot", |x| !x), ("bswap", u32::swap_bytes)];
    for (name, with) in unary {
        table.set(name, function(lua, move |lua, args| signed(lua, with(arg(lua, &args, 0, name)?)))?)?;
    }
    let all: [(&'static str, Binary); 3] = [("band", |x, y| x & y), ("bor", |x, y| x | y), ("bxor", |x, y| x ^ y)];
    for (name, with) in all {
        table.set(name, function(lua, move |lua, args| fold(lua, &args, name, with))?)?;
    }
    // Of how far only the lowest five bits count.
    let shifts: [(&'static str, Binary); 5] = [
        ("lshift", |x, n| x << (n & 31)),
        ("rshift", |x, n| x >> (n & 31)),
        ("arshift", |x, n| (x.cast_signed() >> (n & 31)).cast_unsigned()),
        ("rol", |x, n| x.rotate_left(n & 31)),
        ("ror", |x, n| x.rotate_right(n & 31)),
    ];
    for (name, with) in shifts {
        let shift =
            move |lua: &Lua, args: Arguments| signed(lua, with(arg(lua, &args, 0, name)?, arg(lua, &args, 1, name)?));
        table.set(name, function(lua, shift)?)?;
    }
    table.set("tohex", function(lua, |lua, args| hexadecimal(lua, &args))?)?;
    Ok(table)
}

/// As many of the lowest digits as asked for, in capitals if that is negative.
fn hexadecimal(lua: &Lua, args: &Arguments) -> Answer {
    let value = arg(lua, args, 0, "tohex")?;
    let digits = if args.len() > 1 { arg(lua, args, 1, "tohex")?.cast_signed() } else { 8 };
    let count = digits.unsigned_abs().min(8) as usize;
    let all = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    text(lua, &all.as_bytes()[8 - count..])
}
