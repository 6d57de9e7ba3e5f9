//! WAIT and WAITAOF: how many other replicas have what this connection wrote, and whose disks.

use std::sync::Arc;
use std::time::Duration;

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::options::int_arg;
use crate::command::wait::Wait;
use crate::state::Server;
use cahoots_gossip::driver::Node;

pub(super) fn wait(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let replicas = usize::try_from(int_arg(&args[1])?).unwrap_or(0);
    let timeout = timeout_arg(&args[2])?;
    let Some(seq) = ctx.written() else {
        reply.count(0);
        return Ok(Flow::Continue);
    };
    if ctx.session.executes {
        reply.count(ctx.had_by(seq).0);
        return Ok(Flow::Continue);
    }
    let acknowledged = move |node: Node, _| async move { node.wait(seq, replicas, timeout).await };
    let wait = Wait::new(acknowledged, |_, replicas, reply| {
        reply.count(replicas);
        Ok(Flow::Continue)
    });
    Ok(Flow::Wait(wait.for_others()))
}

pub(super) fn waitaof(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let local = match int_arg(&args[1])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR value is out of range, value must between 0 and 1")),
    };
    let replicas = usize::try_from(int_arg(&args[2])?)
        .map_err(|_| CommandError::text("ERR value is out of range, must be positive"))?;
    let timeout = timeout_arg(&args[3])?;
    if local && ctx.server.durability.storage().is_none() {
        return Err(CommandError::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    let Some(seq) = ctx.written() else {
        answer(reply, (false, 0));
        return Ok(Flow::Continue);
    };
    if ctx.session.executes {
        answer(reply, (false, ctx.had_by(seq).1));
        return Ok(Flow::Continue);
    }
    let kept = move |node, server| kept(node, server, seq, local, replicas, timeout);
    let wait = Wait::new(kept, |_, kept, reply| {
        answer(reply, kept);
        Ok(Flow::Continue)
    });
    Ok(Flow::Wait(wait.for_others()))
}

fn answer(reply: &mut Reply<'_>, (here, elsewhere): (bool, usize)) {
    reply.array(2);
    reply.count(usize::from(here));
    reply.count(elsewhere);
}

/// Waits until own events up to `seq` are on this disk, if `local`, and on those of `replicas` peers; says whether they
/// are on this one, and on how many others.
async fn kept(
    node: Node,
    server: Arc<Server>,
    seq: u64,
    local: bool,
    replicas: usize,
    timeout: Option<Duration>,
) -> (bool, usize) {
    let storage = server.durability.storage();
    let here = async {
        let Some(storage) = storage.filter(|_| local) else { return };
        let mut durable = storage.durable();
        if durable.borrow().seq < seq {
            storage.sync_soon();
        }
        // If the thread that writes is gone, time decides.
        if durable.wait_for(|durable| durable.seq >= seq).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let elsewhere = async {
        if replicas > 0 {
            node.wait_kept(seq, replicas, None).await;
        }
    };
    let both = async { tokio::join!(here, elsewhere) };
    match timeout {
        Some(timeout) => drop(tokio::time::timeout(timeout, both).await),
        None => drop(both.await),
    }
    let here = storage.is_some_and(|storage| storage.durable().borrow().seq >= seq);
    (here, node.read(|replica| replica.kept_by(seq)))
}

/// Milliseconds; 0 is for ever.
fn timeout_arg(arg: &[u8]) -> Result<Option<Duration>, CommandError> {
    let timeout =
        crate::resp::integer(arg).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    Ok((timeout > 0).then(|| Duration::from_millis(timeout)))
}
