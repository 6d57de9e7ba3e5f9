//! Strings, and strings that are counted.
//!
//! A counter is a string whose value is its winning assignment plus every increment no applied SET or DEL has consumed:
//! so INCR goes to the engine as an increment, never as a read followed by a SET.

mod float;
mod lcs;
mod part;

use std::borrow::Cow;

use super::arguments::{Argument, KEY, block, double, integer, one_of, string, word};
use super::context::{Context, admit};
use super::contract::{Command, Flow, Handler, Outcome};
use super::deadline::Unit;
use super::error::CommandError;
use super::flags::{Categories, DENYOOM, FAST, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{ALL_KEYS, ONE_KEY, PAIRS, TWO_KEYS};
use super::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("string", name, arity, flags, handler).also(Categories::STRING).at(ONE_KEY)
}

const FAST_READ: Flags = READONLY.and(FAST);
const WRITES: Flags = WRITE.and(DENYOOM);
const FAST_WRITE: Flags = WRITES.and(FAST);

const SECONDS: Argument = integer("seconds").behind("EX");
const MILLIS: Argument = integer("milliseconds").behind("PX");
const SECONDS_AT: Argument = integer("unix-time-seconds").behind("EXAT");
const MILLIS_AT: Argument = integer("unix-time-milliseconds").behind("PXAT");

pub(super) const COMMANDS: &[Command] = &[
    command("get", 2, FAST_READ, get).about("1.0.0", "O(1)", "Reads a string.").takes(&[KEY]),
    command("set", -3, WRITES, set)
        .using_by(|args| {
            let tells = args.iter().skip(3).any(|option| is(option, "get"));
            if tells { &[KeyUse::CHANGES] } else { &[KeyUse::REPLACES] }
        })
        .about("1.0.0", "O(1)", "Makes a key a string, whatever it was.")
        .changed(&[("6.2.0", "Added GET."), ("7.0.0", "NX and GET may be used together.")])
        .takes(&[
            KEY,
            string("value"),
            one_of("condition", &[word("NX"), word("XX")]).optional(),
            word("GET").optional(),
            one_of("expiration", &[SECONDS, MILLIS, SECONDS_AT, MILLIS_AT, word("KEEPTTL")]).optional(),
        ]),
    command("setex", 4, WRITES, setex)
        .using(&[KeyUse::REPLACES])
        .about("2.0.0", "O(1)", "Sets a string that ends in some seconds.")
        .takes(&[KEY, integer("seconds"), string("value")]),
    command("psetex", 4, WRITES, psetex)
        .using(&[KeyUse::REPLACES])
        .about("2.6.0", "O(1)", "Sets a string that ends in some milliseconds.")
        .takes(&[KEY, integer("milliseconds"), string("value")]),
    command("getex", -2, WRITE.and(FAST), getex)
        .about("6.2.0", "O(1)", "Reads a string, and says when it ends.")
        .takes(&[KEY, one_of("expiration", &[SECONDS, MILLIS, SECONDS_AT, MILLIS_AT, word("PERSIST")]).optional()]),
    command("mget", -2, FAST_READ, mget)
        .about("1.0.0", "O(N), N the keys", "Reads several strings.")
        .at(ALL_KEYS)
        .takes(&[KEY.multiple()]),
    command("mset", -3, WRITES, mset)
        .using(&[KeyUse::REPLACES])
        .about("1.0.1", "O(N), N the keys", "Sets several strings in one event.")
        .at(PAIRS)
        .takes(&[block("data", &[KEY, string("value")]).multiple()]),
    command("msetnx", -3, WRITES, msetnx)
        .using(&[KeyUse::CREATES])
        .about("1.0.1", "O(N), N the keys", "Sets several strings in one event if there is none of the keys here.")
        .at(PAIRS)
        .takes(&[block("data", &[KEY, string("value")]).multiple()]),
    command("setnx", 3, FAST_WRITE, setnx)
        .using(&[KeyUse::CREATES])
        .about("1.0.0", "O(1)", "Sets a string if there is no such key here.")
        .takes(&[KEY, string("value")]),
    command("getset", 3, FAST_WRITE, getset)
        .about("1.0.0", "O(1)", "Sets a string and answers the one before.")
        .takes(&[KEY, string("value")]),
    command("getdel", 2, WRITE.and(FAST), getdel)
        .using(&[KeyUse::TAKES])
        .about("6.2.0", "O(1)", "Reads a string and deletes it.")
        .takes(&[KEY]),
    command("append", 3, FAST_WRITE, append)
        .using(&[KeyUse::ADDS])
        .about("2.0.0", "O(N), N the bytes of the string", "Appends to a string.")
        .takes(&[KEY, string("value")]),
    command("strlen", 2, FAST_READ, strlen)
        .using(&[KeyUse::EXAMINES])
        .about("2.2.0", "O(1)", "Tells the length of a string.")
        .takes(&[KEY]),
    command("getrange", 4, READONLY, part::getrange)
        .about("2.4.0", "O(N), N the bytes read", "Reads a part of a string.")
        .takes(PART),
    command("substr", 4, READONLY, part::getrange)
        .about("1.0.0", "O(N), N the bytes read", "Reads a part of a string: an older name of GETRANGE.")
        .takes(PART),
    command("setrange", 4, WRITES, part::setrange)
        .using(&[KeyUse::UPDATES])
        .about("2.2.0", "O(N), N the bytes of the string", "Overwrites a part of a string.")
        .takes(&[KEY, integer("offset"), string("value")]),
    command("lcs", -3, READONLY, lcs::lcs)
        .about(
            "7.0.0",
            "O(N*M), N and M the bytes of the strings",
            "Finds the longest common subsequence of two strings.",
        )
        .at(TWO_KEYS)
        .takes(&[
            KEY.called("key1"),
            KEY.called("key2"),
            word("LEN").optional(),
            word("IDX").optional(),
            integer("min-match-len").behind("MINMATCHLEN").optional(),
            word("WITHMATCHLEN").optional(),
        ]),
    command("incr", 2, FAST_WRITE, incr).about("1.0.0", "O(1)", "Adds one to a counter.").takes(&[KEY]),
    command("incrby", 3, FAST_WRITE, incrby)
        .about("1.0.0", "O(1)", "Adds to a counter.")
        .takes(&[KEY, integer("increment")]),
    command("decr", 2, FAST_WRITE, decr).about("1.0.0", "O(1)", "Subtracts one from a counter.").takes(&[KEY]),
    command("decrby", 3, FAST_WRITE, decrby)
        .about("1.0.0", "O(1)", "Subtracts from a counter.")
        .takes(&[KEY, integer("decrement")]),
    command("incrbyfloat", 3, FAST_WRITE, float::incrbyfloat)
        .about("2.6.0", "O(1)", "Adds a fraction to a number.")
        .takes(&[KEY, double("increment")]),
];

const PART: &[Argument] = &[KEY, integer("start"), integer("end")];

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
    let options = SetOptions::parse(args.from(3), Extra::Set)?;
    let deadline = options.deadline(ctx, "set")?;
    let old = ctx.current_any(key);
    let exists = old.is_some();
    // The old value is copied: the write below replaces it.
    let old = match old {
        Some(view) if options.get => Some(view.text().ok_or(CommandError::WrongType)?.into_owned()),
        _ => None,
    };
    let wanted = options.only_if.is_none_or(|wanted| wanted == exists);
    if wanted {
        ctx.write(key.len() + value.len(), |writer| match options.ends {
            Ends::Keep => writer.set_keeping(key, value),
            _ => writer.set_until(key, value, deadline),
        })?;
        if deadline.is_some() {
            ctx.also_happened("expire");
        }
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

/// What follows the value of a SET, or the key of a GETEX.
#[derive(Default)]
struct SetOptions<'a> {
    /// NX: only if the key does not exist; XX: only if it does.
    only_if: Option<bool>,
    get: bool,
    ends: Ends<'a>,
}

/// When a key is to end.
#[derive(Clone, Copy, Default)]
enum Ends<'a> {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// EX, PX, EXAT, PXAT.
    At(Unit, &'a [u8]),
    /// KEEPTTL: when it ends already.
    Keep,
    /// PERSIST: never.
    Never,
}

/// Whose options they are: what besides times the command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    Set,
    Getex,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>, extra: Extra) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 0;
        while let Some(option) = args.get(at) {
            at += 1;
            let is = |word: &str| is(option, word);
            let (is_set, unsaid) = (extra == Extra::Set, matches!(options.ends, Ends::Unsaid));
            if is_set && is("nx") && options.only_if != Some(true) {
                options.only_if = Some(false);
            } else if is_set && is("xx") && options.only_if != Some(false) {
                options.only_if = Some(true);
            } else if is_set && is("get") {
                options.get = true;
            } else if is_set && is("keepttl") && (unsaid || matches!(options.ends, Ends::Keep)) {
                options.ends = Ends::Keep;
            } else if !is_set && is("persist") && (unsaid || matches!(options.ends, Ends::Never)) {
                options.ends = Ends::Never;
            } else if let (Some(unit), Some(time)) = (Unit::of_option(option), args.get(at))
                && (unsaid || matches!(options.ends, Ends::At(known, _) if known == unit))
            {
                options.ends = Ends::At(unit, time);
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// The time that is given, if there is one.
    fn deadline(&self, ctx: &Context<'_>, command: &str) -> Result<Option<u64>, CommandError> {
        let Ends::At(unit, time) = self.ends else { return Ok(None) };
        unit.positive_time(ctx, time, command).map(Some)
    }
}

fn setex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set_for(ctx, args, (Unit::SECONDS, "setex"), reply)
}

fn psetex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set_for(ctx, args, (Unit::MILLIS, "psetex"), reply)
}

fn set_for(ctx: &mut Context<'_>, args: Args<'_>, (unit, name): (Unit, &str), reply: &mut Reply<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(3));
    let deadline = unit.positive_time(ctx, &args[2], name)?;
    ctx.write(key.len() + value.len(), |writer| writer.set_until(key, value, Some(deadline)))?;
    ctx.also_happened("expire");
    reply.ok();
    Ok(Flow::Continue)
}

fn getex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let options = SetOptions::parse(args.from(2), Extra::Getex)?;
    let Some(value) = ctx.read(key, Class::Text)?.and_then(copied) else {
        reply.null();
        return Ok(Flow::Continue);
    };
    let deadline = options.deadline(ctx, "getex")?;
    if deadline.is_some() || matches!(options.ends, Ends::Never) {
        ctx.write(key.len(), |writer| writer.expire(key, deadline))?;
        ctx.happened_as(if deadline.is_some() { "expire" } else { "persist" });
    }
    reply.bulk(&value);
    Ok(Flow::Continue)
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
    set_all(ctx, pairs(args, "mset")?)?;
    reply.ok();
    Ok(Flow::Continue)
}

fn msetnx(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let pairs = pairs(args, "msetnx")?;
    let are_absent = pairs.pairs().all(|(key, _)| ctx.current_any(key).is_none());
    if are_absent {
        set_all(ctx, pairs)?;
    }
    reply.integer(are_absent.into());
    Ok(Flow::Continue)
}

fn pairs<'a>(args: Args<'a>, name: &'static str) -> Result<Args<'a>, CommandError> {
    let pairs = args.from(1);
    if pairs.len().is_multiple_of(2) { Ok(pairs) } else { Err(CommandError::Arity(name.into())) }
}

fn set_all(ctx: &mut Context<'_>, pairs: Args<'_>) -> Result<(), CommandError> {
    ctx.write(pairs.bytes(), |writer| {
        admit(writer, pairs.pairs().map(|(key, value)| (key, &b""[..], value.len())))?;
        pairs.pairs().try_for_each(|(key, value)| writer.set(key, value))
    })
    .map_err(CommandError::from)
}

fn append(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, tail) = (args.at(1), args.at(2));
    let mut value = ctx.current(key, Class::Text)?.and_then(copied).unwrap_or_default();
    value.extend_from_slice(tail);
    ctx.write(key.len() + value.len(), |writer| writer.set_keeping(key, &value))?;
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
