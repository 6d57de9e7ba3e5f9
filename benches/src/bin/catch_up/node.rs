//! Nodes of cahoots, each a process: a source, a second one that has caught up from it, and the one that is timed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cahoots_gossip::driver::{Node, NodeConfig};

use super::{Outcome, key, value};

/// Keys in one event while a source is filled.
const GROUP: usize = 1_000;
/// Between two looks whether everything is there.
const LOOK: Duration = Duration::from_millis(2);
/// Between two calls of the client whose waiting is measured.
const CALL: Duration = Duration::from_micros(500);

/// Lets a new node catch up from so many peers.
pub(super) fn catch_up(keys: usize, peers: usize) -> Outcome {
    let mut sources: Vec<Running> = Vec::new();
    for _ in 0..peers {
        let seeds: Vec<&str> = sources.iter().map(|it| &*it.address).collect();
        sources.push(Running::start(&["source", &keys.to_string()], &seeds));
    }
    let before: Vec<Duration> = sources.iter_mut().map(Running::cpu).collect();
    let seeds: Vec<&str> = sources.iter().map(|it| &*it.address).collect();
    let joiner = Running::start(&["joiner", &keys.to_string()], &seeds);
    let mut numbers = joiner.address.split(' ').map(|number| number.parse::<u64>().expect("numbers"));
    let mut next = || numbers.next().expect("six numbers");
    let micros = |it: u64| Duration::from_micros(it);
    let (total, fetching, bytes) = (micros(next()), micros(next()), next());
    let (cpu_there, here, here_most) = (micros(next()), micros(next()), micros(next()));
    let cpu_here = sources.iter_mut().map(Running::cpu).zip(before).map(|(after, before)| after - before).sum();
    let stalls: Vec<_> = sources.iter_mut().map(Running::stalls).collect();
    let there = stalls.iter().map(|it| it.0).max().unwrap_or_default();
    let there_most = stalls.iter().map(|it| it.1).max().unwrap_or_default();
    Outcome { total, fetching, bytes, cpu_there, cpu_here, stalls: Some([here, here_most, there, there_most]) }
}

/// A child process: it answers each line with a line.
struct Running {
    child: Child,
    answers: BufReader<ChildStdout>,
    /// What it said first: a source its address, the joiner its result.
    address: String,
}

impl Running {
    fn start(role: &[&str], seeds: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.arg("node").args(role).args(seeds).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be run");
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut address = String::new();
        answers.read_line(&mut address).expect("the child says something");
        Self { child, answers, address: address.trim().to_owned() }
    }

    fn ask(&mut self, question: &str) -> Vec<u64> {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{question}").expect("the child reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the child answers");
        answer.split_whitespace().map(|it| it.parse().expect("numbers")).collect()
    }

    fn cpu(&mut self) -> Duration {
        self.ask("cpu").first().map_or(Duration::ZERO, |it| Duration::from_micros(*it))
    }

    fn stalls(&mut self) -> (Duration, Duration) {
        match self.ask("stalls")[..] {
            [longest, most] => (Duration::from_micros(longest), Duration::from_micros(most)),
            _ => panic!("two numbers"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the end of its input is the end of its work
        let _ = self.child.wait();
    }
}

/// What a child process does.
pub(super) fn child(arguments: &[String]) {
    let [role, keys, seeds @ ..] = arguments else { panic!("role, keys, seeds") };
    let keys: usize = keys.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut config = NodeConfig::new(format!("{role} {}", std::process::id()), ([127, 0, 0, 1], 0).into());
        config.seeds = seeds.to_vec();
        config.replica.log_bytes_max = 1 << 20; // nothing that a joiner could use
        let begun = Instant::now();
        let node = Node::start(config).await.expect("free ports");
        if seeds.is_empty() {
            fill(&node, keys);
        }
        let client = Client::start(&node);
        let fetching = complete(&node, keys).await;
        if role == "joiner" {
            let (total, counters) = (begun.elapsed(), node.counters());
            let (longest, most) = client.stalls();
            let fetching = fetching.map_or(Duration::ZERO, |since| since.elapsed());
            let numbers = [
                total.as_micros(),
                fetching.as_micros(),
                (counters.bulk_bytes_received + counters.bytes_received).into(),
                cpu().as_micros(),
                longest.as_micros(),
                most.as_micros(),
            ];
            println!("{}", numbers.map(|it| it.to_string()).join(" "));
        } else {
            println!("{}", node.local_addr());
            client.restart();
        }
        tokio::task::spawn_blocking(move || answer_questions(&client)).await.expect("questions do not panic");
    });
}

fn answer_questions(client: &Client) {
    for line in std::io::stdin().lines() {
        match line.as_deref() {
            Ok("cpu") => println!("{}", cpu().as_micros()),
            Ok("stalls") => {
                let (longest, most) = client.stalls();
                println!("{} {}", longest.as_micros(), most.as_micros());
            }
            _ => return,
        }
    }
}

fn fill(node: &Node, keys: usize) {
    for first in (0..keys).step_by(GROUP) {
        node.with(|replica, now| {
            replica.write(now, 0, |writer| {
                for number in first..keys.min(first + GROUP) {
                    writer.set(key(number).as_bytes(), &value(number)).expect("a small value");
                }
            });
        });
    }
}

/// Waits until everything is there; says when fetching began.
async fn complete(node: &Node, keys: usize) -> Option<Instant> {
    let mut begun = None;
    loop {
        let (here, ahead) = node.read(|replica| (replica.store().len(), replica.store().buckets_ahead()));
        if begun.is_none() && here > 0 {
            begun = Some(Instant::now());
        }
        if here == keys && ahead == 0 {
            return begun;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A client in a thread of its own that calls again and again and notes how long it waits.
struct Client {
    waits: Arc<std::sync::Mutex<Vec<Duration>>>,
    ended: Arc<AtomicBool>,
}

impl Client {
    fn start(node: &Node) -> Self {
        let (waits, ended) = (Arc::<std::sync::Mutex<Vec<Duration>>>::default(), Arc::new(AtomicBool::new(false)));
        let (node, noted, end) = (node.clone(), Arc::clone(&waits), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let asked = Instant::now();
                node.read(|replica| std::hint::black_box(replica.store().at(0).view(b"key:1").is_some()));
                noted.lock().expect("nobody panics").push(asked.elapsed());
                std::thread::sleep(CALL);
            }
        });
        Self { waits, ended }
    }

    fn restart(&self) {
        self.waits.lock().expect("nobody panics").clear();
    }

    /// The longest wait, and the one that 999 of 1000 stay below.
    fn stalls(&self) -> (Duration, Duration) {
        let mut waits = self.waits.lock().expect("nobody panics").clone();
        waits.sort_unstable();
        let at = |index: usize| waits.get(index).copied().unwrap_or_default();
        (at(waits.len().saturating_sub(1)), at(waits.len() * 999 / 1000))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let mut stat = String::new();
    let read = std::fs::File::open("/proc/self/stat").and_then(|mut file| file.read_to_string(&mut stat));
    read.expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number of ticks");
    Duration::from_millis((ticks(11) + ticks(12)) * 10) // user and system, in hundredths of a second
}
