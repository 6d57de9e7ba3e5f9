//! Hashes: each field is on its own, a string or a counter; a field set while another replica deletes the key stays.

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, admit, int_arg, typed};
use super::set;
use super::{scan, scan::Target};
use crate::resp::Args;
use cahoots_gossip::store::{Class, View, WriteError};

pub(super) fn hset(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let added = put(exec, args, "hset")?;
    exec.reply.count(added);
    Ok(Flow::Continue)
}

pub(super) fn hmset(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    put(exec, args, "hmset")?;
    exec.reply.ok();
    Ok(Flow::Continue)
}

/// Sets the fields; says how many are new.
fn put(exec: &mut Exec<'_>, args: Args<'_>, name: &'static str) -> Result<usize, CommandError> {
    let (key, fields) = (args.at(1), args.from(2));
    if !fields.len().is_multiple_of(2) {
        return Err(CommandError::Arity(name.into()));
    }
    exec.write(args.bytes(), |writer| {
        admit(writer, fields.pairs().map(|(field, value)| (key, field, value.len())))?;
        let mut added = 0;
        for (field, value) in fields.pairs() {
            added += usize::from(writer.insert(key, Class::Hash, field, value)?);
        }
        Ok::<_, WriteError>(added)
    })
    .map_err(CommandError::from)
}

pub(super) fn hget(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Hash)?;
    exec.reply.maybe_bulk(view.as_ref().and_then(|view| view.get(&args[2])).as_deref());
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn hmget(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Hash)?;
    let fields = args.from(2);
    exec.reply.array(fields.len());
    for field in fields.iter() {
        exec.reply.maybe_bulk(view.as_ref().and_then(|view| view.get(field)).as_deref());
    }
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn hgetall(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Hash)?;
    exec.reply.map(view.as_ref().map_or(0, View::len));
    for (field, value) in view.iter().flat_map(View::iter) {
        exec.reply.bulk(field);
        exec.reply.bulk(&value);
    }
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn hkeys(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Hash)?;
    exec.reply.array(view.as_ref().map_or(0, View::len));
    for (field, _) in view.iter().flat_map(View::iter) {
        exec.reply.bulk(field);
    }
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn hvals(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Hash)?;
    exec.reply.array(view.as_ref().map_or(0, View::len));
    for (_, value) in view.iter().flat_map(View::iter) {
        exec.reply.bulk(&value);
    }
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn hdel(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    set::remove(exec, args, Class::Hash)
}

pub(super) fn hexists(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Hash)?;
    let found = view.is_some();
    exec.reply.integer(view.is_some_and(|view| view.contains(&args[2])).into());
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn hlen(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    set::length(exec, args, Class::Hash)
}

pub(super) fn hincrby(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, field, delta) = (args.at(1), args.at(2), int_arg(&args[3])?);
    let bytes = key.len() + field.len() + size_of::<i64>();
    let sum = exec.write(bytes, |writer| writer.add_field(key, field, delta)).map_err(CommandError::of_field)?;
    exec.reply.integer(sum);
    Ok(Flow::Continue)
}

pub(super) fn hscan(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    scan::names(exec, args, Class::Hash, Target::Fields)
}
