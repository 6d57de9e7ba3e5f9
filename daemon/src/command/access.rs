//! Whether the client may do what it asks for, asked before each command while access is guarded at all.

use std::sync::Arc;

use super::context::Context;
use super::contract::Command;
use super::error::CommandError;
use super::flags::NO_MULTI;
use crate::acl::{Denied, Login, Reason, Scene, User};
use crate::resp::{Args, KeptArgs};
use cahoots_gossip::store::database::parts;

impl Context<'_> {
    /// Refuses a command that the client may not call. In a transaction it is asked when the command is queued, and again
    /// when it is carried out.
    #[cold]
    pub(super) fn check_access(&mut self, command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
        let acl = &self.server.acl;
        acl.refresh(&mut self.session.login);
        let login = &self.session.login;
        if !login.is_shown() && !acl.is_open() && !command.is_for_strangers() {
            return Err(CommandError::text("NOAUTH Authentication required."));
        }
        // What is refused for being in a transaction is refused for that.
        if self.session.transaction.is_some() && command.flags.has(NO_MULTI) {
            return Ok(());
        }
        let Some(user) = login.user().filter(|user| !user.is_free()).cloned() else { return Ok(()) };
        user.check(command, args).map_err(|denied| self.deny(&user, command, args, denied))
    }

    fn deny(&mut self, user: &User, command: &Command, args: Args<'_>, denied: Denied) -> CommandError {
        let (reason, object) = match denied {
            Denied::Command => (Reason::Command, command.name.as_bytes()),
            Denied::Key(at) => (Reason::Key, args.at(at)),
            Denied::Channel(at) => (Reason::Channel, args.at(at)),
        };
        let scene = self.scene();
        self.note_refusal(reason, scene, object, &user.name);
        let session = &self.session;
        let text = if session.executes && !session.in_script {
            let why = match denied {
                Denied::Command => "no permission to execute the command or subcommand",
                Denied::Key(_) => "no permission to touch the specified keys",
                Denied::Channel(_) => "no permission to access one of the channels used as argument to the command",
            };
            format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: {why}"
            )
        } else {
            let place = if session.in_script { "ACL failure in script: " } else { "" };
            format!("NOPERM {place}{}", refusal(user, command, denied, None))
        };
        CommandError::Other(text.into())
    }

    /// Keeps what was refused for `ACL LOG`.
    pub(super) fn note_refusal(&self, reason: Reason, scene: Scene, object: &[u8], user: &[u8]) {
        self.note_client();
        let client = self.session.client.to_string();
        self.server.acl.log.note(reason, scene, object, user, client.trim_end().to_owned());
    }

    /// Where the command stands that runs.
    pub(super) fn scene(&self) -> Scene {
        let session = &self.session;
        match (session.in_script, session.executes || session.transaction.is_some()) {
            (true, _) => Scene::Lua,
            (_, true) => Scene::Multi,
            _ => Scene::Toplevel,
        }
    }

    /// The user whose rights bound the client's, if any do.
    pub(super) fn bounded_user(&mut self) -> Option<Arc<User>> {
        if !self.server.acl.guards() {
            return None;
        }
        self.server.acl.refresh(&mut self.session.login);
        self.session.login.user().filter(|user| !user.is_free()).cloned()
    }

    /// Whether the client may call the command that runs, with these arguments, and read every key.
    pub(super) fn may_read_all(&mut self, args: Args<'_>) -> bool {
        let command = self.session.last_command;
        // Rules are about keys as the client calls them.
        let called = KeptArgs::of(args.iter().map(|arg| parts(arg).1));
        let args = called.args();
        self.bounded_user().is_none_or(|user| command.is_some_and(|command| user.may_read_all(command, args)))
    }

    /// The client is who it has shown to be.
    pub(super) fn log_in(&mut self, login: Login) {
        self.session.client.facts().user = login.name().into();
        self.session.login = login;
    }
}

/// What a user is told that it may not do; with what it asked for, if that is given.
pub(super) fn refusal(user: &User, command: &Command, denied: Denied, object: Option<&[u8]>) -> String {
    let name = String::from_utf8_lossy(&user.name);
    let kind = match denied {
        Denied::Command => return format!("User {name} has no permissions to run the '{}' command", command.name),
        Denied::Key(_) => "key",
        Denied::Channel(_) => "channel",
    };
    match object {
        None => format!("No permissions to access a {kind}"),
        Some(object) => {
            let object = String::from_utf8_lossy(object);
            format!("User {name} has no permissions to access the '{object}' {kind}")
        }
    }
}
