//! Moving between a Redis and the daemon: `import --from`, `import --rdb` and `export --to`.
//!
//! Everything goes through the daemon's socket, as ordinary commands: what the daemon refuses a client it refuses here.

mod address;
mod changes;
mod copy;
mod follow;
mod handshake;
mod hold;
mod keyspace;
mod large;
mod mirror;
mod progress;
mod rate;
mod replies;
mod resume;
mod snapshot;
mod stop;
mod target;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use self::address::Address;
use self::copy::Copy;
use self::follow::Follow;
use self::progress::Progress;
use self::rate::Rate;
use self::resume::ResumeFile;
use self::snapshot::Snapshot;
use self::target::{Kind, Target, TargetError};
use super::{CliResult, EXIT_REFUSED, print};
use crate::config::Local;

/// Where data comes from, other than stdin.
#[derive(Debug, clap::Args)]
pub(super) struct ImportFlags {
    /// Copy a running Redis, Valkey or KeyDB: redis://[user:password@]host[:port][/database] or unix:/path[?db=database]
    #[arg(long, value_name = "ADDRESS", env = "CAHOOTS_IMPORT_FROM", hide_env_values = true, group = "source")]
    from: Option<Address>,
    /// Read an RDB file
    #[arg(long, value_name = "FILE", conflicts_with = "from", group = "source")]
    rdb: Option<PathBuf>,
    /// Only keys whose names match, as SCAN has it
    #[arg(long = "match", value_name = "PATTERN", requires = "source")]
    pattern: Option<String>,
    /// At most so many keys a second
    #[arg(long, value_name = "KEYS", requires = "source", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Keep in this file how far the copy is, and go on from there
    #[arg(long, value_name = "FILE", requires = "from", conflicts_with = "follow")]
    resume: Option<PathBuf>,
    /// Go on following the source as its replicas do, until SIGINT or SIGTERM
    #[arg(long, requires = "from", conflicts_with = "pattern")]
    follow: bool,
    /// Stop following once the source has written nothing for so many seconds
    #[arg(long, value_name = "SECONDS", requires = "follow")]
    until_idle: Option<u64>,
    /// Follow though the daemon holds keys: those that the source has not are removed
    #[arg(long, requires = "follow")]
    mirror: bool,
    /// Put back the deadlines that a follower which was killed has held off, and do nothing else
    #[arg(long, conflicts_with = "source")]
    release: bool,
}

/// Where data goes, other than to stdout.
#[derive(Debug, clap::Args)]
pub(super) struct ExportFlags {
    /// Write into a running Redis: redis://[user:password@]host[:port][/database] or unix:/path[?db=database]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "CAHOOTS_EXPORT_TO",
        hide_env_values = true,
        conflicts_with = "directory"
    )]
    to: Option<Address>,
    /// Write though it holds keys: those of the same names are replaced
    #[arg(long, requires = "to")]
    replace: bool,
    /// Only keys whose names match, as SCAN has it
    #[arg(long = "match", value_name = "PATTERN", requires = "to")]
    pattern: Option<String>,
    /// At most so many keys a second
    #[arg(long, value_name = "KEYS", requires = "to", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

impl ImportFlags {
    /// Does what is asked; `None` if the data is to come from stdin.
    pub(super) fn run(&self, local: &Local) -> Option<CliResult> {
        if self.release {
            return Some(release(local));
        }
        match (&self.from, &self.rdb) {
            (Some(source), _) if self.follow => Some(self.follow(source, local)),
            (Some(source), _) => Some(self.copy(source, local)),
            (None, Some(file)) => Some(self.load(file, local)),
            (None, None) => None,
        }
    }

    fn copy(&self, source: &Address, local: &Local) -> CliResult {
        let progress = Arc::new(Progress::new());
        let mut client = source.connect()?;
        let pattern = self.pattern.as_deref();
        let mut target = daemon(local, &progress)?;
        let mut databases = databases_of(source, &mut client, &progress)?;
        let (mut cursor, mut resume) = ("0".to_owned(), None);
        let file = self.resume.as_deref().map(ResumeFile::at);
        if let Some(file) = &file {
            let run_id = keyspace::run_id(&mut client)?;
            match file.read()? {
                Some(kept) if kept.run_id == run_id && kept.pattern.as_deref() == pattern => {
                    databases.retain(|database| *database >= kept.database);
                    if databases.first() == Some(&kept.database) {
                        cursor = kept.cursor;
                    }
                    progress.say(&format!("going on in database {}", kept.database));
                }
                Some(_) => progress.say("the file tells of another source or pattern: beginning anew"),
                None => {}
            }
            resume = Some((file, run_id));
        }
        let mut copy = Copy {
            source: &mut client,
            target: &mut target,
            progress: &progress,
            pattern,
            rate: Rate::new(self.rate),
            resume,
        };
        if source.database.is_none() && pattern.is_none() {
            copy.libraries()?;
        }
        copy.run(&databases, cursor)?;
        if let Some(file) = file {
            file.remove()?;
        }
        Ok(outcome(&progress))
    }

    fn load(&self, file: &Path, local: &Local) -> CliResult {
        let progress = Arc::new(Progress::new());
        let reader = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut target = daemon(local, &progress)?;
        let snapshot = Snapshot {
            target: &mut target,
            progress: &progress,
            pattern: self.pattern.as_deref(),
            rate: Rate::new(self.rate),
            seen: None,
        };
        let loaded = snapshot.load(BufReader::new(reader));
        target.settle()?;
        loaded.map_err(|error| {
            let keys = progress.keys.load(Relaxed);
            format!("{}: {error}; {keys} keys before that are written", file.display())
        })?;
        Ok(outcome(&progress))
    }

    fn follow(&self, source: &Address, local: &Local) -> CliResult {
        if source.database.is_some() {
            return Err("a source is followed with all its databases: the address must not name one".into());
        }
        let progress = Arc::new(Progress::new());
        let follow = Follow {
            source,
            daemon: local,
            progress: Arc::clone(&progress),
            rate: self.rate,
            until_idle: self.until_idle.map(Duration::from_secs),
            mirror: self.mirror,
        };
        let followed = follow.run()?;
        let lag = followed.lag.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag} bytes"));
        let place = followed.place;
        print(&format!("followed {} to offset {}, lag {lag}\n", place.id, place.offset));
        print(&format!("{} deadlines are in force\n", followed.released));
        Ok(outcome(&progress))
    }
}

impl ExportFlags {
    /// Does what is asked; `None` if the data is to go to stdout.
    pub(super) fn run(&self, local: &Local) -> Option<CliResult> {
        self.to.as_ref().map(|to| self.copy(to, local))
    }

    fn copy(&self, to: &Address, local: &Local) -> CliResult {
        let progress = Arc::new(Progress::new());
        let mut client = Address::local(local).connect()?;
        let mut target = to.connect()?;
        let there =
            keyspace::databases(&mut target)?.into_iter().filter(|(it, _)| to.database.is_none_or(|db| db == *it));
        let held: u64 = there.map(|(_, keys)| keys).sum();
        if held > 0 && !self.replace {
            return Err(format!(
                "{to} holds {held} keys; --replace writes beside them, and over those of the same names"
            )
            .into());
        }
        let databases = databases_of(to, &mut client, &progress)?;
        let mut target = Target::over(target, Arc::clone(&progress), Kind::Redis)?;
        let mut copy = Copy {
            source: &mut client,
            target: &mut target,
            progress: &progress,
            pattern: self.pattern.as_deref(),
            rate: Rate::new(self.rate),
            resume: None,
        };
        if to.database.is_none() && self.pattern.is_none() {
            copy.libraries()?;
        }
        copy.run(&databases, "0".to_owned())?;
        Ok(outcome(&progress))
    }
}

fn daemon(local: &Local, progress: &Arc<Progress>) -> Result<Target, TargetError> {
    let client = Address::local(local).connect()?;
    Ok(Target::over(client, Arc::clone(progress), Kind::Daemon)?)
}

/// The databases to be copied: the one that is named, or all that hold keys.
fn databases_of(
    named: &Address,
    client: &mut super::resp_client::RespClient,
    progress: &Progress,
) -> Result<Vec<u64>, TargetError> {
    let mut databases = keyspace::databases(client)?;
    if let Some(database) = named.database {
        databases.retain(|(it, _)| *it == database);
    }
    databases.sort_unstable();
    progress.total.store(databases.iter().map(|(_, keys)| keys).sum(), Relaxed);
    Ok(databases.into_iter().map(|(database, _)| database).collect())
}

fn release(local: &Local) -> CliResult {
    let released = hold::release(&mut Address::local(local).connect()?)?;
    print(&format!("{released} deadlines are in force\n"));
    Ok(ExitCode::SUCCESS)
}

/// The last word: what was done, and whether something is missing.
fn outcome(progress: &Progress) -> ExitCode {
    print(&format!("{progress}\n"));
    if progress.refused() > 0 { ExitCode::from(EXIT_REFUSED) } else { ExitCode::SUCCESS }
}
