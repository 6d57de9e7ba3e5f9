//! The file of the Unix socket: left over, in use, nowhere, too long, with the wrong neighbours.

mod process;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use process::{Process, cahoots};
use rustix::process::Signal;

fn serve(socket: &Path) -> Command {
    let mut command = cahoots();
    command.args(["serve", "--listen", "127.0.0.1:0", "--socket"]).arg(socket);
    command
}

/// Starts where no start is possible, and returns what it said.
fn refusal(socket: &Path) -> String {
    let Output { status, stderr, .. } = serve(socket).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{stderr}");
    stderr
}

#[test]
fn a_file_left_over_from_a_crash_is_replaced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.sock");
    let mut first = Process::cahoots_at(&path, &[]);
    first.signal(Signal::KILL);
    first.wait();
    assert!(fs::symlink_metadata(&path).expect("left over").file_type().is_socket());
    let mut second = Process::cahoots_at(&path, &[]);
    assert_eq!(second.client().words("PING").text(), "PONG");
    second.signal(Signal::TERM);
    assert!(second.wait().success());
    assert!(!path.exists(), "a daemon that stops removes its file");
}

#[test]
fn the_socket_of_a_live_daemon_is_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.sock");
    let daemon = Process::cahoots_at(&path, &[]);
    let refusal = refusal(&path);
    assert!(refusal.contains("in use by a live daemon") && refusal.contains("a.sock"), "{refusal}");
    assert_eq!(daemon.client().words("PING").text(), "PONG");
}

#[test]
fn of_many_daemons_started_at_once_on_one_left_over_file_one_gets_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.sock");
    drop(UnixListener::bind(&path).expect("a socket nobody listens on"));
    let start = || serve(&path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let mut daemons: Vec<_> = (0..6).map(|_| start()).collect();
    // All but one end by themselves.
    let mut running = daemons.len();
    let begun = std::time::Instant::now();
    while running > 1 {
        assert!(begun.elapsed() < process::PATIENCE, "{running} daemons run on one socket");
        running =
            daemons.iter_mut().filter_map(|daemon| daemon.try_wait().expect("ours").is_none().then_some(())).count();
        std::thread::yield_now();
    }
    assert_eq!(running, 1);
    assert_eq!(process::Client::connect(&path).words("PING").text(), "PONG");
    for mut daemon in daemons {
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

#[test]
fn what_stands_in_the_way_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("no/such/a.sock");
    let text = refusal(&missing);
    assert!(text.contains("directory") && text.contains("no/such\"") && text.contains("does not exist"), "{text}");

    let long = directory.path().join("x".repeat(120));
    let text = refusal(&long);
    assert!(text.contains("at most 107") && text.contains(&"x".repeat(120)), "{text}");

    let file = directory.path().join("notes.txt");
    fs::write(&file, "precious").expect("a file");
    let text = refusal(&file);
    assert!(text.contains("not a socket") && text.contains("notes.txt"), "{text}");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");

    let text = refusal(&file.join("a.sock"));
    assert!(text.contains("notes.txt"), "{text}");
}

#[test]
fn the_longest_path_that_fits_is_taken() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let room = 107 - directory.path().as_os_str().len() - 1;
    let path = directory.path().join("x".repeat(room));
    assert_eq!(Process::cahoots_at(&path, &[]).client().words("PING").text(), "PONG");
}

#[test]
fn the_file_has_the_mode_asked_for() {
    for (args, mode) in [(&[][..], 0o600), (&["--socket-mode", "0660"], 0o660), (&["--socket-mode", "777"], 0o777)] {
        let daemon = Process::cahoots(args);
        let found = fs::symlink_metadata(&daemon.socket).expect("the socket").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{args:?}: {found:o}");
    }
}

#[test]
fn a_file_that_is_no_longer_ours_is_not_removed_at_exit() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.sock");
    let mut daemon = Process::cahoots_at(&path, &[]);
    fs::remove_file(&path).expect("someone removes it");
    let other = UnixListener::bind(&path).expect("someone else makes one");
    let before = fs::symlink_metadata(&path).expect("theirs").ino();
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert_eq!(fs::symlink_metadata(&path).expect("still theirs").ino(), before);
    drop(other);
}

#[test]
fn without_a_path_the_socket_is_in_a_directory_of_the_user_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let own = directory.path().join("cahoots");
    let status = |socket: &str| {
        let mut command = cahoots();
        command.args(["status", "--json"]).env("XDG_RUNTIME_DIR", directory.path());
        if !socket.is_empty() {
            command.args(["--socket", socket]);
        }
        command.output().expect("the binary runs")
    };
    let mut daemon = cahoots()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("XDG_RUNTIME_DIR", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    let stdout = daemon.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert_eq!(line, format!("socket: {}/cahoots.sock\n", own.display()));
    assert_eq!(fs::metadata(&own).expect("its directory").permissions().mode() & 0o777, 0o700);
    let found = status("");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let _ = daemon.kill();
    let _ = daemon.wait();
    let gone = status("");
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no daemon answers at"), "{gone:?}");

    // Prepared by somebody: not taken.
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).expect("the mode changes");
    let output = cahoots()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("XDG_RUNTIME_DIR", directory.path())
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("closed to others"), "{output:?}");
}
