//! Commands about the daemon, and about all of its data at once.

mod command_info;
mod config;
mod data;
mod info;
mod memory;
mod persistence;

use super::arguments::{Argument, KEY, integer, one_of, pattern, string, word};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{
    ADMIN, Categories, FAST, Flags, LOADING, NO_ASYNC_LOADING, NO_MULTI, NONE, NOSCRIPT, READONLY, STALE, WRITE,
};
use super::help;
use super::keys::SECOND;
use super::options::{int_arg, is};
use crate::resp::{Args, Reply};

const GROUP: &str = "server";

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler)
}

const ALWAYS: Flags = LOADING.and(STALE);
const SAVES: Flags = ADMIN.and(NOSCRIPT).and(NO_ASYNC_LOADING);

pub(super) const COMMANDS: &[Command] = &[
    command("command", -1, ALWAYS, command_info::command)
        .about("2.8.13", "O(N), N the commands", "Describes every command.")
        .also(Categories::CONNECTION)
        .containing(&[
            command("command|count", 2, ALWAYS, command_info::count)
                .about("2.8.13", "O(1)", "Counts the commands.")
                .also(Categories::CONNECTION),
            command("command|info", -2, ALWAYS, command_info::info)
                .about("2.8.13", "O(N), N the commands asked about", "Describes commands.")
                .changed(&[("7.0.0", "Without names it describes every command.")])
                .also(Categories::CONNECTION)
                .takes(&[string("command-name").multiple().optional()]),
            command("command|docs", -2, ALWAYS, command_info::docs)
                .about("7.0.0", "O(N), N the commands asked about", "Documents commands.")
                .also(Categories::CONNECTION)
                .takes(&[string("command-name").multiple().optional()]),
        ]),
    Command::container(
        GROUP,
        "config",
        &[command("config|get", -3, ADMIN.and(NOSCRIPT).and(ALWAYS), config::get)
            .about("2.0.0", "O(N), N the parameters", "Reads parameters.")
            .changed(&[("7.0.0", "Accepts several patterns.")])
            .takes(&[pattern("parameter").multiple()])],
    )
    .about("2.0.0", "Depends on the subcommand", "Commands about the configuration."),
    command("info", -1, ALWAYS, info::info)
        .about("1.0.0", "O(1)", "Describes the daemon and its replica.")
        .changed(&[("7.0.0", "Accepts several sections.")])
        .also(Categories::DANGEROUS)
        .takes(&[string("section").multiple().optional()]),
    command("time", 1, ALWAYS.and(FAST), data::time).about(
        "2.6.0",
        "O(1)",
        "Tells the daemon's time: seconds, and microseconds of the second.",
    ),
    command("dbsize", 1, READONLY.and(FAST), data::dbsize)
        .about("1.0.0", "O(1)", "Counts the keys.")
        .also(Categories::KEYSPACE),
    Command::container(
        GROUP,
        "memory",
        &[
            command("memory|usage", -3, READONLY, memory::usage)
                .about("4.0.0", "O(N), N the elements of the key", "Tells how many bytes a key takes.")
                .at(SECOND)
                .takes(&[KEY, integer("count").behind("SAMPLES").optional(), word("SPLIT").optional()]),
            command("memory|stats", 2, NONE, memory::stats).about("4.0.0", "O(1)", "Tells what takes how much memory."),
            command("memory|doctor", 2, NONE, memory::doctor).about("4.0.0", "O(1)", "Tells the same in words."),
            command("memory|malloc-stats", 2, NONE, memory::malloc_stats).about(
                "4.0.0",
                "O(1)",
                "Tells what the allocator knows, which is nothing.",
            ),
            command("memory|purge", 2, NONE, memory::purge).about(
                "4.0.0",
                "O(1)",
                "Gives memory back to the system, as the allocator does by itself.",
            ),
            command("memory|help", 2, ALWAYS, help::help).about("4.0.0", "O(1)", "Lists these commands."),
        ],
    )
    .about("4.0.0", "Depends on the subcommand", "Commands about memory."),
    flush("flushall"),
    flush("flushdb"),
    command("save", 1, SAVES.and(NO_MULTI), persistence::save).about(
        "1.0.0",
        "O(1)",
        "Makes a copy of the log, as of now.",
    ),
    command("bgsave", -1, SAVES, persistence::bgsave)
        .about("1.0.0", "O(1)", "Makes a copy of the log, without waiting for it.")
        .takes(&[word("SCHEDULE").optional()]),
    command("lastsave", 1, ALWAYS.and(FAST), persistence::lastsave)
        .about("1.0.0", "O(1)", "Tells when a copy was last made.")
        .also(Categories::ADMIN.and(Categories::DANGEROUS)),
];

const FLUSH_TYPES: &[Argument] = &[one_of("flush-type", &[word("ASYNC"), word("SYNC")]).optional()];

/// There is one database, so both do the same.
const fn flush(name: &'static str) -> Command {
    command(name, -1, WRITE, data::flush)
        .about("1.0.0", "O(N), N the keys and their elements", "Deletes every key this replica has observed.")
        .also(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .takes(FLUSH_TYPES)
}
