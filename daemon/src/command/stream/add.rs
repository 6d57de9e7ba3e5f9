//! Entries added.

use super::reply_id;
use super::trim::Options;
use crate::command::context::{Context, admit};
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, NewId, StreamId, WriteError};

pub(super) fn xadd(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let options = Options::parse(args, true)?;
    let Some((id, at)) = options.id else { return Err(CommandError::Arity("xadd".into())) };
    let fields = args.from(at + 1);
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(CommandError::Arity("xadd".into()));
    }
    if id == NewId::Exactly(StreamId::MIN) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    if ctx.current(key, Class::Stream)?.is_none() && options.if_present {
        reply.null();
        return Ok(Flow::Continue);
    }
    let mut trimmed = 0;
    let id = ctx
        .write(args.bytes(), |writer| {
            // What the trim removes is admitted whole before the entry is there.
            let size = args.bytes() + fields.len() * LENGTH_BYTES_MAX;
            let going =
                options.trim.zip(writer.moment().view(key)).map_or(0, |(trim, view)| trim.count(&view.stream()) + 1);
            let removals = (0..going).map(|_| (key, &[0; ID_BYTES][..], 0));
            admit(writer, [(key, &[0; ID_BYTES][..], size), (key, b"", MARK_BYTES)].into_iter().chain(removals))?;
            let id = writer.append(key, id, fields.pairs())?;
            if let Some(trim) = options.trim {
                let count = writer.moment().view(key).map_or(0, |view| trim.count(&view.stream()));
                trimmed = writer.trim_entries(key, count)?;
            }
            Ok(id)
        })
        .map_err(|error| match error {
            WriteError::IdNotAbove => {
                CommandError::text("ERR The ID specified in XADD is equal or smaller than the target stream top item")
            }
            WriteError::IdsUsedUp => {
                CommandError::text("ERR The stream has exhausted the last possible ID, unable to add more items")
            }
            other => other.into(),
        })?;
    if trimmed > 0 {
        ctx.also_happened("xtrim");
    }
    reply_id(reply, id);
    Ok(Flow::Continue)
}

/// Bytes of the length of a name or a value at most.
const LENGTH_BYTES_MAX: usize = 5;
/// Bytes of an id.
const ID_BYTES: usize = size_of::<StreamId>();
/// Bytes of what is written down of entries that are gone, at most.
const MARK_BYTES: usize = 2 * ID_BYTES + 10;
