//! The configuration: four layers, and where each value comes from.
//!
//! A flag wins over a variable (`CAHOOTS_…`), a variable over the file, the file over the default. Every value carries
//! its source, which `cahoots config` shows: a setting that does not do what was expected is nearly always one
//! that was set somewhere else.

mod file;
mod flags;
mod key_file;
mod memory;
mod rewrite;
mod value;
mod whole_file;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use thiserror::Error;

use crate::acl::ACL_LOG_LEN_MAX;
pub use crate::watch::EventLetters;
use cahoots_gossip::engine::MemoryBound;
use file::FileError;
pub use flags::{Flags, Local, Locate};
pub use key_file::{Access, KeyFileError, read_keys, write_key};
pub use memory::{MemorySize, PolicyWord, SAMPLES_MAX};
pub use rewrite::rewrite;
pub use value::{ChannelsDefault, DebugCommand, LogFormat, LogLevel, RequirePass, Seconds, SocketMode};
pub use whole_file::write_whole;

use crate::server::default_socket;
use crate::state::Limits;
use crate::storage::AppendFsync;
use file::Table;

/// The UDP port peers use unless another is configured.
const DEFAULT_PORT: u16 = 7101;
/// A peer that is up is known after half a second, so after twenty times that none is to be expected; and a node whose id is
/// in use elsewhere has ended by then, without having served anybody.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long clients are served after SIGTERM, in milliseconds. With [`DRAIN_MS`] and a second for the farewell this stays
/// within the ten seconds after which docker kills, and well within the thirty of a pod; half of it, two seconds, is what an
/// application with an open connection has for the way to its last write.
const LINGER_MS: u64 = 4_000;
/// How long a stopping node takes to hand its writes over, in milliseconds. Well within the ten seconds that service
/// managers and container runtimes wait before they kill.
const DRAIN_MS: u64 = 5_000;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// The configuration file.
    File(PathBuf),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node: Setting<String>,
    /// The cluster's name: nodes of another one are not listened to.
    pub cluster: Setting<String>,
    /// The Unix socket clients connect to.
    pub socket: Setting<PathBuf>,
    /// Its permissions.
    pub socket_mode: Setting<SocketMode>,
    /// The UDP address for peers.
    pub listen: Setting<SocketAddr>,
    /// The address peers are told, if it is another.
    pub advertise: Setting<Option<SocketAddr>>,
    /// The UDP address for streams, if it is not to be a free port.
    pub bulk_listen: Setting<Option<SocketAddr>>,
    /// The address peers are told for streams, if it is another.
    pub bulk_advertise: Setting<Option<SocketAddr>>,
    /// Peers to ask for the cluster.
    pub seed: Setting<Vec<String>>,
    /// How long to wait without progress in catching up.
    pub join_timeout: Setting<Seconds>,
    /// Whether commands on data are answered before.
    pub serve_while_joining: Setting<bool>,
    /// Nothing is written to disk.
    pub in_memory: Setting<bool>,
    /// Where data is kept, if it is.
    pub data_dir: Setting<Option<PathBuf>>,
    /// When it is made to survive a power failure.
    pub appendfsync: Setting<AppendFsync>,
    /// Which events of keys are published.
    pub notify_keyspace_events: Setting<EventLetters>,
    /// How much memory the data may take.
    pub maxmemory: Setting<MemorySize>,
    /// What is evicted when it takes more.
    pub maxmemory_policy: Setting<PolicyWord>,
    /// How many keys are looked at for each that is evicted.
    pub maxmemory_samples: Setting<usize>,
    /// How seldom a use of a key is counted that was used often already.
    pub lfu_log_factor: Setting<u32>,
    /// After how many minutes without a use it counts as used once less.
    pub lfu_decay_time: Setting<u32>,
    /// The password of the default user.
    pub requirepass: Setting<RequirePass>,
    /// Where users are kept, if they are.
    pub aclfile: Setting<Option<PathBuf>>,
    /// Which channels a new user may use.
    pub acl_pubsub_default: Setting<ChannelsDefault>,
    /// How many entries there are of what was refused.
    pub acllog_max_len: Setting<usize>,
    /// Who may call DEBUG.
    pub enable_debug_command: Setting<DebugCommand>,
    /// Whether a fresh id is taken whatever the directory says.
    pub new_id: Setting<bool>,
    /// Whether a damaged directory is loaded as far as it can be.
    pub repair: Setting<bool>,
    /// How long clients are served after the order to stop, at most, in milliseconds.
    pub linger_ms: Setting<u64>,
    /// How many replicas must have everything before this node stops.
    pub drain_replicas: Setting<usize>,
    /// How long it waits for that, in milliseconds.
    pub drain_ms: Setting<u64>,
    /// The TCP address for clients, if there is to be one.
    pub tcp: Setting<Option<SocketAddr>>,
    /// The file with the cluster's key.
    pub key_file: Setting<Option<PathBuf>>,
    /// Whether addresses others can reach may be left unprotected.
    pub insecure: Setting<bool>,
    /// What a line of the log looks like.
    pub log_format: Setting<LogFormat>,
    /// What is worth a line.
    pub log_level: Setting<LogLevel>,
    /// Parameters by their names in Redis, from the file, and which file that is.
    pub redis: Setting<BTreeMap<String, String>>,
    /// What clients may cost.
    pub limits: Limits,
    /// Which of them the file sets, and which file.
    limits_in_file: (file::LimitsTable, PathBuf),
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Data is to be kept, and nothing says where.
    #[error("in-memory = false ({source_of}), and no directory to keep data in; give one with --data-dir")]
    NowhereToKeep {
        /// Who asked for it.
        source_of: Source,
    },
    /// Data is to be kept, and not to be.
    #[error("in-memory = true ({source_of}) and data-dir = {data_dir:?} contradict each other")]
    KeptInMemory {
        /// Who asked for memory.
        source_of: Source,
        /// The directory.
        data_dir: PathBuf,
    },
    /// The default user would have a password, and another or none.
    #[error(
        "requirepass ({source_of}) and aclfile = {file:?} contradict each other: the file says what the default user's \
         passwords are. Give it one there: user default on #... ~* &* +@all"
    )]
    TwoPasswords {
        /// The file.
        file: PathBuf,
        /// Who configured the password.
        source_of: Source,
    },
    /// Anyone on the network could read and write.
    #[error(
        "{name} = {listen} ({source_of}) can be reached from outside this machine, and there is no cluster key: anyone \
         who reaches it could read and write. Give a key with --key-file (`cahoots keygen` makes one), listen on a \
         loopback address, or allow it with --insecure"
    )]
    OpenToPeers {
        /// Which setting it is.
        name: &'static str,
        /// As configured.
        listen: SocketAddr,
        /// Who configured it.
        source_of: Source,
    },
    /// Anyone on the network could be a client.
    #[error(
        "tcp = {tcp} ({source_of}) can be reached from outside this machine, and clients are not asked who they are. \
         Use a loopback address, or allow it with --insecure"
    )]
    OpenToClients {
        /// As configured.
        tcp: SocketAddr,
        /// Who configured it.
        source_of: Source,
    },
}

impl Config {
    /// Puts the layers together: what the command line and the environment say (`flags`, parsed from `matches`), what
    /// the file they name says, and the defaults.
    ///
    /// # Errors
    /// The file cannot be read or understood, or the whole makes no sense.
    pub fn resolve(flags: Flags, matches: &ArgMatches) -> Result<Self, ConfigError> {
        let (table, file) = match flags.config {
            Some(path) => (Table::read(&path)?, path),
            None => (Table::default(), PathBuf::new()),
        };
        let layers = Layers { matches, file };
        let data_dir = layers.pick("data-dir", flags.data_dir.map(Some), table.data_dir.map(Some), || None);
        let kept = data_dir.value.is_some();
        let bound = MemoryBound::default();
        let config = Self {
            node: layers.pick("node", flags.node, table.node, hostname),
            cluster: layers.pick("cluster", flags.cluster, table.cluster, || "cahoots".to_owned()),
            socket: layers.pick("socket", flags.socket, table.socket, default_socket),
            socket_mode: layers.pick("socket-mode", flags.socket_mode, table.socket_mode, SocketMode::default),
            listen: layers.pick("listen", flags.listen, table.listen, || (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()),
            advertise: layers.pick("advertise", flags.advertise.map(Some), table.advertise.map(Some), || None),
            bulk_listen: layers.pick("bulk-listen", flags.bulk_listen.map(Some), table.bulk_listen.map(Some), || None),
            bulk_advertise: layers.pick(
                "bulk-advertise",
                flags.bulk_advertise.map(Some),
                table.bulk_advertise.map(Some),
                || None,
            ),
            seed: layers.pick("seed", flags.seed, table.seed, Vec::new),
            join_timeout: layers
                .pick("join-timeout", flags.join_timeout, table.join_timeout, || Seconds::new(JOIN_TIMEOUT)),
            serve_while_joining: layers.pick(
                "serve-while-joining",
                flags.serve_while_joining,
                table.serve_while_joining,
                || false,
            ),
            in_memory: layers.pick("in-memory", flags.in_memory, table.in_memory, || !kept),
            data_dir,
            appendfsync: layers.pick("appendfsync", flags.appendfsync, table.appendfsync, AppendFsync::default),
            notify_keyspace_events: layers.pick(
                "notify-keyspace-events",
                flags.notify_keyspace_events,
                table.notify_keyspace_events,
                EventLetters::default,
            ),
            maxmemory: layers.pick("maxmemory", flags.maxmemory, table.maxmemory, MemorySize::default),
            maxmemory_policy: layers.pick(
                "maxmemory-policy",
                flags.maxmemory_policy,
                table.maxmemory_policy,
                PolicyWord::default,
            ),
            maxmemory_samples: layers.pick(
                "maxmemory-samples",
                flags.maxmemory_samples,
                table.maxmemory_samples,
                || bound.samples,
            ),
            lfu_log_factor: layers
                .pick("lfu-log-factor", flags.lfu_log_factor, table.lfu_log_factor, || bound.log_factor),
            lfu_decay_time: layers
                .pick("lfu-decay-time", flags.lfu_decay_time, table.lfu_decay_time, || bound.decay_minutes),
            requirepass: layers.pick("requirepass", flags.requirepass, table.requirepass, RequirePass::default),
            aclfile: layers.pick("aclfile", flags.aclfile.map(Some), table.aclfile.map(Some), || None),
            acl_pubsub_default: layers.pick(
                "acl-pubsub-default",
                flags.acl_pubsub_default,
                table.acl_pubsub_default,
                ChannelsDefault::default,
            ),
            acllog_max_len: layers
                .pick("acllog-max-len", flags.acllog_max_len, table.acllog_max_len, || ACL_LOG_LEN_MAX),
            enable_debug_command: layers.pick(
                "enable-debug-command",
                flags.enable_debug_command,
                table.enable_debug_command,
                DebugCommand::default,
            ),
            new_id: layers.pick("new-id", flags.new_id, table.new_id, || false),
            repair: layers.pick("repair", flags.repair, table.repair, || false),
            linger_ms: layers.pick("linger-ms", flags.linger_ms, table.linger_ms, || LINGER_MS),
            drain_replicas: layers.pick("drain-replicas", flags.drain_replicas, table.drain_replicas, || 1),
            drain_ms: layers.pick("drain-ms", flags.drain_ms, table.drain_ms, || DRAIN_MS),
            tcp: layers.pick("tcp", flags.tcp.map(Some), table.tcp.map(Some), || None),
            key_file: layers.pick("key-file", flags.key_file.map(Some), table.key_file.map(Some), || None),
            insecure: layers.pick("insecure", flags.insecure, table.insecure, || false),
            log_format: layers.pick("log-format", flags.log_format, table.log_format, LogFormat::default),
            log_level: layers.pick("log-level", flags.log_level, table.log_level, LogLevel::default),
            redis: layers.pick("redis", None, table.redis, BTreeMap::new),
            limits_in_file: (table.limits.unwrap_or_default(), layers.file.clone()),
            limits: table.limits.unwrap_or_default().over(Limits::default()),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let source_of = self.in_memory.source.clone();
        match &self.data_dir.value {
            None if !self.in_memory.value => return Err(ConfigError::NowhereToKeep { source_of }),
            Some(data_dir) if self.in_memory.value => {
                return Err(ConfigError::KeptInMemory { source_of, data_dir: data_dir.clone() });
            }
            _ => {}
        }
        if let (Some(file), Some(_)) = (&self.aclfile.value, self.requirepass.value.0) {
            return Err(ConfigError::TwoPasswords { file: file.clone(), source_of: self.requirepass.source.clone() });
        }
        if self.insecure.value {
            return Ok(());
        }
        let bulk = self.bulk_listen.value.map(|listen| ("bulk-listen", listen, &self.bulk_listen.source));
        for (name, listen, source) in [("listen", self.listen.value, &self.listen.source)].into_iter().chain(bulk) {
            if !listen.ip().is_loopback() && self.key_file.value.is_none() {
                return Err(ConfigError::OpenToPeers { name, listen, source_of: source.clone() });
            }
        }
        match self.tcp.value {
            Some(tcp) if !tcp.ip().is_loopback() => {
                Err(ConfigError::OpenToClients { tcp, source_of: self.tcp.source.clone() })
            }
            _ => Ok(()),
        }
    }

    /// What differs in `other`: the names of settings, what they are here and what they are there.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let split = |line: &str| match line.split_once(" = ") {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (line.trim_start_matches("# ").trim_end_matches(" is not set").to_owned(), "not set".to_owned()),
        };
        let (here, there) = (self.lines().0, other.lines().0);
        let pairs = here.iter().zip(&there).map(|((here, _), (there, _))| (split(here), split(there)));
        pairs.filter(|(here, there)| here != there).map(|((name, was), (_, is))| (name, was, is)).collect()
    }

    /// The configuration as a file that would give the same one, each line with its source behind it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let (lines, settings) = self.lines();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        let mut whole = String::new();
        for (at, (line, source)) in lines.iter().enumerate() {
            if at == settings {
                whole.push_str("\n[limits]\n");
            }
            whole.push_str(&format!("{line:width$}  # {source}\n"));
        }
        if !self.redis.value.is_empty() {
            whole.push_str(&format!("\n[redis]  # {}\n", self.redis.source));
        }
        for (name, value) in &self.redis.value {
            // Not even a password that somebody wrote there is shown.
            let shown =
                if name == "requirepass" { RequirePass::of(value.as_bytes()).to_string() } else { value.clone() };
            whole.push_str(&format!("{name} = {}\n", toml::Value::String(shown)));
        }
        whole
    }

    /// A line for each setting, always in the same order, with its source; and how many of them come before the limits.
    fn lines(&self) -> (Vec<(String, String)>, usize) {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: Option<toml::Value>, source: &Source| {
            // What is not set has no line in a file, but it is worth knowing that it could be.
            lines.push(match value {
                Some(value) => (format!("{name} = {value}"), source.to_string()),
                None => (format!("# {name} is not set"), source.to_string()),
            });
        };
        let text = |text: String| Some(toml::Value::String(text));
        let path = |path: &PathBuf| text(path.to_string_lossy().into_owned());
        line("node", text(self.node.value.clone()), &self.node.source);
        line("cluster", text(self.cluster.value.clone()), &self.cluster.source);
        line("socket", path(&self.socket.value), &self.socket.source);
        line("socket-mode", text(self.socket_mode.value.to_string()), &self.socket_mode.source);
        line("listen", text(self.listen.value.to_string()), &self.listen.source);
        line("advertise", self.advertise.value.and_then(|address| text(address.to_string())), &self.advertise.source);
        let address = |address: Option<SocketAddr>| address.and_then(|address| text(address.to_string()));
        line("bulk-listen", address(self.bulk_listen.value), &self.bulk_listen.source);
        line("bulk-advertise", address(self.bulk_advertise.value), &self.bulk_advertise.source);
        let seeds = self.seed.value.iter().cloned().map(toml::Value::String).collect();
        line("seed", Some(toml::Value::Array(seeds)), &self.seed.source);
        let seconds = toml::Value::Float(self.join_timeout.value.time().as_secs_f64());
        line("join-timeout", Some(seconds), &self.join_timeout.source);
        let serve = toml::Value::Boolean(self.serve_while_joining.value);
        line("serve-while-joining", Some(serve), &self.serve_while_joining.source);
        line("in-memory", Some(toml::Value::Boolean(self.in_memory.value)), &self.in_memory.source);
        line("data-dir", self.data_dir.value.as_ref().and_then(path), &self.data_dir.source);
        line("appendfsync", text(self.appendfsync.value.to_string()), &self.appendfsync.source);
        let number = |number: u64| Some(toml::Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
        let letters = text(self.notify_keyspace_events.value.to_string());
        line("notify-keyspace-events", letters, &self.notify_keyspace_events.source);
        let size = toml::Value::Integer(i64::try_from(self.maxmemory.value.0).unwrap_or(i64::MAX));
        line("maxmemory", Some(size), &self.maxmemory.source);
        let policy = text(self.maxmemory_policy.value.word().to_owned());
        line("maxmemory-policy", policy, &self.maxmemory_policy.source);
        line("maxmemory-samples", number(self.maxmemory_samples.value as u64), &self.maxmemory_samples.source);
        line("lfu-log-factor", number(self.lfu_log_factor.value.into()), &self.lfu_log_factor.source);
        line("lfu-decay-time", number(self.lfu_decay_time.value.into()), &self.lfu_decay_time.source);
        let password = self.requirepass.value.0.and_then(|_| text(self.requirepass.value.to_string()));
        line("requirepass", password, &self.requirepass.source);
        line("aclfile", self.aclfile.value.as_ref().and_then(path), &self.aclfile.source);
        line(
            "acl-pubsub-default",
            text(self.acl_pubsub_default.value.word().to_owned()),
            &self.acl_pubsub_default.source,
        );
        line("acllog-max-len", number(self.acllog_max_len.value as u64), &self.acllog_max_len.source);
        let debug = text(self.enable_debug_command.value.word().to_owned());
        line("enable-debug-command", debug, &self.enable_debug_command.source);
        line("new-id", Some(toml::Value::Boolean(self.new_id.value)), &self.new_id.source);
        line("repair", Some(toml::Value::Boolean(self.repair.value)), &self.repair.source);
        line("linger-ms", number(self.linger_ms.value), &self.linger_ms.source);
        line("drain-replicas", number(self.drain_replicas.value as u64), &self.drain_replicas.source);
        line("drain-ms", number(self.drain_ms.value), &self.drain_ms.source);
        line("tcp", self.tcp.value.and_then(|address| text(address.to_string())), &self.tcp.source);
        line("key-file", self.key_file.value.as_ref().and_then(path), &self.key_file.source);
        line("insecure", Some(toml::Value::Boolean(self.insecure.value)), &self.insecure.source);
        line("log-format", text(self.log_format.value.to_string()), &self.log_format.source);
        line("log-level", text(self.log_level.value.to_string()), &self.log_level.source);
        let (in_file, path) = &self.limits_in_file;
        let settings = lines.len();
        for (name, value) in file::LimitsTable::from(&self.limits).entries() {
            let source = match in_file.entries().any(|(set, _)| set == name) {
                true => Source::File(path.clone()),
                false => Source::Default,
            };
            lines.push((format!("{name} = {value}"), source.to_string()));
        }
        (lines, settings)
    }
}

/// The layers below a setting's own default.
struct Layers<'a> {
    matches: &'a ArgMatches,
    file: PathBuf,
}

impl Layers<'_> {
    fn pick<T>(
        &self,
        name: &'static str,
        given: Option<T>,
        in_file: Option<T>,
        default: impl FnOnce() -> T,
    ) -> Setting<T> {
        if let Some(value) = given {
            let source = match self.matches.value_source(&name.replace('-', "_")) {
                Some(clap::parser::ValueSource::EnvVariable) => Source::Variable(flags::variable(name)),
                _ => Source::Flag(name),
            };
            return Setting { value, source };
        }
        match in_file {
            Some(value) => Setting { value, source: Source::File(self.file.clone()) },
            None => Setting { value: default(), source: Source::Default },
        }
    }
}

/// The machine's name: what people call the node when there is one on each machine.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "cahoots".to_owned() } else { name }
}
