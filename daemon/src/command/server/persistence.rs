//! SAVE, BGSAVE, LASTSAVE: copies of the log, as of one moment, beside it. SHUTDOWN.
//!
//! There is nothing else to save: what is applied is written all the time. A copy is made of second names for the log's
//! files, so it takes no longer for more data, and space only for what is overwritten later.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tracing::{info, warn};

use super::{Args, CommandError, Context, Flow, Outcome, Reply, is};
use crate::command::wait::Wait;
use crate::state::Server;

pub(super) fn save(ctx: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    is_kept(ctx)?;
    let copy = |_, server| copy(server);
    Ok(Flow::Wait(Wait::new(copy, |_, saved: Result<PathBuf, String>, reply| {
        saved.map_err(|error| CommandError::Other(format!("ERR {error}").into()))?;
        reply.ok();
        Ok(Flow::Continue)
    })))
}

pub(super) fn bgsave(ctx: &mut Context<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    if args.len() > 2 || (args.len() == 2 && !is(&args[1], "schedule")) {
        return Err(CommandError::Syntax);
    }
    is_kept(ctx)?;
    let begin = |_, server| async {
        tokio::spawn(async {
            match copy(server).await {
                Ok(to) => info!(to = %to.display(), "copy of the log made"),
                Err(error) => warn!(error, "cannot make a copy of the log"),
            }
        });
    };
    Ok(Flow::Wait(Wait::new(begin, |_, (), reply| {
        reply.simple("Background saving started");
        Ok(Flow::Continue)
    })))
}

pub(super) fn lastsave(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let saved_at = ctx.server.durability.storage().map(|storage| storage.status().saved_at);
    let wall = ctx.now().wall / 1000;
    let started = wall - ctx.server.started.elapsed().as_secs().min(wall);
    reply.integer(saved_at.unwrap_or(started).cast_signed());
    Ok(Flow::Continue)
}

/// What is written is handed over and on disk before the daemon ends, whatever is said about saving; with NOW it does not wait for
/// other replicas. The client is not answered: its connection ends with the daemon. Nothing calls that back.
pub(super) fn shutdown(ctx: &mut Context<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Outcome {
    let given = |word: &str| args.from(1).iter().filter(|arg| is(arg, word)).count() > 0;
    let known = ["nosave", "save", "now", "force", "abort"];
    let contradicts = given("save") && given("nosave") || given("abort") && args.len() > 2;
    if contradicts || !args.from(1).iter().all(|arg| known.iter().any(|word| is(arg, word))) {
        return Err(CommandError::Syntax);
    }
    if given("abort") {
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    ctx.server.hurries.store(given("now"), Relaxed);
    ctx.server.shutdown.notify_one();
    Ok(Flow::Wait(Wait::new(|_, _| std::future::pending::<()>(), |_, (), _| Ok(Flow::Continue)).for_others()))
}

fn is_kept(ctx: &Context<'_>) -> Result<(), CommandError> {
    match ctx.server.durability.storage() {
        Some(_) => Ok(()),
        None => Err(CommandError::text("ERR this node keeps everything in memory; start it with --data-dir")),
    }
}

/// Makes a copy of the log; says where.
async fn copy(server: Arc<Server>) -> Result<PathBuf, String> {
    let storage = server.durability.storage().ok_or("nothing is kept")?;
    storage.backup().await
}
