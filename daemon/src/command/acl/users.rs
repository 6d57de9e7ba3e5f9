//! ACL SETUSER, GETUSER, DELUSER, LIST, USERS, LOAD and SAVE.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use super::{Args, CommandError, Context, Flow, Outcome, Reply, Wait, enforce};
use crate::acl::{self, DEFAULT, Selector};

fn refused(why: impl std::fmt::Display) -> CommandError {
    CommandError::Other(format!("ERR {why}").into())
}

pub(super) fn setuser(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let change = ctx.server.acl.set(args.at(2), args.from(3).iter()).map_err(refused)?;
    reply.ok();
    Ok(enforce(ctx, &[change]))
}

pub(super) fn deluser(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let names = args.from(2);
    if names.iter().any(|name| name == DEFAULT) {
        return Err(CommandError::text("ERR The 'default' user cannot be removed"));
    }
    let changes = ctx.server.acl.delete(names.iter());
    reply.count(changes.len());
    Ok(enforce(ctx, &changes))
}

pub(super) fn getuser(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(user) = ctx.server.acl.get(args.at(2)) else {
        reply.null();
        return Ok(Flow::Continue);
    };
    reply.map_of(|fields| {
        fields.field("flags").set_of(|flags| user.flags().for_each(|flag| flags.one().bulk(flag.as_bytes())));
        fields.field("passwords").array_of(|items| {
            user.passwords().iter().for_each(|hash| items.one().bulk(hash.to_string().as_bytes()));
        });
        let permissions = |selector: &Selector| {
            [
                ("commands", selector.command_rules()),
                ("keys", selector.key_rules()),
                ("channels", selector.channel_rules()),
            ]
        };
        for (name, rules) in permissions(user.root()) {
            fields.field(name).bulk(&rules);
        }
        fields.field("selectors").array_of(|items| {
            for selector in user.selectors() {
                items.one().map_of(|fields| {
                    for (name, rules) in permissions(selector) {
                        fields.field(name).bulk(&rules);
                    }
                });
            }
        });
    });
    Ok(Flow::Continue)
}

pub(super) fn list(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let users = ctx.server.acl.all();
    reply.array(users.len());
    users.iter().for_each(|user| reply.bulk(&user.line()));
    Ok(Flow::Continue)
}

pub(super) fn names(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let users = ctx.server.acl.all();
    reply.array(users.len());
    users.iter().for_each(|user| reply.bulk(&user.name));
    Ok(Flow::Continue)
}

fn file(ctx: &Context<'_>) -> Result<PathBuf, CommandError> {
    ctx.server.acl.file.clone().ok_or(CommandError::text(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
         command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store \
         users in the Redis configuration.",
    ))
}

pub(super) fn load(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let acl = &ctx.server.acl;
    let users = acl::read(&file(ctx)?, acl.all_channels.load(Relaxed)).map_err(refused)?;
    let changes = acl.replace(users);
    reply.ok();
    Ok(enforce(ctx, &changes))
}

/// Writes outside of the replica's lock: a disk may take long.
pub(super) fn save(ctx: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    let (file, users) = (file(ctx)?, ctx.server.acl.all());
    Ok(Flow::Wait(Wait::new(
        |_, _| tokio::task::spawn_blocking(move || acl::write(&file, &users)),
        |_, written, reply| match written.map_err(std::io::Error::other).flatten() {
            Ok(()) => {
                reply.ok();
                Ok(Flow::Continue)
            }
            Err(error) => {
                tracing::warn!(%error, "the users cannot be saved");
                Err(CommandError::text(
                    "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
                ))
            }
        },
    )))
}
