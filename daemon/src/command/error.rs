//! What a command answers when it does not do what was asked.

use std::borrow::Cow;

use thiserror::Error;

use crate::resp::Args;
use crate::script::ScriptError;
use crate::state::NotReady;
use cahoots_gossip::driver::AccessError;
use cahoots_gossip::store::WriteError;

/// A refusal. Its text is the whole error reply, in Redis's own words wherever Redis has some.
///
/// A command that is refused has changed nothing.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The key holds a value of another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// An argument, or the value counted on, is no 64-bit integer.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// The field counted on is no 64-bit integer.
    #[error("ERR hash value is not an integer")]
    FieldNotInteger,
    /// The options contradict each other or are unknown.
    #[error("ERR syntax error")]
    Syntax,
    /// There is no database of this number.
    #[error("ERR DB index is out of range")]
    NoDatabase,
    /// What is to be put elsewhere is there already.
    #[error("ERR source and destination objects are the same")]
    SamePlace,
    /// A number of arguments the command does not take.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(Cow<'static, str>),
    /// The engine refused the write.
    #[error("ERR {0}")]
    Write(WriteError),
    /// Data is not there yet, on this machine or of the cluster's. Clients know the code word: they try again.
    #[error("LOADING cahoots is {0}")]
    Loading(NotReady),
    /// The data takes as much memory as it may, here or at a live peer, and nothing can be evicted.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    Full,
    /// Anything else: the whole reply, its code word first.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl CommandError {
    /// A refusal in these words.
    pub(super) const fn text(text: &'static str) -> Self {
        Self::Other(Cow::Borrowed(text))
    }

    /// The refusal of a subcommand that is none of its container, or is called in another way than it may be.
    pub(super) fn wrong_subcommand(args: Args<'_>) -> Self {
        let (container, name) = (args[0].to_ascii_uppercase(), String::from_utf8_lossy(&args[1]));
        let container = String::from_utf8_lossy(&container);
        let text = format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP.");
        Self::Other(text.into())
    }

    /// The refusal of a write that counts on a field of a hash.
    pub(super) fn of_field(error: WriteError) -> Self {
        match error {
            WriteError::NotInteger => Self::FieldNotInteger,
            other => other.into(),
        }
    }
}

impl From<AccessError> for CommandError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::WrongType { .. } => Self::WrongType,
            AccessError::NotCounted(_) => Self::NotInteger,
            AccessError::Write(error) => error.into(),
            other => Self::Other(format!("ERR {other}").into()),
        }
    }
}

impl From<ScriptError> for CommandError {
    fn from(error: ScriptError) -> Self {
        Self::Other(error.to_string().into())
    }
}

impl From<WriteError> for CommandError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotInteger => Self::NotInteger,
            WriteError::WrongType { .. } => Self::WrongType,
            other => Self::Write(other),
        }
    }
}
