//! CONFIG GET: the parameters of Redis that clients ask for, and what is true of them here.

use std::sync::atomic::Ordering::Relaxed;

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::glob;
use crate::state::Server;

pub(super) fn get(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let patterns: Vec<Vec<u8>> = args.from(2).iter().map(<[u8]>::to_ascii_lowercase).collect();
    reply.map_of(|fields| {
        for (name, value) in parameters(ctx.server) {
            if patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())) {
                fields.text(name, &value);
            }
        }
    });
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
