//! What follows for clients when users change: what they may do they find at their next command, but some are doing it.

use super::{Context, Flow, access};
use crate::acl::Change;
use crate::resp::Reply;
use crate::session::{Client, Dismissal};
use crate::watch::Served;

/// Cuts the clients of users that are gone, and those who listen to what their users may not any more; those who are blocked
/// with what they may not do any more are told so. Says what follows for the client that asked.
pub(in crate::command) fn enforce(ctx: &mut Context<'_>, changes: &[Change]) -> Flow {
    let mut closes = false;
    for change in changes {
        let name = &change.before.name;
        let mut cut = |client: &Client| {
            if client.id == ctx.session.id {
                closes = true;
            } else {
                client.inbox.dismiss(Dismissal::Killed);
            }
        };
        let clients = ctx.server.clients.all();
        let its = clients.iter().filter(|client| client.facts().user == *name);
        let Some(user) = &change.after else {
            its.for_each(|client| cut(client));
            continue;
        };
        if !user.covers_channels_of(&change.before) {
            ctx.server.pubsub.each_listener(|topic, channel, client| {
                let is_pattern = topic == crate::pubsub::Topic::Pattern;
                if client.facts().user == *name && !user.may_listen(channel, is_pattern) {
                    cut(client);
                }
            });
        }
        for client in its {
            let Some((command, args)) = client.facts().waits_with.clone() else { continue };
            if let Err(denied) = user.check(command, args.args()) {
                let mut answer = Vec::new();
                let refusal = access::refusal(user, command, denied, None);
                Reply::new(&mut answer, client.protocol()).error(format_args!("NOPERM {refusal}"));
                ctx.server.watch.unblock(client.id, Served::Answered(answer, None));
            }
        }
    }
    if closes { Flow::Close } else { Flow::Continue }
}
