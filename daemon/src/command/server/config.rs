//! CONFIG: the parameters of Redis that clients ask for, and what is true of them here. Those that mean nothing stand in
//! `accepted.rs`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::Ordering::Relaxed;

use super::accepted::{ACCEPTED, Accepted};
use super::{Args, Context, Flow, Outcome, Reply, is};
use crate::command::error::CommandError;
use crate::command::glob;
use crate::config::{ChannelsDefault, MemorySize, PolicyWord, RequirePass, SAMPLES_MAX};
use crate::resp::integer;
use crate::script::TIME_MAX;
use crate::session::{PushBudget, Session};
use crate::state::{Server, clients_with_files};
use crate::storage::{AppendFsync, Storage};
use crate::watch::EventLetters;
use cahoots_gossip::engine::{MemoryBound, Now, Replica};

/// A parameter.
struct Parameter {
    name: &'static str,
    get: fn(&Server) -> String,
    set: How,
}

/// How a parameter is changed.
enum How {
    Never,
    /// By a restart: what it is may be said.
    Begun,
    /// What was given is judged first, and takes effect when all is sound.
    By(Set),
}

type Set = fn(&str) -> Result<Change, String>;
type Change = Box<dyn FnOnce(&mut Context<'_>)>;

const fn fixed(name: &'static str, get: fn(&Server) -> String) -> Parameter {
    Parameter { name, get, set: How::Never }
}

const fn begun(name: &'static str, get: fn(&Server) -> String) -> Parameter {
    Parameter { name, get, set: How::Begun }
}

const fn settable(name: &'static str, get: fn(&Server) -> String, set: Set) -> Parameter {
    Parameter { name, get, set: How::By(set) }
}

const PARAMETERS: &[Parameter] = &[
    settable("acl-pubsub-default", |server| channels_default(server).word().to_owned(), set_channels_default),
    fixed("aclfile", |server| server.acl.file.as_ref().map_or_else(String::new, |file| file.display().to_string())),
    settable("acllog-max-len", |server| server.acl.log.len_max.load(Relaxed).to_string(), set_refusals),
    begun("appendfsync", synced),
    begun("appendonly", kept),
    fixed("bind", |server| server.tcp.map_or_else(String::new, |address| address.ip().to_string())),
    settable("busy-reply-threshold", script_time, set_script_time),
    settable("client-output-buffer-limit", output_limits, set_output_limits),
    fixed("client-query-buffer-limit", |server| server.limits.query_bytes_max.to_string()),
    fixed("databases", |server| server.limits.databases.to_string()),
    fixed("enable-debug-command", |server| server.debugging.allowed.word().to_owned()),
    settable("latency-monitor-threshold", |server| server.latency.threshold().to_string(), set_latency),
    settable("latency-tracking", histograms, set_histograms),
    settable("latency-tracking-info-percentiles", percentiles, set_percentiles),
    settable("lfu-decay-time", |server| server.memory_bound().decay_minutes.to_string(), set_decay),
    settable("lfu-log-factor", |server| server.memory_bound().log_factor.to_string(), set_log_factor),
    settable("lua-time-limit", script_time, set_script_time),
    fixed("dir", directory),
    settable("maxclients", |server| server.clients_max.load(Relaxed).to_string(), set_clients),
    settable("maxmemory", |server| server.memory_bound().bytes_max.to_string(), set_memory),
    settable("maxmemory-policy", |server| PolicyWord(server.memory_bound().policy).word().to_owned(), set_policy),
    settable("maxmemory-samples", |server| server.memory_bound().samples.to_string(), set_samples),
    settable("notify-keyspace-events", |server| server.keyspace.letters().to_string(), set_events),
    fixed("port", |server| server.tcp.map_or(0, |address| address.port()).to_string()),
    fixed("proto-max-bulk-len", |server| server.limits.frame.bulk_bytes_max.to_string()),
    settable("requirepass", |server| RequirePass(server.acl.required()).to_string(), set_password),
    settable("slowlog-log-slower-than", |server| server.slowlog.slower_than.load(Relaxed).to_string(), set_slow),
    settable("slowlog-max-len", |server| server.slowlog.len_max.load(Relaxed).to_string(), set_slow_len),
    settable("tracking-table-max-keys", |server| server.tracking.keys_max.load(Relaxed).to_string(), set_tracked),
    fixed("unixsocket", |server| server.socket.display().to_string()),
];

/// A parameter by the name that it was called by.
enum Found {
    Meant(&'static Parameter),
    Accepted(&'static str, &'static Accepted),
}

impl Found {
    /// Every parameter, those with two names twice.
    fn all() -> impl Iterator<Item = Self> {
        let names = |it: &'static Accepted| [it.name, it.alias].into_iter().filter(|name| !name.is_empty());
        let accepted = ACCEPTED.iter().flat_map(move |it| names(it).map(move |name| Self::Accepted(name, it)));
        PARAMETERS.iter().map(Self::Meant).chain(accepted)
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::all().find(|it| it.name().as_bytes().eq_ignore_ascii_case(name))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Meant(parameter) => parameter.name,
            Self::Accepted(name, _) => name,
        }
    }

    fn value(&self, server: &Server) -> String {
        match self {
            Self::Meant(parameter) => (parameter.get)(server),
            Self::Accepted(_, it) => server.parameters.value(it.name).unwrap_or_else(|| it.default.to_owned()),
        }
    }

    /// Why it may not be set, whatever the value.
    fn immutable(&self) -> Option<&'static str> {
        match self {
            Self::Meant(parameter) => matches!(parameter.set, How::Never).then_some("can't set immutable config"),
            Self::Accepted(_, it) => it.immutable(),
        }
    }

    fn set(&self, server: &Server, value: &str) -> Result<Change, String> {
        match self {
            Self::Meant(Parameter { set: How::By(set), .. }) => set(value),
            Self::Meant(Parameter { get, .. }) => match get(server) {
                now if now.eq_ignore_ascii_case(value) => Ok(Box::new(|_| {})),
                now => Err(format!("it is '{now}' until the daemon is started again")),
            },
            Self::Accepted(_, it) => {
                let (name, value) = (it.name, it.judge(value)?);
                Ok(Box::new(move |ctx| ctx.server.parameters.keep(name, value)))
            }
        }
    }

    /// The name under which it is told to who asks by this pattern, if that asks for it: in the client's spelling, if it is no
    /// pattern.
    fn told_as(&self, pattern: &[u8]) -> Option<String> {
        let name = self.name();
        let is_hidden = matches!(self, Self::Accepted(_, it) if it.is_hidden);
        match pattern.iter().any(|byte| b"[*?".contains(byte)) {
            true if is_hidden => None,
            true => glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()).then(|| name.to_owned()),
            false => is(pattern, name).then(|| String::from_utf8_lossy(pattern).into_owned()),
        }
    }
}

pub(super) fn get(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.map_of(|fields| {
        for found in Found::all() {
            if let Some(name) = args.from(2).iter().find_map(|pattern| found.told_as(pattern)) {
                fields.text(&name, &found.value(ctx.server));
            }
        }
    });
    Ok(Flow::Continue)
}

pub(super) fn set(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let pairs = args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    put(ctx, pairs.pairs())?;
    reply.ok();
    Ok(Flow::Continue)
}

/// Sets parameters: all of them or none.
fn put<'p>(
    ctx: &mut Context<'_>,
    pairs: impl ExactSizeIterator<Item = (&'p [u8], &'p [u8])> + Clone,
) -> Result<(), CommandError> {
    let refused = |name: &str, why: &str| {
        let refusal = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        CommandError::Other(refusal.into())
    };
    let mut wanted: Vec<Found> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs.clone() {
        let Some(found) = Found::named(name) else {
            let name = String::from_utf8_lossy(name);
            let refusal = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
            return Err(CommandError::Other(refusal.into()));
        };
        if let Some(why) = found.immutable() {
            return Err(refused(found.name(), why));
        }
        if wanted.iter().any(|known| known.name() == found.name()) {
            return Err(refused(found.name(), "duplicate parameter"));
        }
        wanted.push(found);
    }
    let judged = wanted.iter().zip(pairs).map(|(found, (_, value))| {
        found.set(ctx.server, &String::from_utf8_lossy(value)).map_err(|why| refused(found.name(), &why))
    });
    let changes: Vec<Change> = judged.collect::<Result<_, _>>()?;
    for (found, change) in wanted.iter().zip(changes) {
        change(ctx);
        ctx.server.parameters.note_set(found.name());
    }
    Ok(())
}

/// Sets what a configuration file says under `[redis]`, before the first client comes.
///
/// # Errors
/// It says something that is none of this daemon's parameters, or no value of one.
pub fn configure(
    replica: &mut Replica,
    now: Now,
    server: &Server,
    redis: &BTreeMap<String, String>,
) -> Result<(), String> {
    let mut session = Session::new(0, "", "");
    let mut ctx = Context::new(replica, now, &mut session, server);
    let pairs: Vec<_> = redis.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    put(&mut ctx, pairs.into_iter()).map_err(|error| error.to_string())
}

/// What INFO counts begins anew; what it tells of now stays.
pub(super) fn resetstat(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.forget_counts();
    reply.ok();
    Ok(Flow::Continue)
}

/// Writes what was set into the configuration file, under `[redis]`. As it is a small file, nobody waits long for it.
pub(super) fn rewrite(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let parameters = &ctx.server.parameters;
    let Some(file) = &parameters.file else {
        return Err(CommandError::text("ERR The server is running without a config file"));
    };
    let found = parameters.set().into_iter().filter_map(|name| Found::named(name.as_bytes()));
    let set: Vec<(&str, String)> = found.map(|found| (found.name(), found.value(ctx.server))).collect();
    crate::config::rewrite(file, &set).map_err(|error| {
        tracing::warn!(%error, "the configuration cannot be rewritten");
        CommandError::Other(format!("ERR Rewriting config file: {error}").into())
    })?;
    reply.ok();
    Ok(Flow::Continue)
}

fn set_events(letters: &str) -> Result<Change, String> {
    let letters = EventLetters::from_str(letters)?;
    Ok(Box::new(move |ctx| {
        ctx.server.keyspace.choose(letters);
        if ctx.server.keyspace.is_on() {
            ctx.record_changes();
        }
    }))
}

fn channels_default(server: &Server) -> ChannelsDefault {
    let all = server.acl.all_channels.load(Relaxed);
    if all { ChannelsDefault::AllChannels } else { ChannelsDefault::ResetChannels }
}

fn set_channels_default(value: &str) -> Result<Change, String> {
    let known = [ChannelsDefault::AllChannels, ChannelsDefault::ResetChannels];
    let found = known.into_iter().find(|it| it.word().eq_ignore_ascii_case(value));
    let all = found.ok_or("argument(s) must be one of the following: allchannels, resetchannels")?;
    Ok(Box::new(move |ctx| ctx.server.acl.all_channels.store(all == ChannelsDefault::AllChannels, Relaxed)))
}

/// Whether data is kept on a disk.
fn kept(server: &Server) -> String {
    if server.durability.storage().is_some() { "yes" } else { "no" }.to_owned()
}

/// When it is made to survive a power failure; of a daemon without a disk what Redis has by default.
fn synced(server: &Server) -> String {
    server.durability.storage().map_or_else(AppendFsync::default, Storage::policy).to_string()
}

/// Where data is kept, or where the daemon runs.
fn directory(server: &Server) -> String {
    let kept = server.durability.storage().map(|storage| storage.directory().to_owned());
    kept.or_else(|| std::env::current_dir().ok()).unwrap_or_default().display().to_string()
}

fn set_clients(value: &str) -> Result<Change, String> {
    let wanted: usize = number(value, 1, u32::MAX.into())?;
    let granted = clients_with_files(wanted);
    if granted < wanted {
        return Err(format!(
            "The operating system is not able to handle the specified number of clients, try with {granted}"
        ));
    }
    Ok(Box::new(move |ctx| ctx.server.clients_max.store(wanted, Relaxed)))
}

fn set_refusals(value: &str) -> Result<Change, String> {
    let max: usize = number(value, 0, i64::MAX)?;
    Ok(Box::new(move |ctx| ctx.server.acl.log.len_max.store(max, Relaxed)))
}

/// As in Redis, the other passwords of the default user are gone then.
fn set_password(value: &str) -> Result<Change, String> {
    let RequirePass(password) = value.into();
    Ok(Box::new(move |ctx| ctx.server.acl.require(password)))
}

/// Which arguments of CONFIG SET are nobody's business: values of parameters that are secrets.
pub(super) fn is_secret(args: Args<'_>, at: usize) -> bool {
    let is_secret = |name: &[u8]| ["requirepass", "masterauth", "masteruser"].iter().any(|secret| is(name, secret));
    at >= 3 && at % 2 == 1 && args.get(at - 1).is_some_and(is_secret)
}

fn script_time(server: &Server) -> String {
    server.scripts.time_max.load(Relaxed).to_string()
}

/// How long a script may run; 0 is for as long as any may.
fn set_script_time(value: &str) -> Result<Change, String> {
    let most = u64::try_from(TIME_MAX.as_millis()).unwrap_or(u64::MAX);
    let millis: u64 = number(value, 0, most.cast_signed())?;
    Ok(Box::new(move |ctx| ctx.server.scripts.time_max.store(if millis == 0 { most } else { millis }, Relaxed)))
}

/// Changes the bound on memory.
fn bounds(change: impl FnOnce(&mut MemoryBound) + 'static) -> Change {
    Box::new(move |ctx| {
        let mut bound = ctx.server.memory_bound();
        change(&mut bound);
        ctx.bound_memory(bound);
    })
}

fn set_memory(value: &str) -> Result<Change, String> {
    let MemorySize(bytes) = value.parse()?;
    Ok(bounds(move |bound| bound.bytes_max = bytes))
}

fn set_policy(value: &str) -> Result<Change, String> {
    let PolicyWord(policy) = value.parse()?;
    Ok(bounds(move |bound| bound.policy = policy))
}

fn set_samples(value: &str) -> Result<Change, String> {
    let samples = number(value, 1, SAMPLES_MAX.into())?;
    Ok(bounds(move |bound| bound.samples = samples))
}

fn set_log_factor(value: &str) -> Result<Change, String> {
    let factor = number(value, 0, i32::MAX.into())?;
    Ok(bounds(move |bound| bound.log_factor = factor))
}

fn set_decay(value: &str) -> Result<Change, String> {
    let minutes = number(value, 0, i32::MAX.into())?;
    Ok(bounds(move |bound| bound.decay_minutes = minutes))
}

fn set_latency(value: &str) -> Result<Change, String> {
    let millis: u64 = number(value, 0, i64::MAX)?;
    Ok(Box::new(move |ctx| ctx.server.latency.set_threshold(millis)))
}

fn histograms(server: &Server) -> String {
    if server.command_stats.has_histograms.load(Relaxed) { "yes" } else { "no" }.to_owned()
}

fn set_histograms(value: &str) -> Result<Change, String> {
    let wanted = ["yes", "no"].iter().position(|word| word.eq_ignore_ascii_case(value));
    let wanted = wanted.ok_or("argument must be 'yes' or 'no'")? == 0;
    Ok(Box::new(move |ctx| ctx.server.command_stats.has_histograms.store(wanted, Relaxed)))
}

const PERCENTILES: &str = "latency-tracking-info-percentiles";

/// Which percentiles INFO tells of how long commands take.
pub(super) fn percentiles(server: &Server) -> String {
    server.parameters.value(PERCENTILES).unwrap_or_else(|| "50 99 99.9".to_owned())
}

fn set_percentiles(value: &str) -> Result<Change, String> {
    let is_one = |word: &str| word.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number));
    if !value.split_whitespace().all(is_one) {
        return Err(format!("{PERCENTILES} parameters should sit between [0.0,100.0]"));
    }
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Box::new(move |ctx| ctx.server.parameters.keep(PERCENTILES, value)))
}

fn set_slow(value: &str) -> Result<Change, String> {
    let micros: i64 = number(value, -1, i64::MAX)?;
    Ok(Box::new(move |ctx| ctx.server.slowlog.slower_than.store(micros, Relaxed)))
}

fn set_slow_len(value: &str) -> Result<Change, String> {
    let max: usize = number(value, 0, i64::MAX)?;
    Ok(Box::new(move |ctx| ctx.server.slowlog.len_max.store(max, Relaxed)))
}

fn set_tracked(value: &str) -> Result<Change, String> {
    let max: usize = number(value, 0, i64::MAX)?;
    Ok(Box::new(move |ctx| ctx.server.tracking.keys_max.store(max, Relaxed)))
}

/// A number within bounds, in Redis's words if it is none.
pub(super) fn number<T: TryFrom<i64>>(text: &str, min: i64, max: i64) -> Result<T, String> {
    let number = integer(text.as_bytes()).ok_or("argument couldn't be parsed into an integer")?;
    let bounded = T::try_from(number).ok().filter(|_| (min..=max).contains(&number));
    bounded.ok_or_else(|| format!("argument must be between {min} and {max} inclusive"))
}

/// What waits for a client is bounded for all of them alike; there are no replicas among them.
fn output_limits(server: &Server) -> String {
    let PushBudget { hard, soft, soft_seconds, .. } = &*server.push_budget;
    let (hard, soft, seconds) = (hard.load(Relaxed), soft.load(Relaxed), soft_seconds.load(Relaxed));
    format!("normal 0 0 0 slave 0 0 0 pubsub {hard} {soft} {seconds}")
}

/// Of the classes that Redis has, `pubsub` is the one that means something here.
fn set_output_limits(value: &str) -> Result<Change, String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let mut wanted = None;
    for of_class in words.chunks(4) {
        let class = of_class[0].to_ascii_lowercase();
        if !["normal", "slave", "replica", "pubsub"].contains(&&*class) {
            return Err("Invalid client class specified in buffer limit configuration.".to_owned());
        }
        let numbers = (bytes_of(of_class[1]), bytes_of(of_class[2]), of_class[3].parse::<u64>().ok());
        let (Some(hard), Some(soft), Some(seconds)) = numbers else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned());
        };
        if class == "pubsub" {
            wanted = Some((hard, soft, seconds));
        }
    }
    Ok(Box::new(move |ctx| {
        let PushBudget { hard, soft, soft_seconds, total_max, .. } = &*ctx.server.push_budget;
        if let Some((hard_bytes, soft_bytes, seconds)) = wanted {
            // 0 is as much as all of them may have.
            hard.store(if hard_bytes == 0 { *total_max } else { hard_bytes }, Relaxed);
            soft.store(soft_bytes, Relaxed);
            soft_seconds.store(seconds, Relaxed);
        }
    }))
}

/// A number of bytes in Redis's spelling: `32mb`.
pub(super) fn bytes_of(text: &str) -> Option<usize> {
    text.parse().ok().map(|MemorySize(bytes)| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_there_once() {
        let mut names: Vec<&str> = Found::all().map(|it| it.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
