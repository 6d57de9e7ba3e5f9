//! `cjson`: values as JSON, with the functions, the settings and the words for what is wrong of Mark Pulford's library
//! (<https://kyne.au/~mark/software/lua-cjson-manual.html>).

mod decode;
mod encode;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlua::{IntoLua, LightUserData, Lua, Table, Value};

use super::bounds::Bounds;
use super::library::{Answer, ArgumentError, Arguments, function, one};

/// Tables in tables, both ways, whatever a script sets: each takes of the stack.
const NESTING_MAX: i64 = 1_000;

/// What stands for `null`: scripts compare with it.
pub(super) const NULL: Value = Value::LightUserData(LightUserData(std::ptr::null_mut()));

/// What becomes of numbers that JSON has no words for.
#[derive(Clone, Copy, PartialEq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

/// What scripts may set. It stays set, as in Redis.
#[derive(Clone, Copy)]
struct Settings {
    /// Whether an array with many holes is an object.
    sparse_converts: bool,
    /// An array may be so many times as long as it has elements, 0: as long as it likes; and any may be so long.
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    /// Digits of a number.
    precision: i64,
    /// Of no meaning here.
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_converts: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: NESTING_MAX,
            decode_depth: NESTING_MAX,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

type Shared = Arc<Mutex<Settings>>;

fn locked(settings: &Shared) -> MutexGuard<'_, Settings> {
    settings.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn library(lua: &Lua, bounds: &Arc<Bounds>) -> mlua::Result<Table> {
    let settings = Shared::default();
    let table = lua.create_table()?;
    let (its, held_to) = (Arc::clone(&settings), Arc::clone(bounds));
    table.set("encode", function(lua, move |lua, args| encode::encode(lua, &args, *locked(&its), &held_to))?)?;
    let its = Arc::clone(&settings);
    table.set("decode", function(lua, move |lua, args| decode::decode(lua, &args, *locked(&its)))?)?;
    let setters: [(&'static str, Setter); 7] = [
        ("encode_sparse_array", |it, lua, args, name| {
            let converts = switch(&mut it.sparse_converts, lua, args, name)?;
            let ratio = integer(&mut it.sparse_ratio, lua, args, (1, name), (0, i64::from(i32::MAX)))?;
            let safe = integer(&mut it.sparse_safe, lua, args, (2, name), (0, i64::from(i32::MAX)))?;
            Ok(vec![converts, ratio, safe])
        }),
        ("encode_max_depth", |it, lua, args, name| depth(&mut it.encode_depth, lua, args, name)),
        ("decode_max_depth", |it, lua, args, name| depth(&mut it.decode_depth, lua, args, name)),
        ("encode_number_precision", |it, lua, args, name| {
            Ok(vec![integer(&mut it.precision, lua, args, (0, name), (1, 14))?])
        }),
        ("encode_keep_buffer", |it, lua, args, name| Ok(vec![switch(&mut it.keep_buffer, lua, args, name)?])),
        ("encode_invalid_numbers", |it, lua, args, name| Ok(vec![invalid(&mut it.encode_invalid, lua, args, name)?])),
        ("decode_invalid_numbers", |it, lua, args, name| Ok(vec![switch(&mut it.decode_invalid, lua, args, name)?])),
    ];
    for (name, set) in setters {
        let its = Arc::clone(&settings);
        let args_max = if name == "encode_sparse_array" { 3 } else { 1 };
        let setter = move |lua: &Lua, args: Arguments| -> Answer {
            if args.len() > args_max {
                return Err(format!("bad argument #{} to '{name}' (found too many arguments)", args_max + 1));
            }
            Ok(set(&mut locked(&its), lua, &args, name)?.into_iter().collect())
        };
        table.set(name, function(lua, setter)?)?;
    }
    let held_to = Arc::clone(bounds);
    let new = move |lua: &Lua, _| one(lua, library(lua, &held_to).map_err(super::library::words_of)?);
    table.set("new", function(lua, new)?)?;
    table.set("null", NULL)?;
    for (name, value) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        table.set(name, value)?;
    }
    Ok(table)
}

type Setter = fn(&mut Settings, &Lua, &Arguments, &str) -> Result<Vec<Value>, ArgumentError>;

fn depth(setting: &mut i64, lua: &Lua, args: &Arguments, name: &str) -> Result<Vec<Value>, ArgumentError> {
    Ok(vec![integer(setting, lua, args, (0, name), (1, i64::from(i32::MAX)))?])
}

/// Sets an integer, if one is given, and says what it is.
fn integer(
    setting: &mut i64,
    lua: &Lua,
    args: &Arguments,
    (at, name): (usize, &str),
    (min, max): (i64, i64),
) -> Result<Value, ArgumentError> {
    if args.has(at) {
        let value = args.integer(lua, at, name)?;
        if !(min..=max).contains(&value) {
            return Err(format!("bad argument #1 to '{name}' (expected integer between {min} and {max})"));
        }
        *setting = value;
    }
    (*setting).into_lua(lua).map_err(super::library::words_of)
}

/// Sets whether something is so, if that is given, and says whether it is.
fn switch(setting: &mut bool, lua: &Lua, args: &Arguments, name: &str) -> Result<Value, ArgumentError> {
    if args.has(0) {
        *setting = chosen(lua, args, name, &["off", "on"])? == 1;
    }
    Ok(Value::Boolean(*setting))
}

fn invalid(setting: &mut Invalid, lua: &Lua, args: &Arguments, name: &str) -> Result<Value, ArgumentError> {
    if args.has(0) {
        let all = [Invalid::Refused, Invalid::Written, Invalid::Null];
        *setting = all[chosen(lua, args, name, &["off", "on", "null"])?];
    }
    match *setting {
        Invalid::Null => "null".into_lua(lua).map_err(super::library::words_of),
        other => Ok(Value::Boolean(other == Invalid::Written)),
    }
}

/// Which of these words the first argument is; a boolean is one of the first two.
fn chosen(lua: &Lua, args: &Arguments, name: &str, words: &[&str]) -> Result<usize, ArgumentError> {
    if let Value::Boolean(value) = args.get(0) {
        return Ok(usize::from(*value));
    }
    let text = args.text(lua, 0, name)?.to_string_lossy();
    let found = words.iter().position(|word| *word == text);
    found.ok_or_else(|| format!("bad argument #1 to '{name}' (invalid option '{text}')"))
}
