//! INFO: the daemon as tools for Redis expect to read it, and what is ours under `# Cahoots`.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use crate::command::exec::{Exec, Flow, Outcome};
use crate::resp::Args;
use crate::state::NotReady;
use cahoots_gossip::engine::Readiness;

/// The version of Redis whose behaviour is promised: clients switch features on by it.
pub(in crate::command) const REDIS_VERSION: &str = "7.0.15";

type Section = fn(&mut String, &mut Exec<'_>) -> std::fmt::Result;

const SECTIONS: [(&str, Section); 9] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
    ("Cahoots", cahoots),
];

pub(in crate::command) fn info(exec: &mut Exec<'_>, args: Args<'_>) -> Outcome {
    let wanted = args.from(1);
    let everything = wanted.is_empty()
        || wanted
            .iter()
            .any(|word| [&b"all"[..], b"default", b"everything"].iter().any(|all| word.eq_ignore_ascii_case(all)));
    let mut text = String::with_capacity(2048);
    for (name, write) in SECTIONS {
        if everything || wanted.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes())) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            // Formatting into a String fails only if a Display says so by itself; none here does.
            let _ = write!(text, "# {name}\r\n").and_then(|()| write(&mut text, exec));
        }
    }
    exec.reply.verbatim(&text);
    Ok(Flow::Continue)
}

macro_rules! lines {
    ($text:expr, $($name:literal: $value:expr,)*) => {{
        $(write!($text, concat!($name, ":{}\r\n"), $value)?;)*
        Ok(())
    }};
}

fn server(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let server = exec.server;
    let uptime = server.started.elapsed().as_secs();
    let system = rustix::system::uname();
    lines!(text,
        "redis_version": REDIS_VERSION,
        "cahoots_version": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "os": format_args!("{} {} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy(), system.machine().to_string_lossy()),
        "arch_bits": usize::BITS,
        "process_id": std::process::id(),
        "run_id": format_args!("{:0>40}", exec.replica.id().to_string()),
        "tcp_port": server.tcp.map_or(0, |address| address.port()),
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
    )
}

fn clients(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let stats = &exec.server.stats;
    lines!(text,
        "connected_clients": stats.clients.load(Relaxed),
        "maxclients": exec.server.clients_max.load(Relaxed),
        "blocked_clients": stats.blocked.load(Relaxed),
    )
}

/// What the kernel counts, as the daemon keeps no account of single allocations; of the data, what the store does.
fn memory(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let dataset = exec.replica.store().memory();
    let resident = resident_bytes().unwrap_or(0);
    lines!(text,
        "used_memory": resident,
        "used_memory_human": human(resident),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_dataset": dataset,
        "maxmemory": 0,
        "maxmemory_human": "0B",
        "maxmemory_policy": "noeviction",
    )
}

/// What clients look at before they send anything. Data is also loading while the replica catches up with its cluster.
fn persistence(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let durability = &exec.server.durability;
    let not_ready = exec.server.not_ready(&exec.replica.readiness());
    lines!(text, "loading": u8::from(not_ready.is_some()), "async_loading": 0,)?;
    if let Some(reason) = not_ready {
        let started = SystemTime::now() - exec.server.started.elapsed();
        let started = started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        lines!(text, "loading_start_time": started,)?;
        if let NotReady::Reading { .. } = reason {
            lines!(text,
                "loading_total_bytes": durability.progress.total.load(Relaxed),
                "loading_loaded_bytes": durability.progress.done.load(Relaxed),
            )?;
        }
        // Nobody knows the time left; clients that wait by it look again after this.
        write!(text, "loading_loaded_perc:{}.00\r\nloading_eta_seconds:1\r\n", reason.percent())?;
    }
    lines!(text, "rdb_changes_since_last_save": 0, "rdb_bgsave_in_progress": 0,)?;
    let Some(storage) = durability.storage() else { return lines!(text, "aof_enabled": 0,) };
    let status = storage.status();
    lines!(text,
        "rdb_last_save_time": status.saved_at,
        "rdb_last_bgsave_status": if status.save_failed { "err" } else { "ok" },
        "aof_enabled": 1,
        "aof_last_write_status": if status.failing.is_none() { "ok" } else { "err" },
        "aof_current_size": status.log_bytes,
        "aof_base_size": status.live_bytes,
        "appendfsync": storage.policy(),
        "storage_error": status.failing.as_deref().unwrap_or_default(),
        "storage_rebuilding": u8::from(status.rebuilding),
        "log_position": status.position,
        "log_synced": status.synced,
        "clock_behind_ms": storage.clock_behind_ms(),
    )
}

fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}

fn human(bytes: usize) -> String {
    // Two decimals in whole numbers: hundredths of the unit, rounded down.
    for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
        if bytes >> shift > 0 {
            let hundredths = (bytes * 100) >> shift;
            return format!("{}.{:02}{unit}", hundredths / 100, hundredths % 100);
        }
    }
    format!("{bytes}B")
}

fn stats(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let stats = &exec.server.stats;
    // This batch is not over, and belongs to the answer.
    let (before, batch) = (stats.tally(), exec.tally);
    lines!(text,
        "total_connections_received": stats.connections.load(Relaxed),
        "total_commands_processed": before.commands + batch.commands,
        "total_net_input_bytes": stats.bytes_in.load(Relaxed),
        "total_net_output_bytes": stats.bytes_out.load(Relaxed),
        "rejected_connections": stats.rejected.load(Relaxed),
        "cut_connections": stats.cut.load(Relaxed),
        "expired_keys": 0,
        "evicted_keys": 0,
        "keyspace_hits": before.hits + batch.hits,
        "keyspace_misses": before.misses + batch.misses,
        "total_error_replies": before.errors + batch.errors,
    )
}

/// Redis's words for a primary with replicas. All replicas here are equal; each takes writes, so each is a `master`.
fn replication(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let (live, position) = (exec.replica.acked_by(0), exec.replica.position());
    lines!(text,
        "role": "master",
        "connected_slaves": live,
        "master_replid": format_args!("{:0>40}", exec.replica.id().to_string()),
        "master_repl_offset": position,
    )
}

/// Redis Cluster, which this is not.
fn cluster(text: &mut String, _: &mut Exec<'_>) -> std::fmt::Result {
    lines!(text, "cluster_enabled": 0,)
}

fn keyspace(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    match exec.replica.store().len() {
        0 => Ok(()),
        keys => write!(text, "db0:keys={keys},expires=0,avg_ttl=0\r\n"),
    }
}

fn cahoots(text: &mut String, exec: &mut Exec<'_>) -> std::fmt::Result {
    let status = exec.replica.status();
    let server = exec.server;
    write!(text, "node:{}\r\ncluster:{}\r\nreplica_id:{}\r\n", server.node, server.cluster, status.id)?;
    let live = status.peers.iter().filter(|peer| peer.live);
    let lag = live.clone().map(|peer| peer.lag_events).max().unwrap_or(0);
    let agreeing = live.clone().filter(|peer| peer.agrees == Some(true)).count();
    write!(
        text,
        "peers_live:{}\r\npeers_known:{}\r\npeers_agreeing:{agreeing}\r\nlag_events_max:{lag}\r\n",
        live.count(),
        status.peers.len(),
    )?;
    write!(text, "seq:{}\r\nfingerprint:{:032x}\r\n", status.seq, status.fingerprint.get())?;
    write!(text, "type_clashes:{}\r\nbaselines:{}\r\n", status.clashes, status.baselines)?;
    write!(text, "log_bytes:{}\r\nheld_bytes:{}\r\n", status.log_bytes, status.held_bytes)?;
    write!(text, "ready:{}\r\n", u8::from(exec.server.is_ready(&status.readiness)))?;
    if let Readiness::Joining(progress) = status.readiness {
        write!(text, "joining_percent:{}\r\njoining_buckets:{}\r\n", progress.percent, progress.buckets)?;
        write!(text, "joining_peers_heard:{}\r\n", progress.peers_heard)?;
    }
    write!(text, "catching_up:{}\r\n", u8::from(status.catching_up))?;
    write!(text, "clock_ahead_ms:{}\r\n", status.clock_ahead_ms)?;
    write!(text, "datagrams_refused:{}\r\n", status.counters.refused.values().sum::<u64>())?;
    for (name, value) in status.counters.entries() {
        write!(text, "{name}:{value}\r\n")?;
    }
    Ok(())
}
