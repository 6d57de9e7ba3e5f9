//! Clients that ask much, ask badly, or do not listen; and what they may not do to the others.

mod process;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use process::{Client, PATIENCE, Process, frame};

/// A daemon with these lines under `[limits]`.
fn limited(limits: &str) -> (tempfile::TempDir, Process) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("cahoots.toml");
    std::fs::write(&path, format!("[limits]\n{limits}\n")).expect("the file is written");
    let daemon = Process::cahoots(&["--config", path.to_str().expect("a plain path")]);
    (directory, daemon)
}

fn resident_bytes(daemon: &Process) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", daemon.id())).expect("the process runs");
    statm.split_whitespace().nth(1).expect("resident pages").parse::<u64>().expect("a number") * 4096
}

fn info(client: &mut Client, field: &str) -> u64 {
    let info = client.words("INFO").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field}")).parse().expect("a number")
}

/// Asks until the field has the value: the daemon notices on its own time, but it does.
fn await_info(client: &mut Client, field: &str, value: u64) {
    let begun = Instant::now();
    while info(client, field) != value {
        assert!(begun.elapsed() < PATIENCE, "{field} stays {}", info(client, field));
        std::thread::yield_now();
    }
}

/// Whether the server has closed: everything until the end is read.
fn closed(stream: &mut UnixStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut sink = [0; 65536];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_client_that_never_reads_is_bounded_and_cut_and_the_others_notice_nothing() {
    let (_directory, daemon) = limited("output-stall-ms = 300\noutput-pause-bytes = 65536");
    let mut other = daemon.client();
    other.call(&[b"SET", &b"large"[..], &vec![b'x'; 1 << 20]]);
    let before = resident_bytes(&daemon);
    let mut deaf = UnixStream::connect(&daemon.socket).expect("the daemon listens");
    deaf.set_nonblocking(true).expect("a flag");
    // A gigabyte of replies, asked for as far as the daemon takes it.
    let ask = frame(&["GET", "large"]);
    let mut asked = 0;
    while asked < 1000 && deaf.write(&ask).is_ok_and(|written| written == ask.len()) {
        asked += 1;
        assert_eq!(other.words("PING").text(), "PONG");
    }
    assert!(asked > 10, "only {asked} requests fitted");
    await_info(&mut other, "cut_connections", 1);
    let grown = resident_bytes(&daemon).saturating_sub(before);
    assert!(grown < 16 << 20, "grew by {grown} bytes");
    deaf.set_nonblocking(false).expect("a flag");
    assert!(closed(&mut deaf));
}

#[test]
fn a_client_that_sends_all_it_has_before_it_reads_gets_every_reply_also_after_its_last_word() {
    let (_directory, daemon) = limited("output-pause-bytes = 65536");
    let mut client = daemon.client();
    client.call(&[b"SET", &b"k"[..], &[b'x'; 1000]]);
    // More than the socket takes, and much more to answer.
    let (count, ask) = (30_000, frame(&["GET", "k"]));
    client.stream().write_all(&ask.repeat(count)).expect("the daemon reads on");
    client.stream().shutdown(Shutdown::Write).expect("an end");
    for _ in 0..count {
        assert_eq!(client.receive().text().len(), 1000);
    }
}

#[test]
fn a_slow_reader_gets_every_reply() {
    let (_directory, daemon) = limited("output-pause-bytes = 1024");
    let mut client = daemon.client();
    let count = 20_000;
    let mut writer = client.stream().try_clone().expect("another handle");
    let pipeline: Vec<u8> = (0..count).flat_map(|n| frame(&["ECHO".to_owned(), n.to_string()])).collect();
    let writing = std::thread::spawn(move || writer.write_all(&pipeline));
    for n in 0..count {
        assert_eq!(client.receive().text(), n.to_string());
    }
    writing.join().expect("the writer ends").expect("all is taken");
}

#[test]
fn half_a_frame_then_silence_costs_what_was_sent() {
    let daemon = Process::cahoots(&[]);
    let mut other = daemon.client();
    let before = resident_bytes(&daemon);
    let silent: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = daemon.client();
            client.send(b"*1000000\r\n$3\r\nSET\r\n$60000000\r\nabc");
            client
        })
        .collect();
    await_info(&mut other, "connected_clients", 101);
    let grown = resident_bytes(&daemon).saturating_sub(before);
    assert!(grown < 4 << 20, "grew by {grown} bytes");
    drop(silent);
    await_info(&mut other, "connected_clients", 1);
}

#[test]
fn half_a_frame_past_the_bound_is_cut() {
    let (_directory, daemon) = limited("query-bytes-max = 100000");
    let mut stream = daemon.client().stream().try_clone().expect("another handle");
    let mut frame = b"*2\r\n$4\r\nECHO\r\n$1000000\r\n".to_vec();
    frame.resize(500_000, b'x');
    let _ = stream.write_all(&frame);
    assert!(closed(&mut stream));
    let mut other = daemon.client();
    assert_eq!(info(&mut other, "cut_connections"), 1);
    // One that fits the bound is executed.
    assert_eq!(other.call(&[b"ECHO", &vec![b'x'; 90_000][..]]).text().len(), 90_000);
}

#[test]
fn half_frames_of_many_clients_are_bounded_together() {
    let (_directory, daemon) = limited("query-bytes-total-max = 1000000");
    let mut frame = b"*2\r\n$4\r\nECHO\r\n$1000000\r\n".to_vec();
    frame.resize(150_000, b'x');
    let mut clients: Vec<Client> = (0..20).map(|_| daemon.client()).collect();
    for client in &mut clients {
        let _ = client.stream().write_all(&frame);
    }
    let mut other = daemon.client();
    let begun = Instant::now();
    while info(&mut other, "cut_connections") < 10 {
        assert!(begun.elapsed() < PATIENCE, "too few are cut");
    }
    assert_eq!(other.words("PING").text(), "PONG");
}

#[test]
fn lengths_and_nestings_beyond_reason_are_refused() {
    let daemon = Process::cahoots(&[]);
    let nested = "*1\r\n".repeat(1_000_000);
    for (stream, reply) in [
        ("*2\r\n$3\r\nGET\r\n$9223372036854775808\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*9223372036854775807\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (&nested, "-ERR Protocol error: expected '$', got '*'\r\n"),
    ] {
        let client = daemon.client();
        let _ = client.stream().write_all(stream.as_bytes());
        assert_eq!(String::from_utf8_lossy(&client.rest()), reply);
    }
}

#[test]
fn one_client_too_many_is_told_so() {
    let (_directory, daemon) = limited("clients-max = 3");
    let mut clients: Vec<Client> = (0..3).map(|_| daemon.client()).collect();
    assert!(clients.iter_mut().all(|client| client.words("PING").text() == "PONG"));
    assert_eq!(daemon.client().rest(), b"-ERR max number of clients reached\r\n");
    assert_eq!(info(&mut clients[0], "rejected_connections"), 1);
    clients.pop();
    await_info(&mut clients[0], "connected_clients", 2);
    assert_eq!(daemon.client().words("PING").text(), "PONG");
}

#[test]
fn ten_thousand_clients_are_served() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CLIENTS: usize = 10_000;
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if raised.is_err() || limit.maximum.is_some_and(|maximum| maximum < CLIENTS as u64 + 200) {
        eprintln!("\n*** SKIPPED: the limit on open files allows no {CLIENTS} clients ***\n");
        return;
    }
    let daemon = Process::cahoots(&[]);
    let before = resident_bytes(&daemon);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send(b"PING\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.receive().text(), "PONG");
    }
    assert_eq!(info(&mut clients[0], "connected_clients"), CLIENTS as u64);
    let each = resident_bytes(&daemon).saturating_sub(before) / CLIENTS as u64;
    assert!(each < 4096, "an idle client costs {each} bytes");
}

#[test]
fn a_blocked_wait_blocks_its_own_connection_only_and_ends_with_it() {
    let daemon = Process::cahoots(&[]);
    let (mut waiting, mut other) = (daemon.client(), daemon.client());
    waiting.words("SET k v");
    waiting.send(&[frame(&["WAIT", "5", "0"]), frame(&["PING"])].concat());
    await_info(&mut other, "blocked_clients", 1);
    assert_eq!(other.words("GET k").text(), "v");
    // It is blocked and another command was answered since: had the PING behind it been, it would be here.
    waiting.stream().set_nonblocking(true).expect("a flag");
    let nothing = waiting.stream().read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(ErrorKind::WouldBlock));
    drop(waiting);
    await_info(&mut other, "blocked_clients", 0);
    await_info(&mut other, "connected_clients", 1);

    // With an end it answers what there is, and then what was asked behind it.
    other.send(&[frame(&["WAIT", "1", "30"]), frame(&["PING"])].concat());
    assert_eq!(other.receive().integer(), 0);
    assert_eq!(other.receive().text(), "PONG");
}

#[test]
fn a_reader_of_streams_is_kept_waiting_until_something_comes_or_time_is_over() {
    let daemon = Process::cahoots(&[]);
    let (mut reader, mut writer) = (daemon.client(), daemon.client());
    writer.words("XADD s 1-0 f old");
    for (asks, key) in
        [("XREAD BLOCK 0 STREAMS none s $ $", "s"), ("XREAD COUNT 1 BLOCK 100000 STREAMS s none $ 0", "none")]
    {
        reader.send(&frame(&asks.split(' ').collect::<Vec<_>>()));
        await_info(&mut writer, "blocked_clients", 1);
        // Neither other keys nor entries that are gone at once end the wait.
        writer.words("SET other v");
        writer.words("XDEL s 1-0");
        writer.words(&format!("XADD {key} 5-* f new"));
        let answer = reader.receive();
        assert_eq!(answer.parts().len(), 1);
        assert_eq!(answer.parts()[0].parts()[0].text(), key);
        let entries = answer.parts()[0].parts()[1].parts();
        assert_eq!(entries.last().expect("an entry").parts()[1].parts()[1].text(), "new");
        await_info(&mut writer, "blocked_clients", 0);
    }
    assert_eq!(format!("{:?}", reader.words("XREAD BLOCK 20 STREAMS s $")), r"*-1\r\n[]");

    let first = reader.words("CRDT.XREAD s 0 COUNT 10");
    assert_eq!(first.parts()[1].parts().len(), 1);
    let cursor = first.parts()[0].text();
    reader.send(&frame(&["CRDT.XREAD", "s", &cursor, "BLOCK", "0"]));
    await_info(&mut writer, "blocked_clients", 1);
    writer.words("XADD s * f newest");
    let second = reader.receive();
    assert_eq!(second.parts()[1].parts()[0].parts()[1].parts()[1].text(), "newest");
    let cursor = second.parts()[0].text();
    let nothing = reader.words(&format!("CRDT.XREAD s {cursor}"));
    assert_eq!((nothing.parts()[0].text(), nothing.parts()[1].parts().len()), (cursor.clone(), 0));
    assert_eq!(format!("{:?}", reader.words(&format!("CRDT.XREAD s {cursor} BLOCK 20"))), r"*-1\r\n[]");
    reader.send(&frame(&["XREAD", "BLOCK", "0", "STREAMS", "s", "$"]));
    await_info(&mut writer, "blocked_clients", 1);
    drop(reader);
    await_info(&mut writer, "blocked_clients", 0);
}

#[test]
fn cursors_that_nobody_gave_out_are_refused() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    client.words("XADD s 1-0 f v");
    let cursor = client.words("CRDT.XREAD s 0").parts()[0].text();
    assert_eq!(cursor.len(), 2 * 25);
    let long = format!("01{}", "ff".repeat(24 * 5000));
    let refused = ["1", "00", "01f", "x", "-", &cursor[2..], &cursor.to_uppercase(), &format!("{cursor}00"), &long];
    for refused in refused.into_iter().filter(|refused| *refused != cursor) {
        assert_eq!(client.call(&["CRDT.XREAD", "s", refused]).text(), "ERR invalid cursor", "{refused:.60}");
    }
    assert_eq!(client.words("CRDT.XREAD none 0").parts()[0].text(), "0");
    for (asks, told) in [
        ("CRDT.XREAD s 0 COUNT 0", "ERR value is out of range, must be positive"),
        ("CRDT.XREAD s 0 COUNT x", "ERR value is not an integer or out of range"),
        ("CRDT.XREAD s 0 COUNT", "ERR syntax error"),
        ("CRDT.XREAD s 0 BOGUS 1", "ERR syntax error"),
        ("CRDT.XREAD s 0 BLOCK -1", "ERR timeout is negative"),
        ("CRDT.XREAD s", "ERR wrong number of arguments for 'crdt.xread' command"),
    ] {
        assert_eq!(client.words(asks).text(), told, "{asks}");
    }
    client.words("SET text v");
    assert!(client.words("CRDT.XREAD text 0").text().starts_with("WRONGTYPE"));
}

#[test]
fn a_client_that_asked_for_silence_hears_nothing_of_commands_that_wait() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let said = [&["CLIENT", "REPLY", "SKIP"][..], &["WAIT", "0", "1"], &["PRESENCE.JOIN", "room"]];
    client.send(&said.map(frame).concat());
    assert_eq!(client.receive().integer(), 1, "the wait was skipped, the presence was not");
    let said = [&["CLIENT", "REPLY", "OFF"][..], &["RESET"], &["PRESENCE.COUNT", "room"]];
    client.send(&said.map(frame).concat());
    // RESET ends the silence, and is answered although it waits for the presence to end.
    assert_eq!(client.receive().text(), "RESET");
    assert_eq!(client.receive().integer(), 0);
}

#[test]
fn clients_may_come_over_tcp_where_that_is_wanted() {
    let daemon = Process::cahoots(&["--tcp", "127.0.0.1:0"]);
    let port = info(&mut daemon.client(), "tcp_port");
    let mut stream =
        std::net::TcpStream::connect(("127.0.0.1", u16::try_from(port).expect("a port"))).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"PING\r\nQUIT\r\n").expect("it reads");
    let mut replies = String::new();
    stream.read_to_string(&mut replies).expect("it closes");
    assert_eq!(replies, "+PONG\r\n+OK\r\n");
}

#[test]
fn a_write_refused_for_its_size_leaves_nothing() {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    let large = vec![b'x'; 9 << 20];
    let long = vec![b'k'; 70 << 10];
    for command in [
        &[&b"SET"[..], b"k", &large][..],
        &[b"MSET", b"k", b"v", b"l", &large],
        &[b"MSET", b"k", b"v", &long, b"v"],
        &[b"HSET", b"k", b"f", b"v", b"g", &large],
        &[b"SADD", b"k", b"m", &long],
        &[b"ZADD", b"k", b"1", b"m", b"2", &long],
        &[b"ZINCRBY", b"k", b"1", &long],
        &[b"RPUSH", b"k", b"v", &large],
        &[b"LPUSH", &long, b"v"],
        &[b"SET", &long, b"v"],
        &[b"INCR", &long],
    ] {
        let refusal = client.call(command).text();
        assert!(refusal.starts_with("ERR ") && refusal.contains("exceeds the cluster's maximum"), "{refusal}");
        assert_eq!(client.words("DBSIZE").integer(), 0);
    }
}
