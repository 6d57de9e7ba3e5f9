//! `redis-benchmark` against a server, and what it measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use cahoots_tests::cluster::{Client, Value};

/// One side of a comparison.
pub struct Side {
    /// Where clients connect.
    pub socket: PathBuf,
    /// The processes it consists of.
    pub processes: Vec<u32>,
}

/// One run of the load tool.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Commands a second.
    pub per_second: f64,
    /// Half of the commands take no longer.
    pub p50_ms: f64,
    /// All but a hundredth take no longer.
    pub p99_ms: f64,
    /// CPU seconds a million operations.
    pub cpu: f64,
}

/// Whether the server has this command.
///
/// # Panics
/// If it is missing.
#[must_use]
pub fn knows(socket: &Path, command: &str) -> bool {
    let mut client = Client::connect(socket).expect("the daemon runs");
    match client.call(&[b"COMMAND", b"INFO", command.as_bytes()]) {
        Value::Array(found) => found.first().is_some_and(|it| *it != Value::Null),
        other => panic!("COMMAND INFO answers {other:?}"),
    }
}

/// What the load tool asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What a table calls it.
    pub name: &'static str,
    /// The words of the command, of which `__rand_int__` is another number each time; none: the tool's own test of this name.
    pub words: &'static [&'static str],
}

impl Asked {
    /// The tool's own test of this name.
    #[must_use]
    pub const fn test(name: &'static str) -> Self {
        Self { name, words: &[] }
    }

    /// The command that it is.
    #[must_use]
    pub fn command(&self) -> &'static str {
        self.words.first().copied().unwrap_or(self.name)
    }
}

/// Runs the load tool once: `load` is how many commands are under way a client, how many clients, how many commands in all;
/// they are spread over so many keys.
///
/// # Panics
/// If `redis-benchmark` is missing, or the server is.
#[must_use]
pub fn run(side: &Side, asked: Asked, (pipeline, clients, requests): (u32, u32, u32), keys: u32) -> Run {
    let before = cpu_seconds(&side.processes);
    let mut tool = Command::new("redis-benchmark");
    tool.arg("-s").arg(&side.socket).args(["--csv", "-d", "16"]);
    for (flag, value) in [("-P", pipeline), ("-c", clients), ("-n", requests), ("-r", keys)] {
        tool.arg(flag).arg(value.to_string());
    }
    match asked.words {
        [] => tool.args(["-t", asked.name]),
        words => tool.args(words),
    };
    let output = tool.output().expect("redis-benchmark is installed");
    let cpu = (cpu_seconds(&side.processes) - before) * 1e6 / f64::from(requests);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
    let line = text.lines().rev().find(|line| line.starts_with('"')).unwrap_or_else(|| panic!("no result: {output:?}"));
    let field = |at: usize| -> f64 {
        let field = line.split("\",\"").nth(at).unwrap_or_else(|| panic!("not what was expected: {line}"));
        field.trim_matches('"').parse().unwrap_or_else(|_| panic!("no number in {line}"))
    };
    Run { per_second: field(1), p50_ms: field(4), p99_ms: field(6), cpu }
}

/// User and system time of these processes so far.
fn cpu_seconds(processes: &[u32]) -> f64 {
    // The kernel's unit in /proc is fixed at a hundredth of a second on Linux.
    let ticks = |pid: &u32| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let after_name = stat.rsplit_once(')').expect("the name ends").1;
        after_name.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().expect("a number")).sum()
    };
    processes.iter().map(ticks).sum::<u64>() as f64 / 100.0
}

/// The median of each figure.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn median(runs: &[Run]) -> Run {
    let of = |field: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Run {
        per_second: of(|it| it.per_second),
        p50_ms: of(|it| it.p50_ms),
        p99_ms: of(|it| it.p99_ms),
        cpu: of(|it| it.cpu),
    }
}
