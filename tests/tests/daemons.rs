//! Single daemons as their users meet them: signals, sockets, stock clients, the README.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Stdio};

use cahoots_tests::cluster::{Client, Daemon, Group, Setup, Value, until};

#[test]
fn a_daemon_told_to_end_hands_over_what_it_acknowledged() {
    let mut group = Group::start(2);
    let mut client = group[0].client();
    for hundred in 0..20 {
        // No more at a time than fit the sockets, or both sides wait for each other to read.
        for number in 0..100 {
            client.send(&[b"HSET", b"log", (hundred * 100 + number).to_string().as_bytes(), b"x"]).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(client.receive().unwrap(), Value::Integer(1));
        }
    }
    let status = group.take(0).terminate();
    assert_eq!(status.code(), Some(0));
    assert_eq!(group[1].ask("HLEN log"), Value::Integer(2_000), "at its end everything is here, not soon after");
    assert!(!group.directory().join("a.sock").exists(), "it removes its socket");
}

#[test]
fn a_daemon_that_cannot_hand_over_says_so_by_its_exit_code() {
    let mut group = Group::start_relayed(2, 4);
    group.relay.as_ref().unwrap().split(&[0], &[1]);
    group[0].ask("SET alone 1");
    assert_eq!(group.take(0).terminate().code(), Some(3));
}

#[test]
fn a_socket_left_over_from_a_kill_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(Setup::new("a", directory.path()));
    let setup = daemon.kill();
    assert!(setup.socket().exists(), "nobody removed it");
    let daemon = Daemon::start(setup.clone());
    daemon.ask("SET k 1");
    let mut second = cahoots_tests::cluster::command();
    second.args(["serve", "--node", "b", "--listen", "127.0.0.1:0", "--socket"]).arg(setup.socket());
    let output = second.output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("in use") && words.contains("a.sock"), "{words}");
    assert_eq!(daemon.ask("GET k"), Value::text("1"), "the first is unharmed");
}

#[test]
fn a_socket_that_cannot_be_made_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("x".repeat(120));
    let missing = directory.path().join("missing/c.sock");
    for (path, word) in [(long, "at most"), (missing, "missing")] {
        let mut serve = cahoots_tests::cluster::command();
        let output = serve.args(["serve", "--listen", "127.0.0.1:0", "--socket"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn a_stock_client_finds_what_it_expects() {
    let group = Group::start(2);
    let connect = |number: usize| {
        let address = format!("redis+unix://{}", group[number].setup.socket().display());
        redis::Client::open(address).unwrap().get_connection().unwrap()
    };
    let (mut here, mut there) = (connect(0), connect(1));
    redis::cmd("SET").arg("k").arg("v").exec(&mut here).unwrap();
    let value: String = redis::cmd("GET").arg("k").query(&mut here).unwrap();
    assert_eq!(value, "v");
    let (a, b): (i64, i64) = redis::pipe().incr("n", 1).hincr("h", "f", 5).query(&mut here).unwrap();
    assert_eq!((a, b), (1, 5));
    let (a, b): (i64, Vec<String>) = redis::pipe().sadd("s", "x").smembers("s").query(&mut here).unwrap();
    assert_eq!((a, b), (1, vec!["x".to_owned()]));
    let all: std::collections::HashMap<String, i64> = redis::cmd("HGETALL").arg("h").query(&mut here).unwrap();
    assert_eq!(all["f"], 5);
    let refused = redis::cmd("INCR").arg("k").exec(&mut here).unwrap_err();
    assert_eq!(refused.detail(), Some("value is not an integer or out of range"));
    let refused = redis::cmd("SADD").arg("k").arg("x").exec(&mut here).unwrap_err();
    assert_eq!(refused.code(), Some("WRONGTYPE"));
    let replicas: i64 = redis::cmd("WAIT").arg(1).arg(10_000).query(&mut here).unwrap();
    assert_eq!(replicas, 1);
    let (n, s): (i64, bool) = redis::pipe().get("n").sismember("s", "x").query(&mut there).unwrap();
    assert_eq!((n, s), (1, true));
    group.agree();
}

/// The commands of the README's blocks of shell, a block at a time.
fn readme_blocks() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let block = |block: &str| block.lines().flat_map(|line| line.split(" ; ")).map(str::to_owned).collect();
    readme.split("```sh\n").skip(1).map(|rest| block(rest.split("\n```").next().unwrap())).collect()
}

#[test]
fn the_session_in_the_readme_goes_as_it_says() {
    let blocks = readme_blocks();
    let directory = tempfile::tempdir().unwrap();
    // Whatever runs on this machine, the ports written there may be taken: others stand in for them.
    let reserved = [7101, 7102, 7103].map(|port| (port, UdpSocket::bind("127.0.0.1:0").unwrap()));
    let ports = reserved.map(|(port, socket)| (format!("127.0.0.1:{port}"), socket.local_addr().unwrap().to_string()));
    let mut terminals = Vec::new();
    for line in &blocks[0] {
        let line = ports.iter().fold(line.clone(), |line, (written, free)| line.replace(written, free));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "cahoots");
        let mut terminal = cahoots_tests::cluster::command();
        let terminal = terminal.args(&words[1..]).current_dir(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        terminals.push(Terminal(terminal));
    }
    for terminal in &mut terminals {
        let mut first = String::new();
        BufReader::new(terminal.0.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with("socket: "), "{first:?}");
    }
    let sockets = ["a.sock", "b.sock", "c.sock"].map(|name| directory.path().join(name));
    for socket in &sockets {
        until("everybody sees everybody", || {
            let status = Client::connect(socket).unwrap().words("CAHOOTS STATUS");
            if status.at("peers").array().len() == 2 { Ok(()) } else { Err(format!("{status:?}")) }
        });
    }
    let expected = [Value::Integer(3), Value::Integer(1), Value::text("3")];
    for (line, expected) in blocks[1].iter().zip(&expected) {
        let command = line.trim().strip_prefix("redis-cli -s ./").unwrap();
        let (socket, command) = command.split_once(' ').unwrap();
        // Typed by hand the last one comes a second later; here it may be ahead of the datagram.
        let mut client = Client::connect(&directory.path().join(socket)).unwrap();
        if *expected == Value::text("3") {
            until("the hits are counted everywhere", || match client.words("GET hits") {
                Value::Text(hits) if hits == b"3" => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        assert_eq!(client.words(command), *expected, "{line}");
    }
}

/// A process of a terminal, ended with the test.
struct Terminal(Child);

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
