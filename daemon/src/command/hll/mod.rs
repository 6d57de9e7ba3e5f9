//! HyperLogLogs: how many different elements there were, within one percent or so, in 12 KiB at most.
//!
//! One is a string in Redis's own form. Between replicas it is more than that: assignments that were made at once are all
//! kept until one supersedes them, and what is read here is the greatest of each register of all of them. So what is added
//! on two sides of a cut is there when it heals, as long as nobody assigns the string in another way.

mod estimate;
mod registers;

use super::arguments::{Argument, KEY, string};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{Categories, DENYOOM, FAST, Flags, MAY_REPLICATE, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{ALL_KEYS, ONE_KEY};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View};
use registers::{Invalid, Registers};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("hyperloglog", name, arity, flags, handler).also(Categories::HYPERLOGLOG).at(ONE_KEY)
}

const KEYS: &[Argument] = &[KEY.multiple()];

pub(super) const COMMANDS: &[Command] = &[
    command("pfadd", -2, WRITE.and(DENYOOM).and(FAST), pfadd)
        .using(&[KeyUse::ADDS])
        .about(
            "2.8.9",
            "O(N), N the elements given; the registers are looked through",
            "Adds elements to a HyperLogLog.",
        )
        .takes(&[KEY, string("element").optional().multiple()]),
    command("pfcount", -2, READONLY.and(MAY_REPLICATE), pfcount)
        .using(&[KeyUse::COUNTS])
        .about("2.8.9", "O(N), N the keys", "Estimates how many different elements HyperLogLogs have.")
        .at(ALL_KEYS)
        .takes(KEYS),
    command("pfmerge", -2, WRITE.and(DENYOOM), pfmerge)
        .using(&[KeyUse::EXTENDS, KeyUse::READS])
        .about("2.8.9", "O(N), N the keys", "Adds the elements of HyperLogLogs to another one.")
        .at(ALL_KEYS)
        .takes(&[KEY.called("destkey"), KEY.called("sourcekey").optional().multiple()]),
];

/// The registers at a key: the greatest of all assignments that are live. What wins has to be a HyperLogLog; what else was
/// assigned at the same time counts if it is one.
fn registers_of(view: &View<'_>) -> Result<Registers, CommandError> {
    if view.class() != Class::Text {
        return Err(CommandError::WrongType);
    }
    let mut registers = Registers::read(&view.text().unwrap_or_default()).map_err(|invalid| match invalid {
        Invalid::Foreign => CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value."),
        Invalid::Corrupted => CommandError::text("INVALIDOBJ Corrupted HLL object detected"),
    })?;
    view.assignments().filter_map(|text| Registers::read(text).ok()).for_each(|other| registers.merge(&other));
    Ok(registers)
}

fn pfadd(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, elements) = (args.at(1), args.from(2));
    let known = ctx.current_any(key).map(|view| registers_of(&view)).transpose()?;
    let is_new = known.is_none();
    let mut registers = known.unwrap_or_default();
    let mut changed = is_new;
    for element in elements.iter() {
        changed |= registers.add(element);
    }
    if changed {
        write(ctx, key, &registers)?;
    }
    reply.integer(changed.into());
    Ok(Flow::Continue)
}

fn pfcount(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let all = merged(ctx, args.from(1))?;
    reply.count(usize::try_from(estimate::count(&all)).unwrap_or(usize::MAX));
    Ok(Flow::Continue)
}

fn pfmerge(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let all = merged(ctx, args.from(1))?;
    write(ctx, args.at(1), &all)?;
    reply.ok();
    Ok(Flow::Continue)
}

/// The greatest of each register of all keys that exist.
fn merged(ctx: &Context<'_>, keys: Args<'_>) -> Result<Registers, CommandError> {
    let mut all = Registers::default();
    for key in keys.iter() {
        if let Some(view) = ctx.read_any(key) {
            all.merge(&registers_of(&view)?);
        }
    }
    Ok(all)
}

fn write(ctx: &mut Context<'_>, key: &[u8], registers: &Registers) -> Result<(), CommandError> {
    let value = registers.write();
    ctx.write(key.len() + value.len(), |writer| writer.set_keeping(key, &value)).map_err(CommandError::from)
}
