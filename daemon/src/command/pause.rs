//! Commands that are held while clients are paused, and what goes on once the pause is over.

use std::convert::Infallible;
use std::sync::Arc;

use super::blocking;
use super::context::Context;
use super::contract::{Command, Flow};
use super::flags::{MAY_REPLICATE, WRITE};
use super::wait::Wait;
use super::{script, transaction};
use crate::resp::Args;
use crate::state::{Holds, Server};
use cahoots_gossip::driver::Node;
use cahoots_gossip::engine::{Now, Replica};

impl Context<'_> {
    /// What a command waits for that is held: it is called anew once the pause is over. What a transaction or a script calls
    /// is a part of one that was not held.
    #[cold]
    pub(super) fn held(&mut self, command: &'static Command, args: Args<'_>) -> Option<Flow> {
        let (holds, _) = self.server.pause.now().filter(|_| !self.session.executes)?;
        // Else nobody could end a pause of all commands.
        let passes = command.name == "client|unpause" || holds == Holds::Writes && !self.may_write(command, args);
        if passes {
            return None;
        }
        let (held, args) = (self.server.pause.hold(), args.kept());
        // If the daemon ends meanwhile, so does the client.
        let held = |_, _| async { drop(held.await) };
        Some(Flow::Wait(Wait::new(held, move |ctx, (), reply| Ok(ctx.call(args.args(), reply))).for_others()))
    }

    fn may_write(&mut self, command: &'static Command, args: Args<'_>) -> bool {
        match command.name {
            "exec" => self.session.transaction.as_ref().is_some_and(transaction::Transaction::may_write),
            _ if command.flags.has(WRITE) => true,
            _ => command.flags.has(MAY_REPLICATE) && !script::says_it_reads_only(self, command, args),
        }
    }
}

/// Ends each pause whose time is over.
pub async fn keep_pauses(node: &Node, server: &Arc<Server>) -> Infallible {
    loop {
        server.pause.over().await;
        node.run(|replica, now| {
            // It may have been made longer in this moment.
            if server.pause.is_over() {
                end(replica, now, server);
            }
        });
    }
}

/// Ends a pause: who was held goes on, and those who are blocked at keys may have what came there meanwhile.
pub(super) fn end(replica: &mut Replica, now: Now, server: &Server) {
    server.pause.end();
    server.sees_to_expiry(replica);
    blocking::serve_at(replica, now, server, server.watch.blocked_keys());
}
