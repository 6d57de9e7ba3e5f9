//! What XADD and XTRIM leave of the oldest entries.

use super::id;
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use crate::resp::Args;
use cahoots_gossip::store::{NewId, Stream, StreamId};

/// Entries that Redis keeps together, and so removes together where it need not be exact.
const TOGETHER: usize = 100;
/// Entries that are removed at once at most where it need not be exact, unless LIMIT says so.
const LIMIT: usize = 100 * TOGETHER;

/// Which entries stay.
#[derive(Clone, Copy)]
enum Keep {
    Newest(usize),
    From(StreamId),
}

/// Which entries go.
#[derive(Clone, Copy)]
pub(super) struct Trim {
    keep: Keep,
    /// More may stay; and how many go at most, 0 for all.
    roughly: Option<usize>,
}

/// What is in front of the fields of XADD, and behind the key of XTRIM.
pub(super) struct Options {
    pub(super) trim: Option<Trim>,
    pub(super) if_present: bool,
    /// The id, and where it stands.
    pub(super) id: Option<(NewId, usize)>,
}

impl Options {
    /// Those from the third argument on; for XADD up to an id.
    pub(super) fn parse(args: Args<'_>, adds: bool) -> Result<Self, CommandError> {
        let mut options = Self { trim: None, if_present: false, id: None };
        let (mut keep, mut roughly, mut limit) = (None, false, None);
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let more = args.len() - at - 1;
            let is_maxlen = is(option, "maxlen");
            if (is_maxlen || is(option, "minid")) && more > 0 {
                if keep.is_some() {
                    return Err(CommandError::text(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                    ));
                }
                roughly = more > 1 && args.at(at + 1) == b"~";
                at += if roughly || more > 1 && args.at(at + 1) == b"=" { 2 } else { 1 };
                keep = Some(if is_maxlen {
                    let newest = usize::try_from(int_arg(args.at(at))?);
                    Keep::Newest(newest.map_err(|_| CommandError::text("ERR The MAXLEN argument must be >= 0."))?)
                } else {
                    Keep::From(id::strict(args.at(at), 0)?)
                });
            } else if is(option, "limit") && more > 0 {
                at += 1;
                let given = usize::try_from(int_arg(args.at(at))?);
                limit = Some(given.map_err(|_| CommandError::text("ERR The LIMIT argument must be >= 0."))?);
            } else if adds && is(option, "nomkstream") {
                options.if_present = true;
            } else if adds {
                options.id = Some((id::new(option)?, at));
                break;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if keep.is_none() && limit.is_some_and(|limit| limit > 0) {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if !adds && keep.is_none() {
            return Err(CommandError::text("ERR syntax error, XTRIM must be called with a trimming strategy"));
        }
        if limit.is_some() && !roughly {
            return Err(CommandError::text("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        let roughly = roughly.then_some(limit.unwrap_or(LIMIT));
        options.trim = keep.map(|keep| Trim { keep, roughly });
        Ok(options)
    }
}

impl Trim {
    /// How many of the oldest entries go.
    pub(super) fn count(self, stream: &Stream<'_>) -> usize {
        let excess = match self.keep {
            Keep::Newest(newest) => stream.len().saturating_sub(newest),
            Keep::From(id) => stream.rank_from(id),
        };
        let Some(limit) = self.roughly else { return excess };
        let limit = if limit == 0 { usize::MAX } else { limit };
        if excess == stream.len() && excess <= limit {
            return excess;
        }
        excess.min(limit) / TOGETHER * TOGETHER
    }
}
