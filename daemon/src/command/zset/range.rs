//! Ranges of members: by rank, by score, by name.

use super::bounds::{Bounds, By};
use super::{list, store};
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, Sorted};

/// A range as a command asks for it.
struct Query<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    scores: bool,
    offset: i64,
    /// How many at most; all of them if negative.
    limit: i64,
}

impl<'a> Query<'a> {
    /// Reads the bounds, which `args` begins with, and the options behind. What the command says already, `by` and
    /// `reverse`, no option says.
    fn parse(args: Args<'a>, by: Option<By>, reverse: Option<bool>, stores: bool) -> Result<Self, CommandError> {
        let (mut by, mut reverse, mut scores, mut offset, mut limit) = (by, reverse, false, 0, -1);
        let options = args.from(2);
        let mut at = 0;
        while let Some(option) = options.get(at) {
            if is(option, "withscores") && !stores {
                scores = true;
            } else if is(option, "limit")
                && let (Some(first), Some(count)) = (options.get(at + 1), options.get(at + 2))
            {
                (offset, limit) = (int_arg(first)?, int_arg(count)?);
                at += 2;
            } else if is(option, "rev") && reverse.is_none() {
                reverse = Some(true);
            } else if is(option, "bylex") && by.is_none() {
                by = Some(By::Name);
            } else if is(option, "byscore") && by.is_none() {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && by == By::Name {
            return Err(CommandError::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (min, max) = if reverse && by != By::Rank { (args.at(1), args.at(0)) } else { (args.at(0), args.at(1)) };
        Ok(Self { bounds: Bounds::parse(by, min, max)?, reverse, scores, offset, limit })
    }

    /// The members that are asked for.
    fn select<'s, 'z>(&self, sorted: &'s Sorted<'z>) -> impl Iterator<Item = (&'z [u8], f64)> + use<'s, 'z> {
        let ranks = self.bounds.of(sorted, self.reverse);
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let len = ranks.len().saturating_sub(offset).min(limit);
        let ranks = if self.reverse {
            let end = ranks.end.saturating_sub(offset).max(ranks.start);
            end - len..end
        } else {
            let start = ranks.start.saturating_add(offset).min(ranks.end);
            start..start + len
        };
        sorted.walk(ranks, self.reverse)
    }
}

fn read(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    (by, reverse): (Option<By>, Option<bool>),
    reply: &mut Reply<'_>,
) -> Outcome {
    let query = Query::parse(args.from(2), by, reverse, false)?;
    match ctx.read(&args[1], Class::Sorted)? {
        Some(view) => list(query.select(&view.sorted()), query.scores, reply),
        None => reply.array(0),
    }
    Ok(Flow::Continue)
}

pub(super) fn zrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, args, (None, None), reply)
}

pub(super) fn zrevrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, args, (Some(By::Rank), Some(true)), reply)
}

pub(super) fn zrangebyscore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, args, (Some(By::Score), Some(false)), reply)
}

pub(super) fn zrevrangebyscore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, args, (Some(By::Score), Some(true)), reply)
}

pub(super) fn zrangebylex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, args, (Some(By::Name), Some(false)), reply)
}

pub(super) fn zrevrangebylex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    read(ctx, args, (Some(By::Name), Some(true)), reply)
}

pub(super) fn zrangestore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let query = Query::parse(args.from(3), None, None, true)?;
    let members: Vec<(Box<[u8]>, f64)> = match ctx.read(&args[2], Class::Sorted)? {
        Some(view) => query.select(&view.sorted()).map(|(member, score)| (member.into(), score)).collect(),
        None => Vec::new(),
    };
    let stored = store(ctx, args.at(1), &members)?;
    reply.count(stored);
    Ok(Flow::Continue)
}
