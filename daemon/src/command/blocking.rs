//! Commands that keep their client waiting until something is at a key.
//!
//! Such a command looks first, and answers if it can. Else its client is put into the queues of its keys, with a function
//! that looks again. That runs under the replica's lock as soon as one of the keys has changed, whoever changed it.

use std::collections::VecDeque;
use std::time::Duration;

use super::context::Context;
use super::contract::{Flow, Outcome};
use super::error::CommandError;
use super::events;
use super::wait::Wait;
use crate::resp::{Args, Reply};
use crate::session::Session;
use crate::state::Server;
use crate::watch::{Blocked, Served, Takes};
use cahoots_gossip::engine::{Now, Replica};
use cahoots_gossip::store::{Change, Class};

/// How often those are looked after who may have something without a change.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Looks at one key, answers and says so if there is what is wanted. What it answers is a whole reply.
type Look = dyn FnMut(&mut Context<'_>, &[u8], &mut Reply<'_>) -> Result<bool, CommandError> + Send;

/// Looks at `keys` in their order, and waits until `look` finds something at one of them, or `timeout` is over: then a null
/// array is answered. Within a transaction it does not wait, and `nothing` is answered. `takes` is what is taken away; `None`
/// of a command that takes nothing.
pub(super) fn first_of(
    ctx: &mut Context<'_>,
    keys: Args<'_>,
    timeout: Option<Duration>,
    takes: Option<Takes>,
    mut look: Box<Look>,
    nothing: fn(&mut Reply<'_>),
    reply: &mut Reply<'_>,
) -> Outcome {
    for key in keys.iter() {
        if look(ctx, key, reply)? {
            return Ok(Flow::Continue);
        }
    }
    if ctx.session.executes {
        nothing(reply);
        return Ok(Flow::Continue);
    }
    ctx.record_changes();
    let Session { id, protocol, last_command: command, .. } = *ctx.session;
    let keys: Vec<Box<[u8]>> = keys.iter().map(Box::from).collect();
    // What others have not taken in time is there without a change.
    let again = matches!(takes, Some(Takes::Entries(_))).then(|| keys.clone());
    // Of another type, or gone, a key is waited for: so only the first look tells of its type, and later ones of that of
    // other keys alone.
    let class = match takes {
        Some(Takes::Elements(class)) => Some(class),
        Some(Takes::Entries(_)) | None => None,
    };
    let serve = move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| {
        let is_other = class.is_some_and(|class| ctx.current(key, class).is_err());
        if is_other { Ok(false) } else { look(ctx, key, reply) }
    };
    let ticket = ctx.server.watch.block(Blocked { client: id, protocol, command, keys, takes, serve: Box::new(serve) });
    let wait = Wait::new(
        move |node, server| {
            let look = again.map(|keys| -> (Duration, crate::watch::Look) {
                let look = move || node.run(|replica, now| serve_at(replica, now, &server, keys.clone()));
                (LOOK_AGAIN, Box::new(look))
            });
            ticket.served(timeout, look)
        },
        move |ctx, served, reply| {
            match served {
                Some(Served::Answered(answer, written)) => {
                    reply.written(&answer);
                    if written.is_some() {
                        (ctx.session.written, ctx.session.wrote) = (written, true);
                    }
                }
                Some(Served::TimedOut) | None => reply.null_array(),
                Some(Served::Unblocked) => {
                    return Err(CommandError::text("UNBLOCKED client unblocked via CLIENT UNBLOCK"));
                }
            }
            Ok(Flow::Continue)
        },
    );
    Ok(Flow::Wait(wait.for_others()))
}

/// As [`first_of`], of a command that takes elements away, of keys of this class. Within a transaction a null array is answered,
/// too.
pub(super) fn first_element_of(
    ctx: &mut Context<'_>,
    keys: Args<'_>,
    timeout: Option<Duration>,
    class: Class,
    look: impl FnMut(&mut Context<'_>, &[u8], &mut Reply<'_>) -> Result<bool, CommandError> + Send + 'static,
    reply: &mut Reply<'_>,
) -> Outcome {
    first_of(ctx, keys, timeout, Some(Takes::Elements(class)), Box::new(look), |reply| reply.null_array(), reply)
}

/// Takes the changes that were recorded, tells of them, and has those served who are blocked at keys that have changed. To be
/// called under the replica's lock, with no group open.
pub fn serve(replica: &mut Replica, now: Now, server: &Server) {
    let changes = take(replica);
    events::tell(server, None, &changes);
    server.tracking.tell(&changes, &mut None);
    let keys = note(server, &changes);
    serve_at(replica, now, server, keys);
}

/// Takes the changes that were recorded.
pub(super) fn take(replica: &mut Replica) -> Vec<Change> {
    std::iter::from_fn(|| replica.poll_change()).collect()
}

/// Has those know who watch; says at which keys clients are blocked.
pub(super) fn note(server: &Server, changes: &[Change]) -> Vec<Box<[u8]>> {
    changes.iter().flat_map(|change| server.watch.note(change)).collect()
}

/// Has those served who are blocked at these keys, and at those that are changed for them.
pub(super) fn serve_at(replica: &mut Replica, now: Now, server: &Server, keys: Vec<Box<[u8]>>) {
    let mut keys = VecDeque::from(keys);
    while let Some(key) = keys.pop_front() {
        let mut changes = Vec::new();
        server.watch.serve(&key, |blocked| look_for(replica, now, server, &key, blocked, &mut changes));
        keys.extend(note(server, &changes));
    }
    if server.watch.is_idle() && !server.keyspace.is_on() && !server.tracking.is_on() {
        replica.record_changes(false);
        server.watch.activate(false);
    }
}

/// Has a blocked client looked after; gives it back if there is nothing for it.
fn look_for(
    replica: &mut Replica,
    now: Now,
    server: &Server,
    key: &[u8],
    mut blocked: Blocked,
    changes: &mut Vec<Change>,
) -> Result<Served, Blocked> {
    if blocked.takes.is_some() && server.pause.is_on() {
        return Err(blocked);
    }
    let mut session = Session::new(blocked.client, "", "");
    let mut answer = Vec::new();
    let mut context = Context::new(replica, now, &mut session, server);
    let mut reply = Reply::new(&mut answer, blocked.protocol);
    let served = (blocked.serve)(&mut context, key, &mut reply);
    let said = context.said();
    match served {
        Ok(true) => {}
        Ok(false) => return Err(blocked),
        Err(error) => reply.error(&error),
    }
    let made = take(replica);
    events::tell(server, blocked.command.map(|command| (command, &said)), &made);
    server.tracking.tell(&made, &mut None);
    changes.extend(made);
    Ok(Served::Answered(answer, session.written))
}

/// Seconds, fractions included; 0 is for ever.
pub(super) fn timeout_arg(arg: &[u8]) -> Result<Option<Duration>, CommandError> {
    let seconds = std::str::from_utf8(arg).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| !seconds.is_nan());
    let seconds = seconds.ok_or(CommandError::text("ERR timeout is not a float or out of range"))?;
    let millis = (seconds * 1_000.0).ceil();
    if millis > i64::MAX as f64 {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    if millis < 0.0 {
        return Err(CommandError::text("ERR timeout is negative"));
    }
    let timeout = Duration::from_secs_f64(millis / 1_000.0);
    Ok((!timeout.is_zero()).then_some(timeout))
}
