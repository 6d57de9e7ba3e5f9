//! Libraries of functions: what FUNCTION LOAD takes, and which functions there are.
//!
//! The code of a library is run once, and registers its functions meanwhile; it can call nothing else. The libraries
//! themselves are replicated state: here is what this daemon has made of them, made anew when they are others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlua::{Function, Lua, Table, Value};

use super::library::{Arguments, Raised, text_of};
use super::{Digest, ScriptError, ScriptFlags, digest};

/// How long a library may take to register its functions.
pub(super) const LOAD_TIME_MAX: Duration = Duration::from_millis(500);
/// Name of what every library is taken to come from, in messages.
pub(super) const SOURCE: &str = "@user_function";
const ENGINE: &str = "lua";

/// A library that was loaded.
pub struct Library {
    /// What it is called.
    pub name: String,
    /// What it has registered, by their names.
    pub functions: BTreeMap<String, LibraryFunction>,
    code: Digest,
}

/// A function of a library.
#[derive(Clone)]
pub struct LibraryFunction {
    /// What its library says of it.
    pub description: Option<Vec<u8>>,
    /// How it is to be run.
    pub flags: ScriptFlags,
    pub(super) callback: Function,
}

/// All libraries of a daemon.
#[derive(Default)]
pub(super) struct Libraries {
    /// Which libraries these are.
    version: Option<u64>,
    pub(super) all: BTreeMap<String, Library>,
    /// The libraries of the functions, by their names in lower case.
    functions: BTreeMap<String, (String, String)>,
}

impl Libraries {
    pub(super) fn are(&self, version: Option<u64>) -> bool {
        self.version == version
    }

    /// The library of this name, if it was made of this code.
    pub(super) fn take(&mut self, name: &str, code: &[u8]) -> Option<Library> {
        let digest = digest(code);
        self.all.remove(name).filter(|library| library.code == digest)
    }

    /// These libraries from now on. Of functions of one name, which replicas that were apart may have loaded, the one of the
    /// library that comes first by name is called.
    pub(super) fn become_these(&mut self, version: Option<u64>, libraries: Vec<Library>) {
        *self = Self { version, ..Self::default() };
        for library in libraries {
            for name in library.functions.keys() {
                let place = || (library.name.clone(), name.clone());
                self.functions.entry(name.to_ascii_lowercase()).or_insert_with(place);
            }
            self.all.insert(library.name.clone(), library);
        }
    }

    /// A function, in any case, as in Redis; with the name under which it was registered.
    pub(super) fn function(&self, name: &[u8]) -> Option<(&str, &LibraryFunction)> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let (library, name) = self.functions.get(&name)?;
        Some((name, self.all.get(library)?.functions.get(name)?))
    }

    /// The library that has a function of this name.
    pub(super) fn owner(&self, name: &str) -> Option<&str> {
        self.functions.get(&name.to_ascii_lowercase()).map(|(library, _)| &**library)
    }
}

/// The name of a library, and its code, which begins in the line that says the name, so that lines keep their numbers.
pub(super) fn metadata(text: &[u8]) -> Result<(String, &[u8]), ScriptError> {
    let refuse = |why: String| Err(ScriptError::Library(why));
    let Some(rest) = text.strip_prefix(b"#!") else { return refuse("Missing library metadata".to_owned()) };
    let Some(end) = memchr::memchr(b'\n', rest) else { return refuse("Invalid library metadata".to_owned()) };
    let line = String::from_utf8_lossy(&rest[..end]);
    let mut words = line.split_ascii_whitespace();
    let engine = if line.starts_with(|it: char| it.is_ascii_whitespace()) { "" } else { words.next().unwrap_or("") };
    let mut name: Option<&str> = None;
    for word in words {
        let value = word.split_at_checked(5).filter(|(option, _)| option.eq_ignore_ascii_case("name="));
        match value {
            Some(_) if name.is_some() => {
                return refuse("Invalid metadata value, name argument was given multiple times".to_owned());
            }
            Some((_, given)) => name = Some(given),
            None => return refuse(format!("Invalid metadata value given: {word}")),
        }
    }
    let Some(name) = name else { return refuse("Library name was not given".to_owned()) };
    if !is_name(name.as_bytes()) {
        return refuse(BAD_NAME.to_owned());
    }
    if !engine.eq_ignore_ascii_case(ENGINE) {
        return refuse(format!("Engine '{engine}' not found"));
    }
    Ok((name.to_owned(), &rest[end..]))
}

const BAD_NAME: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|it| it.is_ascii_alphanumeric() || *it == b'_')
}

/// Where functions go that are registered: there is such a place only while a library is loaded.
#[derive(Clone, Default)]
pub(super) struct Registry(Arc<Mutex<Option<BTreeMap<String, LibraryFunction>>>>);

impl Registry {
    /// A library begins to register its functions.
    pub(super) fn open(&self) {
        *self.lock() = Some(BTreeMap::new());
    }

    /// It has; these are they.
    pub(super) fn close(&self) -> BTreeMap<String, LibraryFunction> {
        self.lock().take().unwrap_or_default()
    }

    /// `redis.register_function`, with a name and a function, or with a table of named arguments.
    pub(super) fn function(&self, lua: &Lua) -> mlua::Result<Function> {
        let registry = self.clone();
        lua.create_function(move |lua, args: Arguments| {
            let registered = registry.register(lua, &args);
            registered.map_err(|why| Raised::Reply(format!("ERR {why}").into_bytes()).into())
        })
    }

    fn register(&self, lua: &Lua, args: &Arguments) -> Result<(), &'static str> {
        let mut registry = self.lock();
        let functions =
            registry.as_mut().ok_or("redis.register_function can only be called on FUNCTION LOAD command")?;
        let (name, function) = match args.len() {
            1 => named(lua, args.get(0))?,
            2 => {
                let name =
                    text(lua, args.get(0)).ok_or("first argument to redis.register_function must be a string")?;
                let Value::Function(callback) = args.get(1) else {
                    return Err("second argument to redis.register_function must be a function");
                };
                let flags = ScriptFlags::declared();
                (name, LibraryFunction { description: None, flags, callback: callback.clone() })
            }
            _ => return Err("wrong number of arguments to redis.register_function"),
        };
        let name = String::from_utf8(name).ok().filter(|name| is_name(name.as_bytes())).ok_or(BAD_NAME)?;
        if functions.contains_key(&name) {
            return Err("Function already exists in the library");
        }
        functions.insert(name, function);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, LibraryFunction>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A function by named arguments.
fn named(lua: &Lua, args: &Value) -> Result<(Vec<u8>, LibraryFunction), &'static str> {
    let Value::Table(args) = args else {
        return Err(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named \
             arguments).",
        );
    };
    let (mut name, mut description, mut callback) = (None, None, None);
    let mut flags = ScriptFlags::declared();
    for pair in args.pairs::<Value, Value>() {
        let not_text = "named argument key given to redis.register_function is not a string";
        let (key, value) = pair.map_err(|_| not_text)?;
        let key = text(lua, &key).ok_or(not_text)?.to_ascii_lowercase();
        match &key[..] {
            b"function_name" => {
                let not_text = "function_name argument given to redis.register_function must be a string";
                name = Some(text(lua, &value).ok_or(not_text)?);
            }
            b"description" => {
                let not_text = "description argument given to redis.register_function must be a string";
                description = Some(text(lua, &value).ok_or(not_text)?);
            }
            b"callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => return Err("callback argument given to redis.register_function must be a function"),
            },
            b"flags" => match value {
                Value::Table(words) => take_flags(lua, &words, &mut flags).ok_or("unknown flag given")?,
                _ => {
                    return Err(
                        "flags argument to redis.register_function must be a table representing function flags",
                    );
                }
            },
            _ => return Err("unknown argument given to redis.register_function"),
        }
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    let callback = callback.ok_or("redis.register_function must get a callback argument")?;
    Ok((name, LibraryFunction { description, flags, callback }))
}

/// Takes the flags of a list; `None` if one is none.
fn take_flags(lua: &Lua, words: &Table, flags: &mut ScriptFlags) -> Option<()> {
    for word in words.sequence_values::<Value>() {
        let word = text(lua, &word.ok()?)?.to_ascii_lowercase();
        flags.take(std::str::from_utf8(&word).ok()?).then_some(())?;
    }
    Some(())
}

/// The bytes of a text: a number is one, too.
fn text(lua: &Lua, value: &Value) -> Option<Vec<u8>> {
    text_of(lua, value).map(|text| text.as_bytes().to_vec())
}

/// A library of this name and code that has registered these functions.
pub(super) fn library(
    name: String,
    code: &[u8],
    functions: BTreeMap<String, LibraryFunction>,
) -> Result<Library, ScriptError> {
    if functions.is_empty() {
        return Err(ScriptError::Library("No functions registered".to_owned()));
    }
    Ok(Library { name, functions, code: digest(code) })
}

/// What is left of a library that cannot be loaded here: that there is one.
pub(super) fn without_functions(name: String, code: &[u8]) -> Library {
    Library { name, functions: BTreeMap::new(), code: digest(code) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::Interpreter;
    use super::*;

    #[test]
    fn the_first_line_of_a_library_says_its_name() {
        for (text, expected) in [
            ("#!lua name=one\nreturn", "one 7"),
            ("#!LUA NAME=one \n", "one 1"),
            ("return 1", "ERR Missing library metadata"),
            ("#!lua name=one", "ERR Invalid library metadata"),
            ("#!lua\n", "ERR Library name was not given"),
            ("#!lua name=a name=b\n", "ERR Invalid metadata value, name argument was given multiple times"),
            ("#!lua name=a foo=b\n", "ERR Invalid metadata value given: foo=b"),
            ("#!js name=a\n", "ERR Engine 'js' not found"),
            ("#!lua name=a-b\n", &format!("ERR {BAD_NAME}")),
            ("#!lua name=\n", &format!("ERR {BAD_NAME}")),
        ] {
            let read = match metadata(text.as_bytes()) {
                Ok((name, rest)) => format!("{name} {}", rest.len()),
                Err(error) => error.to_string(),
            };
            assert_eq!(read, expected, "{text}");
        }
    }

    /// Replicas that were apart have loaded them: which one is called must not depend on who was first.
    #[test]
    fn of_libraries_with_a_function_of_one_name_the_first_by_name_is_called() {
        let mut lua = Interpreter::new().expect("there is memory");
        let code = |name: &str, function: &str| {
            format!("#!lua name={name}\nredis.register_function('{function}', function() end)").into_bytes()
        };
        let (a, b, broken) = (code("a", "which"), code("b", "Which"), b"#!lua name=c\n(".to_vec());
        let mut see = |version: u64, libraries: &[(&'static str, &[u8])]| {
            let libraries: Vec<_> =
                libraries.iter().map(|(name, code)| (name.as_bytes(), Cow::from(code.to_vec()))).collect();
            lua.see_libraries(Some(version), libraries.into_iter());
            let functions: Vec<usize> = lua.libraries().map(|it| it.functions.len()).collect();
            (lua.owner("WHICH").map(str::to_owned), functions)
        };
        assert_eq!(see(1, &[("b", &b)]), (Some("b".to_owned()), vec![1]));
        assert_eq!(see(2, &[("b", &b), ("c", &broken), ("a", &a)]), (Some("a".to_owned()), vec![1, 1, 0]));
        assert_eq!(see(3, &[("c", &broken), ("b", &b)]), (Some("b".to_owned()), vec![1, 0]));
        assert_eq!(see(3, &[]).1, [1, 0], "they are these already");
        assert_eq!(see(4, &[]), (None, vec![]));
    }
}
