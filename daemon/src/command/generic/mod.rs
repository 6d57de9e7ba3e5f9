//! Commands on keys of any type, and on all keys.

pub(super) mod wait;

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, admit, int_arg};
use super::glob;
use crate::resp::Args;
use cahoots_gossip::store::{Class, WriteError};

/// Keys asked for in one step of a walk over all of them.
const WALK_KEYS: usize = 1024;

pub(super) fn exists(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let mut found = 0;
    for key in args.from(1).iter() {
        let exists = exec.replica.store().view(key).is_some();
        exec.looked_up(exists);
        found += usize::from(exists);
    }
    exec.reply.count(found);
    Ok(Flow::Continue)
}

/// DEL and UNLINK: memory is freed at once in both.
pub(super) fn del(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let keys = args.from(1);
    let deleted = exec.write(keys.bytes(), |writer| {
        admit(writer, keys.iter().map(|key| (key, &b""[..], 0)))?;
        let mut deleted = 0usize;
        for key in keys.iter() {
            deleted += usize::from(writer.delete(key)?);
        }
        Ok::<_, WriteError>(deleted)
    })?;
    exec.reply.count(deleted);
    Ok(Flow::Continue)
}

pub(super) fn type_of(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let class = exec.replica.store().view(&args[1]).map(|view| view.class());
    exec.reply.simple(class.map_or("none", class_name));
    exec.looked_up(class.is_some());
    Ok(Flow::Continue)
}

/// What Redis calls a type, and what we call those that it does not have.
pub(super) fn class_name(class: Class) -> &'static str {
    match class {
        Class::Text => "string",
        Class::Set => "set",
        Class::Hash => "hash",
        Class::Vote => "vote",
        Class::Presence => "presence",
    }
}

pub(super) fn keys(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (store, pattern) = (exec.replica.store(), args.at(1));
    exec.reply.array_of(|push| {
        let mut cursor = 0;
        loop {
            cursor = store.scan(cursor, WALK_KEYS, |key, _| {
                if glob::matches(pattern, key) {
                    push(key);
                }
            });
            if cursor == 0 {
                break;
            }
        }
    });
    Ok(Flow::Continue)
}

pub(super) fn dbsize(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    exec.reply.count(exec.replica.store().len());
    Ok(Flow::Continue)
}

/// FLUSHALL and FLUSHDB: there is one database. Removes what this replica has observed; a concurrent write stays.
pub(super) fn flush(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    match args.get(1) {
        None => {}
        Some(mode)
            if args.len() == 2 && (mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async")) => {}
        Some(_) => return Err(CommandError::Syntax),
    }
    exec.write(0, |writer| writer.clear().map(drop))?;
    exec.reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn memory(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    exec.subcommand(args)
}

/// MEMORY USAGE: bytes in all; with SPLIT, those of what clients gave it and those that replication and looking it up
/// cost. SAMPLES is accepted for the sake of clients: nothing is estimated from samples.
pub(super) fn memory_usage(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    let (mut options, mut split) = (args.from(3).iter(), false);
    while let Some(option) = options.next() {
        if is(option, "samples") {
            int_arg(options.next().ok_or(CommandError::Syntax)?)?;
        } else if is(option, "split") {
            split = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    match exec.replica.store().memory_of(&args[2]) {
        None => exec.reply.null(),
        Some(memory) if split => {
            exec.reply.map(2);
            for (name, bytes) in [("value", memory.value), ("metadata", memory.metadata)] {
                exec.reply.bulk(name.as_bytes());
                exec.reply.count(bytes);
            }
        }
        Some(memory) => exec.reply.count(memory.value + memory.metadata),
    }
    Ok(Flow::Continue)
}
