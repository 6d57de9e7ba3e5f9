//! Commands on keys of any type.

mod expire;
mod object;
mod rename;
mod serial;
mod sort;
mod wait;

use super::arguments::{Argument, KEY, block, integer, one_of, pattern, string, word};
use super::context::{Context, WALK_KEYS, admit};
use super::contract::{Command, Flow, Handler, Outcome};
use super::flags::{Categories, DENYOOM, FAST, Flags, LOADING, MOVABLEKEYS, NOSCRIPT, READONLY, STALE, WRITE};
use super::key_use::KeyUse;
use super::keys::{ALL_KEYS, KEY_AND_STORE, ONE_KEY, SECOND, TWO_KEYS};
use super::random::Random;
use super::{glob, help, scan};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::WriteError;

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("generic", name, arity, flags, handler)
}

const FAST_READ: Flags = READONLY.and(FAST);
const KEYSPACE: Categories = Categories::KEYSPACE;
const KEYS: &[Argument] = &[KEY.multiple()];

pub(super) const COMMANDS: &[Command] = &[
    command("type", 2, FAST_READ, type_of)
        .using(&[KeyUse::EXAMINES])
        .about("1.0.0", "O(1)", "Tells the type of the value at a key.")
        .also(KEYSPACE)
        .at(ONE_KEY)
        .takes(&[KEY]),
    command("exists", -2, FAST_READ, exists)
        .using(&[KeyUse::EXAMINES])
        .about("1.0.0", "O(N), N the keys", "Counts those of the keys that exist.")
        .changed(&[("3.0.3", "Accepts several keys.")])
        .also(KEYSPACE)
        .at(ALL_KEYS)
        .takes(KEYS),
    command("touch", -2, FAST_READ, touch)
        .using(&[KeyUse::EXAMINES])
        .about("3.2.1", "O(N), N the keys", "Counts those of the keys that exist, which have been used then.")
        .also(KEYSPACE)
        .at(ALL_KEYS)
        .takes(KEYS),
    command("randomkey", 1, READONLY, randomkey).about("1.0.0", "O(1)", "Names a key at random.").also(KEYSPACE),
    command("rename", 3, WRITE, rename::rename)
        .using(&[KeyUse::TAKES, KeyUse::REPLACES])
        .about("1.0.0", ELEMENTS, "Puts a key's value under another name.")
        .changed(&[("3.2.0", "The names may be the same.")])
        .also(KEYSPACE)
        .at(TWO_KEYS)
        .takes(NAMES),
    command("renamenx", 3, WRITE.and(FAST), rename::renamenx)
        .using(&[KeyUse::TAKES, KeyUse::CREATES])
        .about("1.0.0", ELEMENTS, "Puts a key's value under another name if there is no such key here.")
        .changed(&[("3.2.0", "The names may be the same.")])
        .also(KEYSPACE)
        .at(TWO_KEYS)
        .takes(NAMES),
    command("copy", -3, WRITE.and(DENYOOM), rename::copy)
        .using(&[KeyUse::READS, KeyUse::REPLACES])
        .about("6.2.0", ELEMENTS, "Puts a copy of a key's value under another name.")
        .also(KEYSPACE)
        .at(TWO_KEYS)
        .takes(&[
            KEY.called("source"),
            KEY.called("destination"),
            integer("destination-db").behind("DB").optional(),
            word("REPLACE").optional(),
        ]),
    command("move", 3, WRITE.and(FAST), rename::move_to)
        .about("1.0.0", ELEMENTS, "Puts a key's value into another database if there is no such key there.")
        .also(KEYSPACE)
        .at(ONE_KEY)
        .takes(&[KEY, integer("db")]),
    command("sort", -2, WRITE.and(DENYOOM), sort::sort)
        .using(&[KeyUse::READS, KeyUse::REPLACES])
        .about("1.0.0", SORTED, "Lists the elements of a list, a set or a sorted set in an order, or stores them so.")
        .also(SORTABLE)
        .at(KEY_AND_STORE)
        .takes(&[
            KEY,
            BY,
            LIMIT,
            GET,
            ORDER,
            word("ALPHA").optional(),
            KEY.called("destination").behind("STORE").optional(),
        ]),
    command("sort_ro", -2, READONLY.and(MOVABLEKEYS), sort::sort_ro)
        .about("7.0.0", SORTED, "Lists the elements of a list, a set or a sorted set in an order.")
        .also(SORTABLE)
        .at(ONE_KEY)
        .takes(&[KEY, BY, LIMIT, GET, ORDER, word("ALPHA").optional()]),
    command("dump", 2, READONLY, serial::dump)
        .about("2.6.0", ELEMENTS, "Serializes a key's value as Redis does.")
        .also(KEYSPACE)
        .at(ONE_KEY)
        .takes(&[KEY]),
    command("restore", -4, WRITE.and(DENYOOM), serial::restore)
        .using(&[KeyUse::REPLACES])
        .about("2.6.0", ELEMENTS, "Makes a key of a serialized value.")
        .changed(&[("3.0.0", "Added REPLACE."), ("5.0.0", "Added ABSTTL."), ("5.0.0", "Added IDLETIME and FREQ.")])
        .also(KEYSPACE.and(Categories::DANGEROUS))
        .at(ONE_KEY)
        .takes(&[
            KEY,
            integer("ttl"),
            string("serialized-value"),
            word("REPLACE").optional(),
            word("ABSTTL").optional(),
            integer("seconds").behind("IDLETIME").optional(),
            integer("frequency").behind("FREQ").optional(),
        ]),
    Command::container(
        "generic",
        "object",
        &[
            object("object|encoding", object::encoding, "Tells how Redis would keep the value."),
            object(
                "object|freq",
                object::freq,
                "Tells how often a key was used lately, from 0 to 255, if uses are counted.",
            )
            .since("4.0.0"),
            object(
                "object|idletime",
                object::idletime,
                "Tells how many seconds ago a key was last used, or written if uses are not kept.",
            ),
            object("object|refcount", object::refcount, "Tells how many share the value: one."),
            command("object|help", 2, LOADING.and(STALE), help::help)
                .about("6.2.0", "O(1)", "Lists these commands.")
                .also(KEYSPACE),
        ],
    )
    .about("2.2.3", "Depends on the subcommand", "Commands about how values are kept."),
    command("del", -2, WRITE, del)
        .using(&[KeyUse::DELETES])
        .about("1.0.0", "O(N), N the keys and their elements", "Deletes keys.")
        .also(KEYSPACE)
        .at(ALL_KEYS)
        .takes(KEYS),
    command("unlink", -2, WRITE.and(FAST), del)
        .using(&[KeyUse::DELETES])
        .about("4.0.0", "O(N), N the keys and their elements", "Deletes keys.")
        .also(KEYSPACE)
        .at(ALL_KEYS)
        .takes(KEYS),
    command("keys", 2, READONLY, keys)
        .about("1.0.0", "O(N), N all keys", "Lists the keys that match a pattern.")
        .also(KEYSPACE.and(Categories::DANGEROUS))
        .takes(&[pattern("pattern")]),
    command("scan", -2, READONLY, scan::keys)
        .about("2.8.0", "O(1) a call, O(N) a walk, N all keys", "Walks over the keys.")
        .changed(&[("6.0.0", "Added TYPE.")])
        .also(KEYSPACE)
        .takes(&[
            integer("cursor"),
            pattern("pattern").behind("MATCH").optional(),
            integer("count").behind("COUNT").optional(),
            string("type").behind("TYPE").optional(),
        ]),
    timed("expire", expire::expire).takes(SECONDS),
    timed("pexpire", expire::pexpire).since("2.6.0").takes(MILLIS),
    timed("expireat", expire::expireat).since("1.2.0").takes(SECONDS_AT),
    timed("pexpireat", expire::pexpireat).since("2.6.0").takes(MILLIS_AT),
    command("persist", 2, WRITE.and(FAST), expire::persist)
        .using(&[KeyUse::UPDATES])
        .about("2.2.0", "O(1)", "Has a key never end.")
        .also(KEYSPACE)
        .at(ONE_KEY)
        .takes(&[KEY]),
    told("ttl", "1.0.0", expire::ttl, "Tells in how many seconds a key ends.").changed(TTL_CHANGED),
    told("pttl", "2.6.0", expire::pttl, "Tells in how many milliseconds a key ends.").changed(TTL_CHANGED),
    told("expiretime", "7.0.0", expire::expiretime, "Tells at which second a key ends."),
    told("pexpiretime", "7.0.0", expire::pexpiretime, "Tells at which millisecond a key ends."),
    command("waitaof", 4, NOSCRIPT, wait::waitaof)
        .about("7.2.0", "O(1)", "Waits until this connection's writes are on disk, here and elsewhere.")
        .also(Categories::CONNECTION)
        .takes(&[integer("numlocal"), integer("numreplicas"), integer("timeout")]),
    command("wait", 3, NOSCRIPT, wait::wait)
        .about("3.0.0", "O(1)", "Waits until other replicas have this connection's writes and counts them.")
        .also(Categories::CONNECTION)
        .takes(&[integer("numreplicas"), integer("timeout")]),
];

const ELEMENTS: &str = "O(N), N the elements of the key";
const SORTED: &str = "O(N+N*log(N)), N the elements; without an order O(N)";
const SORTABLE: Categories =
    Categories::SET.and(Categories::SORTEDSET).and(Categories::LIST).and(Categories::DANGEROUS);
const NAMES: &[Argument] = &[KEY, KEY.called("newkey")];
const BY: Argument = pattern("by-pattern").behind("BY").optional();
const GET: Argument = pattern("get-pattern").behind("GET").optional().multiple();
const LIMIT: Argument = block("limit", &[integer("offset"), integer("count")]).behind("LIMIT").optional();
const ORDER: Argument = one_of("order", &[word("ASC"), word("DESC")]).optional();

const fn object(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    command(name, 3, READONLY, handler)
        .about("2.2.3", "O(1)", summary)
        .also(KEYSPACE)
        .at(SECOND)
        .using(&[KeyUse::EXAMINES])
        .takes(&[KEY])
}

const fn timed(name: &'static str, handler: Handler) -> Command {
    command(name, -3, WRITE.and(FAST), handler)
        .about("1.0.0", "O(1)", "Says when a key ends.")
        .changed(&[("7.0.0", "Added the conditions NX, XX, GT and LT.")])
        .also(KEYSPACE)
        .at(ONE_KEY)
        .using(&[KeyUse::UPDATES])
}

const fn told(name: &'static str, since: &'static str, handler: Handler, summary: &'static str) -> Command {
    command(name, 2, FAST_READ, handler).about(since, "O(1)", summary).also(KEYSPACE).at(ONE_KEY).takes(&[KEY])
}

const CONDITION: Argument = one_of("condition", &[word("NX"), word("XX"), word("GT"), word("LT")]).optional();
const SECONDS: &[Argument] = &[KEY, integer("seconds"), CONDITION];
const MILLIS: &[Argument] = &[KEY, integer("milliseconds"), CONDITION];
const SECONDS_AT: &[Argument] = &[KEY, integer("unix-time-seconds"), CONDITION];
const MILLIS_AT: &[Argument] = &[KEY, integer("unix-time-milliseconds"), CONDITION];
const TTL_CHANGED: &[(&str, &str)] = &[("2.8.0", "Added the -2 reply.")];

fn exists(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(args.from(1).iter().filter(|key| ctx.peek(key).is_some()).count());
    Ok(Flow::Continue)
}

fn touch(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(args.from(1).iter().filter(|key| ctx.read_any(key).is_some()).count());
    Ok(Flow::Continue)
}

/// DEL and UNLINK: memory is freed at once in both.
fn del(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = args.from(1);
    let deleted = ctx.write(keys.bytes(), |writer| {
        admit(writer, keys.iter().map(|key| (key, &b""[..], 0)))?;
        let mut deleted = 0usize;
        for key in keys.iter() {
            deleted += usize::from(writer.delete(key)?);
        }
        Ok::<_, WriteError>(deleted)
    })?;
    reply.count(deleted);
    Ok(Flow::Continue)
}

fn type_of(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.simple(ctx.peek(&args[1]).map_or("none", |view| view.class().word()));
    Ok(Flow::Continue)
}

fn randomkey(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut random = Random::new();
    reply.maybe_bulk(ctx.draw_key(|max| random.below(max)).as_deref());
    Ok(Flow::Continue)
}

fn keys(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let pattern = args.at(1);
    reply.array_of(|items| {
        let mut cursor = 0;
        loop {
            cursor = ctx.scan(cursor, WALK_KEYS, |key, _| {
                if glob::matches(pattern, key) {
                    items.one().bulk(key);
                }
            });
            if cursor == 0 {
                break;
            }
        }
    });
    Ok(Flow::Continue)
}
