//! Commands about the connection itself.

pub(super) mod client;

use super::error::CommandError;
use super::exec::{Exec, Flow, Outcome, Pause, int_arg};
use super::server::info;
use crate::resp::{Args, Protocol};
use crate::session::Replies;

pub(super) fn ping(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    match args.get(1) {
        None => exec.reply.simple("PONG"),
        Some(message) if args.len() == 2 => exec.reply.bulk(message),
        Some(_) => return Err(CommandError::Arity("ping".into())),
    }
    Ok(Flow::Continue)
}

pub(super) fn echo(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    exec.reply.bulk(&args[1]);
    Ok(Flow::Continue)
}

pub(super) fn select(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    // One database: numbered ones are a feature Redis itself regrets, and would be another thing to replicate.
    if int_arg(&args[1])? != 0 {
        return Err(CommandError::text("ERR DB index is out of range"));
    }
    exec.reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn quit(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    exec.reply.ok();
    Ok(Flow::Close)
}

/// Everything the connection asked for is forgotten, except what it wrote: `WAIT` may still be asked for that.
pub(super) fn reset(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    exec.session.protocol = Protocol::Resp2;
    exec.session.name = Box::default();
    exec.session.replies = Replies::On;
    if !exec.session.present.is_empty() {
        return Ok(Flow::Pause(Pause::Reset));
    }
    exec.reply.set_protocol(Protocol::Resp2);
    exec.reply.simple("RESET");
    Ok(Flow::Continue)
}

pub(super) fn hello(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let protocol = match args.get(1) {
        None => exec.session.protocol,
        Some(version) => match crate::resp::integer(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
            None => {
                return Err(CommandError::text("ERR Protocol version is not an integer or out of range"));
            }
        },
    };
    let mut name = None;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let more = args.len() - at - 1;
        if option.eq_ignore_ascii_case(b"auth") && more >= 2 {
            // There are no passwords: the socket's permissions say who may connect. As with a Redis that has none,
            // the default user may give any.
            if !args[at + 1].eq_ignore_ascii_case(b"default") {
                return Err(CommandError::text("WRONGPASS invalid username-password pair or user is disabled."));
            }
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && more >= 1 {
            client::check_name(&args[at + 1], "Client names")?;
            name = Some(args.at(at + 1));
            at += 2;
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(CommandError::Other(format!("ERR Syntax error in HELLO option '{option}'").into()));
        }
    }
    if let Some(name) = name {
        exec.session.name = name.into();
    }
    exec.session.protocol = protocol;
    exec.reply.set_protocol(protocol);
    let reply = &mut exec.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(info::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(protocol.version());
    reply.bulk(b"id");
    reply.integer(exec.session.id.cast_signed());
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Flow::Continue)
}
