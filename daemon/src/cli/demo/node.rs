//! A daemon of the demo: a real process, and a client on its socket.

use std::fs::{DirBuilder, remove_dir_all};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::query::{LocalClient, QueryError};

/// How long a daemon may take to leave before it is killed.
const LEAVE_TIME: Duration = Duration::from_secs(3);
/// Between two looks at something that has not happened yet.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A directory of the demo's own, gone with it.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("cahoots-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left then is in the system's temporary directory.
        let _ = remove_dir_all(&self.0);
    }
}

/// A running daemon. Asked to leave, and if need be killed, when dropped.
pub(super) struct Node {
    child: Child,
    client: Option<LocalClient>,
}

impl Node {
    /// Starts `cahoots serve`; `client` is to be called next.
    pub(super) fn start(
        name: &str,
        directory: &Path,
        advertise: SocketAddr,
        seed: SocketAddr,
    ) -> io::Result<(Self, PathBuf)> {
        let socket = directory.join(format!("{name}.sock"));
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(["--node", name, "--cluster", "demo", "--in-memory", "--log-level", "error"]);
        command.arg("--socket").arg(&socket).args(["--listen", "127.0.0.1:0"]);
        command.args(["--advertise", &advertise.to_string(), "--seed", &seed.to_string()]);
        // What the caller has configured is for the caller's own daemon.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("CAHOOTS_") {
                command.env_remove(variable);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok((Self { child, client: None }, socket))
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Connects to the daemon if it listens already.
    pub(super) fn connect(&mut self, socket: &Path) -> Result<bool, QueryError> {
        match LocalClient::connect(socket) {
            Ok(client) => self.client = Some(client),
            Err(QueryError::Unreachable { .. }) if matches!(self.child.try_wait(), Ok(None)) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// One command and its reply.
    pub(super) fn call(&mut self, command: &str) -> Result<Value, QueryError> {
        let words: Vec<&str> = command.split(' ').collect();
        self.client.as_mut().expect("the demo connects before it calls").call(&words)
    }

    /// Asks the daemon to leave.
    pub(super) fn terminate(&self) {
        // It may be gone already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.terminate();
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > LEAVE_TIME {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}
