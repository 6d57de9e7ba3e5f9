//! One daemon: a child process, its socket, its signals.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, Value, command, until, until_still};

/// What a daemon is told at its start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name.
    pub node: String,
    /// The directory of its socket and its log.
    pub directory: PathBuf,
    /// Where it listens for peers; once it runs, with the port it was given.
    pub listen: SocketAddr,
    /// Where peers are told to reach it, if elsewhere.
    pub advertise: Option<SocketAddr>,
    /// Whom it asks for the cluster.
    pub seeds: Vec<SocketAddr>,
    /// Further flags.
    pub flags: Vec<String>,
    /// A command and its arguments that run the daemon, in surroundings of its own.
    pub within: Vec<String>,
}

impl Setup {
    /// A node in this directory, on a port that the system will choose.
    #[must_use]
    pub fn new(node: &str, directory: &Path) -> Self {
        Self {
            node: node.to_owned(),
            directory: directory.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            seeds: Vec::new(),
            flags: Vec::new(),
            within: Vec::new(),
        }
    }

    /// The command that runs it.
    fn serve(&self) -> Command {
        let plain = command();
        let mut serve = match self.within.split_first() {
            None => plain,
            Some((program, arguments)) => {
                let mut within = Command::new(program);
                within.args(arguments).arg(plain.get_program());
                for (name, value) in plain.get_envs() {
                    match value {
                        Some(value) => within.env(name, value),
                        None => within.env_remove(name),
                    };
                }
                within
            }
        };
        serve.arg("serve").arg("--node").arg(&self.node).arg("--socket").arg(self.socket());
        serve.arg("--listen").arg(self.listen.to_string());
        if let Some(advertise) = self.advertise {
            serve.arg("--advertise").arg(advertise.to_string());
        }
        for seed in &self.seeds {
            serve.arg("--seed").arg(seed.to_string());
        }
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        serve.args(&self.flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        serve
    }

    /// Where its clients connect.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join(format!("{}.sock", self.node))
    }

    /// Keeps its data in this directory.
    #[must_use]
    pub fn stored(mut self, data: &Path) -> Self {
        self.flags.extend(["--data-dir".to_owned(), data.to_string_lossy().into_owned()]);
        self
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.node))
    }
}

/// A running daemon. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// What it was told at its start.
    pub setup: Setup,
}

impl Daemon {
    /// Starts a daemon and waits until it takes clients.
    ///
    /// # Panics
    /// If it does not start; shows its log.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let child = setup.serve().spawn();
        let mut daemon = Self { child: child.expect("the binary runs"), setup };
        let stdout = daemon.child.stdout.take().expect("it is piped");
        let mut first = String::new();
        let read = BufReader::new(stdout).read_line(&mut first);
        let log = || std::fs::read_to_string(daemon.setup.log()).unwrap_or_default();
        assert!(
            read.is_ok() && first.starts_with("socket: "),
            "{} does not start: {first:?}\n{}",
            daemon.setup.node,
            log()
        );
        let Value::Text(listen) = daemon.status().at("listen").clone() else { panic!("it listens nowhere") };
        daemon.setup.listen = String::from_utf8_lossy(&listen).parse().expect("an address");
        daemon
    }

    /// Starts a daemon that is to end by itself; its exit code, and what its log says.
    ///
    /// # Panics
    /// If it goes on.
    #[must_use]
    pub fn start_in_vain(setup: Setup) -> (Option<i32>, String) {
        let before = std::fs::read_to_string(setup.log()).map_or(0, |log| log.len());
        let child = setup.serve().spawn().expect("the binary runs");
        let mut daemon = Self { child, setup };
        let status = until(&format!("{} ends", daemon.setup.node), || {
            daemon.child.try_wait().expect("the process is ours").ok_or_else(|| "it runs".to_owned())
        });
        let log = std::fs::read_to_string(daemon.setup.log()).unwrap_or_default();
        (status.code(), log[before..].to_owned())
    }

    /// A new connection.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(&self.setup.socket()).unwrap_or_else(|error| panic!("{} is gone: {error}", self.setup.node))
    }

    /// One command on a connection of its own, which must not be refused.
    pub fn ask(&self, words: &str) -> Value {
        self.client().words(words)
    }

    /// The reply of CAHOOTS STATUS.
    #[must_use]
    pub fn status(&self) -> Value {
        self.ask("CAHOOTS STATUS")
    }

    /// How many live peers it sees.
    #[must_use]
    pub fn live_peers(&self) -> usize {
        let status = self.status();
        status.at("peers").array().iter().filter(|peer| *peer.at("live") == Value::Boolean(true)).count()
    }

    /// Waits until it sees so many live peers, and is ready: for as long as it comes further with catching up.
    pub fn await_peers(&self, peers: usize) {
        until_still(&format!("{} sees {peers} live peers and is ready", self.setup.node), || {
            let live = self.live_peers();
            let status = self.status();
            let ready = *status.at("ready") == Value::Boolean(true);
            let Value::Text(readiness) = status.at("readiness") else { panic!("no readiness") };
            let seen = || format!("{live} are live; {}", String::from_utf8_lossy(readiness));
            if live == peers && ready { Ok(()) } else { Err(seen()) }
        });
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended before.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is ours");
    }

    /// Stops it in good order, and starts it again where it was, with these seeds; says how it ended.
    ///
    /// # Panics
    /// If it does not stop or start.
    #[must_use]
    pub fn restart(self, seeds: Vec<SocketAddr>) -> (Self, ExitStatus) {
        let mut setup = self.setup.clone();
        let ended = self.terminate();
        setup.seeds = seeds;
        (Self::start(setup), ended)
    }

    /// Waits until it is ready: it serves, and has all that it knows of.
    pub fn await_ready(&self) {
        until(&format!("{} is ready", self.setup.node), || {
            let status = self.status();
            let ready = *status.at("ready") == Value::Boolean(true);
            if ready { Ok(()) } else { Err(format!("{:?}", status.at("readiness"))) }
        });
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Panics
    /// If it is no child of ours.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("the process is ours")
    }

    /// How it ends, once it does.
    ///
    /// # Panics
    /// If it goes on.
    #[must_use]
    pub fn wait(mut self) -> ExitStatus {
        until(&format!("{} ends", self.setup.node), || {
            self.child.try_wait().expect("the process is ours").ok_or_else(|| "it runs".to_owned())
        })
    }

    /// kill -9. What it was told at its start remains, for the next one.
    ///
    /// # Panics
    /// If it is no child of ours.
    #[must_use]
    pub fn kill(mut self) -> Setup {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
        self.setup.clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.setup.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- the end of the log of {}", self.setup.node);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
