//! Elements, and where they are.

use super::{count_arg, rank, ranks};
use crate::command::collection;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, Ordered};

pub(super) fn llen(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::length(ctx, args, Class::List, reply)
}

pub(super) fn lrange(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (start, stop) = (int_arg(&args[2])?, int_arg(&args[3])?);
    let Some(view) = ctx.read(&args[1], Class::List)? else {
        reply.array(0);
        return Ok(Flow::Continue);
    };
    let list = view.ordered();
    let ranks = ranks(start, stop, list.len());
    reply.array(ranks.len());
    list.range(ranks).for_each(|(_, value)| reply.bulk(value));
    Ok(Flow::Continue)
}

pub(super) fn lindex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(view) = ctx.read(&args[1], Class::List)? else {
        reply.null();
        return Ok(Flow::Continue);
    };
    let list = view.ordered();
    let found = rank(int_arg(&args[2])?, list.len()).and_then(|rank| list.get(rank));
    reply.maybe_bulk(found.map(|(_, value)| value));
    Ok(Flow::Continue)
}

/// What LPOS looks for.
struct Query {
    /// Matches passed over.
    skip: usize,
    backwards: bool,
    /// Matches told of, 0 for all; one if nobody asked for a list.
    count: Option<usize>,
    /// Elements looked at, 0 for all.
    limit: usize,
}

impl Query {
    fn parse(options: Args<'_>) -> Result<Self, CommandError> {
        let mut query = Self { skip: 0, backwards: false, count: None, limit: 0 };
        let mut at = 0;
        while let Some(option) = options.get(at) {
            let Some(value) = options.get(at + 1) else { return Err(CommandError::Syntax) };
            if is(option, "rank") {
                let rank = int_arg(value)?;
                if rank == 0 {
                    return Err(CommandError::text(RANK_ZERO));
                }
                if rank == i64::MIN {
                    return Err(CommandError::text(RANK_LEAST)); // as since Redis 7.2; before it was taken for -1
                }
                query.backwards = rank < 0;
                query.skip = usize::try_from(rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
            } else if is(option, "count") {
                query.count = Some(count_arg(value, 0, "ERR COUNT can't be negative")?);
            } else if is(option, "maxlen") {
                query.limit = count_arg(value, 0, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(query)
    }

    /// Where a value is.
    fn find(&self, list: &Ordered<'_>, value: &[u8]) -> Vec<usize> {
        let all = |number: usize| if number == 0 { usize::MAX } else { number };
        let len = list.len();
        let mut elements = list.range(0..len);
        let walk = std::iter::from_fn(|| if self.backwards { elements.next_back() } else { elements.next() });
        let equal = walk.take(all(self.limit)).enumerate().filter(|(_, (_, it))| *it == value);
        let ranks = equal.map(|(walked, _)| if self.backwards { len - 1 - walked } else { walked });
        ranks.skip(self.skip).take(self.count.map_or(1, all)).collect()
    }
}

const RANK_ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list";

const RANK_LEAST: &str = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

pub(super) fn lpos(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let query = Query::parse(args.from(3))?;
    let view = ctx.read(&args[1], Class::List)?;
    let found = view.map(|view| query.find(&view.ordered(), &args[2])).unwrap_or_default();
    match query.count {
        Some(_) => {
            reply.array(found.len());
            found.into_iter().for_each(|rank| reply.count(rank));
        }
        None => match found.first() {
            Some(rank) => reply.count(*rank),
            None => reply.null(),
        },
    }
    Ok(Flow::Continue)
}
