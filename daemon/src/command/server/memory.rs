//! Commands about memory.

use super::{Args, CommandError, Context, Flow, Outcome, Reply, int_arg, is};
use crate::account::{Value, figures as f};

/// Bytes in all; with SPLIT, those of what clients gave it and those that replication and looking it up cost. SAMPLES
/// is accepted for the sake of clients: nothing is estimated from samples.
pub(super) fn usage(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (mut options, mut split) = (args.from(3).iter(), false);
    while let Some(option) = options.next() {
        if is(option, "samples") {
            if int_arg(options.next().ok_or(CommandError::Syntax)?)? < 0 {
                return Err(CommandError::Syntax);
            }
        } else if is(option, "split") {
            split = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    match ctx.memory_of(&args[2]) {
        None => reply.null(),
        Some(memory) if split => reply.map_of(|fields| {
            fields.field("value").count(memory.value);
            fields.field("metadata").count(memory.metadata);
        }),
        Some(memory) => reply.count(memory.value + memory.metadata),
    }
    Ok(Flow::Continue)
}

/// What is known of what Redis tells, under its names.
pub(super) fn stats(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Figures { all, data, keys } = Figures::of(ctx);
    reply.map_of(|fields| {
        fields.count("total.allocated", all);
        fields.count("keys.count", keys);
        fields.count("keys.bytes-per-key", data / keys.max(1));
        fields.count("dataset.bytes", data);
        fields.field("dataset.percentage").double(share(data, all));
    });
    Ok(Flow::Continue)
}

pub(super) fn doctor(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Figures { all, data, keys } = Figures::of(ctx);
    reply.verbatim(&format!(
        "{all} bytes are in use. {keys} keys take {data} of them, {:.1} percent, with all that finds them and that \
         replication needs.\nMEMORY USAGE key SPLIT tells what a key takes.\n",
        share(data, all)
    ));
    Ok(Flow::Continue)
}

/// The allocator is the system's, and keeps no figures.
pub(super) fn malloc_stats(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.bulk(b"Stats not supported for the current allocator");
    Ok(Flow::Continue)
}

/// The system's allocator gives pages back by itself.
pub(super) fn purge(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.ok();
    Ok(Flow::Continue)
}

struct Figures {
    all: u64,
    data: u64,
    keys: u64,
}

impl Figures {
    fn of(ctx: &mut Context<'_>) -> Self {
        let keys = ctx.keys() as u64;
        let mut account = ctx.account();
        let mut bytes = |figure: &crate::account::Figure| match figure.value(&mut account) {
            Some(Value::Number(bytes)) => bytes,
            _ => 0,
        };
        Self { all: bytes(&f::MEMORY_RSS), data: bytes(&f::MEMORY_OF_DATA), keys }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is told, to a few digits")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / all.max(1) as f64
}
