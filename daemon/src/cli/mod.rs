//! The command line.

mod accept;
mod check;
mod config;
mod demo;
mod disk;
mod export;
mod forget;
mod import;
mod json_groups;
mod json_lines;
mod keygen;
mod leave;
mod log;
mod members;
mod migrate;
mod pieces;
mod query;
mod reload;
mod resp_client;
mod serve;
mod status;
mod stream;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Flags, Locate};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, the reason is on stderr; 2 the command line makes no sense; \
3 serve stopped, but not everything this node held is on as many other ready nodes as wanted; \
4 serve cannot use its data directory; 5 the data directory was copied or moved, or another process lives under \
its replica id: see --new-id; \
6 serve stopped, but not everything is on disk; 7 import or export is done but for keys or commands that were \
refused, which stderr names.";

/// Replicated state at memory speed, for local programs that speak Redis's protocol over a Unix socket.
#[derive(Debug, Parser)]
#[command(name = "cahoots", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node of the cluster
    #[command(after_help = EXIT_CODES)]
    Serve(Box<Flags>),
    /// Print the configuration `serve` would run with, and where each value comes from
    Config(Box<Flags>),
    /// Tell how far the local node and its peers are
    Status(Query),
    /// List the members of the cluster as the local node sees them
    Members(Query),
    /// Hand everything the local node holds to others, have it leave the cluster, and stop it
    Leave {
        #[command(flatten)]
        locate: Locate,
    },
    /// Forget members that are down and will not come back, at all nodes: they are listed no more, and their votes are gone
    Forget {
        /// The name of the member, or its replica id as `members` shows it
        #[arg(value_name = "NAME|ID")]
        who: String,
        #[command(flatten)]
        locate: Locate,
    },
    /// Have an incomplete node take what it holds for all there is, because the rest is known to be lost: it counts as ready
    /// again
    Accept {
        /// A node that went away with data which this one was told of and has not got: of that one only
        #[arg(value_name = "NAME|ID")]
        who: Option<String>,
        #[command(flatten)]
        locate: Locate,
    },
    /// Read a data directory that no node uses, and tell whether all of it is sound
    Check {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Write all data to stdout, a line of JSON for each key: of a data directory, or of the local node without one; or into
    /// a Redis
    #[command(after_help = EXIT_CODES)]
    Export {
        /// A data directory that no node uses
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
        #[command(flatten)]
        to: Box<migrate::ExportFlags>,
        #[command(flatten)]
        locate: Locate,
    },
    /// Read what `export` wrote from stdin, or a Redis, or its file, and write it to the local node
    #[command(after_help = EXIT_CODES)]
    Import {
        #[command(flatten)]
        from: Box<migrate::ImportFlags>,
        #[command(flatten)]
        locate: Locate,
    },
    /// Start three replicas, cut the network between them, write on both sides, heal it, and show what became of it
    Demo,
    /// Make a cluster key: 64 hex digits on stdout, or in a new file only its owner can read
    Keygen {
        /// Write the key to this new file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Query {
    #[command(flatten)]
    locate: Locate,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// What a command ends with: an exit code, or a reason for people.
pub type CliResult = Result<ExitCode, Box<dyn std::error::Error + Send + Sync>>;

/// `serve` stopped and some writes are not on as many other live nodes as wanted.
pub const EXIT_NOT_HANDED_OVER: u8 = 3;
/// `serve` cannot use its data directory.
pub const EXIT_STORAGE: u8 = 4;
/// `serve` found another process under its replica id, or data that may be in use elsewhere.
pub const EXIT_ID_IN_USE: u8 = 5;
/// `serve` stopped and not everything is on disk.
pub const EXIT_NOT_KEPT: u8 = 6;
/// `import` or `export` is done, and something was refused.
pub const EXIT_REFUSED: u8 = 7;

impl Cli {
    /// The command line and environment of this process. Ends the process if they make no sense, or ask for help.
    #[must_use]
    pub fn from_process() -> (Self, ArgMatches) {
        let matches = Self::command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        (cli, matches)
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// It could not be done; the error says why.
    pub fn run(self, matches: &ArgMatches) -> CliResult {
        let (_, matches) = matches.subcommand().ok_or("no command")?;
        match self.command {
            Command::Serve(flags) => serve::serve(*flags, matches),
            Command::Config(flags) => config::config(*flags, matches),
            Command::Status(query) => status::status(query.locate, query.json),
            Command::Members(query) => members::members(query.locate, query.json),
            Command::Leave { locate } => leave::leave(locate),
            Command::Forget { who, locate } => forget::forget(&who, locate),
            Command::Accept { who, locate } => accept::accept(who.as_deref(), locate),
            Command::Check { directory, json } => check::check(&directory, json),
            Command::Export { directory, to, locate } => export::export(directory.as_deref(), &to, locate),
            Command::Import { from, locate } => import::import(&from, locate),
            Command::Demo => demo::demo(),
            Command::Keygen { out } => keygen::keygen(out.as_deref()),
        }
    }
}

/// Prints to stdout. Someone who stops reading (`| head`) is no failure of ours.
fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
