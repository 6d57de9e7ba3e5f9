//! Daemons that stop or start together: none takes another for one to rely on that is not.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Daemon, Group, Setup, Value, until};
use rustix::process::Signal;

fn setup(directory: &Path, node: &str, seeds: &[&Daemon], flags: &[&str]) -> Setup {
    let mut setup = Setup::new(node, directory);
    setup.seeds = seeds.iter().map(|seed| seed.setup.listen).collect();
    setup.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    setup
}

fn standing(daemon: &Daemon) -> String {
    let Value::Text(text) = daemon.status().at("standing").clone() else { panic!("no standing") };
    String::from_utf8_lossy(&text).into_owned()
}

fn await_standing(daemon: &Daemon, wanted: &str) {
    until(&format!("{} is {wanted}", daemon.setup.node), || match standing(daemon) {
        it if it == wanted => Ok(()),
        other => Err(other),
    });
}

/// Ends all of them at once; their exit codes.
fn stop_all(mut group: Group, count: usize) -> Vec<Option<i32>> {
    let daemons: Vec<Daemon> = (0..count).map(|number| group.take(number)).collect();
    daemons.iter().for_each(|daemon| daemon.signal(Signal::INT));
    daemons.into_iter().map(|daemon| daemon.wait().code()).collect()
}

fn written(group: &Group) {
    let mut client = group[0].client();
    client.words("SET key kept");
    assert_eq!(client.words("WAIT 2 10000"), Value::Integer(2));
}

#[test]
fn of_those_that_stop_together_in_memory_the_last_one_says_that_everything_is_lost() {
    let group = Group::start(3);
    written(&group);
    let mut codes = stop_all(group, 3);
    codes.sort_unstable();
    assert_eq!(codes[2], Some(3), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 3))), "{codes:?}");
}

#[test]
fn those_that_stop_together_on_disks_have_lost_nothing_and_say_so() {
    let group = Group::start_stored(3, &[]);
    written(&group);
    assert_eq!(stop_all(group, 3), [Some(0); 3]);
}

/// It has everything, and does not say that it stays: it may be about to stop as well.
#[test]
fn one_that_does_not_answer_is_not_relied_on() {
    let mut group = Group::start(3);
    written(&group);
    group[2].signal(Signal::STOP);
    let (a, b) = (group.take(0), group.take(1));
    a.signal(Signal::INT);
    b.signal(Signal::INT);
    let codes = [a.wait().code(), b.wait().code()];
    assert!(codes.contains(&Some(3)), "{codes:?}");
    group[2].signal(Signal::CONT);
}

#[test]
fn joiners_do_not_take_each_other_for_the_cluster_while_their_seed_is_silent() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let soon = ["--join-timeout", "2"];
    let a = Daemon::start(setup(directory.path(), "a", &[], &[]));
    a.ask("SET key kept");
    a.signal(Signal::STOP);
    let b = Daemon::start(setup(directory.path(), "b", &[&a], &soon));
    let c = Daemon::start(setup(directory.path(), "c", &[&a, &b], &soon));
    for daemon in [&b, &c] {
        await_standing(daemon, "alone");
    }
    // One that does not know of the silent seed learns from them that there is one.
    let d = Daemon::start(setup(directory.path(), "d", &[&b], &soon));
    await_standing(&d, "alone");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert_eq!([&b, &c, &d].map(standing), ["alone"; 3]);
    }
    a.signal(Signal::CONT);
    for daemon in [&b, &c, &d] {
        until("it has what the seed has", || match daemon.ask("GET key") {
            it if it == Value::text("kept") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        await_standing(daemon, "complete");
    }
}

/// The one with the data is gone, and starts again with nothing. What the others have is then what it has, in no time.
#[test]
fn a_fresh_daemon_among_some_that_were_catching_up_makes_nobody_complete() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Over datagrams it takes a while.
    let nowhere = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let nowhere = nowhere.local_addr().expect("bound").to_string();
    let flags = ["--bulk-advertise", &nowhere, "--join-timeout", "3"];
    let data = Daemon::start(setup(directory.path(), "c", &[], &flags));
    let mut client = data.client();
    let value = vec![b'v'; 500_000];
    for number in 0..80 {
        client.call(&[b"SET", format!("key{number}").as_bytes(), &value]);
    }
    let a = Daemon::start(setup(directory.path(), "a", &[&data], &flags));
    until("it knows what there is", || match standing(&a).as_str() {
        "catching-up" => Ok(()),
        other => Err(other.to_owned()),
    });
    let mut again = data.kill();
    again.seeds = vec![a.setup.listen];
    let fresh = Daemon::start(again);
    for daemon in [&a, &fresh] {
        await_standing(daemon, "incomplete");
    }
    assert_eq!(*a.status().at("ready"), Value::Boolean(false));
}

/// It is complete, for it has met nobody.
#[test]
fn what_a_cluster_has_is_not_made_up_for_by_another_that_was_founded_apart_and_has_less() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let nowhere = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    // Over datagrams it takes a while.
    let flags = ["--bulk-advertise", &nowhere];
    let data = Daemon::start(setup(directory.path(), "a", &[], &flags));
    let mut client = data.client();
    let value = vec![b'v'; 500_000];
    for number in 0..20 {
        client.call(&[b"SET", format!("key{number}").as_bytes(), &value]);
    }
    let apart = Daemon::start(setup(directory.path(), "b", &[], &flags));
    await_standing(&data, "complete");
    await_standing(&apart, "complete");
    let both = Daemon::start(setup(directory.path(), "c", &[&apart, &data], &flags));
    until("it has everything and is complete", || {
        // In this order: it may become complete between the two.
        let (standing, has) = (standing(&both), both.ask("CAHOOTS STATUS").at("keys").integer());
        assert!(standing != "complete" || has == 20, "it is complete with {has} keys");
        if standing == "complete" { Ok(()) } else { Err(format!("{standing} with {has} keys")) }
    });
}

/// Kills one after the other and starts each again as it was, each waited for as an operator does.
fn kill_and_start_each(mut daemons: Vec<Daemon>) -> Vec<Daemon> {
    for number in 0..daemons.len() {
        let setup = daemons.remove(number).kill();
        daemons.insert(number, Daemon::start(setup));
        until("it is ready", || match daemons[number].status().at("ready") {
            Value::Boolean(true) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    daemons
}

/// The first one has no seeds, so it founds a cluster each time; and at its restart the others may know its address from their
/// seeds, or from before only.
#[test]
fn a_first_daemon_that_was_killed_is_ready_only_once_it_has_what_the_others_have() {
    for (size, rest) in [(2, 0), (3, 0), (2, 12)] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut daemons = vec![Daemon::start(setup(directory.path(), "n0", &[], &[]))];
        for number in 1..size {
            let seeds: Vec<&Daemon> = daemons.iter().collect();
            daemons.push(Daemon::start(setup(directory.path(), &format!("n{number}"), &seeds, &[])));
        }
        daemons.iter().for_each(|it| it.await_peers(size - 1));
        daemons.iter().for_each(|it| await_standing(it, "complete"));
        daemons[0].ask("SET key kept");
        until("all have it", || match daemons.iter().all(|it| it.ask("GET key") == Value::text("kept")) {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        });
        // Membership calls rarely once nothing has changed for a while.
        std::thread::sleep(Duration::from_secs(rest));
        for daemon in kill_and_start_each(daemons) {
            assert_eq!(daemon.ask("GET key"), Value::text("kept"), "{} of {size}", daemon.setup.node);
        }
    }
}

#[test]
fn accepted_at_one_daemon_that_a_seed_is_gone_makes_all_complete_and_those_that_join_later() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let gone = Daemon::start(setup(directory.path(), "a", &[], &[]));
    let dead = gone.setup.listen;
    drop(gone.kill());
    let soon = ["--join-timeout", "1"];
    let start = |node: &str, seeds: &[&Daemon], flags: &[&str]| {
        let mut setup = setup(directory.path(), node, seeds, flags);
        setup.seeds.push(dead);
        Daemon::start(setup)
    };
    let b = start("b", &[], &soon);
    let c = start("c", &[&b], &soon);
    let d = start("d", &[&b, &c], &soon);
    for daemon in [&b, &c, &d] {
        await_standing(daemon, "alone");
    }
    d.ask("SET key kept");
    assert_eq!(b.ask("CAHOOTS ACCEPT"), Value::Integer(1));
    for daemon in [&b, &c, &d] {
        await_standing(daemon, "complete");
        assert_eq!(daemon.ask("GET key"), Value::text("kept"));
    }
    assert_eq!(b.ask("CAHOOTS ACCEPT"), Value::Integer(0), "nothing is waited for any more");
}

#[test]
fn who_joins_complete_daemons_does_not_wait_for_a_seed_that_is_gone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let a = Daemon::start(setup(directory.path(), "a", &[], &[]));
    a.ask("SET key kept");
    await_standing(&a, "complete");
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut later = setup(directory.path(), "b", &[&a], &["--join-timeout", "600"]);
    later.seeds.push(nobody);
    let b = Daemon::start(later);
    await_standing(&b, "complete");
    assert_eq!(b.ask("GET key"), Value::text("kept"));
}

/// What it wrote itself and told nobody is lost, as with everyone who crashes; what was there when it joined is not.
#[test]
fn a_first_daemon_stays_complete_when_one_that_has_joined_it_crashes_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (round, is_stored) in (0..4).map(|round| (round, round % 2 == 1)) {
        let start = |node: &str, seeds: &[&Daemon]| {
            let setup = setup(directory.path(), &format!("{node}{round}"), seeds, &[]);
            let data = directory.path().join(format!("{node}{round}.data"));
            Daemon::start(if is_stored { setup.stored(&data) } else { setup })
        };
        let first = start("a", &[]);
        first.ask("SET key kept");
        let second = start("b", &[&first]);
        second.await_ready();
        let mut client = second.client();
        let until = Instant::now() + Duration::from_millis(round * 50);
        for number in 0.. {
            client.words(&format!("SET key{number} written"));
            if Instant::now() >= until {
                break;
            }
        }
        let second = Daemon::start(second.kill());
        for daemon in [&first, &second] {
            await_standing(daemon, "complete");
            assert_eq!(daemon.ask("GET key"), Value::text("kept"));
        }
    }
}
