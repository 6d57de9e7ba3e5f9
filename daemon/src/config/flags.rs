//! Flags and variables. Every flag has a variable: `--log-level` is `CAHOOTS_LOG_LEVEL`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::memory::{MemorySize, PolicyWord};
use super::value::{ChannelsDefault, DebugCommand, LogFormat, LogLevel, RequirePass, Seconds, SocketMode};
use crate::storage::AppendFsync;
use crate::watch::EventLetters;

/// The variable that stands for flag `name`.
pub(super) fn variable(name: &str) -> String {
    format!("CAHOOTS_{}", name.replace('-', "_").to_ascii_uppercase())
}

/// What `serve` and `config` take.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// Read a TOML file; its keys are named like these flags
    #[arg(long, env = "CAHOOTS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Name of this node, unique in its cluster [default: the machine's name]
    #[arg(long, env = "CAHOOTS_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// Name of the cluster; nodes of another one are not listened to [default: cahoots]
    #[arg(long, env = "CAHOOTS_CLUSTER", value_name = "NAME")]
    pub cluster: Option<String>,

    /// Unix socket for clients [default: $XDG_RUNTIME_DIR/cahoots/cahoots.sock, or /tmp/cahoots-UID/cahoots.sock]
    #[arg(long, env = "CAHOOTS_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Permissions of the socket, octal: who may write to it is a client [default: 0600, this user only]
    #[arg(long, env = "CAHOOTS_SOCKET_MODE", value_name = "MODE")]
    pub socket_mode: Option<SocketMode>,

    /// UDP address for peers; port 0 takes a free one [default: 127.0.0.1:7101]
    #[arg(long, env = "CAHOOTS_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Address peers are told, if it is not the one listened on
    #[arg(long, env = "CAHOOTS_ADVERTISE", value_name = "ADDRESS")]
    pub advertise: Option<SocketAddr>,

    /// UDP address for streams, by which daemons catch up [default: a free port at the IP of --listen]
    #[arg(long, env = "CAHOOTS_BULK_LISTEN", value_name = "ADDRESS")]
    pub bulk_listen: Option<SocketAddr>,

    /// Address peers are told for streams, if it is not the one listened on
    #[arg(long, env = "CAHOOTS_BULK_ADVERTISE", value_name = "ADDRESS")]
    pub bulk_advertise: Option<SocketAddr>,

    /// A peer to ask for the cluster, as host:port; may be given several times
    #[arg(long, env = "CAHOOTS_SEED", value_name = "HOST:PORT", value_delimiter = ',')]
    pub seed: Option<Vec<String>>,

    /// Be ready after so many seconds without progress in catching up with the cluster, whatever is missing [default: 10]
    #[arg(long, env = "CAHOOTS_JOIN_TIMEOUT", value_name = "SECONDS")]
    pub join_timeout: Option<Seconds>,

    /// Answer commands on data before this node has caught up with the cluster, instead of -LOADING
    #[arg(
        long,
        env = "CAHOOTS_SERVE_WHILE_JOINING",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    pub serve_while_joining: Option<bool>,

    /// Directory to keep the data in; made if only its last part is missing [default: keep everything in memory]
    #[arg(long, env = "CAHOOTS_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// When writes are made to survive a power failure: before they are answered, every second, or when the system sees
    /// fit [default: everysec]
    #[arg(long, env = "CAHOOTS_APPENDFSYNC", value_name = "WHEN")]
    pub appendfsync: Option<AppendFsync>,

    /// Which events of keys clients can listen to, in Redis's letters: KEA for most, none by default
    #[arg(long, env = "CAHOOTS_NOTIFY_KEYSPACE_EVENTS", value_name = "LETTERS")]
    pub notify_keyspace_events: Option<EventLetters>,

    /// Bytes that the data may take, with Redis's units: 100mb. Beyond that keys are evicted, or writes refused; 0 is no bound
    /// [default: 0]
    #[arg(long, env = "CAHOOTS_MAXMEMORY", value_name = "BYTES")]
    pub maxmemory: Option<MemorySize>,

    /// What is evicted when the data takes more, here and for peers that say that they are full [default: noeviction]
    #[arg(long, env = "CAHOOTS_MAXMEMORY_POLICY", value_name = "POLICY")]
    pub maxmemory_policy: Option<PolicyWord>,

    /// How many keys are looked at for each that is evicted, up to 64 [default: 5]
    #[arg(long, env = "CAHOOTS_MAXMEMORY_SAMPLES", value_name = "COUNT")]
    pub maxmemory_samples: Option<usize>,

    /// For policies that count uses: how seldom a use counts of a key that was used often [default: 10]
    #[arg(long, env = "CAHOOTS_LFU_LOG_FACTOR", value_name = "FACTOR")]
    pub lfu_log_factor: Option<u32>,

    /// For policies that count uses: after how many minutes without one a key counts as used once less; 0 for never
    /// [default: 1]
    #[arg(long, env = "CAHOOTS_LFU_DECAY_TIME", value_name = "MINUTES")]
    pub lfu_decay_time: Option<u32>,

    /// Password of the user that clients are until they say otherwise, or `#` and its SHA-256 in hexadecimal; better in
    /// the file or a variable, since others can see flags [default: none]
    #[arg(long, env = "CAHOOTS_REQUIREPASS", value_name = "PASSWORD", hide_env_values = true)]
    pub requirepass: Option<RequirePass>,

    /// File with the users and what they may do, read at the start and by ACL LOAD, written by ACL SAVE [default: none]
    #[arg(long, env = "CAHOOTS_ACLFILE", value_name = "FILE")]
    pub aclfile: Option<PathBuf>,

    /// Which channels a new user may use [default: resetchannels]
    #[arg(long, env = "CAHOOTS_ACL_PUBSUB_DEFAULT", value_name = "WHICH")]
    pub acl_pubsub_default: Option<ChannelsDefault>,

    /// How many entries ACL LOG keeps of what was refused [default: 128]
    #[arg(long, env = "CAHOOTS_ACLLOG_MAX_LEN", value_name = "COUNT")]
    pub acllog_max_len: Option<usize>,

    /// Who may call DEBUG, which is for tests: nobody, everybody, or clients of this machine [default: no]
    #[arg(long, env = "CAHOOTS_ENABLE_DEBUG_COMMAND", value_name = "WHO")]
    pub enable_debug_command: Option<DebugCommand>,

    /// Do not go on under the replica id of the data directory, but take a new one and keep the data: for a directory that
    /// was copied or moved, which is refused without this
    #[arg(long, env = "CAHOOTS_NEW_ID", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub new_id: Option<bool>,

    /// Start although the data directory is damaged: load what can be read, fetch the rest from the cluster
    #[arg(long, env = "CAHOOTS_REPAIR", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub repair: Option<bool>,

    /// At SIGTERM: how long to go on serving clients that are at work, in milliseconds; 0 cuts them at once [default: 4000]
    #[arg(long, env = "CAHOOTS_LINGER_MS", value_name = "MS")]
    pub linger_ms: Option<u64>,

    /// At SIGTERM: how many replicas must have everything this node wrote [default: 1]
    #[arg(long, env = "CAHOOTS_DRAIN_REPLICAS", value_name = "COUNT")]
    pub drain_replicas: Option<usize>,

    /// At SIGTERM: how long to wait for them, in milliseconds [default: 5000]
    #[arg(long, env = "CAHOOTS_DRAIN_MS", value_name = "MS")]
    pub drain_ms: Option<u64>,

    /// Keep everything in memory; the default without --data-dir
    #[arg(
        long,
        env = "CAHOOTS_IN_MEMORY",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    pub in_memory: Option<bool>,

    /// Also take clients at this TCP address; loopback only
    #[arg(long, env = "CAHOOTS_TCP", value_name = "ADDRESS")]
    pub tcp: Option<SocketAddr>,

    /// File with the cluster's key, or one a line while keys are changed, of which the first seals: 64 hex digits or 32 bytes, readable by its owner and at most by a group of
    /// this process
    #[arg(long, env = "CAHOOTS_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Allow addresses others can reach although nothing protects them: --listen and --bulk-listen without a
    /// key, --tcp beyond loopback
    #[arg(
        long,
        env = "CAHOOTS_INSECURE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    pub insecure: Option<bool>,

    /// What a line of the log on stderr looks like [default: text]
    #[arg(long, env = "CAHOOTS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// What is worth a line [default: info]
    #[arg(long, env = "CAHOOTS_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
}

/// The password by which commands show who they are: a flag would be seen by everybody on the machine.
const PASSWORD_VARIABLE: &str = "CAHOOTS_PASSWORD";

/// What commands take that only need to find the local daemon.
#[derive(Args, Clone, Debug, Default)]
pub struct Locate {
    /// Read the socket's path from this TOML file
    #[arg(long, env = "CAHOOTS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Unix socket of the daemon [default: as for serve]
    #[arg(long, env = "CAHOOTS_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// User to be there, if the daemon asks; its password is taken from the variable CAHOOTS_PASSWORD [default: default]
    #[arg(long, env = "CAHOOTS_USER", value_name = "NAME")]
    pub user: Option<String>,
}

/// Where the local daemon is, and who asks it.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its socket.
    pub socket: PathBuf,
    /// The user and the password to show, if there is one.
    pub credentials: Option<(String, String)>,
}

impl Locate {
    /// Where it is: as `serve` with the same flags, variables and file would have it.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn local(self) -> Result<Local, super::FileError> {
        let user = self.user.unwrap_or_else(|| "default".to_owned());
        let credentials = std::env::var(PASSWORD_VARIABLE).ok().map(|password| (user, password));
        if let Some(socket) = self.socket {
            return Ok(Local { socket, credentials });
        }
        let table = self.config.map(|path| super::Table::read(&path)).transpose()?;
        let socket = table.and_then(|table| table.socket).unwrap_or_else(crate::server::default_socket);
        Ok(Local { socket, credentials })
    }
}
