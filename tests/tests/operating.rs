//! An operator's ordinary day: first pods, dead names, planned stops, clusters that meet by mistake.

use std::path::Path;

use cahoots_tests::cluster::{Daemon, Group, Setup, Value, until};

fn setup(directory: &Path, node: &str, seeds: &[&Daemon], flags: &[&str]) -> Setup {
    let mut setup = Setup::new(node, directory);
    setup.seeds = seeds.iter().map(|seed| seed.setup.listen).collect();
    setup.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    setup
}

fn log_of(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.setup.log()).expect("a log")
}

/// Runs a command in a network of its own, where the names in this text mean what it says.
fn with_own_names(directory: &Path, hosts: &str) -> Vec<String> {
    let file = directory.join("hosts");
    std::fs::write(&file, hosts).expect("the file is written");
    let script = "ip link set lo up && mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
    let own = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"];
    own.iter().map(|it| (*it).to_owned()).chain([file.to_string_lossy().into_owned()]).collect()
}

fn await_ready(daemon: &Daemon) {
    until("it is ready", || match daemon.status().at("ready") {
        Value::Boolean(true) => Ok(()),
        _ => Err(format!("{:?}", daemon.status().at("readiness"))),
    });
}

#[test]
fn the_first_pod_whose_seeds_mean_itself_alone_serves_without_waiting_for_anybody() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (node, listen) in [("advertised", "127.0.0.1:7101"), ("everywhere", "0.0.0.0:7101")] {
        // Nobody is waited for: an end of the wait would come too late for this test.
        let flags = ["--seed", "pods.example:7101", "--join-timeout", "100000", "--insecure"];
        let mut setup = setup(directory.path(), node, &[], &flags);
        setup.within = with_own_names(directory.path(), "127.0.0.1 pods.example\n");
        setup.listen = listen.parse().expect("an address");
        if node == "everywhere" {
            // Another of its own addresses than the one it announces.
            setup.advertise = Some("127.0.0.9:7101".parse().expect("an address"));
        }
        let daemon = Daemon::start(setup);
        await_ready(&daemon);
        assert_eq!(daemon.ask("INCR n"), Value::Integer(1));
        let log = log_of(&daemon);
        assert!(log.contains("there is nobody to join"), "{log}");
    }
}

#[test]
fn members_remembered_from_before_are_waited_for_although_all_seeds_mean_itself() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("it is new");
    std::fs::write(data.join("members"), "127.0.0.1:7999\n").expect("the file is written");
    let flags = ["--seed", "pods.example:7101", "--join-timeout", "4"];
    let mut setup = setup(directory.path(), "a", &[], &flags).stored(&data);
    setup.within = with_own_names(directory.path(), "127.0.0.1 pods.example\n");
    setup.listen = "127.0.0.1:7101".parse().expect("an address");
    let daemon = Daemon::start(setup);
    await_ready(&daemon);
    let log = log_of(&daemon);
    assert!(!log.contains("there is nobody to join"), "{log}");
}

/// Names and states of the members one sees.
fn members(daemon: &Daemon) -> Vec<(Value, Value)> {
    let members = daemon.ask("CAHOOTS MEMBERS");
    let mut members: Vec<_> =
        members.array().iter().map(|it| (it.at("node").clone(), it.at("state").clone())).collect();
    members.sort();
    members
}

fn await_members(daemon: &Daemon, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> = wanted.iter().map(|(node, state)| (Value::text(node), Value::text(state))).collect();
    until(&format!("{} sees {wanted:?}", daemon.setup.node), || match members(daemon) {
        seen if seen == wanted => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
}

#[test]
fn a_dead_member_is_forgotten_at_all_live_ones_its_data_stays_and_it_may_come_back() {
    let mut group = Group::start(3);
    group[2].ask("SET by c");
    group[2].ask("VOTE.CAST v yes");
    group.agree_on_versions();
    let c = group.take(2).kill();
    let dead = [("a", "live"), ("b", "live"), ("c", "down")];
    (0..2).for_each(|number| await_members(&group[number], &dead));
    let refused = group[0].client().call(&[b"CAHOOTS", b"FORGET", b"b"]);
    let Value::Error(text) = refused else { panic!("{refused:?}") };
    assert!(text.starts_with("ERR") && text.contains("\"b\"") && text.contains("alive"), "{text}");
    assert_eq!(group[0].ask("CAHOOTS FORGET nobody"), Value::Integer(0));
    assert_eq!(group[0].ask("CAHOOTS FORGET c"), Value::Integer(1));
    (0..2).for_each(|number| await_members(&group[number], &[("a", "live"), ("b", "live")]));
    for number in 0..2 {
        assert_eq!(group[number].ask("GET by"), Value::text("c"), "what it wrote stays");
    }
    group.put(2, Daemon::start(c));
    let back = [("a", "live"), ("b", "live"), ("c", "live")];
    (0..3).for_each(|number| await_members(&group[number], &back));
}

#[test]
fn the_command_line_forgets_and_says_how_many_and_fails_where_there_is_nobody() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let daemon = Daemon::start(setup(directory.path(), "a", &[], &[]));
    let run = |who: &str| {
        let mut forget = cahoots_tests::cluster::command();
        forget.arg("forget").arg(who).arg("--socket").arg(daemon.setup.socket());
        let output = forget.output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run("nobody");
    assert!(code == Some(1) && text.contains("no member that is down goes by \"nobody\""), "{text}");
    let (code, text) = run("a");
    assert!(code == Some(1) && text.contains("this node itself"), "{text}");
}

#[test]
fn the_last_of_a_planned_stop_of_all_exits_with_0_if_its_disk_has_everything() {
    let mut group = Group::start_stored(2, &[]);
    group[0].ask("SET k 1");
    group.agree();
    let setup = group[0].setup.clone();
    assert_eq!(group.take(1).terminate().code(), Some(0));
    await_members(&group[0], &[("a", "live")]);
    group[0].ask("SET last 2");
    assert_eq!(group.take(0).terminate().code(), Some(0), "b has left in good order");
    // Started alone, it waits for those it remembers, but whoever left in good order is not missed at a stop.
    let mut alone = setup.clone();
    alone.flags.extend(["--join-timeout", "1"].map(str::to_owned));
    let daemon = Daemon::start(alone);
    await_ready(&daemon);
    daemon.ask("SET again 3");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn the_last_one_exits_with_3_if_somebody_is_down_who_should_have_got_it_or_nothing_keeps_it() {
    let flags = ["--drain-ms", "300"];
    let mut group = Group::start_stored(2, &flags);
    let a = group[0].setup.clone();
    drop(group.take(1).kill());
    await_members(&group[0], &[("a", "live"), ("b", "down")]);
    group[0].ask("SET k 1");
    assert_eq!(group.take(0).terminate().code(), Some(3), "b may come back without it");
    // Nor has b left in good order by the next run.
    let mut alone = a;
    alone.flags.extend(["--join-timeout", "1"].map(str::to_owned));
    let daemon = Daemon::start(alone);
    await_ready(&daemon);
    daemon.ask("SET k 2");
    assert_eq!(daemon.terminate().code(), Some(3));

    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = Daemon::start(setup(directory.path(), "m", &[], &flags));
    let second = Daemon::start(setup(directory.path(), "n", &[&first], &flags));
    first.await_peers(1);
    second.await_peers(1);
    first.ask("SET k 1");
    assert_eq!(first.client().words("WAIT 1 10000"), Value::Integer(1));
    assert_eq!(second.terminate().code(), Some(0));
    await_members(&first, &[("m", "live")]);
    assert_eq!(first.terminate().code(), Some(3), "in memory, the last one takes everything with it");
}

/// A daemon with a data directory that goes back to this first start.
fn founded(directory: &Path, node: &str, founding: &str, seeds: &[&Daemon], flags: &[&str]) -> Daemon {
    let data = directory.join(format!("{node}.data"));
    std::fs::create_dir(&data).expect("it is new");
    std::fs::write(data.join("founding"), format!("{founding}\n")).expect("the file is written");
    Daemon::start(setup(directory, node, seeds, flags).stored(&data))
}

#[test]
fn two_clusters_that_meet_are_told_of_at_both_once_with_what_to_do() {
    for (flags, level) in [(&[][..], " WARN "), (&["--cluster", "own"][..], " INFO ")] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (one, two) = ("000000000000000a", "000000000000000b");
        let a = founded(directory.path(), "a", one, &[], flags);
        let b = founded(directory.path(), "b", two, &[&a], flags);
        for (here, name, addr, theirs) in [(&a, "b", b.setup.listen, two), (&b, "a", a.setup.listen, one)] {
            let line = until(&format!("{} tells of {name}", here.setup.node), || {
                let log = log_of(here);
                let line = log.lines().find(|line| line.contains("started apart")).map(str::to_owned);
                line.ok_or(log)
            });
            for word in [level, name, &addr.to_string(), theirs] {
                assert!(line.contains(word), "no {word:?} in {line}");
            }
            assert_eq!(line.contains("--key-file"), level == " WARN ", "{line}");
            until("it is kept", || {
                let kept = std::fs::read_to_string(directory.path().join(format!("{}.data/founding", here.setup.node)));
                let kept = kept.unwrap_or_default();
                if kept == format!("{one}\n{two}\n") { Ok(()) } else { Err(kept) }
            });
        }
        // Whoever joins what has been told of already is not told of it again.
        let c = Daemon::start(setup(directory.path(), "c", &[&a, &b], flags));
        [&a, &b, &c].iter().for_each(|daemon| daemon.await_peers(2));
        assert!(!log_of(&c).contains("started apart"), "{}", log_of(&c));
        for daemon in [&a, &b] {
            assert_eq!(log_of(daemon).matches("started apart").count(), 1, "{}", log_of(daemon));
        }
    }
}
