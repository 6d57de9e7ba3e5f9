//! How long clients wait at 50,000 writes a second while something large goes on beside them.
//!
//! `cargo run --release -p cahoots-benches --bin stalls`. Three daemons that keep their data with `everysec`, and a Redis
//! primary with two replicas that does too; each holds a million keys. A client has a batch of writes due every
//! millisecond and sends it when it is due, or at once if the answer to the last one came late: times count from when a
//! batch was due, so that whatever waits behind a pause is counted.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cahoots_benches::redis::Redis;
use cahoots_benches::times::{Times, told};
use cahoots_tests::cluster::{Client, Daemon, Group, Setup, Value, until};
use rustix::process::{Pid, Signal, kill_process};

const KEYS: usize = 1_000_000;
/// Writes of a batch; a batch is due every millisecond.
const BATCH: usize = 50;
const CALM: Duration = Duration::from_secs(20);
/// How long a peer is stopped, and how long it is watched catching up.
const STOPPED: Duration = Duration::from_secs(60);
const RETURNING: Duration = Duration::from_secs(10);

fn main() {
    println!("| meanwhile | cahoots p50 | p99 | p99.9 | longest | Redis p50 | p99 | p99.9 | longest |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ours = cahoots();
    let theirs = redis(directory.path());
    for ((name, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
        println!("| {name} | {} | {} |", told_all(ours), told_all(theirs));
    }
}

type Outcome = (&'static str, Times);

fn told_all(mut times: Times) -> String {
    [500, 990, 999, 1000].map(|per_mille| told(times.per_mille(per_mille))).join(" | ")
}

fn cahoots() -> Vec<Outcome> {
    let mut cluster = Group::start_stored(3, &["--appendfsync", "everysec"]);
    let socket = cluster[0].setup.socket();
    fill(&socket);
    cluster.agree_on_versions();
    let calm = under_load(&socket, || std::thread::sleep(CALM));
    let saved = under_load(&socket, || save(&mut cluster[0].client()));
    let mut setup = Setup::new("d", cluster.directory()).stored(&cluster.directory().join("d.data"));
    setup.seeds = vec![cluster[0].setup.listen];
    let mut joiner = None;
    let joined = under_load(&socket, || joiner = Some(join(setup)));
    cluster.push(joiner.expect("it has joined"));
    let stopped = under_load(&socket, || stop_for_a_while(cluster[2].pid()));
    let returned = under_load(&socket, || go_on(cluster[2].pid()));
    vec![
        ("nothing else", calm),
        ("a snapshot is written", saved),
        ("a fourth replica joins and fetches all", joined),
        ("a peer is stopped for 60 s", stopped),
        ("that peer returns, 10 s", returned),
    ]
}

fn redis(directory: &Path) -> Vec<Outcome> {
    let flags = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    let start = |name: &str, primary: Option<&Redis>| {
        let own = directory.join(name);
        std::fs::create_dir(&own).expect("a directory");
        Redis::start_with(&own, name, primary, &flags)
    };
    let primary = start("primary", None);
    let replicas = ["first", "second"].map(|name| start(name, Some(&primary)));
    primary.await_replicas(2);
    let socket = primary.socket.clone();
    fill(&socket);
    let calm = under_load(&socket, || std::thread::sleep(CALM));
    let saved = under_load(&socket, || save(&mut primary.client()));
    let mut third = None;
    let joined = under_load(&socket, || {
        third = Some(start("third", Some(&primary)));
        primary.await_replicas(3);
    });
    let stopped = under_load(&socket, || stop_for_a_while(replicas[1].pid()));
    let returned = under_load(&socket, || go_on(replicas[1].pid()));
    vec![("", calm), ("", saved), ("", joined), ("", stopped), ("", returned)]
}

/// Sets all keys.
fn fill(socket: &Path) {
    let mut stream = UnixStream::connect(socket).expect("the server runs");
    for first in (0..KEYS).step_by(1_000) {
        exchange(&mut stream, &batch(first, 1_000), 1_000);
    }
}

/// The times of batches until `meanwhile` has ended.
fn under_load(socket: &Path, meanwhile: impl FnOnce() + Send) -> Times {
    let mut stream = UnixStream::connect(socket).expect("the server runs");
    let done = AtomicBool::new(false);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            meanwhile();
            done.store(true, Ordering::Release);
        });
        let begun = Instant::now();
        for number in 0..u32::MAX {
            let due = begun + Duration::from_millis(1) * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            exchange(&mut stream, &batch(number as usize * 7_919, BATCH), BATCH);
            times.push(due.elapsed());
            if done.load(Ordering::Acquire) {
                break;
            }
        }
    });
    let mut all = Times::default();
    all.extend(times);
    all
}

/// So many SETs from the key of this number on.
fn batch(first: usize, writes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in first..first + writes {
        let (key, value) = (format!("key:{:012}", number % KEYS), "0123456789abcdef");
        write!(bytes, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len())
            .expect("memory takes it");
    }
    bytes
}

fn exchange(stream: &mut UnixStream, batch: &[u8], writes: usize) {
    const REPLY: &[u8] = b"+OK\r\n";
    stream.write_all(batch).expect("the server runs");
    let mut replies = vec![0; writes * REPLY.len()];
    stream.read_exact(&mut replies).expect("the server answers");
    assert!(replies.chunks(REPLY.len()).all(|reply| reply == REPLY), "{}", String::from_utf8_lossy(&replies));
}

/// Has a snapshot written, and waits for it.
fn save(client: &mut Client) {
    let before = client.words("LASTSAVE").integer();
    // The time of a snapshot is told in seconds.
    std::thread::sleep(Duration::from_millis(1_100));
    let begun = client.words("BGSAVE");
    assert!(!matches!(begun, Value::Error(_)), "{begun:?}");
    until("the snapshot is written", || {
        if client.words("LASTSAVE").integer() > before { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

fn join(setup: Setup) -> Daemon {
    let daemon = Daemon::start(setup);
    daemon.await_peers(3);
    until("it has all keys", || match daemon.ask("DBSIZE") {
        Value::Integer(keys) if usize::try_from(keys) == Ok(KEYS) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    daemon
}

/// Stops a process, for longer than one load lasts.
fn stop_for_a_while(pid: u32) {
    signal(pid, Signal::STOP);
    std::thread::sleep(STOPPED);
}

/// Lets a stopped process go on, and watches for a while.
fn go_on(pid: u32) {
    signal(pid, Signal::CONT);
    std::thread::sleep(RETURNING);
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("no process has the id 0");
    kill_process(pid, signal).expect("it runs, or is stopped");
}
