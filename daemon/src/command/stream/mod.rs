//! Streams: entries under ids that ascend, which clients add to and follow.
//!
//! What a command answers is of this replica. An id of `*` has Redis's form, and is above every one that was seen here; an
//! entry that was added elsewhere at the same time may arrive below it. So XREAD from an id may miss it, as documented; a
//! reader that must not takes CRDT.XREAD, whose cursor says how far it has come of each daemon.

mod add;
mod follow;
mod id;
mod info;
mod read;
mod remove;
mod trim;

use super::arguments::{Argument, KEY, block, integer, one_of, string, word};
use super::contract::{Command, Handler};
use super::flags::{BLOCKING, Categories, DENYOOM, FAST, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{BEHIND_STREAMS, KeySpec, ONE_KEY, SECOND};
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
        .about("5.0.0", "O(1)", "Counts the entries of a stream.")
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
                .about("5.0.0", "O(1)", "Lists the groups of a stream: there are none.")
                .takes(&[KEY]),
            at(SECOND, "xinfo|consumers", 4, READONLY, info::consumers)
                .about("5.0.0", "O(1)", "Lists the consumers of a group of a stream: there are none.")
                .takes(&[KEY, string("group")]),
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
