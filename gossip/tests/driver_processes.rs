//! Nodes in processes of their own, stopped and killed by signals.
#![cfg(unix)]

mod driver_cluster;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use cahoots_gossip::ReplicaId;
use cahoots_gossip::driver::{Member, MemberState, Node};
use driver_cluster::*;
use rustix::process::{Pid, Signal, kill_process};

/// Names the seed to the process that [`node_process`] runs in.
const SEED: &str = "CAHOOTS_TEST_SEED";

/// Tells that process its name and under which id to run, if that matters.
const NAME: &str = "CAHOOTS_TEST_NAME";
const ID: &str = "CAHOOTS_TEST_ID";

/// With what a process ends whose node has ended by itself.
const FAILED: i32 = 4;

/// A node in a process of its own, which ends with this value or with this process, whatever happens first.
struct Process(Child);

impl Process {
    fn start(seed: &Node) -> Self {
        Self::start_as(seed, "process", None)
    }

    fn start_as(seed: &Node, name: &str, id: Option<u64>) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "node_process", "--nocapture"])
            .env(SEED, seed.local_addr().to_string())
            .env(NAME, name)
            .envs(id.map(|id| (ID, id.to_string())))
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
    let name = std::env::var(NAME).expect("started by the tests here");
    let id = std::env::var(ID).ok().map(|id| ReplicaId::new(id.parse().expect("a number")));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = config(&name, &[]);
        config.seeds = vec![seed];
        config.id = id;
        let node = start(config).await;
        // Before it knows anybody: so the first event of its id, whatever that id has said before.
        node.counter(format!("starts of {name}")).add(1).expect("a counter");
        let failing = node.clone();
        tokio::spawn(async move {
            println!("read {}", failing.failed().await);
            std::process::exit(FAILED);
        });
        let reader = node.clone();
        tokio::spawn(async move {
            let mut changes = reader.subscribe();
            loop {
                if let Some(value) = get(&reader, "key") {
                    println!("read {value}");
                    std::io::stdout().flush().unwrap();
                }
                if changes.next().await.is_none() {
                    return;
                }
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
    let dead = node.members().into_iter().filter(|member| member.state == MemberState::Down).count();
    assert_eq!((node.members().len(), dead), (3, 1), "the dead one was elsewhere: {:?}", node.members());
}

fn member(members: &[Member], name: &str) -> Option<Member> {
    members.iter().find(|member| member.name == name && member.state == MemberState::Live).cloned()
}

/// Waits until a node reads this number.
async fn counts(node: &Node, key: &str, number: i128) {
    let mut changes = node.subscribe().of(key);
    let counted = async {
        while node.counter(key).value() != Ok(number) {
            changes.next().await.expect("the node runs");
        }
    };
    within(&format!("{key} = {number}"), counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_has_lost_what_it_told_goes_on_under_another_id_and_loses_nothing_more() {
    let node = start(config("watcher", &[])).await;
    let process = Process::start_as(&node, "forgetful", Some(7));
    counts(&node, "starts of forgetful", 1).await;
    process.signal(Signal::KILL);
    sees(&node, "forgetful", MemberState::Down).await;
    // What is its first event now, was another one before.
    let _again = Process::start_as(&node, "forgetful", Some(7));
    counts(&node, "starts of forgetful", 2).await;
    let renamed = |members: &[Member]| member(members, "forgetful").is_some_and(|it| it.id != ReplicaId::new(7));
    let members = within("the new id", node.members_when(renamed)).await;
    assert_eq!(members.len(), 2, "the id it gave up is forgotten: {members:?}");
    assert_eq!(node.with(|replica, _| replica.status()).counters.events_forked, 0);
    let position = set(&node, "key", "after");
    assert_eq!(within("the acknowledgement", node.wait(position, 1, None)).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_live_processes_with_one_id_the_younger_ends_before_it_has_told_anything() {
    let node = start(config("watcher", &[])).await;
    let mut older = Process::start_as(&node, "older", Some(7));
    counts(&node, "starts of older", 1).await;
    let mut younger = Process::start_as(&node, "younger", Some(7));
    let input = younger.0.stdin.take(); // which waiting would close, and so end the process
    let ended = tokio::task::spawn_blocking(move || younger.0.wait().unwrap());
    assert_eq!(within("the end of the younger", ended).await.unwrap().code(), Some(FAILED));
    drop(input);
    assert_eq!(node.counter("starts of older").value(), Ok(1));
    assert_eq!(node.with(|replica, _| replica.status()).counters.events_forked, 0, "it told nobody anything");
    let kept = member(&node.members(), "older").expect("the older goes on");
    assert_eq!(kept.id, ReplicaId::new(7));
    set(&node, "key", "still here");
    older.says("still here").await;
}
