//! Places near another one.

use std::ops::Bound;

use super::place::write_place;
use super::query::{Form, Query};
use super::{Args, Cell, Class, CommandError, Context, Flow, Outcome, Place, Reply, View};
use cahoots_gossip::store::Value;

pub(super) fn georadius(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    search(ctx, Form::Radius { stores: true }, args, reply)
}

pub(super) fn georadius_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    search(ctx, Form::Radius { stores: false }, args, reply)
}

pub(super) fn georadiusbymember(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    search(ctx, Form::ByMember { stores: true }, args, reply)
}

pub(super) fn georadiusbymember_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    search(ctx, Form::ByMember { stores: false }, args, reply)
}

pub(super) fn geosearch(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    search(ctx, Form::Search { stores: false }, args, reply)
}

pub(super) fn geosearchstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    search(ctx, Form::Search { stores: true }, args, reply)
}

/// A member that was found.
struct Found<'a> {
    member: &'a [u8],
    score: f64,
    place: Place,
    metres: f64,
}

fn search(ctx: &mut Context<'_>, form: Form, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let stores_apart = form == Form::Search { stores: true };
    let destination = stores_apart.then(|| args.at(1));
    let from = 1 + usize::from(stores_apart);
    let view = ctx.read(args.at(from), Class::Sorted)?;
    let query = Query::parse((form, &args[0]), view.as_ref(), args.from(from + 1), destination)?;
    let found = match (&view, query.middle) {
        (Some(view), Some(middle)) => find(view, middle, &query),
        _ => Vec::new(),
    };
    let Some(store) = &query.store else {
        answer(&found, &query, reply);
        return Ok(Flow::Continue);
    };
    let kept = |it: &Found<'_>| (Box::from(it.member), if store.distances { it.metres / query.unit } else { it.score });
    let (count, value) = (found.len(), Value::Sorted(found.iter().map(kept).collect()));
    if count > 0 || ctx.current_any(store.key).is_some() {
        ctx.write(store.key.len() + value.bytes(), |writer| writer.replace(store.key, &value, None))
            .map_err(CommandError::from)?;
    }
    reply.count(count);
    Ok(Flow::Continue)
}

/// The members within, in the order that is asked for, and no more of them.
fn find<'a>(view: &View<'a>, middle: Place, query: &Query<'_>) -> Vec<Found<'a>> {
    let sorted = view.sorted();
    let mut found = Vec::new();
    let most = if query.any { query.count } else { usize::MAX };
    for cell in query.shape.cells(middle) {
        let (least, end) = cell.scores();
        let ranks = sorted.by_score(Bound::Included(least), Bound::Excluded(end));
        let within = sorted.range(ranks).filter_map(|(member, score)| {
            let place = Cell::of_score(score).middle();
            query.shape.distance(middle, place).map(|metres| Found { member, score, place, metres })
        });
        found.extend(within.take(most - found.len()));
    }
    let ascending = query.ascending.or((query.count > 0 && !query.any).then_some(true));
    match ascending {
        Some(true) => found.sort_by(|a, b| a.metres.total_cmp(&b.metres)),
        Some(false) => found.sort_by(|a, b| b.metres.total_cmp(&a.metres)),
        None => {}
    }
    if query.count > 0 {
        found.truncate(query.count);
    }
    found
}

fn answer(found: &[Found<'_>], query: &Query<'_>, reply: &mut Reply<'_>) {
    let Query { with_distance, with_score, with_place, unit, .. } = *query;
    let more = [with_distance, with_score, with_place].into_iter().filter(|it| *it).count();
    reply.array(found.len());
    for it in found {
        if more > 0 {
            reply.array(1 + more);
        }
        reply.bulk(it.member);
        if with_distance {
            reply.bulk(format!("{:.4}", it.metres / unit).as_bytes());
        }
        if with_score {
            #[expect(clippy::cast_possible_truncation, reason = "a score of a place is a whole number")]
            reply.integer(it.score as i64);
        }
        if with_place {
            write_place(it.place, reply);
        }
    }
}
