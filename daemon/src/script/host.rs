//! What the sandbox is built from: libraries, and the few functions that it cannot have of Lua.

use std::sync::{Arc, Mutex, PoisonError};

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::bounds::Bounds;
use super::interpreter::SANDBOX;
use super::library::{Answer, Arguments, function, plain, text};
use super::random::Random;
use super::{MEMORY_BYTES_MAX, bits, json, msgpack, pack, redis};

/// Bytes of a pattern: matching takes of the stack for each of its items.
const PATTERN_BYTES_MAX: usize = 4096;

/// A table of all of it.
pub(super) fn host(lua: &Lua, bounds: &Arc<Bounds>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("bit", bits::library(lua)?)?;
    host.set("struct", pack::library(lua)?)?;
    host.set("cjson", json::library(lua, bounds)?)?;
    host.set("cmsgpack", msgpack::library(lua, bounds)?)?;
    host.set("redis", redis::library(lua, bounds)?)?;
    host.set("math", random_numbers(lua)?)?;
    host.set("string", matching(lua)?)?;
    host.set("pattern_bytes_max", PATTERN_BYTES_MAX)?;
    let its = Arc::clone(bounds);
    host.set("insist", lua.create_function(move |lua, ()| its.insist(lua))?)?;
    host.set("plain", lua.create_function(plain)?)?;
    host.set("position", lua.create_function(|lua, ()| Ok(position(lua)))?)?;
    Ok(host)
}

fn random_numbers(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let state = Arc::new(Mutex::new(Random::default()));
    let its = Arc::clone(&state);
    let random =
        move |lua: &Lua, args: Arguments| its.lock().unwrap_or_else(PoisonError::into_inner).answer(lua, &args);
    table.set("random", function(lua, random)?)?;
    let seed = move |lua: &Lua, args: Arguments| {
        let seed = args.integer(lua, 0, "randomseed")?;
        *state.lock().unwrap_or_else(PoisonError::into_inner) = Random::seeded(seed);
        Ok(MultiValue::new())
    };
    table.set("randomseed", function(lua, seed)?)?;
    Ok(table)
}

/// The functions of Lua that match patterns, for patterns of bounded length. A text to find that is plain may have any.
fn matching(lua: &Lua) -> mlua::Result<Table> {
    let (table, strings) = (lua.create_table()?, lua.globals().get::<Table>("string")?);
    for name in ["find", "match", "gmatch", "gfind", "gsub"] {
        let native: Function = strings.get(name)?;
        let bounded = move |_: &Lua, args: Arguments| {
            let is_plain = name == "find" && !matches!(args.get(3), Value::Nil | Value::Boolean(false));
            match args.get(1) {
                Value::String(pattern) if !is_plain && pattern.as_bytes().len() > PATTERN_BYTES_MAX => {
                    Err(format!("a pattern has {PATTERN_BYTES_MAX} bytes at most"))
                }
                _ => native.call(args.all()).map_err(|error| {
                    // The function of Lua does not know what it is called here, and would say it of a sandbox.
                    let words = match error {
                        mlua::Error::RuntimeError(words) => words,
                        other => super::words_of(&other),
                    };
                    let words = words.split("\nstack traceback").next().unwrap_or_default();
                    words.replacen("'?'", &format!("'{name}'"), 1)
                }),
            }
        };
        table.set(name, function(lua, bounded)?)?;
    }
    table.set("rep", function(lua, |lua, args| repeated(lua, &args))?)?;
    Ok(table)
}

/// `string.rep`, which in Lua is long about finding out that there is too little memory.
fn repeated(lua: &Lua, args: &Arguments) -> Answer {
    let (bytes, count) = (args.text(lua, 0, "rep")?, args.integer(lua, 1, "rep")?);
    let (bytes, count) = (bytes.as_bytes(), usize::try_from(count).unwrap_or(0));
    if bytes.len().saturating_mul(count) > MEMORY_BYTES_MAX {
        return Err("not enough memory".to_owned());
    }
    text(lua, &bytes.repeat(count))
}

/// Where the script calls what runs, as Lua writes it in front of a message: nothing if it does not call it itself.
pub(super) fn place(lua: &Lua) -> String {
    let caller = |level| {
        lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let line = frame.current_line()?;
            let place = format!("{}:{line}: ", source.short_src?);
            Some((place, source.source.is_some_and(|name| name == SANDBOX)))
        })
        .flatten()
    };
    // What the sandbox calls in a function of its own, it calls for the script.
    let of_script = match caller(1) {
        Some((_, true)) => caller(2),
        found => found,
    };
    of_script.map(|(place, _)| place).unwrap_or_default()
}

/// Where the innermost code of the script is: its source and line.
fn position(lua: &Lua) -> (Value, Option<usize>) {
    for level in 1.. {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.map(std::borrow::Cow::into_owned).unwrap_or_default();
            let line = frame.current_line();
            (line.is_some() && name != SANDBOX).then_some((name, line))
        });
        match found {
            None => break,
            Some(Some((name, line))) => {
                let name = lua.create_string(name).map_or(Value::Nil, Value::String);
                return (name, line);
            }
            Some(None) => {}
        }
    }
    (Value::Nil, None)
}
