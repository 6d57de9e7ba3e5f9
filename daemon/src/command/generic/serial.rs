//! DUMP and RESTORE: a value as Redis serializes it.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::rdb;

pub(super) fn dump(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match ctx.read_any(&args[1]) {
        // Ballots are their replicas'.
        Some(view) => reply.bulk(&rdb::dump(&view.value().ok_or(CommandError::WrongType)?)),
        None => reply.null(),
    }
    Ok(Flow::Continue)
}

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    /// Seconds since the last use, and how often it was used.
    idle: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            if is(word, "replace") {
                options.replace = true;
            } else if is(word, "absttl") {
                options.absolute = true;
            } else if is(word, "idletime")
                && options.frequency.is_none()
                && let Some(seconds) = words.next()
            {
                let seconds = u64::try_from(int_arg(seconds)?);
                options.idle =
                    Some(seconds.map_err(|_| CommandError::text("ERR Invalid IDLETIME value, must be >= 0"))?);
            } else if is(word, "freq")
                && options.idle.is_none()
                && let Some(times) = words.next()
            {
                let times = u8::try_from(int_arg(times)?);
                options.frequency =
                    Some(times.map_err(|_| CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255"))?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

pub(super) fn restore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, payload) = (args.at(1), args.at(3));
    let options = Options::parse(args.from(4))?;
    if !options.replace && ctx.read_any(key).is_some() {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let lasts = u64::try_from(int_arg(&args[2])?);
    let lasts = lasts.map_err(|_| CommandError::text("ERR Invalid TTL value, must be >= 0"))?;
    let from = if options.absolute { 0 } else { ctx.time() };
    let deadline = (lasts > 0).then(|| from.saturating_add(lasts));
    let value = rdb::restore(payload, ctx.limits().group_bytes_max)
        .map_err(|error| CommandError::Other(format!("ERR {error}").into()))?;
    ctx.write(key.len() + value.bytes(), |writer| writer.replace(key, &value, deadline))?;
    ctx.set_use(key, options.idle, options.frequency);
    reply.ok();
    Ok(Flow::Continue)
}
