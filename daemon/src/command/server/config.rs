//! CONFIG GET: the parameters of Redis that clients ask for, and what is true of them here.

use std::sync::atomic::Ordering::Relaxed;

use crate::command::exec::{Exec, Flow, Outcome};
use crate::command::glob;
use crate::resp::Args;
use crate::state::Server;

pub(in crate::command) fn config(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    exec.subcommand(args)
}

pub(in crate::command) fn get(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let patterns: Vec<Vec<u8>> = args.from(2).iter().map(<[u8]>::to_ascii_lowercase).collect();
    let parameters = parameters(exec.server);
    let matching =
        parameters.iter().filter(|(name, _)| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    exec.reply.map(matching.clone().count());
    for (name, value) in matching {
        exec.reply.bulk(name.as_bytes());
        exec.reply.bulk(value.as_bytes());
    }
    Ok(Flow::Continue)
}

fn parameters(server: &Server) -> [(&'static str, String); 9] {
    let limits = &server.limits;
    [
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", server.clients_max.load(Relaxed).to_string()),
        ("maxmemory", "0".to_owned()),
        ("port", server.tcp.map_or(0, |address| address.port()).to_string()),
        ("proto-max-bulk-len", limits.frame.bulk_bytes_max.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
        ("unixsocket", server.socket.display().to_string()),
    ]
}
