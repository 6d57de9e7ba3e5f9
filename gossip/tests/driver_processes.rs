//! Nodes in processes of their own, stopped and killed by signals.
#![cfg(unix)]

mod driver_cluster;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use cahoots_gossip::driver::{MemberState, Node};
use driver_cluster::*;
use rustix::process::{Pid, Signal, kill_process};

/// Names the seed to the process that [`node_process`] runs in.
const SEED: &str = "CAHOOTS_TEST_SEED";

/// A node in a process of its own, which ends with this value or with this process, whatever happens first.
struct Process(Child);

impl Process {
    fn start(seed: &Node) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "node_process", "--nocapture"])
            .env(SEED, seed.local_addr().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits until the process says that it reads `value`.
    async fn says(&mut self, value: &str) {
        let stdout = self.0.stdout.take().unwrap();
        let expected = format!("read {value}");
        let heard = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                if line.trim_end().ends_with(&expected) {
                    return true;
                }
                line.clear();
            }
            false
        });
        assert!(within("what the process reads", heard).await.unwrap());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "not a test: the process that the tests here start"]
fn node_process() {
    let seed = std::env::var(SEED).expect("started by the tests here");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = config("process", &[]);
        config.seeds = vec![seed];
        let node = start(config).await;
        let reader = node.clone();
        tokio::spawn(async move {
            let mut changes = reader.subscribe();
            loop {
                if let Some(value) = get(&reader, "key") {
                    println!("read {value}");
                    std::io::stdout().flush().unwrap();
                }
                changes.next().await.expect("the node runs until the process ends");
            }
        });
        // The end of the tests is the end of their pipe.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        std::process::exit(0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_goes_down_and_is_back_when_it_continues() {
    let node = start(config("watcher", &[])).await;
    let mut process = Process::start(&node);
    has_peers(&node, 1).await;
    let before = incarnations(&node);
    process.signal(Signal::STOP);
    sees(&node, "process", MemberState::Down).await;
    let position = set(&node, "key", "missed");
    assert_eq!(node.wait(position, 0, None).await, 0, "nobody alive has it");
    process.signal(Signal::CONT);
    sees(&node, "process", MemberState::Live).await;
    process.says("missed").await;
    assert_eq!(within("the acknowledgement", node.wait(position, 1, None)).await, 1);
    assert_eq!(incarnations(&node), before, "nothing has restarted");
}

fn incarnations(node: &Node) -> Vec<u64> {
    node.members().iter().map(|member| member.incarnation).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_without_a_word_goes_down_and_its_successor_takes_its_place() {
    let node = start(config("watcher", &[])).await;
    let process = Process::start(&node);
    has_peers(&node, 1).await;
    process.signal(Signal::KILL);
    sees(&node, "process", MemberState::Down).await;
    set(&node, "key", "kept");
    let mut successor = Process::start(&node);
    has_peers(&node, 1).await;
    successor.says("kept").await;
    assert_eq!(node.members().len(), 2, "the dead incarnation is forgotten: {:?}", node.members());
}
