//! Sorted sets: each member is on its own, as a field of a hash; scores are assigned and added to.
//!
//! What a command answers is of this replica: so are ranks, and which member a pop takes.

mod add;
mod bounds;
mod combine;
mod pop;
mod range;
mod read;
mod remove;

use super::arguments::{Argument, KEY, block, double, integer, one_of, pattern, string, word};
use super::context::{Context, admit};
use super::contract::{Command, Handler};
use super::error::CommandError;
use super::flags::{BLOCKING, Categories, DENYOOM, FAST, Flags, NOSCRIPT, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{COUNTED, KEY_AND_COUNTED, KEYS_AND_LAST, KeySpec, ONE_KEY, SECOND_COUNTED, TWO_KEYS};
use crate::resp::Reply;
use cahoots_gossip::store::{Class, SCORE_BYTES, ScoreRule, WriteError, Writer};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("sorted-set", name, arity, flags, handler).also(Categories::SORTEDSET).at(ONE_KEY)
}

/// One that takes other keys than its first argument.
const fn over(keys: &'static [KeySpec], name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("sorted-set", name, arity, flags, handler).also(Categories::SORTEDSET).at(keys)
}

const FAST_READ: Flags = READONLY.and(FAST);
const ADD: Flags = WRITE.and(DENYOOM).and(FAST);
const STORE: Flags = WRITE.and(DENYOOM);

const MEMBER: Argument = string("member");
const MEMBERS: &[Argument] = &[KEY, MEMBER.multiple()];
const WITHSCORES: Argument = word("WITHSCORES").optional();
const LIMIT: Argument = block("limit", &[integer("offset"), integer("count")]).behind("LIMIT").optional();
const BY: Argument = one_of("sortby", &[word("BYSCORE"), word("BYLEX")]).optional();
const REV: Argument = word("REV").optional();
const NUMKEYS: Argument = integer("numkeys");
const KEYS: Argument = KEY.multiple();
const END: Argument = one_of("where", &[word("MIN"), word("MAX")]);
const COUNT: Argument = integer("count").behind("COUNT").optional();
const WEIGHTS: Argument = integer("weight").multiple().behind("WEIGHTS").optional();
const AGGREGATE: Argument =
    one_of("aggregate", &[word("SUM"), word("MIN"), word("MAX")]).behind("AGGREGATE").optional();
const DESTINATION: Argument = KEY.called("destination");

const LOG: &str = "O(log(N)+M), N the members, M those returned";
const LOG_REMOVED: &str = "O(log(N)+M), N the members, M those removed";
const LOG_EACH: &str = "O(M*log(N)), N the members, M those given";
const COMBINED: &str = "O(N*log(N)), N the members of all keys";

pub(super) const COMMANDS: &[Command] = &[
    command("zadd", -4, ADD, add::zadd)
        .using(&[KeyUse::UPDATES])
        .about("1.2.0", LOG_EACH, "Adds members to a sorted set, or changes their scores.")
        .changed(&[
            ("2.4.0", "Accepts several members."),
            ("3.0.2", "Added XX, NX, CH and INCR."),
            ("6.2.0", "Added GT and LT."),
        ])
        .takes(&[
            KEY,
            one_of("condition", &[word("NX"), word("XX")]).optional(),
            one_of("comparison", &[word("GT"), word("LT")]).optional(),
            word("CH").optional(),
            word("INCR").optional(),
            block("data", &[double("score"), MEMBER]).multiple(),
        ]),
    command("zincrby", 4, ADD, add::zincrby)
        .about("1.2.0", "O(log(N)), N the members", "Adds to the score of a member.")
        .takes(&[KEY, double("increment"), MEMBER]),
    command("zrem", -3, WRITE.and(FAST), remove::zrem)
        .using(&[KeyUse::REMOVES])
        .about("1.2.0", LOG_EACH, "Removes members from a sorted set.")
        .changed(&[("2.4.0", "Accepts several members.")])
        .takes(MEMBERS),
    command("zscore", 3, FAST_READ, read::zscore)
        .about("1.2.0", "O(1)", "Reads the score of a member.")
        .takes(&[KEY, MEMBER]),
    command("zmscore", -3, FAST_READ, read::zmscore)
        .about("6.2.0", "O(N), N the members given", "Reads the scores of several members.")
        .takes(MEMBERS),
    command("zcard", 2, FAST_READ, read::zcard)
        .using(&[KeyUse::EXAMINES])
        .about("1.2.0", "O(1)", "Counts the members of a sorted set.")
        .takes(&[KEY]),
    command("zcount", 4, FAST_READ, read::zcount)
        .about("2.0.0", "O(log(N)), N the members", "Counts the members within a range of scores.")
        .takes(&[KEY, double("min"), double("max")]),
    command("zlexcount", 4, FAST_READ, read::zlexcount)
        .about("2.8.9", "O(log(N)), N the members", "Counts the members within a range of names.")
        .takes(&[KEY, string("min"), string("max")]),
    command("zrank", -3, FAST_READ, read::zrank)
        .about("2.0.0", "O(log(N)), N the members", "Tells how many members are before one.")
        .changed(&[("7.2.0", "Added WITHSCORE.")])
        .takes(&[KEY, MEMBER, word("WITHSCORE").optional()]),
    command("zrevrank", -3, FAST_READ, read::zrevrank)
        .about("2.0.0", "O(log(N)), N the members", "Tells how many members are behind one.")
        .changed(&[("7.2.0", "Added WITHSCORE.")])
        .takes(&[KEY, MEMBER, word("WITHSCORE").optional()]),
    command("zrandmember", -2, READONLY, read::zrandmember)
        .about("6.2.0", "O(N*log(M)), N the members asked for, M all", "Reads members at random.")
        .takes(&[KEY, block("options", &[integer("count"), WITHSCORES]).optional()]),
    command("zscan", -3, READONLY, read::zscan)
        .about("2.8.0", "O(1) a call, O(N) a walk, N the members", "Walks over the members of a sorted set.")
        .takes(&[
            KEY,
            integer("cursor"),
            pattern("pattern").behind("MATCH").optional(),
            integer("count").behind("COUNT").optional(),
        ]),
    command("zrange", -4, READONLY, range::zrange)
        .about("1.2.0", LOG, "Lists the members within a range of ranks, scores or names.")
        .changed(&[("6.2.0", "Added REV, BYSCORE, BYLEX and LIMIT.")])
        .takes(&[KEY, string("start"), string("stop"), BY, REV, LIMIT, WITHSCORES]),
    command("zrevrange", -4, READONLY, range::zrevrange)
        .about("1.2.0", LOG, "Lists the members within a range of ranks, the highest first.")
        .takes(&[KEY, integer("start"), integer("stop"), WITHSCORES]),
    command("zrangebyscore", -4, READONLY, range::zrangebyscore)
        .about("1.0.5", LOG, "Lists the members within a range of scores.")
        .changed(&[("2.0.0", "Added WITHSCORES.")])
        .takes(&[KEY, double("min"), double("max"), WITHSCORES, LIMIT]),
    command("zrevrangebyscore", -4, READONLY, range::zrevrangebyscore)
        .about("2.2.0", LOG, "Lists the members within a range of scores, the highest first.")
        .takes(&[KEY, double("max"), double("min"), WITHSCORES, LIMIT]),
    command("zrangebylex", -4, READONLY, range::zrangebylex)
        .about("2.8.9", LOG, "Lists the members within a range of names.")
        .takes(&[KEY, string("min"), string("max"), LIMIT]),
    command("zrevrangebylex", -4, READONLY, range::zrevrangebylex)
        .about("2.8.9", LOG, "Lists the members within a range of names, the last first.")
        .takes(&[KEY, string("max"), string("min"), LIMIT]),
    over(TWO_KEYS, "zrangestore", -5, STORE, range::zrangestore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("6.2.0", LOG, "Stores the members within a range under another key.")
        .takes(&[KEY.called("dst"), KEY.called("src"), string("min"), string("max"), BY, REV, LIMIT]),
    command("zpopmin", -2, WRITE.and(FAST), pop::zpopmin)
        .using(&[KeyUse::TAKES])
        .about("5.0.0", LOG_REMOVED, "Removes the members of the lowest scores, and returns them.")
        .takes(&[KEY, integer("count").optional()]),
    command("zpopmax", -2, WRITE.and(FAST), pop::zpopmax)
        .using(&[KeyUse::TAKES])
        .about("5.0.0", LOG_REMOVED, "Removes the members of the highest scores, and returns them.")
        .takes(&[KEY, integer("count").optional()]),
    over(COUNTED, "zmpop", -4, WRITE, pop::zmpop)
        .using(&[KeyUse::TAKES])
        .about("7.0.0", LOG_REMOVED, "Removes members of the first sorted set that has some, and returns them.")
        .takes(&[NUMKEYS, KEYS, END, COUNT]),
    over(KEYS_AND_LAST, "bzpopmin", -3, WRITE.and(NOSCRIPT).and(FAST).and(BLOCKING), pop::bzpopmin)
        .using(&[KeyUse::TAKES])
        .about("5.0.0", "O(log(N)), N the members", "Removes the member of the lowest score as soon as there is one.")
        .changed(&[("6.0.0", "Takes fractions of a second.")])
        .takes(&[KEYS, double("timeout")]),
    over(KEYS_AND_LAST, "bzpopmax", -3, WRITE.and(NOSCRIPT).and(FAST).and(BLOCKING), pop::bzpopmax)
        .using(&[KeyUse::TAKES])
        .about("5.0.0", "O(log(N)), N the members", "Removes the member of the highest score as soon as there is one.")
        .changed(&[("6.0.0", "Takes fractions of a second.")])
        .takes(&[KEYS, double("timeout")]),
    over(SECOND_COUNTED, "bzmpop", -5, WRITE.and(BLOCKING), pop::bzmpop)
        .using(&[KeyUse::TAKES])
        .about("7.0.0", LOG_REMOVED, "Removes members of the first sorted set that has some, as soon as one has.")
        .takes(&[double("timeout"), NUMKEYS, KEYS, END, COUNT]),
    command("zremrangebyrank", 4, WRITE, remove::zremrangebyrank)
        .using(&[KeyUse::REMOVES])
        .about("2.0.0", LOG_REMOVED, "Removes the members within a range of ranks.")
        .takes(&[KEY, integer("start"), integer("stop")]),
    command("zremrangebyscore", 4, WRITE, remove::zremrangebyscore)
        .using(&[KeyUse::REMOVES])
        .about("1.2.0", LOG_REMOVED, "Removes the members within a range of scores.")
        .takes(&[KEY, double("min"), double("max")]),
    command("zremrangebylex", 4, WRITE, remove::zremrangebylex)
        .using(&[KeyUse::REMOVES])
        .about("2.8.9", LOG_REMOVED, "Removes the members within a range of names.")
        .takes(&[KEY, string("min"), string("max")]),
    over(COUNTED, "zunion", -3, READONLY, combine::zunion)
        .about("6.2.0", COMBINED, "Lists the members of any of several sorted sets.")
        .takes(&[NUMKEYS, KEYS, WEIGHTS, AGGREGATE, WITHSCORES]),
    over(COUNTED, "zinter", -3, READONLY, combine::zinter)
        .about("6.2.0", COMBINED, "Lists the members of all of several sorted sets.")
        .takes(&[NUMKEYS, KEYS, WEIGHTS, AGGREGATE, WITHSCORES]),
    over(COUNTED, "zdiff", -3, READONLY, combine::zdiff)
        .about("6.2.0", COMBINED, "Lists the members of the first sorted set that no other one has.")
        .takes(&[NUMKEYS, KEYS, WITHSCORES]),
    over(KEY_AND_COUNTED, "zunionstore", -4, STORE, combine::zunionstore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("2.0.0", COMBINED, "Stores the members of any of several sorted sets.")
        .takes(&[DESTINATION, NUMKEYS, KEYS, WEIGHTS, AGGREGATE]),
    over(KEY_AND_COUNTED, "zinterstore", -4, STORE, combine::zinterstore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("2.0.0", COMBINED, "Stores the members of all of several sorted sets.")
        .takes(&[DESTINATION, NUMKEYS, KEYS, WEIGHTS, AGGREGATE]),
    over(KEY_AND_COUNTED, "zdiffstore", -4, STORE, combine::zdiffstore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("6.2.0", COMBINED, "Stores the members of the first sorted set that no other one has.")
        .takes(&[DESTINATION, NUMKEYS, KEYS]),
    over(COUNTED, "zintercard", -3, READONLY, combine::zintercard)
        .about("7.0.0", COMBINED, "Counts the members of all of several sorted sets.")
        .takes(&[NUMKEYS, KEYS, integer("limit").behind("LIMIT").optional()]),
];

/// A member by its name, and its score.
type Scored<'a> = (&'a [u8], f64);

/// An array of members, each with its score if `scores`.
fn list<'a>(members: impl Iterator<Item = Scored<'a>>, scores: bool, reply: &mut Reply<'_>) {
    reply.array_of(|items| {
        for (member, score) in members {
            if scores { items.scored(member, score) } else { items.one().bulk(member) }
        }
    });
}

/// Makes a key a sorted set of these members, in place of what it was; without any, no key. Says how many there are.
fn store(ctx: &mut Context<'_>, key: &[u8], members: &[(Box<[u8]>, f64)]) -> Result<usize, CommandError> {
    let bytes = members.iter().map(|(member, _)| member.len() + SCORE_BYTES).sum::<usize>() + key.len();
    if members.is_empty() && ctx.current_any(key).is_none() {
        return Ok(0);
    }
    ctx.write(bytes, |writer| {
        let writes = members.iter().map(|(member, _)| (key, &**member, SCORE_BYTES));
        admit(writer, std::iter::once((key, &b""[..], 0)).chain(writes))?;
        writer.delete(key)?;
        for (member, score) in members {
            writer.assign_score(key, member, *score, ScoreRule::Newest)?;
        }
        Ok::<_, WriteError>(members.len())
    })
    .map_err(CommandError::from)
}

/// Removes members that were found at a key; says how many. All of them are the key.
fn take(ctx: &mut Context<'_>, key: &[u8], members: &[Box<[u8]>], all: bool) -> Result<usize, CommandError> {
    if members.is_empty() {
        return Ok(0);
    }
    let bytes = members.iter().map(|member| member.len()).sum::<usize>() + key.len();
    ctx.write(bytes, |writer: &mut Writer<'_>| {
        if all {
            return writer.delete(key).map(|_| members.len());
        }
        admit(writer, members.iter().map(|member| (key, &**member, 0)))?;
        for member in members {
            writer.remove(key, Class::Sorted, member)?;
        }
        Ok::<_, WriteError>(members.len())
    })
    .map_err(CommandError::from)
}
