//! Streams followed: XREAD from an id each, CRDT.XREAD from a cursor; both can wait for what comes.
//!
//! Who waited is answered what has come at one key, as in Redis. When the time is over both answer null; a reader then
//! goes on with the cursor that it has.

use std::time::Duration;

use super::{id, reply_entries};
use crate::command::blocking;
use crate::command::context::Context;
use crate::command::contract::{Flow, Outcome};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is, timeout_arg};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::database::parts;
use cahoots_gossip::store::{Class, Stream, StreamCursor, StreamId};

/// Entries that CRDT.XREAD answers unless it is told how many.
const COUNT: usize = 100;
/// The cursor of a reader that has read nothing.
const BEGINNING: &[u8] = b"0";

/// What is read, and how far the reader has come.
enum Query {
    Above { streams: Vec<(Box<[u8]>, StreamId)>, count: usize },
    New { key: Box<[u8]>, cursor: StreamCursor, count: usize },
}

/// How long a client waits; `None` if it does not.
pub(super) type Block = Option<Option<Duration>>;

/// What XREAD and XREADGROUP are told.
pub(super) struct ReadOptions<'a> {
    /// Entries of one stream, at most.
    pub(super) count: usize,
    pub(super) block: Block,
    /// The streams, and behind them as many ids.
    pub(super) keys: Args<'a>,
    pub(super) ids: Args<'a>,
    /// A group, and a consumer of it.
    pub(super) group: Option<(&'a [u8], &'a [u8])>,
    /// Whether what is handed out is pending then.
    pub(super) keeps: bool,
}

impl<'a> ReadOptions<'a> {
    /// Reads them; what is about groups is refused where there can be none.
    pub(super) fn parse(ctx: &Context<'_>, args: Args<'a>, groups: bool) -> Result<Self, CommandError> {
        let of_groups = |refusal| if groups { Ok(()) } else { Err(CommandError::text(refusal)) };
        let (mut count, mut block, mut named, mut group, mut keeps) = (0, None, None, None, true);
        let mut at = 1;
        while let Some(option) = args.get(at) {
            let more = args.len() - at - 1;
            if is(option, "block") && more > 0 {
                at += 1;
                block = Some(timeout_arg(args.at(at))?);
                refuse_in_scripts(ctx, args.at(0))?;
            } else if is(option, "count") && more > 0 {
                at += 1;
                count = usize::try_from(int_arg(args.at(at))?).unwrap_or(0);
            } else if is(option, "streams") && more > 0 {
                named = Some(args.from(at + 1));
                break;
            } else if is(option, "group") && more > 1 {
                of_groups("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")?;
                group = Some((args.at(at + 1), args.at(at + 2)));
                at += 2;
            } else if is(option, "noack") {
                of_groups("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")?;
                keeps = false;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let named = named.ok_or(CommandError::Syntax)?;
        if !named.len().is_multiple_of(2) {
            return Err(CommandError::text(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        let keys = named.first(named.len() / 2);
        let count = if count == 0 { usize::MAX } else { count };
        Ok(Self { count, block, keys, ids: named.from(keys.len()), group, keeps })
    }
}

pub(super) fn xread(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let ReadOptions { count, block, keys, ids, .. } = ReadOptions::parse(ctx, args, false)?;
    let streams = keys.iter().zip(ids.iter()).map(|(key, arg)| {
        let view = ctx.read(key, Class::Stream)?;
        let above = match arg {
            b"$" => view.map_or(StreamId::MIN, |view| view.stream().last_id()),
            b">" => {
                return Err(CommandError::text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            arg => id::strict(arg, 0)?,
        };
        Ok((key.into(), above))
    });
    let streams = streams.collect::<Result<_, CommandError>>()?;
    Query::Above { streams, count }.run(ctx, keys, block, reply)
}

/// Nothing waits in a script, and one that asks for it is told.
fn refuse_in_scripts(ctx: &Context<'_>, name: &[u8]) -> Result<(), CommandError> {
    if ctx.session.in_script {
        let name = String::from_utf8_lossy(name);
        let refusal = format!("ERR {name} command is not allowed with BLOCK option from scripts");
        return Err(CommandError::Other(refusal.into()));
    }
    Ok(())
}

pub(super) fn crdt_xread(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let cursor = match args.at(2) {
        BEGINNING => StreamCursor::default(),
        arg => read_cursor(arg).ok_or(CommandError::text("ERR invalid cursor"))?,
    };
    let (mut count, mut block) = (COUNT, None);
    for (option, value) in args.from(3).pairs() {
        if is(option, "count") {
            let given = usize::try_from(int_arg(value)?).ok().filter(|count| *count > 0);
            count = given.ok_or(CommandError::text("ERR value is out of range, must be positive"))?;
        } else if is(option, "block") {
            block = Some(timeout_arg(value)?);
            refuse_in_scripts(ctx, &args[0])?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    ctx.read(args.at(1), Class::Stream)?;
    Query::New { key: args.at(1).into(), cursor, count }.run(ctx, args.from(1).first(1), block, reply)
}

impl Query {
    /// Answers what there is of all `keys`; else waits until there is something at one of them, if it may.
    fn run(self, ctx: &mut Context<'_>, keys: Args<'_>, block: Block, reply: &mut Reply<'_>) -> Outcome {
        if self.answer(ctx, None, reply) {
            return Ok(Flow::Continue);
        }
        let Some(timeout) = block else {
            self.answer_none(ctx, reply);
            return Ok(Flow::Continue);
        };
        let look =
            move |ctx: &mut Context<'_>, key: &[u8], reply: &mut Reply<'_>| Ok(self.answer(ctx, Some(key), reply));
        blocking::first_of(ctx, keys, timeout, None, Box::new(look), |reply| reply.null_array(), reply)
    }

    /// Answers, if there is something: of all keys, or of one. A key that has become another type meanwhile has nothing.
    fn answer(&self, ctx: &Context<'_>, only: Option<&[u8]>, reply: &mut Reply<'_>) -> bool {
        match self {
            Self::Above { streams, count } => {
                let found: Vec<(&[u8], StreamId, Stream<'_>)> = streams
                    .iter()
                    .filter(|(key, _)| only.is_none_or(|only| **key == *only))
                    .filter_map(|(key, above)| {
                        let (stream, first) = (stream_at(ctx, key)?, above.above()?);
                        (stream.rank_from(first) < stream.len()).then_some((&**key, first, stream))
                    })
                    .collect();
                if found.is_empty() {
                    return false;
                }
                reply.keyed(found.len());
                for (key, first, stream) in &found {
                    reply.key(parts(key).1);
                    reply_entries(reply, stream.range(*first, StreamId::MAX).take(*count));
                }
                true
            }
            Self::New { key, cursor, count } => {
                let Some(stream) = stream_at(ctx, key) else { return false };
                let (read, next) = stream.read_after(cursor, *count);
                if read.is_empty() {
                    return false;
                }
                reply.array(2);
                reply.bulk(&written(&next));
                reply_entries(reply, read.into_iter());
                true
            }
        }
    }

    fn answer_none(&self, ctx: &Context<'_>, reply: &mut Reply<'_>) {
        match self {
            Self::Above { .. } => reply.null_array(),
            Self::New { key, cursor, count } => {
                let next = stream_at(ctx, key).map(|stream| stream.read_after(cursor, *count).1);
                reply.array(2);
                reply.bulk(&written(next.as_ref().unwrap_or(cursor)));
                reply.array(0);
            }
        }
    }
}

fn stream_at<'s>(ctx: &'s Context<'_>, key: &'s [u8]) -> Option<Stream<'s>> {
    ctx.current_any(key).filter(|view| view.class() == Class::Stream).map(|view| view.stream())
}

/// A cursor as clients hold it: digits and letters, so that it survives clients that take replies for text.
fn written(cursor: &StreamCursor) -> Vec<u8> {
    if *cursor == StreamCursor::default() {
        return BEGINNING.to_vec();
    }
    let hex = |byte: u8| [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    cursor.encode().into_iter().flat_map(hex).collect()
}

/// `None` of what nobody has written.
fn read_cursor(arg: &[u8]) -> Option<StreamCursor> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = arg.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<_>>()?;
    StreamCursor::decode(&bytes).ok()
}
