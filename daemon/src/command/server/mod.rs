//! Commands about the daemon, and about all of its data at once.

mod accepted;
mod command_docs;
mod command_info;
mod config;
mod counts;
mod data;
mod debug;
mod info;
mod latency;
mod memory;
mod persistence;
mod watchers;

pub use config::configure;

use super::arguments::{Argument, KEY, block, integer, one_of, pattern, string, word};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{
    ADMIN, ALLOW_BUSY, Categories, FAST, Flags, LOADING, NO_ASYNC_LOADING, NO_MULTI, NONE, NOSCRIPT, READONLY, STALE,
    WRITE,
};
use super::help;
use super::key_use::KeyUse;
use super::keys::SECOND;
use super::options::{int_arg, is};
use crate::resp::{Args, Reply};

const GROUP: &str = "server";

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler)
}

const ALWAYS: Flags = LOADING.and(STALE);
const WATCH: Flags = ADMIN.and(NOSCRIPT).and(ALWAYS);
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
            command("command|list", -2, ALWAYS, command_info::list)
                .about("7.0.0", "O(N), N the commands", "Lists the names of commands.")
                .also(Categories::CONNECTION)
                .takes(&[one_of(
                    "filterby",
                    &[
                        string("module-name").behind("MODULE"),
                        string("category").behind("ACLCAT"),
                        pattern("pattern").behind("PATTERN"),
                    ],
                )
                .behind("FILTERBY")
                .optional()]),
            command("command|getkeys", -4, ALWAYS, command_info::getkeys)
                .about("2.8.13", "O(N), N the arguments", "Tells which arguments of a command are keys.")
                .also(Categories::CONNECTION)
                .takes(&[string("command"), string("arg").multiple()]),
            command("command|getkeysandflags", -4, ALWAYS, command_info::getkeysandflags)
                .about(
                    "7.0.0",
                    "O(N), N the arguments",
                    "Tells which arguments of a command are keys, and what is done to them.",
                )
                .also(Categories::CONNECTION)
                .takes(&[string("command"), string("arg").multiple()]),
            command("command|docs", -2, ALWAYS, command_docs::docs)
                .about("7.0.0", "O(N), N the commands asked about", "Documents commands.")
                .also(Categories::CONNECTION)
                .takes(&[string("command-name").multiple().optional()]),
        ]),
    Command::container(
        GROUP,
        "config",
        &[
            command("config|set", -4, ADMIN.and(NOSCRIPT).and(ALWAYS), config::set)
                .about("2.0.0", "O(N), N the parameters", "Changes parameters while the daemon runs.")
                .changed(&[("7.0.0", "Accepts several parameters.")])
                .hiding(config::is_secret)
                .takes(&[block("data", &[string("parameter"), string("value")]).multiple()]),
            command("config|get", -3, ADMIN.and(NOSCRIPT).and(ALWAYS), config::get)
                .about("2.0.0", "O(N), N the parameters", "Reads parameters.")
                .changed(&[("7.0.0", "Accepts several patterns.")])
                .takes(&[pattern("parameter").multiple()]),
            command("config|resetstat", 2, ADMIN.and(NOSCRIPT).and(ALWAYS), config::resetstat).about(
                "2.0.0",
                "O(1)",
                "Begins to count anew what INFO counts.",
            ),
            command("config|rewrite", 2, ADMIN.and(NOSCRIPT).and(ALWAYS), config::rewrite).about(
                "2.8.0",
                "O(N), N the bytes of the file",
                "Writes the parameters that were set into the configuration file.",
            ),
            command("config|help", 2, ALWAYS, help::help).about("5.0.0", "O(1)", "Explains the subcommands."),
        ],
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
                .using(&[KeyUse::EXAMINES])
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
    command("monitor", 1, WATCH, watchers::monitor).about("1.0.0", "O(1)", "Shows every command as it is executed."),
    Command::container(
        GROUP,
        "slowlog",
        &[
            command("slowlog|get", -2, ADMIN.and(ALWAYS), watchers::slowlog_get)
                .about("2.2.12", "O(N), N the entries", "Tells of commands that took long.")
                .changed(&[("4.0.0", "Tells of the client.")])
                .takes(&[integer("count").optional()]),
            command("slowlog|len", 2, ADMIN.and(ALWAYS), watchers::slowlog_len).about(
                "2.2.12",
                "O(1)",
                "Counts the commands that took long and are kept.",
            ),
            command("slowlog|reset", 2, ADMIN.and(ALWAYS), watchers::slowlog_reset).about(
                "2.2.12",
                "O(N), N the entries",
                "Forgets the commands that took long.",
            ),
            command("slowlog|help", 2, ALWAYS, help::help).about("6.2.0", "O(1)", "Explains the subcommands."),
        ],
    )
    .about("2.2.12", "Depends on the subcommand", "Commands about commands that took long."),
    Command::container(
        GROUP,
        "latency",
        &[
            command("latency|doctor", 2, WATCH, latency::doctor).about(
                "2.8.13",
                "O(1)",
                "Tells in words what took long.",
            ),
            command("latency|graph", 3, WATCH, latency::graph)
                .about("2.8.13", "O(1)", "Draws how long an event took.")
                .takes(&[string("event")]),
            command("latency|help", 2, ALWAYS, help::help).about("2.8.13", "O(1)", "Explains the subcommands."),
            command("latency|histogram", -2, WATCH, latency::histogram)
                .about("7.0.0", "O(N), N the commands", "Tells how many calls of commands took how long.")
                .takes(&[string("command").optional().multiple()]),
            command("latency|history", 3, WATCH, latency::history)
                .about("2.8.13", "O(1)", "Tells how long an event took, second by second.")
                .takes(&[string("event")]),
            command("latency|latest", 2, WATCH, latency::latest).about(
                "2.8.13",
                "O(1)",
                "Tells which events took long.",
            ),
            command("latency|reset", -2, WATCH, latency::reset)
                .about("2.8.13", "O(1)", "Forgets events that took long.")
                .takes(&[string("event").optional().multiple()]),
        ],
    )
    .about("2.8.13", "Depends on the subcommand", "Commands about what takes long."),
    command("debug", -2, WATCH, debug::debug)
        .about("1.0.0", "Depends on the subcommand", "Is for tests, if the operator allows it: DEBUG HELP.")
        .takes(&[string("subcommand"), string("arg").optional().multiple()]),
    command("role", 1, NOSCRIPT.and(ALWAYS).and(FAST), watchers::role)
        .about("2.8.12", "O(1)", "Tells that this daemon takes writes, as every one does.")
        .also(Categories::ADMIN.and(Categories::DANGEROUS)),
    command("lolwut", -1, READONLY.and(FAST), watchers::lolwut)
        .about("5.0.0", "O(1)", "Tells the version of Redis whose behaviour is promised.")
        .takes(&[integer("version").behind("VERSION").optional()]),
    Command::container(
        GROUP,
        "module",
        &[
            command("module|list", 2, ADMIN.and(NOSCRIPT), watchers::module_list).about(
                "4.0.0",
                "O(1)",
                "Lists modules, of which there are none.",
            ),
            command("module|help", 2, ALWAYS, help::help).about("5.0.0", "O(1)", "Explains the subcommands."),
        ],
    )
    .about("4.0.0", "Depends on the subcommand", "Commands about modules."),
    Command::container(
        CLUSTER,
        "cluster",
        &[
            no_cluster("cluster|info", 2, "3.0.0"),
            no_cluster("cluster|myid", 2, "3.0.0"),
            no_cluster("cluster|nodes", 2, "3.0.0"),
            no_cluster("cluster|slots", 2, "3.0.0"),
            no_cluster("cluster|shards", 2, "7.0.0"),
            no_cluster("cluster|keyslot", 3, "3.0.0").takes(&[string("key")]),
            no_cluster("cluster|links", 2, "7.0.0"),
            no_cluster("cluster|myshardid", 2, "7.2.0"),
            no_cluster("cluster|countkeysinslot", 3, "3.0.0").takes(&[integer("slot")]),
            no_cluster("cluster|getkeysinslot", 4, "3.0.0").takes(&[integer("slot"), integer("count")]),
            no_cluster("cluster|replicas", 3, "5.0.0").takes(&[string("node-id")]).flagged(ADMIN.and(STALE)),
            no_cluster("cluster|help", 2, "5.0.0").flagged(ALWAYS),
        ],
    )
    .about("3.0.0", "Depends on the subcommand", "Commands of Redis Cluster, which this is not."),
    of_cluster("asking", FAST),
    of_cluster("readonly", ALWAYS.and(FAST)),
    of_cluster("readwrite", ALWAYS.and(FAST)),
    flush("flushall"),
    flush("flushdb"),
    command("swapdb", 3, WRITE.and(FAST), data::swapdb)
        .about("4.0.0", "O(1)", "Refused: what others write at the same time would be torn apart.")
        .also(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .takes(&[integer("index1"), integer("index2")]),
    command("shutdown", -1, WATCH.and(NO_MULTI).and(ALLOW_BUSY), persistence::shutdown)
        .about("1.0.0", "O(1)", "Stops the daemon as a signal does, its clients not being served on.")
        .changed(&[("7.0.0", "Added NOW, FORCE and ABORT.")])
        .takes(&[
            one_of("save-selector", &[word("NOSAVE"), word("SAVE")]).optional(),
            word("NOW").optional(),
            word("FORCE").optional(),
            word("ABORT").optional(),
        ]),
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

const CLUSTER: &str = "cluster";

const fn no_cluster(name: &'static str, arity: i16, since: &'static str) -> Command {
    Command::new(CLUSTER, name, arity, STALE, watchers::no_cluster).about(
        since,
        "O(1)",
        "Refused: there is no Redis Cluster.",
    )
}

/// What clients say to a node of a cluster before they ask it.
const fn of_cluster(name: &'static str, flags: Flags) -> Command {
    no_cluster(name, 1, "3.0.0").flagged(flags).also(Categories::CONNECTION)
}

const FLUSH_TYPES: &[Argument] = &[one_of("flush-type", &[word("ASYNC"), word("SYNC")]).optional()];

/// There is one database, so both do the same.
const fn flush(name: &'static str) -> Command {
    command(name, -1, WRITE, data::flush)
        .about("1.0.0", "O(N), N the keys and their elements", "Deletes every key this replica has observed.")
        .also(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .takes(FLUSH_TYPES)
}
