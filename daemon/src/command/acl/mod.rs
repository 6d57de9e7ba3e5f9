//! ACL: who may do what at this daemon.

mod enforce;
mod inspect;
mod users;

use super::access;
use super::arguments::{integer, one_of, string, word};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{ADMIN, Flags, LOADING, NOSCRIPT, STALE};
use super::help::help;
use super::options::{int_arg, is};
use super::table;
use super::wait::Wait;
use crate::resp::{Args, Reply};

pub(super) use enforce::enforce;

const GROUP: &str = "server";
const ASKS: Flags = NOSCRIPT.and(LOADING).and(STALE);
const RULES: Flags = ADMIN.and(ASKS);

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler)
}

/// What users are called, and their rules, is for nobody who watches.
fn is_secret(_: Args<'_>, at: usize) -> bool {
    at >= 2
}

pub(super) const COMMANDS: &[Command] = &[Command::container(
    GROUP,
    "acl",
    &[
        command("acl|cat", -2, ASKS, inspect::cat)
            .about("6.0.0", "O(N), N the commands", "Lists the categories of commands, or the commands of one.")
            .takes(&[string("category").optional()]),
        command("acl|deluser", -3, RULES, users::deluser)
            .about("6.0.0", "O(N), N the clients", "Deletes users of this daemon, and cuts their clients.")
            .takes(&[string("username").multiple()])
            .hiding(is_secret),
        command("acl|dryrun", -4, RULES, inspect::dryrun)
            .about("7.0.0", "O(1)", "Tells whether a user may call a command, without calling it.")
            .takes(&[string("username"), string("command"), string("arg").multiple().optional()]),
        command("acl|genpass", -2, ASKS, inspect::genpass)
            .about("6.0.0", "O(1)", "Makes a password that nobody guesses.")
            .takes(&[integer("bits").optional()]),
        command("acl|getuser", 3, RULES, users::getuser)
            .about("6.0.0", "O(N), N the rules", "Tells all about a user.")
            .changed(&[
                ("6.2.0", "Tells the patterns of channels."),
                ("7.0.0", "Tells the selectors; patterns of keys and channels are told as rules."),
            ])
            .takes(&[string("username")])
            .hiding(is_secret),
        command("acl|help", 2, LOADING.and(STALE), help).about("6.0.0", "O(1)", "Explains the subcommands."),
        command("acl|list", 2, RULES, users::list).about(
            "6.0.0",
            "O(N), N the users",
            "Tells all users, as the file has them.",
        ),
        command("acl|load", 2, RULES, users::load).about(
            "6.0.0",
            "O(N), N the users",
            "Reads the users from the file.",
        ),
        command("acl|log", -2, RULES, inspect::log)
            .about("6.0.0", "O(N), N the entries", "Tells what was refused, or forgets it.")
            .changed(&[("7.2.0", "Tells the number of an entry, and when it was first and last.")])
            .takes(&[one_of("operation", &[integer("count"), word("RESET")]).optional()]),
        command("acl|save", 2, RULES, users::save).about(
            "6.0.0",
            "O(N), N the users",
            "Writes the users into the file.",
        ),
        command("acl|setuser", -3, RULES, users::setuser)
            .about("6.0.0", "O(N), N the rules", "Makes a user of this daemon, or changes what it may do.")
            .changed(&[("6.2.0", "Takes patterns of channels."), ("7.0.0", "Takes selectors, and patterns by use.")])
            .takes(&[string("username"), string("rule").multiple().optional()])
            .hiding(is_secret),
        command("acl|users", 2, RULES, users::names).about("6.0.0", "O(N), N the users", "Lists the names of users."),
        command("acl|whoami", 2, ASKS, inspect::whoami).about("6.0.0", "O(1)", "Tells which user this connection is."),
    ],
)
.about("6.0.0", "Depends on the subcommand", "Commands about who may do what.")];
