//! CAHOOTS: what Redis has no word for.
//!
//! Both replies are maps (flat arrays in RESP2) whose keys only ever grow in number: `cahoots status` and
//! `cahoots members` print them, and `--json` passes them on.

use super::exec::{Exec, Flow, Outcome, Pause};
use crate::resp::{Args, Reply};
use crate::state::{Durability, Server};
use cahoots_gossip::driver::{Member, MemberState, Streams};
use cahoots_gossip::engine::{Readiness, ReadyReason, Status};

pub(super) fn cahoots(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    exec.subcommand(args)
}

// The members are the driver's knowledge, not the replica's: both are answered outside the lock.

pub(super) fn status(_: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    Ok(Flow::Pause(Pause::Status))
}

pub(super) fn leave(_: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    Ok(Flow::Pause(Pause::Leave))
}

pub(super) fn members(_: &mut Exec<'_>, _: Args<'_>) -> Outcome {
    Ok(Flow::Pause(Pause::Members))
}

/// The reply of `CAHOOTS STATUS`.
pub fn write_status(reply: &mut Reply<'_>, server: &Server, status: &Status, members: &[Member]) {
    let text = |reply: &mut Reply<'_>, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    let count = |reply: &mut Reply<'_>, name: &str, value: u64| {
        reply.bulk(name.as_bytes());
        reply.integer(value.cast_signed());
    };
    reply.map(24);
    text(reply, "version", env!("CARGO_PKG_VERSION"));
    text(reply, "node", &server.node);
    text(reply, "cluster", &server.cluster);
    text(reply, "id", &status.id.to_string());
    text(reply, "listen", &server.listen.to_string());
    text(reply, "socket", &server.socket.to_string_lossy());
    count(reply, "uptime_seconds", server.started.elapsed().as_secs());
    count(reply, "keys", status.keys as u64);
    count(reply, "seq", status.seq);
    text(reply, "fingerprint", &format!("{:032x}", status.fingerprint.get()));
    count(reply, "type_clashes", status.clashes as u64);
    count(reply, "log_bytes", status.log_bytes as u64);
    count(reply, "held_bytes", status.held_bytes as u64);
    count(reply, "clock_ahead_ms", status.clock_ahead_ms);
    reply.bulk(b"ready");
    reply.boolean(status.readiness.is_ready() && !server.durability.is_loading());
    let readiness = server.durability.not_ready();
    let readiness =
        readiness.map_or_else(|| describe(&status.readiness, members), |reason| format!("loading: {reason}"));
    text(reply, "readiness", &readiness);
    count(reply, "joined_percent", joined_percent(&status.readiness).into());
    reply.bulk(b"catching_up");
    reply.boolean(status.catching_up);
    reply.bulk(b"storage");
    write_storage(reply, &server.durability);
    reply.bulk(b"applied");
    reply.map(status.version_vector.iter().count());
    for (origin, seq) in status.version_vector.iter() {
        count(reply, &origin.to_string(), seq);
    }
    reply.bulk(b"counters");
    let counters = status.counters.entries();
    reply.map(counters.len());
    for (name, value) in counters {
        count(reply, name, value);
    }
    reply.bulk(b"datagrams_refused");
    reply.map(status.counters.refused.len());
    for (reason, value) in &status.counters.refused {
        count(reply, &reason.to_string(), *value);
    }
    reply.bulk(b"members");
    write_standings(reply, members);
    reply.bulk(b"peers");
    reply.array(status.peers.len());
    for peer in &status.peers {
        let name = members.iter().find(|member| member.id == peer.id).map_or("", |member| &member.name);
        reply.map(8);
        text(reply, "node", name);
        text(reply, "id", &peer.id.to_string());
        text(reply, "address", &peer.addr.to_string());
        reply.bulk(b"live");
        reply.boolean(peer.live);
        count(reply, "acked", peer.acked);
        count(reply, "lag_events", peer.lag_events);
        reply.bulk(b"agrees");
        match peer.agrees {
            Some(agrees) => reply.boolean(agrees),
            None => reply.null(),
        }
        reply.bulk(b"rtt_us");
        match peer.rtt_us {
            Some(micros) => reply.integer(micros.cast_signed()),
            None => reply.null(),
        }
    }
}

/// Whether and why a replica serves, for people.
fn describe(readiness: &Readiness, members: &[Member]) -> String {
    match readiness {
        Readiness::Joining(progress) => format!(
            "joining: {} % of what its peers had, {} of {} peers heard",
            progress.percent, progress.peers_heard, progress.peers_live
        ),
        Readiness::Ready(reason) => match reason {
            ReadyReason::First => "ready: started without seeds".to_owned(),
            ReadyReason::CaughtUp { peer } => {
                let name = members.iter().find(|member| member.id == *peer).map(|member| member.name.clone());
                format!("ready: caught up with {}", name.unwrap_or_else(|| peer.to_string()))
            }
            ReadyReason::Together => "ready: joined together with its peers".to_owned(),
            ReadyReason::Alone => "ready: nobody answered in time, so it serves what it has".to_owned(),
            ReadyReason::Unfinished { percent } => {
                format!("ready: serves although it came no further than {percent} % in catching up")
            }
            _ => "ready".to_owned(),
        },
    }
}

/// Of what the peers had, how much a joiner has; all of it, once it is ready.
pub(super) fn joined_percent(readiness: &Readiness) -> u8 {
    match readiness {
        Readiness::Joining(progress) => progress.percent,
        Readiness::Ready(_) => 100,
    }
}

/// How many members, this node among them, stand how.
fn write_standings(reply: &mut Reply<'_>, members: &[Member]) {
    let count = |is: fn(&MemberState) -> bool| members.iter().filter(|member| is(&member.state)).count();
    let standings = [
        ("live", count(|it| matches!(it, MemberState::Live))),
        ("unreachable", count(|it| matches!(it, MemberState::Unreachable(_)))),
        ("down", count(|it| matches!(it, MemberState::Down))),
        ("refused", count(|it| matches!(it, MemberState::Refused(_)))),
        ("without_streams", members.iter().filter(|it| matches!(it.streams, Streams::Unreachable { .. })).count()),
        ("sharing_a_name", members.iter().filter(|member| !member.namesakes.is_empty()).count()),
    ];
    reply.map(standings.len());
    for (name, count) in standings {
        reply.bulk(name.as_bytes());
        reply.count(count);
    }
}

/// Whether and how data is kept.
fn write_storage(reply: &mut Reply<'_>, durability: &Durability) {
    let Some(storage) = durability.storage() else {
        reply.map(2);
        for (name, value) in
            [("state", if durability.is_loading() { "loading" } else { "memory" }), ("loaded_percent", "")]
        {
            reply.bulk(name.as_bytes());
            match name {
                "loaded_percent" => reply.integer(durability.progress.percent().cast_signed()),
                _ => reply.bulk(value.as_bytes()),
            }
        }
        return;
    };
    let status = storage.status();
    let state = match (&status.failing, status.rebuilding) {
        (_, true) => "rebuilding",
        (Some(_), false) => "failing",
        (None, false) => "ok",
    };
    reply.map(9);
    for (name, value) in [
        ("state", state),
        ("error", status.failing.as_deref().unwrap_or_default()),
        ("directory", &storage.directory().to_string_lossy()),
        ("appendfsync", &storage.policy().to_string()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    for (name, value) in [
        ("log_bytes", status.log_bytes),
        ("image_bytes", status.live_bytes),
        ("position", status.position),
        ("synced", status.synced),
        ("clock_behind_ms", storage.clock_behind_ms()),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(value.cast_signed());
    }
}

/// The reply of `CAHOOTS MEMBERS`.
pub fn write_members(reply: &mut Reply<'_>, members: &[Member]) {
    reply.array(members.len());
    for member in members {
        reply.map(12);
        let streams = match member.streams {
            Streams::Reachable { .. } => Some("reachable"),
            Streams::Unreachable { .. } => Some("unreachable"),
            _ => None,
        };
        let (state, reason) = match &member.state {
            MemberState::Live => ("live", None),
            MemberState::Unreachable(path) => ("unreachable", Some(path.to_string())),
            MemberState::Down => ("down", None),
            MemberState::Refused(reason) => ("refused", Some(reason.to_string())),
            // A state this daemon does not know yet.
            _ => ("unknown", None),
        };
        for (name, value) in [
            ("node", Some(&*member.name)),
            ("id", Some(&*member.id.to_string())),
            ("address", Some(&*member.addr.to_string())),
            ("state", Some(state)),
            ("reason", reason.as_deref()),
            ("version", Some(&*member.version)),
            ("streams", streams),
            ("streams_address", member.bulk.map(|bulk| bulk.to_string()).as_deref()),
        ] {
            reply.bulk(name.as_bytes());
            reply.maybe_bulk(value.map(str::as_bytes));
        }
        reply.bulk(b"self");
        reply.boolean(member.is_self);
        reply.bulk(b"ready");
        reply.boolean(member.ready);
        reply.bulk(b"streams_since_seconds");
        match member.streams {
            Streams::Reachable { since } | Streams::Unreachable { since } => {
                reply.integer(since.elapsed().as_secs().cast_signed());
            }
            _ => reply.null(),
        }
        reply.bulk(b"shares_name_with");
        reply.array(member.namesakes.len());
        for id in &member.namesakes {
            reply.bulk(id.to_string().as_bytes());
        }
    }
}
