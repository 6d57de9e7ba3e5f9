//! Users of daemons: who is let in, what is kept from whom, and what happens to those who are there when that changes.

mod process;

use std::time::Instant;

use process::{Client, PATIENCE, Process, Value, cahoots, frame};

/// The reply to a command written as words.
fn told(client: &mut Client, words: &str) -> String {
    client.words(words).lines()
}

/// A daemon whose users are these, and whoever logs in as one of them (its password is `p`).
fn daemon(users: &[&str]) -> (Process, Client) {
    let daemon = Process::cahoots(&[]);
    let mut client = daemon.client();
    for user in users {
        assert_eq!(told(&mut client, &format!("ACL SETUSER {user}")), "+OK");
    }
    (daemon, client)
}

fn user(daemon: &Process, name: &str) -> Client {
    let mut client = daemon.client();
    assert_eq!(told(&mut client, &format!("AUTH {name} p")), "+OK");
    client
}

/// Whether the daemon closes the connection of its own accord.
fn is_cut(client: Client) -> bool {
    client.rest().is_empty()
}

#[test]
fn users_are_of_one_daemon_and_data_is_of_all() {
    let first = Process::cahoots(&["--node", "a"]);
    let listen =
        serde_json::from_slice::<serde_json::Value>(&status(&first, &[]).stdout).expect("JSON")["listen"].clone();
    let second = Process::cahoots(&["--node", "b", "--seed", listen.as_str().expect("an address")]);
    let (mut one, mut two) = (first.client(), second.client());
    assert_eq!(told(&mut one, "ACL SETUSER app on >p +@all ~app:* -@dangerous"), "+OK");
    let begun = Instant::now();
    while told(&mut one, "WAIT 1 100") != ":1" {
        assert!(begun.elapsed() < PATIENCE, "they do not meet");
        told(&mut one, "INCR n");
    }
    while told(&mut two, "DBSIZE").starts_with("-LOADING") {
        assert!(begun.elapsed() < PATIENCE, "it does not catch up");
    }
    assert_eq!(told(&mut two, "ACL USERS"), "*1 $7 default");
    let mut app = user(&first, "app");
    assert_eq!(told(&mut app, "SET app:1 v"), "+OK");
    assert_eq!(told(&mut app, "SET other v"), "-NOPERM No permissions to access a key");
    assert_eq!(told(&mut app, "WAIT 1 10000"), ":1");
    assert_eq!(told(&mut two, "GET app:1"), "$1 v");
    assert_eq!(told(&mut two, "SET other v"), "+OK");
    assert_eq!(told(&mut two, "EXISTS other app:1"), ":2");
}

fn status(daemon: &Process, password: &[&str]) -> std::process::Output {
    let mut command = cahoots();
    command.args(["status", "--json", "--socket"]).arg(&daemon.socket);
    for password in password {
        command.env("CAHOOTS_PASSWORD", password);
    }
    command.output().expect("the binary runs")
}

#[test]
fn with_a_required_password_nothing_is_told_without_it() {
    let daemon = Process::cahoots(&["--requirepass", "secret"]);
    let mut client = daemon.client();
    for refused in ["PING", "GET a", "ACL WHOAMI", "MULTI", "SUBSCRIBE c", "CAHOOTS STATUS"] {
        assert_eq!(told(&mut client, refused), "-NOAUTH Authentication required.", "{refused}");
    }
    assert!(told(&mut client, "HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    assert!(told(&mut client, "AUTH wrong").starts_with("-WRONGPASS"));
    assert!(!status(&daemon, &[]).status.success() && !status(&daemon, &["wrong"]).status.success());
    let ours = status(&daemon, &["secret"]);
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    assert_eq!(told(&mut client, "AUTH secret"), "+OK");
    assert_eq!(told(&mut client, "PING"), "+PONG");
    let shown = told(&mut client, "CONFIG GET requirepass");
    assert!(shown.contains('#') && !shown.contains("secret"), "{shown}");
    // Who is in stays in when the password changes, and who comes needs the new one.
    assert_eq!(told(&mut client, "CONFIG SET requirepass other"), "+OK");
    assert_eq!(told(&mut client, "PING"), "+PONG");
    assert!(told(&mut daemon.client(), "AUTH secret").starts_with("-WRONGPASS"));
    assert_eq!(told(&mut daemon.client(), "AUTH other"), "+OK");
}

#[test]
fn who_is_deleted_is_cut_also_while_it_waits_or_listens_and_nobody_else_is() {
    let (daemon, mut admin) = daemon(&["a on >p +@all ~* &*", "b on >p +@all ~* &*"]);
    let mut clients: Vec<Client> = (0..3).map(|_| user(&daemon, "a")).collect();
    let mut other = user(&daemon, "b");
    clients[1].send(&frame(&["BLPOP", "q", "0"]));
    clients[2].words("SUBSCRIBE c");
    other.send(&frame(&["BLPOP", "q", "0"]));
    await_blocked(&mut admin, 2);
    assert_eq!(told(&mut admin, "ACL DELUSER a"), ":1");
    assert!(clients.into_iter().all(is_cut));
    assert_eq!(told(&mut admin, "RPUSH q v"), ":1");
    assert_eq!(other.receive().lines(), "*2 $1 q $1 v", "it has not been taken by who is gone");
    assert!(told(&mut daemon.client(), "AUTH a p").starts_with("-WRONGPASS"));
    // Oneself, too, behind the answer.
    assert_eq!(told(&mut other, "ACL DELUSER b"), ":1");
    assert!(is_cut(other));
}

fn await_blocked(admin: &mut Client, count: usize) {
    let begun = Instant::now();
    while !admin.words("INFO clients").text().contains(&format!("blocked_clients:{count}")) {
        assert!(begun.elapsed() < PATIENCE, "they do not wait");
    }
}

#[test]
fn what_is_taken_away_is_gone_at_once() {
    let (daemon, mut admin) = daemon(&["a on >p +@all ~q ~k &c* &news"]);
    let (mut asks, mut waits) = (user(&daemon, "a"), user(&daemon, "a"));
    let (mut listens, mut reads) = (user(&daemon, "a"), user(&daemon, "a"));
    assert_eq!(told(&mut asks, "SET k 1"), "+OK");
    waits.send(&frame(&["BLPOP", "q", "0"]));
    listens.words("SUBSCRIBE cats news");
    listens.receive();
    reads.words("PSUBSCRIBE c*");
    await_blocked(&mut admin, 1);
    // More than before: nobody is cut.
    assert_eq!(told(&mut admin, "ACL SETUSER a &more ~more"), "+OK");
    assert_eq!(told(&mut admin, "PUBLISH cats m"), ":2");
    // The queue, and one of the channels.
    assert_eq!(told(&mut admin, "ACL SETUSER a resetkeys ~k resetchannels &c*"), "+OK");
    assert_eq!(waits.receive().lines(), "-NOPERM No permissions to access a key");
    assert_eq!(told(&mut waits, "GET k"), "$1 1", "it stays");
    assert_eq!(listens.receive().lines(), "*3 $7 message $4 cats $1 m");
    assert!(is_cut(listens));
    reads.receive();
    assert_eq!(told(&mut admin, "PUBLISH cats m"), ":1");
    assert_eq!(told(&mut admin, "ACL SETUSER a -@write"), "+OK");
    assert_eq!(told(&mut asks, "SET k 2"), "-NOPERM User a has no permissions to run the 'set' command");
    assert_eq!(told(&mut asks, "ACL SETUSER a +@all"), "+OK");
    assert_eq!(told(&mut asks, "SET k 2"), "+OK");
}

#[test]
fn transactions_and_scripts_may_do_what_their_users_may() {
    let (daemon, mut admin) = daemon(&["a on >p +@all ~k"]);
    let mut client = user(&daemon, "a");
    for words in ["MULTI", "SET k 1", "INCR k"] {
        client.words(words);
    }
    assert_eq!(told(&mut admin, "ACL SETUSER a -incr"), "+OK");
    let answer = told(&mut client, "EXEC");
    let reason = "This command is no longer allowed for the following reason: no permission to execute the command or subcommand";
    assert!(answer.starts_with("*2 +OK -NOPERM ACLs rules changed between") && answer.ends_with(reason), "{answer}");
    client.words("MULTI");
    assert!(told(&mut client, "GET other").starts_with("-NOPERM"));
    assert!(told(&mut client, "EXEC").starts_with("-EXECABORT"));
    let script = |body: &str| ["EVAL".to_owned(), body.to_owned(), "0".to_owned()];
    let failed = client.call(&script("return redis.call('set', 'other', 'v')")).lines();
    assert!(failed.starts_with("-NOPERM ACL failure in script: No permissions to access a key"), "{failed}");
    let failed = client.call(&script("return redis.call('incr', 'k')")).lines();
    assert!(
        failed.starts_with("-NOPERM ACL failure in script: User a has no permissions to run the 'incr'"),
        "{failed}"
    );
    assert_eq!(client.call(&script("return redis.call('get', 'k')")).lines(), "$1 1");
    assert_eq!(client.call(&script("return redis.acl_check_cmd('incr', 'k')")).lines(), "$-1");
    assert_eq!(client.call(&script("return redis.acl_check_cmd('get', 'k')")).lines(), ":1");
    assert!(told(&mut client, "EVAL return(1) 1 other").starts_with("-NOPERM No permissions to access a key"));
    let log = admin.words("ACL LOG");
    let entry = |at: usize, name: &str| log.parts()[at].pair(name);
    assert_eq!(
        (entry(0, "reason"), entry(0, "context"), entry(0, "object")),
        ("key".into(), "toplevel".into(), "other".into())
    );
    assert_eq!(
        (entry(1, "reason"), entry(1, "context"), entry(1, "object")),
        ("command".into(), "lua".into(), "incr".into())
    );
    assert_eq!(
        (entry(2, "reason"), entry(2, "context"), entry(2, "object")),
        ("key".into(), "lua".into(), "other".into())
    );
    assert_eq!(
        (entry(3, "reason"), entry(3, "context"), entry(3, "object")),
        ("key".into(), "multi".into(), "other".into())
    );
    assert_eq!(
        (entry(4, "reason"), entry(4, "context"), entry(4, "object")),
        ("command".into(), "multi".into(), "incr".into())
    );
    assert!(admin.words("INFO stats").text().contains("acl_access_denied_key:3\r\n"));
    assert_eq!(told(&mut admin, "ACL LOG RESET"), "+OK");
    assert_eq!(told(&mut admin, "ACL LOG"), "*0");
}

#[test]
fn patterns_are_about_names_as_clients_call_them_in_every_database() {
    let (daemon, _) = daemon(&["a on >p +@all ~k*"]);
    let mut client = user(&daemon, "a");
    for database in ["0", "3", "15"] {
        client.call(&["SELECT", database]);
        assert_eq!(told(&mut client, "SADD k1 x"), ":1");
        assert_eq!(told(&mut client, "SADD x k"), "-NOPERM No permissions to access a key");
        assert_eq!(client.call(&[&b"GET"[..], b"\0\x03k1"]).lines(), "-NOPERM No permissions to access a key");
        assert!(told(&mut client, "SORT k1 BY k* GET k*").starts_with("-ERR BY option of SORT denied"));
        assert_eq!(told(&mut client, "SORT k1 ALPHA"), "*1 $1 x");
    }
}

#[test]
fn a_file_has_the_users_from_start_to_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, socket) = (directory.path().join("users.acl"), directory.path().join("c.sock"));
    std::fs::write(&file, "user default on nopass ~* &* +@all\nuser a on >p +get ~a\n").expect("it is written");
    let args = ["--aclfile", file.to_str().expect("plain")];
    let mut daemon = Process::cahoots_at(&socket, &args);
    let mut admin = daemon.client();
    assert_eq!(told(&mut user(&daemon, "a"), "GET a"), "$-1");
    assert_eq!(told(&mut admin, "ACL SETUSER b on >p +set ~b (+get ~c)"), "+OK");
    assert_eq!(told(&mut admin, "ACL SAVE"), "+OK");
    let told_before = told(&mut admin, "ACL LIST");
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait();
    let daemon = Process::cahoots_at(&socket, &args);
    let mut admin = daemon.client();
    assert_eq!(told(&mut admin, "ACL LIST"), told_before);
    let (mut a, mut b) = (user(&daemon, "a"), user(&daemon, "b"));
    assert_eq!(told(&mut b, "SET b 1"), "+OK");
    assert_eq!(told(&mut b, "GET c"), "$-1");
    // What makes no sense changes nothing.
    std::fs::write(&file, "user a on\nuser c +nope\n").expect("it is written");
    assert!(told(&mut admin, "ACL LOAD").starts_with("-ERR "));
    assert_eq!(told(&mut admin, "ACL LIST"), told_before);
    // One is gone, another may do something else, and the default user is as it was first.
    std::fs::write(&file, "user a on >p +del ~a\n").expect("it is written");
    assert_eq!(told(&mut admin, "ACL LOAD"), "+OK");
    assert!(is_cut(b));
    assert_eq!(told(&mut a, "DEL a"), ":0");
    assert_eq!(told(&mut a, "GET a"), "-NOPERM User a has no permissions to run the 'get' command");
    assert_eq!(told(&mut admin, "ACL USERS"), "*2 $1 a $7 default");
}

#[test]
fn a_file_that_makes_no_sense_or_is_not_there_ends_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users.acl");
    let start = |more: &[&str]| {
        let mut command = cahoots();
        command.args(["serve", "--listen", "127.0.0.1:0", "--socket"]).arg(directory.path().join("c.sock"));
        let output = command.arg("--aclfile").arg(&file).args(more).output().expect("the binary runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(start(&[]).contains("Error loading ACLs, opening file"));
    std::fs::write(&file, "user a +nope\n").expect("it is written");
    assert!(start(&[]).contains("users.acl:1: Error in applying operation '+nope'"));
    assert!(start(&["--requirepass", "x"]).contains("contradict each other"));
}

#[test]
fn passwords_and_rules_are_shown_to_nobody_who_watches() {
    let (daemon, mut admin) = daemon(&["a on >p +@all ~* &*"]);
    let mut watcher = daemon.client();
    watcher.words("MONITOR");
    for words in [
        "CONFIG SET slowlog-log-slower-than 0",
        "AUTH a p",
        "HELLO 2 AUTH a p SETNAME me",
        "ACL SETUSER b >hidden",
        "CONFIG SET requirepass hidden",
        "AUTH hidden",
        "ECHO end",
    ] {
        admin.words(words);
    }
    let mut seen = String::new();
    while !seen.contains("end") {
        seen += &watcher.receive().lines();
        seen.push('\n');
    }
    let log = told(&mut admin, "SLOWLOG GET 100");
    for text in [&seen, &log] {
        assert!(!text.contains("hidden") && !text.contains("\"p\"") && !text.contains(" $1 p "), "{text}");
    }
    assert!(seen.contains("\"AUTH\" \"(redacted)\" \"(redacted)\""), "{seen}");
    assert!(seen.contains("\"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"me\""), "{seen}");
    assert!(log.contains("SETUSER $10 (redacted) $10 (redacted)"), "{log}");
    assert!(log.contains("SET $11 requirepass $10 (redacted)"), "{log}");
    let list = admin.words("CLIENT LIST").text();
    assert!(list.contains(" user=default "), "{list}");
}

#[test]
fn clients_are_listed_and_killed_by_user() {
    let (daemon, mut admin) = daemon(&["a on >p +@all"]);
    let (one, two) = (user(&daemon, "a"), user(&daemon, "a"));
    assert_eq!(admin.words("CLIENT LIST").text().matches(" user=a ").count(), 2);
    assert_eq!(told(&mut admin, "CLIENT KILL USER a"), ":2");
    assert!(is_cut(one) && is_cut(two));
    assert!(matches!(admin.words("CLIENT NO-EVICT on"), Value::Leaf(_)));
    // RESET makes it the default user again.
    let mut third = user(&daemon, "a");
    assert_eq!(told(&mut third, "RESET"), "+RESET");
    assert_eq!(told(&mut third, "ACL WHOAMI"), "$7 default");
}
