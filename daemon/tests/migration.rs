//! Coming from Redis and going back, beside a real one: everything that clients can read is the same afterwards.

mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use process::keyspace_of::{assert_same, body_of, everything};
use process::random_writes::Random;
use process::{Client, PATIENCE, Process, cahoots, frame};
use rustix::process::{Pid, Signal, kill_process};

/// Databases that are written to.
const DATABASES: [u64; 3] = [0, 3, 15];
/// How far a deadline that was read as a remaining time may be from where it was.
const SLACK_MS: u64 = 2_000;

fn import(daemon: &Process, args: &[&str]) -> Command {
    let mut command = cahoots();
    command.args(["import", "--socket"]).arg(&daemon.socket).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn address(server: &Process) -> String {
    format!("unix:{}", server.socket.display())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code_of(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Another daemon of the same cluster.
fn peer_of(daemon: &Process) -> Process {
    let status =
        cahoots().args(["status", "--json", "--socket"]).arg(&daemon.socket).output().expect("the binary runs");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    Process::cahoots(&["--node", "peer", "--seed", status["listen"].as_str().expect("an address")])
}

/// Waits until a peer has all that was written at a daemon.
fn await_peer(daemon: &Process) {
    let mut client = daemon.client();
    client.words("SET last 1");
    client.words("DEL last");
    assert_eq!(client.words("WAIT 1 20000").integer(), 1);
}

/// Writes at random, many at a time, spread over the databases.
fn write(client: &mut Client, random: &mut Random, count: usize, keys: u64) {
    for batch in 0..count.div_ceil(500) {
        let database = DATABASES[batch % DATABASES.len()];
        let mut commands = frame(&["SELECT", &database.to_string()]);
        (0..500).for_each(|_| commands.extend(frame(&random.write(keys))));
        client.send(&commands);
        (0..501).for_each(|_| drop(client.receive()));
    }
}

/// What random writes do not make: a key for each, so that there are many.
fn fill(client: &mut Client, count: usize) {
    for batch in 0..count.div_ceil(1_000) {
        let mut commands = Vec::new();
        for at in 0..1_000 {
            commands.extend(frame(&["SET", &format!("many:{}", batch * 1_000 + at), &format!("value-{at}")]));
        }
        client.send(&commands);
        (0..1_000).for_each(|_| drop(client.receive()));
    }
}

/// A library with one function that says its name.
fn library(name: &str) -> String {
    format!("#!lua name=of_{name}\nredis.register_function('{name}', function() return '{name}' end)")
}

/// Libraries come with a copy, with a file, and in front of a stream that is followed; one that makes no sense here is named.
/// With part of the keys they do not come.
#[test]
fn libraries_of_functions_come_along_and_replace_those_of_the_same_name() {
    let Some(redis) = Process::redis() else { return };
    let mut source = redis.client();
    source.call(&["FUNCTION", "LOAD", &library("one")]);
    source.call(&["FUNCTION", "LOAD", &library("two")]);
    source.words("SET a 1");
    source.words("SAVE");
    let file = redis.directory().join("dump.rdb");
    let (from, file) = (address(&redis), file.to_str().expect("plain").to_owned());
    let ways: [&[&str]; 3] =
        [&["--from", &from], &["--rdb", &file], &["--from", &from, "--follow", "--until-idle", "1"]];
    for way in ways {
        let daemon = Process::cahoots(&[]);
        let mut client = daemon.client();
        client.call(&["FUNCTION", "LOAD", &library("two").replace("return 'two'", "return 'another'")]);
        client.call(&["FUNCTION", "LOAD", &library("mine")]);
        let output = import(&daemon, way).output().expect("it runs");
        assert_eq!(code_of(&output), Some(0), "{way:?}: {}", text(&output));
        for name in ["one", "two", "mine"] {
            assert_eq!(client.words(&format!("FCALL {name} 0")).text(), name, "{way:?}");
        }
    }
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let output = import(&daemon, &["--from", &from, "--match", "a"]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert_eq!(client.words("FUNCTION LIST").parts().len(), 0);
    client.call(&["FUNCTION", "LOAD", &library("two").replace("of_two", "elsewhere")]);
    let output = import(&daemon, &["--from", &from]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(7), "{}", text(&output));
    assert!(text(&output).contains("refused: library \"#!lua name=of_two\""), "{}", text(&output));

    client.words("FUNCTION FLUSH");
    client.call(&["FUNCTION", "LOAD", &library("back")]);
    source.words("FUNCTION FLUSH");
    let mut export = cahoots();
    export.args(["export", "--to", &from, "--replace", "--socket"]).arg(&daemon.socket);
    let output = export.output().expect("it runs");
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert_eq!(source.words("FCALL back 0").text(), "back");
}

#[test]
fn a_copy_of_all_databases_is_the_same_and_so_is_what_goes_back() {
    let Some(redis) = Process::redis() else { return };
    let (daemon, mut source) = (Process::cahoots(&[]), redis.client());
    fill(&mut source, 100_000);
    write(&mut source, &mut Random::new(1), 30_000, 1_000);
    let output = import(&daemon, &["--from", &address(&redis)]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    // What ends soon has ended by the time it is compared.
    std::thread::sleep(Duration::from_millis(400));
    let mut copy = daemon.client();
    assert!(assert_same(&mut source, &mut copy, SLACK_MS) > 100_000);

    let Some(back) = Process::redis() else { return };
    back.client().words("SET there already");
    let export = |args: &[&str]| {
        let to = address(&back);
        let mut command = cahoots();
        command.args(["export", "--to", &to, "--socket"]).arg(&daemon.socket).args(args).output().expect("it runs")
    };
    let refused = export(&[]);
    assert_eq!(code_of(&refused), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("holds 1 keys"), "{}", text(&refused));
    copy.words("VOTE.CAST vote yes");
    let done = export(&["--replace"]);
    assert_eq!(code_of(&done), Some(0), "{}", text(&done));
    assert!(text(&done).contains("1 left out"), "{}", text(&done));
    let mut target = back.client();
    assert_eq!(target.words("GET there").text(), "already");
    target.words("DEL there");
    assert_same(&mut source, &mut target, 2 * SLACK_MS);
}

#[test]
fn one_database_or_those_that_match_are_copied_and_no_others() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    for database in ["0", "3"] {
        source.call(&["SELECT", database]);
        source.words("MSET user:1 a user:2 b other c");
    }
    let from = format!("{}?db=3", address(&redis));
    let output = import(&daemon, &["--from", &from, "--match", "user:*", "--rate", "1000"]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    let names: Vec<_> = everything(&mut daemon.client()).into_keys().collect();
    assert_eq!(names, [(3, b"user:1".to_vec()), (3, b"user:2".to_vec())]);
}

#[test]
fn a_copy_that_was_killed_goes_on_where_it_was() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    fill(&mut source, 10_000);
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("copy.state");
    let (from, file) = (address(&redis), state.to_str().expect("a plain path").to_owned());
    let mut first = import(&daemon, &["--from", &from, "--resume", &file, "--rate", "1500"]).spawn().expect("it runs");
    let begun = Instant::now();
    while !state.exists() {
        assert!(begun.elapsed() < PATIENCE, "no state is kept");
        std::thread::yield_now();
    }
    first.kill().expect("it is ours");
    first.wait().expect("it is ours");
    let output = import(&daemon, &["--from", &from, "--resume", &file]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert!(text(&output).contains("going on in database 0"), "{}", text(&output));
    let copied: u64 = text(&output).split(' ').next().and_then(|it| it.parse().ok()).expect("a number of keys");
    assert!((1..10_000).contains(&copied), "{}", text(&output));
    assert!(!state.exists(), "a copy that is whole leaves nothing");
    assert_same(&mut source, &mut daemon.client(), 0);
}

#[test]
fn what_is_too_large_is_named_and_a_large_collection_comes_in_pieces() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    source.call(&[&b"SET"[..], b"too large", &vec![b'x'; 9 << 20]]);
    source.words("SET small 1");
    for at in 0..40_u32 {
        // Bytes that do not compress.
        let mut random = Random::new(at.into());
        let value: Vec<u8> = (0..1 << 20).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
        source.call(&[&b"HSET"[..], b"large", at.to_string().as_bytes(), &value]);
        source.call(&[&b"RPUSH"[..], b"large list", &value]);
    }
    source.words("PEXPIREAT large 4102444800123");
    let output = import(&daemon, &["--from", &address(&redis)]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(7), "{}", text(&output));
    assert!(text(&output).contains("refused: key \"too large\" of database 0: ERR"), "{}", text(&output));
    assert!(text(&output).contains("1 refused"), "{}", text(&output));
    source.call(&["DEL", "too large"]);
    assert_same(&mut source, &mut daemon.client(), SLACK_MS);
}

#[test]
fn an_rdb_file_is_read_and_one_that_is_damaged_is_refused() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    write(&mut source, &mut Random::new(2), 10_000, 300);
    std::thread::sleep(Duration::from_millis(400));
    source.words("SAVE");
    let path = redis.directory().join("dump.rdb");
    let load = |path: &Path| import(&daemon, &["--rdb", path.to_str().expect("plain")]).output().expect("it runs");
    let output = load(&path);
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert_same(&mut source, &mut daemon.client(), 0);
    let mut bytes = fs::read(&path).expect("it is there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let damaged = redis.directory().join("damaged.rdb");
    for (bytes, words) in
        [(&bytes[..], "checksum"), (&bytes[..last / 2], "ends too early"), (b"REDIS00", "ends too early")]
    {
        fs::write(&damaged, bytes).expect("it is written");
        let output = load(&damaged);
        assert_eq!(code_of(&output), Some(1), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

/// A way to a server that can be cut: what arrives on one socket is handed to another.
struct Way {
    socket: std::path::PathBuf,
    is_open: std::sync::Arc<AtomicBool>,
}

impl Way {
    fn to(server: &Process, directory: &Path) -> Self {
        let socket = directory.join("way.sock");
        let listener = UnixListener::bind(&socket).expect("it is free");
        let is_open = std::sync::Arc::new(AtomicBool::new(true));
        let (open, to) = (std::sync::Arc::clone(&is_open), server.socket.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                if !open.load(Relaxed) {
                    continue;
                }
                let Ok(server) = std::os::unix::net::UnixStream::connect(&to) else { return };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let open = std::sync::Arc::clone(&open);
                    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                    std::thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while open.load(Relaxed) {
                            match from.read(&mut bytes) {
                                Ok(0) => break,
                                Ok(count) if to.write_all(&bytes[..count]).is_err() => break,
                                Ok(_) => {}
                                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                                Err(_) => break,
                            }
                        }
                        let _ = from.shutdown(std::net::Shutdown::Both);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { socket, is_open }
    }

    fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

/// A follower that runs. Killed when dropped.
struct Follower(Option<Child>);

impl Follower {
    fn start(daemon: &Process, from: &str, args: &[&str]) -> Self {
        Self(Some(import(daemon, &[&["--from", from, "--follow"], args].concat()).spawn().expect("it runs")))
    }

    fn signal(&self, signal: Signal) {
        let child = self.0.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it is ours");
    }

    fn end(mut self) -> Output {
        self.0.take().expect("it runs").wait_with_output().expect("it ends")
    }

    fn stop(self) -> Output {
        self.signal(Signal::INT);
        self.end()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until a server has this value at this key.
fn await_key(client: &mut Client, key: &str, value: &str) {
    let begun = Instant::now();
    while client.call(&["GET", key]).lines().rsplit(' ').next() != Some(value) {
        assert!(begun.elapsed() < 3 * PATIENCE, "{key} does not arrive");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the source has been told that all it has written is applied; while a copy is written it is not.
fn await_follower(source: &mut Client) {
    let begun = Instant::now();
    while source.words("WAIT 1 10000").integer() < 1 {
        assert!(begun.elapsed() < 5 * PATIENCE, "the source is not followed to its end");
    }
}

/// Both forms of a snapshot; writes of every kind, single ones, transactions and scripts, before it, while it is sent and
/// after it; the connection killed by the source again and again. At the end nothing is lost, here and at a second daemon.
#[test]
fn a_source_that_is_followed_through_cuts_is_the_same_after_the_switch() {
    for diskless in ["no", "yes"] {
        let backlog = ["--repl-backlog-size", "64mb"];
        let args = [&["--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0"], &backlog[..]].concat();
        let Some(redis) = Process::redis_with(&args) else { return };
        let daemon = Process::cahoots(&[]);
        let peer = peer_of(&daemon);
        let mut source = redis.client();
        fill(&mut source, 20_000);
        write(&mut source, &mut Random::new(3), 5_000, 200);
        let follower = Follower::start(&daemon, &address(&redis), &[]);
        let mut random = Random::new(4);
        let mut killer = redis.client();
        for round in 0..40 {
            write(&mut source, &mut random, 1_500, 200);
            source.words("SELECT 0");
            source.words("MULTI");
            source.words("INCR in:transaction");
            source.words("SELECT 3");
            source.words("RPUSH in:transaction a b");
            source.words("SELECT 0");
            source.words("SADD also:in:transaction a");
            source.words("EXEC");
            let script = "redis.call('INCR', KEYS[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])";
            source.call(&["EVAL", script, "2", "in:script", "list:in:script", &round.to_string()]);
            if round % 10 == 9 {
                // Once in the middle of the copy, later in the middle of the stream.
                if round > 9 {
                    await_follower(&mut source);
                    write(&mut source, &mut random, 1_500, 200);
                }
                killer.words("CLIENT KILL TYPE replica");
            }
        }
        source.words("SELECT 0");
        source.words("SET end of:it");
        await_follower(&mut source);
        let output = follower.stop();
        assert_eq!(code_of(&output), Some(0), "{}", text(&output));
        assert!(text(&output).contains("the connection to the source is lost"), "{}", text(&output));
        std::thread::sleep(Duration::from_millis(400));
        let same = assert_same(&mut source, &mut daemon.client(), 0);
        assert!(same > 20_000, "only {same} keys");
        await_peer(&daemon);
        assert_same(&mut source, &mut peer.client(), 0);
        let info = source.words("INFO stats").text();
        assert!(!info.contains("sync_partial_ok:0"), "the stream went on where it was: {info}");
        assert_eq!(daemon.client().words("GET in:transaction").text(), "40");
    }
}

/// While the way is cut for longer than keys last, their ends are put off at the source. Replicas let nothing expire by
/// themselves; a copy that did would have lost them, and counted anew.
#[test]
fn a_key_whose_end_is_put_off_while_the_way_is_cut_is_not_lost() {
    let Some(redis) = Process::redis() else { return };
    let (daemon, directory) = (Process::cahoots(&[]), tempfile::tempdir().expect("a directory"));
    let way = Way::to(&redis, directory.path());
    let mut source = redis.client();
    source.words("HSET session user 1 seen 0");
    let mut visit = || {
        source.words("HINCRBY session seen 1");
        source.words("PEXPIRE session 1500");
        source.words("INCR visits");
        source.words("PEXPIRE visits 1500");
    };
    visit();
    let follower = Follower::start(&daemon, &way.address(), &[]);
    let begun = Instant::now();
    while daemon.client().words("EXISTS session").integer() == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is copied");
        visit();
    }
    for cut in [true, false] {
        way.is_open.store(!cut, Relaxed);
        for _ in 0..15 {
            visit();
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    source.words("PEXPIREAT session 4102444800123");
    source.words("PEXPIREAT visits 4102444800123");
    source.words("SET brief 1 PX 1");
    source.words("SET end of:it");
    await_follower(&mut source);
    let output = follower.stop();
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert!(text(&output).contains("is lost"), "the way was cut: {}", text(&output));
    assert_same(&mut source, &mut daemon.client(), 0);
}

/// The part of the stream that was missed is gone: everything is copied anew, and what was deleted meanwhile goes here, too.
#[test]
fn what_was_deleted_while_a_source_was_out_of_reach_for_long_is_removed() {
    let Some(redis) = Process::redis_with(&["--repl-backlog-size", "16kb"]) else { return };
    let (daemon, directory) = (Process::cahoots(&[]), tempfile::tempdir().expect("a directory"));
    daemon.client().words("SET mine 1");
    let way = Way::to(&redis, directory.path());
    let mut source = redis.client();
    fill(&mut source, 1_000);
    let refused = import(&daemon, &["--from", &way.address(), "--follow"]).output().expect("it runs");
    assert_eq!(code_of(&refused), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("--mirror"), "{}", text(&refused));
    source.words("SET first 1");
    let follower = Follower::start(&daemon, &way.address(), &["--mirror"]);
    await_key(&mut daemon.client(), "first", "1");
    way.is_open.store(false, Relaxed);
    source.words("DEL many:1 many:2 first");
    fill(&mut source, 2_000);
    source.words("DEL many:3");
    way.is_open.store(true, Relaxed);
    source.words("SET end of:it");
    await_follower(&mut source);
    let begun = Instant::now();
    while daemon.client().words("EXISTS first mine").integer() > 0 {
        assert!(begun.elapsed() < PATIENCE, "what is gone stays");
    }
    let output = follower.stop();
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert!(text(&output).contains("copied anew"), "{}", text(&output));
    assert_same(&mut source, &mut daemon.client(), 0);
}

#[test]
fn following_ends_by_itself_when_the_source_is_idle_and_wait_counts_it() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    source.words("SET a 1");
    let follower = Follower::start(&daemon, &address(&redis), &["--until-idle", "5"]);
    await_key(&mut daemon.client(), "a", "1");
    source.words("SET b 2");
    assert_eq!(source.words("WAIT 1 10000").integer(), 1);
    assert_eq!(daemon.client().words("GET b").text(), "2");
    let output = follower.end();
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert_same(&mut source, &mut daemon.client(), 0);
}

/// What the daemon does not know is named; the rest of its transaction is done. What has another name there is done by its
/// name here.
#[test]
fn a_command_that_is_refused_is_named_and_its_transaction_done_without_it() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    source.words("SET a 1");
    let follower = Follower::start(&daemon, &address(&redis), &[]);
    await_key(&mut daemon.client(), "a", "1");
    source.words("MULTI");
    source.words("SET b 2");
    source.words("PFADD counted a");
    source.words("PFDEBUG TODENSE counted");
    source.call(&["FUNCTION", "LOAD", &library("in_transaction")]);
    source.words("SET c 3");
    source.words("EXEC");
    source.words("DEL counted");
    let payload = body_of(&source.words("DUMP c"));
    source.call(&[&b"RESTORE-ASKING"[..], b"d", b"0", &payload]);
    source.call(&[&b"RESTORE-ASKING"[..], b"e", b"4102444800123", &payload, b"ABSTTL"]);
    source.words("SET end of:it");
    await_follower(&mut source);
    let output = follower.stop();
    assert_eq!(code_of(&output), Some(7), "{}", text(&output));
    assert!(text(&output).contains("refused: PFDEBUG \"TODENSE\""), "{}", text(&output));
    assert!(text(&output).contains("1 refused"), "{}", text(&output));
    assert_same(&mut source, &mut daemon.client(), 0);
    assert_eq!(daemon.client().words("FCALL in_transaction 0").text(), "in_transaction");
}

#[test]
fn a_follower_that_was_killed_leaves_deadlines_held_that_are_put_back_by_order() {
    let Some(redis) = Process::redis() else { return };
    let daemon = Process::cahoots(&[]);
    let mut source = redis.client();
    source.words("SET a 1 PXAT 4102444800123");
    source.words("SET b 1");
    let follower = Follower::start(&daemon, &address(&redis), &[]);
    await_key(&mut daemon.client(), "b", "1");
    await_key(&mut daemon.client(), "a", "1");
    follower.signal(Signal::KILL);
    follower.end();
    assert_eq!(daemon.client().words("PEXPIRETIME a").integer(), 4_102_444_800_123 + 3_153_600_000_000);
    let output = import(&daemon, &["--release"]).output().expect("it runs");
    assert_eq!(code_of(&output), Some(0), "{}", text(&output));
    assert!(text(&output).contains("1 deadlines"), "{}", text(&output));
    assert_same(&mut source, &mut daemon.client(), 0);
}

/// A source that says anything at all ends in a sentence, not in a crash or in waiting for ever.
#[test]
fn a_hostile_source_is_an_error_in_words() {
    let daemon = Process::cahoots(&[]);
    let full = b"+OK\r\n+FULLRESYNC abc 0\r\n";
    let empty = [&b"REDIS0011\xFF"[..], &[0; 8]].concat();
    let behind = |bytes: &[u8]| [full, &b"$18\r\n"[..], &empty, bytes].concat();
    for (bytes, words) in [
        (b"+OK\r\n+CONTINUE\r\n".to_vec(), "never begun"),
        (b"+OK\r\n+WHAT\r\n".to_vec(), "unexpected reply to PSYNC"),
        (b"-NOAUTH Authentication required.\r\n".to_vec(), "cannot be followed"),
        ([full, &b"$20\r\nMYSQL0011xxxxxxxxxxx"[..]].concat(), "no RDB"),
        ([full, &b"$18\r\nREDIS0011\x1e\x01k\x01vxxxxx"[..]].concat(), "unknown type 30"),
        (behind(b"*1\r\n$99999999999\r\n"), "no command"),
        (behind(b"*2\r\n$6\r\nSELECT\r\n$3\r\n999\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"), "no database 999"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let from = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let said = bytes.clone();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.write_all(&said);
                open.push(stream);
            }
        });
        let output = import(&daemon, &["--from", &from, "--follow"]).output().expect("it runs");
        assert_eq!(code_of(&output), Some(1), "{}: {}", bytes.escape_ascii(), text(&output));
        assert!(text(&output).contains(words), "{}: {}", bytes.escape_ascii(), text(&output));
    }
    assert_eq!(daemon.client().words("DBSIZE").integer(), 0);
    let tls = import(&daemon, &["--from", "rediss://localhost"]).output().expect("it runs");
    assert_eq!(code_of(&tls), Some(2), "{}", text(&tls));
    assert!(text(&tls).contains("TLS is not spoken here"), "{}", text(&tls));
}
