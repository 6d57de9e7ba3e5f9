//! The example of a program that embeds nodes, run beside a real daemon, so that it stays true.

mod process;

use process::{Process, cahoots};

#[path = "../../gossip/examples/embedded.rs"]
#[allow(dead_code, reason = "its main function is called by nobody here")]
mod example;

#[tokio::test(flavor = "current_thread")]
async fn two_embedded_nodes_and_a_daemon_are_one_cluster() {
    let daemon = Process::cahoots(&[]);
    let output =
        cahoots().args(["status", "--json", "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let listen = status["listen"].as_str().expect("an address").to_owned();
    let socket = daemon.socket.to_str().expect("a plain path").to_owned();
    let mut out = Vec::new();
    let tour = example::tour(Some(socket), Some(listen), &mut out);
    tokio::time::timeout(process::PATIENCE * 3, tour).await.expect("it ends").expect("nothing fails");
    let text = String::from_utf8(out).expect("text");
    for line in [
        "left is ready: CaughtUp",
        "right is ready: ", // caught up with one, or together with left
        "right was told of a change: Some(Key {",
        "left sees 42 visits, 1 in the room",
        "left sees 2 votes for left, 1 silent",
        "the daemon sees 42 visits",
        "the daemon sees the tour in London",
        "right sees 2 guests",
        "the room is empty again",
        "right has left; everything it held is at ", // at one, by its promise; mostly at both
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(!text.contains("everything it held is at 0 "), "{text}");
}
