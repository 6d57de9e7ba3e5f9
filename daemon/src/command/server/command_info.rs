//! COMMAND: the table of commands, as clients read it.

use crate::command::exec::{Exec, Flow, Outcome};
use crate::command::table::{self, Command};
use crate::resp::{Args, Reply};

pub(in crate::command) fn command(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 1 {
        return exec.subcommand(args);
    }
    exec.reply.array(table::COMMANDS.len());
    for command in &table::COMMANDS {
        describe(&mut exec.reply, command);
    }
    Ok(Flow::Continue)
}

pub(in crate::command) fn count(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    exec.reply.count(table::COMMANDS.len());
    Ok(Flow::Continue)
}

pub(in crate::command) fn info(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let names = args.from(2);
    if names.is_empty() {
        exec.reply.array(table::COMMANDS.len());
        table::COMMANDS.iter().for_each(|command| describe(&mut exec.reply, command));
    } else {
        exec.reply.array(names.len());
        for name in names.iter() {
            match table::by_full_name(name) {
                Some(command) => describe(&mut exec.reply, command),
                None => exec.reply.null_array(),
            }
        }
    }
    Ok(Flow::Continue)
}

/// The ten fields of Redis 7. Tips and key specifications are left empty: positions of keys say it all here.
fn describe(reply: &mut Reply<'_>, command: &Command) {
    let words = |reply: &mut Reply<'_>, words: &str| {
        reply.set(words.split_whitespace().count());
        words.split_whitespace().for_each(|word| reply.simple(word));
    };
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity.into());
    words(reply, command.flags);
    let (first, last, step) = command.keys;
    [first, last, step].into_iter().for_each(|position| reply.integer(position.into()));
    words(reply, command.categories);
    reply.set(0);
    reply.set(0);
    reply.array(command.subcommands.len());
    command.subcommands.iter().for_each(|subcommand| describe(reply, subcommand));
}

pub(in crate::command) fn docs(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let names = args.from(2);
    if names.is_empty() {
        exec.reply.map(table::COMMANDS.len());
        table::COMMANDS.iter().for_each(|command| document(&mut exec.reply, command));
    } else {
        // Unknown names are left out, as in Redis.
        let found: Vec<_> = names.iter().filter_map(table::by_full_name).collect();
        exec.reply.map(found.len());
        found.into_iter().for_each(|command| document(&mut exec.reply, command));
    }
    Ok(Flow::Continue)
}

fn document(reply: &mut Reply<'_>, command: &Command) {
    reply.bulk(command.name.as_bytes());
    reply.map(3 + usize::from(!command.subcommands.is_empty()));
    for (name, value) in [("summary", command.summary), ("since", command.since), ("group", command.group)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if !command.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        command.subcommands.iter().for_each(|subcommand| document(reply, subcommand));
    }
}
