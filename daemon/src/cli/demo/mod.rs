//! `cahoots demo`: three replicas, a network cut between them, and what becomes of writes on both sides.
//!
//! The daemons are real processes on sockets and ports of their own; only the network between them is the demo's. It
//! ends by itself, succeeds exactly if the replicas end up in one state, and takes everything it made with it, also
//! when it is interrupted.

mod network;
mod node;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::{CliResult, print};
use network::{NODES, Network};
use node::{Directory, LOOK_AGAIN, Node};

/// How long the daemons may take to find each other.
const MEET_TIME: Duration = Duration::from_secs(10);
/// How long they may take to agree after the network is healed.
const AGREE_TIME: Duration = Duration::from_secs(12);
/// How long the network stays cut at least: long enough that every daemon has tried to send through it.
const CUT_TIME: Duration = Duration::from_secs(1);

const NAMES: [&str; NODES] = ["a", "b", "c"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn demo() -> CliResult {
    let interrupted = Arc::new(AtomicBool::new(false));
    let network = start_network(Arc::clone(&interrupted))?;
    let outcome = Demo::start(network, Arc::clone(&interrupted)).and_then(|mut demo| demo.play());
    if interrupted.load(Ordering::Relaxed) {
        // Ctrl-C reaches the daemons as well; whatever failed, failed for that.
        return Err("interrupted".into());
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Runs the relays and listens for signals on a thread of its own, for as long as the process runs.
fn start_network(interrupted: Arc<AtomicBool>) -> Result<Network, Failure> {
    let (ready, network) = mpsc::channel();
    std::thread::Builder::new().name("network".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let run = async {
            let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let network = Network::start().await;
            let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
            // Nobody waits any more if the demo has failed meanwhile.
            let _ = ready.send(network);
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                interrupted.store(true, Ordering::Relaxed);
            }
        };
        if let Ok(runtime) = runtime {
            runtime.block_on(run);
        }
    })?;
    Ok(network.recv().map_err(|_| "no network for the demo")??)
}

struct Demo {
    // Dropped in this order: first the daemons leave, then their directory goes.
    nodes: Vec<Node>,
    network: Network,
    _directory: Directory,
    interrupted: Arc<AtomicBool>,
}

impl Demo {
    fn start(network: Network, interrupted: Arc<AtomicBool>) -> Result<Self, Failure> {
        say("Three replicas of one key space, each a process of its own with a socket for Redis clients:\n");
        let directory = Directory::make()?;
        let mut sockets = Vec::new();
        let mut nodes = Vec::new();
        for (name, address) in NAMES.into_iter().zip(network.addresses) {
            let (node, socket) = Node::start(name, directory.path(), address, network.addresses[0])?;
            say(&format!("  {name}  process {}  {}\n", node.process(), socket.display()));
            nodes.push(node);
            sockets.push(socket);
        }
        let mut demo = Self { nodes, network, _directory: directory, interrupted };
        for (at, socket) in sockets.iter().enumerate() {
            demo.until(MEET_TIME, "a daemon did not start in time", |demo| Ok(demo.nodes[at].connect(socket)?))?;
            let status = demo.nodes[at].call("CAHOOTS STATUS")?;
            let listen = status["listen"].as_str().and_then(|address| address.parse().ok());
            demo.network.place(at, listen.ok_or("a daemon does not say where it listens")?);
        }
        demo.until(MEET_TIME, "the replicas did not find each other in time", |demo| {
            let mut all = true;
            for node in &mut demo.nodes {
                let status = node.call("CAHOOTS STATUS")?;
                let peers = status["peers"].as_array().map_or(&[][..], Vec::as_slice);
                all &= status["ready"] == Value::Bool(true);
                all &= peers.iter().filter(|peer| peer["live"] == Value::Bool(true)).count() == NODES - 1;
            }
            Ok(all)
        })?;
        Ok(demo)
    }

    fn play(&mut self) -> Result<(), Failure> {
        say("\nThey have found each other. Each is written to:\n");
        self.write(0, "INCRBY visits 10")?;
        self.write(1, "SADD cart bread milk")?;
        self.write(2, "HSET user name Ada")?;
        for at in 0..NODES {
            self.nodes[at].call("WAIT 2 5000")?;
        }
        self.show("\nand each sees all of it:")?;
        if self.views()?.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err("the replicas differ before anything happened to them".into());
        }

        say("\nNow the network is cut: a on one side, b and c on the other. Both sides go on writing:\n");
        self.network.set_cut(true);
        let cut = Instant::now();
        self.write(0, "INCRBY visits 1")?;
        self.write(0, "SREM cart milk")?;
        self.write(0, "SADD cart eggs")?;
        self.write(1, "INCRBY visits 100")?;
        self.write(1, "SADD cart milk")?;
        self.write(2, "HSET user city London")?;
        let reached = self.nodes[1].call("WAIT 2 500")?;
        say(&format!("b asks how many replicas have its writes (WAIT 2 500): {reached}, namely c\n"));
        self.until(CUT_TIME * 5, "no datagram was dropped at the cut", |demo| {
            Ok(cut.elapsed() >= CUT_TIME && demo.network.dropped() > 0)
        })?;
        self.show("\nNobody had to wait, and each side sees its own:")?;
        let views = self.views()?;
        if views[0] == views[1] || views[1] != views[2] {
            return Err("the cut did not keep the two sides apart".into());
        }

        say(&format!("\nThe network is healed; {} datagrams were lost in between.\n", self.network.dropped()));
        self.network.set_cut(false);
        let healed = Instant::now();
        self.until(AGREE_TIME, "the replicas did not agree in time", Self::agree)?;
        self.show(&format!("After {} ms all three have one state:", healed.elapsed().as_millis()))?;
        let views = self.views()?;
        if views.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err("the replicas say that they agree, and show different values".into());
        }
        say(
            "\nEvery increment counts, once: 10 + 1 + 100. The milk that a removed and b added again meanwhile is there: a\n\
             removed the milk it had seen, not the milk it had not. The two fields of the user stand side by side.\n\n\
             To have such a cluster yourself: cahoots serve --help\n",
        );
        Ok(())
    }

    /// Writes through one replica, and says so.
    fn write(&mut self, at: usize, command: &str) -> Result<(), Failure> {
        let reply = self.nodes[at].call(command)?;
        say(&format!(
            "  {}> {command:24} {}\n",
            NAMES[at],
            if reply == "OK" { "OK".into() } else { reply.to_string() }
        ));
        Ok(())
    }

    /// What each replica shows, in words.
    fn views(&mut self) -> Result<Vec<String>, Failure> {
        self.nodes
            .iter_mut()
            .map(|node| {
                let visits = node.call("GET visits")?;
                let cart = node.call("SMEMBERS cart")?;
                let user = node.call("HGETALL user")?;
                let mut members: Vec<&str> = cart.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                members.sort_unstable();
                let fields = user.as_object().into_iter().flatten();
                let fields: Vec<String> =
                    fields.map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or("?"))).collect();
                let visits = visits.as_str().unwrap_or("none").to_owned();
                Ok(format!("visits {visits:4} cart {:17} user {}", members.join(" "), fields.join(", ")))
            })
            .collect()
    }

    fn show(&mut self, heading: &str) -> Result<(), Failure> {
        say(&format!("{heading}\n"));
        for (name, view) in NAMES.into_iter().zip(self.views()?) {
            say(&format!("  {name}: {view}\n"));
        }
        Ok(())
    }

    /// Whether all have applied the same events and hold the same state.
    fn agree(&mut self) -> Result<bool, Failure> {
        let mut states = Vec::new();
        for node in &mut self.nodes {
            let status = node.call("CAHOOTS STATUS")?;
            states.push((status["applied"].clone(), status["fingerprint"].clone()));
        }
        Ok(states.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Waits until `happened`, at most for `time`.
    fn until(
        &mut self,
        time: Duration,
        or_else: &'static str,
        mut happened: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        while !happened(self)? {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
            if begun.elapsed() > time {
                return Err(or_else.into());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // All at once, so that their farewells do not add up.
        self.nodes.iter().for_each(Node::terminate);
    }
}

fn say(text: &str) {
    print(text);
}
