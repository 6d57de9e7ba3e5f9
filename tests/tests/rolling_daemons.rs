//! Rolling restarts of real daemons in memory: each is stopped, must exit with 0, starts again with nothing and must be
//! ready before the next one's turn. At most one is down at a time, so what was acknowledged is there in the end.
//!
//! Small in CI. `CAHOOTS_ROLL_DAEMONS=10 CAHOOTS_ROLL_MB=1000 CAHOOTS_ROLL_RATE=10000 CAHOOTS_ROLL_TIMES=20` for the real
//! thing, with a release build (`cargo test --release -p cahoots-tests --test rolling_daemons`).

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Client, Daemon, Setup, Value, WrongClock, until};

/// Commands in one pipeline of a client.
const PIPELINE: u64 = 50;
/// Keys that clients count at.
const COUNTERS: u64 = 100;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |it| it.parse().unwrap_or_else(|_| panic!("{name}={it} is no number")))
}

/// What is tried.
struct Roll {
    daemons: u64,
    megabytes: u64,
    /// Writes a second while daemons restart.
    rate: u64,
    times: u64,
    /// No stream ever connects: where they are announced to be, nobody listens.
    streams_blocked: bool,
    /// One clock steps by an hour before each restart, and back after it.
    clocks_step: bool,
}

impl Roll {
    fn small() -> Self {
        Self {
            daemons: number("CAHOOTS_ROLL_DAEMONS", 3),
            megabytes: number("CAHOOTS_ROLL_MB", 30),
            rate: number("CAHOOTS_ROLL_RATE", 1_000),
            times: number("CAHOOTS_ROLL_TIMES", 1),
            streams_blocked: false,
            clocks_step: false,
        }
    }

    fn run(&self) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Datagrams go there and are never read, as behind a firewall that drops them.
        let nowhere = UdpSocket::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
        let clock = if self.clocks_step { WrongClock::new(directory.path(), "all") } else { None };
        if self.clocks_step && clock.is_none() {
            return;
        }
        let mut daemons: Vec<Daemon> = Vec::new();
        for at in 0..self.daemons {
            let mut setup = Setup::new(&format!("node{at}"), directory.path());
            setup.seeds = daemons.iter().map(|it| it.setup.listen).collect();
            // A gigabyte takes longer than the default, on machines that share two cores.
            setup.flags = ["--drain-ms", "60000", "--join-timeout", "60"].map(str::to_owned).to_vec();
            if self.streams_blocked {
                setup.flags.extend(["--bulk-advertise".to_owned(), nowhere.to_string()]);
            }
            setup.within = clock.as_ref().map_or_else(Vec::new, WrongClock::within);
            daemons.push(Daemon::start(setup));
        }
        let others = usize::try_from(self.daemons).expect("few") - 1;
        daemons.iter().for_each(|daemon| daemon.await_peers(others));
        self.fill(&daemons, others);

        let sockets: Vec<PathBuf> = daemons.iter().map(|it| it.setup.socket()).collect();
        let (stop, counts) = (AtomicBool::new(false), Counts::default());
        std::thread::scope(|scope| {
            for socket in &sockets {
                let rate = self.rate / self.daemons;
                let (stop, counts) = (&stop, &counts);
                scope.spawn(move || count(socket, rate, stop, counts));
            }
            let rolled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for _ in 0..self.times {
                    self.roll(&mut daemons, clock.as_ref());
                }
            }));
            stop.store(true, Relaxed);
            if let Err(panic) = rolled {
                std::panic::resume_unwind(panic);
            }
        });
        self.check(&daemons, &counts);
    }

    /// Values of a megabyte, of which every daemon has all.
    fn fill(&self, daemons: &[Daemon], others: usize) {
        let mut clients: Vec<Client> = daemons.iter().map(Daemon::client).collect();
        for at in 0..self.megabytes {
            let client = &mut clients[usize::try_from(at % self.daemons).expect("few")];
            let reply = client.call(&[b"SET", key(at).as_bytes(), &value(at)]);
            assert_eq!(reply, Value::text("OK"));
        }
        for client in &mut clients {
            let have = client.call(&[b"WAIT", others.to_string().as_bytes(), b"25000"]).integer();
            assert_eq!(usize::try_from(have), Ok(others), "everybody has everything");
        }
    }

    fn roll(&self, daemons: &mut Vec<Daemon>, clock: Option<&WrongClock>) {
        let all: Vec<SocketAddr> = daemons.iter().map(|it| it.setup.listen).collect();
        for at in 0..daemons.len() {
            if let Some(clock) = clock {
                clock.set([3600, 0, -3600][at % 3]);
            }
            let daemon = daemons.remove(at);
            let seeds = all.iter().copied().filter(|it| *it != daemon.setup.listen).collect();
            let (daemon, ended) = daemon.restart(seeds);
            assert_eq!(ended.code(), Some(0), "{} did not hand over", daemon.setup.node);
            daemon.await_peers(all.len() - 1);
            daemons.insert(at, daemon);
        }
    }

    fn check(&self, daemons: &[Daemon], counts: &Counts) {
        let (acknowledged, tried) = (counts.acknowledged.load(Relaxed), counts.tried.load(Relaxed));
        assert!(acknowledged > 0, "clients wrote meanwhile");
        for daemon in daemons {
            let mut client = daemon.client();
            for at in 0..self.megabytes {
                let seen = client.call(&[b"GET", key(at).as_bytes()]);
                assert_eq!(seen, Value::Text(value(at)), "{} of {}", key(at), daemon.setup.node);
            }
            until(&format!("{} has every write that was acknowledged", daemon.setup.node), || {
                let total = total(&mut client);
                // What was under way when a daemon stopped may have been done or not.
                let fits = (acknowledged..=tried).contains(&total);
                if fits { Ok(()) } else { Err(format!("{total} of {acknowledged} acknowledged, {tried} tried")) }
            });
        }
        let totals: Vec<u64> = daemons.iter().map(|it| total(&mut it.client())).collect();
        assert!(totals.iter().all(|it| *it == totals[0]), "{totals:?}");
    }
}

#[derive(Default)]
struct Counts {
    tried: AtomicU64,
    acknowledged: AtomicU64,
}

/// Adds to counters at one daemon, in pipelines, and connects again when that one was away. Writes that are refused, as
/// while a daemon loads or its clock is wrong, count as neither.
fn count(socket: &Path, rate: u64, stop: &AtomicBool, counts: &Counts) {
    let pause = Duration::from_micros(1_000_000 * PIPELINE / rate.max(1));
    let mut client = None;
    let mut turn = 0;
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        if client.is_none() {
            client = Client::connect(socket).ok();
        }
        if let Some(it) = &mut client
            && pipeline(it, &mut turn, counts).is_err()
        {
            client = None;
        }
        std::thread::park_timeout(pause.saturating_sub(begun.elapsed()));
    }
}

fn pipeline(client: &mut Client, turn: &mut u64, counts: &Counts) -> std::io::Result<()> {
    for _ in 0..PIPELINE {
        *turn += 1;
        client.send(&[b"INCR", counter(*turn % COUNTERS).as_bytes()])?;
        counts.tried.fetch_add(1, Relaxed);
    }
    for _ in 0..PIPELINE {
        match client.receive()? {
            Value::Integer(_) => _ = counts.acknowledged.fetch_add(1, Relaxed),
            Value::Error(_) => _ = counts.tried.fetch_sub(1, Relaxed),
            other => panic!("INCR says {other:?}"),
        }
    }
    Ok(())
}

fn total(client: &mut Client) -> u64 {
    let counters = (0..COUNTERS).map(|at| match client.call(&[b"GET", counter(at).as_bytes()]) {
        Value::Text(text) => String::from_utf8_lossy(&text).parse().expect("a count"),
        Value::Null => 0,
        other => panic!("GET says {other:?}"),
    });
    counters.sum()
}

fn counter(at: u64) -> String {
    format!("count:{at}")
}

fn key(at: u64) -> String {
    format!("large:{at}")
}

fn value(at: u64) -> Vec<u8> {
    at.to_le_bytes().repeat(1 << 17)
}

#[test]
fn a_rolling_restart_in_memory_under_writes_loses_nothing() {
    Roll::small().run();
}

#[test]
fn a_rolling_restart_in_memory_loses_nothing_where_no_stream_connects() {
    Roll { streams_blocked: true, ..Roll::small() }.run();
}

#[test]
fn a_rolling_restart_in_memory_loses_nothing_while_clocks_step_by_an_hour() {
    Roll { clocks_step: true, ..Roll::small() }.run();
}
