//! Which commands a client may send in the state that it is in.

use super::Session;
use crate::command::{Command, CommandError};
use crate::resp::Protocol;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Free,
    /// Talk about its subscriptions. In RESP2 a message that comes between replies cannot be told from one.
    Subscribed,
}

impl Mode {
    /// Refuses a command that does not pass.
    ///
    /// # Errors
    /// It does not.
    pub fn admit(self, command: &Command) -> Result<(), CommandError> {
        let passes = self == Self::Free
            || matches!(
                command.name,
                "subscribe"
                    | "unsubscribe"
                    | "psubscribe"
                    | "punsubscribe"
                    | "ssubscribe"
                    | "sunsubscribe"
                    | "ping"
                    | "quit"
                    | "reset"
            );
        if passes {
            return Ok(());
        }
        Err(CommandError::Other(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.name
        ).into()))
    }
}

impl Session {
    /// What the client may do now.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let subscribed = self.protocol == Protocol::Resp2 && self.subscriptions.is_some();
        if subscribed { Mode::Subscribed } else { Mode::Free }
    }
}
