//! HELP of a command with subcommands, in the form that Redis has: made from the list of them.

use super::context::Context;
use super::contract::{Flow, Outcome};
use super::table;
use crate::resp::{Args, Reply};

pub(super) fn help(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let container = table::by_name(&args[0]).expect("it was found to be called");
    let name = container.name.to_ascii_uppercase();
    reply.array_of(|items| {
        items.one().simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        for command in container.subcommands {
            items.one().simple(&command.syntax()[name.len() + 1..]);
            items.one().simple(&format!("    {}", command.summary));
        }
    });
    Ok(Flow::Continue)
}
