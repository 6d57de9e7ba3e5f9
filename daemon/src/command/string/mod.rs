//! Strings, and strings that are counted.
//!
//! A counter is a string whose value is its winning assignment plus every increment no applied SET or DEL has consumed:
//! so INCR goes to the engine as an increment, never as a read followed by a SET.

use std::borrow::Cow;

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, admit, int_arg, typed};
use crate::resp::Args;
use cahoots_gossip::store::{Class, View};

pub(super) fn get(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Text)?;
    exec.reply.maybe_bulk(view.as_ref().and_then(View::text).as_deref());
    let found = view.is_some();
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn set(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        exec.write(key.len() + value.len(), |writer| writer.set(key, value))?;
        exec.reply.ok();
        return Ok(Flow::Continue);
    }
    let options = SetOptions::parse(args.from(3))?;
    let old = exec.replica.store().view(key);
    let exists = old.is_some();
    // The old value is copied: the write below replaces it.
    let old = match old {
        Some(view) if options.get => Some(view.text().ok_or(CommandError::WrongType)?.into_owned()),
        _ => None,
    };
    let wanted = options.only_if.is_none_or(|wanted| wanted == exists);
    if wanted {
        exec.write(key.len() + value.len(), |writer| writer.set(key, value))?;
    }
    if options.get {
        exec.reply.maybe_bulk(old.as_deref());
    } else if wanted {
        exec.reply.ok();
    } else {
        exec.reply.null();
    }
    Ok(Flow::Continue)
}

/// What follows the value of a SET.
#[derive(Default)]
struct SetOptions {
    /// NX: only if the key does not exist; XX: only if it does.
    only_if: Option<bool>,
    get: bool,
}

impl SetOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut keep_ttl = false;
        for (at, option) in args.iter().enumerate() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("nx") && options.only_if != Some(true) {
                options.only_if = Some(false);
            } else if is("xx") && options.only_if != Some(false) {
                options.only_if = Some(true);
            } else if is("get") {
                options.get = true;
            } else if is("keepttl") {
                // No key has a time to live yet, so it is kept.
                keep_ttl = true;
            } else if (is("ex") || is("px") || is("exat") || is("pxat")) && at + 1 < args.len() && !keep_ttl {
                return Err(CommandError::text("ERR EX, PX, EXAT and PXAT are not supported yet: keys do not expire"));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

pub(super) fn setnx(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let absent = exec.replica.store().view(key).is_none();
    if absent {
        exec.write(key.len() + value.len(), |writer| writer.set(key, value))?;
    }
    exec.reply.integer(absent.into());
    Ok(Flow::Continue)
}

pub(super) fn getset(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let old = text(exec, key)?;
    exec.write(key.len() + value.len(), |writer| writer.set(key, value))?;
    exec.reply.maybe_bulk(old.as_deref());
    Ok(Flow::Continue)
}

pub(super) fn getdel(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let old = text(exec, key)?;
    if old.is_some() {
        exec.write(key.len(), |writer| writer.delete(key))?;
    }
    exec.reply.maybe_bulk(old.as_deref());
    exec.looked_up(old.is_some());
    Ok(Flow::Continue)
}

/// A copy of the string at `key`.
fn text(exec: &Exec<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, CommandError> {
    let view = typed(exec.replica.store(), key, Class::Text)?;
    Ok(view.and_then(|view| view.text().map(Cow::into_owned)))
}

pub(super) fn mget(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let keys = args.from(1);
    exec.reply.array(keys.len());
    for key in keys.iter() {
        // A key of another type is no string, so there is none: MGET never fails.
        let view = exec.replica.store().view(key);
        let text = view.as_ref().and_then(View::text);
        exec.reply.maybe_bulk(text.as_deref());
        let found = text.is_some();
        exec.looked_up(found);
    }
    Ok(Flow::Continue)
}

pub(super) fn mset(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let pairs = args.from(1);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Arity("mset".into()));
    }
    exec.write(pairs.bytes(), |writer| {
        admit(writer, pairs.pairs().map(|(key, value)| (key, &b""[..], value.len())))?;
        pairs.pairs().try_for_each(|(key, value)| writer.set(key, value))
    })?;
    exec.reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn append(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (key, tail) = (args.at(1), args.at(2));
    let mut value = text(exec, key)?.unwrap_or_default();
    value.extend_from_slice(tail);
    exec.write(key.len() + value.len(), |writer| writer.set(key, &value))?;
    exec.reply.count(value.len());
    Ok(Flow::Continue)
}

pub(super) fn strlen(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let view = typed(exec.replica.store(), &args[1], Class::Text)?;
    let found = view.is_some();
    exec.reply.count(view.map_or(0, |view| view.len()));
    exec.looked_up(found);
    Ok(Flow::Continue)
}

pub(super) fn incr(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    add(exec, args.at(1), 1)
}

pub(super) fn decr(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    add(exec, args.at(1), -1)
}

pub(super) fn incrby(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    add(exec, args.at(1), int_arg(&args[2])?)
}

pub(super) fn decrby(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let delta = int_arg(&args[2])?.checked_neg();
    add(exec, args.at(1), delta.ok_or(CommandError::text("ERR decrement would overflow"))?)
}

fn add(exec: &mut Exec<'_>, key: &[u8], delta: i64) -> Outcome {
    let sum = exec.write(key.len() + size_of::<i64>(), |writer| writer.add(key, delta))?;
    exec.reply.integer(sum);
    Ok(Flow::Continue)
}
