//! Sets: an add and a concurrent remove of the same member leave it in.

use super::exec::{Exec, Flow, Outcome, admit, typed};
use super::{scan, scan::Target};
use crate::resp::Args;
use cahoots_gossip::store::{Class, View, WriteError};

pub(super) fn sadd(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, members) = (args.at(1), args.from(2));
    let added = exec.write(args.bytes(), |writer| {
        admit(writer, members.iter().map(|member| (key, member, 0)))?;
        let mut added = 0usize;
        for member in members.iter() {
            added += usize::from(writer.insert(key, Class::Set, member, b"")?);
        }
        Ok::<_, WriteError>(added)
    })?;
    exec.reply.count(added);
    Ok(Flow::Continue)
}

pub(super) fn srem(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    remove(exec, args, Class::Set)
}

/// SREM and HDEL. What is not there is not removed, and then nothing is published.
pub(super) fn remove(exec: &mut Exec<'_>, args: Args<'_>, class: Class) -> Outcome {
    let (key, names) = (args.at(1), args.from(2));
    let removed = if typed(exec.replica.store(), key, class)?.is_none() {
        0
    } else {
        exec.write(args.bytes(), |writer| {
            admit(writer, names.iter().map(|name| (key, name, 0)))?;
            let mut removed = 0usize;
            for name in names.iter() {
                removed += usize::from(writer.remove(key, class, name)?);
            }
            Ok::<_, WriteError>(removed)
        })?
    };
    exec.reply.count(removed);
    Ok(Flow::Continue)
}

pub(super) fn sismember(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Set)?;
    let found = view.is_some();
    exec.reply.integer(view.is_some_and(|view| view.contains(&args[2])).into());
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn smismember(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Set)?;
    let members = args.from(2);
    exec.reply.array(members.len());
    for member in members.iter() {
        exec.reply.integer(view.as_ref().is_some_and(|view| view.contains(member)).into());
    }
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn smembers(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Set)?;
    exec.reply.set(view.as_ref().map_or(0, View::len));
    for (member, _) in view.iter().flat_map(View::iter) {
        exec.reply.bulk(member);
    }
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn scard(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    length(exec, args, Class::Set)
}

/// SCARD and HLEN.
pub(super) fn length(exec: &mut Exec<'_>, args: Args<'_>, class: Class) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], class)?;
    let found = view.is_some();
    exec.reply.count(view.map_or(0, |view| view.len()));
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn sscan(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    scan::names(exec, args, Class::Set, Target::Members)
}
