//! How many machine instructions the hot paths take: a guard against regressions that no noise of the machine touches.
//!
//! `cargo run --release -p cahoots-benches --bin instructions`. It runs itself once under callgrind (Debian's package
//! `valgrind`), whose count is cut by calls of [`callgrind_cuts_here`], so nothing that prepares a path is counted with
//! it. Each path has a budget; one that is more than 10 % over it ends the program with exit code 1. Who
//! makes a path cheaper lowers its budget in the same change; who raises one says why.
//!
//! The inputs are fixed and nothing on these paths hashes with a random seed, so the same binary counts the same
//! again, to the instruction. The counts do depend on
//!
//! - the compiler's version and the release profile (`rust-toolchain.toml` and `Cargo.toml` pin both);
//! - the C library's allocator and its ways of copying;
//! - the processor, and what of it valgrind emulates: with AVX2, `memcpy` and `memchr` are other code than without.
//!
//! What they do not tell is what memory costs: a path that misses the cache more often counts no instruction more.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use cahoots::command::{Batch, Stop};
use cahoots::resp::Parser;
use cahoots::session::Session;
use cahoots::state::Limits as ServerLimits;
use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};
use cahoots_gossip::store::{Applied, Class, Sealed, Store, Writer};
use cahoots_gossip::{Dot, Limits, ReplicaId};

/// Keys there are, and operations counted.
const KEYS: usize = 10_000;
/// Commands that arrive in one read.
const PIPELINE: usize = 64;
/// What an event may take up: one datagram.
const WINDOW_BYTES_MAX: usize = 1_100;
const NOW: Now = Now { mono: 0, wall: 1_700_000_000_000 };
/// By how much a path may be over its budget.
const TOLERANCE: f64 = 1.1;
/// The argument that has the program do the work instead of counting it.
const WORK: &str = "--work";

type Work = Box<dyn FnMut()>;

/// A hot path.
struct HotPath {
    name: &'static str,
    /// Instructions an operation.
    budget: u32,
    /// Everything that has to be there first; what it returns does [`KEYS`] operations.
    prepare: fn() -> Work,
}

/// What a key may be that expires: each look at one asks whether it does, of reads about 100 instructions, of additions up to 400.
/// And each command reads the clock, for SLOWLOG, and asks who watches: about 100.
const HOT_PATHS: [HotPath; 10] = [
    HotPath { name: "read a frame ahead and parse it (SET)", budget: 330, prepare: parse },
    HotPath { name: "GET", budget: 1950, prepare: || execute("SET {} 0123456789abcdef", "GET {}") },
    HotPath {
        name: "SET, 16 bytes",
        budget: 3800,
        prepare: || execute("SET {} 0123456789abcdef", "SET {} fedcba9876543210"),
    },
    HotPath { name: "INCR", budget: 4650, prepare: || execute("INCR {}", "INCR {}") },
    HotPath { name: "SADD", budget: 4850, prepare: || execute("SADD {} milk", "SADD {} milk") },
    HotPath { name: "HSET", budget: 5050, prepare: || execute("HSET {} name ann", "HSET {} name bob") },
    HotPath { name: "counter add in process, delta encode", budget: 3600, prepare: || write(add) },
    HotPath { name: "set add in process, delta encode", budget: 3350, prepare: || write(insert) },
    HotPath { name: "apply the delta of a counter add", budget: 3350, prepare: || apply(add) },
    HotPath { name: "apply the delta of a set add", budget: 3550, prepare: || apply(insert) },
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(WORK) {
        for path in &HOT_PATHS {
            let mut work = (path.prepare)();
            callgrind_cuts_here(path.name);
            work();
            callgrind_cuts_here(path.name);
        }
        return ExitCode::SUCCESS;
    }
    let counts = match count() {
        Ok(counts) => counts,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    println!("| hot path | instructions an operation | budget | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    let mut exceeded = Vec::new();
    for (HotPath { name, budget, .. }, count) in HOT_PATHS.iter().zip(counts) {
        let each = count / KEYS as f64;
        let ratio = each / f64::from(*budget);
        println!("| {name} | {each:.0} | {budget} | {ratio:.2} |");
        if ratio > TOLERANCE {
            exceeded.push(*name);
        }
    }
    if exceeded.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("more than {:.0} % over budget: {}", (TOLERANCE - 1.0) * 100.0, exceeded.join("; "));
    ExitCode::FAILURE
}

/// Callgrind knows this function by its name: each call ends one of its files and begins the next.
#[inline(never)]
fn callgrind_cuts_here(name: &str) {
    // Something of its own to do keeps it apart from other functions that do nothing.
    black_box(name);
}

/// The instructions of each hot path, in their order.
fn count() -> Result<Vec<f64>, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let out = directory.path().join("counts");
    let this = std::env::current_exe().map_err(|error| format!("this program's path is unknown: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*callgrind_cuts_here*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .arg(WORK)
        // What the environment holds moves the stack.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .output()
        .map_err(|error| format!("valgrind does not start ({error}); it is in Debian's package valgrind"))?;
    if !output.status.success() {
        return Err(format!("under valgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    // Files are numbered from 1; the odd ones tell of preparations.
    (1..=HOT_PATHS.len()).map(|path| total(&out.with_extension((2 * path).to_string()))).collect()
}

/// What one of callgrind's files says in total.
fn total(file: &Path) -> Result<f64, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.filter(|total| *total > 0.0).ok_or_else(|| format!("{} counts nothing", file.display()))
}

/// Key numbers of the operations: the same in each run, in no order, some more often than others.
fn random_keys() -> impl Iterator<Item = usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % KEYS as u64).expect("below the number of keys")
    })
    .take(KEYS)
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

/// The reads of a client that sends `command`, `{}` being the key, for each of these keys.
fn reads(command: &str, keys: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    let keys: Vec<_> = keys.collect();
    let read = |keys: &[usize]| {
        let mut read = String::new();
        for &number in keys {
            let command = command.replace("{}", &key(number));
            write!(read, "*{}\r\n", command.split(' ').count()).expect("strings take everything");
            for arg in command.split(' ') {
                write!(read, "${}\r\n{arg}\r\n", arg.len()).expect("strings take everything");
            }
        }
        read.into_bytes()
    };
    keys.chunks(PIPELINE).map(read).collect()
}

fn parse() -> Work {
    let mut parser = Parser::new(ServerLimits::default().frame);
    let mut reads = reads("SET {} 0123456789abcdef", random_keys());
    Box::new(move || {
        for read in &mut reads {
            let (mut ahead, mut done) = (0, 0);
            while let Some(length) = parser.read_ahead(&read[ahead..]) {
                black_box(parser.arg_ahead(1));
                ahead += length;
            }
            while let Some(length) = parser.parse(&mut read[done..]).expect("well-formed") {
                black_box(parser.args(&read[done..done + length]));
                done += length;
            }
            assert_eq!(done, read.len());
        }
    })
}

/// Commands from their bytes to the bytes of their replies, on keys that `first` has made.
fn execute(first: &str, then: &str) -> Work {
    let server = cahoots::fuzz::server();
    let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), NOW);
    let mut session = Session::new(1, "bench", "bench");
    let mut parser = Parser::new(server.limits.frame);
    let mut replies = Vec::new();
    let mut run = move |reads: &mut [Vec<u8>]| {
        for read in reads {
            replies.clear();
            let (done, stop) =
                Batch::new(&mut replica, NOW, &mut session, &server, &mut replies).run(&mut parser, read);
            assert!(done == read.len() && matches!(stop, Stop::Drained) && !replies.starts_with(b"-"), "{stop:?}");
        }
        replica.flush(NOW);
    };
    run(&mut reads(first, 0..KEYS));
    let mut reads = reads(then, random_keys());
    Box::new(move || run(&mut reads))
}

type Operation = fn(&mut Writer<'_>, &[u8]);

fn add(writer: &mut Writer<'_>, key: &[u8]) {
    black_box(writer.add(key, 1).expect("a counter"));
}

fn insert(writer: &mut Writer<'_>, key: &[u8]) {
    black_box(writer.insert(key, Class::Set, b"milk", b"").expect("a set"));
}

fn store(id: u64) -> Store {
    Store::new(ReplicaId::new(id), Limits::default(), WINDOW_BYTES_MAX)
}

/// One group for each key; the window is sealed when it is full, and in the end.
fn write_all(store: &mut Store, keys: &[String], operation: Operation) {
    for key in keys {
        store.write(NOW.wall, key.len() + 16, |writer| operation(writer, key.as_bytes()));
    }
    store.seal();
}

/// A store of which each key has been written once; what it sealed meanwhile; the keys to write next.
fn written(operation: Operation) -> (Store, Vec<Sealed>, Vec<String>) {
    let mut store = store(1);
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    write_all(&mut store, &keys, operation);
    let sealed = sealed(&mut store);
    (store, sealed, random_keys().map(key).collect())
}

fn sealed(store: &mut Store) -> Vec<Sealed> {
    std::iter::from_fn(|| store.poll_sealed()).collect()
}

fn write(operation: Operation) -> Work {
    let (mut store, _, keys) = written(operation);
    Box::new(move || write_all(&mut store, &keys, operation))
}

/// Another replica applies what `write` seals.
fn apply(operation: Operation) -> Work {
    let (mut origin, before, keys) = written(operation);
    write_all(&mut origin, &keys, operation);
    let events = sealed(&mut origin);
    let mut replica = store(2);
    let mut apply_all = move |events: &[Sealed]| {
        for Sealed { seq, body } in events {
            let applied = replica.apply(Dot::new(ReplicaId::new(1), *seq), body);
            assert_eq!(applied, Ok(Applied::Now));
        }
    };
    apply_all(&before);
    Box::new(move || apply_all(&events))
}
