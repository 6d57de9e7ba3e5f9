//! XGROUP: the groups of a stream and their consumers, made and removed.

use super::id;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::database::parts;
use cahoots_gossip::store::{Class, Group, GroupStart, Stream};

/// What is written beside names: once for a command.
const HEAD_BYTES: usize = 256;

/// The stream at a key that a command needs.
fn stream<'s>(ctx: &'s Context<'_>, key: &'s [u8]) -> Result<Stream<'s>, CommandError> {
    let view = ctx.current(key, Class::Stream)?.ok_or(CommandError::text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option \
         to create an empty stream automatically.",
    ))?;
    Ok(view.stream())
}

/// There is no such group at this stream.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (group, key) = (String::from_utf8_lossy(group), String::from_utf8_lossy(parts(key).1));
    CommandError::Other(format!("NOGROUP No such consumer group '{group}' for key name '{key}'").into())
}

/// There is no such stream, or no such group.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8], where_to: &str) -> CommandError {
    let (group, key) = (String::from_utf8_lossy(group), String::from_utf8_lossy(parts(key).1));
    CommandError::Other(format!("NOGROUP No such key '{key}' or consumer group '{group}'{where_to}").into())
}

/// Works on a group that a command needs.
fn group<R>(ctx: &Context<'_>, args: Args<'_>, look: impl FnOnce(&Group<'_, '_>) -> R) -> Result<R, CommandError> {
    let stream = stream(ctx, args.at(2))?;
    let group = stream.group(args.at(3)).ok_or_else(|| no_group(args.at(2), args.at(3)))?;
    Ok(look(&group))
}

/// What is behind the id.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    read: Option<u64>,
}

impl Options {
    fn parse(args: Args<'_>, may_make_stream: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.from(5).iter();
        while let Some(word) = words.next() {
            if may_make_stream && is(word, "mkstream") {
                options.makes_stream = true;
            } else if is(word, "entriesread")
                && let Some(value) = words.next()
            {
                options.read = match int_arg(value)? {
                    -1 => None,
                    read => Some(
                        u64::try_from(read)
                            .map_err(|_| CommandError::text("ERR value for ENTRIESREAD must be positive or -1"))?,
                    ),
                };
            } else {
                return Err(CommandError::wrong_subcommand(args));
            }
        }
        Ok(options)
    }
}

pub(super) fn create(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name) = (args.at(2), args.at(3));
    let options = Options::parse(args, true)?;
    if options.makes_stream {
        ctx.current(key, Class::Stream)?;
    } else {
        stream(ctx, key)?;
    }
    let start = match args.at(4) {
        b"$" => GroupStart::New,
        arg => GroupStart::After(id::strict(arg, 0)?),
    };
    let is_there = ctx.current(key, Class::Stream)?.is_some_and(|view| view.stream().group(name).is_some());
    if is_there {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    ctx.write(args.bytes() + HEAD_BYTES, |writer| writer.create_group(key, name, start, options.read))?;
    ctx.happened_as("xgroup-create");
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn setid(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let options = Options::parse(args, false)?;
    group(ctx, args, |_| ())?;
    let start = match args.at(4) {
        b"$" => GroupStart::New,
        arg => GroupStart::After(id::any(arg)?),
    };
    ctx.write(args.bytes() + HEAD_BYTES, |writer| writer.set_group(args.at(2), args.at(3), start, options.read))?;
    ctx.happened_as("xgroup-setid");
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn destroy(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let is_there = stream(ctx, args.at(2))?.group(args.at(3)).is_some();
    if is_there {
        ctx.write(args.bytes(), |writer| writer.destroy_group(args.at(2), args.at(3)))?;
        ctx.happened_as("xgroup-destroy");
    }
    reply.integer(is_there.into());
    Ok(Flow::Continue)
}

pub(super) fn createconsumer(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer) = (args.at(2), args.at(3), args.at(4));
    let is_new = group(ctx, args, |group| group.consumer(consumer).is_none())?;
    if is_new {
        let now = ctx.time();
        ctx.write(args.bytes() + HEAD_BYTES, |writer| writer.touch_consumer(key, name, consumer, now, None))?;
        ctx.happened_as("xgroup-createconsumer");
    }
    reply.integer(is_new.into());
    Ok(Flow::Continue)
}

pub(super) fn delconsumer(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, name, consumer) = (args.at(2), args.at(3), args.at(4));
    let is_there = group(ctx, args, |group| group.consumer(consumer).is_some())?;
    let mut pending = 0;
    if is_there {
        let removed = ctx.write(args.bytes(), |writer| writer.remove_consumer(key, name, consumer));
        pending = removed?.unwrap_or(0);
        ctx.happened_as("xgroup-delconsumer");
    }
    reply.count(pending);
    Ok(Flow::Continue)
}
