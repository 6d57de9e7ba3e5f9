//! Rolling restarts of real daemons in memory: each is stopped, must exit with 0, starts again with nothing and must be
//! ready before the next one's turn. At most one is down at a time, so what was acknowledged is there in the end.
//!
//! Small in CI. `CAHOOTS_ROLL_DAEMONS=10 CAHOOTS_ROLL_MB=1000 CAHOOTS_ROLL_RATE=10000 CAHOOTS_ROLL_TIMES=20` for the real
//! thing, with a release build (`cargo test --release -p cahoots-tests --test rolling_daemons NAME -- --nocapture`, which
//! says how long each restart took), and one test at a time: each holds a gigabyte for each daemon. After
//! `CAHOOTS_ROLL_SECONDS` it rolls no more and checks what is there.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Bridge, Client, Daemon, PATIENCE, Setup, Value, WrongClock, until, until_within};

/// Commands in one pipeline of a client.
const PIPELINE: u64 = 50;
/// Keys that clients count at.
const COUNTERS: u64 = 100;
/// Where daemons on hosts of their own take datagrams, and streams.
const PORT: u16 = 7101;
const STREAMS: u16 = 7102;

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
    /// No roll begins after so long.
    seconds_max: u64,
    /// No stream ever connects: where they are announced to be, nobody listens.
    streams_blocked: bool,
    /// Of 100 datagrams between daemons, how many vanish: on hosts of their own then.
    loss: u32,
    /// One clock steps by an hour before each restart, and back after it.
    clocks_step: bool,
}

/// Where daemons run.
struct Place {
    directory: tempfile::TempDir,
    /// All on the loopback, or each on a host of its own.
    bridge: Option<Bridge>,
    clock: Option<WrongClock>,
    /// Takes datagrams and is never read, as a firewall that drops them.
    nowhere: UdpSocket,
}

impl Place {
    /// Nothing where the system cannot give what is wanted.
    fn new(roll: &Roll) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let nowhere = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (mut bridge, mut clock) = (None, None);
        if roll.loss > 0 {
            let mut hosts = Bridge::new(usize::try_from(roll.daemons).expect("few"))?;
            hosts.lose(roll.loss);
            bridge = Some(hosts);
        }
        if roll.clocks_step {
            clock = Some(WrongClock::new(directory.path(), "all")?);
        }
        Some(Self { directory, bridge, clock, nowhere })
    }

    fn setup(&self, at: usize, roll: &Roll, seeds: Vec<SocketAddr>) -> Setup {
        let mut setup = Setup::new(&format!("node{at}"), self.directory.path());
        setup.seeds = seeds;
        // On machines that share two cores a moment takes longer than the defaults.
        setup.flags = ["--drain-ms", "60000", "--join-timeout", "60"].map(str::to_owned).to_vec();
        if roll.streams_blocked {
            let nowhere = self.nowhere.local_addr().expect("bound").to_string();
            setup.flags.extend(["--bulk-advertise".to_owned(), nowhere]);
        }
        if let Some(bridge) = &self.bridge {
            setup.listen = SocketAddr::from(([0, 0, 0, 0], PORT));
            let streams = format!("0.0.0.0:{STREAMS}");
            setup.flags.extend(["--insecure", "--bulk-listen", &streams].map(str::to_owned));
            setup.within = bridge.within(at + 1);
        }
        setup.within.extend(self.clock.iter().flat_map(WrongClock::within));
        setup
    }

    /// Where a daemon is reached by others.
    fn address(&self, at: usize, daemon: &Daemon) -> SocketAddr {
        self.bridge.as_ref().map_or(daemon.setup.listen, |_| Bridge::address(at + 1, PORT))
    }
}

impl Roll {
    fn small() -> Self {
        Self {
            daemons: number("CAHOOTS_ROLL_DAEMONS", 3),
            megabytes: number("CAHOOTS_ROLL_MB", 30),
            rate: number("CAHOOTS_ROLL_RATE", 1_000),
            times: number("CAHOOTS_ROLL_TIMES", 1),
            seconds_max: number("CAHOOTS_ROLL_SECONDS", 3_600),
            streams_blocked: false,
            loss: 0,
            clocks_step: false,
        }
    }

    /// How long it may take until everybody has everything: two cores carry a copy for each daemon. Streams that take each
    /// loss for a sign of congestion carry 5 MB a second.
    fn patience(&self) -> Duration {
        let megabyte = if self.loss > 0 { 400 } else { 20 };
        PATIENCE + Duration::from_millis(megabyte * self.megabytes * self.daemons)
    }

    fn run(&self) {
        let Some(place) = Place::new(self) else { return };
        let begun = Instant::now();
        let mut daemons: Vec<Daemon> = Vec::new();
        for at in 0..usize::try_from(self.daemons).expect("few") {
            let seeds = daemons.iter().enumerate().map(|(at, it)| place.address(at, it)).collect();
            daemons.push(Daemon::start(place.setup(at, self, seeds)));
        }
        daemons.iter().for_each(|daemon| daemon.await_peers(daemons.len() - 1));
        self.fill(&daemons);
        eprintln!("filled after {:.1} s", begun.elapsed().as_secs_f64());

        let sockets: Vec<PathBuf> = daemons.iter().map(|it| it.setup.socket()).collect();
        let (stop, counts) = (AtomicBool::new(false), Counts::default());
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for socket in &sockets {
                let rate = self.rate / self.daemons;
                let (stop, counts) = (&stop, &counts);
                scope.spawn(move || count(socket, rate, stop, counts));
            }
            let rolled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for time in (1..=self.times).take_while(|_| begun.elapsed().as_secs() < self.seconds_max) {
                    let begun = Instant::now();
                    self.roll(&mut daemons, &place);
                    eprintln!("rolled {time} times, this time in {:.1} s", begun.elapsed().as_secs_f64());
                }
            }));
            stop.store(true, Relaxed);
            if let Err(panic) = rolled {
                std::panic::resume_unwind(panic);
            }
        });
        let (written, seconds) = (counts.acknowledged.load(Relaxed), begun.elapsed().as_secs_f64());
        eprintln!("{written} writes were acknowledged in {seconds:.1} s");
        self.check(&daemons, &counts);
        if let Some(bridge) = &place.bridge {
            let lost = bridge.lost();
            eprintln!("{lost} datagrams were lost");
            assert!(lost > 0, "datagrams were lost");
        }
    }

    /// Values of a megabyte, of which every daemon has all.
    fn fill(&self, daemons: &[Daemon]) {
        let others = daemons.len() - 1;
        let mut clients: Vec<Client> = daemons.iter().map(Daemon::client).collect();
        for at in 0..self.megabytes {
            let client = &mut clients[usize::try_from(at % self.daemons).expect("few")];
            let reply = client.call(&[b"SET", key(at).as_bytes(), &value(at)]);
            assert_eq!(reply, Value::text("OK"));
        }
        for client in &mut clients {
            until_within(self.patience(), "everybody has everything", || {
                let have = client.call(&[b"WAIT", others.to_string().as_bytes(), b"5000"]).integer();
                if usize::try_from(have) == Ok(others) { Ok(()) } else { Err(format!("{have} have")) }
            });
        }
    }

    fn roll(&self, daemons: &mut Vec<Daemon>, place: &Place) {
        let all: Vec<SocketAddr> = daemons.iter().enumerate().map(|(at, it)| place.address(at, it)).collect();
        for at in 0..daemons.len() {
            if let Some(clock) = &place.clock {
                clock.set([3600, 0, -3600][at % 3]);
            }
            let daemon = daemons.remove(at);
            let seeds = all.iter().copied().filter(|it| *it != all[at]).collect();
            let mut setup = daemon.setup.clone();
            let begun = Instant::now();
            let ended = daemon.terminate();
            assert_eq!(ended.code(), Some(0), "{} did not hand over", setup.node);
            let stopped = begun.elapsed().as_secs_f64();
            setup.seeds = seeds;
            let daemon = Daemon::start(setup);
            daemon.await_peers(all.len() - 1);
            eprintln!(
                "{}: handed over in {stopped:.1} s, ready {:.1} s later",
                daemon.setup.node,
                begun.elapsed().as_secs_f64() - stopped
            );
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

#[test]
fn a_rolling_restart_in_memory_loses_nothing_where_one_datagram_in_ten_is_lost() {
    // By streams that take one loss in ten for a sign of congestion a megabyte takes a fifth of a second.
    Roll { loss: 10, megabytes: number("CAHOOTS_ROLL_MB", 10), ..Roll::small() }.run();
}
