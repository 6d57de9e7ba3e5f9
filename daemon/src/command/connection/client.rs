//! CLIENT: what a client says about itself, and asks about itself.

use std::fmt::Write;

use crate::command::error::CommandError;
use crate::command::exec::{Exec, Flow, Outcome};
use crate::resp::Args;
use crate::session::{Replies, Session};

pub(in crate::command) fn client(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    exec.subcommand(args)
}

pub(in crate::command) fn id(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    exec.reply.integer(exec.session.id.cast_signed());
    Ok(Flow::Continue)
}

pub(in crate::command) fn getname(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    let name = &exec.session.name;
    exec.reply.maybe_bulk((!name.is_empty()).then_some(name));
    Ok(Flow::Continue)
}

pub(in crate::command) fn setname(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    check_name(&args[2], "Client names")?;
    exec.session.name = args.at(2).into();
    exec.reply.ok();
    Ok(Flow::Continue)
}

pub(in crate::command) fn setinfo(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let (attribute, value) = (args.at(2), args.at(3));
    if attribute.eq_ignore_ascii_case(b"lib-name") {
        check_name(value, "lib-name")?;
        exec.session.library_name = value.into();
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        check_name(value, "lib-ver")?;
        exec.session.library_version = value.into();
    } else {
        let attribute = String::from_utf8_lossy(attribute);
        return Err(CommandError::Other(format!("ERR Unrecognized option '{attribute}'").into()));
    }
    exec.reply.ok();
    Ok(Flow::Continue)
}

/// What a client calls itself stands in lists of one line each, separated by spaces.
pub(in crate::command) fn check_name(name: &[u8], what: &str) -> Result<(), CommandError> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(())
    } else {
        let refusal = format!("ERR {what} cannot contain spaces, newlines or special characters.");
        Err(CommandError::Other(refusal.into()))
    }
}

pub(in crate::command) fn info(exec: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    let mut line = describe(exec.session);
    line.push('\n');
    exec.reply.verbatim(&line);
    Ok(Flow::Continue)
}

/// The fields of Redis's line that mean something here.
fn describe(session: &Session) -> String {
    let text = String::from_utf8_lossy;
    let mut line = format!(
        "id={} addr={} laddr={} name={} age={} db=0",
        session.id,
        session.address,
        session.local_address,
        text(&session.name),
        session.since.elapsed().as_secs(),
    );
    // Formatting into a String cannot fail.
    let _ = write!(
        line,
        " cmd={} user=default lib-name={} lib-ver={} resp={}",
        session.last_command.map_or("NULL", |command| command.name),
        text(&session.library_name),
        text(&session.library_version),
        session.protocol.version(),
    );
    line
}

pub(in crate::command) fn no_evict(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    // Clients are never evicted for memory, so there is nothing to remember.
    if !args[2].eq_ignore_ascii_case(b"on") && !args[2].eq_ignore_ascii_case(b"off") {
        return Err(CommandError::Syntax);
    }
    exec.reply.ok();
    Ok(Flow::Continue)
}

pub(in crate::command) fn reply(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let mode = args.at(2);
    exec.session.replies = if mode.eq_ignore_ascii_case(b"on") {
        exec.reply.ok();
        Replies::On
    } else if mode.eq_ignore_ascii_case(b"off") {
        Replies::Off
    } else if mode.eq_ignore_ascii_case(b"skip") {
        match exec.session.replies {
            Replies::Off => Replies::Off,
            _ => Replies::SkipNext,
        }
    } else {
        return Err(CommandError::Syntax);
    };
    Ok(Flow::Continue)
}
