//! COMMAND: the lists of commands, as clients read them.

use super::{Args, Command, Context, Flow, Outcome, Reply};
use crate::command::table::{self, commands};

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

/// The ten fields of Redis 7. Tips and key specifications are left empty: positions of keys say it all here.
fn describe(reply: &mut Reply<'_>, command: &Command) {
    let words = |reply: &mut Reply<'_>, words: &mut dyn Iterator<Item = &'static str>| {
        reply.set_of(|items| words.for_each(|word| items.one().simple(word)));
    };
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity.into());
    words(reply, &mut command.flags.words());
    let (first, last, step) = command.positions();
    [first, last, step].into_iter().for_each(|position| reply.integer(position));
    words(reply, &mut command.categories().words());
    reply.set(0);
    reply.set(0);
    reply.array(command.subcommands.len());
    command.subcommands.iter().for_each(|subcommand| describe(reply, subcommand));
}

pub(super) fn docs(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let names = args.from(2);
    // Unknown names are left out, as in Redis.
    let named: Vec<_> = names.iter().filter_map(table::by_full_name).collect();
    let wanted: &mut dyn Iterator<Item = &Command> =
        if names.is_empty() { &mut commands() } else { &mut named.into_iter() };
    reply.map_of(|fields| wanted.for_each(|command| document(fields.field(command.name), command)));
    Ok(Flow::Continue)
}

fn document(reply: &mut Reply<'_>, command: &Command) {
    reply.map_of(|fields| {
        fields.text("summary", command.summary);
        fields.text("since", command.since);
        fields.text("group", command.group);
        if !command.subcommands.is_empty() {
            fields.field("subcommands").map_of(|fields| {
                command.subcommands.iter().for_each(|it| document(fields.field(it.name), it));
            });
        }
    });
}
