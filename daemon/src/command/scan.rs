//! SCAN and its kin: walks that survive changes, their cursors kept by the client.

use super::context::Context;
use super::contract::{Flow, Outcome};
use super::error::CommandError;
use super::glob;
use super::options::{int_arg, is};
use crate::resp::{Args, Items, Reply, digits_of, unsigned};
use cahoots_gossip::store::{Class, score_of};

/// Elements of one step unless COUNT says otherwise, as in Redis.
const COUNT_DEFAULT: usize = 10;

/// What is walked over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Keys,
    Members,
    Fields,
    Scores,
}

struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    class: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, target: Target) -> Result<Self, CommandError> {
        let mut options = Self { count: COUNT_DEFAULT, pattern: None, class: None };
        let mut at = 0;
        while let Some(option) = args.get(at) {
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            if is(option, "count") {
                let count = int_arg(value)?;
                options.count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(CommandError::Syntax)?;
            } else if is(option, "match") {
                options.pattern = Some(value);
            } else if is(option, "type") && target == Target::Keys {
                options.class = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    fn takes_class(&self, class: Class) -> bool {
        self.class.is_none_or(|wanted| is(wanted, class.word()))
    }
}

fn cursor(arg: &[u8]) -> Result<u64, CommandError> {
    unsigned(arg).ok_or(CommandError::text("ERR invalid cursor"))
}

/// One step over all keys.
pub(super) fn keys(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let cursor = cursor(&args[1])?;
    let options = Options::parse(args.from(2), Target::Keys)?;
    page(reply, |items| {
        ctx.scan(cursor, options.count, |key, view| {
            if options.takes(key) && options.takes_class(view.class()) {
                items.one().bulk(key);
            }
        })
    })
}

/// One step over the elements of the collection `args[1]`.
pub(super) fn elements(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    class: Class,
    target: Target,
    reply: &mut Reply<'_>,
) -> Outcome {
    let cursor = cursor(&args[2])?;
    let Some(view) = ctx.read(&args[1], class)? else { return page(reply, |_| 0) };
    let options = Options::parse(args.from(3), target)?;
    page(reply, |items| {
        view.scan(cursor, options.count, |name, value| {
            if options.takes(name) {
                items.one().bulk(name);
                match target {
                    Target::Fields => items.one().bulk(&value),
                    Target::Scores => items.one().bulk(spelled(score_of(&value)).as_bytes()),
                    Target::Keys | Target::Members => {}
                }
            }
        })
    })
}

/// A score as Redis walks over it in a small sorted set: whole numbers in full.
#[expect(clippy::cast_possible_truncation, reason = "just compared, and compared after")]
fn spelled(score: f64) -> String {
    let is_small = score.abs() <= (i64::MAX / 2) as f64;
    if is_small && (score as i64) as f64 == score { (score as i64).to_string() } else { digits_of(score) }
}

/// The reply of a step: the next cursor, then what was found on the way there.
fn page(reply: &mut Reply<'_>, walk: impl FnOnce(&mut Items<'_, '_>) -> u64) -> Outcome {
    let start = reply.len();
    let next = reply.array_of(walk);
    reply.in_front(start, |reply| {
        reply.array(2);
        reply.bulk_integer(next);
    });
    Ok(Flow::Continue)
}
