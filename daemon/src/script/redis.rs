//! `redis`: what scripts have of the server beside its commands. What Redis's replication needs to be told has no effect here:
//! what a script writes reaches every replica, always, as one event.

use std::sync::Arc;

use mlua::{Lua, LuaString, Table, Value};

use super::bounds::Bounds;
use super::library::{Arguments, Raised, number, text_of, until_zero};
use super::{May, digest};
use crate::account::REDIS_VERSION;
use crate::resp::Protocol;

/// Bytes of a line in the log: a script could write any number.
const LOG_LINE_BYTES_MAX: usize = 1024;
/// Levels of the log.
const LEVELS: std::ops::RangeInclusive<f64> = 0.0..=3.0;
/// Where writes may be said to go.
const REPLICATION: std::ops::RangeInclusive<f64> = 0.0..=3.0;

const CONSTANTS: [(&str, u32); 9] = [
    ("LOG_DEBUG", 0),
    ("LOG_VERBOSE", 1),
    ("LOG_NOTICE", 2),
    ("LOG_WARNING", 3),
    ("REPL_NONE", 0),
    ("REPL_AOF", 1),
    ("REPL_SLAVE", 2),
    ("REPL_REPLICA", 2),
    ("REPL_ALL", 3),
];

/// All of it but `call`, `pcall` and `acl_check_cmd`, which each run of a script brings.
pub(super) fn library(lua: &Lua, bounds: &Arc<Bounds>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in CONSTANTS {
        table.set(name, value)?;
    }
    table.set("REDIS_VERSION", REDIS_VERSION)?;
    let number = REDIS_VERSION.split('.').fold(0_u32, |number, part| (number << 8) | part.parse().unwrap_or(0));
    table.set("REDIS_VERSION_NUM", number)?;
    table.set("error_reply", lua.create_function(|lua, args| reply(lua, &args, "err", error_words))?)?;
    table.set("status_reply", lua.create_function(|lua, args| reply(lua, &args, "ok", <[u8]>::to_vec))?)?;
    table.set("sha1hex", lua.create_function(|lua, args| sha1hex(lua, &args))?)?;
    table.set("log", lua.create_function(|lua, args| log(lua, &args))?)?;
    let its = Arc::clone(bounds);
    table.set("setresp", lua.create_function(move |_, args| set_protocol(&its, &args))?)?;
    table.set("set_repl", lua.create_function(|_, args| set_replication(&args))?)?;
    table.set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    table.set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    table.set("debug", lua.create_function(|_, ()| Ok(()))?)?;
    Ok(table)
}

/// Raises an error reply.
fn fail<T>(words: &str) -> mlua::Result<T> {
    Err(Raised::Reply(format!("ERR {words}").into_bytes()).into())
}

/// A table that stands for a reply.
fn reply(lua: &Lua, args: &Arguments, field: &str, words: fn(&[u8]) -> Vec<u8>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    match args.get(0) {
        Value::String(text) if args.len() == 1 => {
            table.raw_set(field, lua.create_string(words(&text.as_bytes()))?)?;
        }
        _ => table.raw_set("err", "ERR wrong number or type of arguments")?,
    }
    Ok(table)
}

/// The first word of an error is its code.
fn error_words(text: &[u8]) -> Vec<u8> {
    let text = until_zero(text);
    let words = text.strip_prefix(b"-").unwrap_or(text);
    if text.contains(&b' ') { words.to_vec() } else { [b"ERR ", words].concat() }
}

fn sha1hex(lua: &Lua, args: &Arguments) -> mlua::Result<String> {
    if args.len() != 1 {
        return fail("wrong number of arguments");
    }
    let text = text_of(lua, args.get(0));
    Ok(digest(text.as_ref().map(LuaString::as_bytes).as_deref().unwrap_or_default()).to_string())
}

/// Writes a line into the log of the daemon, at a level of Redis's.
fn log(lua: &Lua, args: &Arguments) -> mlua::Result<()> {
    if args.len() < 2 {
        return fail("redis.log() requires two arguments or more.");
    }
    let Some(level) = number(args.get(0)) else { return fail("First argument must be a number (log level).") };
    if !LEVELS.contains(&level) {
        return fail("Invalid debug level.");
    }
    let words = args.iter().skip(1).map(|word| text_of(lua, word).map_or_else(String::new, |it| it.to_string_lossy()));
    let text = words.collect::<Vec<_>>().join(" ");
    let text = &text[..text.floor_char_boundary(LOG_LINE_BYTES_MAX)];
    match level {
        ..1.0 => tracing::trace!(target: "script", "{text}"),
        1.0..2.0 => tracing::debug!(target: "script", "{text}"),
        2.0..3.0 => tracing::info!(target: "script", "{text}"),
        _ => tracing::warn!(target: "script", "{text}"),
    }
    Ok(())
}

fn set_protocol(bounds: &Bounds, args: &Arguments) -> mlua::Result<()> {
    if args.len() != 1 {
        return fail("redis.setresp() requires one argument.");
    }
    match number(args.get(0)) {
        Some(2.0) => bounds.set_protocol(Protocol::Resp2),
        Some(3.0) => bounds.set_protocol(Protocol::Resp3),
        _ => return fail("RESP version must be 2 or 3."),
    }
    Ok(())
}

fn set_replication(args: &Arguments) -> mlua::Result<()> {
    if args.len() != 1 {
        return fail("redis.set_repl() requires two arguments.");
    }
    if !number(args.get(0)).is_some_and(|flags| REPLICATION.contains(&flags)) {
        return fail("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    }
    Ok(())
}

/// Whether who runs the script may call a command: `redis.acl_check_cmd`.
pub(super) fn check(lua: &Lua, args: &Arguments, may: &May<'_>) -> mlua::Result<bool> {
    if args.len() == 0 {
        return fail("Please specify at least one argument for this redis lib call");
    }
    let words: Option<Vec<LuaString>> = args.iter().map(|word| text_of(lua, word)).collect();
    let Some(words) = words else { return fail("Lua redis lib command arguments must be strings or integers") };
    may(&words).map_or_else(|| fail("Invalid command passed to redis.acl_check_cmd()"), Ok)
}
