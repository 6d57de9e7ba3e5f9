//! What keeping data costs, and how long it takes to have it again, beside Redis.
//!
//! `durability throughput|latency|restart|space [MB]`. Real daemons on Unix sockets; `redis-server` and `redis-benchmark`
//! must be installed. `CAHOOTS_BENCH_DIR` says on which disk; the default is the directory for temporary files.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cahoots_benches::redis::Redis;
use cahoots_benches::times::{Times, told};
use cahoots_tests::cluster::{Client, Daemon, Setup, Value, until};
use rustix::process::Signal;

const KEYS: usize = 1_000_000;
/// More replies than to these would fit no socket while nobody reads them.
const PIPELINE: usize = 100;
const ROUNDS: usize = 3;
/// Of throughput, which suffers most from whatever else the machine does.
const ROUNDS_OF_THROUGHPUT: usize = 6;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::var_os("CAHOOTS_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from))
        .expect("a directory")
}

fn setup(directory: &Path, policy: Option<&str>) -> Setup {
    // A socket's path has to be short, whatever the disk is called.
    let mut setup = Setup::new("bench", &std::env::temp_dir().join(directory.file_name().expect("it has a name")));
    std::fs::create_dir_all(&setup.directory).expect("a directory");
    if let Some(policy) = policy {
        let data = directory.join("data").to_string_lossy().into_owned();
        setup.flags = vec!["--data-dir".into(), data, "--appendfsync".into(), policy.into()];
    }
    setup
}

/// Requests a second as redis-benchmark has them.
fn requests(socket: &Path, pipeline: &str, count: &str) -> f64 {
    let mut benchmark = Command::new("redis-benchmark");
    benchmark
        .arg("-s")
        .arg(socket)
        .args(["-t", "set", "-n", count, "-P", pipeline, "-c", "50", "-r", "1000000", "-d", "16"]);
    let output = benchmark.arg("--csv").output().expect("redis-benchmark is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().unwrap_or_default();
    line.split(',').nth(1).and_then(|it| it.trim_matches('"').parse().ok()).unwrap_or(f64::NAN)
}

/// Who is measured: cahoots with a policy or in memory, Redis with flags.
enum Contender {
    Cahoots(Option<&'static str>),
    Redis(&'static [&'static str]),
}

/// Name, contender, requests of a run with a deep pipeline, and of one without.
type Entry = (&'static str, Contender, &'static str, &'static str);

const CONTENDERS: [Entry; 7] = [
    ("cahoots, memory", Contender::Cahoots(None), "1000000", "100000"),
    ("cahoots, no", Contender::Cahoots(Some("no")), "1000000", "100000"),
    ("cahoots, everysec", Contender::Cahoots(Some("everysec")), "1000000", "100000"),
    ("cahoots, always", Contender::Cahoots(Some("always")), "100000", "10000"),
    ("Redis, memory", Contender::Redis(&["--save", "", "--appendonly", "no"]), "1000000", "100000"),
    (
        "Redis, AOF everysec",
        Contender::Redis(&["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]),
        "1000000",
        "100000",
    ),
    (
        "Redis, AOF always",
        Contender::Redis(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]),
        "100000",
        "10000",
    ),
];

fn throughput() {
    println!(
        "SET of 16 bytes, a million keys, 50 clients, requests a second; best of {ROUNDS_OF_THROUGHPUT} rounds, in turns.\n"
    );
    println!("| | pipeline 16 | of memory | no pipeline | of memory |");
    println!("| --- | --- | --- | --- | --- |");
    let mut best = [(0.0_f64, 0.0_f64); CONTENDERS.len()];
    for _ in 0..ROUNDS_OF_THROUGHPUT {
        for ((_, contender, deep, flat), best) in CONTENDERS.iter().zip(&mut best) {
            let disk = directory();
            let measure = |socket: &Path| (requests(socket, "16", deep), requests(socket, "1", flat));
            let (deep, flat) = match contender {
                Contender::Cahoots(policy) => {
                    let daemon = Daemon::start(setup(disk.path(), *policy));
                    measure(&daemon.setup.socket())
                }
                Contender::Redis(flags) => measure(&Redis::start_with(disk.path(), "r", None, flags).socket),
            };
            *best = (best.0.max(deep), best.1.max(flat));
        }
    }
    for (at, (name, contender, ..)) in CONTENDERS.iter().enumerate() {
        let memory = if matches!(contender, Contender::Cahoots(_)) { best[0] } else { best[4] };
        let (deep, flat) = best[at];
        println!("| {name} | {deep:.0} | {:.2} | {flat:.0} | {:.2} |", deep / memory.0, flat / memory.1);
    }
}

fn fill(client: &mut Client, keys: usize) {
    for first in (0..keys).step_by(PIPELINE) {
        for number in first..keys.min(first + PIPELINE) {
            client.send(&[b"SET", format!("key:{number:08}").as_bytes(), &[b'v'; 100]]).expect("it runs");
        }
        for _ in first..keys.min(first + PIPELINE) {
            client.receive().expect("it runs");
        }
    }
}

/// From the start of the process until it answers a read of the data.
fn until_it_answers(begun: Instant, socket: &Path) -> Duration {
    until("data is served", || {
        let mut client = Client::connect(socket).map_err(|error| error.to_string())?;
        match client.try_call(&[b"GET", b"key:00999999"]).map_err(|error| error.to_string())? {
            Value::Text(_) => Ok(begun.elapsed()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn restart() {
    println!(
        "{KEYS} keys with values of 100 bytes, from the start of the process until one of them is read; best of {ROUNDS}.\n"
    );
    println!("| | on disk | time |");
    println!("| --- | --- | --- |");
    for (name, overwrite) in [("cahoots, written once", 1), ("cahoots, overwritten three times", 4)] {
        let disk = directory();
        let daemon = Daemon::start(setup(disk.path(), Some("everysec")));
        (0..overwrite).for_each(|_| fill(&mut daemon.client(), KEYS));
        let setup = daemon.setup.clone();
        daemon.terminate();
        let restart = || {
            let begun = Instant::now();
            let daemon = Daemon::start(setup.clone());
            let time = until_it_answers(begun, &daemon.setup.socket());
            daemon.terminate();
            time
        };
        let time = (0..ROUNDS).map(|_| restart()).min().unwrap_or_default();
        println!("| {name} | {} MB | {} |", disk_bytes(&disk.path().join("data")) >> 20, told(time));
    }
    let rdb = ["--save", "900 1000000000", "--appendonly", "no"];
    let aof = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"];
    for (name, flags) in [("Redis, RDB", &rdb[..]), ("Redis, AOF of commands", &aof[..])] {
        let disk = directory();
        let redis = Redis::start_with(disk.path(), "r", None, flags);
        fill(&mut redis.client(), KEYS);
        if name.contains("RDB") {
            redis.client().words("SAVE");
        }
        drop(redis);
        let restart = || {
            let begun = Instant::now();
            let redis = Redis::start_with(disk.path(), "r", None, flags);
            until_it_answers(begun, &redis.socket)
        };
        let time = (0..ROUNDS).map(|_| restart()).min().unwrap_or_default();
        println!("| {name} | {} MB | {} |", disk_bytes(disk.path()) >> 20, told(time));
    }
}

/// One client that asks all the time while another overwrites as fast as it can.
fn latency() {
    println!(
        "One SET and GET at a time, while another client overwrites 200 MB of 4 kB values as fast as it can, 20 s.\n"
    );
    println!("| | p50 | p99 | p99.9 | longest |");
    println!("| --- | --- | --- | --- | --- |");
    for policy in [None, Some("everysec")] {
        let disk = directory();
        let daemon = Daemon::start(setup(disk.path(), policy));
        let stop = AtomicBool::new(false);
        let mut times = Times::default();
        std::thread::scope(|scope| {
            let mut writer = daemon.client();
            let stop = &stop;
            scope.spawn(move || overwrite(&mut writer, 200 << 20, 4096, || stop.load(Ordering::Relaxed)));
            let mut client = daemon.client();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) {
                let asked = Instant::now();
                client.words("SET probe 1");
                client.words("GET probe");
                times.extend([asked.elapsed() / 2]);
            }
            stop.store(true, Ordering::Relaxed);
        });
        let at: Vec<String> = [500, 990, 999, 1000].iter().map(|at| told(times.per_mille(*at))).collect();
        println!("| {} | {} |", policy.unwrap_or("memory"), at.join(" | "));
    }
}

/// Writes values of so many bytes, in turns over as many keys as make `bytes`, until told to stop.
fn overwrite(client: &mut Client, bytes: usize, size: usize, stop: impl Fn() -> bool) -> usize {
    let value: Vec<u8> = (0..=250).cycle().step_by(31).take(size).collect();
    let (keys, mut written) = (bytes / size, 0);
    loop {
        for number in 0..16 {
            let key = format!("key:{:08}", (written + number) % keys);
            client.send(&[b"SET", key.as_bytes(), &value]).expect("it runs");
        }
        (0..16).for_each(|_| drop(client.receive().expect("it runs")));
        written += 16;
        if stop() {
            return written;
        }
    }
}

fn space(megabytes: usize) {
    println!("{megabytes} MB of 16 kB values, overwritten in place 10 times.\n");
    println!("| on disk at most | times the data | in the end | time |");
    println!("| --- | --- | --- | --- |");
    let disk = directory();
    let daemon = Daemon::start(setup(disk.path(), Some("everysec")));
    let data: PathBuf = disk.path().join("data");
    let (begun, done) = (Instant::now(), AtomicBool::new(false));
    let mut most = 0;
    std::thread::scope(|scope| {
        let (done, daemon) = (&done, &daemon);
        scope.spawn(move || {
            let (size, total) = (16 << 10, (megabytes << 20) * 10);
            let value: Vec<u8> = (0..=250).cycle().step_by(31).take(size).collect();
            let keys = (megabytes << 20) / size;
            let mut client = daemon.client();
            for first in (0..total / size).step_by(16) {
                for number in first..first + 16 {
                    let key = format!("key:{:08}", number % keys);
                    client.send(&[b"SET", key.as_bytes(), &value]).expect("it runs");
                }
                (0..16).for_each(|_| drop(client.receive().expect("it runs")));
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            most = most.max(disk_bytes(&data));
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let time = begun.elapsed();
    let times = most as f64 / (megabytes << 20) as f64;
    println!("| {} MB | {times:.2} | {} MB | {} |", most >> 20, disk_bytes(&data) >> 20, told(time));
    daemon.signal(Signal::TERM);
}

fn disk_bytes(directory: &Path) -> u64 {
    let output = Command::new("du").arg("-sk").arg(directory).output().expect("du runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("throughput") => throughput(),
        Some("latency") => latency(),
        Some("restart") => restart(),
        Some("space") => space(args.next().and_then(|it| it.parse().ok()).unwrap_or(1024)),
        _ => {
            eprintln!("durability throughput|latency|restart|space [MB]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
