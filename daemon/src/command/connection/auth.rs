//! AUTH: a client shows who it is.

use super::{Args, CommandError, Context, Flow, Outcome, Reply};
use crate::acl::{DEFAULT, Reason};

pub(super) fn auth(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (name, password) = match (args.get(1), args.get(2)) {
        (Some(name), Some(password)) if args.len() == 3 => (name, password),
        (Some(password), None) => {
            if ctx.server.acl.get(DEFAULT).is_some_and(|user| user.needs_no_password()) {
                return Err(CommandError::text(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                     configuration is correct?",
                ));
            }
            (DEFAULT, password)
        }
        _ => return Err(CommandError::Syntax),
    };
    log_in(ctx, args.at(0), name, password)?;
    reply.ok();
    Ok(Flow::Continue)
}

/// Has the client be a user, if the password is that user's. `command` is what it asked by.
pub(super) fn log_in(ctx: &mut Context<'_>, command: &[u8], name: &[u8], password: &[u8]) -> Result<(), CommandError> {
    match ctx.server.acl.login(name, password) {
        Some(login) => {
            ctx.log_in(login);
            Ok(())
        }
        None => {
            ctx.note_refusal(Reason::Auth, ctx.scene(), command, name);
            Err(CommandError::text("WRONGPASS invalid username-password pair or user is disabled."))
        }
    }
}

/// Which arguments of HELLO are a user and its password.
pub(super) fn is_secret_of_hello(args: Args<'_>, at: usize) -> bool {
    let is_auth = |before: usize| {
        let word = at.checked_sub(before).filter(|at| *at >= 2).and_then(|at| args.get(at));
        word.is_some_and(|word| super::is(word, "auth"))
    };
    is_auth(1) || is_auth(2)
}
