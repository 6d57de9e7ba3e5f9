//! Scores assigned and added to.

use super::Scored;
use crate::command::context::{Context, admit};
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::number::float_arg;
use crate::command::options::is;
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, SCORE_BYTES, ScoreRule, WriteError, Writer};

/// What ZADD does with a member.
#[derive(Clone, Copy, Default)]
struct Options {
    if_absent: bool,
    if_present: bool,
    if_greater: bool,
    if_less: bool,
    count_changed: bool,
    increment: bool,
}

/// What became of a member.
enum Done {
    /// The options are against it.
    Skipped,
    Added(f64),
    Changed(f64),
    Unchanged(f64),
}

impl Options {
    /// Those at the front of `args`, and how many words they are.
    fn parse(args: Args<'_>) -> Result<(Self, usize), CommandError> {
        let mut options = Self::default();
        let mut words = 0;
        for arg in args.iter() {
            let flag = match arg {
                _ if is(arg, "nx") => &mut options.if_absent,
                _ if is(arg, "xx") => &mut options.if_present,
                _ if is(arg, "gt") => &mut options.if_greater,
                _ if is(arg, "lt") => &mut options.if_less,
                _ if is(arg, "ch") => &mut options.count_changed,
                _ if is(arg, "incr") => &mut options.increment,
                _ => break,
            };
            *flag = true;
            words += 1;
        }
        Ok((options, words))
    }

    fn check(self, pairs: usize) -> Result<(), CommandError> {
        let Self { if_absent, if_present, if_greater, if_less, .. } = self;
        if if_absent && if_present {
            return Err(CommandError::text("ERR XX and NX options at the same time are not compatible"));
        }
        if if_absent && (if_greater || if_less) || if_greater && if_less {
            return Err(CommandError::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increment && pairs > 1 {
            return Err(CommandError::text("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// How an assignment takes its place among concurrent ones: what this replica has not seen may be greater.
    fn rule(self) -> ScoreRule {
        match (self.if_greater, self.if_less) {
            (true, _) => ScoreRule::Greater,
            (_, true) => ScoreRule::Less,
            _ => ScoreRule::Newest,
        }
    }

    fn apply(self, writer: &mut Writer<'_>, key: &[u8], (member, score): Scored<'_>) -> Result<Done, WriteError> {
        let current = writer.moment().view(key).and_then(|view| view.score(member));
        let is_unwanted = if current.is_some() { self.if_absent } else { self.if_present };
        if is_unwanted {
            return Ok(Done::Skipped);
        }
        if let Some(current) = current {
            let wanted = if self.increment { current + score } else { score };
            if wanted.is_nan() {
                return Err(WriteError::ScoreNotANumber);
            }
            if self.if_greater && wanted <= current || self.if_less && wanted >= current {
                return Ok(Done::Skipped);
            }
        }
        let score = if self.increment {
            writer.add_score(key, member, score)?
        } else {
            // Also the one it has: asserted anew, as a member of a set is.
            writer.assign_score(key, member, score, self.rule())?;
            score
        };
        Ok(match current {
            None => Done::Added(score),
            Some(current) if current == score => Done::Unchanged(score),
            Some(_) => Done::Changed(score),
        })
    }
}

pub(super) fn zadd(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let (options, words) = Options::parse(args.from(2))?;
    let pairs = args.from(2 + words);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    options.check(pairs.pairs().len())?;
    let scored = pairs.pairs().map(|(score, member)| Ok((member, float_arg(score)?)));
    let scored = scored.collect::<Result<Vec<_>, CommandError>>()?;
    add(ctx, key, &scored, options, reply)
}

pub(super) fn zincrby(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let options = Options { increment: true, ..Options::default() };
    add(ctx, args.at(1), &[(args.at(3), float_arg(&args[2])?)], options, reply)
}

fn add(ctx: &mut Context<'_>, key: &[u8], scored: &[Scored<'_>], options: Options, reply: &mut Reply<'_>) -> Outcome {
    let is_absent = ctx.current(key, Class::Sorted)?.is_none();
    let (mut added, mut changed, mut last) = (0usize, 0usize, None);
    if !(is_absent && options.if_present) {
        let bytes = key.len() + scored.iter().map(|(member, _)| member.len() + SCORE_BYTES).sum::<usize>();
        ctx.write(bytes, |writer| {
            admit(writer, scored.iter().map(|(member, _)| (key, *member, SCORE_BYTES)))?;
            for scored in scored {
                last = match options.apply(writer, key, *scored)? {
                    Done::Skipped => continue,
                    Done::Added(score) => {
                        added += 1;
                        Some(score)
                    }
                    Done::Changed(score) => {
                        changed += 1;
                        Some(score)
                    }
                    Done::Unchanged(score) => Some(score),
                };
            }
            Ok::<_, WriteError>(())
        })?;
    }
    if added + changed == 0 {
        ctx.nothing_happened();
    } else if options.increment {
        ctx.happened_as("zincr");
    }
    match (options.increment, last) {
        (true, Some(score)) => reply.double(score),
        (true, None) => reply.null(),
        (false, _) => reply.count(if options.count_changed { added + changed } else { added }),
    }
    Ok(Flow::Continue)
}
