//! The same in Redis: a primary with the same keys, and a replica told to follow it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Outcome, key, value};

const LOOK: Duration = Duration::from_millis(2);

/// `None` where Redis is not installed.
pub(super) fn resync(keys: usize) -> Option<Outcome> {
    let mut primary = Server::start()?;
    let mut replica = Server::start()?;
    primary.fill(keys);
    let (bytes, cpu_here, cpu_there) = (primary.sent(), primary.cpu(), replica.cpu());
    let begun = Instant::now();
    replica.call(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let mut fetching = None;
    loop {
        let info = replica.call("INFO replication");
        if fetching.is_none() && info.contains("master_sync_in_progress:1") {
            fetching = Some(Instant::now());
        }
        if info.contains("master_link_status:up") {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let (total, fetching) = (begun.elapsed(), fetching.map_or(Duration::ZERO, |since| since.elapsed()));
    assert_eq!(replica.call("DBSIZE").trim(), format!(":{keys}"));
    Some(Outcome {
        total,
        fetching,
        bytes: primary.sent() - bytes,
        cpu_there: replica.cpu() - cpu_there,
        cpu_here: primary.cpu() - cpu_here,
        stalls: None,
    })
}

struct Server {
    child: Child,
    port: u16,
    stream: BufReader<TcpStream>,
}

impl Server {
    fn start() -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"])
            .args(["--repl-diskless-load", "on-empty-db", "--daemonize", "no", "--loglevel", "warning"])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let stream = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(stream) => break stream,
                Err(_) if child.try_wait().is_ok_and(|ended| ended.is_none()) => std::thread::sleep(LOOK),
                Err(error) => panic!("redis-server does not start: {error}"),
            }
        };
        Some(Self { child, port, stream: BufReader::new(stream) })
    }

    /// One command, given as a line; the reply as text.
    fn call(&mut self, command: &str) -> String {
        write!(self.stream.get_mut(), "{command}\r\n").expect("Redis reads");
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("Redis answers");
        let Some(length) = line.strip_prefix('$') else { return line };
        let mut text = vec![0; length.trim().parse::<usize>().expect("a length") + 2];
        self.stream.read_exact(&mut text).expect("Redis answers");
        String::from_utf8_lossy(&text).into_owned()
    }

    fn fill(&mut self, keys: usize) {
        const GROUP: usize = 1_000;
        for first in (0..keys).step_by(GROUP) {
            let numbers = first..keys.min(first + GROUP);
            let mut commands = Vec::new();
            for number in numbers.clone() {
                let (key, value) = (key(number), value(number));
                commands.extend(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n", key.len()).into_bytes());
                commands.extend(format!("${}\r\n", value.len()).into_bytes());
                commands.extend([&value[..], b"\r\n"].concat());
            }
            self.stream.get_mut().write_all(&commands).expect("Redis reads");
            let mut line = String::new();
            for _ in numbers {
                line.clear();
                self.stream.read_line(&mut line).expect("Redis answers");
                assert_eq!(line, "+OK\r\n");
            }
        }
    }

    fn info(&mut self, section: &str, names: &[&str]) -> f64 {
        let info = self.call(&format!("INFO {section}"));
        let value = |line: &str| {
            let (name, value) = line.split_once(':')?;
            names.contains(&name).then(|| value.trim().parse::<f64>().ok())?
        };
        info.lines().filter_map(value).sum()
    }

    /// Bytes sent to replicas so far.
    fn sent(&mut self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
        let sent = self.info("stats", &["total_net_repl_output_bytes"]) as u64;
        sent
    }

    /// Processor time so far, that of the process which writes the snapshot included.
    fn cpu(&mut self) -> Duration {
        let names = ["used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"];
        Duration::from_secs_f64(self.info("cpu", &names))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
