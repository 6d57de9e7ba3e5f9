//! Between replies and Lua's values, by Redis's rules
//! (<https://redis.io/docs/latest/develop/interact/programmability/lua-api/#data-type-conversion>).

use mlua::{IntoLua, Lua, LuaString, Table, Value};

use super::MEMORY_BYTES_MAX;
use super::bounds::Bounds;
use super::library::{number, truncated, until_zero};
use crate::resp::{Protocol, Reply};

/// Tables in tables that a script may return: what refers to itself has no end.
const NESTING_MAX: usize = 1_000;

/// What `redis.call` returns for a reply: one that this daemon wrote, so it is whole.
pub(super) fn to_lua(lua: &Lua, reply: &[u8]) -> mlua::Result<Value> {
    Reading { lua, rest: reply }.value()
}

struct Reading<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Reading<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).expect("a reply ends its lines");
        self.bytes(end)
    }

    /// So many bytes, and the end of the line behind them.
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = &rest[2..];
        bytes
    }

    fn text(&self, bytes: &[u8]) -> mlua::Result<Value> {
        self.lua.create_string(bytes)?.into_lua(self.lua)
    }

    /// A table with one field.
    fn marked(&self, mark: &str, value: Value) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(mark, value)?;
        Ok(Value::Table(table))
    }

    fn value(&mut self) -> mlua::Result<Value> {
        let (kind, line) = self.line().split_first().expect("a line says what follows");
        let integer = || crate::resp::integer(line).expect("a number");
        let length = || usize::try_from(integer()).expect("a length");
        match kind {
            b'+' => self.marked("ok", self.text(line)?),
            b'-' => self.marked("err", self.text(line)?),
            b':' => Ok(Value::Number(integer() as f64)),
            b'$' | b'*' if line == b"-1" => Ok(Value::Boolean(false)),
            b'$' => {
                let bulk = self.bytes(length());
                self.text(bulk)
            }
            b'*' => {
                let table = self.lua.create_table_with_capacity(length(), 0)?;
                (1..=length()).try_for_each(|at| table.raw_set(at, self.value()?))?;
                Ok(Value::Table(table))
            }
            b'_' => Ok(Value::Nil),
            b'#' => Ok(Value::Boolean(line == b"t")),
            b',' => {
                let double = std::str::from_utf8(line).ok().and_then(|it| it.parse().ok()).expect("a double");
                self.marked("double", Value::Number(double))
            }
            b'(' => self.marked("big_number", self.text(line)?),
            b'=' => {
                let (format, text) = self.bytes(length()).split_at(4);
                let table = self.lua.create_table()?;
                table.raw_set("format", self.text(&format[..3])?)?;
                table.raw_set("string", self.text(text)?)?;
                self.marked("verbatim_string", Value::Table(table))
            }
            b'%' => {
                let map = self.lua.create_table_with_capacity(0, length())?;
                for _ in 0..length() {
                    let (key, value) = (self.value()?, self.value()?);
                    map.raw_set(key, value)?;
                }
                self.marked("map", Value::Table(map))
            }
            b'~' => {
                let set = self.lua.create_table_with_capacity(0, length())?;
                (0..length()).try_for_each(|_| set.raw_set(self.value()?, true))?;
                self.marked("set", Value::Table(set))
            }
            other => unreachable!("no command replies with {:?}", char::from(*other)),
        }
    }
}

/// Answers with what a script returned.
///
/// # Errors
/// It is too much, or there is no time left for it; then nothing is answered.
pub(super) fn from_lua(value: &Value, bounds: &Bounds, reply: &mut Reply<'_>) -> mlua::Result<()> {
    let start = reply.len();
    let result = Writing { bounds, wanted: bounds.protocol(), start, reply }.value(value, 0);
    if result.is_err() {
        reply.truncate(start);
    }
    result
}

struct Writing<'r, 'a> {
    bounds: &'r Bounds,
    /// The protocol that the script asked for: it decides about booleans.
    wanted: Protocol,
    start: usize,
    reply: &'r mut Reply<'a>,
}

impl Writing<'_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        if depth > NESTING_MAX {
            self.reply.error("ERR reached lua stack limit");
            return Ok(());
        }
        if !self.bounds.has_time() || self.reply.len() - self.start > MEMORY_BYTES_MAX {
            return Err(mlua::Error::RuntimeError("the reply of the script is too long".to_owned()));
        }
        match value {
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Boolean(value) if self.wanted == Protocol::Resp3 => self.reply.boolean(*value),
            Value::Boolean(true) => self.reply.integer(1),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => match number(other) {
                Some(number) => self.reply.integer(truncated(number)),
                None => self.reply.null(),
            },
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let field = |name| table.raw_get::<Value>(name);
        if let Value::String(error) = field("err")? {
            self.reply.error_bytes(until_zero(&error.as_bytes()));
        } else if let Value::String(word) = field("ok")? {
            self.reply.status(until_zero(&word.as_bytes()));
        } else if let Some(double) = number(&field("double")?) {
            self.reply.double(double);
        } else if let Value::Table(map) = field("map")? {
            self.entries(
                &map,
                |reply, count| reply.map(count),
                |writing, key, value| {
                    writing.value(key, depth)?;
                    writing.value(value, depth)
                },
            )?;
        } else if let Value::Table(set) = field("set")? {
            self.entries(&set, |reply, count| reply.set(count), |writing, key, _| writing.value(key, depth))?;
        } else if let Value::String(number) = field("big_number")? {
            self.reply.spelled_big_number(&number.as_bytes());
        } else if let Some((format, text)) = verbatim(&field("verbatim_string")?)? {
            self.reply.verbatim_of(format, &text.as_bytes());
        } else {
            let start = self.reply.len();
            let mut count = 0;
            loop {
                let value: Value = table.raw_get(count + 1)?;
                if value.is_nil() {
                    break;
                }
                self.value(&value, depth)?;
                count += 1;
            }
            self.reply.in_front(start, |reply| reply.array(count));
        }
        Ok(())
    }

    /// What is in a table, behind a head that counts it.
    fn entries(
        &mut self,
        table: &Table,
        head: fn(&mut Reply<'_>, usize),
        mut write: impl FnMut(&mut Self, &Value, &Value) -> mlua::Result<()>,
    ) -> mlua::Result<()> {
        let (start, mut count) = (self.reply.len(), 0);
        for pair in table.pairs() {
            let (key, value) = pair?;
            write(self, &key, &value)?;
            count += 1;
        }
        self.reply.in_front(start, |reply| head(reply, count));
        Ok(())
    }
}

/// The format and the text of a verbatim string, if it is one.
fn verbatim(value: &Value) -> mlua::Result<Option<([u8; 3], LuaString)>> {
    let Value::Table(table) = value else { return Ok(None) };
    let (format, text): (Value, Value) = (table.raw_get("format")?, table.raw_get("string")?);
    let (Value::String(format), Value::String(text)) = (format, text) else { return Ok(None) };
    // As Redis does: of a longer name the beginning, a shorter one is filled up.
    let mut name = *b"   ";
    format.as_bytes().iter().zip(&mut name).for_each(|(byte, place)| *place = *byte);
    Ok(Some((name, text)))
}
