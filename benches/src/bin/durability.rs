//! What keeping data costs, and how long it takes to have it again, beside Redis.
//!
//! `durability [throughput|latency|restart|space [MB]]`, all without an argument. Real daemons on Unix sockets;
//! `redis-server` and `redis-benchmark` must be installed. `CAHOOTS_BENCH_DIR` says on which disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cahoots_benches::redis::Redis;
use cahoots_benches::times::{Times, told};
use cahoots_tests::cluster::{Client, Daemon, Setup, Value, until};
use rustix::process::Signal;

const KEYS: usize = 1_000_000;
const PIPELINE: usize = 1_000;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::var_os("CAHOOTS_BENCH_DIR").unwrap_or_else(|| "target".into())).expect("a directory")
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

fn throughput() {
    println!("\nSET of 16 bytes, a million keys, 50 clients, requests a second; best of three\n");
    println!("| | pipeline 16 | no pipeline |");
    println!("| --- | --- | --- |");
    let best = |run: &dyn Fn() -> f64| (0..3).map(|_| run()).fold(0.0, f64::max);
    for policy in [None, Some("no"), Some("everysec"), Some("always")] {
        let disk = directory();
        let daemon = Daemon::start(setup(disk.path(), policy));
        let socket = daemon.setup.socket();
        let count = if policy == Some("always") { "200000" } else { "2000000" };
        let deep = best(&|| requests(&socket, "16", count));
        let flat = best(&|| requests(&socket, "1", if policy == Some("always") { "50000" } else { "400000" }));
        println!("| cahoots, {} | {deep:.0} | {flat:.0} |", policy.unwrap_or("memory"));
    }
    for (name, flags) in [
        ("memory", &["--save", "", "--appendonly", "no"][..]),
        ("AOF everysec", &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"][..]),
        ("AOF always", &["--save", "", "--appendonly", "yes", "--appendfsync", "always"][..]),
    ] {
        let disk = directory();
        let redis = Redis::start_with(disk.path(), "r", None, flags);
        let count = if name == "AOF always" { "200000" } else { "2000000" };
        let deep = best(&|| requests(&redis.socket, "16", count));
        let flat = best(&|| requests(&redis.socket, "1", if name == "AOF always" { "50000" } else { "400000" }));
        println!("| Redis, {name} | {deep:.0} | {flat:.0} |");
    }
}

fn fill(client: &mut Client, keys: usize) {
    for first in (0..keys).step_by(PIPELINE) {
        for number in first..keys.min(first + PIPELINE) {
            client.send(&[b"SET", format!("key:{number:08}").as_bytes(), &[b'v'; 28]]).expect("it runs");
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
    println!("\nrestart with {KEYS} keys of 40 bytes, from the start of the process to the first answer\n");
    println!("| | on disk | time |");
    println!("| --- | --- | --- |");
    for (name, overwrite) in [("cahoots, written once", 1), ("cahoots, overwritten three times", 4)] {
        let disk = directory();
        let daemon = Daemon::start(setup(disk.path(), Some("everysec")));
        (0..overwrite).for_each(|_| fill(&mut daemon.client(), KEYS));
        let setup = daemon.setup.clone();
        daemon.terminate();
        let begun = Instant::now();
        let daemon = Daemon::start(setup);
        let time = until_it_answers(begun, &daemon.setup.socket());
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
        let begun = Instant::now();
        let redis = Redis::start_with(disk.path(), "r", None, flags);
        let time = until_it_answers(begun, &redis.socket);
        println!("| {name} | {} MB | {} |", disk_bytes(disk.path()) >> 20, told(time));
    }
}

/// One client that asks all the time while another overwrites as fast as it can.
fn latency() {
    println!(
        "\none SET and GET at a time, while another client overwrites 200 MB of 4 kB values as fast as it can, 20 s\n"
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
    println!("\n{megabytes} MB of 16 kB values overwritten in place 10 times\n");
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

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next();
    let is = |name: &str| what.as_deref().is_none_or(|what| what == name);
    if is("throughput") {
        throughput();
    }
    if is("latency") {
        latency();
    }
    if is("restart") {
        restart();
    }
    if is("space") {
        space(args.next().and_then(|it| it.parse().ok()).unwrap_or(1024));
    }
}
