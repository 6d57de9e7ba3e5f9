//! COMMAND: the lists of commands, as clients read them.

use super::{Args, Command, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::flags::NO_MANDATORY_KEYS;
use crate::command::glob;
use crate::command::key_use::KeyUse;
use crate::command::keys::{Begin, Find, KeySpec};
use crate::command::options::is;
use crate::command::table::{self, commands};
use crate::command::tips::tips_of;

pub(super) fn command(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    every_command(reply);
    Ok(Flow::Continue)
}

pub(super) fn count(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(table::COUNT);
    Ok(Flow::Continue)
}

pub(super) fn info(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let names = args.from(2);
    if names.is_empty() {
        every_command(reply);
    } else {
        reply.array(names.len());
        for name in names.iter() {
            match table::by_full_name(name) {
                Some(command) => describe(reply, command),
                None => reply.null_array(),
            }
        }
    }
    Ok(Flow::Continue)
}

fn every_command(reply: &mut Reply<'_>) {
    reply.array_of(|items| commands().for_each(|command| describe(items.one(), command)));
}

/// The ten fields of Redis 7.
fn describe(reply: &mut Reply<'_>, command: &Command) {
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity.into());
    words(reply, &mut command.flags.words());
    let (first, last, step) = command.positions();
    [first, last, step].into_iter().for_each(|position| reply.integer(position));
    words(reply, &mut command.categories().words());
    let tips = tips_of(command.name);
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    let specs = command.told_specs();
    reply.set(specs.len());
    specs.iter().for_each(|(spec, does)| specify(reply, spec, &mut does.iter().copied()));
    reply.array(command.subcommands.len());
    command.subcommands.iter().for_each(|subcommand| describe(reply, subcommand));
}

fn words(reply: &mut Reply<'_>, words: &mut dyn Iterator<Item = &'static str>) {
    reply.set_of(|items| words.for_each(|word| items.one().simple(word)));
}

fn specify(reply: &mut Reply<'_>, spec: &KeySpec, flags: &mut dyn Iterator<Item = &'static str>) {
    let kind = |reply: &mut Reply<'_>, kind: &str, numbers: &[(&str, i64)]| {
        reply.map_of(|fields| {
            fields.text("type", kind);
            fields.field("spec").map_of(|fields| {
                numbers.iter().for_each(|(name, number)| fields.field(name).integer(*number));
            });
        });
    };
    reply.map_of(|fields| {
        words(fields.field("flags"), flags);
        let begin = fields.field("begin_search");
        match spec.begin {
            Begin::At(at) => kind(begin, "index", &[("index", at.into())]),
            Begin::Behind { word, from } => begin.map_of(|fields| {
                fields.text("type", "keyword");
                fields.field("spec").map_of(|fields| {
                    fields.text("keyword", word);
                    fields.field("startfrom").integer(from.into());
                });
            }),
        }
        let find = fields.field("find_keys");
        match spec.find {
            Find::Range { last, step, parts } => {
                kind(find, "range", &[("lastkey", last.into()), ("keystep", step.into()), ("limit", parts.into())]);
            }
            Find::Counted { count, first, step } => {
                kind(
                    find,
                    "keynum",
                    &[("keynumidx", count.into()), ("firstkey", first.into()), ("keystep", step.into())],
                );
            }
        }
    });
}

/// Whether a command is listed, by what it is filtered by.
enum Filter<'a> {
    Nothing,
    Pattern(&'a [u8]),
    Category(String),
    /// There are no modules.
    Module,
}

impl Filter<'_> {
    fn passes(&self, command: &Command) -> bool {
        match self {
            Self::Nothing => true,
            Self::Pattern(pattern) => glob::matches(pattern, command.name.as_bytes()),
            Self::Category(wanted) => command.categories().words().any(|word| word == wanted),
            Self::Module => false,
        }
    }
}

pub(super) fn list(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let filter = match (args.get(2), args.get(3), args.get(4)) {
        (None, ..) => Filter::Nothing,
        (Some(word), Some(by), Some(wanted)) if args.len() == 5 && is(word, "filterby") => {
            if is(by, "pattern") {
                Filter::Pattern(wanted)
            } else if is(by, "aclcat") {
                Filter::Category(format!("@{}", String::from_utf8_lossy(wanted).to_ascii_lowercase()))
            } else if is(by, "module") {
                Filter::Module
            } else {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    reply.array_of(|items| {
        let all = commands().flat_map(|command| std::iter::once(command).chain(command.subcommands));
        all.filter(|command| filter.passes(command)).for_each(|command| items.one().bulk(command.name.as_bytes()));
    });
    Ok(Flow::Continue)
}

pub(super) fn getkeys(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = keys_used(args.from(2))?;
    reply.array(keys.len());
    keys.iter().for_each(|(key, _)| reply.bulk(key));
    Ok(Flow::Continue)
}

pub(super) fn getkeysandflags(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = keys_used(args.from(2))?;
    reply.array(keys.len());
    for (key, does) in keys {
        reply.array(2);
        reply.bulk(key);
        reply.set_of(|items| does.words().for_each(|word| items.one().simple(word)));
    }
    Ok(Flow::Continue)
}

/// The keys among the arguments of a command, and what it does to each.
fn keys_used(called: Args<'_>) -> Result<Vec<(&[u8], KeyUse)>, CommandError> {
    let command = table::by_name(&called[0]).ok_or(CommandError::text("ERR Invalid command specified"))?;
    let subcommand = command.subcommands.iter().find(|it| is(called.at(1), &it.name[command.name.len() + 1..]));
    let command = subcommand.unwrap_or(command);
    if !command.has_keys() {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    let (least, given) = (usize::from(command.arity.unsigned_abs()), called.len());
    if given < least || command.arity > 0 && given > least {
        return Err(CommandError::text("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    command.each_key_used(called, |at, does| {
        keys.push((called.at(at), does));
        true
    });
    if keys.is_empty() && !command.flags.has(NO_MANDATORY_KEYS) {
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}
