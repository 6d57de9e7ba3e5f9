//! Scripts in Lua 5.1, as Redis runs them.
//!
//! An interpreter is made when the first script comes, and serves all of them, one after the other: a script runs under the
//! lock of the replica. What it can reach is in `sandbox.lua`; what it can take is bounded in memory ([`MEMORY_BYTES_MAX`])
//! and time ([`TIME_MAX`]). It keeps nothing from one script to the next but what Redis keeps: the settings of `cjson`, and
//! the state of `math.random`.
//!
//! Knows no command: what `redis.call` does is handed in with each run.

mod bits;
mod bounds;
mod cache;
mod function;
mod host;
mod interpreter;
mod json;
mod library;
mod msgpack;
mod pack;
mod random;
mod redis;
mod reply;
mod shebang;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use bounds::TIME_MAX;
pub use cache::Digest;
use cache::digest;
pub use function::{Library, LibraryFunction};
pub use interpreter::{Call, Interpreter, Name, Script};
pub use shebang::ScriptFlags;

/// Bytes that all scripts together may have allocated: what is kept of them, and what the running one needs. Of what a
/// script makes outside of its interpreter (a text in JSON, a reply) each is bounded by as much.
pub const MEMORY_BYTES_MAX: usize = 128 << 20;

/// Whether who runs a script may call a command with these arguments; `None` if there is no such command.
pub type May<'a> = dyn Fn(&[mlua::LuaString]) -> Option<bool> + 'a;

/// Why a script cannot be used. The text is what the client is answered.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It makes no sense as Lua.
    #[error("ERR Error compiling script (new function): {0}")]
    Compile(String),
    /// The line that says how it is to be run makes no sense.
    #[error("ERR {0}")]
    Shebang(String),
    /// There is none of this digest.
    #[error("NOSCRIPT No matching script. Please use EVAL.")]
    Unknown,
    /// It says that it may write, and is to be run by a command that may not.
    #[error("ERR Can not execute a script with write flag using *_ro command.")]
    Writes,
    /// A library of functions makes no sense.
    #[error("ERR {0}")]
    Library(String),
    /// There is no function of this name.
    #[error("ERR Function not found")]
    NoFunction,
    /// The interpreter cannot be made or fails.
    #[error("ERR {0}")]
    Interpreter(String),
}

impl From<mlua::Error> for ScriptError {
    fn from(error: mlua::Error) -> Self {
        Self::Interpreter(words_of(&error))
    }
}

/// What an error says, without where in the interpreter it was.
fn words_of(error: &mlua::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// All scripts of a daemon, and their interpreter, once there is one.
pub struct Scripts {
    /// Not there while a script runs.
    interpreter: Mutex<Option<Box<Interpreter>>>,
    /// How many scripts are kept, and what the interpreter takes of the memory: as of the end of the last script.
    kept: AtomicUsize,
    memory: AtomicUsize,
    /// How long a script may run, in milliseconds.
    pub time_max: AtomicU64,
}

impl Default for Scripts {
    fn default() -> Self {
        let (kept, memory) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let time_max = AtomicU64::new(u64::try_from(TIME_MAX.as_millis()).unwrap_or(u64::MAX));
        Self { interpreter: Mutex::new(None), kept, memory, time_max }
    }
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts").field("kept", &self.kept).field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl Scripts {
    /// Works with the interpreter; one that does not exist yet is made.
    ///
    /// # Errors
    /// It cannot be made, or as `work` has it.
    pub fn with<R>(&self, work: impl FnOnce(&mut Interpreter) -> Result<R, ScriptError>) -> Result<R, ScriptError> {
        // Taken out, because a script may ask for the figures.
        let taken = self.lock().take();
        let mut interpreter = match taken {
            Some(interpreter) => interpreter,
            None => Box::new(Interpreter::new()?),
        };
        let result = work(&mut interpreter);
        self.kept.store(interpreter.scripts(), Relaxed);
        self.memory.store(interpreter.memory(), Relaxed);
        *self.lock() = Some(interpreter);
        result
    }

    /// Which of these scripts are kept.
    pub fn has<'d>(&self, digests: impl Iterator<Item = &'d [u8]>) -> Vec<bool> {
        let interpreter = self.lock();
        let is_kept = |name| Some(interpreter.as_ref()?.has(&Digest::parse(name)?));
        digests.map(|name| is_kept(name).unwrap_or(false)).collect()
    }

    /// Forgets all scripts, and all that they have left in memory.
    pub fn flush(&self) {
        *self.lock() = None;
        self.kept.store(0, Relaxed);
        self.memory.store(0, Relaxed);
    }

    /// How many are kept, and what the interpreter takes of the memory.
    #[must_use]
    pub fn figures(&self) -> (usize, usize) {
        (self.kept.load(Relaxed), self.memory.load(Relaxed))
    }

    /// How long a script may run.
    #[must_use]
    pub fn time_max(&self) -> Duration {
        Duration::from_millis(self.time_max.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Interpreter>>> {
        self.interpreter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
