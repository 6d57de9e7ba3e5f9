//! What the size of a sorted set costs those who ask it: the same commands on sets of ten thousand members and of more.
//!
//! `cargo run --release -p cahoots-benches --bin ranks [members ...]`. Commands run in one thread, from their bytes to the bytes of
//! their replies, in pipelines of 64, on members in no order. A time is that of a command in the median pipeline.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cahoots::command::{Batch, Stop};
use cahoots::fuzz::server;
use cahoots::resp::Parser;
use cahoots::session::Session;
use cahoots_benches::times::Times;
use cahoots_gossip::ReplicaId;
use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};

/// Members of the sets, unless they are given.
const MEMBERS: [u64; 3] = [10_000, 1_000_000, 10_000_000];
/// Commands in one read, and reads that are timed.
const PIPELINE: u64 = 64;
const READS: u64 = 4_000;
/// Members that one ZADD brings while a set is filled.
const FILLED_AT_ONCE: u64 = 100;
const NOW: Now = Now { mono: 0, wall: 1_700_000_000_000 };
/// `{}` is a member, `[]` a score.
const COMMANDS: [&str; 5] = [
    "ZRANK scores {}",
    "ZSCORE scores {}",
    "ZADD scores [] {}",
    "ZRANGE scores [] +inf BYSCORE LIMIT 0 1",
    "ZCOUNT scores -inf []",
];

fn main() {
    let given: Vec<u64> = std::env::args().skip(1).map(|it| it.parse().expect("a number of members")).collect();
    let sizes = if given.is_empty() { MEMBERS.to_vec() } else { given };
    let tables: Vec<Vec<f64>> = sizes.iter().map(|members| measure(*members)).collect();
    let heads = sizes.iter().map(|members| format!(" {members} members |")).collect::<String>();
    println!("| ns a command |{heads} last / first |");
    println!("| --- |{}", " ---: |".repeat(sizes.len() + 1));
    for (at, command) in COMMANDS.iter().enumerate() {
        let cells = tables.iter().map(|table| format!(" {:.0} |", table[at])).collect::<String>();
        let growth = tables[tables.len() - 1][at] / tables[0][at];
        println!("| {} |{cells} {growth:.2} |", command.replace("{}", "m").replace("[]", "s"));
    }
}

/// Nanoseconds of each command on a set of so many members.
fn measure(members: u64) -> Vec<f64> {
    let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), NOW);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % members
    };
    let mut clients = Clients::new();
    for first in (0..members).step_by(usize::try_from(FILLED_AT_ONCE).expect("few")) {
        let mut command = "ZADD scores".to_owned();
        for member in first..members.min(first + FILLED_AT_ONCE) {
            write!(command, " {} {}", draw(), name(member)).expect("strings take everything");
        }
        clients.run(&mut replica, &mut frame(&command));
    }
    let mut times = Vec::new();
    for command in COMMANDS {
        let mut reads = Times::default();
        for _ in 0..READS {
            let mut read = Vec::new();
            for _ in 0..PIPELINE {
                let command = command.replace("{}", &name(draw())).replace("[]", &draw().to_string());
                read.extend(frame(&command));
            }
            reads.extend([clients.run(&mut replica, &mut read)]);
        }
        times.push(reads.per_mille(500).as_secs_f64() * 1e9 / PIPELINE as f64);
    }
    times
}

fn name(member: u64) -> String {
    format!("element:{member:012}")
}

fn frame(command: &str) -> Vec<u8> {
    let mut frame = format!("*{}\r\n", command.split(' ').count());
    for arg in command.split(' ') {
        write!(frame, "${}\r\n{arg}\r\n", arg.len()).expect("strings take everything");
    }
    frame.into_bytes()
}

/// One client, and what it shares with others.
struct Clients {
    server: cahoots::state::Server,
    session: Session,
    parser: Parser,
    replies: Vec<u8>,
}

impl Clients {
    fn new() -> Self {
        let server = server();
        let parser = Parser::new(server.limits.frame);
        Self { session: Session::new(1, "bench", "bench"), parser, replies: Vec::new(), server }
    }

    /// Runs the commands of one read; says how long that took.
    fn run(&mut self, replica: &mut Replica, read: &mut [u8]) -> Duration {
        self.replies.clear();
        let begun = Instant::now();
        let batch = Batch::new(replica, NOW, &mut self.session, &self.server, &mut self.replies);
        let (done, stop) = batch.run(&mut self.parser, read);
        let took = begun.elapsed();
        assert!(done == read.len() && matches!(stop, Stop::Drained) && !self.replies.starts_with(b"-"), "{stop:?}");
        replica.flush(NOW);
        took
    }
}
