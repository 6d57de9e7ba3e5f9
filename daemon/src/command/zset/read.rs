//! Members, scores and ranks.

use super::bounds::{Bounds, By};
use super::{Scored, list};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::is;
use crate::command::random::{Random, Wanted, wanted};
use crate::command::scan::Target;
use crate::command::{collection, scan};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, Sorted};

pub(super) fn zscore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let score = ctx.read(&args[1], Class::Sorted)?.and_then(|view| view.score(&args[2]));
    maybe_double(score, reply);
    Ok(Flow::Continue)
}

pub(super) fn zmscore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Sorted)?;
    let members = args.from(2);
    reply.array(members.len());
    for member in members.iter() {
        maybe_double(view.as_ref().and_then(|view| view.score(member)), reply);
    }
    Ok(Flow::Continue)
}

fn maybe_double(score: Option<f64>, reply: &mut Reply<'_>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

pub(super) fn zcard(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::length(ctx, args, Class::Sorted, reply)
}

pub(super) fn zcount(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    count(ctx, args, By::Score, reply)
}

pub(super) fn zlexcount(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    count(ctx, args, By::Name, reply)
}

fn count(ctx: &mut Context<'_>, args: Args<'_>, by: By, reply: &mut Reply<'_>) -> Outcome {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let view = ctx.read(&args[1], Class::Sorted)?;
    reply.count(view.map_or(0, |view| bounds.of(&view.sorted(), false).len()));
    Ok(Flow::Continue)
}

pub(super) fn zrank(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    rank(ctx, args, false, reply)
}

pub(super) fn zrevrank(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    rank(ctx, args, true, reply)
}

fn rank(ctx: &mut Context<'_>, args: Args<'_>, reverse: bool, reply: &mut Reply<'_>) -> Outcome {
    if args.len() > 4 {
        return Err(CommandError::Arity(if reverse { "zrevrank" } else { "zrank" }.into()));
    }
    let with_score = args.get(3).is_some();
    if args.get(3).is_some_and(|word| !is(word, "withscore")) {
        return Err(CommandError::Syntax);
    }
    let view = ctx.read(&args[1], Class::Sorted)?;
    let found = view.and_then(|view| {
        let (sorted, score) = (view.sorted(), view.score(&args[2])?);
        let rank = sorted.rank_of(&args[2])?;
        Some((if reverse { sorted.len() - 1 - rank } else { rank }, score))
    });
    match (found, with_score) {
        (Some((rank, score)), true) => {
            reply.array(2);
            reply.count(rank);
            reply.double(score);
        }
        (Some((rank, _)), false) => reply.count(rank),
        (None, true) => reply.null_array(),
        (None, false) => reply.null(),
    }
    Ok(Flow::Continue)
}

pub(super) fn zscan(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    scan::elements(ctx, args, Class::Sorted, Target::Scores, reply)
}

pub(super) fn zrandmember(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(Wanted { count, repeats, paired }) = wanted(args, Some("withscores"))? else {
        let view = ctx.read(&args[1], Class::Sorted)?;
        let sorted = view.map(|view| view.sorted());
        let member = sorted.as_ref().and_then(|sorted| at(sorted, Random::new().below(sorted.len())));
        reply.maybe_bulk(member.map(|(member, _)| member));
        return Ok(Flow::Continue);
    };
    let view = ctx.read(&args[1], Class::Sorted)?;
    let Some(sorted) = view.map(|view| view.sorted()) else {
        reply.array(0);
        return Ok(Flow::Continue);
    };
    let (len, mut random) = (sorted.len(), Random::new());
    let ranks: Vec<usize> = if repeats {
        (0..count).map(|_| random.below(len)).collect()
    } else {
        sample(len, count.min(len), &mut random)
    };
    list(ranks.into_iter().filter_map(|rank| at(&sorted, rank)), paired, reply);
    Ok(Flow::Continue)
}

fn at<'a>(sorted: &Sorted<'a>, rank: usize) -> Option<Scored<'a>> {
    sorted.range(rank..rank + 1).next()
}

/// So many different numbers below `max` (Floyd's method).
fn sample(max: usize, count: usize, random: &mut Random) -> Vec<usize> {
    let mut chosen = std::collections::HashSet::new();
    let mut sample = Vec::new();
    for last in max - count..max {
        let drawn = random.below(last + 1);
        let number = if chosen.insert(drawn) { drawn } else { last };
        chosen.insert(number);
        sample.push(number);
    }
    sample
}
