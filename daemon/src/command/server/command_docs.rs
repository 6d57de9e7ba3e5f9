//! COMMAND DOCS: what the list of commands says of each, in the form that Redis has.

use super::{Args, Argument, Command, Context, Flow, Outcome, Reply};
use crate::command::arguments::Kind;
use crate::command::table::{self, commands};

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
        fields.text("complexity", command.complexity);
        if !command.history.is_empty() {
            let history = fields.field("history");
            history.set(command.history.len());
            for (version, change) in command.history {
                history.array(2);
                history.bulk(version.as_bytes());
                history.bulk(change.as_bytes());
            }
        }
        if !command.arguments.is_empty() {
            list(fields.field("arguments"), command.arguments, &mut Keys { next: 0, specs: command.keys.len() });
        }
        if !command.subcommands.is_empty() {
            fields.field("subcommands").map_of(|fields| {
                command.subcommands.iter().for_each(|it| document(fields.field(it.name), it));
            });
        }
    });
}

/// Which key specification is about the next key.
struct Keys {
    next: usize,
    specs: usize,
}

fn list(reply: &mut Reply<'_>, arguments: &[Argument], keys: &mut Keys) {
    reply.array(arguments.len());
    arguments.iter().for_each(|argument| describe(reply, argument, keys));
}

fn describe(reply: &mut Reply<'_>, argument: &Argument, keys: &mut Keys) {
    let (kind, parts): (_, &[Argument]) = match argument.kind {
        Kind::Key => ("key", &[]),
        Kind::String => ("string", &[]),
        Kind::Integer => ("integer", &[]),
        Kind::Double => ("double", &[]),
        Kind::Pattern => ("pattern", &[]),
        Kind::Token => ("pure-token", &[]),
        Kind::OneOf(parts) => ("oneof", parts),
        Kind::Block(parts) => ("block", parts),
    };
    reply.map_of(|fields| {
        fields.text("name", &argument.name.to_ascii_lowercase());
        fields.text("type", kind);
        if kind == "key" && keys.specs > 0 {
            fields.count("key_spec_index", keys.next.min(keys.specs - 1) as u64);
            keys.next += 1;
        }
        if let Some(token) = argument.token {
            fields.text("token", token);
        }
        let flags: Vec<&str> = [("optional", argument.optional), ("multiple", argument.multiple)]
            .into_iter()
            .filter_map(|(word, is)| is.then_some(word))
            .collect();
        if !flags.is_empty() {
            fields.field("flags").set_of(|items| flags.iter().for_each(|word| items.one().simple(word)));
        }
        if !parts.is_empty() {
            list(fields.field("arguments"), parts, keys);
        }
    });
}
