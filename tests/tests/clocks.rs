//! Wall clocks of real processes that are wrong for a while, and are corrected: nothing that was acknowledged is lost.

use std::net::SocketAddr;
use std::path::Path;

use cahoots_tests::cluster::{Daemon, Setup, Value, WrongClock, until};

const HOURS: i64 = 3600;

/// Daemons in memory that see each other, each with a clock of its own; nothing where clocks cannot be set.
fn cluster_of(size: usize, directory: &Path) -> Option<(Vec<Daemon>, Vec<WrongClock>)> {
    let (mut daemons, mut clocks): (Vec<Daemon>, Vec<WrongClock>) = Default::default();
    for name in ["a", "b", "c", "d", "e"].into_iter().take(size) {
        let clock = WrongClock::new(directory, name)?;
        let mut setup = Setup::new(name, directory);
        setup.within = clock.within();
        setup.seeds = addresses(&daemons);
        daemons.push(Daemon::start(setup));
        clocks.push(clock);
    }
    daemons.iter().for_each(|daemon| daemon.await_peers(size - 1));
    Some((daemons, clocks))
}

fn cluster(directory: &Path) -> Option<(Vec<Daemon>, Vec<WrongClock>)> {
    cluster_of(3, directory)
}

fn addresses(daemons: &[Daemon]) -> Vec<SocketAddr> {
    daemons.iter().map(|daemon| daemon.setup.listen).collect()
}

/// Restarts one after the other; each must hand over, and be ready again.
fn roll(daemons: &mut Vec<Daemon>) {
    let all = addresses(daemons);
    for at in 0..daemons.len() {
        let daemon = daemons.remove(at);
        let seeds = all.iter().copied().filter(|it| *it != daemon.setup.listen).collect();
        let (daemon, ended) = daemon.restart(seeds);
        assert_eq!(ended.code(), Some(0), "{}", daemon.setup.node);
        daemon.await_peers(2);
        daemons.insert(at, daemon);
    }
}

fn everywhere(daemons: &[Daemon], key: &str, value: &str) {
    for daemon in daemons {
        until(&format!("{} has {key}", daemon.setup.node), || {
            let seen = daemon.ask(&format!("GET {key}"));
            if seen == Value::text(value) { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
}

/// Waits until a write is taken, or is refused because of the clock.
fn await_write(daemon: &Daemon, key: &str, is_taken: bool) {
    until(&format!("a write is taken: {is_taken}"), || match daemon.client().call(&[b"SET", key.as_bytes(), b"1"]) {
        Value::Error(words) if !is_taken && words.starts_with("ERR clock is ") => Ok(()),
        Value::Text(_) if is_taken => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_glitch_of_all_clocks_that_was_corrected_loses_nothing_in_a_rolling_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Some((mut daemons, clocks)) = cluster(directory.path()) else { return };
    clocks.iter().for_each(|clock| clock.set(2 * HOURS));
    await_write(&daemons[0], "from-the-future", true);
    let mut client = daemons[0].client();
    client.words("SET glitch 1");
    assert_eq!(client.words("WAIT 2 10000"), Value::Integer(2));
    clocks.iter().for_each(|clock| clock.set(0));
    await_write(&daemons[1], "after", true);
    roll(&mut daemons);
    for key in ["from-the-future", "glitch", "after"] {
        everywhere(&daemons, key, "1");
    }
    // What is written now wins over what was stamped in the future.
    daemons[2].ask("SET glitch 2");
    everywhere(&daemons, "glitch", "2");
    // And what is given a second to live does not live for two hours.
    daemons[2].ask("SET short 1 PX 1000");
    for daemon in &daemons {
        until("it has come, and has ended", || match daemon.ask("EXISTS short glitch") {
            Value::Integer(1) if daemon.ask("CAHOOTS STATUS").at("keys").integer() == 3 => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

/// By its clock, and by that of its neighbour, everything has expired; most say otherwise.
#[test]
fn one_of_two_among_five_whose_clocks_are_ahead_removes_nothing_after_its_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Some((mut daemons, clocks)) = cluster_of(5, directory.path()) else { return };
    let mut client = daemons[0].client();
    for number in 0..20 {
        client.words(&format!("SET key{number} 1 EX 3600"));
    }
    assert_eq!(client.words("WAIT 4 10000"), Value::Integer(4));
    clocks[3..].iter().for_each(|clock| clock.set(2 * HOURS));
    daemons[3..].iter().for_each(|daemon| await_write(daemon, "ahead", false));
    let all = addresses(&daemons);
    let mut setup = daemons.remove(4).kill();
    setup.seeds = all[..4].to_vec();
    let again = Daemon::start(setup);
    again.await_peers(4);
    daemons.push(again);
    // Those behind it in rank would have removed by then what it did not.
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(daemons[4].ask("EXISTS key0"), Value::Integer(0), "it is hidden there");
    clocks.iter().for_each(|clock| clock.set(0));
    for number in 0..20 {
        everywhere(&daemons, &format!("key{number}"), "1");
    }
}

#[test]
fn what_a_daemon_writes_after_its_clock_was_ahead_for_a_moment_arrives_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Some((mut daemons, clocks)) = cluster(directory.path()) else { return };
    clocks[2].set(2 * HOURS);
    // It may take a write before it notices, and takes none once it has.
    await_write(&daemons[2], "ahead", false);
    assert!(daemons[2].status().at("clock_ahead_ms").integer() > 7_000_000);
    assert_eq!(daemons[0].ask("SET others 1"), Value::text("OK"));
    clocks[2].set(0);
    await_write(&daemons[2], "later", true);
    let mut client = daemons[2].client();
    client.words("INCR count");
    assert_eq!(client.words("WAIT 2 10000"), Value::Integer(2));
    everywhere(&daemons, "count", "1");
    everywhere(&daemons, "others", "1");
    let c = daemons.remove(2);
    assert_eq!(c.terminate().code(), Some(0));
}

#[test]
fn a_fresh_daemon_whose_clock_is_far_behind_serves_what_the_cluster_has() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Some((daemons, _)) = cluster(directory.path()) else { return };
    daemons[0].ask("SET key 1");
    let clock = WrongClock::new(directory.path(), "d").expect("the others have one");
    clock.set(-40 * 365 * 24 * HOURS);
    let mut setup = Setup::new("d", directory.path());
    (setup.within, setup.seeds) = (clock.within(), addresses(&daemons));
    let late = Daemon::start(setup);
    late.await_peers(3);
    assert_eq!(late.ask("GET key"), Value::text("1"));
    late.ask("SET key 2");
    everywhere(&daemons, "key", "2");
}
