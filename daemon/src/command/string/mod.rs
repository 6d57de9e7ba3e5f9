//! Strings, and strings that are counted.
//!
//! A counter is a string whose value is its winning assignment plus every increment no applied SET or DEL has consumed:
//! so INCR goes to the engine as an increment, never as a read followed by a SET.

use std::borrow::Cow;

use super::arguments::{KEY, block, integer, one_of, string, word};
use super::context::{Context, admit};
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{Categories, DENYOOM, FAST, Flags, READONLY, WRITE};
use super::keys::{ALL_KEYS, ONE_KEY, PAIRS};
use super::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("string", name, arity, flags, handler).also(Categories::STRING).at(ONE_KEY)
}

const FAST_READ: Flags = READONLY.and(FAST);
const WRITES: Flags = WRITE.and(DENYOOM);
const FAST_WRITE: Flags = WRITES.and(FAST);

pub(super) const COMMANDS: &[Command] = &[
    command("get", 2, FAST_READ, get).about("1.0.0", "O(1)", "Reads a string.").takes(&[KEY]),
    command("set", -3, WRITES, set)
        .about("1.0.0", "O(1)", "Makes a key a string, whatever it was.")
        .changed(&[("6.2.0", "Added GET."), ("7.0.0", "NX and GET may be used together.")])
        .takes(&[
            KEY,
            string("value"),
            one_of("condition", &[word("NX"), word("XX")]).optional(),
            word("GET").optional(),
            word("KEEPTTL").optional(),
        ]),
    command("mget", -2, FAST_READ, mget)
        .about("1.0.0", "O(N), N the keys", "Reads several strings.")
        .at(ALL_KEYS)
        .takes(&[KEY.multiple()]),
    command("mset", -3, WRITES, mset)
        .about("1.0.1", "O(N), N the keys", "Sets several strings in one event.")
        .at(PAIRS)
        .takes(&[block("data", &[KEY, string("value")]).multiple()]),
    command("setnx", 3, FAST_WRITE, setnx)
        .about("1.0.0", "O(1)", "Sets a string if there is no such key here.")
        .takes(&[KEY, string("value")]),
    command("getset", 3, FAST_WRITE, getset)
        .about("1.0.0", "O(1)", "Sets a string and answers the one before.")
        .takes(&[KEY, string("value")]),
    command("getdel", 2, WRITE.and(FAST), getdel)
        .about("6.2.0", "O(1)", "Reads a string and deletes it.")
        .takes(&[KEY]),
    command("append", 3, FAST_WRITE, append)
        .about("2.0.0", "O(N), N the bytes of the string", "Appends to a string.")
        .takes(&[KEY, string("value")]),
    command("strlen", 2, FAST_READ, strlen).about("2.2.0", "O(1)", "Tells the length of a string.").takes(&[KEY]),
    command("incr", 2, FAST_WRITE, incr).about("1.0.0", "O(1)", "Adds one to a counter.").takes(&[KEY]),
    command("incrby", 3, FAST_WRITE, incrby)
        .about("1.0.0", "O(1)", "Adds to a counter.")
        .takes(&[KEY, integer("increment")]),
    command("decr", 2, FAST_WRITE, decr).about("1.0.0", "O(1)", "Subtracts one from a counter.").takes(&[KEY]),
    command("decrby", 3, FAST_WRITE, decrby)
        .about("1.0.0", "O(1)", "Subtracts from a counter.")
        .takes(&[KEY, integer("decrement")]),
];

fn get(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Text)?;
    reply.maybe_bulk(view.as_ref().and_then(View::text).as_deref());
    Ok(Flow::Continue)
}

fn set(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        ctx.write(key.len() + value.len(), |writer| writer.set(key, value))?;
        reply.ok();
        return Ok(Flow::Continue);
    }
    let options = SetOptions::parse(args.from(3))?;
    let old = ctx.current_any(key);
    let exists = old.is_some();
    // The old value is copied: the write below replaces it.
    let old = match old {
        Some(view) if options.get => Some(view.text().ok_or(CommandError::WrongType)?.into_owned()),
        _ => None,
    };
    let wanted = options.only_if.is_none_or(|wanted| wanted == exists);
    if wanted {
        ctx.write(key.len() + value.len(), |writer| writer.set(key, value))?;
    }
    if options.get {
        reply.maybe_bulk(old.as_deref());
    } else if wanted {
        reply.ok();
    } else {
        reply.null();
    }
    Ok(Flow::Continue)
}

/// What follows the value of a SET.
#[derive(Default)]
struct SetOptions {
    /// NX: only if the key does not exist; XX: only if it does.
    only_if: Option<bool>,
    get: bool,
}

impl SetOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut keep_ttl = false;
        for (at, option) in args.iter().enumerate() {
            let is = |word: &str| is(option, word);
            if is("nx") && options.only_if != Some(true) {
                options.only_if = Some(false);
            } else if is("xx") && options.only_if != Some(false) {
                options.only_if = Some(true);
            } else if is("get") {
                options.get = true;
            } else if is("keepttl") {
                // No key has a time to live yet, so it is kept.
                keep_ttl = true;
            } else if (is("ex") || is("px") || is("exat") || is("pxat")) && at + 1 < args.len() && !keep_ttl {
                return Err(CommandError::text("ERR EX, PX, EXAT and PXAT are not supported yet: keys do not expire"));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn setnx(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let absent = ctx.current_any(key).is_none();
    if absent {
        ctx.write(key.len() + value.len(), |writer| writer.set(key, value))?;
    }
    reply.integer(absent.into());
    Ok(Flow::Continue)
}

fn getset(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let old = ctx.current(key, Class::Text)?.and_then(copied);
    ctx.write(key.len() + value.len(), |writer| writer.set(key, value))?;
    reply.maybe_bulk(old.as_deref());
    Ok(Flow::Continue)
}

fn getdel(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let old = ctx.read(key, Class::Text)?.and_then(copied);
    if old.is_some() {
        ctx.write(key.len(), |writer| writer.delete(key))?;
    }
    reply.maybe_bulk(old.as_deref());
    Ok(Flow::Continue)
}

fn copied(view: View<'_>) -> Option<Vec<u8>> {
    view.text().map(Cow::into_owned)
}

fn mget(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = args.from(1);
    reply.array(keys.len());
    for key in keys.iter() {
        // A key of another type is no string, so there is none: MGET never fails.
        reply.maybe_bulk(ctx.read_if(key, Class::Text).as_ref().and_then(View::text).as_deref());
    }
    Ok(Flow::Continue)
}

fn mset(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let pairs = args.from(1);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Arity("mset".into()));
    }
    ctx.write(pairs.bytes(), |writer| {
        admit(writer, pairs.pairs().map(|(key, value)| (key, &b""[..], value.len())))?;
        pairs.pairs().try_for_each(|(key, value)| writer.set(key, value))
    })?;
    reply.ok();
    Ok(Flow::Continue)
}

fn append(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, tail) = (args.at(1), args.at(2));
    let mut value = ctx.current(key, Class::Text)?.and_then(copied).unwrap_or_default();
    value.extend_from_slice(tail);
    ctx.write(key.len() + value.len(), |writer| writer.set(key, &value))?;
    reply.count(value.len());
    Ok(Flow::Continue)
}

fn strlen(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Text)?;
    reply.count(view.map_or(0, |view| view.len()));
    Ok(Flow::Continue)
}

fn incr(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    add(ctx, args.at(1), 1, reply)
}

fn decr(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    add(ctx, args.at(1), -1, reply)
}

fn incrby(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    add(ctx, args.at(1), int_arg(&args[2])?, reply)
}

fn decrby(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let delta = int_arg(&args[2])?.checked_neg();
    add(ctx, args.at(1), delta.ok_or(CommandError::text("ERR decrement would overflow"))?, reply)
}

fn add(ctx: &mut Context<'_>, key: &[u8], delta: i64, reply: &mut Reply<'_>) -> Outcome {
    let sum = ctx.write(key.len() + size_of::<i64>(), |writer| writer.add(key, delta))?;
    reply.integer(sum);
    Ok(Flow::Continue)
}
