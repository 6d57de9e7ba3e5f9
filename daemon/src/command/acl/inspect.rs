//! ACL CAT, DRYRUN, GENPASS, LOG and WHOAMI.

use super::{Args, CommandError, Context, Flow, Outcome, Reply, access, int_arg, is, table};
use crate::acl::Denied;
use crate::command::flags::Categories;

/// Bits of a password unless it is told, and at most.
const PASSWORD_BITS: i64 = 256;
const PASSWORD_BITS_MAX: i64 = 4096;
/// How many entries ACL LOG tells unless it is told.
const SHOWN: usize = 10;

pub(super) fn cat(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(name) = args.get(2) else {
        reply.array_of(|items| Categories::names().for_each(|name| items.one().bulk(name.as_bytes())));
        return Ok(Flow::Continue);
    };
    if args.len() > 3 {
        return Err(CommandError::wrong_subcommand(args));
    }
    let category = Categories::named(name).ok_or_else(|| {
        let name = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
        CommandError::Other(format!("ERR Unknown category '{name}'").into())
    })?;
    reply.array_of(|items| {
        let all = table::commands().flat_map(|command| std::iter::once(command).chain(command.subcommands));
        all.filter(|command| command.categories().has(category))
            .for_each(|command| items.one().bulk(command.name.as_bytes()));
    });
    Ok(Flow::Continue)
}

pub(super) fn dryrun(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let quoted = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let refused = |text: String| CommandError::Other(text.into());
    let user = ctx.server.acl.get(args.at(2));
    let user = user.ok_or_else(|| refused(format!("ERR User '{}' not found", quoted(args.at(2)))))?;
    let called = args.from(3);
    let command = match table::find(called) {
        Ok(command) => command,
        Err(CommandError::Arity(name)) => {
            return Err(refused(format!("ERR wrong number of arguments for '{name}' command")));
        }
        Err(_) => return Err(refused(format!("ERR Command '{}' not found", quoted(called.at(0))))),
    };
    match user.check(command, called) {
        Ok(()) => reply.ok(),
        Err(denied) => {
            let object = match denied {
                Denied::Command => None,
                Denied::Key(at) | Denied::Channel(at) => called.get(at),
            };
            reply.bulk(access::refusal(&user, command, denied, object).as_bytes());
        }
    }
    Ok(Flow::Continue)
}

pub(super) fn genpass(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(CommandError::wrong_subcommand(args));
    }
    let bits = args.get(2).map_or(Ok(PASSWORD_BITS), int_arg)?;
    let digits = usize::try_from((bits.min(PASSWORD_BITS_MAX) + 3) / 4).unwrap_or(0);
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        let refusal = format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {PASSWORD_BITS_MAX}"
        );
        return Err(CommandError::Other(refusal.into()));
    }
    let mut random = vec![0; digits.div_ceil(2)];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
        .map_err(|_| CommandError::text("ERR the system has no random numbers"))?;
    let mut password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    reply.bulk(password.as_bytes());
    Ok(Flow::Continue)
}

pub(super) fn log(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let log = &ctx.server.acl.log;
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(CommandError::wrong_subcommand(args)),
        None => SHOWN,
        Some(word) if is(word, "reset") => {
            log.clear();
            reply.ok();
            return Ok(Flow::Continue);
        }
        Some(count) => usize::try_from(int_arg(count)?).unwrap_or(0),
    };
    let entries = log.last(count);
    reply.array(entries.len());
    for (entry, age) in &entries {
        reply.map_of(|fields| {
            fields.count("count", entry.count);
            fields.text("reason", entry.reason.word());
            fields.text("context", entry.scene.word());
            fields.field("object").bulk(&entry.object);
            fields.field("username").bulk(&entry.user);
            fields.field("age-seconds").double(*age as f64 / 1_000.0);
            fields.text("client-info", &entry.client);
            fields.count("entry-id", entry.id);
            fields.count("timestamp-created", entry.created);
            fields.count("timestamp-last-updated", entry.updated);
        });
    }
    Ok(Flow::Continue)
}

pub(super) fn whoami(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.bulk(ctx.session.login.name());
    Ok(Flow::Continue)
}
