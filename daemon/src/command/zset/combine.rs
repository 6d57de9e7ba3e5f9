//! Unions, intersections and differences of sorted sets; of a set, whose members all have the score 1, too.

use std::collections::HashMap;

use super::{list, store};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::number;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply, integer};
use cahoots_gossip::store::{Class, View};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Listed,
    Stored,
    Counted,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Least,
    Greatest,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Of two infinities that cancel out Redis says 0.
            Self::Sum => or_zero(a + b),
            Self::Least => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Self::Greatest => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

struct Query {
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
    /// Members counted at most; 0: all.
    limit: usize,
}

impl Query {
    fn parse(options: Args<'_>, keys: usize, operation: Operation, used: Use) -> Result<Self, CommandError> {
        let mut query = Self { weights: vec![1.0; keys], aggregate: Aggregate::Sum, scores: false, limit: 0 };
        let weighs = operation != Operation::Difference && used != Use::Counted;
        let mut at = 0;
        while let Some(option) = options.get(at) {
            let left = options.len() - at;
            at += 1;
            if weighs && left > keys && is(option, "weights") {
                for (weight, arg) in query.weights.iter_mut().zip(options.from(at).iter()) {
                    *weight = number::in_range(arg).ok_or(CommandError::text("ERR weight value is not a float"))?;
                }
                at += keys;
            } else if weighs && left >= 2 && is(option, "aggregate") {
                query.aggregate = match options.at(at) {
                    word if is(word, "sum") => Aggregate::Sum,
                    word if is(word, "min") => Aggregate::Least,
                    word if is(word, "max") => Aggregate::Greatest,
                    _ => return Err(CommandError::Syntax),
                };
                at += 1;
            } else if used == Use::Listed && is(option, "withscores") {
                query.scores = true;
            } else if used == Use::Counted && left >= 2 && is(option, "limit") {
                let limit = integer(options.at(at)).and_then(|limit| usize::try_from(limit).ok());
                query.limit = limit.ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(query)
    }
}

/// One of the sets that are combined.
struct Source<'a> {
    view: Option<View<'a>>,
    weight: f64,
}

impl<'a> Source<'a> {
    fn len(&self) -> usize {
        self.view.as_ref().map_or(0, View::len)
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        let view = self.view.as_ref()?;
        if view.class() == Class::Set { view.contains(member).then_some(1.0) } else { view.score(member) }
    }

    /// Members with their scores, the lowest first.
    fn members(&self) -> Vec<(&'a [u8], f64)> {
        match &self.view {
            None => Vec::new(),
            Some(view) if view.class() == Class::Set => view.iter().map(|(member, _)| (member, 1.0)).collect(),
            Some(view) => {
                let sorted = view.sorted();
                sorted.range(0..sorted.len()).collect()
            }
        }
    }

    fn weighed(&self, score: f64) -> f64 {
        or_zero(score * self.weight)
    }
}

fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

fn combine<'a>(operation: Operation, query: &Query, mut sources: Vec<Source<'a>>) -> Vec<(&'a [u8], f64)> {
    let mut members: Vec<(&[u8], f64)> = match operation {
        Operation::Union => {
            sources.sort_by_key(Source::len);
            let mut all: HashMap<&[u8], f64> = HashMap::new();
            for source in &sources {
                for (member, score) in source.members() {
                    let score = source.weighed(score);
                    all.entry(member).and_modify(|sum| *sum = query.aggregate.of(*sum, score)).or_insert(score);
                }
            }
            all.into_iter().collect()
        }
        Operation::Intersection => {
            sources.sort_by_key(Source::len);
            let Some((least, others)) = sources.split_first() else { return Vec::new() };
            let in_all = |(member, score): (&'a [u8], f64)| {
                let mut sum = least.weighed(score);
                for other in others {
                    sum = query.aggregate.of(sum, other.weighed(other.score(member)?));
                }
                Some((member, sum))
            };
            let members = least.members().into_iter().filter_map(in_all);
            members.take(if query.limit == 0 { usize::MAX } else { query.limit }).collect()
        }
        Operation::Difference => {
            let Some((first, others)) = sources.split_first() else { return Vec::new() };
            let is_left = |(member, _): &(&[u8], f64)| others.iter().all(|other| other.score(member).is_none());
            first.members().into_iter().filter(is_left).collect()
        }
    };
    members.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("scores are numbers").then(a.0.cmp(b.0)));
    members
}

/// `args` begins with the number of keys; `name` is the command's.
fn run(
    ctx: &mut Context<'_>,
    (name, operation, used): (&'static str, Operation, Use),
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Outcome {
    let rest = args.from(if used == Use::Stored { 2 } else { 1 });
    let wanted = int_arg(rest.at(0))?;
    let Some(count) = usize::try_from(wanted).ok().filter(|count| *count > 0) else {
        return Err(CommandError::Other(format!("ERR at least 1 input key is needed for '{name}' command").into()));
    };
    if count > rest.len() - 1 {
        return Err(CommandError::Syntax);
    }
    let mut sources = Vec::with_capacity(count);
    for key in rest.from(1).iter().take(count) {
        let view = ctx.read_any(key);
        if view.as_ref().is_some_and(|view| !matches!(view.class(), Class::Sorted | Class::Set)) {
            return Err(CommandError::WrongType);
        }
        sources.push(Source { view, weight: 1.0 });
    }
    let query = Query::parse(rest.from(1 + count), count, operation, used)?;
    sources.iter_mut().zip(&query.weights).for_each(|(source, weight)| source.weight = *weight);
    let members = combine(operation, &query, sources);
    match used {
        Use::Listed => list(members.into_iter(), query.scores, reply),
        Use::Counted => reply.count(members.len()),
        Use::Stored => {
            let members: Vec<(Box<[u8]>, f64)> =
                members.into_iter().map(|(member, score)| (member.into(), score)).collect();
            let stored = store(ctx, args.at(1), &members)?;
            reply.count(stored);
        }
    }
    Ok(Flow::Continue)
}

pub(super) fn zunion(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zunion", Operation::Union, Use::Listed), args, reply)
}

pub(super) fn zinter(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zinter", Operation::Intersection, Use::Listed), args, reply)
}

pub(super) fn zdiff(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zdiff", Operation::Difference, Use::Listed), args, reply)
}

pub(super) fn zunionstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zunionstore", Operation::Union, Use::Stored), args, reply)
}

pub(super) fn zinterstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zinterstore", Operation::Intersection, Use::Stored), args, reply)
}

pub(super) fn zdiffstore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zdiffstore", Operation::Difference, Use::Stored), args, reply)
}

pub(super) fn zintercard(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, ("zintercard", Operation::Intersection, Use::Counted), args, reply)
}
