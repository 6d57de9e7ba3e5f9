//! CLIENT TRACKING and its kin: a client keeps a cache, and is told what is no longer true in it.

use std::sync::Arc;

use super::{Args, CommandError, Context, Flow, Outcome, Reply, int_arg, is};
use crate::session::{CachesWhat, TrackingMode};
use crate::watch::Tracker;

/// Bytes of the prefixes that one client may give.
const PREFIX_BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
struct Options {
    redirect: u64,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<Box<[u8]>>,
}

impl Options {
    fn parse(ctx: &Context<'_>, words: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if is(word, "redirect")
                && let Some(id) = words.next()
            {
                if options.redirect != 0 {
                    return Err(CommandError::text("ERR A client can only redirect to a single other client"));
                }
                options.redirect = int_arg(id)?.cast_unsigned();
                if ctx.server.clients.get(options.redirect).is_none() {
                    return Err(CommandError::text("ERR The client ID you want redirect to does not exist"));
                }
            } else if is(word, "bcast") {
                options.broadcast = true;
            } else if is(word, "optin") {
                options.opt_in = true;
            } else if is(word, "optout") {
                options.opt_out = true;
            } else if is(word, "noloop") {
                options.no_loop = true;
            } else if is(word, "prefix")
                && let Some(prefix) = words.next()
            {
                options.prefixes.push(prefix.into());
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether a client that tracks as `now` may track like this.
    fn check(&self, now: Option<&TrackingMode>) -> Result<(), CommandError> {
        if !self.prefixes.is_empty() && !self.broadcast {
            return Err(CommandError::text("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if now.is_some_and(|now| now.broadcasts() != self.broadcast) {
            return Err(CommandError::text(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(CommandError::text("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(CommandError::text("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let is_other = |now: &TrackingMode| {
            self.opt_in && now.caches == CachesWhat::NotTold || self.opt_out && now.caches == CachesWhat::Told
        };
        if now.is_some_and(is_other) {
            return Err(CommandError::text(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        self.check_prefixes(now)
    }

    fn check_prefixes(&self, now: Option<&TrackingMode>) -> Result<(), CommandError> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let refused = |a: &[u8], b: &[u8], what: &str| {
            let [a, b] = [a, b].map(String::from_utf8_lossy);
            let refusal = format!(
                "ERR Prefix '{a}' overlaps with {what} prefix '{b}'. Prefixes for a single client must not overlap."
            );
            Err(CommandError::Other(refusal.into()))
        };
        let known = now.map_or(&[][..], |now| &now.prefixes);
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = known.iter().find(|other| overlap(prefix, other)) {
                return refused(prefix, other, "an existing");
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other)) {
                return refused(prefix, other, "another provided");
            }
        }
        let bytes: usize = known.iter().chain(&self.prefixes).map(|prefix| prefix.len() + 64).sum();
        if bytes > PREFIX_BYTES_MAX {
            return Err(CommandError::Other(format!("ERR prefixes take {PREFIX_BYTES_MAX} bytes at most").into()));
        }
        Ok(())
    }
}

pub(super) fn tracking(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let options = Options::parse(ctx, args.from(3))?;
    if is(&args[2], "off") {
        ctx.session.stop_tracking(ctx.server);
        reply.ok();
        return Ok(Flow::Continue);
    }
    if !is(&args[2], "on") {
        return Err(CommandError::Syntax);
    }
    options.check(ctx.session.tracking.as_ref())?;
    ctx.record_changes();
    let Options { redirect, broadcast, opt_in, opt_out, no_loop, mut prefixes } = options;
    let mut mode = ctx.session.tracking.take().unwrap_or_default();
    if broadcast && prefixes.is_empty() && mode.prefixes.is_empty() {
        prefixes.push(Box::default());
    }
    let target = ctx.server.clients.get(redirect).filter(|_| redirect != 0);
    let tracker = Tracker {
        client: Arc::downgrade(&ctx.session.client),
        redirect: target.map(|target| (redirect, Arc::downgrade(&target))),
        no_loop,
    };
    ctx.server.tracking.begin(ctx.session.id, tracker, prefixes.iter().map(|it| &**it));
    mode.prefixes.extend(prefixes);
    (mode.redirect, mode.no_loop) = (redirect, no_loop);
    mode.caches = match (opt_in, opt_out) {
        (true, _) => CachesWhat::Told,
        (_, true) => CachesWhat::NotTold,
        _ => CachesWhat::All,
    };
    ctx.session.tracking = Some(mode);
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn caching(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(mode) = &mut ctx.session.tracking else {
        return Err(CommandError::text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    let wanted = if is(&args[2], "yes") {
        CachesWhat::Told
    } else if is(&args[2], "no") {
        CachesWhat::NotTold
    } else {
        return Err(CommandError::Syntax);
    };
    if mode.caches != wanted {
        return Err(CommandError::text(match wanted {
            CachesWhat::Told => "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            _ => "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        }));
    }
    mode.told = true;
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn trackinginfo(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mode = ctx.session.tracking.as_ref();
    let is_broken = |mode: &&TrackingMode| mode.redirect != 0 && ctx.server.clients.get(mode.redirect).is_none();
    reply.map_of(|fields| {
        let flags = fields.field("flags");
        flags.set_of(|flags| {
            let mut flag = |word: &str, is: bool| {
                if is {
                    flags.one().bulk(word.as_bytes());
                }
            };
            let has = |is: fn(&TrackingMode) -> bool| mode.is_some_and(is);
            flag("off", mode.is_none());
            flag("on", mode.is_some());
            flag("bcast", has(TrackingMode::broadcasts));
            flag("optin", has(|it| it.caches == CachesWhat::Told));
            flag("caching-yes", has(|it| it.caches == CachesWhat::Told && it.told));
            flag("optout", has(|it| it.caches == CachesWhat::NotTold));
            flag("caching-no", has(|it| it.caches == CachesWhat::NotTold && it.told));
            flag("noloop", has(|it| it.no_loop));
            flag("broken_redirect", mode.filter(is_broken).is_some());
        });
        fields.field("redirect").integer(mode.map_or(-1, |mode| mode.redirect.cast_signed()));
        let prefixes = fields.field("prefixes");
        let mut known: Vec<_> = mode.map_or_else(Vec::new, |mode| mode.prefixes.iter().collect());
        known.sort();
        prefixes.array(known.len());
        known.iter().for_each(|prefix| prefixes.bulk(prefix));
    });
    Ok(Flow::Continue)
}

pub(super) fn getredir(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.integer(ctx.session.tracking.as_ref().map_or(-1, |mode| mode.redirect.cast_signed()));
    Ok(Flow::Continue)
}
