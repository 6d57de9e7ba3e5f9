//! CLIENT LIST and CLIENT KILL: about other clients.

use std::fmt::Write;
use std::sync::Arc;

use super::{Args, CommandError, Context, Flow, Outcome, Reply, is};
use crate::resp::integer;
use crate::session::{Client, Dismissal};

/// Redis's classes of clients. There are no replicas and no primaries among those here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    PubSub,
    Other,
}

impl Class {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        let classes = [("normal", Self::Normal), ("pubsub", Self::PubSub)];
        let others = ["master", "slave", "replica"].map(|word| (word, Self::Other));
        let found = classes.into_iter().chain(others).find(|(name, _)| is(word, name)).map(|(_, class)| class);
        found.ok_or_else(|| {
            CommandError::Other(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(word)).into())
        })
    }

    fn of(client: &Client) -> Self {
        if client.listens() { Self::PubSub } else { Self::Normal }
    }
}

pub(super) fn list(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.note_client();
    let clients = ctx.server.clients.all();
    let wanted: Vec<Arc<Client>> = match (args.get(2), args.get(3)) {
        (None, _) => clients,
        (Some(word), Some(class)) if args.len() == 4 && is(word, "type") => {
            let class = Class::parse(class)?;
            clients.into_iter().filter(|client| Class::of(client) == class).collect()
        }
        (Some(word), Some(_)) if is(word, "id") => {
            let ids = args.from(3).iter().map(|id| integer(id).ok_or(CommandError::text("ERR Invalid client ID")));
            let ids = ids.collect::<Result<Vec<_>, _>>()?;
            ids.into_iter().filter_map(|id| ctx.server.clients.get(id.cast_unsigned())).collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    let mut lines = String::new();
    for client in wanted {
        // Formatting into a String cannot fail.
        let _ = write!(lines, "{client}");
    }
    reply.verbatim(&lines);
    Ok(Flow::Continue)
}

pub(super) fn info(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.note_client();
    reply.verbatim(&ctx.session.client.to_string());
    Ok(Flow::Continue)
}

/// Which clients are to go: all that every condition names.
struct Filter<'a> {
    id: Option<u64>,
    class: Option<Class>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(ctx: &Context<'_>, words: Args<'a>) -> Result<Self, CommandError> {
        let mut filter = Self { id: None, class: None, address: None, local_address: None, user: None, skip_me: true };
        if !words.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        for (word, value) in words.pairs() {
            if is(word, "id") {
                let id = integer(value).filter(|id| *id > 0);
                let id = id.ok_or(CommandError::text("ERR client-id should be greater than 0"))?;
                filter.id = Some(id.cast_unsigned());
            } else if is(word, "type") {
                filter.class = Some(Class::parse(value)?);
            } else if is(word, "addr") {
                filter.address = Some(value);
            } else if is(word, "laddr") {
                filter.local_address = Some(value);
            } else if is(word, "user") {
                if ctx.server.acl.get(value).is_none() {
                    let refusal = format!("ERR No such user '{}'", String::from_utf8_lossy(value));
                    return Err(CommandError::Other(refusal.into()));
                }
                filter.user = Some(value);
            } else if is(word, "skipme") && (is(value, "yes") || is(value, "no")) {
                filter.skip_me = is(value, "yes");
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.class.is_none_or(|class| class == Class::of(client))
            && self.address.is_none_or(|address| address == client.address.as_bytes())
            && self.local_address.is_none_or(|address| address == client.local_address.as_bytes())
            && self.user.is_none_or(|user| user == &*client.facts().user)
    }
}

pub(super) fn kill(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let is_old_form = args.len() == 3;
    let filter = if is_old_form {
        let address = Some(args.at(2));
        Filter { id: None, class: None, address, local_address: None, user: None, skip_me: false }
    } else {
        Filter::parse(ctx, args.from(2))?
    };
    let (mut count, mut oneself) = (0, false);
    for client in ctx.server.clients.all().iter().filter(|client| filter.matches(client)) {
        if client.id != ctx.session.id {
            client.inbox.dismiss(Dismissal::Killed);
        } else if filter.skip_me {
            continue;
        } else {
            oneself = true;
        }
        count += 1;
        if is_old_form {
            break;
        }
    }
    match (is_old_form, count) {
        (true, 0) => return Err(CommandError::text("ERR No such client")),
        (true, _) => reply.ok(),
        (false, _) => reply.count(count),
    }
    Ok(if oneself { Flow::Close } else { Flow::Continue })
}
