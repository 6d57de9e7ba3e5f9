//! HRANDFIELD.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::options::is;
use crate::command::random::{REPEATED_MAX, Random, drawn_arg};
use cahoots_gossip::store::Class;

pub(super) fn hrandfield(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut random = Random::new();
    let Some(count) = args.get(2) else {
        let view = ctx.read(&args[1], Class::Hash)?;
        let field = view.and_then(|view| view.draws().one(|max| random.below(max)));
        reply.maybe_bulk(field.map(|(field, _)| field));
        return Ok(Flow::Continue);
    };
    let (count, values) = (drawn_arg(count)?, args.get(3));
    if args.len() > 4 || values.is_some_and(|word| !is(word, "withvalues")) {
        return Err(CommandError::Syntax);
    }
    let is_too_many = values.is_some() && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2;
    if is_too_many || count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let Some(draws) = ctx.read(&args[1], Class::Hash)?.map(|view| view.draws()) else {
        reply.array(0);
        return Ok(Flow::Continue);
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let fields = if count < 0 {
        (0..wanted).filter_map(|_| draws.one(|max| random.below(max))).collect()
    } else {
        draws.different(wanted, |max| random.below(max))
    };
    reply.array_of(|items| {
        for (field, value) in &fields {
            if values.is_some() { items.paired(field, value) } else { items.one().bulk(field) }
        }
    });
    Ok(Flow::Continue)
}
