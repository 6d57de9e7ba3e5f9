//! `cmsgpack`: values as MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>), as the library of Salvatore
//! Sanfilippo has it.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};

use super::MEMORY_BYTES_MAX;
use super::bounds::Bounds;
use super::library::{Answer, ArgumentError, Arguments, RESULTS_MAX, function, number, text, words_of};

/// Tables in tables: what lies deeper is nil.
const PACKED_NESTING_MAX: usize = 16;
/// The same of what is read. Each level takes of the stack.
const READ_NESTING_MAX: usize = 1_000;

const MISSING: &str = "Missing bytes in input.";
const BAD: &str = "Bad data format in input.";

pub(super) fn library(lua: &Lua, bounds: &Arc<Bounds>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let held_to = Arc::clone(bounds);
    table.set("pack", function(lua, move |lua, args| pack(lua, &args, &held_to))?)?;
    table.set("unpack", function(lua, |lua, args| read(lua, &args, 0, 0, "unpack"))?)?;
    let one = |lua: &Lua, args: Arguments| {
        let offset = if args.has(1) { args.integer(lua, 1, "unpack_one")? } else { 0 };
        read(lua, &args, 1, offset, "unpack_one")
    };
    table.set("unpack_one", function(lua, one)?)?;
    let some = |lua: &Lua, args: Arguments| {
        let limit = args.integer(lua, 1, "unpack_limit")?;
        let offset = if args.has(2) { args.integer(lua, 2, "unpack_limit")? } else { 0 };
        read(lua, &args, limit, offset, "unpack_limit")
    };
    table.set("unpack_limit", function(lua, some)?)?;
    for (name, value) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        table.set(name, value)?;
    }
    Ok(table)
}

fn pack(lua: &Lua, args: &Arguments, bounds: &Bounds) -> Answer {
    if args.len() == 0 {
        return Err("bad argument #0 to 'pack' (MessagePack pack needs input.)".to_owned());
    }
    let mut writing = Writing { out: Vec::new(), bounds };
    (0..args.len()).try_for_each(|at| writing.value(args.get(at), 0))?;
    text(lua, &writing.out)
}

struct Writing<'b> {
    out: Vec<u8>,
    bounds: &'b Bounds,
}

impl Writing<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), ArgumentError> {
        let out = &mut self.out;
        if !self.bounds.has_time() || out.len() > MEMORY_BYTES_MAX {
            return Err("not enough memory".to_owned());
        }
        match value {
            Value::Boolean(value) => out.push(if *value { 0xC3 } else { 0xC2 }),
            Value::Integer(number) => write_integer(out, *number),
            Value::Number(number) => write_number(out, *number),
            Value::String(text) => {
                let text = text.as_bytes();
                write_head(out, text.len(), (0xA0, 32), Some(0xD9), (0xDA, 0xDB));
                out.extend_from_slice(&text);
            }
            Value::Table(table) if depth < PACKED_NESTING_MAX => self.table(table, depth)?,
            _ => out.push(0xC0),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), ArgumentError> {
        // An array if its keys are 1, 2, 3 and so on.
        let (mut count, mut highest, mut is_array) = (0_usize, 0.0_f64, true);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(words_of)?;
            count += 1;
            match number(&key).filter(|it| *it > 0.0 && it.fract() == 0.0) {
                Some(index) => highest = highest.max(index),
                None => is_array = false,
            }
        }
        if is_array && highest == count as f64 {
            write_head(&mut self.out, count, (0x90, 16), None, (0xDC, 0xDD));
            return (1..=count)
                .try_for_each(|at| self.value(&table.raw_get::<Value>(at).map_err(words_of)?, depth + 1));
        }
        write_head(&mut self.out, count, (0x80, 16), None, (0xDE, 0xDF));
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(words_of)?;
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)?;
        }
        Ok(())
    }
}

/// The head of something of this length: in one byte if it is below `short.1`, else behind a byte that says how long it is
/// itself.
fn write_head(out: &mut Vec<u8>, length: usize, short: (u8, u8), of_one: Option<u8>, (of_two, of_four): (u8, u8)) {
    match (u8::try_from(length), u16::try_from(length), of_one) {
        (Ok(length), ..) if length < short.1 => out.push(short.0 | length),
        (Ok(length), _, Some(head)) => out.extend([head, length]),
        (_, Ok(length), _) => {
            out.push(of_two);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(of_four);
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// In as few bytes as it takes.
fn write_integer(out: &mut Vec<u8>, number: i64) {
    let (head, bytes) = match number {
        -32..=0x7F => (None, 1),
        0x80..=0xFF => (Some(0xCC), 1),
        0x100..=0xFFFF => (Some(0xCD), 2),
        0x1_0000..=0xFFFF_FFFF => (Some(0xCE), 4),
        0x1_0000_0000.. => (Some(0xCF), 8),
        -0x80..=-33 => (Some(0xD0), 1),
        -0x8000..=-0x81 => (Some(0xD1), 2),
        -0x8000_0000..=-0x8001 => (Some(0xD2), 4),
        _ => (Some(0xD3), 8),
    };
    out.extend(head);
    out.extend_from_slice(&number.to_be_bytes()[8 - bytes..]);
}

/// What is no integer of 64 bits: in four bytes if that loses nothing.
fn write_number(out: &mut Vec<u8>, number: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "it is looked at whether that loses something")]
    let short = number as f32;
    if number == 0.0 {
        write_integer(out, 0);
    } else if f64::from(short) == number {
        out.push(0xCA);
        out.extend(short.to_be_bytes());
    } else {
        out.push(0xCB);
        out.extend(number.to_be_bytes());
    }
}

/// Reads up to `limit` values from `offset` on, with an offset to go on from in front, or -1 if that was all; without both,
/// all that there are.
fn read(lua: &Lua, args: &Arguments, limit: i64, offset: i64, name: &str) -> Answer {
    let data = args.text(lua, 0, name)?;
    let data = data.as_bytes();
    let length = data.len();
    let (Ok(values_max), Ok(start)) = (usize::try_from(limit), usize::try_from(offset)) else {
        return Err(format!("Invalid request to unpack with offset of {offset} and limit of {length}."));
    };
    let Some(rest) = data.get(start..) else {
        return Err(format!("Start offset {offset} greater than input length {length}."));
    };
    let is_all = limit == 0 && offset == 0;
    let mut reading = Reading { lua, rest };
    let mut values: Vec<Value> = Vec::new();
    while !reading.rest.is_empty() && (is_all || values.len() < values_max) {
        if values.len() >= RESULTS_MAX {
            return Err("stack overflow (too many values)".to_owned());
        }
        values.push(reading.value(0)?);
    }
    let mut values: MultiValue = values.into_iter().collect();
    if !is_all {
        let next = if reading.rest.is_empty() { -1.0 } else { (length - reading.rest.len()) as f64 };
        values.push_front(Value::Number(next));
    }
    Ok(values)
}

struct Reading<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Reading<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ArgumentError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(MISSING)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArgumentError> {
        Ok(self.bytes(N)?.try_into().expect("as many as asked for"))
    }

    /// A number of so many bytes.
    fn unsigned(&mut self, bytes: usize) -> Result<u64, ArgumentError> {
        Ok(self.bytes(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, ArgumentError> {
        usize::try_from(self.unsigned(bytes)?).map_err(|_| MISSING.to_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, ArgumentError> {
        if depth > READ_NESTING_MAX {
            return Err("stack overflow (too many nested tables)".to_owned());
        }
        let [head] = self.array()?;
        let number = |number: f64| Ok(Value::Number(number));
        match head {
            0x00..=0x7F => number(f64::from(head)),
            0xE0..=0xFF => number(f64::from(head.cast_signed())),
            0xC0 => Ok(Value::Nil),
            0xC2 | 0xC3 => Ok(Value::Boolean(head == 0xC3)),
            0xCA => number(f64::from(f32::from_be_bytes(self.array()?))),
            0xCB => number(f64::from_be_bytes(self.array()?)),
            0xCC..=0xCF => number(self.unsigned(1 << (head - 0xCC))? as f64),
            0xD0 => number(f64::from(i8::from_be_bytes(self.array()?))),
            0xD1 => number(f64::from(i16::from_be_bytes(self.array()?))),
            0xD2 => number(f64::from(i32::from_be_bytes(self.array()?))),
            0xD3 => number(i64::from_be_bytes(self.array()?) as f64),
            0xA0..=0xBF => self.string(usize::from(head & 0x1F)),
            0xD9..=0xDB => {
                let length = self.length(1 << (head - 0xD9))?;
                self.string(length)
            }
            0x90..=0x9F => self.sequence(usize::from(head & 0x0F), depth),
            0xDC | 0xDD => {
                let length = self.length(if head == 0xDC { 2 } else { 4 })?;
                self.sequence(length, depth)
            }
            0x80..=0x8F => self.map(usize::from(head & 0x0F), depth),
            0xDE | 0xDF => {
                let length = self.length(if head == 0xDE { 2 } else { 4 })?;
                self.map(length, depth)
            }
            _ => Err(BAD.to_owned()),
        }
    }

    fn string(&mut self, length: usize) -> Result<Value, ArgumentError> {
        let bytes = self.bytes(length)?;
        Ok(Value::String(self.lua.create_string(bytes).map_err(words_of)?))
    }

    fn sequence(&mut self, length: usize, depth: usize) -> Result<Value, ArgumentError> {
        let table = self.lua.create_table().map_err(words_of)?;
        for at in 1..=length {
            table.raw_set(at, self.value(depth + 1)?).map_err(words_of)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, ArgumentError> {
        let table = self.lua.create_table().map_err(words_of)?;
        for _ in 0..length {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            table.raw_set(key, value).map_err(words_of)?;
        }
        Ok(Value::Table(table))
    }
}
