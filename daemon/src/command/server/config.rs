//! CONFIG: the parameters of Redis that clients ask for, and what is true of them here.

use std::str::FromStr;
use std::sync::atomic::Ordering::Relaxed;

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::glob;
use crate::config::{ChannelsDefault, MemorySize, PolicyWord, RequirePass, SAMPLES_MAX};
use crate::script::TIME_MAX;
use crate::session::PushBudget;
use crate::state::Server;
use crate::watch::EventLetters;
use cahoots_gossip::engine::MemoryBound;

/// A parameter.
struct Parameter {
    name: &'static str,
    get: fn(&Server) -> String,
    /// How it is changed, if it may be: what was given is judged first, and takes effect when all is sound.
    set: Option<Set>,
}

type Set = fn(&str) -> Result<Change, String>;
type Change = Box<dyn FnOnce(&mut Context<'_>)>;

const fn fixed(name: &'static str, get: fn(&Server) -> String) -> Parameter {
    Parameter { name, get, set: None }
}

const fn settable(name: &'static str, get: fn(&Server) -> String, set: Set) -> Parameter {
    Parameter { name, get, set: Some(set) }
}

const PARAMETERS: &[Parameter] = &[
    settable("acl-pubsub-default", |server| channels_default(server).word().to_owned(), set_channels_default),
    fixed("aclfile", |server| server.acl.file.as_ref().map_or_else(String::new, |file| file.display().to_string())),
    settable("acllog-max-len", |server| server.acl.log.len_max.load(Relaxed).to_string(), set_refusals),
    fixed("appendonly", |_| "no".to_owned()),
    settable("busy-reply-threshold", script_time, set_script_time),
    settable("client-output-buffer-limit", output_limits, set_output_limits),
    fixed("databases", |server| server.limits.databases.to_string()),
    settable("lfu-decay-time", |server| server.memory_bound().decay_minutes.to_string(), set_decay),
    settable("lfu-log-factor", |server| server.memory_bound().log_factor.to_string(), set_log_factor),
    settable("lua-time-limit", script_time, set_script_time),
    fixed("maxclients", |server| server.clients_max.load(Relaxed).to_string()),
    settable("maxmemory", |server| server.memory_bound().bytes_max.to_string(), set_memory),
    settable("maxmemory-policy", |server| PolicyWord(server.memory_bound().policy).word().to_owned(), set_policy),
    settable("maxmemory-samples", |server| server.memory_bound().samples.to_string(), set_samples),
    settable("notify-keyspace-events", |server| server.keyspace.letters().to_string(), set_events),
    fixed("port", |server| server.tcp.map_or(0, |address| address.port()).to_string()),
    fixed("proto-max-bulk-len", |server| server.limits.frame.bulk_bytes_max.to_string()),
    settable("requirepass", |server| RequirePass(server.acl.required()).to_string(), set_password),
    fixed("save", |_| String::new()),
    fixed("timeout", |_| "0".to_owned()),
    settable("slowlog-log-slower-than", |server| server.slowlog.slower_than.load(Relaxed).to_string(), set_slow),
    settable("slowlog-max-len", |server| server.slowlog.len_max.load(Relaxed).to_string(), set_slow_len),
    settable("tracking-table-max-keys", |server| server.tracking.keys_max.load(Relaxed).to_string(), set_tracked),
    fixed("unixsocket", |server| server.socket.display().to_string()),
];

pub(super) fn get(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let patterns: Vec<Vec<u8>> = args.from(2).iter().map(<[u8]>::to_ascii_lowercase).collect();
    reply.map_of(|fields| {
        for Parameter { name, get, .. } in PARAMETERS {
            if patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())) {
                fields.text(name, &get(ctx.server));
            }
        }
    });
    Ok(Flow::Continue)
}

pub(super) fn set(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let pairs = args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Arity("config|set".into()));
    }
    let mut changes: Vec<(&str, Change)> = Vec::new();
    for (name, value) in pairs.pairs() {
        let found = PARAMETERS.iter().find(|it| it.name.as_bytes().eq_ignore_ascii_case(name));
        let Some(Parameter { name, set, .. }) = found else {
            let name = String::from_utf8_lossy(name);
            let refusal = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
            return Err(CommandError::Other(refusal.into()));
        };
        let refused = |why: &str| {
            let refusal = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
            CommandError::Other(refusal.into())
        };
        let set = set.ok_or_else(|| refused("can't set immutable config"))?;
        if changes.iter().any(|(known, _)| known == name) {
            return Err(refused("duplicate parameter"));
        }
        changes.push((name, set(&String::from_utf8_lossy(value)).map_err(|why| refused(&why))?));
    }
    changes.into_iter().for_each(|(_, change)| change(ctx));
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
    at >= 3 && at % 2 == 1 && args.get(at - 1).is_some_and(|name| name.eq_ignore_ascii_case(b"requirepass"))
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
fn number<T: TryFrom<i64>>(text: &str, min: i64, max: i64) -> Result<T, String> {
    let number: i64 = text.parse().map_err(|_| "argument couldn't be parsed into an integer")?;
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

fn bytes_of(text: &str) -> Option<usize> {
    text.parse().ok().map(|MemorySize(bytes)| bytes)
}
