//! When fields end: HEXPIRE and its kin, HTTL and its kin, HPERSIST; and reading, setting, deleting fields with it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::context::admit;
use crate::command::deadline::{Condition, Unit, invalid};
use crate::command::error::CommandError;
use crate::command::options::{int_arg, is};
use cahoots_gossip::store::{Class, View, WriteError, Writer};

/// The latest time a field may end at, in milliseconds since 1970, as in Redis.
const TIME_MAX: i64 = (1 << 46) - 1;

/// What is answered of a field.
const NO_FIELD: i64 = -2;
const NO_TIME: i64 = -1;
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

pub(super) fn hexpire(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::SECONDS, "hexpire"), reply)
}

pub(super) fn hpexpire(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::MILLIS, "hpexpire"), reply)
}

pub(super) fn hexpireat(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::SECONDS_AT, "hexpireat"), reply)
}

pub(super) fn hpexpireat(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    set(ctx, args, (Unit::MILLIS_AT, "hpexpireat"), reply)
}

fn set(ctx: &mut Context<'_>, args: Args<'_>, (unit, name): (Unit, &str), reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    ctx.current(key, Class::Hash)?;
    let deadline = time_of(ctx, unit, &args[2], name)?;
    let (condition, from) = Condition::of_word(&args[3]).map_or((Condition::default(), 3), |condition| (condition, 4));
    let fields = fields(args, from, "ERR Parameter `numFields` should be greater than 0")?;
    let done = ctx.write(args.bytes(), |writer| {
        admit(writer, fields.iter().map(|field| (key, field, 0)))?;
        let end = |field| -> Result<i64, WriteError> {
            let Some(view) = writer.moment().view(key).filter(|view| view.contains(field)) else { return Ok(NO_FIELD) };
            if !condition.holds(view.field_deadline(field), deadline) {
                return Ok(REFUSED);
            }
            let has_passed = u64::try_from(deadline).is_ok_and(|deadline| deadline <= writer.moment().now());
            writer.expire_field(key, field, u64::try_from(deadline).ok())?;
            Ok(if has_passed { DELETED } else { DONE })
        };
        fields.iter().map(end).collect::<Result<Vec<_>, _>>()
    })?;
    reply.array(done.len());
    done.into_iter().for_each(|code| reply.integer(code));
    Ok(Flow::Continue)
}

/// When it is that `arg` says, in milliseconds since 1970.
fn time_of(ctx: &Context<'_>, unit: Unit, arg: &[u8], name: &str) -> Result<i64, CommandError> {
    if int_arg(arg)? < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    unit.time(ctx, arg, name).ok().filter(|time| *time <= TIME_MAX).ok_or_else(|| invalid(name))
}

/// The fields behind `FIELDS numfields` at `from`; `no_number` is answered if that is no number of fields.
fn fields<'a>(args: Args<'a>, from: usize, no_number: &'static str) -> Result<Args<'a>, CommandError> {
    if args.get(from).is_none_or(|word| !is(word, "fields")) {
        return Err(CommandError::text("ERR Mandatory argument FIELDS is missing or not at the right position"));
    }
    let count = args.get(from + 1).and_then(|count| int_arg(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::text(no_number))?;
    let fields = args.from(from + 2);
    if usize::try_from(count) != Ok(fields.len()) {
        return Err(CommandError::text("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(fields)
}

const NO_COUNT: &str = "ERR Number of fields must be a positive integer";

pub(super) fn hpersist(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    ctx.current(key, Class::Hash)?;
    let fields = fields(args, 2, NO_COUNT)?;
    let done = ctx.write(args.bytes(), |writer| {
        admit(writer, fields.iter().map(|field| (key, field, 0)))?;
        let persist = |field| -> Result<i64, WriteError> {
            let is_there = writer.moment().view(key).is_some_and(|view| view.contains(field));
            if !is_there {
                return Ok(NO_FIELD);
            }
            Ok(if writer.expire_field(key, field, None)? { DONE } else { NO_TIME })
        };
        fields.iter().map(persist).collect::<Result<Vec<_>, _>>()
    })?;
    reply.array(done.len());
    done.into_iter().for_each(|code| reply.integer(code));
    Ok(Flow::Continue)
}

pub(super) fn httl(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::SECONDS, reply)
}

pub(super) fn hpttl(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::MILLIS, reply)
}

pub(super) fn hexpiretime(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::SECONDS_AT, reply)
}

pub(super) fn hpexpiretime(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    tell(ctx, args, Unit::MILLIS_AT, reply)
}

/// The deadlines of fields. Seconds are rounded up.
fn tell(ctx: &mut Context<'_>, args: Args<'_>, unit: Unit, reply: &mut Reply<'_>) -> Outcome {
    let from = if unit.relative { ctx.time() } else { 0 };
    let view = ctx.read(&args[1], Class::Hash)?;
    let fields = fields(args, 2, NO_COUNT)?;
    reply.array(fields.len());
    for field in fields.iter() {
        let view = view.as_ref().filter(|view| view.contains(field));
        reply.integer(match view.map(|view| view.field_deadline(field)) {
            None => NO_FIELD,
            Some(None) => NO_TIME,
            Some(Some(deadline)) => {
                let millis = i64::try_from(deadline.saturating_sub(from)).unwrap_or(i64::MAX);
                if unit.millis { millis } else { millis.saturating_add(999) / 1_000 }
            }
        });
    }
    Ok(Flow::Continue)
}

pub(super) fn hgetdel(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let view = ctx.current(key, Class::Hash)?;
    let fields = fields(args, 2, NO_COUNT)?;
    // A field that is named twice is gone the second time.
    let mut seen = HashSet::new();
    let mut take = |field| {
        let value = view.as_ref().filter(|_| seen.insert(field)).and_then(|view| view.get(field));
        value.map(Cow::into_owned)
    };
    let taken: Vec<Option<Vec<u8>>> = fields.iter().map(&mut take).collect();
    if taken.iter().any(Option::is_some) {
        ctx.write(args.bytes(), |writer| {
            admit(writer, fields.iter().map(|field| (key, field, 0)))?;
            fields.iter().try_for_each(|field| writer.remove(key, Class::Hash, field).map(drop))
        })?;
    }
    reply.array(taken.len());
    taken.iter().for_each(|value| reply.maybe_bulk(value.as_deref()));
    Ok(Flow::Continue)
}

/// When fields are to end.
#[derive(Clone, Copy, Default)]
enum Ends {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// EX, PX, EXAT, PXAT.
    At(i64),
    /// KEEPTTL: when they end already.
    Keep,
    /// PERSIST: not by themselves.
    Never,
}

/// The words before and behind the fields of HGETEX and HSETEX.
struct Options<'a> {
    ends: Ends,
    /// FNX: only if there is none of the fields; FXX: only if there are all.
    only_if: Option<bool>,
    fields: Args<'a>,
}

/// Which of the two it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Getex,
    Setex,
}

impl Form {
    fn name(self) -> &'static str {
        if self == Self::Getex { "hgetex" } else { "hsetex" }
    }

    /// Arguments that a field takes.
    fn width(self) -> usize {
        if self == Self::Getex { 1 } else { 2 }
    }
}

impl<'a> Options<'a> {
    fn parse(ctx: &Context<'_>, args: Args<'a>, form: Form) -> Result<Self, CommandError> {
        let (mut ends, mut only_if, mut fields) = (Ends::Unsaid, None, None);
        let mut at = 2;
        while let Some(word) = args.get(at) {
            at += 1;
            let is = |known: &str| is(word, known);
            let time = Unit::of_option(word);
            if time.is_some() || is("keepttl") && form == Form::Setex || is("persist") && form == Form::Getex {
                if !matches!(ends, Ends::Unsaid) {
                    return Err(CommandError::text(match form {
                        Form::Getex => "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified",
                        Form::Setex => "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                    }));
                }
                ends = match time {
                    None => {
                        if form == Form::Getex {
                            Ends::Never
                        } else {
                            Ends::Keep
                        }
                    }
                    Some(unit) => {
                        let given = args.get(at).ok_or(CommandError::Arity(form.name().into()))?;
                        at += 1;
                        if int_arg(given)? <= 0 {
                            return Err(invalid(form.name()));
                        }
                        Ends::At(time_of(ctx, unit, given, form.name())?)
                    }
                };
            } else if form == Form::Setex && (is("fnx") || is("fxx")) {
                if only_if.is_some() {
                    return Err(CommandError::text("ERR Only one of FXX or FNX arguments can be specified"));
                }
                only_if = Some(is("fxx"));
            } else if is("fields") {
                if fields.is_some() {
                    return Err(CommandError::text("ERR FIELDS keyword specified multiple times"));
                }
                let count = args.get(at).and_then(|count| int_arg(count).ok()).filter(|count| *count > 0);
                let count = count.ok_or(CommandError::text(NO_COUNT))?;
                let count = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(form.width());
                let behind = args.from(at + 1);
                if count > behind.len() {
                    return Err(CommandError::Arity(form.name().into()));
                }
                fields = Some(behind.first(count));
                at += 1 + count;
            } else {
                let word = String::from_utf8_lossy(word);
                return Err(CommandError::Other(format!("ERR unknown argument: {word}").into()));
            }
        }
        let fields = fields.ok_or(CommandError::text("ERR missing FIELDS argument"))?;
        Ok(Self { ends, only_if, fields })
    }
}

/// Has a field that was just read or set end when it is said.
fn end(writer: &mut Writer<'_>, key: &[u8], field: &[u8], ends: Ends, before: Option<u64>) -> Result<(), WriteError> {
    match ends {
        Ends::Unsaid => Ok(()),
        Ends::At(time) => writer.expire_field(key, field, u64::try_from(time).ok()).map(drop),
        Ends::Keep if before.is_none() => Ok(()),
        Ends::Keep => writer.expire_field(key, field, before).map(drop),
        Ends::Never => writer.expire_field(key, field, None).map(drop),
    }
}

pub(super) fn hgetex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let view = ctx.read(key, Class::Hash)?;
    let Options { ends, fields, .. } = Options::parse(ctx, args, Form::Getex)?;
    let get = |field| view.as_ref().and_then(|view| view.get(field)).map(Cow::into_owned);
    let values: Vec<Option<Vec<u8>>> = fields.iter().map(get).collect();
    if !matches!(ends, Ends::Unsaid) && values.iter().any(Option::is_some) {
        ctx.write(args.bytes(), |writer| {
            admit(writer, fields.iter().map(|field| (key, field, 0)))?;
            fields.iter().try_for_each(|field| end(writer, key, field, ends, None))
        })?;
    }
    reply.array(values.len());
    values.iter().for_each(|value| reply.maybe_bulk(value.as_deref()));
    Ok(Flow::Continue)
}

pub(super) fn hsetex(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let view = ctx.current(key, Class::Hash)?;
    let Options { ends, only_if, fields } = Options::parse(ctx, args, Form::Setex)?;
    let is_there = |field: &[u8]| view.as_ref().is_some_and(|view: &View<'_>| view.contains(field));
    let wanted = only_if.is_none_or(|wanted| fields.pairs().all(|(field, _)| is_there(field) == wanted));
    if wanted {
        ctx.write(args.bytes(), |writer| {
            admit(writer, fields.pairs().map(|(field, value)| (key, field, value.len())))?;
            fields.pairs().try_for_each(|(field, value)| {
                let before = writer.moment().view(key).and_then(|view| view.field_deadline(field));
                writer.insert(key, Class::Hash, field, value)?;
                end(writer, key, field, ends, before)
            })
        })?;
    }
    reply.integer(wanted.into());
    Ok(Flow::Continue)
}
