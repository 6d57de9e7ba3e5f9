//! Data directories as their users meet them: copied ones.

use std::path::{Path, PathBuf};

use cahoots_tests::cluster::{Daemon, Group, Setup, Value};
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
    let born = lock.created().ok().and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok());
    let path: PathBuf = data.join("identity");
    let text = std::fs::read_to_string(&path).expect("an identity");
    let body: String = text.lines().filter(|line| !line.starts_with("checksum ")).fold(String::new(), |body, line| {
        let line = match line.strip_prefix("place ").and_then(|place| place.split('-').next()) {
            Some(machine) => format!("place {machine}-{:x}-{:x}", lock.ino(), born.map_or(0, |it| it.as_nanos())),
            None => line.to_owned(),
        };
        body + &line + "\n"
    });
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
