//! Single daemons as their users meet them: signals, sockets, stock clients, the README.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use cahoots_tests::cluster::{Client, Daemon, Faults, Group, Setup, Value, until};

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

/// Sets `NAME:0`, `NAME:1`, ... until the daemon is gone, some at a time; counts what was answered.
fn write_until_it_ends(mut client: Client, name: &str, answered: &AtomicU64) {
    for first in (0..).step_by(20) {
        for number in first..first + 20 {
            if client.send(&[b"SET", format!("{name}:{number}").as_bytes(), b"x"]).is_err() {
                return;
            }
        }
        for _ in 0..20 {
            match client.receive() {
                Ok(reply) => assert_eq!(reply, Value::text("OK")),
                Err(_) => return,
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Ends daemon 0 of a group while four clients write to it as fast as they can; its exit code, and how many of each
/// client's writes were answered.
fn terminate_under_load(group: &mut Group, before: impl FnOnce(&Group)) -> (Option<i32>, Vec<u64>) {
    let answered = [(); 4].map(|()| AtomicU64::new(0));
    let mut code = None;
    std::thread::scope(|scope| {
        for (number, answered) in answered.iter().enumerate() {
            let client = group[0].client();
            scope.spawn(move || write_until_it_ends(client, &format!("w{number}"), answered));
        }
        let enough = |least: u64| {
            until("all clients have written", || {
                let counts: Vec<u64> = answered.iter().map(|it| it.load(Ordering::SeqCst)).collect();
                if counts.iter().all(|count| *count >= least) { Ok(counts[0]) } else { Err(format!("{counts:?}")) }
            })
        };
        enough(500);
        before(group);
        let now = answered.iter().map(|it| it.load(Ordering::SeqCst)).max().expect("four");
        enough(now + 100);
        code = group.take(0).terminate().code();
    });
    (code, answered.iter().map(|it| it.load(Ordering::SeqCst)).collect())
}

/// How many of the answered writes are at neither of these.
fn missing(answered: &[u64], daemons: &[&Daemon]) -> u64 {
    let mut missing = 0;
    for (writer, count) in answered.iter().enumerate() {
        let keys: Vec<String> = (0..*count).map(|number| format!("w{writer}:{number}")).collect();
        for chunk in keys.chunks(500) {
            let words: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(chunk.iter().map(String::as_bytes)).collect();
            let replies: Vec<Value> = daemons.iter().map(|daemon| daemon.client().call(&words)).collect();
            let absent = |at: &usize| replies.iter().all(|reply| reply.array()[*at] == Value::Null);
            missing += (0..chunk.len()).filter(absent).count() as u64;
        }
    }
    missing
}

#[test]
fn under_load_everything_acknowledged_is_on_a_peer_when_a_daemon_told_to_end_has_ended() {
    for stored in [false, true] {
        let mut group = if stored { Group::start_stored(3, &[]) } else { Group::start(3) };
        let (code, answered) = terminate_under_load(&mut group, |_| ());
        assert_eq!(code, Some(0));
        assert_eq!(missing(&answered, &[&group[1], &group[2]]), 0, "of {answered:?}");
    }
}

#[test]
fn under_load_and_cut_off_the_exit_code_says_so_and_what_is_on_disk_comes_later() {
    let mut group = Group::start_kept(3, 5, &["--drain-ms", "1000"]);
    let cut = |group: &Group| group.relay.as_ref().expect("there is one").split(&[0], &[1, 2]);
    let setup = group[0].setup.clone();
    let (code, answered) = terminate_under_load(&mut group, cut);
    assert_eq!(code, Some(3));
    assert!(missing(&answered, &[&group[1], &group[2]]) > 0, "the code is no false alarm");
    group.relay.as_ref().expect("there is one").set(Faults::default());
    let daemon = Daemon::start(setup);
    group.relay.as_ref().expect("there is one").attach(0, daemon.setup.listen);
    group.put(0, daemon);
    (0..3).for_each(|number| group[number].await_peers(2));
    group.agree_on_versions();
    assert_eq!(missing(&answered, &[&group[1]]), 0);
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
        // Whoever types them comes to the next terminal a moment later.
        until("everybody sees everybody, and serves", || {
            let status = Client::connect(socket).unwrap().words("CAHOOTS STATUS");
            let is_there = status.at("peers").array().len() == 2 && *status.at("serving") == Value::Boolean(true);
            if is_there { Ok(()) } else { Err(format!("{status:?}")) }
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
