//! Sets: an add and a concurrent remove of the same member leave it in.

mod combine;
mod draw;

use super::arguments::{Argument, KEY, integer, pattern, string};
use super::context::{Context, admit};
use super::contract::{Command, Flow, Handler, Outcome};
use super::flags::{Categories, DENYOOM, FAST, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{ALL_KEYS, COUNTED, KeySpec, ONE_KEY, TWO_KEYS};
use super::scan::Target;
use super::{collection, scan};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View, WriteError};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("set", name, arity, flags, handler).also(Categories::SET).at(ONE_KEY)
}

/// One that takes other keys than its first argument.
const fn over(keys: &'static [KeySpec], name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("set", name, arity, flags, handler).also(Categories::SET).at(keys)
}

const FAST_READ: Flags = READONLY.and(FAST);
const MEMBERS: &[Argument] = &[KEY, string("member").multiple()];

pub(super) const COMMANDS: &[Command] = &[
    command("sadd", -3, WRITE.and(DENYOOM).and(FAST), sadd)
        .using(&[KeyUse::ADDS])
        .about("1.0.0", "O(N), N the members given", "Adds members to a set.")
        .changed(&[("2.4.0", "Accepts several members.")])
        .takes(MEMBERS),
    command("srem", -3, WRITE.and(FAST), srem)
        .using(&[KeyUse::REMOVES])
        .about("1.0.0", "O(N), N the members given", "Removes members from a set.")
        .changed(&[("2.4.0", "Accepts several members.")])
        .takes(MEMBERS),
    command("sismember", 3, FAST_READ, sismember)
        .using(&[KeyUse::EXAMINES])
        .about("1.0.0", "O(1)", "Tells whether a set has a member.")
        .takes(&[KEY, string("member")]),
    command("smismember", -3, FAST_READ, smismember)
        .about("6.2.0", "O(N), N the members given", "Tells which of the members a set has.")
        .takes(MEMBERS),
    command("smembers", 2, READONLY, smembers)
        .about("1.0.0", "O(N), N the members", "Lists the members of a set.")
        .takes(&[KEY]),
    command("scard", 2, FAST_READ, scard)
        .using(&[KeyUse::EXAMINES])
        .about("1.0.0", "O(1)", "Counts the members of a set.")
        .takes(&[KEY]),
    command("sscan", -3, READONLY, sscan)
        .about("2.8.0", "O(1) a call, O(N) a walk, N the members", "Walks over the members of a set.")
        .takes(&[
            KEY,
            integer("cursor"),
            pattern("pattern").behind("MATCH").optional(),
            integer("count").behind("COUNT").optional(),
        ]),
    command("srandmember", -2, READONLY, draw::srandmember)
        .about("1.0.0", "O(N), N the members asked for", "Reads members at random.")
        .changed(&[("2.6.0", "Added the count.")])
        .takes(&[KEY, integer("count").optional()]),
    command("spop", -2, WRITE.and(FAST), draw::spop)
        .using(&[KeyUse::TAKES])
        .about("1.0.0", "O(N), N the members asked for", "Removes members at random, and returns them.")
        .changed(&[("3.2.0", "Added the count.")])
        .takes(&[KEY, integer("count").optional()]),
    over(TWO_KEYS, "smove", 4, WRITE.and(FAST), draw::smove)
        .using(&[KeyUse::TAKES, KeyUse::ADDS])
        .about("1.0.0", "O(1)", "Moves a member from one set to another.")
        .takes(&[KEY.called("source"), DESTINATION, string("member")]),
    over(ALL_KEYS, "sunion", -2, READONLY, combine::sunion)
        .about("1.0.0", "O(N), N the members of all sets", "Lists the members of any of several sets.")
        .takes(KEYS),
    over(ALL_KEYS, "sinter", -2, READONLY, combine::sinter)
        .about(
            "1.0.0",
            "O(N*M), N the members of the smallest set, M the sets",
            "Lists the members of all of several sets.",
        )
        .takes(KEYS),
    over(ALL_KEYS, "sdiff", -2, READONLY, combine::sdiff)
        .about("1.0.0", "O(N), N the members of all sets", "Lists the members of the first set that no other one has.")
        .takes(KEYS),
    over(ALL_KEYS, "sunionstore", -3, WRITE.and(DENYOOM), combine::sunionstore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("1.0.0", "O(N), N the members of all sets", "Stores the members of any of several sets.")
        .takes(STORED),
    over(ALL_KEYS, "sinterstore", -3, WRITE.and(DENYOOM), combine::sinterstore)
        .using(&[KeyUse::UPDATES, KeyUse::READS])
        .about(
            "1.0.0",
            "O(N*M), N the members of the smallest set, M the sets",
            "Stores the members of all of several sets.",
        )
        .takes(STORED),
    over(ALL_KEYS, "sdiffstore", -3, WRITE.and(DENYOOM), combine::sdiffstore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("1.0.0", "O(N), N the members of all sets", "Stores the members of the first set that no other one has.")
        .takes(STORED),
    over(COUNTED, "sintercard", -3, READONLY, combine::sintercard)
        .about(
            "7.0.0",
            "O(N*M), N the members of the smallest set, M the sets",
            "Counts the members of all of several sets.",
        )
        .takes(&[integer("numkeys"), KEY.multiple(), integer("limit").behind("LIMIT").optional()]),
];

const DESTINATION: Argument = KEY.called("destination");
const KEYS: &[Argument] = &[KEY.multiple()];
const STORED: &[Argument] = &[DESTINATION, KEY.multiple()];

fn sadd(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, members) = (args.at(1), args.from(2));
    let added = ctx.write(args.bytes(), |writer| {
        admit(writer, members.iter().map(|member| (key, member, 0)))?;
        let mut added = 0usize;
        for member in members.iter() {
            added += usize::from(writer.insert(key, Class::Set, member, b"")?);
        }
        Ok::<_, WriteError>(added)
    })?;
    if added == 0 {
        ctx.nothing_happened();
    }
    reply.count(added);
    Ok(Flow::Continue)
}

fn srem(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::remove(ctx, args, Class::Set, reply)
}

fn sismember(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::contains(ctx, args, Class::Set, reply)
}

fn smismember(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Set)?;
    let members = args.from(2);
    reply.array(members.len());
    for member in members.iter() {
        reply.integer(view.as_ref().is_some_and(|view| view.contains(member)).into());
    }
    Ok(Flow::Continue)
}

fn smembers(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let view = ctx.read(&args[1], Class::Set)?;
    reply.set(view.as_ref().map_or(0, View::len));
    for (member, _) in view.iter().flat_map(View::iter) {
        reply.bulk(member);
    }
    Ok(Flow::Continue)
}

fn scard(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    collection::length(ctx, args, Class::Set, reply)
}

fn sscan(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    scan::elements(ctx, args, Class::Set, Target::Members, reply)
}
