//! `cahoots demo` ends by itself, says that all agree, and leaves nothing behind, also when it is interrupted.

mod process;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use process::cahoots;
use rustix::process::{Pid, Signal, kill_process};

fn demo(directory: &Path) -> Child {
    cahoots()
        .arg("demo")
        .env("TMPDIR", directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// The processes the demo says it has started.
fn processes(text: &str) -> Vec<u32> {
    let words = text.lines().filter_map(|line| line.split_once("  process "));
    words.map(|(_, rest)| rest.split(' ').next().expect("a word").parse().expect("a number")).collect()
}

fn assert_nothing_is_left(directory: &Path, processes: &[u32]) {
    assert_eq!(processes.len(), 3);
    for process in processes {
        assert!(!Path::new(&format!("/proc/{process}")).exists(), "process {process} is left");
    }
    assert_eq!(std::fs::read_dir(directory).expect("the directory").count(), 0, "files are left");
}

#[test]
fn the_demo_heals_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let begun = Instant::now();
    let output = demo(directory.path()).wait_with_output().expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = text.split("all three have one state:").nth(1).expect("the outcome");
    for name in ["a", "b", "c"] {
        assert!(
            after.contains(&format!("{name}: visits 111  cart bread eggs milk   user city London, name Ada")),
            "{text}"
        );
    }
    assert_nothing_is_left(directory.path(), &processes(&text));
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut child = demo(directory.path());
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    while !text.contains("found each other") {
        assert_ne!(stdout.read_line(&mut text).expect("text"), 0, "ended early: {text}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    stdout.read_to_string(&mut text).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(!text.contains("one state"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
    assert_nothing_is_left(directory.path(), &processes(&text));
}
