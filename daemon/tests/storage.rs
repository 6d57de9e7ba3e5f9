//! A daemon with a data directory: stopped, killed, copied, damaged.

mod process;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use process::{Client, Process, cahoots};
use rustix::process::Signal;

fn serve(socket: &Path, data: &Path, args: &[&str]) -> Process {
    let data = data.to_string_lossy().into_owned();
    let all: Vec<&str> = ["--data-dir", &data].into_iter().chain(args.iter().copied()).collect();
    Process::cahoots_at(socket, &all)
}

fn stop(mut daemon: Process, signal: Signal) -> Option<i32> {
    daemon.signal(signal);
    daemon.wait().code()
}

/// A daemon that is expected not to start: how it ended, and what it said.
fn refused(socket: &Path, data: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = cahoots();
    command.arg("serve").arg("--socket").arg(socket).arg("--data-dir").arg(data);
    let output = command.args(["--listen", "127.0.0.1:0", "--log-level", "off"]).args(args).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn info(client: &mut Client, name: &str) -> String {
    let info = client.words("INFO").text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    line.unwrap_or_else(|| panic!("no {name} in {info}")).to_owned()
}

#[test]
fn a_restart_has_everything_again_under_the_same_id_and_a_kill_under_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data) = (directory.path().join("s"), directory.path().join("data"));
    let daemon = serve(&socket, &data, &[]);
    let mut client = daemon.client();
    for words in ["SET a 1", "INCRBY n 41", "SADD s x y", "HSET h f v", "SET gone 1", "DEL gone"] {
        client.words(words);
    }
    let id = info(&mut client, "replica_id");
    assert_eq!(info(&mut client, "aof_enabled"), "1");
    assert_eq!(stop(daemon, Signal::TERM), Some(0), "it was always alone, and everything is on its disk");

    let daemon = serve(&socket, &data, &["--appendfsync", "always"]);
    let mut client = daemon.client();
    assert_eq!(info(&mut client, "replica_id"), id);
    assert_eq!((client.words("DBSIZE").integer(), client.words("INCR n").integer()), (4, 42));
    assert_eq!(client.words("SISMEMBER s y").integer(), 1);
    stop(daemon, Signal::KILL);

    let daemon = serve(&socket, &data, &[]);
    let mut client = daemon.client();
    assert_ne!(info(&mut client, "replica_id"), id);
    assert_eq!((client.words("GET n").text(), client.words("EXISTS gone").integer()), ("42".into(), 0));
    assert_eq!(client.words("INCR n").integer(), 43);
}

#[test]
fn under_always_every_answer_waits_for_the_disk_and_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data) = (directory.path().join("s"), directory.path().join("data"));
    for round in 0..5 {
        let daemon = serve(&socket, &data, &["--appendfsync", "always"]);
        let mut client = daemon.client();
        for n in 0..=round * 10 {
            assert_eq!(client.words(&format!("SET key{round}:{n} {n}")).text(), "OK");
        }
        stop(daemon, Signal::KILL);
    }
    let daemon = serve(&socket, &data, &[]);
    assert_eq!(daemon.client().words("DBSIZE").integer(), 1 + 11 + 21 + 31 + 41);
}

#[test]
fn a_directory_in_use_of_another_cluster_or_no_directory_is_refused_with_exit_code_4() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data, other) = (directory.path().join("s"), directory.path().join("data"), directory.path().join("t"));
    let daemon = serve(&socket, &data, &[]);
    let (code, said) = refused(&other, &data, &[]);
    assert!(code == Some(4) && said.contains("in use by another process") && said.contains("data"), "{code:?} {said}");
    stop(daemon, Signal::TERM);
    let (code, said) = refused(&other, &data, &["--cluster", "another"]);
    assert!(code == Some(4) && said.contains("\"another\""), "{code:?} {said}");
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for wrong in [file.join("data"), file.clone(), directory.path().join("not/there")] {
        let (code, said) = refused(&other, &wrong, &[]);
        assert!(code == Some(4) && said.contains(&*wrong.to_string_lossy()), "{code:?} {said}");
    }
}

#[test]
fn damage_is_found_named_and_can_be_repaired_from_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data) = (directory.path().join("s"), directory.path().join("data"));
    let daemon = serve(&socket, &data, &["--appendfsync", "always"]);
    let mut client = daemon.client();
    for n in 0..50 {
        client.words(&format!("SET key{n} {n}"));
    }
    stop(daemon, Signal::TERM);
    let sound = run(cahoots().arg("check").arg(&data));
    assert!(sound.status.success() && text(&sound.stdout).contains("50 keys"), "{}", text(&sound.stdout));
    let log = data.join("log-0000000001");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let (code, said) = refused(&socket, &data, &[]);
    assert!(code == Some(4) && said.contains("log-0000000001") && said.contains("--repair"), "{code:?} {said}");
    let check = run(cahoots().arg("check").arg(&data).arg("--json"));
    assert_eq!(check.status.code(), Some(4));
    assert!(text(&check.stdout).contains("\"sound\": false"));
    let daemon = serve(&socket, &data, &["--repair"]);
    let keys = daemon.client().words("DBSIZE").integer();
    assert!((1..50).contains(&keys), "{keys}");
    stop(daemon, Signal::TERM);
    let daemon = serve(&socket, &data, &[]);
    assert_eq!(daemon.client().words("DBSIZE").integer(), keys, "what was repaired is whole");
}

#[test]
fn a_half_written_end_is_dropped_and_the_rest_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data) = (directory.path().join("s"), directory.path().join("data"));
    let daemon = serve(&socket, &data, &["--appendfsync", "always"]);
    for n in 0..10 {
        daemon.client().words(&format!("SET key{n} {n}"));
    }
    stop(daemon, Signal::KILL);
    let mut log = std::fs::File::options().append(true).open(data.join("log-0000000001")).unwrap();
    log.write_all(&[0xCA, 0x07, 1, 0, 200, 0, 0, 0, 9, 9]).unwrap();
    let check = run(cahoots().arg("check").arg(&data));
    assert!(check.status.success() && text(&check.stdout).contains("10 bytes at the end"), "{}", text(&check.stdout));
    let daemon = serve(&socket, &data, &[]);
    assert_eq!(daemon.client().words("DBSIZE").integer(), 10);
}

#[test]
fn save_makes_a_directory_to_start_from_and_memory_has_nothing_to_save() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data) = (directory.path().join("s"), directory.path().join("data"));
    let daemon = serve(&socket, &data, &[]);
    let mut client = daemon.client();
    client.words("MSET a 1 b 2");
    assert_eq!(client.words("WAITAOF 1 0 10000").parts()[0].integer(), 1);
    assert_eq!(client.words("SAVE").text(), "OK");
    assert!(client.words("LASTSAVE").integer() > 1_700_000_000);
    client.words("SET c 3");
    assert_eq!(client.words("BGSAVE").text(), "Background saving started");
    let copy = std::fs::read_dir(data.join("backup")).unwrap().next().unwrap().unwrap().path();
    let second = serve(&directory.path().join("t"), &copy, &[]);
    let mut of_copy = second.client();
    assert!(of_copy.words("DBSIZE").integer() >= 2);
    assert_ne!(info(&mut of_copy, "replica_id"), info(&mut client, "replica_id"));

    let memory = Process::cahoots(&[]);
    let mut client = memory.client();
    for words in ["SAVE", "BGSAVE"] {
        assert!(client.words(words).text().starts_with("ERR this node keeps everything in memory"));
    }
    assert!(client.words("WAITAOF 1 0 10").text().contains("appendonly is disabled"));
    assert_eq!(client.words("WAITAOF 0 0 10").parts().len(), 2);
    assert!(client.words("WAITAOF 2 0 10").text().contains("out of range"));
}

#[test]
fn what_is_exported_from_a_directory_or_a_node_can_be_imported_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, data) = (directory.path().join("s"), directory.path().join("data"));
    let daemon = serve(&socket, &data, &[]);
    let mut client = daemon.client();
    client.words("MSET a 1 b 2");
    client.words("INCRBY n 7");
    client.words("SADD set x y z");
    client.words("HSET hash f 1 g 2");
    client.call(&[&b"SET"[..], b"\xFF\x00", b"\r\n\xFE"]);
    let live = run(cahoots().arg("export").arg("--socket").arg(&socket));
    assert!(live.status.success(), "{}", text(&live.stderr));
    stop(daemon, Signal::TERM);
    let stopped = run(cahoots().arg("export").arg(&data));
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<String> = text(bytes)
            .lines()
            .skip(1)
            .map(|line| {
                let mut bytes: Vec<u8> = line.bytes().collect();
                bytes.sort_unstable();
                text(&bytes)
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&live.stdout), sorted(&stopped.stdout));
    assert!(text(&stopped.stdout).ends_with("{\"end\":6}\n"));

    let other = Process::cahoots(&[]);
    let import = |stream: &[u8]| {
        let mut command = cahoots();
        command.arg("import").arg("--socket").arg(&other.socket);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stream).unwrap();
        child.wait_with_output().unwrap()
    };
    let done = import(&stopped.stdout);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut client = other.client();
    assert_eq!((client.words("DBSIZE").integer(), client.words("GET n").text()), (6, "7".into()));
    assert_eq!(client.call(&[&b"GET"[..], b"\xFF\x00"]), client.call(&[&b"ECHO"[..], b"\r\n\xFE"]));
    assert_eq!((client.words("SCARD set").integer(), client.words("HGET hash g").text()), (3, "2".into()));
    let cut = import(&stopped.stdout[..stopped.stdout.len() - 10]);
    assert!(!cut.status.success() && text(&cut.stderr).contains("cut off"), "{}", text(&cut.stderr));
}

#[test]
fn leave_hands_everything_over_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let mut first = Process::cahoots_at(&one, &["--node", "one"]);
    let status = first.client().words("CAHOOTS STATUS");
    let parts: Vec<_> = status.parts().to_vec();
    let listen = parts.iter().position(|part| format!("{part:?}").contains("listen")).unwrap();
    let address = parts[listen + 1].text();
    let second = Process::cahoots_at(&two, &["--node", "two", "--seed", &address]);
    let mut client = second.client();
    let begun = std::time::Instant::now();
    while client.words("SET a 1").text() != "OK" {
        assert!(begun.elapsed() < process::PATIENCE, "it never serves");
    }
    assert_eq!(client.words("WAIT 1 20000").integer(), 1);
    client.words("SET b 1");
    let left = run(cahoots().arg("leave").arg("--socket").arg(&two));
    assert!(left.status.success() && text(&left.stdout).contains("on 1 other"), "{}", text(&left.stdout));
    let mut second = second;
    assert_eq!(second.wait().code(), Some(0));
    assert_eq!(first.client().words("MGET a b").parts().len(), 2);
    assert_eq!(first.client().words("GET b").text(), "1");
    let left = run(cahoots().arg("leave").arg("--socket").arg(&one));
    assert_eq!(left.status.code(), Some(3), "it is the last to hold what the other wrote: {}", text(&left.stdout));
    first.wait();
}
