//! Parameters of Redis that mean nothing here: what CONFIG GET answers, since clients, tools and test suites ask, and which
//! values CONFIG SET takes.
//!
//! A value that changes nothing here is kept and told. A parameter by which a user would be promised something that is not
//! so (that writes are refused without replicas, that idle clients are cut) has one value.

use super::config::{bytes_of, number as number_of};

/// One of them.
pub(super) struct Accepted {
    pub(super) name: &'static str,
    /// Its older name; empty if it has none.
    pub(super) alias: &'static str,
    pub(super) default: &'static str,
    kind: Kind,
    /// Whether it is told only to who asks for it by its whole name.
    pub(super) is_hidden: bool,
}

enum Kind {
    Flag,
    Number(i64, i64),
    Bytes(i64, i64),
    OneOf(&'static [&'static str]),
    Text,
    /// What it is cannot be changed, in Redis either.
    Fixed,
    /// As well, unless the operator allows it; which nobody can here.
    Protected,
    /// Another value would promise what is not so.
    Only,
}

impl Accepted {
    const fn of(name: &'static str, default: &'static str, kind: Kind) -> Self {
        Self { name, alias: "", default, kind, is_hidden: false }
    }

    const fn once(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }

    const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    /// The value as it is told, if it may be set; or why not.
    pub(super) fn judge(&self, value: &str) -> Result<String, String> {
        match self.kind {
            Kind::Flag if ["yes", "no"].iter().any(|word| word.eq_ignore_ascii_case(value)) => {
                Ok(value.to_ascii_lowercase())
            }
            Kind::Flag => Err("argument must be 'yes' or 'no'".to_owned()),
            Kind::Number(min, max) => number_of::<i64>(value, min, max).map(|number| number.to_string()),
            Kind::Bytes(min, max) => {
                let bytes = bytes_of(value).ok_or("argument must be a memory value")?;
                number_of::<i64>(&bytes.to_string(), min, max).map(|number| number.to_string())
            }
            Kind::OneOf(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
                Some(word) => Ok((*word).to_owned()),
                None => Err(format!("argument(s) must be one of the following: {}", words.join(", "))),
            },
            Kind::Text => Ok(value.to_owned()),
            Kind::Only if value == self.default => Ok(value.to_owned()),
            Kind::Only => Err(format!("there is no value for it here but '{}'", self.default)),
            Kind::Fixed | Kind::Protected => Err(self.immutable().unwrap_or_default().to_owned()),
        }
    }

    /// Why it may not be set, whatever the value.
    pub(super) fn immutable(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Fixed => Some("can't set immutable config"),
            Kind::Protected => Some("can't set protected config"),
            _ => None,
        }
    }
}

const fn flag(name: &'static str, default: &'static str) -> Accepted {
    Accepted::of(name, default, Kind::Flag)
}

const fn number(name: &'static str, default: &'static str, min: i64, max: i64) -> Accepted {
    Accepted::of(name, default, Kind::Number(min, max))
}

const fn bytes(name: &'static str, default: &'static str, min: i64, max: i64) -> Accepted {
    Accepted::of(name, default, Kind::Bytes(min, max))
}

const fn word(name: &'static str, default: &'static str, words: &'static [&'static str]) -> Accepted {
    Accepted::of(name, default, Kind::OneOf(words))
}

const fn text(name: &'static str, default: &'static str) -> Accepted {
    Accepted::of(name, default, Kind::Text)
}

const fn fixed(name: &'static str, value: &'static str) -> Accepted {
    Accepted::of(name, value, Kind::Fixed)
}

const fn only(name: &'static str, value: &'static str) -> Accepted {
    Accepted::of(name, value, Kind::Only)
}

const INT: i64 = i32::MAX as i64;
const PORT: i64 = 65_535;

pub(super) const ACCEPTED: &[Accepted] = &[
    // Expiry, eviction, memory.
    number("active-expire-effort", "1", 1, 10),
    flag("activedefrag", "no"),
    number("active-defrag-cycle-max", "25", 1, 99),
    number("active-defrag-cycle-min", "1", 1, 99),
    bytes("active-defrag-ignore-bytes", "104857600", 1, i64::MAX),
    number("active-defrag-max-scan-fields", "1000", 1, i64::MAX),
    number("active-defrag-threshold-lower", "10", 0, 1000),
    number("active-defrag-threshold-upper", "100", 0, 1000),
    flag("activerehashing", "yes"),
    flag("jemalloc-bg-thread", "yes"),
    flag("lazyfree-lazy-eviction", "no"),
    flag("lazyfree-lazy-expire", "no"),
    flag("lazyfree-lazy-server-del", "no"),
    flag("lazyfree-lazy-user-del", "no"),
    flag("lazyfree-lazy-user-flush", "no"),
    only("maxmemory-clients", "0"),
    number("maxmemory-eviction-tenacity", "10", 0, 100),
    // How Redis lays values out.
    bytes("hll-sparse-max-bytes", "3000", 0, i64::MAX),
    number("list-compress-depth", "0", 0, INT),
    number("list-max-listpack-size", "-2", i32::MIN as i64, INT).once("list-max-ziplist-size"),
    number("hash-max-listpack-entries", "512", 0, i64::MAX).once("hash-max-ziplist-entries"),
    bytes("hash-max-listpack-value", "64", 0, i64::MAX).once("hash-max-ziplist-value"),
    number("set-max-intset-entries", "512", 0, i64::MAX),
    number("set-max-listpack-entries", "128", 0, i64::MAX),
    bytes("set-max-listpack-value", "64", 0, i64::MAX),
    bytes("stream-node-max-bytes", "4096", 0, i64::MAX),
    number("stream-node-max-entries", "100", 0, i64::MAX),
    number("zset-max-listpack-entries", "128", 0, i64::MAX).once("zset-max-ziplist-entries"),
    bytes("zset-max-listpack-value", "64", 0, i64::MAX).once("zset-max-ziplist-value"),
    word("sanitize-dump-payload", "no", &["no", "yes", "clients"]),
    // Disks.
    fixed("appenddirname", "appendonlydir"),
    fixed("appendfilename", "appendonly.aof"),
    flag("aof-disable-auto-gc", "no"),
    flag("aof-load-truncated", "yes"),
    flag("aof-rewrite-incremental-fsync", "yes"),
    flag("aof-timestamp-enabled", "no"),
    flag("aof-use-rdb-preamble", "yes"),
    bytes("auto-aof-rewrite-min-size", "67108864", 0, i64::MAX),
    number("auto-aof-rewrite-percentage", "100", 0, INT),
    Accepted::of("dbfilename", "dump.rdb", Kind::Protected),
    number("key-load-delay", "0", i32::MIN as i64, INT).hidden(),
    number("loading-process-events-interval-bytes", "2097152", 1024, INT).hidden(),
    flag("no-appendfsync-on-rewrite", "no"),
    flag("rdb-del-sync-files", "no"),
    number("rdb-key-save-delay", "0", i32::MIN as i64, INT).hidden(),
    flag("rdb-save-incremental-fsync", "yes"),
    fixed("rdbchecksum", "yes"),
    flag("rdbcompression", "yes"),
    only("save", ""),
    flag("stop-writes-on-bgsave-error", "yes"),
    // Replication of Redis.
    only("masterauth", ""),
    only("masteruser", ""),
    number("min-replicas-max-lag", "10", 0, INT).once("min-slaves-max-lag"),
    only("min-replicas-to-write", "0").once("min-slaves-to-write"),
    word("propagation-error-behavior", "ignore", &["ignore", "panic", "panic-on-replicas"]),
    bytes("repl-backlog-size", "1048576", 1, i64::MAX),
    number("repl-backlog-ttl", "3600", 0, i64::MAX),
    flag("repl-disable-tcp-nodelay", "no"),
    word("repl-diskless-load", "disabled", &["disabled", "on-empty-db", "swapdb"]),
    flag("repl-diskless-sync", "yes"),
    number("repl-diskless-sync-delay", "5", 0, INT),
    number("repl-diskless-sync-max-replicas", "0", 0, INT),
    number("repl-ping-replica-period", "10", 1, INT).once("repl-ping-slave-period"),
    number("repl-timeout", "60", 1, INT),
    only("replica-announce-ip", "").once("slave-announce-ip"),
    only("replica-announce-port", "0").once("slave-announce-port"),
    flag("replica-announced", "yes"),
    flag("replica-ignore-disk-write-errors", "no"),
    flag("replica-ignore-maxmemory", "yes").once("slave-ignore-maxmemory"),
    flag("replica-lazy-flush", "no").once("slave-lazy-flush"),
    number("replica-priority", "100", 0, INT).once("slave-priority"),
    flag("replica-read-only", "yes").once("slave-read-only"),
    flag("replica-serve-stale-data", "yes").once("slave-serve-stale-data"),
    fixed("replicaof", "").once("slaveof"),
    // Redis Cluster.
    flag("cluster-allow-pubsubshard-when-down", "yes"),
    flag("cluster-allow-reads-when-down", "no"),
    flag("cluster-allow-replica-migration", "yes"),
    number("cluster-announce-bus-port", "0", 0, PORT),
    text("cluster-announce-hostname", ""),
    text("cluster-announce-human-nodename", ""),
    text("cluster-announce-ip", ""),
    number("cluster-announce-port", "0", 0, PORT),
    number("cluster-announce-tls-port", "0", 0, PORT),
    fixed("cluster-config-file", "nodes.conf"),
    fixed("cluster-enabled", "no"),
    bytes("cluster-link-sendbuf-limit", "0", 0, i64::MAX),
    number("cluster-migration-barrier", "1", 0, INT),
    number("cluster-node-timeout", "15000", 0, i64::MAX),
    fixed("cluster-port", "0"),
    word("cluster-preferred-endpoint-type", "ip", &["ip", "hostname", "unknown-endpoint"]),
    flag("cluster-replica-no-failover", "no").once("cluster-slave-no-failover"),
    number("cluster-replica-validity-factor", "10", 0, INT).once("cluster-slave-validity-factor"),
    flag("cluster-require-full-coverage", "yes"),
    // The process.
    fixed("aof_rewrite_cpulist", ""),
    fixed("always-show-logo", "no"),
    fixed("bgsave_cpulist", ""),
    fixed("bio_cpulist", ""),
    flag("crash-log-enabled", "yes"),
    flag("crash-memcheck-enabled", "yes"),
    fixed("daemonize", "no"),
    flag("disable-thp", "yes"),
    flag("dynamic-hz", "yes"),
    fixed("enable-module-command", "no"),
    fixed("enable-protected-configs", "no"),
    number("hz", "10", 0, INT),
    text("ignore-warnings", ""),
    fixed("io-threads", "1"),
    fixed("io-threads-do-reads", "no"),
    text("locale-collate", ""),
    fixed("logfile", ""),
    word("loglevel", "notice", &["debug", "verbose", "notice", "warning"]),
    word("oom-score-adj", "no", &["no", "yes", "relative", "absolute"]),
    text("oom-score-adj-values", "0 200 800"),
    fixed("pidfile", ""),
    text("proc-title-template", "{title} {listen-addr} {server-mode}"),
    fixed("server_cpulist", ""),
    fixed("set-proc-title", "yes"),
    word("shutdown-on-sigint", "default", &["default", "save", "nosave", "now", "force"]),
    word("shutdown-on-sigterm", "default", &["default", "save", "nosave", "now", "force"]),
    number("shutdown-timeout", "10", 0, INT),
    fixed("supervised", "no"),
    fixed("syslog-enabled", "no"),
    fixed("syslog-facility", "local0"),
    fixed("syslog-ident", "redis"),
    flag("use-exit-on-panic", "no").hidden(),
    number("watchdog-period", "0", 0, INT).hidden(),
    // Sockets.
    only("bind-source-addr", ""),
    flag("protected-mode", "yes"),
    fixed("socket-mark-id", "0"),
    fixed("tcp-backlog", "511"),
    number("tcp-keepalive", "300", 0, INT),
    only("timeout", "0"),
    fixed("unixsocketperm", "0"),
    // TLS, which clients of one machine need not.
    only("tls-auth-clients", "yes"),
    only("tls-ca-cert-dir", ""),
    only("tls-ca-cert-file", ""),
    only("tls-cert-file", ""),
    only("tls-ciphers", ""),
    only("tls-ciphersuites", ""),
    only("tls-client-cert-file", ""),
    only("tls-client-key-file", ""),
    only("tls-client-key-file-pass", ""),
    only("tls-cluster", "no"),
    only("tls-dh-params-file", ""),
    only("tls-key-file", ""),
    only("tls-key-file-pass", ""),
    only("tls-port", "0"),
    only("tls-prefer-server-ciphers", "no"),
    only("tls-protocols", ""),
    only("tls-replication", "no"),
    only("tls-session-cache-size", "20480"),
    only("tls-session-cache-timeout", "300"),
    only("tls-session-caching", "yes"),
];
