//! SIGHUP: what changes while a daemon runs, and that nothing is lost by it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cahoots_tests::cluster::{Daemon, Setup, Value, until};
use rustix::process::Signal;

fn log_of(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.setup.log()).expect("a log")
}

/// SIGHUP, and the line of the log that tells what came of it.
fn reload(daemon: &Daemon) -> String {
    let is_account = |line: &&str| line.contains("are read again") || line.contains("nothing is reloaded");
    let before = log_of(daemon).lines().filter(is_account).count();
    daemon.signal(Signal::HUP);
    until("it tells what it reloaded", || {
        let log = log_of(daemon);
        let told: Vec<_> = log.lines().filter(is_account).collect();
        if told.len() > before { Ok(told[told.len() - 1].to_owned()) } else { Err(log.clone()) }
    })
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("it is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("the mode changes");
}

#[test]
fn sighup_changes_what_can_change_says_what_cannot_and_a_bad_file_changes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("cahoots.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("it is written");
    write("log-level = \"info\"\njoin-timeout = 5.0\n");
    let mut setup = Setup::new("a", directory.path());
    setup.flags = vec!["--config".into(), file.to_string_lossy().into_owned()];
    let daemon = Daemon::start(setup);
    let mut client = daemon.client();
    client.words("SET k 1");

    let told = reload(&daemon);
    assert!(told.contains("changed=\"nothing\"") && told.contains("needs_a_restart=\"nothing\""), "{told}");

    write("log-level = \"debug\"\njoin-timeout = 6.0\n[limits]\nclients-max = 1\n");
    let told = reload(&daemon);
    for word in
        ["log-level from \\\"info\\\" to \\\"debug\\\"", "clients-max from 10000 to 1", "join-timeout from 5.0 to 6.0"]
    {
        assert!(told.contains(word), "no {word} in {told}");
    }
    let restart = told.split("needs_a_restart").nth(1).expect("it is told");
    assert!(restart.contains("join-timeout") && !restart.contains("clients-max"), "{told}");
    // The limit holds, and the client that was there is there.
    assert!(daemon.client().receive().is_err(), "it is closed");
    let Value::Text(stats) = client.words("INFO stats") else { panic!("INFO is a text") };
    let stats = String::from_utf8_lossy(&stats).into_owned();
    assert!(stats.contains("rejected_connections:1"), "{stats}");
    assert_eq!(client.words("GET k"), Value::text("1"));

    for bad in ["log-level = \"loud\"\n", "nonsense = 1\n", "key-file = \"/nowhere/key\"\n"] {
        write(bad);
        let told = reload(&daemon);
        assert!(told.contains("ERROR") && told.contains("nothing is reloaded"), "{told}");
    }
    // What needed a restart is told of until it has had one.
    write("log-level = \"info\"\njoin-timeout = 6.0\n[limits]\nclients-max = 100\n");
    let told = reload(&daemon);
    assert!(told.split("needs_a_restart").nth(1).is_some_and(|it| it.contains("join-timeout")), "{told}");
    assert_eq!(daemon.ask("GET k"), Value::text("1"), "others are let in again");
    assert_eq!(client.words("GET k"), Value::text("1"));
}

/// Three members with a key file each.
struct Keyed {
    daemons: Vec<Daemon>,
    files: Vec<PathBuf>,
    directory: tempfile::TempDir,
}

impl Keyed {
    fn start(key: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut daemons, mut files): (Vec<Daemon>, Vec<PathBuf>) = Default::default();
        for node in ["a", "b", "c"] {
            let file = directory.path().join(format!("{node}.key"));
            write_private(&file, key);
            daemons.push(Self::member(directory.path(), node, &file, &daemons));
            files.push(file);
        }
        daemons.iter().for_each(|daemon| daemon.await_peers(2));
        Self { daemons, files, directory }
    }

    fn member(directory: &Path, node: &str, key: &Path, seeds: &[Daemon]) -> Daemon {
        let mut setup = Setup::new(node, directory);
        setup.seeds = seeds.iter().map(|seed| seed.setup.listen).collect();
        setup.flags = vec!["--key-file".into(), key.to_string_lossy().into_owned()];
        Daemon::start(setup)
    }

    /// One member after the other reads this; after each one, what one writes all have.
    fn roll(&self, keys: &[&str]) {
        for (daemon, file) in self.daemons.iter().zip(&self.files) {
            write_private(file, &keys.iter().map(|key| format!("{key}\n")).collect::<String>());
            let told = reload(daemon);
            assert!(told.contains("keys from"), "{told}");
            self.all_replicate();
        }
    }

    fn all_replicate(&self) {
        for daemon in &self.daemons {
            let mut client = daemon.client();
            assert!(matches!(client.words("INCR n"), Value::Integer(_)));
            assert_eq!(client.words("WAIT 2 20000"), Value::Integer(2), "{} is heard by all", daemon.setup.node);
            assert_eq!(daemon.live_peers(), 2);
        }
    }
}

#[test]
fn a_cluster_changes_its_key_member_by_member_without_a_gap_and_the_old_one_is_worth_nothing_then() {
    let (old, new) = ("0".repeat(64), "1".repeat(64));
    let keyed = Keyed::start(&old);
    keyed.daemons[0].ask("SET big 1");
    keyed.all_replicate();
    keyed.roll(&[&old, &new]);
    keyed.roll(&[&new, &old]);
    // One that joins in between, with either first, catches up (over streams, if it must).
    let file = keyed.directory.path().join("d.key");
    write_private(&file, &format!("{new}\n{old}\n"));
    let joiner = Keyed::member(keyed.directory.path(), "d", &file, &keyed.daemons);
    joiner.await_peers(3);
    assert_eq!(joiner.ask("GET big"), Value::text("1"));
    assert_eq!(joiner.terminate().code(), Some(0));
    keyed.daemons.iter().for_each(|daemon| daemon.await_peers(2));
    keyed.roll(&[&new]);
    for daemon in &keyed.daemons {
        assert!(!log_of(daemon).contains("peer is down"), "nobody was ever lost: {}", log_of(daemon));
    }

    // With the old key alone nobody is a member.
    write_private(&file, &old);
    let mut setup = Setup::new("stranger", keyed.directory.path());
    setup.seeds = vec![keyed.daemons[0].setup.listen];
    setup.flags = ["--key-file", &*file.to_string_lossy(), "--join-timeout", "2"].map(str::to_owned).into();
    let stranger = Daemon::start(setup);
    until("it has given up", || match stranger.status().at("ready") {
        Value::Boolean(true) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!((stranger.live_peers(), keyed.daemons[0].live_peers()), (0, 2));
}

#[test]
fn a_key_cannot_be_added_or_taken_away_while_a_daemon_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (file, key) = (directory.path().join("cahoots.toml"), directory.path().join("key"));
    write_private(&key, &"2".repeat(64));
    std::fs::write(&file, "").expect("it is written");
    let mut setup = Setup::new("a", directory.path());
    setup.flags = vec!["--config".into(), file.to_string_lossy().into_owned()];
    let daemon = Daemon::start(setup);
    std::fs::write(&file, format!("key-file = {key:?}\n")).expect("it is written");
    let told = reload(&daemon);
    assert!(told.split("needs_a_restart").nth(1).is_some_and(|it| it.contains("key-file")), "{told}");
    assert_eq!(daemon.ask("SET k 1"), Value::text("OK"));
}
