//! Which keyspace events a change comes to: those that Redis has for the command that made it.
//!
//! The store says what became of which key, and the command what that is called: mostly its own name, in the class of the
//! key's type. What is called otherwise stands in the table here; what depends on how a command was called, or concerns
//! several keys, its handler says ([`Said`]).

use super::contract::Command;
use crate::state::Server;
use crate::watch::EventClass;
use cahoots_gossip::store::{By, Change, Class, What};

/// What a handler says of the events of its command, where they do not follow from the command's name.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What happened to which key, in this order, in place of everything else.
    events: Vec<(Box<[u8]>, &'static str)>,
    /// What happened to each of the keys besides.
    also: Option<&'static str>,
    /// What happened, where it is not what the command is called.
    name: Option<&'static str>,
    /// Nothing that clients are told of.
    nothing: bool,
}

impl Said {
    /// Something happened to this key.
    pub(super) fn event(&mut self, key: &[u8], name: &'static str) {
        self.events.push((key.into(), name));
    }

    /// This happened besides.
    pub(super) fn also(&mut self, name: &'static str) {
        self.also = Some(name);
    }

    /// This is what happened.
    pub(super) fn name(&mut self, name: &'static str) {
        self.name = Some(name);
    }

    /// What was written changes nothing that clients are told of.
    pub(super) fn nothing(&mut self) {
        self.nothing = true;
    }
}

/// What a command's changes are called, where that is not its name.
fn name_of(command: &str) -> &str {
    match command {
        "setex" | "psetex" | "setnx" | "getset" | "mset" | "msetnx" | "bitop" => "set",
        "incr" | "decr" | "decrby" => "incrby",
        "bitfield" => "setbit",
        "unlink" | "getdel" => "del",
        "pexpire" | "expireat" | "pexpireat" => "expire",
        "hmset" | "hsetnx" => "hset",
        "hpexpire" | "hexpireat" | "hpexpireat" => "hexpire",
        "lpushx" => "lpush",
        "rpushx" => "rpush",
        "blpop" => "lpop",
        "brpop" => "rpop",
        "zincrby" => "zincr",
        "bzpopmin" => "zpopmin",
        "bzpopmax" => "zpopmax",
        "geoadd" => "zadd",
        "sort" => "sortstore",
        "georadius" | "georadiusbymember" => "georadiusstore",
        "pfmerge" => "pfadd",
        "copy" => "copy_to",
        name => name,
    }
}

/// Whether such an event does not depend on the type of the key.
fn is_generic(event: &str) -> bool {
    matches!(
        event,
        "del" | "expire" | "persist" | "rename_from" | "rename_to" | "copy_to" | "restore" | "move_from" | "move_to"
    )
}

/// Whether a command takes a key away as such, and tells of nothing else.
fn only_removes(command: &str) -> bool {
    name_of(command) == "del"
        || command.ends_with("store")
        || matches!(command, "set" | "getex" | "sort" | "georadius" | "georadiusbymember" | "bitop")
        || name_of(command) == "expire"
}

/// Tells of the changes that a command has made; `None`: those of other daemons, of deadlines and of membership.
pub(super) fn tell(server: &Server, cause: Option<(&'static Command, &Said)>, changes: &[Change]) {
    let tell = |class, event: &str, key: &[u8]| server.keyspace.tell(&server.pubsub, class, event, key);
    let said = cause.map(|(_, said)| said);
    if said.is_some_and(|said| !said.events.is_empty()) {
        return tell_said(said.unwrap_or(&Said::default()), changes, tell);
    }
    for change in changes {
        let Change::Key { key, class, what, by } = change else { continue };
        match (by, what) {
            (_, What::Expired) => tell(EventClass::EXPIRED, "expired", key),
            (By::Bound, _) => tell(EventClass::EVICTED, "evicted", key),
            (By::Client, _) => {
                let Some((command, said)) = cause else { continue };
                tell_own(command, said, (key, *class, *what), tell);
            }
            // What other daemons have done is told by what came of it here.
            (By::Peer, What::Removed) => tell(EventClass::GENERIC, "del", key),
            (By::Peer, _) => {
                if *what == What::Created {
                    tell(EventClass::NEW, "new", key);
                }
                tell(EventClass::of_type(*class), "merge", key);
            }
            (By::Time, _) if *class == Class::Hash => tell(EventClass::of_type(*class), "hexpired", key),
            (By::Time | By::Membership, _) => {}
        }
    }
}

fn tell_own(
    command: &Command,
    said: &Said,
    (key, class, what): (&[u8], Class, What),
    tell: impl Fn(EventClass, &str, &[u8]),
) {
    // Redis tells of no key where it takes all of them.
    if said.nothing || matches!(command.name, "flushall" | "flushdb") {
        return;
    }
    if what == What::Created {
        tell(EventClass::NEW, "new", key);
    }
    let event = said.name.unwrap_or_else(|| name_of(command.name));
    if what != What::Removed || !only_removes(command.name) {
        tell(class_of(event, class), event, key);
        said.also.into_iter().for_each(|event| tell(class_of(event, class), event, key));
    }
    if what == What::Removed {
        tell(EventClass::GENERIC, "del", key);
    }
}

fn tell_said(said: &Said, changes: &[Change], tell: impl Fn(EventClass, &str, &[u8])) {
    let of = |wanted: &[u8]| {
        changes.iter().rev().find_map(|change| match change {
            Change::Key { key, class, what, by } if **key == *wanted && *by != By::Bound => Some((*class, *what)),
            _ => None,
        })
    };
    for change in changes {
        match change {
            Change::Key { key, what: What::Expired, .. } => tell(EventClass::EXPIRED, "expired", key),
            Change::Key { key, by: By::Bound, .. } => tell(EventClass::EVICTED, "evicted", key),
            _ => {}
        }
    }
    for (at, (key, event)) in said.events.iter().enumerate() {
        let Some((class, what)) = of(key) else { continue };
        if what == What::Created && said.events[..at].iter().all(|(earlier, _)| earlier != key) {
            tell(EventClass::NEW, "new", key);
        }
        if *event != NEW {
            tell(class_of(event, class), event, key);
        } else if what != What::Created {
            tell(EventClass::NEW, NEW, key);
        }
        let is_last = said.events[at + 1..].iter().all(|(later, _)| later != key);
        if what == What::Removed && is_last && !is_generic(event) {
            tell(EventClass::GENERIC, "del", key);
        }
    }
}

/// A key that takes the place of another is as good as new.
pub(super) const NEW: &str = "new";

fn class_of(event: &str, class: Class) -> EventClass {
    if is_generic(event) { EventClass::GENERIC } else { EventClass::of_type(class) }
}
