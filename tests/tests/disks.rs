//! Data directories as their users meet them: copied, full, forbidden, damaged, backed up.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cahoots_tests::cluster::{Daemon, Group, Setup, SmallDisk, Value, command, until};
use xxhash_rust::xxh3::xxh3_64;

/// Copies a directory with everything in it but sockets and logs of others.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("it is new");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().expect("a file"))).expect("it is copied");
        }
    }
}

/// A further member of the group's cluster, on this directory.
fn member(group: &Group, node: &str, data: &Path) -> Setup {
    let mut setup = Setup::new(node, group.directory());
    setup.seeds = vec![group[0].setup.listen];
    setup.flags = vec!["--data-dir".into(), data.to_string_lossy().into_owned()];
    setup
}

#[test]
fn a_copied_directory_is_refused_while_its_original_runs_and_after_and_taken_with_a_new_id() {
    let mut group = Group::start_stored(2, &[]);
    assert_eq!(group[1].ask("INCRBY n 5"), Value::Integer(5));
    group.agree();
    let (original, of_running) = (group.directory().join("b.data"), group.directory().join("c.data"));
    copy(&original, &of_running);
    let refused = |setup: &Setup| {
        let (code, log) = Daemon::start_in_vain(setup.clone());
        assert_eq!(code, Some(5), "{log}");
        for word in ["copied or moved", "--new-id", "b.data"] {
            assert!(log.contains(word), "{word}: {log}");
        }
        assert!(log.contains(setup.flags[1].as_str()), "it names the directory: {log}");
    };
    let c = member(&group, "c", &of_running);
    refused(&c);
    assert_eq!(group[1].ask("INCRBY n 1"), Value::Integer(6), "the original goes on");

    // A copy of one that was stopped; the original goes on under its id, whatever became of the copy.
    let id = group[1].status().at("id").clone();
    let stopped = group.take(1);
    let setup = stopped.setup.clone();
    assert_eq!(stopped.terminate().code(), Some(0));
    let of_stopped = group.directory().join("d.data");
    copy(&original, &of_stopped);
    let d = member(&group, "d", &of_stopped);
    refused(&d);
    let with_new_id = |mut setup: Setup| {
        setup.flags.push("--new-id".into());
        Daemon::start(setup)
    };
    let (c, d) = (with_new_id(c), with_new_id(d));
    group.put(1, Daemon::start(setup));
    assert_eq!(*group[1].status().at("id"), id);
    let ids = [c.status(), d.status()].map(|status| status.at("id").clone());
    assert!(ids[0] != id && ids[1] != id && ids[0] != ids[1]);
    group.push(c);
    group.push(d);
    (0..4).for_each(|number| group[number].await_peers(3));
    assert_eq!(group[3].ask("INCRBY n 10"), Value::Integer(16));
    assert_eq!(group[1].ask("SET on b"), Value::text("OK"));
    group.agree();
    assert_eq!(group[2].ask("GET n"), Value::text("16"));

    // From then on it is at home.
    let taken = group.take(3);
    let mut setup = taken.setup.clone();
    setup.flags.retain(|flag| flag != "--new-id");
    assert_eq!(taken.terminate().code(), Some(0));
    let daemon = Daemon::start(setup);
    assert_eq!(*daemon.status().at("id"), ids[1]);
    group.put(3, daemon);
    (0..4).for_each(|number| group[number].await_peers(3));
    group.agree();
}

/// Makes a copy look like its original, as the image of a disk would: its `identity` names the place of its own `lock`.
fn disguise(data: &Path) {
    use std::os::unix::fs::MetadataExt;
    let lock = std::fs::metadata(data.join("lock")).expect("a lock");
    let born = lock.created().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    rewrite_identity(data, |line| match line.strip_prefix("place ").and_then(|place| place.split('-').next()) {
        Some(machine) => format!("place {machine}-{:x}-{:x}", lock.ino(), born.map_or(0, |it| it.as_nanos())),
        None => line.to_owned(),
    });
}

/// Changes lines of a directory's `identity`, which is then as sound as before.
fn rewrite_identity(data: &Path, change: impl Fn(&str) -> String) {
    let path = data.join("identity");
    let text = std::fs::read_to_string(&path).expect("an identity");
    let lines = text.lines().filter(|line| !line.starts_with("checksum "));
    let body: String = lines.map(|line| change(line) + "\n").collect();
    std::fs::write(&path, format!("{body}checksum {:016x}\n", xxh3_64(body.as_bytes()))).expect("it is written");
}

#[test]
fn of_two_live_daemons_with_one_id_the_younger_ends_and_says_why_and_starts_again_with_a_new_id() {
    let mut group = Group::start_stored(2, &[]);
    assert_eq!(group[1].ask("INCRBY n 5"), Value::Integer(5));
    group.agree();
    let stopped = group.take(1);
    let (setup, image) = (stopped.setup.clone(), group.directory().join("c.data"));
    assert_eq!(stopped.terminate().code(), Some(0));
    copy(&group.directory().join("b.data"), &image);
    disguise(&image);
    let original = Daemon::start(setup);
    let id = original.status().at("id").clone();
    group.put(1, original);
    (0..2).for_each(|number| group[number].await_peers(1));

    let mut c = member(&group, "c", &image);
    let (code, log) = Daemon::start_in_vain(c.clone());
    assert_eq!(code, Some(5), "{log}");
    let Value::Text(hex) = &id else { panic!("{id:?} is no text") };
    assert!(log.contains(&*String::from_utf8_lossy(hex)) && log.contains("--new-id"), "{log}");
    assert_eq!(*group[1].status().at("id"), id, "the older goes on under its id");
    assert_eq!(group[1].ask("INCRBY n 1"), Value::Integer(6));
    c.flags.push("--new-id".into());
    group.push(Daemon::start(c));
    (0..3).for_each(|number| group[number].await_peers(2));
    assert_eq!(group[2].ask("INCRBY n 10"), Value::Integer(16));
    group.agree();
}

/// What INFO says under this name.
fn info(daemon: &Daemon, name: &str) -> String {
    let Value::Text(info) = daemon.ask("INFO") else { panic!("INFO is a text") };
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {info}"))
}

/// A command of the binary that ends by itself: its exit code, what it printed, and what it said of errors.
fn run(words: &[&str], within: &[String]) -> (Option<i32>, String, String) {
    let plain = command();
    let mut all: Vec<&std::ffi::OsStr> = within.iter().map(std::ffi::OsStr::new).collect();
    all.push(plain.get_program());
    all.extend(words.iter().map(std::ffi::OsStr::new));
    let output = Command::new(all[0]).args(&all[1..]).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Overwrites a few large keys until the daemon says that its disk fails.
fn fill(daemon: &Daemon) {
    let (mut client, value) = (daemon.client(), vec![b'v'; 64 << 10]);
    for number in 0..100_000 {
        // Under `always`, a client whose write was under way hears nothing any more: nobody can say whether it is kept.
        let reply = client.try_call(&[b"SET", format!("filler:{}", number % 20).as_bytes(), &value]);
        if info(daemon, "aof_last_write_status") == "err" {
            return;
        }
        assert_eq!(reply.expect("only a failing disk ends a connection"), Value::text("OK"));
    }
    panic!("the disk was never full");
}

fn await_written(daemon: &Daemon) {
    until("everything is on disk again", || match info(daemon, "aof_last_write_status") {
        ok if ok == "ok" => Ok(()),
        other => Err(other),
    });
}

#[test]
fn on_a_full_disk_memory_goes_on_and_says_so_and_everything_is_kept_once_there_is_space() {
    for policy in ["everysec", "always"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = SmallDisk::new(&directory.path().join("disk"), 32);
        let ballast = disk.from_outside().join("ballast");
        std::fs::write(&ballast, vec![1; 12 << 20]).expect("there is space");
        let peer = Daemon::start(Setup::new("peer", directory.path()));
        let mut setup = Setup::new("full", directory.path()).stored(&disk.path().join("data"));
        setup.flags.extend(["--appendfsync".to_owned(), policy.to_owned()]);
        setup.within = disk.within();
        setup.seeds = vec![peer.setup.listen];
        let daemon = Daemon::start(setup.clone());
        daemon.await_peers(1);
        assert_eq!(daemon.ask("SET kept 1"), Value::text("OK"));
        fill(&daemon);

        // Reads are answered; writes too, unless their promise could not be kept. Peers have them.
        assert_eq!(daemon.ask("GET kept"), Value::text("1"));
        let written = daemon.client().call(&[b"SET", b"while", b"full"]);
        if policy == "always" {
            let Value::Error(refusal) = written else { panic!("{written:?}") };
            assert!(refusal.starts_with("MISCONF") && refusal.contains("No space left"), "{refusal}");
        } else {
            assert_eq!(written, Value::text("OK"));
            let mut client = daemon.client();
            client.words("SET for peer");
            assert_eq!(client.words("WAIT 1 10000"), Value::Integer(1));
            assert_eq!(peer.ask("GET while"), Value::text("full"));
        }
        let error = info(&daemon, "storage_error");
        assert!(error.contains("No space left") && error.contains("data/log-"), "it names the file: {error}");
        let Value::Error(refusal) = daemon.client().call(&[b"SAVE"]) else { panic!("there is no space for a copy") };
        assert!(refusal.contains("No space left"), "{refusal}");
        assert_eq!(info(&daemon, "rdb_last_bgsave_status"), "err");
        let status = daemon.status();
        assert_ne!(*status.at("storage").at("state"), Value::text("ok"));
        let (_, shown, _) = run(&["status", "--socket", &setup.socket().to_string_lossy()], &[]);
        assert!(shown.contains("No space left"), "{shown}");

        // Stopped like this, it says that not everything is on disk.
        assert_eq!(daemon.terminate().code(), Some(6));
        let (code, shown, errors) = run(&["check", &disk.path().join("data").to_string_lossy()], &disk.within());
        assert_eq!(code, Some(0), "what is there is sound: {shown}{errors}");

        // No space even to begin: it serves as one whose disk has become full just now, under an id the disk does not know.
        let daemon = Daemon::start(setup.clone());
        daemon.await_peers(1);
        assert_eq!(daemon.ask("GET kept"), Value::text("1"));
        let storage = daemon.status().at("storage").clone();
        assert_eq!(*storage.at("state"), Value::text("failing"));
        let error = info(&daemon, "storage_error");
        assert!(error.contains("No space left") && error.contains("disk/data/"), "it names the file: {error}");
        let written = daemon.client().call(&[b"SET", b"begun", b"full"]);
        match (policy, &written) {
            ("always", Value::Error(refusal)) => assert!(refusal.starts_with("MISCONF"), "{refusal}"),
            ("everysec", written) => assert_eq!(*written, Value::text("OK")),
            _ => panic!("{policy}: {written:?}"),
        }
        let log = std::fs::read_to_string(setup.log()).expect("a log");
        assert!(log.contains("nothing new is kept"), "{log}");
        let fresh = daemon.status().at("id").clone();

        // Space returns while it runs.
        std::fs::remove_file(&ballast).expect("it is there");
        await_written(&daemon);
        assert_eq!(daemon.terminate().code(), Some(0));
        let daemon = Daemon::start(setup.clone());
        daemon.await_peers(1);
        assert_eq!(*daemon.status().at("id"), fresh, "the id is the disk's by now, and everything is there");
        assert_eq!(daemon.ask("GET kept"), Value::text("1"));
        if policy == "everysec" {
            assert_eq!(daemon.ask("GET begun"), Value::text("full"));
        }
        std::fs::write(&ballast, vec![1; 8 << 20]).expect("there is space");
        fill(&daemon);
        std::fs::remove_file(&ballast).expect("it is there");
        await_written(&daemon);
        assert_eq!(daemon.ask("SAVE"), Value::text("OK"));
        assert_eq!(info(&daemon, "rdb_last_bgsave_status"), "ok");
        let mut client = daemon.client();
        assert_eq!(client.words("SET after 1"), Value::text("OK"));
        assert_eq!(client.words("WAITAOF 1 0 10000").array()[0], Value::Integer(1));
        let id = daemon.status().at("id").clone();
        assert_eq!(daemon.terminate().code(), Some(0));
        let daemon = Daemon::start(setup);
        daemon.await_peers(1);
        assert_eq!(*daemon.status().at("id"), id, "everything was there");
        for (key, value) in [("kept", "1"), ("after", "1")] {
            assert_eq!(daemon.ask(&format!("GET {key}")), Value::text(value), "{policy}");
        }
        assert_eq!(daemon.ask("DBSIZE"), peer.ask("DBSIZE"));
    }
}

#[test]
fn a_read_only_directory_is_served_from_memory_and_a_new_or_forbidden_one_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = SmallDisk::new(&directory.path().join("disk"), 8);
    let mut setup = Setup::new("a", directory.path()).stored(&disk.path().join("data"));
    setup.within = disk.within();
    let daemon = Daemon::start(setup.clone());
    assert_eq!(daemon.ask("SET k 1"), Value::text("OK"));
    assert_eq!(daemon.terminate().code(), Some(0));
    disk.set_read_only(true);
    // A new directory has nothing to serve.
    let mut new = Setup::new("n", directory.path()).stored(&disk.path().join("new"));
    new.within = disk.within();
    let (code, log) = Daemon::start_in_vain(new);
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("Read-only file system") && log.contains("disk/new"), "{log}");
    // What it holds can be read, and moved to another.
    let data = disk.path().join("data").to_string_lossy().into_owned();
    assert_eq!(run(&["check", &data], &disk.within()).0, Some(0));
    let (code, exported, errors) = run(&["export", &data], &disk.within());
    assert!(code == Some(0) && exported.contains("\"k\""), "{exported}{errors}");
    // What was used before is served from memory, and kept again once that can be.
    let daemon = Daemon::start(setup.clone());
    assert_eq!(daemon.ask("GET k"), Value::text("1"));
    let error = info(&daemon, "storage_error");
    assert!(error.contains("Read-only file system") && error.contains("disk/data/"), "{error}");
    let (code, log) = Daemon::start_in_vain(Setup { node: "second".into(), ..setup.clone() });
    assert!(code == Some(4) && log.contains("in use by another process"), "it is locked all the same: {log}");
    assert_eq!(daemon.ask("SET later 2"), Value::text("OK"));
    disk.set_read_only(false);
    await_written(&daemon);
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = Daemon::start(setup.clone());
    assert_eq!(daemon.ask("MGET k later"), Value::Array(["1", "2"].map(Value::text).into()));
    drop(daemon);
    // Somebody else's: the superuser of a namespace may do nothing there, and anybody else neither.
    let data = disk.path().join("theirs");
    let theirs = disk.from_outside().join("theirs");
    std::fs::create_dir(&theirs).expect("it is new");
    std::fs::set_permissions(&theirs, Permissions::from_mode(0o700)).expect("it is ours");
    if std::os::unix::fs::chown(&theirs, Some(1), Some(1)).is_err() {
        std::fs::set_permissions(&theirs, Permissions::from_mode(0o000)).expect("it is ours");
    }
    let mut setup = Setup::new("b", directory.path()).stored(&data);
    setup.within = disk.within();
    let (code, log) = Daemon::start_in_vain(setup);
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("Permission denied") && log.contains("disk/theirs"), "{log}");
}

/// The segments of a log, oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).expect("it is there").map(|entry| entry.expect("it can be read").path());
    let is_segment = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-"));
    let mut segments: Vec<PathBuf> = entries.filter(is_segment).collect();
    segments.sort();
    segments
}

#[test]
fn damage_ends_the_start_with_the_name_of_the_file_and_a_peer_makes_good_what_was_lost() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let peer = Daemon::start(Setup::new("peer", directory.path()));
    let data = directory.path().join("data");
    let mut setup = Setup::new("a", directory.path()).stored(&data);
    setup.seeds = vec![peer.setup.listen];
    let daemon = Daemon::start(setup.clone());
    daemon.await_peers(1);
    let mut client = daemon.client();
    (0..500).for_each(|n| drop(client.words(&format!("SET key:{n} {n}"))));
    assert_eq!(client.words("WAIT 1 10000"), Value::Integer(1));
    assert_eq!(daemon.terminate().code(), Some(0));
    let largest = segments(&data).into_iter().max_by_key(|path| path.metadata().map_or(0, |it| it.len()));
    let (log_file, identity) = (largest.expect("a segment"), data.join("identity"));
    let (sound, whose) = (std::fs::read(&log_file).expect("a log"), std::fs::read(&identity).expect("an identity"));
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 4;
    let cut = &sound[..sound.len() / 2];
    let mut other = whose.clone();
    other[40] ^= 1;
    for (path, content, good) in
        [(&log_file, &flipped[..], &sound), (&log_file, cut, &sound), (&identity, &other, &whose)]
    {
        std::fs::write(path, content).expect("it is ours");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let (code, log) = Daemon::start_in_vain(setup.clone());
        assert_eq!(code, Some(4), "{log}");
        assert!(log.contains(&name) && log.contains("damaged"), "{log}");
        let (code, _, errors) = run(&["check", &data.to_string_lossy()], &[]);
        assert_eq!(code, Some(4));
        assert!(errors.contains(&name), "{errors}");
        std::fs::write(path, good).expect("it is ours");
    }
    assert_eq!(run(&["check", &data.to_string_lossy()], &[]).0, Some(0), "nothing was changed meanwhile");

    std::fs::write(&log_file, cut).expect("it is ours");
    let mut repaired = setup.clone();
    repaired.flags.push("--repair".into());
    let daemon = Daemon::start(repaired);
    daemon.await_peers(1);
    assert_eq!(daemon.ask("DBSIZE"), Value::Integer(500));
    assert_eq!(daemon.ask("GET key:499"), Value::text("499"));
    let setup_of_kill = daemon.kill();

    // Half a frame at the end after a kill is nobody's loss, and told.
    let last = segments(&data).pop().expect("a segment");
    let mut torn = std::fs::read(&last).expect("a log");
    torn.extend_from_slice(&[0xCA, 0x07, 1, 0, 200, 0]);
    std::fs::write(&last, torn).expect("it is ours");
    let before = std::fs::read_to_string(setup.log()).expect("a log").len();
    let mut setup = setup_of_kill;
    setup.flags.retain(|flag| flag != "--repair");
    let daemon = Daemon::start(setup.clone());
    daemon.await_peers(1);
    assert_eq!(daemon.ask("DBSIZE"), Value::Integer(500));
    let log = std::fs::read_to_string(setup.log()).expect("a log");
    assert!(log[before..].contains("half-written"), "{}", &log[before..]);
}

#[test]
fn a_clock_behind_its_last_run_is_told_and_writes_win_over_those_from_before() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let setup = Setup::new("a", directory.path()).stored(&data);
    let daemon = Daemon::start(setup.clone());
    assert_eq!(daemon.ask("SET k before"), Value::text("OK"));
    assert_eq!(info(&daemon, "clock_behind_ms"), "0");
    assert_eq!(daemon.terminate().code(), Some(0));
    // A clock that was set back, seen from here, is data from the future.
    rewrite_identity(&data, |line| match line.strip_prefix("written ") {
        Some(ms) => format!("written {}", ms.parse::<u64>().expect("milliseconds") + 3_600_000),
        None => line.to_owned(),
    });
    let daemon = Daemon::start(setup.clone());
    let log = std::fs::read_to_string(setup.log()).expect("a log");
    assert!(log.contains("clock is behind what it was"), "{log}");
    let behind: u64 = info(&daemon, "clock_behind_ms").parse().expect("milliseconds");
    assert!((3_000_000..=3_600_000).contains(&behind), "{behind}");
    let (_, shown, _) = run(&["status", "--socket", &setup.socket().to_string_lossy()], &[]);
    assert!(shown.contains("CLOCK SET BACK"), "{shown}");
    assert_eq!(daemon.ask("SET k after"), Value::text("OK"));
    assert_eq!(daemon.ask("GET k"), Value::text("after"));
}

/// The number in a line of `export`.
fn exported(lines: &str, key: &str) -> u64 {
    let start = format!("{{\"key\":\"{key}\",\"text\":\"");
    let line = lines.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix("\"}"));
    line.unwrap_or_else(|| panic!("no {key} in {lines}")).parse().expect("a number")
}

#[test]
fn backups_made_under_writes_are_states_of_one_moment_that_check_export_and_serve() {
    let group = Group::start_stored(2, &[]);
    let backups = group.directory().join("a.data/backup");
    let list = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&backups).map(|entries| entries.flatten().map(|it| it.path()).collect());
        entries.unwrap_or_default()
    };
    let mut client = group[0].client();
    let started = client.words("LASTSAVE").integer();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    // Of each backup: what was answered before it was asked for, and tried by when it was done.
    let mut made: Vec<(PathBuf, u64, u64)> = Vec::new();
    std::thread::scope(|scope| {
        let mut writer = group[0].client();
        let (stop, answered) = (&stop, &answered);
        scope.spawn(move || {
            for n in 1.. {
                assert_eq!(writer.words(&format!("MSET a {n} b {n}")), Value::text("OK"));
                answered.store(n, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        until("some pairs are written", || {
            if answered.load(Ordering::SeqCst) > 100 { Ok(()) } else { Err(String::new()) }
        });
        for command in ["SAVE", "BGSAVE", "SAVE", "BGSAVE SCHEDULE"] {
            let (known, before) = (list(), answered.load(Ordering::SeqCst));
            client.words(command);
            let backup = until("there is a further backup", || {
                let new = list().into_iter().find(|path| !known.contains(path) && path.join("identity").exists());
                new.ok_or_else(|| format!("{known:?}"))
            });
            made.push((backup, before, answered.load(Ordering::SeqCst) + 1));
        }
        let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs().cast_signed();
        until("a second is over", || if seconds() > started { Ok(()) } else { Err(String::new()) });
        client.words("BGSAVE");
        until("LASTSAVE tells", || match client.words("LASTSAVE").integer() {
            saved if saved > started => Ok(()),
            saved => Err(saved.to_string()),
        });
        stop.store(true, Ordering::SeqCst);
    });
    group.agree_on_versions();
    for (backup, before, after) in &made {
        let backup_text = backup.to_string_lossy().into_owned();
        let (code, shown, errors) = run(&["check", &backup_text], &[]);
        assert!(code == Some(0) && shown.contains("a backup"), "{shown}{errors}");
        let (code, lines, errors) = run(&["export", &backup_text], &[]);
        assert_eq!(code, Some(0), "{errors}");
        let n = exported(&lines, "a");
        assert_eq!(n, exported(&lines, "b"), "of one moment");
        assert!((before..=after).contains(&&n), "{n} is not within {before}..={after}");
    }
    // One is started from where it lies, one from a copy of it elsewhere, with and without the flag.
    let elsewhere = group.directory().join("elsewhere");
    copy(&made[1].0, &elsewhere);
    let alone = tempfile::tempdir().expect("a temporary directory");
    let mut with_flag = Setup::new("restored", alone.path()).stored(&made[0].0);
    with_flag.flags.push("--new-id".into());
    for setup in [with_flag, Setup::new("copied", alone.path()).stored(&elsewhere)] {
        let daemon = Daemon::start(setup);
        assert_eq!(daemon.ask("GET a"), daemon.ask("GET b"));
        assert_ne!(*daemon.status().at("id"), *group[0].status().at("id"));
        assert_eq!(daemon.ask("INCR more"), Value::Integer(1));
        assert_eq!(daemon.terminate().code(), Some(0));
    }
    assert_eq!(
        group[0].ask("GET a"),
        Value::text(&answered.load(Ordering::SeqCst).to_string()),
        "the original is unharmed"
    );
}
