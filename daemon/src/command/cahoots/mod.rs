//! CAHOOTS: what Redis has no word for.

mod status;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::arguments::string;
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{ADMIN, Flags, LOADING, NOSCRIPT, STALE};
use super::wait::Wait;
use crate::resp::{Args, Reply};
use crate::state::Server;
use cahoots_gossip::driver::{Drained, Node};
use cahoots_gossip::engine::Standing;

const GROUP: &str = "cluster";

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler)
}

const ALWAYS: Flags = LOADING.and(STALE);

pub(super) const COMMANDS: &[Command] = &[Command::container(
    GROUP,
    "cahoots",
    &[
        command("cahoots|forget", 3, ADMIN.and(NOSCRIPT).and(ALWAYS), forget)
            .about("0.1.0", "O(N), N the members", "Forgets the members that are down and go by a name or an id.")
            .takes(&[string("node")]),
        command("cahoots|accept", -2, ADMIN.and(NOSCRIPT).and(ALWAYS), accept)
            .about(
                "0.1.0",
                "O(N), N the members",
                "Takes what is here for all there is, or for all of one node's data.",
            )
            .takes(&[string("node").optional()]),
        command("cahoots|leave", 2, ADMIN.and(NOSCRIPT).and(ALWAYS), leave).about(
            "0.1.0",
            "O(N), N the events that peers still lack",
            "Hands everything over, leaves the cluster and stops.",
        ),
        command("cahoots|status", 2, ALWAYS, status).about(
            "0.1.0",
            "O(N), N the peers",
            "Tells how far this replica and its peers are.",
        ),
        command("cahoots|members", 2, ALWAYS, members).about(
            "0.1.0",
            "O(N), N the members",
            "Lists the members of the cluster.",
        ),
    ],
)
.flagged(ALWAYS)
.about("0.1.0", "Depends on the subcommand", "Commands about the cluster.")];

// The members are the driver's knowledge, not the replica's: they are asked for outside of the lock.

fn status(_: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    let members = |node: Node, _| async move { node.members() };
    Ok(Flow::Wait(Wait::new(members, |ctx, members, reply| {
        status::write_status(reply, &mut ctx.account(), &members);
        Ok(Flow::Continue)
    })))
}

fn members(_: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    let members = |node: Node, _| async move { node.members() };
    Ok(Flow::Wait(Wait::new(members, |_, members, reply| {
        status::write_members(reply, &members);
        Ok(Flow::Continue)
    })))
}

/// Says how many were forgotten.
fn forget(_: &mut Context<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    // No member goes by anything that is not text.
    let who = String::from_utf8_lossy(args.at(2)).into_owned();
    let forget = |node: Node, _| async move { node.forget(&who).await.map_err(|error| format!("ERR {error}")) };
    Ok(Flow::Wait(Wait::new(forget, |_, forgotten: Result<usize, String>, reply| {
        reply.count(forgotten.map_err(|error| CommandError::Other(error.into()))?);
        Ok(Flow::Continue)
    })))
}

/// Says of how many peers no more is expected.
fn accept(_: &mut Context<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    let who = args.get(2).map(|who| String::from_utf8_lossy(who).into_owned());
    let accept = |node: Node, _| async move {
        let members = node.members();
        node.with(|replica, now| {
            let mut owed = replica.owed_by();
            let Some(who) = who else {
                let waits = replica.standing() != Standing::Complete && (owed.is_empty() || replica.awaits_seeds());
                replica.accept(now, None);
                return owed.len() + usize::from(waits);
            };
            owed.retain(|id| id.to_string() == who || status::name_of(*id, &members) == who);
            owed.iter().for_each(|id| replica.accept(now, Some(*id)));
            owed.len()
        })
    };
    Ok(Flow::Wait(Wait::new(accept, |_, accepted: usize, reply| {
        reply.count(accepted);
        Ok(Flow::Continue)
    })))
}

/// A client has asked this node to leave and waits for the answer: counted in [`Server::leaves`] for as long as this lives.
struct LeaveUnderWay(Arc<Server>);

impl LeaveUnderWay {
    fn begin(server: Arc<Server>) -> Self {
        server.leaves.fetch_add(1, Relaxed);
        Self(server)
    }
}

impl Drop for LeaveUnderWay {
    fn drop(&mut self) {
        self.0.leaves.fetch_sub(1, Relaxed);
    }
}

/// Answers once everything is handed over. The daemon stops when the answer is sent: that is the second wait.
fn leave(ctx: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    let wanted = ctx.server.hand_over();
    let hand_over = move |node: Node, server: Arc<Server>| async move {
        let answering = LeaveUnderWay::begin(server);
        (node.hand_over(wanted).await, answering)
    };
    Ok(Flow::Wait(Wait::new(hand_over, move |_, (drained, answering): (Drained, LeaveUnderWay), reply| {
        reply.map_of(|fields| {
            fields.field("handed_over").boolean(drained.handed_over);
            fields.field("kept_on_disk").boolean(wanted.on_disk && drained.nobody_stays);
            fields.count("complete_at", drained.complete_at as u64);
        });
        let stop = |_, server: Arc<Server>| async move {
            server.leave.notify_one();
            drop(answering);
        };
        Ok(Flow::Wait(Wait::new(stop, |_, (), _| Ok(Flow::Continue))))
    })))
}
