//! The commands that exist.
//!
//! Names, arities, flags, positions of keys and groups are those of Redis 7, because clients route and check by them;
//! a test compares them with a running Redis. `since` is Redis's version for its commands and ours for ours.

use super::connection::client;
use super::error::CommandError;
use super::exec::{Exec, Outcome};
use super::generic::wait;
use super::server::{command_info, config, info, persistence, time};
use super::{cahoots, connection, generic, hash, presence, scan, set, string, vote};
use crate::resp::Args;

/// One command, or a subcommand of one.
#[derive(Debug)]
pub struct Command {
    /// In lower case; a subcommand's has its container's in front, as in `client|id`.
    pub name: &'static str,
    /// Arguments including the name (and the subcommand's); negative: at least so many.
    pub arity: i16,
    /// What it does, in Redis's words.
    pub flags: &'static str,
    /// Positions of the first key, the last key (negative: from the end) and the step between keys; 0 for none.
    pub keys: (i8, i8, i8),
    /// Redis's access categories.
    pub categories: &'static str,
    /// What Redis documents it under.
    pub group: &'static str,
    /// The version it came with.
    pub since: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Does it. Called with an arity that fits.
    pub(super) handler: fn(&mut Exec<'_>, Args<'_>) -> Outcome,
    /// What can follow the name, if it is a container.
    pub subcommands: &'static [Command],
}

impl Command {
    /// Whether `flag` is among the flags.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|it| it == flag)
    }
}

/// The command `args` names, if it takes so many arguments.
pub(super) fn find(args: Args<'_>) -> Result<&'static Command, CommandError> {
    let command = by_name(&args[0]).ok_or_else(|| unknown(args))?;
    check_arity(command, args)
}

/// Where the keys are among `count` arguments, the name included; see [`Command::keys`].
pub(super) fn positions((first, last, step): (i8, i8, i8), count: usize) -> impl Iterator<Item = usize> {
    let [first, step] = [first, step].map(|it| usize::from(it.unsigned_abs()));
    let end = match usize::from(last.unsigned_abs()) {
        from_end if last < 0 => (count + 1).saturating_sub(from_end),
        last => (last + 1).min(count),
    };
    (first..if first > 0 { end } else { 0 }).step_by(step.max(1))
}

/// The subcommand `args[1]` of the container `args[0]`, if it takes so many arguments.
pub(super) fn find_subcommand(args: Args<'_>) -> Result<&'static Command, CommandError> {
    let container = by_name(&args[0]).ok_or_else(|| unknown(args))?;
    let command = subcommand(container, &args[1]).ok_or_else(|| {
        CommandError::Other(
            format!(
                "ERR unknown subcommand '{}'. Try {} HELP.",
                excerpt(&args[1], QUOTED_BYTES_MAX),
                container.name.to_ascii_uppercase()
            )
            .into(),
        )
    })?;
    check_arity(command, args)
}

/// Finds `name`, or `container|name`, in any case.
pub(super) fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    match memchr::memchr(b'|', name) {
        None => by_name(name),
        Some(bar) => subcommand(by_name(&name[..bar])?, &name[bar + 1..]),
    }
}

/// Whether this first word is what a browser would send when tricked into posting to a local port: such a connection
/// is cut before anything further on it is taken for a command.
pub(super) fn is_foreign_protocol(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

fn check_arity(command: &'static Command, args: Args<'_>) -> Result<&'static Command, CommandError> {
    let (arity, given) = (usize::from(command.arity.unsigned_abs()), args.len());
    if given == arity || (command.arity < 0 && given > arity) {
        Ok(command)
    } else {
        Err(CommandError::Arity(command.name.into()))
    }
}

/// Bytes of a client's own words quoted back to it.
const QUOTED_BYTES_MAX: usize = 128;

#[cold]
fn unknown(args: Args<'_>) -> CommandError {
    let mut quoted = String::new();
    for arg in args.from(1).iter() {
        if quoted.len() >= QUOTED_BYTES_MAX {
            break;
        }
        quoted = format!("{quoted}'{}' ", excerpt(arg, QUOTED_BYTES_MAX - quoted.len()));
    }
    let name = excerpt(&args[0], QUOTED_BYTES_MAX);
    CommandError::Other(format!("ERR unknown command '{name}', with args beginning with: {quoted}").into())
}

/// The beginning of a client's words. Redis quotes up to the first NUL, as C does.
fn excerpt(words: &[u8], bytes_max: usize) -> std::borrow::Cow<'_, str> {
    let end = memchr::memchr(0, words).unwrap_or(words.len()).min(bytes_max);
    String::from_utf8_lossy(&words[..end])
}

fn subcommand(container: &Command, name: &[u8]) -> Option<&'static Command> {
    container
        .subcommands
        .iter()
        .find(|command| command.name.as_bytes()[container.name.len() + 1..].eq_ignore_ascii_case(name))
}

/// The longest name a lookup considers: names are compared as one 128-bit number.
const NAME_BYTES_MAX: usize = 16;
/// Slots of the hash table: over twice the number of commands, so most are found at the first look.
const SLOTS: usize = 256;

/// Slot to index into [`COMMANDS`] plus one; 0 is an empty slot, and a search that meets one ends there.
static INDEX: [u8; SLOTS] = {
    assert!(COUNT < SLOTS / 2);
    let mut index = [0; SLOTS];
    let mut at = 0;
    while at < COUNT {
        let mut slot = slot_of(NAMES[at]);
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer commands than slots")]
        {
            index[slot] = at as u8 + 1;
        }
        at += 1;
    }
    index
};

/// The name of each command as a number.
static NAMES: [u128; COUNT] = {
    let mut names = [0; COUNT];
    let mut at = 0;
    while at < COUNT {
        names[at] = fold(COMMANDS[at].name.as_bytes());
        at += 1;
    }
    names
};

pub(super) fn by_name(name: &[u8]) -> Option<&'static Command> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let folded = fold(name);
    let mut slot = slot_of(folded);
    while let Some(at) = INDEX[slot].checked_sub(1).map(usize::from) {
        // The length tells `get` from `get\0`.
        if NAMES[at] == folded && COMMANDS[at].name.len() == name.len() {
            return Some(&COMMANDS[at]);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// A name of at most [`NAME_BYTES_MAX`] bytes as a number, whatever its case.
const fn fold(name: &[u8]) -> u128 {
    let half = if name.len() < 8 { name.len() } else { 8 };
    let (low, high) = name.split_at(half);
    (word(high) as u128) << 64 | word(low) as u128
}

/// At most eight bytes as a number. Shifted together byte by byte: reading at once what was just written byte by byte would
/// have to wait for it.
const fn word(part: &[u8]) -> u64 {
    let mut word = 0;
    let mut at = part.len();
    while at > 0 {
        at -= 1;
        word = word << 8 | part[at].to_ascii_lowercase() as u64;
    }
    word
}

/// Multiplicative hashing: the high bits of a product depend on all bits of the name.
const fn slot_of(folded: u128) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "both halves of the name are mixed")]
    let mixed = (folded as u64) ^ ((folded >> 64) as u64).rotate_left(29);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
}

const NO_KEY: (i8, i8, i8) = (0, 0, 0);
const ONE_KEY: (i8, i8, i8) = (1, 1, 1);
const ALL_KEYS: (i8, i8, i8) = (1, -1, 1);
const EVERY_SECOND: (i8, i8, i8) = (1, -1, 2);

type Handler = fn(&mut Exec<'_>, Args<'_>) -> Outcome;

impl Command {
    /// Whether it is answered before data is there: as in Redis while that is loading, by this flag; and PING, which Redis
    /// refuses then, so that whoever asks whether the daemon lives is told.
    pub(super) fn is_served_while_loading(&self) -> bool {
        self.name == "ping" || self.has_flag("loading")
    }

    const fn new(name: &'static str, arity: i16, flags: &'static str, keys: (i8, i8, i8), handler: Handler) -> Self {
        Self { name, arity, flags, keys, handler, categories: "", group: "", since: "", summary: "", subcommands: &[] }
    }

    const fn about(
        mut self,
        group: &'static str,
        since: &'static str,
        categories: &'static str,
        summary: &'static str,
    ) -> Self {
        (self.group, self.since, self.categories, self.summary) = (group, since, categories, summary);
        self
    }

    const fn containing(mut self, subcommands: &'static [Self]) -> Self {
        self.subcommands = subcommands;
        self
    }
}

static CLIENT_SUBCOMMANDS: [Command; 7] = [
    Command::new("client|id", 2, "noscript loading stale", NO_KEY, client::id).about(
        "connection",
        "5.0.0",
        "@slow @connection",
        "Tells the number of this connection.",
    ),
    Command::new("client|getname", 2, "noscript loading stale", NO_KEY, client::getname).about(
        "connection",
        "2.6.9",
        "@slow @connection",
        "Tells the name of this connection.",
    ),
    Command::new("client|setname", 3, "noscript loading stale", NO_KEY, client::setname).about(
        "connection",
        "2.6.9",
        "@slow @connection",
        "Names this connection.",
    ),
    Command::new("client|setinfo", 4, "noscript loading stale", NO_KEY, client::setinfo).about(
        "connection",
        "7.2.0",
        "@slow @connection",
        "Names the client's library.",
    ),
    Command::new("client|info", 2, "noscript loading stale", NO_KEY, client::info).about(
        "connection",
        "6.2.0",
        "@slow @connection",
        "Describes this connection.",
    ),
    Command::new("client|no-evict", 3, "admin noscript loading stale", NO_KEY, client::no_evict).about(
        "connection",
        "7.0.0",
        "@admin @slow @dangerous @connection",
        "Accepted; clients are never evicted.",
    ),
    Command::new("client|reply", 3, "noscript loading stale", NO_KEY, client::reply).about(
        "connection",
        "3.2.0",
        "@slow @connection",
        "Chooses whether commands are answered.",
    ),
];

static COMMAND_SUBCOMMANDS: [Command; 3] = [
    Command::new("command|count", 2, "loading stale", NO_KEY, command_info::count).about(
        "server",
        "2.8.13",
        "@slow @connection",
        "Counts the commands.",
    ),
    Command::new("command|info", -2, "loading stale", NO_KEY, command_info::info).about(
        "server",
        "2.8.13",
        "@slow @connection",
        "Describes commands.",
    ),
    Command::new("command|docs", -2, "loading stale", NO_KEY, command_info::docs).about(
        "server",
        "7.0.0",
        "@slow @connection",
        "Documents commands.",
    ),
];

static CONFIG_SUBCOMMANDS: [Command; 1] =
    [Command::new("config|get", -3, "admin noscript loading stale", NO_KEY, config::get).about(
        "server",
        "2.0.0",
        "@admin @slow @dangerous",
        "Reads parameters.",
    )];

static MEMORY_SUBCOMMANDS: [Command; 1] =
    [Command::new("memory|usage", -3, "readonly", (2, 2, 1), generic::memory_usage).about(
        "server",
        "4.0.0",
        "@read @slow",
        "Tells how many bytes a key takes.",
    )];

static CAHOOTS_SUBCOMMANDS: [Command; 3] = [
    Command::new("cahoots|leave", 2, "admin noscript loading stale", NO_KEY, cahoots::leave).about(
        "cluster",
        "0.2.0",
        "@admin @slow @dangerous",
        "Hands everything over, leaves the cluster and stops.",
    ),
    Command::new("cahoots|status", 2, "loading stale", NO_KEY, cahoots::status).about(
        "cluster",
        "0.1.0",
        "@slow",
        "Tells how far this replica and its peers are.",
    ),
    Command::new("cahoots|members", 2, "loading stale", NO_KEY, cahoots::members).about(
        "cluster",
        "0.1.0",
        "@slow",
        "Lists the members of the cluster.",
    ),
];

/// How many commands there are, subcommands not counted.
pub const COUNT: usize = 66;

/// Every command.
pub static COMMANDS: [Command; COUNT] = [
    Command::new("ping", -1, "fast", NO_KEY, connection::ping).about(
        "connection",
        "1.0.0",
        "@fast @connection",
        "Answers PONG, or the message.",
    ),
    Command::new("echo", 2, "loading stale fast", NO_KEY, connection::echo).about(
        "connection",
        "1.0.0",
        "@fast @connection",
        "Answers the message.",
    ),
    Command::new("hello", -1, "noscript loading stale fast no_auth allow_busy", NO_KEY, connection::hello).about(
        "connection",
        "6.0.0",
        "@fast @connection",
        "Chooses the version of the protocol and says who answers.",
    ),
    Command::new("select", 2, "loading stale fast", NO_KEY, connection::select).about(
        "connection",
        "1.0.0",
        "@fast @connection",
        "Chooses the database; there is only 0.",
    ),
    Command::new("quit", -1, "noscript loading stale fast no_auth allow_busy", NO_KEY, connection::quit).about(
        "connection",
        "1.0.0",
        "@fast @connection",
        "Closes the connection.",
    ),
    Command::new("reset", 1, "noscript loading stale fast no_auth allow_busy", NO_KEY, connection::reset).about(
        "connection",
        "6.2.0",
        "@fast @connection",
        "Forgets everything the connection asked for.",
    ),
    Command::new("client", -2, "", NO_KEY, client::client)
        .about("connection", "2.4.0", "@slow", "Commands about the client.")
        .containing(&CLIENT_SUBCOMMANDS),
    Command::new("command", -1, "loading stale", NO_KEY, command_info::command)
        .about("server", "2.8.13", "@slow @connection", "Describes every command.")
        .containing(&COMMAND_SUBCOMMANDS),
    Command::new("config", -2, "", NO_KEY, config::config)
        .about("server", "2.0.0", "@slow", "Commands about the configuration.")
        .containing(&CONFIG_SUBCOMMANDS),
    Command::new("info", -1, "loading stale", NO_KEY, info::info).about(
        "server",
        "1.0.0",
        "@slow @dangerous",
        "Describes the daemon and its replica.",
    ),
    Command::new("time", 1, "loading stale fast", NO_KEY, time::time).about(
        "server",
        "2.6.0",
        "@fast",
        "Tells the daemon's time: seconds, and microseconds of the second.",
    ),
    Command::new("dbsize", 1, "readonly fast", NO_KEY, generic::dbsize).about(
        "server",
        "1.0.0",
        "@keyspace @read @fast",
        "Counts the keys.",
    ),
    Command::new("memory", -2, "", NO_KEY, generic::memory)
        .about("server", "4.0.0", "@slow", "Commands about memory.")
        .containing(&MEMORY_SUBCOMMANDS),
    Command::new("flushall", -1, "write", NO_KEY, generic::flush).about(
        "server",
        "1.0.0",
        "@keyspace @write @slow @dangerous",
        "Deletes every key this replica has observed.",
    ),
    Command::new("flushdb", -1, "write", NO_KEY, generic::flush).about(
        "server",
        "1.0.0",
        "@keyspace @write @slow @dangerous",
        "Deletes every key this replica has observed.",
    ),
    Command::new("type", 2, "readonly fast", ONE_KEY, generic::type_of).about(
        "generic",
        "1.0.0",
        "@keyspace @read @fast",
        "Tells the type of the value at a key.",
    ),
    Command::new("exists", -2, "readonly fast", ALL_KEYS, generic::exists).about(
        "generic",
        "1.0.0",
        "@keyspace @read @fast",
        "Counts those of the keys that exist.",
    ),
    Command::new("del", -2, "write", ALL_KEYS, generic::del).about(
        "generic",
        "1.0.0",
        "@keyspace @write @slow",
        "Deletes keys.",
    ),
    Command::new("unlink", -2, "write fast", ALL_KEYS, generic::del).about(
        "generic",
        "4.0.0",
        "@keyspace @write @fast",
        "Deletes keys.",
    ),
    Command::new("keys", 2, "readonly", NO_KEY, generic::keys).about(
        "generic",
        "1.0.0",
        "@keyspace @read @slow @dangerous",
        "Lists the keys that match a pattern.",
    ),
    Command::new("scan", -2, "readonly", NO_KEY, scan::keys).about(
        "generic",
        "2.8.0",
        "@keyspace @read @slow",
        "Walks over the keys.",
    ),
    Command::new("save", 1, "admin noscript no_async_loading no_multi", NO_KEY, persistence::save).about(
        "server",
        "1.0.0",
        "@admin @slow @dangerous",
        "Makes a copy of the log, as of now.",
    ),
    Command::new("bgsave", -1, "admin noscript no_async_loading", NO_KEY, persistence::bgsave).about(
        "server",
        "1.0.0",
        "@admin @slow @dangerous",
        "Makes a copy of the log, without waiting for it.",
    ),
    Command::new("lastsave", 1, "loading stale fast", NO_KEY, persistence::lastsave).about(
        "server",
        "1.0.0",
        "@admin @fast @dangerous",
        "Tells when a copy was last made.",
    ),
    Command::new("waitaof", 4, "noscript", NO_KEY, wait::waitaof).about(
        "generic",
        "7.2.0",
        "@slow @connection",
        "Waits until this connection's writes are on disk, here and elsewhere.",
    ),
    Command::new("wait", 3, "noscript", NO_KEY, wait::wait).about(
        "generic",
        "3.0.0",
        "@slow @connection",
        "Waits until other replicas have this connection's writes and counts them.",
    ),
    Command::new("get", 2, "readonly fast", ONE_KEY, string::get).about(
        "string",
        "1.0.0",
        "@read @string @fast",
        "Reads a string.",
    ),
    Command::new("set", -3, "write denyoom", ONE_KEY, string::set).about(
        "string",
        "1.0.0",
        "@write @string @slow",
        "Makes a key a string, whatever it was.",
    ),
    Command::new("mget", -2, "readonly fast", ALL_KEYS, string::mget).about(
        "string",
        "1.0.0",
        "@read @string @fast",
        "Reads several strings.",
    ),
    Command::new("mset", -3, "write denyoom", EVERY_SECOND, string::mset).about(
        "string",
        "1.0.1",
        "@write @string @slow",
        "Sets several strings in one event.",
    ),
    Command::new("setnx", 3, "write denyoom fast", ONE_KEY, string::setnx).about(
        "string",
        "1.0.0",
        "@write @string @fast",
        "Sets a string if there is no such key here.",
    ),
    Command::new("getset", 3, "write denyoom fast", ONE_KEY, string::getset).about(
        "string",
        "1.0.0",
        "@write @string @fast",
        "Sets a string and answers the one before.",
    ),
    Command::new("getdel", 2, "write fast", ONE_KEY, string::getdel).about(
        "string",
        "6.2.0",
        "@write @string @fast",
        "Reads a string and deletes it.",
    ),
    Command::new("append", 3, "write denyoom fast", ONE_KEY, string::append).about(
        "string",
        "2.0.0",
        "@write @string @fast",
        "Appends to a string.",
    ),
    Command::new("strlen", 2, "readonly fast", ONE_KEY, string::strlen).about(
        "string",
        "2.2.0",
        "@read @string @fast",
        "Tells the length of a string.",
    ),
    Command::new("incr", 2, "write denyoom fast", ONE_KEY, string::incr).about(
        "string",
        "1.0.0",
        "@write @string @fast",
        "Adds one to a counter.",
    ),
    Command::new("incrby", 3, "write denyoom fast", ONE_KEY, string::incrby).about(
        "string",
        "1.0.0",
        "@write @string @fast",
        "Adds to a counter.",
    ),
    Command::new("decr", 2, "write denyoom fast", ONE_KEY, string::decr).about(
        "string",
        "1.0.0",
        "@write @string @fast",
        "Subtracts one from a counter.",
    ),
    Command::new("decrby", 3, "write denyoom fast", ONE_KEY, string::decrby).about(
        "string",
        "1.0.0",
        "@write @string @fast",
        "Subtracts from a counter.",
    ),
    Command::new("sadd", -3, "write denyoom fast", ONE_KEY, set::sadd).about(
        "set",
        "1.0.0",
        "@write @set @fast",
        "Adds members to a set.",
    ),
    Command::new("srem", -3, "write fast", ONE_KEY, set::srem).about(
        "set",
        "1.0.0",
        "@write @set @fast",
        "Removes members from a set.",
    ),
    Command::new("sismember", 3, "readonly fast", ONE_KEY, set::sismember).about(
        "set",
        "1.0.0",
        "@read @set @fast",
        "Tells whether a set has a member.",
    ),
    Command::new("smismember", -3, "readonly fast", ONE_KEY, set::smismember).about(
        "set",
        "6.2.0",
        "@read @set @fast",
        "Tells which of the members a set has.",
    ),
    Command::new("smembers", 2, "readonly", ONE_KEY, set::smembers).about(
        "set",
        "1.0.0",
        "@read @set @slow",
        "Lists the members of a set.",
    ),
    Command::new("scard", 2, "readonly fast", ONE_KEY, set::scard).about(
        "set",
        "1.0.0",
        "@read @set @fast",
        "Counts the members of a set.",
    ),
    Command::new("sscan", -3, "readonly", ONE_KEY, set::sscan).about(
        "set",
        "2.8.0",
        "@read @set @slow",
        "Walks over the members of a set.",
    ),
    Command::new("hset", -4, "write denyoom fast", ONE_KEY, hash::hset).about(
        "hash",
        "2.0.0",
        "@write @hash @fast",
        "Sets fields of a hash.",
    ),
    Command::new("hmset", -4, "write denyoom fast", ONE_KEY, hash::hmset).about(
        "hash",
        "2.0.0",
        "@write @hash @fast",
        "Sets fields of a hash.",
    ),
    Command::new("hget", 3, "readonly fast", ONE_KEY, hash::hget).about(
        "hash",
        "2.0.0",
        "@read @hash @fast",
        "Reads a field of a hash.",
    ),
    Command::new("hmget", -3, "readonly fast", ONE_KEY, hash::hmget).about(
        "hash",
        "2.0.0",
        "@read @hash @fast",
        "Reads several fields of a hash.",
    ),
    Command::new("hgetall", 2, "readonly", ONE_KEY, hash::hgetall).about(
        "hash",
        "2.0.0",
        "@read @hash @slow",
        "Reads all fields of a hash.",
    ),
    Command::new("hdel", -3, "write fast", ONE_KEY, hash::hdel).about(
        "hash",
        "2.0.0",
        "@write @hash @fast",
        "Deletes fields of a hash.",
    ),
    Command::new("hexists", 3, "readonly fast", ONE_KEY, hash::hexists).about(
        "hash",
        "2.0.0",
        "@read @hash @fast",
        "Tells whether a hash has a field.",
    ),
    Command::new("hlen", 2, "readonly fast", ONE_KEY, hash::hlen).about(
        "hash",
        "2.0.0",
        "@read @hash @fast",
        "Counts the fields of a hash.",
    ),
    Command::new("hkeys", 2, "readonly", ONE_KEY, hash::hkeys).about(
        "hash",
        "2.0.0",
        "@read @hash @slow",
        "Lists the fields of a hash.",
    ),
    Command::new("hvals", 2, "readonly", ONE_KEY, hash::hvals).about(
        "hash",
        "2.0.0",
        "@read @hash @slow",
        "Lists the values of a hash.",
    ),
    Command::new("hincrby", 4, "write denyoom fast", ONE_KEY, hash::hincrby).about(
        "hash",
        "2.0.0",
        "@write @hash @fast",
        "Adds to a counter in a hash.",
    ),
    Command::new("hscan", -3, "readonly", ONE_KEY, hash::hscan).about(
        "hash",
        "2.8.0",
        "@read @hash @slow",
        "Walks over the fields of a hash.",
    ),
    // Ours.
    Command::new("vote.cast", 3, "write denyoom fast", ONE_KEY, vote::cast).about(
        "vote",
        "0.2.0",
        "@write @fast",
        "Casts this daemon's ballot, in place of its earlier one.",
    ),
    Command::new("vote.retract", 2, "write fast", ONE_KEY, vote::retract).about(
        "vote",
        "0.2.0",
        "@write @fast",
        "Takes this daemon's ballot back.",
    ),
    Command::new("vote.tally", 2, "readonly", ONE_KEY, vote::tally).about(
        "vote",
        "0.2.0",
        "@read @slow",
        "Counts, for each choice, the live members that have cast it.",
    ),
    Command::new("presence.join", 2, "write denyoom noscript fast", ONE_KEY, presence::join).about(
        "presence",
        "0.2.0",
        "@write @fast",
        "Makes this connection present at a key until it goes.",
    ),
    Command::new("presence.leave", 2, "write noscript fast", ONE_KEY, presence::leave).about(
        "presence",
        "0.2.0",
        "@write @fast",
        "Ends this connection's presence at a key.",
    ),
    Command::new("presence.count", 2, "readonly", ONE_KEY, presence::count).about(
        "presence",
        "0.2.0",
        "@read @slow",
        "Counts who is present at a key, at all live members.",
    ),
    Command::new("presence.members", 2, "readonly", ONE_KEY, presence::members).about(
        "presence",
        "0.2.0",
        "@read @slow",
        "Counts who is present at a key, for each live member.",
    ),
    Command::new("cahoots", -2, "loading stale", NO_KEY, cahoots::cahoots)
        .about("cluster", "0.1.0", "@slow", "Commands about the cluster.")
        .containing(&CAHOOTS_SUBCOMMANDS),
];
