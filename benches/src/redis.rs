//! A Redis server to compare with: a child process without persistence, on a Unix socket, killed when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cahoots_tests::cluster::{Client, Value, until};

/// A running server.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    /// Where clients connect.
    pub socket: PathBuf,
    /// Where replicas connect.
    pub port: u16,
}

impl Redis {
    /// A server in this directory; a replica of `primary`, if there is one.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(directory: &Path, name: &str, primary: Option<&Self>) -> Self {
        Self::start_with(directory, name, primary, &["--save", "", "--appendonly", "no"])
    }

    /// The same with these flags about keeping data.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(directory: &Path, name: &str, primary: Option<&Self>, flags: &[&str]) -> Self {
        let socket = directory.join(format!("{name}.sock"));
        // Redis has no way to say which port the system gave it.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--loglevel", "warning"]).args(flags);
        server.arg("--dir").arg(directory).arg("--port").arg(port.to_string()).arg("--unixsocket").arg(&socket);
        // Its fastest ways to bring a replica up.
        server.args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"]);
        server.args(["--repl-diskless-load", "on-empty-db"]);
        if let Some(primary) = primary {
            server.args(["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        }
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("redis-server is installed");
        let redis = Self { child, socket, port };
        until(&format!("{name} answers"), || Client::connect(&redis.socket).map_err(|error| error.to_string()));
        redis
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(&self.socket).expect("the server runs")
    }

    /// What it says of itself under this heading.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn info(&self, section: &str) -> String {
        let Value::Text(info) = self.client().words(&format!("INFO {section}")) else { panic!("INFO is a text") };
        String::from_utf8_lossy(&info).into_owned()
    }

    /// The sum of these of the figures it gives under this heading.
    #[must_use]
    pub fn figure(&self, section: &str, names: &[&str]) -> f64 {
        let figure = |line: &str| {
            let (name, value) = line.split_once(':')?;
            names.contains(&name).then(|| value.trim().parse::<f64>().ok())?
        };
        self.info(section).lines().filter_map(figure).sum()
    }

    /// Waits until so many replicas have caught up.
    pub fn await_replicas(&self, replicas: usize) {
        until(&format!("{replicas} replicas are online"), || {
            let info = self.info("replication");
            if info.matches("state=online").count() == replicas { Ok(()) } else { Err(info) }
        });
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
