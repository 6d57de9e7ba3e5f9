//! `cahoots export` and `import`: every type, any bytes, from a node and from a directory, with progress, and cut streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cahoots_tests::cluster::{Client, Daemon, Setup, Value, command};

fn cahoots(words: &[&str]) -> Child {
    let mut command = command();
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}

/// Lets a command read `input`; its exit code, output and errors.
fn run(words: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = cahoots(words);
    // What it does not read it does not need.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    let output = child.wait_with_output().expect("it is ours");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn socket(setup: &Setup) -> String {
    setup.socket().to_string_lossy().into_owned()
}

fn stored(node: &str, directory: &Path) -> Setup {
    Setup::new(node, directory).stored(&directory.join(format!("{node}.data")))
}

/// Some of everything that is exported.
fn furnish(client: &mut Client) {
    client.words("SET text hello");
    client.call(&[b"SET", b"empty", b""]);
    client.call(&[b"SET", b"\xff\x00key", b"\x80\r\n\"quoted\"\xfe"]);
    client.call(&[b"SET", "schl\u{fc}ssel".as_bytes(), "wert \u{2014} \u{1f980}".as_bytes()]);
    client.call(&[b"SET", b"large", &vec![b'x'; 1 << 20]]);
    client.words("SET counted 40");
    client.words("INCRBY counted 2");
    client.words("INCRBY counter -7");
    client.words("SADD set one two three");
    client.call(&[b"SADD", b"set", b"\xc0\xc1", b""]);
    client.words("HSET hash name Ada");
    client.words("HINCRBY hash visits 3");
    client.call(&[b"HSET", b"hash", b"\xf0", b"\x0f", b"", b""]);
    client.words("HSET fading first 1 second 2 last 3");
    client.call(&[b"HSET", b"fading", b"\xf0", b"4"]);
    client.words("HPEXPIREAT fading 30000000000001 FIELDS 2 first second");
    client.call(&[b"HPEXPIREAT", b"fading", b"30000000000002", b"FIELDS", b"1", b"\xf0"]);
    client.words("PEXPIREAT fading 30000000000003");
    client.words("ZADD sorted 1.5 one -inf least 0.1 tenth");
    client.words("ZINCRBY sorted 2 one");
    client.call(&[b"ZADD", b"sorted", b"1e300", b"\xf0", b"7", b""]);
    client.call(&[b"XADD", b"stream", b"5-0", b"name", b"\xf0", b"name", b""]);
    client.call(&[b"XADD", b"stream", b"*", b"", b"x"]);
    client.words("XADD stream 99999999999999-7 a b");
    client.words("XDEL stream 99999999999999-7");
    client.words("XADD emptied MAXLEN 0 7-7 a b");
    client.words("RPUSH list a b a c");
    client.call(&[b"LINSERT", b"list", b"BEFORE", b"c", b"\xf0"]);
    for chunk in 0..3 {
        let members: Vec<String> = (0..700).map(|n| format!("member:{chunk}:{n}")).collect();
        let words: Vec<&[u8]> =
            [&b"SADD"[..], b"wide"].into_iter().chain(members.iter().map(String::as_bytes)).collect();
        client.call(&words);
    }
}

/// The lines between the first and the last, in an order of their own: what is exported, with members sorted.
fn items(stream: &str) -> Vec<String> {
    let lines: Vec<&str> = stream.lines().collect();
    assert!(lines[0].starts_with("{\"cahoots-export\":1,"), "{}", lines[0]);
    assert_eq!(*lines.last().expect("an end"), format!("{{\"end\":{}}}", lines.len() - 2));
    let mut items: Vec<String> = lines[1..lines.len() - 1].iter().map(|line| sorted(line)).collect();
    items.sort();
    items
}

/// A line with the members of its set or the fields of its hash sorted: they have no order.
fn sorted(line: &str) -> String {
    let mut item: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
    for name in ["set", "hash", "fields_until"] {
        if let Some(list) = item.get_mut(name).and_then(serde_json::Value::as_array_mut) {
            list.sort_by_key(ToString::to_string);
        }
    }
    item.to_string()
}

#[test]
fn every_type_and_any_bytes_survive_export_and_import_by_node_and_by_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (from, to) = (Daemon::start(stored("from", directory.path())), Daemon::start(stored("to", directory.path())));
    furnish(&mut from.client());
    from.ask("CAHOOTS STATUS");
    let keys = from.ask("DBSIZE").integer();
    let (code, stream, told) = run(&["export", "--socket", &socket(&from.setup)], b"");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&format!("{keys} keys")), "{told}");
    let (code, told, errors) = run(&["import", "--socket", &socket(&to.setup)], stream.as_bytes());
    assert_eq!((code, told), (Some(0), format!("{keys} keys\n")), "{errors}");
    let (_, again, _) = run(&["export", "--socket", &socket(&to.setup)], b"");
    assert_eq!(items(&again), items(&stream));
    assert_eq!(to.ask("INCR counted"), Value::Integer(43), "a counter is one still");
    assert_eq!(to.ask("HINCRBY hash visits 1"), Value::Integer(4));
    let ends = [30_000_000_000_001, 30_000_000_000_001, -1].map(Value::Integer);
    assert_eq!(to.ask("HPEXPIRETIME fading FIELDS 3 first second last"), Value::Array(ends.into()));
    let lines = items(&stream);
    let fading = r#""fields_until":[["first",30000000000001],["second",30000000000001],[{"hex":"f0"},30000000000002]]"#;
    assert_eq!(lines.iter().filter(|line| line.contains(fading)).count(), 1, "{lines:?}");
    assert_eq!(to.ask("ZRANGE sorted (1 +inf BYSCORE LIMIT 0 1"), Value::Array(vec![Value::Text(b"one".to_vec())]));
    assert_eq!(to.ask("XLEN stream"), Value::Integer(2));
    assert_eq!(to.ask("XLEN emptied"), Value::Integer(0));
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(to.ask("XADD emptied 7-* a b"), text("7-8"), "its last id came along");
    assert_eq!(to.ask("XADD stream 99999999999999-* a b"), text("99999999999999-8"));
    let element = |bytes: &[u8]| Value::Text(bytes.to_vec());
    let list = Value::Array([&b"a"[..], b"b", b"a", b"\xf0", b"c"].map(element).into());
    assert_eq!(to.ask("LRANGE list 0 -1"), list);
    let (code, _, errors) = run(&["import", "--socket", &socket(&to.setup)], stream.as_bytes());
    assert_eq!((code, to.ask("LRANGE list 0 -1")), (Some(0), list), "{errors}");
    // A field that has ended since is gone, whatever it had.
    let head = "{\"cahoots-export\":1}\n{\"key\":\"fading\",\"hash\":[[\"first\",\"5\"],[\"last\",\"6\"]],";
    let late = format!("{head}\"fields_until\":[[\"first\",1]]}}\n{{\"end\":1}}\n");
    let (code, _, errors) = run(&["import", "--socket", &socket(&to.setup)], late.as_bytes());
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(to.ask("HMGET fading first last"), Value::Array(vec![Value::Null, text("6")]));
    let Value::Text(large) = to.ask("GET large") else { panic!("no text") };
    assert_eq!(large.len(), 1 << 20);

    // A directory says the same, and is not in the way of its next user.
    let setup = from.setup.clone();
    assert_eq!(from.terminate().code(), Some(0));
    let data = directory.path().join("from.data").to_string_lossy().into_owned();
    let (code, of_directory, _) = run(&["export", &data], b"");
    assert_eq!((code, items(&of_directory)), (Some(0), items(&stream)));
    assert!(stream.starts_with(r#"{"cahoots-export":1,"cluster":"cahoots","#), "{stream:.100}");
    assert_eq!(of_directory.lines().next(), stream.lines().next(), "both say of which cluster it is");
    let from = Daemon::start(setup);
    let (code, _, errors) = run(&["export", &data], b"");
    assert_ne!(code, Some(0));
    assert!(errors.contains("in use"), "{errors}");
    drop(from);
}

#[test]
fn a_stream_that_was_cut_or_is_none_or_is_of_another_version_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let daemon = Daemon::start(Setup::new("a", directory.path()));
    let import = |stream: &str| {
        let (code, _, errors) = run(&["import", "--socket", &socket(&daemon.setup)], stream.as_bytes());
        assert_eq!(code, Some(1), "{errors}");
        errors
    };
    let head = "{\"cahoots-export\":1,\"keys\":2}\n";
    assert!(import(&format!("{head}{{\"key\":\"k\",\"text\":\"1\"}}\n")).contains("cut off"));
    assert_eq!(daemon.ask("GET k"), Value::text("1"), "what there was of it");
    assert!(import(&format!("{head}{{\"end\":2}}\n")).contains("2 keys"));
    assert!(import("{\"key\":\"k\",\"text\":\"2\"}\n").contains("no stream"));
    assert!(import("{\"cahoots-export\":2}\n").contains("version 2"));
    assert!(import(&format!("{head}{{\"key\":\"k\",\"future\":[]}}\n")).contains("line 2"));
    assert_eq!(daemon.ask("GET k"), Value::text("1"));
}

#[test]
fn progress_is_told_while_data_moves() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let daemon = Daemon::start(Setup::new("a", directory.path()));
    let mut client = daemon.client();
    (0..300).for_each(|n| drop(client.call(&[b"SET", format!("k:{n}").as_bytes(), &[b'x'; 10_000]])));

    // Nobody reads for a while, and whoever exports has to wait.
    let mut export = cahoots(&["export", "--socket", &socket(&daemon.setup)]);
    let begun = Instant::now();
    while let Some(left) = Duration::from_millis(1_200).checked_sub(begun.elapsed()) {
        std::thread::park_timeout(left);
    }
    let mut stream = String::new();
    export.stdout.take().expect("it is piped").read_to_string(&mut stream).expect("text");
    let output = export.wait_with_output().expect("it is ours");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(" of about 300 keys"), "{told}");

    // Whoever imports hears from a slow source until it has told how far it is.
    let mut import = cahoots(&["import", "--socket", &socket(&daemon.setup)]);
    let (mut input, errors) = (import.stdin.take().expect("piped"), import.stderr.take().expect("piped"));
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = String::new();
            BufReader::new(errors).read_line(&mut line).expect("text");
            assert!(line.contains(" of 1000000 keys"), "{line}");
            told.store(true, Ordering::SeqCst);
        });
        writeln!(input, "{{\"cahoots-export\":1,\"keys\":1000000}}").expect("it reads");
        let mut count = 0;
        while !told.load(Ordering::SeqCst) {
            writeln!(input, "{{\"key\":\"n\",\"text\":\"{count}\"}}").expect("it reads");
            count += 1;
            std::thread::park_timeout(Duration::from_millis(1));
        }
        writeln!(input, "{{\"end\":{count}}}").expect("it reads");
        drop(input);
    });
    assert!(import.wait().expect("it is ours").success());
}
