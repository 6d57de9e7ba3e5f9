//! INFO: the daemon as tools for Redis expect to read it, and what is ours under `# Cahoots`.

use std::fmt::Write;

use super::{Args, Context, Flow, Outcome, Reply, counts, is};
use crate::account::{Account, Figure, Value, figures as f};

/// A line, or several.
enum Line {
    /// A figure under the name that readers of INFO know it by.
    Of(&'static str, &'static Figure),
    /// What is always so, told because Redis tells it.
    Fixed(&'static str, &'static str),
    /// As many as there are.
    Many(fn(&mut Account<'_>, &mut String)),
}

use Line::{Fixed, Many, Of};

const SECTIONS: &[(&str, &[Line])] = &[
    (
        "Server",
        &[
            Of("redis_version", &f::EMULATED_VERSION),
            Fixed("redis_git_sha1", "00000000"),
            Fixed("redis_git_dirty", "0"),
            Of("cahoots_version", &f::VERSION),
            Of("redis_mode", &f::MODE),
            Of("os", &f::SYSTEM),
            Of("arch_bits", &f::WORD_BITS),
            Fixed("multiplexing_api", "epoll"),
            Of("process_id", &f::PROCESS),
            Fixed("process_supervised", "no"),
            Of("run_id", &f::LONG_ID),
            Of("tcp_port", &f::TCP_PORT),
            Of("server_time_usec", &f::TIME),
            Of("uptime_in_seconds", &f::UPTIME),
            Of("uptime_in_days", &f::UPTIME_DAYS),
            Fixed("hz", "10"),
            Fixed("configured_hz", "10"),
            Of("lru_clock", &f::LRU_CLOCK),
            Of("executable", &f::EXECUTABLE),
            Of("config_file", &f::CONFIG_FILE),
            Fixed("io_threads_active", "0"),
        ],
    ),
    (
        "Clients",
        &[
            Of("connected_clients", &f::CLIENTS),
            Of("maxclients", &f::CLIENTS_MAX),
            Fixed("cluster_connections", "0"),
            Of("blocked_clients", &f::CLIENTS_BLOCKED),
            Of("tracking_clients", &f::CLIENTS_TRACKING),
            Fixed("clients_in_timeout_table", "0"),
            Of("total_blocking_keys", &f::KEYS_BLOCKED_AT),
            Of("paused_actions", &f::PAUSED),
            Of("paused_timeout_milliseconds", &f::PAUSED_FOR),
        ],
    ),
    (
        "Memory",
        &[
            Of("used_memory", &f::MEMORY),
            Of("used_memory_human", &f::MEMORY_HUMAN),
            Of("used_memory_rss", &f::MEMORY_RSS),
            Of("used_memory_rss_human", &f::MEMORY_RSS_HUMAN),
            Of("used_memory_peak", &f::MEMORY_PEAK),
            Of("used_memory_peak_human", &f::MEMORY_PEAK_HUMAN),
            Of("total_system_memory", &f::MEMORY_OF_SYSTEM),
            Of("used_memory_dataset", &f::MEMORY_OF_DATA),
            Of("used_memory_scripts", &f::MEMORY_OF_SCRIPTS),
            Of("number_of_cached_scripts", &f::SCRIPTS),
            Fixed("mem_allocator", "libc"),
            Fixed("mem_fragmentation_ratio", "1.00"),
            Fixed("active_defrag_running", "0"),
            Fixed("lazyfree_pending_objects", "0"),
            Of("maxmemory", &f::MEMORY_MAX),
            Of("maxmemory_human", &f::MEMORY_MAX_HUMAN),
            Of("maxmemory_policy", &f::MEMORY_POLICY),
        ],
    ),
    (
        // What clients look at before they send anything. Data is also loading while the replica catches up.
        "Persistence",
        &[
            Of("loading", &f::LOADING),
            Fixed("async_loading", "0"),
            Of("loading_start_time", &f::LOADING_SINCE),
            Of("loading_total_bytes", &f::LOADING_BYTES),
            Of("loading_loaded_bytes", &f::LOADED_BYTES),
            Of("loading_loaded_perc", &f::LOADED_PERCENT),
            Of("loading_eta_seconds", &f::LOADING_ETA),
            Fixed("rdb_changes_since_last_save", "0"),
            Fixed("rdb_bgsave_in_progress", "0"),
            Fixed("rdb_last_bgsave_time_sec", "-1"),
            Fixed("rdb_current_bgsave_time_sec", "-1"),
            Fixed("aof_rewrite_in_progress", "0"),
            Fixed("aof_rewrite_scheduled", "0"),
            Fixed("aof_last_rewrite_time_sec", "-1"),
            Fixed("aof_last_bgrewrite_status", "ok"),
            Of("rdb_last_save_time", &f::SAVED_AT),
            Of("rdb_last_bgsave_status", &f::SAVE_STATUS),
            Of("aof_enabled", &f::KEPT),
            Of("aof_last_write_status", &f::WRITE_STATUS),
            Of("aof_current_size", &f::DISK_LOG_BYTES),
            Of("aof_base_size", &f::IMAGE_BYTES),
            Of("appendfsync", &f::APPENDFSYNC),
            Of("storage_error", &f::DISK_ERROR),
            Of("storage_rebuilding", &f::DISK_REBUILDING),
            Of("log_position", &f::LOG_POSITION),
            Of("log_synced", &f::LOG_SYNCED),
            Of("clock_behind_ms", &f::CLOCK_BEHIND),
        ],
    ),
    (
        "Stats",
        &[
            Of("total_connections_received", &f::CONNECTIONS),
            Of("total_commands_processed", &f::COMMANDS),
            Of("total_net_input_bytes", &f::BYTES_IN),
            Of("total_net_output_bytes", &f::BYTES_OUT),
            Of("rejected_connections", &f::CONNECTIONS_REFUSED),
            Of("cut_connections", &f::CONNECTIONS_CUT),
            Of("expired_keys", &f::EXPIRED),
            Of("evicted_keys", &f::EVICTED),
            Of("keyspace_hits", &f::HITS),
            Of("keyspace_misses", &f::MISSES),
            Of("acl_access_denied_auth", &f::DENIED_LOGINS),
            Of("acl_access_denied_cmd", &f::DENIED_COMMANDS),
            Of("acl_access_denied_key", &f::DENIED_KEYS),
            Of("acl_access_denied_channel", &f::DENIED_CHANNELS),
            Of("total_error_replies", &f::ERRORS),
            Fixed("sync_full", "0"),
            Fixed("sync_partial_ok", "0"),
            Fixed("sync_partial_err", "0"),
            Fixed("latest_fork_usec", "0"),
            Fixed("total_forks", "0"),
            Fixed("unexpected_error_replies", "0"),
            Of("tracking_total_keys", &f::TRACKERS_KEYS),
            Of("tracking_total_prefixes", &f::TRACKERS_PREFIXES),
            Of("pubsub_channels", &f::CHANNELS),
            Of("pubsub_patterns", &f::PATTERNS),
            Of("pubsubshard_channels", &f::SHARD_CHANNELS),
        ],
    ),
    (
        // Redis's words for a primary with replicas.
        "Replication",
        &[
            Of("role", &f::ROLE),
            Of("connected_slaves", &f::PEERS_LIVE),
            Fixed("master_failover_state", "no-failover"),
            Of("master_replid", &f::LONG_ID),
            Fixed("master_replid2", "0000000000000000000000000000000000000000"),
            Of("master_repl_offset", &f::POSITION),
            Fixed("second_repl_offset", "-1"),
            Fixed("repl_backlog_active", "0"),
            Fixed("repl_backlog_size", "1048576"),
            Fixed("repl_backlog_first_byte_offset", "0"),
            Fixed("repl_backlog_histlen", "0"),
        ],
    ),
    (
        "CPU",
        &[
            Of("used_cpu_sys", &f::CPU_SYSTEM),
            Of("used_cpu_user", &f::CPU_USER),
            Fixed("used_cpu_sys_children", "0.000000"),
            Fixed("used_cpu_user_children", "0.000000"),
        ],
    ),
    ("Modules", &[]),
    ("Commandstats", &[Many(counts::commands)]),
    ("Errorstats", &[Many(counts::errors)]),
    ("Latencystats", &[Many(counts::percentiles)]),
    // Redis Cluster, which this is not.
    ("Cluster", &[Fixed("cluster_enabled", "0")]),
    ("Keyspace", &[Many(counts::keyspace)]),
    (
        "Cahoots",
        &[
            Of("node", &f::NODE),
            Of("cluster", &f::CLUSTER),
            Of("replica_id", &f::ID),
            Of("peers_live", &f::PEERS_LIVE),
            Of("peers_known", &f::PEERS_KNOWN),
            Of("peers_full", &f::PEERS_FULL),
            Of("peers_agreeing", &f::PEERS_AGREEING),
            Of("lag_events_max", &f::LAG_MAX),
            Of("seq", &f::SEQ),
            Of("fingerprint", &f::FINGERPRINT),
            Of("type_clashes", &f::CLASHES),
            Of("baselines", &f::BASELINES),
            Of("log_bytes", &f::LOG_BYTES),
            Of("held_bytes", &f::HELD_BYTES),
            Of("ready", &f::READY),
            Of("serving", &f::SERVING),
            Of("standing", &f::STANDING),
            Of("joining_percent", &f::JOINING_PERCENT),
            Of("joining_buckets", &f::JOINING_BUCKETS),
            Of("joining_peers_heard", &f::JOINING_PEERS),
            Of("catching_up", &f::CATCHING_UP),
            Of("clock_ahead_ms", &f::CLOCK_AHEAD),
            Of("pushed_bytes", &f::PUSHED_BYTES),
            Of("clients_too_slow", &f::PUSHED_TOO_MUCH),
            Of("datagrams_refused", &f::DATAGRAMS_REFUSED),
            Many(counts::engine),
        ],
    ),
];

/// Sections that are told to who asks for none by name, all but these.
const NOT_BY_DEFAULT: [&str; 2] = ["Commandstats", "Latencystats"];

pub(super) fn info(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let wanted = args.from(1);
    let any_is = |name: &str| wanted.iter().any(|word| is(word, name));
    let all = any_is("all") || any_is("everything");
    let by_default = all || wanted.is_empty() || any_is("default");
    let mut text = String::with_capacity(4096);
    let mut account = ctx.account();
    for (name, lines) in SECTIONS {
        let is_wanted = if NOT_BY_DEFAULT.contains(name) { all } else { by_default };
        if is_wanted || any_is(name) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            // Formatting into a String fails only if a Display says so by itself; none here does.
            let _ = write!(text, "# {name}\r\n");
            for line in *lines {
                let _ = line.write(&mut text, &mut account);
            }
        }
    }
    reply.verbatim(&text);
    Ok(Flow::Continue)
}

impl Line {
    fn write(&self, text: &mut String, account: &mut Account<'_>) -> std::fmt::Result {
        match self {
            Of(name, figure) => match figure.value(account) {
                None => Ok(()),
                Some(Value::Number(number)) => write!(text, "{name}:{number}\r\n"),
                Some(Value::Flag(flag)) => write!(text, "{name}:{}\r\n", u8::from(flag)),
                Some(Value::Text(words)) => write!(text, "{name}:{words}\r\n"),
            },
            Fixed(name, words) => write!(text, "{name}:{words}\r\n"),
            Many(lines) => {
                lines(account, text);
                Ok(())
            }
        }
    }
}
