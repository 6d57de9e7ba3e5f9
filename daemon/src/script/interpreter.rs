//! Lua, and running a script in it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, LuaString, StdLib, Table, Value, Variadic};

use super::bounds::Bounds;
use super::cache::{Cache, Kept};
use super::function::{self, Libraries, Library, Registry};
use super::library::{Arguments, Raised, number, until_zero};
use super::{Digest, MEMORY_BYTES_MAX, May, ScriptError, ScriptFlags, digest, host, redis, reply, shebang, words_of};
use crate::resp::{Args, Protocol, Reply, digits_of};

/// Name of what every script is taken to come from, in messages.
const SOURCE: &str = "@user_script";
/// Name of the sandbox, which messages do not point into.
pub(super) const SANDBOX: &str = "=sandbox";
const SANDBOX_CODE: &str = include_str!("sandbox.lua");

/// Carries out what a script calls: the arguments, the protocol to answer in, and where the one reply goes.
pub type Call<'a> = dyn FnMut(&[LuaString], Protocol, &mut Vec<u8>) + 'a;

/// Lua, with the scripts that it has compiled, and the functions of libraries.
pub struct Interpreter {
    lua: Lua,
    run: Function,
    load: Function,
    cache: Cache,
    libraries: Libraries,
    registry: Registry,
    bounds: Arc<Bounds>,
}

/// What a script is called.
#[derive(Clone, Debug)]
pub enum Name {
    /// A script, by the digest of its text.
    Digest(Digest),
    /// A function of a library.
    Function(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Function(name) => f.write_str(name),
        }
    }
}

/// A script, or a function, that is to be run.
pub struct Script {
    /// What it is called.
    pub name: Name,
    pub(super) function: Function,
    /// What it says of itself in its first line.
    pub flags: ScriptFlags,
}

impl Interpreter {
    pub(super) fn new() -> Result<Self, ScriptError> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let bounds = Arc::new(Bounds::default());
        let registry = Registry::default();
        let host = host::host(&lua, &bounds)?;
        host.set("register_function", registry.function(&lua)?)?;
        let (run, load) = lua.load(SANDBOX_CODE).set_name(SANDBOX).set_mode(ChunkMode::Text).call(host)?;
        lua.set_memory_limit(MEMORY_BYTES_MAX)?;
        Ok(Self { lua, run, load, cache: Cache::default(), libraries: Libraries::default(), registry, bounds })
    }

    pub(super) fn scripts(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.cache.has(digest)
    }

    /// Compiles a script, unless it is known; `keeps` says that it is to stay until all are forgotten.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn compile(&mut self, text: &[u8], keeps: bool) -> Result<Script, ScriptError> {
        let digest = digest(text);
        if let Some(kept) = self.cache.get(&digest, keeps) {
            return Ok(kept.script(digest));
        }
        let (flags, body) = shebang::read(text)?;
        let function = self.chunk(body, SOURCE).map_err(ScriptError::Compile)?;
        let kept = Kept { function, flags, stays: keeps };
        let script = kept.script(digest);
        self.cache.keep(digest, kept);
        Ok(script)
    }

    /// Compiles a text that messages say to be of `source`; or why that cannot be done.
    fn chunk(&self, text: &[u8], source: &str) -> Result<Function, String> {
        let chunk = self.lua.load(text).set_name(source).set_mode(ChunkMode::Text);
        chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => words_of(&other),
        })
    }

    /// A script that was compiled before.
    ///
    /// # Errors
    /// It is not kept.
    pub fn known(&mut self, digest: Digest) -> Result<Script, ScriptError> {
        let kept = self.cache.get(&digest, false).ok_or(ScriptError::Unknown)?;
        Ok(kept.script(digest))
    }

    /// Has the functions be those of these libraries, names and codes, if `version` says that they are others by now. One
    /// that cannot be loaded, because a daemon of another kind has, has no functions here.
    pub fn see_libraries<'l>(
        &mut self,
        version: Option<u64>,
        libraries: impl Iterator<Item = (&'l [u8], Cow<'l, [u8]>)>,
    ) {
        if self.libraries.are(version) {
            return;
        }
        let mut known = std::mem::take(&mut self.libraries);
        let made = libraries.filter_map(|(name, code)| {
            let name = std::str::from_utf8(name).ok()?;
            Some(known.take(name, &code).unwrap_or_else(|| {
                self.load_library(&code).unwrap_or_else(|error| {
                    tracing::warn!("the library {name} of functions cannot be loaded: {error}");
                    function::without_functions(name.to_owned(), &code)
                })
            }))
        });
        let mut made: Vec<Library> = made.collect();
        made.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.libraries.become_these(version, made);
    }

    /// The libraries, by name.
    pub fn libraries(&self) -> impl ExactSizeIterator<Item = &Library> {
        self.libraries.all.values()
    }

    /// The name of the library that has a function of this name.
    #[must_use]
    pub fn owner(&self, function: &str) -> Option<&str> {
        self.libraries.owner(function)
    }

    /// Runs the code of a library, which registers its functions; they can be called once it is among the libraries.
    ///
    /// # Errors
    /// It makes no sense, fails, takes too long, or registers nothing.
    pub fn load_library(&mut self, code: &[u8]) -> Result<Library, ScriptError> {
        let (name, body) = function::metadata(code)?;
        let refuse = |what: &str, why: String| ScriptError::Library(format!("Error {what}: {why}"));
        let chunk = self.chunk(body, function::SOURCE).map_err(|why| refuse("compiling function", why))?;
        self.bounds.begin(&self.lua, function::LOAD_TIME_MAX)?;
        self.registry.open();
        let result: mlua::Result<(bool, Value)> = self.load.call(chunk);
        let functions = self.registry.close();
        Bounds::end(&self.lua);
        if self.bounds.was_over().is_some() {
            return Err(refuse("registering functions", "ERR FUNCTION LOAD timeout".to_owned()));
        }
        match result? {
            (true, _) => function::library(name, code, functions),
            (false, Value::Table(error)) => {
                let words: mlua::Result<LuaString> = error.raw_get("err");
                let words = words.map_or_else(|_| "ERR unknown error".to_owned(), |it| it.to_string_lossy());
                Err(refuse("registering functions", words))
            }
            (false, error) => Err(refuse("registering functions", format!("ERR {}", error.to_string()?))),
        }
    }

    /// A function of a library.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn function(&self, name: &[u8]) -> Result<Script, ScriptError> {
        let (name, found) = self.libraries.function(name).ok_or(ScriptError::NoFunction)?;
        let name = Name::Function(name.to_owned());
        Ok(Script { name, function: found.callback.clone(), flags: found.flags })
    }

    /// Runs a script to its end, or for `time_max`, and answers with what it returns, or why it failed.
    ///
    /// # Errors
    /// The interpreter fails.
    pub fn run(
        &mut self,
        script: &Script,
        (keys, argv): (Args<'_>, Args<'_>),
        time_max: Duration,
        may: &May<'_>,
        call: &mut Call<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), ScriptError> {
        let lua = &self.lua;
        let (keys, argv) = (strings(lua, keys)?, strings(lua, argv)?);
        let bounds = &self.bounds;
        let calling = RefCell::new((call, Vec::new()));
        let invoke = |lua: &Lua, args: &[Value], raises: bool| {
            let (call, answer) = &mut *calling.borrow_mut();
            answer.clear();
            match arguments(lua, args) {
                Ok(args) => call(&args, bounds.protocol(), answer),
                Err(text) => Reply::new(answer, Protocol::Resp2).error(text),
            }
            match answer.strip_prefix(b"-") {
                Some(error) if raises => Err(Raised::Reply(error.trim_ascii_end().to_vec()).into()),
                _ => reply::to_lua(lua, answer),
            }
        };
        bounds.begin(lua, time_max)?;
        let result: mlua::Result<(bool, Value)> = lua.scope(|scope| {
            let raising = scope.create_function(|lua, args: Variadic<Value>| invoke(lua, &args, true))?;
            let telling = scope.create_function(|lua, args: Variadic<Value>| invoke(lua, &args, false))?;
            let checking = scope.create_function(|lua, args: Arguments| redis::check(lua, &args, may))?;
            let is_function = matches!(script.name, Name::Function(_));
            self.run.call((&script.function, is_function, keys, argv, raising, telling, checking))
        });
        Bounds::end(lua);
        let result = match result {
            Ok((true, value)) => reply::from_lua(&value, bounds, reply),
            Ok((false, error)) if bounds.was_over().is_none() => {
                reply.error_bytes(&failure(&script.name, &error));
                Ok(())
            }
            Ok((false, error)) => Err(mlua::Error::RuntimeError(error.to_string()?)),
            Err(error) => Err(error),
        };
        match (result, bounds.was_over()) {
            (Ok(()), _) => {}
            (Err(_), Some(time)) => {
                let name = &script.name;
                let time = time.as_millis();
                reply.error(format_args!(
                    "ERR Script ended because it ran for more than {time} milliseconds, busy-reply-threshold; \
                     what it wrote before stays. script: {name}"
                ));
            }
            (Err(error), None) => return Err(error.into()),
        }
        if self.lua.used_memory() > MEMORY_BYTES_MAX / 2 {
            self.lua.gc_collect()?;
        }
        Ok(())
    }
}

/// As a table. One by one: the interpreter has few places for values that are held outside of it.
fn strings(lua: &Lua, args: Args<'_>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(args.len(), 0)?;
    args.iter().try_for_each(|arg| table.raw_push(lua.create_string(arg)?))?;
    Ok(table)
}

/// What the client of a script that failed is told: its words, and where it was.
fn failure(name: &Name, error: &Value) -> Vec<u8> {
    // Without memory, or stack, for more nothing says where it was.
    let Value::Table(table) = error else {
        let words = error.to_string().unwrap_or_default();
        return format!("ERR {words} script: {name}").into_bytes();
    };
    let text = |name| table.raw_get::<Value>(name).ok().and_then(|it| it.as_string().map(|it| it.as_bytes().to_vec()));
    let words = text("err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    let mut words = until_zero(&words).to_vec();
    if let (Some(source), Ok(Some(line))) = (text("source"), table.raw_get::<Option<i64>>("line")) {
        words.extend_from_slice(format!(" script: {name}, on ").as_bytes());
        words.extend(source);
        words.extend_from_slice(format!(":{line}.").as_bytes());
    }
    words
}

/// The arguments of `redis.call`, as bytes.
fn arguments(lua: &Lua, args: &[Value]) -> Result<Vec<LuaString>, &'static str> {
    if args.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call");
    }
    let bytes = |arg: &Value| match arg {
        Value::String(text) => Some(text.clone()),
        _ => lua.create_string(digits_of(number(arg)?)).ok(),
    };
    let bytes: Option<Vec<_>> = args.iter().map(bytes).collect();
    bytes.ok_or("ERR Lua redis lib command arguments must be strings or integers")
}
