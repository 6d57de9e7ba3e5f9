//! Streams: entries under ids that ascend, which clients add to and follow.
//!
//! What a command answers is of this replica. An id of `*` has Redis's form, and is above every one that was seen here; an
//! entry that was added elsewhere at the same time may arrive below it. So XREAD from an id may miss it, as documented; a
//! reader that must not takes CRDT.XREAD, whose cursor says how far it has come of each daemon.

mod add;
mod claim;
mod deliver;
mod follow;
mod group;
mod id;
mod info;
mod pending;
mod read;
mod remove;
mod share;
mod trim;

use super::arguments::{Argument, KEY, block, integer, one_of, string, word};
use super::contract::{Command, Handler};
use super::flags::{BLOCKING, Categories, DENYOOM, FAST, Flags, LOADING, READONLY, STALE, WRITE};
use super::help;
use super::key_use::KeyUse;
use super::keys::{BEHIND_STREAMS, BEHIND_STREAMS_OF_GROUP, KeySpec, ONE_KEY, SECOND};
use crate::resp::Reply;
use cahoots_gossip::store::{Fields, StreamId};

const fn at(keys: &'static [KeySpec], name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("stream", name, arity, flags, handler).also(Categories::STREAM).at(keys)
}

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    at(ONE_KEY, name, arity, flags, handler)
}

const ID: Argument = string("id");
const COUNT: Argument = integer("count").behind("COUNT").optional();
const BLOCK: Argument = integer("milliseconds").behind("BLOCK").optional();
const GROUP: Argument = string("group");
const CONSUMER: Argument = string("consumer");
const START: Argument = one_of("id-selector", &[ID, word("$")]);
const ENTRIES_READ: Argument = integer("entries-read").behind("ENTRIESREAD").optional();
const EXACTLY: Argument = one_of("operator", &[word("="), word("~")]).optional();
const TRIM: &[Argument] = &[
    one_of("strategy", &[word("MAXLEN"), word("MINID")]),
    EXACTLY,
    string("threshold"),
    integer("count").behind("LIMIT").optional(),
];

const RANGE: &str = "O(log(N)+M), N the entries, M those returned";

pub(super) const COMMANDS: &[Command] = &[
    command("xadd", -5, WRITE.and(DENYOOM).and(FAST), add::xadd)
        .using(&[KeyUse::UPDATES])
        .about("5.0.0", "O(log(N)), N the entries; and O(M), M those trimmed", "Adds an entry to a stream.")
        .changed(&[
            ("6.2.0", "Added NOMKSTREAM, MINID and LIMIT."),
            ("7.0.0", "Accepts an id with a number to come, as in 5-*."),
        ])
        .takes(&[
            KEY,
            word("NOMKSTREAM").optional(),
            block("trim", TRIM).optional(),
            one_of("id-selector", &[word("*"), ID]),
            block("data", &[string("field"), string("value")]).multiple(),
        ]),
    command("xlen", 2, READONLY.and(FAST), read::xlen)
        .using(&[KeyUse::EXAMINES])
        .about("5.0.0", "O(log(N)), N the entries", "Counts the entries of a stream.")
        .takes(&[KEY]),
    command("xrange", -4, READONLY, read::xrange)
        .about("5.0.0", RANGE, "Lists the entries within a range of ids.")
        .changed(&[("6.2.0", "Accepts ids that are excluded.")])
        .takes(&[KEY, string("start"), string("end"), COUNT]),
    command("xrevrange", -4, READONLY, read::xrevrange)
        .about("5.0.0", RANGE, "Lists the entries within a range of ids, the highest first.")
        .changed(&[("6.2.0", "Accepts ids that are excluded.")])
        .takes(&[KEY, string("end"), string("start"), COUNT]),
    at(BEHIND_STREAMS, "xread", -4, READONLY.and(BLOCKING), follow::xread)
        .about("5.0.0", RANGE, "Reads the entries of streams above an id each, or waits for some.")
        .takes(&[COUNT, BLOCK, block("streams", &[KEY.multiple(), ID.multiple()]).behind("STREAMS")]),
    command("crdt.xread", -3, READONLY.and(BLOCKING), follow::crdt_xread)
        .about(
            "0.2.0",
            "O(log(N)+M), N the entries, M those from the first new one on",
            "Reads the entries that were not read yet, wherever the last ones were read, or waits for some.",
        )
        .takes(&[KEY, string("cursor"), COUNT, BLOCK]),
    at(BEHIND_STREAMS_OF_GROUP, "xreadgroup", -7, WRITE.and(BLOCKING), deliver::xreadgroup)
        .using(&[KeyUse::READS])
        .about(
            "5.0.0",
            "O(log(N)+M), N the entries, M those returned; of what was handed out before O(P), P the entries pending",
            "Hands entries of streams out to a consumer of a group, or shows those again that it was handed, or waits for some.",
        )
        .takes(&[
            block("group-block", &[GROUP, CONSUMER]).behind("GROUP"),
            COUNT,
            BLOCK,
            word("NOACK").optional(),
            block("streams", &[KEY.multiple(), ID.multiple()]).behind("STREAMS"),
        ]),
    command("xack", -4, WRITE.and(FAST), pending::xack)
        .using(&[KeyUse::UPDATES])
        .about("5.0.0", "O(M*log(P)), M the ids given, P the entries pending", "Has entries be pending no more.")
        .takes(&[KEY, GROUP, ID.multiple()]),
    command("xpending", -3, READONLY, pending::xpending)
        .using(&[KeyUse::READS])
        .about("5.0.0", "O(P), P the entries pending", "Lists the entries that were handed out and not acknowledged.")
        .changed(&[("6.2.0", "Added IDLE, and accepts ids that are excluded.")])
        .takes(&[
            KEY,
            GROUP,
            block(
                "filters",
                &[
                    integer("min-idle-time").behind("IDLE").optional(),
                    string("start"),
                    string("end"),
                    integer("count"),
                    CONSUMER.optional(),
                ],
            )
            .optional(),
        ]),
    command("xclaim", -6, WRITE.and(FAST), claim::xclaim)
        .using(&[KeyUse::UPDATES])
        .about(
            "5.0.0",
            "O(M*log(P)), M the ids given, P the entries pending",
            "Hands entries that are pending to another consumer.",
        )
        .takes(&[
            KEY,
            GROUP,
            CONSUMER,
            string("min-idle-time"),
            ID.multiple(),
            integer("ms").behind("IDLE").optional(),
            integer("unix-time-milliseconds").behind("TIME").optional(),
            integer("count").behind("RETRYCOUNT").optional(),
            word("FORCE").optional(),
            word("JUSTID").optional(),
            string("lastid").behind("LASTID").optional(),
        ]),
    command("xautoclaim", -6, WRITE.and(FAST), claim::xautoclaim)
        .using(&[KeyUse::REMOVES])
        .about(
            "6.2.0",
            "O(M*log(P)), M the entries looked at, ten times COUNT at most, P those pending",
            "Hands the entries that have been pending for long to another consumer.",
        )
        .changed(&[("7.0.0", "Returns the ids of entries that are gone, which are pending no more.")])
        .takes(&[KEY, GROUP, CONSUMER, string("min-idle-time"), string("start"), COUNT, word("JUSTID").optional()]),
    Command::container(
        "stream",
        "xgroup",
        &[
            at(SECOND, "xgroup|create", -5, WRITE.and(DENYOOM), group::create)
                .using(&[KeyUse::ADDS])
        .about("5.0.0", "O(1)", "Makes a group of consumers of a stream.")
                .changed(&[("7.0.0", "Added ENTRIESREAD.")])
                .takes(&[KEY, GROUP, START, word("MKSTREAM").optional(), ENTRIES_READ]),
            at(SECOND, "xgroup|createconsumer", 5, WRITE.and(DENYOOM), group::createconsumer)
                .using(&[KeyUse::ADDS])
        .about("6.2.0", "O(1)", "Makes a consumer of a group.")
                .takes(&[KEY, GROUP, CONSUMER]),
            at(SECOND, "xgroup|delconsumer", 5, WRITE, group::delconsumer)
                .using(&[KeyUse::REMOVES])
        .about("5.0.0", "O(P), P the entries pending", "Removes a consumer of a group, with what is pending at it.")
                .takes(&[KEY, GROUP, CONSUMER]),
            at(SECOND, "xgroup|destroy", 4, WRITE, group::destroy)
                .using(&[KeyUse::REMOVES])
        .about("5.0.0", "O(N), N the entries pending and the consumers", "Removes a group.")
                .takes(&[KEY, GROUP]),
            at(SECOND, "xgroup|setid", -5, WRITE, group::setid)
                .using(&[KeyUse::UPDATES])
        .about("5.0.0", "O(1)", "Has a group begin anew behind an entry.")
                .changed(&[("7.0.0", "Added ENTRIESREAD.")])
                .takes(&[KEY, GROUP, START, ENTRIES_READ]),
            Command::new("stream", "xgroup|help", 2, LOADING.and(STALE), help::help)
                .also(Categories::STREAM)
                .about("5.0.0", "O(1)", "Lists the subcommands."),
        ],
    )
    .about("5.0.0", "Depends on the subcommand", "Commands that make and remove groups of consumers."),
    command("xdel", -3, WRITE.and(FAST), remove::xdel)
        .using(&[KeyUse::REMOVES])
        .about("5.0.0", "O(M*log(N)), N the entries, M those given", "Removes entries from a stream.")
        .takes(&[KEY, ID.multiple()]),
    command("xtrim", -4, WRITE, remove::xtrim)
        .using(&[KeyUse::REMOVES])
        .about("5.0.0", "O(M*log(N)), N the entries, M those removed", "Removes the oldest entries of a stream.")
        .changed(&[("6.2.0", "Added MINID and LIMIT.")])
        .takes(&[KEY, block("trim", TRIM)]),
    command("xsetid", -3, WRITE.and(DENYOOM).and(FAST), remove::xsetid)
        .using(&[KeyUse::UPDATES])
        .about("5.0.0", "O(1)", "Says which id a stream has had last.")
        .changed(&[("7.0.0", "Added ENTRIESADDED and MAXDELETEDID.")])
        .takes(&[
            KEY,
            string("last-id"),
            integer("entries-added").behind("ENTRIESADDED").optional(),
            string("max-deleted-id").behind("MAXDELETEDID").optional(),
        ]),
    Command::container(
        "stream",
        "xinfo",
        &[
            at(SECOND, "xinfo|stream", -3, READONLY, info::stream)
                .about("5.0.0", "O(log(N)+M), N the entries, M those returned", "Describes a stream.")
                .changed(&[("6.0.0", "Added FULL.")])
                .takes(&[KEY, block("full-block", &[word("FULL"), COUNT]).optional()]),
            at(SECOND, "xinfo|groups", 3, READONLY, info::groups)
                .about("5.0.0", "O(G*log(N)), G the groups, N the entries", "Lists the groups of a stream.")
                .takes(&[KEY]),
            at(SECOND, "xinfo|consumers", 4, READONLY, info::consumers)
                .about("5.0.0", "O(C+P), C the consumers, P the entries pending", "Lists the consumers of a group of a stream.")
                .changed(&[("7.2.0", "Added inactive.")])
                .takes(&[KEY, GROUP]),
            Command::new("stream", "xinfo|help", 2, LOADING.and(STALE), help::help)
                .also(Categories::STREAM)
                .about("5.0.0", "O(1)", "Lists the subcommands."),
        ],
    )
    .about("5.0.0", "Depends on the subcommand", "Commands that describe streams."),
];

/// An id as clients see it.
fn reply_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(id.to_string().as_bytes());
}

/// An entry: its id, and its fields in one list.
fn reply_entry(reply: &mut Reply<'_>, (id, fields): (StreamId, Fields<'_>)) {
    reply.array(2);
    reply_id(reply, id);
    reply.array(2 * fields.count());
    for (name, value) in fields {
        reply.bulk(name);
        reply.bulk(value);
    }
}

/// A list of entries.
fn reply_entries<'a>(reply: &mut Reply<'_>, entries: impl Iterator<Item = (StreamId, Fields<'a>)>) {
    reply.array_of(|items| entries.for_each(|entry| reply_entry(items.one(), entry)));
}
