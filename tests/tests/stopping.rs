//! How a daemon stops: what it waits for, what it does not wait for, and what its exit code says.

use std::path::Path;
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Daemon, Setup, Value, until};
use rustix::process::Signal;

/// Runs a command where the only name server is at 127.0.0.1 of a network of its own.
fn with_own_name_server(directory: &Path) -> Vec<String> {
    let file = directory.join("resolv.conf");
    // As patient as resolvers are by default: two attempts of five seconds.
    std::fs::write(&file, "nameserver 127.0.0.1\n").expect("the file is written");
    let script = "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
    let own = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"];
    own.iter().map(|it| (*it).to_owned()).chain([file.to_string_lossy().into_owned()]).collect()
}

#[test]
fn a_name_server_that_never_answers_keeps_no_stopped_daemon_alive() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut setup = Setup::new("a", directory.path());
    setup.within = with_own_name_server(directory.path());
    // The daemon is itself what sits at the name server's port, and answers no question about names.
    setup.listen = "127.0.0.1:53".parse().expect("an address");
    setup.flags = ["--seed", "nobody.invalid.example:7101"].map(str::to_owned).into();
    let daemon = Daemon::start(setup);
    until("the name is asked for", || {
        let status = daemon.status();
        let Value::Map(refused) = status.at("datagrams_refused") else { panic!("{status:?}") };
        let sum: i64 = refused.values().map(Value::integer).sum();
        if sum > 0 { Ok(()) } else { Err("no foreign datagram came".to_owned()) }
    });
    let begun = Instant::now();
    assert_eq!(daemon.terminate().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
}

/// A daemon with these flags beside the one given, if one is.
fn beside(directory: &Path, node: &str, other: Option<&Daemon>, flags: &[&str]) -> Daemon {
    let mut setup = Setup::new(node, directory);
    setup.seeds = other.iter().map(|other| other.setup.listen).collect();
    setup.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let daemon = Daemon::start(setup);
    if let Some(other) = other {
        daemon.await_peers(1);
        other.await_peers(1);
    }
    daemon
}

fn await_stopping(daemon: &Daemon) {
    until("it was told to stop", || match daemon.status().at("stopping") {
        Value::Boolean(true) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn log_of(directory: &Path, node: &str) -> String {
    std::fs::read_to_string(directory.join(format!("{node}.log"))).expect("a log")
}

#[test]
fn what_clients_write_after_sigterm_is_taken_on_old_and_new_connections_and_handed_over() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let b = beside(directory.path(), "b", None, &[]);
    let a = beside(directory.path(), "a", Some(&b), &["--linger-ms", "600000"]);
    let mut old = a.client();
    old.words("SET before 1");
    a.signal(Signal::TERM);
    await_stopping(&a);
    assert_eq!(*a.status().at("ready"), Value::Boolean(false), "no new work should come here");
    until("the other daemon is told", || {
        let members = b.ask("CAHOOTS MEMBERS");
        let told = members.array().iter().any(|it| {
            *it.at("node") == Value::text("a")
                && *it.at("state") == Value::text("live")
                && *it.at("ready") == Value::Boolean(false)
        });
        if told { Ok(()) } else { Err(format!("{members:?}")) }
    });
    assert_eq!(old.words("SET old 2"), Value::text("OK"));
    // An application that connects for each command.
    for number in 0..3 {
        assert_eq!(a.ask(&format!("INCRBY new {number}")), Value::Integer([0, 1, 3][number]));
    }
    drop(old);
    assert_eq!(a.wait().code(), Some(0));
    let log = log_of(directory.path(), "a");
    assert!(log.contains("no client is left"), "{log}");
    assert_eq!(b.ask("MGET before old new"), Value::Array(["1", "2", "3"].map(Value::text).into()));
    assert!(!directory.path().join("a.sock").exists(), "it removes its socket");
}

#[test]
fn a_second_sigterm_ends_the_lingering_and_a_third_the_hand_over() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let b = beside(directory.path(), "b", None, &[]);
    let a = beside(directory.path(), "a", Some(&b), &["--linger-ms", "600000", "--drain-ms", "600000"]);
    drop(b.kill());
    until("it sees that nobody is there", || match a.live_peers() {
        0 => Ok(()),
        live => Err(live.to_string()),
    });
    let mut client = a.client();
    client.words("SET nobody has-this");
    a.signal(Signal::TERM);
    await_stopping(&a);
    assert_eq!(client.words("PING"), Value::text("PONG"));
    a.signal(Signal::TERM);
    assert!(client.receive().is_err(), "clients are cut");
    until("it hands over", || match log_of(directory.path(), "a").contains("serving no longer reason=\"SIGTERM\"") {
        true => Ok(()),
        false => Err("not in its log".to_owned()),
    });
    a.signal(Signal::TERM);
    assert_eq!(a.wait().code(), Some(3));
}

#[test]
fn sigint_and_cahoots_leave_do_not_wait_for_clients() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (node, leave) in [("i", false), ("l", true)] {
        let daemon = beside(directory.path(), node, None, &["--linger-ms", "600000"]);
        let mut client = daemon.client();
        if leave {
            daemon.ask("CAHOOTS LEAVE");
        } else {
            daemon.signal(Signal::INT);
        }
        assert!(client.receive().is_err(), "{node}: clients are cut");
        assert_eq!(daemon.wait().code(), Some(0), "{node}: nothing was written");
    }
}

/// What is written after it was asked to leave is handed over before it exits, and nobody waits for the last of that to be told.
#[test]
fn cahoots_leave_is_answered_while_a_client_writes_and_what_it_wrote_is_handed_over() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let b = beside(directory.path(), "b", None, &[]);
    let a = beside(directory.path(), "a", Some(&b), &["--drain-ms", "20000"]);
    let mut writer = a.client();
    let writing = std::thread::spawn(move || {
        let written = |n: &u64| {
            writer.try_call(&[b"SET", b"key", n.to_string().as_bytes()]).is_ok_and(|it| it == Value::text("OK"))
        };
        (1..u64::MAX).take_while(written).last().expect("some were written")
    });
    until("it writes", || match b.ask("GET key") {
        Value::Text(_) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let begun = Instant::now();
    let left = a.ask("CAHOOTS LEAVE");
    assert_eq!(
        (left.at("handed_over"), left.at("complete_at")),
        (&Value::Boolean(true), &Value::Integer(1)),
        "{left:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "it does not take all of its time");
    assert_eq!(a.wait().code(), Some(0));
    let last = writing.join().expect("the writer ends");
    assert_eq!(b.ask("GET key"), Value::text(&last.to_string()));
}

#[test]
fn cahoots_leave_is_answered_although_a_linger_ends_meanwhile() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let b = beside(directory.path(), "b", None, &[]);
    let a = beside(directory.path(), "a", Some(&b), &["--linger-ms", "600", "--drain-ms", "2000"]);
    a.ask("SET key value");
    let mut asking = a.client();
    b.signal(Signal::STOP);
    a.signal(Signal::TERM);
    await_stopping(&a);
    let left = asking.words("CAHOOTS LEAVE");
    assert_eq!(left.at("handed_over"), &Value::Boolean(false), "{left:?}");
    assert_eq!(a.wait().code(), Some(3));
    b.signal(Signal::CONT);
}

#[test]
fn connections_that_nobody_uses_are_let_go_after_half_of_the_time() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let daemon = beside(directory.path(), "a", None, &["--linger-ms", "3000"]);
    let _pool = [daemon.client(), daemon.client()];
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let (took, log) = (begun.elapsed(), log_of(directory.path(), "a"));
    assert!(took >= Duration::from_millis(1500), "an application may need a moment for its last words: {took:?}");
    assert!(log.contains("the clients that are left are idle"), "{log}");
}
