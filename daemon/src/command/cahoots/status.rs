//! The replies of CAHOOTS STATUS and CAHOOTS MEMBERS.
//!
//! Both are maps (flat arrays in RESP2) whose keys only ever grow in number: `cahoots status` and `cahoots members` print
//! them, and `--json` passes them on.

use crate::account::{Account, Figure, Value, figures as f};
use crate::resp::{Fields, Reply};
use cahoots_gossip::ReplicaId;
use cahoots_gossip::driver::{Member, MemberState, Streams};
use cahoots_gossip::engine::{PeerStatus, Progress, Readiness, ReadyReason, Standing, Status};

/// What comes before the words about readiness.
const FIRST: &[(&str, &Figure)] = &[
    ("version", &f::VERSION),
    ("node", &f::NODE),
    ("cluster", &f::CLUSTER),
    ("id", &f::ID),
    ("listen", &f::LISTEN),
    ("socket", &f::SOCKET),
    ("uptime_seconds", &f::UPTIME),
    ("keys", &f::KEYS),
    ("seq", &f::SEQ),
    ("fingerprint", &f::FINGERPRINT),
    ("type_clashes", &f::CLASHES),
    ("log_bytes", &f::LOG_BYTES),
    ("held_bytes", &f::HELD_BYTES),
    ("clock_ahead_ms", &f::CLOCK_AHEAD),
    ("ready", &f::READY),
    ("serving", &f::SERVING),
    ("standing", &f::STANDING),
    ("stopping", &f::STOPPING),
];

/// Of a node that keeps its data.
const DISK: &[(&str, &Figure)] = &[
    ("state", &f::DISK_STATE),
    ("error", &f::DISK_ERROR),
    ("directory", &f::DIRECTORY),
    ("appendfsync", &f::APPENDFSYNC),
    ("log_bytes", &f::DISK_LOG_BYTES),
    ("image_bytes", &f::IMAGE_BYTES),
    ("position", &f::LOG_POSITION),
    ("synced", &f::LOG_SYNCED),
    ("clock_behind_ms", &f::CLOCK_BEHIND),
];

/// Of one that does not, or not yet.
const NO_DISK: &[(&str, &Figure)] = &[("state", &f::DISK_STATE), ("loaded_percent", &f::DIRECTORY_READ_PERCENT)];

/// The reply of `CAHOOTS STATUS`.
pub(super) fn write_status(reply: &mut Reply<'_>, account: &mut Account<'_>, members: &[Member]) {
    reply.map_of(|fields| {
        write_figures(fields, account, FIRST);
        let server = account.server();
        let readiness = match server.durability.not_ready() {
            _ if server.is_stopping() => {
                "stopping: serves its clients until they have gone, or its time is over".to_owned()
            }
            Some(reason) => format!("loading: {reason}"),
            None => describe(account.status(), members),
        };
        fields.text("readiness", &readiness);
        write_figures(fields, account, &[("joined_percent", &f::JOINED_PERCENT)]);
        fields.field("owed_by").array_of(|items| {
            account.status().owed_by.iter().for_each(|id| items.one().bulk(name_of(*id, members).as_bytes()));
        });
        write_figures(fields, account, &[("catching_up", &f::CATCHING_UP)]);
        let disk = if account.server().durability.storage().is_some() { DISK } else { NO_DISK };
        fields.field("storage").map_of(|fields| write_figures(fields, account, disk));
        let status = account.status();
        fields.field("applied").map_of(|fields| {
            status.version_vector.iter().for_each(|(origin, seq)| fields.count(&origin.to_string(), seq));
        });
        fields.field("counters").map_of(|fields| {
            status.counters.entries().into_iter().for_each(|(name, value)| fields.count(name, value));
        });
        fields.field("datagrams_refused").map_of(|fields| {
            status.counters.refused.iter().for_each(|(reason, value)| fields.count(&reason.to_string(), *value));
        });
        fields.field("members").map_of(|fields| count_members(fields, members));
        fields.field("peers").array_of(|items| {
            status.peers.iter().for_each(|peer| write_peer(items.one(), peer, members));
        });
    });
}

fn write_figures(fields: &mut Fields<'_, '_>, account: &mut Account<'_>, figures: &[(&str, &Figure)]) {
    for (name, figure) in figures {
        match figure.value(account) {
            Some(Value::Number(number)) => fields.count(name, number),
            Some(Value::Flag(flag)) => fields.field(name).boolean(flag),
            Some(Value::Text(words)) => fields.text(name, &words),
            None => {}
        }
    }
}

/// How many members, this node among them, are in which state.
fn count_members(fields: &mut Fields<'_, '_>, members: &[Member]) {
    let count = |is: fn(&MemberState) -> bool| members.iter().filter(|member| is(&member.state)).count() as u64;
    fields.count("live", count(|it| matches!(it, MemberState::Live)));
    fields.count("unreachable", count(|it| matches!(it, MemberState::Unreachable(_))));
    fields.count("down", count(|it| matches!(it, MemberState::Down)));
    fields.count("refused", count(|it| matches!(it, MemberState::Refused(_))));
    let without = members.iter().filter(|it| matches!(it.streams, Streams::Unreachable { .. })).count();
    fields.count("without_streams", without as u64);
    let sharing = members.iter().filter(|member| !member.namesakes.is_empty()).count();
    fields.count("sharing_a_name", sharing as u64);
}

fn write_peer(reply: &mut Reply<'_>, peer: &PeerStatus, members: &[Member]) {
    let name = members.iter().find(|member| member.id == peer.id).map_or("", |member| &member.name);
    reply.map_of(|fields| {
        fields.text("node", name);
        fields.text("id", &peer.id.to_string());
        fields.text("address", &peer.addr.to_string());
        fields.field("live").boolean(peer.live);
        fields.count("acked", peer.acked);
        fields.count("lag_events", peer.lag_events);
        fields.field("streams_fail").boolean(peer.streams_fail);
        let agrees = fields.field("agrees");
        match peer.agrees {
            Some(same) => agrees.boolean(same),
            None => agrees.null(),
        }
        let rtt = fields.field("rtt_us");
        match peer.rtt_us {
            Some(micros) => rtt.integer(micros.cast_signed()),
            None => rtt.null(),
        }
    });
}

/// What people call a replica.
pub(super) fn name_of(id: ReplicaId, members: &[Member]) -> String {
    members.iter().find(|member| member.id == id).map_or_else(|| id.to_string(), |member| member.name.clone())
}

/// Whether and why a replica serves, for people.
fn describe(status: &Status, members: &[Member]) -> String {
    let Progress { percent, peers_heard, peers_live, .. } = status.progress;
    let reason = match status.readiness {
        Readiness::Joining(_) => {
            return format!("joining: {percent} % of what its peers had, {peers_heard} of {peers_live} peers heard");
        }
        Readiness::Ready(reason) => reason,
    };
    if status.standing == Standing::Incomplete {
        let owed: Vec<String> = status.owed_by.iter().map(|id| name_of(*id, members)).collect();
        let lacking = match owed.is_empty() {
            true => String::new(),
            false => format!("; lacks what {} had", owed.join(", ")),
        };
        return format!("incomplete: serves {percent} % of what its peers had, and goes on catching up{lacking}");
    }
    match reason {
        ReadyReason::First => "ready: started without seeds".to_owned(),
        ReadyReason::CaughtUp { peer } => format!("ready: caught up with {}", name_of(peer, members)),
        ReadyReason::Together => "ready: joined together with its peers".to_owned(),
        _ => "ready: nobody answered in time, so it serves what it has".to_owned(),
    }
}

/// The reply of `CAHOOTS MEMBERS`.
pub(super) fn write_members(reply: &mut Reply<'_>, members: &[Member]) {
    reply.array(members.len());
    for member in members {
        let (state, reason) = match &member.state {
            MemberState::Live => ("live", None),
            MemberState::Unreachable(path) => ("unreachable", Some(path.to_string())),
            MemberState::Down => ("down", None),
            MemberState::Refused(reason) => ("refused", Some(reason.to_string())),
            // A state this daemon does not know yet.
            _ => ("unknown", None),
        };
        reply.map_of(|fields| {
            fields.text("node", &member.name);
            fields.text("id", &member.id.to_string());
            fields.text("address", &member.addr.to_string());
            fields.text("state", state);
            fields.field("reason").maybe_bulk(reason.as_deref().map(str::as_bytes));
            fields.text("version", &member.version);
            fields.text("standing", member.stance.standing.name());
            let (streams, since) = match member.streams {
                Streams::Reachable { since } => (Some("reachable"), Some(since)),
                Streams::Unreachable { since } => (Some("unreachable"), Some(since)),
                _ => (None, None),
            };
            fields.field("streams").maybe_bulk(streams.map(str::as_bytes));
            let address = member.bulk.map(|bulk| bulk.to_string());
            fields.field("streams_address").maybe_bulk(address.as_deref().map(str::as_bytes));
            let seconds = fields.field("streams_since_seconds");
            match since {
                Some(since) => seconds.integer(since.elapsed().as_secs().cast_signed()),
                None => seconds.null(),
            }
            fields.field("self").boolean(member.is_self);
            fields.field("ready").boolean(member.ready);
            fields.field("shares_name_with").array_of(|items| {
                member.namesakes.iter().for_each(|id| items.one().bulk(id.to_string().as_bytes()));
            });
        });
    }
}
