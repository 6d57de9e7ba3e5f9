//! Hashes: each field is on its own, a string or a counter; a field set while another replica deletes the key stays.

mod draw;
mod expire;
mod float;

use super::arguments::{Argument, KEY, block, double, integer, one_of, pattern, string, word};
use super::context::{Context, admit};
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{Categories, DENYOOM, FAST, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::ONE_KEY;
use super::options::int_arg;
use super::scan::Target;
use super::{collection, scan};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View, WriteError};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("hash", name, arity, flags, handler).also(Categories::HASH).at(ONE_KEY)
}

const FAST_READ: Flags = READONLY.and(FAST);
const FAST_WRITE: Flags = WRITE.and(DENYOOM).and(FAST);
const PAIRS: &[Argument] = &[KEY, block("data", &[string("field"), string("value")]).multiple()];
const FIELDS: &[Argument] = &[KEY, string("field").multiple()];

/// Fields that are counted first.
const NAMED: Argument = block("fields", &[integer("numfields"), string("field").multiple()]).behind("FIELDS");
const CONDITION: Argument = one_of("condition", &[word("NX"), word("XX"), word("GT"), word("LT")]).optional();
const EACH: &str = "O(N), N the fields given";

pub(super) const COMMANDS: &[Command] = &[
    command("hset", -4, FAST_WRITE, hset)
        .using(&[KeyUse::UPDATES])
        .about("2.0.0", "O(N), N the fields given", "Sets fields of a hash.")
        .changed(&[("4.0.0", "Accepts several fields.")])
        .takes(PAIRS),
    command("hmset", -4, FAST_WRITE, hmset)
        .using(&[KeyUse::UPDATES])
        .about("2.0.0", "O(N), N the fields given", "Sets fields of a hash.")
        .takes(PAIRS),
    command("hget", 3, FAST_READ, hget)
        .about("2.0.0", "O(1)", "Reads a field of a hash.")
        .takes(&[KEY, string("field")]),
    command("hmget", -3, FAST_READ, hmget)
        .about("2.0.0", "O(N), N the fields given", "Reads several fields of a hash.")
        .takes(FIELDS),
    command("hgetall", 2, READONLY, hgetall)
        .about("2.0.0", "O(N), N the fields", "Reads all fields of a hash.")
        .takes(&[KEY]),
    command("hdel", -3, WRITE.and(FAST), hdel)
        .using(&[KeyUse::REMOVES])
        .about("2.0.0", "O(N), N the fields given", "Deletes fields of a hash.")
        .changed(&[("2.4.0", "Accepts several fields.")])
        .takes(FIELDS),
    command("hexists", 3, FAST_READ, hexists)
        .using(&[KeyUse::EXAMINES])
        .about("2.0.0", "O(1)", "Tells whether a hash has a field.")
        .takes(&[KEY, string("field")]),
    command("hlen", 2, FAST_READ, hlen)
        .using(&[KeyUse::EXAMINES])
        .about("2.0.0", "O(1)", "Counts the fields of a hash.")
        .takes(&[KEY]),
    command("hkeys", 2, READONLY, hkeys)
        .about("2.0.0", "O(N), N the fields", "Lists the fields of a hash.")
        .takes(&[KEY]),
    command("hvals", 2, READONLY, hvals)
        .about("2.0.0", "O(N), N the fields", "Lists the values of a hash.")
        .takes(&[KEY]),
    command("hincrby", 4, FAST_WRITE, hincrby).about("2.0.0", "O(1)", "Adds to a counter in a hash.").takes(&[
        KEY,
        string("field"),
        integer("increment"),
    ]),
    command("hincrbyfloat", 4, FAST_WRITE, float::hincrbyfloat)
        .about("2.6.0", "O(1)", "Adds a fraction to a number in a hash.")
        .takes(&[KEY, string("field"), double("increment")]),
    command("hsetnx", 4, FAST_WRITE, hsetnx)
        .using(&[KeyUse::ADDS])
        .about("2.0.0", "O(1)", "Sets a field of a hash if there is no such field here.")
        .takes(&[KEY, string("field"), string("value")]),
    command("hstrlen", 3, FAST_READ, hstrlen)
        .using(&[KeyUse::EXAMINES])
        .about("3.2.0", "O(1)", "Tells the length of a field of a hash.")
        .takes(&[KEY, string("field")]),
    command("hrandfield", -2, READONLY, draw::hrandfield)
        .about("6.2.0", "O(N), N the fields asked for", "Reads fields of a hash at random.")
        .takes(&[KEY, block("options", &[integer("count"), word("WITHVALUES").optional()]).optional()]),
    command("hexpire", -6, FAST_WRITE, expire::hexpire)
        .using(&[KeyUse::UPDATES])
        .about("7.4.0", EACH, "Sets in how many seconds fields of a hash end.")
        .takes(&[KEY, integer("seconds"), CONDITION, NAMED]),
    command("hpexpire", -6, FAST_WRITE, expire::hpexpire)
        .using(&[KeyUse::UPDATES])
        .about("7.4.0", EACH, "Sets in how many milliseconds fields of a hash end.")
        .takes(&[KEY, integer("milliseconds"), CONDITION, NAMED]),
    command("hexpireat", -6, FAST_WRITE, expire::hexpireat)
        .using(&[KeyUse::UPDATES])
        .about("7.4.0", EACH, "Sets at which second fields of a hash end.")
        .takes(&[KEY, integer("unix-time-seconds"), CONDITION, NAMED]),
    command("hpexpireat", -6, FAST_WRITE, expire::hpexpireat)
        .using(&[KeyUse::UPDATES])
        .about("7.4.0", EACH, "Sets at which millisecond fields of a hash end.")
        .takes(&[KEY, integer("unix-time-milliseconds"), CONDITION, NAMED]),
    command("hpersist", -5, WRITE.and(FAST), expire::hpersist)
        .using(&[KeyUse::UPDATES])
        .about("7.4.0", EACH, "Has fields of a hash not end by themselves.")
        .takes(&[KEY, NAMED]),
    command("httl", -5, FAST_READ, expire::httl)
        .about("7.4.0", EACH, "Tells in how many seconds fields of a hash end.")
        .takes(&[KEY, NAMED]),
    command("hpttl", -5, FAST_READ, expire::hpttl)
        .about("7.4.0", EACH, "Tells in how many milliseconds fields of a hash end.")
        .takes(&[KEY, NAMED]),
    command("hexpiretime", -5, FAST_READ, expire::hexpiretime)
        .about("7.4.0", EACH, "Tells at which second fields of a hash end.")
        .takes(&[KEY, NAMED]),
    command("hpexpiretime", -5, FAST_READ, expire::hpexpiretime)
        .about("7.4.0", EACH, "Tells at which millisecond fields of a hash end.")
        .takes(&[KEY, NAMED]),
    command("hgetex", -5, FAST_WRITE, expire::hgetex)
        .about("8.0.0", EACH, "Reads fields of a hash, and sets when they end.")
        .takes(&[
            KEY,
            one_of(
                "expiration",
                &[
                    integer("seconds").behind("EX"),
                    integer("milliseconds").behind("PX"),
                    integer("unix-time-seconds").behind("EXAT"),
                    integer("unix-time-milliseconds").behind("PXAT"),
                    word("PERSIST"),
                ],
            )
            .optional(),
            NAMED,
        ]),
    command("hsetex", -6, FAST_WRITE, expire::hsetex)
        .using(&[KeyUse::UPDATES])
        .about("8.0.0", EACH, "Sets fields of a hash, and when they end.")
        .takes(&[
            KEY,
            one_of("condition", &[word("FNX"), word("FXX")]).optional(),
            one_of(
                "expiration",
                &[
                    integer("seconds").behind("EX"),
                    integer("milliseconds").behind("PX"),
                    integer("unix-time-seconds").behind("EXAT"),
                    integer("unix-time-milliseconds").behind("PXAT"),
                    word("KEEPTTL"),
                ],
            )
            .optional(),
            block("fields", &[integer("numfields"), block("data", &[string("field"), string("value")]).multiple()])
                .behind("FIELDS"),
        ]),
    command("hgetdel", -5, WRITE.and(FAST), expire::hgetdel)
        .using(&[KeyUse::TAKES])
        .about("8.0.0", EACH, "Reads fields of a hash and deletes them.")
        .takes(&[KEY, NAMED]),
    command("hscan", -3, READONLY, hscan)
        .about("2.8.0", "O(1) a call, O(N) a walk, N the fields", "Walks over the fields of a hash.")
        .takes(&[
            KEY,
            integer("cursor"),
            pattern("pattern").behind("MATCH").optional(),
            integer("count").behind("COUNT").optional(),
        ]),
];

fn hset(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let added = put(ctx, args, "hset")?;
    reply.count(added);
    Ok(Flow::Continue)
}

fn hmset(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    put(ctx, args, "hmset")?;
    reply.ok();
    Ok(Flow::Continue)
}

/// Sets the fields; says how many are new.
fn put(ctx: &mut Context<'_>, args: Args<'_>, name: &'static str) -> Result<usize, CommandError> {
    let (key, fields) = (args.at(1), args.from(2));
    if !fields.len().is_multiple_of(2) {
        return Err(CommandError::Arity(name.into()));
    }
    ctx.write(args.bytes(), |writer| {
        admit(writer, fields.pairs().map(|(field, value)| (key, field, value.len())))?;
        let mut added = 0;
        for (field, value) in fields.pairs() {
            added += usize::from(writer.insert(key, Class::Hash, field, value)?);
        }
        Ok::<_, WriteError>(added)
    })
    .map_err(CommandError::from)
}

fn hget(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Hash)?;
    reply.maybe_bulk(view.as_ref().and_then(|view| view.get(&args[2])).as_deref());
    Ok(Flow::Continue)
}

fn hstrlen(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Hash)?;
    reply.count(view.and_then(|view| view.get(&args[2])).map_or(0, |value| value.len()));
    Ok(Flow::Continue)
}

fn hsetnx(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, field, value) = (args.at(1), args.at(2), args.at(3));
    let is_absent = !ctx.current(key, Class::Hash)?.is_some_and(|view| view.contains(field));
    if is_absent {
        ctx.write(args.bytes(), |writer| writer.insert(key, Class::Hash, field, value))?;
    }
    reply.integer(is_absent.into());
    Ok(Flow::Continue)
}

fn hmget(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Hash)?;
    let fields = args.from(2);
    reply.array(fields.len());
    for field in fields.iter() {
        reply.maybe_bulk(view.as_ref().and_then(|view| view.get(field)).as_deref());
    }
    Ok(Flow::Continue)
}

fn hgetall(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Hash)?;
    reply.map(view.as_ref().map_or(0, View::len));
    for (field, value) in view.iter().flat_map(View::iter) {
        reply.bulk(field);
        reply.bulk(&value);
    }
    Ok(Flow::Continue)
}

fn hkeys(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Hash)?;
    reply.array(view.as_ref().map_or(0, View::len));
    for (field, _) in view.iter().flat_map(View::iter) {
        reply.bulk(field);
    }
    Ok(Flow::Continue)
}

fn hvals(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Hash)?;
    reply.array(view.as_ref().map_or(0, View::len));
    for (_, value) in view.iter().flat_map(View::iter) {
        reply.bulk(&value);
    }
    Ok(Flow::Continue)
}

fn hdel(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::remove(ctx, args, Class::Hash, reply)
}

fn hexists(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::contains(ctx, args, Class::Hash, reply)
}

fn hlen(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::length(ctx, args, Class::Hash, reply)
}

fn hincrby(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, field, delta) = (args.at(1), args.at(2), int_arg(&args[3])?);
    let bytes = key.len() + field.len() + size_of::<i64>();
    let sum = ctx.write(bytes, |writer| writer.add_field(key, field, delta)).map_err(CommandError::of_field)?;
    reply.integer(sum);
    Ok(Flow::Continue)
}

fn hscan(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    scan::elements(ctx, args, Class::Hash, Target::Fields, reply)
}
