//! kill -9 at random points under a running workload: what was promised is there, no dot names two events, all agree.
//!
//! `CAHOOTS_KILLS=200` kills so many times under each policy; `CAHOOTS_KILL_SEED` changes the points.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Client, Daemon, Group, Ledger, Relay, Value, until};
use cahoots_tests::sim::Random;
use rustix::process::Signal;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// What a daemon promises of writes it answered shortly before it was killed.
fn lost_at_most(policy: &str) -> Duration {
    match policy {
        "always" => Duration::ZERO,
        // The policy is about power; a kill takes what was not handed to the system yet. The bound is that of `everysec`.
        _ => Duration::from_secs(1),
    }
}

fn kill_again_and_again(policy: &str) {
    let kills = number("CAHOOTS_KILLS", 6);
    let seed = number("CAHOOTS_KILL_SEED", 1);
    let mut random = Random::new(seed);
    let mut group = Group::start_kept(3, seed, &["--appendfsync", policy]);
    relay(&group).listen("cahoots");
    let mut ledgers = [0, 1, 2].map(Ledger::new);
    let mut killed = 0;
    let mut lost_power = 0;
    while killed < kills {
        // One of them, or all at the same time: then nobody has what their disks do not.
        let all = random.below(4) == 0;
        let victims: Vec<usize> = if all { vec![0, 1, 2] } else { vec![random.index(3)] };
        lost_power += usize::from(all);
        let enough = 1 + random.below(1_500);
        let (done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let clients = group.clients();
        let mut setups = Vec::new();
        let mut at = Instant::now();
        std::thread::scope(|scope| {
            for (ledger, client) in ledgers.iter_mut().zip(clients) {
                let (done, stop) = (&done, &stop);
                scope.spawn(move || ledger.write(client, done, stop));
            }
            until("enough was written", || {
                let count = done.load(Ordering::Relaxed);
                if count as u64 >= enough { Ok(()) } else { Err(count.to_string()) }
            });
            let taken: Vec<Daemon> = victims.iter().map(|victim| group.take(*victim)).collect();
            at = Instant::now();
            taken.iter().for_each(|daemon| daemon.signal(Signal::KILL));
            setups.extend(taken.into_iter().map(Daemon::kill));
            stop.store(1, Ordering::Relaxed);
        });
        killed += victims.len() as u64;
        // What the victims had from others over streams is on their disks, and nowhere to be heard.
        for victim in &victims {
            relay(&group).read_disk(&group.directory().join(format!("{}.data", group_name(*victim))));
        }
        for (victim, setup) in victims.iter().zip(setups) {
            let daemon = Daemon::start(setup);
            // What its own disk has must be there before any peer has helped; what it has from peers may not harm.
            let since = at.checked_sub(lost_at_most(policy)).unwrap_or(at);
            ledgers[*victim].check(&mut daemon.client(), since, false);
            ledgers[*victim].forget_after(since);
            relay(&group).attach(*victim, daemon.setup.listen);
            group.put(*victim, daemon);
        }
    }
    group.agree();
    assert!(lost_power > 0 || kills < 20);
    // What one daemon promised, all have in the end.
    let mut sums = Vec::new();
    for daemon in 0..3 {
        let client = &mut group[daemon].client();
        for ledger in &ledgers {
            ledger.check(client, Instant::now(), true);
        }
        sums.push((0..3).map(|of| client.words(&format!("GET c{of}"))).collect::<Vec<_>>());
    }
    assert!(sums.iter().all(|it| *it == sums[0]), "{sums:?}");
    // Dots, on any way from one to another: heard between the daemons, or on the disk of one.
    for daemon in 0..3 {
        let counters = group[daemon].status().at("counters").clone();
        for name in ["fingerprint_mismatches", "events_forked"] {
            assert_eq!(*counters.at(name), Value::Integer(0), "{name} of {daemon}");
        }
        let data = group.directory().join(format!("{}.data", group_name(daemon)));
        drop(group.take(daemon).kill());
        relay(&group).read_disk(&data);
    }
    let (events, transferred, forks) = relay(&group).heard();
    assert_eq!(forks, [], "dots that name two events");
    assert!(events > 100 && (transferred > 0 || kills < 20), "{events} events, {transferred} cells in transfers");
    println!("{policy}: {killed} kills, {events} events and {transferred} cells of transfers compared");
}

fn relay(group: &Group) -> &Relay {
    group.relay.as_ref().expect("there is one")
}

/// The name of a daemon of a group.
fn group_name(daemon: usize) -> &'static str {
    ["a", "b", "c"][daemon]
}

#[test]
fn under_always_everything_answered_survives_any_kill() {
    kill_again_and_again("always");
}

#[test]
fn under_everysec_a_kill_takes_less_than_a_second() {
    kill_again_and_again("everysec");
}

#[test]
fn under_no_a_kill_takes_no_more_than_under_everysec() {
    kill_again_and_again("no");
}

#[test]
fn two_replicas_reload_what_they_wrote_and_what_came_by_gossip() {
    let mut group = Group::start_kept(2, 1, &[]);
    assert_eq!(group[0].ask("SET of-a 1"), Value::text("OK"));
    assert_eq!(group[1].ask("SADD of-b x y"), Value::Integer(2));
    group.agree();
    // Each stops alone and cleanly: nothing of either is anywhere but on its disk, and both ids go on: whoever starts first
    // finds nobody to ask, but writes only once the other is there.
    let ids: Vec<Value> = (0..2).map(|daemon| group[daemon].status().at("id").clone()).collect();
    let setups: Vec<_> = (0..2)
        .map(|daemon| {
            let daemon = group.take(daemon);
            let setup = daemon.setup.clone();
            daemon.terminate();
            setup
        })
        .collect();
    for (number, setup) in setups.into_iter().enumerate() {
        let daemon = Daemon::start(setup);
        assert_eq!(*daemon.status().at("id"), ids[number]);
        assert_eq!(daemon.ask("GET of-a"), Value::text("1"));
        assert_eq!(daemon.ask("SCARD of-b"), Value::Integer(2));
        relay(&group).attach(number, daemon.setup.listen);
        group.put(number, daemon);
    }
    (0..2).for_each(|daemon| group[daemon].await_peers(1));
    assert_eq!(group[0].ask("SET of-a 2"), Value::text("OK"));
    group.agree();
}

#[test]
fn waitaof_counts_the_disks_of_others() {
    let group = Group::start_kept(3, 1, &["--appendfsync", "everysec"]);
    let mut client = group[0].client();
    assert_eq!(client.words("SET a 1"), Value::text("OK"));
    let reply = client.words("WAITAOF 1 2 20000");
    assert_eq!(reply, Value::Array(vec![Value::Integer(1), Value::Integer(2)]));
}

/// Sends commands a hundred at a time: more than the replies to them would fit the socket.
fn pipeline(client: &mut Client, commands: impl Iterator<Item = Vec<String>>) {
    let commands: Vec<Vec<String>> = commands.collect();
    for some in commands.chunks(100) {
        for words in some {
            let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            client.send(&words).expect("it runs");
        }
        some.iter().for_each(|_| drop(client.receive()));
    }
}

#[test]
fn what_is_written_while_a_replica_is_down_or_loads_is_merged() {
    let mut group = Group::start_kept(2, 1, &[]);
    let mut client = group[0].client();
    pipeline(&mut client, (0..20_000).map(|n| vec!["SET".into(), format!("key:{n}"), "before".into()]));
    group.agree_on_versions();
    let setup = group.take(1).kill();
    let daemon = std::thread::scope(|scope| {
        scope.spawn(|| {
            pipeline(
                &mut client,
                (0..20_000).map(|n| {
                    let key = format!("key:{}", n / 2 * 2);
                    if n % 4 == 0 { vec!["DEL".into(), key] } else { vec!["SET".into(), key, "after".into()] }
                }),
            );
        });
        Daemon::start(setup)
    });
    relay(&group).attach(1, daemon.setup.listen);
    group.put(1, daemon);
    group.agree();
}

#[test]
fn whoever_finds_nobody_to_ask_takes_a_new_id_with_its_first_write_and_not_before() {
    let mut group = Group::start_kept(2, 1, &[]);
    assert_eq!(group[0].ask("INCR n"), Value::Integer(1));
    group.agree();
    assert_eq!(group[1].ask("SAVE"), Value::text("OK")); // or it would be killed before its disk has anything
    let setup = group.take(1).kill();
    let alone = group.take(0);
    let (before, kept) = (alone.status().at("id").clone(), alone.setup.clone());
    alone.terminate();
    let alone = Daemon::start(kept);
    assert_eq!(alone.ask("GET n"), Value::text("1"));
    assert_eq!(*alone.status().at("id"), before);
    assert_eq!(alone.ask("INCR n"), Value::Integer(2));
    let after = alone.status().at("id").clone();
    assert_ne!(after, before);
    group.put(0, alone);
    let other = Daemon::start(setup);
    assert_eq!(other.ask("GET n"), Value::text("1"), "what its own disk has");
    group.put(1, other);
    (0..2).for_each(|daemon| group[daemon].await_peers(1));
    group.agree();
    assert_eq!(group[1].ask("GET n"), Value::text("2"));
    // Stopped cleanly, it goes on under the id it took.
    let daemon = group.take(0);
    let setup = daemon.setup.clone();
    daemon.terminate();
    assert_eq!(*Daemon::start(setup).status().at("id"), after);
}

#[test]
fn a_directory_set_back_to_an_earlier_state_is_found_out_and_nothing_is_lost() {
    let mut group = Group::start_kept(3, 1, &[]);
    let data = group.directory().join("a.data");
    // All but the lock, by which a copy in another place would be told.
    let files = |from: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(from).expect("it is there").map(|entry| entry.expect("it can be read").path());
        entries.filter(|path| path.is_file() && !path.ends_with("lock")).collect()
    };
    assert_eq!(group[0].ask("INCRBY n 5"), Value::Integer(5));
    group.agree();
    let restart = |group: &mut Group, between: &dyn Fn()| {
        let daemon = group.take(0);
        let setup = daemon.setup.clone();
        daemon.terminate();
        between();
        let daemon = Daemon::start(setup);
        group.put(0, daemon);
        group[0].await_peers(2);
    };
    let before = group[0].status().at("id").clone();
    let saved = tempfile::tempdir().expect("a temporary directory");
    restart(&mut group, &|| {
        for path in files(&data) {
            std::fs::copy(&path, saved.path().join(path.file_name().expect("a file"))).expect("it is copied");
        }
    });
    assert_eq!(*group[0].status().at("id"), before);
    assert_eq!(group[0].ask("INCRBY n 7"), Value::Integer(12));
    assert_eq!(group[0].ask("SET later 1"), Value::text("OK"));
    group.agree();
    restart(&mut group, &|| {
        files(&data).iter().for_each(|path| std::fs::remove_file(path).expect("it is removed"));
        for path in files(saved.path()) {
            std::fs::copy(&path, data.join(path.file_name().expect("a file"))).expect("it is copied");
        }
    });
    assert_ne!(*group[0].status().at("id"), before, "its peers know more of that id than its disk");
    group[0].ask("INCRBY n 100");
    group.agree();
    for daemon in 0..3 {
        assert_eq!(group[daemon].ask("GET n"), Value::text("112"));
        assert_eq!(group[daemon].ask("GET later"), Value::text("1"));
    }
}
