//! The TOML file. Its keys are the flags' names; one it does not know is an error, as is a value it cannot use.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::memory::{MemorySize, PolicyWord};
use super::value::{ChannelsDefault, DebugCommand, LogFormat, LogLevel, RequirePass, Seconds, SocketMode};
use crate::command::DATABASES_MOST;
use crate::state::Limits;
use crate::storage::AppendFsync;
use crate::watch::EventLetters;

/// Why the configuration file is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no TOML, or says something it must not.
    #[error("{}:{line}: {}{message}", .path.display(), .key.as_ref().map_or_else(String::new, |key| format!("{key}: ")))]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The key on that line, or the last one above it.
        key: Option<String>,
        /// What is wrong.
        message: String,
    },
}

/// What a file may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Table {
    pub(super) node: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) socket: Option<PathBuf>,
    pub(super) socket_mode: Option<SocketMode>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) advertise: Option<SocketAddr>,
    pub(super) bulk_listen: Option<SocketAddr>,
    pub(super) bulk_advertise: Option<SocketAddr>,
    pub(super) seed: Option<Vec<String>>,
    pub(super) join_timeout: Option<Seconds>,
    pub(super) serve_while_joining: Option<bool>,
    pub(super) in_memory: Option<bool>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) appendfsync: Option<AppendFsync>,
    pub(super) new_id: Option<bool>,
    pub(super) repair: Option<bool>,
    pub(super) linger_ms: Option<u64>,
    pub(super) drain_replicas: Option<usize>,
    pub(super) drain_ms: Option<u64>,
    pub(super) notify_keyspace_events: Option<EventLetters>,
    pub(super) maxmemory: Option<MemorySize>,
    pub(super) maxmemory_policy: Option<PolicyWord>,
    pub(super) maxmemory_samples: Option<usize>,
    pub(super) lfu_log_factor: Option<u32>,
    pub(super) lfu_decay_time: Option<u32>,
    pub(super) requirepass: Option<RequirePass>,
    pub(super) aclfile: Option<PathBuf>,
    pub(super) acl_pubsub_default: Option<ChannelsDefault>,
    pub(super) acllog_max_len: Option<usize>,
    pub(super) enable_debug_command: Option<DebugCommand>,
    pub(super) tcp: Option<SocketAddr>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) insecure: Option<bool>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) limits: Option<LimitsTable>,
    pub(super) redis: Option<BTreeMap<String, String>>,
}

impl Table {
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(text.len(), |span| span.start.min(text.len()));
            let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
            let before = &text[..line_end];
            FileError::Content {
                path: path.to_owned(),
                line: text[..at].matches('\n').count() + 1,
                key: before.lines().rev().find_map(key_of),
                message: error.message().replace('\n', "; "),
            }
        })
    }
}

/// The key a line sets.
fn key_of(line: &str) -> Option<String> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'"');
    (!key.is_empty() && key.bytes().all(plain)).then(|| key.to_owned())
}

/// The table `[limits]`. What it leaves out keeps its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct LimitsTable {
    clients_max: Option<usize>,
    databases: Option<usize>,
    inline_bytes_max: Option<usize>,
    bulk_bytes_max: Option<usize>,
    args_max: Option<usize>,
    query_bytes_max: Option<usize>,
    query_bytes_total_max: Option<usize>,
    output_pause_bytes: Option<usize>,
    output_bytes_max: Option<usize>,
    output_stall_ms: Option<u64>,
}

/// The query buffer addresses its bytes with 32 bits.
const QUERY_BYTES_MOST: usize = (1 << 31) - 1;

impl LimitsTable {
    /// These, and the rest of `base`.
    pub(super) fn over(self, base: Limits) -> Limits {
        let mut limits = base;
        limits.clients_max = self.clients_max.unwrap_or(base.clients_max);
        limits.databases = self.databases.unwrap_or(base.databases).clamp(1, DATABASES_MOST);
        limits.frame.inline_bytes_max = self.inline_bytes_max.unwrap_or(base.frame.inline_bytes_max);
        limits.frame.bulk_bytes_max = self.bulk_bytes_max.unwrap_or(base.frame.bulk_bytes_max);
        limits.frame.args_max = self.args_max.unwrap_or(base.frame.args_max);
        limits.query_bytes_max = self.query_bytes_max.unwrap_or(base.query_bytes_max).min(QUERY_BYTES_MOST);
        limits.query_bytes_total_max = self.query_bytes_total_max.unwrap_or(base.query_bytes_total_max);
        limits.output_pause_bytes = self.output_pause_bytes.unwrap_or(base.output_pause_bytes).max(1);
        limits.output_bytes_max = self.output_bytes_max.unwrap_or(base.output_bytes_max);
        limits.output_stall = self.output_stall_ms.map_or(base.output_stall, Duration::from_millis);
        limits
    }

    /// Names and values of those that are set.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bytes = [
            ("clients-max", self.clients_max),
            ("databases", self.databases),
            ("inline-bytes-max", self.inline_bytes_max),
            ("bulk-bytes-max", self.bulk_bytes_max),
            ("args-max", self.args_max),
            ("query-bytes-max", self.query_bytes_max),
            ("query-bytes-total-max", self.query_bytes_total_max),
            ("output-pause-bytes", self.output_pause_bytes),
            ("output-bytes-max", self.output_bytes_max),
        ];
        let numbers = bytes.into_iter().filter_map(|(name, value)| Some((name, value? as u64)));
        numbers.chain(self.output_stall_ms.map(|value| ("output-stall-ms", value)))
    }
}

impl From<&Limits> for LimitsTable {
    fn from(limits: &Limits) -> Self {
        Self {
            clients_max: Some(limits.clients_max),
            databases: Some(limits.databases),
            inline_bytes_max: Some(limits.frame.inline_bytes_max),
            bulk_bytes_max: Some(limits.frame.bulk_bytes_max),
            args_max: Some(limits.frame.args_max),
            query_bytes_max: Some(limits.query_bytes_max),
            query_bytes_total_max: Some(limits.query_bytes_total_max),
            output_pause_bytes: Some(limits.output_pause_bytes),
            output_bytes_max: Some(limits.output_bytes_max),
            output_stall_ms: Some(u64::try_from(limits.output_stall.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Table::parse(text, Path::new("/etc/cahoots.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_file_line_and_key() {
        for (text, expected) in [
            ("node = \"a\"\nlisten = \"nowhere\"\n", "/etc/cahoots.toml:2: listen: invalid socket address syntax"),
            ("nodes = \"a\"\n", "/etc/cahoots.toml:1: nodes: unknown field `nodes`, expected one of `node`"),
            ("\n\nnode = 3\n", "/etc/cahoots.toml:3: node: invalid type: integer `3`, expected a string"),
            (
                "seed = [\n  \"a:1\",\n  2,\n]\n",
                "/etc/cahoots.toml:3: seed: invalid type: integer `2`, expected a string",
            ),
            ("join-timeout = -1.0", "/etc/cahoots.toml:1: join-timeout: `-1` is no time in seconds"),
            ("socket-mode = \"888\"", "/etc/cahoots.toml:1: socket-mode: `888` is no octal mode"),
            ("log-level = \"loud\"", "/etc/cahoots.toml:1: log-level: unknown variant `loud`, expected one of `off`"),
            ("node = \"a\"\nnode = \"b\"\n", "/etc/cahoots.toml:2: node: duplicate key"),
            ("node = \n", "/etc/cahoots.toml:1: node: "),
            ("[limits]\nclients-max = -1\n", "/etc/cahoots.toml:2: clients-max: invalid value: integer `-1`"),
            ("maxmemory = \"much\"\n", "/etc/cahoots.toml:1: maxmemory: `much` is no size, like 100mb"),
            ("[limits]\nclients = 1\n", "/etc/cahoots.toml:2: clients: unknown field `clients`"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.starts_with(expected), "{text:?}\n got      {refusal}\n expected {expected}");
        }
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            node = "a"
            cluster = "c"
            socket = "/run/x.sock"
            socket-mode = "0660"
            listen = "127.0.0.1:1"
            advertise = "[::1]:2"
            bulk-listen = "127.0.0.1:4"
            bulk-advertise = "[::1]:5"
            seed = ["a:1", "b:2"]
            join-timeout = 0.5
            serve-while-joining = true
            in-memory = true
            maxmemory = "100mb"
            maxmemory-policy = "allkeys-lru"
            maxmemory-samples = 9
            lfu-log-factor = 8
            lfu-decay-time = 7
            requirepass = "secret"
            aclfile = "/u"
            acl-pubsub-default = "allchannels"
            acllog-max-len = 9
            enable-debug-command = "local"
            tcp = "127.0.0.1:3"
            key-file = "/k"
            insecure = true
            log-format = "json"
            log-level = "trace"
            [limits]
            clients-max = 7
            output-stall-ms = 9
            [redis]
            slowlog-max-len = "9"
        "#;
        let table = Table::parse(text, Path::new("x")).unwrap();
        assert_eq!(table.seed.as_deref(), Some(&["a:1".to_owned(), "b:2".to_owned()][..]));
        assert_eq!(table.advertise, Some("[::1]:2".parse().unwrap()));
        assert_eq!(table.join_timeout.map(|it| it.time().as_millis()), Some(500));
        assert_eq!(table.bulk_listen, Some("127.0.0.1:4".parse().unwrap()));
        assert_eq!(table.maxmemory, Some(MemorySize(100 << 20)));
        assert_eq!(table.maxmemory_policy.map(PolicyWord::word), Some("allkeys-lru"));
        assert_eq!((table.maxmemory_samples, table.lfu_log_factor, table.lfu_decay_time), (Some(9), Some(8), Some(7)));
        assert_eq!(table.requirepass, Some(RequirePass(Some(crate::acl::PasswordHash::of(b"secret")))));
        assert_eq!(table.acl_pubsub_default, Some(ChannelsDefault::AllChannels));
        assert_eq!(table.bulk_advertise, Some("[::1]:5".parse().unwrap()));
        assert_eq!(table.redis.unwrap()["slowlog-max-len"], "9");
        let limits = table.limits.unwrap().over(Limits::default());
        assert_eq!((limits.clients_max, limits.output_stall), (7, Duration::from_millis(9)));
        assert_eq!(limits.frame, Limits::default().frame);
    }
}
