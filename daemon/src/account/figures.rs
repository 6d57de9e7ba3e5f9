//! The figures.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::{Account, Figure, REDIS_VERSION, Unit, Value};
use crate::acl::Reason;
use crate::config::PolicyWord;
use crate::state::{Holds, NotReady};
use crate::storage::{Storage, StorageStatus};
use cahoots_gossip::engine::{PeerStatus, Progress, Standing};

/// Declares figures, and the list of all of them.
macro_rules! figures {
    ($($figure:ident = $name:literal, $unit:ident, $help:literal, |$account:pat_param| $value:expr;)*) => {
        $(
            #[doc = $help]
            pub const $figure: Figure = Figure {
                name: $name,
                unit: Unit::$unit,
                help: $help,
                value: |$account| $value,
            };
        )*

        /// Every figure.
        pub const ALL: &[&Figure] = &[$(&$figure),*];
    };
}

figures! {
    // The daemon.
    EMULATED_VERSION = "redis_version", Text, "The version of Redis whose behaviour is promised.", |_| some(REDIS_VERSION);
    VERSION = "version", Text, "The version of this daemon.", |_| some(env!("CARGO_PKG_VERSION"));
    MODE = "redis_mode", Text, "What kind of Redis clients take this for.", |_| some("standalone");
    SYSTEM = "os", Text, "The operating system and the machine.", |_| some(system());
    WORD_BITS = "arch_bits", Count, "Bits of a machine word.", |_| some(u64::from(usize::BITS));
    PROCESS = "process_id", Count, "The number of the process.", |_| some(u64::from(std::process::id()));
    TCP_PORT = "tcp_port", Count, "The TCP port clients connect to; 0 if there is none.",
        |it| some(u64::from(it.server.tcp.map_or(0, |address| address.port())));
    UPTIME = "uptime_seconds", Seconds, "How long the daemon has been running.", |it| some(uptime(it));
    UPTIME_DAYS = "uptime_days", Count, "The same in whole days.", |it| some(uptime(it) / 86_400);
    TIME = "server_time_usec", Count, "Microseconds since 1970.",
        |_| some(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX)));
    LRU_CLOCK = "lru_clock", Seconds, "Seconds since 1970, as many as 24 bits hold.",
        |_| some(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() & 0xFF_FFFF));
    EXECUTABLE = "executable", Text, "The program.",
        |_| some(std::env::current_exe().unwrap_or_default().to_string_lossy().as_ref());
    CONFIG_FILE = "config_file", Text, "The configuration file; empty if there is none.",
        |it| some(it.server.parameters.file.as_deref().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default());
    CPU_SYSTEM = "used_cpu_sys", Text, "Seconds of processors that the system took for the daemon.", |_| some(cpu_seconds(14));
    CPU_USER = "used_cpu_user", Text, "Seconds of processors that the daemon took.", |_| some(cpu_seconds(13));
    NODE = "node", Text, "The node's name.", |it| some(it.server.node.as_str());
    CLUSTER = "cluster", Text, "The cluster's name.", |it| some(it.server.cluster.as_str());
    LISTEN = "listen", Text, "Where peers send their datagrams.", |it| some(it.server.listen.to_string());
    SOCKET = "socket", Text, "Where clients connect.", |it| some(it.server.socket.to_string_lossy().as_ref());

    // Clients.
    CLIENTS = "connected_clients", Count, "Clients connected now.", |it| some(it.server.stats.clients.load(Relaxed));
    CLIENTS_MAX = "maxclients", Count, "Clients that may be connected at once.", |it| some(it.server.clients_max.load(Relaxed));
    CLIENTS_BLOCKED = "blocked_clients", Count, "Clients that wait for others now.",
        |it| some(it.server.stats.blocked.load(Relaxed));
    CLIENTS_TRACKING = "tracking_clients", Count, "Clients that cache what they read.",
        |it| some(it.server.clients.all().iter().filter(|client| client.facts().tracks.is_some()).count());
    KEYS_BLOCKED_AT = "total_blocking_keys", Count, "Keys at which clients are blocked.",
        |it| some(it.server.watch.blocked_keys().len());
    PAUSED = "paused_actions", Text, "What clients are held at: all, write, or none.", |it| some(match it.server.pause.now() {
        None => "none",
        Some((Holds::Writes, _)) => "write",
        Some((Holds::All, _)) => "all",
    });
    PAUSED_FOR = "paused_timeout_milliseconds", Milliseconds, "How long they are held still.",
        |it| some(it.server.pause.now().map_or(0, |(_, left)| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
    CONNECTIONS = "total_connections_received", Count, "Connections accepted since the start.",
        |it| some(it.server.stats.connections_counted());
    CONNECTIONS_REFUSED = "rejected_connections", Count, "Connections refused because there were too many.",
        |it| some(it.server.stats.rejected.load(Relaxed));
    CONNECTIONS_CUT = "cut_connections", Count, "Connections cut for passing a bound.",
        |it| some(it.server.stats.cut.load(Relaxed));
    CHANNELS = "pubsub_channels", Count, "Channels that clients of this daemon listen to by name.",
        |it| some(it.server.pubsub.counts().1);
    PATTERNS = "pubsub_patterns", Count, "Patterns of channels that clients of this daemon listen to.",
        |it| some(it.server.pubsub.counts().0);
    SHARD_CHANNELS = "pubsubshard_channels", Count, "Channels of shards that clients of this daemon listen to.",
        |it| some(it.server.pubsub.shards());
    TRACKERS_KEYS = "tracking_total_keys", Count, "Keys that clients cache, as far as they are noted.",
        |it| some(it.server.tracking.counts().0);
    TRACKERS_PREFIXES = "tracking_total_prefixes", Count, "Prefixes of keys that clients cache.",
        |it| some(it.server.tracking.counts().1);
    PUSHED_BYTES = "pushed_bytes", Bytes, "Bytes that wait to be sent to clients unasked.", |it| some(it.server.push_budget.total());
    PUSHED_TOO_MUCH = "clients_too_slow", Count, "Clients that were cut because they did not take what they were sent unasked.",
        |it| some(it.server.push_budget.cut());
    BYTES_IN = "total_net_input_bytes", Bytes, "Bytes read from clients.", |it| some(it.server.stats.bytes_in.load(Relaxed));
    BYTES_OUT = "total_net_output_bytes", Bytes, "Bytes written to clients.",
        |it| some(it.server.stats.bytes_out.load(Relaxed));
    COMMANDS = "total_commands_processed", Count, "Commands executed.", |it| some(it.counts().commands);
    ERRORS = "total_error_replies", Count, "Commands refused.", |it| some(it.counts().errors);
    DENIED_LOGINS = "acl_access_denied_auth", Count, "Clients that failed to show who they are.",
        |it| some(it.server.acl.log.count(Reason::Auth));
    DENIED_COMMANDS = "acl_access_denied_cmd", Count, "Commands that users may not call.",
        |it| some(it.server.acl.log.count(Reason::Command));
    DENIED_KEYS = "acl_access_denied_key", Count, "Commands on keys that users may not use.",
        |it| some(it.server.acl.log.count(Reason::Key));
    DENIED_CHANNELS = "acl_access_denied_channel", Count, "Commands on channels that users may not use.",
        |it| some(it.server.acl.log.count(Reason::Channel));
    HITS = "keyspace_hits", Count, "Keys read that were there.", |it| some(it.counts().hits);
    EXPIRED = "expired_keys", Count, "Keys that expired while this daemon ran.", |it| some(it.expired());
    MISSES = "keyspace_misses", Count, "Keys read that were not.", |it| some(it.counts().misses);

    // Memory: the store keeps an account of what the data takes, and that is what is bounded; of all that the process takes the
    // kernel does.
    MEMORY = "used_memory", Bytes, "Bytes that the data takes, as they are bounded by maxmemory.",
        |it| some(it.replica.store().used());
    MEMORY_HUMAN = "used_memory_human", Text, "The same for people.", |it| some(human(it.replica.store().used()));
    MEMORY_RSS = "used_memory_rss", Bytes, "Memory that the process takes, as the kernel counts it.", |_| some(resident_bytes());
    MEMORY_RSS_HUMAN = "used_memory_rss_human", Text, "The same for people.", |_| some(human(resident_bytes()));
    MEMORY_MAX = "maxmemory", Bytes, "Bytes that the data may take; 0 for no bound.", |it| some(it.server.memory_bound().bytes_max);
    MEMORY_MAX_HUMAN = "maxmemory_human", Text, "The same for people.", |it| some(human(it.server.memory_bound().bytes_max));
    MEMORY_POLICY = "maxmemory_policy", Text, "What is evicted when it takes more.",
        |it| some(PolicyWord(it.server.memory_bound().policy).word());
    PEERS_FULL = "peers_full", Count, "Live peers that say that their memory is full: without eviction writes are refused here, too.",
        |it| some(it.replica.peers_full());
    EVICTED = "evicted_keys", Count, "Keys that this daemon has evicted.", |it| some(it.status().counters.keys_evicted);
    MEMORY_OF_DATA = "used_memory_dataset", Bytes, "Memory that the data takes, what finds it and has room to spare included.",
        |it| some(it.replica.store().memory());

    MEMORY_PEAK = "used_memory_peak", Bytes, "The most memory that was in use.", |_| some(peak_bytes());
    MEMORY_PEAK_HUMAN = "used_memory_peak_human", Text, "The same for people.", |_| some(human(peak_bytes()));
    MEMORY_OF_SYSTEM = "total_system_memory", Bytes, "Memory of the machine.",
        |_| some(kilobytes_of("/proc/meminfo", "MemTotal:").unwrap_or(0));
    SCRIPTS = "number_of_cached_scripts", Count, "Scripts that are kept.", |it| some(it.server.scripts.figures().0);
    MEMORY_OF_SCRIPTS = "used_memory_scripts", Bytes, "Memory that scripts and their interpreter take.",
        |it| some(it.server.scripts.figures().1);

    // Readiness.
    LOADING = "loading", Flag, "Whether commands on data are refused for now.", |it| some(not_ready(it).is_some());
    LOADING_SINCE = "loading_start_time", Seconds, "When the loading began.", |it| {
        not_ready(it)?;
        let started = SystemTime::now() - it.server.started.elapsed();
        some(started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    };
    LOADING_BYTES = "loading_total_bytes", Bytes, "Bytes of the data directory to be read.",
        |it| reading(it)?.then(|| it.server.durability.progress.total.load(Relaxed).into());
    LOADED_BYTES = "loading_loaded_bytes", Bytes, "Bytes of the data directory that are read.",
        |it| reading(it)?.then(|| it.server.durability.progress.done.load(Relaxed).into());
    LOADED_PERCENT = "loading_loaded_perc", Text, "Hundredths of the data that are there.",
        |it| some(format!("{}.00", not_ready(it)?.percent()));
    LOADING_ETA = "loading_eta_seconds", Seconds, "When to look again; the time left is not known.",
        |it| not_ready(it).map(|_| Value::Number(1));
    READY = "ready", Flag, "Whether new work should come here: all data is there, and the daemon does not stop.", |it| {
        let server = it.server;
        let status = it.status();
        some(server.is_ready(&status.readiness, status.standing))
    };
    SERVING = "serving", Flag, "Whether commands on data are answered from what the replica has.", |it| some(serving(it));
    STANDING = "standing", Text, "What the replica is to those that join: whole, or in which way not.",
        |it| some(it.status().standing.name());
    STOPPING = "stopping", Flag, "Whether the daemon was told to stop, and serves its clients until they have gone.",
        |it| some(it.server.is_stopping());
    JOINED_PERCENT = "joined_percent", Percent, "Of what the peers had when the replica came, how much it has.",
        |it| some(u64::from(it.status().progress.percent));
    JOINING_PERCENT = "joining_percent", Percent, "The same while something is missing.",
        |it| some(u64::from(joining(it)?.percent));
    JOINING_BUCKETS = "joining_buckets", Count, "Buckets that a joiner has fetched, if it catches up by buckets.", |it| some(joining(it)?.buckets);
    JOINING_PEERS = "joining_peers_heard", Count, "Peers that have told a joiner what they have.",
        |it| some(joining(it)?.peers_heard);
    CATCHING_UP = "catching_up", Flag, "Whether the replica is catching up with a peer bucket by bucket.",
        |it| some(it.status().catching_up);

    // The disk.
    KEPT = "aof_enabled", Flag, "Whether data is kept on a disk.", |it| some(it.server.durability.storage().is_some());
    SAVED_AT = "rdb_last_save_time", Seconds, "When a copy of the log was last made.",
        |it| some(disk(it)?.1.saved_at);
    SAVE_STATUS = "rdb_last_bgsave_status", Text, "Whether the last copy was made.",
        |it| some(if disk(it)?.1.save_failed { "err" } else { "ok" });
    WRITE_STATUS = "aof_last_write_status", Text, "Whether writing to the disk works.",
        |it| some(if disk(it)?.1.failing.is_none() { "ok" } else { "err" });
    DISK_STATE = "disk_state", Text, "Whether and how well data is kept.", |it| some(disk_state(it));
    DISK_ERROR = "disk_error", Text, "Why it is not.", |it| some(disk(it)?.1.failing.unwrap_or_default());
    DISK_REBUILDING = "disk_rebuilding", Flag, "Whether the disk is being brought up to the state after a failure.",
        |it| some(disk(it)?.1.rebuilding);
    DIRECTORY = "disk_directory", Text, "Where data is kept.", |it| some(disk(it)?.0.directory().to_string_lossy().as_ref());
    APPENDFSYNC = "appendfsync", Text, "When what is written is synced.", |it| some(disk(it)?.0.policy().to_string());
    DISK_LOG_BYTES = "disk_log_bytes", Bytes, "Bytes of the log on disk.", |it| some(disk(it)?.1.log_bytes);
    IMAGE_BYTES = "disk_image_bytes", Bytes, "Bytes of it that are the newest images.", |it| some(disk(it)?.1.live_bytes);
    LOG_POSITION = "disk_log_position", Bytes, "Bytes ever written to the log.", |it| some(disk(it)?.1.position);
    LOG_SYNCED = "disk_log_synced", Bytes, "Bytes of them that are synced.", |it| some(disk(it)?.1.synced);
    CLOCK_BEHIND = "clock_behind_ms", Milliseconds, "By how much the clock is behind what it was when the data was last used.",
        |it| some(disk(it)?.0.clock_behind_ms());
    DIRECTORY_READ_PERCENT = "loaded_percent", Percent, "How much of the data directory is read.",
        |it| some(it.server.durability.progress.percent());

    // The replica.
    ID = "id", Text, "The id under which the replica writes.", |it| some(it.replica.id().to_string());
    LONG_ID = "run_id", Text, "The same, as long as Redis's.", |it| some(format!("{:0>40}", it.replica.id().to_string()));
    ROLE = "role", Text, "All replicas are equal; each takes writes, so each is a master.", |_| some("master");
    PEERS_LIVE = "peers_live", Count, "Peers that are alive.", |it| some(it.replica.acked_by(0));
    PEERS_KNOWN = "peers_known", Count, "Peers that are known, alive or not.", |it| some(it.status().peers.len());
    PEERS_AGREEING = "peers_agreeing", Count, "Live peers whose state was equal when it was last compared.",
        |it| some(live(it).filter(|peer| peer.agrees == Some(true)).count());
    LAG_MAX = "lag_events_max", Count, "Of this replica's events, how many the live peer that is furthest behind lacks.",
        |it| some(live(it).map(|peer| peer.lag_events).max().unwrap_or(0));
    POSITION = "master_repl_offset", Count, "The event that carries the last write, an open one included.",
        |it| some(it.replica.position());
    SEQ = "seq", Count, "The last event that was sealed.", |it| some(it.status().seq);
    KEYS = "keys", Count, "Live keys.", |it| some(it.replica.store().len());
    KEYS_THAT_END = "keys_that_end", Count, "Keys with a deadline.", |it| some(it.replica.store().ending());
    FINGERPRINT = "fingerprint", Text, "A hash over everything replicated: replicas that agree have the same.",
        |it| some(format!("{:032x}", it.status().fingerprint.get()));
    CLASHES = "type_clashes", Count, "Keys that were made with different types on different nodes.",
        |it| some(it.status().clashes);
    BASELINES = "baselines", Count, "Baselines of resets that are kept.", |it| some(it.status().baselines);
    LOG_BYTES = "log_bytes", Bytes, "Bytes of the log of recent events, in memory.", |it| some(it.status().log_bytes);
    HELD_BYTES = "held_bytes", Bytes, "Bytes of events that wait for others.", |it| some(it.status().held_bytes);
    CLOCK_AHEAD = "clock_ahead_ms", Milliseconds, "By how much the clock is too far ahead for writing; 0 if it is not.",
        |it| some(it.status().clock_ahead_ms);
    DATAGRAMS_REFUSED = "datagrams_refused", Count, "Datagrams that were none of this cluster's, or damaged.",
        |it| some(it.status().counters.refused.values().sum::<u64>());
}

fn some(value: impl Into<Value>) -> Option<Value> {
    Some(value.into())
}

fn uptime(account: &Account<'_>) -> u64 {
    account.server.started.elapsed().as_secs()
}

fn system() -> String {
    let system = rustix::system::uname();
    let [name, release, machine] =
        [system.sysname(), system.release(), system.machine()].map(|it| it.to_string_lossy());
    format!("{name} {release} {machine}")
}

fn resident_bytes() -> usize {
    let pages = || {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        statm.split_whitespace().nth(1)?.parse::<usize>().ok()
    };
    pages().unwrap_or(0) * rustix::param::page_size()
}

fn peak_bytes() -> usize {
    kilobytes_of("/proc/self/status", "VmHWM:").unwrap_or_else(resident_bytes)
}

/// What a line of a file of the kernel's says, in bytes.
fn kilobytes_of(file: &str, name: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
}

/// A field of what the kernel counts of this process, from 0 on, in seconds.
fn cpu_seconds(field: usize) -> String {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field, the name, may have spaces; a parenthesis ends it.
        let (_, behind) = stat.rsplit_once(')')?;
        behind.split_whitespace().nth(field - 2)?.parse::<u64>().ok()
    };
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let micros = ticks().unwrap_or(0) * 1_000_000 / per_second;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
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

fn not_ready(account: &Account<'_>) -> Option<NotReady> {
    account.server.not_ready(&account.replica.readiness())
}

/// Whether data is being read from a disk, if any is missing.
fn reading(account: &Account<'_>) -> Option<bool> {
    not_ready(account).map(|reason| matches!(reason, NotReady::Reading { .. }))
}

fn joining(account: &mut Account<'_>) -> Option<Progress> {
    let status = account.status();
    (status.standing != Standing::Complete).then_some(status.progress)
}

fn serving(account: &mut Account<'_>) -> bool {
    let loading = account.server.durability.is_loading();
    account.status().readiness.is_ready() && !loading
}

fn disk<'a>(account: &Account<'a>) -> Option<(&'a Storage, StorageStatus)> {
    account.server.durability.storage().map(|storage| (storage, storage.status()))
}

fn disk_state(account: &Account<'_>) -> &'static str {
    match disk(account) {
        Some((_, status)) if status.rebuilding => "rebuilding",
        Some((_, status)) if status.failing.is_some() => "failing",
        Some(_) => "ok",
        None if account.server.durability.is_loading() => "loading",
        None => "memory",
    }
}

fn live<'s>(account: &'s mut Account<'_>) -> impl Iterator<Item = &'s PeerStatus> {
    account.status().peers.iter().filter(|peer| peer.live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own_and_says_what_it_means() {
        for figure in ALL {
            assert!(figure.help.ends_with('.'), "{}", figure.name);
            assert_eq!(ALL.iter().filter(|other| other.name == figure.name).count(), 1, "{}", figure.name);
            assert!(
                figure.name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_".contains(&byte)),
                "{}",
                figure.name
            );
        }
    }

    #[test]
    fn sizes_are_written_for_people_as_redis_writes_them() {
        for (bytes, written) in [(1023, "1023B"), (1024, "1.00K"), (1_572_864, "1.50M"), (3 << 30, "3.00G")] {
            assert_eq!(human(bytes), written);
        }
    }
}
