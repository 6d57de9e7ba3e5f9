//! The same in Redis: a primary with the same keys, and a replica told to follow it.

use std::time::{Duration, Instant};

use cahoots_benches::redis::Redis;

use super::{Outcome, key, value};

const LOOK: Duration = Duration::from_millis(2);

pub(super) fn resync(keys: usize) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let primary = Redis::start(directory.path(), "primary", None);
    let replica = Redis::start(directory.path(), "replica", None);
    fill(&primary, keys);
    let (bytes, cpu_here, cpu_there) = (sent(&primary), cpu(&primary), cpu(&replica));
    let begun = Instant::now();
    replica.client().words(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let mut fetching = None;
    loop {
        let info = replica.info("replication");
        if fetching.is_none() && info.contains("master_sync_in_progress:1") {
            fetching = Some(Instant::now());
        }
        if info.contains("master_link_status:up") {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let (total, fetching) = (begun.elapsed(), fetching.map_or(Duration::ZERO, |since| since.elapsed()));
    assert_eq!(usize::try_from(replica.client().words("DBSIZE").integer()), Ok(keys));
    Outcome {
        total,
        fetching,
        bytes: sent(&primary) - bytes,
        cpu_there: cpu(&replica) - cpu_there,
        cpu_here: cpu(&primary) - cpu_here,
        stalls: None,
    }
}

fn fill(redis: &Redis, keys: usize) {
    const GROUP: usize = 1_000;
    let mut client = redis.client();
    for first in (0..keys).step_by(GROUP) {
        let numbers = first..keys.min(first + GROUP);
        for number in numbers.clone() {
            client.send(&[b"SET", key(number).as_bytes(), &value(number)]).expect("Redis reads");
        }
        for _ in numbers {
            assert_eq!(client.receive().expect("Redis answers"), cahoots_tests::cluster::Value::text("OK"));
        }
    }
}

/// Bytes sent to replicas so far.
fn sent(redis: &Redis) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
    let sent = redis.figure("stats", &["total_net_repl_output_bytes"]) as u64;
    sent
}

/// Processor time so far, that of the process which writes the snapshot included.
fn cpu(redis: &Redis) -> Duration {
    let names = ["used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"];
    Duration::from_secs_f64(redis.figure("cpu", &names))
}
