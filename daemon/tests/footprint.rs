//! What a daemon costs that does nothing.

mod process;

use std::time::{Duration, Instant};

use process::Process;

#[test]
fn an_idle_daemon_is_small_soon_there_and_silent() {
    // The best of several starts: other work on the machine only ever adds.
    let mut soonest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let daemon = Process::cahoots(&[]);
        assert_eq!(daemon.client().words("PING").text(), "PONG");
        soonest = soonest.min(begun.elapsed());
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kilobytes < 15 << 10, "an idle daemon holds {kilobytes} kB");
    }
    assert!(soonest < Duration::from_millis(50), "the soonest PING came after {soonest:?}");
}
