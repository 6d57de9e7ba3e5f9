//! How functions of libraries are made, and how they fail.
//!
//! What Rust raises in Lua is neither a text nor a table there. So it is made one where a script catches it: by
//! [`plain`], which the sandbox calls.

use mlua::{FromLuaMulti, Function, IntoLua, Lua, LuaString, MultiValue, Value};

use super::host;

/// An error for a script.
#[derive(Debug, thiserror::Error)]
pub(super) enum Raised {
    /// A text, with where it was raised in front.
    #[error("{0}")]
    Text(String),
    /// An error reply, which scripts see as a table.
    #[error("{}", String::from_utf8_lossy(.0))]
    Reply(Vec<u8>),
}

impl From<Raised> for mlua::Error {
    fn from(raised: Raised) -> Self {
        Self::external(raised)
    }
}

/// An error as a script sees it, which may have been raised in Rust.
pub(super) fn plain(lua: &Lua, error: Value) -> mlua::Result<Value> {
    let Value::Error(error) = &error else { return Ok(error) };
    match error.downcast_ref::<Raised>() {
        Some(Raised::Reply(words)) => {
            let table = lua.create_table()?;
            table.raw_set("err", lua.create_string(words)?)?;
            Ok(Value::Table(table))
        }
        Some(Raised::Text(text)) => text.as_str().into_lua(lua),
        None => super::words_of(error).into_lua(lua),
    }
}

/// What is wrong with a call, in the words that Lua's own libraries have for it.
pub(super) type ArgumentError = String;

/// What a function of a library comes to: values, or words for the script.
pub(super) type Answer = Result<MultiValue, ArgumentError>;

/// Values that one call answers with at most: the interpreter has room for few on its way to a script.
pub(super) const RESULTS_MAX: usize = 7_000;

/// What an error of the interpreter's says.
pub(super) fn words_of(error: mlua::Error) -> ArgumentError {
    match error {
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        other => super::words_of(&other),
    }
}

/// A function for the sandbox.
pub(super) fn function(lua: &Lua, body: impl Fn(&Lua, Arguments) -> Answer + Send + 'static) -> mlua::Result<Function> {
    lua.create_function(move |lua, args: Arguments| {
        body(lua, args).map_err(|text| {
            let place = host::place(lua);
            // Lua knows the name of a function from who calls it.
            let text = if place.is_empty() { nameless(text) } else { text };
            Raised::Text(place + &text).into()
        })
    })
}

/// A message about an argument without the name of the function.
fn nameless(text: ArgumentError) -> ArgumentError {
    let of_argument = text.starts_with("bad argument #").then(|| text.split_once(" to '")).flatten();
    match of_argument.and_then(|(front, rest)| Some((front, rest.split_once('\'')?.1))) {
        Some((front, behind)) => format!("{front} to '?'{behind}"),
        None => text,
    }
}

/// The arguments of a call, counted from 0; messages count from 1.
pub(super) struct Arguments(Vec<Value>);

impl FromLuaMulti for Arguments {
    fn from_lua_multi(values: MultiValue, _: &Lua) -> mlua::Result<Self> {
        Ok(Self(values.into_iter().collect()))
    }
}

impl Arguments {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, at: usize) -> &Value {
        self.0.get(at).unwrap_or(&Value::Nil)
    }

    /// Whether there is such an argument, and not nil.
    pub(super) fn has(&self, at: usize) -> bool {
        !matches!(self.get(at), Value::Nil)
    }

    /// All of them, to be handed on.
    pub(super) fn all(&self) -> MultiValue {
        self.0.iter().cloned().collect()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// A number, or a text that is one.
    pub(super) fn number(&self, lua: &Lua, at: usize, function: &str) -> Result<f64, ArgumentError> {
        let number = lua.coerce_number(self.get(at).clone()).ok().flatten();
        number.ok_or_else(|| self.mismatch(at, function, "number"))
    }

    /// As [`number`](Self::number), without its fraction.
    pub(super) fn integer(&self, lua: &Lua, at: usize, function: &str) -> Result<i64, ArgumentError> {
        self.number(lua, at, function).map(truncated)
    }

    /// A text, or a number spelled out.
    pub(super) fn text(&self, lua: &Lua, at: usize, function: &str) -> Result<LuaString, ArgumentError> {
        let text = match self.get(at) {
            Value::String(text) => Some(text.clone()),
            number @ (Value::Integer(_) | Value::Number(_)) => lua.coerce_string(number.clone()).ok().flatten(),
            _ => None,
        };
        text.ok_or_else(|| self.mismatch(at, function, "string"))
    }

    fn mismatch(&self, at: usize, function: &str, wanted: &str) -> ArgumentError {
        let given = self.0.get(at).map_or("no value", type_name);
        format!("bad argument #{} to '{function}' ({wanted} expected, got {given})", at + 1)
    }
}

/// The number that a value is, if it is one. Here all are doubles, and so this loses nothing.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A text, or a number spelled out; else nothing.
pub(super) fn text_of(lua: &Lua, value: &Value) -> Option<LuaString> {
    let is_text = matches!(value, Value::String(_)) || number(value).is_some();
    is_text.then(|| lua.coerce_string(value.clone()).ok().flatten()).flatten()
}

/// What Lua calls the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

/// Bytes as C takes them for a text: up to a zero.
pub(super) fn until_zero(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

/// A number without its fraction. Beyond 64 bits it is what a conversion in C comes to on common machines.
#[expect(clippy::cast_possible_truncation, reason = "it is compared before")]
pub(super) fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// One value as an answer.
pub(super) fn one(lua: &Lua, value: impl IntoLua) -> Answer {
    Ok([value.into_lua(lua).map_err(words_of)?].into_iter().collect())
}

/// One text as an answer.
pub(super) fn text(lua: &Lua, bytes: &[u8]) -> Answer {
    one(lua, lua.create_string(bytes).map_err(words_of)?)
}
