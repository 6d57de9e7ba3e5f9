//! What sets and hashes do alike.

use super::context::{Context, admit};
use super::contract::{Flow, Outcome};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, WriteError};

/// Removes elements of the collection `args[1]` and counts them. What is not there is not removed, and then nothing is
/// published.
pub(super) fn remove(ctx: &mut Context<'_>, args: Args<'_>, class: Class, reply: &mut Reply<'_>) -> Outcome {
    let (key, names) = (args.at(1), args.from(2));
    let removed = if ctx.current(key, class)?.is_none() {
        0
    } else {
        ctx.write(args.bytes(), |writer| {
            admit(writer, names.iter().map(|name| (key, name, 0)))?;
            let mut removed = 0usize;
            for name in names.iter() {
                removed += usize::from(writer.remove(key, class, name)?);
            }
            Ok::<_, WriteError>(removed)
        })?
    };
    reply.count(removed);
    Ok(Flow::Continue)
}

/// Counts the elements of the collection `args[1]`.
pub(super) fn length(ctx: &mut Context<'_>, args: Args<'_>, class: Class, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], class)?;
    reply.count(view.map_or(0, |view| view.len()));
    Ok(Flow::Continue)
}

/// Tells whether the collection `args[1]` has the element `args[2]`.
pub(super) fn contains(ctx: &mut Context<'_>, args: Args<'_>, class: Class, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], class)?;
    reply.integer(view.is_some_and(|view| view.contains(&args[2])).into());
    Ok(Flow::Continue)
}
