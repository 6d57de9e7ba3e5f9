//! HRANDFIELD.

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::random::{Random, Wanted, wanted};
use cahoots_gossip::store::Class;

pub(super) fn hrandfield(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut random = Random::new();
    let Some(Wanted { count, repeats, paired }) = wanted(args, Some("withvalues"))? else {
        let view = ctx.read(&args[1], Class::Hash)?;
        let field = view.and_then(|view| view.draws().one(|max| random.below(max)));
        reply.maybe_bulk(field.map(|(field, _)| field));
        return Ok(Flow::Continue);
    };
    let Some(draws) = ctx.read(&args[1], Class::Hash)?.map(|view| view.draws()) else {
        reply.array(0);
        return Ok(Flow::Continue);
    };
    let fields = if repeats {
        (0..count).filter_map(|_| draws.one(|max| random.below(max))).collect()
    } else {
        draws.different(count, |max| random.below(max))
    };
    reply.array_of(|items| {
        for (field, value) in &fields {
            if paired { items.paired(field, value) } else { items.one().bulk(field) }
        }
    });
    Ok(Flow::Continue)
}
